package consul

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"maps"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"render/watch"
	"render/watch/pause"
)

// Over plain HTTP each waiting request holds a connection, of which an agent allows 200 for each client address. Where
// there are more queries than connections, the queries do not wait each for itself: a few waiting requests, the hints,
// tell that something has moved in what many queries ask, and then these are read again.
//
// A hint is a request for a whole table with a filter that nothing passes: it returns at each change of the table, with an
// empty body. A scope is what a set of hints speaks for: a catalog, or the keys with the same beginning.
type scope struct {
	dc, namespace, partition string
	keys                     bool
	prefix                   string // of keys: the part before the first slash; empty for all keys
}

const (
	hintSpacing = time.Second      // least time between two rounds of reading, where they read much
	hintCost    = time.Millisecond // the part of that for each query that is read
	hintLag     = 2 * time.Second  // a second round: the server that reads may be behind the one that has hinted
	hintNoise   = 30 * time.Second // to a round for what does not matter soon, such as the output of a check
	hintFailed  = 10 * time.Second // between attempts of a hint that is refused; its queries are read at each

	mostKeyScopes = 8 // with a prefix; each needs a connection
)

// scopeOf returns the scope of a query, and false where no hint tells of its changes.
func (c *Source) scopeOf(q watch.Query) (scope, bool) {
	opts := q.Options()
	if opts.Has(watch.OptPeer) || opts.Has(watch.OptSamenessGroup) {
		return scope{}, false
	}
	params := c.params(opts)
	s := scope{dc: params.Get(watch.OptDatacenter), namespace: params.Get(watch.OptNamespace), partition: params.Get(watch.OptPartition)}
	switch q.Kind {
	case watch.KindService, watch.KindServices, watch.KindNode, watch.KindNodes:
		return s, true
	case watch.KindKV, watch.KindPrefix:
		s.keys = true
		s.prefix, _, _ = strings.Cut(q.Name, "/")
		if s.prefix == q.Name {
			s.prefix = "" // a key at the top
		}
		return s, true
	}
	return scope{}, false
}

// paths returns the requests that hint at changes of a scope. A request for the keys below "app" with a separator returns
// one name for all that is below "app/".
func (s scope) paths() []string {
	if s.keys {
		return []string{keyPath(s.prefix)}
	}
	return []string{"/v1/catalog/services", healthState, "/v1/catalog/nodes"}
}

// healthState returns with each change of a check, also of its output alone, which is no change for us, and in a large
// cluster comes all the time. So this hint looks at the checks that are not passing: where they are as before, nothing that
// matters soon has changed.
const healthState = "/v1/health/state/any"

// hintCheck is what matters of a check that is not passing.
type hintCheck struct{ Node, ServiceID, CheckID, Status string }

func (s scope) params() url.Values {
	params := url.Values{}
	for name, value := range map[string]string{watch.OptDatacenter: s.dc, watch.OptNamespace: s.namespace, watch.OptPartition: s.partition} {
		if value != "" {
			params.Set(name, value)
		}
	}
	if s.keys {
		params.Set("keys", "")
		params.Set("separator", "/")
	}
	return params
}

// A hint tells the queries of a scope that something has moved. It works while there are such queries.
type hint struct {
	stop     context.CancelFunc
	requests int

	mu      sync.Mutex // guards what follows
	members map[watch.Query]*member
	waiting int           // members that wait
	unheard int           // how many of its requests have had no outcome yet
	round   uint64        // counts the times that something has moved; 0 before all requests had an outcome
	began   time.Time     // of the round
	next    *time.Timer   // begins the next round; nil where none is due
	moved   chan struct{} // closed when a round begins
}

// A member is a query that a hint speaks for. It stays one for a while after it has got an answer: it will be back.
type member struct {
	round   uint64 // in which it was last read
	waiting int    // calls of Fetch; there can be two for a moment, when a query is forgotten and watched again
	left    time.Time
}

const (
	hintLinger    = 5 * time.Second // a hint goes on for this long without a query that waits
	memberForgets = time.Minute     // after this a member that does not wait is none any longer
)

