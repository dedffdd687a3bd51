package commit

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"render/render/run"
)

// hanging is the Run of tools whose commands never end: each takes as long as it may.
func hanging(_ run.Command, l run.Limits) (string, error) {
	time.Sleep(l.Timeout)
	return "", fmt.Errorf("did not end within %s", l.Timeout)
}

// taking is the Run of tools whose commands take some time and then succeed or fail.
func taking(d time.Duration, err error) func(run.Command, run.Limits) (string, error) {
	return func(c run.Command, l run.Limits) (string, error) {
		if d >= l.Timeout {
			return hanging(c, l)
		}
		time.Sleep(d)
		return "", err
	}
}

// Whatever a commit is at when the program is about to end, it takes no longer than the time limit of one command, and
// what did not get its turn is a debt that the next start knows.
func TestStop(t *testing.T) {
	const limit = 30 * time.Second // run.DefaultTimeout
	many := make(map[string]string)
	for i := range 40 {
		many[fmt.Sprintf("f%02d", i)] = "new"
	}
	one := map[string]string{"f00": "new"}
	command := func(name string) run.Command { return run.Command{Shell: name} }
	type runner = func(run.Command, run.Limits) (string, error)
	by := func(runs map[string]runner) runner { // the name of the command
		return func(c run.Command, l run.Limits) (string, error) {
			for name, r := range runs {
				if strings.HasPrefix(c.Shell, name) {
					return r(c, l)
				}
			}
			return "", nil
		}
	}
	fails := taking(0, errors.New("exit status 1"))
	tests := []struct {
		name   string
		action Action
		files  map[string]string
		run    runner
		begin  time.Duration // when the program is about to end
		within time.Duration // after that
		owed   bool          // the next start has to run the action
		swaps  int           // new files in place
	}{
		{"a check in place hangs", Action{Check: command("check")}, many, hanging, 10 * time.Second, limit, false, 0},
		{"files are tried alone", Action{Check: command("check")}, many, taking(time.Second, errors.New("bad")), 5500 * time.Millisecond, limit + 500*time.Millisecond, false, 0},
		{"files are tried alone, each hangs", Action{Check: command("check")}, many, hanging, 45 * time.Second, limit, false, 0},
		{"staged files are checked", Action{Check: command("check {}")}, many, taking(2*time.Second, nil), 5 * time.Second, limit, false, 17},
		{"staged files are checked, each hangs", Action{Check: command("check {}")}, many, hanging, 45 * time.Second, limit, false, 0},
		{"the command hangs", Action{Command: command("command")}, one, hanging, 10 * time.Second, limit, true, 0},
		{"the command hangs, and began late", Action{Command: command("command")}, one, hanging, 0, limit, true, 0},
		{"the command hangs, with a limit of its own", Action{Command: command("command"), Timeout: 5 * time.Minute}, one, hanging, 10 * time.Second, 5 * time.Minute, true, 0},
		{"a pause before the command", Action{Command: command("command"), Splay: 1000 * time.Hour}, one, taking(time.Second, nil), time.Second, time.Second, false, 1},
		{
			"a verification repeats",
			Action{Command: command("command"), Verify: Verify{Command: command("verify"), Within: 10 * time.Minute}},
			one, by(map[string]runner{"verify": fails}), time.Minute, 0, true, 1,
		},
		{
			"a verification repeats with long pauses",
			Action{Command: command("command"), Verify: Verify{Command: command("verify"), Within: time.Hour, Every: 10 * time.Minute}},
			one, by(map[string]runner{"verify": fails}), time.Minute, 0, true, 1,
		},
		{
			"a verification hangs after a command that took long",
			Action{Command: command("command"), Verify: Verify{Command: command("verify"), Within: 10 * time.Minute}},
			one, by(map[string]runner{"command": taking(25*time.Second, nil), "verify": hanging}), 10 * time.Second, limit, true, 1,
		},
		{
			"a verification gets its turn too late",
			Action{Command: command("command"), Verify: Verify{Command: command("verify"), Within: time.Millisecond}},
			one, by(map[string]runner{"command": func(c run.Command, l run.Limits) (string, error) {
				time.Sleep(l.Timeout)
				return "", nil
			}}), 0, limit, true, 1,
		},
		{"the command for the old files", Action{Command: command("command")}, one, taking(20*time.Second, errors.New("exit status 1")), 5 * time.Second, limit, true, 0},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			p := newPlace(t)
			for name := range test.files {
				p.write(name, "old", 0o644)
			}
			plan := p.plan(test.action, test.files)
			var r Result
			bubble(t, func(t *testing.T) {
				tools := Tools{Run: test.run, Send: run.Signal.Send, Stop: NewStop(), Slots: make(Slots, 16)}
				time.AfterFunc(test.begin, tools.Stop.Begin)
				began := time.Now()
				r = Do(plan, tools)
				if took := time.Since(began) - test.begin; took > test.within {
					t.Errorf("it took %s longer, want %s at most", took, test.within)
				}
			})

			swaps := 0
			files := p.files()
			for name := range test.files {
				if files[name] == "new" {
					swaps++
				}
			}
			if swaps != test.swaps || r.Pending != test.owed || (len(r.Debts) > 0) != test.owed {
				t.Errorf("%d new files in place, want %d; pending %v, want %v; err %v", swaps, test.swaps, r.Pending, test.owed, r.Err)
			}
			if recalled := p.recall(plan); recalled.Pending != test.owed {
				t.Errorf("the next start has the debts %v", recalled.Debts)
			}
			if next := p.do(p.plan(Action{}, test.files)); next.Err != nil || next.Pending || len(next.Failed) > 0 {
				t.Errorf("the next start: %+v", next)
			}
			p.wantClean()
		})
	}
}

