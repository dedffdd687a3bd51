package render

import (
	"context"
	"errors"
	"os"
	"slices"
	"syscall"
	"time"

	"render/render/commit"
	"render/render/pace"
	"render/render/run"
	"render/render/schedule"
)

// program is the supervised program at work: the action at the end of the graph. Files that change lead to it, it has a
// pace of its own (R7), and it is told once of a change, however many files that has.
type program struct {
	child    child     // uses new files; nil where there is none, or not yet
	leaving  child     // one that another is to follow, or none, while it ends
	outdated bool      // another is to take the child's place, or none
	placed   time.Time // since when the files of all targets are there, while it is not started

	pace    pace.Pace
	tells   []chan error    // commits that wait until it was told
	telling []chan error    // those that wait for what is under way
	told    <-chan struct{} // closed when it was told; nil where nothing is under way
}

// child is a run of the supervised program: a *run.Child, or in tests one that takes fake time.
type child interface {
	Program() run.Program
	Reload() (done <-chan struct{})
	Signal(syscall.Signal)
	Stop(syscall.Signal)
	Ended() <-chan error
	Wait()
}

// endOf returns where a child's end comes from; nil, from where nothing comes, for no child.
func endOf(c child) <-chan error {
	if c == nil {
		return nil
	}
	return c.Ended()
}

// teller returns what a commit tells the supervised program by before its verification; nil where nobody is to be told.
func (e *Engine) teller() func() error {
	if e.program.child == nil || e.program.child.Program().OnChange == run.DoNothing {
		return nil
	}
	return func() error {
		told := make(chan error, 1)
		select {
		case e.tells <- told:
		case <-e.stop.Begun():
			return commit.ErrStopping
		}
		select {
		case err := <-told:
			return err
		case <-e.stop.Begun():
			return commit.ErrStopping
		}
	}
}

// filesChanged notes that files have changed of which the program has not been told.
func (p *program) filesChanged(now time.Time) {
	if p.child != nil {
		p.pace.Changed(now)
	}
}

// wait notes that a commit waits until the program was told.
func (p *program) wait(told chan error, now time.Time) {
	p.tells = append(p.tells, told)
	p.filesChanged(now)
}

// tell tells the program that files have changed, when it is time to, and returns when it is; zero if nothing has changed.
// It waits for commits that are in flight and change more files, but no longer than holdMost after the first change.
func (p *program) tell(now time.Time, inFlight int) (wake time.Time) {
	if p.child == nil { // there is nobody to tell; the next program finds all files
		p.pace.Reset()
		p.tells = answer(p.tells, commit.ErrNoProgram)
		return time.Time{}
	}
	due, changed := p.pace.Due()
	if !changed || p.told != nil {
		return time.Time{}
	}
	if inFlight > len(p.tells) {
		due = schedule.Latest(due, p.pace.First().Add(holdMost))
	}
	if now.Before(due) {
		return due
	}
	p.pace.Commit(now)
	p.telling, p.tells = p.tells, nil
	p.told = p.child.Reload()
	return time.Time{}
}

// wasTold takes that the program was told.
func (p *program) wasTold() {
	p.told = nil
	p.telling = answer(p.telling, nil)
}

func answer(tells []chan error, err error) []chan error {
	for _, told := range tells {
		told <- err
	}
	return nil
}

// supervises reports whether there is a program to supervise.
func (e *Engine) supervises() bool { return !e.cfg.Exec.Command.IsZero() && e.cfg.Dry == nil }

// renderedOnce reports whether the files of all targets are there, and their actions have had their turn. That a command has
// failed does not count: it may need the program to run.
//
// Commits that are in flight are waited for, but not for ever: where others always follow, for holdMost. The time is that when
// this is up; zero where it does not matter.
func (e *Engine) renderedOnce(now time.Time) (rendered bool, wake time.Time) {
	if !e.supervises() || e.sums.unplaced > 0 {
		e.program.placed = time.Time{}
		return false, time.Time{}
	}
	if e.program.placed.IsZero() {
		e.program.placed = now
	}
	wake = e.program.placed.Add(holdMost)
	return e.inFlight == 0 || !now.Before(wake), wake
}

func (e *Engine) startProgram() {
	e.program.child = e.start(e.cfg.Exec, e.cfg.Exec.Env.Environ(os.Environ(), e.cfg.Env), e.log)
	e.program.outdated = false
	e.program.pace = pace.Pace{Spacing: DefaultSpacing}
}

// supervise starts the program when everything is rendered once, and ends one that is not in force any more: when another
// can take its place, or at once where there is to be none. Its end is then no news.
func (e *Engine) supervise(now time.Time) (wake time.Time) {
	p := &e.program
	if p.leaving != nil || p.child != nil && !p.outdated {
		return time.Time{}
	}
	ready, wake := e.renderedOnce(now)
	switch {
	case p.child == nil && ready:
		e.startProgram()
	case p.child != nil && (ready || !e.supervises()):
		e.log.Info("ending the program, because the configuration has changed", "program", p.child.Program().Command.String())
		p.child.Stop(0)
		p.leaving, p.child = p.child, nil
	case !ready:
		return wake
	}
	return time.Time{}
}

// programWaits reports whether there is a program to supervise that is not started yet.
func (e *Engine) programWaits() bool {
	return e.supervises() && (e.program.child == nil || e.program.outdated)
}

// children are the program, and the one before it while that ends.
func (p *program) children() []child {
	return slices.DeleteFunc([]child{p.child, p.leaving}, func(c child) bool { return c == nil })
}

func (p *program) signal(s syscall.Signal) {
	for _, c := range p.children() {
		c.Signal(s)
	}
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
			e.program.signal(s)
		case err := <-endOf(e.program.child):
			return run.EndOf(err)
		case answer := <-e.questions:
			answer <- e.status()
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
	for _, c := range e.program.children() {
		c.Stop(with)
	}
	ended, left := endOf(e.program.child), endOf(e.program.leaving)
	var err error
	for ended != nil || left != nil {
		select {
		case s := <-e.signals:
			e.program.signal(s)
		case err = <-ended:
			ended = nil
		case <-left:
			left = nil
		}
	}
	return run.EndOf(err)
}

// endProgram makes sure that nothing of a program is left, however we end.
func (e *Engine) endProgram() {
	for _, c := range e.program.children() {
		c.Stop(0)
	}
	for _, c := range e.program.children() {
		c.Wait()
	}
}
