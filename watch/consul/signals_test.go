package consul

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"render/watch"
	"render/watch/agent"
)

// truth returns what the leaders have, read by a source of its own.
func (f *fake) truth(t *testing.T) func(watch.Query) any {
	t.Helper()
	src, err := newSource(Config{Address: "http://consul:8500"}, f.dial)
	check(t, err)
	t.Cleanup(src.Close)
	return func(q watch.Query) any {
		value, _, err := src.Confirm(t.Context(), q)
		check(t, err)
		return value
	}
}

// differing returns those of some queries whose state is not what the leaders have.
func (fl *follower) differing(truth func(watch.Query) any, queries []watch.Query) (differ []watch.Query) {
	for _, q := range queries {
		if st := fl.of(q); st.Rev == 0 || st.Err != nil || !watch.Equal(st.Value, truth(q)) {
			differ = append(differ, q)
		}
	}
	return differ
}

// agrees fails the test where a state is not what the leaders have.
func (fl *follower) agrees(t *testing.T, f *fake, queries []watch.Query) {
	t.Helper()
	truth := f.truth(t)
	differ := fl.differing(truth, queries)
	for _, q := range differ[:min(len(differ), 4)] {
		t.Errorf("%s: %s, %v; want %s", q, describe(fl.of(q).Value), fl.of(q).Err, describe(truth(q)))
	}
	if len(differ) > 0 {
		t.Fatalf("%d of %d are wrong", len(differ), len(queries))
	}
}

// describe returns an answer as text.
func describe(value any) string {
	switch v := value.(type) {
	case nil:
		return "none"
	case []*watch.HealthService:
		text := []string{}
		for _, s := range v {
			checks := []string{}
			for _, c := range s.Checks {
				checks = append(checks, c.CheckID+"="+c.Status)
			}
			text = append(text, fmt.Sprintf("%s/%s %s:%d %v %s %v", s.Node, s.ID, s.Address, s.Port, s.Tags, s.Status, checks))
		}
		return fmt.Sprintf("%d instances: %s", len(v), strings.Join(text, ", "))
	case []*watch.KeyPair:
		text := []string{}
		for _, p := range v {
			text = append(text, p.Path+"="+p.Value)
		}
		return fmt.Sprintf("%d keys: %s", len(v), strings.Join(text, ", "))
	}
	return fmt.Sprintf("%v", value)
}

// reaches waits until the state of a query is what the leaders have, and returns how long that took. After a limit it fails the test.
func (fl *follower) reaches(t *testing.T, truth func(watch.Query) any, q watch.Query, limit time.Duration) time.Duration {
	t.Helper()
	want, began := truth(q), time.Now()
	for {
		if st := fl.of(q); st.Err == nil && st.Rev > 0 && watch.Equal(st.Value, want) {
			return time.Since(began)
		}
		if time.Since(began) > limit {
			t.Errorf("%s is %s, %v after %s; want %s", q, describe(fl.of(q).Value), fl.of(q).Err, limit, describe(want))
			return limit
		}
		later(10 * time.Millisecond)
	}
}

// latency has each answer take some time.
func (f *fake) latency(d time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.answersAfter = d
}

// More queries than connections: never more connections than are allowed, every change arrives, and a quiet Consul gets few requests.
func TestManyQueriesFewConnections(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, f *fake) {
		f.hold("")
		f.stock("", 250, 2)
		f.fill("", "app", 50)
		f.latency(time.Millisecond)
		queries := append(serviceQueries(250), keyQueries("app", 50)...)
		c, out := f.consul(Config{MaxConnections: 32})
		fl := follow(t, c, watch.SetConfig{}, queries...)
		later(10 * time.Second)
		if n := fl.answered(); n != 300 {
			t.Fatalf("%d of 300 queries answered", n)
		}
		if n := out.count("more queries than connections"); n != 1 || !strings.Contains(out.String(), "queries=300 connections=24") {
			t.Errorf("logged: %s", out)
		}
		for range 40 {
			f.change("", func(s *store) {
				i, j := rand.IntN(250), rand.IntN(2)
				node, id, service := fmt.Sprint("n", j), fmt.Sprintf("s%d-%d", i, j), fmt.Sprint("s", i)
				switch rand.IntN(4) {
				case 0:
					s.register(node, id, service, rand.IntN(60000))
				case 1:
					s.check(node, id, []string{"passing", "warning", "critical"}[rand.IntN(3)], "")
				case 2:
					s.deregister(node, id)
				case 3:
					s.put(fmt.Sprint("app/k", rand.IntN(50)), fmt.Sprint(rand.IntN(1000)))
				}
			})
			later(time.Duration(rand.IntN(1000)+1) * time.Millisecond)
		}
		later(10 * time.Second)
		open := f.mostOpen()
		fl.agrees(t, f, queries)
		later(time.Minute)
		began := time.Now()
		later(10 * time.Minute)
		if n := len(f.since(began)); n > 300+100 { // a round makes sure that the signals have named all
			t.Errorf("%d requests in 10 quiet minutes", n)
		}
		if open > 32 || fl.errors() != 0 {
			t.Errorf("%d connections, %d errors", open, fl.errors())
		}
	})
}

