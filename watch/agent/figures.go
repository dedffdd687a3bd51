package agent

import (
	"errors"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"render/watch"
)

// figures count what an agent does.
type figures struct {
	answered, denied, refused, failed atomic.Uint64 // requests, by outcome
	inFlight, waiting                 atomic.Int64
	bytes                             atomic.Uint64
	behind                            atomic.Int64 // in milliseconds
	leaderless                        atomic.Bool
	lastAnswer                        atomic.Int64 // in nanoseconds of Unix time

	mu    sync.Mutex // guards what follows
	err   error      // of the last request that ended, where it says that the server is not well
	since time.Time  // of the first such request in a row
}

// begin notes that a request is made, and returns what notes its end. One that was given up has no outcome.
func (f *figures) begin(waits bool) (end func(err error, givenUp bool)) {
	f.inFlight.Add(1)
	if waits {
		f.waiting.Add(1)
	}
	return func(err error, givenUp bool) {
		f.inFlight.Add(-1)
		if waits {
			f.waiting.Add(-1)
		}
		if !givenUp && !errors.Is(err, errCut) {
			f.ended(err)
		}
	}
}

func (f *figures) ended(err error) {
	_, refused := errors.AsType[RefusedError](err)
	switch {
	case err == nil:
		f.answered.Add(1)
	case errors.Is(err, watch.ErrDenied):
		f.denied.Add(1)
	case refused:
		f.refused.Add(1)
	default:
		f.failed.Add(1)
	}

	_, bad := errors.AsType[watch.OutageError](err)
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case !bad:
		f.err, f.since = nil, time.Time{}
	case f.err == nil:
		f.since = time.Now()
		fallthrough
	default:
		f.err = err
	}
}

// note notes what the headers of an answer say.
func (f *figures) note(of API, h http.Header) {
	f.lastAnswer.Store(time.Now().UnixNano())
	f.leaderless.Store(h.Get(of.Header+"KnownLeader") == "false")
	if behind, err := strconv.ParseInt(h.Get(of.Header+"LastContact"), 10, 64); err == nil {
		f.behind.Store(behind)
	}
}

// Figures returns what the agent has done, and what it does at this moment.
func (a *Agent) Figures() watch.Figures {
	f := &a.figures
	all := watch.Figures{
		Address: a.Endpoint().Address(), Limit: a.conns.most(), InFlight: int(f.inFlight.Load()), Waiting: int(f.waiting.Load()),
		Answered: f.answered.Load(), Denied: f.denied.Load(), Refused: f.refused.Load(), Failed: f.failed.Load(),
		Bytes: f.bytes.Load(), Behind: time.Duration(f.behind.Load()) * time.Millisecond,
	}
	if at := f.lastAnswer.Load(); at != 0 {
		all.LastAnswer, all.KnownLeader = time.Unix(0, at), !f.leaderless.Load()
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	all.Err, all.Since = f.err, f.since
	return all
}
