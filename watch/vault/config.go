package vault

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"render/watch/hint"
	"render/watch/vault/api"
	"render/watch/vault/unwrap"
)

// The defaults of Config.
const (
	DefaultAddress        = "https://127.0.0.1:8200"
	DefaultLeaseDuration  = 5 * time.Minute
	DefaultThreshold      = 0.9
	DefaultTimeout        = time.Minute
	DefaultBackoff        = 250 * time.Millisecond
	DefaultMaxBackoff     = time.Minute
	DefaultMaxConnections = 64

	DefaultKubernetesMount = "kubernetes"
	DefaultServiceAccount  = "/run/secrets/kubernetes.io/serviceaccount/token"
)

// Config says where Vault is and how to ask it. What is empty of address, token, namespace and TLS is taken from the environment as
// Vault's own tools do (VAULT_ADDR, VAULT_TOKEN, VAULT_NAMESPACE, VAULT_CACERT …). VAULT_AGENT_ADDR wins over any address.
type Config struct {
	// Address is a URL, or unix:///path, or several of them with commas between: one is asked, and the next when that cannot be
	// reached, is sealed or is not well. A path is kept before each request's. The default is DefaultAddress.
	Address   string
	Namespace string

	// The token is that of AgentTokenFile where this is set. Else it is Token, else VAULT_TOKEN, else what ~/.vault-token holds, else
	// what Login, then Kubernetes, bring. A token that is JSON, as of a wrapped answer, is its field "token".
	Token          string
	AgentTokenFile string         // read again whenever it changes; it may not exist yet
	UnwrapToken    *bool          // the token is one to unwrap; done once for each such token, with Unwrapped for the whole process; nil means: no
	Unwrapped      *unwrap.Memory // remembers the tokens of earlier sources of this process; nil remembers nothing beyond this one
	RenewToken     *bool          // nil means: yes, unless there is an AgentTokenFile
	Login          *Login
	Kubernetes     *Kubernetes

	// LeaseDuration is when what has no lease is read again; less a random part. 0 means DefaultLeaseDuration.
	LeaseDuration time.Duration
	// Threshold is the part of a lease that cannot be renewed, and of a certificate's life, after which there is another; of leases
	// more or less a random part of 0.05. 0 means DefaultThreshold.
	Threshold float64
	// Polls have changes of KV secrets noticed sooner: the first whose prefix a path has applies.
	Polls []Poll
	// RevokeOnStop revokes on Close what the source has leased.
	RevokeOnStop bool
	// ReadOnly has no query write: a write and a certificate that Vault would have to issue are errors, and a token is not unwrapped.
	ReadOnly bool
	// Once says that nobody renews anything after Close: it revokes the token of a login with which nothing ends that is in use.
	Once bool

	TLS              api.TLS
	Transport        api.Transport
	Timeout          time.Duration // of a request; 0 means VAULT_CLIENT_TIMEOUT, else DefaultTimeout
	MaxConnections   int           // requests at a time; 0 means DefaultMaxConnections
	RateLimit        float64       // requests a second; 0 means VAULT_RATE_LIMIT, else no limit
	RateBurst        int           // requests at once, with RateLimit
	WrapTTL          string        // has Vault wrap what it answers to reads, writes and lists; "" means VAULT_WRAP_TTL
	Headers          http.Header   // that requests carry, beside those of VAULT_HEADERS
	DisableRedirects bool
	Proxy            string // URL of an HTTP proxy for all requests; "" means VAULT_PROXY_ADDR, VAULT_HTTP_PROXY, else HTTP_PROXY, HTTPS_PROXY and NO_PROXY

	Backoff    time.Duration // pause after a query's first failure, doubled by each further one; 0 means DefaultBackoff
	MaxBackoff time.Duration // the longest such pause; 0 means DefaultMaxBackoff

	// Log gets what an operator should know. The default discards it.
	Log *slog.Logger
}

// A Poll says how often KV secrets, their metadata and lists of them are looked at. Of a KV v2 that is a small request for the metadata, if the token may read them; a secret
// that has not changed is not read.
type Poll struct {
	Prefix string        // of paths, with or without the data/ of a KV v2; "" is that of all
	Every  time.Duration // less a random part of up to a quarter; 0 means: only as Config.LeaseDuration says
}

// A Login gets a token by a write: of role_id and secret_id to auth/approle/login, of jwt and role to auth/jwt/login, of name to
// auth/cert/login, of password to auth/userpass/login/NAME. Files and variables are read anew for each login.
type Login struct {
	Path        string            // such as auth/approle/login
	Fields      map[string]string // that are written
	Files       map[string]string // a field's name and the file with its value, without the whitespace around it
	Environment map[string]string // a field's name and the variable with its value
}

