package consul

import (
	"context"
	"sync"
	"time"
)

const (
	outageAfter = 3                      // failures in a row, without an answer between them
	probeEvery  = 250 * time.Millisecond // while there is an outage
	outageHold  = 2 * time.Second        // how long a request waits for the end of an outage before it fails with it
)

// An outage keeps the requests few while all fail: a Consul that struggles to come back must not be met by all that we
// would like to know, and one that is away not be dialed by thousands. The zero value is no outage.
type outage struct {
	mu       sync.Mutex // guards what follows
	failures int
	err      error
	over     chan struct{} // closed when the outage ends; nil where there is none
	probe    chan struct{} // has a token when somebody may try
}

// pass returns nil when a request may be made: at once, as a probe, or when the outage has ended. Else it returns why
// requests fail.
func (o *outage) pass(ctx context.Context) (probes bool, err error) {
	o.mu.Lock()
	over, probe, err := o.over, o.probe, o.err
	o.mu.Unlock()
	if over == nil {
		return false, nil
	}
	hold := time.NewTimer(outageHold)
	defer hold.Stop()
	select {
	case <-over:
		return false, nil
	case <-probe:
		o.offerProbe(over, probe)
		return true, nil
	case <-hold.C:
		return false, err
	case <-ctx.Done():
		return false, ctx.Err()
	}
}

// lasts reports whether there is an outage.
func (o *outage) lasts() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.over != nil
}

// offerProbe lets somebody try a little later, unless the outage is over then.
func (o *outage) offerProbe(over, probe chan struct{}) {
	time.AfterFunc(probeEvery, func() {
		select {
		case <-over:
		case probe <- struct{}{}:
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
		o.over, o.probe = make(chan struct{}), make(chan struct{}, 1)
		o.offerProbe(o.over, o.probe)
	}
}

// succeeded notes that a request was answered.
func (o *outage) succeeded() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.failures, o.err = 0, nil
	if o.over != nil {
		close(o.over)
		o.over = nil
	}
}
