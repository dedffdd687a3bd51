package vault

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"render/watch"
	"render/watch/hint"
	"render/watch/sourcetest"
	"render/watch/vaulttest"
)

// shared is one Vault for the tests that do not stop or seal it.
var shared struct {
	once   sync.Once
	server *vaulttest.Server
}

// TestMain stops what the tests share.
func TestMain(m *testing.M) {
	defer func() {
		if shared.server != nil {
			shared.server.Stop()
		}
	}()
	m.Run()
}

func real(t *testing.T) *vaulttest.Server {
	t.Helper()
	if testing.Short() {
		t.Skip("needs a Vault")
	}
	shared.once.Do(func() { shared.server = vaulttest.StartShared(t) })
	if shared.server == nil {
		t.Fatal("there is no Vault")
	}
	return shared.server
}

// of returns a source that asks a server as root, unless the configuration says otherwise.
func of(t *testing.T, server *vaulttest.Server, cfg Config) *Source {
	t.Helper()
	return ofThrough(t, server, cfg, nil)
}

// ofThrough is of, with what requests go through.
func ofThrough(t *testing.T, server *vaulttest.Server, cfg Config, through func(http.RoundTripper) http.RoundTripper) *Source {
	t.Helper()
	if cfg.Address == "" {
		cfg.Address = server.Addr
	}
	if cfg.Token == "" && cfg.AgentTokenFile == "" && cfg.Login == nil && cfg.Kubernetes == nil {
		cfg.Token = server.Token
	}
	cfg, err := cfg.fill(func(string) string { return "" }, "")
	if err != nil {
		t.Fatal(err)
	}
	s, err := newSource(cfg, through)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

func query(t testing.TB, path string) watch.Query {
	t.Helper()
	q, err := watch.NewSecret(path)
	if err != nil {
		t.Fatal(err)
	}
	return q
}

// A KV secret keeps the contract of all sources, in both versions.
func TestContract(t *testing.T) {
	server := real(t)
	t.Parallel()
	for n, mount := range []string{"kv1/", "secret/data/"} {
		count := 0
		t.Run(mount, func(t *testing.T) {
			sourcetest.Run(t, func(t *testing.T) sourcetest.Subject {
				count++
				path := fmt.Sprintf("%scontract-%d-%d", mount, n, count)
				return sourcetest.Subject{
					Source: of(t, server, Config{LeaseDuration: time.Second, MaxBackoff: 500 * time.Millisecond}),
					Query:  query(t, path),
					Set: func(value string) {
						content := map[string]any{"value": value}
						if n == 1 {
							content = map[string]any{"data": content}
						}
						server.Put(t, path, content)
					},
					Remove: func() { server.Must(t, http.MethodDelete, path, nil) },
				}
			})
		})
	}
}

// What reads of each form return.
func TestRead(t *testing.T) {
	server := real(t)
	server.Put(t, "kv1/read", map[string]any{"a": "1", "n": 10000000, "deep": map[string]any{"list": []any{1.5, nil, true}}})
	server.Put(t, "secret/data/read", map[string]any{"data": map[string]any{"a": "old"}})
	server.Put(t, "secret/data/read", map[string]any{"data": map[string]any{"a": "new", "sub": map[string]any{"b": "c"}}})
	server.Put(t, "secret/data/data/inner", map[string]any{"data": map[string]any{"a": "inner"}})
	server.Put(t, "secret/data/deleted", map[string]any{"data": map[string]any{"a": "1"}})
	server.Must(t, http.MethodDelete, "secret/data/deleted", nil)
	server.Put(t, "secret/data/destroyed", map[string]any{"data": map[string]any{"a": "1"}})
	server.Put(t, "secret/destroy/destroyed", map[string]any{"versions": []int{1}})
	server.Put(t, "secret/metadata/ending", map[string]any{"delete_version_after": "1h"})
	server.Put(t, "secret/data/ending", map[string]any{"data": map[string]any{"a": "ends later"}})
	server.Put(t, "secret/data/odd%20%3Fname", map[string]any{"data": map[string]any{"a": "odd"}})

	tests := []struct{ path, want string }{
		{"kv1/read", `{"a":"1","deep":{"list":[1.5,null,true]},"n":10000000}`},
		{" /kv1//./read/ ", `{"a":"1","deep":{"list":[1.5,null,true]},"n":10000000}`},
		{"kv1/missing", "absent"},
		{"secret/read", `{"a":"new","sub":{"b":"c"}}`},
		{"secret/data/read", `{"a":"new","sub":{"b":"c"}}`},
		{"/secret/data/read/", `{"a":"new","sub":{"b":"c"}}`},
		{"secret/read?version=1", `{"a":"old"}`},
		{"secret/read?version=9", "absent"},
		{"secret/data/data/inner", "absent"}, // data/ stands for itself
		{"secret/data/inner", "absent"},
		{"secret/odd%20%3Fname", `{"a":"odd"}`},
		{"secret/missing", "absent"},
		{"secret/deleted", "absent"},
		{"secret/destroyed", "absent"},
		{"secret/ending", `{"a":"ends later"}`},
	}
	src := of(t, server, Config{})
	for _, test := range tests {
		got := "absent"
		if value := sourcetest.Fetch(t, src, query(t, test.path)); value != nil {
			data := value.(*watch.Secret).Data
			if inner, ok := data["data"].(map[string]any); ok {
				data = inner
			}
			text, err := json.Marshal(data)
			if err != nil {
				t.Fatal(err)
			}
			got = string(text)
		}
		want := test.want
		if test.path == "secret/data/data/inner" {
			want = `{"a":"inner"}`
		}
		if got != want {
			t.Errorf("%q: got %s, want %s", test.path, got, want)
		}
	}

	var names watch.Source = watch.NewSwitch(watch.ByKind{watch.KindSecret: src, watch.KindSecrets: src, watch.KindKV: watch.ByKind{}})
	list, _ := watch.NewSecrets("secret/folder")
	for q, want := range map[watch.Query]string{
		query(t, "secret/missing"): "secret/data/missing", query(t, "secret/read?version=9"): "secret/data/read", query(t, "secret/odd%20%3Fname"): "secret/data/odd ?name",
		query(t, "kv1/data/missing"):    "kv1/, which is KV version 1, where data/ is a part of the name",
		query(t, "secret/data/missing"): "", query(t, "kv1/missing"): "", query(t, "unknown/x"): "", list: "secret/metadata/folder",
		{Kind: watch.KindKV, Name: "secret/x"}: "", {Kind: "unknown", Name: "x"}: "",
	} {
		if got := watch.Locate(names, q); got != want {
			t.Errorf("%s is at %q, want %q", q, got, want)
		}
	}

	metadata := sourcetest.Fetch(t, src, query(t, "secret/metadata/read")).(*watch.Secret)
	if fmt.Sprint(metadata.Data["current_version"]) != "2" {
		t.Errorf("metadata: got %v", metadata.Data)
	}
	subkeys := sourcetest.Fetch(t, src, query(t, "secret/subkeys/read")).(*watch.Secret)
	if got := sourcetest.Show(subkeys.Data["subkeys"]); strings.Join(strings.Fields(got), "") != `{"a":null,"sub":{"b":null}}` {
		t.Errorf("subkeys: got %s", got)
	}
	health := sourcetest.Fetch(t, src, query(t, "sys/health")).(*watch.Secret)
	if health.Data["initialized"] != true {
		t.Errorf("health: got %v", health.Data)
	}
}

// A list is sorted, and empty where there is nothing.
func TestList(t *testing.T) {
	server := real(t)
	for _, path := range []string{"kv1/list/b", "kv1/list/a", "kv1/list/a/b", "secret/data/list/b", "secret/data/list/a/x"} {
		server.Put(t, path, map[string]any{"data": map[string]any{"a": "1"}})
	}
	src := of(t, server, Config{})
	tests := []struct{ path, want string }{
		{"kv1/list", "[a a/ b]"},
		{"kv1/list/", "[a a/ b]"},
		{"secret/list", "[a/ b]"},
		{"secret/metadata/list", "[a/ b]"},
		{"secret/list/none", "[]"},
		{"secret/data/list", "[]"}, // below metadata/data/list
	}
	for _, test := range tests {
		q, err := watch.NewSecrets(test.path)
		if err != nil {
			t.Fatal(err)
		}
		if got := fmt.Sprint(sourcetest.Fetch(t, src, q)); got != test.want {
			t.Errorf("%s: got %s, want %s", test.path, got, test.want)
		}
	}
}

// A write happens once, whatever Vault answers and however often somebody asks.
func TestWrite(t *testing.T) {
	server := real(t)
	server.Put(t, "sys/mounts/transit", map[string]any{"type": "transit"})
	server.Put(t, "transit/keys/k", nil)
	src := of(t, server, Config{})
	fetch := func(path string, pairs ...string) any {
		t.Helper()
		q, err := watch.NewSecretWrite(path, pairs...)
		if err != nil {
			t.Fatal(err)
		}
		value := sourcetest.Fetch(t, src, q)
		if again := sourcetest.Fetch(t, src, q); !watch.Equal(value, again) {
			t.Errorf("%s: got %v, then %v", path, value, again)
		}
		return value
	}

	if got := fetch("kv1/write", "a= b=c ", "", "a=last"); got != (*watch.Secret)(nil) {
		t.Errorf("an empty answer: got %#v", got)
	}
	if got := server.Must(t, http.MethodGet, "kv1/write", nil); fmt.Sprint(got) != "map[a:last]" {
		t.Errorf("vault has %v", got)
	}
	if got := fetch("secret/write", "a=1").(*watch.Secret); fmt.Sprint(got.Data["version"]) != "1" {
		t.Errorf("got %v, want version 1", got.Data)
	}
	if got := server.Must(t, http.MethodGet, "secret/data/write", nil); fmt.Sprint(got["data"]) != "map[a:1]" {
		t.Errorf("vault has %v", got)
	}
	if got := fetch("transit/encrypt/k", "plaintext=aGFsbG8=").(*watch.Secret); !strings.HasPrefix(fmt.Sprint(got.Data["ciphertext"]), "vault:v1:") {
		t.Errorf("got %v", got.Data)
	}
}

// A dry run writes nothing. It leaves no lease, and no token that somebody else needs is used up.
func TestReadOnly(t *testing.T) {
	server := real(t)
	wrapped, err := server.Do(http.MethodPut, "auth/token/create", map[string]any{"ttl": "1h"})
	if err != nil {
		t.Fatal(err)
	}
	token := wrapped["auth"].(map[string]any)["client_token"].(string)
	src := of(t, server, Config{ReadOnly: true, Token: token})
	q, _ := watch.NewSecretWrite("kv1/dry", "a=b")
	const want = "not asked: a dry run writes nothing to vault\nhint: use --fixture to try the template without Vault"
	if _, _, err := src.Fetch(t.Context(), q, 0); !errors.Is(err, watch.ErrDenied) || hint.Text(err) != want {
		t.Errorf("got %v", err)
	}
	if _, err := server.Do(http.MethodGet, "kv1/dry", nil); err == nil {
		t.Error("the dry run has written")
	}
	server.Put(t, "kv1/read", map[string]any{"a": "b"})
	if got := sourcetest.Fetch(t, src, query(t, "kv1/read")).(*watch.Secret); got.Data["a"] != "b" {
		t.Errorf("got %v", got.Data)
	}

	unwraps := of(t, server, Config{ReadOnly: true, Token: token, UnwrapToken: new(true)})
	_, _, err = unwraps.Fetch(t.Context(), query(t, "kv1/read"), 0)
	if err == nil || !strings.Contains(err.Error(), "a dry run does not") {
		t.Errorf("got %v", err)
	}
}

// The errors say what was queried and why there is no answer, and never a value.
func TestErrors(t *testing.T) {
	server := real(t)
	server.Put(t, "sys/policies/acl/some", map[string]any{"policy": `path "secret/data/mine" { capabilities = ["read"] }`})
	token := server.NewToken(t, map[string]any{"policies": []string{"some"}})
	server.Put(t, "secret/data/mine", map[string]any{"data": map[string]any{"a": "1"}})
	write := func(path string, pairs ...string) watch.Query {
		q, err := watch.NewSecretWrite(path, pairs...)
		if err != nil {
			t.Fatal(err)
		}
		return q
	}
	tests := []struct {
		name   string
		cfg    Config
		query  watch.Query
		want   string
		denied bool
		outage bool
		hint   string
	}{
		{"may not read", Config{Token: token}, query(t, "secret/other"), "secret/data/other: 403 ", true, false, "allow the path"},
		{"no such mount", Config{}, query(t, "nowhere/x"), "vault does not say what is mounted there (403)", false, false, hintUnknown},
		{"wrong token", Config{Token: "wrong"}, query(t, "secret/mine"), "invalid token", true, false, "the token is wrong, revoked or expired"},
		{"writes where nothing is", Config{}, write("sys/nothing", "password=geheim"), "", false, false, ""},
		{"no server", Config{Address: "http://127.0.0.1:1"}, query(t, "secret/mine"), "vault at http://127.0.0.1:1: ", false, true, ""},
		{"not Vault", Config{Address: server.Addr + "/ui"}, query(t, "secret/mine"), "the answer is not JSON", false, true, "is this Vault?"},
		{"refused value", Config{}, write("auth/token/create", "ttl=geheim"), "[redacted]", false, false, ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			src := of(t, server, test.cfg)
			_, _, err := src.Fetch(t.Context(), test.query, 0)
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Fatalf("got %v, want %q", err, test.want)
			}
			if errors.Is(err, watch.ErrDenied) != test.denied {
				t.Errorf("%v: denied is %t", err, !test.denied)
			}
			if _, away := errors.AsType[watch.OutageError](err); away != test.outage {
				t.Errorf("%v: an outage is %t", err, away)
			}
			if hints := hint.Of(err); test.denied && len(hints) != 1 {
				t.Errorf("%v: got the hints %q, want one", err, hints)
			}
			if test.hint != "" && !strings.Contains(strings.Join(hint.Of(err), "\n"), test.hint) {
				t.Errorf("%v: got the hints %q", err, hint.Of(err))
			}
			for _, secret := range []string{"geheim", server.Token, token} {
				if strings.Contains(err.Error(), secret) || strings.Contains(test.query.String(), secret) {
					t.Errorf("a secret shows: %v", err)
				}
			}
		})
	}
}

