package config

import (
	"log/slog"
	"math"
	"reflect"
	"strings"
	"testing"
	"time"

	"render/render"
	"render/watch/consul"
)

// planOf returns what the flags come to.
func planOf(args ...string) (*Plan, error) {
	p, _, err := outcomeOf(args...)
	return p, err
}

// consulOf returns what flags set of Consul.
func consulOf(args ...string) (consul.Config, render.Asking, error) {
	p, err := planOf(append(args, "--once")...)
	if err != nil {
		return consul.Config{}, render.Asking{}, err
	}
	return p.Consul, p.Engine.Asking, nil
}

func TestConsulFlags(t *testing.T) {
	for _, name := range []string{"CONSUL_HTTP_ADDR", "CONSUL_TOKEN", "CONSUL_HTTP_TOKEN", "CONSUL_TOKEN_FILE", "CONSUL_HTTP_TOKEN_FILE", "CONSUL_NAMESPACE", "CONSUL_PARTITION"} {
		t.Setenv(name, "")
	}
	usual, usually, err := consulOf()
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		args string
		want func(*consul.Config, *render.Asking)
	}{
		{"--consul-addr a,b", func(c *consul.Config, _ *render.Asking) { c.Address = "a,b" }},
		{"--consul-token t", func(c *consul.Config, _ *render.Asking) { c.Token = "t" }},
		{"--consul-token-file f", func(c *consul.Config, _ *render.Asking) { c.TokenFile = "f" }},
		{"--consul-auth u:p:q", func(c *consul.Config, _ *render.Asking) { c.Username, c.Password = "u", "p:q" }},
		{"--consul-auth u", func(c *consul.Config, _ *render.Asking) { c.Username = "u" }},
		{"--consul-namespace n", func(c *consul.Config, _ *render.Asking) { c.Namespace = "n" }},
		{"--consul-partition p", func(c *consul.Config, _ *render.Asking) { c.Partition = "p" }},
		{"--consul-ssl", func(c *consul.Config, _ *render.Asking) { c.TLS.Enabled = true }},
		{"--consul-ssl-verify=false", func(c *consul.Config, _ *render.Asking) { c.TLS.Enabled, c.TLS.SkipVerify = true, true }},
		{"--consul-ssl-verify", func(c *consul.Config, _ *render.Asking) { c.TLS.Enabled = true }},
		{"--consul-ssl-ca-cert f", func(c *consul.Config, _ *render.Asking) { c.TLS.Enabled, c.TLS.CACert = true, "f" }},
		{"--consul-ssl-ca-path f", func(c *consul.Config, _ *render.Asking) { c.TLS.Enabled, c.TLS.CAPath = true, "f" }},
		{"--consul-ssl-cert f", func(c *consul.Config, _ *render.Asking) { c.TLS.Enabled, c.TLS.Cert = true, "f" }},
		{"--consul-ssl-key f", func(c *consul.Config, _ *render.Asking) { c.TLS.Enabled, c.TLS.Key = true, "f" }},
		{"--consul-ssl-server-name n", func(c *consul.Config, _ *render.Asking) { c.TLS.Enabled, c.TLS.ServerName = true, "n" }},
		{"--consul-ssl=false --consul-ssl-cert f", func(c *consul.Config, _ *render.Asking) { c.TLS.Cert = "f" }},
		{"--consul-retry-backoff 1s", func(_ *consul.Config, a *render.Asking) { a.Backoff = time.Second }},
		{"--consul-retry-max-backoff 1m", func(_ *consul.Config, a *render.Asking) { a.MaxBackoff = time.Minute }},
		{"--consul-retry-max-backoff 0", func(_ *consul.Config, a *render.Asking) { a.MaxBackoff = math.MaxInt64 }},
		{"--consul-retry-attempts 3", func(_ *consul.Config, a *render.Asking) { a.Attempts = 3 }},
		{"--consul-retry=false", func(_ *consul.Config, a *render.Asking) { a.Attempts = 1 }},
		{"--consul-transport-dial-timeout 1s", func(c *consul.Config, _ *render.Asking) { c.Transport.DialTimeout = time.Second }},
		{"--consul-transport-dial-keep-alive 1s", func(c *consul.Config, _ *render.Asking) { c.Transport.DialKeepAlive = time.Second }},
		{"--consul-transport-tls-handshake-timeout 1s", func(c *consul.Config, _ *render.Asking) { c.Transport.TLSHandshakeTimeout = time.Second }},
		{"--consul-transport-max-idle-conns-per-host 7", func(c *consul.Config, _ *render.Asking) { c.Transport.MaxIdleConnsPerHost = 7 }},
		{"--consul-transport-disable-keep-alives", func(c *consul.Config, _ *render.Asking) { c.Transport.DisableKeepAlives = true }},
		{"--consul-max-connections 50", func(c *consul.Config, _ *render.Asking) { c.MaxConnections = 50 }},
		{"--consul-acl-filtered accept", func(c *consul.Config, _ *render.Asking) { c.AcceptFiltered = true }},
		{"--consul-max-requests 50", func(c *consul.Config, _ *render.Asking) { c.MaxRequests = 50 }},
		{"--max-stale 5s", func(c *consul.Config, _ *render.Asking) { c.MaxStale = 5 * time.Second }},
		{"--max-stale 0", func(c *consul.Config, _ *render.Asking) { c.MaxStale = -1 }},
		{"--block-query-wait 5s", func(c *consul.Config, _ *render.Asking) { c.Wait = 5 * time.Second }},
	}
	for _, test := range tests {
		cfg, asking, err := consulOf(strings.Fields(test.args)...)
		want, wantAsking := usual, usually
		test.want(&want, &wantAsking)
		if err != nil || !reflect.DeepEqual(cfg, want) || !reflect.DeepEqual(asking, wantAsking) {
			t.Errorf("%s: got %+v and %+v, %v; want %+v and %+v", test.args, cfg, asking, err, want, wantAsking)
		}
	}
	for _, args := range []string{
		"--consul-max-connections 15", "--consul-addr a,ftp://b", "--consul-max-requests -1", "--block-query-wait 0", "--consul-retry-backoff 0",
		"--consul-retry-attempts -1", "--consul-retry-max-backoff -1s", "--max-stale 5",
	} {
		if cfg, _, err := consulOf(strings.Fields(args)...); err == nil {
			t.Errorf("%s: no error, but %+v", args, cfg)
		}
	}
}

// What flags allow the source takes, but for files that are missing.
func TestConsulFlagsOutOfRange(t *testing.T) {
	for args, want := range map[string]string{
		"--block-query-wait 1h":                        "",
		"--block-query-wait 1ms":                       "",
		"--consul-max-connections 16":                  "",
		"--consul-transport-max-conns-per-host 1":      "",
		"--consul-addr a,unix:///b,http://c,https://d": "",
		"--consul-ssl --consul-ssl-cert missing":       "open missing: no such file",
	} {
		cfg, _, err := consulOf(strings.Fields(args)...)
		if err != nil {
			t.Fatal(err)
		}
		cfg.Log = slog.New(slog.DiscardHandler)
		source, err := consul.New(cfg)
		if err == nil {
			source.Close()
		}
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: got %v, want %q", args, err, want)
		}
	}
}

// BenchmarkFlags reads a command line, and makes a plan of it: what each start of the program costs before it does anything.
func BenchmarkFlags(b *testing.B) {
	for b.Loop() {
		if _, err := planOf("--once", "--dry", "--template", "in:out"); err != nil {
			b.Fatal(err)
		}
	}
}
