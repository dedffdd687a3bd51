package render

import (
	"container/heap"
	"slices"
	"time"
)

// schedule knows whose turn it is: the actions that something has happened to, and those that wait for a time. What it does
// for an event grows with the actions that the event concerns, not with all of them.
type schedule struct {
	ready   map[*action]bool
	waiting turns // a heap by time
}

// turn is an action's place in a schedule.
type turn struct {
	at    time.Time
	index int // in waiting; negative where it does not wait
}

func newSchedule() schedule { return schedule{ready: make(map[*action]bool)} }

// now gives an action its turn.
func (s *schedule) now(a *action) { s.ready[a] = true }

// at gives an action its turn at a time, in place of the time that it had; the zero time means never.
func (s *schedule) at(a *action, at time.Time) {
	switch waits := a.turn.index >= 0; {
	case at.IsZero() && waits:
		heap.Remove(&s.waiting, a.turn.index)
	case at.IsZero():
	case waits:
		a.turn.at = at
		heap.Fix(&s.waiting, a.turn.index)
	default:
		a.turn.at = at
		heap.Push(&s.waiting, a)
	}
}

// due returns the actions whose turn it is, in the order of the configuration.
func (s *schedule) due(now time.Time) []*action {
	for len(s.waiting) > 0 && !now.Before(s.waiting[0].turn.at) {
		s.ready[heap.Pop(&s.waiting).(*action)] = true
	}
	due := make([]*action, 0, len(s.ready))
	for a := range s.ready {
		due = append(due, a)
	}
	clear(s.ready)
	slices.SortFunc(due, func(a, b *action) int { return a.order - b.order })
	return due
}

// next returns when the next turn is; zero where none is known.
func (s *schedule) next(now time.Time) time.Time {
	if len(s.ready) > 0 { // an action has given another one its turn
		return now
	}
	if len(s.waiting) == 0 {
		return time.Time{}
	}
	return s.waiting[0].turn.at
}

// remove forgets an action.
func (s *schedule) remove(a *action) {
	s.at(a, time.Time{})
	delete(s.ready, a)
}

// turns implements heap.Interface.
type turns []*action

func (t turns) Len() int           { return len(t) }
func (t turns) Less(i, j int) bool { return t[i].turn.at.Before(t[j].turn.at) }

func (t turns) Swap(i, j int) {
	t[i], t[j] = t[j], t[i]
	t[i].turn.index, t[j].turn.index = i, j
}

// Push implements heap.Interface.
func (t *turns) Push(x any) {
	a := x.(*action)
	a.turn.index = len(*t)
	*t = append(*t, a)
}

// Pop implements heap.Interface.
func (t *turns) Pop() any {
	last := len(*t) - 1
	a := (*t)[last]
	(*t)[last] = nil
	*t = (*t)[:last]
	a.turn.index = -1
	return a
}
