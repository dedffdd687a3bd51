// Package vaultblock has the values of the settings of Vault, and makes the configuration of Vault's source from them.
package vaultblock

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"render/cmd/render/config/server"
	"render/watch/hint"
	"render/watch/vault"
	"render/watch/vault/api"
)

// Fields are the values of the settings. A tag is the key in the block.
type Fields struct {
	Address        string `key:"address"`
	Namespace      string `key:"namespace"`
	Token          string `key:"token"`
	AgentTokenFile string `key:"vault_agent_token_file"`
	UnwrapToken    bool   `key:"unwrap_token"`
	RenewToken     bool   `key:"renew_token"`

	Login struct {
		Path        string            `key:"path"`
		Fields      map[string]string `key:"fields"`
		Files       map[string]string `key:"files"`
		Environment map[string]string `key:"environment"`
	} `key:"login"`
	KubernetesRole    string `key:"k8s_auth_role_name"`
	KubernetesJWT     string `key:"k8s_service_account_token"`
	KubernetesJWTFile string `key:"k8s_service_account_token_path"`
	KubernetesMount   string `key:"k8s_service_mount_path"`

	LeaseDuration time.Duration            `key:"default_lease_duration"`
	Threshold     float64                  `key:"lease_renewal_threshold"`
	Poll          map[string]time.Duration `key:"poll"`
	RevokeOnStop  bool                     `key:"revoke_on_stop"`

	Timeout        time.Duration    `key:"timeout"`
	MaxConnections int              `key:"max_connections"`
	RateLimit      string           `key:"rate_limit"`
	Retry          server.Retry     `key:"retry"`
	SSL            server.SSL       `key:"ssl"`
	Transport      server.Transport `key:"transport"`
}

// Config returns the configuration of the source, with what variables and ~/.vault-token add. The caller says which settings are made,
// by pointers to their fields, and what the variables are. The remarks say what is wrong.
func (f *Fields) Config(isSet func(field any) bool, env func(string) string) (vault.Config, server.Remarks) {
	var remarks server.Remarks
	cfg := vault.Config{
		Address:        f.Address,
		Namespace:      f.Namespace,
		Token:          f.Token,
		AgentTokenFile: f.AgentTokenFile,
		LeaseDuration:  f.LeaseDuration,
		Threshold:      f.Threshold,
		Polls:          f.polls(),
		RevokeOnStop:   f.RevokeOnStop,
		Timeout:        f.Timeout,
		MaxConnections: f.MaxConnections,
		Backoff:        f.Retry.Backoff,
		MaxBackoff:     f.Retry.MaxBackoff,
		Transport: api.Transport{
			DialKeepAlive:       f.Transport.DialKeepAlive,
			DialTimeout:         f.Transport.DialTimeout,
			TLSHandshakeTimeout: f.Transport.TLSHandshakeTimeout,
			IdleConnTimeout:     f.Transport.IdleConnTimeout,
			MaxIdleConns:        f.Transport.MaxIdleConns,
			MaxIdleConnsPerHost: f.Transport.MaxIdleConnsPerHost,
			DisableKeepAlives:   f.Transport.DisableKeepAlives,
		},
	}
	if isSet(&f.UnwrapToken) {
		cfg.UnwrapToken = new(f.UnwrapToken)
	}
	if isSet(&f.RenewToken) {
		cfg.RenewToken = new(f.RenewToken)
	}
	if f.SSL.Enabled {
		cfg.TLS = api.TLS{
			CACert: f.SSL.CACert, CACertPEM: f.SSL.CACertBytes, CAPath: f.SSL.CAPath,
			Cert: f.SSL.Cert, Key: f.SSL.Key, ServerName: f.SSL.ServerName,
		}
		if isSet(&f.SSL.Verify) {
			cfg.TLS.SkipVerify = new(!f.SSL.Verify)
		}
	}
	if most := f.Transport.MaxConnsPerHost; most > 0 && !isSet(&f.MaxConnections) {
		cfg.MaxConnections = most
	}
	if cfg.MaxBackoff == 0 {
		cfg.MaxBackoff = math.MaxInt64 // no limit
	}
	f.check(&remarks)
	f.login(&cfg, isSet, &remarks)
	f.rateLimit(&cfg, &remarks)

	// What is wrong now is a variable.
	if remarks.Fault() {
		return cfg, remarks
	}
	resolved, err := cfg.Resolve(env)
	if err != nil && !errors.Is(err, vault.ErrUnconfigured) {
		for _, err := range each(err) {
			remarks.Wrong(nil, err) // it names the variable
		}
	}
	f.noteOverruled(resolved, isSet, env, &remarks)
	return resolved, remarks
}

