package render

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"render/render/run"
)

// This binary is also an engine that kills itself: see TestKilled.
func TestMain(m *testing.M) {
	// sh cannot trap a signal that was ignored when it started, as by nohup. Who has a handler does not ignore it.
	for _, s := range []os.Signal{syscall.SIGHUP, syscall.SIGINT} {
		if signal.Ignored(s) {
			signal.Notify(make(chan os.Signal, 1), s)
		}
	}
	if dir := os.Getenv("RENDER_TEST_KILLED_IN"); dir != "" {
		fmt.Fprintln(os.Stderr, runAndBeKilled(dir, os.Getenv("RENDER_TEST_KILLED_AT")))
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// killable is the configuration of TestKilled: of two files one has been there before. The command sees both.
func killable(dir string) Config {
	in := func(line string) run.Command { return run.Command{Shell: "cd '" + dir + "'; " + line} }
	target := func(name string) Target {
		return Target{Source: filepath.Join(dir, name+".ctmpl"), Destination: filepath.Join(dir, name)}
	}
	return of(Action{
		Check:   in("grep -q . a"),
		Command: in("cat a b > seen 2>/dev/null; [ ! -e fails ] || ! grep -q new a"),
		Spacing: time.Second,
	}, target("a"), target("b"))
}

func runAndBeKilled(dir, at string) error {
	cfg := killable(dir)
	cfg.step = func(step string) {
		if step == at {
			_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
			select {} // it may take a moment
		}
	}
	w := newWorld()
	w.set(kv("k"), "new")
	engine, err := New(w, cfg)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	return fmt.Errorf("it was not killed: %v", engine.Run(ctx))
}

// Whenever render is killed, each file is whole, and the next start brings everything to where it would have been.
func TestKilled(t *testing.T) {
	before := []string{"staged", "saved", "swapped one", "swapped", "checked"}
	steps := map[bool][]string{
		false: append(before, "run", "completed"),
		true:  append(before, "undone one", "undone", "completed"),
	}
	for fails, steps := range steps {
		for _, step := range steps {
			for _, then := range []string{"new", "old"} { // what Consul has at the next start
				t.Run(fmt.Sprintf("fails %v, %s, then %s", fails, step, then), func(t *testing.T) {
					t.Parallel()
					testKilled(t, fails, step, then)
				})
			}
		}
	}
}

func testKilled(t *testing.T, fails bool, step, then string) {
	r := newRig(t)
	r.write("a.ctmpl", `{{key "k"}}`)
	r.write("b.ctmpl", `{{key "k"}}`)
	r.must(os.Chmod(r.write("a", "old"), 0o640))
	r.write("seen", "old")
	if fails {
		r.write("fails", "")
	}
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "RENDER_TEST_KILLED_IN="+r.dir, "RENDER_TEST_KILLED_AT="+step)
	output, err := cmd.CombinedOutput()
	if status, ok := cmd.ProcessState.Sys().(syscall.WaitStatus); err == nil || !ok || status.Signal() != syscall.SIGKILL {
		t.Fatalf("it was not killed: %v\n%s", err, output)
	}
	if a := r.read("a"); a != "old" && a != "new" {
		t.Fatalf("a holds %q", a)
	}
	if b := r.read("b"); b != "no file" && b != "new" {
		t.Fatalf("b holds %q", b)
	}

	r.world.set(kv("k"), then)
	r.start(killable(r.dir))
	want := map[string]string{"a": then, "b": then, "seen": then + then}
	if fails && then == "new" {
		want = map[string]string{"a": "old", "b": "no file", "seen": "old"}
	}
	r.await("the right files", func() bool {
		for name, contents := range want {
			if r.read(name) != contents {
				return false
			}
		}
		left, err := filepath.Glob(r.path(".render-" + "*"))
		return err == nil && len(left) == 0
	})
	info, err := os.Stat(r.path("a"))
	r.must(err)
	if info.Mode() != 0o640 {
		t.Errorf("mode %o", info.Mode())
	}
	if fails && then == "new" {
		r.await("the failure", func() bool { return r.log.count("command failed, retrying; the previous files stay") > 0 })
	}
}
