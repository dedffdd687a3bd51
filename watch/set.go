package watch

import (
	"cmp"
	"context"
	"errors"
	"math"
	"math/rand/v2"
	"reflect"
	"sync"
	"time"

	"render/watch/pause"
)

const (
	// DefaultBackoff and DefaultMaxBackoff are the pauses after a query's first failure, and after many. The second is
	// short, so that a Consul that comes back is noticed within seconds.
	DefaultBackoff    = 250 * time.Millisecond
	DefaultMaxBackoff = 4 * time.Second

	outageBackoff = time.Second // the longest pause where the source itself keeps the attempts few (OutageError)

	rereadEvery = 30 * time.Minute // between plain reads of a query beside its waiting ones; less up to a quarter
	rereadGrace = 10 * time.Second // for news to arrive that a plain read has seen first
)

var (
	errUnconfirmed = errors.New("answered that there is nothing, which its leader does not confirm; the answer before stays in use")
	errMissed      = errors.New("a change was missed")
)

// A State is all there is to know about a watched query.
type State struct {
	Value    any       // the last good answer; nil where there is none, or no answer yet
	Rev      uint64    // counts answers that differ; 0 means none yet
	Index    uint64    // the Source's index of Value
	Err      error     // why the last attempt failed; nil where it did not. Value stays (R3)
	Failures int       // attempts that failed in a row
	Since    time.Time // when Value arrived or, with Err, when the attempts began to fail
}

// SetConfig says how a Set asks. The zero value asks for ever.
type SetConfig struct {
	Backoff    time.Duration // pause after a query's first failure, doubled by each further one; 0 means DefaultBackoff
	MaxBackoff time.Duration // the longest such pause; 0 means DefaultMaxBackoff
	Once       bool          // stop asking for what has been answered, unless the answer is that there is nothing
}

// A Set watches queries: one goroutine a query asks the Source again and again, and each State that a reader has not
// seen waits in a mailbox. Nobody blocks on a slow reader, and an error never hides an answer that was not taken yet.
type Set struct {
	src   Source
	cfg   SetConfig // its pauses are guarded by mu
	ready chan struct{}
	wg    sync.WaitGroup

	mu      sync.Mutex // guards what follows
	watched map[Query]*watcher
	fresh   map[Query]State
	missed  uint64
	closed  bool
}

// A watcher is what a Set knows of one query. Its fields are guarded by the Set's mutex.
type watcher struct {
	query  Query
	stop   context.CancelFunc
	last   State
	giveUp context.CancelCauseFunc // ends the request under way
}

