package nomad_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"render/watch"
	"render/watch/agent"
	"render/watch/nomad"
	"render/watch/nomadtest"
	"render/watch/sourcetest"
)

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func newSource(t *testing.T, cfg nomad.Config) *nomad.Source {
	t.Helper()
	src := nomad.New(cfg)
	t.Cleanup(src.Close)
	return src
}

func variable(path string) watch.Query { return watch.NewQuery(watch.KindNomadVar, path, nil) }

// The contract of sources, on a real Nomad.
func TestContract(t *testing.T) {
	a := nomadtest.Start(t)
	n := 0
	sourcetest.Run(t, func(t *testing.T) sourcetest.Subject {
		n++
		path := fmt.Sprintf("contract/%d", n)
		return sourcetest.Subject{
			Source: newSource(t, nomad.Config{Address: a.Addr, Token: a.Token}),
			Query:  variable(path),
			Set:    func(value string) { a.Put(t, path, map[string]string{"value": value}) },
			Remove: func() { a.Delete(t, path) },
		}
	})
}

// All kinds, on one Nomad.
func TestRealNomad(t *testing.T) {
	a := nomadtest.Start(t)
	src := newSource(t, nomad.Config{Address: a.Addr, Token: a.Token})
	fetch := func(t *testing.T, q watch.Query) any { return sourcetest.Fetch(t, src, q) }

	t.Run("variables", func(t *testing.T) {
		a.Put(t, "app/config", map[string]string{"port": "80", "text": "a\x01<&>\n"})
		a.Put(t, "app/other", map[string]string{"x": "1"})
		got, _ := fetch(t, variable("app/config")).(*watch.NomadVar)
		if got == nil || got.Namespace != "default" || got.Path != "app/config" || got.CreateIndex == 0 || got.ModifyIndex == 0 || time.Since(got.CreateTime.Time()).Abs() > time.Minute {
			t.Fatalf("got %+v", got)
		}
		if values := got.Items.Values(); !slices.Equal(values, []string{"80", "a\x01<&>\n"}) {
			t.Errorf("values %q", values)
		}
		for prefix, want := range map[string][]string{"app/": {"app/config", "app/other"}, "app/c": {"app/config"}, "nothing": {}} {
			list, _ := fetch(t, watch.NewQuery(watch.KindNomadVars, prefix, nil)).([]*watch.NomadVarMeta)
			paths := []string{}
			for _, m := range list {
				paths = append(paths, m.Path)
			}
			if list == nil || !slices.Equal(paths, want) {
				t.Errorf("%s: %v, want %v", prefix, paths, want)
			}
		}
	})

	t.Run("paths", func(t *testing.T) {
		for _, path := range []string{"missing", "app", "app/config/", "app//config", "app/./config", "x/../app/config", "../vars", "with blank", "a?b", "a%2Fb", "ü", "*"} {
			value, _, err := src.Fetch(t.Context(), variable(path), 0)
			if err != nil || value != nil {
				t.Errorf("%q: %v, %v", path, value, err)
			}
		}
	})

	t.Run("namespaces", func(t *testing.T) {
		a.Namespace(t, "other")
		a.Must(t, http.MethodPut, "var/app/config?namespace=other", map[string]any{"Items": map[string]string{"port": "81"}}, nil)
		q := watch.NewQuery(watch.KindNomadVar, "app/config", map[string][]string{watch.OptNamespace: {"other"}})
		if got, _ := fetch(t, q).(*watch.NomadVar); got == nil || got.Namespace != "other" || got.Items["port"].Value != "81" {
			t.Errorf("named: %+v", got)
		}
		inOther := newSource(t, nomad.Config{Address: a.Addr, Token: a.Token, Namespace: "other"})
		if got, _ := sourcetest.Fetch(t, inOther, variable("app/config")).(*watch.NomadVar); got == nil || got.Namespace != "other" {
			t.Errorf("configured: %+v", got)
		}
		all := watch.NewQuery(watch.KindNomadVars, "app/config", map[string][]string{watch.OptNamespace: {"*"}})
		if got, _ := fetch(t, all).([]*watch.NomadVarMeta); len(got) != 2 {
			t.Errorf("all: %v", got)
		}
	})

	t.Run("services", func(t *testing.T) {
		a.Run(t, "web", 2, nomadtest.Service{Name: "web", Port: 8080, Tags: []string{"b", "a"}}, nomadtest.Service{Name: "admin", Port: 9090})
		names, _ := fetch(t, watch.NewQuery(watch.KindNomadServices, "", nil)).([]*watch.NomadSnippet)
		want := []*watch.NomadSnippet{{Name: "admin", Tags: watch.ServiceTags{}}, {Name: "web", Tags: watch.ServiceTags{"a", "b"}}}
		if !reflect.DeepEqual(names, want) {
			t.Errorf("services: %s", sourcetest.Show(names))
		}
		instances := func(name string, opts map[string][]string) []*watch.NomadService {
			list, _ := fetch(t, watch.NewQuery(watch.KindNomadService, name, opts)).([]*watch.NomadService)
			return list
		}
		web := instances("web", nil)
		if len(web) != 2 {
			t.Fatalf("web: %s", sourcetest.Show(web))
		}
		s := web[0]
		if s.ID == "" || s.Name != "web" || s.Node == "" || s.Address != "10.9.8.7" || s.Port != 8080 || s.Datacenter != "dc1" || s.JobID != "web" || s.AllocID == "" || !slices.Equal(s.Tags, []string{"a", "b"}) {
			t.Errorf("an instance: %s", sourcetest.Show(s))
		}
		for _, test := range []struct {
			name string
			opts map[string][]string
			want int
		}{
			{"web", map[string][]string{watch.OptTag: {"a"}}, 2},
			{"web", map[string][]string{watch.OptTag: {"A"}}, 0},
			{"admin", map[string][]string{watch.OptTag: {"a"}}, 0},
			{"web", map[string][]string{watch.OptChoose: {"1|key"}}, 1},
			{"web", map[string][]string{watch.OptChoose: {"9|key"}}, 2},
			{"web", map[string][]string{watch.OptChoose: {"0|key"}}, 0},
			{"unknown", nil, 0},
		} {
			if got := instances(test.name, test.opts); got == nil || len(got) != test.want {
				t.Errorf("%s %v: %s", test.name, test.opts, sourcetest.Show(got))
			}
		}
		if first, again := instances("web", map[string][]string{watch.OptChoose: {"1|key"}}), instances("web", map[string][]string{watch.OptChoose: {"1|key"}}); !reflect.DeepEqual(first, again) {
			t.Error("another instance was chosen for the same key")
		}

		// A waiting request learns of an instance that changes, and of the end.
		set := watch.NewSet(src, watch.SetConfig{})
		defer set.Close()
		q := watch.NewQuery(watch.KindNomadService, "web", nil)
		set.Watch(q)
		ports := func(port, n int) func(watch.State) bool {
			return func(st watch.State) bool {
				list, _ := st.Value.([]*watch.NomadService)
				return len(list) == n && !slices.ContainsFunc(list, func(s *watch.NomadService) bool { return s.Port != port })
			}
		}
		await(t, set, q, "two instances", ports(8080, 2))
		a.Run(t, "web", 2, nomadtest.Service{Name: "web", Port: 8081})
		await(t, set, q, "another port", ports(8081, 2))
		a.StopJob(t, "web")
		await(t, set, q, "none", ports(0, 0))
	})

	t.Run("region", func(t *testing.T) {
		if got, _ := fetch(t, watch.NewQuery(watch.KindNomadVar, "app/config", map[string][]string{watch.OptRegion: {"global"}})).(*watch.NomadVar); got == nil {
			t.Error("the own region has nothing")
		}
		_, _, err := src.Fetch(t.Context(), watch.NewQuery(watch.KindNomadServices, "", map[string][]string{watch.OptRegion: {"mars"}}), 0)
		if err == nil {
			t.Error("no error of an unknown region")
		}
	})
}

