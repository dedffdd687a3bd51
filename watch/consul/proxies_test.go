package consul_test

import (
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hashicorp/consul/api"

	"render/watch"
	"render/watch/consul"
	"render/watch/consultest"
)

// nginx speaks HTTP/2 to render, and HTTP/1.1 to a stock agent, with a connection for each request that waits: 300 of them are more than the
// agent allows.
func TestHTTP2Proxy(t *testing.T) {
	t.Parallel()
	agent, tls, err := consultest.StartTLS(t.Context(), t.TempDir(), "")
	check(t, err)
	defer agent.Stop()
	address := startNginx(t, agent.Addr, tls)
	writer := clientFrom(t, "127.0.0.2", agent.Addr) // the proxy uses up what the agent allows for its own
	var queries []watch.Query
	put := func(i int, value string) func() error {
		return func() error {
			_, err := writer.KV().Put(&api.KVPair{Key: fmt.Sprint("app/", i), Value: []byte(value)}, nil)
			return err
		}
	}
	for i := range 300 {
		if i%2 == 0 {
			check(t, put(i, "first")())
			queries = append(queries, watch.NewQuery(watch.KindKV, fmt.Sprint("app/", i), nil))
			continue
		}
		name := fmt.Sprintf("web-%03d", i)
		check(t, agent.Register(name, name, "10.0.0.1", 80, api.HealthPassing))
		queries = append(queries, service(name))
	}
	b := watchAll(t, consul.Config{Address: "https://" + address, TLS: consul.TLS{Enabled: true, CACert: tls.CA}}, queries...)

	began, worst := time.Now(), 0
	for i := 0; time.Since(began) < 80*time.Second; i++ { // nginx ends what waits for a minute
		time.Sleep(time.Second)
		n, err := b.failing()
		if n > 0 && time.Since(began) > time.Minute {
			t.Fatalf("%d queries are in error after %s: %v", n, time.Since(began), err)
		}
		worst = max(worst, n)
		if at := i * 7 % 300; i%4 == 0 && time.Since(began) > 30*time.Second { // until then render finds out how many can wait
			if at%2 == 0 {
				b.changes(t, 5*time.Second, queries[at], "a change", put(at, fmt.Sprint("value ", i)))
			} else {
				name := fmt.Sprintf("web-%03d", at)
				b.changes(t, 5*time.Second, queries[at], "a failing check", flip(writer, name, name, api.HealthCritical))
			}
		}
	}
	t.Logf("at most %d queries were in error", worst)
}

// startNginx starts nginx in front of an agent's HTTP API and returns its address, which speaks HTTP/2 over TLS.
func startNginx(t *testing.T, agent string, tls *consultest.TLS) (address string) {
	t.Helper()
	binary, err := exec.LookPath("nginx")
	if err != nil {
		binary, err = exec.LookPath("/usr/sbin/nginx") // where Debian keeps it
	}
	if err != nil {
		t.Fatal("no nginx to test with: run `make nginx` once")
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	check(t, err)
	address = l.Addr().String()
	check(t, l.Close())
	dir := t.TempDir()
	conf := filepath.Join(dir, "nginx.conf")
	check(t, os.WriteFile(conf, fmt.Appendf(nil, `daemon off;
master_process off;
pid %[1]s/pid;
error_log stderr crit;
events { worker_connections 4096; }
http {
	access_log off;
	client_body_temp_path %[1]s/body;
	proxy_temp_path %[1]s/proxy;
	fastcgi_temp_path %[1]s/fastcgi;
	uwsgi_temp_path %[1]s/uwsgi;
	scgi_temp_path %[1]s/scgi;
	server {
		listen %[2]s ssl http2;
		ssl_certificate %[3]s;
		ssl_certificate_key %[4]s;
		location / { proxy_pass http://%[5]s; }
	}
}
`, dir, address, tls.Cert, tls.Key, agent), 0o644))
	cmd := exec.Command(binary, "-c", conf)
	cmd.Stderr = t.Output()
	check(t, cmd.Start())
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	within(t, 20*time.Second, "nginx listens", func() bool {
		conn, err := net.Dial("tcp", address)
		if err == nil {
			_ = conn.Close()
		}
		return err == nil
	})
	return address
}

// clientFrom returns a client with an address of its own, to which an agent's limits apply apart from others.
func clientFrom(t *testing.T, from, agent string) *api.Client {
	t.Helper()
	c := api.DefaultConfig()
	c.Address = agent
	c.Transport.DialContext = (&net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}).DialContext
	client, err := api.NewClient(c)
	check(t, err)
	return client
}

