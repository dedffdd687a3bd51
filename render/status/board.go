package status

import (
	"cmp"
	"iter"
	"slices"
	"time"

	"render/watch"
)

// partTime is how long the engine's loop makes values of a snapshot at a time. Then others have their turn.
const partTime = 2 * time.Millisecond

// mostMarked is how many queries a Board notes that nobody has read. With more, the next snapshot is made from the beginning.
const mostMarked = 50_000

// A Board notes what of an engine has changed since somebody has read it. The engine's loop owns it: a mark costs little, and
// nobody else is waited for.
type Board struct {
	changed bool // since the last Flush
	read    bool // somebody has read something
	anew    bool // targets and actions are numbered anew
	targets marks
	actions marks
	queries map[watch.Query]bool
	first   []watch.Query // all queries, until they are read for the first time
	unnamed []watch.Query // that were read while there was no text for them, or another one than there may be later
}

// marks are the numbers of what has changed.
type marks struct {
	has  []bool // by number
	list []int
}

func (m *marks) set(i int) {
	if i < len(m.has) && !m.has[i] {
		m.has[i] = true
		m.list = append(m.list, i)
	}
}

// setAll marks all of n numbers.
func (m *marks) setAll(n int) {
	m.has, m.list = make([]bool, n), m.list[:0]
	for i := range n {
		m.set(i)
	}
}

// Target notes that a target has changed, by its place in the configuration.
func (b *Board) Target(i int) {
	b.changed = true
	if b.read {
		b.targets.set(i)
	}
}

// Action notes that an action has changed, by its place.
func (b *Board) Action(i int) {
	b.changed = true
	if b.read {
		b.actions.set(i)
	}
}

// Query notes that a query has changed, or is used by nobody any longer.
func (b *Board) Query(q watch.Query) {
	b.changed = true
	switch {
	case !b.read:
	case len(b.queries) < mostMarked:
		b.queries[q] = true
	default: // nobody reads any longer, and queries come and go
		b.read, b.queries, b.first, b.unnamed = false, nil, nil, nil
	}
}

// IsRead reports whether somebody has read what the board notes. Before that nobody needs to know what has changed.
func (b *Board) IsRead() bool { return b.read }

// Renew notes that targets and actions are numbered anew.
func (b *Board) Renew() { b.changed, b.anew = true, true }

// Flush reports whether anything has changed since the last Flush.
func (b *Board) Flush() (changed bool) {
	changed, b.changed = b.changed, false
	return changed
}

// A Maker makes the values of a snapshot.
type Maker struct {
	Targets, Actions int // numbers
	Target           func(i int) *Target
	Action           func(i int) *Action
	// Query makes a query without its Targets; nil where nobody uses it. Its text is empty where no target uses it. That of one whose name
	// is hidden may become another although the query does not change.
	Query   func(q watch.Query) (v *Query, hidden bool)
	Queries iter.Seq[watch.Query]
}

// A Part is what has changed since the previous part.
type Part struct {
	Overview                   // without its Counts and Line
	Anew     bool              // targets and actions are numbered anew: what is known of them is out of date
	All      bool              // what is known of queries is out of date, too
	Sizes    [2]int            // numbers of targets and actions
	Changed  map[int]*Target   // by number
	Acted    map[int]*Action   // by number
	Asked    map[string]*Query // by ID; nil where nobody uses it any longer
	More     bool              // another part follows
}

// Part makes the next part of a snapshot: of what has changed, as much as it can in a short time.
func (b *Board) Part(all bool, ids IDs, m Maker, began time.Time) Part {
	all = all || !b.read
	p := Part{All: all, Anew: all || b.anew, Sizes: [2]int{m.Targets, m.Actions}}
	if all {
		b.read, b.queries = true, make(map[watch.Query]bool)
		b.first = slices.Collect(m.Queries)
	}
	if p.Anew {
		b.anew = false
		b.targets.setAll(m.Targets)
		b.actions.setAll(m.Actions)
	}

	for _, q := range b.unnamed {
		b.queries[q] = true
	}
	b.unnamed = nil

	p.Changed, p.Acted, p.Asked = make(map[int]*Target), make(map[int]*Action), make(map[string]*Query)
	late := func() bool { return time.Since(began) > partTime }
	for !late() && b.targets.next(func(i int) { p.Changed[i] = m.Target(i) }) {
	}
	for !late() && b.actions.next(func(i int) { p.Acted[i] = m.Action(i) }) {
	}
	for !late() && len(b.first) > 0 {
		last := len(b.first) - 1
		b.addQuery(&p, b.first[last], ids, m)
		b.first = b.first[:last]
	}
	for q := range b.queries {
		if late() {
			break
		}
		delete(b.queries, q)
		b.addQuery(&p, q, ids, m)
	}
	p.More = len(b.targets.list)+len(b.actions.list)+len(b.first)+len(b.queries) > 0
	return p
}

// addQuery adds a query to a part.
func (b *Board) addQuery(p *Part, q watch.Query, ids IDs, m Maker) {
	v, hidden := m.Query(q)
	if v != nil && (v.Text == "" || hidden) {
		v.Text = cmp.Or(v.Text, q.Kind)
		b.unnamed = append(b.unnamed, q)
	}
	p.Asked[ids.Query(q)] = v
}

// next takes a number out of the marks, and reports whether there was one.
func (m *marks) next(do func(int)) bool {
	last := len(m.list) - 1
	if last < 0 {
		return false
	}
	i := m.list[last]
	m.list, m.has[i] = m.list[:last], false
	do(i)
	return true
}
