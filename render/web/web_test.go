package web

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"render/render/history"
	"render/render/status"
)

// A fakeEngine has the snapshot that a test gives it.
type fakeEngine struct {
	snapshot atomic.Pointer[status.Snapshot] // nil: the loop does not answer
	log      history.Log
	feed     *history.Feed
}

func newEngine() *fakeEngine {
	e := &fakeEngine{feed: history.NewFeed()}
	e.set(&status.Snapshot{})
	return e
}

func (e *fakeEngine) set(s *status.Snapshot) {
	e.feed.Note()
	s.Sequence = e.feed.Sequence()
	e.snapshot.Store(s)
}

func (e *fakeEngine) Snapshot(ctx context.Context) (*status.Snapshot, error) {
	if s := e.snapshot.Load(); s != nil {
		return s, nil
	}
	<-ctx.Done()
	return nil, ctx.Err()
}

func (e *fakeEngine) History() *history.Log { return &e.log }
func (e *fakeEngine) Feed() *history.Feed   { return e.feed }

func newServer(t *testing.T, e Engine, routes ...Route) *Server {
	s := New(Config{Engine: e, Version: "1.2.3", Routes: routes, Log: slog.New(slog.DiscardHandler)})
	t.Cleanup(s.Close)
	return s
}

// serve returns the URL of a server on loopback.
func serve(t *testing.T, s *Server, settings Settings) string {
	t.Helper()
	settings.Addresses = []string{"127.0.0.1:0"}
	check(t, s.Apply(settings))
	return "http://" + s.Addresses()[0]
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// get returns the status, the header and the body of an answer. Header are names and values.
func get(t *testing.T, client *http.Client, url string, header ...string) (int, http.Header, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	check(t, err)
	for i := 0; i < len(header); i += 2 {
		if header[i] == "Host" {
			r.Host = header[i+1]
		}
		r.Header.Set(header[i], header[i+1])
	}
	answer, err := client.Do(r)
	check(t, err)
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	check(t, err)
	return answer.StatusCode, answer.Header, string(body)
}

// socketClient asks by a unix socket.
func socketClient(path string) *http.Client {
	return &http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", path)
	}}}
}

// What other machines can connect to needs TLS and a token, or a word of the user.
func TestSettings(t *testing.T) {
	both := Settings{Cert: "c", Key: "k", TokenFile: "t"}
	for _, tt := range []struct {
		address string
		with    Settings
		want    string // in the error; empty for none
	}{
		{"127.0.0.1:80", Settings{}, ""},
		{"127.8.9.1:80", Settings{}, ""},
		{"[::1]:80", Settings{}, ""},
		{"localhost:80", Settings{}, ""},
		{"unix:///run/x", Settings{}, ""},
		{":80", Settings{}, "other machines"},
		{"0.0.0.0:80", Settings{}, "other machines"},
		{"[::]:80", Settings{}, "other machines"},
		{"10.0.0.1:80", Settings{}, "other machines"},
		{"render.example:80", Settings{}, "other machines"},
		{"[::ffff:10.0.0.1]:80", Settings{}, "other machines"},
		{"localhost.example:80", Settings{}, "other machines"},
		{":80", Settings{TokenFile: "t"}, "other machines"},
		{":80", Settings{Cert: "c", Key: "k"}, "other machines"},
		{":80", both, ""},
		{":80", Settings{Insecure: true}, ""},
		{"127.0.0.1:80", Settings{Cert: "c"}, "its key"},
		{"127.0.0.1:80", Settings{Key: "k"}, "its key"},
		{"127.0.0.1", Settings{}, "is not an address"},
		{"80", Settings{}, "is not an address"},
		{"127.0.0.1:http", Settings{}, "from 0 to 65535"},
		{"127.0.0.1:70000", Settings{}, "from 0 to 65535"},
		{"unix://run/x", Settings{}, "begins with a slash"},
		{"/run/x", Settings{}, "is not an address"},
		{"127.0.0.1:80", Settings{Hosts: []string{"Render.example.", "a_b-1"}}, ""},
		{"127.0.0.1:80", Settings{Hosts: []string{"a", ""}}, `"" is not a host name`},
		{"127.0.0.1:80", Settings{Hosts: []string{"render.example:9820"}}, "is not a host name"},
		{"127.0.0.1:80", Settings{Hosts: []string{"*.example"}}, "is not a host name"},
		{"127.0.0.1:80", Settings{Hosts: []string{"."}}, "is not a host name"},
	} {
		tt.with.Addresses = []string{tt.address}
		err := tt.with.Validate()
		if (tt.want == "") != (err == nil) || err != nil && !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s with %+v: %v", tt.address, tt.with, err)
		}
	}
}

