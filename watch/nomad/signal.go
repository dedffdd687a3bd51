package nomad

import (
	"context"
	"errors"
	"time"

	"render/watch"
	"render/watch/agent"
	"render/watch/pause"
)

const (
	mostSignals  = 8                // requests of them that wait at a time; queries of further scopes are read in turns
	turnEvery    = 10 * time.Second // between reads of a query that has no connection to wait on and no signal; longer where there are many
	turnEach     = 200 * time.Millisecond
	longestTurn  = time.Minute
	linger       = 5 * time.Second      // that a signal without queries lasts: most come back with their next request
	deniedPause  = time.Minute          // until a signal that the token may not read is read again
	refusedPause = 2 * time.Second      // less a random part, after a request that waits was refused
	roundPause   = 2 * time.Millisecond // for each query of a signal, between two of its changes
	longestRound = 10 * time.Second
	behindPause  = 300 * time.Millisecond // less a random part, until a server that does not know a change yet is asked once more
	signalBase   = 250 * time.Millisecond // until a signal that failed is asked again, doubled each time
	signalMost   = 4 * time.Second
)

// A signal waits for changes of all that is in a scope. The Source's mutex guards its fields.
type signal struct {
	stop    context.CancelFunc
	users   int           // calls that heed it
	left    time.Time     // when the last of them left
	changed chan struct{} // closed when what follows is other

	index   uint64                  // of the last answer; 0 means none
	indexes map[variablePath]uint64 // of the variables in the scope
	err     error                   // why the last request failed; nil where it did not
}

// A variablePath is the path of a variable. The namespace is empty in a scope of one.
type variablePath struct{ namespace, path string }

// heed returns when a query is to be read again, because a signal says that it may have changed; without a signal, when it is its turn. It
// returns false when the query may try for a connection of its own. An answer with the least index or a later one, of whatever server, is
// new enough; 0 means that only the leader's is. An error is that of the signal: the query's own request would have it, too.
func (s *Source) heed(ctx context.Context, q watch.Query, after uint64) (again bool, least uint64, err error) {
	sc := s.scopeOf(q)
	sig := s.listen(sc)
	if sig == nil {
		return pause.For(ctx, pause.Jittered(turnEvery)), after, nil
	}
	defer s.leave(sig)
	limit := time.NewTimer(pause.Jittered(s.agent.Config().Wait))
	defer limit.Stop()
	for {
		s.mu.Lock()
		changed, failure, users := sig.changed, sig.err, sig.users
		stale, least := false, uint64(0)
		if sig.index != 0 {
			stale, least = s.isStale(q, after, sig)
		}
		s.mu.Unlock()
		switch {
		case errors.Is(failure, watch.ErrDenied): // the token may read what it may not list
			return pause.For(ctx, pause.Jittered(max(turnEvery, min(time.Duration(users)*turnEach, longestTurn)))), after, nil
		case failure != nil:
			return false, 0, failure
		case stale:
			return true, least, nil
		}
		select {
		case <-changed:
		case <-limit.C:
			return false, 0, nil
		case <-ctx.Done():
			return false, 0, nil
		}
	}
}

// isStale reports whether the answer to a query, which has an index, may be older than a signal, and the least index of one that is not, as
// heed does. It says so once for each change: a token may read variables that are not listed for it. The mutex is held.
func (s *Source) isStale(q watch.Query, index uint64, sig *signal) (stale bool, least uint64) {
	k := s.known[q]
	switch {
	case k == nil || k.index != index:
		return true, 0 // another answer has come, or indexes have gone back
	case k.checked == sig.index:
		return false, 0
	}
	k.checked = sig.index
	switch {
	case !s.scopeOf(q).services:
		return summaryFor(q, sig.indexes) != k.summary, 0
	case index > sig.index:
		return true, 0 // the signal is of a server that is behind, or indexes have gone back
	}
	return index != sig.index, sig.index
}

