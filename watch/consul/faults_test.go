package consul

import (
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"render/watch"
	"render/watch/pause"
)

// Consul is away behind a proxy: it answers 504 after some seconds, or closes the connection then. Every query is in error within
// seconds of the second such end, for as long as it lasts, with few requests.
func TestOutageBehindProxy(t *testing.T) {
	t.Parallel()
	for n, lasts := range map[int]time.Duration{5: 2 * time.Hour, 200: 10 * time.Minute} {
		for _, status := range []int{http.StatusGatewayTimeout, http.StatusBadGateway, 0} {
			t.Run(fmt.Sprint(n, " queries, status ", status), func(t *testing.T) {
				bubble(t, func(t *testing.T, f *fake) {
					queries, paths := f.services(n)
					c, _ := f.consul(Config{})
					fl := follow(t, c, watch.SetConfig{}, queries...)
					later(2 * time.Minute)
					f.fail(func(w http.ResponseWriter, r *http.Request) bool {
						pause.For(r.Context(), 5*time.Second)
						if status == 0 {
							panic(http.ErrAbortHandler)
						}
						http.Error(w, "upstream timed out", status)
						return true
					})
					f.cut()
					later(30 * time.Second)
					if k := fl.failing(); k != n {
						t.Errorf("%d of %d queries are in error after 30 s", k, n)
					}
					began := time.Now()
					for time.Since(began) < lasts {
						later(lasts / 12)
						if k := fl.failing(); k != n {
							t.Fatalf("%d of %d queries are in error", k, n)
						}
					}
					if k := len(f.since(began)) / int(lasts.Minutes()); k > 15 {
						t.Errorf("%d requests a minute", k)
					}
					f.fail(nil)
					f.put(paths[0], "4711")
					later(15 * time.Second)
					fl.agree(t, f, queries, paths)
					if k := fl.failing(); k != 0 {
						t.Errorf("%d queries are in error after its return", k)
					}
				})
			})
		}
	}
}

// A proxy speaks HTTP/2 and has a connection of HTTP/1.1 to a stock agent for each request: the agent allows 200. The queries share
// what there is.
func TestHTTP2Limited(t *testing.T) {
	t.Parallel()
	a := newAuthority(t, "a")
	tlsBubble(t, a.server("consul"), func(t *testing.T, f *fake) {
		const n = 300
		queries, paths := f.services(n)
		var open atomic.Int64
		f.fail(func(w http.ResponseWriter, r *http.Request) bool {
			defer open.Add(-1)
			if open.Add(1) > 200 {
				http.Error(w, "Your IP is issuing too many concurrent connections", http.StatusTooManyRequests)
				return true
			}
			f.serve(w, r)
			return true
		})
		c, _ := f.consul(Config{TLS: TLS{Enabled: true, CACertPEM: string(a.pem)}, Address: "consul:8501"})
		fl := follow(t, c, watch.SetConfig{}, queries...)
		later(2 * time.Minute)
		began := time.Now()
		failed := fl.errors()
		later(5 * time.Minute)
		if k := fl.errors() - failed; k != 0 || fl.failing() != 0 {
			t.Errorf("%d errors after two minutes, %d queries in error", k, fl.failing())
		}
		if k := len(f.since(began)) / 5; k > 200 {
			t.Errorf("%d requests a quiet minute", k)
		}
		for i := range 20 {
			k := i * 37 % n
			f.put(paths[k], fmt.Sprint(20000+i))
			later(5 * time.Second)
			if got := fl.is(queries[k]); got != fmt.Sprint(20000+i) {
				t.Errorf("change %d has not arrived after 5 s: %s", i, got)
			}
		}
	})
}

