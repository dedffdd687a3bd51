package pass

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"render/template"
)

// after returns an execution that takes time, unless its context ends it.
func after(d time.Duration) func(context.Context) template.Result {
	return func(ctx context.Context) template.Result {
		timer := time.NewTimer(d)
		defer timer.Stop()
		select {
		case <-timer.C:
			return template.Result{Output: []byte("done")}
		case <-ctx.Done():
			return template.Result{Err: context.Cause(ctx)}
		}
	}
}

// The loop waits for a pass that is quick. One that takes longer ends as an event, at the limit at the latest.
func TestPass(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		gone := make(chan struct{})
		defer close(gone)
		r := New[string](gone)
		for _, test := range []struct {
			takes, took time.Duration
			awaited     bool
			err         error
		}{
			{Patience / 2, Patience / 2, true, nil},
			{3 * time.Second, 3 * time.Second, false, nil},
			{time.Hour, Limit, false, ErrLimit},
		} {
			p := r.Begin("owner", time.Now(), after(test.takes))
			if got := r.Await(p); got != test.awaited {
				t.Fatalf("%s: awaited: %t", test.takes, got)
			}
			if !test.awaited {
				r.Detach(p)
				if room := r.Room(time.Now()); room < 1 {
					t.Errorf("%s: room for %d", test.takes, room)
				}
				if end := <-r.Ends(); end != p {
					t.Fatal("another pass has ended")
				}
				r.Land(p)
			}
			if p.Took != test.took || !errors.Is(p.Result.Err, test.err) || p.Late != (test.err != nil) {
				t.Errorf("%s: took %s, late %t, %v", test.takes, p.Took, p.Late, p.Result.Err)
			}
		}
		p := r.Begin("owner", time.Now(), after(time.Hour))
		r.Detach(p)
		if left := r.End(time.Second); left != nil || !errors.Is(p.Result.Err, context.Canceled) {
			t.Errorf("left behind: %v; %v", left, p.Result.Err)
		}
	})
}

// A pass that takes long is reported once it has taken RoomTime, and again and again.
func TestReport(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		gone := make(chan struct{})
		defer close(gone)
		r := New[string](gone)
		start := time.Now()
		if long := r.Report(start, time.Minute); long != nil || !r.Next.IsZero() {
			t.Errorf("reported %v, due at %s", long, r.Next)
		}
		p := r.Begin("owner", start, after(time.Hour))
		r.Detach(p)
		for _, test := range []struct {
			at   time.Duration
			long int
			next time.Duration
		}{
			{RoomTime - 1, 0, RoomTime},
			{RoomTime, 1, RoomTime + 10*time.Second},
			{RoomTime + time.Second, 0, RoomTime + 10*time.Second},
			{RoomTime + 11*time.Second, 1, RoomTime + 21*time.Second},
		} {
			long := r.Report(start.Add(test.at), 10*time.Second)
			if len(long) != test.long || !r.Next.Equal(start.Add(test.next)) {
				t.Errorf("after %s: %d reported, due at %s", test.at, len(long), r.Next.Sub(start))
			}
		}
		r.Land(<-r.Ends())
		if long := r.Report(start.Add(time.Hour), time.Minute); long != nil || !r.Next.IsZero() {
			t.Errorf("after its end: reported %v, due at %s", long, r.Next)
		}
	})
}