// Requests by names of strangers, that want to change something, or have a body are rejected.
func TestAccess(t *testing.T) {
	s := newServer(t, newEngine())
	url := serve(t, s, Settings{Hosts: []string{"Render.Example."}})
	_, port, _ := net.SplitHostPort(s.Addresses()[0])
	for host, want := range map[string]int{
		"127.0.0.1:" + port: 200, "localhost:" + port: 200, "LOCALHOST": 200, "[::1]:" + port: 200, "[::1]": 200, "10.1.2.3": 200,
		"render.example:" + port: 200, "render.example.": 200, "evil.example:" + port: 421, "localhost.evil.example": 421, "127.0.0.1.evil.example": 421, "1": 421,
	} {
		if code, _, body := get(t, http.DefaultClient, url+"/api/v1/status", "Host", host); code != want {
			t.Errorf("host %q: %d %s, want %d", host, code, body, want)
		}
	}
	for _, method := range []string{"POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "CONNECT", "X"} {
		r, err := http.NewRequestWithContext(t.Context(), method, url+"/api/v1/status", nil)
		check(t, err)
		answer, err := http.DefaultTransport.RoundTrip(r)
		check(t, err)
		check(t, answer.Body.Close())
		if answer.StatusCode != http.StatusMethodNotAllowed || answer.Header.Get("Allow") != "GET, HEAD" {
			t.Errorf("%s: %s", method, answer.Status)
		}
	}
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url+"/api/v1/status", strings.NewReader("x"))
	check(t, err)
	answer, err := http.DefaultTransport.RoundTrip(r)
	check(t, err)
	check(t, answer.Body.Close())
	if answer.StatusCode != http.StatusRequestEntityTooLarge {
		t.Errorf("with a body: %s", answer.Status)
	}

	code, h, _ := get(t, http.DefaultClient, url+"/api/v1/status", "Origin", "http://evil.example")
	if code != 200 || h.Get("Access-Control-Allow-Origin") != "" || h.Get("Content-Security-Policy") != policy || h.Get("X-Content-Type-Options") != "nosniff" {
		t.Errorf("%d with %v", code, h)
	}
}

// With a token each request needs it, except by a unix socket and for open paths without a query. A token that changes on disk is used.
func TestToken(t *testing.T) {
	dir := t.TempDir()
	path, socket := filepath.Join(dir, "token"), filepath.Join(dir, "s")
	check(t, os.WriteFile(path, []byte("secret\n"), 0o600))
	hello := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "hello") })
	s := newServer(t, newEngine(), Route{Path: "/metrics", Handler: hello}, Route{Path: "/healthz", Handler: hello, Open: true})
	check(t, s.Apply(Settings{Addresses: []string{"127.0.0.1:0", "unix://" + socket}, Mode: 0o600, TokenFile: path}))
	url := "http://" + s.Addresses()[0]
	for _, tt := range []struct {
		path, authorization string
		want                int
	}{
		{"/metrics", "", 401}, {"/metrics", "Bearer secret", 200}, {"/metrics", "Bearer secret2", 401}, {"/metrics", "Bearer ", 401},
		{"/metrics", "Basic dXNlcjpzZWNyZXQ=", 200}, {"/metrics", "bearer secret", 200}, {"/metrics", "BEARER secret", 200}, {"/metrics", "Basic c2VjcmV0Og==", 401}, {"/metrics", "secret", 401},
		{"/api/v1/status", "", 401}, {"/nothing", "", 401}, {"/nothing", "Bearer secret", 404}, {"/healthz", "", 200}, {"/healthz?verbose", "", 401}, {"/healthz?verbose", "Bearer secret", 200}, {"/healthz/", "", 401}, {"//healthz", "", 401},
	} {
		if code, _, body := get(t, http.DefaultClient, url+tt.path, "Authorization", tt.authorization); code != tt.want {
			t.Errorf("%s with %q: %d %s", tt.path, tt.authorization, code, body)
		}
	}
	if code, _, body := get(t, socketClient(socket), "http://anything/metrics"); code != 200 || body != "hello" {
		t.Errorf("by the socket: %d %s", code, body)
	}

	check(t, os.WriteFile(path, []byte("another"), 0o600))
	await(t, func() error {
		if code, _, _ := get(t, http.DefaultClient, url+"/metrics", "Authorization", "Bearer another"); code != 200 {
			return fmt.Errorf("the new token: %d", code)
		}
		return nil
	})
	check(t, os.Remove(path))
	time.Sleep(checkEvery + 10*time.Millisecond) // until the file is looked at
	if code, _, _ := get(t, http.DefaultClient, url+"/metrics", "Authorization", "Bearer another"); code != 200 {
		t.Errorf("the token without its file: %d", code)
	}
	check(t, os.WriteFile(path, []byte(" \n"), 0o600))
	if err := s.Apply(Settings{Addresses: []string{"127.0.0.1:0"}, TokenFile: path}); err == nil || !strings.Contains(err.Error(), "is empty") {
		t.Errorf("an empty token: %v", err)
	}
}

