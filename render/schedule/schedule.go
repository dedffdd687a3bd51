// Package schedule says whose turn it is among many that have something to do now, at a time, or never.
package schedule

import (
	"container/heap"
	"slices"
	"time"
)

// A Schedule holds the turns of members: those that are ready, and those that wait for a time. What a Schedule does for an
// event grows with the members that the event concerns, and with the logarithm of those that wait, not with all of them. It is
// for one goroutine.
type Schedule[T comparable] struct {
	order   func(a, b T) int
	ready   map[T]bool
	turns   map[T]*turn[T] // of the members that wait for a time
	waiting waiting[T]     // the same turns
}

// A turn is the time that a member waits for.
type turn[T comparable] struct {
	member T
	at     time.Time
	index  int // in waiting
}

// New returns a Schedule without turns. The order function compares two members, as cmp.Compare does; equal ones have no order.
func New[T comparable](order func(a, b T) int) *Schedule[T] {
	return &Schedule[T]{order: order, ready: make(map[T]bool), turns: make(map[T]*turn[T])}
}

// Now makes a member ready. A time that it waits for stays.
func (s *Schedule[T]) Now(member T) { s.ready[member] = true }

// At has a member wait for a time, in place of the time that it waited for; the zero time means that it waits for none.
// A member that is ready stays ready.
func (s *Schedule[T]) At(member T, at time.Time) {
	switch t := s.turns[member]; {
	case at.IsZero() && t != nil:
		heap.Remove(&s.waiting, t.index)
		delete(s.turns, member)
	case at.IsZero():
	case t != nil:
		t.at = at
		heap.Fix(&s.waiting, t.index)
	default:
		t = &turn[T]{member: member, at: at}
		s.turns[member] = t
		heap.Push(&s.waiting, t)
	}
}

// Due removes and returns the members that are ready, and those whose time is not after now: each once, in their order.
func (s *Schedule[T]) Due(now time.Time) []T {
	for len(s.waiting) > 0 && !now.Before(s.waiting[0].at) {
		member := heap.Pop(&s.waiting).(*turn[T]).member
		delete(s.turns, member)
		s.ready[member] = true
	}
	due := make([]T, 0, len(s.ready))
	for member := range s.ready {
		due = append(due, member)
	}
	clear(s.ready)
	slices.SortFunc(due, s.order)
	return due
}

// Next returns when the next turn is: now where a member is ready, and zero where there is no turn.
func (s *Schedule[T]) Next(now time.Time) time.Time {
	if len(s.ready) > 0 {
		return now
	}
	if len(s.waiting) == 0 {
		return time.Time{}
	}
	return s.waiting[0].at
}

// Remove removes all turns of a member.
func (s *Schedule[T]) Remove(member T) {
	s.At(member, time.Time{})
	delete(s.ready, member)
}

// waiting is a heap of turns by time.
type waiting[T comparable] []*turn[T]

// Len implements [heap.Interface].
func (w waiting[T]) Len() int { return len(w) }

// Less implements [heap.Interface].
func (w waiting[T]) Less(i, j int) bool { return w[i].at.Before(w[j].at) }

// Swap implements [heap.Interface].
func (w waiting[T]) Swap(i, j int) {
	w[i], w[j] = w[j], w[i]
	w[i].index, w[j].index = i, j
}

// Push implements [heap.Interface].
func (w *waiting[T]) Push(x any) {
	t := x.(*turn[T])
	t.index = len(*w)
	*w = append(*w, t)
}

// Pop implements [heap.Interface].
func (w *waiting[T]) Pop() any {
	last := len(*w) - 1
	t := (*w)[last]
	(*w)[last] = nil
	*w = (*w)[:last]
	return t
}
