package consul

import (
	"context"
	"errors"
	"time"

	"render/watch"
)

// An epoch is a time in which one address is asked. Indexes of another are void.
type epoch struct {
	context.Context
	end  context.CancelCauseFunc
	used bool // has answered a query
}

func newEpoch() *epoch {
	ctx, end := context.WithCancelCause(context.Background())
	return &epoch{Context: ctx, end: end}
}

// endpoint returns the one to ask now.
func (a *agent) endpoint() *endpoint {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.current
}

// raise raises the limit of connections.
func (a *agent) raise(limit int) {
	a.conns.raise(limit)
	all, err := a.connect()
	if err != nil {
		return // a file of TLS is missing just now
	}

	a.mu.Lock()
	defer a.mu.Unlock()
	for i, e := range a.endpoints {
		all[i].met.Store(e.met.Load())
		all[i].http2.Store(e.http2.Load())
		e.config.HttpClient.CloseIdleConnections()
	}
	a.endpoints, a.current = all, all[a.at]
}

// epoch returns the epoch of the address that is asked now.
func (a *agent) epoch() *epoch {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.since
}

// use notes that a query was answered in an epoch.
func (a *agent) use(e *epoch) {
	a.mu.Lock()
	defer a.mu.Unlock()
	e.used = true
}

// unanswered notes that a request that began at a time has got no answer because of err, and goes on to the next address where
// that is the address's fault: it cannot be connected to, or has answered nobody since then, or since another such failure. What a
// request to another datacenter meets says nothing about the address.
func (a *agent) unanswered(e *endpoint, r request, began time.Time, connected bool, err error) {
	failures := e.silences.Add(1)
	switch {
	case !connected:
	case r.datacenter() != "", e.answered.Load() > began.UnixNano():
		return
	case failures < 2 && !errors.Is(err, errSilent):
		return // one connection that was closed
	}
	a.move(e, err)
}

// move goes on to the next address, because one cannot be reached.
func (a *agent) move(from *endpoint, why error) {
	if a.moveOn(from, why) {
		a.moved()
	}
}

// moveOn reports whether the indexes of the previous address are void.
func (a *agent) moveOn(from *endpoint, why error) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.addresses) == 1 || a.current != from {
		return false
	}
	a.at = (a.at + 1) % len(a.addresses)
	a.current = a.endpoints[a.at]
	a.current.silences.Store(0)
	a.log.Warn("consul cannot be reached; the next address is asked", "was", from.address, "err", why, "now", a.current.address)
	from.config.HttpClient.CloseIdleConnections()

	if !a.since.used {
		return false // nobody has an index of it, or waits there; else nobody would learn that no address works
	}
	a.since.end(watch.ErrIndexVoid)
	a.since = newEpoch()
	return true
}