// A datacenter that does not answer is no reason to leave the address that answers for all others.
func TestSilentDatacenterMovesNothing(t *testing.T) {
	t.Parallel()
	agent := consulAgent(t)
	first, second := consultest.NewProxy(agent.Addr), consultest.NewProxy(agent.Addr)
	defer first.Close()
	defer second.Close()
	for _, p := range []*consultest.Proxy{first, second} {
		p.Set(consultest.Fault(consultest.Silent).Where(func(r *http.Request) bool { return r.URL.Query().Get("dc") == "other" }))
	}
	var queries []watch.Query
	for i := range 50 {
		key := fmt.Sprint("silent/", i)
		check(t, agent.Put(key, "first"))
		queries = append(queries, watch.NewQuery(watch.KindKV, key, nil))
	}
	b := watchAll(t, consul.Config{Address: first.Addr + "," + second.Addr}, queries...)
	other := watch.NewQuery(watch.KindService, "web", map[string][]string{watch.OptDatacenter: {"other"}})
	b.set.Watch(other)
	within(t, time.Minute, "the query of the silent datacenter is in error", func() bool { return b.of(other).Err != nil })

	for i, q := range queries[:5] {
		b.changes(t, 2*time.Second, q, "a change", func() error { return agent.Put(q.Name, fmt.Sprint("second ", i)) })
	}
	if n := len(second.Requests()); n > 0 {
		t.Errorf("the second address got %d requests", n)
	}
	if n, err := b.failing(); n != 1 {
		t.Errorf("%d queries are in error, want 1: %v", n, err)
	}
}

// A key is that key, whatever stands in its name: never another, to which such a path would lead.
func TestKeyIsNoPath(t *testing.T) {
	t.Parallel()
	src := newConsul(t)
	const secret = "nobody may read this here"
	check(t, agent.Put("vault/b", secret))
	check(t, agent.Put("app/x/b", "harmless"))
	for _, name := range []string{
		"app/../vault/b", "vault//b", "./vault/b", "app/x/../../vault/b", "vault/./b", "../kv/vault/b", "/vault/b", "//vault/b", "vault/x/../b",
		"../agent/self", "app/..%2fvault/b", "app%2f..%2fvault/b", "vault/b/.", "vault/b/x/..", `app\..\vault\b`, "..", ".", "../", "app/..",
	} {
		value, _, err := src.Fetch(t.Context(), watch.NewQuery(watch.KindKV, name, nil), 0)
		if value != nil {
			t.Errorf("key %q: got %q, %v", name, value, err)
		}
		value, _, err = src.Confirm(t.Context(), watch.NewQuery(watch.KindKV, name, nil))
		if value != nil {
			t.Errorf("key %q, confirmed: got %q, %v", name, value, err)
		}
		value, _, err = src.Fetch(t.Context(), watch.NewQuery(watch.KindPrefix, name, nil), 0)
		pairs, _ := value.([]*watch.KeyPair)
		for _, pair := range pairs {
			if pair.Path == "vault/b" || pair.Value == secret {
				t.Errorf("prefix %q: got %q, %v", name, pair.Path, err)
			}
		}
	}
}

// A redirect is an error, and nobody else gets the token.
func TestNoRedirect(t *testing.T) {
	t.Parallel()
	var asked atomic.Int64
	elsewhere := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		asked.Add(1)
		w.Header().Set("X-Consul-Index", "7")
		fmt.Fprint(w, "[]")
	}))
	defer elsewhere.Close()
	for _, status := range []int{301, 302, 303, 307, 308} {
		redirects := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, elsewhere.URL+r.URL.Path, status)
		}))
		src, err := consul.New(consul.Config{Address: redirects.URL, Token: "secret-token"})
		check(t, err)
		for _, q := range []watch.Query{service("web"), watch.NewQuery(watch.KindKV, "a", nil)} {
			value, _, err := src.Fetch(t.Context(), q, 0)
			if err == nil || !strings.Contains(err.Error(), fmt.Sprint(status)) || strings.Contains(err.Error(), "secret-token") {
				t.Errorf("%d: %s: got %v, %v; want an error with the status", status, q, value, err)
			}
		}
		src.Close()
		redirects.Close()
	}
	if n := asked.Load(); n > 0 {
		t.Errorf("the other address got %d requests", n)
	}
}

