package consul_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/consul/api"

	"render/watch"
	"render/watch/consul"
	"render/watch/consultest"
)

// A board keeps the last state of each query of a set.
type board struct {
	set *watch.Set

	mu     sync.Mutex
	states map[watch.Query]watch.State
}

// watchAll watches queries until the test ends.
func watchAll(t *testing.T, cfg consul.Config, queries ...watch.Query) *board {
	t.Helper()
	cfg.Log = slog.New(slog.NewTextHandler(t.Output(), nil))
	src, err := consul.New(cfg)
	check(t, err)
	b := &board{set: watch.NewSet(src, watch.SetConfig{}), states: make(map[watch.Query]watch.State)}
	ended, done := make(chan struct{}), make(chan struct{})
	t.Cleanup(func() {
		close(ended)
		<-done
		b.set.Close()
		src.Close()
	})
	go func() {
		defer close(done)
		for {
			select {
			case <-b.set.Ready():
				news := b.set.Take()
				b.mu.Lock()
				for q, st := range news {
					b.states[q] = st
				}
				b.mu.Unlock()
			case <-ended:
				return
			}
		}
	}()
	for _, q := range queries {
		b.set.Watch(q)
	}
	for end := time.Now().Add(30 * time.Second); b.answered() < len(queries); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			failing, err := b.failing()
			t.Fatalf("%d of %d queries are answered after 30 s; %d are in error: %v", b.answered(), len(queries), failing, err)
		}
	}
	return b
}

func (b *board) of(q watch.Query) watch.State {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.states[q]
}

func (b *board) answered() (n int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, st := range b.states {
		if st.Rev > 0 {
			n++
		}
	}
	return n
}

// failing returns the queries that are in error, and one of the errors.
func (b *board) failing() (n int, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, st := range b.states {
		if st.Err != nil {
			n, err = n+1, st.Err
		}
	}
	return n, err
}

// within fails the test where a condition is not met in time.
func within(t *testing.T, limit time.Duration, what string, is func() bool) {
	t.Helper()
	for end := time.Now().Add(limit); !is(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not within %s: %s", limit, what)
		}
	}
}

// changes fails the test where a query has no new answer in time after a change.
func (b *board) changes(t *testing.T, limit time.Duration, q watch.Query, what string, change func() error) {
	t.Helper()
	rev := b.of(q).Rev
	check(t, change())
	within(t, limit, what+" reaches "+q.String(), func() bool { return b.of(q).Rev > rev })
}

func service(name string) watch.Query { return watch.NewQuery(watch.KindService, name, nil) }

// web returns the names of n services.
func web(n int) (names []string) {
	for i := range n {
		names = append(names, fmt.Sprintf("web-%03d", i))
	}
	return names
}

// registerTwice registers two instances of each service.
func registerTwice(t *testing.T, agent *consultest.Agent, names []string) (queries []watch.Query) {
	t.Helper()
	for _, name := range names {
		check(t, agent.Register(name, name+"-0", "10.0.0.1", 80, api.HealthPassing))
		check(t, agent.Register(name, name+"-1", "10.0.0.2", 80, api.HealthPassing))
		queries = append(queries, service(name))
	}
	return queries
}

// flip writes the check of an instance that Register has made, and nothing else.
func flip(client *api.Client, name, id, status string) func() error {
	return func() error {
		_, err := client.Catalog().Register(&api.CatalogRegistration{
			Node: "node-" + id, SkipNodeUpdate: true,
			Check: &api.AgentCheck{
				Node: "node-" + id, CheckID: "service:" + id, Name: "check of " + name, Status: status, ServiceID: id, ServiceName: name,
			},
		}, nil)
		return err
	}
}

const webPolicy = `service_prefix "web" { policy = "read" } node_prefix "" { policy = "read" }`

