package nomad

import (
	"cmp"
	"log/slog"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/hashicorp/consul/api"

	"render/watch"
	"render/watch/agent"
)

// DefaultMaxConnections is how many connections there are at most: two thirds of the 100 that an agent allows for each client address.
const DefaultMaxConnections = 64

// Config says where Nomad is and how to ask it. What is empty of address, token, user, namespace, region and TLS is taken from the
// environment as Nomad's own tools do (NOMAD_ADDR, NOMAD_TOKEN, NOMAD_HTTP_AUTH, NOMAD_NAMESPACE, NOMAD_REGION, NOMAD_CACERT …).
type Config struct {
	// Address is http://host:port, https://host:port, host:port or unix:///path, or several of them with commas between: one is asked,
	// and the next when that cannot be reached. The default is localhost:4646.
	Address   string
	Token     string
	TokenFile string // its contents win over Token where they are not empty; read again when it changes, and when Nomad refuses the token
	Username  string // for basic authentication
	Password  string
	Namespace string // of queries that do not name one; the default is Nomad's, "default"
	Region    string // the same; the default is the agent's own

	TLS       agent.TLS
	Transport agent.Transport

	// MaxStale is how far behind its leader a server may be to answer; 0 means agent.DefaultMaxStale, less than 0 that only the leader answers.
	MaxStale time.Duration
	// Wait is how long a request waits for a change; 0 means agent.DefaultWait. A random part of up to a quarter is taken off.
	Wait time.Duration

	// UserAgent is what requests carry in the header of that name. The default is "render".
	UserAgent string
	// Log gets what an operator should know of the connection. The default discards it.
	Log *slog.Logger
}

// agent returns the configuration as package agent takes it.
func (cfg Config) agent() agent.Config {
	return agent.Config{
		Address: cfg.Address, Token: cfg.Token, TokenFile: cfg.TokenFile, Username: cfg.Username, Password: cfg.Password, Namespace: cfg.Namespace,
		TLS: cfg.TLS, Transport: cfg.Transport, MaxStale: cfg.MaxStale, Wait: cfg.Wait, UserAgent: cfg.UserAgent, Log: cfg.Log,
	}
}

// nomadAPI is what package agent has to know of Nomad in a region.
func nomadAPI(region string) agent.API {
	return agent.API{
		Name: "nomad", Title: "Nomad", Header: "X-Nomad-", Elsewhere: watch.OptRegion, Home: region,
		Connections: DefaultMaxConnections, Environment: environment,
	}
}

// environment returns what the environment says of Nomad, and the defaults.
func environment() *api.Config {
	c := &api.Config{
		Address:   cmp.Or(os.Getenv("NOMAD_ADDR"), "127.0.0.1:4646"),
		Scheme:    "http",
		Token:     os.Getenv("NOMAD_TOKEN"),
		Namespace: os.Getenv("NOMAD_NAMESPACE"),
		TLSConfig: api.TLSConfig{
			Address:  os.Getenv("NOMAD_TLS_SERVER_NAME"),
			CAFile:   os.Getenv("NOMAD_CACERT"),
			CertFile: os.Getenv("NOMAD_CLIENT_CERT"),
			KeyFile:  cmp.Or(os.Getenv("NOMAD_CLIENT_KEY"), os.Getenv("NOMAD_CLIENT_CERT")),
		},
	}
	if c.TLSConfig.CAFile == "" {
		c.TLSConfig.CAPath = os.Getenv("NOMAD_CAPATH")
	}
	c.TLSConfig.InsecureSkipVerify, _ = strconv.ParseBool(os.Getenv("NOMAD_SKIP_VERIFY"))
	if login := os.Getenv("NOMAD_HTTP_AUTH"); login != "" {
		user, password, _ := strings.Cut(login, ":")
		c.HttpAuth = &api.HttpBasicAuth{Username: user, Password: password}
	}
	return c
}
