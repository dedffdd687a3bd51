package consul

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync/atomic"

	"github.com/hashicorp/consul/api"

	"render/watch"
)

// An endpoint is one address of Consul, and what is needed to ask it.
type endpoint struct {
	address string // for people
	config  *api.Config
	met     atomic.Bool // it has answered
	http2   atomic.Bool
	limited atomic.Bool // it has refused requests because there are too many
}

func (e *endpoint) meet(resp *http.Response) {
	e.http2.Store(resp.ProtoMajor == 2)
	e.met.Store(true)
}

// multiplexed reports whether any number of requests can wait at a time. That is so over HTTP/2, unless a proxy there turns each
// request into a connection of its own to an agent that limits them.
func (e *endpoint) multiplexed() bool { return e.http2.Load() && !e.limited.Load() }

// connect prepares an endpoint that opens at most so many connections; it does not connect yet.
func (cfg Config) connect(address string, most int) (*endpoint, error) {
	e := &endpoint{address: withoutPassword(address), config: api.DefaultConfig()}
	fail := func(err error) (*endpoint, error) {
		return nil, fmt.Errorf("set up the connection to consul at %s: %w", e.address, err)
	}
	c := e.config
	c.Transport = cfg.transport()
	c.Transport.DisableCompression = isLocal(address)
	c.Namespace = cmp.Or(cfg.Namespace, c.Namespace)
	c.Partition = cmp.Or(cfg.Partition, c.Partition)
	if cfg.Username != "" || cfg.Password != "" {
		c.HttpAuth = &api.HttpBasicAuth{Username: cfg.Username, Password: cfg.Password}
	}
	if cfg.TLS.Enabled {
		c.Scheme, c.TLSConfig = "https", cfg.TLS.config()
	}
	scheme, rest, found := strings.Cut(address, "://")
	if !found {
		scheme, rest = c.Scheme, address
	}
	switch scheme {
	case "http":
	case "https":
		c.Scheme = "https"
	case "unix":
		path := rest
		c.Transport.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", path)
		}
		rest = "localhost"
	default:
		return fail(fmt.Errorf("unknown protocol scheme %q; use http, https or unix", scheme))
	}
	c.Address, c.PathPrefix, _ = strings.Cut(rest, "/")
	if c.Address == "" {
		return fail(errors.New("the address names no host"))
	}
	if c.PathPrefix != "" {
		c.PathPrefix = "/" + strings.TrimSuffix(c.PathPrefix, "/")
	}
	if c.Transport.MaxConnsPerHost == 0 {
		c.Transport.MaxConnsPerHost = most
	}
	var err error
	if c.HttpClient, err = api.NewHttpClient(c.Transport, c.TLSConfig); err != nil {
		return fail(err)
	}
	return e, nil
}

func (t TLS) config() api.TLSConfig {
	c := api.TLSConfig{
		Address:            t.ServerName,
		CAFile:             t.CACert,
		CertFile:           t.Cert,
		KeyFile:            t.Key,
		CAPem:              []byte(t.CACertPEM),
		InsecureSkipVerify: t.SkipVerify,
	}
	switch {
	case t.CACertPEM != "":
		c.CAFile = ""
	case t.CACert == "":
		c.CAPath = t.CAPath
	}
	if t.Key == "" {
		c.KeyFile = t.Cert
	}
	return c
}

func (cfg Config) transport() *http.Transport {
	t := cfg.Transport
	dial := cfg.dial
	if dial == nil {
		dial = (&net.Dialer{Timeout: t.DialTimeout, KeepAlive: t.DialKeepAlive}).DialContext
	}
	return &http.Transport{
		Proxy:               http.ProxyFromEnvironment,
		DialContext:         dial,
		TLSHandshakeTimeout: t.TLSHandshakeTimeout,
		IdleConnTimeout:     t.IdleConnTimeout,
		MaxIdleConns:        t.MaxIdleConns,
		MaxIdleConnsPerHost: t.MaxIdleConnsPerHost,
		MaxConnsPerHost:     t.MaxConnsPerHost,
		DisableKeepAlives:   t.DisableKeepAlives,
		ForceAttemptHTTP2:   true,
		HTTP2:               &http.HTTP2Config{SendPingTimeout: pingEvery, PingTimeout: pingTimeout},
	}
}

