// Package server has what the blocks of a configuration have in common that say how to reach a server: Consul, Vault and Nomad. Tags are
// the keys of settings.
package server

import (
	"slices"
	"time"

	"render/watch/agent"
)

// A Remark says what is wrong with a setting, or why it has no effect.
type Remark struct {
	Field    any    // a pointer to the field that has the value of the setting; nil for a variable
	Variable string // of the environment
	Err      error  // why the configuration cannot be used; nil if it can
	Idle     string // why the setting has no effect
}

// Remarks are those of a block.
type Remarks []Remark

// Wrong adds a fault of a setting.
func (r *Remarks) Wrong(field any, err error) { *r = append(*r, Remark{Field: field, Err: err}) }

// Idle adds a setting that has no effect.
func (r *Remarks) Idle(field any, why string) { *r = append(*r, Remark{Field: field, Idle: why}) }

// Fault reports whether the configuration cannot be used.
func (r Remarks) Fault() bool {
	return slices.ContainsFunc(r, func(one Remark) bool { return one.Err != nil })
}

// Retry says how failed requests are repeated.
type Retry struct {
	Enabled    bool          `key:"enabled"`
	Attempts   int           `key:"attempts"`
	Backoff    time.Duration `key:"backoff"`
	MaxBackoff time.Duration `key:"max_backoff"`
}

// Most returns after how many failures in a row a run with once ends; 0 for no limit.
func (r *Retry) Most() int {
	if !r.Enabled {
		return 1
	}
	return r.Attempts
}

// SSL says how to speak TLS.
type SSL struct {
	Enabled     bool   `key:"enabled"`
	Verify      bool   `key:"verify"`
	CACert      string `key:"ca_cert"`
	CACertBytes string `key:"ca_cert_bytes"`
	CAPath      string `key:"ca_path"`
	Cert        string `key:"cert"`
	Key         string `key:"key"`
	ServerName  string `key:"server_name"`
}

// Used reports whether the settings are used, where any of them has that effect. The caller says which are made, by pointers to their fields.
func (s *SSL) Used(isSet func(field any) bool) bool {
	if isSet(&s.Enabled) {
		return s.Enabled
	}
	return slices.ContainsFunc([]any{&s.Verify, &s.CACert, &s.CACertBytes, &s.CAPath, &s.Cert, &s.Key, &s.ServerName}, isSet)
}

// OfAgent returns the settings as the sources of Consul and Nomad take them: any of them has TLS used, whatever the address says.
func (s *SSL) OfAgent(isSet func(field any) bool) agent.TLS {
	return agent.TLS{
		Enabled:    s.Used(isSet),
		SkipVerify: !s.Verify,
		CACert:     s.CACert,
		CACertPEM:  s.CACertBytes,
		CAPath:     s.CAPath,
		Cert:       s.Cert,
		Key:        s.Key,
		ServerName: s.ServerName,
	}
}

// Files returns the fields that name files and folders, if TLS settings are used.
func (s *SSL) Files() []*string {
	if !s.Enabled {
		return nil
	}
	return []*string{&s.CACert, &s.CAPath, &s.Cert, &s.Key}
}

// Transport has the settings of connections.
type Transport struct {
	DialTimeout         time.Duration `key:"dial_timeout"`
	DialKeepAlive       time.Duration `key:"dial_keep_alive"`
	TLSHandshakeTimeout time.Duration `key:"tls_handshake_timeout"`
	IdleConnTimeout     time.Duration `key:"idle_conn_timeout"`
	MaxIdleConns        int           `key:"max_idle_conns"`
	MaxIdleConnsPerHost int           `key:"max_idle_conns_per_host"`
	MaxConnsPerHost     int           `key:"max_conns_per_host"`
	DisableKeepAlives   bool          `key:"disable_keep_alives"`
}

// OfAgent returns the settings as the sources of Consul and Nomad take them.
func (t *Transport) OfAgent() agent.Transport {
	return agent.Transport{
		DialKeepAlive:       t.DialKeepAlive,
		DialTimeout:         t.DialTimeout,
		TLSHandshakeTimeout: t.TLSHandshakeTimeout,
		IdleConnTimeout:     t.IdleConnTimeout,
		MaxIdleConns:        t.MaxIdleConns,
		MaxIdleConnsPerHost: t.MaxIdleConnsPerHost,
		MaxConnsPerHost:     t.MaxConnsPerHost,
		DisableKeepAlives:   t.DisableKeepAlives,
	}
}

// Check notes times of 0, which mean the default.
func (t *Transport) Check(remarks *Remarks) {
	for _, field := range []*time.Duration{&t.DialTimeout, &t.DialKeepAlive, &t.TLSHandshakeTimeout, &t.IdleConnTimeout} {
		if *field == 0 {
			remarks.Idle(field, "0 means the default")
		}
	}
}
