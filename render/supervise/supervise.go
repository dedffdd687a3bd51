// Package supervise keeps count of the supervised program of an engine: the run that uses new files, the one before it while
// that ends, and when the program has to be notified.
//
// Nothing here has a goroutine or a clock: the caller passes the time in. A [Program] belongs to one goroutine.
package supervise

import (
	"slices"
	"syscall"
	"time"

	"render/render/commit"
	"render/render/pace"
	"render/render/run"
	"render/render/schedule"
)

// Program is the supervised program at work: the action at the end of the graph. Files that change lead to it, it has a
// pace of its own (R7), and it is notified once of a change, however many files that has.
type Program struct {
	Child    Child // uses new files; nil for none, or not yet
	Leaving  Child // one that another is to follow, or none, while it ends
	Outdated bool  // another is to take the child's place, or none

	placed    time.Time // since when all files are there; zero while they are not
	pace      pace.Pace
	waiting   []chan error    // gets nil once the program was notified, or an error: for each commit that waits for that
	notifying []chan error    // those that wait for the notification under way
	notified  <-chan struct{} // closed when the notification under way is over; nil for none
}

// Child is a run of the supervised program: a *run.Child, or in tests one that takes fake time.
type Child interface {
	Program() run.Program
	Reload() (done <-chan struct{})
	Signal(syscall.Signal)
	Stop(syscall.Signal)
	Ended() <-chan error
	Wait()
}

// EndOf returns where a child's end comes from; nil, from where nothing comes, for no child.
func EndOf(c Child) <-chan error {
	if c == nil {
		return nil
	}
	return c.Ended()
}

// Ready reports whether the program may be started: all files are placed, and their actions have had their turn. That a command has
// failed does not count: it may need the program to run.
//
// Commits that are in flight are waited for, but not for ever: where others always follow, for most. The time is that when this is up;
// zero where it does not matter.
func (p *Program) Ready(now time.Time, placed bool, inFlight int, most time.Duration) (ready bool, wake time.Time) {
	if !placed {
		p.placed = time.Time{}
		return false, time.Time{}
	}
	if p.placed.IsZero() {
		p.placed = now
	}
	wake = p.placed.Add(most)
	return inFlight == 0 || !now.Before(wake), wake
}

// Start puts a child in place. It is notified of changes at least spacing apart.
func (p *Program) Start(c Child, spacing time.Duration) {
	p.Child, p.Outdated = c, false
	p.pace = pace.Pace{Spacing: spacing}
}

// Replace ends the child, which another follows, or none.
func (p *Program) Replace() {
	p.Child.Stop(0)
	p.Leaving, p.Child = p.Child, nil
}

// FilesChanged notes that files have changed of which the program has not been notified.
func (p *Program) FilesChanged(now time.Time) {
	if p.Child != nil {
		p.pace.Changed(now)
	}
}

// Wait notes that a commit waits until the program was notified.
func (p *Program) Wait(notified chan error, now time.Time) {
	p.waiting = append(p.waiting, notified)
	p.FilesChanged(now)
}

// Notification returns the function by which a commit notifies the program. It sends the channel for [Program.Wait] to the owner of the
// program, and returns when the program was notified, or commits are to stop.
func Notification(owner chan<- chan error, stopping <-chan struct{}) func() error {
	return func() error {
		notified := make(chan error, 1)
		select {
		case owner <- notified:
		case <-stopping:
			return commit.ErrStopping
		}
		select {
		case err := <-notified:
			return err
		case <-stopping:
			return commit.ErrStopping
		}
	}
}

// Notify notifies the program that files have changed, when it is time to, and returns when it is; zero if nothing has changed.
// It waits for commits that are in flight and change more files, but no longer than most after the first change.
func (p *Program) Notify(now time.Time, inFlight int, most time.Duration) (wake time.Time) {
	if p.Child == nil { // there is no program; the next program finds all files
		p.pace.Reset()
		p.waiting = answer(p.waiting, commit.ErrNoProgram)
		return time.Time{}
	}
	due, changed := p.pace.Due()
	if !changed || p.notified != nil {
		return time.Time{}
	}
	if inFlight > len(p.waiting) {
		due = schedule.Latest(due, p.pace.First().Add(most))
	}
	if now.Before(due) {
		return due
	}
	p.pace.Commit(now)
	p.notifying, p.waiting = p.waiting, nil
	p.notified = p.Child.Reload()
	return time.Time{}
}

// IsBehind reports whether a program runs that was not notified of all files that have changed, or that is to end.
func (p *Program) IsBehind() bool {
	_, changed := p.pace.Due()
	return p.Leaving != nil || p.Child != nil && (p.Outdated || changed || p.notified != nil)
}

// Notified returns the channel that is closed when the program was notified; nil where nothing is under way.
func (p *Program) Notified() <-chan struct{} { return p.notified }

// FinishNotification notes that the program was notified, and lets the commits go on that wait for that.
func (p *Program) FinishNotification() {
	p.notified = nil
	p.notifying = answer(p.notifying, nil)
}

func answer(waiting []chan error, err error) []chan error {
	for _, notified := range waiting {
		notified <- err
	}
	return nil
}

// children are the program, and the one before it while that ends.
func (p *Program) children() []Child {
	return slices.DeleteFunc([]Child{p.Child, p.Leaving}, func(c Child) bool { return c == nil })
}

// Signal passes a signal on.
func (p *Program) Signal(s syscall.Signal) {
	for _, c := range p.children() {
		c.Signal(s)
	}
}

// Stop ends the program by a signal, passes on those that come meanwhile, and returns how the program ended.
func (p *Program) Stop(with syscall.Signal, signals <-chan syscall.Signal) error {
	for _, c := range p.children() {
		c.Stop(with)
	}
	ended, left := EndOf(p.Child), EndOf(p.Leaving)
	var err error
	for ended != nil || left != nil {
		select {
		case s := <-signals:
			p.Signal(s)
		case err = <-ended:
			ended = nil
		case <-left:
			left = nil
		}
	}
	return run.EndOf(err)
}

// End makes sure that nothing of the program is left.
func (p *Program) End() {
	for _, c := range p.children() {
		c.Stop(0)
	}
	for _, c := range p.children() {
		c.Wait()
	}
}