// A real Nomad of a region of its own speaks TLS, and accepts only who has a certificate: variables arrive and their changes, also where the
// region is set; each mistake in the settings has an error that names it.
func TestRealTLS(t *testing.T) {
	a := nomadtest.StartTLS(t, "east")
	a.Put(t, "app", map[string]string{"port": "80"})
	files := agent.TLS{Enabled: true, CACert: a.Files.CA, Cert: a.Files.Cert, Key: a.Files.Key}
	of := func(change func(*nomad.Config)) *nomad.Source {
		cfg := nomad.Config{Address: a.Addr, Token: a.Token, TLS: files}
		change(&cfg)
		return newSource(t, cfg)
	}
	q := variable("app")
	inRegion := func(name string) watch.Query {
		return watch.NewQuery(watch.KindNomadVar, "app", map[string][]string{watch.OptRegion: {name}})
	}
	port := func(value any) string {
		v, _ := value.(*watch.NomadVar)
		if v == nil {
			return ""
		}
		return v.Items["port"].Value
	}

	for name, change := range map[string]func(*nomad.Config){
		"its own region":         func(*nomad.Config) {},
		"a region of the config": func(c *nomad.Config) { c.Region = "east" },
		"a name of the server":   func(c *nomad.Config) { c.TLS.ServerName = "server.east.nomad" },
		"no check of the name":   func(c *nomad.Config) { c.TLS.SkipVerify, c.TLS.CACert = true, "" },
		"no scheme":              func(c *nomad.Config) { c.Address = strings.TrimPrefix(c.Address, "https://") },
	} {
		src := of(change)
		for _, q := range []watch.Query{q, inRegion("east")} {
			if got := sourcetest.Fetch(t, src, q); port(got) != "80" {
				t.Errorf("with %s: %s is %s", name, q, sourcetest.Show(got))
			}
		}
	}

	set := watch.NewSet(of(func(c *nomad.Config) { c.Region = "east" }), watch.SetConfig{})
	defer set.Close()
	set.Watch(q)
	await(t, set, q, "the first port", func(st watch.State) bool { return port(st.Value) == "80" })
	a.Put(t, "app", map[string]string{"port": "81"})
	await(t, set, q, "another port", func(st watch.State) bool { return port(st.Value) == "81" })

	for name, c := range map[string]struct {
		change func(*nomad.Config)
		q      watch.Query
		want   string
	}{
		"no certificate":       {func(c *nomad.Config) { c.TLS.Cert, c.TLS.Key = "", "" }, q, "certificate required"},
		"an unknown authority": {func(c *nomad.Config) { c.TLS.CACert = "" }, q, "unknown authority"},
		"another name":         {func(c *nomad.Config) { c.TLS.ServerName = "server.west.nomad" }, q, "not server.west.nomad"},
		"no TLS": {func(c *nomad.Config) {
			c.Address, c.TLS.Enabled = strings.Replace(c.Address, "https", "http", 1), false
		}, q, "400"},
		"an unknown region":         {func(c *nomad.Config) { c.Region = "west" }, q, "No path to region"},
		"a query of another region": {func(*nomad.Config) {}, inRegion("west"), "No path to region"},
	} {
		_, _, err := of(c.change).Fetch(t.Context(), c.q, 0)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("with %s: %v", name, err)
		}
	}
}

