package history

import (
	"context"
	"sync"
	"sync/atomic"
	"time"
)

// Every is the least time between two events of a [Feed].
const Every = 100 * time.Millisecond

// A Feed notifies subscribers that something has changed, not what. Changes that follow each other closely are one event. Nobody who
// subscribes, however slow or many, holds up the one that notes changes.
type Feed struct {
	noted     atomic.Uint64 // changes
	waiting   atomic.Int64  // subscribers
	scheduled atomic.Bool   // an event is on its way

	mu   sync.Mutex // guards what follows; Note does not take it
	told uint64     // changes that events have reported
	last time.Time  // of the last event
	next chan struct{}
}

// NewFeed returns a feed without changes.
func NewFeed() *Feed { return &Feed{next: make(chan struct{})} }

// Note notes a change. It returns at once.
func (f *Feed) Note() {
	f.noted.Add(1)
	if f.waiting.Load() > 0 {
		f.schedule()
	}
}

// Sequence returns the number of changes that were noted.
func (f *Feed) Sequence() uint64 { return f.noted.Load() }

// Told returns the number of changes that events have reported.
func (f *Feed) Told() uint64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.told
}

// Next waits for an event with a greater number than after, and returns its number: that of the changes that were noted until then. It
// fails when ctx is done.
func (f *Feed) Next(ctx context.Context, after uint64) (uint64, error) {
	f.waiting.Add(1)
	defer f.waiting.Add(-1)
	for {
		f.mu.Lock()
		told, next := f.told, f.next
		f.mu.Unlock()
		if told > after {
			return told, nil
		}
		if f.noted.Load() > told {
			f.schedule() // nobody waited when it was noted
		}
		select {
		case <-next:
		case <-ctx.Done():
			return 0, ctx.Err()
		}
	}
}

// schedule has an event follow, unless one is on its way.
func (f *Feed) schedule() {
	if !f.scheduled.Swap(true) {
		time.AfterFunc(0, f.publish)
	}
}

// publish wakes the subscribers, when the last event is long enough ago.
func (f *Feed) publish() {
	f.mu.Lock()
	defer f.mu.Unlock()
	if left := Every - time.Since(f.last); left > 0 {
		time.AfterFunc(left, f.publish)
		return
	}
	f.scheduled.Store(false) // what is noted from now on needs another event
	f.told, f.last = f.noted.Load(), time.Now()
	close(f.next)
	f.next = make(chan struct{})
}
