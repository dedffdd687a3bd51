package agent

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"github.com/hashicorp/consul/api"

	"render/watch"

	"render/watch/hint"
)

// An Endpoint is one address, and what is needed to ask it.
type Endpoint struct {
	api     API
	address string // as logs and errors show it
	config  *api.Config
	latency latency

	met         atomic.Bool // it has answered
	http2       atomic.Bool
	limited     atomic.Bool  // it has refused requests because there are too many
	known       atomic.Bool  // it has answered as a server does
	answered    atomic.Int64 // when it has last answered, in nanoseconds of Unix time
	silences    atomic.Int64 // requests without an answer since then
	leaderUntil atomic.Int64 // until when reads that may be stale are made of the leader, in nanoseconds of Unix time
}

// meet notes that an answer has begun.
func (e *Endpoint) meet(resp *http.Response) {
	e.http2.Store(resp.ProtoMajor == 2)
	e.met.Store(true)
	e.answered.Store(time.Now().UnixNano())
	e.silences.Store(0)
}

// blame returns an error as one of a single query, where the endpoint has answered others as a server does. Where it has not, the
// fault may be with the address, and all queries meet it.
func (e *Endpoint) blame(err error) error {
	if e.known.Load() {
		return err
	}
	return watch.OutageError{Err: err}
}

// NotJSON returns the error of an answer that is not the JSON of the server.
func (e *Endpoint) NotJSON() error { return e.blame(e.api.errNotJSON()) }

const leaderFor = time.Minute // after a stale answer that is too old

// preferLeader has reads that may be stale made of the leader for a while: the servers behind the endpoint lag, and asking twice
// each time would cost more.
func (e *Endpoint) preferLeader() { e.leaderUntil.Store(time.Now().Add(leaderFor).UnixNano()) }

func (e *Endpoint) prefersLeader() bool { return time.Now().UnixNano() < e.leaderUntil.Load() }

// Address returns the address as logs and errors show it.
func (e *Endpoint) Address() string { return e.address }

// Local reports whether the address is on this machine.
func (e *Endpoint) Local() bool { return isLocal(e.config.Address) }

// ProtocolKnown reports whether it is known how many connections the endpoint needs: over HTTPS it may speak HTTP/2, and that shows with its first
// answer.
func (e *Endpoint) ProtocolKnown() bool { return e.config.Scheme != "https" || e.met.Load() }

// HTTP2 reports whether the last answer came over HTTP/2.
func (e *Endpoint) HTTP2() bool { return e.http2.Load() }

// Limited reports whether the endpoint has refused requests because there are too many.
func (e *Endpoint) Limited() bool { return e.limited.Load() }

// Multiplexed reports whether any number of requests can wait at a time. That is so over HTTP/2, unless a proxy there turns each
// request into a connection of its own to an agent that limits them.
func (e *Endpoint) Multiplexed() bool { return e.http2.Load() && !e.limited.Load() }

// connect prepares an endpoint that opens at most so many connections, by dial; it does not connect yet.
func (cfg Config) connect(of API, address string, dial Dial, most int) (*Endpoint, error) {
	e := &Endpoint{api: of, address: withoutPassword(address), config: of.Environment()}
	fail := func(err error) (*Endpoint, error) {
		return nil, fmt.Errorf("set up the connection to %s at %s: %w", of.Name, e.address, err)
	}
	c := e.config
	c.Transport = cfg.Transport.httpTransport(dial)
	c.Transport.DisableCompression = isLocal(address)
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
		return fail(hint.With(fmt.Errorf("unknown protocol scheme %q", scheme), "use http, https or unix"))
	}
	c.Address, c.PathPrefix, _ = strings.Cut(rest, "/")
	if c.Address == "" {
		return fail(errors.New("the address has no host"))
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
	c.HttpClient.CheckRedirect = func(*http.Request, []*http.Request) error {
		return http.ErrUseLastResponse // another host must not get the token, nor be taken for the server
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

// dialer returns what opens connections.
func (t Transport) dialer() *net.Dialer {
	d := &net.Dialer{Timeout: t.DialTimeout, KeepAlive: t.DialKeepAlive}
	if t.DialKeepAlive > 0 {
		d.KeepAliveConfig = net.KeepAliveConfig{Enable: true, Idle: t.DialKeepAlive, Interval: t.DialKeepAlive, Count: keepAliveCount}
	}
	return d
}

// A Dial opens a connection, as net.Dialer.DialContext does.
type Dial func(ctx context.Context, network, address string) (net.Conn, error)

// Dial opens a connection as the settings say, with the defaults of what they leave empty.
func (t Transport) Dial(ctx context.Context, network, address string) (net.Conn, error) {
	return t.withDefaults().dialer().DialContext(ctx, network, address)
}

func (t Transport) httpTransport(dial Dial) *http.Transport {
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