// await fails the test where a state that is wanted does not come.
func await(t *testing.T, set *watch.Set, q watch.Query, what string, wanted func(watch.State) bool) {
	t.Helper()
	var last watch.State
	for late := time.After(30 * time.Second); ; {
		select {
		case <-set.Ready():
			if st, ok := set.Take()[q]; ok {
				if last = st; wanted(st) {
					return
				}
			}
		case <-late:
			t.Fatalf("%s: not %s: %+v", q, what, last)
		}
	}
}

// Without rights a query has an error, lists included, and it is asked with pauses. A token that gets the right is noticed.
func TestDenied(t *testing.T) {
	a := nomadtest.Start(t)
	a.Put(t, "app", map[string]string{"x": "1"})
	token := a.NewToken(t, "reader", `namespace "default" { variables { path "app" { capabilities = ["read"] } } }`)
	src := newSource(t, nomad.Config{Address: a.Addr, Token: token})
	if got := sourcetest.Fetch(t, src, variable("app")); got == nil {
		t.Error("a variable that may be read is absent")
	}
	for _, q := range []watch.Query{variable("secret"), watch.NewQuery(watch.KindNomadServices, "", nil), watch.NewQuery(watch.KindNomadService, "web", nil)} {
		_, _, err := src.Fetch(t.Context(), q, 0)
		if !errors.Is(err, watch.ErrDenied) {
			t.Errorf("%s: %v", q, err)
		}
	}
	unknown := newSource(t, nomad.Config{Address: a.Addr, Token: "00000000-0000-0000-0000-000000000000"})
	for _, q := range []watch.Query{variable("app"), watch.NewQuery(watch.KindNomadVars, "", nil)} {
		if _, _, err := unknown.Fetch(t.Context(), q, 0); !errors.Is(err, watch.ErrDenied) {
			t.Errorf("%s with an unknown token: %v", q, err)
		}
	}

	set := watch.NewSet(src, watch.SetConfig{})
	defer set.Close()
	q := variable("secret")
	set.Watch(q)
	await(t, set, q, "denied", func(st watch.State) bool { return errors.Is(st.Err, watch.ErrDenied) })
	a.Put(t, "secret", map[string]string{"x": "2"})
	a.Must(t, http.MethodPut, "acl/policy/reader", map[string]string{"Name": "reader", "Rules": `namespace "default" { variables { path "*" { capabilities = ["read"] } } }`}, nil)
	await(t, set, q, "the value", func(st watch.State) bool { return st.Err == nil && st.Value != nil })
}

