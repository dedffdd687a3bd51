package consul

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"render/watch"
	"render/watch/agent"
	"render/watch/pause"
	"render/watch/sourcetest"

	"render/watch/hint"
)

// What is wrong with settings is said before anything is asked.
func TestWrongSettings(t *testing.T) {
	missing := filepath.Join(t.TempDir(), "missing")
	tests := []struct {
		name string
		cfg  Config
		want string
	}{
		{"too few connections", Config{MaxConnections: 3}, "3 connections are too few; render needs at least 16"},
		{"too few connections of the transport", Config{Transport: Transport{MaxConnsPerHost: 7}}, "7 connections are too few"},
		{"less than none", Config{MaxConnections: -1}, "too few"},
		{"too few requests", Config{MaxRequests: -5}, "-5 requests a second are too few"},
		{"too short a wait", Config{Wait: time.Millisecond}, "consul does not accept a wait of 1ms"},
		{"too long a wait", Config{Wait: time.Hour}, "consul does not accept a wait of 1h0m0s"},
		{"no token file", Config{TokenFile: missing}, missing},
		{"no CA file", Config{TLS: TLS{Enabled: true, CACert: missing}}, missing},
		{"no CA folder", Config{TLS: TLS{Enabled: true, CAPath: missing}}, missing},
		{"no certificate", Config{TLS: TLS{Enabled: true, Cert: missing}}, missing},
		{"a key alone", Config{TLS: TLS{Enabled: true, Key: missing}}, "both client cert and client key"},
		{"CA that is none", Config{TLS: TLS{Enabled: true, CACertPEM: "none"}}, "CA"},
		{"a scheme that is none", Config{Address: "gopher://consul"}, "gopher"},
		{"the second address", Config{Address: "consul, gopher://consul"}, "gopher"},
		{"an empty address", Config{Address: "consul:8500,"}, "address"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			c, err := New(test.cfg)
			if err == nil {
				c.Close()
			}
			if err == nil || !strings.Contains(err.Error(), test.want) || !strings.Contains(err.Error(), "consul") {
				t.Errorf("got %v, want %q", err, test.want)
			}
		})
	}
}

