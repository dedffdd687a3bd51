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