// reread reads a query again that may have changed: from any server, and from the leader where that knows less than the least index (heed),
// also a little later. Many queries are read at each change.
func (s *Source) reread(ctx context.Context, q watch.Query, after, least uint64, since *agent.Epoch) (value any, index uint64, err error) {
	r := agent.Request{Unless: after, Bound: s.reads}
	for attempts := 1; ; attempts++ {
		if least == 0 || attempts == 3 {
			r.Read = agent.Leader
		}
		value, index, err = s.request(ctx, q, r, since)
		if err != nil {
			return nil, 0, err
		}
		if index >= least || r.Read == agent.Leader {
			break
		}
		if attempts == 1 {
			pause.For(ctx, pause.Jittered(behindPause))
		}
	}

	s.mu.Lock()
	defer s.mu.Unlock()
	if k := s.known[q]; k != nil && k.index == index && least != 0 {
		k.checked = least // also where the answer is newer than the signal
	}
	return value, index, nil
}

// listen returns the signal of a scope, or nil where there are too many.
func (s *Source) listen(sc scope) *signal {
	s.mu.Lock()
	defer s.mu.Unlock()
	sig := s.signals[sc]
	if sig == nil {
		if len(s.signals) >= mostSignals {
			return nil
		}
		sig = &signal{changed: make(chan struct{})}
		var ctx context.Context
		ctx, sig.stop = context.WithCancel(s.life)
		s.signals[sc] = sig
		s.tasks.Go(func() { s.follow(ctx, sc, sig) })
	}
	sig.users++
	return sig
}

// leave notes that a call no longer heeds a signal.
func (s *Source) leave(sig *signal) {
	s.mu.Lock()
	defer s.mu.Unlock()
	sig.users--
	sig.left = time.Now()
}

// endUnused ends a signal that nobody has heeded for a while, and reports whether it did.
func (s *Source) endUnused(sc scope, sig *signal) (ended bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if sig.users > 0 || time.Since(sig.left) < linger {
		return false
	}
	sig.stop()
	if s.signals[sc] == sig {
		delete(s.signals, sc)
	}
	return true
}

// follow asks for the signal of a scope until ctx is done, or nobody heeds it any more.
func (s *Source) follow(ctx context.Context, sc scope, sig *signal) {
	var index uint64
	var idle pause.Idle
	failures := 0
	for ctx.Err() == nil && !s.endUnused(sc, sig) {
		began := time.Now()
		indexes, got, err := s.signal(ctx, sc, index)
		if ctx.Err() != nil {
			return
		}
		_, refused := errors.AsType[agent.RefusedError](err)
		var next time.Duration
		switch {
		case refused:
			next, index = pause.Jittered(refusedPause), 0
		case err != nil:
			next, index = pause.Backoff(failures, signalBase, signalMost), 0
			if errors.Is(err, watch.ErrDenied) {
				next = pause.Jittered(deniedPause)
			}
			failures++
			s.publish(sig, func() { sig.err = err })
		case got < index:
			index = 0
			s.forgetScope(sc)
		case got == index:
			next = idle.Pause(began)
		default:
			index, idle, failures = got, 0, 0
			s.publish(sig, func() {
				sig.index, sig.indexes, sig.err = got, indexes, nil
				next = min(time.Duration(sig.users)*roundPause, longestRound)
			})
		}
		if next > 0 {
			pause.For(ctx, next)
		}
	}
}

// forgetScope has all queries of a scope read again: indexes of a Nomad that was restored have gone back, and may name something else.
func (s *Source) forgetScope(sc scope) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for q, k := range s.known {
		if s.scopeOf(q) == sc {
			k.index = 0
		}
	}
}

// publish changes a signal, and has all who heed it look.
func (s *Source) publish(sig *signal, change func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change()
	close(sig.changed)
	sig.changed = make(chan struct{})
}

// signal makes the request of a signal. With an index it waits for another.
func (s *Source) signal(ctx context.Context, sc scope, after uint64) (indexes map[variablePath]uint64, index uint64, err error) {
	r := agent.Request{Path: variablesPath, Params: sc.params(), After: after}
	var found []metadata
	var into any = &found
	if sc.services {
		r.Path, into = servicesPath, new([]struct{})
	}
	if after != 0 && !s.agent.BeginWait(0) { // all connections are in use just now
		pause.For(ctx, pause.Jittered(refusedPause))
		r.After = 0
	} else if after != 0 {
		defer s.agent.EndWait()
	}

	got, err := s.agent.Get(ctx, r, into)
	indexes = make(map[variablePath]uint64, len(found))
	for _, m := range found {
		at := variablePath{path: m.Path}
		if sc.namespace == allNamespaces {
			at.namespace = m.Namespace
		}
		indexes[at] = m.ModifyIndex
	}
	return indexes, max(got.Index, 1), err
}
