package funcs

import (
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"render/watch/hint"
)

// A searcher is a template that has an execution that can be stopped, and searches that go on until they are released.
type searcher struct {
	env     *Env
	stopped atomic.Value // why the execution is to end, an error
	release chan struct{}
	found   chan error // what a search of search has come to
}

func newSearcher(s *Searches) *searcher {
	t := &searcher{release: make(chan struct{}), found: make(chan error, 1)}
	t.env = &Env{Searches: s, Stopped: func() error { err, _ := t.stopped.Load().(error); return err }}
	return t
}

// search begins a search.
func (t *searcher) search(size int) {
	go func() {
		_, err := aside(t.env, size, func(func() bool) bool { <-t.release; return true })
		t.found <- err
	}()
}

// outcome returns what the search has come to, after a second.
func (t *searcher) outcome() string {
	time.Sleep(time.Second)
	synctest.Wait()
	select {
	case err := <-t.found:
		return fmt.Sprint(err)
	default:
		return "under way"
	}
}

// However many executions are stopped, the searches that they leave behind are few. The next waits until one has ended, and fails
// when its execution is stopped first.
func TestSearchesAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := new(Searches)
		var left []*searcher
		for range maxSearches {
			x := newSearcher(s)
			x.stopped.Store(errors.New("the execution was stopped"))
			x.search(1)
			if got := x.outcome(); got != "the execution was stopped" {
				t.Fatalf("left behind: %s", got)
			}
			left = append(left, x)
		}

		next, late := newSearcher(s), newSearcher(s)
		next.search(1)
		late.search(1)
		if got := next.outcome(); got != "under way" {
			t.Errorf("beyond the bound: %s", got)
		}
		limit := errors.New("the execution takes longer than 1m0s")
		late.stopped.Store(limit)
		time.Sleep(time.Second)
		err := <-late.found
		if want := "other searches of regular expressions take long: the execution takes longer than 1m0s"; fmt.Sprint(err) != want || !errors.Is(err, limit) {
			t.Errorf("got  %v\nwant %s", err, want)
		}
		if hints := hint.Of(err); len(hints) != 1 || hints[0] != "shorten the texts that regular expressions search" {
			t.Errorf("hints %q", hints)
		}

		close(left[0].release)
		if got := next.outcome(); got != "under way" || s.n != maxSearches {
			t.Errorf("in the place of one that has ended: %s, %d searches", got, s.n)
		}
		close(next.release)
		if got := next.outcome(); got != "<nil>" {
			t.Errorf("at its end: %s", got)
		}
		for _, x := range left[1:] {
			close(x.release)
		}
		synctest.Wait()
		if s.n != 0 || s.bytes != 0 {
			t.Errorf("in the end %d searches of %d bytes", s.n, s.bytes)
		}
	})
}

// The texts of all searches have a bound together. One that is larger alone waits until there is no other.
func TestSearchesHoldLittle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := new(Searches)
		first, second, huge := newSearcher(s), newSearcher(s), newSearcher(s)
		first.search(maxSearched / 2)
		second.search(maxSearched / 2)
		first.outcome()
		huge.search(2 * maxSearched)
		close(first.release)
		if got := first.outcome(); got != "<nil>" {
			t.Errorf("first: %s", got)
		}
		close(huge.release)
		if got := huge.outcome(); got != "under way" {
			t.Errorf("beside another: %s", got)
		}
		close(second.release)
		second.outcome()
		if got := huge.outcome(); got != "<nil>" {
			t.Errorf("alone: %s", got)
		}
	})
}

// A template leaves one search behind at most: it keeps no other template from its own.
func TestSearchesOfOneTemplate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := new(Searches)
		x, other := newSearcher(s), newSearcher(s)
		x.stopped.Store(errors.New("the execution was stopped"))
		x.search(1)
		x.outcome()
		x.stopped = atomic.Value{}
		x.search(1)
		if got := x.outcome(); got != "under way" || s.n != 1 {
			t.Errorf("the second: %s, %d searches", got, s.n)
		}
		x.stopped.Store(errors.New("the execution was stopped"))
		if got := x.outcome(); got != "an earlier search of a regular expression takes long: the execution was stopped" {
			t.Errorf("the second: %s", got)
		}
		close(other.release)
		other.search(1)
		if got := other.outcome(); got != "<nil>" {
			t.Errorf("another template: %s", got)
		}
		close(x.release)
		synctest.Wait()
	})
}

// A panic of a search is one of its execution, and leaves room for others.
func TestSearchPanics(t *testing.T) {
	s := new(Searches)
	defer func() {
		if reason := recover(); reason != "broken" || s.n != 0 {
			t.Errorf("panic %v, %d searches", reason, s.n)
		}
	}()
	_, _ = aside(newSearcher(s).env, 1, func(func() bool) bool { panic("broken") })
}