// A change costs few requests, also where many queries share connections; one of what nobody uses costs fewer still.
func TestRequestsOfChanges(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name   string
		change func(s *store, i int)
		most   float64 // requests a change
	}{
		{"flip", func(s *store, i int) {
			s.check("n0", fmt.Sprintf("s%d-0", i), []string{"critical", "passing"}[i/250], "")
		}, 8},
		{"registration", func(s *store, i int) {
			s.register("n1", fmt.Sprint("more", i), fmt.Sprint("s", i), 80)
			s.check("n1", fmt.Sprint("more", i), "passing", "")
		}, 8},
		{"deregistration", func(s *store, i int) { s.deregister("n0", fmt.Sprintf("s%d-0", i)) }, 8},
		{"port", func(s *store, i int) { s.register("n0", fmt.Sprintf("s%d-0", i), fmt.Sprint("s", i), 80) }, 8},
		{"key", func(s *store, i int) { s.put(fmt.Sprint("app/k", i%20), fmt.Sprint("w", i)) }, 3},
		{"flip of an unwatched service", func(s *store, i int) {
			s.check("n0", "other-0", []string{"critical", "passing"}[i%2], "")
		}, 6},
		{"registration of an unwatched service", func(s *store, i int) {
			s.register("n2", fmt.Sprint("other-new", i), "other", 80)
			s.check("n2", fmt.Sprint("other-new", i), "passing", "")
		}, 6},
		{"port of an unwatched service", func(s *store, i int) { s.register("n0", "other-0", "other", 100+i) }, 6},
		{"unwatched key", func(s *store, i int) { s.put(fmt.Sprint("elsewhere/k", i), "w") }, 1},
	} {
		each := func(t *testing.T, address string) {
			bubble(t, func(t *testing.T, f *fake) {
				f.hold("")
				f.stock("", 500, 1)
				f.fill("", "app", 20)
				f.change("", func(s *store) {
					s.register("n0", "other-0", "other", 80)
					s.check("n0", "other-0", "passing", "")
				})
				f.latency(time.Millisecond)
				queries := append(serviceQueries(500), keyQueries("app", 20)...)
				c, _ := f.consul(Config{Address: address, MaxConnections: 128})
				fl := follow(t, c, watch.SetConfig{}, queries...)
				later(time.Minute)
				f.change("", func(s *store) { test.change(s, 7) }) // the first has the lists of checks read
				later(5 * time.Minute)
				began := time.Now()
				for i := range 20 {
					f.change("", func(s *store) { test.change(s, i*13) })
					later(time.Second)
				}
				n := float64(len(f.since(began))) / 20
				t.Logf("%.1f requests a change", n)
				if n > test.most {
					t.Errorf("%.1f requests a change, want at most %.0f", n, test.most)
				}
				later(5 * time.Second)
				fl.agrees(t, f, queries)
			})
		}
		t.Run(test.name, func(t *testing.T) { each(t, "") })
		t.Run(test.name+" at a server", func(t *testing.T) { each(t, serverHere) })
	}
}

const serverHere = "127.0.0.1:8500" // where a fake is a server on this machine

// A check that passes and comes or goes alone is in no list that wakes: it is found soon after another change.
func TestPassingCheckAlone(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, f *fake) {
		f.hold("")
		f.stock("", 200, 2)
		f.change("", func(s *store) {
			s.register("n0", "plain", "s7", 80)
			s.check("n1", "s8-1", "critical", "") // the list of an empty status wakes at any change of a check
			s.check("n1", "s9-1", "warning", "")
		})
		f.latency(time.Millisecond)
		queries := serviceQueries(200)
		c, _ := f.consul(Config{Address: serverHere})
		fl := follow(t, c, watch.SetConfig{}, queries...)
		later(5 * time.Minute)
		for i, change := range []func(s *store){
			func(s *store) { s.check("n0", "plain", "passing", "") },
			func(s *store) { s.uncheck(checkName{"n0", "service:plain"}) },
		} {
			f.change("", change)
			later(time.Second)
			f.change("", func(s *store) { s.register("n1", "s100-1", "s100", 100+i) })
			if took := fl.reaches(t, f.truth(t), queries[7], time.Minute); took > 15*time.Second {
				t.Errorf("change %d is noticed after %s", i, took)
			}
			later(time.Minute)
		}
	})
}

// What a quiet minute costs, and one in which checks print something else at each run.
func TestRequestsOfQuietMinutes(t *testing.T) {
	t.Parallel()
	for _, n := range []int{96, 97, 500} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			bubble(t, func(t *testing.T, f *fake) {
				f.hold("")
				f.stock("", n, 1)
				f.latency(time.Millisecond)
				c, _ := f.consul(Config{})
				fl := follow(t, c, watch.SetConfig{}, serviceQueries(n)...)
				later(10 * time.Minute)
				began := time.Now()
				later(10 * time.Minute)
				quiet := float64(len(f.since(began))) / 10
				most := 30.0
				if n < 500 {
					most = 60 // each waits for itself
				}
				if quiet > most {
					t.Errorf("%.1f requests a quiet minute, want at most %.0f", quiet, most)
				}

				if n == 500 {
					began = time.Now()
					for i := range 600 {
						f.change("", func(s *store) { s.check("n0", "s3-0", "passing", fmt.Sprint(i)) })
						later(500 * time.Millisecond)
					}
					noisy := float64(len(f.since(began))) / 5
					t.Logf("%.1f requests a quiet minute, %.1f with two outputs a second", quiet, noisy)
					if noisy > 150 {
						t.Errorf("%.1f requests a minute with two outputs a second", noisy)
					}
				}
				if fl.errors() > 0 {
					t.Errorf("%d errors", fl.errors())
				}
			})
		})
	}
}

