// Package leases knows whose files hold answers that somebody has leased: credentials that end when their lease does. It tells the
// source when nobody uses earlier answers any more (R13 of package render), and keeps a query for as long as a file holds its answer.
//
// A holder is what has files: a target. It holds the answers of which its outputs are made: the output that may be in place, the one in
// flight and the one that is wanted. What a commit that failed may have left in place is held, too. So is what was held before, for as
// long as a program that reads the files was not notified of others, or has not ended (Await).
//
// Nothing here has a goroutine, a clock or I/O. One goroutine at a time may use a table.
package leases

import (
	"maps"
	"time"

	"render/render/graph"
	"render/watch"
)

// Uses are the answers that an output is made of, as far as somebody may have leased them: revisions by query. They do not change.
type Uses struct{ revisions map[watch.Query]uint64 }

// Of returns the answers that the pass of a snapshot has used; nil for none, and where there was no pass.
func Of[T any](s *graph.Snapshot[T]) *Uses {
	if s == nil {
		return nil
	}
	revisions := s.Revisions(isLeased)
	if len(revisions) == 0 {
		return nil
	}
	return &Uses{revisions}
}

// isLeased reports whether somebody may have leased the answers to a query.
func isLeased(q watch.Query) bool {
	switch q.Kind {
	case watch.KindSecret, watch.KindSecretWrite, watch.KindPKICert:
		return true
	}
	return false
}

// Or returns the answers of both, and of the same query the earlier one. Any of them may be nil.
func (u *Uses) Or(v *Uses) *Uses {
	if u == nil || u == v {
		return v
	}
	if v == nil {
		return u
	}
	both := maps.Clone(u.revisions)
	for q, revision := range v.revisions {
		if earlier, ok := both[q]; !ok || revision < earlier {
			both[q] = revision
		}
	}
	return &Uses{both}
}

// Stages are the uses of a holder's outputs: of what may be in place, what is in flight and what is wanted. Each may be nil.
type Stages [3]*Uses

// A Table has the holders. A nil table has none, and does nothing.
type Table[T comparable] struct {
	graph   *graph.Graph[T]
	applied func(q watch.Query, index uint64)
	forget  func([]watch.Query)

	pin     *graph.User[T] // keeps what is held from being forgotten
	stages  map[T]Stages
	waits   bool        // a program was not notified of all files, or is to end
	former  map[T]*Uses // what holders held since it was
	holders map[watch.Query]map[T]bool
	told    map[watch.Query]uint64               // the index with which applied was called last
	delayed map[watch.Query]bool                 // a pass under way may have used an earlier answer
	ends    map[watch.Query]map[uint64]time.Time // by revision: when the answer ends, or has ended; zero where it does not
}

// New returns a table for the users of a graph. It calls applied as watch.Applier has it, and forget with the queries that nobody uses
// or holds any longer.
func New[T comparable](g *graph.Graph[T], applied func(q watch.Query, index uint64), forget func([]watch.Query)) *Table[T] {
	return &Table[T]{
		graph: g, applied: applied, forget: forget, pin: g.Pin(nil),
		stages: make(map[T]Stages), former: make(map[T]*Uses), holders: make(map[watch.Query]map[T]bool),
		told: make(map[watch.Query]uint64), delayed: make(map[watch.Query]bool), ends: make(map[watch.Query]map[uint64]time.Time),
	}
}

// Hold notes what a holder holds. It may be called often: without a change it does next to nothing.
func (t *Table[T]) Hold(holder T, now Stages) {
	if t == nil || len(t.stages) == 0 && now == (Stages{}) || now == t.stages[holder] {
		return
	}
	before := t.held(holder)
	if t.waits && before != nil {
		t.former[holder] = before
	}
	if t.stages[holder] = now; now == (Stages{}) {
		delete(t.stages, holder)
	}
	t.change(holder, before)
}

// Await says whether a program that reads the files of holders was not notified yet of all of them, or is to end. What they held before
// may be in use then, and stays held until it was, or has ended.
func (t *Table[T]) Await(waits bool) {
	if t == nil || waits == t.waits {
		return
	}
	t.waits = waits
	if waits {
		return
	}
	former := t.former
	t.former = make(map[T]*Uses)
	for holder, before := range former {
		t.change(holder, before)
	}
}