// withoutPassword returns an address as logs and errors may show it, also one that is no URL. What comes after a ? may be a token.
func withoutPassword(address string) string {
	scheme, rest, found := strings.Cut(address, "://")
	if !found {
		scheme, rest = "", address
	} else {
		scheme += "://"
	}
	at := strings.LastIndex(rest, "@") + 1
	login, host := rest[:at], rest[at:]
	if user, _, found := strings.Cut(login, ":"); found {
		login = user + ":xxxxx@"
	}
	if before, _, found := strings.Cut(host, "?"); found {
		host = before + "?xxxxx"
	}
	return scheme + login + host
}

// isLocal reports whether an address is on this machine, where compression costs more than it saves.
func isLocal(address string) bool {
	if strings.HasPrefix(address, "unix://") {
		return true
	}
	if _, rest, ok := strings.Cut(address, "://"); ok {
		address = rest
	}
	host, _, _ := strings.Cut(address, "/")
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	ip := net.ParseIP(strings.Trim(host, "[]"))
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// outageOf returns the outage of a datacenter.
func (a *agent) outageOf(dc string) *outage {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.outages[dc] == nil {
		a.outages[dc] = new(outage)
	}
	return a.outages[dc]
}

// endpoint returns the one to ask now. It looks for changed credentials now and then.
func (a *agent) endpoint() *endpoint {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.refresh(false)
	return a.current
}

// asked returns the endpoint without looking at the credentials.
func (a *agent) asked() *endpoint {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.current
}

func (a *agent) token() string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.creds.token
}

// renewToken reads the token's file and reports whether there is another token now than one that was refused.
func (a *agent) renewToken(refused string) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.refresh(true)
	return a.creds.token != refused
}

// refresh takes what has changed of the credentials' files. It must be called with the mutex held.
func (a *agent) refresh(force bool) {
	newToken, newTLS, err := a.creds.refresh(force)
	if newToken {
		a.log.Info("the token for consul has changed")
	}
	if newTLS {
		var e *endpoint
		if e, err = a.cfg.connect(a.addresses[a.at], a.conns.most()); err == nil {
			a.current.config.HttpClient.CloseIdleConnections()
			a.current = e
			a.log.Info("the certificates for consul have changed")
		}
	}
	if err != nil && err.Error() != a.fault {
		a.fault = err.Error()
		a.log.Warn("cannot take the credentials for consul that have changed; those before stay in use", "err", err)
	} else if err == nil && (newToken || newTLS) {
		a.fault = ""
	}
}

// raise raises the limit of connections.
func (a *agent) raise(limit int) {
	a.conns.raise(limit)
	a.mu.Lock()
	defer a.mu.Unlock()
	e, err := a.cfg.connect(a.addresses[a.at], a.conns.most())
	if err != nil {
		return // a file of TLS is missing just now
	}
	e.met.Store(a.current.met.Load())
	a.current.config.HttpClient.CloseIdleConnections()
	a.current = e
}

// epoch returns the epoch of the address that is asked now.
func (a *agent) epoch() *epoch {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.since
}

// use notes that a query was answered in an epoch.
func (a *agent) use(e *epoch) {
	a.mu.Lock()
	defer a.mu.Unlock()
	e.used = true
}

// move goes on to the next address, because one cannot be reached.
func (a *agent) move(from *endpoint, why error) {
	if a.moveOn(from, why) {
		a.moved()
	}
}

// moveOn reports whether the indexes of the address so far are void.
func (a *agent) moveOn(from *endpoint, why error) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.addresses) == 1 || a.current != from {
		return false
	}
	next := (a.at + 1) % len(a.addresses)
	e, err := a.cfg.connect(a.addresses[next], a.conns.most())
	if err != nil {
		return false // a file of TLS is missing just now
	}

	a.log.Warn("consul cannot be reached; the next address is asked", "was", from.address, "err", why, "now", e.address)
	from.config.HttpClient.CloseIdleConnections()
	a.current, a.at = e, next
	if !a.since.used {
		return false // nobody has an index of it, or waits there; else nobody would learn that no address works
	}
	a.since.end(watch.ErrIndexVoid)
	a.since = newEpoch()
	return true
}
