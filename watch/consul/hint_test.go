package consul

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/consul/api"

	"render/watch"
	"render/watch/consultest"
)

// More queries than connections: never more connections than are allowed, every change arrives, and when nothing moves
// there is next to nothing to do.
func TestManyQueriesFewConnections(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, f *fake) {
		services, paths := f.services(250)
		keys, keyPaths := f.keys("app", 50)
		queries, paths := append(services, keys...), append(paths, keyPaths...)
		c, out := f.consul(Config{MaxConnections: 32})
		fl := follow(t, c, watch.SetConfig{}, queries...)
		later(10 * time.Second)
		if n := fl.answered(); n != 300 {
			t.Fatalf("%d of 300 queries answered", n)
		}
		if n := out.count("hints tell when to read"); n != 1 || !strings.Contains(out.String(), "queries=300 connections=24") {
			t.Errorf("told: %s", out)
		}
		for range 40 {
			i := rand.IntN(300)
			f.put(paths[i], fmt.Sprint(rand.IntN(60000)+1))
			later(time.Duration(rand.IntN(1000)+1) * time.Millisecond)
		}
		later(hintSpacing + hintLag)
		fl.agree(t, f, queries, paths)
		later(time.Minute)
		began := time.Now()
		later(10 * time.Minute)
		if n := len(f.since(began)); n > 70 {
			t.Errorf("%d requests in 10 quiet minutes", n)
		}
		f.put(paths[5], "4711")
		later(time.Millisecond)
		if got := fl.is(queries[5]); got != "4711" {
			t.Errorf("a change after a quiet time is not there at once: %s", got)
		}
		if f.mostOpen() > 32 || fl.errors() != 0 {
			t.Errorf("%d connections, %d errors", f.mostOpen(), fl.errors())
		}
	})
}

// A check that prints something else at each run is no reason to read everything again at once; one that changes its status is.
func TestHintNoise(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, f *fake) {
		queries, _ := f.services(60)
		f.put("/check/sick", "critical 0")
		c, _ := f.consul(Config{MaxConnections: 16})
		follow(t, c, watch.SetConfig{}, queries...)
		later(2 * time.Minute)
		reads := func(of func()) (n int) {
			began := time.Now()
			of()
			for _, r := range f.since(began) {
				if strings.HasPrefix(r.path, "/v1/health/service/") {
					n++
				}
			}
			return n
		}
		if n := reads(func() {
			for i := range 60 {
				f.put("/check/sick", fmt.Sprint("critical ", i))
				later(500 * time.Millisecond)
				f.put("/check/well", fmt.Sprint("passing ", i))
				later(500 * time.Millisecond)
			}
		}); n < 60 || n > 3*60 {
			t.Errorf("%d reads of 60 queries in a minute of noise, want two or three of each", n)
		}
		later(2 * time.Minute)
		if n := reads(func() { f.put("/check/well", "critical x"); later(hintSpacing) }); n != 60 {
			t.Errorf("%d reads of 60 queries at once after a change of status", n)
		}
	})
}

// agree fails the test where a value is not what the fake has.
func (fl *follower) agree(t *testing.T, f *fake, queries []watch.Query, paths []string) {
	t.Helper()
	f.mu.Lock()
	facts := maps.Clone(f.facts)
	f.mu.Unlock()
	wrong := 0
	for i, q := range queries {
		if got, want := fl.is(q), facts[paths[i]].value; got != want {
			if wrong++; wrong < 5 {
				t.Errorf("%s is %s (%v), want %s", q, got, fl.of(q).Err, want)
			}
		}
	}
	if wrong > 0 {
		t.Fatalf("%d of %d are wrong", wrong, len(queries))
	}
}

