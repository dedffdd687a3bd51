package watch

import (
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// inBubble runs a test where time stands still until everybody waits. It takes but one processor: on several, the race
// detector is brought down by timers of a bubble that end at the same time (golang/go#78156).
func inBubble(t *testing.T, test func(t *testing.T)) {
	t.Helper()
	runtime.GOMAXPROCS(1)
	synctest.Test(t, test)
}

// later lets a time go by, and then all that can happen happen.
func later(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

// A follower takes the states of a set as they come.
type follower struct {
	set *Set

	mu      sync.Mutex
	states  map[Query]State
	errs    map[Query]int // states with errors
	lastErr map[Query]error
	came    map[Query]time.Time
}

// follow watches queries until the test ends.
func follow(t *testing.T, src Source, cfg SetConfig, queries ...Query) *follower {
	fl := &follower{set: NewSet(src, cfg), states: make(map[Query]State), errs: make(map[Query]int), lastErr: make(map[Query]error), came: make(map[Query]time.Time)}
	var wg sync.WaitGroup
	end := make(chan struct{})
	wg.Go(func() {
		for {
			select {
			case <-fl.set.Ready():
				fl.mu.Lock()
				for q, st := range fl.set.Take() {
					if st.Err != nil {
						fl.errs[q]++
						fl.lastErr[q] = st.Err
					}
					fl.states[q], fl.came[q] = st, time.Now()
				}
				fl.mu.Unlock()
			case <-end:
				return
			}
		}
	})
	t.Cleanup(func() {
		fl.set.Close()
		close(end)
		wg.Wait()
	})
	for _, q := range queries {
		fl.set.Watch(q)
	}
	return fl
}

func (fl *follower) of(q Query) State {
	fl.mu.Lock()
	defer fl.mu.Unlock()
	return fl.states[q]
}

func (fl *follower) errors() (n int) {
	fl.mu.Lock()
	defer fl.mu.Unlock()
	for _, k := range fl.errs {
		n += k
	}
	return n
}
