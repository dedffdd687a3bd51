package main

import (
	"context"
	"os"
	"os/signal"
	"slices"
	"sync/atomic"
	"syscall"
	"time"

	"render/render"
	"render/render/run"
)

// forwarded are the signals that are the supervised program's. Without one they do nothing (R12).
var forwarded = []os.Signal{
	syscall.SIGHUP, syscall.SIGUSR1, syscall.SIGUSR2, syscall.SIGQUIT, syscall.SIGALRM, syscall.SIGWINCH, syscall.SIGCONT,
}

// A signalRouter passes the signals that render gets to where they belong.
type signalRouter struct {
	signals chan os.Signal
	roles   atomic.Pointer[roles]
	reloads chan struct{} // holds one at most
	stop    context.CancelCauseFunc
	stops   int          // that have come; owned by serve, as is what follows
	began   time.Time    // when the first came
	stopped atomic.Int32 // which that was
	atOnce  atomic.Bool  // a signal is about to end the process
}

// sameStopWithin is how long a signal that ends us is still the same one: timeout(1) sends it to us, and then to our process group.
const sameStopWithin = 50 * time.Millisecond

// roles are what signals mean, once the configuration says so.
type roles struct {
	reload, kill syscall.Signal // 0 for none
	engine       *render.Engine // nil before there is one
	supervises   bool
}

// newSignalRouter begins to receive signals. SIGINT and SIGTERM end the context; until there are roles, all others do nothing.
func newSignalRouter() (context.Context, *signalRouter) {
	ctx, cancel := context.WithCancelCause(context.Background())
	d := &signalRouter{signals: make(chan os.Signal, 64), reloads: make(chan struct{}, 1), stop: cancel}
	d.roles.Store(&roles{reload: syscall.SIGHUP})
	signal.Notify(d.signals, slices.Concat([]os.Signal{syscall.SIGINT, syscall.SIGTERM, syscall.SIGPIPE}, forwarded)...)
	go d.serve()
	return ctx, d
}

// assign gives signals new meanings.
func (d *signalRouter) assign(to roles) {
	d.roles.Store(&to)
	for _, s := range []syscall.Signal{to.reload, to.kill} {
		if s != 0 {
			signal.Notify(d.signals, s)
		}
	}
}

func (d *signalRouter) serve() {
	for s := range d.signals {
		if s, ok := s.(syscall.Signal); ok {
			d.handle(s)
		}
	}
}

func (d *signalRouter) handle(s syscall.Signal) {
	to := d.roles.Load()
	switch {
	case s == to.reload:
		select {
		case d.reloads <- struct{}{}:
		default:
		}
	case s == syscall.SIGINT, s == syscall.SIGTERM, s == to.kill:
		d.handleStop(s, to)
	case to.supervises && slices.Contains(forwarded, os.Signal(s)):
		to.engine.Signal(s)
	}
}

// handleStop takes a signal that ends us. A second one kills all that we have started; where that is no supervised program,
// whose end ends us, it ends the process at once, as does a further one.
func (d *signalRouter) handleStop(s syscall.Signal, to *roles) {
	if d.stops == 1 && int32(s) == d.stopped.Load() && time.Since(d.began) < sameStopWithin {
		return
	}
	d.stops++
	d.atOnce.Store(d.stops > 2 || d.stops == 2 && !to.supervises)
	if d.stops > 1 && to.engine != nil {
		to.engine.Kill()
	}
	switch {
	case d.stops == 1:
		d.began = time.Now()
		d.stopped.Store(int32(s))
		var cause run.StopSignal
		if s == syscall.SIGTERM {
			cause.Signal = syscall.SIGTERM // any other is what the supervised program's own signal stands for
		}
		d.stop(cause)
	case d.atOnce.Load():
		if s != syscall.SIGINT { // a kill signal may do nothing by itself, or stop us
			s = syscall.SIGTERM
		}
		signal.Reset(s)
		_ = syscall.Kill(os.Getpid(), s)
		time.Sleep(time.Second)
		os.Exit(128 + int(s)) // who started us has it ignored
	}
}

// waitForEnd waits for the signal that is about to end the process, if there is one: without the commands that it has killed, the
// process could end by itself, and as if all were well.
func (d *signalRouter) waitForEnd() {
	if d.atOnce.Load() {
		select {}
	}
}
