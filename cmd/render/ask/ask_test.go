package ask

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"render/render/history"
	"render/render/status"

	"render/watch/hint"
)

var now = time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)

func ago(d time.Duration) time.Time { return now.Add(-d) }

// state is a snapshot with a target in each state.
func state() *status.Snapshot {
	s := &status.Snapshot{Overview: status.Overview{
		Sequence: 7, Started: ago(3*time.Hour + 5*time.Minute), Line: "1 of 4 files failed",
		Configuration: status.Configuration{Version: 2, Loaded: ago(time.Hour), Error: "bad.hcl:1: no such setting"},
		Program:       &status.Program{Command: "nginx", Waits: true},
		Connections: []status.Connection{
			{Address: "localhost:8500", Reachable: true, InFlight: 5, Waiting: 4, LastAnswer: ago(2 * time.Second)},
			{Address: "consul.example:8500", Error: "connection refused", Since: ago(time.Minute)},
			{Server: "vault", Address: "https://vault:8200", Error: "sealed", Since: ago(time.Minute)},
		},
	}}
	add := func(name string, state status.State, since time.Duration, change func(t *status.Target)) {
		t := &status.Target{ID: name + "-1", Source: "/etc/render/" + name + ".ctmpl", Destination: "/etc/nginx/" + name, Path: "/etc/nginx/" + name, Action: "reload-1", State: state, Since: ago(since)}
		if change != nil {
			change(t)
		}
		s.Targets = append(s.Targets, t)
	}
	add("good", status.Applied, time.Hour, nil)
	add("held", status.Applied, time.Hour, func(t *status.Target) {
		t.Held = []status.Hold{{Text: "service web", Where: "held.ctmpl:1:3", Before: 3, Guard: "min=1", Since: ago(90 * time.Second)}}
	})
	add("waits", status.Pending, 12*time.Second, func(t *status.Target) {
		t.Waiting = []status.Wait{
			{Text: "kv a", Where: "waits.ctmpl:1:3", Reason: status.QueryPending},
			{Text: "kv b", Where: "waits.ctmpl:2:3", Reason: status.QueryFailed, Error: "no leader"},
			{Text: "kv c", Where: "waits.ctmpl:3:3", Reason: status.QueryAbsent},
		}
	})
	add("bad", status.Failed, 26*time.Hour, func(t *status.Target) {
		t.Error, t.Stale, t.Drifted = "check failed:\nexit status 1", "bad.ctmpl:1: unclosed action", true
	})
	s.Actions = []*status.Action{{
		ID: "reload-1", Name: "nginx -s reload", Kind: "command", Command: "nginx -s reload", State: status.Retrying, Since: ago(time.Minute),
		Error: "exit status 1", Retry: now.Add(20 * time.Second), LastRun: &status.Run{Began: ago(5 * time.Second), Seconds: 0.0123, Result: "undone"},
	}}
	return s
}