// One query to a datacenter that hangs does not take the other queries to another address.
func TestSlowQueryMovesNobody(t *testing.T) {
	t.Parallel()
	hangs := map[string]func(r *http.Request) bool{
		"another datacenter": func(r *http.Request) bool { return r.URL.Query().Get("dc") == "dc2" },
		"one path":           func(r *http.Request) bool { return strings.HasSuffix(r.URL.Path, "/x") },
	}
	for name, hangs := range hangs {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, f *fake) {
				queries, paths := f.services(50)
				f.fail(func(_ http.ResponseWriter, r *http.Request) bool {
					if !hangs(r) {
						return false
					}
					<-r.Context().Done()
					return true
				})
				c, out := f.consul(Config{Address: "a:8500,b:8500", Wait: 20 * time.Second})
				slow := watch.NewQuery(watch.KindService, "x", map[string][]string{watch.OptDatacenter: {"dc2"}})
				fl := follow(t, c, watch.SetConfig{}, append(queries, slow)...)
				later(10 * time.Minute)
				if out.count("trying the next address") != 0 || fl.failing() != 1 {
					t.Errorf("%d queries in error; logged: %s", fl.failing(), out)
				}
				if n := len(f.since(time.Now().Add(-time.Minute))); n > 50*5 {
					t.Errorf("%d requests a minute", n)
				}
				fl.agree(t, f, queries, paths)
			})
		})
	}
}

// A first read that is lost on its way is made again after seconds, and the same for one that waits for nothing else.
func TestLostRequest(t *testing.T) {
	bubble(t, func(t *testing.T, f *fake) {
		queries, _ := f.services(3)
		var requests atomic.Int64
		f.fail(func(_ http.ResponseWriter, r *http.Request) bool {
			if r.URL.Query().Has("index") || requests.Add(1) != 2 {
				return false
			}
			<-r.Context().Done()
			return true
		})
		c, _ := f.consul(Config{})
		fl := follow(t, c, watch.SetConfig{}, queries...)
		later(time.Second)
		if n := fl.answered(); n != 2 {
			t.Fatalf("%d of 3 answered at once, want 2", n)
		}
		later(firstDeadline)
		if fl.answered() != 3 || fl.errors() != 0 {
			t.Errorf("%d of 3 answered, %d errors", fl.answered(), fl.errors())
		}
	})
}

// A Consul that takes long for each answer is asked once for each, after it has shown that it is slow.
func TestSlowConsul(t *testing.T) {
	bubble(t, func(t *testing.T, f *fake) {
		queries, _ := f.services(40)
		f.fail(func(_ http.ResponseWriter, r *http.Request) bool {
			return !r.URL.Query().Has("index") && !pause.For(r.Context(), 12*time.Second)
		})
		c, _ := f.consul(Config{})
		fl := follow(t, c, watch.SetConfig{}, queries...)
		later(firstDeadline + 13*time.Second)
		if fl.answered() != 40 || fl.errors() != 0 {
			t.Errorf("%d of 40 answered, %d errors", fl.answered(), fl.errors())
		}
		began := time.Now()
		for i := range 10 {
			_, _, err := c.Fetch(t.Context(), queries[i], 0)
			check(t, err)
		}
		n := 0
		for _, r := range f.since(began) {
			if r.index == "" {
				n++
			}
		}
		if n != 10 {
			t.Errorf("%d requests for 10 answers", n)
		}
	})
}

// A large answer on a slow line is no error, and is transferred once; one that stalls, or arrives byte by byte, is given up.
func TestSlowBody(t *testing.T) {
	for _, test := range []struct {
		name  string
		parts int
		each  int // bytes
		pause time.Duration
		want  string // part of the error
	}{
		{"slow", 20, 5000, 10 * time.Second, ""},
		{"small and late", 1, 10, 10 * time.Second, ""},
		{"stalled", 2, 5000, time.Hour, "the answer stalled"},
		{"byte by byte", 1000, 1, time.Second, "the answer stalled"},
	} {
		t.Run(test.name, func(t *testing.T) {
			bubble(t, func(t *testing.T, f *fake) {
				transfers := 0
				f.fail(func(w http.ResponseWriter, r *http.Request) bool {
					transfers++
					w.Header().Set("X-Consul-Index", "7")
					fmt.Fprint(w, `[{"Key":"big/a","Value":"YQ=="}`)
					for range test.parts {
						_ = http.NewResponseController(w).Flush()
						if !pause.For(r.Context(), test.pause) {
							return true
						}
						fmt.Fprint(w, strings.Repeat(" ", test.each))
					}
					fmt.Fprint(w, "]")
					return true
				})
				c, _ := f.consul(Config{})
				value, _, err := c.Fetch(t.Context(), watch.NewQuery(watch.KindPrefix, "big/", nil), 0)
				if test.want == "" && (err != nil || len(value.([]*watch.KeyPair)) != 1) || test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)) {
					t.Errorf("got %v, %v; want the error %q", value, err, test.want)
				}
				if transfers != 1 {
					t.Errorf("%d transfers", transfers)
				}
			})
		})
	}
}

