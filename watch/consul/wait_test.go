package consul

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"testing"
	"time"

	"render/watch"
)

// cutAt is a proxy that ends requests at an age, with a status, or with 0 by closing the connection.
func cutAt(f *fake, age time.Duration, status int) func(w http.ResponseWriter, r *http.Request) bool {
	return func(w http.ResponseWriter, r *http.Request) bool {
		ctx, cancel := context.WithTimeout(r.Context(), age)
		defer cancel()
		f.serve(w, r.WithContext(ctx))
		switch {
		case ctx.Err() == nil || r.Context().Err() != nil:
		case status == 0:
			panic(http.ErrAbortHandler)
		default:
			http.Error(w, "upstream timed out", status)
		}
		return true
	}
}

// Requests that wait do so for three quarters to the whole of what is set, each for another time.
func TestWaitIsJittered(t *testing.T) {
	t.Parallel()
	bubble(t, func(t *testing.T, f *fake) {
		queries, _ := f.services(50)
		c, _ := f.consul(Config{Wait: 20 * time.Second})
		_ = follow(t, c, watch.SetConfig{}, queries...)
		later(5 * time.Minute)
		seen := make(map[time.Duration]bool)
		least, most := time.Hour, time.Duration(0)
		for _, r := range f.since(time.Time{}) {
			if r.index == "" {
				continue
			}
			wait, err := time.ParseDuration(r.params["wait"][0])
			if err != nil {
				t.Fatal(err)
			}
			seen[wait] = true
			least, most = min(least, wait), max(most, wait)
		}
		if least < 15*time.Second || least > 16*time.Second || most > 20*time.Second || most < 19*time.Second || len(seen) < 300 {
			t.Errorf("%d different waits from %s to %s", len(seen), least, most)
		}
	})
}

// A server that takes a request and never answers is given up: one that was asked to wait after the wait and its grace,
// another after two attempts.
func TestDeadlines(t *testing.T) {
	bubble(t, func(t *testing.T, f *fake) {
		queries, paths := f.services(1)
		silent := func(_ http.ResponseWriter, r *http.Request) bool {
			<-r.Context().Done()
			return true
		}
		c, _ := f.consul(Config{Wait: 40 * time.Second})
		fl := follow(t, c, watch.SetConfig{}, queries...)
		later(time.Second)
		f.fail(silent)
		f.put(paths[0], "7") // ends the request that waits
		later(time.Millisecond)
		began := time.Now()
		for fl.of(queries[0]).Err == nil && time.Since(began) < time.Hour {
			later(100 * time.Millisecond)
		}
		if took := time.Since(began); took < 36*time.Second || took > 48*time.Second {
			t.Errorf("a request that waits was given up after %s", took)
		}
		if err := fl.of(queries[0]).Err; fl.is(queries[0]) != "7" {
			t.Errorf("the value is %s (%v)", fl.is(queries[0]), err)
		}
		n := len(f.since(time.Time{}))
		later(5 * time.Minute)
		if n = len(f.since(time.Time{})) - n; n < 12 || n > 17 { // two attempts each time, or one as a probe
			t.Errorf("%d plain requests in 5 minutes", n)
		}
		f.fail(nil)
		f.put(paths[0], "8")
		later(secondDeadline + firstDeadline + time.Second)
		if st := fl.of(queries[0]); plain(st.Value) != "8" || st.Err != nil {
			t.Errorf("after that: %s, %v", plain(st.Value), st.Err)
		}
	})
}

// A proxy that cuts off those who wait is noticed soon, and then waits are shorter; no query is in error because of it.
func TestCutsAreLearned(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name   string
		n      int
		apart  time.Duration // between the beginnings of queries
		status int
		most   int // connections
	}{
		{"one query", 1, 0, 0, 128},
		{"queries that began together", 10, 0, 0, 128},
		{"queries that began one after the other", 10, 4 * time.Second, 0, 128},
		{"many of them", 40, 700 * time.Millisecond, 0, 128},
		{"with a status", 10, 4 * time.Second, http.StatusGatewayTimeout, 128},
		{"hints", 40, 0, 0, 32},
		{"hints, with a status", 40, 0, http.StatusGatewayTimeout, 32},
	} {
		t.Run(test.name, func(t *testing.T) {
			bubble(t, func(t *testing.T, f *fake) {
				queries, paths := f.services(test.n)
				f.fail(cutAt(f, 45*time.Second, test.status))
				c, out := f.consul(Config{MaxConnections: test.most})
				fl := follow(t, c, watch.SetConfig{})
				for _, q := range queries {
					fl.set.Watch(q)
					time.Sleep(test.apart)
				}
				later(95 * time.Second)
				if out.count("wait=36s") != 1 {
					t.Errorf("waits are not shorter yet; logged: %s", out)
				}
				later(3 * time.Minute)
				began := time.Now()
				later(3 * time.Minute)
				for _, r := range f.since(began) {
					if r.index == "" {
						continue // a plain read beside those that wait
					}
					if wait, _ := time.ParseDuration(r.params["wait"][0]); wait > 36*time.Second || wait < 26*time.Second {
						t.Fatalf("asked to wait %s", wait)
					}
				}
				f.put(paths[0], "7")
				later(5 * time.Second) // where queries share connections, hosts ask one after the other
				if fl.is(queries[0]) != "7" {
					t.Error("a change does not arrive")
				}
				if fl.errors() != 0 || out.count("cut off") != 1 || out.count("WARN") != 1 {
					t.Errorf("%d errors; logged: %s", fl.errors(), out)
				}
			})
		})
	}
}

// That Consul ends, or a network breaks, says nothing about waits: many are cut off at one time.
func TestCutsTogetherAreNotLearned(t *testing.T) {
	t.Parallel()
	for seed := range 4 {
		bubble(t, func(t *testing.T, f *fake) {
			queries, paths := f.services(20)
			c, out := f.consul(Config{})
			fl := follow(t, c, watch.SetConfig{})
			for _, q := range queries {
				fl.set.Watch(q)
				time.Sleep(time.Duration(seed) * 300 * time.Millisecond)
			}
			for range 8 {
				later(time.Duration(11+seed) * time.Second)
				f.refuse(true)
				later(5 * time.Second)
				f.refuse(false)
				f.put(paths[3], fmt.Sprint(time.Now().Unix()%60000))
			}
			later(5 * time.Second)
			if out.count("cuts off") != 0 {
				t.Errorf("seed %d: waits are shorter; logged: %s", seed, out)
			}
			if fl.failing() != 0 {
				t.Errorf("%d still fail", fl.failing())
			}
		})
	}
}

// Where a request is given up just as its answer comes, net/http closes a connection that another request has by then. That
// one is made again, and nothing is said against the address.
func TestConnectionTaken(t *testing.T) {
	bubble(t, func(t *testing.T, f *fake) {
		queries, _ := f.services(1)
		c, out := f.consul(Config{Address: "a:8500,b:8500"})
		f.mu.Lock()
		f.taken = true
		f.mu.Unlock()
		value, _, err := c.Fetch(t.Context(), queries[0], 0)
		if plain(value) != "1" || err != nil || out.String() != "" {
			t.Errorf("got %v, %v; logged: %s", plain(value), err, out)
		}
	})
}

// A taken connection was closed for another request.
type taken struct{ net.Conn }

func (taken) Read([]byte) (int, error) { return 0, context.Canceled }
