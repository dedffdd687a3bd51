package consul

import (
	"context"
	"errors"
	"iter"
	"slices"
	"strings"
	"time"

	"render/watch"
	"render/watch/agent"
)

const (
	mostGroups = 12      // of a scope
	groupBytes = 4 << 20 // of a group's answer: beyond, only names are requested
)

// A group is a request that waits for changes of all keys that begin with a prefix. Its answer is the answer of its members.
//
// Where the answer would be large, only the names below the prefix are asked for. That wakes at the same changes, but does not show
// which keys have changed, so that all members are read. The Source's mutex guards the fields.
type group struct {
	cover    *cover
	prefix   string
	stop     context.CancelFunc
	answered time.Time // the last time
	refused  time.Time // when the token was refused the prefix; zero where it was not
	names    bool      // only names are requested
}

// group makes sure that a group reports changes of a member. It reports whether one does. It must be called with the mutex held.
func (s *Source) group(c *cover, m *member) bool {
	g := c.groupOf(m.query.Name)
	if g == nil {
		g = s.newGroup(c, m.query)
	}
	if g == nil || !g.refused.IsZero() && time.Since(g.refused) < refusedRetry {
		return false
	}
	if m.began.Before(g.answered) && m.doubt.Before(g.answered) { // it was not a member yet
		m.report()
	}
	return true
}

// groupOf returns the group of a key or prefix.
func (c *cover) groupOf(name string) *group {
	for _, g := range c.groups {
		if strings.HasPrefix(name, g.prefix) {
			return g
		}
	}
	return nil
}

// newGroup begins a group for a query: of the folder of its key. Where there are too many groups, or too few connections, the two
// that have most of their beginning in common become one. It returns nil where there are no connections for even one.
func (s *Source) newGroup(c *cover, q watch.Query) *group {
	prefix := q.Name
	if q.Kind == watch.KindKV {
		prefix = prefix[:strings.LastIndex(prefix, "/")+1]
		if prefix == "" {
			prefix = q.Name
		}
	}
	for len(c.groups) >= mostGroups || s.signals >= s.mostSignals() {
		if len(c.groups) == 0 {
			return nil
		}
		at, common := -1, ""
		for i, g := range c.groups {
			if shared := commonPrefix(g.prefix, prefix); at < 0 || len(shared) > len(common) {
				at, common = i, shared
			}
		}
		for i, g := range c.groups {
			for _, other := range c.groups[:i] {
				if shared := commonPrefix(g.prefix, other.prefix); len(shared) > len(common) {
					at, common = -1, shared
				}
			}
		}
		if at >= 0 {
			prefix = common
		}
		for i := len(c.groups) - 1; i >= 0; i-- {
			if strings.HasPrefix(c.groups[i].prefix, common) {
				s.endGroup(c, c.groups[i])
			}
		}
		if at < 0 {
			s.startGroup(c, common)
		}
	}
	return s.startGroup(c, prefix)
}

func commonPrefix(a, b string) string {
	n := 0
	for n < len(a) && n < len(b) && a[n] == b[n] {
		n++
	}
	return a[:n]
}

func (s *Source) startGroup(c *cover, prefix string) *group {
	ctx, stop := context.WithCancel(s.life)
	g := &group{cover: c, prefix: prefix, stop: stop}
	c.groups = append(c.groups, g)
	s.signals++
	s.start(ctx, signal{
		request:   func(ctx context.Context, r agent.Request) (agent.Reply, error) { return s.requestGroup(ctx, g, r) },
		cover:     c,
		moved:     func(context.Context, uint64, uint64, bool) bool { return true }, // requestGroup has told its members
		failed:    func(err error, report bool) { s.groupFailed(g, err, report) },
		recovered: func(time.Time) {}, // the same
		answered:  func() {},
	}, func() {})
	return g
}

func (s *Source) endGroup(c *cover, g *group) {
	g.stop()
	c.groups = slices.DeleteFunc(c.groups, func(other *group) bool { return other == g })
	s.signals--
}