// The number of queries beyond which they share connections is no cliff: a change is noticed as fast, and costs about as much.
func TestSharingIsNoCliff(t *testing.T) {
	t.Parallel()
	for _, n := range []int{90, 96, 97, 100, 120, 133, 134, 200} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			bubble(t, func(t *testing.T, f *fake) {
				f.hold("")
				f.stock("", n, 1)
				f.latency(time.Millisecond)
				c, _ := f.consul(Config{})
				fl := follow(t, c, watch.SetConfig{}, serviceQueries(n)...)
				truth := f.truth(t)
				later(4 * time.Minute) // in the beginning requests wait less long
				for i := range 20 {
					k := i * 3
					f.change("", func(s *store) { s.check("n0", fmt.Sprintf("s%d-0", k), "critical", "") })
					if took := fl.reaches(t, truth, serviceQueries(n)[k], 5*time.Second); took > 100*time.Millisecond {
						t.Errorf("a flip is noticed after %s", took)
					}
					began := time.Now()
					later(10 * time.Second)
					if k := len(f.since(began)); k > max(30, n*2/3) { // where each waits for itself some of the waits end
						t.Errorf("%d requests in the 10 seconds after a flip", k)
					}
				}
			})
		})
	}
}

// A list that lacks what the token may not read still tells which of the others has changed.
func TestSignalsFiltered(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, f *fake) {
		f.hold("")
		f.stock("", 200, 1)
		f.latency(time.Millisecond)
		f.stores.token = func(path string, _ map[string][]string) bool { return !strings.HasPrefix(path, "/v1/health/service/") }
		c, _ := f.consul(Config{MaxConnections: 32})
		queries := serviceQueries(200)
		fl := follow(t, c, watch.SetConfig{}, queries...)
		truth := f.truth(t)
		later(3 * time.Minute)
		for i := range 10 {
			f.change("", func(s *store) { s.check("n0", fmt.Sprintf("s%d-0", i), "critical", "") })
			if took := fl.reaches(t, truth, queries[i], time.Minute); took > 100*time.Millisecond {
				t.Errorf("a flip is noticed after %s", took)
			}
			later(10 * time.Second)
		}
	})
}

// A server that reads and is behind the one whose signal has named a change is read again.
func TestSignalsOfServersBehind(t *testing.T) {
	t.Parallel()
	for _, lag := range []time.Duration{500 * time.Millisecond, 1500 * time.Millisecond, 2500 * time.Millisecond, 5 * time.Second, 20 * time.Second} {
		t.Run(lag.String(), func(t *testing.T) {
			bubble(t, func(t *testing.T, f *fake) {
				f.hold("")
				f.stock("", 60, 1)
				f.fill("", "app", 20)
				f.latency(time.Millisecond)
				c, _ := f.consul(Config{MaxConnections: 32, MaxStale: time.Minute})
				queries := append(serviceQueries(60), keyQueries("app", 20)...)
				fl := follow(t, c, watch.SetConfig{}, queries...)
				truth := f.truth(t)
				later(time.Minute)
				f.mu.Lock()
				f.stores.lags = []time.Duration{0, lag, lag}
				f.mu.Unlock()
				for i := range 12 {
					q := queries[i]
					f.change("", func(s *store) {
						node, id := "n0", fmt.Sprintf("s%d-0", i)
						switch i % 4 {
						case 0:
							s.check(node, id, "critical", "")
						case 1:
							s.register(node, id, fmt.Sprint("s", i), 9999)
						case 2:
							s.deregister(node, id)
						case 3:
							q = keyQueries("app", 20)[i]
							s.put(q.Name, "new")
						}
					})
					if took := fl.reaches(t, truth, q, 5*time.Minute); took > 4*lag+15*time.Second {
						t.Errorf("change %d is noticed after %s", i, took)
					}
					later(time.Minute)
				}
			})
		})
	}
}

// Many who ask the same learn the same, at about the same time.
func TestSignalsForMany(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, f *fake) {
		f.hold("")
		f.stock("", 60, 1)
		f.fill("", "app", 20)
		f.latency(3 * time.Millisecond)
		c, _ := f.consul(Config{MaxConnections: 32})
		queries := append(serviceQueries(60), keyQueries("app", 20)...)
		var all []*follower
		for range 4 {
			all = append(all, follow(t, c, watch.SetConfig{}, queries...))
		}
		truth := f.truth(t)
		later(time.Minute)
		for i := range 40 {
			k := i % 10
			q := queries[k]
			f.change("", func(s *store) {
				id := fmt.Sprintf("s%d-0", k)
				switch i % 3 {
				case 0:
					s.check("n0", id, []string{"critical", "passing"}[i%2], "")
				case 1:
					s.register("n0", id, fmt.Sprint("s", k), 2000+i)
				case 2:
					q = queries[60+k]
					s.put(q.Name, fmt.Sprint(i))
				}
			})
			for n, fl := range all {
				if took := fl.reaches(t, truth, q, 30*time.Second); took > 15*time.Second {
					t.Errorf("follower %d learns of change %d after %s", n, i, took)
				}
			}
			later(time.Duration(i) * 300 * time.Millisecond)
		}
	})
}

// However much moves, the requests are bounded, and what is new arrives.
func TestChurn(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, f *fake) {
		const perSecond = 100
		f.hold("")
		f.stock("", 300, 1)
		f.latency(time.Millisecond)
		c, _ := f.consul(Config{MaxConnections: 32, MaxRequests: perSecond})
		queries := serviceQueries(300)
		fl := follow(t, c, watch.SetConfig{}, queries...)
		later(20 * time.Second)
		began := time.Now()
		for i := range 5_000 {
			f.change("", func(s *store) {
				k := rand.IntN(300)
				if i%2 == 0 {
					s.register("n0", fmt.Sprintf("s%d-0", k), fmt.Sprint("s", k), i+1)
				} else {
					s.check("n0", fmt.Sprintf("s%d-0", k), []string{"critical", "passing", "warning"}[rand.IntN(3)], "")
				}
			})
			time.Sleep(2 * time.Millisecond)
		}
		if n := busiest(f.since(began), 10*time.Second); n > perSecond*12 {
			t.Errorf("%d requests in 10 seconds", n)
		}
		later(30 * time.Second)
		fl.agrees(t, f, queries)
	})
}

