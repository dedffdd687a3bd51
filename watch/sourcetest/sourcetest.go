// Package sourcetest holds the contract that every watch.Source keeps, and what tests of sources share.
package sourcetest

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"sync"
	"testing"
	"time"

	"render/watch"
)

// A Subject is a source under test, with one query whose answer the test can change.
type Subject struct {
	Source watch.Source
	Query  watch.Query
	Set    func(value string) // makes value the answer; what Fetch gives for it may have another form
	Remove func()             // makes the answer absent
}

const (
	soon  = 10 * time.Second       // within this something has to happen
	quiet = 150 * time.Millisecond // for this long nothing may happen
)

type answer struct {
	value any
	index uint64
	err   error
}

// is reports whether two answers are the same, with their indexes.
func (a answer) is(b answer) bool {
	return watch.Equal(a.value, b.value) && a.index == b.index && reflect.DeepEqual(a.err, b.err)
}

// Run tests a source. Each part gets a subject of its own, whose query is absent at first.
func Run(t *testing.T, newSubject func(t *testing.T) Subject) {
	fetch := func(s Subject, ctx context.Context, after uint64) <-chan answer {
		ch := make(chan answer, 1)
		go func() {
			value, index, err := s.Source.Fetch(ctx, s.Query, after)
			ch <- answer{value, index, err}
		}()
		return ch
	}
	await := func(t *testing.T, ch <-chan answer) answer {
		t.Helper()
		select {
		case a := <-ch:
			return a
		case <-time.After(soon):
			t.Fatal("no answer in time")
			return answer{}
		}
	}
	now := func(t *testing.T, s Subject) answer {
		t.Helper()
		a := await(t, fetch(s, t.Context(), 0))
		if a.err != nil {
			t.Fatalf("a plain read failed: %v", a.err)
		}
		if a.index == 0 {
			t.Fatal("a plain read gave the index 0")
		}
		return a
	}

	t.Run("absent is an answer", func(t *testing.T) {
		s := newSubject(t)
		if a := now(t, s); a.value != nil {
			t.Fatalf("got %v, want nil", a.value)
		}
	})
	t.Run("a plain read answers at once", func(t *testing.T) {
		s := newSubject(t)
		s.Set("one")
		first := now(t, s)
		again := now(t, s)
		if first.value == nil || !first.is(again) {
			t.Fatalf("got %v, then %v", first, again)
		}
	})
	t.Run("another index is answered at once", func(t *testing.T) {
		s := newSubject(t)
		s.Set("one")
		old := now(t, s)
		s.Set("two")
		current := now(t, s)
		if a := await(t, fetch(s, t.Context(), old.index)); a.err != nil || !a.is(current) {
			t.Fatalf("got %v, want %v", a, current)
		}
	})
	t.Run("waits for a change", func(t *testing.T) {
		s := newSubject(t)
		before := now(t, s)
		steps := []struct {
			name string
			do   func()
		}{
			{"appears", func() { s.Set("one") }},
			{"changes", func() { s.Set("two") }},
			{"disappears", s.Remove},
			{"returns", func() { s.Set("three") }},
		}
		for _, step := range steps {
			ch := fetch(s, t.Context(), before.index)
			select {
			case a := <-ch:
				t.Fatalf("before it %s: did not wait, gave %v", step.name, a)
			case <-time.After(quiet):
			}
			step.do()
			after := await(t, ch)
			if after.err != nil {
				t.Fatalf("when it %s: %v", step.name, after.err)
			}
			if after.index == before.index || watch.Equal(after.value, before.value) {
				t.Fatalf("when it %s: got %v after %v", step.name, after, before)
			}
			before = after
		}
	})
	t.Run("returns when the context is done", func(t *testing.T) {
		s := newSubject(t)
		s.Set("one")
		a := now(t, s)
		ctx, cancel := context.WithCancel(t.Context())
		ch := fetch(s, ctx, a.index)
		select {
		case a := <-ch:
			t.Fatalf("did not wait, gave %v", a)
		case <-time.After(quiet):
		}
		cancel()
		if a := await(t, ch); !errors.Is(a.err, context.Canceled) {
			t.Fatalf("got %v, want context.Canceled", a)
		}
	})
	t.Run("answers many at once", func(t *testing.T) {
		s := newSubject(t)
		s.Set("one")
		a := now(t, s)
		var wg sync.WaitGroup
		for range 20 {
			wg.Go(func() {
				if b := await(t, fetch(s, t.Context(), a.index)); b.err != nil || watch.Equal(a.value, b.value) {
					t.Errorf("got %v", b)
				}
			})
		}
		s.Set("two")
		wg.Wait()
	})
	t.Run("a plain read has no effects", func(t *testing.T) {
		s := newSubject(t)
		s.Set("one")
		a := now(t, s)
		ch := fetch(s, t.Context(), a.index)
		for range 20 {
			if b := now(t, s); !a.is(b) {
				t.Fatalf("got %v after %v", b, a)
			}
		}
		select {
		case b := <-ch:
			t.Fatalf("plain reads woke who waits for %v with %v", a, b)
		case <-time.After(quiet):
		}
		s.Set("two")
		if b := await(t, ch); b.err != nil || watch.Equal(a.value, b.value) {
			t.Fatalf("got %v", b)
		}
	})
	t.Run("several sets learn of each change", func(t *testing.T) {
		s := newSubject(t)
		s.Set("one")
		var sets []*watch.Set
		for range 4 {
			set := watch.NewSet(s.Source, watch.SetConfig{})
			defer set.Close()
			set.Watch(s.Query)
			sets = append(sets, set)
		}
		var last any
		for rev, value := range []string{"one", "two", "three"} {
			s.Set(value)
			want := now(t, s).value
			if rev > 0 && watch.Equal(want, last) {
				t.Fatalf("%q is no change", value)
			}
			last = want
			for i, set := range sets {
				learns(t, set, s.Query, want, fmt.Sprintf("set %d of %q", i, value))
			}
		}
	})
	t.Run("one who forgets leaves the others alone", func(t *testing.T) {
		s := newSubject(t)
		s.Set("one")
		stays, goes := watch.NewSet(s.Source, watch.SetConfig{}), watch.NewSet(s.Source, watch.SetConfig{})
		defer stays.Close()
		defer goes.Close()
		stays.Watch(s.Query)
		learns(t, stays, s.Query, now(t, s).value, "the one that stays")
		for i, value := range []string{"two", "three", "four"} {
			goes.Watch(s.Query)
			learns(t, goes, s.Query, now(t, s).value, fmt.Sprintf("the one that goes, watching for the %d. time", i+1))
			before := now(t, s)
			goes.Forget(s.Query)
			s.Set(value)
			after := now(t, s)
			if a := await(t, fetch(s, t.Context(), before.index)); a.err != nil || !watch.Equal(a.value, after.value) {
				t.Fatalf("who waits for %v got %v, want %v", before, a, after)
			}
			learns(t, stays, s.Query, after.value, "the one that stays")
		}
	})
	t.Run("an unknown kind is an error", func(t *testing.T) {
		s := newSubject(t)
		if _, _, err := s.Source.Fetch(t.Context(), watch.Query{Kind: "nonsense"}, 0); err == nil {
			t.Fatal("no error")
		}
	})
}

// learns fails the test where a set does not have a value in time.
func learns(t *testing.T, set *watch.Set, q watch.Query, want any, who string) {
	t.Helper()
	var last watch.State
	for late := time.After(soon); ; {
		select {
		case <-set.Ready():
			if st, ok := set.Take()[q]; ok {
				last = st
			}
			if last.Rev > 0 && watch.Equal(last.Value, want) {
				return
			}
		case <-late:
			t.Fatalf("%s does not learn of a change: %+v", who, last)
		}
	}
}
