package vault

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"render/watch"
	"render/watch/hint"
	"render/watch/vaulttest"
)

// A proxied answers in place of a Vault where it has something to say.
type proxied struct {
	url  string
	says atomic.Pointer[said]
}

// A said is an answer to all requests whose path has a part.
type said struct {
	status int
	text   string
	part   string
}

// proxiedFrom starts a proxy that hands requests on to a Vault.
func proxiedFrom(t *testing.T, server *vaulttest.Server) *proxied {
	t.Helper()
	to, err := url.Parse(server.Addr)
	if err != nil {
		t.Fatal(err)
	}
	p, next := new(proxied), httputil.NewSingleHostReverseProxy(to)
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if a := p.says.Load(); a != nil && strings.Contains(r.URL.Path, a.part) {
			w.WriteHeader(a.status)
			_, _ = w.Write([]byte(a.text))
			return
		}
		next.ServeHTTP(w, r)
	}))
	t.Cleanup(proxy.Close)
	p.url = proxy.URL
	return p
}

// What a proxy answers in place of Vault is an error of the query, whatever it is: never does the secret become absent, nor another one.
// What Vault itself answers where there is nothing is no error.
func TestAnswersOfOthers(t *testing.T) {
	server := real(t)
	t.Parallel()
	server.Put(t, "kv1/proxied", map[string]any{"a": "1"})
	server.Must(t, http.MethodDelete, "secret/metadata/proxied", nil) // so that there is a version 1
	server.Put(t, "secret/data/proxied", map[string]any{"data": map[string]any{"a": "1"}})
	list := func(path string) watch.Query {
		q, err := watch.NewSecrets(path)
		if err != nil {
			t.Fatal(err)
		}
		return q
	}
	there := []watch.Query{
		query(t, "kv1/proxied"), query(t, "secret/proxied"), query(t, "secret/data/proxied?version=1"), query(t, "secret/metadata/proxied"),
		query(t, "secret/subkeys/proxied"), list("kv1"), list("secret"), query(t, "auth/token/lookup-self"), query(t, "sys/policies/acl/default"),
	}
	missing := []watch.Query{
		query(t, "kv1/none"), query(t, "secret/none"), query(t, "secret/proxied?version=9"), query(t, "secret/metadata/none"), query(t, "secret/subkeys/none"),
		query(t, "cubbyhole/none"), query(t, "sys/policy/none"), query(t, "identity/entity/id/none"),
		query(t, "identity/oidc/provider/none/.well-known/keys"), list("kv1/none"), list("secret/none"), list("secret/metadata/none"),
	}

	p := proxiedFrom(t, server)
	src := of(t, server, Config{Address: p.url})
	ask := func(q watch.Query) (any, error) {
		a, err := src.answer(t.Context(), q, usedToken{token: server.Token})
		return a.value, err
	}
	for n, q := range append(there[:len(there):len(there)], missing...) {
		value, err := ask(q)
		if absent := value == nil || fmt.Sprint(value) == "[]"; err != nil || absent != (n >= len(there)) {
			t.Errorf("%s: got %v, %v", q, value, err)
		}
	}

	write, _ := watch.NewSecretWrite("kv1/other", "a=b")
	for _, says := range []said{
		{404, "", ""}, {404, "{}", ""}, {404, `{"message":"no Route matched with those values"}`, ""}, {404, "<html>not found</html>", ""},
		{200, "", ""}, {200, "{}", ""}, {200, `{"data":null}`, ""}, {200, "null", ""}, {200, `{"errors":[]}`, ""}, {200, "<html>log in</html>", ""}, {204, "", ""},
	} {
		for _, q := range append(append(there[:len(there):len(there)], missing...), write) {
			raw := strings.HasPrefix(q.Name, "sys/") || strings.HasPrefix(q.Name, "identity/")
			if raw && says.text == `{"data":null}` || q == write && says.status == http.StatusNoContent {
				continue // Vault may answer that
			}
			p.says.Store(&says)
			value, err := ask(q)
			if err == nil {
				t.Errorf("%d %q: %s: got %v", says.status, says.text, q, value)
			} else if got := strings.Join(hint.Of(err), "\n"); !strings.HasPrefix(got, "is this Vault?") {
				t.Errorf("%d %q: %s: %v: the hint is %q", says.status, says.text, q, err, got)
			}
			p.says.Store(nil)
			if value, err := ask(there[0]); err != nil || value == nil { // and there is no outage
				t.Fatalf("%d %q: %s: then Vault itself answers %v, %v", says.status, says.text, q, value, err)
			}
		}
	}
}

