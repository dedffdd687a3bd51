package web

import (
	"context"
	_ "embed"
	"encoding/json"
	"fmt"
	"net/http"
	"net/netip"
	"strconv"
	"sync"
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
	streams *streams
	allows  func(*http.Request) bool // whether a request is still accepted
	ended   context.Context          // of the server
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
			a.answers.serve(w, r, keyOf(r), s.Sequence, 0, func() (int, string, []byte) { return asJSON(part(s, r)) })
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
	a.answers.serve(w, r, keyOf(r), s.Sequence, a.engine.History().Number(), func() (int, string, []byte) {
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
	w.Header().Set("Content-Type", "text/event-stream")
	if r.Method == http.MethodHead {
		return
	}
	end, ok := a.streams.begin(r.RemoteAddr)
	if !ok {
		w.Header().Set("Retry-After", "5")
		http.Error(w, "there are too many streams of events", http.StatusServiceUnavailable)
		return
	}
	defer end()
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
		case ctx.Err() != nil, !a.allows(r): // another token or another host since
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

// streams counts the streams of events that are under way.
type streams struct {
	mu    sync.Mutex     // guards what follows
	count map[string]int // by what has a limit
}

// begin counts a stream of a client, unless there are too many: of it, or of all. The caller calls end.
func (s *streams) begin(remote string) (end func(), ok bool) {
	limits := map[string]int{"unix": mostStreams}
	if _, err := netip.ParseAddrPort(remote); err == nil {
		limits = map[string]int{"tcp": mostStreams}
		if host := remoteHost(remote); host != "" {
			limits[host] = mostStreamsOf
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for of, most := range limits {
		if s.count[of] >= most {
			return nil, false
		}
	}
	if s.count == nil {
		s.count = make(map[string]int)
	}
	for of := range limits {
		s.count[of]++
	}
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		for of := range limits {
			if s.count[of]--; s.count[of] == 0 {
				delete(s.count, of)
			}
		}
	}, true
}