func TestStatus(t *testing.T) {
	var b strings.Builder
	if err := (Status{Snapshot: state(), Now: now}).Print(&b); err != nil {
		t.Fatal(err)
	}
	want := `1 of 4 files failed
render has been running for 3h5m; configuration 2 has been in effect for 1h0m
! the newest configuration is rejected: bad.hcl:1: no such setting
! the program is not started, because not everything is rendered that it needs: nginx
consul at localhost:8500: 5 requests in flight, 4 of them wait for changes; last answer 2s ago
! consul at consul.example:8500 has not answered for 1m0s: connection refused
! vault at https://vault:8200 has not answered for 1m0s: sealed

FILES
! failed   1d2h  /etc/nginx/bad
    check failed:
      exit status 1
    a newer text of its template is unusable: bad.ctmpl:1: unclosed action
    another program has changed the file
… pending  12s   /etc/nginx/waits
    waits for kv a, which has not answered yet (waits.ctmpl:1:3)
    waits for kv b, which fails: no leader (waits.ctmpl:2:3)
    needs kv c, which does not exist (waits.ctmpl:3:3)
  applied  1h0m  /etc/nginx/good
  applied  1h0m  /etc/nginx/held
    service web: 3 → 0 instances, held back by the guard min=1 for 1m30s (held.ctmpl:1:3)

ACTIONS
! retrying  1m0s  nginx -s reload  undone 5s ago, took 12ms
    exit status 1
    next try in 20s
`
	if got := b.String(); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

// Of many files those that are applied are counted, unless all are wanted.
func TestStatusMany(t *testing.T) {
	s := state()
	for i := range 1000 {
		s.Targets = append(s.Targets, &status.Target{Destination: fmt.Sprint("/file", i), State: status.Applied})
	}
	for all, lines := range map[bool]int{false: 26, true: 1026} {
		var b strings.Builder
		if err := (Status{Snapshot: s, All: all, Now: now}).Print(&b); err != nil {
			t.Fatal(err)
		}
		if got := strings.Count(b.String(), "\n"); got != lines || strings.Contains(b.String(), "1001 more files") == all {
			t.Errorf("all %t: %d lines, want %d", all, got, lines)
		}
	}
}

func commits() []*history.Commit {
	local := func(d time.Duration) time.Time { return ago(d).In(time.Local) }
	return []*history.Commit{
		{Number: 3, Ended: local(time.Minute), Seconds: 0.05, Action: "reload-1", ActionName: "nginx -s reload", Result: history.Undone, Attempt: 2, Error: "exit status 1",
			Because: []history.Cause{{Kind: history.OfRetry, Text: "an earlier attempt failed"}},
			Files: []history.File{{Path: "/etc/nginx/bad", Result: history.Kept, OldSize: 10, Size: 12, NoDiff: "secret",
				Because: []history.Cause{{Kind: history.OfRetry, Text: "an earlier attempt failed"}}}},
			Steps: []history.Step{{Kind: "check", Text: "nginx -t", Seconds: 0.01, Runs: 1}, {Kind: "command", Text: "nginx -s reload", Seconds: 1.26, Runs: 2, Error: "exit status 1"}}},
		{Number: 2, Ended: local(time.Hour), Seconds: 0.05, ActionName: "nginx -s reload", Result: history.Applied, Attempt: 1,
			Because: []history.Cause{{Kind: history.OfQuery, Text: "service web: 3 → 4 instances"}, {Kind: history.OfTemplate, Text: "its template has changed"}},
			Files: []history.File{
				{Path: "/etc/nginx/good", Result: history.Written, OldSize: -1, Size: 5},
				{Path: "/etc/nginx/bad", Result: history.Written, OldSize: 5, Size: 7, Diff: "@@ -1 +1 @@\n-a\n+b\n",
					Because: []history.Cause{{Kind: history.OfQuery, Text: "service web: 3 → 4 instances"}, {Kind: history.OfTemplate, Text: "its template has changed"}}},
				{Path: "/etc/nginx/third", Result: history.Written},
			}},
	}
}

func TestWhy(t *testing.T) {
	stamp := func(d time.Duration) string { return ago(d).Local().Format("2006-01-02 15:04:05") }
	for file, want := range map[string]string{
		"/etc/nginx/bad": `/etc/nginx/bad has been failing for 1d2h.
Its template is /etc/render/bad.ctmpl, its action is "nginx -s reload".
  check failed:
      exit status 1
  a newer text of its template is unusable: bad.ctmpl:1: unclosed action
  another program has changed the file

` + stamp(time.Minute) + `, 1m0s ago: render tried to change the file, and the previous contents stay, from 10 to 12 bytes.
  The reason: an earlier attempt failed.
  The check "nginx -t" took 10ms and succeeded.
  The command "nginx -s reload" took 1.3s and failed: exit status 1.
  The commit was undone: the previous files are back. It was attempt 2.
  Its diff is not shown: something secret is in it.

` + stamp(time.Hour) + `, 1h0m ago: render wrote the file, from 5 to 7 bytes.
  The reason: service web: 3 → 4 instances.
  Also: the text of the template has changed.
  Everything succeeded.
    @@ -1 +1 @@
    -a
    +b
`,
		"waits": `/etc/nginx/waits has stayed as it is for 12s: its template waits for data.
Its template is /etc/render/waits.ctmpl, its action is "nginx -s reload".
  waits for kv a, which has not answered yet (waits.ctmpl:1:3)
  waits for kv b, which fails: no leader (waits.ctmpl:2:3)
  needs kv c, which does not exist (waits.ctmpl:3:3)

render has not changed the file since it started 3h5m ago.
`,
		"/etc/nginx/third": `/etc/nginx/third is written by writeToFile, or is of an earlier configuration.

` + stamp(time.Hour) + `, 1h0m ago: render wrote the file, from 0 to 0 bytes.
  Everything succeeded.
`,
	} {
		var b strings.Builder
		if err := (Why{File: file, Snapshot: state(), Commits: commits(), Now: now}).Print(&b); err != nil {
			t.Fatal(err)
		}
		if got := b.String(); got != want {
			t.Errorf("%s: got\n%s\nwant\n%s", file, got, want)
		}
	}
	err := Why{File: "/etc/nginx/goof", Snapshot: state(), Now: now}.Print(os.Stderr)
	if want := "no template of the running render makes /etc/nginx/goof\nhint: did you mean /etc/nginx/good?"; err == nil || hint.Text(err) != want {
		t.Errorf("got %v, want %s", err, want)
	}
}

func TestPrintHistory(t *testing.T) {
	var b strings.Builder
	if err := PrintHistory(&b, commits()); err != nil {
		t.Fatal(err)
	}
	stamp := func(d time.Duration) string { return ago(d).Local().Format("2006-01-02 15:04:05") }
	want := `ENDED                RESULT             TOOK  FILES                                        BECAUSE
` + stamp(time.Minute) + `  undone, attempt 2  50ms  /etc/nginx/bad                               an earlier attempt failed
    exit status 1
` + stamp(time.Hour) + `  applied            50ms  /etc/nginx/good, /etc/nginx/bad, and 1 more  service web: 3 → 4 instances; its template has changed
`
	if got := b.String(); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	if got := Of(commits(), "/etc/nginx/third"); len(got) != 1 || got[0].Number != 2 {
		t.Errorf("commits of a file: %+v", got)
	}
}

// serve answers as a running render does, at a socket that it returns.
func serve(t *testing.T) (socket string) {
	t.Helper()
	mux := http.NewServeMux()
	s := state()
	for path, answer := range map[string]any{
		"status": s.Overview, "targets": status.Targets{Sequence: 7, Targets: s.Targets}, "actions": status.Actions{Sequence: 7, Actions: s.Actions}, "queries": status.Queries{Sequence: 7},
		"history": history.Commits{Commits: commits()},
	} {
		mux.HandleFunc("GET /api/v1/"+path, func(w http.ResponseWriter, _ *http.Request) { _ = json.NewEncoder(w).Encode(answer) })
	}
	mux.HandleFunc("GET /api/v1/events", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, "event: change\ndata: {\"sequence\":8}\n\nevent: change\ndata: {\"sequence\":9}\n\n")
	})
	return serveSocket(t, mux)
}