// Each setting has an effect.
func TestSettings(t *testing.T) {
	one := watch.NewQuery(watch.KindService, "s0", nil)
	fetch := func(t *testing.T, f *fake, cfg Config, q watch.Query) asked {
		t.Helper()
		c, _ := f.consul(cfg)
		if _, _, err := c.Fetch(t.Context(), q, 0); err != nil {
			t.Fatal(err)
		}
		all := f.since(time.Time{})
		return all[len(all)-1]
	}
	t.Run("Address", func(t *testing.T) {
		bubble(t, func(t *testing.T, f *fake) {
			for address, host := range map[string]string{"a": "a", "a:1": "a:1", "http://a:2": "a:2", "http://a:3/prefix": "a:3", "[::1]:8500": "[::1]:8500"} {
				r := fetch(t, f, Config{Address: address}, one)
				if r.host != host || strings.HasPrefix(r.path, "/prefix") != strings.HasSuffix(address, "prefix") {
					t.Errorf("%s: asked %s for %s", address, r.host, r.path)
				}
			}
			t.Setenv("CONSUL_HTTP_ADDR", "fromenv:1")
			c, err := New(Config{})
			check(t, err)
			if got := c.agent.Endpoint().Address(); got != "fromenv:1" {
				t.Errorf("asks %s, not what the environment says", got)
			}
		})
	})
	t.Run("Token", func(t *testing.T) {
		file := filepath.Join(t.TempDir(), "token")
		check(t, os.WriteFile(file, []byte("  of-file\n"), 0o600))
		empty := filepath.Join(t.TempDir(), "empty")
		check(t, os.WriteFile(empty, []byte("\n"), 0o600))
		bubble(t, func(t *testing.T, f *fake) {
			t.Setenv("CONSUL_HTTP_TOKEN", "of-env")
			for want, cfg := range map[string]Config{
				"of-env": {}, "mine": {Token: "mine"}, "of-file": {TokenFile: file}, "mine2": {Token: "mine2", TokenFile: empty},
			} {
				if r := fetch(t, f, cfg, one); r.token != want {
					t.Errorf("token %q, want %q", r.token, want)
				}
			}
			if r := fetch(t, f, Config{Token: "mine", TokenFile: file}, one); r.token != "of-file" {
				t.Errorf("token %q", r.token)
			}
			t.Setenv("CONSUL_HTTP_TOKEN_FILE", file)
			if r := fetch(t, f, Config{}, one); r.token != "of-file" {
				t.Errorf("token %q", r.token)
			}
			if r := fetch(t, f, Config{Token: "mine"}, one); r.token != "mine" {
				t.Errorf("token %q", r.token)
			}
		})
	})
	t.Run("Namespace, Partition", func(t *testing.T) {
		bubble(t, func(t *testing.T, f *fake) {
			if r := fetch(t, f, Config{Namespace: "n", Partition: "p"}, one); r.params["ns"][0] != "n" || r.params["partition"][0] != "p" {
				t.Errorf("asked %s", r.query)
			}
			q := watch.NewQuery(watch.KindService, "s0", map[string][]string{watch.OptNamespace: {"own"}})
			if r := fetch(t, f, Config{Namespace: "n"}, q); r.params["ns"][0] != "own" {
				t.Errorf("asked %s", r.query)
			}
		})
	})
	t.Run("Username, Password", func(t *testing.T) {
		bubble(t, func(t *testing.T, f *fake) {
			f.fail(func(w http.ResponseWriter, r *http.Request) bool {
				user, password, _ := r.BasicAuth()
				if user != "u" || password != "p:w" {
					http.Error(w, "who?", http.StatusUnauthorized)
					return true
				}
				return false
			})
			fetch(t, f, Config{Username: "u", Password: "p:w"}, one)
		})
	})
	t.Run("MaxStale", func(t *testing.T) {
		bubble(t, func(t *testing.T, f *fake) {
			for stale, want := range map[time.Duration]bool{0: true, time.Hour: true, -1: false} {
				r := fetch(t, f, Config{MaxStale: stale}, one)
				if _, got := r.params["stale"]; got != want {
					t.Errorf("%s: asked %s", stale, r.query)
				}
			}
			f.headers = map[string]string{"X-Consul-LastContact": "3000"}
			for stale, want := range map[time.Duration]bool{0: false, 3 * time.Second: true, time.Second: false} {
				r := fetch(t, f, Config{MaxStale: stale}, one)
				if _, got := r.params["stale"]; got != want {
					t.Errorf("%s: asked last %s", stale, r.query)
				}
			}
		})
	})
	t.Run("MaxConnections, MaxConnsPerHost", func(t *testing.T) {
		for _, cfg := range []Config{{MaxConnections: 20}, {Transport: Transport{MaxConnsPerHost: 20}}} {
			bubble(t, func(t *testing.T, f *fake) {
				queries, _ := f.services(100)
				c, _ := f.consul(cfg)
				fl := follow(t, c, watch.SetConfig{}, queries...)
				later(10 * time.Second)
				if f.mostOpen() > 21 || f.mostOpen() < 8 || fl.answered() != 100 {
					t.Errorf("%d connections, %d answered", f.mostOpen(), fl.answered())
				}
			})
		}
	})
	t.Run("MaxRequests", func(t *testing.T) {
		bubble(t, func(t *testing.T, f *fake) {
			queries, _ := f.services(100)
			c, _ := f.consul(Config{MaxRequests: 10})
			_ = follow(t, c, watch.SetConfig{}, queries...)
			later(30 * time.Second)
			if n := busiest(f.since(time.Time{}), time.Second); n > 31 || n < 15 {
				t.Errorf("%d requests in one second", n)
			}
		})
	})
	t.Run("DisableKeepAlives", func(t *testing.T) {
		for _, disabled := range []bool{false, true} {
			bubble(t, func(t *testing.T, f *fake) {
				c, _ := f.consul(Config{Transport: Transport{DisableKeepAlives: disabled}})
				for range 10 {
					_, _, err := c.Fetch(t.Context(), one, 0)
					check(t, err)
					synctest.Wait()
				}
				if n := f.dials(); (n == 10) != disabled {
					t.Errorf("%d connections", n)
				}
			})
		}
	})
	t.Run("IdleConnTimeout", func(t *testing.T) {
		for _, timeout := range []time.Duration{0, time.Minute} {
			bubble(t, func(t *testing.T, f *fake) {
				c, _ := f.consul(Config{Transport: Transport{IdleConnTimeout: timeout}})
				for range 10 {
					_, _, err := c.Fetch(t.Context(), one, 0)
					check(t, err)
					later(6 * time.Second) // more than the default of IdleConnTimeout
				}
				if n := f.dials(); (n == 10) != (timeout == 0) {
					t.Errorf("%d connections", n)
				}
			})
		}
	})
	for name, transport := range map[string]Transport{"MaxIdleConns": {MaxIdleConns: 3}, "MaxIdleConnsPerHost": {MaxIdleConnsPerHost: 3}, "": {}} {
		t.Run("idle "+name, func(t *testing.T) {
			bubble(t, func(t *testing.T, f *fake) {
				f.answersAfter = time.Second
				c, _ := f.consul(Config{Transport: transport})
				for range 2 {
					var wg sync.WaitGroup
					for range 50 {
						wg.Go(func() {
							if _, _, err := c.Fetch(t.Context(), one, 0); err != nil {
								t.Error(err)
							}
						})
					}
					wg.Wait()
					synctest.Wait()
				}
				if n := f.dials(); (n > 90) != (name != "") {
					t.Errorf("%d connections", n)
				}
			})
		})
	}
}

