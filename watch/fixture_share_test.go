package watch

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// counted counts the requests that a source has begun to answer.
type counted struct {
	Source
	asked atomic.Int64
}

func (c *counted) Fetch(ctx context.Context, q Query, after uint64) (any, uint64, error) {
	c.asked.Add(1)
	return c.Source.Fetch(ctx, q, after)
}

// However many queries a fixture answers, it reads its file a few times for a change, and only who has another answer is woken.
func TestFixtureIsReadForAll(t *testing.T) {
	const queries, fewReads = 300, 290 // a read for each query would be 600 for the first answers, 900 for three changes
	path := filepath.Join(t.TempDir(), "fixture.yaml")
	put := func(changed string) {
		t.Helper()
		var text strings.Builder
		text.WriteString("keys:\n  k7: " + changed + "\n")
		for i := range queries {
			if i != 7 {
				fmt.Fprintf(&text, "  k%d: value\n", i)
			}
		}
		putFile(t, path+".new", text.String())
		if err := os.Rename(path+".new", path); err != nil {
			t.Fatal(err)
		}
	}
	put("zero")
	files, err := NewFiles()
	if err != nil {
		t.Fatal(err)
	}
	defer files.Close()
	var reads atomic.Int64
	files.beforeAccess = func(string) { reads.Add(1) }
	fixture, err := NewFixture(files, path)
	if err != nil {
		t.Fatal(err)
	}
	src := &counted{Source: fixture}
	set := NewSet(src, SetConfig{})
	defer set.Close()

	for i := range queries {
		set.Watch(NewQuery(KindKV, fmt.Sprint("k", i), nil))
	}
	states := make(map[Query]State)
	takeUntil := func(what string, done func() bool) {
		t.Helper()
		for late := time.After(20 * time.Second); !done(); {
			select {
			case <-set.Ready():
				for q, st := range set.Take() {
					states[q] = st
				}
			case <-late:
				t.Fatalf("%s: %d states, %d requests", what, len(states), src.asked.Load())
			}
		}
	}
	takeUntil("the first answers", func() bool { return len(states) == queries })
	for late := time.Now().Add(20 * time.Second); src.asked.Load() < 2*queries && time.Now().Before(late); {
		time.Sleep(time.Millisecond)
	}
	if n := reads.Load(); n > fewReads {
		t.Errorf("%d accesses of the file for the first answers", n)
	}

	reads.Store(0)
	for n, value := range []string{"one", "two", "three"} {
		put(value)
		q := NewQuery(KindKV, "k7", nil)
		takeUntil(value, func() bool { return states[q].Value == value })
		if states[q].Rev != uint64(n+2) {
			t.Errorf("the answer is number %d", states[q].Rev)
		}
	}
	if n := src.asked.Load(); n > 2*queries+3 {
		t.Errorf("%d requests, want two for each query and one for each change", n)
	}
	if n := reads.Load(); n > fewReads {
		t.Errorf("%d accesses of the file for three changes", n)
	}
	put("[")
	takeUntil("a fault", func() bool {
		failed := 0
		for _, st := range states {
			if st.Err != nil && st.Value != nil {
				failed++
			}
		}
		return failed == queries
	})
	put("four")
	takeUntil("the fault is fixed", func() bool {
		for _, st := range states {
			if st.Err != nil {
				return false
			}
		}
		return states[NewQuery(KindKV, "k7", nil)].Value == "four"
	})
}

// Who gives up leaves the watch over the file to another.
func TestFixtureIsWatchedOn(t *testing.T) {
	path := filepath.Join(t.TempDir(), "fixture.yaml")
	putFile(t, path, "keys: {k: 0}")
	files, err := NewFiles()
	if err != nil {
		t.Fatal(err)
	}
	defer files.Close()
	fixture, err := NewFixture(files, path)
	if err != nil {
		t.Fatal(err)
	}
	q := NewQuery(KindKV, "k", nil)
	_, index, err := fixture.Fetch(t.Context(), q, 0)
	if err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	var cancels []context.CancelFunc
	for i := range 20 {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		if i < 19 {
			cancels = append(cancels, cancel)
		}
		all.Go(func() {
			value, _, err := fixture.Fetch(ctx, q, index)
			if i == 19 && (value != "1" || err != nil) || i < 19 && !errors.Is(err, context.Canceled) {
				t.Errorf("%d: got %v, %v", i, value, err)
			}
		})
	}
	for _, cancel := range cancels {
		time.Sleep(time.Millisecond) // so that it is not always the same who watches
		cancel()
	}
	putFile(t, path, "keys: {k: 1}")
	ended := make(chan struct{})
	go func() { all.Wait(); close(ended) }()
	within(t, ended, "nobody watches the file")
}
