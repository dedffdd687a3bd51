package status

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"sync"
	"time"
)

const (
	sharedFor = 100 * time.Millisecond // a snapshot is handed to all who ask
	keptFor   = time.Minute            // a snapshot is kept for the next one to be made of
)

// Shared makes snapshots of the parts that an engine's loop answers with, for all readers together: however many they are, the loop
// answers a few requests. It remembers what it has, so that the loop makes only what has changed.
type Shared struct {
	ask  func(ctx context.Context, all bool) (Part, error)
	told func() uint64 // the last event's number

	turn chan struct{} // holds a token while somebody asks

	mu    sync.Mutex // guards what follows
	last  *Snapshot  // nil for none
	known known      // owned by who has the token
	idle  *time.Timer
}

// NewShared returns a maker of snapshots. Ask gets a part from the loop, and must not lose one: where it fails the loop has not made any.
// Told returns the number of the last event.
func NewShared(ask func(ctx context.Context, all bool) (Part, error), told func() uint64) *Shared {
	return &Shared{ask: ask, told: told, turn: make(chan struct{}, 1)}
}

// Snapshot returns a snapshot that is at most 100 ms old and has all that events have reported. It fails when ctx is done or the loop does not
// answer any more.
func (s *Shared) Snapshot(ctx context.Context) (*Snapshot, error) {
	if last := s.fresh(); last != nil {
		return last, nil
	}
	select {
	case s.turn <- struct{}{}:
		defer func() { <-s.turn }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if last := s.fresh(); last != nil { // somebody else has asked meanwhile
		return last, nil
	}

	for {
		p, err := s.ask(ctx, !s.known.begun)
		if err != nil {
			return nil, err // what came before is known: whoever asks next gets the rest
		}
		s.known.add(p)
		if !p.More {
			return s.keep(s.known.snapshot(p.Overview)), nil
		}
	}
}

// fresh returns the last snapshot if it is new enough, else nil.
func (s *Shared) fresh() *Snapshot {
	told := s.told()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.last == nil || time.Since(s.last.Time) >= sharedFor || s.last.Sequence < told {
		return nil
	}
	return s.last
}

// keep keeps a snapshot for the next readers.
func (s *Shared) keep(last *Snapshot) *Snapshot {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.last = last
	if s.idle == nil {
		s.idle = time.AfterFunc(keptFor, s.forgetIdle)
	} else {
		s.idle.Reset(keptFor)
	}
	return last
}

// forgetIdle forgets what nobody has requested in a while, unless somebody asks at this moment.
func (s *Shared) forgetIdle() {
	select {
	case s.turn <- struct{}{}:
		s.Forget()
		<-s.turn
	default:
	}
}

// Forget has the next snapshot made from the beginning. Nobody may ask for one meanwhile.
func (s *Shared) Forget() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.last, s.known = nil, known{}
}

// known is what a Shared knows of an engine.
type known struct {
	begun   bool // there was a part
	targets []*Target
	actions []*Action
	order   map[string]int    // of targets, by ID
	users   map[string][]int  // of queries by ID: the numbers of targets, sorted
	queries map[string]*Query // with their targets
	sorted  []*Query          // the same, sorted; nil where it is out of date
	stale   map[string]bool   // queries whose targets have changed
}

// add adds a part.
func (k *known) add(p Part) {
	k.begun = true
	if p.Anew {
		k.targets, k.actions = make([]*Target, p.Sizes[0]), make([]*Action, p.Sizes[1])
		k.order, k.users = make(map[string]int), make(map[string][]int)
		k.stale = make(map[string]bool)
		for id := range k.queries {
			k.stale[id] = true
		}
	}
	if p.All || k.queries == nil {
		k.queries, k.sorted = make(map[string]*Query), nil
	}
	k.addTargets(p.Changed)
	for i, a := range p.Acted {
		k.actions[i] = a
	}
	for id, q := range p.Asked {
		old := k.queries[id]
		switch {
		case q == nil:
			delete(k.queries, id)
			k.sorted = nil
		case old == nil:
			k.queries[id] = q
			k.stale[id], k.sorted = true, nil
		default:
			q.Targets = old.Targets
			k.replace(old, q)
		}
	}
}

