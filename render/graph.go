package render

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"time"

	"render/template"
	"render/watch"
)

// graph knows which target uses which query, and which target wants a pass. It has no goroutines, no clock and no I/O.
type graph struct {
	nodes    map[watch.Query]*node
	round    uint64        // counts what is brought in: answers, and templates with another text
	restless map[use]*view // those that time will change, or whose guard holds
	lookAt   time.Time     // when time changes the first of them; zero for never
	judged   []judgement   // of which nobody has been told
}

type node struct {
	state watch.State
	users map[*target]bool
	asked uint64 // the round in which it was asked, or asked again
	again bool   // it was asked again: last is the answer that its users know
	late  bool   // it runs, and was asked before the data that it should follow
	last  any
}

// usage says what a query was to a target's last pass.
type usage uint8

const (
	pending  usage = iota // asked, and without an answer then
	answered              // asked and answered
	kept                  // not asked; kept from an earlier pass (R6). More than this: for so many passes more
)

// keptMost is how many passes in a row may leave a query out that an earlier pass asked. Passes that cannot finish, over
// data that change, would gather queries without end.
const keptMost = 16

const maxCauses = 20 // kept for a target, however long it is not applied

// dependency is the graph's part of a target.
type dependency struct {
	uses      map[watch.Query]usage
	waiting   int           // how many of the pending ones still have no answer
	news      bool          // one of the pending ones has an answer now
	dataRound uint64        // the round in which something else than a program's output has changed for it
	plugins   []watch.Query // what programs it runs
	wants     bool          // to run again (R5)
	causes    []string      // what has changed since the target was last applied, for people

	rules *viewRules            // nil where every answer is seen as it comes
	views map[watch.Query]*view // of the queries that rules concern, once they have an answer
}

func newGraph() *graph {
	return &graph{nodes: make(map[watch.Query]*node), restless: make(map[use]*view)}
}

// lookup is the template.Lookup of the targets that see every answer as it comes; lookupOf is that of all.
func (g *graph) lookup(q watch.Query) (value any, found bool) {
	n := g.nodes[q]
	if n == nil || n.state.Rev == 0 {
		return nil, false
	}
	return n.state.Value, true
}

// take puts new states into the graph. It returns the targets that want a pass because of them (R5), also those that
// wanted one already, and the targets that wait for a query which now fails.
func (g *graph) take(states map[watch.Query]watch.State, now time.Time) (want, failed []*target) {
	g.round++
	for q, state := range states {
		n := g.nodes[q]
		if n == nil {
			continue // forgotten meanwhile
		}
		old := n.state
		n.state = state
		if state.Rev == old.Rev { // only the error is another
			if state.Rev == 0 && old.Err == nil {
				failed = slices.AppendSeq(failed, maps.Keys(n.users))
			}
			continue
		}
		for t := range n.users {
			if g.answer(t, q, n, old, now) {
				t.wants = true
				want = append(want, t)
			}
		}
		n.again, n.last = false, nil
	}
	return want, failed
}

// answer brings a new answer to a target, and reports whether the target wants a pass because of it.
func (g *graph) answer(t *target, q watch.Query, n *node, old watch.State, now time.Time) (wants bool) {
	switch {
	case t.rules.concern(q):
		wants = g.show(use{t, q}, n.state.Value, now)
	case n.again && t.uses[q] == answered:
		wants = !watch.Equal(n.last, n.state.Value) && t.answer(q, false, n.last, n.state.Value)
	default:
		wants = t.answer(q, old.Rev == 0, old.Value, n.state.Value)
	}
	if wants && q.Kind != watch.KindPlugin && t.uses[q] == answered {
		t.dataRound = g.round
	}
	return wants
}

// outdated returns the programs of a target whose output is older than the target's other data. One that runs at this moment
// is not among them: its output is used when it comes, and asked for again after that (late). Else one that takes longer than
// the time between two changes would never come to its end.
func (g *graph) outdated(t *target) (plugins []watch.Query) {
	for _, q := range t.plugins {
		n := g.nodes[q]
		switch {
		case n == nil || n.asked >= t.dataRound || n.late && n.state.Rev > 0:
		case n.state.Rev == 0:
			n.late = true
		default:
			plugins = append(plugins, q)
		}
	}
	return plugins
}

// late returns the programs whose output a target has used although it is older than its other data.
func (g *graph) late(t *target) (plugins []watch.Query) {
	for _, q := range t.plugins {
		if n := g.nodes[q]; n != nil && n.late && n.state.Rev > 0 {
			plugins = append(plugins, q)
		}
	}
	return plugins
}

