package config

import (
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"render/render"
	"render/watch/consul"
)

// asking returns how often a query is tried again.
func (l *loader) asking() render.Asking {
	top := l.doc.top
	a := render.Asking{
		Backoff:    get[time.Duration](top, "consul.retry.backoff"),
		MaxBackoff: get[time.Duration](top, "consul.retry.max_backoff"),
		Attempts:   get[int](top, "consul.retry.attempts"),
	}
	l.checkPositive(top, "consul.retry.backoff")
	if a.MaxBackoff == 0 {
		a.MaxBackoff = math.MaxInt64 // no limit
	}
	if !get[bool](top, "consul.retry.enabled") {
		a.Attempts = 1
	}
	return a
}

// consul returns the settings of the Consul source.
func (l *loader) consul() consul.Config {
	top := l.doc.top
	cfg := consul.Config{
		Address:   get[string](top, "consul.address"),
		Token:     get[string](top, "consul.token"),
		TokenFile: get[string](top, "consul.token_file"),
		Namespace: get[string](top, "consul.namespace"),
		Partition: get[string](top, "consul.partition"),
		TLS: consul.TLS{
			Enabled:    usesTLS(top),
			SkipVerify: !get[bool](top, "consul.ssl.verify"),
			CACert:     get[string](top, "consul.ssl.ca_cert"),
			CACertPEM:  get[string](top, "consul.ssl.ca_cert_bytes"),
			CAPath:     get[string](top, "consul.ssl.ca_path"),
			Cert:       get[string](top, "consul.ssl.cert"),
			Key:        get[string](top, "consul.ssl.key"),
			ServerName: get[string](top, "consul.ssl.server_name"),
		},
		Transport: consul.Transport{
			DialKeepAlive:       get[time.Duration](top, "consul.transport.dial_keep_alive"),
			DialTimeout:         get[time.Duration](top, "consul.transport.dial_timeout"),
			TLSHandshakeTimeout: get[time.Duration](top, "consul.transport.tls_handshake_timeout"),
			IdleConnTimeout:     get[time.Duration](top, "consul.transport.idle_conn_timeout"),
			MaxIdleConns:        get[int](top, "consul.transport.max_idle_conns"),
			MaxIdleConnsPerHost: get[int](top, "consul.transport.max_idle_conns_per_host"),
			MaxConnsPerHost:     get[int](top, "consul.transport.max_conns_per_host"),
			DisableKeepAlives:   get[bool](top, "consul.transport.disable_keep_alives"),
		},
		MaxStale:       get[time.Duration](top, "max_stale"),
		Wait:           get[time.Duration](top, "block_query_wait"),
		MaxConnections: get[int](top, "consul.max_connections"),
		MaxRequests:    get[int](top, "consul.max_requests"),
		AcceptFiltered: get[string](top, "consul.acl_filtered") == "accept",
	}
	if cfg.MaxStale == 0 {
		cfg.MaxStale = -1
	}
	cfg.Username, cfg.Password = authOf(top)
	for _, key := range []string{"dial_keep_alive", "dial_timeout", "tls_handshake_timeout", "idle_conn_timeout"} {
		if key = "consul.transport." + key; get[time.Duration](top, key) == 0 {
			l.notice(top.origin(key), "%s has no effect: 0 stands for the default, which is %s", key, topSchema.settings[key].Default)
		}
	}
	l.checkRanges(&cfg)
	return cfg
}

// checkRanges finds what Consul or the source of its data would not take. What consul-template takes is brought into range.
func (l *loader) checkRanges(cfg *consul.Config) {
	top := l.doc.top
	for address := range strings.SplitSeq(cfg.Address, ",") {
		address = strings.TrimSpace(address)
		if scheme, _, found := strings.Cut(address, "://"); found && !slices.Contains([]string{"http", "https", "unix"}, scheme) {
			l.wrong(top, "consul.address", "%q begins with a scheme that is none of http, https and unix", address)
		}
	}
	if top.isSet("consul.max_connections") && cfg.MaxConnections < consul.LeastConnections {
		l.wrong(top, "consul.max_connections", "must be %d at least", consul.LeastConnections)
	}
	if cfg.MaxRequests <= 0 {
		l.wrong(top, "consul.max_requests", "must be more than 0")
	}
	if most := &cfg.Transport.MaxConnsPerHost; *most > 0 && *most < consul.LeastConnections {
		*most = consul.LeastConnections
		const key = "consul.transport.max_conns_per_host"
		l.notice(top.origin(key), "%s: render needs %d connections at least; %d is used", key, consul.LeastConnections, consul.LeastConnections)
	}
	if wait := min(max(cfg.Wait, consul.LeastWait), consul.MostWait); cfg.Wait > 0 && wait != cfg.Wait {
		cfg.Wait = wait
		l.notice(top.origin("block_query_wait"), "block_query_wait: Consul takes from %s to %s; %s is used", consul.LeastWait, consul.MostWait, wait)
	}
	l.checkPositive(top, "block_query_wait")
}

// authOf returns the user and the password of basic authentication; none where it is off.
func authOf(top *values) (user, password string) {
	if g, ok := top.find("consul.auth.enabled"); ok && !g.value.(bool) {
		return "", ""
	}
	return get[string](top, "consul.auth.username"), get[string](top, "consul.auth.password")
}

// usesTLS reports whether Consul is asked over TLS whatever its address says: any setting of TLS has that effect.
func usesTLS(top *values) bool {
	if g, ok := top.find("consul.ssl.enabled"); ok {
		return g.value.(bool)
	}
	return top.hasAny("consul.ssl")
}

// injected returns the settings that commands and templates find in their environment.
func injected(top *values) []string {
	var env []string
	add := func(name, value string) {
		if value != "" {
			env = append(env, name+"="+value)
		}
	}
	add("CONSUL_HTTP_ADDR", get[string](top, "consul.address"))
	add("CONSUL_HTTP_TOKEN", get[string](top, "consul.token"))
	add("CONSUL_HTTP_TOKEN_FILE", get[string](top, "consul.token_file"))
	if user, password := authOf(top); user != "" || password != "" {
		add("CONSUL_HTTP_AUTH", user+":"+password)
	}
	if top.hasAny("consul.ssl") {
		add("CONSUL_HTTP_SSL", strconv.FormatBool(usesTLS(top)))
		add("CONSUL_HTTP_SSL_VERIFY", strconv.FormatBool(get[bool](top, "consul.ssl.verify")))
	}
	return env
}
