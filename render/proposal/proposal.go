// Package proposal brings what is new to the loop of an engine: one proposal at a time, which waits until no action is busy that it
// affects (R10 of package render).
//
// Callers beside the loop make proposals by Enter and Offer, and may give up while they wait. The loop receives a proposal (Received,
// Admit), begins no commit of an action that it affects (Affects), counts the commits in flight that end (Landed), puts it in effect when
// it is due (Due), and answers it (Answer).
//
// A Gate has no goroutine and no clock: the loop passes the time in. Enter and Offer may be called by many goroutines at once, all else
// belongs to the loop.
package proposal

import (
	"context"
	"errors"
	"time"
)

// ErrNotRunning is the error of callers whom the loop does not answer any more.
var ErrNotRunning = errors.New("the engine does not run")

// errWithdrawn is the answer to a proposal for which nobody waits.
var errWithdrawn = errors.New("the caller no longer waits for the configuration")

// A Proposal is something new on its way to the loop.
type Proposal[C any] struct {
	Content   C
	withdrawn <-chan struct{} // closed when nobody waits for the answer
	answer    chan error      // holds one
}

// A Gate is where proposals come to the loop. C is what they propose, A an action.
type Gate[C any, A comparable] struct {
	entered chan struct{} // holds a token while a caller is between Enter and its leave
	offers  chan *Proposal[C]
	ended   <-chan struct{}

	// Of the loop.
	waiting  *Proposal[C] // nil for none
	affected map[A]bool   // no commit of these begins
	busy     int          // of these
	until    time.Time    // it waits for them no longer than this
}

// New returns a Gate of a loop that answers until ended is closed.
func New[C any, A comparable](ended <-chan struct{}) *Gate[C, A] {
	return &Gate[C, A]{entered: make(chan struct{}, 1), offers: make(chan *Proposal[C]), ended: ended}
}

// Enter waits until no other caller is at the gate. What the caller finds out before it calls leave, is of what is in effect. Enter fails
// when ctx is done, or the loop has ended.
func (g *Gate[C, A]) Enter(ctx context.Context) (leave func(), err error) {
	select {
	case g.entered <- struct{}{}:
		return func() { <-g.entered }, nil
	case <-g.ended:
		return nil, ErrNotRunning
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// Offer brings a proposal to the loop and waits for the answer: nil once it is in effect. When ctx is done before that, the proposal has
// no effect, and Offer returns the error of ctx.
func (g *Gate[C, A]) Offer(ctx context.Context, content C) (err error) {
	p := &Proposal[C]{Content: content, withdrawn: ctx.Done(), answer: make(chan error, 1)}
	select {
	case g.offers <- p:
	case <-g.ended:
		return ErrNotRunning
	case <-ctx.Done():
		return ctx.Err()
	}
	select {
	case err = <-p.answer:
	case <-g.ended:
		select {
		case err = <-p.answer:
		default:
			return ErrNotRunning
		}
	}
	if errors.Is(err, errWithdrawn) {
		return ctx.Err()
	}
	return err
}

// Received returns where the next proposal comes from: nowhere while one waits.
func (g *Gate[C, A]) Received() <-chan *Proposal[C] {
	if g.waiting != nil {
		return nil
	}
	return g.offers
}

// Admit has a proposal wait until none of the actions is busy that it affects, but no longer than until a time. Busy says how many of
// them are now.
func (g *Gate[C, A]) Admit(p *Proposal[C], affected map[A]bool, busy int, until time.Time) {
	g.waiting, g.affected, g.busy, g.until = p, affected, busy, until
}

// Affects reports whether the proposal that waits affects an action, so that no commit of the action may begin.
func (g *Gate[C, A]) Affects(a A) bool { return g.affected[a] }

// Landed notes that an action is not busy any more.
func (g *Gate[C, A]) Landed(a A) {
	if g.affected[a] {
		g.busy--
	}
}

// Due returns the proposal that waits when no action is busy that it affects, or it has waited for too long: then it is late, and the
// loop answers it with an error.
func (g *Gate[C, A]) Due(now time.Time) (content C, due, late bool) {
	if g.waiting == nil || g.busy > 0 && now.Before(g.until) {
		return content, false, false
	}
	return g.waiting.Content, true, g.busy > 0
}

// Wakes returns when the proposal that waits has waited for too long; zero where none waits for a commit.
func (g *Gate[C, A]) Wakes() time.Time {
	if g.busy == 0 {
		return time.Time{}
	}
	return g.until
}

// Withdrawn returns the channel that is closed when nobody waits for the answer to the proposal that waits. The loop then calls Withdraw.
func (g *Gate[C, A]) Withdrawn() <-chan struct{} {
	if g.waiting == nil {
		return nil
	}
	return g.waiting.withdrawn
}

// Withdraw drops the proposal that waits, and returns the actions that it has held.
func (g *Gate[C, A]) Withdraw() (held map[A]bool) { return g.Answer(errWithdrawn) }

// Answer answers the proposal that waits, and returns the actions that it has held: nil means that it is in effect.
func (g *Gate[C, A]) Answer(err error) (held map[A]bool) {
	g.waiting.answer <- err
	held = g.affected
	g.waiting, g.affected, g.busy, g.until = nil, nil, 0, time.Time{}
	return held
}
