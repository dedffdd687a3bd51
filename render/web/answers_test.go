package web

import (
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// An answer is made once for all who ask for the same of the same snapshot, and forgotten when nobody asks any longer. Only one is made at a time.
func TestAnswers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAnswers()
		var made, busy, most atomic.Int32
		ask := func(path string, sequence, commit uint64) {
			w := httptest.NewRecorder()
			a.serve(w, httptest.NewRequest(http.MethodGet, path, nil), path, sequence, commit, func() (int, string, []byte) {
				made.Add(1)
				if n := busy.Add(1); n > most.Load() {
					most.Store(n)
				}
				time.Sleep(10 * time.Millisecond)
				busy.Add(-1)
				return http.StatusTeapot, "text/x", []byte(path)
			})
			if w.Code != http.StatusTeapot || w.Body.String() != path || w.Header().Get("Content-Type") != "text/x" {
				t.Errorf("%s: %d %s", path, w.Code, w.Body)
			}
		}
		var wg sync.WaitGroup
		for range 100 {
			wg.Go(func() { ask("/a", 1, 1) })
			wg.Go(func() { ask("/b", 1, 1) })
		}
		wg.Wait()
		if made.Load() != 2 || most.Load() != 1 {
			t.Errorf("made %d answers, %d at a time", made.Load(), most.Load())
		}
		for i, next := range []struct{ sequence, commit uint64 }{{2, 1}, {2, 1}, {2, 2}} {
			ask("/a", next.sequence, next.commit)
			if want := []int32{3, 3, 4}[i]; made.Load() != want {
				t.Errorf("made %d answers, not %d", made.Load(), want)
			}
		}
		time.Sleep(keptFor)
		if ask("/a", 2, 2); made.Load() != 5 {
			t.Errorf("an old answer is given")
		}
		for range 2 * mostKept {
			ask("/"+time.Now().Format(time.RFC3339Nano), 2, 2)
		}
		kept := func() int {
			a.mu.Lock()
			defer a.mu.Unlock()
			return len(a.kept)
		}
		if n := kept(); n > mostKept {
			t.Errorf("%d answers are kept", n)
		}
		time.Sleep(2 * keptFor)
		synctest.Wait()
		if n := kept(); n > 0 {
			t.Errorf("%d answers are kept though nobody asks", n)
		}
	})
}

// What clients are reading has a bound, however slow they are; large answers leave some of it to others. Clients with the same answer share it.
func TestUnsent(t *testing.T) {
	a := newAnswers()
	large, small := &answer{body: make([]byte, 16<<20)}, &answer{body: make([]byte, 1000)}
	var reading []*answer
	for range 3 {
		one := &answer{body: large.body}
		for range 1000 {
			if !a.begin(one) {
				t.Fatal("it is not sent")
			}
			reading = append(reading, one)
		}
	}
	if a.begin(&answer{body: large.body}) {
		t.Error("a fourth is sent")
	}
	if !a.begin(small) {
		t.Error("a small one is not sent")
	}
	w := httptest.NewRecorder()
	a.serve(w, httptest.NewRequest(http.MethodGet, "/", nil), "/", 1, 1, func() (int, string, []byte) { return http.StatusOK, "text/x", large.body })
	if w.Code != http.StatusServiceUnavailable || w.Header().Get("Retry-After") == "" {
		t.Errorf("the answer is %d", w.Code)
	}
	a.end(small)
	for _, x := range reading {
		a.end(x)
	}
	if a.sent != 0 {
		t.Errorf("%d bytes are left", a.sent)
	}
}

// Parameters that no answer depends on make no other answer, and a make that panics keeps nobody else waiting.
func TestKeys(t *testing.T) {
	key := func(address string) string { return keyOf(httptest.NewRequest(http.MethodGet, address, nil)) }
	if a, b := key("/x?q=1&state=b&z=1&q=2"), key("/x?state=b&y=7&q=1"); a != b {
		t.Errorf("%s and %s", a, b)
	}
	all := make(map[string]bool)
	for _, address := range []string{"/x", "/y", "/x%2fy", "/x/y", "/x?q=1", "/x?limit=1", "/x?q=%26limit=1", "/x?file=1", "/x?page=1"} {
		all[key(address)] = true
	}
	if len(all) != 9 {
		t.Errorf("keys: %v", all)
	}

	a := newAnswers()
	func() {
		defer func() { _ = recover() }()
		a.serve(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/", nil), "/", 1, 1, func() (int, string, []byte) { panic("fault") })
	}()
	w := httptest.NewRecorder()
	a.serve(w, httptest.NewRequest(http.MethodGet, "/", nil), "/", 1, 1, func() (int, string, []byte) { return http.StatusTeapot, "text/x", nil })
	if w.Code != http.StatusTeapot {
		t.Errorf("after a panic: %d", w.Code)
	}
}
