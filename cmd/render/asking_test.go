package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"render/render/history"
	"render/render/status"

	"render/watch/hint"
)

// Flags of the commands that ask a running render may come before and after their arguments. A mistake is one of usage.
func TestAskingFlags(t *testing.T) {
	t.Parallel()
	all := []string{"all", "json", "limit", "socket"}
	a, help, err := parseAsking("why", all, []string{"--json", "file", "-socket", "s", "--limit=3", "other", "-all"})
	if err != nil || help || !a.json || !a.all || a.socket != "s" || a.limit != 3 || strings.Join(a.args, " ") != "file other" {
		t.Errorf("got %+v, %t, %v", a, help, err)
	}
	if _, help, err := parseAsking("why", all, []string{"file", "--help"}); !help || err != nil {
		t.Errorf("--help: %t, %v", help, err)
	}
	for _, test := range []struct{ args, want string }{
		{"--jsn", "why: there is no flag --jsn\nhint: did you mean --json?\nhint: the flags are --all, --json, --limit, --socket"},
		{"--socket", "why: --socket needs a value"},
		{"--limit x", "why: invalid value"},
	} {
		if _, _, err := parseAsking("why", all, strings.Fields(test.args)); err == nil || !strings.HasPrefix(hint.Text(err), test.want) {
			t.Errorf("%s: got %v, want %s", test.args, err, test.want)
		}
	}
}

// The commands print what a running render answers; without one they fail and say what to do.
func TestAsking(t *testing.T) {
	t.Parallel()
	dir, err := os.MkdirTemp("", "asking")
	check(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	socket := filepath.Join(dir, "s")
	run := func(wantCode int, args ...string) string {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		cmd := exec.CommandContext(ctx, "render", args...)
		cmd.Dir = dir
		text, _ := cmd.CombinedOutput() // the exit code says it
		out, code := string(text), cmd.ProcessState.ExitCode()
		if code != wantCode {
			t.Errorf("%q exits with %d, want %d: %s", args, code, wantCode, out)
		}
		return out
	}
	if out := run(exitFailed, "status", "--socket", socket); !strings.Contains(out, socket+" does not exist") || !strings.Contains(out, "\nhint: start render with") {
		t.Errorf("without a running render: %s", out)
	}
	if out := run(exitUsage, "why", "--socket", socket); !strings.Contains(out, "why: needs the path of one file") {
		t.Errorf("without a file: %s", out)
	}

	l, err := net.Listen("unix", socket)
	check(t, err)
	mux := http.NewServeMux()
	target := &status.Target{ID: "a-1", Destination: "/etc/a", State: status.Applied, Since: time.Now()}
	commit := &history.Commit{Number: 1, Ended: time.Now(), Result: history.Applied, Attempt: 1, Files: []history.File{{Path: "/etc/a", Result: history.Written}}}
	for path, answer := range map[string]any{
		"status": status.Overview{Line: "the file is applied\x1b[31m"}, "targets": status.Targets{Targets: []*status.Target{target}},
		"actions": status.Actions{}, "queries": status.Queries{}, "history": history.Commits{Commits: []*history.Commit{commit, {Number: 0}}},
	} {
		mux.HandleFunc("GET /api/v1/"+path, func(w http.ResponseWriter, _ *http.Request) { _ = json.NewEncoder(w).Encode(answer) })
	}
	mux.HandleFunc("GET /api/v1/events", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("data: {}\n\n")) })
	server := &http.Server{Handler: mux}
	go func() { _ = server.Serve(l) }()
	t.Cleanup(func() { _ = server.Close() })

	if out := run(exitDone, "status", "--socket", socket); !strings.Contains(out, `the file is applied\x1b[31m`) || !strings.Contains(out, "/etc/a") {
		t.Errorf("status: %s", out)
	}
	var s status.Snapshot
	if out := run(exitDone, "status", "--json", "--socket", socket); json.Unmarshal([]byte(out), &s) != nil || len(s.Targets) != 1 || s.Line == "" {
		t.Errorf("status --json: %s", out)
	}
	if out := run(exitFailed, "status", "--watch", "--socket", socket); strings.Count(out, "the file is applied") != 2 || !strings.Contains(out, "has ended") {
		t.Errorf("status --watch: %s", out)
	}
	if out := run(exitDone, "why", "/etc/a", "--socket", socket); !strings.Contains(out, "/etc/a has been up to date") || !strings.Contains(out, "render wrote the file") {
		t.Errorf("why: %s", out)
	}
	if out := run(exitFailed, "why", "/etc/b", "--socket", socket); !strings.Contains(out, "did you mean /etc/a?") {
		t.Errorf("why of another file: %s", out)
	}
	if out := run(exitDone, "history", "--limit", "1", "--socket", socket); strings.Count(out, "\n") != 2 || !strings.Contains(out, "/etc/a") {
		t.Errorf("history: %s", out)
	}
	if out := run(exitDone, "why", "--help"); !strings.HasPrefix(out, "render why FILE") || !strings.Contains(out, "--socket") {
		t.Errorf("help: %s", out)
	}
}

// A running render says why its file changed, and what it waits for.
func TestAskRunningRender(t *testing.T) {
	t.Parallel()
	dir, err := os.MkdirTemp("", "asking") // the path of a socket is short
	check(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	check(t, os.Chmod(dir, 0o755))
	data, socket := filepath.Join(dir, "data.yaml"), filepath.Join(dir, "s")
	write(t, data, "keys: {a: first}")
	write(t, filepath.Join(dir, "in"), `{{key "a"}}`)
	write(t, filepath.Join(dir, "in2"), `{{key "missing"}}`)
	d := startRender(t, dir, "--fixture", "data.yaml", "--listen", "unix://"+socket, "--template", "in:out:echo well", "--template", "in2:out2")
	awaits(t, contains(filepath.Join(dir, "out"), "first"))
	write(t, data, "keys: {a: second}")
	awaits(t, contains(filepath.Join(dir, "out"), "second"))
	run := func(args ...string) string {
		cmd := exec.Command("render", append(args, "--socket", socket)...)
		cmd.Dir = dir
		text, err := cmd.CombinedOutput()
		if err != nil {
			t.Errorf("%q: %v: %s", args, err, text)
		}
		return string(text)
	}
	for _, test := range []struct {
		args  []string
		wants []string
	}{
		{[]string{"status"}, []string{"1 of 2 files need data that does not exist", "needs kv missing, which does not exist (in2:1:3)", "in sync"}},
		{[]string{"why", "out"}, []string{"out has been up to date", "from 5 to 6 bytes", "The reason: kv a: changed.", `The command "echo well" took`, "-first", "+second"}},
		{[]string{"history", "out"}, []string{"kv a: changed", "first render"}},
	} {
		awaits(t, func() error { // the commit has an end after its file is there
			said := run(test.args...)
			for _, want := range test.wants {
				if !strings.Contains(said, want) {
					return fmt.Errorf("%q does not say %q: %s", test.args, want, said)
				}
			}
			return nil
		})
	}
	d.stop()
}
