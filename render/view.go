package render

import (
	"cmp"
	"slices"
	"time"

	"render/template"
	"render/watch"
)

// viewRules say how a target sees lists of instances: Target.RemoveDelay and the Guard that holds for it.
type viewRules struct {
	delay  time.Duration
	guard  Guard // with its defaults applied
	strict bool  // an answer that is held back for long is a failure
}

// newViewRules returns nil for a target that sees every answer as it comes.
func newViewRules(t Target, a Action, once bool) *viewRules {
	r := &viewRules{delay: t.RemoveDelay, guard: t.Guard}
	if r.guard == (Guard{}) {
		r.guard = a.Guard
	}
	if r.delay == 0 && r.guard == (Guard{}) {
		return nil
	}
	r.guard.Hold, r.guard.Then = cmp.Or(r.guard.Hold, DefaultHold), cmp.Or(r.guard.Then, Keep)
	r.strict = r.guard.Then == Fail || once && r.guard.Then == Keep
	return r
}

// concern reports whether the rules have a say in what a target sees of a query. No rules never have.
func (r *viewRules) concern(q watch.Query) bool {
	return r != nil && (q.Kind == watch.KindService || q.Kind == watch.KindConnect)
}

// A view is what one target sees of one query for instances, where that need not be the last answer. It has no clock.
//
// The instances that have gone a short while ago are put back into the answer; what comes of this is judged by the guard,
// against what is seen. This happens in look, which is due after each take and at the time wake.
type view struct {
	rules *viewRules
	near  bool // the query is for an order by distance

	answer []*watch.HealthService // the last
	gone   []departure            // what is not in it any more and seen for a while longer

	seen   []*watch.HealthService
	known  bool      // seen is set
	since  time.Time // since when the guard holds; zero where it does not
	count  int       // of the instances that it holds back
	failed bool      // it has held for too long
}

type departure struct {
	instance *watch.HealthService
	until    time.Time
}

// A verdict is what has come of looking at a view.
type verdict uint8

const (
	unchanged verdict = iota
	begun             // the guard holds an answer back
	recovered         // it lets answers through again
	accepted          // it lets one through that is in violation
	failed            // it has held one back for too long
	forgotten         // it held one back until nobody asked any more
)

func newView(q watch.Query, rules *viewRules) *view {
	return &view{rules: rules, near: q.Options().Has(watch.OptNear)}
}

// take brings in an answer.
func (v *view) take(value any, now time.Time) {
	before := v.answer
	v.answer, _ = value.([]*watch.HealthService)
	if v.rules.delay == 0 {
		return
	}
	present := make(map[instanceID]bool, len(v.answer))
	for _, s := range v.answer {
		present[idOf(s)] = true
	}
	v.gone = slices.DeleteFunc(v.gone, func(d departure) bool { return present[idOf(d.instance)] })
	for _, s := range before {
		if !present[idOf(s)] {
			v.gone = append(v.gone, departure{s, now.Add(v.rules.delay)})
		}
	}
}

// look brings what the target sees up to date, and reports whether that is another list now.
func (v *view) look(now time.Time) (changed bool, did verdict) {
	v.gone = slices.DeleteFunc(v.gone, func(d departure) bool { return !now.Before(d.until) })
	list := v.list()
	switch held := v.held(); {
	case v.violates(len(list)):
		v.count = len(list)
		switch {
		case !held:
			v.since = now
			return false, begun
		case v.failed || now.Before(v.until()):
			return false, unchanged
		case v.rules.strict:
			v.failed = true
			return false, failed
		case v.rules.guard.Then == Keep:
			return false, unchanged
		}
		did = accepted
	case held:
		did = recovered
	}
	v.since, v.failed = time.Time{}, false
	if v.known && watch.Equal(v.seen, list) {
		return false, did
	}
	v.seen, v.known = list, true
	return true, did
}

// list returns the last answer with those that have gone from it and are to be seen for a while longer, in the order of
// answers: by node and ID. In an order by distance they come last, as nobody knows their place.
func (v *view) list() []*watch.HealthService {
	if len(v.gone) == 0 {
		return v.answer
	}
	list := slices.Clone(v.answer)
	for _, d := range v.gone {
		list = append(list, d.instance)
	}
	if !v.near {
		slices.SortStableFunc(list, func(a, b *watch.HealthService) int {
			return cmp.Or(cmp.Compare(a.Node, b.Node), cmp.Compare(a.ID, b.ID))
		})
	}
	return list
}

// violates reports whether the guard does not let a list of n instances through.
func (v *view) violates(n int) bool {
	g, before := v.rules.guard, len(v.seen)
	if !v.known {
		return n < g.Min
	}
	const rounding = 1e-9
	return n < before && (n < g.Min || g.MaxDrop > 0 && float64(before-n) > g.MaxDrop*float64(before)+rounding)
}

func (v *view) held() bool { return !v.since.IsZero() }

func (v *view) until() time.Time { return v.since.Add(v.rules.guard.Hold) }

// wake returns when the view changes without an answer; zero where it does not.
func (v *view) wake() (at time.Time) {
	for _, d := range v.gone {
		at = earlier(at, d.until)
	}
	if v.held() && !v.failed && (v.rules.strict || v.rules.guard.Then == Accept) {
		at = earlier(at, v.until())
	}
	return at
}

// instanceID tells instances of a service apart.
type instanceID struct{ node, id string }

