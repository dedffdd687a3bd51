package vault

import (
	"sync"
	"testing"
	"time"
)

// A starvation has the times in which this process was ready to run and the machine ran other programs. What took longer because of that
// says nothing about render. Bounds of time are for a process that runs.
type starvation struct {
	mu    sync.Mutex // guards what follows
	spans []starved
}

// A starved is the end of a time without a processor, and how long it was.
type starved struct {
	at    time.Time
	lasts time.Duration
}

const (
	starvedTick  = 10 * time.Millisecond // between two looks
	starvedLeast = 5 * time.Millisecond  // below which a timer is in time
)

// measureStarvation measures until the test ends.
func measureStarvation(t *testing.T) *starvation {
	s := new(starvation)
	done := make(chan struct{})
	var ended sync.WaitGroup
	ended.Go(func() {
		for {
			began, used := time.Now(), cpuTime(t)
			select {
			case <-time.After(starvedTick):
			case <-done:
				return
			}
			// What the process itself uses is no starvation.
			s.note(time.Now(), time.Since(began)-starvedTick-(cpuTime(t)-used))
		}
	})
	t.Cleanup(func() { close(done); ended.Wait() })
	return s
}

func (s *starvation) note(at time.Time, lasts time.Duration) {
	if lasts > starvedLeast {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.spans = append(s.spans, starved{at, lasts})
	}
}

// between returns how long the process had no processor in a time.
func (s *starvation) between(from, to time.Time) (lasts time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := len(s.spans) - 1; i >= 0 && s.spans[i].at.After(from); i-- {
		begins, ends := latest(from, s.spans[i].at.Add(-s.spans[i].lasts)), s.spans[i].at
		if ends.After(to) {
			ends = to
		}
		lasts += max(0, ends.Sub(begins))
	}
	return lasts
}

// around returns the longest time without a processor of those that a time had a part of: what was due in it came at once afterwards.
func (s *starvation) around(from, to time.Time) (longest time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, span := range s.spans {
		if span.at.After(from) && span.at.Add(-span.lasts).Before(to) {
			longest = max(longest, span.lasts)
		}
	}
	return longest
}

// Only what was within a time is of it.
func TestStarvation(t *testing.T) {
	t.Parallel()
	at := func(s int) time.Time { return time.Unix(int64(s), 0) }
	var s starvation
	s.note(at(10), time.Second)
	s.note(at(15), starvedLeast)
	s.note(at(20), 4*time.Second)
	for _, test := range []struct{ from, to, want int }{{0, 30, 5}, {0, 9, 0}, {10, 15, 0}, {18, 30, 2}, {0, 17, 2}, {17, 19, 2}, {20, 30, 0}} {
		if got := s.between(at(test.from), at(test.to)); got != time.Duration(test.want)*time.Second {
			t.Errorf("from %d to %d: got %s, want %ds", test.from, test.to, got, test.want)
		}
	}
	for _, test := range []struct{ from, to, want int }{{0, 30, 4}, {0, 10, 1}, {0, 9, 0}, {10, 16, 0}, {19, 30, 4}, {20, 30, 0}} {
		if got := s.around(at(test.from), at(test.to)); got != time.Duration(test.want)*time.Second {
			t.Errorf("around %d to %d: got %s, want %ds", test.from, test.to, got, test.want)
		}
	}
}
