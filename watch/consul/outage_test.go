package consul

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"sync"
	"testing"
	"time"

	"render/watch"
	"render/watch/pause"
)

// A server that refuses most requests is asked less and less, gets the time it asks for, and in the end answers all.
func TestConsulRefuses(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, f *fake) {
		queries, paths := f.services(50)
		c, out := f.consul(Config{MaxConnections: 400, MaxRequests: 50})
		fl := follow(t, c, watch.SetConfig{}, queries...)
		later(5 * time.Second)
		if n := fl.answered(); n != len(queries) {
			t.Fatalf("%d of %d queries answered", n, len(queries))
		}
		churn := func(d time.Duration) int { // everything changes each second
			began := time.Now()
			for i := 0; time.Since(began) < d; i++ {
				values := make(map[string]string)
				for j, path := range paths {
					values[path] = fmt.Sprint(1 + (i+j)%60000)
				}
				f.set(values)
				later(time.Second)
			}
			return len(f.since(began)) / int(d.Seconds())
		}
		before := churn(10 * time.Second)
		f.fail(func(w http.ResponseWriter, _ *http.Request) bool {
			if rand.IntN(10) == 0 {
				return false
			}
			http.Error(w, "rate limit exceeded, try again later", http.StatusTooManyRequests)
			return true
		})
		churn(time.Minute)
		during := churn(4 * time.Minute)
		f.fail(nil)
		churn(75 * time.Second)
		if during > before/10 {
			t.Errorf("requests a second: %d before, %d while most are refused", before, during)
		}
		later(5 * time.Second)
		began := time.Now()
		var wg sync.WaitGroup
		for i := range 250 {
			wg.Go(func() {
				if _, _, err := c.Fetch(t.Context(), queries[i%len(queries)], 0); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if took := time.Since(began); took > 4*time.Second { // 100 at once, and 50 a second
			t.Errorf("250 requests took %s a minute after", took)
		}
		f.set(map[string]string{})
		later(30 * time.Second)
		for i, q := range queries {
			f.mu.Lock()
			want := f.facts[paths[i]].value
			f.mu.Unlock()
			if st := fl.of(q); st.Err != nil || plain(st.Value) != want {
				t.Fatalf("%s is %s (%v), want %s", q, plain(st.Value), st.Err, want)
			}
		}
		if n := out.count("consul refuses requests"); n < 1 || n > 300 {
			t.Errorf("logged %d times", n)
		}
	})
}

// Retry-After is obeyed by all.
func TestConsulRetryAfter(t *testing.T) {
	bubble(t, func(t *testing.T, f *fake) {
		queries, _ := f.services(50)
		f.fail(func(w http.ResponseWriter, _ *http.Request) bool {
			w.Header().Set("Retry-After", "17")
			http.Error(w, "not now", http.StatusServiceUnavailable)
			return true
		})
		c, _ := f.consul(Config{})
		fl := follow(t, c, watch.SetConfig{}, queries...)
		later(time.Second)
		f.fail(nil)
		first := len(f.since(time.Time{}))
		later(15 * time.Second)
		if n := len(f.since(time.Time{})); n != first || n > 51 {
			t.Errorf("%d requests at first, %d in the time that the server wanted none", first, n-first)
		}
		later(5 * time.Second)
		if n := fl.answered(); n != 50 || fl.failing() != 0 {
			t.Errorf("%d answered, %d still fail", n, fl.failing())
		}
	})
}

// While Consul is away, or not well, it is asked about once a second, whatever the number of queries; all are in error; and all
// have their answers soon after its return.
func TestOutage(t *testing.T) {
	t.Parallel()
	ways := map[string]func(f *fake, begin bool){
		"refuses connections": func(f *fake, begin bool) { f.refuse(begin) },
		"answers 500": func(f *fake, begin bool) {
			if !begin {
				f.fail(nil)
				return
			}
			f.fail(func(w http.ResponseWriter, _ *http.Request) bool {
				http.Error(w, "No cluster leader", http.StatusInternalServerError)
				return true
			})
			f.cut()
		},
	}
	for name, way := range ways {
		for _, n := range []int{1, 200} {
			for _, sharing := range []bool{false, true} {
				t.Run(fmt.Sprint(name, n, sharing), func(t *testing.T) {
					bubble(t, func(t *testing.T, f *fake) {
						queries, paths := f.services(n)
						cfg := Config{MaxConnections: 2000}
						if sharing {
							cfg.MaxConnections = 32
						}
						c, _ := f.consul(cfg)
						fl := follow(t, c, watch.SetConfig{}, queries...)
						later(10 * time.Second)
						attempts := func() int { return f.dials() + len(f.since(time.Time{})) }
						way(f, true)
						before := attempts()
						later(30 * time.Second)
						if k := fl.failing(); k != n {
							t.Errorf("%d of %d queries know of it", k, n)
						}
						if k := attempts() - before; k > min(8*n, 2000)+30*5*2 {
							t.Errorf("%d attempts in the first 30 seconds", k)
						}
						before = attempts()
						later(30 * time.Second)
						if k := attempts() - before; k > 90 || k < 10 {
							t.Errorf("%d attempts in further 30 seconds", k)
						}
						for _, path := range paths {
							f.put(path, "4711")
						}
						way(f, false)
						later(lastProbe + watch.DefaultMaxBackoff)
						for _, q := range queries {
							if st := fl.of(q); st.Err != nil || plain(st.Value) != "4711" {
								t.Fatalf("after its return: %s is %s, %v", q, plain(st.Value), st.Err)
							}
						}
					})
				})
			}
		}
	}
}

// A datacenter that cannot be reached takes nothing from another.
func TestOutageOfDatacenter(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, f *fake) {
		here, paths := f.services(200)
		var there []watch.Query
		for _, q := range here {
			there = append(there, watch.NewQuery(q.Kind, q.Name, map[string][]string{watch.OptDatacenter: {"dc2"}}))
		}
		f.fail(func(w http.ResponseWriter, r *http.Request) bool {
			if r.URL.Query().Get("dc") != "dc2" {
				return false
			}
			pause.For(r.Context(), 7*time.Second) // what RPCs to a datacenter that is away take
			http.Error(w, "No path to datacenter", http.StatusInternalServerError)
			return true
		})
		c, _ := f.consul(Config{MaxConnections: 1000})
		fl := follow(t, c, watch.SetConfig{}, append(there, here...)...)
		later(time.Second)
		if n := fl.answered(); n != len(here) {
			t.Errorf("%d of %d queries answered", n, len(here))
		}
		later(2 * time.Minute)
		if n := fl.failing(); n != len(there) {
			t.Errorf("%d queries fail, want the %d of dc2", n, len(there))
		}
		f.put(paths[5], "4711")
		later(time.Millisecond)
		if got := fl.is(here[5]); got != "4711" {
			t.Errorf("a change here is not there at once: %s", got)
		}
	})
}

// A server that takes requests and never answers: all queries know before long.
func TestSilentServer(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, f *fake) {
		queries, _ := f.services(300)
		f.fail(func(_ http.ResponseWriter, r *http.Request) bool {
			<-r.Context().Done()
			return true
		})
		c, _ := f.consul(Config{})
		fl := follow(t, c, watch.SetConfig{}, queries...)
		later(2*(firstDeadline+secondDeadline) + outageHold + time.Second)
		if n := fl.failing(); n != 300 {
			t.Errorf("%d of 300 queries know of it", n)
		}
		began := time.Now()
		later(3 * time.Minute)
		if n := len(f.since(began)); n > 20 {
			t.Errorf("%d requests in 3 minutes of silence", n)
		}
		f.fail(nil)
		later(secondDeadline + 5*time.Second)
		if fl.failing() != 0 || fl.answered() != 300 {
			t.Errorf("%d queries fail after its return", fl.failing())
		}
	})
}