// serveSocket has a handler answer at a socket that it returns.
func serveSocket(t *testing.T, h http.Handler) (socket string) {
	t.Helper()
	dir, err := os.MkdirTemp("", "ask")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	socket = filepath.Join(dir, "s")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: h}
	go func() { _ = server.Serve(l) }()
	t.Cleanup(func() { _ = server.Close() })
	return socket
}

func TestClient(t *testing.T) {
	c, err := NewClient(serve(t))
	if err != nil {
		t.Fatal(err)
	}
	got, err := c.Snapshot(t.Context())
	if err != nil || got.Line != state().Line || len(got.Targets) != 4 || len(got.Actions) != 1 || !got.Targets[0].Since.Equal(state().Targets[0].Since) {
		t.Errorf("got %+v, %v", got, err)
	}
	if all, err := c.History(t.Context()); len(all) != 2 || err != nil {
		t.Errorf("history: %d, %v", len(all), err)
	}
	changes := 0
	err = c.Follow(t.Context(), func(*status.Snapshot) error { changes++; return nil })
	if changes != 3 || err == nil || !strings.Contains(err.Error(), "has ended") {
		t.Errorf("followed %d changes, %v", changes, err)
	}
	if err := c.ask(t.Context(), "/api/v1/none", new(any)); err == nil || !strings.Contains(err.Error(), "404") {
		t.Errorf("what does not exist: %v", err)
	}
}

