package vault

import (
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
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

	"render/watch"
	"render/watch/hint"
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

// asking returns a client with a configuration, whose environment is empty.
func asking(t *testing.T, cfg Config) *client {
	t.Helper()
	cfg.Token = "root"
	cfg, err := cfg.fill(func(string) string { return "" }, "")
	if err != nil {
		t.Fatal(err)
	}
	var held atomic.Pointer[Config]
	held.Store(&cfg)
	c, err := newClient(&held, func() int { return 0 }, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.close)
	return c
}

func get(t *testing.T, c *client, path string) (map[string]any, error) {
	t.Helper()
	got, err := c.do(t.Context(), request{method: http.MethodGet, path: path, token: "root", wrapped: true})
	if err != nil {
		return nil, err
	}
	return got.body.Data, nil
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
	if _, err := c.do(t.Context(), request{method: http.MethodGet, path: "x", token: "a\nb"}); err == nil || strings.Contains(err.Error(), "a\nb") {
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
			var lines record
			c := asking(t, Config{Address: first + ", " + second, Log: lines.log()})
			for range 3 {
				if _, err := get(t, c, "x"); (err == nil) != test.moves {
					t.Errorf("got %v", err)
				}
			}
			if moved := answered.Load() == 3; moved != test.moves || test.moves && asked.Load() > 1 {
				t.Errorf("the first was asked %d times, the second %d times", asked.Load(), answered.Load())
			}
			if n := strings.Count(lines.String(), "vault unavailable, trying the next address"); n != map[bool]int{true: 1}[test.moves] {
				t.Errorf("told %d times: %s", n, lines.String())
			}
		})
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
		request
		content string
	}{
		{request{method: http.MethodPut, body: map[string]string{"a": "b"}}, `{"a":"b"}`},
		{request{method: http.MethodPut}, ""},
		{request{method: http.MethodGet}, ""},
	}
	for _, test := range tests {
		for _, r := range requests {
			r.path, r.token = "x", "root"
			got, err := asking(t, test.cfg).do(t.Context(), r.request)
			if (err == nil) != test.well {
				t.Errorf("%s: %s: %v", test.name, r.method, err)
			}
			if err != nil {
				continue
			}
			if data := got.body.Data; data["method"] != r.method || content != r.content || data["headers"].(map[string]any)["X-Vault-Token"] != "root" {
				t.Errorf("%s: %s: got %v with %q", test.name, r.method, data, content)
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
		made := certificateFor(t, name, net.ParseIP("127.0.0.1"))
		loaded, err := tls.X509KeyPair([]byte(made.Cert), []byte(made.Key))
		if err != nil {
			t.Fatal(err)
		}
		return loaded, made.Cert, made.Key
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

	other := certificateFor(t, "other", net.ParseIP("127.0.0.2"))
	loaded, err := tls.X509KeyPair([]byte(other.Cert), []byte(other.Key))
	if err != nil {
		t.Fatal(err)
	}
	current.Store(&loaded)
	write("ca.pem", other.Cert)
	if _, err := get(t, c, "x"); err == nil {
		t.Error("a certificate for another address is accepted")
	}
	named := asking(t, Config{Address: server.URL, TLS: TLS{CACertPEM: other.Cert, ServerName: "other", Cert: both}})
	if _, err := get(t, named, "x"); err != nil {
		t.Errorf("with the name of the server: %v", err)
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

// What the environment and the configuration say together.
func TestConfig(t *testing.T) {
	home := t.TempDir()
	if err := os.WriteFile(filepath.Join(home, ".vault-token"), []byte("of-home\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name string
		cfg  Config
		env  string // NAME=VALUE, separated by blanks
		home string
		want func(c Config) any
		is   any
		err  string
	}{
		{name: "nothing", err: ErrUnconfigured.Error()},
		{name: "only a token", env: "VAULT_TOKEN=t", want: func(c Config) any { return c.Address }, is: DefaultAddress},
		{name: "address", cfg: Config{Address: "http://a"}, env: "VAULT_ADDR=http://b", want: func(c Config) any { return c.Address }, is: "http://a"},
		{name: "the agent's address wins", cfg: Config{Address: "http://a"}, env: "VAULT_AGENT_ADDR=http://b", want: func(c Config) any { return c.Address }, is: "http://b"},
		{name: "token", cfg: Config{Token: " t "}, env: "VAULT_TOKEN=u", home: home, want: func(c Config) any { return c.Token }, is: "t"},
		{name: "token of the environment", env: "VAULT_TOKEN=u", home: home, want: func(c Config) any { return c.Token }, is: "u"},
		{name: "token of home", home: home, want: func(c Config) any { return c.Token }, is: "of-home"},
		{name: "a file of the agent is all", cfg: Config{AgentTokenFile: "/x"}, env: "VAULT_TOKEN=u", home: home, want: func(c Config) any { return c.Token }, is: ""},
		{name: "timeout in seconds", cfg: Config{Token: "t"}, env: "VAULT_CLIENT_TIMEOUT=7", want: func(c Config) any { return c.Timeout }, is: 7 * time.Second},
		{name: "bad timeout", cfg: Config{Token: "t"}, env: "VAULT_CLIENT_TIMEOUT=x", err: "VAULT_CLIENT_TIMEOUT"},
		{name: "rate", cfg: Config{Token: "t"}, env: "VAULT_RATE_LIMIT=2.5:7", want: func(c Config) any { return fmt.Sprint(c.RateLimit, c.RateBurst) }, is: "2.5 7"},
		{name: "bad rate", cfg: Config{Token: "t"}, env: "VAULT_RATE_LIMIT=:7", err: "VAULT_RATE_LIMIT"},
		{name: "headers", cfg: Config{Token: "t"}, env: `VAULT_HEADERS={"x-a":"b"}`, want: func(c Config) any { return c.Headers.Get("X-A") }, is: "b"},
		{name: "reserved headers", cfg: Config{Token: "t"}, env: `VAULT_HEADERS={"x-vault-a":"b"}`, err: "reserved"},
		{name: "skip verify", cfg: Config{Token: "t"}, env: "VAULT_SKIP_VERIFY=1", want: func(c Config) any { return *c.TLS.SkipVerify }, is: true},
		{name: "no renewal", cfg: Config{Token: "t"}, env: "VAULT_RENEW_TOKEN=F", want: func(c Config) any { return *c.RenewToken }, is: false},
		{name: "unwrapping", cfg: Config{Token: "t"}, env: "VAULT_UNWRAP_TOKEN=t", want: func(c Config) any { return *c.UnwrapToken }, is: true},
		{name: "the setting wins over the variable", cfg: Config{Token: "t", UnwrapToken: new(false), TLS: TLS{SkipVerify: new(false)}}, env: "VAULT_UNWRAP_TOKEN=t VAULT_SKIP_VERIFY=t", want: func(c Config) any { return *c.UnwrapToken || *c.TLS.SkipVerify }, is: false},
		{name: "not a boolean", cfg: Config{Token: "t"}, env: "VAULT_UNWRAP_TOKEN=yes VAULT_RENEW_TOKEN=no", want: func(c Config) any { return c.UnwrapToken != nil || c.RenewToken != nil }, is: false},
		{name: "proxy", cfg: Config{Token: "t"}, env: "VAULT_HTTP_PROXY=http://a VAULT_PROXY_ADDR=http://b", want: func(c Config) any { return c.Proxy }, is: "http://b"},
		{name: "older name of the proxy", cfg: Config{Token: "t"}, env: "VAULT_HTTP_PROXY=http://a", want: func(c Config) any { return c.Proxy }, is: "http://a"},
		{name: "bad proxy", cfg: Config{Token: "t"}, env: "VAULT_PROXY_ADDR=here", err: "VAULT_PROXY_ADDR"},
		{name: "threshold", cfg: Config{Token: "t", Threshold: 1.5}, err: "threshold"},
		{name: "short leases", cfg: Config{Token: "t", LeaseDuration: time.Millisecond}, err: "lease duration"},
		{name: "no role", cfg: Config{Kubernetes: &Kubernetes{}}, err: "role"},
		{name: "no path", cfg: Config{Login: &Login{}}, err: "path"},
		{name: "polls too often", cfg: Config{Token: "t", Polls: []Poll{{Every: 1}}}, err: "every"},
	}
	for _, test := range tests {
		env := func(name string) string {
			for pair := range strings.FieldsSeq(test.env) {
				if key, value, _ := strings.Cut(pair, "="); key == name {
					return value
				}
			}
			return ""
		}
		got, err := test.cfg.fill(env, test.home)
		if test.err != "" {
			if err == nil || !strings.Contains(err.Error(), test.err) {
				t.Errorf("%s: got %v", test.name, err)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", test.name, err)
		} else if is := test.want(got); is != test.is {
			t.Errorf("%s: got %v, want %v", test.name, is, test.is)
		}
	}
	for _, address := range []string{"127.0.0.1:8200", "ftp://x", "http://", "://"} {
		if _, err := (Config{Address: address}).endpoints(nil); err == nil || strings.Contains(err.Error(), ":8200") {
			t.Errorf("%s: got %v", address, err)
		}
	}
	for _, address := range []string{"http://x/v1", "https://x:8200/vault/v1/", "http://x, http://y/v1"} {
		if err := CheckAddresses(address); err == nil || err.Error() != "an address ends in /v1" || len(hint.Of(err)) != 1 {
			t.Errorf("%s: got %v", address, err)
		}
	}
	if err := CheckAddresses("http://x/v1/vault,http://v1,unix:///run/v1"); err != nil {
		t.Error(err)
	}
	if all, err := (Config{Address: "https://me:geheim@host/?a=b"}).endpoints(nil); err != nil || strings.Contains(all[0].name, "geheim") {
		t.Errorf("got %v, %v", all, err)
	}
}

// Queries are read as they are written.
func TestQueries(t *testing.T) {
	for path, want := range map[string]string{
		" /secret//a/../b/ ": "secret secret/b", "a:b/c": "secret a:b/c", "p?list=true&a=b": "secret p?a=b&list=true", "p?": "secret p",
		"a%2541#x": "secret a%2541#x", "": "", "/": "", "%zz": "", "p?%zz": "",
	} {
		q, err := watch.NewSecret(path)
		if got := q.String(); err == nil && got != want || err != nil && want != "" {
			t.Errorf("%q: got %q, %v", path, got, err)
		}
	}
	for path, want := range map[string]bool{"..": true, "a/../b": true, " /a/.. ": true, "%2e%2e/a": true, "a/%2E%2e%2fb": true, "a..b/...": false, "%zz/..": true, "a": false} {
		if got := watch.HasParent(path); got != want {
			t.Errorf("%q: got %t", path, got)
		}
	}
	if q, err := watch.NewSecretWrite("a/../../../b", "a=b"); err != nil || q.Name != "b" { // never out of /v1
		t.Errorf("got %s, %v", q, err)
	}
	write, err := watch.NewSecretWrite("a?b", "b=geheim", " a = x=y ", "b=geheim2")
	if err != nil || write.String() != "secret-write a?b (written=a&written=b)" || fmt.Sprint(write.Pairs()) != "map[a:x=y b:geheim2]" || !write.Secret() {
		t.Errorf("got %s, %v, %v", write, write.Pairs(), err)
	}
	if _, err := watch.NewSecretWrite("a", "b=c", "geheim"); err == nil || err.Error() != "argument 2 after the path is not KEY=VALUE" {
		t.Errorf("got %v", err)
	}
	one, _ := watch.NewPKICert("pki/issue/a?x=y", []string{"common_name=a"}, "/etc/a", "Key", "Cert", "Key")
	two, _ := watch.NewPKICert("pki/issue/a", []string{"common_name=b"}, "/etc/a", "Cert", "Key")
	if one == two || one.Name != two.Name || fmt.Sprint(one.Options()[watch.OptField]) != "[Cert Key]" {
		t.Errorf("got %s and %s", one, two)
	}
}

// What a request hides is in no text: the longest first, as one may be a part of another, and as Go's messages quote it.
func TestRedact(t *testing.T) {
	for range 20 {
		r := request{token: "tok", hidden: []string{"abc", "abcdef", `a"b\c`, "two\nlines", "x"}}
		if rand.IntN(2) == 0 {
			slices.Reverse(r.hidden)
		}
		const text = `no abcdef, abc, tok, x nor a"b\c; not {"p": "a\"b\\c"} "two\nlines"`
		const want = `no [redacted], [redacted], [redacted], x nor [redacted]; not {"p": "[redacted]"} "[redacted]"`
		if got := r.redact(text); got != want {
			t.Fatalf("got %s", got)
		}
	}
}
