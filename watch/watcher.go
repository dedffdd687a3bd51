package watch

import (
	"context"
	"errors"
	"reflect"
	"sync"
	"time"

	"render/watch/pause"
)

const outageBackoff = time.Second // the longest pause where the source itself keeps the attempts few (OutageError, RetriedError)

var (
	errUnconfirmed = errors.New("the answer is empty, and the leader does not confirm that; the previous answer stays in use")
	errExpires     = errors.New("the answer expires") // why a request is given up
)

// A watcher is what a Set knows of one query. The Set's mutex guards last and giveUp.
type watcher struct {
	query     Query
	stop      context.CancelFunc
	rereading sync.WaitGroup
	last      State
	giveUp    context.CancelCauseFunc // ends the request under way
}

// watch requests the answers of one query until ctx is done.
//
// After a failure, and after an index that went backwards (a restored or restarted Consul), the next request is a plain
// read: waiting for an index of the past could last for the whole wait although the answer is another.
func (s *Set) watch(ctx context.Context, w *watcher) {
	defer s.rereads(ctx, w)()
	var st State
	var after uint64
	var idle pause.Idle
	for {
		began := time.Now()
		got := s.fetch(ctx, w, after, st.deadline())
		if ctx.Err() != nil {
			return
		}
		if errors.Is(got.err, ErrIndexVoid) || got.err == nil && got.index < after {
			after = 0
			continue
		}
		if got.err == nil {
			if lost := vanishes(st.Value, got.value); lost || got.index < st.Index && !Equal(st.Value, got.value) {
				got = s.confirm(ctx, w.query, lost)
			}
		}

		var delay time.Duration
		switch {
		case got.answered && (st.Rev == 0 || !Equal(st.Value, got.value)):
			st = State{Value: got.value, Rev: st.Rev + 1, Index: got.index, Expires: got.expires, Since: time.Now()}
			s.publish(w, st)
			idle = 0
		case got.err == nil && st.Err != nil:
			st.Err, st.Failures, st.Since, st.Index, st.Expires = nil, 0, time.Now(), got.index, got.expires
			s.publish(w, st)
		case got.err == nil:
			renewed := !got.expires.Equal(st.Expires)
			st.Index, st.Expires = got.index, got.expires
			if renewed {
				s.publish(w, st)
			}
			delay = idle.Pause(began)
		}

		after = got.index
		if got.err != nil {
			delay = s.fail(w, &st, got.err)
			after = 0
		} else if s.cfg.Once && !isNothing(st.Value) {
			return
		}
		if delay > 0 && !wait(ctx, delay, got.err) {
			return
		}
	}
}

// wait waits for a duration, or until the source has asked again by itself. False means that ctx is done.
func wait(ctx context.Context, delay time.Duration, err error) bool {
	retried, _ := errors.AsType[RetriedError](err)
	timer := time.NewTimer(delay)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-retried.Changed:
	case <-ctx.Done():
		return false
	}
	return true
}

// deadline returns when the value expires, unless it does not, or Err says already that it has.
func (st *State) deadline() time.Time {
	if _, told := errors.AsType[ExpiredError](st.Err); told {
		return time.Time{}
	}
	return st.Expires
}

// fail notes a failure and returns how long to pause because of it.
func (s *Set) fail(w *watcher, st *State, err error) (delay time.Duration) {
	if _, is := errors.AsType[ExpiredError](err); !is && expired(st.Expires) {
		err = ExpiredError{At: st.Expires, Err: err}
	}
	_, reported := errors.AsType[ExpiredError](st.Err)
	told := st.Err != nil && st.Err.Error() == err.Error()
	if st.Err == nil {
		st.Since = time.Now()
	}
	base, most := s.backoff(w.query.Kind)
	_, few := errors.AsType[OutageError](err)
	if _, retried := errors.AsType[RetriedError](err); few || retried {
		most = min(most, outageBackoff)
	}
	delay = pause.Backoff(st.Failures, base, most)
	if until := time.Until(st.Expires); until > 0 {
		delay = min(delay, until)
	}
	if _, is := errors.AsType[ExpiredError](err); is && !reported {
		delay = min(delay, base) // the source may not have been asked
	}
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
	expires  time.Time
	err      error
	answered bool
}

// request asks the source about a query by calling do. A source that panics has failed. So has one whose answer has expired: that
// is of no more use than none.
func (s *Set) request(q Query, do func() (any, uint64, error)) (got answer) {
	defer func() {
		if p := recover(); p != nil {
			err := newPanicError(q, p)
			s.logPanic(err, panicPlace())
			got = answer{err: err}
		}
	}()
	value, index, err := do()
	if err != nil {
		return answer{err: err}
	}
	got = answer{value: value, index: max(index, 1), answered: true}
	if v, ok := value.(interface{ Expires() time.Time }); ok {
		got.expires = v.Expires()
	}
	if expired(got.expires) {
		return answer{err: ExpiredError{At: got.expires}}
	}
	return got
}

func expired(at time.Time) bool { return !at.IsZero() && !time.Now().Before(at) }

// fetch asks the source once, in a way that the watcher's giveUp can end. Deadline is when the answer in use expires, or zero.
func (s *Set) fetch(ctx context.Context, w *watcher, after uint64, deadline time.Time) answer {
	if expired(deadline) {
		return answer{err: ExpiredError{At: deadline}}
	}
	if !deadline.IsZero() {
		var cancel context.CancelFunc
		ctx, cancel = context.WithDeadlineCause(ctx, deadline, errExpires)
		defer cancel()
	}
	ctx, giveUp := context.WithCancelCause(ctx)
	defer giveUp(nil)
	s.mu.Lock()
	w.giveUp = giveUp
	s.mu.Unlock()

	got := s.request(w.query, func() (any, uint64, error) { return s.src.Fetch(ctx, w.query, after) })
	switch cause := context.Cause(ctx); {
	case got.err == nil:
	case errors.Is(cause, errMissed):
		got.err = ErrIndexVoid
	case errors.Is(cause, errExpires):
		got.err = ExpiredError{At: deadline}
	}
	return got
}

// confirm asks with the strongest consistency there is. What loses everything is not believed without that (R11); neither
// is another answer that is older than what we know: it comes from a server that is behind, or from a Consul that begins anew.
func (s *Set) confirm(ctx context.Context, q Query, lost bool) answer {
	got := s.request(q, func() (any, uint64, error) { return confirmer(s.src).Confirm(ctx, q) })
	if lost && got.err == nil && !isNothing(got.value) {
		got.err = errUnconfirmed
	}
	return got
}

// vanishes reports whether an answer takes something to nothing.
func vanishes(old, value any) bool { return !isNothing(old) && isNothing(value) }

// isNothing reports whether an answer is that the name does not exist, or an empty list.
func isNothing(value any) bool {
	if value == nil {
		return true
	}
	v := reflect.ValueOf(value)
	return v.Kind() == reflect.Slice && v.Len() == 0
}
