package nomad

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"render/watch"
	"render/watch/hint"
	"render/watch/sourcetest"
)

// Whatever happens to Nomad, and however many queries there are: everything is right soon after Nomad is.
func TestHistories(t *testing.T) {
	for seed := range uint64(10) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) { history(t, seed) })
	}
}

const wellAfter = 15 * time.Second // the pause of a query that nothing covers, and the end of an outage

func history(t *testing.T, seed uint64) {
	r := rand.New(rand.NewPCG(seed, 24))
	inBubble(t, Config{}, func(t *testing.T, f *fake, s *Source) {
		queries := []watch.Query{listQuery(""), listQuery("v/1"), listQuery("none"), watch.NewQuery(watch.KindNomadServices, "", nil)}
		many := []int{3, 30, 100}[r.IntN(3)] // fewer than connections, about as many, more
		for i := range many {
			queries = append(queries, variableQuery(fmt.Sprint("v/", i)), serviceQuery(fmt.Sprint("s", i)))
		}
		fl := follow(s, queries...)
		defer func() { fl.set.Close() }()
		for range 60 {
			f.change(func() {
				switch n := r.IntN(20); {
				case n < 8:
					f.put(fmt.Sprint("v/", r.IntN(many)), []string{"", "1", "2"}[r.IntN(3)])
				case n < 13:
					f.register(fmt.Sprint("s", r.IntN(many)), r.IntN(3))
				case n == 13:
					f.down = true
				case n == 14:
					f.status = []int{500, 502, 429, 503}[r.IntN(4)]
				case n == 15:
					f.leader = "false"
				case n == 16: // restored from a snapshot. An index that comes again, for something else, shows only when a Set reads plainly
					f.index -= 1000
					for path, v := range f.vars {
						v.index, v.create = f.index, f.index
						f.vars[path] = v
					}
					f.put("v/0", "restored")
				case n == 17:
					f.hides = []string{"", "v/1", "v/"}[r.IntN(3)]
				case n == 18:
					f.denies["services"] = !f.denies["services"]
				}
				if r.IntN(4) == 0 {
					f.down, f.status, f.leader = false, 0, "true"
				}
			})
			if f.down || r.IntN(20) == 0 {
				f.drop()
			}
			if q := queries[r.IntN(len(queries))]; r.IntN(4) == 0 {
				fl.set.Forget(q)
				delete(fl.states, q)
				fl.set.Watch(q)
			}
			fl.pass(time.Duration(r.IntN(3000)) * time.Millisecond)
		}
		f.change(func() {
			f.down, f.status, f.leader, f.hides = false, 0, "true", ""
			clear(f.denies)
			f.index++ // what was hidden is shown by a change
		})
		fl.pass(wellAfter)
		fl.pass(longestTurn)          // what had no right to a signal
		fl.pass(2 * 64 * time.Second) // what waited for an index that has gone back, and then again
		if wrong := fl.wrong(f, queries); len(wrong) > 0 {
			t.Fatalf("%d of %d are wrong: %s", len(wrong), len(queries), strings.Join(wrong[:min(len(wrong), 5)], "\n"))
		}
	})
}