// A token file that changes is read again; a token that is refused, too, and at once; one that cannot be read changes nothing.
func TestTokenFile(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, f *fake) {
		path := filepath.Join(t.TempDir(), "token")
		write := func(token string) { check(t, os.WriteFile(path, []byte(token), 0o600)) }
		write("secret-1")
		queries, paths := f.services(50)
		c, out := f.consul(Config{TokenFile: path})
		fl := follow(t, c, watch.SetConfig{}, queries...)
		later(2 * time.Second)
		last := func() string {
			all := f.since(time.Time{})
			return all[len(all)-1].token
		}
		move := func() {
			f.put(paths[0], fmt.Sprint(time.Now().Unix()%50000))
			later(time.Millisecond)
		}
		if last() != "secret-1" {
			t.Fatalf("token %q", last())
		}
		write("secret-02")
		later(2 * time.Second)
		if move(); last() != "secret-02" {
			t.Errorf("the file has changed; token %q", last())
		}
		// All fail at the same time; all are asked again at once.
		valid := "secret-003"
		f.fail(func(w http.ResponseWriter, r *http.Request) bool {
			pause.For(r.Context(), time.Millisecond) // so that they overlap
			if r.Header.Get("X-Consul-Token") == valid {
				return false
			}
			http.Error(w, "ACL not found", http.StatusForbidden)
			return true
		})
		write("secret-003")
		values := make(map[string]string)
		for _, path := range paths {
			values[path] = "4711"
		}
		later(100 * time.Millisecond) // it looks at the file again because of the refusals: by itself it has, less than a second ago
		f.cut()
		later(100 * time.Millisecond)
		f.set(values)
		later(100 * time.Millisecond)
		fl.agree(t, f, queries, paths)
		if n := fl.errors(); n != 0 {
			t.Errorf("%d errors: %v", n, fl.lastErr)
		}
		f.fail(nil)
		check(t, os.Remove(path))
		for range 100 {
			later(time.Second)
			move()
		}
		if last() != "secret-003" || out.count("consul credentials changed and are unusable") != 1 || fl.errors() != 0 {
			t.Errorf("the file is missing; token %q, logged: %s", last(), out)
		}
		write("")
		later(2 * time.Second)
		if move(); last() != "secret-003" {
			t.Errorf("the file is empty; token %q", last())
		}
		write("secret-4")
		later(2 * time.Second)
		if move(); last() != "secret-4" {
			t.Errorf("the file is back; token %q", last())
		}
		f.fail(func(w http.ResponseWriter, _ *http.Request) bool {
			http.Error(w, "ACL not found", http.StatusForbidden)
			return true
		})
		move()
		later(time.Minute)
		if err := fl.of(queries[0]).Err; !errors.Is(err, watch.ErrDenied) || !strings.Contains(hint.Text(err), "hint: check the token") {
			t.Errorf("the error is %v", err)
		}
		told := out.String()
		for _, q := range queries {
			if err := fl.lastErr[q]; err != nil {
				told += err.Error()
			}
		}
		if strings.Contains(told, "secret") {
			t.Errorf("the token is shown: %s", told)
		}
	})
}

