package consul

import (
	"cmp"
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptrace"
	"strconv"
	"sync"
	"syscall"
	"time"

	"render/watch"
	"render/watch/pause"
)

const (
	turnEvery     = 10 * time.Second // between reads of a query that has no connection to wait on, and no hint
	announceAfter = 2 * time.Second  // from the first waiting request, so that the queries can be counted
	grownEvery    = 5 * time.Second  // between two steps back to the full number of waiting requests
)

// wait waits for another index than after: with a request of its own where there are connections enough, else until a hint
// says that something has moved.
func (c *Source) wait(ctx context.Context, q watch.Query, after uint64) (any, uint64, error) {
	c.arrive()
	defer c.depart()
	s, hinted := c.scopeOf(q)
	for {
		var value any
		var index uint64
		var err error
		if c.startPoll(hinted) {
			params := c.readParams(q)
			params.Set("index", strconv.FormatUint(after, 10))
			began := time.Now()
			value, index, err = c.ask(ctx, q, params)
			c.afterWait(ctx, c.endpoint(), true, began, c.endPoll)
			if !errors.Is(err, errCut) {
				return value, index, err
			}
			continue
		}
		if h, m := c.join(s, q, hinted); h != nil {
			value, index, err = c.waitForHint(ctx, h, m, q, after)
			c.leave(h, q, ctx.Err() != nil)
			return value, index, err
		}
		if !pause.For(ctx, pause.Jittered(turnEvery)) {
			return nil, 0, ctx.Err()
		}
		if value, index, err = c.ask(ctx, q, c.readParams(q)); err != nil || index != after {
			return value, index, err
		}
	}
}

// waitForHint reads a query each time that a hint says that something has moved, until its index is another.
func (c *Source) waitForHint(ctx context.Context, h *hint, m *member, q watch.Query, after uint64) (any, uint64, error) {
	out := c.outageOf(q.Options().Get(watch.OptDatacenter))
	for {
		for moved := h.due(m); moved != nil; moved = h.due(m) {
			select {
			case <-moved:
			case <-ctx.Done():
				return nil, 0, ctx.Err()
			}
		}
		back, err := take(ctx, c.rereads)
		if err != nil {
			return nil, 0, err
		}
		release := sync.OnceFunc(back)
		if out.lasts() {
			release() // all are to know of it, not a few after the other
		}
		h.reads(m)
		value, index, err := c.ask(ctx, q, c.readParams(q))
		release()
		if err != nil || index != after {
			return value, index, err
		}
	}
}

// arrive counts a query that waits, and depart one that does so no longer.
func (c *Source) arrive() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.waiting++
	if c.announced == nil {
		c.announced = time.AfterFunc(announceAfter, c.announce)
	}
}

func (c *Source) depart() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.waiting--
}

// announce tells how queries share connections.
func (c *Source) announce() {
	c.mu.Lock()
	defer c.mu.Unlock()
	attrs := []any{"address", c.current.address, "queries", c.waiting}
	switch {
	case c.current.multiplexed.Load():
		c.log.Info("watching consul: all queries share a few connections of HTTP/2", attrs...)
	case c.waiting <= c.mostPolls:
		c.log.Info("watching consul: each query has a connection", append(attrs, "most", c.mostPolls)...)
	default:
		c.log.Info("watching consul: there are more queries than connections, so hints tell when to read them again; "+
			"to have them wait each for itself use https, or raise --consul-max-connections and the agent's limits.http_max_conns_per_client",
			append(attrs, "connections", c.mostPolls)...)
	}
}

// startPoll reports whether a query may have a waiting request of its own. One that can be hinted at may only if all that
// wait can have one.
func (c *Source) startPoll(hinted bool) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if full := c.cfg.MaxConnections * 3 / 4; c.mostPolls < full && time.Since(c.grown) > grownEvery {
		c.mostPolls++
		c.grown = time.Now()
	}
	if !c.current.multiplexed.Load() && (c.polls+c.listeners >= c.mostPolls || hinted && c.waiting > c.mostPolls) {
		return false
	}
	c.polls++
	return true
}

func (c *Source) endPoll() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.polls--
}

// afterWait calls release, and where a waiting request was given up, when its wait would have ended: until then an agent
// counts its connection. It makes no difference where another address is asked now.
func (c *Source) afterWait(ctx context.Context, e *endpoint, waits bool, began time.Time, release func()) {
	if left := time.Until(began.Add(c.cfg.Wait * 17 / 16)); waits && ctx.Err() != nil && !errors.Is(context.Cause(ctx), watch.ErrIndexVoid) && !e.multiplexed.Load() && left > 0 {
		time.AfterFunc(left, release)
		return
	}
	release()
}

// fewerPolls makes room for others who share the agent's connections with us.
func (c *Source) fewerPolls() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.mostPolls = max(LeastConnections/2, min(c.mostPolls, c.polls)*3/4)
	c.grown = time.Now()
}

