package agent

import (
	"cmp"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"sync"
	"syscall"
	"time"

	"render/watch/pause"
)

const (
	leastCutAge  = time.Second // of a waiting request that a proxy cuts off because of its age
	leastCutWait = time.Second
)

// cuts notices a proxy that cuts off requests that wait long, and keeps the waits below that.
type cuts struct {
	name string // of the server
	log  *slog.Logger

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
	if c.age != 0 && same && differ <= apart/10 { // a server that ends closes connections one by one: ages differ by the time between the cuts
		c.shorten(age)
	}
	c.age, c.at = age, now
	return true
}

// shorten keeps waits below an age. Requests that began before may still be cut off at the same age.
func (c *cuts) shorten(age time.Duration) {
	if most := max(leastCutWait, age*4/5); c.most == 0 || most < c.most*9/10 {
		c.most = most
		c.log.Warn("waiting requests to "+c.name+" are cut off; render shortens its waits", "after", age.Round(time.Millisecond), "wait", most)
	}
}

// wait returns for how long a request that wants to wait for d may do so, with jitter.
func (c *cuts) wait(d time.Duration) time.Duration { return pause.Jittered(min(d, c.longest())) }

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
