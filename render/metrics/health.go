package metrics

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"

	"render/render/status"
)

const (
	// Stuck is how long the engine's loop may take to answer before render is not healthy any more.
	Stuck = 10 * time.Second

	probeWait  = 500 * time.Millisecond // that a probe waits for the loop: probes have short time limits
	readyWait  = 2 * time.Second        // that a probe waits for a snapshot
	probeFresh = time.Second            // an answer of the loop is good for all probes that follow so soon
	mostListed = 20                     // files in JSON
)

// A Health answers the probes of containers and load balancers. However many ask, the engine's loop is asked once at a time.
type Health struct {
	engine Engine

	mu       sync.Mutex // guards what follows
	answered time.Time  // when the loop answered last
	waiting  time.Time  // since when the loop has been asked in vain; zero where it answers
	asking   chan struct{}
	err      error     // why the loop does not answer any more
	ready    time.Time // since when everything was applied once, as the engine has said; zero for not yet
}

// NewHealth returns the health of an engine.
func NewHealth(engine Engine) *Health { return &Health{engine: engine} }

// A Liveness is the answer of /healthz?verbose.
type Liveness struct {
	Healthy  bool      `json:"healthy"`
	Reason   string    `json:"reason,omitempty"`         // why it is not
	Answered time.Time `json:"loop_answered,omitzero"`   // when the engine's loop answered last
	Waiting  float64   `json:"loop_waiting_for_seconds"` // how long the loop has been asked in vain
}

// A Readiness is the answer of /readyz?verbose.
type Readiness struct {
	Ready  bool        `json:"ready"`
	Since  time.Time   `json:"since,omitzero"`   // when everything was applied at least once
	Reason string      `json:"reason,omitempty"` // why it is not ready
	Line   string      `json:"line,omitempty"`   // the state of render at this moment, in one line
	Left   []Unapplied `json:"unapplied"`        // files that were not applied since they were configured: the first 20
	Total  int         `json:"unapplied_total"`  // such files
	Waits  bool        `json:"program_waits"`    // the supervised program is not started yet
}

// Unapplied is a file that was not applied yet.
type Unapplied struct {
	Target      string `json:"target"` // its ID, as in status.Target
	Destination string `json:"destination"`
	State       string `json:"state"`
	Reason      string `json:"reason"`
}

// Healthz answers whether the engine's loop works: 200 where it answers or has been asked in vain for less than [Stuck], else 503.
func (h *Health) Healthz() http.Handler {
	return probe(func(ctx context.Context, _ bool) (any, bool, string) {
		l := h.liveness(ctx)
		return l, l.Healthy, l.Reason
	})
}

// Readyz answers whether everything was applied at least once: 200 from then on, also where later changes or configurations fail, and 503 with
// the reason until then. A load balancer should not take a service away because of a change that is not applied.
func (h *Health) Readyz() http.Handler {
	return probe(func(ctx context.Context, verbose bool) (any, bool, string) {
		r := h.readiness(ctx, verbose)
		return r, r.Ready, r.Reason
	})
}

// probe returns the handler of a probe: a word, or JSON with ?verbose.
func probe(look func(ctx context.Context, verbose bool) (detail any, good bool, reason string)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		verbose := r.URL.Query().Has("verbose")
		detail, good, reason := look(r.Context(), verbose)
		code, text := http.StatusOK, "ok\n"
		if !good {
			code, text = http.StatusServiceUnavailable, reason+"\n"
		}
		if !verbose {
			w.Header().Set("Content-Type", "text/plain; charset=utf-8")
			w.WriteHeader(code)
			_, _ = w.Write([]byte(text)) // who has gone needs no answer
			return
		}
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(code)
		_ = json.NewEncoder(w).Encode(detail)
	})
}

