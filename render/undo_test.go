package render

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
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
				Signal:  Signal{Signal: syscall.SIGCONT, PIDFile: p.path("../pid")},
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
		}, "got the status 500, not 200"},
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

			c := p.newCommit(Command{}, map[string]string{"out": "new", "made": "new"})
			c.cfg = test.action(p)
			c.stage()
			if c.swap() == nil && c.checkLive() == nil {
				_ = c.run()
			}
			if c.err == nil || !strings.Contains(c.err.Error(), test.want) || !c.rejected || c.owed || len(c.swaps) > 0 {
				t.Errorf("got %v, want %q; rejected %v, owed %v, changed %v", c.err, test.want, c.rejected, c.owed, c.swaps)
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

func (p place) sh(line string) Command { return Command{Shell: "cd '" + p.dir + "'; " + line} }

// A verification waits for what takes a while, and sees that a service does not come up at all.
func TestVerify(t *testing.T) {
	requests := 0
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if requests++; requests < 3 {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		switch req.URL.Path {
		case "/moved":
			http.Redirect(w, req, "/", http.StatusFound)
		case "/hangs":
			<-req.Context().Done()
		}
	}))
	defer server.Close()
	tests := []struct {
		name string
		v    Verify
		err  string
	}{
		{"after two failures", Verify{URL: server.URL, Within: 10 * time.Second}, ""},
		{"another status", Verify{URL: server.URL + "/moved", Status: 302}, ""},
		{"a redirection is not followed", Verify{URL: server.URL + "/moved", Within: time.Millisecond}, "got the status 302, not 200"},
		{"it hangs", Verify{URL: server.URL + "/hangs", Within: 100 * time.Millisecond}, "deadline exceeded"},
		{"nobody is there", Verify{URL: "http://127.0.0.1:1", Within: time.Millisecond}, "connection refused"},
		{"a command that hangs", Verify{Command: Command{Shell: "sleep 1000"}, Within: 100 * time.Millisecond}, "did not end within"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			test.v.Every = 5 * time.Millisecond
			c := &commit{cfg: Action{Verify: test.v}}
			began := time.Now()
			err := c.verify()
			if (err == nil) != (test.err == "") || err != nil && !strings.Contains(err.Error(), test.err) {
				t.Errorf("got %v, want %q", err, test.err)
			}
			if took := time.Since(began); took > 8*time.Second {
				t.Errorf("took %s", took)
			}
		})
	}
	if requests < 4 {
		t.Errorf("%d requests", requests)
	}
}

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
			return Action{Command: r.appends("runs"), Verify: Verify{Command: r.sh("! grep -q bad a"), Within: time.Millisecond}}
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
				if s := r.status().Targets[0]; s.State != Applied {
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
				r.wantLog("with the old files, which are back: exit status 1")
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
		a.Verify = Verify{Command: r.sh("! cat ? | grep -q verify"), Within: time.Millisecond}
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