// No value shows in the log, at the most talkative: neither what is read and written, nor tokens.
func TestSecrecy(t *testing.T) {
	server := real(t)
	server.Put(t, "kv1/quiet", map[string]any{"a": "geheim"})
	var lines record
	src := of(t, server, Config{Log: slog.New(slog.NewTextHandler(&lines, &slog.HandlerOptions{Level: slog.LevelDebug - 8}))})
	sourcetest.Fetch(t, src, query(t, "kv1/quiet"))
	sourcetest.Fetch(t, src, query(t, "secret/quiet?version=1"))
	for _, pairs := range [][]string{{"policies=default", "ttl=1h", "meta=geheim"}, {"ttl=geheim"}, {"unknown=geheim", "ttl=1s"}} {
		q, err := watch.NewSecretWrite("auth/token/create", pairs...)
		if err != nil {
			t.Fatal(err)
		}
		value, _, err := src.Fetch(t.Context(), q, 0)
		if err != nil && strings.Contains(err.Error(), "geheim") || strings.Contains(q.String(), "geheim") {
			t.Errorf("%s: %v", q, err)
		}
		if secret, ok := value.(*watch.Secret); ok && secret.Auth != nil && strings.Contains(lines.String(), secret.Auth.ClientToken) {
			t.Error("a token that was made shows in the log")
		}
	}
	for _, secret := range []string{"geheim", server.Token} {
		if strings.Contains(lines.String(), secret) {
			t.Errorf("the log has %q: %s", secret, lines.String())
		}
	}
}

// A record is the lines of a log.
// It is safe for many.
type record struct {
	mu    sync.Mutex
	lines strings.Builder
}

func (r *record) Write(line []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.lines.Write(line)
}

func (r *record) String() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.lines.String()
}

func (r *record) log() *slog.Logger { return slog.New(slog.NewTextHandler(r, nil)) }
