package render

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// This binary is also an engine that kills itself: see TestKilled.
func TestMain(m *testing.M) {
	if dir := os.Getenv("RENDER_TEST_KILLED_IN"); dir != "" {
		fmt.Fprintln(os.Stderr, runAndBeKilled(dir, os.Getenv("RENDER_TEST_KILLED_AT")))
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// killable is the configuration of TestKilled: of two files one has been there before. The command sees both.
func killable(dir string) Config {
	in := func(line string) Command { return Command{Shell: "cd '" + dir + "'; " + line} }
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
		false: append(before, "run", "settled"),
		true:  append(before, "undone one", "undone", "settled"),
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
	p := newPlace(t)
	p.write("a.ctmpl", `{{key "k"}}`, 0o644)
	p.write("b.ctmpl", `{{key "k"}}`, 0o644)
	p.write("a", "old", 0o640)
	p.write("seen", "old", 0o644)
	if fails {
		p.write("fails", "", 0o644)
	}
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "RENDER_TEST_KILLED_IN="+p.dir, "RENDER_TEST_KILLED_AT="+step)
	output, err := cmd.CombinedOutput()
	if status, ok := cmd.ProcessState.Sys().(syscall.WaitStatus); err == nil || !ok || status.Signal() != syscall.SIGKILL {
		t.Fatalf("it was not killed: %v\n%s", err, output)
	}
	files := p.files()
	if a := files["a"]; a != "old" && a != "new" {
		t.Fatalf("a holds %q", a)
	}
	if b, ok := files["b"]; ok && b != "new" {
		t.Fatalf("b holds %q", b)
	}

	r := newRig(t)
	r.dir = p.dir
	r.world.set(kv("k"), then)
	r.start(killable(p.dir))
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
		left, err := filepath.Glob(r.path(ourPrefix + "*"))
		return err == nil && len(left) == 0
	})
	info, err := os.Stat(r.path("a"))
	r.must(err)
	if info.Mode() != 0o640 {
		t.Errorf("mode %o", info.Mode())
	}
	if fails && then == "new" {
		r.await("the failure", func() bool { return r.log.count("command failed; what was there before stays; it is tried again") > 0 })
	}
}

// The next start runs what is owed for a file that is back, although nothing else tells it that.
func TestKilledBetweenUndoAndCommand(t *testing.T) {
	p := newPlace(t)
	p.write("out", "old", 0o644)
	c := p.newCommit(p.sh("cat out >> seen; grep -q old out"), map[string]string{"out": "new"})
	c.step = func(step string) {
		if step == "undone" {
			panic(step)
		}
	}
	func() {
		defer func() { _ = recover() }()
		c.stage()
		_ = c.swap()
		_ = c.run()
	}()
	p.want(map[string]string{"out": "old", "seen": "new", ".render-out.owed": markText})
	if c := p.commit(p.sh("cat out >> seen"), map[string]string{"out": "old"}); c.err != nil || !c.ran {
		t.Errorf("ran %v, err %v", c.ran, c.err)
	}
	p.want(map[string]string{"out": "old", "seen": "newold"})
}

// A crash between two steps of bookkeeping leaves nothing that misleads.
func TestHalfAMark(t *testing.T) {
	tests := []struct {
		name        string
		mark, saved string // "-" for none
		ran         bool
		want        string // of the file, after a command that fails for what is new
	}{
		{"a saved file without a mark", "-", "older", false, "old"},
		{"an empty mark", "", "-", true, "old"},
		{"a mark without a saved file: it is back", markText, "-", true, "old"},
		{"a mark and a saved file", markText, "older", true, "older"},
		{"a mark of nothing before", markText + markNothing, "-", true, "new"}, // a command that fails leaves what is first
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			setUp := func() place {
				p := newPlace(t)
				p.write("out", "old", 0o644)
				if test.mark != "-" {
					p.write(".render-out.owed", test.mark, 0o600)
				}
				if test.saved != "-" {
					p.write(".render-out.old", test.saved, 0o644)
				}
				p.must(sweep([]string{p.path("out")}))
				return p
			}
			p := setUp()
			if c := p.commit(p.sh(":"), map[string]string{"out": "old"}); c.err != nil || c.ran != test.ran {
				t.Errorf("ran %v, err %v", c.ran, c.err)
			}
			p.want(map[string]string{"out": "old"})

			p = setUp()
			c := p.commit(p.sh("! grep -q new out"), map[string]string{"out": "new"})
			if c.err == nil || p.files()["out"] != test.want {
				t.Errorf("%q, err %v", p.files(), c.err)
			}
		})
	}
}

