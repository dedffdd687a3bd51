package agent

import (
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"render/watch/sourcetest"
)

// Whoever asks, whenever, and whatever is refused: in no stretch of time are there more requests than the burst and the
// rate allow, and in the end each has had its turn.
func TestPaceBound(t *testing.T) {
	t.Parallel()
	for seed := range uint64(10) {
		sourcetest.Bubble(t, func(t *testing.T) {
			random := rand.New(rand.NewPCG(seed, 0))
			rate := 1 + random.IntN(50)
			p := newPace(rate)
			var mu sync.Mutex
			var times []time.Time
			var wg sync.WaitGroup
			n := 0
			for range 20 {
				for range random.IntN(4 * rate) {
					waits := random.IntN(2) == 0
					n++
					wg.Go(func() {
						if err := p.wait(t.Context(), waits); err != nil {
							t.Error(err)
						}
						mu.Lock()
						times = append(times, time.Now())
						mu.Unlock()
					})
				}
				if random.IntN(4) == 0 {
					p.refused(time.Duration(random.IntN(3)) * time.Second)
				}
				time.Sleep(time.Duration(random.IntN(5000)) * time.Millisecond)
			}
			wg.Wait()
			if len(times) != n {
				t.Fatalf("%d of %d had their turn", len(times), n)
			}
			for i := range times {
				for j := i; j < n; j++ {
					span := times[j].Sub(times[i]).Seconds()
					if most := 2*rate + int(float64(rate)*span) + 1; j-i+1 > most {
						t.Fatalf("rate %d: %d requests in %.3f s", rate, j-i+1, span)
					}
				}
			}
		})
	}
}

func TestPaceRefused(t *testing.T) {
	sourcetest.Bubble(t, func(t *testing.T) {
		p := newPace(1000)
		rate := func() float64 { return float64(p.limiter.Limit()) }
		for i := range 100 { // as many queries are refused at one time
			if slower := p.refused(0); slower != (i == 0) {
				t.Fatalf("refusal %d slowed down: %v", i, slower)
			}
			time.Sleep(9 * time.Millisecond)
		}
		if got := rate(); got != 500 {
			t.Errorf("rate %v after one second of refusals, want 500", got)
		}
		time.Sleep(200 * time.Millisecond)
		p.refused(0)
		if got := rate(); got < 250 || got > 270 {
			t.Errorf("rate %v after another, want half, and what has recovered", got)
		}
		time.Sleep(recovery)
		if err := p.wait(t.Context(), true); err != nil || rate() != 1000 {
			t.Errorf("rate %v after the recovery, %v", rate(), err)
		}
		for range 1000 {
			p.refused(0)
			time.Sleep(slowDownEvery)
		}
		if got := rate(); got < leastRequests || got > 40 {
			t.Errorf("rate %v after 1000 seconds of refusals", got)
		}
	})
}

func TestPaceRetryAfter(t *testing.T) {
	tests := []struct{ asked, obeyed time.Duration }{
		{0, 0}, {time.Second, time.Second}, {7 * time.Second, 7 * time.Second}, {time.Hour, maxRetryAfter}, {-time.Hour, 0},
	}
	for _, test := range tests {
		sourcetest.Bubble(t, func(t *testing.T) {
			p := newPace(1000)
			p.refused(test.asked)
			began := time.Now()
			if err := p.wait(t.Context(), true); err != nil {
				t.Fatal(err)
			}
			if got := time.Since(began); got != test.obeyed {
				t.Errorf("asked to wait %s, waited %s", test.asked, got)
			}
		})
	}
}
