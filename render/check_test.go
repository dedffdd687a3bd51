package render

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// A check with {} in it sees what is staged, and what it does not like is never visible.
func TestCheckBeforeSwap(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		a, b := r.target("a", `{{key "a"}}`), r.target("b", `{{key "b"}}`)
		r.start(of(Action{
			Check:   r.sh(`(echo "staged $(cat {})"; cat a b) >> checks 2>&1; ! grep -H bad {}`),
			Command: r.sh("cat a b >> runs; echo >> runs"),
			Spacing: time.Second,
		}, a, b))
		r.world.set(kv("a"), "a1 ")
		r.set(kv("b"), "b1")
		r.wantFile("runs", "a1 b1\n")
		elapse(time.Minute)
		r.write("checks", "")
		r.set(kv("a"), "bad")
		r.wantFile("a", "a1 ")
		r.wantFile("checks", "staged bad\na1 b1")
		r.wantFile("runs", "a1 b1\n")
		r.wantLog("check failed; what was there before stays")
		r.wantLog(a.Destination)
		r.wantLog(":bad") // what the check has printed
		if s := r.status().Targets; s[0].State != Failed || s[0].Err == nil || s[1].State != Applied {
			t.Errorf("got %+v", s)
		}
		elapse(50 * time.Second)
		r.set(kv("b"), "b2") // the other one goes live, and the bad one is not in its way
		elapse(5 * time.Second)
		r.wantFile("b", "b2")
		r.wantFile("a", "a1 ")
		elapse(time.Minute)
		r.set(kv("a"), "a2 ")
		r.wantFile("a", "a2 ")
		r.wantFile("runs", "a1 b1\na1 b2\na2 b2\n")
		for _, s := range r.status().Targets {
			if s.State != Applied || s.Err != nil {
				t.Errorf("got %+v", s)
			}
		}
		r.wantClean()
	})
}

// Good and bad files that come together: the good one goes live, and with it the command; atomic ones wait for each other.
func TestCheckOfSeveral(t *testing.T) {
	for _, atomic := range []bool{false, true} {
		t.Run(fmt.Sprint("atomic ", atomic), func(t *testing.T) {
			bubble(t, func(t *testing.T, r *rig) {
				r.start(of(Action{
					Check: r.sh(`echo >> checks; ! grep -q bad {}`), Command: r.sh("cat a b >> runs; echo >> runs"), Atomic: atomic,
				}, r.target("a", `{{key "k"}}1`), r.target("b", `{{key "k"}}{{if eq (key "k") "x"}}bad{{end}}`)))
				r.set(kv("k"), "v")
				elapse(time.Minute)
				r.set(kv("k"), "x")
				elapse(time.Second)
				if atomic {
					r.wantFile("a", "v1")
					r.wantFile("runs", "v1v\n")
				} else {
					r.wantFile("a", "x1")
					r.wantFile("runs", "v1v\nx1v\n")
				}
				r.wantFile("b", "v")
				elapse(10 * time.Minute)
				if n := r.lines("checks"); n > 24 {
					t.Errorf("%d checks: what is rejected is to be tried again slowly", n)
				}
				r.set(kv("k"), "w")
				r.wantFile("a", "w1")
				r.wantFile("b", "w")
				r.wantClean()
			})
		})
	}
}