// Where a signal is refused, or does not work, queries are read from time to time.
func TestSignalRefused(t *testing.T) {
	t.Parallel()
	for _, path := range []string{servicesPath, nodesPath, checksPath + "critical", checksPath + "any", "/v1/catalog/node-services/"} {
		for i, status := range []int{http.StatusForbidden, http.StatusBadRequest, http.StatusInternalServerError, http.StatusForbidden} {
			address := []string{"", "", "", serverHere}[i]
			t.Run(fmt.Sprint(path, " ", status, " ", address), func(t *testing.T) {
				bubble(t, func(t *testing.T, f *fake) {
					f.hold("")
					f.stock("", 40, 1)
					f.latency(time.Millisecond)
					f.fail(func(w http.ResponseWriter, r *http.Request) bool {
						if !strings.HasPrefix(r.URL.Path, path) {
							return false
						}
						http.Error(w, "no", status)
						return true
					})
					c, _ := f.consul(Config{Address: address, MaxConnections: 32})
					queries := serviceQueries(40)
					fl := follow(t, c, watch.SetConfig{}, queries...)
					later(time.Minute)
					for i := range 40 {
						f.change("", func(s *store) {
							id := fmt.Sprintf("s%d-0", i)
							switch i % 4 {
							case 0:
								s.check("n0", id, "critical", "")
							case 1:
								s.register("n0", id, fmt.Sprint("s", i), 9999)
							case 2:
								s.deregister("n0", id)
							case 3:
								s.node("n0", fmt.Sprint("10.0.1.", i))
							}
						})
						later(10 * time.Millisecond)
					}
					later(25 * time.Second)
					fl.agrees(t, f, queries)
					began := time.Now()
					later(2 * time.Minute)
					if n := len(f.since(began)); n > 12*2*40+400 {
						t.Errorf("%d requests in 2 minutes", n)
					}
					if fl.errors() != 0 {
						t.Errorf("%d errors", fl.errors())
					}
				})
			})
		}
	}
}

// Where the nodes are few, any change of an instance is noticed at once, however many come and whatever they change, and no change leads
// to a round.
func TestSignalsOfNodes(t *testing.T) {
	t.Parallel()
	for _, address := range []string{serverHere, "10.0.0.1:8500"} {
		t.Run(address, func(t *testing.T) { testSignalsOfNodes(t, address) })
	}
}

func testSignalsOfNodes(t *testing.T, address string) {
	bubble(t, func(t *testing.T, f *fake) {
		f.hold("")
		f.stock("", 200, 2)
		f.latency(time.Millisecond)
		c, _ := f.consul(Config{Address: address})
		queries := serviceQueries(200)
		fl := follow(t, c, watch.SetConfig{}, queries...)
		truth := f.truth(t)
		later(5 * time.Minute)
		began := time.Now()
		for i := range 60 {
			f.change("", func(s *store) {
				id, service := fmt.Sprintf("s%d-0", i), fmt.Sprint("s", i)
				switch i % 6 {
				case 0:
					s.register("n0", id, service, 7000+i) // a port alone
				case 1:
					s.register("n1", fmt.Sprint("more", i), service, 80) // without a check
				case 2:
					s.register("n0", id, service, 1000+i, "tag")
				case 3:
					s.deregister("n0", id)
				case 4:
					s.register(fmt.Sprint("new", i), id+"new", service, 80) // with its node
				case 5:
					s.forget(fmt.Sprint("new", i-1))
					i--
				}
			})
			if took := fl.reaches(t, truth, queries[i], 5*time.Second); took > 50*time.Millisecond {
				t.Errorf("change %d is noticed after %s", i, took)
			}
			later(time.Second)
		}
		if n := len(f.since(began)); n > 60*10 {
			t.Errorf("%d requests for 60 changes", n)
		}
		for i := range 100 { // at one time
			f.change("", func(s *store) {
				s.register(fmt.Sprint("n", i%2), fmt.Sprintf("s%d-%d", i, i%2), fmt.Sprint("s", i), 9000+i)
			})
		}
		later(200 * time.Millisecond)
		fl.agrees(t, f, queries)
	})
}

// Where nodes cannot have signals, none has: what else tells of changes does.
func TestNoSignalsOfNodes(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name    string
		prepare func(f *fake)
		others  int // queries that no signal speaks for
	}{
		{"many nodes", func(f *fake) { f.stock("", 1, 70) }, 0},
		{"many queries of other kinds", func(*fake) {}, 60},
		{"nodes that the token may not see", func(f *fake) {
			f.stores.token = func(path string, _ map[string][]string) bool { return path == nodesPath }
		}, 0},
		{"a node with very many instances", func(f *fake) {
			f.change("", func(s *store) {
				for i := range 12_000 {
					s.register("n0", fmt.Sprint("one of very many instances, ", i), "many", 80)
				}
			})
		}, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			bubble(t, func(t *testing.T, f *fake) {
				f.hold("")
				f.stock("", 200, 1)
				test.prepare(f)
				f.latency(time.Millisecond)
				queries := serviceQueries(200)
				c, _ := f.consul(Config{Address: serverHere})
				fl := follow(t, c, watch.SetConfig{}, queries...)
				for i := range test.others {
					fl.set.Watch(watch.NewQuery(watch.KindConnect, fmt.Sprint("s", i), nil))
				}
				later(time.Minute)
				began := time.Now()
				later(10 * time.Minute)
				for _, r := range f.since(began) {
					if strings.HasPrefix(r.path, "/v1/catalog/node-services/") {
						t.Fatalf("request for %s", r.path)
					}
				}
				f.change("", func(s *store) { s.register("n0", "s3-0", "s3", 7000) })
				later(10 * time.Second)
				fl.agrees(t, f, queries)
			})
		})
	}
}