// A token that may not see everything gets changes of what it may see as soon as one that may.
func TestLeastPrivilegeIsFast(t *testing.T) {
	t.Parallel()
	agent, err := consultest.StartACL(t.Context(), "")
	check(t, err)
	defer agent.Stop()
	queries := registerTwice(t, agent, web(200))
	check(t, agent.Register("db", "db", "10.0.0.3", 5432, api.HealthPassing)) // the token may not see it
	policy, err := agent.NewPolicy("web", webPolicy)
	check(t, err)
	token, err := policy.NewToken()
	check(t, err)
	b := watchAll(t, consul.Config{Address: agent.Addr, Token: token}, queries...)
	for i := range 4 {
		name := fmt.Sprintf("web-%03d", 40*i+7)
		b.changes(t, 2*time.Second, service(name), "a failing check", flip(agent.Client, name, name+"-0", api.HealthCritical))
		b.changes(t, 2*time.Second, service(name), "a check that passes again", flip(agent.Client, name, name+"-0", api.HealthPassing))
		b.changes(t, 2*time.Second, service(name), "a third instance", func() error {
			return agent.Register(name, name+"-2", "10.0.0.4", 80, api.HealthPassing)
		})
		b.changes(t, 2*time.Second, service(name), "an instance less", func() error { return agent.Deregister(name + "-2") })
	}
	check(t, flip(agent.Client, "db", "db", api.HealthCritical)())
	b.changes(t, 2*time.Second, queries[3], "a failing check after one that is not visible", flip(agent.Client, "web-003", "web-003-1", api.HealthCritical))
	if n, err := b.failing(); n > 0 {
		t.Errorf("%d queries are in error: %v", n, err)
	}
}

// Where a policy loses a node, a client agent's stream leaves the node's instances out without a word. The last good list stays, with an error
// that says why.
func TestLostRightsOfStream(t *testing.T) {
	t.Parallel()
	ttl := `acl { policy_ttl = "1s", token_ttl = "1s", role_ttl = "1s" }`
	server, err := consultest.StartACL(t.Context(), ttl)
	check(t, err)
	defer server.Stop()
	client, err := server.StartClient(t.Context(), "client", t.TempDir(), ttl)
	check(t, err)
	defer client.Stop()
	many := registerTwice(t, server, web(200))

	for i, others := range [][]watch.Query{nil, many} {
		t.Run(fmt.Sprintf("beside %d", len(others)), func(t *testing.T) {
			name := fmt.Sprint("api-", i)
			check(t, server.Register(name, name+"-a", "10.0.0.1", 80, api.HealthPassing))
			check(t, server.Register(name, name+"-b", "10.0.0.2", 80, api.HealthPassing))
			policy, err := server.NewPolicy(name, `service_prefix "" { policy = "read" } node_prefix "" { policy = "read" }`)
			check(t, err)
			token, err := policy.NewToken()
			check(t, err)
			b := watchAll(t, consul.Config{Address: client.Addr, Token: token, Wait: 10 * time.Second}, append([]watch.Query{service(name)}, others...)...)
			count := func() int {
				list, _ := b.of(service(name)).Value.([]*watch.HealthService)
				return len(list)
			}
			if n := count(); n != 2 {
				t.Fatalf("%d instances, want 2", n)
			}
			check(t, policy.Set(`service_prefix "" { policy = "read" } node_prefix "node-web" { policy = "read" } node "node-`+name+`-a" { policy = "read" }`))
			if len(others) > 0 { // it does not wait by itself, so a change has to name it
				check(t, server.Register(name, name+"-a", "10.0.0.1", 81, api.HealthPassing))
			}
			within(t, 90*time.Second, "the query is in error, with 2 instances", func() bool {
				if n := count(); n != 2 {
					t.Fatalf("%d instances are left, with the error %v", n, b.of(service(name)).Err)
				}
				return b.of(service(name)).Err != nil
			})
			if err := b.of(service(name)).Err; !errors.Is(err, watch.ErrDenied) {
				t.Errorf("the error is %v, want one of missing rights", err)
			}
		})
	}
}

