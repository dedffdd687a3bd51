package consul

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"render/watch"

	"render/watch/hint"
)

// R11: what an answer's headers say decides whether it is data.
func TestR11Trust(t *testing.T) {
	const filtered, denied = "X-Consul-Results-Filtered-By-ACLs", "the answer lacks what the token may not read"
	tests := []struct {
		name    string
		headers map[string]string
		want    string // part of the error
		leader  bool   // the leader is asked, too
		asked   int    // requests
	}{
		{"no headers", nil, "", false, 1},
		{"a leader", map[string]string{"X-Consul-KnownLeader": "true", "X-Consul-LastContact": "0"}, "", false, 1},
		{"no leader", map[string]string{"X-Consul-KnownLeader": "false"}, "consul has no leader", false, 1},
		{"no leader, but from a stream", map[string]string{"X-Consul-KnownLeader": "false", "X-Consul-Query-Backend": "streaming"}, "", false, 1},
		{"no leader, not from a stream", map[string]string{"X-Consul-KnownLeader": "false", "X-Consul-Query-Backend": "blocking-query"}, "consul has no leader", false, 1},
		{"a little behind", map[string]string{"X-Consul-LastContact": "2000"}, "", false, 1},
		{"too far behind", map[string]string{"X-Consul-LastContact": "2001"}, "", true, 2},
		{"far behind, but from a stream", map[string]string{"X-Consul-LastContact": "90000", "X-Consul-Query-Backend": "streaming"}, "", false, 1},
		{"nonsense", map[string]string{"X-Consul-LastContact": "soon", "X-Consul-KnownLeader": "perhaps"}, "", false, 1},
		{"filtered", map[string]string{filtered: "true"}, denied, false, 1},
		{"not filtered", map[string]string{filtered: "false"}, "", false, 1},
		{"filtered, from a stream", map[string]string{filtered: "true", "X-Consul-Query-Backend": "streaming"}, denied, false, 1},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			for _, kind := range []string{watch.KindService, watch.KindKV} {
				bubble(t, func(t *testing.T, f *fake) {
					f.put("/v1/health/service/x", "5")
					f.put("/v1/kv/x", "5")
					c, _ := f.consul(Config{})
					q := watch.NewQuery(kind, "x", nil)
					_, _, err := c.Fetch(t.Context(), q, 0) // an answer that may be lost
					check(t, err)
					time.Sleep(time.Millisecond)
					began := time.Now()
					f.mu.Lock()
					f.headers = test.headers
					f.mu.Unlock()
					if test.leader { // the leader is not
						f.fail(func(w http.ResponseWriter, r *http.Request) bool {
							f.mu.Lock()
							defer f.mu.Unlock()
							f.headers = test.headers
							if !r.URL.Query().Has("stale") {
								f.headers = map[string]string{"X-Consul-LastContact": "90000"}
							}
							return false
						})
					}
					value, _, err := c.Fetch(t.Context(), q, 0)
					asked := f.since(began)
					switch {
					case test.leader:
						if err != nil || plain(value) != "5" || strings.Contains(asked[1].query, "stale") || asked[1].index != "" {
							t.Errorf("%s: got %v, %v after asking %s", kind, value, err, asked[1].query)
						}
					case test.want == "" && (err != nil || plain(value) != "5"), test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)),
						errors.Is(err, watch.ErrDenied) != (test.want == denied):
						t.Errorf("%s: got %v, %v; want the error %q", kind, plain(value), err, test.want)
					}
					if len(asked) != test.asked {
						t.Errorf("%s: %d requests, want %d", kind, len(asked), test.asked)
					}
				})
			}
		})
	}
}

// A request that waited, and was answered by a server that is too far behind, is followed by a plain one to the leader.
func TestR11TooStaleAfterWaiting(t *testing.T) {
	bubble(t, func(t *testing.T, f *fake) {
		queries, paths := f.services(1)
		c, _ := f.consul(Config{MaxStale: 5 * time.Second})
		fl := follow(t, c, watch.SetConfig{}, queries...)
		later(time.Second)
		f.mu.Lock()
		f.headers = map[string]string{"X-Consul-LastContact": "5001"}
		f.mu.Unlock()
		f.put(paths[0], "7")
		later(time.Millisecond)
		all := f.since(time.Time{})
		if len(all) < 3 || all[2].params["stale"] != nil || all[2].index != "" || all[2].params["wait"] != nil || fl.is(queries[0]) != "7" {
			t.Errorf("asked %+v; the value is %s", all, fl.is(queries[0]))
		}
		if fl.errors() != 0 {
			t.Errorf("an error: %v", fl.of(queries[0]).Err)
		}
	})
}

