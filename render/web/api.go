package web

import (
	"context"
	_ "embed"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"render/render/history"
	"render/render/status"
)

const (
	snapshotTimeout = 10 * time.Second       // for the engine's loop to answer
	heartbeat       = 20 * time.Second       // between signs of life of a stream without events
	eventSpacing    = 300 * time.Millisecond // between events of a stream, at least: each costs the same, however much has changed
	defaultCommits  = 100                    // of an answer without the parameter limit
)

// openAPIText describes the API. TestOpenAPI makes it of the types and their comments.
//
//go:embed openapi.json
var openAPIText []byte

// An api answers programs.
type api struct {
	engine  Engine
	answers *answers
	streams chan struct{}   // holds a token for each stream of events
	ended   context.Context // of the server
}

// register adds the paths of the API.
func (a *api) register(mux *http.ServeMux) {
	mux.HandleFunc("/api/v1/status", a.answer(func(s *status.Snapshot, _ *http.Request) any { return &s.Overview }))
	mux.HandleFunc("/api/v1/targets", a.answer(func(s *status.Snapshot, _ *http.Request) any {
		return status.Targets{Sequence: s.Sequence, Targets: s.Targets}
	}))
	mux.HandleFunc("/api/v1/actions", a.answer(func(s *status.Snapshot, _ *http.Request) any {
		return status.Actions{Sequence: s.Sequence, Actions: s.Actions}
	}))
	mux.HandleFunc("/api/v1/queries", a.answer(func(s *status.Snapshot, _ *http.Request) any {
		return status.Queries{Sequence: s.Sequence, Queries: s.Queries}
	}))
	mux.HandleFunc("/api/v1/history", a.history)
	mux.HandleFunc("/api/v1/events", a.events)
	mux.HandleFunc("/api/v1/openapi.json", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(openAPIText) // a client that goes away is no error
	})
}

// snapshot returns a snapshot; nil where the engine does not answer, which the client has been told.
func snapshot(engine Engine, w http.ResponseWriter, r *http.Request) *status.Snapshot {
	ctx, stop := context.WithTimeout(r.Context(), snapshotTimeout)
	defer stop()
	s, err := engine.Snapshot(ctx)
	if err != nil {
		w.Header().Set("Retry-After", "1")
		http.Error(w, fmt.Sprintf("the engine does not answer: %v", err), http.StatusServiceUnavailable)
		return nil
	}
	return s
}

// answer answers with a part of a snapshot.
func (a *api) answer(part func(*status.Snapshot, *http.Request) any) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if s := snapshot(a.engine, w, r); s != nil {
			a.answers.serve(w, r, s.Sequence, 0, func() (int, string, []byte) { return asJSON(part(s, r)) })
		}
	}
}

// asJSON returns a value as an answer.
func asJSON(value any) (code int, kind string, body []byte) {
	text, err := json.Marshal(value)
	if err != nil {
		return http.StatusInternalServerError, "text/plain; charset=utf-8", []byte(err.Error())
	}
	return http.StatusOK, "application/json", append(text, '\n')
}

// history answers with the commits that the parameters choose.
func (a *api) history(w http.ResponseWriter, r *http.Request) {
	s := snapshot(a.engine, w, r) // before the commits: what its number stands for is in them
	if s == nil {
		return
	}
	most := defaultCommits
	if text := r.FormValue("limit"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 0 {
			http.Error(w, "limit: it is not a number from 0 on", http.StatusBadRequest)
			return
		}
		most = n
	}
	a.answers.serve(w, r, s.Sequence, a.engine.History().Number(), func() (int, string, []byte) {
		chosen := choose(a.engine.History().Commits(), r.FormValue("file"), r.FormValue("target"), r.FormValue("action"), most)
		return asJSON(history.Commits{Sequence: s.Sequence, Commits: chosen})
	})
}

// choose returns the first commits of an action, with a file, and of a target, each where it is not empty.
func choose(commits []*history.Commit, file, target, action string, most int) []*history.Commit {
	chosen := []*history.Commit{}
	for _, c := range commits {
		if len(chosen) >= most {
			break
		}
		if (action == "" || c.Action == action) && hasFile(c, file, target) {
			chosen = append(chosen, c)
		}
	}
	return chosen
}

func hasFile(c *history.Commit, file, target string) bool {
	if file == "" && target == "" {
		return true
	}
	for i := range c.Files {
		f := &c.Files[i]
		if (file == "" || f.Path == file) && (target == "" || f.Target == target) {
			return true
		}
	}
	return false
}

// events is a stream of server-sent events, one for each change. The parameter after, or the header Last-Event-ID, is the number of
// the snapshot that the client has.
func (a *api) events(w http.ResponseWriter, r *http.Request) {
	select {
	case a.streams <- struct{}{}:
		defer func() { <-a.streams }()
	default:
		w.Header().Set("Retry-After", "5")
		http.Error(w, "there are too many streams of events", http.StatusServiceUnavailable)
		return
	}
	feed := a.engine.Feed()
	after := uint64(0)
	for _, text := range []string{r.FormValue("after"), r.Header.Get("Last-Event-ID")} {
		if n, err := strconv.ParseUint(text, 10, 64); err == nil {
			after = n
		}
	}
	if after > feed.Sequence() { // of an earlier run of render
		after = 0
	}

	w.Header().Set("Content-Type", "text/event-stream")
	ctx, stop := context.WithCancel(r.Context())
	defer stop()
	defer context.AfterFunc(a.ended, stop)()
	out := http.NewResponseController(w)
	_ = out.SetReadDeadline(time.Time{})   // it would end the request
	text, sent := "retry: 1000\n\n", false // an event
	for {
		_ = out.SetWriteDeadline(time.Now().Add(answerTimeout)) // a client that does not read is left
		if _, err := fmt.Fprint(w, text); err != nil || out.Flush() != nil {
			return
		}
		if sent {
			select {
			case <-time.After(eventSpacing):
			case <-ctx.Done():
				return
			}
		}
		wait, cancel := context.WithTimeout(ctx, heartbeat)
		n, err := feed.Next(wait, after)
		cancel()
		switch {
		case ctx.Err() != nil:
			return
		case err != nil:
			text, sent = ":\n\n", false
		default:
			data, err := json.Marshal(history.Change{Sequence: n})
			if err != nil {
				return
			}
			after, sent = n, true
			text = fmt.Sprintf("id: %d\nevent: change\ndata: %s\n\n", n, data)
		}
	}
}
