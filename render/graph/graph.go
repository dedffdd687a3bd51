// Package graph knows which user uses which query, what each user sees of the answers, and which user wants a pass. A user is
// what has a template: render embeds a [User] in each of its targets.
//
// A [Graph] brings answers to its users (Take), decides when a user runs again (R5 of package render) and forgets queries
// that nobody uses any longer (R6). Between an answer and a user may stand [Rules]: a delay for instances that are removed,
// and a [Guard] that holds back answers with too few instances.
//
// A pass may run in a goroutine of its own: a [Snapshot] holds what its user sees when it begins, and what changes meanwhile
// comes after it.
//
// Nothing here has a goroutine, a clock or I/O: the caller passes the time in. One goroutine at a time may use a graph and its
// users; [Snapshot.Lookup] may be called beside it.
package graph

import (
	"iter"
	"sync"
	"time"

	"render/template"
	"render/watch"
)

// A Graph is the dependency graph between queries and users. T is what owns a user: the graph returns owners.
type Graph[T any] struct {
	nodes    map[watch.Query]*node[T]
	round    uint64           // counts what is brought in: answers, and templates with another text
	restless map[use[T]]*view // those that time will change, or whose guard holds
	next     time.Time        // when time changes the first of them; zero for never
	judged   []Judgement[T]   // since the last call of Judgements

	// One goroutine changes what snapshots look at, with mu held; so it may look at it without.
	mu    sync.Mutex
	begun map[*Snapshot[T]]bool // the passes under way
}

type node[T any] struct {
	state watch.State
	users map[*User[T]]bool
	asked uint64 // the round in which it was asked, or asked again
	again bool   // it was asked again: last is the answer that its users know
	late  bool   // it runs, and was asked before the data that it should follow
	last  any

	label  string // as Label has it
	change Change // the last one
}

// usage says what a query was to a user's last pass.
type usage uint8

const (
	pending  usage = iota // asked, and without an answer then
	answered              // asked and answered
	kept                  // not asked; kept from an earlier pass (R6). More than this: for so many passes more
)

// MaxKept is how many passes in a row may leave a query out that an earlier pass asked. Passes that cannot finish, over
// data that change, would gather queries without end.
const MaxKept = 16

// MaxCauses is how many causes are kept for a user, however long it is not applied.
const MaxCauses = 20

// A User is the graph's part of its owner: what the owner's template uses. The zero value with an Owner uses nothing.
type User[T any] struct {
	Owner  T
	Wants  bool                     // a pass (R5). The graph sets it, Finish clears it; the owner may set it for a reason of its own
	Causes []Cause                  // what has changed since the owner was last applied, for people. The owner clears it
	Show   func(watch.Query) string // how Causes show a query; nil for its String

	uses      map[watch.Query]usage
	secret    bool          // one of them, or its answer, is secret
	complete  []watch.Query // the keys of uses, as the last pass had them, where it ran to its end; else nil
	version   int           // counts the sets of queries that it used
	waiting   int           // how many of the pending ones still have no answer
	news      bool          // one of the pending ones has an answer now
	dataRound uint64        // the round in which something else than a program's output has changed for it
	plugins   []watch.Query // what programs it runs

	snapshot *Snapshot[T] // of the pass under way; nil for none
	pin      bool         // it has no owner, and keeps queries from being forgotten

	rules *Rules                // nil where every answer is seen as it comes
	views map[watch.Query]*view // of the queries that rules concern, once they have an answer
}

// New returns an empty graph.
func New[T any]() *Graph[T] {
	return &Graph[T]{nodes: make(map[watch.Query]*node[T]), restless: make(map[use[T]]*view), begun: make(map[*Snapshot[T]]bool)}
}

// Len returns the number of queries that somebody uses.
func (g *Graph[T]) Len() int { return len(g.nodes) }

// State returns the last state of a query, and false where nobody uses the query.
func (g *Graph[T]) State(q watch.Query) (watch.State, bool) {
	n := g.nodes[q]
	if n == nil {
		return watch.State{}, false
	}
	return n.state, true
}

