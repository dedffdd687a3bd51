package render

import (
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"render/render/commit"
	"render/render/status"
)

// What a command does not like is tried again after 1 s … 1 min, what a verification does not like after 30 s … 5 min; and at
// once when it changes.
func TestRejectedIsTriedSlowly(t *testing.T) {
	tests := []struct {
		name       string
		action     func(r *rig) Action
		soon, hour [2]int // runs in the first 20 s, and in an hour: at least and at most
	}{
		{"command", func(r *rig) Action { return Action{Command: r.sh("echo >> runs; ! grep -q bad a")} }, [2]int{6, 14}, [2]int{120, 300}},
		{"verification", func(r *rig) Action {
			return Action{Command: r.appends("runs"), Verify: commit.Verify{Command: r.sh("! grep -q bad a"), Within: time.Millisecond}}
		}, [2]int{2, 4}, [2]int{24, 70}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			bubble(t, func(t *testing.T, r *rig) {
				a := test.action(r)
				a.Spacing = time.Second
				r.start(of(a, r.target("a", `{{key "k"}}`)))
				r.set(kv("k"), "good")
				elapse(10 * time.Second)
				r.write("runs", "")
				r.set(kv("k"), "bad")
				r.wantFile("a", "good")
				within := func(d time.Duration, want [2]int) {
					t.Helper()
					elapse(d)
					if n := r.lines("runs"); n < want[0] || n > want[1] { // each attempt is two: for the new file, and for the old
						t.Errorf("%d runs in %s, want %v", n, d, want)
					}
				}
				within(20*time.Second, test.soon)
				within(time.Hour, test.hour)
				r.wantFile("a", "good")
				r.wantClean()
				r.set(kv("k"), "worse")
				elapse(70 * time.Second) // asked for at last
				r.wantFile("a", "worse")
				if s := r.status().Targets[0]; s.State != status.Applied {
					t.Errorf("got %+v", s)
				}
			})
		})
	}
}

// A command that fails for the old files, too, stays owed: it is repeated until it succeeds, also by the next start.
func TestOwedForTheOldFiles(t *testing.T) {
	for _, restart := range []bool{false, true} {
		t.Run(fmt.Sprint("restart ", restart), func(t *testing.T) {
			bubble(t, func(t *testing.T, r *rig) {
				cfg := of(Action{Command: r.sh("[ ! -e broken ] && ! grep -q bad a && cat a >> runs")}, r.target("a", `{{key "k"}}`))
				r.start(cfg)
				r.set(kv("k"), "1")
				elapse(5 * time.Second)
				r.write("broken", "")
				r.set(kv("k"), "bad")
				elapse(5 * time.Second)
				r.wantFile("a", "1")
				r.wantLog("after restoring the previous files: exit status 1")
				r.wantFile("runs", "1")
				if restart {
					r.must(r.stop())
				}
				r.set(kv("k"), "1") // nothing is to be changed any more
				r.must(os.Remove(r.path("broken")))
				if restart {
					r.start(cfg)
				}
				elapse(70 * time.Second)
				r.wantFile("a", "1")
				r.wantFile("runs", "11")
				r.wantClean()
				r.set(kv("k"), "2")
				elapse(70 * time.Second)
				r.wantFile("a", "2")
				r.wantClean()
			})
		})
	}
}

// TestUndoOracle plays random histories of good and bad outputs, failing checks and commands, and restarts. When all is quiet
// each file has to hold the last good contents, the last run of the command has to have seen just that, and nothing may be
// left behind.
func TestUndoOracle(t *testing.T) {
	histories := 8
	if testing.Short() {
		histories = 3
	}
	for seed := range uint64(histories) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			bubble(t, func(t *testing.T, r *rig) { playUndo(t, r, rand.New(rand.NewPCG(seed, 7))) })
		})
	}
}

func playUndo(t *testing.T, r *rig, random *rand.Rand) {
	pick := func(all ...string) string { return all[random.IntN(len(all))] }
	const quiet = 20 * time.Minute // for what is tried slowly, one by one
	atomic := random.IntN(3) == 0
	n := 1 + random.IntN(3)
	a := Action{
		Check:   r.sh(pick(":", "! grep -q check {}", "[ ! -e flaky-check ] && ! cat ? | grep -q check")),
		Command: r.sh("cat ? > seen; [ ! -e flaky ] && ! grep -q command seen"),
		Spacing: time.Second, Atomic: atomic,
	}
	if random.IntN(2) == 0 {
		a.Verify = commit.Verify{Command: r.sh("! cat ? | grep -q verify"), Within: time.Millisecond}
	}
	var targets []Target
	values, last := make([]string, n), make([]string, n) // last: of the good ones
	for i := range n {
		targets = append(targets, r.target(fmt.Sprint(i), fmt.Sprintf(`{{key "%d"}}`, i)))
		targets[i].File.Backup = random.IntN(4) == 0
		values[i] = "first "
		r.world.set(kv(fmt.Sprint(i)), values[i])
	}
	r.start(of(a, targets...))
	elapse(quiet)
	copy(last, values)
	isBad := func(v string) bool {
		return strings.Contains(v, "command") || !strings.HasPrefix(a.Check.Shell, r.sh(":").Shell) && strings.Contains(v, "check") ||
			!a.Verify.IsZero() && strings.Contains(v, "verify")
	}
	for step := range 8 {
		for range 1 + random.IntN(4) {
			switch i := random.IntN(n); random.IntN(8) {
			case 0:
				r.write(pick("flaky", "flaky-check"), "")
			case 1:
				r.must(r.stop())
				r.start(of(a, targets...))
			default:
				values[i] = fmt.Sprint(pick("fine", "fine", "check", "command", "verify"), " ", step, " ")
				r.set(kv(fmt.Sprint(i)), values[i])
			}
			elapse(time.Duration(random.IntN(4000)) * time.Millisecond)
		}
		if random.IntN(4) == 0 {
			elapse(time.Duration(random.IntN(600)) * time.Second)
		}
		_, _ = os.Remove(r.path("flaky")), os.Remove(r.path("flaky-check"))
		elapse(quiet)
		anyBad := slices.ContainsFunc(values, isBad)
		var all string
		for i, value := range values {
			got := r.read(fmt.Sprint(i))
			all += got
			switch {
			case !anyBad || !atomic && !isBad(value):
				if got != value {
					t.Fatalf("step %d: file %d holds %q, want %q of %q\n%+v\nlog:\n%s", step, i, got, value, values, a, r.log)
				}
			case isBad(got):
				t.Fatalf("step %d: file %d holds %q, which is bad\n%+v\nlog:\n%s", step, i, got, a, r.log)
			}
		}
		if !anyBad && r.read("seen") != all {
			t.Fatalf("step %d: the command saw %q, want %q\n%+v\nlog:\n%s", step, r.read("seen"), all, a, r.log)
		}
		if r.read("seen") != all { // it may just have been run for what is bad; but then it has to have run again
			t.Fatalf("step %d: the command saw %q, want %q\n%+v\nlog:\n%s", step, r.read("seen"), all, a, r.log)
		}
		if !r.wantNothing() {
			t.Fatalf("step %d: %+v", step, a)
		}
	}
}

// wantNothing is wantClean for more than one look: it reports whether all is well.
func (r *rig) wantNothing() bool {
	r.t.Helper()
	r.wantClean()
	return !r.t.Failed()
}
