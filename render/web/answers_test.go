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
