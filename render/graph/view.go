package graph

import (
	"cmp"
	"slices"
	"time"

	"render/render/schedule"
	"render/watch"
)

// A view is what one user sees of one query for instances, where that need not be the last answer. It has no clock.
//
// The instances that have gone a short while ago are put back into the answer; what comes of this is judged by the guard,
// against what is seen. This happens in update, which is due after each take and at the time wake.
type view struct {
	rules *Rules
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

// A Verdict says what a guard has done.
type Verdict uint8

// The verdicts of a guard.
const (
	Unchanged Verdict = iota
	Begun             // it holds an answer back
	Recovered         // it lets answers through again
	Accepted          // it lets one through that is in violation
	Failed            // it has held one back for too long: the user fails
	Forgotten         // it held one back until nobody asked any more
)

func newView(q watch.Query, rules *Rules) *view {
	return &view{rules: rules, near: q.Options().Has(watch.OptNear)}
}

// receive brings in an answer.
func (v *view) receive(value any, now time.Time) {
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

// update updates what the user sees, and reports whether that is another list now.
func (v *view) update(now time.Time) (changed bool, did Verdict) {
	v.gone = slices.DeleteFunc(v.gone, func(d departure) bool { return !now.Before(d.until) })
	list := v.list()
	switch held := v.held(); {
	case v.violates(len(list)):
		v.count = len(list)
		switch {
		case !held:
			v.since = now
			return false, Begun
		case v.failed || now.Before(v.until()):
			return false, Unchanged
		case v.rules.strict:
			v.failed = true
			return false, Failed
		case v.rules.guard.Then == Keep:
			return false, Unchanged
		}
		did = Accepted
	case held:
		did = Recovered
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
		at = schedule.Earliest(at, d.until)
	}
	if v.held() && !v.failed && (v.rules.strict || v.rules.guard.Then == Accept) {
		at = schedule.Earliest(at, v.until())
	}
	return at
}

// holds returns what the guard of a view holds back.
func (v *view) holds(q watch.Query) Held {
	return Held{Query: q, Guard: v.rules.guard, First: !v.known, Before: len(v.seen), After: v.count, Since: v.since}
}

// instanceID distinguishes instances of a service.
type instanceID struct{ node, id string }

func idOf(s *watch.HealthService) instanceID { return instanceID{s.Node, s.ID} }
