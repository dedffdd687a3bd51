package history

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// Changes that follow each other closely are one event, at least Every after the one before; the last change is never left out.
func TestFeed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := NewFeed()
		begin := time.Now()
		var at []time.Duration
		var numbers []uint64
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() {
			defer close(done)
			for after := uint64(0); ; {
				n, err := f.Next(ctx, after)
				if err != nil {
					return
				}
				after = n
				numbers, at = append(numbers, n), append(at, time.Since(begin))
			}
		}()
		synctest.Wait()
		for range 25 { // for 250 ms
			f.Note()
			time.Sleep(10 * time.Millisecond)
		}
		time.Sleep(time.Second)
		stop()
		<-done
		if len(at) < 3 || len(at) > 4 || numbers[len(numbers)-1] != 25 || f.Sequence() != 25 || f.Told() != 25 {
			t.Errorf("events %d at %s", numbers, at)
		}
		for i := 1; i < len(at); i++ {
			if at[i]-at[i-1] < Every {
				t.Errorf("events at %s", at)
			}
		}
		if at[0] > 10*time.Millisecond {
			t.Errorf("the first event came after %s", at[0])
		}
	})
}

// What was noted while nobody waited is an event for the next who asks. Who is up to date waits, until its context ends.
func TestFeedLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := NewFeed()
		f.Note()
		f.Note()
		if n, err := f.Next(t.Context(), 0); n != 2 || err != nil {
			t.Errorf("got %d, %v", n, err)
		}
		ctx, stop := context.WithTimeout(t.Context(), time.Hour)
		defer stop()
		if n, err := f.Next(ctx, 2); err == nil {
			t.Errorf("got the event %d", n)
		}
		f.Note()
		if n, err := f.Next(t.Context(), 2); n != 3 || err != nil {
			t.Errorf("got %d, %v", n, err)
		}
	})
}

// However many wait, and however slow they are, to note a change takes no lock that they have.
func TestFeedMany(t *testing.T) {
	f := NewFeed()
	ctx, stop := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	for range 1000 {
		wg.Go(func() {
			for after := uint64(0); ; {
				n, err := f.Next(ctx, after)
				if err != nil {
					return
				}
				after = n
			}
		})
	}
	f.mu.Lock() // as if one of them were slow
	for range 10_000 {
		f.Note()
	}
	f.mu.Unlock()
	if n, err := f.Next(ctx, 9_999); n != 10_000 || err != nil {
		t.Errorf("got %d, %v", n, err)
	}
	stop()
	wg.Wait()
}