// Whatever changes, while whatever queries come and go, in whatever folders: in the end each query that is watched has the
// true value.
func TestHintsLoseNothing(t *testing.T) {
	t.Parallel()
	for seed := range uint64(2) {
		bubble(t, func(t *testing.T, f *fake) {
			random := rand.New(rand.NewPCG(seed, 1))
			services, paths := f.services(40)
			queries := services
			for folder := range 10 {
				q, p := f.keys(fmt.Sprint("f", folder), 8)
				queries, paths = append(queries, q...), append(paths, p...)
			}
			most := 16 + random.IntN(40)
			f.mu.Lock()
			f.answersAfter = time.Duration(random.IntN(30)) * time.Millisecond
			f.mu.Unlock()
			c, _ := f.consul(Config{MaxConnections: most})
			fl := follow(t, c, watch.SetConfig{}, queries...)
			watched := make(map[int]bool)
			for i := range queries {
				watched[i] = true
			}
			for range 250 {
				i := random.IntN(len(queries))
				switch random.IntN(6) {
				case 0:
					fl.set.Forget(queries[i])
					watched[i] = false
				case 1:
					fl.set.Watch(queries[i])
					watched[i] = true
				case 2:
					fl.set.Forget(queries[i])
					fl.set.Watch(queries[i])
					watched[i] = true
				default:
					f.put(paths[i], fmt.Sprint(random.IntN(60000)+1))
				}
				time.Sleep(time.Duration(random.IntN(1+random.IntN(3000))) * time.Millisecond)
			}
			later(turnEvery + hintSpacing + hintLag + time.Second)
			var left []watch.Query
			var leftPaths []string
			for i, q := range queries {
				if watched[i] {
					left, leftPaths = append(left, q), append(leftPaths, paths[i])
				}
			}
			fl.agree(t, f, left, leftPaths)
			if fl.set.Missed() != 0 || f.mostOpen() > most {
				t.Errorf("seed %d: %d missed, %d connections of %d", seed, fl.set.Missed(), f.mostOpen(), most)
			}
		})
	}
}

// Two who ask the same get the same.
func TestHintsForTwo(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, f *fake) {
		queries, paths := f.services(60)
		f.mu.Lock()
		f.answersAfter = 3 * time.Millisecond
		f.mu.Unlock()
		c, _ := f.consul(Config{MaxConnections: 16})
		one := follow(t, c, watch.SetConfig{}, queries...)
		two := follow(t, c, watch.SetConfig{}, queries...)
		later(3 * time.Second)
		for i := range 100 {
			f.put(paths[i%60], fmt.Sprint(1000+i))
			time.Sleep(time.Duration(rand.IntN(500)) * time.Millisecond)
		}
		later(5 * time.Second)
		one.agree(t, f, queries, paths)
		two.agree(t, f, queries, paths)
	})
}

// However much moves, the requests are bounded, the hints' own most of all, and what is new arrives.
func TestChurn(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, f *fake) {
		const perSecond = 100
		queries, paths := f.services(300)
		c, _ := f.consul(Config{MaxConnections: 32, MaxRequests: perSecond})
		fl := follow(t, c, watch.SetConfig{}, queries...)
		later(20 * time.Second)
		began := time.Now()
		for i := range 5_000 {
			f.put(paths[rand.IntN(300)], fmt.Sprint(i+1))
			time.Sleep(2 * time.Millisecond)
		}
		requests := f.since(began)
		hints := 0
		for _, r := range requests {
			if r.params[watch.OptFilter] != nil {
				hints++
			}
		}
		seconds := int(time.Since(began).Seconds())
		if n := busiest(requests, 10*time.Second); n > perSecond*12 {
			t.Errorf("%d requests in 10 seconds", n)
		}
		if hints > 3*seconds+10 {
			t.Errorf("the hints made %d requests in %d seconds", hints, seconds)
		}
		later(20 * time.Second)
		fl.agree(t, f, queries, paths)
	})
}

// Where a hint is refused, or does not work, queries are read from time to time.
func TestHintRefused(t *testing.T) {
	t.Parallel()
	for _, status := range []int{http.StatusForbidden, http.StatusBadRequest, http.StatusInternalServerError} {
		t.Run(fmt.Sprint(status), func(t *testing.T) {
			bubble(t, func(t *testing.T, f *fake) {
				queries, paths := f.services(25)
				f.fail(func(w http.ResponseWriter, r *http.Request) bool {
					if r.URL.Path != "/v1/catalog/nodes" {
						return false
					}
					http.Error(w, "no", status)
					return true
				})
				c, _ := f.consul(Config{MaxConnections: 16})
				fl := follow(t, c, watch.SetConfig{}, queries...)
				later(time.Minute)
				for i, path := range paths {
					f.put(path, fmt.Sprint(1000+i))
				}
				later(hintFailed + time.Second)
				fl.agree(t, f, queries, paths)
				began := time.Now()
				later(2 * time.Minute)
				n := len(f.since(began))
				if n > 12*2*25+400 {
					t.Errorf("%d requests in 2 minutes", n)
				}
				if fl.errors() != 0 {
					t.Errorf("%d errors", fl.errors())
				}
			})
		})
	}
}

