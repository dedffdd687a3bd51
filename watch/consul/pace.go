package consul

import (
	"context"
	"sync"
	"time"

	"render/watch/pause"

	"golang.org/x/time/rate"
)

const (
	leastRequests = 5.0              // a second, however often Consul refuses
	slowDownEvery = time.Second      // between two halvings: many requests are refused at one time
	recovery      = time.Minute      // from nothing to the full rate
	maxRetryAfter = 30 * time.Second // the longest that Consul is obeyed in one go
)

// pace bounds the requests a second of all queries together. A refusal halves the rate; it recovers slowly.
type pace struct {
	limiter *rate.Limiter
	full    rate.Limit
	burst   int
	patient chan struct{} // held by the only one of the requests for a wait that may want the turn
	turn    chan struct{} // held by the one who waits for the limiter: who queues there for long does not see that the rate recovers

	mu       sync.Mutex // guards what follows
	adjusted time.Time
	slowed   time.Time
	until    time.Time // no request before this: Retry-After
}

func newPace(perSecond int) *pace {
	return &pace{
		limiter: rate.NewLimiter(rate.Limit(perSecond), 2*perSecond),
		full:    rate.Limit(perSecond),
		burst:   2 * perSecond,
		patient: make(chan struct{}, 1),
		turn:    make(chan struct{}, 1),
	}
}

// wait returns when a request may be made. One that waits for a change gives way to those that do not: first answers matter
// more.
func (p *pace) wait(ctx context.Context, waits bool) error {
	if waits {
		back, err := take(ctx, p.patient)
		if err != nil {
			return err
		}
		defer back()
	}
	back, err := take(ctx, p.turn)
	if err != nil {
		return err
	}
	defer back()
	p.mu.Lock()
	p.recover(time.Now())
	delay := time.Until(p.until)
	p.mu.Unlock()
	if delay > 0 && !pause.For(ctx, delay) {
		return ctx.Err()
	}
	return p.limiter.Wait(ctx)
}

func (p *pace) recover(now time.Time) {
	limit := p.limiter.Limit()
	if limit >= p.full {
		return
	}
	limit = min(p.full, limit+p.full*rate.Limit(now.Sub(p.adjusted).Seconds()/recovery.Seconds()))
	p.adjusted = now
	p.limiter.SetLimitAt(now, limit)
	if limit == p.full {
		p.limiter.SetBurstAt(now, p.burst)
	}
}

// refused notes that Consul has refused a request because there are too many. It reports whether this lowered the rate.
func (p *pace) refused(retryAfter time.Duration) (slower bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	if until := now.Add(min(retryAfter, maxRetryAfter)); until.After(p.until) {
		p.until = until
	}
	if now.Sub(p.slowed) < slowDownEvery {
		return false
	}
	p.recover(now)
	p.slowed, p.adjusted = now, now
	p.limiter.SetLimitAt(now, max(leastRequests, p.limiter.Limit()/2))
	p.limiter.SetBurstAt(now, 1)
	return true
}

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
