package render

import (
	"context"
	"errors"
	"os"
	"syscall"
	"time"

	"render/render/run"
	"render/render/supervise"
)

// notification returns the function by which a commit notifies the supervised program before its verification; nil where no program
// is notified.
func (e *Engine) notification() func() error {
	if e.program.Child == nil || e.program.Child.Program().OnChange == run.DoNothing {
		return nil
	}
	return supervise.Notification(e.notifications, e.stop.Begun())
}

// supervises reports whether there is a program to supervise.
func (e *Engine) supervises() bool { return !e.cfg.Exec.Command.IsZero() && e.cfg.Dry == nil }

func (e *Engine) startProgram() {
	e.program.Start(e.start(e.cfg.Exec, e.cfg.Exec.Env.Environ(os.Environ(), e.cfg.Env), e.log), DefaultSpacing)
}

// supervise starts the program when everything is rendered once, and ends one that is not in effect any more: when another
// can take its place, or at once where there is to be none. Its end is then expected.
func (e *Engine) supervise(now time.Time) (wake time.Time) {
	p := &e.program
	if p.Leaving != nil || p.Child != nil && !p.Outdated {
		return time.Time{}
	}
	ready, wake := p.Ready(now, e.supervises() && e.sums.unplaced == 0, e.inFlight, holdMost)
	switch {
	case p.Child == nil && ready:
		e.startProgram()
	case p.Child != nil && (ready || !e.supervises()):
		e.log.Info("program stopping, the configuration changed", "program", p.Child.Program().Command.String())
		p.Replace()
	case !ready:
		return wake
	}
	return time.Time{}
}

// programWaits reports whether there is a program to supervise that is not started yet.
func (e *Engine) programWaits() bool {
	return e.supervises() && (e.program.Child == nil || e.program.Outdated)
}

// Signal passes a signal on to the supervised program, if there is one; SIGKILL to all that it has started as well.
func (e *Engine) Signal(s syscall.Signal) {
	select {
	case e.signals <- s:
	default: // many are on their way already
	}
}

// Kill kills the commands that run, and the supervised program if there is one, with all that they have started. No command
// begins any more; what was interrupted is done again by the next start (R13).
func (e *Engine) Kill() {
	e.group.Kill()
	e.Signal(syscall.SIGKILL)
}

// thenSupervise supervises the program, if there is one, when everything is rendered once.
func (e *Engine) thenSupervise(ctx context.Context, err error) error {
	if err != nil || !e.supervises() {
		return err
	}
	e.set.Close()
	e.startProgram()
	for {
		select {
		case s := <-e.signals:
			e.program.Signal(s)
		case err := <-supervise.EndOf(e.program.Child):
			return run.EndOf(err)
		case answer := <-e.questions:
			answer()
		case <-ctx.Done():
			return e.stopProgram(ctx)
		}
	}
}

// stopProgram ends the program, by the signal that has stopped us, and returns how it ended.
func (e *Engine) stopProgram(ctx context.Context) error {
	var with syscall.Signal
	if s, ok := errors.AsType[run.StopSignal](context.Cause(ctx)); ok {
		with = s.Signal
	}
	return e.program.Stop(with, e.signals)
}
