package metrics

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"render/render/history"
	"render/render/status"
)

// fake is an engine with a state that a test sets.
type fake struct {
	history.Log
	mu    sync.Mutex
	state status.Snapshot
	stuck bool
	ended bool
	asked int
	ready status.Latch
}

var errEnded = errors.New("the engine does not run")

func (f *fake) History() *history.Log { return &f.Log }

// answer returns what the loop answers: nothing before the end of ctx while it is stuck.
func (f *fake) answer(ctx context.Context) error {
	f.mu.Lock()
	stuck, ended := f.stuck, f.ended
	f.asked++
	f.mu.Unlock()
	switch {
	case ended:
		return errEnded
	case stuck:
		<-ctx.Done()
		return ctx.Err()
	}
	return nil
}

func (f *fake) Progress(ctx context.Context) (status.Progress, error) {
	return status.Progress{}, f.answer(ctx)
}

func (f *fake) Snapshot(ctx context.Context) (*status.Snapshot, error) {
	if err := f.answer(ctx); err != nil {
		return nil, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	s := f.state
	s.Time = time.Now()
	f.ready.Renew()
	f.ready.Note(len(s.Targets), func(i int) bool { return s.Targets[i].AppliedOnce }, s.Program != nil && s.Program.Waits)
	s.Ready = f.ready.At
	s.Counts = status.CountsOf(&s)
	s.Line = status.LineOf(s.Counts, s.Configuration, s.Program)
	return &s, nil
}

// set changes the state.
func (f *fake) set(change func(*status.Snapshot)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change(&f.state)
}

func (f *fake) do(change func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change()
}

func newMetrics(f *fake) *Metrics { return New(f, "1.2.3", slog.New(slog.DiscardHandler)) }

// get returns the status code and the body of an answer.
func get(h http.Handler, url string) (int, string) {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, url, nil))
	return w.Code, w.Body.String()
}

// ours returns the lines of a scrape with our metrics, without help and types.
func ours(t *testing.T, m *Metrics) []string {
	t.Helper()
	code, text := get(m.Handler(), "/metrics")
	if code != http.StatusOK {
		t.Fatalf("%d: %s", code, text)
	}
	var lines []string
	for line := range strings.Lines(text) {
		if strings.HasPrefix(line, "render_") {
			lines = append(lines, strings.TrimSpace(line))
		}
	}
	return lines
}
