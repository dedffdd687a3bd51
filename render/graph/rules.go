package graph

import (
	"cmp"
	"time"

	"render/render/schedule"
	"render/watch"
)

// Rules say how a user sees lists of instances. Rules are compared by ==; two users may share them.
type Rules struct {
	delay  time.Duration
	guard  Guard // with its defaults applied
	strict bool  // an answer that is held back for long is a failure
}

// NewRules returns rules that delay the removal of instances and hold answers back by a guard. With once, a guard that keeps
// an answer back for long is a failure, too. It returns nil, no rules, where neither a delay nor a guard is given: then a user
// sees every answer as it comes.
func NewRules(delay time.Duration, guard Guard, once bool) *Rules {
	if delay == 0 && guard == (Guard{}) {
		return nil
	}
	guard.Hold, guard.Then = cmp.Or(guard.Hold, DefaultHold), cmp.Or(guard.Then, Keep)
	return &Rules{delay: delay, guard: guard, strict: guard.Then == Fail || once && guard.Then == Keep}
}

// concern reports whether the rules have a say in what a user sees of a query. No rules never have.
func (r *Rules) concern(q watch.Query) bool {
	return r != nil && (q.Kind == watch.KindService || q.Kind == watch.KindConnect)
}

// use is a query as one user uses it.
type use[T any] struct {
	user  *User[T]
	query watch.Query
}

// Held is an answer that a guard holds back from a user, or held back.
type Held struct {
	Query  watch.Query
	Guard  Guard     // with its defaults applied
	First  bool      // the user has seen no answer
	Before int       // instances that the user sees
	After  int       // instances of the answer
	Since  time.Time // zero where the guard did not hold
}

// Until returns when Guard.Then is due: a time in the past where the answer is held back for longer.
func (h Held) Until() time.Time { return h.Since.Add(h.Guard.Hold) }

// A Judgement describes a guard that holds an answer back, or did. With the verdict Recovered, Before and After say what the
// user saw before that and sees now.
type Judgement[T any] struct {
	Held
	Owner   T
	Verdict Verdict
}

// show brings an answer to a user's view of it, and reports whether the user wants a pass because of that.
func (g *Graph[T]) show(u use[T], value any, now time.Time) bool {
	v := u.user.views[u.query]
	if v == nil {
		v = newView(u.query, u.user.rules)
		u.user.views[u.query] = v
	}
	v.receive(value, now)
	return g.update(u, v, now)
}

// update updates a view, and reports whether its user wants a pass because of what has changed.
func (g *Graph[T]) update(u use[T], v *view, now time.Time) bool {
	was := v.sees()
	changed := g.refresh(u, v, now)
	wants := changed && u.user.answer(u.query, !was.answered, was.value, v.seen)
	return wants || v.failed != was.failed
}

// refresh updates a view, notes what its guard has done, and reports whether the user sees another list.
func (g *Graph[T]) refresh(u use[T], v *view, now time.Time) (changed bool) {
	held := v.holds(u.query)
	changed, did := v.update(now)
	g.watchTime(u, v)
	if did != Unchanged {
		held.After = len(v.seen)
		if v.held() {
			held.After, held.Since = v.count, v.since
		}
		g.judge(u, did, held)
	}
	return changed
}

// watchTime notes whether time will change a view, or a guard holds in it.
func (g *Graph[T]) watchTime(u use[T], v *view) {
	if len(v.gone) > 0 || v.held() {
		g.restless[u] = v
		g.next = schedule.Earliest(g.next, v.wake())
	} else {
		delete(g.restless, u)
	}
}

// judge notes what a guard has done.
func (g *Graph[T]) judge(u use[T], did Verdict, held Held) {
	g.judged = append(g.judged, Judgement[T]{held, u.user.Owner, did})
}

// Next returns when time changes what a user sees: Tick is due then. Zero means never.
func (g *Graph[T]) Next() time.Time { return g.next }