// A server that reads and is behind the one that has hinted is read again.
func TestHintLag(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, f *fake) {
		queries, paths := f.services(100)
		f.lag = time.Second
		c, _ := f.consul(Config{MaxConnections: 32})
		fl := follow(t, c, watch.SetConfig{}, queries...)
		later(10 * time.Second)
		for range 20 {
			i := rand.IntN(100)
			value := fmt.Sprint(rand.IntN(60000) + 1)
			f.put(paths[i], value)
			later(500 * time.Millisecond)
			if fl.is(queries[i]) == value {
				t.Fatal("the fake does not lag")
			}
			later(hintSpacing + hintLag)
			if got := fl.is(queries[i]); got != value {
				t.Fatalf("%s is %s, want %s", queries[i], got, value)
			}
			later(time.Duration(rand.IntN(5000)) * time.Millisecond)
		}
	})
}

// Keys have hints by their first folder, and one for all where there are too many.
func TestKeyScopes(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, f *fake) {
		var queries []watch.Query
		var paths []string
		for folder := range 40 { // so many that those of most folders share connections
			q, p := f.keys(fmt.Sprint("f", folder), 6)
			queries, paths = append(queries, q...), append(paths, p...)
		}
		c, _ := f.consul(Config{})
		fl := follow(t, c, watch.SetConfig{}, queries...)
		later(10 * time.Second)
		scopes := make(map[string]bool)
		for _, r := range f.since(time.Time{}) {
			if r.params["keys"] != nil {
				scopes[r.path] = true
			}
		}
		if len(scopes) != mostKeyScopes+1 || !scopes["/v1/kv/"] {
			t.Errorf("the hints are %v", slices.Sorted(maps.Keys(scopes)))
		}
		for i := range queries {
			f.put(paths[i], fmt.Sprint(1000+i))
			if i%20 == 0 {
				later(time.Second)
			}
		}
		later(hintSpacing + time.Millisecond)
		fl.agree(t, f, queries, paths)
		f.put(paths[0], "") // and a key that is deleted
		later(hintSpacing + time.Millisecond)
		if st := fl.of(queries[0]); st.Value != nil {
			t.Errorf("a deleted key is %v", st.Value)
		}
	})
}

func TestScopeOf(t *testing.T) {
	c, err := New(Config{Namespace: "team", Address: "consul:8500"})
	if err != nil {
		t.Fatal(err)
	}
	catalog := scope{namespace: "team"}
	tests := []struct {
		query  watch.Query
		want   scope
		hinted bool
	}{
		{watch.NewQuery(watch.KindService, "web", nil), catalog, true},
		{watch.NewQuery(watch.KindServices, "", nil), catalog, true},
		{watch.NewQuery(watch.KindNode, "a", nil), catalog, true},
		{watch.NewQuery(watch.KindNodes, "", nil), catalog, true},
		{watch.NewQuery(watch.KindService, "web", url.Values{watch.OptDatacenter: {"dc2"}, watch.OptTag: {"a"}}), scope{dc: "dc2", namespace: "team"}, true},
		{watch.NewQuery(watch.KindService, "web", url.Values{watch.OptNamespace: {"other"}, watch.OptPartition: {"p"}}), scope{namespace: "other", partition: "p"}, true},
		{watch.NewQuery(watch.KindService, "web", url.Values{watch.OptPeer: {"p"}}), scope{}, false},
		{watch.NewQuery(watch.KindService, "web", url.Values{watch.OptSamenessGroup: {"p"}}), scope{}, false},
		{watch.NewQuery(watch.KindConnect, "web", nil), scope{}, false},
		{watch.NewQuery(watch.KindCARoots, "", nil), scope{}, false},
		{watch.NewQuery(watch.KindPeerings, "", nil), scope{}, false},
		{watch.NewQuery(watch.KindKV, "a/b/c", nil), scope{namespace: "team", keys: true, prefix: "a"}, true},
		{watch.NewQuery(watch.KindPrefix, "a/", nil), scope{namespace: "team", keys: true, prefix: "a"}, true},
		{watch.NewQuery(watch.KindPrefix, "a", nil), scope{namespace: "team", keys: true}, true},
		{watch.NewQuery(watch.KindPrefix, "", nil), scope{namespace: "team", keys: true}, true},
		{watch.NewQuery(watch.KindKV, "/a", nil), scope{namespace: "team", keys: true}, true},
	}
	for _, test := range tests {
		if got, hinted := c.scopeOf(test.query); got != test.want || hinted != test.hinted {
			t.Errorf("%s: got %+v, %v", test.query, got, hinted)
		}
	}
}