// What was interrupted is said so: files that did not get their turn are not rejected.
func TestStopIsNoRejection(t *testing.T) {
	for name, action := range map[string]Action{
		"in place": {Check: run.Command{Shell: "check"}}, "staged": {Check: run.Command{Shell: "check {}"}},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPlace(t)
			files := map[string]string{"a": "new", "b": "new", "c": "new", "d": "new"}
			for name := range files {
				p.write(name, "old", 0o644)
			}
			plan := p.plan(action, files)
			bubble(t, func(t *testing.T) {
				tools := Tools{Run: hanging, Send: run.Signal.Send, Stop: NewStop()}
				time.AfterFunc(45*time.Second, tools.Stop.Begin)
				r := Do(plan, tools)
				rejected, stopped := 0, 0
				for _, err := range r.Failed {
					if errors.Is(err, ErrCheck) {
						rejected++
					}
					if errors.Is(err, ErrStopping) {
						stopped++
					}
				}
				if r.Rejected || rejected+stopped != 4 || stopped == 0 || rejected == 0 {
					t.Errorf("%d rejected, %d stopped: %+v", rejected, stopped, r)
				}
			})
			p.want(map[string]string{"a": "old", "b": "old", "c": "old", "d": "old"})
		})
	}
}

// A verification by URL that hangs ends with the time that is left, too.
func TestStopWhileURLHangs(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close() // nobody ever accepts
	p := newPlace(t)
	p.write("out", "old", 0o644)
	tools := newTools(t)
	tools.Run = func(run.Command, run.Limits) (string, error) {
		tools.Stop.Begin()
		return "", nil
	}
	began := time.Now()
	r := Do(p.plan(Action{
		Command: run.Command{Shell: "command"}, Timeout: 200 * time.Millisecond,
		Verify: Verify{URL: "http://" + listener.Addr().String(), Within: time.Hour},
	}, map[string]string{"out": "new"}), tools)
	if took := time.Since(began); took > 10*time.Second || !errors.Is(r.Err, ErrStopping) || !r.Pending || r.Rejected {
		t.Errorf("after %s: %+v", took, r)
	}
}

// A command has run also where a stop interrupts the verification after it.
func TestRanBeforeTheVerification(t *testing.T) {
	for name, action := range map[string]Action{
		"a command":           {Command: run.Command{Shell: "command"}},
		"a signal":            {Signal: run.Signal{Signal: syscall.SIGHUP, Process: "nginx"}},
		"only a verification": {},
	} {
		t.Run(name, func(t *testing.T) {
			action.Verify = Verify{Command: run.Command{Shell: "verify"}}
			p := newPlace(t)
			tools := newTools(t)
			tools.Send = func(run.Signal) error { return nil }
			tools.Run = func(c run.Command, _ run.Limits) (string, error) {
				if c.Shell == "verify" {
					return "", run.ErrKilled
				}
				return "", nil
			}
			r := Do(p.plan(action, map[string]string{"out": "new"}), tools)
			if ran := name != "only a verification"; !errors.Is(r.Err, ErrStopping) || !r.Pending || r.Ran != ran {
				t.Errorf("got %+v, want ran %v", r, ran)
			}
		})
	}
}

// What cannot be run any more is not run: no command, no check, no verification.
func TestNothingRunsAfterTheLimit(t *testing.T) {
	p := newPlace(t)
	p.write("out", "old", 0o644)
	url := "http://" + countRequests(t)
	for _, verify := range []Verify{{Command: run.Command{Shell: "verify"}}, {URL: url}} {
		for _, action := range []Action{
			{Check: run.Command{Shell: "check"}}, {Check: run.Command{Shell: "check {}"}}, {Command: run.Command{Shell: "command"}}, {Verify: verify},
		} {
			plan := p.plan(action, map[string]string{"out": "new"})
			bubble(t, func(t *testing.T) {
				var ran []string
				tools := Tools{Send: run.Signal.Send, Stop: NewStop(), Run: func(c run.Command, _ run.Limits) (string, error) {
					ran = append(ran, c.Shell)
					return "", nil
				}}
				tools.Stop.Begin()
				time.Sleep(run.DefaultTimeout)
				r := Do(plan, tools)
				if r.Pending != p.recall(plan).Pending || r.Pending != (len(r.Debts) == 1) || r.Pending == action.Check.TakesFile() {
					t.Errorf("pending %v, debts %v", r.Pending, r.Debts)
				}
				if err := errors.Join(r.Err, r.Failed[p.path("out")]); len(ran) > 0 || !errors.Is(err, ErrStopping) || r.Rejected || r.Ran {
					t.Errorf("ran %q: %+v", ran, r)
				}
			})
			p.do(p.plan(Action{}, map[string]string{"out": "old"}))
		}
	}
}