// Tick updates what users see of answers where that changes with time. It returns the owners that want a pass because of
// that (R5). Before Next it does nothing.
func (g *Graph[T]) Tick(now time.Time) (want []T) {
	if g.next.IsZero() || now.Before(g.next) {
		return nil
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.next = time.Time{}
	g.round++
	for u, v := range g.restless {
		at := v.wake()
		if at.IsZero() {
			continue
		}
		if now.Before(at) {
			g.next = schedule.Earliest(g.next, at)
			continue
		}
		u.user.snapshot.keep(u.query)
		if g.update(u, v, now) {
			u.user.Wants, u.user.dataRound = true, g.round
			want = append(want, u.user.Owner)
		}
	}
	return want
}

// forgetView ends a user's view of a query that it does not use any longer.
func (g *Graph[T]) forgetView(u use[T]) {
	v := u.user.views[u.query]
	if v == nil {
		return
	}
	delete(u.user.views, u.query)
	delete(g.restless, u)
	if v.held() {
		g.judge(u, Forgotten, v.holds(u.query))
	}
}

// Judgements returns what guards have done since the last call.
func (g *Graph[T]) Judgements() []Judgement[T] {
	all := g.judged
	g.judged = nil
	return all
}

// Holds reports whether a guard holds an answer back.
func (g *Graph[T]) Holds() bool {
	for _, v := range g.restless {
		if v.held() {
			return true
		}
	}
	return false
}

// StillHeld returns the guards that hold an answer back while their users go on with what they have seen. It leaves users out
// that cannot go on: they have seen nothing, or have failed. The verdicts are Unchanged.
func (g *Graph[T]) StillHeld() (all []Judgement[T]) {
	for u, v := range g.restless {
		if v.held() && v.known && !v.failed {
			all = append(all, Judgement[T]{Held: v.holds(u.query), Owner: u.user.Owner})
		}
	}
	return all
}

// Ruled reports whether the user has rules: a guard may hold an answer back from it.
func (u *User[T]) Ruled() bool { return u.rules != nil }

// Held returns what guards hold back of the queries that the user's last pass asked, in no order.
func (u *User[T]) Held() (all []Held) {
	for q, v := range u.views {
		if v.held() && u.uses[q] < kept {
			all = append(all, v.holds(q))
		}
	}
	return all
}

// Failed returns the first of some queries whose answer a guard has held back from the user for too long, and false where
// there is none.
func (u *User[T]) Failed(queries []watch.Query) (Held, bool) {
	if len(u.views) == 0 {
		return Held{}, false
	}
	for _, q := range queries {
		if v := u.views[q]; v != nil && v.failed {
			return v.holds(q), true
		}
	}
	return Held{}, false
}

// SetRules gives a user other rules, and reports whether it has to run because of that. What it has seen so far is what
// the new rules compare with. No rules, nil, let through what is held back. A pass under way has to be abandoned afterwards
// where the rules are others.
func (g *Graph[T]) SetRules(u *User[T], r *Rules, now time.Time) (changed bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	old := u.rules
	switch {
	case old == nil && r == nil, old != nil && r != nil && *old == *r:
		return false
	case r == nil:
		g.letThrough(u)
		u.rules, u.views = nil, nil
	case old == nil:
		u.rules, u.views = r, make(map[watch.Query]*view)
		g.showPresent(u)
	default:
		u.rules = r
		g.replaceRules(u, r, now)
	}
	return true
}

// letThrough ends a user's views, as if what they hold back were let through.
func (g *Graph[T]) letThrough(t *User[T]) {
	for q, v := range t.views {
		u := use[T]{t, q}
		delete(g.restless, u)
		if v.held() {
			g.judge(u, Recovered, v.holds(q))
		}
	}
}

// showPresent gives a user that saw every answer as it came a view of each: of what is there now.
func (g *Graph[T]) showPresent(t *User[T]) {
	for q, u := range t.uses {
		n := g.nodes[q]
		if u != answered || n.state.Rev == 0 || !t.rules.concern(q) {
			continue
		}
		v := newView(q, t.rules)
		v.answer, _ = n.state.Value.([]*watch.HealthService)
		v.seen, v.known = v.answer, true
		t.views[q] = v
	}
}

// replaceRules has a user's views follow other rules from now on. What was to be seen for a while longer is so for the new
// while at most.
func (g *Graph[T]) replaceRules(t *User[T], r *Rules, now time.Time) {
	for q, v := range t.views {
		v.rules, v.failed = r, false
		for i := range v.gone {
			if end := now.Add(r.delay); end.Before(v.gone[i].until) {
				v.gone[i].until = end
			}
		}
		g.update(use[T]{t, q}, v, now)
	}
}
