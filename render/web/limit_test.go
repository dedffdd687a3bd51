package web

import (
	"bufio"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// Connections beyond the limit wait until another one ends or becomes idle. The one that has been idle longest is closed for them.
func TestLimit(t *testing.T) {
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	check(t, err)
	l := limit(inner, 2, 2)
	accepted := make(chan net.Conn, 10)
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				close(accepted)
				return
			}
			accepted <- conn
		}
	}()
	for range 5 {
		conn, err := net.Dial("tcp", inner.Addr().String())
		check(t, err)
		defer conn.Close()
	}
	first, second := <-accepted, <-accepted
	waits := func() {
		t.Helper()
		select {
		case <-accepted:
			t.Fatal("a connection beyond the limit is accepted")
		case <-time.After(50 * time.Millisecond):
		}
	}
	waits()
	check(t, first.Close())
	_ = first.Close() // a second time makes no more room
	third := <-accepted
	waits()

	noteState(second, http.StateIdle)
	fourth := <-accepted
	if _, err := second.Read(make([]byte, 1)); !errors.Is(err, net.ErrClosed) {
		t.Errorf("the idle connection stays: %v", err)
	}
	_ = second.Close() // by its server, which makes no more room
	waits()
	noteState(fourth, http.StateIdle)
	noteState(fourth, http.StateActive)
	waits()
	_ = third.Close()
	<-accepted
	check(t, l.Close())
	if _, more := <-accepted; more {
		t.Error("a connection is accepted after the end")
	}
	_ = fourth.Close()
	if l.open != 1 || len(l.byHost) != 0 {
		t.Errorf("%d connections are open, %v", l.open, l.byHost)
	}
}

// strangers is a listener whose connections come from the IP addresses that clients write first, one of each byte.
type strangers struct{ net.Listener }

type stranger struct {
	net.Conn
	from byte
}

func (l strangers) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	from := make([]byte, 1)
	if _, err := io.ReadFull(conn, from); err != nil {
		return nil, err
	}
	return &stranger{conn, from[0]}, nil
}

func (s *stranger) RemoteAddr() net.Addr {
	return &net.TCPAddr{IP: net.IPv4(192, 0, 2, s.from), Port: 1000}
}

// One IP address has a part of all connections only. What it has beyond that is closed, its idle connections first; others do not notice.
func TestLimitOfHost(t *testing.T) {
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	check(t, err)
	l := limit(strangers{inner}, 10, 3)
	accepted := make(chan *limited, 100)
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			accepted <- conn.(*limited)
		}
	}()
	t.Cleanup(func() { _ = l.Close() })
	dial := func(from byte) net.Conn {
		conn, err := net.Dial("tcp", inner.Addr().String())
		check(t, err)
		t.Cleanup(func() { _ = conn.Close() })
		_, err = conn.Write([]byte{from})
		check(t, err)
		return conn
	}
	isClosed := func(conn net.Conn) {
		t.Helper()
		check(t, conn.SetReadDeadline(time.Now().Add(20*time.Second)))
		if _, err := conn.Read(make([]byte, 1)); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("the connection is not closed: %v", err)
		}
	}
	var busy []*limited
	for range 3 {
		dial(1)
		busy = append(busy, <-accepted)
	}
	isClosed(dial(1))
	dial(2)
	if other := <-accepted; other.host != "192.0.2.2" {
		t.Errorf("accepted is %s", other.host)
	} else {
		noteState(other, http.StateIdle) // it is not closed for another address
	}
	noteState(busy[1], http.StateIdle)
	dial(1)
	<-accepted
	if _, err := busy[1].Read(make([]byte, 1)); !errors.Is(err, net.ErrClosed) {
		t.Errorf("the idle connection stays: %v", err)
	}
	if l.open != 4 || l.byHost["192.0.2.1"] != 3 || len(l.idle) != 1 {
		t.Errorf("%d connections are open, %v", l.open, l.byHost)
	}
}

func dialTLS(address string) (net.Conn, error) {
	return tls.Dial("tcp", address, &tls.Config{InsecureSkipVerify: true})
}

// However many connections do nothing, a probe has its answer: by HTTP, and by TLS.
func TestIdleConnections(t *testing.T) {
	dir := t.TempDir()
	cert, key := filepath.Join(dir, "cert"), filepath.Join(dir, "key")
	writeCertificate(t, cert, key, 1)
	for name, settings := range map[string]Settings{"plain": {}, "TLS": {Cert: cert, Key: key}} {
		t.Run(name, func(t *testing.T) {
			s := newServer(t, newEngine(), Route{Path: "/healthz", Open: true, Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "ok") })})
			s.most = 20
			serve(t, s, settings)
			dial := func() net.Conn {
				var conn net.Conn
				var err error
				if settings.Cert == "" {
					conn, err = net.Dial("tcp", s.Addresses()[0])
				} else {
					conn, err = dialTLS(s.Addresses()[0])
				}
				check(t, err)
				t.Cleanup(func() { _ = conn.Close() })
				check(t, conn.SetDeadline(time.Now().Add(20*time.Second)))
				return conn
			}
			ask := func(path string) (close bool, conn net.Conn) {
				conn = dial()
				fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: localhost\r\n\r\n", path)
				answer, err := http.ReadResponse(bufio.NewReader(conn), nil)
				check(t, err)
				_, err = io.Copy(io.Discard, answer.Body)
				check(t, err)
				if answer.StatusCode != http.StatusOK {
					t.Errorf("%s: %s", path, answer.Status)
				}
				return answer.Close, conn
			}
			var oldest net.Conn
			for i := range 3 * s.most {
				_, conn := ask("/api/v1/status")
				if i == 0 {
					oldest = conn
				}
			}
			if close, _ := ask("/healthz"); !close {
				t.Error("the connection of a probe stays open")
			}
			if _, err := oldest.Read(make([]byte, 1)); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("the connection that has been idle longest is open: %v", err)
			}
		})
	}
}