// No error and no log line shows a password in an address.
func TestPasswordIsNotTold(t *testing.T) {
	bubble(t, func(t *testing.T, f *fake) {
		f.refuse(true)
		c, out := f.consul(Config{Address: "http://user:secret@a:8500,http://user:secret@b:8500", Token: "secret"})
		_, _, err := c.Fetch(t.Context(), web, 0)
		if _, _, again := c.Fetch(t.Context(), web, 0); err == nil || strings.Contains(fmt.Sprint(err, again, out), "secret") {
			t.Errorf("errors %v, %v; logged: %s", err, again, out)
		}
	})
}

// An authority makes certificates that are valid in bubbles, too.
type authority struct {
	t    *testing.T
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pem  []byte
}

func newAuthority(t *testing.T, name string) *authority {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	check(t, err)
	tmpl := certificate(name)
	tmpl.IsCA, tmpl.BasicConstraintsValid, tmpl.KeyUsage = true, true, x509.KeyUsageCertSign
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, &key.PublicKey, key)
	check(t, err)
	cert, err := x509.ParseCertificate(der)
	check(t, err)
	return &authority{t, cert, key, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})}
}

var serial = big.NewInt(1)

func certificate(name string) *x509.Certificate {
	serial = new(big.Int).Add(serial, big.NewInt(1))
	return &x509.Certificate{
		SerialNumber: serial,
		Subject:      pkix.Name{CommonName: name},
		NotBefore:    time.Date(1990, 1, 1, 0, 0, 0, 0, time.UTC),
		NotAfter:     time.Date(2100, 1, 1, 0, 0, 0, 0, time.UTC),
	}
}

// issue returns a certificate for a name and its key, as PEM.
func (a *authority) issue(name string) (cert, key []byte) {
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	check(a.t, err)
	tmpl := certificate(name)
	tmpl.DNSNames = []string{name}
	tmpl.KeyUsage = x509.KeyUsageDigitalSignature
	tmpl.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, a.cert, &k.PublicKey, a.key)
	check(a.t, err)
	keyDER, err := x509.MarshalPKCS8PrivateKey(k)
	check(a.t, err)
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER})
}

func (a *authority) pool() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(a.cert)
	return pool
}

// server is the configuration of a server with a certificate of the authority.
func (a *authority) server(name string, protocols ...string) *tls.Config {
	cert, err := tls.X509KeyPair(a.issue(name))
	check(a.t, err)
	return &tls.Config{Certificates: []tls.Certificate{cert}, NextProtos: protocols}
}

func write(t *testing.T, path string, text []byte) string {
	t.Helper()
	check(t, os.WriteFile(path, text, 0o600))
	return path
}

// tlsBubble is bubble with HTTPS.
func tlsBubble(t *testing.T, config *tls.Config, test func(t *testing.T, f *fake)) {
	t.Helper()
	sourcetest.Bubble(t, func(t *testing.T) {
		f := newFake(t)
		if len(config.NextProtos) == 1 && config.NextProtos[0] == "http/1.1" {
			f.server.Protocols = new(http.Protocols)
			f.server.Protocols.SetHTTP1(true)
		}
		f.start(config.Clone())
		test(t, f)
	})
}

