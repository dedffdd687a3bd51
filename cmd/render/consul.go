package main

import (
	"errors"
	"fmt"
	"log/slog"
	"math"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"render/render"
	"render/watch"
)

// consulFlags are all that concerns Consul, and how to ask it.
func consulFlags() []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{
			Name:    "consul-addr",
			Usage:   "`ADDRESS` of Consul: host:port, http://, https:// or unix://, or several with commas between, of which one is asked (default: localhost:8500)",
			EnvVars: []string{"CONSUL_HTTP_ADDR"},
		},
		&cli.StringFlag{
			Name:    "consul-token",
			Usage:   "`TOKEN` for Consul; a file does not show it to others on this machine",
			EnvVars: []string{"CONSUL_TOKEN", "CONSUL_HTTP_TOKEN"},
		},
		&cli.StringFlag{
			Name:    "consul-token-file",
			Usage:   "`FILE` with the token for Consul; read again when it changes, and when Consul refuses the token",
			EnvVars: []string{"CONSUL_TOKEN_FILE", "CONSUL_HTTP_TOKEN_FILE"},
		},
		&cli.StringFlag{
			Name:  "consul-auth",
			Usage: "`USER[:PASSWORD]` for basic authentication (default: $CONSUL_HTTP_AUTH)",
		},
		&cli.StringFlag{
			Name:    "consul-namespace",
			Usage:   "`NAMESPACE` of queries that name none",
			EnvVars: []string{"CONSUL_NAMESPACE"},
		},
		&cli.StringFlag{
			Name:    "consul-partition",
			Usage:   "admin `PARTITION` of queries that name none",
			EnvVars: []string{"CONSUL_PARTITION"},
		},
		&cli.BoolFlag{
			Name:  "consul-ssl",
			Usage: "ask over HTTPS, also where the address does not say so; every other --consul-ssl flag turns it on, too",
		},
		&cli.BoolFlag{
			Name:  "consul-ssl-verify",
			Usage: "check Consul's certificate",
			Value: true,
		},
		&cli.StringFlag{Name: "consul-ssl-ca-cert", Usage: "`FILE` with the certificates of the authorities that Consul's certificate may be from"},
		&cli.StringFlag{Name: "consul-ssl-ca-path", Usage: "`FOLDER` of such files"},
		&cli.StringFlag{Name: "consul-ssl-cert", Usage: "`FILE` with our certificate, and our key where --consul-ssl-key is not given"},
		&cli.StringFlag{Name: "consul-ssl-key", Usage: "`FILE` with our key"},
		&cli.StringFlag{Name: "consul-ssl-server-name", Usage: "`NAME` that Consul's certificate must be for (default: the host of the address)"},
		&cli.BoolFlag{
			Name:  "consul-retry",
			Usage: "with --once: try a query again that has failed; without --once it always is",
			Value: true,
		},
		&cli.IntFlag{
			Name:  "consul-retry-attempts",
			Usage: "with --once: fail after this `NUMBER` of attempts of one query; 0 is no limit",
			Value: 12,
		},
		&cli.DurationFlag{
			Name:  "consul-retry-backoff",
			Usage: "pause after a query's first failure, doubled by each further one, as a `DURATION`",
			Value: watch.DefaultBackoff,
		},
		&cli.DurationFlag{
			Name:  "consul-retry-max-backoff",
			Usage: "the longest such pause, as a `DURATION`",
			Value: watch.DefaultMaxBackoff,
		},
		&cli.DurationFlag{Name: "consul-transport-dial-keep-alive", Usage: "`DURATION` between probes of a quiet connection", Value: 30 * time.Second},
		&cli.DurationFlag{Name: "consul-transport-dial-timeout", Usage: "`DURATION` that a connection may take to open", Value: 30 * time.Second},
		&cli.BoolFlag{Name: "consul-transport-disable-keep-alives", Usage: "open a connection for each request"},
		&cli.IntFlag{Name: "consul-transport-max-idle-conns-per-host", Usage: "`NUMBER` of connections to keep open for requests to come", DefaultText: "as --consul-max-connections"},
		&cli.DurationFlag{Name: "consul-transport-tls-handshake-timeout", Usage: "`DURATION` that a TLS handshake may take", Value: 10 * time.Second},
		&cli.IntFlag{
			Name:    "consul-max-connections",
			Usage:   "`NUMBER` of connections over plain HTTP; queries beyond it share them. A stock agent allows 200 for each client address",
			Value:   watch.DefaultMaxConnections,
			EnvVars: []string{"RENDER_CONSUL_MAX_CONNECTIONS"},
		},
		&cli.IntFlag{
			Name:    "consul-max-requests",
			Usage:   "`NUMBER` of requests a second of all queries together",
			Value:   watch.DefaultMaxRequests,
			EnvVars: []string{"RENDER_CONSUL_MAX_REQUESTS"},
		},
		&cli.DurationFlag{
			Name:  "max-stale",
			Usage: "how far behind its leader a Consul server may be to answer, as a `DURATION`; 0: only the leader answers",
			Value: watch.DefaultMaxStale,
		},
		&cli.DurationFlag{
			Name:  "block-query-wait",
			Usage: "`DURATION` that a request waits for a change; up to a quarter is taken off at random",
			Value: watch.DefaultWait,
		},
	}
}

