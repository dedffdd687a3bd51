package agent

import (
	"context"
	"math/rand/v2"
	"sync"
	"time"

	"render/watch/pause"
)

const (
	outageAfter = 3                      // failures in a row, without an answer between them
	probeBase   = 250 * time.Millisecond // until the first probe; the pause before each further one is longer
	probeMost   = 2 * time.Second        // the longest such pause
	outageHold  = 2 * time.Second        // how long a request waits for the end of an outage before it fails with it

	spreadEach = 2 * time.Millisecond // for each request that waits for the end: they are spread over that time
	spreadMost = 3 * time.Second
)

// An outage keeps the requests few while all fail: a server that struggles to recover must not be met by all that we
// would like to know, and one that is away not be dialed by thousands. One request at a time, the probe, finds out whether it is
// over. The zero value is no outage.
type outage struct {
	mu       sync.Mutex // guards what follows
	failures int
	err      error
	over     chan struct{} // closed when the outage ends; nil for none
	offer    chan struct{} // has a token when a request may be the probe
	probes   int           // that have failed
	held     int           // requests that wait for the end of the outage
	mostHeld int           // of this outage
	until    time.Time     // until then requests are spread, after an outage
}

// A probe is the request that finds out whether an outage is over.
type probe struct {
	outage *outage
	over   chan struct{}
	number int // of probes that have failed before
}

// deadline returns how long the probe's answer may take to begin: longer for each further probe, so that a server that is slow is
// not taken for dead.
func (p *probe) deadline() time.Duration { return min(firstDeadline<<min(p.number, 4), plainDeadline) }

// end notes that the probe has an outcome, or has none because it was given up. A nil probe does nothing.
func (p *probe) end() {
	if p == nil {
		return
	}
	p.outage.mu.Lock()
	defer p.outage.mu.Unlock()
	if p.outage.over == p.over {
		p.outage.probes++
		p.outage.offerProbe()
	}
}

// pass returns when a request may be made: at once, as a probe, or when the outage has ended. The probe is nil where the request
// is none. One that waits for a change is never a probe: its answer may take minutes. The error is why requests fail.
func (o *outage) pass(ctx context.Context, waits bool) (*probe, error) {
	o.mu.Lock()
	over, offer, probes, err, left := o.over, o.offer, o.probes, o.err, time.Until(o.until)
	if over != nil {
		o.held++
		o.mostHeld = max(o.mostHeld, o.held)
	}
	o.mu.Unlock()
	if over == nil {
		return nil, spread(ctx, waits, left)
	}
	defer func() {
		o.mu.Lock()
		o.held--
		o.mu.Unlock()
	}()

	if waits {
		offer = nil
	}
	hold := time.NewTimer(outageHold)
	defer hold.Stop()
	select {
	case <-over:
		o.mu.Lock()
		left = time.Until(o.until)
		o.mu.Unlock()
		return nil, spread(ctx, waits, left)
	case <-offer:
		return &probe{o, over, probes}, nil
	case <-hold.C:
		return nil, err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// spread pauses for a random part of what is left of the time after an outage. Requests that wait need no pause: they follow an
// answer.
func spread(ctx context.Context, waits bool, left time.Duration) error {
	if !waits && left > 0 && !pause.For(ctx, rand.N(left)) {
		return ctx.Err()
	}
	return nil
}

// lasts reports whether there is an outage.
func (o *outage) lasts() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.over != nil
}

// offerProbe lets a request be the probe a little later. It must be called with the mutex held.
func (o *outage) offerProbe() {
	offer := o.offer
	time.AfterFunc(pause.Backoff(o.probes, probeBase, probeMost), func() {
		select {
		case offer <- struct{}{}:
		default:
		}
	})
}

// failed notes that a request has failed in a way that others will, too.
func (o *outage) failed(err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.failures++
	o.err = err
	if o.failures >= outageAfter && o.over == nil {
		o.over, o.offer = make(chan struct{}), make(chan struct{}, 1)
		o.probes, o.mostHeld = 0, 0
		o.offerProbe()
	}
}

// succeeded notes that a request was answered. With spreads, the requests that wait for the end of an outage are not all made at
// once: other hosts retry at the same moment.
func (o *outage) succeeded(spreads bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.failures, o.err = 0, nil
	if o.over == nil {
		return
	}
	if spreads {
		o.until = time.Now().Add(min(time.Duration(o.mostHeld)*spreadEach, spreadMost))
	}
	close(o.over)
	o.over = nil
}

// outageOf returns the outage of a place; "" is the agent's own.
func (a *Agent) outageOf(place string) *outage {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.outages[place] == nil {
		a.outages[place] = new(outage)
	}
	return a.outages[place]
}
