package api

import (
	"bytes"
	"cmp"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/time/rate"

	"render/watch/hint"
	"render/watch/vaulttest"
)

// plain is an HTTP server that answers like Vault: with what it was sent.
func plain(w http.ResponseWriter, r *http.Request) {
	headers := map[string]string{}
	for name := range r.Header {
		headers[name] = r.Header.Get(name)
	}
	_ = json.NewEncoder(w).Encode(map[string]any{"data": map[string]any{
		"path": r.URL.EscapedPath(), "query": r.URL.RawQuery, "headers": headers, "protocol": r.Proto, "method": r.Method, "host": r.Host,
	}})
}

// asking returns a client with a configuration.
func asking(t *testing.T, cfg Config) *Client {
	t.Helper()
	cfg.Timeout, cfg.MaxConnections = cmp.Or(cfg.Timeout, time.Minute), cmp.Or(cfg.MaxConnections, 64)
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	c, err := New(cfg, func() int { return 0 }, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// selfSigned makes a certificate of a server at an address, or of a client.
func selfSigned(t *testing.T, name string, at net.IP) (cert, key string) {
	t.Helper()
	template := &x509.Certificate{Subject: pkix.Name{CommonName: name}, DNSNames: []string{name}, IPAddresses: []net.IP{at}, IsCA: true, BasicConstraintsValid: true}
	return vaulttest.SelfSigned(t, template, time.Now().Add(-time.Minute), time.Hour)
}

func get(t *testing.T, c *Client, path string) (map[string]any, error) {
	t.Helper()
	got, err := c.Do(t.Context(), Request{Method: http.MethodGet, Path: path, Token: "root", Wrapped: true})
	if err != nil {
		return nil, err
	}
	return got.Body.Data, nil
}

// What a request carries.
func TestRequest(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(plain))
	defer server.Close()
	c := asking(t, Config{
		Address: server.URL + "/below/it/", Namespace: "team/a", WrapTTL: "60s", Headers: http.Header{"X-Mine": {"1"}},
	})
	got, err := get(t, c, "secret/data/a b?c%/é")
	if err != nil {
		t.Fatal(err)
	}
	if got["path"] != "/below/it/v1/secret/data/a%20b%3Fc%25/%C3%A9" || got["query"] != "" {
		t.Errorf("got %v", got)
	}
	headers := got["headers"].(map[string]any)
	for name, want := range map[string]string{"X-Vault-Request": "true", "X-Vault-Token": "root", "X-Vault-Namespace": "team/a", "X-Vault-Wrap-Ttl": "60s", "X-Mine": "1"} {
		if headers[name] != want {
			t.Errorf("%s is %v, want %q", name, headers[name], want)
		}
	}
	if _, err := c.Do(t.Context(), Request{Method: http.MethodGet, Path: "x", Token: "a\nb"}); err == nil || strings.Contains(err.Error(), "a\nb") {
		t.Errorf("a token with a line break: %v", err)
	}

	socket := filepath.Join(t.TempDir(), "s")
	listener, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	over := &http.Server{Handler: http.HandlerFunc(plain)}
	go func() { _ = over.Serve(listener) }()
	defer over.Close()
	if got, err := get(t, asking(t, Config{Address: "unix://" + socket}), "x"); err != nil || got["host"] != "localhost" {
		t.Errorf("over a socket: %v, %v", got, err)
	}
}

// The next address is asked where one cannot be reached, is sealed or is a standby; not where an answer may have done something.
func TestAddresses(t *testing.T) {
	answering := func(status int, text string) (string, *atomic.Int64) {
		n := new(atomic.Int64)
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			n.Add(1)
			if status != 200 {
				w.WriteHeader(status)
				fmt.Fprintf(w, `{"errors":[%q]}`, text)
				return
			}
			plain(w, r)
		}))
		t.Cleanup(server.Close)
		return server.URL, n
	}
	for _, test := range []struct {
		name  string
		first int // status; 0 refuses connections
		text  string
		moves bool
	}{
		{"refuses", 0, "", true},
		{"sealed", 503, "Vault is sealed", true},
		{"failing", 500, "failed", false},
		{"denies", 403, "permission denied", false},
		{"standby without an active", 500, "local node not active but active cluster node not found", true},
		{"standby that cannot redirect", 503, "no active Vault instance found", true},
		{"standby of which a balancer tells", 472, "", true},
		{"standby for performance of which a balancer tells", 473, "", true},
		{"limited", 429, "request path \"x\": rate limit quota exceeded", false},
	} {
		t.Run(test.name, func(t *testing.T) {
			first, asked := "http://127.0.0.1:1", new(atomic.Int64)
			if test.first != 0 {
				first, asked = answering(test.first, test.text)
			}
			second, answered := answering(200, "")
			var lines bytes.Buffer
			c := asking(t, Config{Address: first + ", " + second, Log: slog.New(slog.NewTextHandler(&lines, nil))})
			for range 3 {
				if _, err := get(t, c, "x"); (err == nil) != test.moves {
					t.Errorf("got %v", err)
				}
			}
			if moved := answered.Load() == 3; moved != test.moves || test.moves && asked.Load() > 1 {
				t.Errorf("the first was asked %d times, the second %d times", asked.Load(), answered.Load())
			}
			if n := strings.Count(lines.String(), "vault unavailable, trying the next address"); n != map[bool]int{true: 1}[test.moves] {
				t.Errorf("logged %d times: %s", n, lines.String())
			}
		})
	}
}

