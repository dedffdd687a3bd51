package consul_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"render/watch"
	"render/watch/consul"
)

// Names are escaped once, whatever is in them.
func TestConsulOddNames(t *testing.T) {
	src := newConsul(t)
	for _, key := range []string{"odd/a b", "odd/ä/ö", "odd/100%", "odd/%2F", "odd/a+b&c=d", "odd/#x", "odd/q?dc=x", "odd/x@y", "odd/folder/", "odd/a|b~c", "odd/..x", "odd/.x"} {
		check(t, agent.Put(key, "value of "+key))
		value, _, err := src.Fetch(t.Context(), watch.NewQuery(watch.KindKV, key, nil), 0)
		if value != "value of "+key || err != nil {
			t.Errorf("key %q: got %v, %v", key, value, err)
		}
		list, _, err := src.Fetch(t.Context(), watch.NewQuery(watch.KindPrefix, key, nil), 0)
		if pairs, ok := list.([]*watch.KeyPair); !ok || len(pairs) == 0 || pairs[0].Path != key || err != nil {
			t.Errorf("prefix %q: got %v, %v", key, list, err)
		}
	}
	slash, err := http.NewRequest(http.MethodPut, "http://"+agent.Addr+"/v1/kv/%2Fodd/slash", strings.NewReader("first"))
	check(t, err)
	resp, err := http.DefaultClient.Do(slash)
	check(t, err)
	check(t, resp.Body.Close())
	if value, _, err := src.Fetch(t.Context(), watch.NewQuery(watch.KindKV, "/odd/slash", nil), 0); value != "first" || err != nil {
		t.Errorf("key with a slash first: got %v, %v", value, err)
	}
	for i, name := range []string{"odd.name", "odd name", "odd/name", "odd:näme", "odd%name", "odd?name", "..", ".", "...", "odd/../name", "odd//name", "odd@dc1|any~x", `odd"name\\`} {
		id := fmt.Sprintf("odd-%d", i)
		check(t, agent.Register(name, id, "10.0.0.1", 80, "passing", "tag with blanks"))
		value, _, err := src.Fetch(t.Context(), watch.NewQuery(watch.KindService, name, map[string][]string{watch.OptTag: {"tag with blanks"}}), 0)
		if list, ok := value.([]*watch.HealthService); !ok || len(list) != 1 || list[0].ID != id || err != nil {
			t.Errorf("service %q: got %v, %v", name, value, err)
		}
		value, _, err = src.Fetch(t.Context(), watch.NewQuery(watch.KindConnect, name, nil), 0)
		if list, ok := value.([]*watch.HealthService); !ok || len(list) != 0 || err != nil {
			t.Errorf("connect %q: got %v, %v", name, value, err)
		}
		value, _, err = src.Fetch(t.Context(), watch.NewQuery(watch.KindNode, "node-"+id, nil), 0)
		if node, ok := value.(*watch.CatalogNode); !ok || node.Services[0].Service != name || err != nil {
			t.Errorf("node of %q: got %v, %v", name, value, err)
		}
		check(t, agent.Deregister(id))
	}
}

// A key is that key, whatever its name has in it: no other key's value is its answer.
func TestConsulKeyIsThatKey(t *testing.T) {
	src := newConsul(t)
	check(t, agent.Put("that/secret/b", "secret"))
	for _, key := range []string{
		"that/app/../secret/b", "that/secret//b", "that/./secret/b", "that/app/x/../../secret/b", "that/secret/./b", "../kv/that/secret/b", "that/secret/b/", "/that/secret/b",
		"that/secret/x/../b", "that/%2e%2e/secret/b", "that/secret/b/.", "../agent/self",
	} {
		if value, _, err := src.Fetch(t.Context(), watch.NewQuery(watch.KindKV, key, nil), 0); value != nil {
			t.Errorf("key %q: got %v, %v", key, value, err)
		}
	}
	for _, prefix := range []string{"that/app/../secret", "that/app/../secret/", "that//secret", "that/./", "./that/", "../kv/that", "that/secret//"} {
		value, _, err := src.Fetch(t.Context(), watch.NewQuery(watch.KindPrefix, prefix, nil), 0)
		if list, _ := value.([]*watch.KeyPair); len(list) != 0 {
			t.Errorf("prefix %q: got %s, %v", prefix, list[0].Path, err)
		}
	}
	if value, _, err := src.Fetch(t.Context(), watch.NewQuery(watch.KindKV, "that/secret/b", nil), 0); value != "secret" {
		t.Errorf("got %v, %v", value, err)
	}
}

