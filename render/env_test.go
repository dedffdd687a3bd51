package render

import (
	"context"
	"fmt"
	"testing"
	"time"

	"render/render/commit"
	"render/render/run"
)

// Check, command and verification are told what is going on.
func TestEnvOfActions(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		tell := func(who string) run.Command {
			return r.sh(`echo "` + who + ` $RENDER_ACTION: $RENDER_CAUSE: $(echo $RENDER_CHANGED): $CUSTOM $EXTRA" >> told`)
		}
		a, b := r.target("a", `{{key "a"}}`), r.target("b", `{{key "b"}}`)
		cfg := of(Action{Check: tell("check"), Command: tell("command"), Verify: commit.Verify{Command: tell("verify")}, Env: run.Env{Custom: []string{"CUSTOM=c"}}}, a, b)
		cfg.Env = []string{"EXTRA=e"}
		r.start(cfg)
		r.world.set(kv("a"), "1")
		r.set(kv("b"), "1")
		want := func(cause, changed string) {
			t.Helper()
			line := fmt.Sprintf(" action: %s: %s: c e\n", cause, changed)
			r.wantFile("told", "check"+line+"command"+line+"verify"+line)
			r.write("told", "")
		}
		want("first render", a.Destination+" "+b.Destination)
		elapse(5 * time.Second)
		r.set(kv("b"), "2")
		want("kv b: changed", b.Destination)
	})
}

// However many files there are, and whatever keys are called, the command can be run.
func TestEnvIsBounded(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.start(of(Action{Command: r.appends("runs")}, r.target("a", `{{keyOrDefault (printf "nul%c" 0) "none"}}`)))
		r.set(kv("nul\x00"), nil)
		elapse(5 * time.Second)
		r.set(kv("nul\x00"), "1")
		elapse(5 * time.Second)
		r.wantFile("a", "1")
		if n := r.lines("runs"); n != 2 {
			t.Errorf("%d runs\n%s", n, r.log)
		}
	})
}

// A pause before a command ends when render does; the command is run.
func TestSplay(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		began := time.Now()
		r.start(of(Action{Command: r.appends("runs"), Splay: 1000 * time.Hour}, r.target("a", "x")))
		r.wantFile("a", "x")
		r.wantFile("runs", "no file")
		r.must(r.stop())
		if n := r.lines("runs"); n != 1 {
			t.Errorf("%d runs", n)
		}
		if took := time.Since(began); took > time.Minute {
			t.Errorf("took %s", took)
		}
		r.wantClean()
	})
	bubble(t, func(t *testing.T, r *rig) { // once
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		began := time.Now()
		r.must(r.run(ctx, of(Action{Command: r.appends("runs"), Splay: 1000 * time.Hour}, r.target("a", "x"))))
		if n := r.lines("runs"); n != 1 {
			t.Errorf("%d runs", n)
		}
		if took := time.Since(began); took > time.Minute {
			t.Errorf("took %s", took)
		}
		r.wantClean()
	})
	bubble(t, func(t *testing.T, r *rig) {
		r.start(of(Action{Command: r.appends("runs"), Splay: time.Minute}, r.target("a", "x")))
		elapse(time.Minute)
		if n := r.lines("runs"); n != 1 {
			t.Errorf("%d runs after the splay", n)
		}
	})
}