// More queries than connections share signals: a quiet Nomad gets few requests, a change is read by those whom it may concern.
func TestSignals(t *testing.T) {
	inBubble(t, Config{}, func(t *testing.T, f *fake, s *Source) {
		var queries []watch.Query
		f.change(func() {
			for i := range 500 {
				path := fmt.Sprintf("v/%03d", i)
				f.put(path, "1")
				queries = append(queries, variableQuery(path))
			}
		})
		fl := follow(s, queries...)
		defer func() { fl.set.Close() }()
		fl.pass(10 * time.Second)
		if wrong := fl.wrong(f, queries); len(wrong) > 0 {
			t.Fatal(wrong)
		}
		if f.most > DefaultMaxConnections*3/4 {
			t.Errorf("%d requests waited at a time", f.most)
		}
		before := f.count()
		fl.pass(10 * time.Minute)
		if n := f.count() - before; n > 10*(DefaultMaxConnections*3/4)*2 {
			t.Errorf("%d requests in ten quiet minutes", n)
		}

		for i := range 500 {
			before := f.count("var")
			f.change(func() { f.put(fmt.Sprintf("v/%03d", i), "2") })
			fl.pass(5 * time.Second)
			if wrong := fl.wrong(f, queries); len(wrong) > 0 {
				t.Fatal(wrong)
			}
			if n := f.count("var") - before; n > 20 {
				t.Fatalf("one change led to %d reads", n)
			}
			if i == 20 {
				break
			}
		}

		// A token that may not list has its queries read in turns.
		f.change(func() { f.denies["vars"] = true })
		f.drop()
		fl.pass(time.Minute)
		f.change(func() {
			for i := range 500 {
				f.put(fmt.Sprintf("v/%03d", i), "3")
			}
		})
		fl.pass(longestTurn + 5*time.Second)
		if wrong := fl.wrong(f, queries); len(wrong) > 0 {
			t.Fatal(len(wrong), wrong[0])
		}
		before = f.count()
		fl.pass(10 * time.Minute)
		if n := (f.count() - before) / 10; n > 900 {
			t.Errorf("%d requests a minute", n)
		}
	})
}

// Services that change all the time, as others of the namespace do, are read again in rounds, and by any server that knows the change; one
// that does not is not believed.
func TestServicesInRounds(t *testing.T) {
	const count = 2_000
	for _, test := range []struct {
		lag          uint64 // changes that other servers than the leader do not know
		once, steady int    // reads by the leader, at most
	}{
		{0, 10, 200},    // a query that had a connection may know more than the signal
		{2, count, 200}, // they know the changes a little later
		{50, count, 4 * count},
	} {
		inBubble(t, Config{}, func(t *testing.T, f *fake, s *Source) {
			var queries []watch.Query
			for i := range count {
				f.register(fmt.Sprint("s", i), 1)
				queries = append(queries, serviceQuery(fmt.Sprint("s", i)))
			}
			fl := follow(s, queries...)
			defer func() { fl.set.Close() }()
			fl.pass(time.Minute)
			if wrong := fl.wrong(f, queries); len(wrong) > 0 {
				t.Fatal(len(wrong), wrong[0])
			}

			// A change is seen at once, whoever answers.
			led, stale := f.serviceReads()
			f.change(func() { f.lag = test.lag; f.register("s1234", 2) })
			fl.pass(time.Second)
			if wrong := fl.wrong(f, queries); len(wrong) > 0 {
				t.Error(len(wrong), wrong[0])
			}
			nowLed, nowStale := f.serviceReads()
			if led, stale := nowLed-led, nowStale-stale; led > test.once || stale > 2*count || test.lag == 0 && stale > count {
				t.Errorf("lag %d: one change led to %d reads by the leader, %d by any server", test.lag, led, stale)
			}

			// Changes all the time lead to as many rounds as there are pauses.
			led, stale = f.serviceReads()
			for i := range 100 {
				f.change(func() { f.register(fmt.Sprint("s", i), i+2) })
				fl.pass(100 * time.Millisecond)
			}
			nowLed, nowStale = f.serviceReads()
			if led, stale := nowLed-led, nowStale-stale; led > test.steady || stale > 2*4*count || test.lag == 0 && stale > 4*count {
				t.Errorf("lag %d: ten changes a second led to %d reads by the leader, %d by any server in 10 seconds", test.lag, led, stale)
			}
			fl.pass(10 * time.Second)
			if wrong := fl.wrong(f, queries); len(wrong) > 0 {
				t.Error(len(wrong), wrong[0])
			}
		})
	}
}

// Where there is no token, its rights are not the reason of a refusal.
func TestDeniedHint(t *testing.T) {
	k := kinds[watch.KindNomadVar]
	for hasToken, want := range map[bool]string{true: "give the token ", false: "no token is known: "} {
		if hints := hint.Of(k.denied(watch.ErrDenied, hasToken)); len(hints) != 1 || !strings.HasPrefix(hints[0], want) {
			t.Errorf("token %t: got %q", hasToken, hints)
		}
	}
}

