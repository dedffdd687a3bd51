package api

import (
	"errors"
	"net/http"
	"sync"
	"time"

	"render/watch"
)

// figures count the requests of a client. The zero value has counted none.
type figures struct {
	mu       sync.Mutex // guards what follows
	counts   watch.Figures
	inFlight int
}

// begin notes that a request is made, and returns what notes its end. One that was given up has no outcome.
func (f *figures) begin() (end func(err error, givenUp bool)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.inFlight++
	return func(err error, givenUp bool) {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.inFlight--
		if !givenUp {
			f.ended(err)
		}
	}
}

// ended notes the outcome of a request. What Vault denies or rejects is an answer, too. The mutex is held.
func (f *figures) ended(err error) {
	c := &f.counts
	status, isStatus := errors.AsType[*StatusError](err)
	_, away := errors.AsType[watch.OutageError](err)
	switch {
	case err == nil:
		c.Answered++
	case errors.Is(err, watch.ErrDenied):
		c.Denied++
	case isStatus && status.Status == http.StatusTooManyRequests:
		c.Refused++
	default:
		c.Failed++
	}

	switch {
	case !away:
		c.Err, c.Since, c.LastAnswer = nil, time.Time{}, time.Now()
	case c.Err == nil:
		c.Since = time.Now()
		fallthrough
	default:
		c.Err = err
	}
}

// received notes the size of an answer.
func (f *figures) received(bytes int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.counts.Bytes += uint64(bytes)
}

// Figures returns what is known of the requests; nothing before the first. An answer comes from an active Vault, which is a leader that is
// not behind.
func (c *Client) Figures() []watch.Figures {
	c.mu.Lock()
	address, limit := c.endpoints[c.current].name, cap(c.slots)
	c.mu.Unlock()
	c.figures.mu.Lock()
	defer c.figures.mu.Unlock()
	all := c.figures.counts
	if all.InFlight = c.figures.inFlight; all.InFlight == 0 && all.LastAnswer.IsZero() && all.Err == nil {
		return nil
	}
	all.Server, all.Address, all.Limit, all.KnownLeader = "vault", address, limit, !all.LastAnswer.IsZero()
	return []watch.Figures{all}
}
