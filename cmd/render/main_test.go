package main

import (
	"bufio"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// TestReaderOfLogGoesAway lets nobody read the log any more: this does not end the daemon (R12).
func TestReaderOfLogGoesAway(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	fixture, out := filepath.Join(dir, "data.yaml"), filepath.Join(dir, "out")
	write(t, fixture, "keys: {a: 1}")
	write(t, filepath.Join(dir, "in"), `{{key "a"}}`)
	read, written, err := os.Pipe()
	check(t, err)
	d := startRenderTo(t, dir, written, "--fixture", fixture, "--template", "in:out")
	check(t, written.Close())
	_, err = bufio.NewReader(read).ReadString('\n')
	check(t, err)
	check(t, read.Close())
	for _, value := range []string{"2", "3", "4"} {
		write(t, fixture, "keys: {a: "+value+"}")
		awaits(t, contains(out, value))
	}
	d.stop()
}

// TestTokenReachesConsul asks a server that notes the token which comes with a request.
func TestTokenReachesConsul(t *testing.T) {
	var token atomic.Value
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		token.Store(r.Header.Get("X-Consul-Token"))
		w.Header().Set("X-Consul-Index", "1")
		http.NotFound(w, r)
	}))
	t.Cleanup(server.Close)
	dir := t.TempDir()
	write(t, filepath.Join(dir, "in"), `{{keyExists "a"}}`)
	write(t, filepath.Join(dir, "file"), "from-file\n")
	for _, tt := range []struct {
		name string
		env  []string
		args []string
		want string
	}{
		{name: "none"},
		{"flag", nil, []string{"--consul-token", "flag"}, "flag"},
		{"file", nil, []string{"--consul-token-file", "file"}, "from-file"},
		{"environment", []string{"CONSUL_HTTP_TOKEN=http"}, nil, "http"},
		{"first name wins", []string{"CONSUL_HTTP_TOKEN=http", "CONSUL_TOKEN=short"}, nil, "short"},
		{"flag wins", []string{"CONSUL_HTTP_TOKEN=http", "CONSUL_TOKEN=short"}, []string{"--consul-token", "flag"}, "flag"},
		{"file in environment", []string{"CONSUL_HTTP_TOKEN_FILE=file"}, nil, "from-file"},
		{"first name of file wins", []string{"CONSUL_HTTP_TOKEN_FILE=missing", "CONSUL_TOKEN_FILE=file"}, nil, "from-file"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			args := append([]string{"--once", "--consul-addr", server.URL, "--template", "in:out"}, tt.args...)
			cmd := exec.Command("render", args...)
			cmd.Dir, cmd.Env = dir, append(os.Environ(), tt.env...)
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			if got := token.Load(); got != tt.want {
				t.Errorf("the token was %q, want %q", got, tt.want)
			}
		})
	}
}

// TestReloadTakesToken asks a server that notes tokens, and never tells of a change: the request under way with the old
// token ends, and another comes with the new one.
func TestReloadTakesToken(t *testing.T) {
	t.Parallel()
	tokens, gone := make(chan string, 100), make(chan string, 100)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		token := r.Header.Get("X-Consul-Token")
		tokens <- token
		if r.FormValue("index") != "" {
			<-r.Context().Done()
			gone <- token
			return
		}
		w.Header().Set("X-Consul-Index", "1")
		http.NotFound(w, r)
	}))
	t.Cleanup(server.Close)
	dir := t.TempDir()
	config := filepath.Join(dir, "render.hcl")
	for _, token := range []string{"one", "two"} {
		text := "consul {\n  address = \"" + server.URL + "\"\n  token = \"" + token + "\"\n}\n"
		write(t, filepath.Join(dir, token), text+"template {\n  contents = \"{{keyExists \\\"a\\\"}}\"\n  destination = \"out\"\n}\n")
	}
	check(t, os.Rename(filepath.Join(dir, "one"), config))
	d := startRender(t, dir, "--config", config)
	arrives(t, tokens, "one")
	awaits(t, contains(filepath.Join(dir, "out"), "false"))
	check(t, os.Rename(filepath.Join(dir, "two"), config))
	d.signal(syscall.SIGHUP)
	arrives(t, gone, "one")
	arrives(t, tokens, "two")
	awaits(t, d.saying("configuration reloaded"))
	d.stop()
}

// arrives waits until a text has come.
func arrives(t *testing.T, from <-chan string, want string) {
	t.Helper()
	for end := time.After(patience); ; {
		select {
		case got := <-from:
			if got == want {
				return
			}
		case <-end:
			t.Fatalf("no %q has come", want)
		}
	}
}