// What a token may not read is an error that names the permission, and takes nothing away.
func TestR11Filtered(t *testing.T) {
	tests := []struct {
		query watch.Query
		want  string
	}{
		{watch.NewQuery(watch.KindService, "s0", nil), "service:read and node:read"},
		{watch.NewQuery(watch.KindConnect, "s0", nil), "service:read and node:read"},
		{watch.NewQuery(watch.KindServices, "", nil), "service:read"},
		{watch.NewQuery(watch.KindNodes, "", nil), "node:read"},
		{watch.NewQuery(watch.KindPrefix, "a/", nil), "key:list"},
		{watch.NewQuery(watch.KindPeerings, "", nil), "peering:read"},
	}
	for _, test := range tests {
		bubble(t, func(t *testing.T, f *fake) {
			queries, paths := f.services(1)
			c, _ := f.consul(Config{})
			fl := follow(t, c, watch.SetConfig{}, queries...)
			later(time.Second)
			f.mu.Lock()
			f.headers = map[string]string{"X-Consul-Results-Filtered-By-ACLs": "true"}
			f.mu.Unlock()
			if _, _, err := c.Fetch(t.Context(), test.query, 0); !errors.Is(err, watch.ErrDenied) || !strings.Contains(hint.Text(err), test.want) {
				t.Errorf("%s: got %v, want %s", test.query, err, test.want)
			}
			f.put(paths[0], "")
			later(time.Second)
			if st := fl.of(queries[0]); plain(st.Value) != "1" || !errors.Is(st.Err, watch.ErrDenied) {
				t.Errorf("%s, %v", plain(st.Value), st.Err)
			}
		})
	}
}

// R11: from something to nothing only where a consistent read says so, too.
func TestR11Vanishing(t *testing.T) {
	tests := []struct {
		name       string
		consistent func(f *fake, w http.ResponseWriter) (done bool)
		want       string
		err        string
	}{
		{"confirmed", func(*fake, http.ResponseWriter) bool { return false }, "", ""},
		{"the leader has it", func(f *fake, w http.ResponseWriter) bool {
			f.give(w, instanceAt(1), 99)
			return true
		}, "1", "does not confirm"},
		{"the leader has another", func(f *fake, w http.ResponseWriter) bool {
			f.give(w, instanceAt(77), 99)
			return true
		}, "77", "does not confirm"},
		{"no leader", func(_ *fake, w http.ResponseWriter) bool {
			http.Error(w, "No cluster leader", http.StatusInternalServerError)
			return true
		}, "1", "No cluster leader"},
		{"filtered", func(f *fake, w http.ResponseWriter) bool {
			w.Header().Set("X-Consul-Results-Filtered-By-ACLs", "true")
			f.give(w, []any{}, 99)
			return true
		}, "1", "service:read"},
		{"nothing, of an older index", func(f *fake, w http.ResponseWriter) bool {
			f.give(w, []any{}, 2)
			return true
		}, "", ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			bubble(t, func(t *testing.T, f *fake) {
				queries, paths := f.services(1)
				c, _ := f.consul(Config{})
				fl := follow(t, c, watch.SetConfig{}, queries...)
				later(time.Second)
				if _, confirmed := f.confirmations(); confirmed != 0 {
					t.Error("the first answer was confirmed")
				}
				f.fail(func(w http.ResponseWriter, r *http.Request) bool {
					return r.URL.Query().Has("consistent") && test.consistent(f, w)
				})
				began := time.Now()
				f.put(paths[0], "")
				later(5 * time.Second)
				st := fl.of(queries[0])
				if plain(st.Value) != test.want || (st.Err == nil) != (test.err == "") || st.Err != nil && !strings.Contains(hint.Text(st.Err), test.err) {
					t.Errorf("the value is %q, %v; want %q, %q", plain(st.Value), st.Err, test.want, test.err)
				}
				asked, n := f.confirmations()
				if n == 0 || asked.params["stale"] != nil || asked.index != "" {
					t.Errorf("%d confirmations; asked %s", n, asked.query)
				}
				if n := len(f.since(began)); n > 60 {
					t.Errorf("%d requests in 5 seconds", n)
				}
				f.fail(nil) // now it is true, or there is something again
				later(10 * time.Second)
				if st := fl.of(queries[0]); plain(st.Value) != "" || st.Err != nil {
					t.Errorf("later: %q, %v", plain(st.Value), st.Err)
				}
				f.put(paths[0], "5")
				later(10 * time.Second)
				_, before := f.confirmations()
				if got := fl.is(queries[0]); got != "5" {
					t.Errorf("in the end: %q", got)
				}
				later(time.Minute)
				if _, after := f.confirmations(); after != before {
					t.Error("something was confirmed")
				}
			})
		})
	}
}