// each returns the errors that an error joins.
func each(err error) (all []error) {
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok {
		return []error{err}
	}
	for _, err := range joined.Unwrap() {
		all = append(all, each(err)...)
	}
	return all
}

// polls returns how often secrets are looked at, with the longest prefixes first.
func (f *Fields) polls() (all []vault.Poll) {
	for prefix, every := range f.Poll {
		all = append(all, vault.Poll{Prefix: prefix, Every: every})
	}
	slices.SortFunc(all, func(a, b vault.Poll) int {
		return cmp.Or(len(b.Prefix)-len(a.Prefix), strings.Compare(a.Prefix, b.Prefix))
	})
	return all
}

// check finds values that are out of range.
func (f *Fields) check(remarks *server.Remarks) {
	if err := vault.CheckAddresses(f.Address); err != nil {
		remarks.Wrong(&f.Address, err)
	}
	if f.Threshold <= 0 || f.Threshold >= 1 {
		remarks.Wrong(&f.Threshold, fmt.Errorf("%g is not between 0 and 1", f.Threshold))
	}
	if f.LeaseDuration < time.Second {
		remarks.Wrong(&f.LeaseDuration, fmt.Errorf("%s is less than 1s", f.LeaseDuration))
	}
	if f.Retry.Backoff <= 0 {
		remarks.Wrong(&f.Retry.Backoff, errors.New("must be more than 0"))
	}
	if f.MaxConnections <= 0 {
		remarks.Wrong(&f.MaxConnections, errors.New("must be more than 0"))
	}
	for _, prefix := range slices.Sorted(maps.Keys(f.Poll)) {
		if every := f.Poll[prefix]; every != 0 && every < time.Second {
			remarks.Wrong(&f.Poll, fmt.Errorf("%q: %s is less than 1s", prefix, every))
		}
	}
	f.Transport.Check(remarks)
}

// login sets how a token is got.
func (f *Fields) login(cfg *vault.Config, isSet func(any) bool, remarks *server.Remarks) {
	l := &f.Login
	blocks := []*map[string]string{&l.Fields, &l.Files, &l.Environment}
	switch {
	case isSet(&l.Path) && strings.Trim(l.Path, " /") == "":
		remarks.Wrong(&l.Path, hint.With(errors.New("the path is empty"), "set a path such as auth/approle/login"))
	case l.Path != "":
		cfg.Login = &vault.Login{Path: l.Path, Fields: l.Fields, Files: l.Files, Environment: l.Environment}
	default:
		for _, values := range blocks {
			if isSet(values) {
				remarks.Wrong(values, hint.With(errors.New("the login has no path"), "set login.path, such as auth/approle/login"))
			}
		}
	}
	seen := make(map[string]bool)
	for _, values := range blocks {
		for _, name := range slices.Sorted(maps.Keys(*values)) {
			if seen[name] {
				remarks.Wrong(values, fmt.Errorf("the field %q has its value from two places", name))
			}
			seen[name] = true
		}
	}

	switch {
	case f.KubernetesRole != "":
		cfg.Kubernetes = &vault.Kubernetes{Role: f.KubernetesRole, JWT: f.KubernetesJWT, JWTFile: f.KubernetesJWTFile, Mount: f.KubernetesMount}
		if cfg.Login != nil {
			remarks.Idle(&f.KubernetesRole, "render uses vault.login")
		}
	default:
		for _, field := range []*string{&f.KubernetesJWT, &f.KubernetesJWTFile, &f.KubernetesMount} {
			if isSet(field) {
				remarks.Idle(field, "it needs vault.k8s_auth_role_name")
			}
		}
	}
}

