package render

import (
	"syscall"
	"testing"
	"time"
)

// In a daemon: what is mounted is repaired and undone as any other file.
func TestInPlaceEngine(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.write("real", "old")
		out := r.target("out", `{{key "k"}}`)
		r.write("out", "")
		mount(t, r.path("real"), r.path("out"), "", syscall.MS_BIND, "")
		r.start(of(Action{Command: r.sh("cat out >> runs; ! grep -q bad out")}, out))
		for _, value := range []string{"1", "2", "bad", "3"} {
			r.set(kv("k"), value)
			elapse(5 * time.Second)
		}
		r.wantFile("real", "3")
		r.wantClean()
	})
}