// Kubernetes gets a token with that of a service account.
type Kubernetes struct {
	Role    string
	JWT     string // the service account's token
	JWTFile string // used where JWT is empty; the default is DefaultServiceAccount
	Mount   string // the default is DefaultKubernetesMount
}

// login returns the login that a Kubernetes stands for.
func (k Kubernetes) login() *Login {
	l := &Login{Path: "auth/" + strings.Trim(cmp.Or(k.Mount, DefaultKubernetesMount), "/") + "/login", Fields: map[string]string{"role": k.Role}}
	if k.JWT != "" {
		l.Fields["jwt"] = k.JWT
	} else {
		l.Files = map[string]string{"jwt": cmp.Or(k.JWTFile, DefaultServiceAccount)}
	}
	return l
}

// Resolve returns the configuration that New makes of this one: with its defaults, and with what variables and ~/.vault-token add. Two
// that are equal make sources that do the same. The error is that of New; with ErrUnconfigured the configuration is usable still.
func (cfg Config) Resolve(env func(string) string) (Config, error) {
	resolved, err := cfg.fill(env, env("HOME"))
	if err == nil {
		err = resolved.api().Check()
	}
	return resolved, err
}

// CheckAddresses returns why addresses, with commas between them, cannot be those of Vault; nil for none.
func CheckAddresses(addresses string) error {
	if addresses == "" {
		return nil
	}
	return api.Config{Address: addresses}.Check()
}

// fill returns a configuration with nothing left empty that has a default or is in the environment. Home is where .vault-token may be.
func (cfg Config) fill(env func(string) string, home string) (Config, error) {
	cfg.Address = cmp.Or(env("VAULT_AGENT_ADDR"), cfg.Address, env("VAULT_ADDR"))
	cfg.Namespace = cmp.Or(cfg.Namespace, env("VAULT_NAMESPACE"))
	cfg.WrapTTL = cmp.Or(cfg.WrapTTL, env("VAULT_WRAP_TTL"))
	cfg.Proxy = cmp.Or(cfg.Proxy, env("VAULT_PROXY_ADDR"), env("VAULT_HTTP_PROXY"))
	cfg.TLS = fillTLS(cfg.TLS, env)
	cfg.LeaseDuration = cmp.Or(cfg.LeaseDuration, DefaultLeaseDuration)
	cfg.Threshold = cmp.Or(cfg.Threshold, DefaultThreshold)
	cfg.MaxConnections = cmp.Or(cfg.MaxConnections, DefaultMaxConnections)
	cfg.Backoff = cmp.Or(cfg.Backoff, DefaultBackoff)
	cfg.MaxBackoff = cmp.Or(cfg.MaxBackoff, DefaultMaxBackoff)
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Unwrapped == nil {
		cfg.Unwrapped = new(unwrap.Memory)
	}
	if disabled, err := strconv.ParseBool(env("VAULT_DISABLE_REDIRECTS")); err == nil {
		cfg.DisableRedirects = cfg.DisableRedirects || disabled
	}
	if renew, err := strconv.ParseBool(env("VAULT_RENEW_TOKEN")); err == nil && cfg.RenewToken == nil {
		cfg.RenewToken = &renew
	}
	if unwrap, err := strconv.ParseBool(env("VAULT_UNWRAP_TOKEN")); err == nil && cfg.UnwrapToken == nil {
		cfg.UnwrapToken = &unwrap
	}
	if cfg.AgentTokenFile == "" {
		cfg.Token = strings.TrimSpace(cmp.Or(cfg.Token, env("VAULT_TOKEN")))
		if cfg.Token == "" && home != "" {
			text, _ := os.ReadFile(filepath.Join(home, ".vault-token")) // where it cannot be read there is none
			cfg.Token = strings.TrimSpace(string(text))
		}
	}
	if cfg.Address == "" && cfg.Token == "" && cfg.AgentTokenFile == "" && cfg.Login == nil && cfg.Kubernetes == nil {
		return cfg, ErrUnconfigured
	}
	cfg.Address = cmp.Or(cfg.Address, DefaultAddress)
	return cfg, errors.Join(cfg.fillLimits(env), cfg.fillHeaders(env("VAULT_HEADERS")), cfg.validate())
}

// revokesToken reports whether Close may revoke the token of a login.
func (cfg Config) revokesToken() bool { return cfg.ReadOnly || cfg.RevokeOnStop || cfg.Once }

// api returns what requests are made by.
func (cfg Config) api() api.Config {
	return api.Config{
		Address: cfg.Address, Namespace: cfg.Namespace, TLS: cfg.TLS, Transport: cfg.Transport,
		Timeout: cfg.Timeout, MaxConnections: cfg.MaxConnections, RateLimit: cfg.RateLimit, RateBurst: cfg.RateBurst,
		WrapTTL: cfg.WrapTTL, Headers: cfg.Headers, DisableRedirects: cfg.DisableRedirects, Proxy: cfg.Proxy, Log: cfg.Log,
	}
}