// newConsulConfig turns flags into the settings of the Consul source.
func newConsulConfig(c *cli.Context, log *slog.Logger) (watch.ConsulConfig, error) {
	cfg := watch.ConsulConfig{
		Address:   c.String("consul-addr"),
		Token:     c.String("consul-token"),
		TokenFile: c.String("consul-token-file"),
		Namespace: c.String("consul-namespace"),
		Partition: c.String("consul-partition"),
		TLS: watch.ConsulTLS{
			SkipVerify: !c.Bool("consul-ssl-verify"),
			CACert:     c.String("consul-ssl-ca-cert"),
			CAPath:     c.String("consul-ssl-ca-path"),
			Cert:       c.String("consul-ssl-cert"),
			Key:        c.String("consul-ssl-key"),
			ServerName: c.String("consul-ssl-server-name"),
		},
		Transport: watch.ConsulTransport{
			DialKeepAlive:       c.Duration("consul-transport-dial-keep-alive"),
			DialTimeout:         c.Duration("consul-transport-dial-timeout"),
			TLSHandshakeTimeout: c.Duration("consul-transport-tls-handshake-timeout"),
			MaxIdleConnsPerHost: c.Int("consul-transport-max-idle-conns-per-host"),
			DisableKeepAlives:   c.Bool("consul-transport-disable-keep-alives"),
		},
		MaxStale:       c.Duration("max-stale"),
		Wait:           c.Duration("block-query-wait"),
		MaxConnections: c.Int("consul-max-connections"),
		MaxRequests:    c.Int("consul-max-requests"),
		Log:            log,
	}
	if cfg.MaxStale <= 0 {
		cfg.MaxStale = -1
	}
	for flag, value := range map[string]int{
		"consul-max-connections": cfg.MaxConnections, "consul-max-requests": cfg.MaxRequests, "block-query-wait": int(cfg.Wait),
	} {
		if value <= 0 {
			return cfg, fmt.Errorf("--%s must be more than 0", flag)
		}
	}
	cfg.Username, cfg.Password, _ = strings.Cut(c.String("consul-auth"), ":")
	cfg.TLS.Enabled = c.Bool("consul-ssl")
	for _, name := range []string{"verify", "ca-cert", "ca-path", "cert", "key", "server-name"} {
		cfg.TLS.Enabled = cfg.TLS.Enabled || c.IsSet("consul-ssl-"+name) && !(c.IsSet("consul-ssl") && !c.Bool("consul-ssl"))
	}
	return cfg, nil
}

// newAsking turns flags into what says how often a query is tried again.
func newAsking(c *cli.Context) (render.Asking, error) {
	a := render.Asking{
		Backoff:    c.Duration("consul-retry-backoff"),
		MaxBackoff: c.Duration("consul-retry-max-backoff"),
		Attempts:   c.Int("consul-retry-attempts"),
	}
	if a.Backoff <= 0 || a.MaxBackoff < 0 || a.Attempts < 0 {
		return a, errors.New("--consul-retry-backoff must be more than 0, and the other --consul-retry flags not less")
	}
	if a.MaxBackoff == 0 {
		a.MaxBackoff = math.MaxInt64 // no limit
	}
	if !c.Bool("consul-retry") {
		a.Attempts = 1
	}
	return a, nil
}
