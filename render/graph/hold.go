package graph

import "render/watch"

// Revisions returns which answers the pass of a snapshot has used, by State.Rev, of the queries for which wanted is true. It is called after
// Finish, before the graph takes anything else.
func (s *Snapshot[T]) Revisions(wanted func(watch.Query) bool) map[watch.Query]uint64 {
	revisions := make(map[watch.Query]uint64)
	for q, usage := range s.user.uses {
		if usage != answered || !wanted(q) {
			continue
		}
		if is, changed := s.before[q]; changed {
			revisions[q] = is.revision
		} else {
			revisions[q] = s.graph.nodes[q].state.Rev
		}
	}
	return revisions
}

// Secrets returns the answers of the pass of a snapshot that are secret, and what it writes to Vault. It is called when Revisions is.
func (s *Snapshot[T]) Secrets() (all []any) {
	for q, usage := range s.user.uses {
		if usage != answered || !q.SecretAnswer() {
			continue
		}
		if is, changed := s.before[q]; changed {
			all = append(all, is.value)
		} else {
			all = append(all, s.sees(q).value)
		}
		if q.Kind == watch.KindSecretWrite {
			for _, text := range q.Pairs() {
				all = append(all, text)
			}
		}
	}
	return all
}

// SeesEarlier reports whether a pass is under way that sees an earlier answer to a query than the latest.
func (g *Graph[T]) SeesEarlier(q watch.Query) bool {
	n := g.nodes[q]
	for s := range g.begun {
		if is, changed := s.before[q]; changed && n != nil && is.answered && is.revision != n.state.Rev {
			return true
		}
	}
	return false
}

// Keep has a pin use a query that somebody uses.
func (g *Graph[T]) Keep(pin *User[T], q watch.Query) {
	pin.uses[q] = kept
	g.nodes[q].users[pin] = true
}

// Release ends what Keep has begun, and reports whether nobody uses the query any longer.
func (g *Graph[T]) Release(pin *User[T], q watch.Query) (forgotten bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(pin.uses, q)
	return g.release(use[T]{pin, q})
}