// addTargets adds targets, and notes which queries they use, and no longer use.
func (k *known) addTargets(changed map[int]*Target) {
	added, removed := make(map[string][]int), make(map[string][]int)
	for i, t := range changed {
		old := k.targets[i]
		k.targets[i], k.order[t.ID] = t, i
		if old != nil && sameUses(old.Queries, t.Queries) {
			continue
		}
		has := make(map[string]bool)
		if old != nil {
			for _, u := range old.Queries {
				has[u.Query] = true
			}
		}
		for _, u := range t.Queries {
			if !has[u.Query] {
				added[u.Query] = append(added[u.Query], i)
			}
			delete(has, u.Query)
		}
		for id := range has {
			removed[id] = append(removed[id], i)
		}
	}
	for id, numbers := range removed {
		gone := make(map[int]bool, len(numbers))
		for _, i := range numbers {
			gone[i] = true
		}
		k.users[id] = slices.DeleteFunc(k.users[id], func(i int) bool { return gone[i] })
		if len(k.users[id]) == 0 {
			delete(k.users, id)
		}
		k.stale[id] = true
	}
	for id, numbers := range added {
		all := append(k.users[id], numbers...)
		slices.Sort(all)
		k.users[id] = slices.Compact(all)
		k.stale[id] = true
	}
}

// sameUses reports whether two lists are the very same.
func sameUses(a, b []Use) bool { return len(a) == len(b) && (len(a) == 0 || &a[0] == &b[0]) }

// replace puts a query into the place of its previous value.
func (k *known) replace(old, q *Query) {
	k.queries[q.ID] = q
	if k.sorted == nil || old.Text != q.Text {
		k.sorted = nil
		return
	}
	if i, found := slices.BinarySearchFunc(k.sorted, q, compareQueries); found {
		k.sorted[i] = q
	}
}

func compareQueries(a, b *Query) int {
	return cmp.Or(cmp.Compare(a.Text, b.Text), cmp.Compare(a.ID, b.ID))
}

// snapshot returns what is known as a snapshot.
func (k *known) snapshot(o Overview) *Snapshot {
	s := Snapshot{Overview: o}
	for id := range k.stale {
		if old := k.queries[id]; old != nil {
			q := *old
			q.Targets = make([]string, 0, len(k.users[id]))
			for _, i := range k.users[id] {
				q.Targets = append(q.Targets, k.targets[i].ID)
			}
			k.replace(old, &q)
		}
	}
	clear(k.stale)
	if k.sorted == nil {
		k.sorted = slices.SortedFunc(maps.Values(k.queries), compareQueries)
	}
	s.Targets, s.Actions, s.Queries = slices.Clone(k.targets), slices.Clone(k.actions), slices.Clone(k.sorted)
	s.Counts = CountsOf(&s)
	s.Line = LineOf(s.Counts, s.Configuration, s.Program)
	return &s
}

// CountsOf returns the sums of the lists of a snapshot.
func CountsOf(s *Snapshot) Counts {
	c := Counts{
		Targets: map[State]int{Pending: 0, Absent: 0, Failed: 0, Rendered: 0, Applied: 0},
		Actions: map[ActionState]int{InSync: 0, Waiting: 0, Committing: 0, Retrying: 0},
		Queries: map[QueryState]int{QueryPending: 0, QueryAnswered: 0, QueryAbsent: 0, QueryFailed: 0},
		Applied: true,
	}
	for _, t := range s.Targets {
		c.Targets[t.State]++
		c.Held += len(t.Held)
		c.Applied = c.Applied && t.AppliedOnce
	}
	for _, a := range s.Actions {
		c.Actions[a.State]++
		if !a.Unapplied.IsZero() && (c.Unapplied.IsZero() || a.Unapplied.Before(c.Unapplied)) {
			c.Unapplied = a.Unapplied
		}
	}
	for _, q := range s.Queries {
		c.Queries[q.State]++
		if q.Error != "" {
			c.Failing++
		}
	}
	return c
}
