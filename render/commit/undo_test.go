package commit

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"render/render/run"
)

// Whatever fails after the swap, all that the files were comes back, and the command runs for them.
func TestUndo(t *testing.T) {
	tests := []struct {
		name   string
		action func(p place) Action
		want   string // part of the error
	}{
		{"command", func(p place) Action {
			return Action{Command: p.sh("cat out made >> seen; ! grep -q new out")}
		}, "exit status 1"},
		{"command that hangs", func(p place) Action {
			return Action{Command: p.sh("cat out made >> seen; ! grep -q new out || sleep 1000"), Timeout: time.Second}
		}, "did not end within 1s"},
		{"signal", func(p place) Action {
			return Action{
				Command: p.sh(fmt.Sprintf("cat out made >> seen; if grep -q new out; then echo 999999999; else echo %d; fi > ../pid", os.Getpid())),
				Signal:  run.Signal{Signal: syscall.SIGCONT, PIDFile: p.path("../pid")},
			}
		}, "process 999999999: no such process"},
		{"verification by command", func(p place) Action {
			return Action{
				Command: p.sh("cat out made >> seen; true"),
				Verify:  Verify{Command: p.sh("grep new out; ! grep -q new out"), Within: 100 * time.Millisecond, Every: 10 * time.Millisecond},
			}
		}, "did not succeed within 100ms: exit status 1; it said: new"},
		{"verification by URL", func(p place) Action {
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				if b, _ := os.ReadFile(p.path("out")); string(b) == "new" {
					w.WriteHeader(http.StatusInternalServerError)
				}
			}))
			p.t.Cleanup(server.Close)
			return Action{Command: p.sh("cat out made >> seen; true"), Verify: Verify{URL: server.URL, Within: 100 * time.Millisecond, Every: 10 * time.Millisecond}}
		}, "the HTTP status is 500, not 200"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			p := newPlace(t)
			p.must(os.Mkdir(p.path("in"), 0o755))
			p.dir = p.path("in")
			p.write("out", "old", 0o640)
			xattr := unix.Setxattr(p.path("out"), "user.render", []byte("value"), 0) == nil
			owner := os.Getuid()
			if owner == 0 {
				owner = 65534
				p.must(os.Chown(p.path("out"), owner, owner))
				p.must(os.Chmod(p.path("out"), 0o640|os.ModeSetuid))
			}
			p.must(os.Link(p.path("out"), p.path("link")))
			before, err := os.Stat(p.path("out"))
			p.must(err)

			r := p.do(p.plan(test.action(p), map[string]string{"out": "new", "made": "new"}))
			if r.Err == nil || !strings.Contains(r.Err.Error(), test.want) || !r.Rejected || r.Pending || len(r.Debts) > 0 || len(r.Swapped) > 0 || r.Revoked {
				t.Errorf("got %+v, want %q", r, test.want)
			}
			p.want(map[string]string{"out": "old", "link": "old", "seen": "newnewold"})
			after, err := os.Stat(p.path("out"))
			p.must(err)
			if !os.SameFile(before, after) || before.Mode() != after.Mode() || after.Sys().(*syscall.Stat_t).Uid != uint32(owner) {
				t.Errorf("it was %+v and is %+v", before, after)
			}
			if value := make([]byte, 10); xattr {
				if n, err := unix.Getxattr(p.path("out"), "user.render", value); err != nil || string(value[:n]) != "value" {
					t.Errorf("attribute %q, %v", value[:n], err)
				}
			}
		})
	}
}

// A new file that is gone already when it should be removed is no further failure.
func TestUndoOfWhatIsGone(t *testing.T) {
	p := newPlace(t)
	r := p.do(p.plan(Action{
		Command: p.sh("rm -f out"), Verify: Verify{Command: p.sh("false"), Within: time.Millisecond},
	}, map[string]string{"out": "new"}))
	if r.Err == nil || !r.Rejected || r.Pending {
		t.Errorf("got %+v", r)
	}
	p.want(map[string]string{})
}