func (cfg *Config) fillLimits(env func(string) string) error {
	if text := env("VAULT_CLIENT_TIMEOUT"); text != "" && cfg.Timeout == 0 {
		limit, ok := api.Seconds(text)
		if !ok || limit <= 0 {
			return fmt.Errorf("VAULT_CLIENT_TIMEOUT is %q; it must be seconds or a duration such as 30s", text)
		}
		cfg.Timeout = limit
	}
	cfg.Timeout = cmp.Or(cfg.Timeout, DefaultTimeout)

	if text := env("VAULT_RATE_LIMIT"); text != "" && cfg.RateLimit == 0 {
		perSecond, burst, both := strings.Cut(text, ":")
		var err error
		if cfg.RateLimit, err = strconv.ParseFloat(perSecond, 64); err == nil && both {
			cfg.RateBurst, err = strconv.Atoi(burst)
		}
		if err != nil || cfg.RateLimit <= 0 || cfg.RateBurst < 0 {
			return fmt.Errorf("VAULT_RATE_LIMIT is %q; it must be RATE or RATE:BURST", text)
		}
	}
	if cfg.RateLimit > 0 && cfg.RateBurst == 0 {
		cfg.RateBurst = max(1, int(cfg.RateLimit))
	}
	return nil
}

// fillHeaders adds the headers of VAULT_HEADERS, a JSON object.
func (cfg *Config) fillHeaders(text string) error {
	if text == "" {
		return nil
	}
	var more map[string]string
	if json.Unmarshal([]byte(text), &more) != nil {
		return errors.New("VAULT_HEADERS must be a JSON object of strings")
	}
	headers := cfg.Headers.Clone()
	if headers == nil {
		headers = make(http.Header)
	}
	for name, value := range more {
		if strings.HasPrefix(http.CanonicalHeaderKey(name), "X-Vault-") {
			return fmt.Errorf("VAULT_HEADERS has %q; names that begin with X-Vault- are reserved", name)
		}
		headers.Set(name, value)
	}
	cfg.Headers = headers
	return nil
}

func (cfg *Config) validate() error {
	if cfg.Threshold <= 0 || cfg.Threshold >= 1 {
		return fmt.Errorf("the lease renewal threshold %g is not between 0 and 1", cfg.Threshold)
	}
	if cfg.LeaseDuration < time.Second {
		return fmt.Errorf("the default lease duration %s is less than 1s", cfg.LeaseDuration)
	}
	for _, p := range cfg.Polls {
		if p.Every != 0 && p.Every < time.Second {
			return fmt.Errorf("KV secrets are checked every %s, which is less than 1s", p.Every)
		}
	}
	if cfg.Proxy != "" {
		if u, err := url.Parse(cfg.Proxy); err != nil || u.Host == "" {
			return errors.New("the proxy of VAULT_PROXY_ADDR or VAULT_HTTP_PROXY is not a URL, such as http://HOST:PORT")
		}
	}
	if cfg.Kubernetes != nil && cfg.Kubernetes.Role == "" {
		return errors.New("a login by kubernetes needs a role")
	}
	if cfg.Login != nil && trim(cfg.Login.Path) == "" {
		return errors.New("a login needs a path, such as auth/approle/login")
	}
	return nil
}

// fillTLS returns settings with what variables say of those that are empty.
func fillTLS(t api.TLS, env func(string) string) api.TLS {
	if t.CACert == "" && t.CACertPEM == "" && t.CAPath == "" {
		t.CACert, t.CACertPEM, t.CAPath = env("VAULT_CACERT"), env("VAULT_CACERT_BYTES"), env("VAULT_CAPATH")
	}
	if t.Cert == "" && t.Key == "" {
		t.Cert, t.Key = env("VAULT_CLIENT_CERT"), env("VAULT_CLIENT_KEY")
	}
	t.ServerName = cmp.Or(t.ServerName, env("VAULT_TLS_SERVER_NAME"))
	if skip, err := strconv.ParseBool(env("VAULT_SKIP_VERIFY")); err == nil && t.SkipVerify == nil {
		t.SkipVerify = &skip
	}
	return t
}

// ErrUnconfigured is the error of New and Resolve where nothing says where Vault is, or who we are: Vault is not asked then.
var ErrUnconfigured = hint.With(errors.New("vault is not configured"), "set vault.address, or VAULT_ADDR")

func trim(path string) string { return strings.Trim(strings.TrimSpace(path), "/") }
