package api

import (
	"log/slog"
	"net/http"
	"time"
)

// Config says where Vault is and how to make requests. Nothing of it has a default.
type Config struct {
	Address   string // a URL, or unix:///path, or several of them with commas between
	Namespace string
	TLS       TLS
	Transport Transport

	Timeout          time.Duration // of a request; above 0
	MaxConnections   int           // requests at a time; above 0
	RateLimit        float64       // requests a second; 0 means: no limit
	RateBurst        int           // requests at once, with RateLimit
	WrapTTL          string        // has Vault wrap what it answers to requests that may be wrapped
	Headers          http.Header   // that requests carry
	DisableRedirects bool
	Proxy            string // URL of an HTTP proxy for all requests; "" means HTTP_PROXY, HTTPS_PROXY and NO_PROXY

	Log *slog.Logger
}

// Check returns why the addresses cannot be those of Vault; nil where they can.
func (cfg Config) Check() error {
	_, err := cfg.endpoints(nil)
	return err
}

// TLS says how to speak TLS. All files are read for each connection.
type TLS struct {
	SkipVerify *bool // accept any certificate; nil means: no
	CACert     string
	CACertPEM  string // used where CACert is empty
	CAPath     string // folder of certificates, used where both are empty
	Cert       string // of the client, with its key where Key is empty
	Key        string
	ServerName string // that the certificate must be for, if it is not the host's
}

// Transport has the settings of connections. What is 0 has its default.
type Transport struct {
	DialKeepAlive       time.Duration // 15 s; below 0: no probes
	DialTimeout         time.Duration // 10 s
	TLSHandshakeTimeout time.Duration // 10 s
	IdleConnTimeout     time.Duration // 90 s
	MaxIdleConns        int           // no bound
	MaxIdleConnsPerHost int           // Config.MaxConnections
	DisableKeepAlives   bool
}