// New files stay where there were none before and the command fails; also before the start of the program that it needs.
func TestNoUndo(t *testing.T) {
	for name, test := range map[string]struct {
		old, beforeProgram bool
	}{"no file before": {false, false}, "before the program": {true, true}} {
		t.Run(name, func(t *testing.T) {
			p := newPlace(t)
			if test.old {
				p.write("out", "old", 0o644)
			}
			plan := p.plan(Action{Command: p.sh("cat out >> seen; exit 1")}, map[string]string{"out": "new"})
			plan.BeforeProgram = test.beforeProgram
			r := p.do(plan)
			if r.Err == nil || r.Rejected || !r.Pending || len(r.Debts) != 1 || len(r.Swapped) != 1 {
				t.Errorf("got %+v", r)
			}
			files := p.files()
			if files["out"] != "new" || files["seen"] != "new" {
				t.Errorf("the folder holds %q", files)
			}

			// Contents that come later and fail, too, go back to what the action has succeeded for.
			if test.old {
				r = p.commit(p.sh("grep -q old out"), map[string]string{"out": "newer"})
				if r.Err == nil || !r.Rejected || r.Pending || !r.Revoked {
					t.Errorf("got %+v", r)
				}
				p.want(map[string]string{"out": "old", "seen": "new"})
			}
		})
	}
}

// Revoked says that contents that others may have read were put back: those of an earlier commit, and not those of this one.
func TestRevoked(t *testing.T) {
	tests := []struct {
		name    string
		prepare func(p place)
		action  func(p place) Action
		revoked bool
	}{
		{"new in this commit", func(p place) {}, func(p place) Action { return Action{Command: p.sh("! grep -q new out")} }, false},
		{"the old one was back", func(p place) {
			p.commit(p.sh("exit 1"), map[string]string{"out": "new"})
		}, func(p place) Action { return Action{Command: p.sh("! grep -q new out")} }, false},
		{"the old one was back, check in place", func(p place) {
			p.commit(p.sh("exit 1"), map[string]string{"out": "new"})
		}, func(p place) Action { return Action{Check: p.sh("! grep -q new out")} }, false},
		{"in place since a crash", func(p place) {
			p.crash(p.plan(Action{Command: p.sh(":")}, map[string]string{"out": "new"}), "swapped")
		}, func(p place) Action { return Action{Command: p.sh("! grep -q new out")} }, true},
		{"in place since a crash, check in place", func(p place) {
			p.crash(p.plan(Action{Command: p.sh(":")}, map[string]string{"out": "new"}), "swapped")
		}, func(p place) Action { return Action{Check: p.sh("! grep -q new out")} }, true},
		{"in place since a crash, check of it", func(p place) {
			p.crash(p.plan(Action{Command: p.sh(":")}, map[string]string{"out": "new"}), "swapped")
		}, func(p place) Action { return Action{Check: p.sh("! grep -q new {}")} }, true},
		{"other contents in place since a crash", func(p place) {
			p.crash(p.plan(Action{Command: p.sh(":")}, map[string]string{"out": "other"}), "swapped")
		}, func(p place) Action { return Action{Command: p.sh("! grep -q new out")} }, true},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			p := newPlace(t)
			p.write("out", "old", 0o644)
			test.prepare(p)
			r := p.do(p.plan(test.action(p), map[string]string{"out": "new"}))
			if r.Revoked != test.revoked || r.Pending || len(r.Debts) > 0 || len(r.Swapped) > 0 {
				t.Errorf("got %+v, want revoked %v", r, test.revoked)
			}
			p.want(map[string]string{"out": "old"})
		})
	}
}