// Answers of different moments are requested again, a few times.
func TestSnapshotOfOneMoment(t *testing.T) {
	for changes, want := range map[int]int{0: 1, 1: 2, 2: 3, 100: 3} {
		sequence, rounds := 1, 0
		c, err := NewClient(serveSocket(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			switch r.URL.Path {
			case "/api/v1/status":
				rounds++
			case "/api/v1/queries":
				if rounds <= changes {
					sequence++
				}
			}
			fmt.Fprintf(w, `{"sequence":%d}`, sequence)
		})))
		if err != nil {
			t.Fatal(err)
		}
		if s, err := c.Snapshot(t.Context()); err != nil || rounds != want || s.Sequence == 0 {
			t.Errorf("with %d changes it asks %d times, want %d: %v", changes, rounds, want, err)
		}
	}
}

// The first socket with a running render is used, whatever the others are. Of those without, the error is about the one that the user means.
func TestFind(t *testing.T) {
	dir, err := os.MkdirTemp("", "ask")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	none, dead, file := filepath.Join(dir, "none"), filepath.Join(dir, "dead"), filepath.Join(dir, "file")
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: dead, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	l.SetUnlinkOnClose(false)
	_ = l.Close()
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	living, other := serve(t), serve(t)
	for _, tt := range []struct {
		sockets []string
		want    string // the socket, or a part of the error
	}{
		{[]string{living, other}, living}, {[]string{none, living}, living}, {[]string{dead, living}, living}, {[]string{file, living}, living},
		{[]string{none, dead}, dead + ": the one that made the socket has ended"}, {[]string{none, none}, "found: the socket " + none + " or " + none + " does not exist"},
	} {
		got, err := find(tt.sockets)
		if err != nil {
			if _, ok := errors.AsType[NoRenderError](err); ok && strings.Contains(err.Error(), tt.want) {
				continue
			}
		}
		if got != tt.want {
			t.Errorf("%q: %q, %v", tt.sockets, got, err)
		}
	}
}

// All commits are requested, also those beyond what the API answers without a number.
func TestAllCommits(t *testing.T) {
	var asked string
	c, err := NewClient(serveSocket(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked = r.URL.String()
		fmt.Fprint(w, "{}")
	})))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.History(t.Context()); err != nil || asked != fmt.Sprintf("/api/v1/history?limit=%d", history.MaxCommits) {
		t.Errorf("asked %s, %v", asked, err)
	}
}

// Where no render answers an error says so, and what to do.
func TestNoRender(t *testing.T) {
	dir, err := os.MkdirTemp("", "ask")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	dead := filepath.Join(dir, "dead")
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: dead, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	l.SetUnlinkOnClose(false)
	_ = l.Close()
	for socket, want := range map[string]string{
		dead:                       "no running render at " + dead + ": the one that made the socket has ended\nhint: start render with --listen unix:///run/render/render.sock, or name its socket with --socket",
		filepath.Join(dir, "none"): "no running render found: the socket " + filepath.Join(dir, "none") + " does not exist\nhint: start render with --listen unix:///run/render/render.sock, or name its socket with --socket",
	} {
		c, err := NewClient(socket)
		if err == nil {
			_, err = c.Snapshot(context.Background())
		}
		if _, ok := errors.AsType[NoRenderError](err); !ok || hint.Text(err) != want {
			t.Errorf("got %v, want %s", err, want)
		}
	}

	t.Setenv("XDG_RUNTIME_DIR", dir)
	if all := Sockets(); len(all) != 2 || all[1] != filepath.Join(dir, "render.sock") {
		t.Errorf("sockets: %q", all)
	}
}
