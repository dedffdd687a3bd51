// Package pass executes templates beside the loop of an engine.
//
// A [Pass] has a goroutine of its own. The loop waits for its end for [Patience], and nearly all passes end within that: then
// everything is as if the loop had executed the template itself. A pass that does not is detached: the loop goes on, and the end of
// the pass comes to it by a channel. A pass that takes longer than [Limit] is ended by its context.
//
// A [Runner] belongs to one goroutine, the loop.
package pass

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"time"

	"render/render/schedule"
	"render/template"
)

const (
	// Patience is how long the loop waits for the end of a pass, and how long it begins passes in one turn.
	Patience = 20 * time.Millisecond
	// RoomTime is how long a pass keeps others that take long from beginning (see Room), and after how long it is reported.
	RoomTime = 5 * time.Second
	// Limit is how long a pass may take.
	Limit = time.Minute
)

// ErrLimit ends a pass that takes too long: it is the cause of its context.
var ErrLimit = fmt.Errorf("the execution takes longer than %s", Limit)

// A Pass is an execution of a template for its owner.
type Pass[T any] struct {
	Owner T
	Began time.Time

	// Set when the pass has ended.
	Took   time.Duration
	Result template.Result
	Late   bool // Limit has ended it

	cancel   context.CancelCauseFunc
	ended    chan struct{}
	limit    *time.Timer // cancels it; nil unless it is detached
	dropped  bool
	reported time.Time
}

// Detached reports whether the loop has not waited for the end.
func (p *Pass[T]) Detached() bool { return p.limit != nil }

// Drop ends the pass. Nobody wants its result.
func (p *Pass[T]) Drop() {
	p.dropped = true
	p.cancel(context.Canceled)
}

// Dropped reports whether the pass was dropped.
func (p *Pass[T]) Dropped() bool { return p.dropped }

// A Runner has the passes that are under way.
type Runner[T any] struct {
	Next time.Time // when Report is due; zero if no pass is detached

	turn     time.Time // when the present turn of the loop began; zero outside of the loop
	timer    *time.Timer
	detached map[*Pass[T]]bool // until they land, also those that are dropped
	ends     chan *Pass[T]
	gone     <-chan struct{}
}

// New returns a Runner for a loop that has ended when a channel is closed.
func New[T any](gone <-chan struct{}) *Runner[T] {
	return &Runner[T]{detached: make(map[*Pass[T]]bool), ends: make(chan *Pass[T]), gone: gone}
}

// Turn notes that a turn of the loop begins.
func (r *Runner[T]) Turn(now time.Time) { r.turn = now }

// Over reports whether the loop has begun passes for Patience in this turn: events come first.
func (r *Runner[T]) Over() bool { return !r.turn.IsZero() && time.Since(r.turn) > Patience }

// Begin begins a pass. The function executes the template and heeds its context.
func (r *Runner[T]) Begin(owner T, now time.Time, execute func(context.Context) template.Result) *Pass[T] {
	ctx, cancel := context.WithCancelCause(context.Background())
	p := &Pass[T]{Owner: owner, Began: now, cancel: cancel, ended: make(chan struct{})}
	go func() {
		defer close(p.ended)
		p.Result = execute(ctx)
		p.Took, p.Late = time.Since(p.Began), errors.Is(context.Cause(ctx), ErrLimit)
		cancel(nil)
	}()
	return p
}

// Await waits for the end of a pass that has just begun, for Patience at most, and reports whether it has ended.
func (r *Runner[T]) Await(p *Pass[T]) bool {
	if r.timer == nil {
		r.timer = time.NewTimer(Patience)
	} else {
		r.timer.Reset(Patience)
	}
	defer r.timer.Stop()
	select {
	case <-p.ended:
		return true
	case <-r.timer.C:
		return false
	}
}

// Detach leaves a pass to itself. It comes by Ends when it has ended, and has to be given to Land then.
func (r *Runner[T]) Detach(p *Pass[T]) {
	r.detached[p] = true
	r.Next = schedule.Earliest(r.Next, p.Began.Add(RoomTime))
	p.limit = time.AfterFunc(time.Until(p.Began.Add(Limit)), func() { p.cancel(ErrLimit) })
	go func() {
		<-p.ended
		select {
		case r.ends <- p:
		case <-r.gone:
		}
	}()
}

// Ends returns the channel of detached passes that have ended.
func (r *Runner[T]) Ends() <-chan *Pass[T] { return r.ends }

// Land takes a detached pass that has ended.
func (r *Runner[T]) Land(p *Pass[T]) {
	p.limit.Stop()
	delete(r.detached, p)
}

// Room returns how many passes that take long may begin: at most one for each processor, and two, are under way. One that is
// under way for RoomTime has had its share, and does not keep others from theirs.
func (r *Runner[T]) Room(now time.Time) int {
	room := max(2, runtime.GOMAXPROCS(0))
	for p := range r.detached {
		if now.Sub(p.Began) < RoomTime {
			room--
		}
	}
	return room
}

// RoomAt returns when there is more room, though no pass ends; zero where only an end makes room.
func (r *Runner[T]) RoomAt(now time.Time) (at time.Time) {
	for p := range r.detached {
		if t := p.Began.Add(RoomTime); now.Before(t) {
			at = schedule.Earliest(at, t)
		}
	}
	return at
}

// Report returns the passes that take longer than RoomTime when it is due, each again after every.
func (r *Runner[T]) Report(now time.Time, every time.Duration) (long []*Pass[T]) {
	if r.Next.IsZero() || now.Before(r.Next) {
		return nil
	}
	r.Next = time.Time{}
	for p := range r.detached {
		at := p.Began.Add(RoomTime)
		if !p.reported.IsZero() {
			at = p.reported.Add(every)
		}
		if !now.Before(at) {
			p.reported, at = now, now.Add(every)
			long = append(long, p)
		}
		r.Next = schedule.Earliest(r.Next, at)
	}
	return long
}

// End ends all passes, and returns one that has not ended within a grace: it is left behind. It returns nil where all have ended.
func (r *Runner[T]) End(grace time.Duration) *Pass[T] {
	timer := time.NewTimer(grace)
	defer timer.Stop()
	for p := range r.detached {
		p.limit.Stop()
		p.cancel(context.Canceled)
	}
	for p := range r.detached {
		select {
		case <-p.ended:
		case <-timer.C:
			return p
		}
	}
	return nil
}
