package watch

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// A lender is a Source and a Forgetter that notes what it is asked. Requests take a while to end, and so does Forget.
type lender struct {
	leaving    time.Duration // from the end of a request's context to its return
	forgetting time.Duration // what Forget takes

	mu     sync.Mutex
	inside map[Query]int  // requests
	kept   map[Query]bool // asked for since it was last forgotten
	forgot map[Query]int
	faults []string
}

func newLender(leaving, forgetting time.Duration) *lender {
	return &lender{leaving: leaving, forgetting: forgetting, inside: make(map[Query]int), kept: make(map[Query]bool), forgot: make(map[Query]int)}
}

func (l *lender) Fetch(ctx context.Context, q Query, after uint64) (any, uint64, error) {
	l.mu.Lock()
	l.inside[q]++
	l.kept[q] = true
	l.mu.Unlock()
	if after != 0 {
		<-ctx.Done()
		time.Sleep(l.leaving)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.inside[q]--
	return "value", 1, ctx.Err()
}

func (l *lender) Forget(q Query) {
	l.check(q)
	time.Sleep(l.forgetting)
	l.check(q)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.forgot[q]++
	l.kept[q] = false
}

func (l *lender) check(q Query) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.inside[q] != 0 || !l.kept[q] {
		l.faults = append(l.faults, fmt.Sprintf("%s is forgotten with %d requests under way; in use: %v", q, l.inside[q], l.kept[q]))
	}
}

func (l *lender) state(q Query) (forgot int, kept bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.forgot[q], l.kept[q]
}

// A source learns once that a query is forgotten, when its last request has returned, and not while it is watched.
func TestForgetter(t *testing.T) {
	const leaving, forgetting = 3 * time.Second, 2 * time.Second
	key := NewQuery(KindKV, "k", nil)
	tests := []struct {
		name   string
		once   bool
		do     func(set *Set)
		forgot int // right after do
		later  int // when all requests have returned
	}{
		{"forgotten", false, func(set *Set) { set.Forget(web) }, 0, 1},
		{"forgotten twice", false, func(set *Set) { set.Forget(web); set.Forget(web) }, 0, 1},
		{"watched again at once", false, func(set *Set) { set.Forget(web); set.Watch(web) }, 0, 0},
		{"watched again, and forgotten", false, func(set *Set) { set.Forget(web); set.Watch(web); set.Forget(web) }, 0, 1},
		{"forgotten again while the first request returns", false, func(set *Set) {
			set.Forget(web)
			set.Watch(web)
			later(time.Second)
			set.Forget(web)
		}, 0, 1},
		{"watched again while it is forgotten", false, func(set *Set) {
			set.Forget(web)
			later(leaving + forgetting/2)
			set.Watch(web)
			later(time.Minute)
			set.Forget(web)
		}, 1, 2},
		{"another is forgotten", false, func(set *Set) { set.Watch(key); set.Forget(key) }, 0, 0},
		{"one that nobody watches", false, func(set *Set) { set.Forget(key) }, 0, 0},
		{"the set is closed", false, func(set *Set) { set.Close() }, 0, 0},
		{"forgotten, then the set is closed", false, func(set *Set) { set.Forget(web); set.Close() }, 1, 1},
		{"forgotten after the set is closed", false, func(set *Set) { set.Close(); set.Forget(web) }, 0, 0},
		{"answered once", true, func(set *Set) {}, 0, 0},
		{"forgotten after it was answered once", true, func(set *Set) { set.Forget(web) }, 0, 1},
		{"forgotten and watched again after it was answered once", true, func(set *Set) { set.Forget(web); set.Watch(web) }, 0, 0},
	}
	for _, test := range tests {
		for via, wrap := range map[string]func(Source) Source{
			"":           func(src Source) Source { return src },
			" by kind":   func(src Source) Source { return ByKind{"": src} },
			" by switch": func(src Source) Source { return NewSwitch(src) },
		} {
			t.Run(test.name+via, func(t *testing.T) {
				inBubble(t, func(t *testing.T) {
					src := newLender(leaving, forgetting)
					set := NewSet(wrap(src), SetConfig{Once: test.once})
					set.Watch(web)
					later(time.Second)
					test.do(set)
					if n, _ := src.state(web); n != test.forgot {
						t.Errorf("forgotten %d times at once, want %d", n, test.forgot)
					}
					later(time.Minute)
					if n, _ := src.state(web); n != test.later {
						t.Errorf("forgotten %d times, want %d", n, test.later)
					}
					set.Close()
					if n, _ := src.state(web); n != test.later {
						t.Errorf("forgotten %d times when the set is closed, want %d", n, test.later)
					}
					for _, fault := range src.faults {
						t.Error(fault)
					}
				})
			})
		}
	}
}