// An agent that is killed is an outage; answers stay, and changes that were made after its return arrive.
func TestKilledAgent(t *testing.T) {
	a := nomadtest.Start(t)
	a.Put(t, "app", map[string]string{"x": "1"})
	src := newSource(t, nomad.Config{Address: a.Addr, Token: a.Token})
	set := watch.NewSet(src, watch.SetConfig{})
	defer set.Close()
	q := variable("app")
	set.Watch(q)
	is := func(want string) func(watch.State) bool {
		return func(st watch.State) bool {
			v, _ := st.Value.(*watch.NomadVar)
			return st.Err == nil && v != nil && v.Items["x"].Value == want
		}
	}
	await(t, set, q, "one", is("1"))
	a.Kill()
	await(t, set, q, "an outage", func(st watch.State) bool {
		_, outage := errors.AsType[watch.OutageError](st.Err)
		return outage && st.Value != nil
	})
	check(t, a.Restart())
	await(t, set, q, "one again", is("1"))
	a.Put(t, "app", map[string]string{"x": "2"})
	await(t, set, q, "two", is("2"))
}

// A waiting request returns after its wait, with the same answer.
func TestWait(t *testing.T) {
	a := nomadtest.Start(t)
	a.Put(t, "app", map[string]string{"x": "1"})
	src := newSource(t, nomad.Config{Address: a.Addr, Token: a.Token, Wait: time.Second})
	_, index, err := src.Fetch(t.Context(), variable("app"), 0)
	check(t, err)
	ctx, stop := context.WithTimeout(t.Context(), 20*time.Second)
	defer stop()
	began := time.Now()
	value, again, err := src.Fetch(ctx, variable("app"), index)
	if err != nil || value == nil || again != index || time.Since(began) < 700*time.Millisecond {
		t.Errorf("after %s: %v with %d, %v", time.Since(began), value, again, err)
	}
}

// More queries than connections: one signal tells which have changed.
func TestSignalsOfRealNomad(t *testing.T) {
	const queries = 200
	a := nomadtest.Start(t)
	a.Run(t, "web", 1, nomadtest.Service{Name: "web", Port: 8080})
	src := newSource(t, nomad.Config{Address: a.Addr, Token: a.Token})
	set := watch.NewSet(src, watch.SetConfig{})
	defer set.Close()
	paths := make(map[watch.Query]string)
	for i := range queries {
		q := variable(fmt.Sprintf("many/%03d", i))
		paths[q] = q.Name
		if i > 0 {
			a.Put(t, q.Name, map[string]string{"x": "1"})
		}
		set.Watch(q)
	}
	list, web := watch.NewQuery(watch.KindNomadVars, "many/", nil), watch.NewQuery(watch.KindNomadService, "web", nil)
	set.Watch(list)
	set.Watch(web)

	states := make(map[watch.Query]watch.State)
	until := func(what string, done func() bool) {
		t.Helper()
		for late := time.After(60 * time.Second); !done(); {
			select {
			case <-set.Ready():
				for q, st := range set.Take() {
					states[q] = st
				}
			case <-late:
				t.Fatalf("not %s", what)
			}
		}
	}
	value := func(i int) string {
		v, _ := states[variable(fmt.Sprintf("many/%03d", i))].Value.(*watch.NomadVar)
		if v == nil {
			return ""
		}
		return v.Items["x"].Value
	}
	until("all answered", func() bool { return len(states) == queries+2 })
	for i := range queries {
		a.Put(t, fmt.Sprintf("many/%03d", i), map[string]string{"x": "2"})
	}
	until("all changed", func() bool {
		n := 0
		for i := range queries {
			if value(i) == "2" {
				n++
			}
		}
		l, _ := states[list].Value.([]*watch.NomadVarMeta)
		return n == queries && len(l) == queries
	})
	a.Delete(t, "many/150")
	until("deleted", func() bool {
		l, _ := states[list].Value.([]*watch.NomadVarMeta)
		return value(150) == "" && len(l) == queries-1
	})
	a.Run(t, "web", 1, nomadtest.Service{Name: "web", Port: 8081})
	until("another port", func() bool {
		l, _ := states[web].Value.([]*watch.NomadService)
		return len(l) == 1 && l[0].Port == 8081
	})
}
