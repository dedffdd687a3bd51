package render

import (
	"fmt"
	"os"
	"testing"
	"time"

	"render/render/status"
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
		r.wantLog("check failed, retrying; the previous files stay")
		r.wantLog(a.Destination)
		r.wantLog(":bad") // what the check has printed
		if s := r.status().Targets; s[0].State != status.Failed || s[0].Err == nil || s[1].State != status.Applied {
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
			if s.State != status.Applied || s.Err != nil {
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