func TestTLSSettings(t *testing.T) {
	t.Parallel()
	a, other := newAuthority(t, "a"), newAuthority(t, "other")
	dir := t.TempDir()
	file := write(t, filepath.Join(dir, "ca.pem"), a.pem)
	wrong := write(t, filepath.Join(dir, "other.pem"), other.pem)
	folder := filepath.Join(dir, "folder")
	check(t, os.Mkdir(folder, 0o700))
	write(t, filepath.Join(folder, "other.pem"), other.pem)
	write(t, filepath.Join(folder, "a.pem"), a.pem)
	cert, key := a.issue("client")
	certFile, keyFile := write(t, filepath.Join(dir, "cert.pem"), cert), write(t, filepath.Join(dir, "key.pem"), key)
	both := write(t, filepath.Join(dir, "both.pem"), append(append([]byte{}, cert...), key...))
	demanding := a.server("consul")
	demanding.ClientAuth, demanding.ClientCAs = tls.RequireAndVerifyClientCert, a.pool()
	tests := []struct {
		name   string
		server *tls.Config
		tls    TLS
		want   string // part of the error
	}{
		{"no authority", a.server("consul"), TLS{}, "certificate signed by unknown authority"},
		{"CACert", a.server("consul"), TLS{CACert: file}, ""},
		{"another CACert", a.server("consul"), TLS{CACert: wrong}, "unknown authority"},
		{"CAPath", a.server("consul"), TLS{CAPath: folder}, ""},
		{"CACertPEM", a.server("consul"), TLS{CACertPEM: string(a.pem)}, ""},
		{"CACertPEM in place of CACert", a.server("consul"), TLS{CACertPEM: string(a.pem), CACert: wrong}, ""},
		{"CACertPEM in place of CAPath", a.server("consul"), TLS{CACertPEM: string(other.pem), CAPath: folder}, "unknown authority"},
		{"SkipVerify", a.server("elsewhere"), TLS{SkipVerify: true}, ""},
		{"another name", a.server("elsewhere"), TLS{CACert: file}, "not consul"},
		{"ServerName", a.server("elsewhere"), TLS{CACert: file, ServerName: "elsewhere"}, ""},
		{"another ServerName", a.server("consul"), TLS{CACert: file, ServerName: "elsewhere"}, "not elsewhere"},
		{"no client certificate", demanding, TLS{CACert: file}, "(certificate required|EOF|established|closed)"},
		{"Cert, Key", demanding, TLS{CACert: file, Cert: certFile, Key: keyFile}, ""},
		{"both in Cert", demanding, TLS{CACert: file, Cert: both}, ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			for _, address := range []string{"consul:8501", "https://consul:8501"} {
				tlsBubble(t, test.server, func(t *testing.T, f *fake) {
					f.put("/v1/kv/x", "5")
					settings := test.tls
					settings.Enabled = true
					c, _ := f.consul(Config{Address: address, TLS: settings})
					value, _, err := c.Fetch(t.Context(), watch.NewQuery(watch.KindKV, "x", nil), 0)
					if test.want == "" && (err != nil || value != "5") || test.want != "" && (err == nil || !regexp.MustCompile(test.want).MatchString(err.Error())) {
						t.Errorf("%s: got %v, %v; want the error %q", address, value, err, test.want)
					}
				})
			}
		})
	}
}