// uses returns what a holder holds.
func (t *Table[T]) uses(holder T) [4]*Uses {
	s := t.stages[holder]
	return [4]*Uses{t.former[holder], s[0], s[1], s[2]}
}

// held returns the earliest answers that a holder holds; nil for none.
func (t *Table[T]) held(holder T) *Uses {
	all := t.uses(holder)
	return all[0].Or(all[1]).Or(all[2]).Or(all[3])
}

// change notes that a holder holds other answers than before.
func (t *Table[T]) change(holder T, before *Uses) {
	now := t.held(holder)
	var changed []watch.Query
	for q := range now.all() {
		if t.holders[q] == nil {
			t.holders[q] = make(map[T]bool, 1)
			t.graph.Keep(t.pin, q)
			t.noteEnd(q)
		}
		t.holders[q][holder] = true
		changed = append(changed, q)
	}
	var forgotten []watch.Query
	for q := range before.all() {
		if _, still := now.all()[q]; still {
			continue
		}
		if delete(t.holders[q], holder); len(t.holders[q]) > 0 {
			changed = append(changed, q)
			continue
		}
		delete(t.holders, q)
		delete(t.told, q)
		delete(t.delayed, q)
		delete(t.ends, q)
		if t.graph.Release(t.pin, q) {
			forgotten = append(forgotten, q)
		}
	}
	for _, q := range changed {
		t.settle(q)
	}
	if len(forgotten) > 0 {
		t.forget(forgotten)
	}
}

// all returns the revisions by query.
func (u *Uses) all() map[watch.Query]uint64 {
	if u == nil {
		return nil
	}
	return u.revisions
}

// Answered notes that queries have other states.
func (t *Table[T]) Answered(states map[watch.Query]watch.State) {
	if t == nil {
		return
	}
	for q := range states {
		if len(t.holders[q]) > 0 {
			t.noteEnd(q)
		}
		t.settle(q)
	}
}

// noteEnd notes when the latest answer to a query that is held ends, and forgets the ends of answers that nobody holds.
func (t *Table[T]) noteEnd(q watch.Query) {
	state, _ := t.graph.State(q)
	now := map[uint64]time.Time{state.Rev: state.Expires}
	for holder := range t.holders[q] {
		for _, uses := range t.uses(holder) {
			revision := uses.all()[q]
			if at, known := t.ends[q][revision]; known && revision != state.Rev {
				now[revision] = at
			}
		}
	}
	t.ends[q] = now
}

// End returns when the first of the answers in place ends, or has ended, that somebody has replaced with another: it is not renewed any
// more. It is zero if no such answer ends.
func (t *Table[T]) End(inPlace *Uses) (end time.Time) {
	if t == nil {
		return time.Time{}
	}
	for q, revision := range inPlace.all() {
		state, _ := t.graph.State(q)
		if revision == state.Rev {
			continue
		}
		at, known := t.ends[q][revision]
		if !known && !state.Expires.IsZero() {
			at = state.Since // it came and went before anybody held it
		}
		if !at.IsZero() && (end.IsZero() || at.Before(end)) {
			end = at
		}
	}
	return end
}

// NeedRenewal reports whether one of some answers ends unless somebody renews it, as credentials do. A certificate lasts without that.
func (t *Table[T]) NeedRenewal(uses *Uses) bool {
	for q := range uses.all() {
		state, _ := t.graph.State(q)
		secret, is := state.Value.(*watch.Secret)
		if is && !state.Expires.IsZero() && secret.Data["certificate"] == nil {
			return true
		}
	}
	return false
}

// PassEnded notes that a pass has ended that was under way while answers came.
func (t *Table[T]) PassEnded() {
	if t == nil {
		return
	}
	for q := range t.delayed {
		t.settle(q)
	}
}

// settle says that the latest answer to a query is applied, if no holder has an earlier one, and no pass under way may have used one.
func (t *Table[T]) settle(q watch.Query) {
	state, used := t.graph.State(q)
	if !used || len(t.holders[q]) == 0 {
		return
	}
	for holder := range t.holders[q] {
		for _, uses := range t.uses(holder) {
			if revision, ok := uses.all()[q]; ok && revision != state.Rev {
				return
			}
		}
	}
	if t.graph.SeesEarlier(q) {
		t.delayed[q] = true
		return
	}
	delete(t.delayed, q)
	if t.told[q] != state.Index {
		t.told[q] = state.Index
		t.applied(q, state.Index)
	}
}