// join makes a query a member of the hint of its scope. It returns nil where there cannot be one.
func (c *Source) join(s scope, q watch.Query, hinted bool) (*hint, *member) {
	if !hinted {
		return nil, nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	h := c.hints[s]
	if h == nil && s.prefix != "" && c.keyScopes() >= mostKeyScopes {
		s.prefix = ""
		h = c.hints[s]
	}
	if h == nil {
		if c.listeners+len(s.paths()) > c.mostListeners() {
			return nil, nil
		}
		h = c.newHint(s)
		c.hints[s] = h
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	m := h.members[q]
	if m == nil {
		m = new(member)
		h.members[q] = m
	}
	m.waiting++
	h.waiting++
	return h, m
}

// mostListeners leaves connections for other requests.
func (c *Source) mostListeners() int { return max(len(scope{}.paths()), c.cfg.MaxConnections/8) }

func (c *Source) keyScopes() int {
	n := 0
	for s := range c.hints {
		if s.prefix != "" {
			n++
		}
	}
	return n
}

// leave ends the waiting of a member, and with gone its membership.
func (c *Source) leave(h *hint, q watch.Query, gone bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	m := h.members[q]
	m.waiting--
	m.left = time.Now()
	h.waiting--
	if gone && m.waiting == 0 {
		delete(h.members, q)
	}
	if h.waiting == 0 {
		time.AfterFunc(hintLinger, func() { c.endUnused(h) })
	}
}

func (c *Source) endUnused(h *hint) {
	c.mu.Lock()
	defer c.mu.Unlock()
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.waiting > 0 {
		return
	}
	maps.DeleteFunc(c.hints, func(_ scope, other *hint) bool {
		if other == h {
			h.stop()
			c.listeners -= h.requests
		}
		return other == h
	})
}

func (c *Source) newHint(s scope) *hint {
	ctx, stop := context.WithCancel(context.Background())
	paths := s.paths()
	h := &hint{stop: stop, requests: len(paths), unheard: len(paths), members: make(map[watch.Query]*member), moved: make(chan struct{})}
	for _, path := range paths {
		c.wg.Go(func() { c.listen(ctx, h, path, s.params()) })
	}
	c.listeners += len(paths)
	return h
}

// listen makes one of a hint's requests again and again. While it fails, its queries are read from time to time: so they
// learn what is wrong, or that only the hint is.
func (c *Source) listen(ctx context.Context, h *hint, path string, params url.Values) {
	var after, sum uint64
	var woken time.Time // by a failure
	var idle pause.Idle
	failures := 0
	for first := true; ctx.Err() == nil; {
		began := time.Now()
		index, newSum, err := c.askHint(ctx, path, params, after)
		var delay time.Duration
		switch {
		case errors.Is(err, errCut):
		case err != nil:
			after = 0
			delay = hintFailed
			if _, bad := errors.AsType[watch.OutageError](err); bad {
				delay = pause.Backoff(failures, watch.DefaultBackoff, outageBackoff)
			}
			if failures == 0 || time.Since(woken) >= hintFailed {
				h.wake(first, false)
				first, woken = false, time.Now()
			}
			failures++
		case index == after:
			failures = 0
			delay = idle.Pause(began)
		default:
			h.wake(first, after != 0 && path == healthState && newSum == sum)
			sum = newSum
			after, failures, idle, first = index, 0, 0, false
			delay = h.spacing() // what moves meanwhile could not begin another round before
		}
		pause.For(ctx, delay)
	}
}

// askHint makes a request of a hint. It returns a sum of what the answer says, where that is of interest.
func (c *Source) askHint(ctx context.Context, path string, params url.Values, after uint64) (index, sum uint64, err error) {
	params = maps.Clone(params)
	if c.cfg.MaxStale > 0 {
		params.Set("stale", "")
	}
	if after != 0 {
		params.Set("index", strconv.FormatUint(after, 10))
	}
	var checks []hintCheck
	into := any(new(any))
	switch {
	case path == healthState:
		into = &checks
		params.Set(watch.OptFilter, `Status != "passing"`)
	case !params.Has("keys"):
		params.Set(watch.OptFilter, `Node == "none" and Node != "none"`)
	}
	index, _, err = c.get(ctx, path, params, into)
	if errors.Is(err, errFiltered) {
		err = nil // what the token may not see does not concern us
	}
	h := fnv.New64a()
	fmt.Fprint(h, checks)
	return max(index, 1), h.Sum64(), err
}

// wake has a round begin soon, and another when all servers should know what has moved. Noise can wait for long.
func (h *hint) wake(first, noise bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if first {
		h.unheard--
	}
	if h.unheard > 0 {
		return
	}
	if noise {
		if h.next == nil {
			h.schedule(hintNoise, false)
		}
		return
	}
	h.schedule(time.Until(h.began.Add(h.leastSpacing())), true)
}

func (h *hint) spacing() time.Duration {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.leastSpacing()
}

// leastSpacing must be called with the mutex held.
func (h *hint) leastSpacing() time.Duration {
	return min(time.Duration(len(h.members))*hintCost, hintSpacing)
}

// schedule must be called with the mutex held.
func (h *hint) schedule(in time.Duration, again bool) {
	if h.next != nil {
		h.next.Stop()
	}
	h.next = time.AfterFunc(in, func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		h.round++
		h.began = time.Now()
		h.next = nil
		maps.DeleteFunc(h.members, func(_ watch.Query, m *member) bool { return m.waiting == 0 && time.Since(m.left) > memberForgets })
		close(h.moved)
		h.moved = make(chan struct{})
		if again {
			h.schedule(hintLag, false)
		}
	})
}

// due returns nil when a member is to be read, and else a channel that is closed when it may be.
func (h *hint) due(m *member) <-chan struct{} {
	h.mu.Lock()
	defer h.mu.Unlock()
	if m.round < h.round {
		return nil
	}
	return h.moved
}

// reads notes that a member is being read in this round.
func (h *hint) reads(m *member) {
	h.mu.Lock()
	defer h.mu.Unlock()
	m.round = h.round
}
