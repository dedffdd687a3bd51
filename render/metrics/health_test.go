package metrics

import (
	"encoding/json"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"render/render/status"
)

// Render is healthy while the loop answers, and while it has been asked in vain for less than ten seconds: each probe is answered soon.
func TestHealthz(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := new(fake)
		h := NewHealth(f).Healthz()
		probe := func(want int, part string) {
			t.Helper()
			began := time.Now()
			code, text := get(h, "/healthz")
			if code != want || !strings.Contains(text, part) {
				t.Errorf("%d %q, want %d %q", code, text, want, part)
			}
			if took := time.Since(began); took > probeWait {
				t.Errorf("it took %s", took)
			}
		}
		probe(http.StatusOK, "ok")
		f.do(func() { f.stuck = true })
		probe(http.StatusOK, "ok") // the last answer is new
		time.Sleep(2 * probeFresh)
		probe(http.StatusOK, "ok") // it may be busy
		time.Sleep(Stuck - 3*probeWait)
		probe(http.StatusOK, "ok")
		time.Sleep(time.Second)
		probe(http.StatusServiceUnavailable, "the engine's loop has not answered for 11s")
		time.Sleep(time.Hour) // questions end, nobody asks
		probe(http.StatusServiceUnavailable, "the engine's loop has not answered for 1h0m")
		f.do(func() { f.stuck = false })
		time.Sleep(Stuck)
		probe(http.StatusOK, "ok")
		f.do(func() { f.ended = true })
		time.Sleep(2 * probeFresh)
		probe(http.StatusServiceUnavailable, errEnded.Error())
	})
}

// However many probes there are, the loop is asked once at a time.
func TestManyProbes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fake{stuck: true}
		h := NewHealth(f).Healthz()
		var wg sync.WaitGroup
		for range 1000 {
			wg.Go(func() { get(h, "/healthz") })
		}
		wg.Wait()
		if f.asked != 1 {
			t.Errorf("the loop was asked %d times", f.asked)
		}
		time.Sleep(Stuck)
	})
}

// Render is ready when everything was applied once, and stays so. The short answer names nothing.
func TestReadyz(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := new(fake)
		h := NewHealth(f).Readyz()
		f.set(func(s *status.Snapshot) {
			s.Targets = []*status.Target{
				{ID: "a", Destination: "/etc/a", State: status.Applied, AppliedOnce: true},
				{ID: "b", Destination: "/etc/b", State: status.Pending, Waiting: []status.Wait{{Text: `key "x"`, Where: "b.ctmpl:1:3", Reason: status.QueryPending}}},
				{ID: "c", Destination: "/etc/c", State: status.Failed, Error: "first line\nsecond"},
				{ID: "d", Destination: "/etc/d", State: status.Absent, Waiting: []status.Wait{{Text: `key "y"`, Reason: status.QueryAbsent}}},
				{ID: "e", Destination: "/etc/e", State: status.Pending, Held: []status.Hold{{Text: "service web", Guard: "min=2"}}},
				{ID: "f", Destination: "/etc/f", State: status.Rendered},
			}
			s.Program = &status.Program{Waits: true}
		})
		code, text := get(h, "/readyz")
		if want := "5 of 6 files not applied yet: 1 failed, 1 absent, 2 pending, 1 rendered\n"; code != http.StatusServiceUnavailable || text != want {
			t.Errorf("%d %q", code, text)
		}
		code, text = get(h, "/readyz?verbose")
		var r Readiness
		if err := json.Unmarshal([]byte(text), &r); err != nil || code != http.StatusServiceUnavailable || r.Ready || r.Total != 5 || !r.Waits || r.Line == "" {
			t.Fatalf("%d %s: %v", code, text, err)
		}
		for i, want := range []string{
			`key "x" has not answered yet (b.ctmpl:1:3)`, "first line", `key "y" does not exist`, "service web is held back by the guard min=2", "its action waits or runs",
		} {
			if got := r.Left[i]; got.Reason != want || got.Target == "" || got.Destination == "" {
				t.Errorf("file %d: %+v, want %s", i, got, want)
			}
		}

		f.set(func(s *status.Snapshot) {
			for i, t := range s.Targets {
				other := *t
				other.AppliedOnce = true
				s.Targets[i] = &other
			}
		})
		if code, text = get(h, "/readyz"); code != http.StatusServiceUnavailable || text != "the program is not started yet\n" {
			t.Errorf("%d %q", code, text)
		}
		f.set(func(s *status.Snapshot) { s.Program = nil })
		if code, text = get(h, "/readyz"); code != http.StatusOK || text != "ok\n" {
			t.Errorf("%d %q", code, text)
		}
		asked := f.asked
		f.set(func(s *status.Snapshot) { s.Targets = append(s.Targets, &status.Target{State: status.Pending}) })
		if code, _ = get(h, "/readyz"); code != http.StatusOK || f.asked != asked {
			t.Errorf("later: %d, the loop was asked %d times more", code, f.asked-asked)
		}
		if _, text = get(h, "/readyz?verbose"); !strings.Contains(text, `"ready":true`) || !strings.Contains(text, `"unapplied_total":1`) {
			t.Errorf("later: %s", text)
		}
		f.do(func() { f.stuck = true })
		if code, _ = get(NewHealth(f).Readyz(), "/readyz"); code != http.StatusServiceUnavailable {
			t.Errorf("while the loop is stuck: %d", code)
		}
	})
}
