package agent

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"render/watch/consultest"
	"render/watch/sourcetest"
)

// Certificates and a token that cannot be read for a moment are read by the next look.
func TestCredentialsOnceUnreadable(t *testing.T) {
	dir := t.TempDir()
	files, err := consultest.NewCertificates(dir)
	check(t, err)
	token := filepath.Join(dir, "token")
	check(t, os.WriteFile(token, []byte("one"), 0o600))
	c, err := New(consulAPI, Config{Address: "consul:8501", TokenFile: token, TLS: TLS{Enabled: true, CACert: files.CA, Cert: files.Cert, Key: files.Key}}, nil, func() {})
	check(t, err)
	defer c.Close()
	first := c.Endpoint()

	_, err = consultest.NewCertificates(dir)
	check(t, err)
	check(t, os.WriteFile(token, []byte("two, which is longer"), 0o600))
	var was syscall.Rlimit
	check(t, syscall.Getrlimit(syscall.RLIMIT_NOFILE, &was))
	check(t, syscall.Setrlimit(syscall.RLIMIT_NOFILE, &syscall.Rlimit{Cur: 3, Max: was.Max}))
	c.refreshCredentials(t.Context(), time.Now())
	during, duringToken := c.Endpoint(), c.token()
	check(t, syscall.Setrlimit(syscall.RLIMIT_NOFILE, &was))
	if during != first || duringToken != "one" {
		t.Skip("the files could be read")
	}
	c.refreshCredentials(t.Context(), time.Now())
	if c.Endpoint() == first || c.token() != "two, which is longer" {
		t.Errorf("the previous certificate or token is still in use; token %q", c.token())
	}
}

// A file that cannot be read to its end, as on a network file system that hangs, holds requests for a second once, and no longer.
func TestCredentialsHang(t *testing.T) {
	path := filepath.Join(t.TempDir(), "token")
	check(t, os.WriteFile(path, []byte("secret"), 0o600))
	sourcetest.Bubble(t, func(t *testing.T) {
		var last string // token of a request
		server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			last = r.Header.Get("X-Consul-Token")
			w.Header().Set("X-Consul-Index", "7")
			fmt.Fprint(w, "[]")
		})}
		a, err := New(consulAPI, Config{Address: "consul:8500", TokenFile: path}, overPipes(t, server), func() {})
		check(t, err)
		t.Cleanup(a.Close)
		get := func() (took time.Duration) {
			began := time.Now()
			_, err := a.Get(t.Context(), Request{Path: "/v1/kv/x"}, new([]any))
			check(t, err)
			return time.Since(began)
		}
		get()
		time.Sleep(5 * time.Second)

		a.mu.Lock()
		hanging := make(chan struct{})
		a.creds.reading, a.creds.readAt = hanging, time.Now() // one that does not end
		a.mu.Unlock()
		if took := get(); took != credentialsEvery {
			t.Errorf("a request was held for %s, want %s", took, credentialsEvery)
		}
		for range 5 {
			if took := get(); took != 0 {
				t.Errorf("a request was held for %s after that", took)
			}
		}
		time.Sleep(time.Minute)
		if took := get(); took != 0 || last != "secret" {
			t.Errorf("a request was held for %s a minute later; its token is %q", took, last)
		}

		a.mu.Lock()
		close(hanging)
		a.creds.reading = nil
		a.mu.Unlock()
		check(t, os.WriteFile(path, []byte("another"), 0o600))
		if get(); last != "another" {
			t.Errorf("the token is %q", last)
		}
	})
}

// overPipes has a server serve until the test ends, and returns what opens connections to it: pipes, which work in bubbles.
func overPipes(t *testing.T, server *http.Server) Dial {
	l := &listener{conns: make(chan net.Conn), closed: make(chan struct{})}
	var wg sync.WaitGroup
	wg.Go(func() { _ = server.Serve(l) })
	t.Cleanup(func() {
		_ = server.Close()
		wg.Wait()
	})
	return func(ctx context.Context, _, _ string) (net.Conn, error) {
		ours, theirs := net.Pipe()
		select {
		case l.conns <- theirs:
			return ours, nil
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-l.closed:
			return nil, net.ErrClosed
		}
	}
}

type listener struct {
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func (l *listener) Accept() (net.Conn, error) {
	select {
	case conn := <-l.conns:
		return conn, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *listener) Close() error {
	l.once.Do(func() { close(l.closed) })
	return nil
}

func (l *listener) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 8500} }
