package api

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"render/watch/hint"
)

const (
	pingEvery   = 15 * time.Second // between pings of a quiet HTTP/2 connection
	pingTimeout = 10 * time.Second
)

// An endpoint is one address of Vault.
type endpoint struct {
	name   string // as logs and errors show it
	base   url.URL
	client *http.Client
}

// endpoints returns one for each address. Requests go through what through makes of the connections, where that is not nil.
func (cfg Config) endpoints(through func(http.RoundTripper) http.RoundTripper) ([]*endpoint, error) {
	var all []*endpoint
	for address := range strings.SplitSeq(cfg.Address, ",") {
		e, err := cfg.endpoint(strings.TrimSpace(address), through)
		if err != nil {
			return nil, err
		}
		all = append(all, e)
	}
	return all, nil
}

func (cfg Config) endpoint(address string, through func(http.RoundTripper) http.RoundTripper) (*endpoint, error) {
	u, err := url.Parse(address)
	if err != nil || u.Scheme == "" {
		return nil, hint.With(errors.New("an address is not a URL"), "write it as https://HOST:PORT, http://HOST:PORT or unix:///PATH")
	}
	e := &endpoint{base: *u}
	transport := cfg.transport(u.Hostname())
	switch u.Scheme {
	case "http", "https":
		if u.Host == "" {
			return nil, fmt.Errorf("the address %s has no host", u.Redacted())
		}
		if e.base.Path = strings.TrimSuffix(u.Path, "/"); strings.HasSuffix(e.base.Path, "/v1") {
			return nil, hint.With(errors.New("an address ends in /v1"), "remove /v1: render adds it to each request")
		}
	case "unix":
		dialer, path := cfg.Transport.dialer(), u.Path
		transport.Proxy = nil
		transport.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
			return dialer.DialContext(ctx, "unix", path)
		}
		e.base = url.URL{Scheme: "http", Host: "localhost"}
	default:
		return nil, hint.With(fmt.Errorf("unknown protocol scheme %q", u.Scheme), "use https, http or unix")
	}
	e.base.RawQuery, e.base.Fragment, e.base.RawPath = "", "", ""
	shown := *u
	shown.RawQuery, shown.Fragment = "", ""
	e.name = shown.Redacted()
	e.client = &http.Client{Transport: transport, CheckRedirect: cfg.follow}
	if through != nil {
		e.client.Transport = through(transport)
	}
	return e, nil
}

// follow follows one redirect, which a standby or a balancer answers with, and never from https to http: the token goes along. A write
// stays a write, of which net/http would make a read.
func (cfg Config) follow(req *http.Request, via []*http.Request) (err error) {
	first := via[0]
	switch {
	case cfg.DisableRedirects, len(via) > 1, first.URL.Scheme == "https" && req.URL.Scheme != "https", req.Response.StatusCode == http.StatusSeeOther:
		return http.ErrUseLastResponse
	case req.Method == first.Method:
		return nil
	}
	req.Method, req.ContentLength, req.GetBody = first.Method, first.ContentLength, first.GetBody
	if first.GetBody != nil {
		req.Body, err = first.GetBody()
	}
	return err
}

// transport returns what connects to an address with a host.
func (cfg Config) transport(host string) *http.Transport {
	t := cfg.Transport
	return &http.Transport{
		Proxy:               cfg.proxy(),
		DialContext:         t.dialer().DialContext,
		TLSClientConfig:     cfg.TLS.config(host),
		TLSHandshakeTimeout: cmp.Or(t.TLSHandshakeTimeout, 10*time.Second),
		IdleConnTimeout:     cmp.Or(t.IdleConnTimeout, 90*time.Second),
		MaxIdleConns:        t.MaxIdleConns,
		MaxIdleConnsPerHost: cmp.Or(t.MaxIdleConnsPerHost, cfg.MaxConnections),
		DisableKeepAlives:   t.DisableKeepAlives,
		ForceAttemptHTTP2:   true,
		HTTP2:               &http.HTTP2Config{SendPingTimeout: pingEvery, PingTimeout: pingTimeout},
	}
}

// proxy returns what names the proxy of a request, if it has one.
func (cfg Config) proxy() func(*http.Request) (*url.URL, error) {
	if cfg.Proxy == "" {
		return http.ProxyFromEnvironment
	}
	u, err := url.Parse(cfg.Proxy)
	return func(*http.Request) (*url.URL, error) { return u, err }
}

func (t Transport) dialer() *net.Dialer {
	alive := cmp.Or(t.DialKeepAlive, 15*time.Second)
	d := &net.Dialer{Timeout: cmp.Or(t.DialTimeout, 10*time.Second), KeepAlive: alive}
	if alive > 0 {
		d.KeepAliveConfig = net.KeepAliveConfig{Enable: true, Idle: alive, Interval: alive, Count: 3}
	}
	return d
}

// config returns settings for a host that read the files for each handshake, so that certificates can be replaced at any time.
func (t TLS) config(host string) *tls.Config {
	c := &tls.Config{ServerName: t.ServerName, MinVersion: tls.VersionTLS12}
	if t.Cert != "" || t.Key != "" {
		c.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			pair, err := tls.LoadX509KeyPair(t.Cert, cmp.Or(t.Key, t.Cert))
			if err != nil {
				return nil, fmt.Errorf("read the client certificate: %w", err)
			}
			return &pair, nil
		}
	}
	if t.SkipVerify != nil && *t.SkipVerify {
		c.InsecureSkipVerify = true
		return c
	}
	if t.CACert == "" && t.CACertPEM == "" && t.CAPath == "" {
		return c // the system's
	}

	c.InsecureSkipVerify = true // VerifyConnection does it, with the certificates that the files hold now
	c.VerifyConnection = func(state tls.ConnectionState) error {
		roots, err := t.roots()
		if err != nil {
			return err
		}
		name := cmp.Or(t.ServerName, state.ServerName, host) // of an IP address the state has none
		opts := x509.VerifyOptions{Roots: roots, DNSName: name, Intermediates: x509.NewCertPool()}
		for _, cert := range state.PeerCertificates[1:] {
			opts.Intermediates.AddCert(cert)
		}
		_, err = state.PeerCertificates[0].Verify(opts)
		return err
	}
	return c
}

// roots reads the certificates that a server's may be signed with.
func (t TLS) roots() (*x509.CertPool, error) {
	roots := x509.NewCertPool()
	switch {
	case t.CACert != "":
		return roots, addCertificates(roots, t.CACert)
	case t.CACertPEM != "":
		if !roots.AppendCertsFromPEM([]byte(t.CACertPEM)) {
			return nil, errors.New("the CA certificates have no certificate")
		}
		return roots, nil
	}
	files, err := os.ReadDir(t.CAPath)
	if err != nil {
		return nil, fmt.Errorf("read CA certificates: %w", err)
	}
	for _, file := range files {
		if path := filepath.Join(t.CAPath, file.Name()); !isFolder(path) {
			if err := addCertificates(roots, path); err != nil {
				return nil, err
			}
		}
	}
	return roots, nil
}

func isFolder(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}

func addCertificates(roots *x509.CertPool, path string) error {
	text, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("read CA certificates: %w", err)
	}
	if !roots.AppendCertsFromPEM(text) {
		return fmt.Errorf("read CA certificates: %s has no certificate", path)
	}
	return nil
}