// Queries that no signal speaks for and that come later take the connections of the nodes' signals.
func TestSignalsOfNodesGiveWay(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, f *fake) {
		f.hold("")
		f.stock("", 200, 1)
		f.latency(time.Millisecond)
		queries := serviceQueries(200)
		c, _ := f.consul(Config{Address: serverHere, MaxConnections: 32})
		fl := follow(t, c, watch.SetConfig{}, queries...)
		later(time.Minute)
		waitsForNodes := func() bool {
			began := time.Now()
			later(10 * time.Minute)
			return slices.ContainsFunc(f.since(began), func(r asked) bool { return strings.HasPrefix(r.path, "/v1/catalog/node-services/") })
		}
		if !waitsForNodes() {
			t.Fatal("nodes have no signals")
		}
		for i := range 30 {
			path := fmt.Sprint("/v1/health/connect/s", i)
			f.put(path, "1")
			fl.set.Watch(watch.NewQuery(watch.KindConnect, fmt.Sprint("s", i), nil))
		}
		later(10 * time.Minute)
		if waitsForNodes() {
			t.Error("nodes have signals still")
		}
		f.change("", func(s *store) { s.register("n0", "s3-0", "s3", 7000) })
		later(10 * time.Second)
		fl.agrees(t, f, queries)
	})
}

// Nodes that come and go leave no requests behind that hold connections: a read is answered at once.
func TestNodesComeAndGo(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, f *fake) {
		f.hold("")
		f.stock("", 60, 1)
		f.latency(time.Millisecond)
		queries := serviceQueries(60)
		c, _ := f.consul(Config{Address: serverHere, MaxConnections: 32})
		fl := follow(t, c, watch.SetConfig{}, queries...)
		later(5 * time.Minute)
		for i := range 40 {
			f.change("", func(s *store) { s.register(fmt.Sprint("new", i%3), fmt.Sprint("one", i), "s1", 80) })
			later(time.Second)
			f.change("", func(s *store) { s.forget(fmt.Sprint("new", i%3)) })
			later(time.Second)
			q := watch.NewQuery(watch.KindService, fmt.Sprint("other", i), nil)
			fl.set.Watch(q)
			if took := fl.reaches(t, f.truth(t), q, 5*time.Minute); took > 50*time.Millisecond {
				t.Fatalf("after %d nodes a first answer takes %s", i, took)
			}
			fl.set.Forget(q)
		}
		fl.agrees(t, f, queries)
	})
}

// A request that waits for a node does not return when the node is deregistered.
func TestNodeQueryOfNodeThatGoes(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		others  int // queries
		address string
		limit   time.Duration
	}{
		{0, "", 61 * time.Second},
		{60, "", 3 * time.Second},
		{60, serverHere, time.Second},
	} {
		t.Run(fmt.Sprint(test.others, " others ", test.address), func(t *testing.T) {
			bubble(t, func(t *testing.T, f *fake) {
				f.hold("")
				f.stock("", 100, 2)
				f.latency(time.Millisecond)
				node := watch.NewQuery(watch.KindNode, "n1", nil)
				c, _ := f.consul(Config{Address: test.address, MaxConnections: 32})
				fl := follow(t, c, watch.SetConfig{}, append(serviceQueries(test.others), node)...)
				truth := f.truth(t)
				later(10 * time.Minute)
				for i := range 3 { // it changes often, so that it deserves a request of its own
					f.change("", func(s *store) { s.node("n1", fmt.Sprint("10.0.0.", 50+i)) })
					later(10 * time.Second)
				}
				f.change("", func(s *store) { s.forget("n1") })
				if took := fl.reaches(t, truth, node, 2*time.Minute); took > test.limit {
					t.Errorf("noticed after %s", took)
				}
			})
		})
	}
}

// Keys of many folders share a few requests.
func TestGroups(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, f *fake) {
		f.hold("")
		var queries []watch.Query
		for folder := range 40 {
			f.fill("", fmt.Sprint("f", folder), 6)
			queries = append(queries, keyQueries(fmt.Sprint("f", folder), 6)...)
		}
		f.latency(time.Millisecond)
		c, _ := f.consul(Config{MaxConnections: 128})
		fl := follow(t, c, watch.SetConfig{}, queries...)
		truth := f.truth(t)
		later(time.Minute)
		began := time.Now()
		for i, q := range queries[:60] {
			f.change("", func(s *store) { s.put(q.Name, fmt.Sprint(1000+i)) })
			if took := fl.reaches(t, truth, q, 15*time.Second); took > 100*time.Millisecond {
				t.Errorf("a key is noticed after %s", took)
			}
		}
		f.change("", func(s *store) { s.remove(queries[0].Name) })
		if took := fl.reaches(t, truth, queries[0], 15*time.Second); took > 100*time.Millisecond {
			t.Errorf("that a key is deleted is noticed after %s", took)
		}
		if n := len(f.since(began)); n > 61*4 {
			t.Errorf("%d requests for 61 changes", n)
		}
		later(5 * time.Second)
		fl.agrees(t, f, queries)
	})
}