// NewSet returns an empty set. Close must be called when it is no longer needed.
func NewSet(src Source, cfg SetConfig) *Set {
	s := &Set{
		src:     src,
		cfg:     cfg,
		ready:   make(chan struct{}, 1),
		watched: make(map[Query]*watcher),
		fresh:   make(map[Query]State),
	}
	s.SetBackoff(cfg.Backoff, cfg.MaxBackoff)
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
	s.wg.Go(func() { s.watch(ctx, w) })
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

// SetBackoff changes the pauses after failures, as of SetConfig, from the next failure of each query on.
func (s *Set) SetBackoff(base, most time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.cfg.Backoff = cmp.Or(base, DefaultBackoff)
	s.cfg.MaxBackoff = cmp.Or(most, DefaultMaxBackoff)
}

// backoff returns the pauses after a first failure, and after many.
func (s *Set) backoff() (base, most time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
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

// watch asks for one query until ctx is done.
//
// After a failure, and after an index that went backwards (a restored or restarted Consul), the next request is a plain
// read: waiting for an index of the past could last for the whole wait although the answer is another.
func (s *Set) watch(ctx context.Context, w *watcher) {
	defer w.stop()
	defer s.rereads(ctx, w).Stop()
	var st State
	var after uint64
	var idle pause.Idle
	for {
		began := time.Now()
		got := s.fetch(ctx, w, after)
		if ctx.Err() != nil {
			return
		}
		if errors.Is(got.err, ErrIndexVoid) || got.err == nil && got.index < after {
			after = 0
			continue
		}
		if lost := vanishes(st.Value, got.value); got.err == nil && (lost || got.index < st.Index) {
			got = s.confirm(ctx, w.query, lost)
		}
		var delay time.Duration
		switch {
		case got.answered && (st.Rev == 0 || !Equal(st.Value, got.value)):
			st = State{Value: got.value, Rev: st.Rev + 1, Index: got.index, Since: time.Now()}
			s.publish(w, st)
			after, idle = got.index, 0
		case got.err == nil && st.Err != nil:
			st.Err, st.Failures, st.Since, st.Index = nil, 0, time.Now(), got.index
			s.publish(w, st)
			after = got.index
		case got.err == nil:
			after, st.Index = got.index, got.index
			delay = idle.Pause(began)
		}
		if got.err != nil {
			delay = s.fail(w, &st, got.err)
			after = 0
		} else if s.cfg.Once && !isNothing(st.Value) {
			return
		}
		if delay > 0 && !pause.For(ctx, delay) {
			return
		}
	}
}

// fail notes a failure and returns how long to pause because of it.
func (s *Set) fail(w *watcher, st *State, err error) (delay time.Duration) {
	told := st.Err != nil && st.Err.Error() == err.Error()
	if st.Err == nil {
		st.Since = time.Now()
	}
	base, most := s.backoff()
	if _, few := errors.AsType[OutageError](err); few {
		most = min(most, outageBackoff)
	}
	delay = pause.Backoff(st.Failures, base, most)
	st.Err = err
	st.Failures++
	if !told || s.cfg.Once {
		s.publish(w, *st)
	}
	return delay
}

// answer is what a request has brought. An answer may come with an error.
type answer struct {
	value    any
	index    uint64
	err      error
	answered bool
}

// fetch asks the source once, in a way that the watcher's giveUp can end.
func (s *Set) fetch(ctx context.Context, w *watcher, after uint64) answer {
	ctx, giveUp := context.WithCancelCause(ctx)
	defer giveUp(nil)
	s.mu.Lock()
	w.giveUp = giveUp
	s.mu.Unlock()
	value, index, err := s.src.Fetch(ctx, w.query, after)
	if err != nil && errors.Is(context.Cause(ctx), errMissed) {
		err = ErrIndexVoid
	}
	return answer{value, max(index, 1), err, err == nil}
}

// confirm asks with the strongest consistency there is. What loses everything is not believed without that (R11); neither
// is what is older than what we know: it comes from a server that is behind, or from a Consul that begins anew.
func (s *Set) confirm(ctx context.Context, q Query, lost bool) answer {
	value, index, err := confirmer(s.src).Confirm(ctx, q)
	got := answer{value, max(index, 1), err, err == nil}
	if lost && err == nil && !isNothing(value) {
		got.err = errUnconfirmed
	}
	return got
}

// rereads returns a running timer that has a query read plainly now and then: a waiting request may, by some fault
// between us and Consul, not bring a change.
func (s *Set) rereads(ctx context.Context, w *watcher) *time.Timer {
	next := func() time.Duration { return rereadEvery - rand.N(rereadEvery/4) }
	var timer *time.Timer
	timer = time.AfterFunc(math.MaxInt64, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.closed || ctx.Err() != nil {
			return
		}
		s.wg.Go(func() {
			s.reread(ctx, w)
			if ctx.Err() == nil {
				timer.Reset(next())
			}
		})
	})
	timer.Reset(next())
	return timer
}

func (s *Set) reread(ctx context.Context, w *watcher) {
	switch {
	case w.query.Kind == KindPlugin:
		return // each read runs the program
	case w.query.Options().Has(OptNear):
		return // the order by distance changes without telling
	}
	differs := func() (from uint64, differs bool) {
		value, _, err := s.src.Fetch(ctx, w.query, 0)
		s.mu.Lock()
		defer s.mu.Unlock()
		return w.last.Rev, err == nil && w.last.Rev > 0 && w.last.Err == nil && !Equal(w.last.Value, value)
	}
	from, differ := differs()
	if !differ || !pause.For(ctx, rereadGrace) {
		return
	}
	if still, differ := differs(); !differ || still != from { // where news have come it works
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.missed++
	w.giveUp(errMissed)
}

// vanishes reports whether an answer takes something to nothing.
func vanishes(old, value any) bool { return !isNothing(old) && isNothing(value) }

// isNothing reports whether an answer is that there is none, or an empty list.
func isNothing(value any) bool {
	if value == nil {
		return true
	}
	v := reflect.ValueOf(value)
	return v.Kind() == reflect.Slice && v.Len() == 0
}