// While no address answers, the log has one round of moves; another one after an address has answered.
func TestAddressesAllAway(t *testing.T) {
	var away atomic.Bool
	serve := func() string {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if away.Load() {
				w.WriteHeader(http.StatusServiceUnavailable)
				fmt.Fprint(w, `{"errors":["Vault is sealed"]}`)
				return
			}
			plain(w, r)
		}))
		t.Cleanup(server.Close)
		return server.URL
	}
	var lines strings.Builder
	c := asking(t, Config{Address: serve() + "," + serve() + "," + serve(), Log: slog.New(slog.NewTextHandler(&lines, nil))})
	for times := 1; times <= 2; times++ {
		away.Store(true)
		for range 3 {
			if _, err := get(t, c, "x"); err == nil {
				t.Error("a sealed Vault answers")
			}
		}
		away.Store(false)
		if _, err := get(t, c, "x"); err != nil {
			t.Error(err)
		}
		if n := strings.Count(lines.String(), "trying the next address"); n != 2*times {
			t.Errorf("logged %d times, not %d: %s", n, 2*times, lines.String())
		}
	}
}

// One redirect is followed with the token, the method and the body of the request, never to a place without TLS.
func TestRedirects(t *testing.T) {
	var content string
	active := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		text, _ := io.ReadAll(r.Body)
		content = string(text)
		plain(w, r)
	}))
	defer active.Close()
	redirecting := func(status int, serve func(http.Handler) *httptest.Server) string {
		server := serve(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, active.URL+r.URL.Path, status)
		}))
		t.Cleanup(server.Close)
		return server.URL
	}
	tests := []struct {
		name string
		cfg  Config
		well bool
	}{
		{"moved", Config{Address: redirecting(301, httptest.NewServer)}, true},
		{"found", Config{Address: redirecting(302, httptest.NewServer)}, true},
		{"the result is elsewhere", Config{Address: redirecting(303, httptest.NewServer)}, false},
		{"temporary", Config{Address: redirecting(307, httptest.NewServer)}, true},
		{"permanent", Config{Address: redirecting(308, httptest.NewServer)}, true},
		{"disabled", Config{Address: redirecting(302, httptest.NewServer), DisableRedirects: true}, false},
		{"to no TLS", Config{Address: redirecting(307, httptest.NewTLSServer), TLS: TLS{SkipVerify: new(true)}}, false},
	}
	requests := []struct {
		Request
		content string
	}{
		{Request{Method: http.MethodPut, Body: map[string]string{"a": "b"}}, `{"a":"b"}`},
		{Request{Method: http.MethodPut}, ""},
		{Request{Method: http.MethodGet}, ""},
	}
	for _, test := range tests {
		for _, r := range requests {
			r.Path, r.Token = "x", "root"
			got, err := asking(t, test.cfg).Do(t.Context(), r.Request)
			if (err == nil) != test.well {
				t.Errorf("%s: %s: %v", test.name, r.Method, err)
			}
			if err != nil {
				continue
			}
			if data := got.Body.Data; data["method"] != r.Method || content != r.content || data["headers"].(map[string]any)["X-Vault-Token"] != "root" {
				t.Errorf("%s: %s: got %v with %q", test.name, r.Method, data, content)
			}
		}
	}
}