// A first answer that is empty is believed, and staying empty needs no confirmation.
func TestR11EmptyAtFirst(t *testing.T) {
	bubble(t, func(t *testing.T, f *fake) {
		c, _ := f.consul(Config{})
		q, k := watch.NewQuery(watch.KindService, "x", nil), watch.NewQuery(watch.KindKV, "x", nil)
		fl := follow(t, c, watch.SetConfig{}, q, k)
		later(time.Second)
		for _, q := range []watch.Query{q, k} {
			if st := fl.of(q); st.Rev != 1 || st.Err != nil || plain(st.Value) != "" {
				t.Errorf("%s: %+v", q, st)
			}
		}
		f.put("/v1/health/service/x", "")
		f.put("/v1/kv/x", "")
		later(time.Minute)
		if _, n := f.confirmations(); n != 0 {
			t.Errorf("%d confirmations", n)
		}
	})
}

func instanceAt(port int) any {
	return []map[string]any{{
		"Node":    map[string]any{"Node": "n", "Address": "10.0.0.1"},
		"Service": map[string]any{"ID": "x", "Service": "x", "Port": port},
		"Checks":  []map[string]any{{"CheckID": "c", "Status": "passing"}},
	}}
}

// confirmations returns the last consistent read, and how many there were.
func (f *fake) confirmations() (last asked, n int) {
	for _, r := range f.since(time.Time{}) {
		if r.params["consistent"] != nil {
			last = r
			n++
		}
	}
	return last, n
}

// While no answer can be trusted, none that was goes away, whatever comes.
func TestR11Storm(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, f *fake) {
		queries, paths := f.services(30)
		c, _ := f.consul(Config{MaxConnections: 24})
		fl := follow(t, c, watch.SetConfig{}, queries...)
		later(5 * time.Second)
		f.fail(func(w http.ResponseWriter, r *http.Request) bool {
			switch {
			case r.URL.Query().Has("consistent"):
				http.Error(w, "No cluster leader", http.StatusInternalServerError)
			default:
				f.give(w, []any{}, 5000+uint64(time.Now().Second()))
			}
			return true
		})
		f.cut()
		later(30 * time.Second)
		for i, q := range queries {
			if got := fl.is(q); got != fmt.Sprint(i+1) {
				t.Fatalf("%s has become %q", q, got)
			}
		}
		f.fail(nil)
		later(10 * time.Second)
		fl.agree(t, f, queries, paths)
		if fl.failing() != 0 {
			t.Errorf("%d still fail", fl.failing())
		}
	})
}

// A Consul that begins anew with lower indexes, and the same data, is confirmed once, not at each answer: consistent reads
// are the leader's work.
func TestConfirmLowerIndexOnce(t *testing.T) {
	bubble(t, func(t *testing.T, f *fake) {
		queries, paths := f.services(20)
		for range 1000 {
			f.put("/v1/kv/x", "1")
		}
		for i, path := range paths {
			f.put(path, fmt.Sprint(i+1))
		}
		c, _ := f.consul(Config{})
		fl := follow(t, c, watch.SetConfig{}, queries...)
		later(5 * time.Second)
		f.mu.Lock()
		f.index = 20
		for path, fact := range f.facts {
			fact.index = 15
			f.facts[path] = fact
		}
		f.mu.Unlock()
		f.cut()
		later(10 * time.Minute)
		if _, n := f.confirmations(); n > 2*len(queries) {
			t.Errorf("%d consistent reads for %d queries", n, len(queries))
		}
		f.put(paths[0], "4711")
		later(time.Millisecond)
		fl.agree(t, f, queries, paths)
	})
}