// await waits until a condition is true.
func await(t *testing.T, condition func() error) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		err := condition()
		if err == nil {
			return
		}
		if time.Now().After(end) {
			t.Fatal(err)
		}
	}
}

// The socket of a process that has ended is replaced, that of another one and other files never. A socket has its mode from the beginning.
func TestSocket(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "s")
	settings := Settings{Addresses: []string{"unix://" + path}, Mode: 0o640}
	mode := func() os.FileMode {
		info, err := os.Stat(path)
		check(t, err)
		return info.Mode()
	}

	first := newServer(t, newEngine())
	check(t, first.Apply(settings))
	if got := mode(); got != os.ModeSocket|0o640 {
		t.Errorf("its mode is %s", got)
	}
	settings.Mode = 0o600
	check(t, first.Apply(settings))
	if got := mode(); got != os.ModeSocket|0o600 {
		t.Errorf("its new mode is %s", got)
	}
	second := newServer(t, newEngine())
	if err := second.Apply(settings); err == nil || !strings.Contains(err.Error(), "in use by another process") {
		t.Errorf("beside a living one: %v", err)
	}
	if code, _, _ := get(t, socketClient(path), "http://x/api/v1/status"); code != 200 {
		t.Errorf("the living one answers %d", code)
	}
	first.Close()
	if _, err := os.Lstat(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the socket stays behind: %v", err)
	}

	dead, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	check(t, err)
	dead.SetUnlinkOnClose(false)
	check(t, dead.Close())
	check(t, second.Apply(settings))
	if code, _, _ := get(t, socketClient(path), "http://x/api/v1/status"); code != 200 {
		t.Errorf("in place of a dead one: %d", code)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 1 {
		t.Errorf("left are %v, %v", left, err)
	}

	check(t, os.Remove(path)) // somebody removes it, and another process makes its own
	third := newServer(t, newEngine())
	check(t, third.Apply(settings))
	second.Close()
	if code, _, _ := get(t, socketClient(path), "http://x/api/v1/status"); code != 200 {
		t.Errorf("after the end of a previous one: %d", code)
	}

	file := filepath.Join(dir, "file")
	check(t, os.WriteFile(file, []byte("text"), 0o600))
	for path, want := range map[string]string{
		file: "is not a socket", dir: "is not a socket", filepath.Join(dir, "missing", "s"): "no such file", filepath.Join(dir, strings.Repeat("x", 90)): "longer than",
	} {
		err := newServer(t, newEngine()).Apply(Settings{Addresses: []string{"unix://" + path}})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", path, err)
		}
	}
}

// Who locks the folder of a socket does not stop render, and a link in place of the socket leads to no other file.
func TestHostileFolder(t *testing.T) {
	dir := t.TempDir()
	path, file := filepath.Join(dir, "s"), filepath.Join(dir, "file")
	check(t, os.WriteFile(file, nil, 0o600))
	s := newServer(t, newEngine())
	settings := Settings{Addresses: []string{"unix://" + path}, Mode: 0o600}
	folder, err := os.Open(dir)
	check(t, err)
	check(t, unix.Flock(int(folder.Fd()), unix.LOCK_EX))
	began := time.Now()
	if err := s.Apply(settings); err == nil || !strings.Contains(err.Error(), "has kept the lock") || time.Since(began) > 10*lockTimeout {
		t.Errorf("in a locked folder, after %s: %v", time.Since(began), err)
	}
	check(t, folder.Close())
	check(t, s.Apply(settings))

	l := s.serving["unix://"+path]
	check(t, os.Remove(path))
	check(t, os.Symlink(file, path))
	if err := l.socket.chmod(0o666); err == nil || !strings.Contains(err.Error(), "has replaced the socket") {
		t.Errorf("a link in place of the socket: %v", err)
	}
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the other file: %v, %v", info, err)
	}
	if err := s.Apply(settings); err == nil || !strings.Contains(err.Error(), "is not a socket") {
		t.Errorf("beside the link: %v", err)
	}
}