// A command runs after a random pause, which ends when the program is about to end.
func TestSplay(t *testing.T) {
	for name, begin := range map[string]time.Duration{"to its end": 10000 * time.Hour, "stopped": time.Millisecond} {
		t.Run(name, func(t *testing.T) {
			p := newPlace(t)
			plan := p.plan(Action{Command: run.Command{Shell: "command"}, Splay: 1000 * time.Hour}, map[string]string{"out": "new"})
			bubble(t, func(t *testing.T) {
				began := time.Now()
				var paused time.Duration
				tools := Tools{Send: run.Signal.Send, Stop: NewStop(), Run: func(run.Command, run.Limits) (string, error) {
					paused = time.Since(began)
					return "", nil
				}}
				timer := time.AfterFunc(begin, tools.Stop.Begin)
				defer timer.Stop()
				if r := Do(plan, tools); r.Err != nil || !r.Ran || r.Pending {
					t.Errorf("got %+v", r)
				}
				if paused < time.Millisecond || paused > min(begin, 1000*time.Hour) {
					t.Errorf("the command ran after %s", paused)
				}
			})
		})
	}
}

// countRequests returns the address of a server whose only request is an error.
func countRequests(t *testing.T) (address string) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var requests atomic.Int32
	server := &http.Server{Handler: http.HandlerFunc(func(http.ResponseWriter, *http.Request) { requests.Add(1) })}
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(listener) }()
	t.Cleanup(func() {
		_ = server.Close()
		<-ended
		if n := requests.Load(); n > 0 {
			t.Errorf("%d requests", n)
		}
	})
	return listener.Addr().String()
}

func TestStopLimit(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := NewStop()
		isBegun := func() bool {
			select {
			case <-s.Begun():
				return true
			default:
				return false
			}
		}
		if isBegun() || s.limit(time.Hour, time.Minute) != time.Hour || !s.pause(time.Hour) {
			t.Error("it has begun")
		}
		waits := make(chan bool)
		go func() { waits <- s.pause(time.Hour) }()
		synctest.Wait()
		s.Begin()
		time.Sleep(10 * time.Second)
		s.Begin() // once is enough
		if <-waits || !isBegun() || s.pause(time.Hour) || !s.pause(0) {
			t.Error("a pause goes on")
		}
		var got []time.Duration
		for _, most := range []time.Duration{time.Hour, time.Minute, time.Second} {
			got = append(got, s.limit(most, time.Minute))
		}
		time.Sleep(time.Hour)
		got = append(got, s.limit(time.Second, time.Minute))
		if want := []time.Duration{50 * time.Second, 50 * time.Second, time.Second, 50*time.Second - time.Hour}; !slices.Equal(got, want) {
			t.Errorf("got %v, want %v", got, want)
		}
	})
}

// A program that is killed because the program ends has not failed: nothing is rejected or restored because of that.
func TestKilledPrograms(t *testing.T) {
	killed := taking(0, run.ErrKilled)
	for name, test := range map[string]struct {
		action Action
		owed   bool // new contents are in place
	}{
		"a check of staged files": {Action{Check: run.Command{Shell: "killed {}"}}, false},
		"a check in place":        {Action{Check: run.Command{Shell: "killed"}}, true},
		"a command":               {Action{Command: run.Command{Shell: "killed"}}, true},
		"a verification":          {Action{Verify: Verify{Command: run.Command{Shell: "killed"}}}, true},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPlace(t)
			p.write("out", "old", 0o644)
			plan := p.plan(test.action, map[string]string{"out": "new"})
			tools := newTools(t)
			tools.Run = killed
			r := Do(plan, tools)
			err := errors.Join(r.Err, r.Failed[p.path("out")])
			if !errors.Is(err, ErrStopping) || errors.Is(err, ErrCheck) || r.Rejected || r.Revoked || r.Pending != test.owed || p.recall(plan).Pending != test.owed {
				t.Errorf("got %+v", r)
			}
			want := map[string]string{"out": "old"}
			if test.owed {
				want = map[string]string{"out": "new", ".render-out.owed": owed("out"), ".render-out.old": "old"}
			}
			p.want(want)
		})
	}
}
