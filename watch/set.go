package watch

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"
)

const (
	plainDeadline = 30 * time.Second                     // for an answer that was not asked to wait
	pollDeadline  = MaxWait + MaxWait/16 + 5*time.Second // Consul adds up to a sixteenth to the wait that it was asked for

	retryBase = 250 * time.Millisecond // pause after a query's first failure; doubled by each further one
	retryMax  = 5 * time.Second        // so that a Consul that comes back is noticed within seconds

	idleBase = 100 * time.Millisecond // least time for a request that brought nothing new; doubled by each further one
	idleMax  = 10 * time.Second
)

var errSilent = errors.New("no answer")

// A State is all there is to know about a watched query.
type State struct {
	Value any       // the last good answer; nil where there is none, or no answer yet
	Rev   uint64    // counts answers that differ; 0 means none yet
	Index uint64    // the Source's index of Value
	Err   error     // why the last attempt failed; nil where it did not. Value stays (R3)
	Since time.Time // when Value arrived or, with Err, when the attempts began to fail
}

// A Set watches queries: one goroutine a query asks the Source again and again, and each State that a reader has not
// seen waits in a mailbox. Nobody blocks on a slow reader, and an error never hides an answer that was not taken yet.
type Set struct {
	src   Source
	ready chan struct{}
	wg    sync.WaitGroup

	mu      sync.Mutex // guards what follows
	watched map[Query]*watcher
	fresh   map[Query]State
	closed  bool
}

type watcher struct{ stop context.CancelFunc }

// NewSet returns an empty set. Close must be called when it is no longer needed.
func NewSet(src Source) *Set {
	return &Set{
		src:     src,
		ready:   make(chan struct{}, 1),
		watched: make(map[Query]*watcher),
		fresh:   make(map[Query]State),
	}
}

// Watch begins to watch a query. It does nothing where the query is watched already, or the set closed.
func (s *Set) Watch(q Query) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed || s.watched[q] != nil {
		return
	}
	ctx, stop := context.WithCancel(context.Background())
	w := &watcher{stop: stop}
	s.watched[q] = w
	s.wg.Go(func() { s.watch(ctx, w, q) })
}

// Forget stops watching a query. No State of it comes after Forget has returned.
func (s *Set) Forget(q Query) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if w := s.watched[q]; w != nil {
		w.stop()
		delete(s.watched, q)
		delete(s.fresh, q)
	}
}

// Ready returns a channel that can be received from when Take has something to give. It does not queue: one receive may
// stand for many states.
func (s *Set) Ready() <-chan struct{} { return s.ready }

// Take returns the states that are new since the last Take.
func (s *Set) Take() map[Query]State {
	s.mu.Lock()
	defer s.mu.Unlock()
	taken := s.fresh
	s.fresh = make(map[Query]State)
	return taken
}

// Close stops all watching and returns when every goroutine of the set has ended.
func (s *Set) Close() {
	s.mu.Lock()
	s.closed = true
	for _, w := range s.watched {
		w.stop()
	}
	s.mu.Unlock()
	s.wg.Wait()
}

func (s *Set) publish(w *watcher, q Query, st State) {
	s.mu.Lock()
	current := s.watched[q] == w
	if current {
		s.fresh[q] = st
	}
	s.mu.Unlock()
	if current {
		select {
		case s.ready <- struct{}{}:
		default:
		}
	}
}

// watch asks for one query until ctx is done.
//
// After a failure, and after an index that went backwards (a restored or restarted Consul), the next request is a plain
// read: waiting for an index of the past could last for the whole wait although the answer is another.
func (s *Set) watch(ctx context.Context, w *watcher, q Query) {
	var st State
	var after uint64
	var failures, idle int
	for {
		began := time.Now()
		value, index, err := s.fetch(ctx, q, after)
		if ctx.Err() != nil {
			return
		}
		var pause time.Duration
		switch {
		case err != nil:
			if st.Err == nil {
				st.Since = time.Now()
			}
			st.Err = err
			s.publish(w, q, st)
			after = 0
			pause = Backoff(failures, retryBase, retryMax)
			failures++
		case index < after:
			after = 0
		case st.Rev == 0 || !equal(st.Value, value):
			st = State{Value: value, Rev: st.Rev + 1, Index: index, Since: time.Now()}
			s.publish(w, q, st)
			after, failures, idle = index, 0, 0
		default:
			if st.Err != nil {
				st.Err, st.Since = nil, time.Now()
				s.publish(w, q, st)
			}
			after, failures = index, 0
			if pause = doubled(idleBase, idle, idleMax) - time.Since(began); pause > 0 {
				idle++
			} else {
				idle = 0
			}
		}
		if pause > 0 && !sleep(ctx, pause) {
			return
		}
	}
}

// fetch asks the source once, under a deadline: a connection that died in silence must not silence a query for ever.
func (s *Set) fetch(ctx context.Context, q Query, after uint64) (any, uint64, error) {
	limit := plainDeadline
	if after != 0 {
		limit = pollDeadline
	}
	ctx, cancel := context.WithTimeoutCause(ctx, limit, errSilent)
	defer cancel()
	value, index, err := s.src.Fetch(ctx, q, after)
	if err != nil && errors.Is(context.Cause(ctx), errSilent) {
		err = fmt.Errorf("%w within %s: %w", errSilent, limit, err)
	}
	return value, max(index, 1), err
}

// Backoff returns how long to pause after a number of earlier failures: base doubled by each, at most limit, less a
// random part of up to a half, so that many who failed together do not try again together.
func Backoff(failures int, base, limit time.Duration) time.Duration {
	d := doubled(base, failures, limit)
	return d - rand.N(d/2+1)
}

func doubled(base time.Duration, times int, limit time.Duration) time.Duration {
	for range times {
		if base >= limit {
			return limit
		}
		base *= 2
	}
	return min(base, limit)
}

// sleep pauses and reports whether the pause went by before ctx was done.
func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
