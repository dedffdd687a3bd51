package graph

import (
	"time"

	"render/template"
	"render/watch"
)

// A Snapshot is what one user sees of all answers at one moment: when a pass of the user's template begins. It does not change
// while the pass lasts, whatever the graph takes meanwhile: what changes is kept here first, as the user saw it. It ends with
// Finish or Abandon.
type Snapshot[T any] struct {
	graph *Graph[T]
	user  *User[T]
	rules *Rules
	at    time.Time

	before map[watch.Query]seen  // what has changed since: as the user saw it
	views  map[watch.Query]*view // of queries that the user's rules concern, and of which it had no view
	pin    *User[T]              // keeps the queries whose last user has gone since
}

// seen is what a user sees of a query.
type seen struct {
	value    any
	answered bool
	failed   bool   // a guard holds an answer back for too long
	revision uint64 // of the answer, where it is kept
}

// Begin begins a pass of a user at the time now. The user must not have another one under way.
func (g *Graph[T]) Begin(u *User[T], now time.Time) *Snapshot[T] {
	g.mu.Lock()
	defer g.mu.Unlock()
	s := &Snapshot[T]{graph: g, user: u, rules: u.rules, at: now}
	u.snapshot = s
	g.begun[s] = true
	return s
}

// Lookup is the template.Lookup of the pass. One goroutine may call it while another one uses the graph.
func (s *Snapshot[T]) Lookup(q watch.Query) (value any, answered bool) {
	s.graph.mu.Lock()
	defer s.graph.mu.Unlock()
	is, changed := s.before[q]
	if !changed {
		is = s.sees(q)
	}
	return is.value, is.answered
}

// sees returns what the user sees of a query now. The first answer that rules concern gets a view.
func (s *Snapshot[T]) sees(q watch.Query) seen {
	value, answered := s.graph.Value(q)
	if !answered || !s.rules.concern(q) {
		return seen{value: value, answered: answered}
	}
	v := s.user.views[q]
	if v == nil {
		v = s.views[q]
	}
	if v == nil {
		v = newView(q, s.rules)
		v.receive(value, s.at)
		v.update(s.at)
		if s.views == nil {
			s.views = make(map[watch.Query]*view)
		}
		s.views[q] = v
	}
	return v.sees()
}

// sees returns what the user of a view sees.
func (v *view) sees() seen {
	if !v.known {
		return seen{failed: v.failed}
	}
	return seen{value: v.seen, answered: true, failed: v.failed}
}

// keep keeps what the user sees of a query that is about to change.
func (s *Snapshot[T]) keep(q watch.Query) {
	if s == nil {
		return
	}
	if _, kept := s.before[q]; kept {
		return
	}
	if s.before == nil {
		s.before = make(map[watch.Query]seen)
	}
	is := s.sees(q)
	if n := s.graph.nodes[q]; n != nil {
		is.revision = n.state.Rev
	}
	s.before[q] = is
}

// hold keeps a query in the graph that has no user any longer: the pass may ask it.
func (s *Snapshot[T]) hold(q watch.Query, n *node[T]) {
	if s.pin == nil {
		s.pin = newPin[T]()
	}
	s.pin.uses[q] = kept
	n.users[s.pin] = true
}

// keepAll keeps what users with a pass under way see of a query that is about to change.
func (g *Graph[T]) keepAll(q watch.Query) {
	for s := range g.begun {
		s.keep(q)
	}
}

// end ends a pass.
func (g *Graph[T]) end(s *Snapshot[T]) {
	delete(g.begun, s)
	s.user.snapshot = nil
}

// unpin releases what a pass has held, when its user has the queries that it uses.
func (g *Graph[T]) unpin(s *Snapshot[T]) (forgotten []watch.Query) {
	if s.pin == nil {
		return nil
	}
	return g.remove(s.pin)
}

// Abandon ends a pass without a result, at the time now, and returns the queries that nobody uses any longer. The user keeps
// what it used before the pass. Whether it wants a pass because of what has changed meanwhile is in Wants, if that was not set.
func (g *Graph[T]) Abandon(s *Snapshot[T], now time.Time) (forgotten []watch.Query) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.end(s)
	g.catchUp(s, now)
	return g.unpin(s)
}

// Finish takes the result of a pass at the time now, and returns the queries to watch from now on, and those that nobody uses
// any longer (R6). A pass that ran to its end has asked all that the template uses; an absent answer does not change that.
//
// What has changed since the pass began comes after it: the user wants another pass because of that, or does not (R5).
func (g *Graph[T]) Finish(s *Snapshot[T], r template.Result, now time.Time) (watched, forgotten []watch.Query) {
	g.mu.Lock()
	defer g.mu.Unlock()
	u := s.user
	g.end(s)
	u.Wants, u.news = false, false
	watched, forgotten = g.replaceUses(u, r)
	for q, v := range s.views {
		if _, uses := u.uses[q]; uses {
			g.addView(use[T]{u, q}, v)
		}
	}
	g.catchUp(s, now)
	return watched, append(forgotten, g.unpin(s)...)
}

// addView gives a user a view that its pass has made.
func (g *Graph[T]) addView(u use[T], v *view) {
	if u.user.rules == nil || u.user.views[u.query] != nil {
		return
	}
	u.user.views[u.query] = v
	g.watchTime(u, v)
	if v.held() {
		g.judge(u, Begun, v.holds(u.query))
	}
}

// catchUp brings to a user what has changed while its pass was under way.
func (g *Graph[T]) catchUp(s *Snapshot[T], now time.Time) {
	u := s.user
	for q, old := range s.before {
		usage, uses := u.uses[q]
		if !uses || usage >= kept {
			continue
		}
		is := g.latest(use[T]{u, q}, s.views[q], now)
		if n := g.nodes[q]; n.state.Rev == 0 && n.again && old.answered { // a program that is asked again: its users know the output before
			is = seen{value: n.last, answered: true}
		}
		wants := is.answered && (!old.answered || !watch.Equal(old.value, is.value)) && u.answer(q, !old.answered, old.value, is.value)
		if wants && q.Kind != watch.KindPlugin && usage == answered {
			u.dataRound = g.round
		}
		u.Wants = u.Wants || wants || is.failed != old.failed
	}
}

// latest returns what a user sees of a query now, after its pass. A view that Take did not bring up to date, because the pass
// has made it or nobody has, gets the last answer.
func (g *Graph[T]) latest(u use[T], made *view, now time.Time) seen {
	value, answered := g.Value(u.query)
	if !answered || !u.user.rules.concern(u.query) {
		return seen{value: value, answered: answered}
	}
	v := u.user.views[u.query]
	if v == nil {
		v = newView(u.query, u.user.rules)
		u.user.views[u.query], made = v, v
	}
	if v == made {
		v.receive(value, now)
		g.refresh(u, v, now)
	}
	return v.sees()
}