func idOf(s *watch.HealthService) instanceID { return instanceID{s.Node, s.ID} }

// use is a query as one target uses it.
type use struct {
	target *target
	query  watch.Query
}

// judgement tells of a guard that holds an answer back, or did.
type judgement struct {
	use
	verdict verdict
	first   bool // the target had not seen any answer
	before  int  // instances that it had seen
	after   int  // instances of the answer
	since   time.Time
}

// lookupOf returns what a target's template is executed with.
func (g *graph) lookupOf(t *target, now time.Time) template.Lookup {
	if t.rules == nil {
		return g.lookup
	}
	return func(q watch.Query) (any, bool) {
		value, answered := g.lookup(q)
		if !answered || !t.rules.concern(q) {
			return value, answered
		}
		v := t.views[q]
		if v == nil {
			g.show(use{t, q}, value, now)
			v = t.views[q]
		}
		if !v.known {
			return nil, false
		}
		return v.seen, true
	}
}

// show brings an answer to a target's view of it, and reports whether the target wants a pass because of that.
func (g *graph) show(u use, value any, now time.Time) bool {
	v := u.target.views[u.query]
	if v == nil {
		v = newView(u.query, u.target.rules)
		u.target.views[u.query] = v
	}
	v.take(value, now)
	return g.look(u, v, now)
}

// look looks at a view, and reports whether its target wants a pass because of what has changed.
func (g *graph) look(u use, v *view, now time.Time) bool {
	wasFailed, seen := v.failed, v.seen
	j := judgement{use: u, first: !v.known, before: len(seen), since: v.since}
	changed, did := v.look(now)
	if len(v.gone) > 0 || v.held() {
		g.restless[u] = v
		g.lookAt = earlier(g.lookAt, v.wake())
	} else {
		delete(g.restless, u)
	}
	if j.verdict = did; did != unchanged {
		j.after = len(v.seen)
		if v.held() {
			j.after, j.since = v.count, v.since
		}
		g.judged = append(g.judged, j)
	}
	wants := changed && u.target.answer(u.query, j.first, seen, v.seen)
	return wants || v.failed != wasFailed
}

// lookAgain looks at the views that change because time has gone by. It returns the targets that want a pass (R5).
func (g *graph) lookAgain(now time.Time) (want []*target) {
	if g.lookAt.IsZero() || now.Before(g.lookAt) {
		return nil
	}
	g.lookAt = time.Time{}
	g.round++
	for u, v := range g.restless {
		switch at := v.wake(); {
		case at.IsZero():
		case now.Before(at):
			g.lookAt = earlier(g.lookAt, at)
		case g.look(u, v, now):
			u.target.wants, u.target.dataRound = true, g.round
			want = append(want, u.target)
		}
	}
	return want
}

// forgetView ends a target's view of a query that it does not use any longer.
func (g *graph) forgetView(u use) {
	v := u.target.views[u.query]
	if v == nil {
		return
	}
	delete(u.target.views, u.query)
	delete(g.restless, u)
	if v.held() {
		g.judged = append(g.judged, judgement{
			use: u, verdict: forgotten, first: !v.known, before: len(v.seen), after: v.count, since: v.since,
		})
	}
}

// stillHeld returns the guards that hold an answer back while their targets go on with what they have seen. Targets that
// cannot go on are reported as blocked.
func (g *graph) stillHeld() (all []judgement) {
	for u, v := range g.restless {
		if v.held() && v.known && !v.failed {
			all = append(all, judgement{use: u, before: len(v.seen), after: v.count, since: v.since})
		}
	}
	return all
}

// see gives a target its rules, before it has seen anything.
func (t *target) see(r *viewRules) {
	if t.rules = r; r != nil {
		t.views = make(map[watch.Query]*view)
	}
}

// seeBy gives a target other rules, and reports whether it has to run because of that. What it has seen so far is what
// the new rules compare with.
func (e *Engine) seeBy(t *target, r *viewRules, now time.Time) (changed bool) {
	old := t.rules
	switch {
	case old == nil && r == nil, old != nil && r != nil && *old == *r:
		return false
	case r == nil:
		e.graph.letThrough(t)
		e.tellJudged(now)
		t.rules, t.views = nil, nil
	case old == nil:
		t.see(r)
		e.graph.believe(t)
	default:
		t.rules = r
		e.graph.lookBy(t, r, now)
		e.tellJudged(now)
	}
	return true
}

// letThrough ends a target's views, as if what they hold back were let through.
func (g *graph) letThrough(t *target) {
	for q, v := range t.views {
		u := use{t, q}
		delete(g.restless, u)
		if v.held() {
			g.judged = append(g.judged, judgement{
				use: u, verdict: recovered, first: !v.known, before: len(v.seen), after: v.count, since: v.since,
			})
		}
	}
}

// believe gives a target that saw every answer as it came a view of each: of what is there now.
func (g *graph) believe(t *target) {
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

// lookBy has a target's views follow other rules from now on. What was to be seen for a while longer is so for the new
// while at most.
func (g *graph) lookBy(t *target, r *viewRules, now time.Time) {
	for q, v := range t.views {
		v.rules, v.failed = r, false
		for i := range v.gone {
			if end := now.Add(r.delay); end.Before(v.gone[i].until) {
				v.gone[i].until = end
			}
		}
		g.look(use{t, q}, v, now)
	}
}
