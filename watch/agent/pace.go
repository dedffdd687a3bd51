package agent

import (
	"context"
	"sync"
	"time"

	"golang.org/x/sync/semaphore"
	"golang.org/x/time/rate"

	"render/watch/pause"
)

const (
	leastRequests = 5.0              // a second, however often the server refuses
	slowDownEvery = time.Second      // between two halvings: many requests are refused at one time
	recovery      = time.Minute      // from nothing to the full rate
	maxRetryAfter = 30 * time.Second // a server is obeyed for at most so long in one go
)

// pace bounds the requests a second of all queries together. A refusal halves the rate; it recovers slowly.
type pace struct {
	limiter     *rate.Limiter
	full        rate.Limit
	burst       int
	waitGate    *semaphore.Weighted // at most one of the requests that wait for a change queues for the limiter, so that others go first
	limiterGate *semaphore.Weighted // at most one request queues in the limiter: a place there keeps the rate that it was given with

	mu       sync.Mutex // guards what follows
	adjusted time.Time
	slowed   time.Time
	until    time.Time // no request before this: Retry-After
}

func newPace(perSecond int) *pace {
	return &pace{
		limiter:     rate.NewLimiter(rate.Limit(perSecond), 2*perSecond),
		full:        rate.Limit(perSecond),
		burst:       2 * perSecond,
		waitGate:    semaphore.NewWeighted(1),
		limiterGate: semaphore.NewWeighted(1),
	}
}

// wait returns when a request may be made. One that waits for a change gives way to those that do not: first answers matter
// more.
func (p *pace) wait(ctx context.Context, waits bool) error {
	if waits {
		if err := p.waitGate.Acquire(ctx, 1); err != nil {
			return err
		}
		defer p.waitGate.Release(1)
	}
	if err := p.limiterGate.Acquire(ctx, 1); err != nil {
		return err
	}
	defer p.limiterGate.Release(1)

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

// refused notes that the server has refused a request because there are too many. It reports whether this lowered the rate.
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
