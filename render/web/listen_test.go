package web

import (
	"bytes"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// statusCode returns the code of the answer to a request for the state.
func statusCode(t *testing.T, address string, header ...string) int {
	t.Helper()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	code, _, _ := get(t, client, "http://"+address+"/api/v1/status", header...)
	return code
}

// An address in another form is the same one, and a port that moves from one address to another is taken over from ourselves.
func TestForms(t *testing.T) {
	s := newServer(t, newEngine())
	check(t, s.Apply(Settings{Addresses: []string{"127.0.0.1:0"}}))
	_, port, _ := net.SplitHostPort(s.Addresses()[0])
	before := s.serving["127.0.0.1:0"]
	for _, tt := range []struct {
		address string
		same    bool // as the one before
	}{
		{"127.0.0.1:" + port, false}, {"localhost:" + port, true}, {"127.0.0.1:0" + port, true}, {"[::ffff:127.0.0.1]:" + port, true},
		{"0.0.0.0:" + port, false}, {":" + port, true}, {"[::]:" + port, true}, {"[::0]:" + port, true}, {"127.0.0.1:" + port, false},
	} {
		check(t, s.Apply(Settings{Addresses: []string{tt.address}, Insecure: true}))
		var now *listener
		for _, l := range s.serving {
			now = l
		}
		if len(s.serving) != 1 || (now == before) != tt.same {
			t.Errorf("%s: %v", tt.address, s.Addresses())
		}
		if code := statusCode(t, "127.0.0.1:"+port); code != 200 {
			t.Errorf("%s: %d", tt.address, code)
		}
		before = now
	}
	err := s.Apply(Settings{Addresses: []string{"127.0.0.1:" + port, ":" + port}, Insecure: true})
	if err == nil || !strings.Contains(err.Error(), "overlap") {
		t.Errorf("two addresses with one port: %v", err)
	}
	if code := statusCode(t, "127.0.0.1:"+port); code != 200 {
		t.Errorf("after an error: %d", code)
	}
}

// Programs that begin have copies of the sockets of render for a moment. A port that moves meanwhile is not lost.
func TestMoveDuringFork(t *testing.T) {
	s := newServer(t, newEngine())
	check(t, s.Apply(Settings{Addresses: []string{"127.0.0.1:0"}}))
	_, port, _ := net.SplitHostPort(s.Addresses()[0])
	check(t, s.Apply(Settings{Addresses: []string{"127.0.0.1:" + port}}))
	ended := make(chan struct{})
	var forks sync.WaitGroup
	for range 4 {
		forks.Go(func() {
			for {
				select {
				case <-ended:
					return
				default:
					_ = exec.Command("true").Run()
				}
			}
		})
	}
	for i := range 50 {
		check(t, s.Apply(Settings{Addresses: []string{[]string{"0.0.0.0:", "127.0.0.1:"}[i%2] + port}, Insecure: true}))
		if code := statusCode(t, "127.0.0.1:"+port); code != 200 {
			t.Fatalf("after %d moves: %d", i, code)
		}
	}
	close(ended)
	forks.Wait()
}

// Forms of the path of a socket are one socket, which is made again where somebody has removed it.
func TestFormsOfSocket(t *testing.T) {
	dir := t.TempDir()
	check(t, os.Mkdir(filepath.Join(dir, "run"), 0o700))
	check(t, os.Symlink("run", filepath.Join(dir, "link")))
	path := filepath.Join(dir, "run", "s")
	s := newServer(t, newEngine())
	info := func() fs.FileInfo {
		info, err := os.Lstat(path)
		check(t, err)
		return info
	}
	check(t, s.Apply(Settings{Addresses: []string{"unix://" + path}, Mode: 0o600}))
	made := info()
	for _, form := range []string{dir + "/run//s", dir + "/run/../run/s", dir + "/link/s"} {
		check(t, s.Apply(Settings{Addresses: []string{"unix://" + form}, Mode: 0o600}))
		if !os.SameFile(info(), made) {
			t.Errorf("%s: it is another socket", form)
		}
	}
	settings := Settings{Addresses: []string{"unix://" + path}, Mode: 0o600}
	check(t, s.Apply(settings))
	check(t, os.Remove(path))
	check(t, s.Apply(settings))
	if code, _, _ := get(t, socketClient(path), "http://x/api/v1/status"); code != 200 {
		t.Errorf("after its file was removed: %d", code)
	}
	await(t, func() error { // the end of the previous one leaves its file
		if len(s.serving) != 1 || !s.serving["unix://"+path].exists() {
			return fmt.Errorf("it serves %v", s.serving)
		}
		return nil
	})
}

// Where an address fails, the others stay as they were, also one whose port was given up for it, and what is stricter applies at once.
func TestStricter(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	check(t, err)
	defer taken.Close()
	dir := t.TempDir()
	token, socket := filepath.Join(dir, "token"), filepath.Join(dir, "s")
	check(t, os.WriteFile(token, []byte("a token of some length"), 0o600))
	s := newServer(t, newEngine())
	check(t, s.Apply(Settings{Addresses: []string{"127.0.0.1:0"}}))
	_, port, _ := net.SplitHostPort(s.Addresses()[0])
	local := "127.0.0.1:" + port
	old := Settings{Addresses: []string{local, "unix://" + socket}, Hosts: []string{"a", "b"}, Mode: 0o660}
	check(t, s.Apply(old))
	mode := func(want fs.FileMode) {
		t.Helper()
		if info, err := os.Stat(socket); err != nil || info.Mode().Perm() != want {
			t.Errorf("the mode of the socket: %v, %v", info, err)
		}
	}
	fails := Settings{Addresses: []string{":" + port, taken.Addr().String(), "unix://" + socket}, Insecure: true, Hosts: []string{"b", "c"}, Mode: 0o606, TokenFile: token}
	if err := s.Apply(fails); err == nil || !strings.Contains(err.Error(), taken.Addr().String()+": another program") {
		t.Errorf("a port that is taken: %v", err)
	}
	with := []string{"Authorization", "Bearer a token of some length"}
	for _, tt := range []struct {
		header []string
		want   int
	}{
		{nil, 401}, {with, 200}, {append([]string{"Host", "a"}, with...), 421}, {append([]string{"Host", "b"}, with...), 200}, {append([]string{"Host", "c"}, with...), 421},
	} {
		if code := statusCode(t, local, tt.header...); code != tt.want {
			t.Errorf("%v: %d, want %d", tt.header, code, tt.want)
		}
	}
	mode(0o600)
	if got := s.Addresses(); len(got) != 2 || got[0] != local {
		t.Errorf("it listens at %v", got)
	}

	// The settings of before are in effect again when somebody wants them, and the token stays where new settings without it fail.
	check(t, s.Apply(old))
	if code := statusCode(t, local, "Host", "a"); code != 200 {
		t.Errorf("with the first settings again: %d", code)
	}
	mode(0o660)
	old.TokenFile = token
	check(t, s.Apply(old))
	fails.TokenFile = ""
	if err := s.Apply(fails); err == nil {
		t.Error("the port is still taken")
	}
	if code := statusCode(t, local); code != 401 {
		t.Errorf("without a token: %d", code)
	}
	check(t, taken.Close())
	check(t, s.Apply(fails))
	if code := statusCode(t, local, "Host", "c"); code != 200 {
		t.Errorf("when the port is free: %d", code)
	}
}

// Load balancers that name no host reach the probes; what looks like an IP address is one.
func TestHostHeader(t *testing.T) {
	s := newServer(t, newEngine(), Route{Path: "/healthz", Open: true, Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "fine") })})
	serve(t, s, Settings{})
	for request, want := range map[string]string{
		"GET /healthz HTTP/1.0\r\n\r\n":                                         "200",
		"OPTIONS /healthz HTTP/1.0\r\n\r\n":                                     "405",
		"GET /api/v1/status HTTP/1.0\r\n\r\n":                                   "421",
		"GET /healthz?verbose HTTP/1.0\r\n\r\n":                                 "421",
		"GET /healthz HTTP/1.1\r\nHost:\r\nConnection: close\r\n\r\n":           "200",
		"GET /healthz HTTP/1.1\r\nConnection: close\r\n\r\n":                    "400",
		"GET /healthz HTTP/1.0\r\nHost: evil.example\r\n\r\n":                   "421",
		"GET /api/v1/status HTTP/1.0\r\nHost: [fe80::1%eth0]:1\r\n\r\n":         "200",
		"GET /api/v1/status HTTP/1.0\r\nHost: [fe80::1%25evil.example]\r\n\r\n": "200",
		"GET /api/v1/status HTTP/1.0\r\nHost: [::1\r\n\r\n":                     "4",
		"GET /api/v1/status HTTP/1.0\r\nHost: evil%eth0\r\n\r\n":                "4",
	} {
		conn, err := net.Dial("tcp", s.Addresses()[0])
		check(t, err)
		check(t, conn.SetDeadline(time.Now().Add(20*time.Second)))
		_, err = io.WriteString(conn, request)
		check(t, err)
		answer, err := io.ReadAll(conn)
		if err != nil || !strings.Contains(string(answer[:min(len(answer), 12)]), " "+want) {
			t.Errorf("%q: %.200q, %v", request, answer, err)
		}
		_ = conn.Close()
	}
}

