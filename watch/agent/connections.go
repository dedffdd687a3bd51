package agent

import (
	"context"
	"errors"
	"net/http/httptrace"
	"sync"
	"time"

	"golang.org/x/sync/semaphore"

	"render/watch"
)

const (
	mostConnections = 4096            // over plain HTTP, whatever the agent allows
	mostDials       = 4               // at a time, over HTTP/2
	grownEvery      = 5 * time.Second // between two steps back to the full number of waiting requests
)

// connections divides the connections to a server. A request over HTTP/1.1 holds one until it is answered. Three quarters are for
// requests that wait for a change; the others stay free for those that are answered at once.
type connections struct {
	open  *semaphore.Weighted // of mostConnections; what is above the limit is held back
	first *semaphore.Weighted // of one who asks a new endpoint for the first time
	dials *semaphore.Weighted // of requests over HTTP/2 that look for a connection

	mu        sync.Mutex // guards what follows
	limit     int        // of connections
	waits     int        // slots for requests that wait, in use
	abandoned int        // requests that were given up while they waited: until their wait ends an agent counts their connections
	mostWaits int        // such slots; less than three quarters of limit for a while after a refusal
	grown     time.Time  // when mostWaits was last changed
}

func newConnections(limit int) *connections {
	c := &connections{
		open:  semaphore.NewWeighted(mostConnections),
		first: semaphore.NewWeighted(1),
		dials: semaphore.NewWeighted(mostDials),
	}
	c.open.TryAcquire(mostConnections)
	c.raise(limit)
	return c
}

// raise raises the limit, and reports whether it did. It never lowers it.
func (c *connections) raise(limit int) (raised bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	limit = min(limit, mostConnections)
	if limit <= c.limit {
		return false
	}
	c.open.Release(int64(limit - c.limit))
	c.limit, c.mostWaits = limit, limit*3/4
	return true
}

// admit returns when a request may use a connection. It returns the context to make the request with, and a function that gives
// the connection back.
//
// Many requests over HTTP/2 that find all connections full, or none yet, would each dial one of their own, and a stock agent
// allows 200: so few may look for a connection at a time.
func (c *connections) admit(ctx context.Context, e *Endpoint, waits bool) (context.Context, func(), error) {
	if e.config.Scheme == "https" && !e.met.Load() {
		if err := c.first.Acquire(ctx, 1); err != nil {
			return nil, nil, err
		}
		return ctx, func() { c.first.Release(1) }, nil
	}
	release := func() {}
	if !waits || !e.Multiplexed() {
		if err := c.open.Acquire(ctx, 1); err != nil {
			return nil, nil, err
		}
		release = func() { c.open.Release(1) }
	}
	if !e.http2.Load() {
		return ctx, release, nil
	}

	if err := c.dials.Acquire(ctx, 1); err != nil {
		release()
		return nil, nil, err
	}
	found := sync.OnceFunc(func() { c.dials.Release(1) })
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{GotConn: func(httptrace.GotConnInfo) { found() }})
	return ctx, func() { found(); release() }, nil
}

// releaseAfter calls release, and where a waiting request was given up, at the time when its wait would have ended.
func (c *connections) releaseAfter(ctx context.Context, e *Endpoint, waits bool, end time.Time, release func()) {
	left := time.Until(end)
	if waits && left > 0 && ctx.Err() != nil && !errors.Is(context.Cause(ctx), watch.ErrIndexVoid) && !e.Multiplexed() {
		c.abandon(1)
		time.AfterFunc(left, func() {
			c.abandon(-1)
			release()
		})
		return
	}
	release()
}

// abandon adds to the number of abandoned requests.
func (c *connections) abandon(n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.abandoned += n
}

// beginWait takes a slot for a request that waits, and leaves as many as are reserved. It reports whether there was one; the caller
// gives it back with endWait.
func (c *connections) beginWait(e *Endpoint, reserved int) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.grow()
	if c.waits+c.abandoned+reserved >= c.mostWaits && !e.Multiplexed() {
		return false
	}
	c.waits++
	return true
}

func (c *connections) endWait() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.waits--
}

// most returns how many connections there may be.
func (c *connections) most() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.limit
}

// slots returns how many requests may wait at a time.
func (c *connections) slots() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.grow()
	return c.mostWaits
}

// grow goes back to the full number of slots, step by step. It must be called with the mutex held.
func (c *connections) grow() {
	if full := c.limit * 3 / 4; c.mostWaits < full && time.Since(c.grown) > grownEvery {
		c.mostWaits++
		c.grown = time.Now()
	}
}

// fewerWaits makes room for others who share the agent's connections with us. While more requests wait than have a slot, that is
// enough: they end one after the other, and until then refusals say nothing about the slots.
func (c *connections) fewerWaits() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.waits+c.abandoned > c.mostWaits {
		return
	}
	c.mostWaits = max(LeastConnections/2, min(c.mostWaits, c.waits)*3/4)
	c.grown = time.Now()
}

// Slots returns how many requests may wait at a time, where the connection is not multiplexed.
func (a *Agent) Slots() int { return a.conns.slots() }

// BeginWait takes a slot for a request that waits, and leaves as many as are reserved for others. It reports whether there was one; the
// caller returns it with EndWait.
func (a *Agent) BeginWait(reserved int) bool { return a.conns.beginWait(a.Endpoint(), reserved) }

// EndWait returns the slot of a request.
func (a *Agent) EndWait() { a.conns.endWait() }

// Abandoned returns how many requests were given up while they waited, and are counted by the server still: an agent sees the end of a
// connection only when the wait ends.
func (a *Agent) Abandoned() int {
	a.conns.mu.Lock()
	defer a.conns.mu.Unlock()
	return a.conns.abandoned
}

// NoteLimit notes how many connections the agent allows a client; 0 or less means any number. It reports whether there are more
// connections from now on. Config.MaxConnections wins, and what is only a little more is not worth new connections beside those that
// there are.
func (a *Agent) NoteLimit(connections int) (raised bool) {
	if a.cfg.MaxConnections != 0 || a.Endpoint().config.Scheme == "https" {
		return false
	}
	if connections <= 0 {
		connections = mostConnections * 3 / 2
	}
	limit := connections * 2 / 3
	if limit <= 2*a.api.Connections {
		return false
	}
	return a.raise(limit)
}
