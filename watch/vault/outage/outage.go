// Package outage keeps requests few while all of them fail, and spreads them when that is over.
package outage

import (
	"context"
	"math/rand/v2"
	"sync"
	"time"

	"render/watch/pause"
)

// SpreadEach is the time over which requests after an outage are spread, for each query.
const SpreadEach = 5 * time.Millisecond

const (
	begins     = 3                      // failures in a row, without an answer between them
	probeBase  = 250 * time.Millisecond // until the first probe; the pause before each further one is longer
	probeMost  = time.Second
	hold       = 2 * time.Second // how long a request waits for the end of an outage before it fails with it
	spreadMost = 2 * time.Second
)

// An Outage keeps the requests few while all fail. One request at a time, the probe, finds out whether it is over; the others wait for
// that. The zero value is no outage.
type Outage struct {
	mu       sync.Mutex // guards what follows
	failures int
	err      error         // of the last of them
	over     chan struct{} // closed when the outage ends; nil without an outage
	offer    chan struct{} // has a token when a request may be the probe
	probes   int           // that have failed
	spread   time.Duration // after an outage, requests begin within this
	until    time.Time     // and until then
}

// Pass returns when a request may be made: at once, as the probe, or when the outage has ended. The probe is nil where the request is not one.
func (o *Outage) Pass(ctx context.Context) (*Probe, error) {
	o.mu.Lock()
	over, offer, why := o.over, o.offer, o.err
	o.mu.Unlock()
	if over == nil {
		return nil, o.delay(ctx)
	}

	held := time.NewTimer(hold)
	defer held.Stop()
	select {
	case <-over:
		return nil, o.delay(ctx)
	case <-offer:
		return &Probe{o, over}, nil
	case <-held.C:
		return nil, why
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// delay spreads requests after an outage.
func (o *Outage) delay(ctx context.Context) error {
	o.mu.Lock()
	spread, ended := o.spread, !time.Now().Before(o.until)
	o.mu.Unlock()
	if !ended && !pause.For(ctx, rand.N(spread)) {
		return ctx.Err()
	}
	return nil
}

// Ends returns a channel that is closed when the outage ends; nil without an outage.
func (o *Outage) Ends() <-chan struct{} {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.over
}

// Lasts reports whether there is an outage.
func (o *Outage) Lasts() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.over != nil
}

// A Probe is the request that finds out whether an outage is over.
type Probe struct {
	outage *Outage
	over   chan struct{}
}

// End notes that the probe has ended. Where the outage lasts there is another, later. A nil probe does nothing.
func (p *Probe) End() {
	if p == nil {
		return
	}
	o := p.outage
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.over == p.over {
		o.probes++
		o.offerProbe()
	}
}

// offerProbe lets a request be the probe a little later. The mutex is held.
func (o *Outage) offerProbe() {
	offer := o.offer
	time.AfterFunc(pause.Backoff(o.probes, probeBase, probeMost), func() {
		select {
		case offer <- struct{}{}:
		default:
		}
	})
}

// Failed notes that a request has failed in a way that others will, too.
func (o *Outage) Failed(err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.failures++
	o.err = err
	if o.failures >= begins && o.over == nil {
		o.over, o.offer = make(chan struct{}), make(chan struct{}, 1)
		o.probes = 0
		o.offerProbe()
	}
}

// Succeeded notes that Vault has answered. After an outage, the requests for a number of queries are not all made at once: other hosts
// come back at the same moment.
func (o *Outage) Succeeded(queries int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.failures = 0
	if o.over == nil {
		return
	}
	o.spread = min(time.Duration(queries+1)*SpreadEach, spreadMost)
	o.until = time.Now().Add(o.spread)
	close(o.over)
	o.over = nil
}