// requestGroup makes the request of a group, and hands its answer to the members.
func (s *Source) requestGroup(ctx context.Context, g *group, r agent.Request) (agent.Reply, error) {
	var names bool
	s.locked(func() { names = g.names })
	r.Params = g.cover.scope.params()
	if names {
		r.Path = keyPath(g.prefix)
		r.Params.Set("keys", "")
		r.Params.Set("separator", "/")
		got, err := s.agent.Get(ctx, r, new([]string))
		if err == nil && got.Index != r.After {
			s.locked(func() {
				g.heard()
				g.reportAll()
			})
		}
		return got, err
	}

	r.Limit = groupBytes
	pairs, got, err := s.pairs(ctx, g.prefix, r)
	if errors.Is(err, agent.ErrTooLarge) {
		s.locked(func() { g.names = true })
		r.After = 0
		return s.requestGroup(ctx, g, r)
	}
	if err == nil && got.Index != r.After {
		s.notifyMembers(g, pairs, got)
	}
	return got, err
}

// heard notes an answer. It must be called with the mutex held, as must members and reportAll.
func (g *group) heard() { g.answered, g.refused = time.Now(), time.Time{} }

// members returns the members of the cover to which the group reports changes.
func (g *group) members() iter.Seq[*member] {
	return func(yield func(*member) bool) {
		for m := range g.cover.members {
			if strings.HasPrefix(m.query.Name, g.prefix) && !yield(m) {
				return
			}
		}
	}
}

// reportAll has all members of a group read.
func (g *group) reportAll() {
	for m := range g.members() {
		m.report()
	}
}

// notifyMembers gives members what has changed for them. What lacks something for want of rights says nothing of what is not in it.
func (s *Source) notifyMembers(g *group, pairs []pair, got agent.Reply) {
	s.mu.Lock()
	defer s.mu.Unlock()
	g.heard()
	for m := range g.members() {
		switch {
		case m.index == 0: // it has no answer yet
		case m.query.Kind == watch.KindPrefix:
			m.notifyPrefix(below(pairs, m.query.Name), got)
		default:
			m.notifyKey(below(pairs, m.query.Name), got)
		}
	}
}

// below returns the pairs whose keys begin with a prefix. They are sorted.
func below(pairs []pair, prefix string) []pair {
	from, _ := slices.BinarySearchFunc(pairs, prefix, func(p pair, prefix string) int { return strings.Compare(p.Key, prefix) })
	n := 0
	for n < len(pairs)-from && strings.HasPrefix(pairs[from+n].Key, prefix) {
		n++
	}
	return pairs[from : from+n]
}

// notifyKey must be called with the mutex held, as must notifyPrefix and give.
func (m *member) notifyKey(pairs []pair, got agent.Reply) {
	if len(pairs) > 0 && pairs[0].Key == m.query.Name {
		switch at := pairs[0].ModifyIndex; {
		case at > m.index || m.size == 0:
			m.give(string(pairs[0].Value), 1, at)
		case at < m.index: // indexes have gone back, or the server is behind
			m.report()
		}
		return
	}
	switch {
	case got.Filtered, m.size > 0 && got.Index < m.index: // as above
		m.report()
	case m.size > 0 && got.Index > m.index:
		m.give(nil, 0, got.Index)
	}
}

func (m *member) notifyPrefix(pairs []pair, got agent.Reply) {
	if got.Filtered || m.size > 0 && got.Index < m.index { // as with a key
		m.report()
		return
	}
	var newest uint64
	for i := range pairs {
		newest = max(newest, pairs[i].ModifyIndex)
	}
	if newest > m.index || len(pairs) != m.size && got.Index > m.index {
		m.give(keyPairs(m.query.Name, pairs), len(pairs), got.Index)
	}
}

// give hands an answer to the calls of a member.
func (m *member) give(value any, size int, index uint64) {
	m.noteChange()
	m.index, m.size, m.began = index, size, time.Now()
	for c := range m.calls {
		c.result = &result{value, index}
	}
	m.wake()
}

// groupFailed has the members of a group learn what is wrong. Where the token may not list the keys, they wait for themselves.
func (s *Source) groupFailed(g *group, err error, report bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if errors.Is(err, watch.ErrDenied) {
		g.refused = time.Now()
	}
	if report {
		g.reportAll()
	}
}