// Many servers at once that find the socket of a dead process: one of them gets it.
func TestSocketRace(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	dead, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	check(t, err)
	dead.SetUnlinkOnClose(false)
	check(t, dead.Close())
	var wg sync.WaitGroup
	var winners atomic.Int32
	for range 20 {
		s := newServer(t, newEngine())
		wg.Go(func() {
			if s.Apply(Settings{Addresses: []string{"unix://" + path}, Mode: 0o600}) == nil {
				winners.Add(1)
			}
		})
	}
	wg.Wait()
	if n := winners.Load(); n != 1 {
		t.Errorf("%d servers have the socket", n)
	}
}

// New settings are in effect without a connection lost; a port that is taken changes nothing.
func TestApply(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	check(t, err)
	defer taken.Close()
	s := newServer(t, newEngine())
	check(t, s.Apply(Settings{Addresses: []string{"127.0.0.1:0", "127.0.0.1:0"}}))
	was := s.Addresses()
	if len(was) != 1 {
		t.Errorf("it listens at %v", was)
	}
	err = s.Apply(Settings{Addresses: []string{"127.0.0.1:0", "[::1]:0", taken.Addr().String()}, Hosts: []string{"x"}})
	if err == nil || !strings.Contains(err.Error(), "another program listens") {
		t.Errorf("a port that is taken: %v", err)
	}
	if now := s.Addresses(); len(now) != 1 || now[0] != was[0] {
		t.Errorf("after an error it listens at %v, not %v", now, was)
	}
	if code, _, _ := get(t, http.DefaultClient, "http://"+was[0]+"/api/v1/status", "Host", "x"); code != 421 {
		t.Errorf("the host of settings with an error: %d", code)
	}
	check(t, s.Apply(Settings{Addresses: []string{"127.0.0.1:0"}, Hosts: []string{"x"}}))
	if code, _, _ := get(t, http.DefaultClient, "http://"+was[0]+"/api/v1/status", "Host", "x"); code != 200 {
		t.Errorf("the new host: %d", code)
	}
	check(t, s.Apply(Settings{}))
	await(t, func() error {
		conn, err := net.Dial("tcp", was[0])
		if err == nil {
			return errors.Join(conn.Close(), errors.New("it still listens"))
		}
		return nil
	})
}

// Events come when something changes, and end with the server. The number of an earlier run is none of ours.
func TestEvents(t *testing.T) {
	e := newEngine()
	s := newServer(t, e)
	url := serve(t, s, Settings{}) + "/api/v1/events"
	for _, tt := range []struct{ query, header string }{{"", ""}, {"?after=1", ""}, {"", "1"}, {"?after=999999", ""}} {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url+tt.query, nil)
		check(t, err)
		r.Header.Set("Last-Event-ID", tt.header)
		answer, err := http.DefaultClient.Do(r)
		check(t, err)
		lines := bufio.NewScanner(answer.Body)
		next := func() history.Change {
			for lines.Scan() {
				if data, ok := strings.CutPrefix(lines.Text(), "data: "); ok {
					var c history.Change
					check(t, json.Unmarshal([]byte(data), &c))
					return c
				}
			}
			t.Fatalf("%+v: the stream has ended: %v", tt, lines.Err())
			return history.Change{}
		}
		e.feed.Note()
		want := e.feed.Sequence()
		for c := next(); c.Sequence < want; c = next() {
		}
		check(t, answer.Body.Close())
	}

	answer, err := http.DefaultClient.Get(url)
	check(t, err)
	defer answer.Body.Close()
	closed := make(chan struct{})
	go func() { s.Close(); close(closed) }()
	_, err = io.Copy(io.Discard, answer.Body)
	if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Error(err)
	}
	<-closed
}