// liveness asks the loop, or uses an answer that has just come.
func (h *Health) liveness(ctx context.Context) Liveness {
	wait, stop := context.WithTimeout(ctx, probeWait)
	defer stop()
	select {
	case <-h.ask():
	case <-wait.Done():
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	l := Liveness{Healthy: true, Answered: h.answered}
	if !h.waiting.IsZero() {
		waited := time.Since(h.waiting)
		l.Waiting = waited.Seconds()
		if waited >= Stuck {
			l.Healthy, l.Reason = false, fmt.Sprintf("the engine's loop has not answered for %s", waited.Round(time.Second))
		}
	}
	if h.err != nil {
		l.Healthy, l.Reason = false, h.err.Error()
	}
	return l
}

// ask asks the loop, unless somebody does, or has just had an answer. The channel is closed when there is an answer.
func (h *Health) ask() <-chan struct{} {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.asking != nil {
		return h.asking
	}
	done := make(chan struct{})
	if !h.answered.IsZero() && time.Since(h.answered) < probeFresh {
		close(done)
		return done
	}
	h.asking = done
	if h.waiting.IsZero() {
		h.waiting = time.Now()
	}
	go func() {
		ctx, stop := context.WithTimeout(context.Background(), Stuck)
		defer stop()
		_, err := h.engine.Progress(ctx)
		h.mu.Lock()
		defer h.mu.Unlock()
		h.asking = nil
		switch {
		case err == nil:
			h.answered, h.waiting, h.err = time.Now(), time.Time{}, nil
		case !errors.Is(err, context.DeadlineExceeded): // the engine has ended
			h.waiting, h.err = time.Time{}, err
		}
		close(done)
	}()
	return done
}

// readiness looks at a snapshot, unless it is known already that everything was applied.
func (h *Health) readiness(ctx context.Context, verbose bool) Readiness {
	h.mu.Lock()
	since := h.ready
	h.mu.Unlock()
	if !since.IsZero() && !verbose {
		return Readiness{Ready: true, Since: since}
	}

	ctx, stop := context.WithTimeout(ctx, readyWait)
	defer stop()
	r := Readiness{Ready: !since.IsZero(), Since: since, Left: []Unapplied{}}
	s, err := h.engine.Snapshot(ctx)
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		r.Reason = fmt.Sprintf("the engine's loop has not answered within %s", readyWait)
		return r
	case err != nil:
		r.Reason = err.Error()
		return r
	}
	if r.Since, r.Ready = s.Ready, !s.Ready.IsZero(); r.Ready {
		h.mu.Lock()
		h.ready = s.Ready
		h.mu.Unlock()
	}
	r.Line, r.Waits = s.Line, s.Program != nil && s.Program.Waits
	states := make(map[status.State]int)
	for _, t := range s.Targets {
		if t.AppliedOnce {
			continue
		}
		states[t.State]++
		if r.Total++; len(r.Left) < mostListed {
			r.Left = append(r.Left, Unapplied{Target: t.ID, Destination: t.Destination, State: string(t.State), Reason: reasonOf(t)})
		}
	}
	switch {
	case r.Ready:
	case r.Total > 0:
		r.Reason = notApplied(states, r.Total, len(s.Targets))
	case r.Waits:
		r.Reason = "the program is not started yet"
	default: // the engine is about to note it
		r.Reason = "the last file is being applied"
	}
	return r
}

// notApplied returns how many files were not applied yet, and in which states they are, without names: who asks without a token sees it.
func notApplied(states map[status.State]int, total, of int) string {
	var texts []string
	for _, state := range []status.State{status.Failed, status.Absent, status.Pending, status.Rendered, status.Applied} {
		if n := states[state]; n > 0 {
			texts = append(texts, fmt.Sprintf("%d %s", n, state))
		}
	}
	return fmt.Sprintf("%d of %d files not applied yet: %s", total, of, strings.Join(texts, ", "))
}

// reasonOf returns why a target is not applied, in one line.
func reasonOf(t *status.Target) string {
	text := t.Error
	switch {
	case text != "":
	case !t.Executing.IsZero():
		text = "its template is still executing"
	case len(t.Waiting) > 0:
		w := t.Waiting[0]
		text = map[status.QueryState]string{
			status.QueryAbsent: "does not exist", status.QueryFailed: "fails: " + w.Error,
		}[w.Reason]
		if text == "" {
			text = "has not answered yet"
		}
		text = fmt.Sprintf("%s %s", w.Text, text)
		if w.Where != "" {
			text = fmt.Sprintf("%s (%s)", text, w.Where)
		}
	case len(t.Held) > 0:
		text = fmt.Sprintf("%s is held back by the guard %s", t.Held[0].Text, t.Held[0].Guard)
	default:
		text = "its action waits or runs"
	}
	line, _, _ := strings.Cut(text, "\n")
	return status.Short(line, 300)
}