// A file that cannot be restored stays a debt, and the error names it.
func TestUndoFails(t *testing.T) {
	p := newPlace(t)
	p.write("a", "old", 0o644)
	p.write("b", "old", 0o644)
	r := p.commit(p.sh("rm .render-a.old; ! grep -q new b"), map[string]string{"a": "new", "b": "new"})
	if r.Err == nil || !strings.Contains(r.Err.Error(), p.path("a")) || !r.Pending || len(r.Debts) == 0 || r.Rejected {
		t.Errorf("got %+v", r)
	}
	r = p.commit(p.sh("cat a b > seen"), map[string]string{"a": "newer", "b": "newer"})
	if r.Err != nil || r.Pending || len(r.Debts) > 0 {
		t.Errorf("got %+v", r)
	}
	p.want(map[string]string{"a": "newer", "b": "newer", "seen": "newernewer"})
}

// A file that somebody else changes or replaces while the command fails for it stays as they left it, with a warning; the
// other files are restored, and the command runs for what is in place then.
func TestUndoLeavesTheirs(t *testing.T) {
	for name, old := range map[string]bool{"over an old file": true, "where there was none": false} {
		t.Run(name, func(t *testing.T) {
			p := newPlace(t)
			p.write("b", "old", 0o644)
			if old {
				p.write("a", "old", 0o644)
			}
			r := p.commit(p.sh("cat a b >> seen; if grep -q new b; then echo theirs > x; mv x a; exit 1; fi"), map[string]string{"a": "new", "b": "new"})
			if r.Err == nil || !r.Rejected || r.Pending || len(r.Debts) > 0 || len(r.Swapped) > 0 {
				t.Errorf("got %+v", r)
			}
			if len(r.Warnings) != 1 || !strings.Contains(r.Warnings[0], p.path("a")+" was changed by someone else") {
				t.Errorf("warnings %q", r.Warnings)
			}
			p.want(map[string]string{"a": "theirs\n", "b": "old", "seen": "newnewtheirs\nold"})
		})
	}
}

// A file of an earlier commit that others have read goes back when the commit is abandoned: they have to read it again.
func TestAbandonRevokes(t *testing.T) {
	for name, test := range map[string]struct {
		earlier map[string]string
		revoked bool
		want    map[string]string
	}{
		"files of an earlier commit": {map[string]string{"a": "new", "b": "new"}, true, map[string]string{"a": "old"}},
		"one of an earlier commit":   {map[string]string{"b": "new"}, true, map[string]string{"a": "old"}},
		"only files of this commit":  {nil, false, map[string]string{"a": "old"}},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPlace(t)
			p.write("a", "old", 0o644)
			earlier := p.plan(Action{Command: run.Command{Shell: ":"}}, test.earlier)
			if len(test.earlier) > 0 {
				p.crash(earlier, "swapped")
			}

			action := Action{Command: run.Command{Shell: ":"}, Atomic: true}
			c := newCommit(p.recall(p.plan(action, map[string]string{"a": "newer", "b": "newer"})), newTools(t))
			c.stage()
			p.must(c.swap())
			p.must(c.abandon(nil))
			if r := c.end(); r.Revoked != test.revoked {
				t.Errorf("revoked is %v", r.Revoked)
			}
			files := p.files()
			for _, name := range []string{"a", "b"} {
				if files[name] != test.want[name] {
					t.Errorf("%s holds %q", name, files[name])
				}
			}
		})
	}
}

// An atomic action that is abandoned leaves no mixture: where one old file goes back, the others do.
func TestAbandonAtomic(t *testing.T) {
	p := newPlace(t)
	p.write("a", "old", 0o644)
	p.write("b", "old", 0o644)
	action := Action{Command: run.Command{Shell: ":"}, Atomic: true}
	p.crash(p.plan(action, map[string]string{"a": "new", "b": "new"}), "swapped")
	c := newCommit(p.recall(p.plan(action, map[string]string{"a": "newer", "b": "new"})), newTools(t))
	c.stage()
	p.must(c.swap())
	p.must(c.abandon(nil))
	if r := c.end(); !r.Revoked || len(r.Debts) != 2 {
		t.Errorf("got %+v", r)
	}
	files := p.files()
	if files["a"] != "old" || files["b"] != "old" {
		t.Errorf("the folder holds %q", files)
	}
}
