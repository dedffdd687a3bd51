package watch

import (
	"context"
	"sync"
)

// A Switch is a Source that passes requests on to another, which can be replaced at any time. Who asks sees nothing of
// that but other answers, perhaps with lower indexes.
//
// An index counts for the source that gave it. So the first request after a change of sources is a plain read, whatever
// index it comes with.
type Switch struct {
	mu   sync.Mutex // guards what follows
	side *side
}

// side is a source, as long as it is in use. Its maps are guarded by the Switch's mutex.
type side struct {
	src      Source
	inside   sync.WaitGroup    // requests
	requests map[*request]bool // the same, to end them
	indexes  map[Query]uint64  // of the last answers
	replaced bool
}

// request ends what it stands for.
type request struct{ end context.CancelFunc }

// maxIndexes is how many queries' indexes are kept. A query without one is read plainly, once.
const maxIndexes = 100_000

// NewSwitch returns a switch to a source.
func NewSwitch(src Source) *Switch { return &Switch{side: newSide(src)} }

func newSide(src Source) *side {
	return &side{src: src, requests: make(map[*request]bool), indexes: make(map[Query]uint64)}
}

// Use puts another source in the place of the one so far. Requests under way end there, and ask the new one from the
// beginning. When Use returns the old source has no request any more, and can be closed.
func (s *Switch) Use(src Source) {
	next := newSide(src)
	s.mu.Lock()
	old := s.side
	s.side, old.replaced = next, true
	for r := range old.requests {
		r.end()
	}
	s.mu.Unlock()
	old.inside.Wait()
}

// Fetch implements Source.
func (s *Switch) Fetch(ctx context.Context, q Query, after uint64) (value any, index uint64, err error) {
	return s.request(ctx, q, func(ctx context.Context, src Source, last uint64) (any, uint64, error) {
		if after != last {
			return src.Fetch(ctx, q, 0)
		}
		return src.Fetch(ctx, q, after)
	})
}

// Confirm implements Confirmer.
func (s *Switch) Confirm(ctx context.Context, q Query) (value any, index uint64, err error) {
	return s.request(ctx, q, func(ctx context.Context, src Source, _ uint64) (any, uint64, error) {
		return confirmer(src).Confirm(ctx, q)
	})
}

// Reread implements Rereader.
func (s *Switch) Reread(q Query) bool {
	s.mu.Lock()
	src := s.side.src
	s.mu.Unlock()
	return rereads(src, q)
}

// Forget implements Forgetter. Only the current source is notified: one that was replaced has nothing that is still in use.
func (s *Switch) Forget(q Query) {
	in, r, _ := s.enter(q, func() {})
	forget(in.src, q)
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(in.indexes, q)
	in.exit(r)
}

// Applied implements Applier. An index of a source that was replaced means nothing to the current one.
func (s *Switch) Applied(q Query, index uint64) {
	s.mu.Lock()
	src, last := s.side.src, s.side.indexes[q]
	s.mu.Unlock()
	if index <= last {
		applied(src, q, index)
	}
}

// Locate implements Locator.
func (s *Switch) Locate(q Query) string {
	s.mu.Lock()
	src := s.side.src
	s.mu.Unlock()
	return Locate(src, q)
}

// request asks the current source; again, where that is replaced meanwhile. It hands on the last index that this source
// has given for the query.
func (s *Switch) request(ctx context.Context, q Query, do func(context.Context, Source, uint64) (any, uint64, error)) (any, uint64, error) {
	for {
		asking, end := context.WithCancel(ctx)
		in, r, last := s.enter(q, end)
		value, index, err := do(asking, in.src, last)
		end()
		if !s.leave(in, r, q, index, err) || ctx.Err() != nil {
			return value, index, err
		}
	}
}

func (s *Switch) enter(q Query, end context.CancelFunc) (in *side, r *request, last uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r = &request{end}
	s.side.requests[r] = true
	s.side.inside.Add(1)
	return s.side, r, s.side.indexes[q]
}

// leave reports whether the source was replaced, so that its answer is not used.
func (s *Switch) leave(in *side, r *request, q Query, index uint64, err error) (replaced bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	in.exit(r)
	if err == nil && !in.replaced {
		if len(in.indexes) >= maxIndexes {
			clear(in.indexes)
		}
		in.indexes[q] = max(index, 1) // as Set has it
	}
	return in.replaced
}

// exit ends a request. The Switch's mutex is held.
func (in *side) exit(r *request) {
	delete(in.requests, r)
	in.inside.Done()
}
