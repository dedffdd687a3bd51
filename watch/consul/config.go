package consul

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"

	"render/watch"

	"github.com/hashicorp/consul/api"
)

// The defaults of ConsulConfig.
const (
	DefaultMaxStale       = 2 * time.Second
	DefaultWait           = time.Minute
	DefaultMaxConnections = 128 // of the 200 that an agent allows for each client address
	DefaultMaxRequests    = 2000

	defaultDialTimeout         = 30 * time.Second
	defaultDialKeepAlive       = 30 * time.Second
	defaultTLSHandshakeTimeout = 10 * time.Second
	defaultIdleConnTimeout     = 5 * time.Second

	pingEvery   = 15 * time.Second // of a quiet HTTP/2 connection, which else would not be known to be dead
	pingTimeout = 10 * time.Second
)

// ConsulConfig says where Consul is and how to ask it. What is empty of address, token, user, namespace, partition and TLS
// is taken from the environment as Consul's own tools do (CONSUL_HTTP_ADDR, CONSUL_HTTP_TOKEN, CONSUL_HTTP_TOKEN_FILE,
// CONSUL_HTTP_AUTH, CONSUL_NAMESPACE, CONSUL_PARTITION, CONSUL_HTTP_SSL, CONSUL_CACERT …).
type Config struct {
	// Address is host:port, http://host:port, https://host:port or unix:///path, or several of them with commas between: one
	// is asked, and the next when that cannot be reached. The default is localhost:8500.
	Address   string
	Token     string
	TokenFile string // its contents win over Token where they are not empty; read again when it changes, and when Consul refuses the token
	Username  string // for basic authentication
	Password  string
	Namespace string
	Partition string

	TLS       TLS
	Transport Transport

	// MaxStale is how far behind its leader a server may be to answer; 0 means DefaultMaxStale, less than 0 that only the
	// leader answers.
	MaxStale time.Duration
	// Wait is how long a request waits for a change; 0 means DefaultWait. A random part of up to a quarter is taken off, so
	// that many who began together do not ask again together.
	Wait time.Duration
	// MaxConnections bounds the connections of plain HTTP; 0 means DefaultMaxConnections. Where there are more queries they
	// share the connections. HTTP/2, which Consul speaks over HTTPS, needs a few connections only.
	MaxConnections int
	// MaxRequests bounds the requests a second; 0 means DefaultMaxRequests. Twice as many may come at once after a rest.
	MaxRequests int

	// Log gets what an operator should know of the connection. The default drops it.
	Log *slog.Logger

	dial func(ctx context.Context, network, address string) (net.Conn, error) // of tests, in place of a real network
}

// ConsulTLS says how to speak TLS. All files are read again when they change.
type TLS struct {
	Enabled    bool // whatever the address says
	SkipVerify bool // accept any certificate
	CACert     string
	CAPath     string // folder of certificates, used where CACert is empty
	CACertPEM  string // in place of both
	Cert       string // of the client, with its key where Key is empty
	Key        string
	ServerName string // that the certificate must be for, if it is not the host's
}

// ConsulTransport has the settings of connections. What is 0 has its default.
type Transport struct {
	DialKeepAlive       time.Duration // 30 s
	DialTimeout         time.Duration // 30 s
	TLSHandshakeTimeout time.Duration // 10 s
	IdleConnTimeout     time.Duration // 5 s
	MaxIdleConns        int           // no bound
	MaxIdleConnsPerHost int           // MaxConnections
	MaxConnsPerHost     int           // no bound but MaxConnections
	DisableKeepAlives   bool
}

// withDefaults returns the configuration with nothing left empty that has a default.
func (cfg Config) withDefaults() Config {
	cfg.MaxStale = cmp.Or(cfg.MaxStale, DefaultMaxStale)
	cfg.Wait = cmp.Or(cfg.Wait, DefaultWait)
	cfg.MaxConnections = cmp.Or(cfg.MaxConnections, DefaultMaxConnections)
	cfg.MaxRequests = cmp.Or(cfg.MaxRequests, DefaultMaxRequests)
	if most := cfg.Transport.MaxConnsPerHost; most > 0 {
		cfg.MaxConnections = min(cfg.MaxConnections, most)
	}
	t := &cfg.Transport
	t.DialKeepAlive = cmp.Or(t.DialKeepAlive, defaultDialKeepAlive)
	t.DialTimeout = cmp.Or(t.DialTimeout, defaultDialTimeout)
	t.TLSHandshakeTimeout = cmp.Or(t.TLSHandshakeTimeout, defaultTLSHandshakeTimeout)
	t.IdleConnTimeout = cmp.Or(t.IdleConnTimeout, defaultIdleConnTimeout)
	t.MaxIdleConnsPerHost = cmp.Or(t.MaxIdleConnsPerHost, cfg.MaxConnections)
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	env := api.DefaultConfig()
	cfg.Address = cmp.Or(cfg.Address, env.Address)
	if cfg.Token == "" && cfg.TokenFile == "" {
		cfg.Token, cfg.TokenFile = env.Token, env.TokenFile
	}
	return cfg
}

