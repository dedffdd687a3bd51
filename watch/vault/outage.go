package vault

import (
	"context"
	"errors"
	"math/rand/v2"
	"net"
	"sync"
	"time"

	"render/watch/pause"
)

const (
	outageAfter = 3                      // failures in a row, without an answer between them
	probeBase   = 250 * time.Millisecond // until the first probe; the pause before each further one is longer
	probeMost   = time.Second
	outageHold  = 2 * time.Second // how long a request waits for the end of an outage before it fails with it

	spreadEach = 5 * time.Millisecond // for each query: requests after an outage are spread over that time
	spreadMost = 2 * time.Second
)

// An outage keeps the requests few while all fail. One request at a time, the probe, finds out whether it is over; the others wait for
// that. The zero value is no outage.
type outage struct {
	mu       sync.Mutex // guards what follows
	failures int
	err      error         // of the last of them
	over     chan struct{} // closed when the outage ends; nil where there is none
	offer    chan struct{} // has a token when a request may be the probe
	probes   int           // that have failed
	until    time.Time     // until then requests are spread, after an outage
}

// pass returns when a request may be made. Its caller calls done when the request has ended.
func (o *outage) pass(ctx context.Context) (done func(), err error) {
	o.mu.Lock()
	over, offer, left := o.over, o.offer, time.Until(o.until)
	why := o.err
	o.mu.Unlock()
	if over == nil {
		return func() {}, spread(ctx, left)
	}

	hold := time.NewTimer(outageHold)
	defer hold.Stop()
	select {
	case <-over:
		o.mu.Lock()
		left = time.Until(o.until)
		o.mu.Unlock()
		return func() {}, spread(ctx, left)
	case <-offer:
		return func() { o.probed(over) }, nil
	case <-hold.C:
		return nil, why
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func spread(ctx context.Context, left time.Duration) error {
	if left > 0 && !pause.For(ctx, rand.N(left)) {
		return ctx.Err()
	}
	return nil
}

// probed notes that the probe has ended. Where the outage lasts there is another, later.
func (o *outage) probed(over chan struct{}) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.over == over {
		o.probes++
		o.offerProbe()
	}
}

// offerProbe lets a request be the probe a little later. The mutex is held.
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
		o.probes = 0
		o.offerProbe()
	}
}

// succeeded notes that Vault has answered. After an outage, the requests for a number of queries are not all made at once: other hosts
// come back at the same moment.
func (o *outage) succeeded(queries int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.failures = 0
	if o.over == nil {
		return
	}
	o.until = time.Now().Add(min(time.Duration(queries)*spreadEach, spreadMost))
	close(o.over)
	o.over = nil
}

// isDialing reports whether there was no connection at all.
func isDialing(err error) bool {
	var op *net.OpError
	return errors.As(err, &op) && op.Op == "dial"
}