// Whatever the order in which many watch and forget, in the end the source keeps what is watched, and nothing else.
func TestForgetterUnderLoad(t *testing.T) {
	for seed := range uint64(20) {
		inBubble(t, func(t *testing.T) {
			random := rand.New(rand.NewPCG(seed, 1))
			src := newLender(time.Duration(random.IntN(30))*time.Millisecond, time.Duration(random.IntN(30))*time.Millisecond)
			sw := NewSwitch(src)
			set := NewSet(ByKind{"": sw}, SetConfig{Once: seed%2 == 1})
			var wg sync.WaitGroup
			for range 4 {
				steps := rand.New(rand.NewPCG(seed, random.Uint64()))
				wg.Go(func() {
					for range 300 {
						q := NewQuery(KindKV, fmt.Sprint(steps.IntN(5)), nil)
						if steps.IntN(2) == 0 {
							set.Watch(q)
						} else {
							set.Forget(q)
						}
						time.Sleep(time.Duration(steps.IntN(10)) * time.Millisecond)
					}
				})
			}
			wg.Wait()
			later(time.Minute)
			for i := range 5 {
				q := NewQuery(KindKV, fmt.Sprint(i), nil)
				if _, kept := src.state(q); kept != (set.watched[q] != nil) {
					t.Errorf("seed %d: %s is kept: %v; watched: %v", seed, q, kept, !kept)
				}
				set.Forget(q)
			}
			later(time.Minute)
			for q, kept := range src.kept {
				if kept {
					t.Errorf("seed %d: %s is kept in the end", seed, q)
				}
			}
			if len(set.asking) != 0 || len(sw.side.indexes) != 0 || len(sw.side.requests) != 0 {
				t.Errorf("seed %d: %d queries, %d indexes, %d requests are left", seed, len(set.asking), len(sw.side.indexes), len(sw.side.requests))
			}
			for _, fault := range src.faults {
				t.Errorf("seed %d: %s", seed, fault)
			}
			set.Close()
		})
	}
}

// A source that was replaced is not told to forget; while it forgets, Use waits.
func TestSwitchForgets(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		old, next := newLender(0, 2*time.Second), newLender(0, 0)
		sw := NewSwitch(old)
		_, _, _ = sw.Fetch(t.Context(), web, 0)
		began := time.Now()
		go sw.Forget(web)
		synctest.Wait()
		sw.Use(next)
		if took := time.Since(began); took != 2*time.Second {
			t.Errorf("Use returned after %s, while the old source forgets", took)
		}
		_, _, _ = sw.Fetch(t.Context(), web, 0)
		sw.Forget(web)
		one, _ := old.state(web)
		other, _ := next.state(web)
		if one != 1 || other != 1 {
			t.Errorf("the old source forgot %d times, the next %d times", one, other)
		}
		ByKind{KindKV: old}.Forget(web) // no source for it
		forget(&scripted{}, web)        // no Forgetter
		if faults := slices.Concat(old.faults, next.faults); len(faults) > 0 {
			t.Error(faults)
		}
	})
}