// restart notes that a program is asked again. It has no answer until it has run.
func (g *graph) restart(q watch.Query) {
	n := g.nodes[q]
	if n.state.Rev > 0 {
		n.again, n.last = true, n.state.Value
	}
	n.state, n.asked, n.late = watch.State{}, g.round, false
}

// answer notes a new answer and reports whether the target wants a pass because of it. Answers that come while others
// of the last pass are still pending are not a reason: the pass that follows the last of them will see them all.
func (d *dependency) answer(q watch.Query, first bool, old, value any) bool {
	switch d.uses[q] {
	case pending:
		if first {
			d.waiting--
			d.news = true
			return d.waiting == 0
		}
	case answered:
		if len(d.causes) < maxCauses {
			d.causes = append(d.causes, describeChange(q, old, value))
		}
		return true
	}
	return false
}

// finish takes the result of a target's pass and returns the queries to watch from now on, and those that nobody uses
// any longer (R6). A pass that ran to its end has asked all that the template uses; an absent answer does not change that.
func (g *graph) finish(t *target, r template.Result) (watched, forgotten []watch.Query) {
	t.wants, t.news = false, false
	old := t.uses
	t.uses = make(map[watch.Query]usage, len(r.Used))
	t.plugins = nil
	if !r.Complete {
		for q, usage := range old {
			if usage = max(usage+1, kept); usage < kept+keptMost {
				t.uses[q] = usage
			}
		}
	}
	for _, q := range r.Used {
		t.uses[q] = answered
		if q.Kind == watch.KindPlugin {
			t.plugins = append(t.plugins, q)
		}
		n := g.nodes[q]
		if n == nil {
			n = &node{users: make(map[*target]bool, 1), asked: g.round}
			g.nodes[q] = n
			watched = append(watched, q)
		}
		n.users[t] = true
	}
	for _, q := range r.Pending {
		t.uses[q] = pending
	}
	t.waiting = len(r.Pending)
	for q := range old {
		if _, still := t.uses[q]; !still && g.release(use{t, q}) {
			forgotten = append(forgotten, q)
		}
	}
	return watched, forgotten
}

// remove takes a target out of the graph, and returns the queries that nobody uses any longer.
func (g *graph) remove(t *target) (forgotten []watch.Query) {
	for q := range t.uses {
		if g.release(use{t, q}) {
			forgotten = append(forgotten, q)
		}
	}
	t.uses = nil
	return forgotten
}

// pin returns what uses all that some targets use, until it is removed.
func (g *graph) pin(targets map[*target]bool) *target {
	pin := &target{dependency: dependency{uses: make(map[watch.Query]usage)}}
	for t := range targets {
		for q := range t.uses {
			pin.uses[q] = kept
			g.nodes[q].users[pin] = true
		}
	}
	return pin
}

// release ends a use, and reports whether that was the query's last.
func (g *graph) release(u use) (last bool) {
	g.forgetView(u)
	n := g.nodes[u.query]
	delete(n.users, u.target)
	if len(n.users) > 0 {
		return false
	}
	delete(g.nodes, u.query)
	return true
}

// addCause notes why a target is not applied, for people.
func (d *dependency) addCause(cause string) {
	if len(d.causes) < maxCauses {
		d.causes = append(d.causes, cause)
	}
}

// nouns are what the elements of list answers are called.
var nouns = map[string]string{
	watch.KindService:     "instances",
	watch.KindServices:    "services",
	watch.KindNodes:       "nodes",
	watch.KindDatacenters: "datacenters",
	watch.KindPrefix:      "keys",
}

// describeChange says how an answer has changed: "service web: 3 → 4 instances". It never has a value.
func describeChange(q watch.Query, old, value any) string {
	noun, isList := nouns[q.Kind]
	switch {
	case isList && length(old) != length(value):
		return fmt.Sprintf("%s: %d → %d %s", q, length(old), length(value), noun)
	case isList:
		return fmt.Sprintf("%s: changed, %d %s", q, length(value), noun)
	case old == nil:
		return q.String() + ": appeared"
	case value == nil:
		return q.String() + ": disappeared"
	}
	return q.String() + ": changed"
}

func length(list any) int {
	v := reflect.ValueOf(list)
	if v.Kind() != reflect.Slice {
		return 0
	}
	return v.Len()
}
