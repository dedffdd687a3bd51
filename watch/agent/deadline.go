package agent

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"
)

// A request has two deadlines. Its answer has to begin in time, or a connection that has died in silence would silence a query for
// ever. After that the answer has to arrive at a least speed, however long all of it takes: a large answer on a slow line is no
// failure.
const (
	firstDeadline = 8 * time.Second  // until a plain answer begins; more than the 7 s that a server holds a request while it has no leader
	plainDeadline = 30 * time.Second // the same, of the second attempt
	waitGrace     = 5 * time.Second  // the same, of a request that waits: beyond the wait, and the sixteenth of it that a server may add
	stallDeadline = 15 * time.Second // for each stallBytes of the answer
	stallBytes    = 4 << 10
)

var (
	errSilent  = errors.New("no answer")
	errStalled = fmt.Errorf("the answer stalled: less than %d bytes in %s", stallBytes, stallDeadline)
)

// A deadline ends a request whose answer does not begin, or does not go on.
type deadline struct {
	end   context.CancelCauseFunc
	timer *time.Timer
}

// withDeadline returns a context for a request whose answer has to begin within a limit. The cause of its end is errSilent, or
// errStalled.
func withDeadline(ctx context.Context, limit time.Duration) (context.Context, *deadline) {
	ctx, end := context.WithCancelCause(ctx)
	return ctx, &deadline{end: end, timer: time.AfterFunc(limit, func() { end(errSilent) })}
}

func (d *deadline) stop() {
	d.timer.Stop()
	d.end(nil)
}

// watch returns the body of an answer that has begun. From now on it has to arrive at a least speed.
func (d *deadline) watch(body io.Reader) io.Reader {
	d.timer.Stop()
	d.timer = time.AfterFunc(stallDeadline, func() { d.end(errStalled) })
	return &watchedBody{body: body, timer: d.timer}
}

type watchedBody struct {
	body  io.Reader
	timer *time.Timer
	bytes int // since the timer was set
}

func (b *watchedBody) Read(p []byte) (int, error) {
	n, err := b.body.Read(p)
	if b.bytes += n; b.bytes >= stallBytes {
		b.bytes = 0
		b.timer.Reset(stallDeadline)
	}
	return n, err
}

// A latency is the longest time that plain answers have lately taken to begin. The zero value knows of none.
//
// A request that was lost on its way is made again after firstDeadline. Where the server is slow that would double its work, so the
// first deadline is a multiple of what it takes.
type latency struct {
	mu      sync.Mutex // guards what follows
	slowest time.Duration
	at      time.Time
}

const (
	latencyKept   = 10 * time.Minute
	latencyFactor = 4
)

// note notes that an answer has begun after a time.
func (l *latency) note(took time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if now := time.Now(); took > l.slowest || now.Sub(l.at) > latencyKept {
		l.slowest, l.at = took, now
	}
}

// deadlines returns how long each attempt of a plain read may take to begin its answer.
func (l *latency) deadlines() []time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	first := max(firstDeadline, latencyFactor*l.slowest)
	if time.Since(l.at) > latencyKept {
		first = firstDeadline
	}
	if first >= plainDeadline {
		return []time.Duration{plainDeadline}
	}
	return []time.Duration{first, plainDeadline}
}