// A secret keeps its value while a proxy answers in place of Vault.
func TestSecretKeepsValue(t *testing.T) {
	server := real(t)
	t.Parallel()
	server.Put(t, "secret/data/kept", map[string]any{"data": map[string]any{"a": "1"}})
	p := proxiedFrom(t, server)
	src := of(t, server, Config{Address: p.url, LeaseDuration: time.Second, Backoff: 10 * time.Millisecond, MaxBackoff: 50 * time.Millisecond})
	q := query(t, "secret/kept")
	set := watch.NewSet(src, watch.SetConfig{})
	defer set.Close()
	set.Watch(q)
	until := func(what string, done func(watch.State) bool) {
		t.Helper()
		for deadline := time.After(30 * time.Second); ; {
			if st, ok := set.Take()[q]; ok {
				if secret, ok := st.Value.(*watch.Secret); !ok || secret == nil || secret.Data["data"] == nil {
					t.Fatalf("%s: the value is %v", what, st.Value)
				}
				if done(st) {
					return
				}
			}
			select {
			case <-set.Ready():
			case <-deadline:
				t.Fatalf("%s: not within 30 s", what)
			}
		}
	}
	until("at first", func(st watch.State) bool { return st.Err == nil })
	p.says.Store(&said{status: http.StatusNotFound})
	until("beside the proxy's answer", func(st watch.State) bool { return st.Err != nil })
	p.says.Store(nil)
	until("after that", func(st watch.State) bool { return st.Err == nil })
}

// What a proxy answers to the question about a mount does not make a KV v2 a KV v1, whose secrets would be absent.
func TestMountOfOthers(t *testing.T) {
	server := real(t)
	t.Parallel()
	server.Put(t, "secret/data/mounted", map[string]any{"data": map[string]any{"a": "1"}})
	for _, says := range []said{
		{status: 404}, {404, `{"message":"not found"}`, ""}, {200, `{"status":"ok"}`, ""}, {200, `{"data":{}}`, ""}, {200, `{"data":{"path":"other/"}}`, ""}, {status: 204}, {status: 502},
	} {
		says.part = "/internal/ui/mounts/"
		p := proxiedFrom(t, server)
		p.says.Store(&says)
		src := of(t, server, Config{Address: p.url, Backoff: time.Millisecond, MaxBackoff: 10 * time.Millisecond})
		if value, _, err := src.Fetch(t.Context(), query(t, "secret/mounted"), 0); err == nil {
			t.Errorf("%d %s: got %v", says.status, says.text, value)
		}
		p.says.Store(nil)
		for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(5 * time.Millisecond) {
			value, _, err := src.Fetch(t.Context(), query(t, "secret/mounted"), 0)
			if secret, ok := value.(*watch.Secret); err == nil && ok && secret.Data["data"] != nil {
				break
			}
			if time.Now().After(deadline) {
				t.Fatalf("%d %s: Vault itself answers %v, %v", says.status, says.text, value, err)
			}
		}
	}
}

// Where the mount of secrets has just gone, they are not absent, and no list is empty. What is mounted there next is found out about.
func TestUnmounted(t *testing.T) {
	server := real(t)
	t.Parallel()
	src := of(t, server, Config{})
	list, _ := watch.NewSecrets("gone")
	ask := func(q watch.Query) string {
		a, err := src.answer(t.Context(), q, usedToken{token: server.Token})
		if s, ok := a.value.(*watch.Secret); ok {
			return fmt.Sprint(s.Data["a"], s.Data["data"])
		}
		return fmt.Sprint(a.value, err)
	}
	for _, step := range []struct {
		mount   map[string]any // nil for none
		path    string
		content map[string]any
		want    string
	}{
		{map[string]any{"type": "kv", "options": map[string]string{"version": "2"}}, "gone/data/a", map[string]any{"data": map[string]any{"a": "one"}}, "map[a:one]"},
		{nil, "", nil, "no handler for route"},
		{map[string]any{"type": "kv"}, "gone/a", map[string]any{"a": "two"}, "two"},
		{nil, "", nil, "no handler for route"},
	} {
		if step.mount == nil {
			server.Must(t, http.MethodDelete, "sys/mounts/gone", nil)
		} else {
			server.Put(t, "sys/mounts/gone", step.mount)
			for end := time.Now().Add(20 * time.Second); ; time.Sleep(20 * time.Millisecond) { // a KV v2 is upgraded first
				if _, err := server.Do(http.MethodPut, step.path, step.content); err == nil {
					break
				} else if time.Now().After(end) {
					t.Fatal(err)
				}
			}
		}
		for _, q := range []watch.Query{query(t, "gone/a"), list} {
			want := step.want
			if q == list && step.mount != nil {
				want = "[a]"
			}
			if got := ask(q); !strings.Contains(got, want) {
				t.Errorf("%s: got %s, want %s", q, got, want)
			}
		}
	}
}
