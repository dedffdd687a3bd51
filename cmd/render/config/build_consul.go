package config

import (
	"errors"
	"math"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"

	"render/cmd/render/config/nomadblock"
	"render/render"
	"render/watch"
	"render/watch/consul"
)

// asking returns how often a query is tried again.
func (l *loader) asking() render.Asking {
	g := l.global
	a := render.Asking{
		Backoff:    g.Consul.Retry.Backoff,
		MaxBackoff: g.Consul.Retry.MaxBackoff,
		Attempts:   g.Consul.Retry.Attempts,
	}
	l.checkPositive(g.values, &g.Consul.Retry.Backoff)
	if a.MaxBackoff == 0 {
		a.MaxBackoff = math.MaxInt64 // no limit
	}
	if !g.Consul.Retry.Enabled {
		a.Attempts = 1
	}
	a.AttemptsOf = map[string]int{}
	for _, kind := range []string{watch.KindSecret, watch.KindSecrets, watch.KindSecretWrite, watch.KindPKICert} {
		a.AttemptsOf[kind] = g.Vault.Retry.Most()
	}
	a.BackoffOf = map[string]watch.Backoff{}
	for _, kind := range nomadblock.Kinds {
		a.AttemptsOf[kind], a.BackoffOf[kind] = g.Nomad.Retry.Most(), g.Nomad.Backoff()
	}
	return a
}

// consul returns the settings of the Consul source.
func (l *loader) consul() consul.Config {
	g := l.global
	cfg := consul.Config{
		Address:        g.Consul.Address,
		Token:          g.Consul.Token,
		TokenFile:      g.Consul.TokenFile,
		Namespace:      g.Consul.Namespace,
		Partition:      g.Consul.Partition,
		TLS:            g.Consul.SSL.OfAgent(g.isSet),
		Transport:      g.Consul.Transport.OfAgent(),
		MaxStale:       g.MaxStale,
		Wait:           g.BlockQueryWait,
		MaxConnections: g.Consul.MaxConnections,
		MaxRequests:    g.Consul.MaxRequests,
		AcceptFiltered: g.Consul.ACLFiltered == "accept",
	}
	if cfg.MaxStale == 0 {
		cfg.MaxStale = -1
	}
	cfg.Username, cfg.Password = authOf(g)
	if token, file := g.origin(&g.Consul.Token), g.origin(&g.Consul.TokenFile); cfg.Token != "" && cfg.TokenFile != "" && isVariable(file) && !isVariable(token) {
		l.notice(token, "%s has an effect only if the file of %s is empty", token.nameOf("consul.token"), file)
	}
	t := &g.Consul.Transport
	for _, field := range []*time.Duration{&t.DialKeepAlive, &t.DialTimeout, &t.TLSHandshakeTimeout, &t.IdleConnTimeout} {
		if key := g.key(field); *field == 0 {
			l.notice(g.origin(field), "%s has no effect: 0 means the default, %s", key, topSchema.settings[key].Default)
		}
	}
	l.checkRanges(&cfg)
	return cfg
}

// checkRanges finds what Consul or the source of its data would not take. What consul-template takes is brought into range.
func (l *loader) checkRanges(cfg *consul.Config) {
	g := l.global
	for address := range strings.SplitSeq(cfg.Address, ",") {
		address = strings.TrimSpace(address)
		if lacksPort(address) {
			l.notice(g.origin(&g.Consul.Address), "consul.address: %s has no port, so render connects to port 80; the default port of Consul is 8500", address)
		}
		if scheme, _, found := strings.Cut(address, "://"); found && !slices.Contains([]string{"http", "https", "unix"}, scheme) {
			l.wrong(g.values, &g.Consul.Address, "the scheme of %q is not http, https or unix", address)
		}
	}
	if g.isSet(&g.Consul.MaxConnections) && cfg.MaxConnections < consul.LeastConnections {
		l.wrong(g.values, &g.Consul.MaxConnections, "must be at least %d", consul.LeastConnections)
	}
	if cfg.MaxRequests <= 0 {
		l.wrong(g.values, &g.Consul.MaxRequests, "must be more than 0")
	}
	if most := &cfg.Transport.MaxConnsPerHost; *most > 0 && *most < consul.LeastConnections {
		*most = consul.LeastConnections
		field := &g.Consul.Transport.MaxConnsPerHost
		l.notice(g.origin(field), "%s: render needs at least %d connections and uses %d", g.key(field), consul.LeastConnections, consul.LeastConnections)
	}
	if wait := min(max(cfg.Wait, consul.LeastWait), consul.MostWait); cfg.Wait > 0 && wait != cfg.Wait {
		cfg.Wait = wait
		l.notice(g.origin(&g.BlockQueryWait), "block_query_wait: Consul accepts %s to %s; render uses %s", consul.LeastWait, consul.MostWait, wait)
	}
	l.checkPositive(g.values, &g.BlockQueryWait)
}

// isVariable reports whether a setting was made by a variable of the environment.
func isVariable(o origin) bool { return strings.HasPrefix(o.name, "$") }

// lacksPort reports whether an address is a host alone. With a scheme the port of that may be meant.
func lacksPort(address string) bool {
	if address == "" || strings.Contains(address, "://") || strings.Contains(address, "/") {
		return false
	}
	_, _, err := net.SplitHostPort(address)
	missing, ok := errors.AsType[*net.AddrError](err)
	return ok && missing.Err == "missing port in address"
}

// authOf returns the user and the password of basic authentication; none where it is off.
func authOf(g *globalBlock) (user, password string) {
	if g.isSet(&g.Consul.Auth.Enabled) && !g.Consul.Auth.Enabled {
		return "", ""
	}
	return g.Consul.Auth.Username, g.Consul.Auth.Password
}

// injected returns the settings that commands and templates find in their environment.
func injected(g *globalBlock) []string {
	var env []string
	add := func(name, value string) {
		if value != "" {
			env = append(env, name+"="+value)
		}
	}
	add("CONSUL_HTTP_ADDR", g.Consul.Address)
	add("CONSUL_HTTP_TOKEN", g.Consul.Token)
	add("CONSUL_HTTP_TOKEN_FILE", g.Consul.TokenFile)
	if user, password := authOf(g); user != "" || password != "" {
		add("CONSUL_HTTP_AUTH", user+":"+password)
	}
	if g.setsAny(&g.Consul.SSL) {
		add("CONSUL_HTTP_SSL", strconv.FormatBool(g.Consul.SSL.Used(g.isSet)))
		add("CONSUL_HTTP_SSL_VERIFY", strconv.FormatBool(g.Consul.SSL.Verify))
	}
	return env
}
