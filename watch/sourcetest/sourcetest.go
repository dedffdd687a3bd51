// Package sourcetest holds the contract that every watch.Source keeps.
package sourcetest

import (
	"context"
	"errors"
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
		if first.value == nil || !reflect.DeepEqual(first, again) {
			t.Fatalf("got %v, then %v", first, again)
		}
	})
	t.Run("another index is answered at once", func(t *testing.T) {
		s := newSubject(t)
		s.Set("one")
		old := now(t, s)
		s.Set("two")
		current := now(t, s)
		if a := await(t, fetch(s, t.Context(), old.index)); a.err != nil || !reflect.DeepEqual(a, current) {
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
			if after.index == before.index || reflect.DeepEqual(after.value, before.value) {
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
				if b := await(t, fetch(s, t.Context(), a.index)); b.err != nil || reflect.DeepEqual(a.value, b.value) {
					t.Errorf("got %v", b)
				}
			})
		}
		s.Set("two")
		wg.Wait()
	})
	t.Run("an unknown kind is an error", func(t *testing.T) {
		s := newSubject(t)
		if _, _, err := s.Source.Fetch(t.Context(), watch.Query{Kind: "nonsense"}, 0); err == nil {
			t.Fatal("no error")
		}
	})
}