// A token that may read keys and not list them: each query is read in turn, and not too often.
func TestKeyListDenied(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, f *fake) {
		f.hold("")
		f.fill("", "app/team", 300)
		f.latency(time.Millisecond)
		f.fail(func(w http.ResponseWriter, r *http.Request) bool {
			if !r.URL.Query().Has("keys") && !r.URL.Query().Has("recurse") {
				return false
			}
			http.Error(w, "Permission denied: token lacks permission 'key:list'", http.StatusForbidden)
			return true
		})
		c, _ := f.consul(Config{MaxConnections: 128})
		queries := keyQueries("app/team", 300)
		fl := follow(t, c, watch.SetConfig{}, queries...)
		later(5 * time.Minute)
		began := time.Now()
		later(5 * time.Minute)
		if n := len(f.since(began)) / 5; n > 500 {
			t.Errorf("%d requests a quiet minute", n)
		}
		if fl.errors() > 0 {
			t.Errorf("%d errors", fl.errors())
		}
		f.change("", func(s *store) { s.put("app/team/k7", "new") })
		if took := fl.reaches(t, f.truth(t), queries[7], 2*time.Minute); took > 70*time.Second {
			t.Errorf("a change is noticed after %s", took)
		}
	})
}

// More datacenters than signals: no datacenter is forgotten, and the requests of a quiet minute are bounded.
func TestManyDatacenters(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, f *fake) {
		var names []string
		var queries []watch.Query
		for dc := range 20 {
			names = append(names, fmt.Sprint("dc", dc))
			for i := range 50 {
				queries = append(queries, watch.NewQuery(watch.KindService, fmt.Sprint("s", i), url.Values{watch.OptDatacenter: {names[dc]}}))
			}
		}
		f.hold(append(names, "")...)
		for _, dc := range names {
			f.stock(dc, 50, 1)
		}
		f.latency(time.Millisecond)
		c, _ := f.consul(Config{})
		fl := follow(t, c, watch.SetConfig{}, queries...)
		later(5 * time.Minute)
		began := time.Now()
		later(5 * time.Minute)
		n := len(f.since(began)) / 5
		t.Logf("%d requests a quiet minute", n)
		if n > 1000 {
			t.Errorf("%d requests a quiet minute", n)
		}
		for _, dc := range names {
			f.change(dc, func(s *store) { s.check("n0", "s3-0", "critical", "") })
		}
		later(75 * time.Second)
		fl.agrees(t, f, queries)
	})
}

// Signals end when nobody needs them: no request is left of them, and no connection.
func TestSignalsEnd(t *testing.T) {
	bubble(t, func(t *testing.T, f *fake) {
		f.hold("")
		f.stock("", 100, 1)
		f.fill("", "app", 30)
		f.latency(20 * time.Millisecond)
		queries := append(serviceQueries(100), keyQueries("app", 30)...)
		c, _ := f.consul(Config{MaxConnections: 32})
		fl := follow(t, c, watch.SetConfig{})
		for _, when := range []time.Duration{0, 30 * time.Millisecond, time.Second, time.Minute} { // while asking, reading, waiting
			for _, q := range queries {
				fl.set.Watch(q)
			}
			later(when)
			f.change("", func(s *store) { s.register("n0", "s0-0", "s0", int(when/time.Second)+500) })
			later(10 * time.Millisecond)
			for _, q := range queries {
				fl.set.Forget(q)
			}
			later(coverLinger + agent.DefaultWait*2)
			began := time.Now()
			later(10 * time.Minute)
			if n := len(f.since(began)); n != 0 {
				t.Errorf("forgotten after %s: %d requests in 10 minutes although there is no query", when, n)
			}
			reads := !c.reads.TryAcquire(32 / 4)
			if !reads {
				c.reads.Release(32 / 4)
			}
			c.mu.Lock()
			if len(c.members) != 0 || len(c.scopes) != 0 || c.signals != 0 || c.waiting != 0 || c.polling != 0 || reads {
				t.Errorf("forgotten after %s: %d members, %d scopes, %d signals, %d waiting, %d polling are left; reads: %v",
					when, len(c.members), len(c.scopes), c.signals, c.waiting, c.polling, reads)
			}
			c.mu.Unlock()
		}
	})
}

// Where each query waits for itself, the end of one wait does not wake the others.
func TestOwnWaitsWakeNobody(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, f *fake) {
		f.hold("")
		f.stock("", 40, 1)
		f.latency(time.Millisecond)
		queries := serviceQueries(40)
		c, _ := f.consul(Config{})
		fl := follow(t, c, watch.SetConfig{}, queries...)
		later(10 * time.Second)
		woken := func() (n int) {
			c.locked(func() {
				for _, m := range c.members {
					for call := range m.calls {
						if len(call.wake) > 0 {
							<-call.wake
							n++
						}
					}
				}
			})
			return n
		}
		woken()
		f.change("", func(s *store) { s.register("n0", "s7-0", "s7", 80) })
		later(2 * coverLinger)
		if n := woken(); n != 0 {
			t.Errorf("one change has woken %d of 40 queries", n)
		}
		fl.agrees(t, f, queries)
	})
}

// What no signal tells of is read from time to time where there are too few connections.
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
		later(2 * turnEvery)
		fl.agree(t, f, queries, paths)
		began := time.Now()
		later(2 * time.Minute)
		if n := len(f.since(began)); n > 2*mostTurns*4/3+100 || f.mostOpen() > 32 {
			t.Errorf("%d requests in 2 minutes, %d connections", n, f.mostOpen())
		}
	})
}