// A path is what it is, whatever a shell would make of it.
func TestCheckOfOddPaths(t *testing.T) {
	odd := []string{"a b", "it's", `"quoted"`, "$HOME", "a;echo b", "a\nb", "-n", "{}", "ü", "`id`", `back\slash`, "*", strings.Repeat("x", 255)}
	for _, check := range []Command{{Shell: "grep -q good {}"}, {Args: []string{"grep", "-q", "good", "{}"}}, {Shell: "test -e {} && [ \"$(cat {})\" = good ]"}} {
		for _, name := range odd {
			t.Run(fmt.Sprintf("%s %.20q", check, name), func(t *testing.T) {
				p := newPlace(t)
				for contents, ok := range map[string]bool{"good": true, "bad": false} {
					c := p.newCommit(Command{}, map[string]string{name: contents})
					c.cfg.Check = check
					c.stage()
					if passed := len(c.failed) == 0; passed != ok {
						t.Errorf("%s: %v", contents, c.failed)
					}
					c.discard()
				}
				p.want(map[string]string{})
			})
		}
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
			c := &commit{cfg: Action{
				Check:   Command{Shell: fmt.Sprintf("cd '%s'; echo >> checks; %s", p.dir, test.check)},
				Command: Command{Shell: fmt.Sprintf("cd '%s'; cat a b c > seen", p.dir)}, Atomic: test.atomic,
			}}
			for i, contents := range []string{test.a, test.b, test.c} {
				name := string(rune('a' + i))
				p.write(name, "old", 0o640)
				c.files = append(c.files, &stagedFile{destination: p.path(name), contents: []byte(contents)})
			}
			c.stage()
			if c.swap() == nil && c.checkLive() == nil {
				_ = c.run()
			}
			files := p.files()
			if got := [3]string{files["a"], files["b"], files["c"]}; got != test.want {
				t.Errorf("files hold %q, want %q; failed: %v", got, test.want, c.failed)
			}
			if got := strings.Count(files["checks"], "\n"); got != test.checks {
				t.Errorf("%d checks, want %d", got, test.checks)
			}
			rejected := len(c.failed)
			if c.rejected {
				rejected = 3 // all that were to change
				if test.name == "one file" {
					rejected = 1
				}
			}
			if rejected != test.rejected {
				t.Errorf("%d rejected, want %d: %v, %v", rejected, test.rejected, c.failed, c.err)
			}
			if seen, ran := files["seen"]; ran != test.commandRan || ran && seen != strings.Join(test.want[:], "") {
				t.Errorf("the command saw %q, ran %v", seen, ran)
			}
			for name := range files {
				if strings.HasPrefix(name, ourPrefix) {
					t.Errorf("left behind: %s", name)
				}
			}
		})
	}
}

// A check of the files in place that fails brings the old ones back for as long as it takes, and lets the new ones in when it
// passes.
func TestCheckRecovers(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.start(of(Action{Check: r.sh("echo >> checks; [ -e ok ]"), Command: r.appends("runs")}, r.target("a", `{{key "k"}}`), r.target("b", `{{key "k"}}`)))
		r.write("ok", "")
		r.set(kv("k"), "1")
		r.wantFile("b", "1")
		r.must(os.Remove(r.path("ok")))
		r.set(kv("k"), "2")
		elapse(time.Hour)
		r.wantFile("a", "1")
		r.wantFile("b", "1")
		if n := r.lines("checks"); n < 20 || n > 150 {
			t.Errorf("%d checks in an hour", n)
		}
		r.wantClean()
		r.write("ok", "")
		elapse(6 * time.Minute)
		r.wantFile("a", "2")
		r.wantFile("b", "2")
		if n := r.lines("runs"); n < 2 || n > 3 {
			t.Errorf("%d runs", n)
		}
		r.wantClean()
	})
}

// An owed action stays owed when new contents do not pass the check.
func TestCheckKeepsWhatIsOwed(t *testing.T) {
	for name, check := range map[string]string{"before": "! grep -q bad {}", "after": "! grep -q bad a"} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, r *rig) {
				r.start(of(Action{Check: r.sh(check), Command: r.sh("[ -e ok ] && cat a >> runs")}, r.target("a", `{{key "k"}}`)))
				r.set(kv("k"), "1") // nothing was there: it stays, and the command is repeated
				r.wantFile("a", "1")
				r.set(kv("k"), "bad")
				elapse(10 * time.Second)
				r.write("ok", "")
				elapse(2 * time.Minute)
				if name == "before" {
					r.wantFile("a", "1")
					r.wantFile("runs", "1")
					r.wantClean() // it has succeeded for what is in place
				} else {
					r.wantFile("a", "no file")
				}
				r.set(kv("k"), "2")
				elapse(time.Minute)
				r.wantFile("a", "2")
				r.wantClean()
			})
		})
	}
}

func (r *rig) must(err error) {
	r.t.Helper()
	if err != nil {
		r.t.Fatal(err)
	}
}

// Files whose names differ only late in a long name do not share what is kept of them.
func TestLongNames(t *testing.T) {
	p := newPlace(t)
	a, b := strings.Repeat("x", 250)+"a", strings.Repeat("x", 250)+"b"
	p.write(a, "old a", 0o600)
	p.write(b, "old b", 0o600)
	c := p.commit(Command{Shell: fmt.Sprintf("! grep new '%s'", filepath.Join(p.dir, a))}, map[string]string{a: "new", b: "new"})
	if c.err == nil || !c.rejected {
		t.Errorf("got %v", c.err)
	}
	p.want(map[string]string{a: "old a", b: "old b"})
}