// What is the fault of some queries neither delays others nor is their error.
func TestFaultsOfQueries(t *testing.T) {
	t.Parallel()
	answers := map[string]http.HandlerFunc{
		"a filter": func(w http.ResponseWriter, _ *http.Request) {
			http.Error(w, "Failed to create boolean expression evaluator", http.StatusInternalServerError)
		},
		"a filter, of a server behind a client": func(w http.ResponseWriter, _ *http.Request) {
			http.Error(w, "rpc error making call: Failed to create boolean expression evaluator", http.StatusInternalServerError)
		},
		"a name":          func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadRequest) },
		"another edition": func(w http.ResponseWriter, r *http.Request) { http.NotFound(w, r) },
	}
	for name, answer := range answers {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, f *fake) {
				queries, paths := f.services(30)
				var bad []watch.Query
				for i := range 20 {
					bad = append(bad, watch.NewQuery(watch.KindService, fmt.Sprint("bad", i), nil))
				}
				f.fail(func(w http.ResponseWriter, r *http.Request) bool {
					if !strings.HasPrefix(r.URL.Path, "/v1/health/service/bad") {
						return false
					}
					answer(w, r)
					return true
				})
				c, _ := f.consul(Config{})
				fl := follow(t, c, watch.SetConfig{}, append(bad, queries[0])...)
				later(20 * time.Second)
				for _, q := range queries[1:] {
					fl.set.Watch(q)
					later(10 * time.Millisecond)
					if st := fl.of(q); st.Rev != 1 || st.Err != nil {
						t.Fatalf("%s has no answer at once: %v", q, st.Err)
					}
				}
				began := time.Now()
				later(10 * time.Minute)
				if n := len(f.since(began)) / 10; n > 20*60/2 {
					t.Errorf("%d requests a minute", n)
				}
				if n := fl.failing(); n != 20 {
					t.Errorf("%d queries in error, want 20", n)
				}
				fl.agree(t, f, queries, paths)
			})
		})
	}
}

// What somebody else answers in place of Consul takes nothing away.
func TestImpostor(t *testing.T) {
	for _, body := range []string{"null", "[]", "[ ]", "{}", "<html>"} {
		bubble(t, func(t *testing.T, f *fake) {
			queries, paths := f.services(3)
			keys, keyPaths := f.keys("app", 3)
			queries, paths = append(queries, keys...), append(paths, keyPaths...)
			c, _ := f.consul(Config{})
			fl := follow(t, c, watch.SetConfig{}, queries...)
			later(2 * time.Second)
			f.fail(func(w http.ResponseWriter, _ *http.Request) bool {
				fmt.Fprint(w, body)
				return true
			})
			f.cut()
			later(5 * time.Second)
			fl.agree(t, f, queries, paths)
			if n := fl.failing(); n != 6 {
				t.Errorf("%d of 6 queries are in error", n)
			}
			if err := fl.of(queries[0]).Err; err == nil || !strings.Contains(err.Error(), "no index header") {
				t.Errorf("the error is %v", err)
			}
		})
	}
}