// catalogChanges are changes of a catalog, in this order: of the service web-007 with two instances, and of others.
func catalogChanges(client *api.Client) []catalogChange {
	const name, id, node = "web-007", "web-007-0", "node-web-007-0"
	send := func(r *api.CatalogRegistration) func() error {
		return func() error {
			_, err := client.Catalog().Register(r, nil)
			return err
		}
	}
	remove := func(r *api.CatalogDeregistration) func() error {
		return func() error {
			_, err := client.Catalog().Deregister(r, nil)
			return err
		}
	}
	instance := func(edit func(*api.AgentService)) func() error {
		s := &api.AgentService{ID: id, Service: name, Address: "10.0.0.1", Port: 80}
		edit(s)
		return send(&api.CatalogRegistration{Node: node, SkipNodeUpdate: true, Service: s})
	}
	extra := func(service, status string) func() error {
		c := &api.AgentCheck{Node: node, CheckID: "extra" + service, Name: "extra", Status: status}
		if service != "" {
			c.ServiceID, c.ServiceName = id, service
		}
		return send(&api.CatalogRegistration{Node: node, SkipNodeUpdate: true, Check: c})
	}
	web, of := service(name), watch.NewQuery(watch.KindNode, node, nil)
	services, nodes := watch.NewQuery(watch.KindServices, "", nil), watch.NewQuery(watch.KindNodes, "", nil)
	third := func(status string) func() error {
		return send(&api.CatalogRegistration{Node: "node-third", Address: "10.0.0.9",
			Service: &api.AgentService{ID: "third", Service: name, Port: 80},
			Check:   &api.AgentCheck{Node: "node-third", CheckID: "third", Name: "third", Status: status, ServiceID: "third", ServiceName: name}})
	}
	return []catalogChange{
		{"a check fails", web, flip(client, name, id, api.HealthCritical)},
		{"a check passes", web, flip(client, name, id, api.HealthPassing)},
		{"a check warns", web, flip(client, name, id, api.HealthWarning)},
		{"a check passes again", web, flip(client, name, id, api.HealthPassing)},
		{"another port", web, instance(func(s *api.AgentService) { s.Port = 81 })},
		{"another address", web, instance(func(s *api.AgentService) { s.Port, s.Address = 81, "10.0.0.7" })},
		{"tags", web, instance(func(s *api.AgentService) { s.Port, s.Tags = 81, []string{"a", "b"} })},
		{"tags of the list of services", services, instance(func(s *api.AgentService) { s.Port, s.Tags = 81, []string{"c"} })},
		{"meta data", web, instance(func(s *api.AgentService) { s.Port, s.Tags, s.Meta = 81, []string{"c"}, map[string]string{"a": "b"} })},
		{"weights", web, instance(func(s *api.AgentService) {
			s.Port, s.Tags, s.Weights = 81, []string{"c"}, api.AgentWeights{Passing: 10, Warning: 1}
		})},
		{"tagged addresses", web, instance(func(s *api.AgentService) {
			s.Port, s.TaggedAddresses = 81, map[string]api.ServiceAddress{"wan": {Address: "192.0.2.1", Port: 1}}
		})},
		{"an instance more, with a check", web, third(api.HealthPassing)},
		{"an instance less, with its node", web, remove(&api.CatalogDeregistration{Node: "node-third"})},
		{"an instance more, that fails", nodes, third(api.HealthCritical)},
		{"that instance passes", web, third(api.HealthPassing)},
		{"an instance less", web, remove(&api.CatalogDeregistration{Node: "node-third", ServiceID: "third"})},
		{"a node less", nodes, remove(&api.CatalogDeregistration{Node: "node-third"})},
		{"an instance more, without a check", web, send(&api.CatalogRegistration{Node: "node-plain", Address: "10.0.0.8",
			Service: &api.AgentService{ID: "plain", Service: name, Port: 80}})},
		{"an instance less, that has no check", web, remove(&api.CatalogDeregistration{Node: "node-plain", ServiceID: "plain"})},
		{"a second check, that fails", web, extra(name, api.HealthCritical)},
		{"the second check goes", web, remove(&api.CatalogDeregistration{Node: node, CheckID: "extra" + name})},
		{"a check of the node, that fails", web, extra("", api.HealthCritical)},
		{"the check of the node goes", web, remove(&api.CatalogDeregistration{Node: node, CheckID: "extra"})},
		{"maintenance of the instance", web, send(&api.CatalogRegistration{Node: node, SkipNodeUpdate: true, Check: &api.AgentCheck{
			Node: node, CheckID: "_service_maintenance:" + id, Name: "maintenance", Status: api.HealthCritical, ServiceID: id, ServiceName: name}})},
		{"the end of the maintenance", web, remove(&api.CatalogDeregistration{Node: node, CheckID: "_service_maintenance:" + id})},
		{"a node's meta data", web, send(&api.CatalogRegistration{Node: node, Address: "10.0.0.1", NodeMeta: map[string]string{"rack": "1"}})},
		{"a node's address", web, send(&api.CatalogRegistration{Node: node, Address: "10.0.0.11", NodeMeta: map[string]string{"rack": "1"}})},
		{"a node's tagged address", web, send(&api.CatalogRegistration{Node: node, Address: "10.0.0.11", TaggedAddresses: map[string]string{"wan": "192.0.2.2"}})},
		{"a node's address, for the node", of, send(&api.CatalogRegistration{Node: node, Address: "10.0.0.12"})},
		{"a service more on a node", of, send(&api.CatalogRegistration{Node: node, SkipNodeUpdate: true, Service: &api.AgentService{ID: "side", Service: "side", Port: 1}})},
		{"a service more in the list", services, send(&api.CatalogRegistration{Node: node, SkipNodeUpdate: true, Service: &api.AgentService{ID: "more", Service: "more", Port: 1}})},
		{"a service less on a node", of, remove(&api.CatalogDeregistration{Node: node, ServiceID: "side"})},
		{"a service less in the list", services, remove(&api.CatalogDeregistration{Node: node, ServiceID: "more"})},
		{"a node more", nodes, send(&api.CatalogRegistration{Node: "bare", Address: "10.0.0.20"})},
		{"a bare node's address", nodes, send(&api.CatalogRegistration{Node: "bare", Address: "10.0.0.21"})},
		{"a bare node less", nodes, remove(&api.CatalogDeregistration{Node: "bare"})},
		{"a check fails once more", web, flip(client, name, id, api.HealthCritical)},
		{"a check passes once more", web, flip(client, name, id, api.HealthPassing)},
		{"another port after these", web, instance(func(s *api.AgentService) { s.Port = 90 })},
	}
}