// Many queries wait over a few connections of HTTP/2.
func TestHTTP2(t *testing.T) {
	t.Parallel()
	a := newAuthority(t, "a")
	tlsBubble(t, a.server("consul"), func(t *testing.T, f *fake) {
		queries, paths := f.services(500)
		f.far = 20 * time.Millisecond
		c, out := f.consul(Config{TLS: TLS{Enabled: true, CACertPEM: string(a.pem)}, Address: "consul:8501"})
		fl := follow(t, c, watch.SetConfig{}, queries...)
		later(3 * time.Second)
		all := f.since(time.Time{})
		if all[0].proto != 2 || all[len(all)-1].proto != 2 {
			t.Fatalf("HTTP/%d", all[0].proto)
		}
		if fl.answered() != 500 || f.mostOpen() > 12 || out.count("share a few connections of HTTP/2") != 1 {
			t.Errorf("%d answered, %d connections; logged: %s", fl.answered(), f.mostOpen(), out)
		}
		for i := range paths {
			f.put(paths[i], fmt.Sprint(i+1000))
		}
		later(time.Millisecond)
		fl.agree(t, f, queries, paths)
		if n := len(f.since(time.Time{})); n > 1600 {
			t.Errorf("%d requests; each query should wait for itself", n)
		}
		later(5 * time.Second)
		f.cut() // by a proxy, or Consul ends and is back
		f.put(paths[3], "4711")
		later(3 * time.Second)
		fl.agree(t, f, queries, paths)
		if fl.errors() != 0 || f.mostOpen() > agent.DefaultMaxConnections*5/4 {
			t.Errorf("%d errors after a cut, %d connections", fl.errors(), f.mostOpen())
		}
	})
}

// HTTPS without HTTP/2 is budgeted as plain HTTP is.
func TestHTTPSWithoutHTTP2(t *testing.T) {
	t.Parallel()
	a := newAuthority(t, "a")
	tlsBubble(t, a.server("consul", "http/1.1"), func(t *testing.T, f *fake) {
		queries, paths := f.services(300)
		f.mu.Lock()
		f.answersAfter = 5 * time.Millisecond
		f.mu.Unlock()
		c, _ := f.consul(Config{TLS: TLS{Enabled: true, CACertPEM: string(a.pem)}, Address: "consul:8501", MaxConnections: 32})
		fl := follow(t, c, watch.SetConfig{}, queries...)
		later(10 * time.Second)
		if all := f.since(time.Time{}); all[0].proto != 1 {
			t.Fatalf("HTTP/%d", all[0].proto)
		}
		for i := range paths {
			f.put(paths[i], fmt.Sprint(i+1000))
		}
		later(5 * time.Second)
		fl.agree(t, f, queries, paths)
		if f.mostOpen() > 32 {
			t.Errorf("%d connections", f.mostOpen())
		}
	})
}

// Over HTTP/2, too, a dead connection is noticed, and a server that is silent given up.
func TestHTTP2Dies(t *testing.T) {
	a := newAuthority(t, "a")
	tlsBubble(t, a.server("consul"), func(t *testing.T, f *fake) {
		queries, paths := f.services(100)
		c, _ := f.consul(Config{TLS: TLS{Enabled: true, CACertPEM: string(a.pem)}, Address: "consul:8501"})
		fl := follow(t, c, watch.SetConfig{}, queries...)
		later(3 * time.Second)
		f.die()
		f.put(paths[0], "4711")
		later(deadConnection + 5*time.Second)
		if got := fl.is(queries[0]); got != "4711" {
			t.Errorf("the change has not arrived: %s, %v", got, fl.of(queries[0]).Err)
		}
	})
}