// No redirect is followed. The error names the host, and nothing else of where it leads.
func TestRedirect(t *testing.T) {
	for _, status := range []int{301, 302, 303, 307, 308} {
		for location, want := range map[string]string{
			"http://login:1/page?token=secret": `redirected to "login:1"`,
			"/v1/kv/secret":                    "redirected to another path",
			"":                                 "redirected to another path",
		} {
			bubble(t, func(t *testing.T, f *fake) {
				f.fail(func(w http.ResponseWriter, _ *http.Request) bool {
					w.Header().Set("Location", location)
					w.WriteHeader(status)
					return true
				})
				c, _ := f.consul(Config{Token: "secret"})
				_, _, err := c.Fetch(t.Context(), web, 0)
				if err == nil || !strings.Contains(err.Error(), fmt.Sprint("answered ", status, ": ", want)) || strings.Contains(err.Error(), "secret") {
					t.Errorf("%d to %q: got %v", status, location, err)
				}
				if n := len(f.since(time.Time{})); n != 1 {
					t.Errorf("%d to %q: %d requests", status, location, n)
				}
			})
		}
	}
}

// A host that starts while there is no leader has answers, with a warning. What has an answer keeps it.
func TestNoLeaderAtFirst(t *testing.T) {
	bubble(t, func(t *testing.T, f *fake) {
		queries, paths := f.services(30)
		f.headers = map[string]string{"X-Consul-KnownLeader": "false", "X-Consul-LastContact": "90000"}
		c, out := f.consul(Config{})
		fl := follow(t, c, watch.SetConfig{}, queries...)
		later(time.Second)
		fl.agree(t, f, queries, paths)
		if out.count("has no leader") != 1 || out.count("path=/v1/health\n") != 1 { // without the name
			t.Errorf("logged: %s", out)
		}
		f.put(paths[0], "2")
		later(time.Minute)
		if st := fl.of(queries[0]); plain(st.Value) != "1" || st.Err == nil {
			t.Errorf("the value is %s, %v", plain(st.Value), st.Err)
		}
	})
}

// Servers that are always too far behind lead to reads of the leader, not to two requests for each answer.
func TestTooStaleForLong(t *testing.T) {
	bubble(t, func(t *testing.T, f *fake) {
		queries, paths := f.services(20)
		f.headers = map[string]string{"X-Consul-LastContact": "700"}
		c, _ := f.consul(Config{MaxStale: 100 * time.Millisecond})
		fl := follow(t, c, watch.SetConfig{}, queries...)
		later(10 * time.Second)
		began := time.Now()
		later(10 * time.Minute)
		if n := len(f.since(began)) / 10; n > 20*3 {
			t.Errorf("%d requests a minute", n)
		}
		f.put(paths[3], "4711")
		later(time.Second)
		fl.agree(t, f, queries, paths)
	})
}

// A name that Consul answers 400 to is an error without a request.
func TestUnprintableNames(t *testing.T) {
	bubble(t, func(t *testing.T, f *fake) {
		c, _ := f.consul(Config{})
		for _, kind := range []string{watch.KindService, watch.KindConnect, watch.KindNode, watch.KindKV, watch.KindPrefix, watch.KindCALeaf} {
			for _, name := range []string{"web\nx", "web\x00", "a\u00a0b", "a\tb"} {
				if _, _, err := c.Fetch(t.Context(), watch.NewQuery(kind, name, nil), 0); err == nil || !strings.Contains(err.Error(), "is not printable: byte") {
					t.Errorf("%s %q: got %v", kind, name, err)
				}
			}
		}
		if n := len(f.since(time.Time{})); n != 0 {
			t.Errorf("%d requests", n)
		}
	})
}

// After an outage the requests of a host are spread, where Consul is another machine.
func TestSpreadAfterOutage(t *testing.T) {
	t.Parallel()
	for address, most := range map[string]int{"consul:8500": 400, "localhost:8500": 1000} {
		bubble(t, func(t *testing.T, f *fake) {
			queries, paths := f.services(500)
			c, _ := f.consul(Config{Address: address, MaxConnections: 2000})
			fl := follow(t, c, watch.SetConfig{}, queries...)
			later(time.Minute)
			f.refuse(true)
			later(time.Minute)
			f.refuse(false)
			began := time.Now()
			later(outageEnds + watch.DefaultMaxBackoff)
			if fl.failing() != 0 {
				t.Errorf("%s: %d in error", address, fl.failing())
			}
			if n := busiest(f.since(began), 250*time.Millisecond); n > most {
				t.Errorf("%s: %d requests in a quarter of a second", address, n)
			}
			fl.agree(t, f, queries, paths)
		})
	}
}

