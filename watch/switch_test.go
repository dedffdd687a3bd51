package watch

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// shelf is a Source of one answer, and a Confirmer of another.
type shelf struct {
	value     any
	confirmed any // nil: the same
	index     uint64
	leaving   time.Duration // what it takes to end a request
	inside    atomic.Int64
	plain     atomic.Int64 // reads
	confirms  atomic.Int64
}

func (s *shelf) Fetch(ctx context.Context, _ Query, after uint64) (any, uint64, error) {
	s.inside.Add(1)
	defer s.inside.Add(-1)
	if after == 0 {
		s.plain.Add(1)
	}
	if after == s.index {
		select {
		case <-ctx.Done():
			time.Sleep(s.leaving)
			return nil, 0, ctx.Err()
		case <-time.After(time.Minute):
		}
	}
	return s.value, s.index, nil
}

func (s *shelf) Confirm(context.Context, Query) (any, uint64, error) {
	s.confirms.Add(1)
	if s.confirmed != nil {
		return s.confirmed, s.index, nil
	}
	return s.value, s.index, nil
}

// What a Set makes of a source that is replaced by one with another state of affairs.
func TestSwitchUnderSet(t *testing.T) {
	list := func(names ...string) []*Node {
		all := []*Node{}
		for _, n := range names {
			all = append(all, &Node{Node: n})
		}
		return all
	}
	old := &shelf{value: list("a", "b"), index: 1000}
	tests := []struct {
		name string
		next *shelf
		want string // of the last state
		revs uint64
	}{
		{"the same", &shelf{value: list("a", "b"), index: 1000}, "[a b]", 1},
		{"the same at a lower index", &shelf{value: list("a", "b"), index: 7}, "[a b]", 1},
		{"the same at a higher index", &shelf{value: list("a", "b"), index: 1001}, "[a b]", 1},
		{"others at the same index", &shelf{value: list("c"), index: 1000}, "[c]", 2},
		{"others at a lower index", &shelf{value: list("c"), index: 7}, "[c]", 2},
		{"others at a higher index", &shelf{value: list("c"), index: 1001}, "[c]", 2},
		{"none", &shelf{value: list(), index: 7}, "[]", 2},
		{"none at a higher index", &shelf{value: list(), index: 1001}, "[]", 2},
		{"none, which its leader does not confirm", &shelf{value: list(), confirmed: list("a", "b"), index: 1001}, "[a b]", 1},
		{"others, as its leader knows alone", &shelf{value: list("old"), confirmed: list("new"), index: 7}, "[new]", 2},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			inBubble(t, func(t *testing.T) {
				sw := NewSwitch(old)
				set := NewSet(sw, SetConfig{})
				defer set.Close()
				q := NewQuery(KindNodes, "", nil)
				set.Watch(q)
				synctest.Wait()
				confirms := old.confirms.Load()
				sw.Use(test.next)
				time.Sleep(time.Second)
				var last State
				for _, st := range set.Take() {
					last = st
				}
				var names []string
				for _, n := range last.Value.([]*Node) {
					names = append(names, n.Node)
				}
				if got := fmt.Sprint(names); got != test.want || last.Rev != test.revs {
					t.Errorf("got %s, answer %d, want %s, answer %d (%v)", got, last.Rev, test.want, test.revs, last.Err)
				}
				unconfirmed := test.next.confirmed != nil && test.revs == 1
				if failed := last.Err != nil; failed != unconfirmed {
					t.Errorf("error: %v", last.Err)
				}
				if old.inside.Load() != 0 || old.confirms.Load() != confirms {
					t.Error("the old source is still asked")
				}
				if !unconfirmed && test.next.inside.Load() != 1 {
					t.Errorf("%d requests wait at the new source, want one", test.next.inside.Load())
				}
				if n := test.next.plain.Load(); n > 4 { // in a second, by the shortest pauses between failures
					t.Errorf("%d plain reads", n)
				}
			})
		})
	}
}

// A caller that is not inside when the source is replaced comes back with an index of the old one.
func TestSwitchForgetsIndexes(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		sw := NewSwitch(&shelf{value: "old", index: 5})
		q := NewQuery(KindKV, "k", nil)
		if _, index, _ := sw.Fetch(t.Context(), q, 0); index != 5 {
			t.Fatalf("got index %d", index)
		}
		next := &shelf{value: "new", index: 5}
		sw.Use(next)
		began := time.Now()
		if value, _, err := sw.Fetch(t.Context(), q, 5); value != "new" || err != nil || time.Since(began) > 0 {
			t.Errorf("got %v, %v after %s", value, err, time.Since(began))
		}
		if _, _, err := sw.Fetch(t.Context(), q, 5); err != nil || time.Since(began) == 0 {
			t.Errorf("the next request did not wait: %v", err)
		}
	})
}

// Use waits until nobody is inside the old source.
func TestSwitchWaits(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		slow := &shelf{value: "old", index: 5, leaving: 3 * time.Second}
		sw := NewSwitch(slow)
		got := make(chan any)
		q := NewQuery(KindKV, "k", nil)
		_, _, _ = sw.Fetch(t.Context(), q, 0)
		go func() {
			value, _, err := sw.Fetch(t.Context(), q, 5)
			if err != nil {
				t.Error(err)
			}
			got <- value
		}()
		synctest.Wait()
		began := time.Now()
		sw.Use(&shelf{value: "new", index: 6})
		if n := slow.inside.Load(); n != 0 || time.Since(began) != slow.leaving {
			t.Errorf("%d requests inside, after %s", n, time.Since(began))
		}
		if value := <-got; value != "new" {
			t.Errorf("got %v", value)
		}
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Second, cancel)
		if _, _, err := sw.Fetch(ctx, q, 6); err != context.Canceled {
			t.Errorf("got %v", err)
		}
	})
}

// Sources come and go while many ask. Nobody sees an error, or is inside of one that has gone.
func TestSwitchUnderLoad(t *testing.T) {
	current := &shelf{value: 0, index: 1}
	sw := NewSwitch(current)
	ctx, stop := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	for i := range 20 {
		wg.Go(func() {
			q := NewQuery(KindKV, fmt.Sprint(i), nil)
			for seen := 0; ctx.Err() == nil; {
				value, _, err := sw.Fetch(ctx, q, 1)
				if err != nil {
					if ctx.Err() == nil {
						t.Error(err)
					}
					return
				}
				if value.(int) < seen {
					t.Errorf("%v after %d", value, seen)
				}
				seen = value.(int)
			}
		})
	}
	for i := range 300 {
		next := &shelf{value: i, index: 1}
		sw.Use(next)
		if n := current.inside.Load(); n != 0 {
			t.Fatalf("%d requests inside", n)
		}
		current = next
	}
	stop()
	wg.Wait()
}