// The addresses of two clusters have different indexes: a change is not waited for with an index of the other.
func TestSignalsAtNextAddress(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, f *fake) {
		f.hold("")
		f.stock("", 100, 1)
		f.fill("", "app", 20)
		f.latency(time.Millisecond)
		c, _ := f.consul(Config{MaxConnections: 32, Address: "a:8500,b:8500"})
		queries := append(serviceQueries(100), keyQueries("app", 20)...)
		fl := follow(t, c, watch.SetConfig{}, queries...)
		truth := f.truth(t)
		later(10 * time.Second)
		if fl.answered() != 120 {
			t.Fatalf("%d answered", fl.answered())
		}
		f.mu.Lock() // b is another cluster, with low indexes
		f.down["a:8500"] = true
		f.mu.Unlock()
		f.reset("", 20)
		f.cut()
		later(5 * time.Second)
		for i := range 20 {
			q := queries[i]
			f.change("", func(s *store) {
				switch i % 3 {
				case 0:
					s.check("n0", fmt.Sprintf("s%d-0", i), "critical", "")
				case 1:
					s.deregister("n0", fmt.Sprintf("s%d-0", i))
				case 2:
					q = queries[100+i]
					s.remove(q.Name)
				}
			})
			if took := fl.reaches(t, truth, q, 30*time.Second); took > time.Second {
				t.Errorf("a change of %s is noticed after %s", q, took)
			}
		}
		if n := f.since(time.Time{}); n[len(n)-1].host != "b:8500" {
			t.Errorf("the last request went to %s", n[len(n)-1].host)
		}
	})
}

// Where indexes go back, as after a restore of a snapshot, all changes that were reported have indexes that no answer reaches: neither
// these queries nor the plain reads of others wait for that.
func TestIndexesGoBack(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ stale, quiet, most time.Duration }{
		{2 * time.Second, time.Minute, 2 * time.Second}, {30 * time.Second, time.Minute, 2 * time.Second},
		{2 * time.Second, time.Second, 10 * time.Second}, {30 * time.Second, time.Second, 10 * time.Second}, // a server may be behind
	} {
		t.Run(fmt.Sprintf("stale %s, quiet %s", test.stale, test.quiet), func(t *testing.T) {
			bubble(t, func(t *testing.T, f *fake) {
				const services = 300
				f.hold("")
				f.stock("", services, 1)
				f.fill("", "app", 20)
				f.change("", func(s *store) { s.put("app/large", strings.Repeat("x", 5<<20)) }) // the group asks for names only
				f.latency(time.Millisecond)
				c, _ := f.consul(Config{Address: "http://localhost:8500", MaxConnections: 32, MaxStale: test.stale})
				queries := append(serviceQueries(services), keyQueries("app", 20)...)
				fl := follow(t, c, watch.SetConfig{}, queries...)
				later(10 * time.Second)
				for i := range services {
					f.change("", func(s *store) { s.check("n0", fmt.Sprintf("s%d-0", i), "critical", "") })
					later(10 * time.Millisecond)
				}
				later(test.quiet)
				fl.agrees(t, f, queries)

				f.reset("", firstIndex/2)
				later(5 * time.Second)
				for i := range 20 {
					f.change("", func(s *store) {
						s.check("n0", fmt.Sprintf("s%d-0", 10*i), "passing", "")
						s.put(fmt.Sprint("app/k", i), "new")
					})
				}
				later(test.most)
				fl.agrees(t, f, queries)
			})
		})
	}
}

// A node that goes takes instances with it that no list of checks has: their queries are read soon.
func TestNodeGoes(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, f *fake) {
		f.hold("")
		f.stock("", 60, 1)
		f.latency(time.Millisecond)
		f.change("", func(s *store) {
			s.register("gone", "s1-9", "s1", 80)
			s.register("gone", "s2-9", "s2", 80)
			s.check("gone", "s2-9", "passing", "")
		})
		c, _ := f.consul(Config{MaxConnections: 32})
		queries := serviceQueries(60)
		fl := follow(t, c, watch.SetConfig{}, queries...)
		truth := f.truth(t)
		later(time.Minute)
		f.change("", func(s *store) {
			s.deregister("gone", "s1-9")
			s.deregister("gone", "s2-9")
			delete(s.nodes, "gone")
			s.tables["nodes"] = s.index
		})
		for _, q := range queries[1:3] {
			if took := fl.reaches(t, truth, q, time.Hour); took > 5*time.Second {
				t.Errorf("%s: noticed after %s", q, took)
			}
		}
	})
}

// While changes go on that no signal names, rounds become rare. The last of these changes does not wait for that, also behind a client
// agent.
func TestLastChange(t *testing.T) {
	t.Parallel()
	for _, connections := range []int{200, 0} { // an agent that does not say what it is may be a client
		t.Run(fmt.Sprint(connections), func(t *testing.T) {
			bubble(t, func(t *testing.T, f *fake) {
				f.hold("")
				f.stock("", 300, 1)
				f.latency(time.Millisecond)
				f.stores.connections = connections
				c, _ := f.consul(Config{MaxConnections: 32})
				queries := serviceQueries(300)
				fl := follow(t, c, watch.SetConfig{}, queries...)
				truth := f.truth(t)
				later(time.Minute)
				for round := range 5 {
					before := len(f.since(time.Time{}))
					for i := range 200 {
						f.change("", func(s *store) { s.register("n0", fmt.Sprintf("s%d-0", i), fmt.Sprint("s", i), 2000+round) })
						later(100*time.Millisecond + time.Duration(round)*77*time.Millisecond)
					}
					requests := len(f.since(time.Time{})) - before
					for _, q := range queries[150:200] {
						if took := fl.reaches(t, truth, q, time.Hour); took > 5*time.Second {
							t.Errorf("%s: noticed after %s", q, took)
						}
					}
					if requests > 60*200 {
						t.Errorf("%d requests for 200 changes", requests)
					}
					later(time.Minute)
				}
			})
		})
	}
}