// admit returns the endpoint to ask when there may be a request, the context to make it with, and a function that ends it.
//
// Many requests over HTTP/2 that find all connections full, or none yet, would each dial one of their own, and a stock
// agent allows 200: so few may look for a connection at a time.
func (c *Source) admit(ctx context.Context, waits bool) (*endpoint, context.Context, func(), error) {
	if err := c.pace.wait(ctx, waits); err != nil {
		return nil, nil, nil, err
	}
	e := c.endpoint()
	switch {
	case e.config.Scheme == "https" && !e.met.Load():
		release, err := take(ctx, c.introduce)
		return e, ctx, release, err
	case !e.multiplexed.Load():
		release, err := take(ctx, c.conns)
		return e, ctx, release, err
	}
	end := func() {}
	if !waits {
		var err error
		if end, err = take(ctx, c.conns); err != nil {
			return nil, nil, nil, err
		}
	}
	found, err := take(ctx, c.dials)
	if err != nil {
		end()
		return nil, nil, nil, err
	}
	found = sync.OnceFunc(found)
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{GotConn: func(httptrace.GotConnInfo) { found() }})
	return e, ctx, func() { found(); end() }, nil
}

// take takes a token, and returns what gives it back.
func take(ctx context.Context, tokens chan struct{}) (back func(), err error) {
	select {
	case tokens <- struct{}{}:
		return func() { <-tokens }, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// nextWait returns how long the next waiting request is to wait.
func (c *Source) nextWait() time.Duration { return pause.Jittered(min(c.cfg.Wait, c.cuts.longest())) }

const (
	leastCutAge  = time.Second // of a waiting request that is cut off by somebody who does not like to wait
	leastCutWait = time.Second
)

// cuts notices a proxy that cuts off those who wait long, and keeps the waits below that.
type cuts struct {
	log *slog.Logger

	mu   sync.Mutex // guards what follows
	age  time.Duration
	at   time.Time
	most time.Duration // of a wait; 0 is no bound
}

// note notes that a waiting request was cut off at an age, and reports whether that may have been because of its age. Two
// at nearly the same age, and not at one time as when Consul ends, shorten the waits.
func (c *cuts) note(age time.Duration) bool {
	if age < leastCutAge {
		return false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	now := time.Now()
	apart, differ := now.Sub(c.at), (age - c.age).Abs()
	same := differ <= max(age/20, 200*time.Millisecond)
	if apart < leastCutAge/2 {
		if !same {
			c.age = 0 // all are cut off, whatever their age
		}
		return true
	}
	if c.age != 0 && same && differ <= apart/10 { // those who began together and are cut off one after the other differ as much
		c.shorten(age)
	}
	c.age, c.at = age, now
	return true
}

// shorten keeps waits below an age. Those who began before that may still be cut off at the same age.
func (c *cuts) shorten(age time.Duration) {
	if most := max(leastCutWait, age*4/5); c.most == 0 || most < c.most*9/10 {
		c.most = most
		c.log.Warn("something between here and consul cuts off requests that wait; render waits less long", "cut after", age.Round(time.Millisecond), "wait", most)
	}
}

// forget forgets the last cut.
func (c *cuts) forget() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.age = 0
}

func (c *cuts) longest() time.Duration {
	c.mu.Lock()
	defer c.mu.Unlock()
	return cmp.Or(c.most, DefaultWait*10)
}

// isCut reports whether a request has ended as one does that is cut off.
func isCut(resp *http.Response, err error) bool {
	if resp != nil {
		return resp.StatusCode == http.StatusGatewayTimeout || resp.StatusCode == http.StatusBadGateway
	}
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, syscall.ECONNRESET)
}

// outageOf returns the outage of a datacenter.
func (c *Source) outageOf(dc string) *outage {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.outages[dc] == nil {
		c.outages[dc] = new(outage)
	}
	return c.outages[dc]
}

// endpoint returns the one to ask now. It looks for changed credentials now and then.
func (c *Source) endpoint() *endpoint {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.refresh(false)
	return c.current
}

func (c *Source) token() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.creds.token
}

// renewToken reads the token's file and reports whether there is another token now than one that was refused.
func (c *Source) renewToken(refused string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.refresh(true)
	return c.creds.token != refused
}

// refresh takes what has changed of the credentials' files. It must be called with the mutex held.
func (c *Source) refresh(force bool) {
	newToken, newTLS, err := c.creds.refresh(force)
	if newToken {
		c.log.Info("the token for consul has changed")
	}
	if newTLS {
		var e *endpoint
		if e, err = c.cfg.connect(c.addresses[c.at]); err == nil {
			c.current.config.HttpClient.CloseIdleConnections()
			c.current = e
			c.log.Info("the certificates for consul have changed")
		}
	}
	if err != nil && err.Error() != c.fault {
		c.fault = err.Error()
		c.log.Warn("cannot take the credentials for consul that have changed; those before stay in use", "err", err)
	} else if err == nil && (newToken || newTLS) {
		c.fault = ""
	}
}

// move goes on to the next address, because one cannot be reached.
func (c *Source) move(from *endpoint, why error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.addresses) == 1 || c.current != from {
		return
	}
	next := (c.at + 1) % len(c.addresses)
	e, err := c.cfg.connect(c.addresses[next])
	if err != nil {
		return // a file of TLS is missing just now
	}
	c.log.Warn("consul cannot be reached; the next address is asked", "was", from.address, "err", why, "now", e.address)
	from.config.HttpClient.CloseIdleConnections()
	c.current, c.at, c.ownNode = e, next, ""
	if !c.since.used {
		return // nobody has an index of it, or waits there; else nobody would learn that no address works
	}
	c.since.end(watch.ErrIndexVoid)
	c.since = newEpoch()
	for _, h := range c.hints {
		h.stop()
	}
	clear(c.hints)
	c.listeners = 0
}