// In an outage there is one probe at a time.
func TestOneProbe(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, f *fake) {
		queries, _ := f.services(200)
		c, _ := f.consul(Config{})
		_ = follow(t, c, watch.SetConfig{}, queries...)
		later(time.Minute)
		var open, most atomic.Int64
		f.fail(func(w http.ResponseWriter, r *http.Request) bool {
			most.Store(max(most.Load(), open.Add(1)))
			defer open.Add(-1)
			pause.For(r.Context(), 4*time.Second)
			http.Error(w, "No cluster leader", http.StatusInternalServerError)
			return true
		})
		f.cut()
		later(time.Minute)
		most.Store(0)
		began := time.Now()
		later(10 * time.Minute)
		if n := len(f.since(began)); most.Load() != 1 || n < 600/6-5 || n > 600/5+5 {
			t.Errorf("%d at a time, %d requests in 10 minutes", most.Load(), n)
		}
	})
}

// A proxy that resets one connection of many is no reason to move to another address. One that accepts each connection and closes
// it is.
func TestResets(t *testing.T) {
	t.Parallel()
	for every, moves := range map[int64]int{50: 0, 1: 1} {
		bubble(t, func(t *testing.T, f *fake) {
			queries, paths := f.services(90)
			c, out := f.consul(Config{Address: "a:8500,b:8500"})
			fl := follow(t, c, watch.SetConfig{}, queries...)
			later(10 * time.Second)
			var n atomic.Int64
			f.fail(func(_ http.ResponseWriter, r *http.Request) bool {
				if r.Host == "a:8500" && n.Add(1)%every == 0 {
					panic(http.ErrAbortHandler)
				}
				return false
			})
			f.cut()
			later(10 * time.Minute)
			if k := out.count("trying the next address"); k != moves {
				t.Errorf("every %d: moved %d times: %s", every, k, out)
			}
			f.put(paths[0], "4711")
			later(5 * time.Second)
			fl.agree(t, f, queries, paths)
		})
	}
}

// While no address answers, the log has one line about a move; another one when they have answered in between.
func TestNoAddressAnswers(t *testing.T) {
	bubble(t, func(t *testing.T, f *fake) {
		queries, paths := f.services(5)
		c, out := f.consul(Config{Address: "a:8500,b:8500"})
		fl := follow(t, c, watch.SetConfig{}, queries...)
		later(10 * time.Second)
		for times := 1; times <= 2; times++ {
			f.fail(func(http.ResponseWriter, *http.Request) bool { panic(http.ErrAbortHandler) })
			f.cut()
			later(10 * time.Minute)
			f.fail(nil)
			later(2 * time.Minute)
			fl.agree(t, f, queries, paths)
			if n := out.count("trying the next address"); n != times {
				t.Errorf("logged %d times, not %d: %s", n, times, out)
			}
		}
	})
}

// A list of datacenters that is empty is not Consul's.
func TestNoDatacenters(t *testing.T) {
	for _, body := range []string{"null", "[]"} {
		c := answering(t, func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, body) })
		if value, _, err := c.Fetch(t.Context(), watch.NewQuery(watch.KindDatacenters, "", nil), 0); err == nil {
			t.Errorf("%s: got %v", body, value)
		}
	}
}

// An address that drops what is sent to it is left after the first deadline.
func TestAddressThatDropsAll(t *testing.T) {
	bubble(t, func(t *testing.T, f *fake) {
		queries, paths := f.services(20)
		f.far = 20 * time.Second
		c, out := f.consul(Config{Address: "a:8500,b:8500"})
		fl := follow(t, c, watch.SetConfig{}, queries...)
		later(firstDeadline - time.Millisecond)
		f.mu.Lock()
		f.far = 0
		f.mu.Unlock()
		later(5 * time.Second)
		fl.agree(t, f, queries, paths)
		if out.count("trying the next address") != 1 {
			t.Errorf("logged: %s", out)
		}
		later(20 * time.Second) // until net/http has given up dialing
	})
}
