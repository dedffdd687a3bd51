package commit

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"render/render/run"
)

// A path is what it is, whatever a shell would make of it.
func TestCheckOfOddPaths(t *testing.T) {
	odd := []string{"a b", "it's", `"quoted"`, "$HOME", "a;echo b", "a\nb", "-n", "{}", "ü", "`id`", `back\slash`, "*", strings.Repeat("x", 255)}
	checks := []run.Command{
		{Shell: "grep -q good {}"}, {Args: []string{"grep", "-q", "good", "{}"}},
		{Shell: "test -e {} && [ \"$(cat {})\" = good ]"},
		{Shell: `grep -q good "{}"`}, {Shell: `grep -q good '{}'`}, {Shell: `sh -c 'grep -q good "$1"' check "{}"`},
	}
	for _, check := range checks {
		for _, name := range odd {
			t.Run(fmt.Sprintf("%s %.20q", check, name), func(t *testing.T) {
				p := newPlace(t)
				for contents, ok := range map[string]bool{"good": true, "bad": false} {
					c := p.begin(p.plan(Action{Check: check}, map[string]string{name: contents}))
					c.stage()
					if passed := len(c.r.Failed) == 0; passed != ok {
						t.Errorf("%s: %v", contents, c.r.Failed)
					}
					c.end()
				}
				p.want(map[string]string{})
			})
		}
	}
}

// What a check before the swap rejects is never visible, and is no obstacle for others.
func TestCheckBeforeSwap(t *testing.T) {
	for _, atomic := range []bool{false, true} {
		t.Run(fmt.Sprint("atomic ", atomic), func(t *testing.T) {
			p := newPlace(t)
			p.write("a", "old", 0o644)
			p.write("b", "old", 0o644)
			r := p.do(p.plan(Action{
				Check:   p.sh("(echo $(cat {}) $(cat a b)) >> checks; ! grep -H bad {}"),
				Command: p.sh("cat a b > seen"), Atomic: atomic,
			}, map[string]string{"a": "bad", "b": "new"}))
			if err := r.Failed[p.path("a")]; err == nil || !strings.Contains(err.Error(), ":bad") || !strings.Contains(err.Error(), p.path("a")) {
				t.Errorf("got %v, want the path and what the check printed", err)
			}
			want := map[string]string{"a": "old", "b": "new", "checks": "bad oldold\nnew oldold\n", "seen": "oldnew"}
			if atomic {
				want["b"] = "old"
				delete(want, "seen")
			}
			if r.Rejected != atomic || r.Ran == atomic || r.Pending {
				t.Errorf("got %+v", r)
			}
			p.want(want)
		})
	}
}

// A check without {} runs after the swap.
func TestCheckAfterSwap(t *testing.T) {
	const fine = "! grep -l bad a b c"
	tests := []struct {
		name       string
		check      string
		atomic     bool
		a, b, c    string // what they become; they were old
		want       [3]string
		checks     int
		rejected   int
		commandRan bool
	}{
		{"all are good", fine, false, "1", "2", "3", [3]string{"1", "2", "3"}, 1, 0, true},
		{"each is tried alone", fine, false, "1", "bad", "3", [3]string{"1", "old", "3"}, 5, 1, true}, // the bad one twice
		{"atomic", fine, true, "1", "bad", "3", [3]string{"old", "old", "old"}, 1, 3, false},
		{"all are bad", fine, false, "bad", "bad", "bad", [3]string{"old", "old", "old"}, 4, 3, false},
		{
			"one needs another", fine + ` && { ! grep -q needs a || grep -q there b; }`, false,
			"needs", "there", "bad", [3]string{"needs", "there", "old"}, 7, 1, true,
		},
		{"it fails whatever is there", "false", false, "1", "2", "3", [3]string{"old", "old", "old"}, 4, 3, false},
		{"one file", fine, false, "bad", "old", "old", [3]string{"old", "old", "old"}, 1, 1, false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			p := newPlace(t)
			for _, name := range []string{"a", "b", "c"} {
				p.write(name, "old", 0o640)
			}
			r := p.do(p.plan(Action{
				Check: p.sh("echo >> checks; " + test.check), Command: p.sh("cat a b c > seen"), Atomic: test.atomic,
			}, map[string]string{"a": test.a, "b": test.b, "c": test.c}))

			files := p.files()
			if got := [3]string{files["a"], files["b"], files["c"]}; got != test.want {
				t.Errorf("files hold %q, want %q; failed: %v", got, test.want, r.Failed)
			}
			if got := strings.Count(files["checks"], "\n"); got != test.checks {
				t.Errorf("%d checks, want %d", got, test.checks)
			}
			rejected := len(r.Failed)
			if r.Rejected {
				rejected = 3 // all that were to change
				if test.name == "one file" {
					rejected = 1
				}
			}
			if rejected != test.rejected {
				t.Errorf("%d rejected, want %d: %v, %v", rejected, test.rejected, r.Failed, r.Err)
			}
			if seen, ran := files["seen"]; ran != test.commandRan || ran != r.Ran || ran && seen != strings.Join(test.want[:], "") {
				t.Errorf("the command saw %q, ran %v, result %v", seen, ran, r.Ran)
			}
			if r.Pending || len(r.Debts) > 0 {
				t.Errorf("pending: %v", r.Debts)
			}
			p.wantClean()
			for _, name := range []string{"a", "b", "c"} {
				if info, _ := p.stat(name); info.Mode() != 0o640 {
					t.Errorf("%s has the mode %o", name, info.Mode())
				}
			}
		})
	}
}

// Files whose names differ only late in a long name do not share what is kept of them.
func TestLongNames(t *testing.T) {
	p := newPlace(t)
	a, b := strings.Repeat("x", 250)+"a", strings.Repeat("x", 250)+"b"
	p.write(a, "old a", 0o600)
	p.write(b, "old b", 0o600)
	r := p.commit(run.Command{Shell: fmt.Sprintf("! grep new '%s'", filepath.Join(p.dir, a))}, map[string]string{a: "new", b: "new"})
	if r.Err == nil || !r.Rejected {
		t.Errorf("got %v", r.Err)
	}
	p.want(map[string]string{a: "old a", b: "old b"})
}

// What an earlier commit owes is done for the old file although the check in place rejects the only new one, and all of an
// atomic action (R13).
func TestCheckRejectsWhileOwed(t *testing.T) {
	for _, atomic := range []bool{false, true} {
		t.Run(fmt.Sprint("atomic ", atomic), func(t *testing.T) {
			p := newPlace(t)
			p.write("a", "old", 0o644)
			action := Action{Check: p.sh("! grep -q bad a"), Command: p.sh("[ -e works ] && cat a > seen"), Atomic: atomic}
			if r := p.do(p.plan(action, map[string]string{"a": "new"})); !r.Pending || !r.Rejected {
				t.Fatalf("got %+v", r)
			}
			p.write("works", "", 0o644)
			r := p.do(p.plan(action, map[string]string{"a": "bad"}))
			if r.Err == nil || !strings.Contains(r.Err.Error(), ErrCheck.Error()) || !r.Rejected || r.Pending || !r.Ran {
				t.Errorf("got %+v", r)
			}
			p.want(map[string]string{"a": "old", "seen": "old", "works": ""})
		})
	}
}