// A catalogChange changes the answer of a query.
type catalogChange struct {
	name  string
	query watch.Query
	do    func() error
}

// On a real Consul: which lists wake at which change. What every query learns of changes by rests on these.
func TestListsThatWake(t *testing.T) {
	t.Parallel()
	agent, err := consultest.Start(t.Context(), "")
	check(t, err)
	defer agent.Stop()
	registerTwice(t, agent, web(10))
	check(t, agent.Register("sick", "sick", "10.0.0.1", 80, api.HealthCritical)) // a list that is empty wakes at each change of a check
	check(t, agent.Register("odd", "odd", "10.0.0.1", 80, api.HealthWarning))
	const services, nodes, critical, warning = "/v1/catalog/services", "/v1/catalog/nodes", "/v1/health/state/critical", "/v1/health/state/warning"
	lists := []string{services, nodes, critical, warning}
	for _, c := range catalogChanges(agent.Client) {
		woken := wakes(t, agent, lists, 1, c.do)
		if len(woken) == 0 {
			t.Errorf("%s wakes no list", c.name)
		}
		t.Logf("%s: %s", c.name, strings.Join(woken, " "))
	}
	output := func(status string) func() error {
		return func() error {
			_, err := agent.Client.Catalog().Register(&api.CatalogRegistration{Node: "node-web-001-0", SkipNodeUpdate: true, Check: &api.AgentCheck{
				Node: "node-web-001-0", CheckID: "service:web-001-0", Name: "check of web-001", Status: status,
				Output: fmt.Sprint(time.Now()), ServiceID: "web-001-0", ServiceName: "web-001"}}, nil)
			return err
		}
	}
	if woken := wakes(t, agent, lists, 0, output(api.HealthPassing)); len(woken) > 0 {
		t.Errorf("what a passing check prints wakes %v", woken)
	}

	const here, there = "/v1/catalog/node-services/node-web-001-0", "/v1/catalog/node-services/node-web-002-0"
	register := func(node, id string, port int) func() error {
		return func() error {
			_, err := agent.Client.Catalog().Register(&api.CatalogRegistration{
				Node: node, SkipNodeUpdate: true, Service: &api.AgentService{ID: id, Service: "web-001", Port: port}}, nil)
			return err
		}
	}
	instances := []struct {
		name string
		want []string
		do   func() error
	}{
		{"another port", []string{here}, register("node-web-001-0", "web-001-0", 81)},
		{"another port elsewhere", []string{there}, register("node-web-002-0", "web-002-0", 81)},
		{"an instance more", []string{here}, register("node-web-001-0", "more", 80)},
		{"an instance less", []string{here}, func() error {
			_, err := agent.Client.Catalog().Deregister(&api.CatalogDeregistration{Node: "node-web-001-0", ServiceID: "more"}, nil)
			return err
		}},
		{"a failing check", nil, output(api.HealthCritical)},
		{"a node more", nil, func() error {
			_, err := agent.Client.Catalog().Register(&api.CatalogRegistration{Node: "node-more", Address: "10.0.0.30"}, nil)
			return err
		}},
	}
	for _, c := range instances {
		if woken := wakes(t, agent, []string{here, there}, len(c.want), c.do); strings.Join(woken, " ") != strings.Join(c.want, " ") {
			t.Errorf("%s wakes %v of the lists of instances, want %v", c.name, woken, c.want)
		}
	}

	app, below := "/v1/kv/app?keys", "/v1/kv/app/one/?recurse"
	check(t, agent.Put("app/one/a", "1"))
	keys := []struct {
		name string
		want []string
		do   func() error
	}{
		{"a key", []string{app, below}, func() error { return agent.Put("app/one/a", "2") }},
		{"a key more", []string{app, below}, func() error { return agent.Put("app/one/b", "1") }},
		{"a key less", []string{app, below}, func() error { return agent.Delete("app/one/b") }},
		{"a key of another folder", []string{app}, func() error { return agent.Put("app/two", "1") }},
		{"a key elsewhere", nil, func() error { return agent.Put("other", "1") }},
	}
	for _, k := range keys {
		if woken := wakes(t, agent, []string{app, below}, len(k.want), k.do); strings.Join(woken, " ") != strings.Join(k.want, " ") {
			t.Errorf("%s wakes %v, want %v", k.name, woken, k.want)
		}
	}
}