// The error of a server without TLS has a hint.
func TestNoTLS(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(plain))
	defer server.Close()
	_, err := get(t, asking(t, Config{Address: strings.Replace(server.URL, "http:", "https:", 1)}), "x")
	if hints := hint.Of(err); len(hints) != 1 || !strings.HasPrefix(hints[0], "write http:// in the address") {
		t.Errorf("%v: the hints are %q", err, hints)
	}
}

// All requests go through the proxy, except those to a socket.
func TestProxy(t *testing.T) {
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, `{"data":{"asked":%q}}`, r.URL.String())
	}))
	defer proxy.Close()
	got, err := get(t, asking(t, Config{Address: "http://vault.invalid:8200", Proxy: proxy.URL}), "x")
	if err != nil || got["asked"] != "http://vault.invalid:8200/v1/x" {
		t.Errorf("got %v, %v", got, err)
	}

	socket := filepath.Join(t.TempDir(), "s")
	listener, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	server := &httptest.Server{Listener: listener, Config: &http.Server{Handler: http.HandlerFunc(plain)}}
	server.Start()
	defer server.Close()
	if got, err := get(t, asking(t, Config{Address: "unix://" + socket, Proxy: proxy.URL}), "x"); err != nil || got["path"] != "/v1/x" {
		t.Errorf("by a socket: got %v, %v", got, err)
	}
}

// Certificates are read for each connection, so that those of the server, of the CA and of the client can be replaced.
func TestTLS(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		t.Helper()
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	pair := func(name string) (tls.Certificate, string, string) {
		t.Helper()
		cert, key := selfSigned(t, name, net.ParseIP("127.0.0.1"))
		loaded, err := tls.X509KeyPair([]byte(cert), []byte(key))
		if err != nil {
			t.Fatal(err)
		}
		return loaded, cert, key
	}

	var current atomic.Pointer[tls.Certificate]
	var client atomic.Value
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		client.Store(r.TLS.PeerCertificates[0].Subject.CommonName)
		plain(w, r)
	}))
	server.EnableHTTP2 = true
	server.TLS = &tls.Config{
		ClientAuth:     tls.RequireAnyClientCert,
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return current.Load(), nil },
	}
	server.StartTLS()
	defer server.Close()
	server.TLS.Certificates = nil

	one, oneText, _ := pair("one")
	current.Store(&one)
	ca := write("ca.pem", oneText)
	_, cert, key := pair("client one")
	both := write("client.pem", cert+key)
	c := asking(t, Config{Address: server.URL, TLS: TLS{CACert: ca, Cert: both}, Transport: Transport{DisableKeepAlives: true}})
	got, err := get(t, c, "x")
	if err != nil || got["protocol"] != "HTTP/2.0" || client.Load() != "client one" {
		t.Fatalf("got %v, %v, from %v", got, err, client.Load())
	}

	two, twoText, _ := pair("two")
	current.Store(&two)
	if _, err := get(t, c, "x"); err == nil {
		t.Fatal("a certificate that nobody has signed is accepted")
	}
	write("ca.pem", twoText)
	_, cert, key = pair("client two")
	write("client.pem", cert+key)
	if _, err := get(t, c, "x"); err != nil || client.Load() != "client two" {
		t.Errorf("after the files have changed: %v, from %v", err, client.Load())
	}

	other, otherKey := selfSigned(t, "other", net.ParseIP("127.0.0.2"))
	loaded, err := tls.X509KeyPair([]byte(other), []byte(otherKey))
	if err != nil {
		t.Fatal(err)
	}
	current.Store(&loaded)
	write("ca.pem", other)
	if _, err := get(t, c, "x"); err == nil {
		t.Error("a certificate for another address is accepted")
	}
	named := asking(t, Config{Address: server.URL, TLS: TLS{CACertPEM: other, ServerName: "other", Cert: both}})
	if _, err := get(t, named, "x"); err != nil {
		t.Errorf("with the name of the server: %v", err)
	}
}