// What a token may not ask is an error with pauses, for lists, too; it says what the token needs. The answer stays.
func TestDeniedPaces(t *testing.T) {
	inBubble(t, Config{}, func(t *testing.T, f *fake, s *Source) {
		queries := []watch.Query{listQuery("a"), variableQuery("a"), watch.NewQuery(watch.KindNomadServices, "", nil), serviceQuery("a")}
		f.change(func() { f.put("a", "1"); f.register("a", 80) })
		fl := follow(s, queries...)
		defer func() { fl.set.Close() }()
		fl.pass(time.Second)
		f.change(func() {
			for _, part := range []string{"var", "vars", "service", "services"} {
				f.denies[part] = true
			}
			f.index++
		})
		f.drop()
		fl.pass(5 * time.Second)
		for _, q := range queries {
			st := fl.states[q]
			if !errors.Is(st.Err, watch.ErrDenied) || len(hint.Of(st.Err)) != 1 || st.Value == nil {
				t.Errorf("%s: %+v, hints %q", q, st, hint.Of(st.Err))
			}
		}
		before := f.count()
		fl.pass(time.Minute)
		if n := f.count() - before; n > 4*30 {
			t.Errorf("%d requests in a minute", n)
		}
		f.change(func() { clear(f.denies) })
		fl.pass(5 * time.Second)
		if wrong := fl.wrong(f, queries); len(wrong) > 0 {
			t.Error(wrong)
		}
	})
}

// What becomes empty counts only when the leader confirms it.
func TestConfirm(t *testing.T) {
	inBubble(t, Config{}, func(t *testing.T, f *fake, s *Source) {
		q := serviceQuery("a")
		f.change(func() { f.register("a", 80) })
		fl := follow(s, q)
		defer func() { fl.set.Close() }()
		fl.pass(time.Second)
		f.urls = nil
		f.change(func() { f.register("a", 0) })
		fl.pass(time.Second)
		if wrong := fl.wrong(f, []watch.Query{q}); len(wrong) > 0 {
			t.Error(wrong)
		}
		confirmed := false
		for _, url := range f.urls {
			confirmed = confirmed || !strings.Contains(url, "stale") && !strings.Contains(url, "index")
		}
		if !confirmed {
			t.Errorf("nobody asked the leader: %q", f.urls)
		}
	})
}

// Figures count requests by outcome, and name the server.
func TestFigures(t *testing.T) {
	inBubble(t, Config{}, func(t *testing.T, f *fake, s *Source) {
		_, _, _ = s.Fetch(t.Context(), variableQuery("a"), 0)
		f.change(func() { f.denies["vars"] = true })
		_, _, _ = s.Fetch(t.Context(), listQuery("a"), 0)
		all := s.Figures()
		if len(all) != 1 || all[0].Server != "nomad" || all[0].Address != "nomad.example:4646" || all[0].Answered != 1 || all[0].Denied != 1 || !all[0].KnownLeader {
			t.Errorf("got %+v", all)
		}
	})
}

// An answer of several namespaces is that of the first.
func TestFirstNamespace(t *testing.T) {
	inBubble(t, Config{}, func(t *testing.T, f *fake, s *Source) {
		f.change(func() { f.register("b", 1); f.register("a", 1) })
		value := sourcetest.Fetch(t, s, watch.NewQuery(watch.KindNomadServices, "", nil))
		if got := sourcetest.Show(value); !strings.Contains(got, `"a"`) || short(value) != "a b" {
			t.Errorf("got %s", got)
		}
	})
}