// Whatever changes in a catalog or among keys, every query learns of it within seconds, although there are more queries than connections: on a
// server, and on a client agent.
func TestEveryChangeArrives(t *testing.T) {
	t.Parallel()
	server, err := consultest.Start(t.Context(), "")
	check(t, err)
	defer server.Stop()
	client, err := server.StartClient(t.Context(), "client", t.TempDir(), "")
	check(t, err)
	defer client.Stop()
	queries := registerTwice(t, server, web(250))
	for i := range 60 {
		check(t, server.Put(fmt.Sprint("app/", i%4, "/", i), "first"))
		queries = append(queries, watch.NewQuery(watch.KindKV, fmt.Sprint("app/", i%4, "/", i), nil))
	}
	key, folder := watch.NewQuery(watch.KindKV, "app/1/1", nil), watch.NewQuery(watch.KindPrefix, "app/2/", nil)
	late, all := watch.NewQuery(watch.KindKV, "late/key", nil), watch.NewQuery(watch.KindPrefix, "app", nil)
	queries = append(queries, folder, late, all, watch.NewQuery(watch.KindServices, "", nil), watch.NewQuery(watch.KindNodes, "", nil),
		watch.NewQuery(watch.KindNode, "node-web-007-0", nil))
	put := func(key, value string) func() error { return func() error { return server.Put(key, value) } }
	changes := append(catalogChanges(server.Client), []catalogChange{
		{"a key", key, put("app/1/1", "second")},
		{"a key less", key, func() error { return server.Delete("app/1/1") }},
		{"a key again", key, put("app/1/1", "third")},
		{"a key in a folder", folder, put("app/2/2", "second")},
		{"a key more in a folder", folder, put("app/2/deep/er", "first")},
		{"a key less in a folder", folder, func() error { return server.Delete("app/2/deep/er") }},
		{"a key more", late, put("late/key", "first")},
		{"a key more below all", all, put("apple", "first")},
		{"a folder less", folder, func() error {
			_, err := server.Client.KV().DeleteTree("app/2/", nil)
			return err
		}},
	}...)

	// A board without lists: what wakes a query for a list may hide that nothing wakes the others.
	var names []watch.Query
	for _, q := range queries {
		if q.Kind == watch.KindService || q.Kind == watch.KindKV {
			names = append(names, q)
		}
	}
	boards := make(map[string]*board)
	for where, address := range map[string]string{"server": server.Addr, "client": client.Addr} {
		boards[where] = watchAll(t, consul.Config{Address: address, MaxConnections: 90}, queries...)
		boards[where+" without lists"] = watchAll(t, consul.Config{Address: address, MaxConnections: 90}, names...)
	}
	// Behind a client agent changes that no signal names are looked for each ten seconds while they go on.
	const limit, most = 30 * time.Second, time.Minute
	for _, c := range changes {
		before := make(map[string]uint64)
		for where, b := range boards {
			if st := b.of(c.query); st.Rev > 0 {
				before[where] = st.Rev
			}
		}
		began := time.Now()
		check(t, c.do())
		for len(before) > 0 && time.Since(began) < most {
			for where, rev := range before {
				if boards[where].of(c.query).Rev == rev {
					continue
				}
				delete(before, where)
				if took := time.Since(began); took > limit {
					t.Errorf("%s: %s reached %s after %s", where, c.name, c.query, took)
				}
			}
			time.Sleep(time.Millisecond)
		}
		for where := range before {
			t.Errorf("%s: %s did not reach %s within %s", where, c.name, c.query, most)
		}
	}
	for where, b := range boards {
		if n, err := b.failing(); n > 0 {
			t.Errorf("%s: %d queries are in error: %v", where, n, err)
		}
	}
}