// wakes returns those of the lists whose waiting requests a change ends. It waits long for the number of them that should be.
func wakes(t *testing.T, agent *consultest.Agent, lists []string, number int, change func() error) (woken []string) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	type outcome struct {
		at    int
		woken bool
	}
	outcomes := make(chan outcome, len(lists))
	var sent sync.WaitGroup
	for i, path := range lists {
		index, err := indexOf(ctx, agent, path, "0")
		check(t, err)
		sent.Add(1)
		go func() {
			sent.Done()
			after, err := indexOf(ctx, agent, path, index)
			outcomes <- outcome{i, err == nil && after != index}
		}()
	}
	sent.Wait()
	time.Sleep(20 * time.Millisecond) // so that they wait: else it would be no test
	check(t, change())

	limit := 20 * time.Second
	all := make([]bool, len(lists))
	for n := range lists {
		if n >= number {
			limit = 150 * time.Millisecond // what sleeps for so long is not woken
		}
		late := time.AfterFunc(limit, cancel)
		o := <-outcomes
		late.Stop()
		all[o.at] = o.woken
	}
	for i, path := range lists {
		if all[i] {
			woken = append(woken, path)
		}
	}
	return woken
}

// indexOf asks for a path, waits while the index is the one given, and returns the answer's.
func indexOf(ctx context.Context, agent *consultest.Agent, path, after string) (string, error) {
	separator := "?"
	if strings.Contains(path, "?") {
		separator = "&"
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+agent.Addr+path+separator+"index="+after, nil)
	if err != nil {
		return "", err
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		return "", err
	}
	return resp.Header.Get("X-Consul-Index"), resp.Body.Close()
}