// What is kept of a file survives a second failure, and a third.
func TestMarkedAgain(t *testing.T) {
	p := newPlace(t)
	p.write("out", "old", 0o644)
	p.must(os.Link(p.path("out"), p.path("link")))
	fails := p.sh("exit 1")
	for range 2 {
		if c := p.commit(fails, map[string]string{"out": "new"}); c.err == nil || !c.owed {
			t.Fatalf("owed %v, err %v", c.owed, c.err)
		}
		p.want(map[string]string{"out": "old", "link": "old", ".render-out.owed": markText})
	}
	c := p.newCommit(fails, map[string]string{"out": "new"})
	c.stage()
	p.must(c.swap()) // and then nothing
	p.want(map[string]string{"out": "new", "link": "old", ".render-out.owed": markText, ".render-out.old": "old"})
	if c := p.commit(p.sh("grep -q old out"), map[string]string{"out": "new"}); c.err == nil || c.owed {
		t.Errorf("owed %v, err %v", c.owed, c.err)
	}
	p.want(map[string]string{"out": "old", "link": "old"})
	if before, after := p.ino("link"), p.ino("out"); before != after {
		t.Error("it is another file with the same contents")
	}
}

func (p place) ino(name string) uint64 {
	_, stat := p.stat(name)
	return stat.Ino
}

// A file that is back is left alone while its action is repeated, and the action runs once a time.
func TestOwedOnly(t *testing.T) {
	p := newPlace(t)
	p.write("out", "old", 0o644)
	p.write(".render-out.owed", markText, 0o600)
	before := p.ino("out")
	if c := p.commit(p.sh("echo ran >> runs; exit 1"), map[string]string{"out": "old"}); c.err == nil || !c.owed {
		t.Errorf("owed %v, err %v", c.owed, c.err)
	}
	p.want(map[string]string{"out": "old", "runs": "ran\n", ".render-out.owed": markText})
	if p.ino("out") != before {
		t.Error("it was written again")
	}
}

// A crash between the second name and the swap leaves two names of one file. None of them stays.
func TestKilledBeforeTheSwap(t *testing.T) {
	p := newPlace(t)
	p.write("out", "old", 0o644)
	p.must(os.Link(p.path("out"), p.path(".render-out.old")))
	p.write(".render-out.owed", markText, 0o600)
	c := p.newCommit(p.sh("echo ran >> runs; [ $(wc -l < runs) = 2 ]"), map[string]string{"out": "old"}) // fails, and then not
	c.files[0].options.Backup = true
	c.stage()
	p.must(c.swap())
	if err := c.run(); err == nil || c.owed {
		t.Errorf("owed %v, err %v", c.owed, err)
	}
	p.want(map[string]string{"out": "old", "runs": "ran\nran\n"})

	p.must(os.Link(p.path("out"), p.path(".render-out.old")))
	p.write(".render-out.owed", markText, 0o600)
	c = p.newCommit(p.sh(":"), map[string]string{"out": "old"})
	c.files[0].options.Backup = true
	c.stage()
	p.must(c.swap())
	p.must(c.run())
	p.want(map[string]string{"out": "old", "runs": "ran\nran\n"}) // nothing has changed: no backup
}

// What an action owed is nobody's business any more when there is no action.
func TestOwedWithoutAction(t *testing.T) {
	p := newPlace(t)
	p.write("out", "new", 0o644)
	p.write(".render-out.old", "old", 0o644)
	p.write(".render-out.owed", markText, 0o600)
	if c := p.commit(Command{}, map[string]string{"out": "new"}); c.err != nil || c.owed {
		t.Errorf("owed %v, err %v", c.owed, c.err)
	}
	p.want(map[string]string{"out": "new"})
}

// Contents of an earlier run that the check does not like go back, too.
func TestCheckOfWhatIsOwed(t *testing.T) {
	p := newPlace(t)
	p.write("out", "bad", 0o644)
	p.write(".render-out.old", "old", 0o644)
	p.write(".render-out.owed", markText, 0o600)
	c := p.newCommit(p.sh("cat out > seen"), map[string]string{"out": "bad"})
	c.cfg.Check = Command{Shell: "! grep -q bad {}"}
	c.stage()
	p.must(c.swap())
	p.must(c.checkLive())
	p.must(c.run())
	if c.failed[p.path("out")] == nil {
		t.Error("it passed")
	}
	p.want(map[string]string{"out": "old", "seen": "old"})
}

// A new file that is gone already when it should go is no further failure.
func TestUndoOfWhatIsGone(t *testing.T) {
	p := newPlace(t)
	c := p.newCommit(p.sh("rm -f out"), map[string]string{"out": "new"})
	c.cfg.Verify = Verify{Command: p.sh("false"), Within: time.Millisecond}
	c.stage()
	p.must(c.swap())
	if err := c.run(); err == nil || !c.rejected || c.owed {
		t.Errorf("rejected %v, owed %v, err %v", c.rejected, c.owed, err)
	}
	p.want(map[string]string{})
}