// Who is refused does not keep a connection.
func TestRefusedConnections(t *testing.T) {
	token := filepath.Join(t.TempDir(), "token")
	check(t, os.WriteFile(token, []byte("a token of some length"), 0o600))
	url := serve(t, newServer(t, newEngine()), Settings{TokenFile: token})
	for _, tt := range []struct {
		method, host, header string
		code                 int
		close                bool
	}{
		{"GET", "localhost", "Bearer no", 401, true}, {"GET", "evil.example", "Bearer a token of some length", 421, true},
		{"POST", "localhost", "Bearer a token of some length", 405, true}, {"GET", "localhost", "Bearer a token of some length", 200, false},
	} {
		r, err := http.NewRequestWithContext(t.Context(), tt.method, url+"/api/v1/status", nil)
		check(t, err)
		r.Host = tt.host
		r.Header.Set("Authorization", tt.header)
		answer, err := http.DefaultTransport.RoundTrip(r)
		check(t, err)
		check(t, answer.Body.Close())
		if answer.StatusCode != tt.code || answer.Close != tt.close {
			t.Errorf("%+v: %s, it closes: %t", tt, answer.Status, answer.Close)
		}
	}
}

// One client has a part of the streams of events only, and all ports together leave unix sockets theirs.
func TestStreams(t *testing.T) {
	var s streams
	var ends []func()
	begin := func(remote string, want bool) {
		t.Helper()
		end, ok := s.begin(remote)
		if ok != want {
			t.Errorf("a stream of %s: %t", remote, ok)
		}
		if ok {
			ends = append(ends, end)
		}
	}
	for range mostStreamsOf {
		begin("192.0.2.1:1", true)
	}
	begin("192.0.2.1:2", false)
	begin("192.0.2.2:1", true)
	for range mostStreams - mostStreamsOf - 1 {
		begin("127.0.0.1:1", true)
	}
	begin("[::1]:1", false)
	begin("192.0.2.3:1", false)
	for range mostStreams {
		begin("@", true)
	}
	begin("", false)
	ends[0]()
	begin("192.0.2.3:1", true)
	for _, end := range ends[1:] {
		end()
	}
	if len(s.count) != 0 {
		t.Errorf("left are %v", s.count)
	}
}

// A stream of events ends when its client has no right to it any longer, and HEAD holds none.
func TestStreamRights(t *testing.T) {
	dir := t.TempDir()
	first, second := filepath.Join(dir, "1"), filepath.Join(dir, "2")
	check(t, os.WriteFile(first, []byte("the first token of all"), 0o600))
	check(t, os.WriteFile(second, []byte("the second token of all"), 0o600))
	e := newEngine()
	s := newServer(t, e)
	settings := Settings{Addresses: []string{"127.0.0.1:0"}, TokenFile: first, Hosts: []string{"name.example"}}
	check(t, s.Apply(settings))
	url := "http://" + s.Addresses()[0] + "/api/v1/events"
	open := func(method, host string) *http.Response {
		r, err := http.NewRequestWithContext(t.Context(), method, url, nil)
		check(t, err)
		r.Host = host
		text, err := os.ReadFile(settings.TokenFile)
		check(t, err)
		r.Header.Set("Authorization", "bearer "+string(text))
		answer, err := http.DefaultClient.Do(r)
		check(t, err)
		t.Cleanup(func() { _ = answer.Body.Close() })
		if answer.StatusCode != 200 || !strings.HasPrefix(answer.Header.Get("Content-Type"), "text/event-stream") {
			t.Errorf("%s: %s", method, answer.Status)
		}
		return answer
	}
	ends := func(answer *http.Response) {
		t.Helper()
		ended := make(chan struct{})
		go func() { _, _ = io.Copy(io.Discard, answer.Body); close(ended) }()
		await(t, func() error {
			e.feed.Note()
			select {
			case <-ended:
				return nil
			default:
				return errors.New("the stream goes on")
			}
		})
	}
	ends(open("HEAD", "localhost"))
	old := open("GET", "localhost")
	settings.TokenFile = second
	check(t, s.Apply(settings))
	ends(old)
	old = open("GET", "name.example")
	settings.Hosts = nil
	check(t, s.Apply(settings))
	ends(old)
}
