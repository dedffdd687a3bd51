// Package pause says how long to wait before the next attempt, and waits.
package pause

import (
	"context"
	"math/rand/v2"
	"time"
)

// For waits for a duration. It reports whether the duration has passed; false means that ctx was done before.
func For(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// Jittered returns a duration less a random part of up to a quarter, so that many who begin together do not all end together.
func Jittered(d time.Duration) time.Duration { return d - rand.N(d/4+1) }

// Backoff returns the pause after a number of earlier failures: base, doubled by each failure, at most limit, less a random
// part of up to a half.
func Backoff(failures int, base, limit time.Duration) time.Duration {
	d := doubled(base, failures, limit)
	return d - rand.N(d/2+1)
}

func doubled(base time.Duration, times int, limit time.Duration) time.Duration {
	for range times {
		if base > limit/2 {
			return limit
		}
		base *= 2
	}
	return min(base, limit)
}

// The pauses of Idle.
const (
	IdleBase = 100 * time.Millisecond // least duration of a request that brings nothing new; doubled by each further one
	IdleMax  = 10 * time.Second
)

// Idle counts requests in a row that return early and bring nothing new. The zero value has counted none.
type Idle int

// Pause counts a request that began at a time and has brought nothing new. It returns the pause before the next request.
// A request that took long enough ends the row.
func (n *Idle) Pause(began time.Time) time.Duration {
	pause := doubled(IdleBase, int(*n), IdleMax) - time.Since(began)
	if pause > 0 {
		*n++
	} else {
		*n = 0
	}
	return pause
}
