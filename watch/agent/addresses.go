package agent

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"render/watch"
)

// An Epoch is a time in which one address is asked. Indexes of another are void.
type Epoch struct {
	ctx  context.Context // done when the epoch has ended
	end  context.CancelFunc
	used atomic.Bool // has answered a query
}

func newEpoch() *Epoch {
	e := new(Epoch)
	e.ctx, e.end = context.WithCancel(context.Background())
	return e
}

// Within returns a context that ends when ctx or the epoch does; with the cause watch.ErrIndexVoid where it is the epoch. The caller
// calls stop.
func (e *Epoch) Within(ctx context.Context) (within context.Context, stop func()) {
	within, cancel := context.WithCancelCause(ctx)
	unlink := context.AfterFunc(e.ctx, func() { cancel(watch.ErrIndexVoid) })
	return within, func() {
		unlink()
		cancel(nil)
	}
}

// Use notes that a query was answered in the epoch, so that there are indexes that can become void.
func (e *Epoch) Use() { e.used.Store(true) }

// Endpoint returns the address that is asked now.
func (a *Agent) Endpoint() *Endpoint {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.current
}

// raise raises the limit of connections, and reports whether it did.
func (a *Agent) raise(limit int) (raised bool) {
	if !a.conns.raise(limit) {
		return false
	}
	all, err := a.connect()
	if err != nil {
		return true // a file of TLS is missing just now
	}

	a.mu.Lock()
	defer a.mu.Unlock()
	for i, e := range a.endpoints {
		all[i].met.Store(e.met.Load())
		all[i].http2.Store(e.http2.Load())
		e.config.HttpClient.CloseIdleConnections()
	}
	a.endpoints, a.current = all, all[a.at]
	return true
}

// Epoch returns the epoch of the address that is asked now. It is nil where there is one address only.
func (a *Agent) Epoch() *Epoch {
	if len(a.addresses) == 1 {
		return nil
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.since
}

// unanswered notes that a request that began at a time has got no answer because of err, and goes on to the next address where
// that is the address's fault: it cannot be connected to, or has answered nobody since then, or since another such failure. What a
// request to another datacenter meets says nothing about the address.
func (a *Agent) unanswered(e *Endpoint, r Request, began time.Time, connected bool, err error) {
	failures := e.silences.Add(1)
	switch {
	case !connected:
	case a.elsewhere(r) != "", e.answered.Load() > began.UnixNano():
		return
	case failures < 2 && !errors.Is(err, errSilent):
		return // one connection that was closed
	}
	a.move(e, err)
}

// move goes on to the next address, because one cannot be reached.
func (a *Agent) move(from *Endpoint, why error) {
	if a.moveOn(from, why) {
		a.moved()
	}
}

// moveOn reports whether the indexes of the previous address are void. While no address answers, one
// round is logged.
func (a *Agent) moveOn(from *Endpoint, why error) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.addresses) == 1 || a.current != from {
		return false
	}
	a.at = (a.at + 1) % len(a.addresses)
	a.current = a.endpoints[a.at]
	a.current.silences.Store(0)
	if from.answered.Load() >= a.movedAt.UnixNano() {
		a.moves = 0
	}
	if a.moves++; a.moves < len(a.addresses) {
		a.log.Warn(a.api.Name+" unreachable, trying the next address", "from", from.address, "err", why, "to", a.current.address)
	}
	a.movedAt = time.Now()
	from.config.HttpClient.CloseIdleConnections()

	if !a.since.used.Load() {
		return false // nobody has an index of it, or waits there; else nobody would learn that no address works
	}
	a.since.end()
	a.since = newEpoch()
	return true
}