// What requests carry.
func TestRequests(t *testing.T) {
	t.Setenv("NOMAD_REGION", "")
	for _, test := range []struct {
		cfg  Config
		q    watch.Query
		want string // of the first request
	}{
		{Config{}, variableQuery("a/b"), "/v1/var/a/b?namespace=default&stale="},
		{Config{}, variableQuery("a b/../c//d"), "/v1/var/a%20b/%2E%2E/c%2F%2Fd?namespace=default&stale="},
		{Config{Namespace: "n", Region: "r"}, variableQuery("a"), "/v1/var/a?namespace=n&region=r&stale="},
		{Config{Namespace: "n", Region: "r"}, watch.NewQuery(watch.KindNomadVar, "a", map[string][]string{watch.OptNamespace: {"m"}, watch.OptRegion: {"q"}}), "/v1/var/a?namespace=m&region=q&stale="},
		{Config{MaxStale: -1}, listQuery("a"), "/v1/vars?namespace=default&prefix=a"},
		{Config{}, watch.NewQuery(watch.KindNomadVars, "", map[string][]string{watch.OptNamespace: {"*"}}), "/v1/vars?namespace=%2A&stale="},
		{Config{}, watch.NewQuery(watch.KindNomadServices, "", nil), "/v1/services?stale="},
		{Config{Namespace: "n"}, watch.NewQuery(watch.KindNomadServices, "", nil), "/v1/services?namespace=n&stale="},
		{Config{}, watch.NewQuery(watch.KindNomadService, "web", map[string][]string{watch.OptTag: {"t"}, watch.OptChoose: {"2|k"}}), "/v1/service/web?choose=2%7Ck&stale="},
	} {
		inBubble(t, test.cfg, func(t *testing.T, f *fake, s *Source) {
			_, _, _ = s.Fetch(t.Context(), test.q, 0)
			if len(f.urls) == 0 || f.urls[0] != test.want {
				t.Errorf("%s: asks %q, want %s", test.q, f.urls, test.want)
			}
		})
	}
	inBubble(t, Config{Address: "http://user:pass@nomad.example:4646/prefix", Token: "t"}, func(t *testing.T, f *fake, s *Source) {
		_, _, _ = s.Fetch(t.Context(), variableQuery("a"), 0)
		r := http.Request{Header: f.headers[0]}
		if user, password, _ := r.BasicAuth(); user != "user" || password != "pass" || r.Header.Get("X-Nomad-Token") != "t" || !strings.HasPrefix(f.urls[0], "/prefix/v1/var/a?") {
			t.Errorf("%q with %v", f.urls[0], r.Header)
		}
	})
}

