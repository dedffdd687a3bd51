package agent

import (
	"cmp"
	"fmt"
	"log/slog"
	"time"

	"github.com/hashicorp/consul/api"
)

// The defaults of Config.
const (
	DefaultMaxStale       = 2 * time.Second
	DefaultWait           = time.Minute
	DefaultMaxConnections = 128 // of the 200 that an agent of Consul allows for each client address
	DefaultMaxRequests    = 2000

	defaultDialKeepAlive       = 15 * time.Second // requests may wait for minutes: so a dead connection is closed after one
	defaultDialTimeout         = 30 * time.Second
	defaultTLSHandshakeTimeout = 10 * time.Second
	defaultIdleConnTimeout     = 5 * time.Second

	keepAliveCount = 3 // probes without an answer, until a connection is closed

	pingEvery   = 15 * time.Second // between pings of a quiet HTTP/2 connection
	pingTimeout = 10 * time.Second

	defaultUserAgent = "render"
)

// Config says where a server is and how to ask it. What is empty of address, token, user, namespace, partition and TLS
// is taken from the environment as the server's own tools do (CONSUL_HTTP_ADDR, CONSUL_HTTP_TOKEN, CONSUL_CACERT, NOMAD_ADDR, NOMAD_TOKEN …).
type Config struct {
	// Address is host:port, http://host:port, https://host:port or unix:///path, or several of them with commas between: one
	// is asked, and the next when that cannot be reached. The default is localhost:8500
	// of Consul, and localhost:4646 of Nomad.
	Address   string
	Token     string
	TokenFile string // its contents win over Token where they are not empty; read again when it changes, and when the server refuses the token
	Username  string // for basic authentication
	Password  string
	Namespace string
	Partition string

	TLS       TLS
	Transport Transport

	// MaxStale is how far behind its leader a server may be to answer; 0 means DefaultMaxStale, less than 0 that only the
	// leader answers.
	MaxStale time.Duration
	// Wait is how long a request waits for a change. 0 means DefaultWait and, where many queries of Consul wait each for itself, longer,
	// so that a quiet Consul gets few requests. A random part of up to a quarter is taken off, so that many who began together do
	// not ask again together.
	Wait time.Duration
	// MaxConnections bounds the connections of plain HTTP; at least LeastConnections. 0 means API.Connections, or two thirds of
	// what the agent allows a client, where the token may read that and it is more than twice the default. Three quarters are for
	// requests that wait for a change; more queries than that share requests. HTTP/2, which Consul speaks over HTTPS, needs a few
	// connections only.
	MaxConnections int
	// AcceptFiltered uses answers that lack what the token may not read. Without it such an answer is an error. An answer that was
	// complete before, and has become smaller, is an error in both cases. The agent reports it (Reply.Filtered), and its caller, which
	// knows the answer before, decides.
	AcceptFiltered bool
	// MaxRequests bounds the requests a second; 0 means DefaultMaxRequests. Twice as many may be made at once after a pause.
	MaxRequests int

	// UserAgent is what requests carry in the header of that name. The default is "render".
	UserAgent string
	// Log gets what an operator should know of the connection. The default discards it.
	Log *slog.Logger
}

// TLS says how to speak TLS. All files are read again when they change.
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

// Transport has the settings of connections. What is 0 has its default.
type Transport struct {
	DialKeepAlive       time.Duration // 15 s; between probes of a quiet connection, which is closed after three without an answer. Below 0: no probes
	DialTimeout         time.Duration // 30 s
	TLSHandshakeTimeout time.Duration // 10 s
	IdleConnTimeout     time.Duration // 5 s
	MaxIdleConns        int           // no bound
	MaxIdleConnsPerHost int           // MaxConnections
	MaxConnsPerHost     int           // no bound but MaxConnections
	DisableKeepAlives   bool
}

// withDefaults returns the configuration with nothing left empty that has a default.
func (cfg Config) withDefaults(env *api.Config) Config {
	cfg.MaxStale = cmp.Or(cfg.MaxStale, DefaultMaxStale)
	cfg.Wait = cmp.Or(cfg.Wait, DefaultWait)
	cfg.MaxRequests = cmp.Or(cfg.MaxRequests, DefaultMaxRequests)
	if most := cfg.Transport.MaxConnsPerHost; most > 0 {
		cfg.MaxConnections = min(cmp.Or(cfg.MaxConnections, most), most)
	}
	cfg.Transport = cfg.Transport.withDefaults()
	cfg.Transport.MaxIdleConnsPerHost = cmp.Or(cfg.Transport.MaxIdleConnsPerHost, cfg.MaxConnections, mostConnections)
	cfg.UserAgent = cmp.Or(cfg.UserAgent, defaultUserAgent)
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	cfg.Address = cmp.Or(cfg.Address, env.Address)
	cfg.Namespace = cmp.Or(cfg.Namespace, env.Namespace)
	cfg.Partition = cmp.Or(cfg.Partition, env.Partition)
	if cfg.Token == "" && cfg.TokenFile == "" {
		cfg.Token, cfg.TokenFile = env.Token, env.TokenFile
	}
	return cfg
}

func (t Transport) withDefaults() Transport {
	t.DialKeepAlive = cmp.Or(t.DialKeepAlive, defaultDialKeepAlive)
	t.DialTimeout = cmp.Or(t.DialTimeout, defaultDialTimeout)
	t.TLSHandshakeTimeout = cmp.Or(t.TLSHandshakeTimeout, defaultTLSHandshakeTimeout)
	t.IdleConnTimeout = cmp.Or(t.IdleConnTimeout, defaultIdleConnTimeout)
	return t
}

// What a Config can say.
const (
	LeastConnections = 16 // for signals, waiting requests and first answers to get along
	LeastWait        = time.Second
	MostWait         = 10 * time.Minute // that servers take
)

func (cfg Config) validate(of API) error {
	if cfg.MaxConnections != 0 && cfg.MaxConnections < LeastConnections {
		return fmt.Errorf("%d connections are too few; render needs at least %d", cfg.MaxConnections, LeastConnections)
	}
	if cfg.MaxRequests < 1 {
		return fmt.Errorf("%d requests a second are too few", cfg.MaxRequests)
	}
	if cfg.Wait < LeastWait || cfg.Wait > MostWait {
		return fmt.Errorf("%s does not accept a wait of %s; it accepts 1s to 10m", of.Name, cfg.Wait)
	}
	return nil
}