// All returns the queries that somebody uses, with their last states, in no order.
func (g *Graph[T]) All() iter.Seq2[watch.Query, watch.State] {
	return func(yield func(watch.Query, watch.State) bool) {
		for q, n := range g.nodes {
			if !yield(q, n.state) {
				return
			}
		}
	}
}

// Value returns the last answer to a query, without the rules of any user. A pass uses that of its
// Snapshot.
func (g *Graph[T]) Value(q watch.Query) (value any, found bool) {
	n := g.nodes[q]
	if n == nil || n.state.Rev == 0 {
		return nil, false
	}
	return n.state.Value, true
}

// Take puts new states into the graph. It returns the owners that want a pass because of them (R5), also those that wanted
// one already, and the owners that wait for a query which now fails. States of queries that nobody uses are ignored.
func (g *Graph[T]) Take(states map[watch.Query]watch.State, now time.Time) (want, failed []T) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.round++
	for q, state := range states {
		n := g.nodes[q]
		if n == nil {
			continue // forgotten meanwhile
		}
		g.keepAll(q)
		old := n.state
		n.state = state
		if before := n.before(old); before.Rev > 0 && state.Rev != old.Rev && !(n.again && watch.Equal(before.Value, state.Value)) {
			n.change = changeOf(before.Value, state.Value, now)
		}
		if state.Rev == old.Rev { // only the error is another
			if state.Rev == 0 && old.Err == nil {
				for u := range n.users {
					if !u.pin {
						failed = append(failed, u.Owner)
					}
				}
			}
			continue
		}
		for u := range n.users {
			if g.answer(u, q, n, old, now) {
				u.Wants = true
				want = append(want, u.Owner)
			}
		}
		n.again, n.last = false, nil
	}
	return want, failed
}

// answer brings a new answer to a user, and reports whether the user wants a pass because of it.
func (g *Graph[T]) answer(u *User[T], q watch.Query, n *node[T], old watch.State, now time.Time) (wants bool) {
	switch {
	case u.rules.concern(q):
		wants = g.show(use[T]{u, q}, n.state.Value, now)
	case n.again && u.uses[q] == answered:
		wants = !watch.Equal(n.last, n.state.Value) && u.answer(q, false, n.last, n.state.Value)
	default:
		wants = u.answer(q, old.Rev == 0, old.Value, n.state.Value)
	}
	if wants && q.Kind != watch.KindPlugin && u.uses[q] == answered {
		u.dataRound = g.round
	}
	return wants
}

// Renew notes that the templates of users have another text. What programs print for them is outdated.
func (g *Graph[T]) Renew(users []*User[T]) {
	g.round++
	for _, u := range users {
		u.dataRound = g.round
	}
}

// Outdated returns the programs of a user whose output is older than the user's other data. One that runs at this moment
// is not among them: its output is used when it comes, and requested again after that (Late). Else one that takes longer than
// the time between two changes would never come to its end.
func (g *Graph[T]) Outdated(u *User[T]) (plugins []watch.Query) {
	for _, q := range u.plugins {
		n := g.nodes[q]
		switch {
		case n == nil || n.asked >= u.dataRound || n.late && n.state.Rev > 0:
		case n.state.Rev == 0:
			n.late = true
		default:
			plugins = append(plugins, q)
		}
	}
	return plugins
}

// Late returns the programs whose output a user has used although it is older than its other data.
func (g *Graph[T]) Late(u *User[T]) (plugins []watch.Query) {
	for _, q := range u.plugins {
		if n := g.nodes[q]; n != nil && n.late && n.state.Rev > 0 {
			plugins = append(plugins, q)
		}
	}
	return plugins
}

// Restart notes that a program is asked again. It has no answer until it has run.
func (g *Graph[T]) Restart(q watch.Query) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.keepAll(q)
	n := g.nodes[q]
	if n.state.Rev > 0 {
		n.again, n.last = true, n.state.Value
	}
	n.state, n.asked, n.late = watch.State{}, g.round, false
}

