package watch

import (
	"cmp"
	"context"
	"log/slog"
	"sync"
	"time"
)

const (
	// DefaultBackoff and DefaultMaxBackoff are the pauses after a query's first failure, and after many. The second is
	// short, so that a Consul that is available again is noticed within seconds.
	DefaultBackoff    = 250 * time.Millisecond
	DefaultMaxBackoff = 4 * time.Second
)

// A State is all there is to know about a watched query.
type State struct {
	Value    any       // the last good answer; nil for absent, or for no answer yet
	Rev      uint64    // counts answers that differ; 0 means none yet
	Index    uint64    // the Source's index of Value
	Expires  time.Time // when Value expires; zero where it does not. From then on Err is an ExpiredError, until another answer comes
	Err      error     // why the last attempt failed; nil where it did not. Value stays (R3)
	Failures int       // attempts that failed in a row
	Since    time.Time // when Value arrived or, with Err, when the attempts began to fail
}

// SetConfig says how a Set asks. The zero value asks for ever.
type SetConfig struct {
	Backoff    time.Duration      // pause after a query's first failure, doubled by each further one; 0 means DefaultBackoff
	MaxBackoff time.Duration      // the longest such pause; 0 means DefaultMaxBackoff
	BackoffOf  map[string]Backoff // in place of both, for the queries of some kinds
	Once       bool               // stop asking for what has been answered, unless the answer is that there is nothing
	Log        *slog.Logger       // gets the stack of a source that panics; nil discards it
}

// A Backoff is the pause after a first failure, which each further one doubles, and the longest pause. 0 means the defaults.
type Backoff struct{ Base, Most time.Duration }

// A Set watches queries: one goroutine a query asks the Source again and again, and each State that a reader has not
// seen waits in a mailbox. Nobody blocks on a slow reader, and an error never hides an answer that was not taken yet.
type Set struct {
	src   Source
	cfg   SetConfig // its pauses are guarded by mu
	ready chan struct{}
	wg    sync.WaitGroup

	forgetting chan struct{} // of size 1, full while the Source forgets a query; no watcher begins to ask meanwhile

	mu      sync.Mutex // guards what follows
	watched map[Query]*watcher
	asking  map[Query]int // watchers whose goroutine has not ended: more than one where a query is watched again
	fresh   map[Query]State
	missed  uint64
	panics  map[string]bool // the places of those in the log
	closed  bool
}

// NewSet returns an empty set. Close must be called when it is no longer needed.
func NewSet(src Source, cfg SetConfig) *Set {
	s := &Set{
		src:     src,
		cfg:     cfg,
		ready:   make(chan struct{}, 1),
		watched: make(map[Query]*watcher),
		asking:  make(map[Query]int),

		forgetting: make(chan struct{}, 1),
		fresh:      make(map[Query]State),
		panics:     make(map[string]bool),
	}
	if s.cfg.Log == nil {
		s.cfg.Log = slog.New(slog.DiscardHandler)
	}
	s.SetBackoff(cfg.Backoff, cfg.MaxBackoff, cfg.BackoffOf)
	return s
}

// Watch begins to watch a query. It does nothing where the query is watched already, or the set closed.
func (s *Set) Watch(q Query) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed || s.watched[q] != nil {
		return
	}
	ctx, stop := context.WithCancel(context.Background())
	w := &watcher{query: q, stop: stop}
	s.watched[q] = w
	s.asking[q]++
	s.wg.Go(func() {
		s.forgetting <- struct{}{} // until the source has forgotten the query of an earlier watcher
		<-s.forgetting
		s.watch(ctx, w)
		s.leave(q)
	})
}

// Forget stops watching a query. No State of it comes after Forget has returned.
func (s *Set) Forget(q Query) {
	s.mu.Lock()
	defer s.mu.Unlock()
	w := s.watched[q]
	if w == nil {
		return
	}
	w.stop()
	delete(s.watched, q)
	delete(s.fresh, q)
	if s.asking[q] == 0 && !s.closed { // its watcher has ended, because once was enough
		s.asking[q]++
		s.wg.Go(func() { s.leave(q) })
	}
}

// Applied has the source end what it holds for answers of a query that are earlier than one with State.Index (Applier). The caller
// has made files of that answer, and their action has succeeded. It returns at once.
func (s *Set) Applied(q Query, index uint64) {
	s.request(q, func() (any, uint64, error) { applied(s.src, q, index); return nil, 0, nil })
}

// leave notes that a watcher of a query has ended. After the last one the source forgets the query, unless it is still
// wanted: a Set that is closed, or that asks once, forgets nothing by itself.
func (s *Set) leave(q Query) {
	s.forgetting <- struct{}{}
	defer func() { <-s.forgetting }()
	s.mu.Lock()
	s.asking[q]--
	last := s.asking[q] == 0
	if last {
		delete(s.asking, q)
	}
	wanted := s.watched[q] != nil
	s.mu.Unlock()
	if last && !wanted {
		s.request(q, func() (any, uint64, error) { forget(s.src, q); return nil, 0, nil })
	}
}

// SetBackoff changes the pauses after failures, as of SetConfig, from the next failure of each query on.
func (s *Set) SetBackoff(base, most time.Duration, of map[string]Backoff) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.cfg.BackoffOf = of
	s.cfg.Backoff = cmp.Or(base, DefaultBackoff)
	s.cfg.MaxBackoff = cmp.Or(most, DefaultMaxBackoff)
}

// backoff returns the pauses after a first failure of a query of a kind, and after many.
func (s *Set) backoff(kind string) (base, most time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if own, ok := s.cfg.BackoffOf[kind]; ok {
		return cmp.Or(own.Base, DefaultBackoff), cmp.Or(own.Most, DefaultMaxBackoff)
	}
	return s.cfg.Backoff, s.cfg.MaxBackoff
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

// Missed returns how many changes the waiting requests did not bring, so that only a plain read found them. It should
// stay 0.
func (s *Set) Missed() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.missed
}

func (s *Set) publish(w *watcher, st State) {
	s.mu.Lock()
	w.last = st
	current := s.watched[w.query] == w
	if current {
		s.fresh[w.query] = st
	}
	s.mu.Unlock()
	if current {
		select {
		case s.ready <- struct{}{}:
		default:
		}
	}
}