// Groups of keys that were there first leave the catalog its signals, also after refusals, when there may be few.
func TestCatalogBesideManyGroups(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, f *fake) {
		f.hold("")
		f.stock("", 60, 1)
		f.latency(time.Millisecond)
		var keys []watch.Query
		for i := range 12 {
			folder := strings.Repeat(string(rune('a'+i)), 3)
			f.fill("", folder, 10)
			keys = append(keys, keyQueries(folder, 10)...)
		}
		c, _ := f.consul(Config{MaxConnections: 128})
		fl := follow(t, c, watch.SetConfig{}, keys...)
		truth := f.truth(t)
		later(time.Minute)
		f.fail(func(w http.ResponseWriter, _ *http.Request) bool {
			http.Error(w, "no", http.StatusTooManyRequests)
			return true
		})
		later(20 * time.Second)
		f.fail(nil)
		queries := serviceQueries(60)
		for _, q := range queries {
			fl.set.Watch(q)
		}
		later(10 * time.Second)
		for i := range 10 {
			f.change("", func(s *store) { s.check("n0", fmt.Sprintf("s%d-0", i), "critical", "") })
			if took := fl.reaches(t, truth, queries[i], time.Hour); took > time.Second {
				t.Errorf("a flip is noticed after %s", took)
			}
		}
	})
}

// A fault while a signal is followed ends neither the process nor the signal, and shows nothing of what was read.
func TestSignalPanics(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, f *fake) {
		f.hold("")
		c, log := f.consul(Config{})
		ctx, stop := context.WithCancel(t.Context())
		asked, failed, ended := 0, 0, false
		c.start(ctx, signal{
			request: func(ctx context.Context, _ agent.Request) (agent.Reply, error) {
				if asked++; asked == 1 {
					panic("a value")
				}
				<-ctx.Done()
				return agent.Reply{}, ctx.Err()
			},
			failed: func(error, bool) { failed++ },
		}, func() { ended = true })
		later(2 * rereadEvery)
		stop()
		synctest.Wait()
		if asked != 2 || failed != 1 || !ended {
			t.Errorf("%d requests, %d failures, ended: %v; want 2, 1, true", asked, failed, ended)
		}
		if text := log.String(); !strings.Contains(text, "fault in render") || strings.Contains(text, "a value\"") {
			t.Errorf("log: %s", text)
		}
	})
}

// Many who want a round at about the same time get one.
func TestRoundsAreOne(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, f *fake) {
		f.hold("")
		s, _ := f.consul(Config{})
		c := &cover{}
		s.mu.Lock()
		defer s.mu.Unlock()
		for i := range 50 {
			s.scheduleRound(c, 10*time.Second-time.Duration(i)*time.Millisecond, nil)
		}
		if n := len(c.roundAgain); n > 0 {
			t.Errorf("%d more rounds", n)
		}
		s.scheduleRound(c, time.Second, nil)
		if n := len(c.roundAgain); n != 1 {
			t.Errorf("%d more rounds after one that comes much sooner, want 1", n)
		}
		c.round.Stop()
	})
}

// A read that is under way while an instance, or a failing check, comes and goes between two lists may bring it: that does not last.
func TestReadUnderWay(t *testing.T) {
	t.Parallel()
	for kind, steps := range map[string][3]func(s *store){
		"instance": {
			func(s *store) { s.register("n0", "s1-0", "s1", 81) },
			func(s *store) { s.register("n0", "new", "s1", 82) },
			func(s *store) { s.deregister("n0", "new") },
		},
		"check": {
			func(s *store) { s.check("n0", "s1-0", "critical", "") },
			func(s *store) { s.check("n0", "s1-0", "passing", "") },
			func(s *store) { s.check("n0", "s1-0", "critical", "") },
		},
	} {
		t.Run(kind, func(t *testing.T) {
			bubble(t, func(t *testing.T, f *fake) {
				f.hold("")
				f.stock("", 300, 2)
				f.latency(time.Millisecond)
				queries := serviceQueries(300)
				c, _ := f.consul(Config{Address: serverHere})
				fl := follow(t, c, watch.SetConfig{}, queries...)
				later(5 * time.Minute)

				// The requests of signals are late, and the answer to one read is.
				var slow atomic.Bool
				f.fail(func(w http.ResponseWriter, r *http.Request) bool {
					switch path := r.URL.Path; {
					case !slow.Load():
					case strings.HasPrefix(path, "/v1/catalog"), strings.HasPrefix(path, "/v1/health/state"):
						time.Sleep(3500 * time.Microsecond)
					case path == "/v1/health/service/s1":
						time.Sleep(1500 * time.Microsecond)
						answer := httptest.NewRecorder()
						f.serve(answer, r)
						time.Sleep(40 * time.Millisecond)
						maps.Copy(w.Header(), answer.Header())
						w.WriteHeader(answer.Code)
						_, _ = w.Write(answer.Body.Bytes())
						return true
					}
					return false
				})
				slow.Store(true)
				f.change("", steps[0])
				later(2 * time.Millisecond)
				f.change("", steps[1])
				later(1500 * time.Microsecond)
				f.change("", steps[2])
				later(80 * time.Millisecond)
				slow.Store(false)
				later(5 * time.Second)
				if differs := fl.differing(f.truth(t), queries); len(differs) > 0 {
					t.Errorf("after 5 s not in sync: %v", differs)
				}
			})
		})
	}
}
