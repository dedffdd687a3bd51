package vault

import (
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"render/watch"
	"render/watch/hint"
	"render/watch/vault/api"
)

// What the environment and the configuration say together.
func TestConfig(t *testing.T) {
	home := t.TempDir()
	if err := os.WriteFile(filepath.Join(home, ".vault-token"), []byte("of-home\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name string
		cfg  Config
		env  string // NAME=VALUE, separated by spaces
		home string
		want func(c Config) any
		is   any
		err  string
	}{
		{name: "nothing", err: ErrUnconfigured.Error()},
		{name: "only a token", env: "VAULT_TOKEN=t", want: func(c Config) any { return c.Address }, is: DefaultAddress},
		{name: "address", cfg: Config{Address: "http://a"}, env: "VAULT_ADDR=http://b", want: func(c Config) any { return c.Address }, is: "http://a"},
		{name: "the agent's address wins", cfg: Config{Address: "http://a"}, env: "VAULT_AGENT_ADDR=http://b", want: func(c Config) any { return c.Address }, is: "http://b"},
		{name: "token", cfg: Config{Token: " t "}, env: "VAULT_TOKEN=u", home: home, want: func(c Config) any { return c.Token }, is: "t"},
		{name: "token of the environment", env: "VAULT_TOKEN=u", home: home, want: func(c Config) any { return c.Token }, is: "u"},
		{name: "token of home", home: home, want: func(c Config) any { return c.Token }, is: "of-home"},
		{name: "a file of the agent is all", cfg: Config{AgentTokenFile: "/x"}, env: "VAULT_TOKEN=u", home: home, want: func(c Config) any { return c.Token }, is: ""},
		{name: "timeout in seconds", cfg: Config{Token: "t"}, env: "VAULT_CLIENT_TIMEOUT=7", want: func(c Config) any { return c.Timeout }, is: 7 * time.Second},
		{name: "bad timeout", cfg: Config{Token: "t"}, env: "VAULT_CLIENT_TIMEOUT=x", err: "VAULT_CLIENT_TIMEOUT"},
		{name: "rate", cfg: Config{Token: "t"}, env: "VAULT_RATE_LIMIT=2.5:7", want: func(c Config) any { return fmt.Sprint(c.RateLimit, c.RateBurst) }, is: "2.5 7"},
		{name: "bad rate", cfg: Config{Token: "t"}, env: "VAULT_RATE_LIMIT=:7", err: "VAULT_RATE_LIMIT"},
		{name: "headers", cfg: Config{Token: "t"}, env: `VAULT_HEADERS={"x-a":"b"}`, want: func(c Config) any { return c.Headers.Get("X-A") }, is: "b"},
		{name: "reserved headers", cfg: Config{Token: "t"}, env: `VAULT_HEADERS={"x-vault-a":"b"}`, err: "reserved"},
		{name: "skip verify", cfg: Config{Token: "t"}, env: "VAULT_SKIP_VERIFY=1", want: func(c Config) any { return *c.TLS.SkipVerify }, is: true},
		{name: "no renewal", cfg: Config{Token: "t"}, env: "VAULT_RENEW_TOKEN=F", want: func(c Config) any { return *c.RenewToken }, is: false},
		{name: "unwrapping", cfg: Config{Token: "t"}, env: "VAULT_UNWRAP_TOKEN=t", want: func(c Config) any { return *c.UnwrapToken }, is: true},
		{name: "the setting wins over the variable", cfg: Config{Token: "t", UnwrapToken: new(false), TLS: api.TLS{SkipVerify: new(false)}}, env: "VAULT_UNWRAP_TOKEN=t VAULT_SKIP_VERIFY=t", want: func(c Config) any { return *c.UnwrapToken || *c.TLS.SkipVerify }, is: false},
		{name: "not a boolean", cfg: Config{Token: "t"}, env: "VAULT_UNWRAP_TOKEN=yes VAULT_RENEW_TOKEN=no", want: func(c Config) any { return c.UnwrapToken != nil || c.RenewToken != nil }, is: false},
		{name: "proxy", cfg: Config{Token: "t"}, env: "VAULT_HTTP_PROXY=http://a VAULT_PROXY_ADDR=http://b", want: func(c Config) any { return c.Proxy }, is: "http://b"},
		{name: "older name of the proxy", cfg: Config{Token: "t"}, env: "VAULT_HTTP_PROXY=http://a", want: func(c Config) any { return c.Proxy }, is: "http://a"},
		{name: "bad proxy", cfg: Config{Token: "t"}, env: "VAULT_PROXY_ADDR=here", err: "VAULT_PROXY_ADDR"},
		{name: "threshold", cfg: Config{Token: "t", Threshold: 1.5}, err: "threshold"},
		{name: "short leases", cfg: Config{Token: "t", LeaseDuration: time.Millisecond}, err: "lease duration"},
		{name: "no role", cfg: Config{Kubernetes: &Kubernetes{}}, err: "role"},
		{name: "no path", cfg: Config{Login: &Login{}}, err: "path"},
		{name: "polls too often", cfg: Config{Token: "t", Polls: []Poll{{Every: 1}}}, err: "every"},
	}
	for _, test := range tests {
		env := func(name string) string {
			for pair := range strings.FieldsSeq(test.env) {
				if key, value, _ := strings.Cut(pair, "="); key == name {
					return value
				}
			}
			return ""
		}
		got, err := test.cfg.fill(env, test.home)
		if test.err != "" {
			if err == nil || !strings.Contains(err.Error(), test.err) {
				t.Errorf("%s: got %v", test.name, err)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", test.name, err)
		} else if is := test.want(got); is != test.is {
			t.Errorf("%s: got %v, want %v", test.name, is, test.is)
		}
	}
	for _, address := range []string{"http://x/v1", "https://x:8200/vault/v1/", "http://x, http://y/v1"} {
		if err := CheckAddresses(address); err == nil || err.Error() != "an address ends in /v1" || len(hint.Of(err)) != 1 {
			t.Errorf("%s: got %v", address, err)
		}
	}
	if err := CheckAddresses("http://x/v1/vault,http://v1,unix:///run/v1"); err != nil {
		t.Error(err)
	}
}

// Requests are made by all that the configuration says of them.
func TestConfigOfRequests(t *testing.T) {
	cfg := Config{
		Address: "a", Namespace: "b", TLS: api.TLS{CACert: "c"}, Transport: api.Transport{DialTimeout: 1}, Timeout: 2, MaxConnections: 3, RateLimit: 4, RateBurst: 5,
		WrapTTL: "d", Headers: http.Header{"E": {"f"}}, DisableRedirects: true, Proxy: "g", Log: slog.New(slog.DiscardHandler),
	}
	from, to := reflect.ValueOf(cfg), reflect.ValueOf(cfg.api())
	for field, value := range to.Fields() {
		if value.IsZero() || !reflect.DeepEqual(value.Interface(), from.FieldByName(field.Name).Interface()) {
			t.Errorf("%s is %v", field.Name, value)
		}
	}
}

// Queries are read as they are written.
func TestQueries(t *testing.T) {
	for path, want := range map[string]string{
		" /secret//a/../b/ ": "secret secret/b", "a:b/c": "secret a:b/c", "p?list=true&a=b": "secret p?a=b&list=true", "p?": "secret p",
		"a%2541#x": "secret a%2541#x", "": "", "/": "", "%zz": "", "p?%zz": "",
	} {
		q, err := watch.NewSecret(path)
		if got := q.String(); err == nil && got != want || err != nil && want != "" {
			t.Errorf("%q: got %q, %v", path, got, err)
		}
	}
	for path, want := range map[string]bool{"..": true, "a/../b": true, " /a/.. ": true, "%2e%2e/a": true, "a/%2E%2e%2fb": true, "a..b/...": false, "%zz/..": true, "a": false} {
		if got := watch.HasParent(path); got != want {
			t.Errorf("%q: got %t", path, got)
		}
	}
	if q, err := watch.NewSecretWrite("a/../../../b", "a=b"); err != nil || q.Name != "b" { // never out of /v1
		t.Errorf("got %s, %v", q, err)
	}
	write, err := watch.NewSecretWrite("a?b", "b=geheim", " a = x=y ", "b=geheim2")
	if err != nil || write.String() != "secret-write a?b (written=a&written=b)" || fmt.Sprint(write.Pairs()) != "map[a:x=y b:geheim2]" || !write.Secret() {
		t.Errorf("got %s, %v, %v", write, write.Pairs(), err)
	}
	if _, err := watch.NewSecretWrite("a", "b=c", "geheim"); err == nil || err.Error() != "argument 2 after the path is not KEY=VALUE" {
		t.Errorf("got %v", err)
	}
	one, _ := watch.NewPKICert("pki/issue/a?x=y", []string{"common_name=a"}, []string{"/etc/a"}, "Key", "Cert", "Key")
	two, _ := watch.NewPKICert("pki/issue/a", []string{"common_name=b"}, []string{"/etc/a"}, "Cert", "Key")
	if one == two || one.Name != two.Name || fmt.Sprint(one.Options()[watch.OptField]) != "[Cert Key]" {
		t.Errorf("got %s and %s", one, two)
	}
}
