package consul

import (
	"fmt"
	"maps"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"render/watch"
)

// How long requests take to learn what package agent finds out.
const (
	firstDeadline  = 8 * time.Second           // until a plain answer begins
	outageHold     = 2 * time.Second           // how long a request waits for the end of an outage
	secondDeadline = 30 * time.Second          // the same, of the second attempt
	lastProbe      = 2 * time.Second           // the longest pause before a probe finds that an outage is over
	outageEnds     = lastProbe + 3*time.Second // the same, with the time over which requests are spread then
	deadConnection = 25 * time.Second          // over HTTP/2
)

var web = watch.NewQuery(watch.KindService, "web", nil)

// later lets a time go by, and then all that can happen happen.
func later(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

// A follower takes the states of a set as they come.
type follower struct {
	set *watch.Set

	mu      sync.Mutex
	states  map[watch.Query]watch.State
	errs    map[watch.Query]int // states with errors
	lastErr map[watch.Query]error
	came    map[watch.Query]time.Time
}

// follow watches queries until the test ends.
func follow(t *testing.T, src watch.Source, cfg watch.SetConfig, queries ...watch.Query) *follower {
	fl := &follower{set: watch.NewSet(src, cfg), states: make(map[watch.Query]watch.State), errs: make(map[watch.Query]int), lastErr: make(map[watch.Query]error), came: make(map[watch.Query]time.Time)}
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

func (fl *follower) of(q watch.Query) watch.State {
	fl.mu.Lock()
	defer fl.mu.Unlock()
	return fl.states[q]
}

// is returns the value of a query as a fake's put gives it.
func (fl *follower) is(q watch.Query) string { return plain(fl.of(q).Value) }

func (fl *follower) errors() (n int) {
	fl.mu.Lock()
	defer fl.mu.Unlock()
	for _, k := range fl.errs {
		n += k
	}
	return n
}

// failing returns how many queries are in error.
func (fl *follower) failing() (n int) {
	fl.mu.Lock()
	defer fl.mu.Unlock()
	for _, st := range fl.states {
		if st.Err != nil {
			n++
		}
	}
	return n
}

// answered returns how many queries have an answer.
func (fl *follower) answered() (n int) {
	fl.mu.Lock()
	defer fl.mu.Unlock()
	for _, st := range fl.states {
		if st.Rev > 0 {
			n++
		}
	}
	return n
}

func plain(value any) string {
	switch v := value.(type) {
	case string:
		return v
	case []*watch.HealthService:
		if len(v) == 1 {
			return fmt.Sprint(v[0].Port)
		}
	}
	return ""
}

// agree fails the test where a value is not what the fake has.
func (fl *follower) agree(t *testing.T, f *fake, queries []watch.Query, paths []string) {
	t.Helper()
	f.mu.Lock()
	facts := maps.Clone(f.facts)
	f.mu.Unlock()
	wrong := 0
	for i, q := range queries {
		if got, want := fl.is(q), facts[paths[i]].value; got != want {
			if wrong++; wrong < 5 {
				t.Errorf("%s is %s (%v), want %s", q, got, fl.of(q).Err, want)
			}
		}
	}
	if wrong > 0 {
		t.Fatalf("%d of %d are wrong", wrong, len(queries))
	}
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