// The environment says where Nomad is and how to speak TLS, and unix sockets work.
func TestEnvironment(t *testing.T) {
	for _, name := range []string{"NOMAD_ADDR", "NOMAD_TOKEN", "NOMAD_NAMESPACE", "NOMAD_REGION", "NOMAD_HTTP_AUTH", "NOMAD_CACERT", "NOMAD_CAPATH", "NOMAD_CLIENT_CERT", "NOMAD_CLIENT_KEY", "NOMAD_TLS_SERVER_NAME", "NOMAD_SKIP_VERIFY"} {
		t.Setenv(name, "")
	}
	f := newFake()
	f.put("a", "1")
	fetch := func(t *testing.T, cfg Config) error {
		s := New(cfg)
		defer s.Close()
		_, _, err := s.Fetch(t.Context(), variableQuery("a"), 0)
		return err
	}

	t.Run("TLS", func(t *testing.T) {
		server := httptest.NewTLSServer(f)
		defer server.Close()
		ca := filepath.Join(t.TempDir(), "ca.pem")
		writePEM(t, ca, server.Certificate().Raw)
		t.Setenv("NOMAD_ADDR", server.URL)
		if err := fetch(t, Config{}); err == nil {
			t.Error("a certificate of an unknown authority is accepted")
		}
		t.Setenv("NOMAD_SKIP_VERIFY", "true")
		check(t, fetch(t, Config{}))
		t.Setenv("NOMAD_SKIP_VERIFY", "")
		t.Setenv("NOMAD_CACERT", ca)
		check(t, fetch(t, Config{}))
		t.Setenv("NOMAD_TLS_SERVER_NAME", "server.global.nomad")
		if err := fetch(t, Config{}); err == nil || !strings.Contains(err.Error(), "server.global.nomad") {
			t.Errorf("another name is accepted: %v", err)
		}
		t.Setenv("NOMAD_TLS_SERVER_NAME", "example.com") // of the test's certificate
		check(t, fetch(t, Config{}))
		t.Setenv("NOMAD_CACERT", "/nonexistent")
		if err := fetch(t, Config{}); err == nil {
			t.Error("a file that does not exist is no error")
		}
	})
	t.Run("others", func(t *testing.T) {
		server := httptest.NewServer(f)
		defer server.Close()
		t.Setenv("NOMAD_ADDR", server.URL)
		t.Setenv("NOMAD_TOKEN", "token")
		t.Setenv("NOMAD_NAMESPACE", "n")
		t.Setenv("NOMAD_REGION", "r")
		t.Setenv("NOMAD_HTTP_AUTH", "u:p:q")
		check(t, fetch(t, Config{}))
		last := len(f.urls) - 1
		r := http.Request{Header: f.headers[last]}
		if user, password, _ := r.BasicAuth(); user != "u" || password != "p:q" || r.Header.Get("X-Nomad-Token") != "token" || f.urls[last] != "/v1/var/a?namespace=n&region=r&stale=" {
			t.Errorf("%q with %v", f.urls[last], r.Header)
		}
	})
	t.Run("socket", func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "s")
		l, err := net.Listen("unix", path)
		check(t, err)
		server := &http.Server{Handler: f}
		go func() { _ = server.Serve(l) }()
		defer server.Close()
		check(t, fetch(t, Config{Address: "unix://" + path}))
	})
	t.Run("a token file that appears", func(t *testing.T) {
		server := httptest.NewServer(f)
		defer server.Close()
		path := filepath.Join(t.TempDir(), "token")
		s := New(Config{Address: server.URL, TokenFile: path})
		defer s.Close()
		if _, _, err := s.Fetch(t.Context(), variableQuery("a"), 0); err == nil {
			t.Fatal("a token file that does not exist is no error")
		}
		check(t, os.WriteFile(path, []byte("from file\n"), 0o600))
		_, _, err := s.Fetch(t.Context(), variableQuery("a"), 0)
		check(t, err)
		if got := f.headers[len(f.headers)-1].Get("X-Nomad-Token"); got != "from file" {
			t.Errorf("the token is %q", got)
		}
	})
}

// Another address is asked when one cannot be reached, and its answers count.
func TestAddresses(t *testing.T) {
	inBubble(t, Config{Address: "a:1,b:2"}, func(t *testing.T, f *fake, s *Source) {
		q := variableQuery("a")
		f.change(func() { f.put("a", "1") })
		fl := follow(s, q)
		defer func() { fl.set.Close() }()
		fl.pass(time.Second)
		f.change(func() {
			f.down = true
			f.index = 5
			f.vars = map[string]variableEntry{"a": {"2", 5, 5}}
		})
		f.drop()
		fl.pass(100 * time.Millisecond)
		f.change(func() { f.down = false })
		fl.pass(10 * time.Second)
		if wrong := fl.wrong(f, []watch.Query{q}); len(wrong) > 0 {
			t.Error(wrong)
		}
	})
}

// A source that nobody asks connects with nothing, whatever its configuration says, and leaves nothing behind.
func TestUnused(t *testing.T) {
	inBubble(t, Config{}, func(t *testing.T, f *fake, _ *Source) {
		s := New(Config{Address: "bogus://x", TokenFile: "/nonexistent"})
		s.dial = f.dial
		time.Sleep(time.Hour)
		if f.count() > 0 || s.Figures() != nil {
			t.Error("it has asked something")
		}
		_, _, err := s.Fetch(t.Context(), variableQuery("a"), 0)
		if err == nil || !strings.Contains(err.Error(), "nomad") {
			t.Errorf("got %v", err)
		}
		s.Close()
	})
}