// Certificates that are replaced while we run are used for new connections. Broken ones are not, and are logged once.
func TestCertificatesChange(t *testing.T) {
	t.Parallel()
	a, b := newAuthority(t, "a"), newAuthority(t, "b")
	config := a.server("consul", "http/1.1")
	config.ClientAuth = tls.RequireAnyClientCert
	var mu sync.Mutex
	var current *tls.Config // of the server
	var shown []string
	config.GetConfigForClient = func(*tls.ClientHelloInfo) (*tls.Config, error) {
		mu.Lock()
		defer mu.Unlock()
		return current, nil
	}
	config.VerifyConnection = func(s tls.ConnectionState) error {
		mu.Lock()
		defer mu.Unlock()
		shown = append(shown, s.PeerCertificates[0].Subject.CommonName)
		return nil
	}
	serve := func(by *authority) {
		mu.Lock()
		defer mu.Unlock()
		current = config.Clone()
		current.GetConfigForClient = nil
		current.Certificates = by.server("consul").Certificates
	}
	serve(a)
	tlsBubble(t, config, func(t *testing.T, f *fake) {
		dir := t.TempDir()
		ca, certFile, keyFile := filepath.Join(dir, "ca"), filepath.Join(dir, "cert"), filepath.Join(dir, "key")
		install := func(by *authority, name string) {
			cert, key := by.issue(name)
			write(t, ca, by.pem)
			write(t, certFile, cert)
			write(t, keyFile, key)
		}
		install(a, "client-a")
		f.put("/v1/kv/x", "5")
		c, out := f.consul(Config{Address: "consul:8501", TLS: TLS{Enabled: true, CACert: ca, Cert: certFile, Key: keyFile}})
		q := watch.NewQuery(watch.KindKV, "x", nil)
		fetch := func() error {
			later(10 * time.Second) // idle connections end
			_, _, err := c.Fetch(t.Context(), q, 0)
			return err
		}
		check(t, fetch())
		install(b, "client-b")
		serve(b)
		check(t, fetch())
		mu.Lock()
		if got := fmt.Sprint(shown); got != "[client-a client-b]" {
			t.Errorf("shown: %s", got)
		}
		mu.Unlock()
		if out.count("consul certificates changed") != 1 {
			t.Errorf("logged: %s", out)
		}
		write(t, certFile, []byte("broken"))
		for range 5 {
			check(t, fetch())
		}
		install(b, "client-b2")
		check(t, fetch())
		check(t, os.Remove(ca))
		for range 5 {
			check(t, fetch())
		}
		if n := out.count("consul credentials changed and are unusable"); n != 2 {
			t.Errorf("logged %d times for two faults: %s", n, out)
		}
		install(a, "client-c")
		serve(a)
		check(t, fetch())
		mu.Lock()
		if got := shown[len(shown)-1]; got != "client-c" {
			t.Errorf("shown in the end: %s", got)
		}
		mu.Unlock()
	})
}

// Of several addresses the first that works is asked, and stays so.
func TestAddresses(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, f *fake) {
		queries, paths := f.services(50)
		f.down["a:8500"], f.down["b:8500"] = true, true
		c, out := f.consul(Config{Address: "a:8500, b:8500, c:8500"})
		fl := follow(t, c, watch.SetConfig{}, queries...)
		later(3 * time.Second)
		host := func() string {
			all := f.since(time.Time{})
			return all[len(all)-1].host
		}
		if fl.answered() != 50 || host() != "c:8500" || f.dials() > 200 {
			t.Fatalf("%d answered, by %s, %d dials", fl.answered(), host(), f.dials())
		}
		f.mu.Lock()
		clear(f.down)
		f.mu.Unlock()
		later(10 * time.Minute)
		if host() != "c:8500" {
			t.Errorf("went on to %s", host())
		}
		// The next has other indexes: one that was got elsewhere is not waited for.
		f.mu.Lock()
		f.down["c:8500"] = true
		f.mu.Unlock()
		moved := time.Now()
		f.cut()
		f.put(paths[0], "4711")
		later(2 * time.Second)
		fl.agree(t, f, queries, paths)
		seen := make(map[string]bool)
		for _, r := range f.since(moved) {
			if r.host == "a:8500" && !seen[r.path] && r.index != "" {
				t.Errorf("%s is asked with the index %s of another address", r.path, r.index)
			}
			seen[r.path] = true
		}
		if host() != "a:8500" {
			t.Errorf("asks %s", host())
		}
		if n := out.count("trying the next address"); n != 3 {
			t.Errorf("logged %d times: %s", n, out)
		}
		if fl.failing() != 0 {
			t.Errorf("%d fail", fl.failing())
		}
	})
}

// A query that was not being asked while the address changed is asked plainly at the next.
func TestAddressesBetweenRequests(t *testing.T) {
	bubble(t, func(t *testing.T, f *fake) {
		f.put("/v1/kv/x", "5")
		c, _ := f.consul(Config{Address: "a:8500,b:8500"})
		q := watch.NewQuery(watch.KindKV, "x", nil)
		_, index, err := c.Fetch(t.Context(), q, 0)
		check(t, err)
		f.mu.Lock()
		f.down["a:8500"] = true
		f.mu.Unlock()
		f.cut()
		synctest.Wait()
		if _, _, err := c.Fetch(t.Context(), watch.NewQuery(watch.KindKV, "y", nil), 0); err == nil {
			t.Error("no error of a connection that is refused")
		}
		began := time.Now()
		if value, _, err := c.Fetch(t.Context(), q, index); value != "5" || err != nil || time.Since(began) > 0 {
			t.Errorf("got %v, %v after %s", value, err, time.Since(began))
		}
	})
}