// rateLimit reads RATE or RATE:BURST.
func (f *Fields) rateLimit(cfg *vault.Config, remarks *server.Remarks) {
	if f.RateLimit == "" {
		return
	}
	rate, burst, both := strings.Cut(f.RateLimit, ":")
	var err error
	if cfg.RateLimit, err = strconv.ParseFloat(rate, 64); err == nil && both {
		cfg.RateBurst, err = strconv.Atoi(burst)
	}
	if err != nil || !(cfg.RateLimit > 0) || math.IsInf(cfg.RateLimit, 0) || both && cfg.RateBurst <= 0 {
		remarks.Wrong(&f.RateLimit, hint.With(fmt.Errorf("%q is not a rate", f.RateLimit), "write RATE or RATE:BURST in requests a second, such as 50 or 50:100"))
	}
}

// noteOverruled notes settings that others keep from having an effect.
func (f *Fields) noteOverruled(cfg vault.Config, isSet func(any) bool, env func(string) string, remarks *server.Remarks) {
	if agent := env("VAULT_AGENT_ADDR"); agent != "" && f.Address != "" && agent != f.Address {
		remarks.Idle(&f.Address, "the variable VAULT_AGENT_ADDR wins over it")
	}
	if cfg.AgentTokenFile != "" && isSet(&f.Token) {
		remarks.Idle(&f.Token, "vault.vault_agent_token_file wins over it")
	}
	if has := cfg.Token != "" || cfg.AgentTokenFile != ""; has && f.Login.Path != "" {
		remarks.Idle(&f.Login.Path, hasToken)
	} else if has && f.KubernetesRole != "" {
		remarks.Idle(&f.KubernetesRole, hasToken)
	}
	for _, name := range slices.Sorted(maps.Keys(ignoredVariables)) {
		if env(name) != "" {
			*remarks = append(*remarks, server.Remark{Variable: name, Idle: ignoredVariables[name]})
		}
	}
}

const hasToken = "a token is set by a setting, by VAULT_TOKEN or in ~/.vault-token"

// ignoredVariables are those that Vault's own tools read and render does not.
var ignoredVariables = map[string]string{
	"VAULT_SRV_LOOKUP":  "write all addresses into vault.address, with commas between them",
	"VAULT_MAX_RETRIES": "render repeats requests without end, as vault.retry says",
}

// Environment returns the settings that commands find in their environment.
func (f *Fields) Environment(isSet func(field any) bool) []string {
	var env []string
	add := func(name, value string) {
		if value != "" {
			env = append(env, name+"="+value)
		}
	}
	first, _, _ := strings.Cut(f.Address, ",") // Vault's own tools take one
	add("VAULT_ADDR", strings.TrimSpace(first))
	if !f.SSL.Enabled {
		return env
	}
	if isSet(&f.SSL.Verify) && !f.SSL.Verify {
		add("VAULT_SKIP_VERIFY", "true")
	}
	add("VAULT_CLIENT_CERT", f.SSL.Cert)
	add("VAULT_CLIENT_KEY", f.SSL.Key)
	add("VAULT_CAPATH", f.SSL.CAPath)
	add("VAULT_CACERT", f.SSL.CACert)
	add("VAULT_CACERT_BYTES", f.SSL.CACertBytes)
	add("VAULT_TLS_SERVER_NAME", f.SSL.ServerName)
	return env
}
