package supervise

import (
	"errors"
	"fmt"
	"slices"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"render/render/commit"
	"render/render/run"
)

// A child is a program that a test plays.
type child struct {
	reloads  []chan struct{}
	signals  []syscall.Signal
	ended    chan error
	stopWith []syscall.Signal
}

func newChild() *child { return &child{ended: make(chan error, 1)} }

func (c *child) Program() run.Program { return run.Program{} }
func (c *child) Reload() <-chan struct{} {
	c.reloads = append(c.reloads, make(chan struct{}))
	return c.reloads[len(c.reloads)-1]
}
func (c *child) Signal(s syscall.Signal) { c.signals = append(c.signals, s) }
func (c *child) Stop(s syscall.Signal) {
	if c.stopWith = append(c.stopWith, s); len(c.stopWith) == 1 {
		c.ended <- nil
	}
}
func (c *child) Ended() <-chan error { return c.ended }
func (c *child) Wait()               {}

func TestReady(t *testing.T) {
	var p Program
	start := time.Unix(1000, 0)
	for _, test := range []struct {
		at       time.Duration
		placed   bool
		inFlight int
		ready    bool
		wake     time.Duration // 0 for never
	}{
		{0, false, 0, false, 0},
		{1, true, 2, false, 11},
		{5, true, 1, false, 11},
		{6, false, 1, false, 0}, // a file is not right any more
		{7, true, 1, false, 17},
		{16, true, 1, false, 17},
		{17, true, 1, true, 17}, // other commits always follow
		{18, true, 0, true, 17},
	} {
		ready, wake := p.Ready(start.Add(test.at), test.placed, test.inFlight, 10)
		if ready != test.ready || wake.IsZero() != (test.wake == 0) || test.wake != 0 && !wake.Equal(start.Add(test.wake)) {
			t.Errorf("%d: ready %v, wake %v", test.at, ready, wake)
		}
	}
}

// The program is notified once of all changes, when no commit is in flight, and not again before its spacing.
func TestNotify(t *testing.T) {
	var p Program
	c := newChild()
	now := time.Unix(1000, 0)
	p.FilesChanged(now)
	if p.IsBehind() {
		t.Error("a program that is not started is behind: it finds all files")
	}
	p.Start(c, time.Second)
	p.FilesChanged(now)
	p.FilesChanged(now)
	if wake := p.Notify(now, 1, time.Minute); !wake.Equal(now.Add(time.Minute)) || len(c.reloads) > 0 {
		t.Errorf("a commit is in flight: wake %s, %d notifications", wake, len(c.reloads))
	}
	p.Notify(now, 0, time.Minute)
	if len(c.reloads) != 1 || p.Notified() == nil || !p.IsBehind() {
		t.Fatalf("%d notifications", len(c.reloads))
	}
	p.FilesChanged(now)
	p.Notify(now.Add(time.Hour), 0, time.Minute)
	if len(c.reloads) != 1 {
		t.Error("two notifications are under way")
	}
	close(c.reloads[0])
	<-p.Notified()
	p.FinishNotification()
	if wake := p.Notify(now, 0, time.Minute); !wake.Equal(now.Add(time.Second)) || !p.IsBehind() {
		t.Errorf("before the spacing is over: wake %s", wake)
	}
	p.Notify(now.Add(time.Second), 0, time.Minute)
	p.FinishNotification()
	if len(c.reloads) != 2 || p.IsBehind() {
		t.Errorf("%d notifications, behind %v", len(c.reloads), p.IsBehind())
	}
}

// A commit waits until the program was notified, has ended, or commits are to stop.
func TestNotification(t *testing.T) {
	for name, test := range map[string]struct {
		then func(p *Program, c *child, waiting chan error, stopping chan struct{})
		want error
	}{
		"notified": {func(p *Program, _ *child, waiting chan error, _ chan struct{}) {
			p.Wait(waiting, time.Now())
			p.Notify(time.Now(), 1, time.Hour) // the commit that waits is the one in flight
			p.FinishNotification()
		}, nil},
		"no program": {func(p *Program, _ *child, waiting chan error, _ chan struct{}) {
			p.Wait(waiting, time.Now())
			p.Child = nil
			p.Notify(time.Now(), 1, time.Hour)
		}, commit.ErrNoProgram},
		"stopped": {func(_ *Program, _ *child, _ chan error, stopping chan struct{}) { close(stopping) }, commit.ErrStopping},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var p Program
				c := newChild()
				p.Start(c, time.Second)
				owner, stopping := make(chan chan error), make(chan struct{})
				done := make(chan error, 1)
				go func() { done <- Notification(owner, stopping)() }()
				waiting := <-owner
				synctest.Wait()
				if len(done) > 0 {
					t.Error("it does not wait")
				}
				test.then(&p, c, waiting, stopping)
				if err := <-done; !errors.Is(err, test.want) {
					t.Errorf("got %v", err)
				}
			})
		})
	}
	stopping := make(chan struct{})
	close(stopping)
	if err := Notification(nil, stopping)(); err != commit.ErrStopping {
		t.Errorf("the owner does not listen: got %v", err)
	}
}

// Signals go to the program and to the one before it while that ends. Stop ends both and returns how the program has ended.
func TestReplaceAndStop(t *testing.T) {
	var p Program
	before, next := newChild(), newChild()
	p.Start(before, 0)
	p.Outdated = true
	p.Replace()
	if p.Child != nil || p.Leaving != Child(before) || !p.IsBehind() {
		t.Errorf("got %+v", p)
	}
	p.Start(next, 0)
	if p.Outdated {
		t.Error("the next program is out of date")
	}
	p.Signal(syscall.SIGUSR1)
	if got := fmt.Sprint(before.signals, next.signals); got != "[user defined signal 1] [user defined signal 1]" {
		t.Errorf("got %s", got)
	}
	if err := p.Stop(syscall.SIGINT, nil); err != nil {
		t.Error(err)
	}
	p.End()
	if !slices.Equal(next.stopWith, []syscall.Signal{syscall.SIGINT, 0}) || !slices.Equal(before.stopWith, []syscall.Signal{0, syscall.SIGINT, 0}) {
		t.Errorf("got %v, %v", before.stopWith, next.stopWith)
	}
}
