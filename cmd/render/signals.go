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

// A desk takes the signals that we get to where they belong.
type desk struct {
	signals chan os.Signal
	duties  atomic.Pointer[duties]
	reloads chan struct{} // holds one at most
	stop    context.CancelCauseFunc
	stops   int          // that have come; owned by serve, as is what follows
	began   time.Time    // when the first came
	stopped atomic.Int32 // which that was
	atOnce  atomic.Bool  // a signal is about to end the process
}

// sameStop is how long a signal that ends us is still the same one: timeout(1) sends it to us, and then to our process group.
const sameStop = 50 * time.Millisecond

// duties are what signals mean, once the configuration says so.
type duties struct {
	reload, kill syscall.Signal // 0 for none
	engine       *render.Engine // nil before there is one
	supervises   bool
}

// openDesk begins to take signals. SIGINT and SIGTERM end the context; until there are duties, all others do nothing.
func openDesk() (context.Context, *desk) {
	ctx, cancel := context.WithCancelCause(context.Background())
	d := &desk{signals: make(chan os.Signal, 64), reloads: make(chan struct{}, 1), stop: cancel}
	d.duties.Store(&duties{reload: syscall.SIGHUP})
	signal.Notify(d.signals, slices.Concat([]os.Signal{syscall.SIGINT, syscall.SIGTERM, syscall.SIGPIPE}, forwarded)...)
	go d.serve()
	return ctx, d
}

// assign gives signals new meanings.
func (d *desk) assign(to duties) {
	d.duties.Store(&to)
	for _, s := range []syscall.Signal{to.reload, to.kill} {
		if s != 0 {
			signal.Notify(d.signals, s)
		}
	}
}

func (d *desk) serve() {
	for s := range d.signals {
		if s, ok := s.(syscall.Signal); ok {
			d.take(s)
		}
	}
}

func (d *desk) take(s syscall.Signal) {
	to := d.duties.Load()
	switch {
	case s == to.reload:
		select {
		case d.reloads <- struct{}{}:
		default:
		}
	case s == syscall.SIGINT, s == syscall.SIGTERM, s == to.kill:
		d.takeStop(s, to)
	case to.supervises && slices.Contains(forwarded, os.Signal(s)):
		to.engine.Signal(s)
	}
}

// takeStop takes a signal that ends us. A second one kills all that we have started; where that is no supervised program,
// whose end ends us, it ends the process at once, as does a further one.
func (d *desk) takeStop(s syscall.Signal, to *duties) {
	if d.stops == 1 && int32(s) == d.stopped.Load() && time.Since(d.began) < sameStop {
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

// letEnd waits for the signal that is about to end the process, if there is one: without the commands that it has killed, the
// process could end by itself, and as if all were well.
func (d *desk) letEnd() {
	if d.atOnce.Load() {
		select {}
	}
}