// A token that others can read or guess is accepted with a warning.
func TestWeakToken(t *testing.T) {
	path := filepath.Join(t.TempDir(), "token")
	for _, tt := range []struct {
		text string
		mode fs.FileMode
		want []string
	}{
		{"a token of some length", 0o640, nil}, {"short", 0o600, []string{"shorter than 16 bytes"}}, {"short", 0o644, []string{"all users", "shorter"}},
	} {
		check(t, os.WriteFile(path, []byte(tt.text), 0o600))
		check(t, os.Chmod(path, tt.mode))
		var log bytes.Buffer
		_, err := newRules(Settings{TokenFile: path}, slog.New(slog.NewTextHandler(&log, nil)))
		check(t, err)
		if n := strings.Count(log.String(), "\n"); n != len(tt.want) {
			t.Errorf("%+v: %s", tt, &log)
		}
		for _, want := range tt.want {
			if !strings.Contains(log.String(), want) || strings.Contains(log.String(), tt.text+" ") {
				t.Errorf("%+v: %s", tt, &log)
			}
		}
	}
}

// An answer of a shared route is made once for all, each form of it; clients that do not read it keep nobody else from it.
func TestSharedRoute(t *testing.T) {
	var made atomic.Int32
	text := strings.Repeat("metric 1\n", 1<<20)
	s := newServer(t, newEngine(), Route{Path: "/metrics", Shared: true, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		made.Add(1)
		w.Header().Set("Content-Type", "text/"+r.Header.Get("Accept"))
		fmt.Fprint(w, text)
	})})
	url := serve(t, s, Settings{})
	for range 20 { // who do not read
		conn, err := net.Dial("tcp", s.Addresses()[0])
		check(t, err)
		t.Cleanup(func() { _ = conn.Close() })
		_, err = io.WriteString(conn, "GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n")
		check(t, err)
	}
	client := &http.Client{Transport: &http.Transport{DisableCompression: true}}
	began := time.Now()
	var wg sync.WaitGroup
	for i := range 6 {
		wg.Go(func() {
			kind := []string{"a", "b"}[i%2]
			code, h, body := get(t, client, url+"/metrics?x="+fmt.Sprint(i), "Accept", kind)
			if code != 200 || h.Get("Content-Type") != "text/"+kind || body != text {
				t.Errorf("%d %s, %d bytes", code, h, len(body))
			}
		})
	}
	wg.Wait()
	// A form is made anew after a second.
	if n, seconds := made.Load(), int32(time.Since(began).Seconds()); n > 6+3*(seconds+1) {
		t.Errorf("the answer was made %d times in %d s", n, seconds)
	}
}