// What a ConsulConfig can say.
const (
	LeastConnections = 16 // for hints, waiting requests and first answers to get along
	LeastWait        = time.Second
	MostWait         = 10 * time.Minute // that Consul takes
)

func (cfg Config) validate() error {
	if cfg.MaxConnections < LeastConnections {
		return fmt.Errorf("%d connections are too few; %d are needed at least", cfg.MaxConnections, LeastConnections)
	}
	if cfg.MaxRequests < 1 {
		return fmt.Errorf("%d requests a second are too few", cfg.MaxRequests)
	}
	if cfg.Wait < LeastWait || cfg.Wait > MostWait {
		return fmt.Errorf("a wait of %s cannot be asked for; Consul takes from 1s to 10m", cfg.Wait)
	}
	return nil
}

// An endpoint is one address of Consul, and what is needed to ask it.
type endpoint struct {
	address     string // for people
	config      *api.Config
	met         atomic.Bool // it has answered
	multiplexed atomic.Bool // by HTTP/2
}

func (e *endpoint) meet(resp *http.Response) {
	e.multiplexed.Store(resp.ProtoMajor == 2)
	e.met.Store(true)
}

// connect prepares an endpoint; it does not connect yet.
func (cfg Config) connect(address string) (*endpoint, error) {
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
		c.Transport.MaxConnsPerHost = cfg.MaxConnections
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

// credentials are what is read from files that may change while we run.
type credentials struct {
	token     string
	tokenFile string
	tokenSeen string // signature of the file
	tlsFiles  []string
	tlsSeen   string
	looked    time.Time
}

const credentialsEvery = time.Second // between looks at the files

// newCredentials reads the token, and notes which files of an endpoint matter.
func newCredentials(cfg Config, e *endpoint) (*credentials, error) {
	c := &credentials{token: cfg.Token, tokenFile: cfg.TokenFile, looked: time.Now()}
	t := e.config.TLSConfig
	for _, path := range []string{t.CAFile, t.CAPath, t.CertFile, t.KeyFile} {
		if path != "" {
			c.tlsFiles = append(c.tlsFiles, path)
		}
	}
	c.tokenSeen, c.tlsSeen = watch.Signature(c.tokenFile), signatures(c.tlsFiles)
	return c, c.readToken()
}

func (c *credentials) readToken() error {
	if c.tokenFile == "" {
		return nil
	}
	text, err := os.ReadFile(c.tokenFile)
	if err != nil {
		return fmt.Errorf("read the token for consul: %w", err)
	}
	if token := strings.TrimSpace(string(text)); token != "" {
		c.token = token
	}
	return nil
}

// signatures is signature for several files, and for what is in folders.
func signatures(paths []string) string {
	var b strings.Builder
	for _, path := range paths {
		inside, _ := filepath.Glob(filepath.Join(path, "*"))
		for _, file := range append(inside, path) {
			fmt.Fprintf(&b, "%s %s\n", file, watch.Signature(file))
		}
	}
	return b.String()
}

// refresh reads the token again where its file has changed, or in any case with force, and reports whether it is another,
// and whether files of TLS have changed. A token that cannot be read stays as it was.
func (c *credentials) refresh(force bool) (newToken, newTLS bool, err error) {
	if !force && time.Since(c.looked) < credentialsEvery {
		return false, false, nil
	}
	c.looked = time.Now()
	token := c.token
	if seen := watch.Signature(c.tokenFile); force || seen != c.tokenSeen {
		c.tokenSeen = seen
		err = c.readToken()
	}
	seen := signatures(c.tlsFiles)
	newTLS, c.tlsSeen = seen != c.tlsSeen, seen
	return c.token != token, newTLS, err
}