// Hints end when nobody needs them: no request and no goroutine is left of them.
func TestHintsEnd(t *testing.T) {
	bubble(t, func(t *testing.T, f *fake) {
		queries, paths := f.services(100)
		f.mu.Lock()
		f.answersAfter = 20 * time.Millisecond
		f.mu.Unlock()
		c, _ := f.consul(Config{MaxConnections: 32})
		fl := follow(t, c, watch.SetConfig{})
		for _, when := range []time.Duration{0, 30 * time.Millisecond, time.Second, time.Minute} { // while asking, reading, parked
			for _, q := range queries {
				fl.set.Watch(q)
			}
			later(when)
			f.put(paths[0], fmt.Sprint(when/time.Second+500))
			later(10 * time.Millisecond)
			for _, q := range queries {
				fl.set.Forget(q)
			}
			later(hintLinger + DefaultWait*2)
			began := time.Now()
			later(10 * time.Minute)
			if n := len(f.since(began)); n != 0 {
				t.Errorf("%d requests in 10 minutes although there is no query", n)
			}
			c.mu.Lock()
			if len(c.hints) != 0 || c.listeners != 0 || c.waiting != 0 || c.polls != 0 || len(c.conns) != 0 || len(c.rereads) != 0 {
				t.Errorf("%d hints, %d listeners, %d waiting, %d polls, %d connections, %d readings are left",
					len(c.hints), c.listeners, c.waiting, c.polls, len(c.conns), len(c.rereads))
			}
			c.mu.Unlock()
		}
	})
}

// What cannot be hinted at is read from time to time where there are too few connections.
func TestTurns(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, f *fake) {
		var queries []watch.Query
		var paths []string
		for i := range 100 {
			queries = append(queries, watch.NewQuery(watch.KindConnect, fmt.Sprint("s", i), nil))
			paths = append(paths, fmt.Sprint("/v1/health/connect/s", i))
			f.put(paths[i], "1")
		}
		c, _ := f.consul(Config{MaxConnections: 32})
		fl := follow(t, c, watch.SetConfig{}, queries...)
		later(10 * time.Second)
		for i := range 100 {
			f.put(paths[i], "4711")
		}
		later(turnEvery)
		fl.agree(t, f, queries, paths)
		began := time.Now()
		later(2 * time.Minute)
		if n := len(f.since(began)); n > 2*6*100*4/3+300 || f.mostOpen() > 32 {
			t.Errorf("%d requests in 2 minutes, %d connections", n, f.mostOpen())
		}
	})
}

// The addresses of two clusters have different indexes: a change is not waited for with an index of the other.
func TestHintsAtNextAddress(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, f *fake) {
		queries, paths := f.services(100)
		for range 1000 {
			f.put("/v1/kv/x", "1")
		}
		for i, path := range paths {
			f.put(path, fmt.Sprint(i+1))
		}
		c, _ := f.consul(Config{MaxConnections: 32, Address: "a:8500,b:8500"})
		fl := follow(t, c, watch.SetConfig{}, queries...)
		later(10 * time.Second)
		if fl.answered() != 100 {
			t.Fatalf("%d answered", fl.answered())
		}
		f.mu.Lock() // b is another cluster, with low indexes
		f.down["a:8500"] = true
		f.index = 20
		for path, fact := range f.facts {
			fact.index = 15
			f.facts[path] = fact
		}
		f.mu.Unlock()
		f.cut()
		later(5 * time.Second)
		for i := range 20 {
			f.put(paths[i], fmt.Sprint(5000+i))
			later(hintSpacing + time.Millisecond)
			if got := fl.is(queries[i]); got != fmt.Sprint(5000+i) {
				t.Fatalf("a change of %s did not arrive: %s, %v", queries[i], got, fl.of(queries[i]).Err)
			}
		}
		if n := f.since(time.Time{}); n[len(n)-1].host != "b:8500" {
			t.Errorf("the last request went to %s", n[len(n)-1].host)
		}
	})
}