// What a server that is not Consul, or not well, answers is an error that says so, and never data.
func TestConsulFaults(t *testing.T) {
	tests := []struct {
		name   string
		answer http.HandlerFunc
		want   string // part of the error
	}{
		{"an error", func(w http.ResponseWriter, _ *http.Request) {
			http.Error(w, "No cluster leader", http.StatusInternalServerError)
		}, "answered 500 Internal Server Error: No cluster leader"},
		{"forbidden", func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "ACL not found", http.StatusForbidden) }, "403 Forbidden: ACL not found"},
		{"not found, by somebody else", func(w http.ResponseWriter, r *http.Request) { http.NotFound(w, r) }, "answered 404 Not Found: the answer has no index header"},
		{"a page", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "<html>hello</html>") }, "answered 200 OK: the answer has no index header"},
		{"null", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "null") }, "answered 200 OK: the answer has no index header"},
		{"nothing", func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("X-Consul-Index", "7") }, "not the JSON"},
		{"another shape", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("X-Consul-Index", "7")
			fmt.Fprint(w, `{"a": 1}`)
		}, "not the JSON"},
		{"deep nesting", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("X-Consul-Index", "7")
			fmt.Fprint(w, strings.Repeat("[", 3_000_000))
		}, "not the JSON"},
		{"deep nesting in a field that nobody knows", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("X-Consul-Index", "7")
			fmt.Fprint(w, `[{"Unknown":`, strings.Repeat(`{"a":`, 3_000_000))
		}, "not the JSON"},
		{"half an answer", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("X-Consul-Index", "7")
			w.Header().Set("Content-Length", "100")
			fmt.Fprint(w, `[{"Key": "a"`)
		}, "unexpected EOF"},
		{"a connection that is cut", func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, "EOF"},
		{"a long complaint", func(w http.ResponseWriter, _ *http.Request) {
			http.Error(w, strings.Repeat("x\n", 10000), http.StatusBadGateway)
		}, "502 Bad Gateway: x x"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			server := httptest.NewServer(test.answer)
			defer server.Close()
			src, err := consul.New(consul.Config{Address: server.URL + "/prefix"})
			check(t, err)
			defer src.Close()
			for _, q := range []watch.Query{
				watch.NewQuery(watch.KindKV, "k", nil), watch.NewQuery(watch.KindPrefix, "k", nil), watch.NewQuery(watch.KindService, "s", nil),
			} {
				value, _, err := src.Fetch(t.Context(), q, 0)
				if err == nil || !strings.Contains(err.Error(), test.want) || !strings.Contains(err.Error(), server.URL) {
					t.Errorf("%s: got %v, %v; want %q", q, value, err, test.want)
				}
				if err != nil && len(err.Error()) > 600 {
					t.Errorf("%s: an error of %d bytes", q, len(err.Error()))
				}
			}
		})
	}
}

// What a request carries.
func TestConsulRequest(t *testing.T) {
	t.Setenv("CONSUL_HTTP_AUTH", "user:password")
	t.Setenv("CONSUL_NAMESPACE", "team")
	var got *http.Request
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got = r
		w.Header().Set("X-Consul-Index", "7")
		fmt.Fprint(w, "[]")
	}))
	defer server.Close()
	src, err := consul.New(consul.Config{Address: server.URL + "/prefix", Token: "secret", UserAgent: "render/1.2"})
	check(t, err)
	defer src.Close()
	q := watch.NewQuery(watch.KindService, "web", map[string][]string{
		watch.OptDatacenter: {"dc2"}, watch.OptNear: {"_agent"}, watch.OptTag: {"a", "b"}, watch.OptPeer: {"p"}, watch.OptPartition: {"part"},
	})
	if _, index, err := src.Fetch(t.Context(), q, 5); err != nil || index != 7 {
		t.Fatalf("index %d, %v", index, err)
	}
	wait := got.FormValue("wait")
	if d, err := time.ParseDuration(wait); err != nil || d > time.Minute || d < 45*time.Second {
		t.Errorf("asked to wait %s", wait)
	}
	const want = "/prefix/v1/health/service/web?dc=dc2&index=5&near=_agent&ns=team&partition=part&passing=1&peer=p&stale=&tag=a&tag=b"
	if got.RequestURI != want+"&wait="+wait {
		t.Errorf("asked %s, want %s", got.RequestURI, want)
	}
	if token := got.Header.Get("X-Consul-Token"); token != "secret" {
		t.Errorf("token %q", token)
	}
	if agent := got.Header.Get("User-Agent"); agent != "render/1.2" {
		t.Errorf("user agent %q", agent)
	}
	if user, password, _ := got.BasicAuth(); user != "user" || password != "password" {
		t.Errorf("user %q, password %q", user, password)
	}
}
