package render

import (
	"os"
	"syscall"
	"testing"
	"time"
)

// inMount returns a place where the file out is mounted from outside: the file real beside the place. With readOnly the rest
// of it cannot be written.
func inMount(t *testing.T, readOnly bool) (p place, real string) {
	p = newPlace(t)
	real = p.write("real", "old", 0o644)
	p.must(os.Mkdir(p.path("in"), 0o755))
	p.dir = p.path("in")
	mount(t, "tmpfs", p.dir, "tmpfs", 0, "size=1m")
	p.write("out", "below", 0o644)
	mount(t, real, p.path("out"), "", syscall.MS_BIND, "")
	if readOnly {
		p.must(syscall.Mount("", p.dir, "", syscall.MS_REMOUNT|syscall.MS_RDONLY, ""))
	}
	return p, real
}

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