// On a real Consul: which hint wakes at what.
func TestHintsWake(t *testing.T) {
	t.Parallel()
	agent, err := consultest.Start(t.Context(), "")
	check(t, err)
	defer agent.Stop()
	c, err := New(Config{Address: agent.Addr})
	check(t, err)
	defer c.Close()
	catalog := func(r *api.CatalogRegistration) func() error {
		return func() error {
			_, err := agent.Client.Catalog().Register(r, nil)
			return err
		}
	}
	register := func(id string, port int, status string) func() error {
		return func() error { return agent.Register("web", id, "10.0.0.1", port, status) }
	}
	put := func(key, value string) func() error { return func() error { return agent.Put(key, value) } }
	check(t, register("web-1", 80, api.HealthPassing)())
	check(t, register("web-2", 80, api.HealthPassing)())
	check(t, agent.Put("app/a", "1"))
	check(t, agent.Put("app/deep/er", "1"))
	check(t, agent.Put("top", "1"))
	keys, all, services := scope{keys: true, prefix: "app"}, scope{keys: true}, scope{}
	tests := []struct {
		name  string
		scope scope
		do    func() error
		wakes bool
	}{
		{"an instance more", services, register("web-3", 80, api.HealthPassing), true},
		{"an instance less", services, func() error { return agent.Deregister("web-3") }, true},
		{"another port", services, register("web-1", 81, api.HealthPassing), true},
		{"another check status", services, register("web-1", 81, api.HealthCritical), true},
		{"a node's meta", services, catalog(&api.CatalogRegistration{Node: "node-web-2", Address: "10.0.0.1", NodeMeta: map[string]string{"a": "b"}}), true},
		{"a node's address", services, catalog(&api.CatalogRegistration{Node: "node-web-2", Address: "10.0.0.9"}), true},
		{"a node more", services, catalog(&api.CatalogRegistration{Node: "bare", Address: "10.0.0.9"}), true},
		{"a node less", services, func() error {
			_, err := agent.Client.Catalog().Deregister(&api.CatalogDeregistration{Node: "bare"}, nil)
			return err
		}, true},
		{"a service's tags", services, func() error { return agent.Register("web", "web-1", "10.0.0.1", 81, api.HealthCritical, "tag") }, true},
		{"a key", services, put("app/a", "2"), false},
		{"a key changed", keys, put("app/a", "3"), true},
		{"a key more", keys, put("app/b", "1"), true},
		{"a key deep down", keys, put("app/deep/er", "2"), true},
		{"a key more deep down", keys, put("app/x/y/z", "2"), true},
		{"a key less deep down", keys, func() error { return agent.Delete("app/x/y/z") }, true},
		{"a key less", keys, func() error { return agent.Delete("app/b") }, true},
		{"all keys less", keys, func() error {
			_, err := agent.Client.KV().DeleteTree("app/", nil)
			return err
		}, true},
		{"a key again", keys, put("app/a", "1"), true},
		{"a key elsewhere", keys, put("other/a", "1"), false},
		{"an instance", keys, register("web-1", 82, api.HealthPassing), false},
		{"a key of all", all, put("top", "2"), true},
		{"a key of all deep down", all, put("app/deep/er", "3"), true},
		{"a key of all less", all, func() error { return agent.Delete("top") }, true},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			type outcome struct {
				path string
				err  error
			}
			woken := make(chan outcome, 3)
			for _, path := range test.scope.paths() {
				after, _, err := c.askHint(t.Context(), path, test.scope.params(), 0)
				check(t, err)
				go func() {
					index, _, err := c.askHint(t.Context(), path, test.scope.params(), after)
					if index != after || err != nil {
						woken <- outcome{path, err}
					}
				}()
			}
			time.Sleep(20 * time.Millisecond) // so that it waits: else it would be no test
			check(t, test.do())
			limit := 20 * time.Second
			if !test.wakes {
				limit = 150 * time.Millisecond
			}
			select {
			case o := <-woken:
				if !test.wakes || o.err != nil {
					t.Errorf("%s was woken: %v", o.path, o.err)
				}
			case <-time.After(limit):
				if test.wakes {
					t.Error("none of the hints was woken")
				}
			}
		})
	}
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// The answer of a hint is small, however much there is.
func TestHintsAreSmall(t *testing.T) {
	bubble(t, func(t *testing.T, f *fake) {
		queries, _ := f.services(100)
		c, _ := f.consul(Config{MaxConnections: 32})
		_ = follow(t, c, watch.SetConfig{}, queries...)
		later(time.Second)
		for _, r := range f.since(time.Time{}) {
			if strings.HasPrefix(r.path, "/v1/health/service/") {
				continue
			}
			want := `Node == "none" and Node != "none"`
			if r.path == healthState {
				want = `Status != "passing"`
			}
			if got := r.params[watch.OptFilter]; len(got) != 1 || got[0] != want {
				t.Errorf("%s is asked with the filter %q", r.path, got)
			}
		}
	})
}