// answer notes a new answer and reports whether the user wants a pass because of it. Answers that come while others
// of the last pass are still pending are not a reason: the pass that follows the last of them will see them all. Nor are those
// that come while a pass is under way: its end catches up with them.
func (u *User[T]) answer(q watch.Query, first bool, old, value any) bool {
	if u.snapshot != nil {
		return false
	}
	switch u.uses[q] {
	case pending:
		if first {
			u.waiting--
			u.news = true
			return u.waiting == 0
		}
	case answered:
		if len(u.Causes) < MaxCauses {
			u.AddCause(Cause{Text: u.show(q) + ": " + changeOf(old, value, time.Time{}).Describe(q.Kind), Query: q})
		}
		return true
	}
	return false
}

// replaceUses replaces what a user uses by what a pass has asked, or adds to it where the pass did not run to its end.
func (g *Graph[T]) replaceUses(u *User[T], r template.Result) (watched, forgotten []watch.Query) {
	if r.Complete && len(r.Used) > 0 && len(r.Used) == len(u.complete) && &r.Used[0] == &u.complete[0] {
		return nil, nil // the queries of the pass before: nearly all passes of a large template
	}
	u.complete = nil
	u.version++
	if r.Complete {
		u.complete = r.Used
	}

	old := u.uses
	u.uses = make(map[watch.Query]usage, len(r.Used))
	u.plugins = nil
	if !r.Complete {
		for q, usage := range old {
			if usage = max(usage+1, kept); usage < kept+MaxKept {
				u.uses[q] = usage
			}
		}
	}
	u.secret = !r.Complete && u.secret
	for _, q := range r.Used {
		u.uses[q] = answered
		u.secret = u.secret || q.Secret()
		if q.Kind == watch.KindPlugin {
			u.plugins = append(u.plugins, q)
		}
		n := g.nodes[q]
		if n == nil {
			n = &node[T]{users: make(map[*User[T]]bool, 1), asked: g.round}
			g.nodes[q] = n
			watched = append(watched, q)
		}
		n.users[u] = true
	}
	for _, q := range r.Pending {
		u.uses[q] = pending
	}
	u.waiting = len(r.Pending)
	for q := range old {
		if _, still := u.uses[q]; !still && g.release(use[T]{u, q}) {
			forgotten = append(forgotten, q)
		}
	}
	return watched, forgotten
}

// Remove takes a user out of the graph, and returns the queries that nobody uses any longer. It must not have a pass under way.
func (g *Graph[T]) Remove(u *User[T]) (forgotten []watch.Query) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.remove(u)
}

func (g *Graph[T]) remove(u *User[T]) (forgotten []watch.Query) {
	for q := range u.uses {
		if g.release(use[T]{u, q}) {
			forgotten = append(forgotten, q)
		}
	}
	u.uses, u.complete = nil, nil
	return forgotten
}

// Pin returns a user without an owner that uses all that some users use, until it is removed.
func (g *Graph[T]) Pin(users []*User[T]) *User[T] {
	pin := newPin[T]()
	for _, u := range users {
		for q := range u.uses {
			pin.uses[q] = kept
			g.nodes[q].users[pin] = true
		}
	}
	return pin
}

func newPin[T any]() *User[T] { return &User[T]{pin: true, uses: make(map[watch.Query]usage)} }

// release ends a use, and reports whether that was the query's last. The passes under way may ask the query, and keep it.
func (g *Graph[T]) release(u use[T]) (last bool) {
	g.forgetView(u)
	n := g.nodes[u.query]
	delete(n.users, u.user)
	if len(n.users) == 0 {
		for s := range g.begun {
			s.hold(u.query, n)
		}
	}
	if len(n.users) > 0 {
		return false
	}
	delete(g.nodes, u.query)
	return true
}

// AddCause notes why the owner is not applied, for people. Of more than MaxCauses it keeps the first.
func (u *User[T]) AddCause(cause Cause) {
	if len(u.Causes) < MaxCauses {
		u.Causes = append(u.Causes, cause)
	}
}

// Queries returns the number of queries that the user uses.
func (u *User[T]) Queries() int { return len(u.uses) }

// Answered reports whether a query that was pending in the last pass has an answer now.
func (u *User[T]) Answered() bool { return u.news }

func (u *User[T]) show(q watch.Query) string {
	if u.Show == nil {
		return q.String()
	}
	return u.Show(q)
}