// When no address works, attempts are few, and each query knows why.
func TestNoAddressWorks(t *testing.T) {
	t.Parallel()
	for _, n := range []int{1, 2, 200} {
		bubble(t, func(t *testing.T, f *fake) {
			queries, _ := f.services(n)
			f.refuse(true)
			c, _ := f.consul(Config{Address: "a:8500,b:8500,c:8500"})
			fl := follow(t, c, watch.SetConfig{}, queries...)
			later(time.Minute)
			if k := fl.failing(); k != n {
				t.Errorf("%d of %d know of it", k, n)
			}
			before := f.dials()
			later(time.Minute)
			if k := f.dials() - before; k > 60*5 {
				t.Errorf("%d queries: %d dials in a minute", n, k)
			}
			f.refuse(false)
			later(outageEnds)
			if fl.answered() != n || fl.failing() != 0 {
				t.Errorf("%d of %d answered, %d fail", fl.answered(), n, fl.failing())
			}
		})
	}
}

// Once with all addresses dead comes to an end: failures are counted.
func TestNoAddressWorksOnce(t *testing.T) {
	bubble(t, func(t *testing.T, f *fake) {
		f.refuse(true)
		c, _ := f.consul(Config{Address: "a:8500,b:8500"})
		fl := follow(t, c, watch.SetConfig{Once: true}, web)
		later(time.Minute)
		if st := fl.of(web); st.Failures < 12 {
			t.Errorf("%d failures in a minute: %v", st.Failures, st.Err)
		}
	})
}

// A silent address is left, too.
func TestSilentAddress(t *testing.T) {
	bubble(t, func(t *testing.T, f *fake) {
		queries, paths := f.services(50)
		c, _ := f.consul(Config{Address: "a:8500,b:8500"})
		fl := follow(t, c, watch.SetConfig{}, queries...)
		later(5 * time.Second)
		f.fail(func(_ http.ResponseWriter, r *http.Request) bool {
			if r.Host == "a:8500" {
				<-r.Context().Done()
				return true
			}
			return false
		})
		f.cut()
		f.put(paths[0], "4711")
		later(secondDeadline + agent.DefaultWait + 10*time.Second)
		fl.agree(t, f, queries, paths)
		if fl.failing() != 0 {
			t.Errorf("%d fail", fl.failing())
		}
	})
}

// Consul can be asked over a unix socket.
func TestUnixSocket(t *testing.T) {
	path := filepath.Join(t.TempDir(), "consul.sock")
	l, err := net.Listen("unix", path)
	check(t, err)
	f := newFake(t)
	f.put("/v1/kv/x", "5")
	server := &http.Server{Handler: f, ErrorLog: log.New(io.Discard, "", 0)}
	var wg sync.WaitGroup
	wg.Go(func() { _ = server.Serve(l) })
	defer wg.Wait()
	defer server.Close()
	c, err := New(Config{Address: "unix://" + path})
	check(t, err)
	defer c.Close()
	value, index, err := c.Fetch(t.Context(), watch.NewQuery(watch.KindKV, "x", nil), 0)
	if value != "5" || err != nil {
		t.Fatalf("got %v, %v", value, err)
	}
	wg.Go(func() { f.put("/v1/kv/x", "6") })
	if value, _, err := c.Fetch(t.Context(), watch.NewQuery(watch.KindKV, "x", nil), index); value != "6" || err != nil {
		t.Errorf("got %v, %v", value, err)
	}
	missing, err := New(Config{Address: "unix://" + path + ".missing"})
	check(t, err)
	if _, _, err := missing.Fetch(t.Context(), web, 0); err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("got %v", err)
	}
}