// Limits change while requests are made.
func TestChange(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(plain))
	defer server.Close()
	c := asking(t, Config{Address: server.URL})
	if _, err := get(t, c, "x"); err != nil {
		t.Fatal(err)
	}
	c.Change(Config{Timeout: time.Nanosecond, MaxConnections: 3, RateLimit: 100, RateBurst: 7})
	if got := c.Figures()[0].Limit; got != 3 || c.limiter.Burst() != 7 || c.limiter.Limit() != 100 {
		t.Errorf("the limits are %d, %d and %g", got, c.limiter.Burst(), c.limiter.Limit())
	}
	if _, err := get(t, c, "x"); err == nil {
		t.Error("a request takes longer than it may")
	}
	c.Change(Config{Timeout: time.Minute, MaxConnections: 1})
	if _, err := get(t, c, "x"); err != nil || c.limiter.Limit() != rate.Inf {
		t.Errorf("got %v, with a limit of %g", err, c.limiter.Limit())
	}
}

// A request that is not answered ends.
func TestTimeout(t *testing.T) {
	hang := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		select {
		case <-hang:
		case <-r.Context().Done():
		}
	}))
	defer server.Close()
	defer close(hang)
	_, err := get(t, asking(t, Config{Address: server.URL, Timeout: 50 * time.Millisecond}), "x")
	if err == nil || !strings.Contains(err.Error(), "no answer within 50ms") {
		t.Errorf("got %v", err)
	}
}

// An address is a URL. No name of one has a password.
func TestCheck(t *testing.T) {
	for _, address := range []string{"127.0.0.1:8200", "ftp://x", "http://", "://"} {
		if _, err := (Config{Address: address}).endpoints(nil); err == nil || strings.Contains(err.Error(), ":8200") {
			t.Errorf("%s: got %v", address, err)
		}
	}
	if all, err := (Config{Address: "https://me:geheim@host/?a=b"}).endpoints(nil); err != nil || strings.Contains(all[0].name, "geheim") {
		t.Errorf("got %v, %v", all, err)
	}
}

// What a request hides is in no text: the longest first, as one may be a part of another, and as Go's messages quote it.
func TestRedact(t *testing.T) {
	for range 20 {
		r := Request{Token: "tok", Hidden: []string{"abc", "abcdef", `a"b\c`, "two\nlines", "x"}}
		if rand.IntN(2) == 0 {
			slices.Reverse(r.Hidden)
		}
		const text = `no abcdef, abc, tok, x nor a"b\c; not {"p": "a\"b\\c"} "two\nlines"`
		const want = `no [redacted], [redacted], [redacted], x nor [redacted]; not {"p": "[redacted]"} "[redacted]"`
		if got := r.Redact(text); got != want {
			t.Fatalf("got %s", got)
		}
	}
}
