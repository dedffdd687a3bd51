package vault

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"sync"
	"syscall"
	"testing"
	"time"

	"render/watch"
	"render/watch/vaulttest"
)

// A counter is a proxy that notes when requests come.
type counter struct {
	mu    sync.Mutex // guards what follows
	times []time.Time
}

func (c *counter) start(t *testing.T, to string) (address string) {
	t.Helper()
	u, err := url.Parse(to)
	if err != nil {
		t.Fatal(err)
	}
	proxy := httputil.NewSingleHostReverseProxy(u)
	proxy.Transport = &http.Transport{MaxIdleConnsPerHost: DefaultMaxConnections}
	proxy.ErrorHandler = func(w http.ResponseWriter, _ *http.Request, _ error) { w.WriteHeader(http.StatusBadGateway) }
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c.mu.Lock()
		c.times = append(c.times, time.Now())
		c.mu.Unlock()
		proxy.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	return server.URL
}

// since returns when requests came from a time on.
func (c *counter) since(from time.Time) (times []time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, at := range c.times {
		if at.After(from) {
			times = append(times, at)
		}
	}
	return times
}

// Many secrets of a real Vault, 600 or with $RENDER_SOAK_TIME 2,000: one request for each at first, few while Vault is away, and when it is back they come in the course of two
// seconds. The time that a request costs us is such that 2,000 queries, read every five minutes, take less than one hundredth of a core.
func TestManySecrets(t *testing.T) {
	if testing.Short() {
		t.Skip("needs a Vault")
	}
	t.Parallel()
	n, soak := 600, os.Getenv("RENDER_SOAK_TIME") != ""
	if soak {
		n = 2000
	}
	starved := measureStarvation(t)
	server := vaulttest.Start(t)
	fill(t, server, n)
	counted := new(counter)
	through := counted.start(t, server.Addr)
	queries := make([]watch.Query, n)
	for i := range queries {
		queries[i] = query(t, fmt.Sprint("secret/many-", i))
	}
	follow := func(cfg Config) (*watch.Set, func() int, func(bool) time.Duration) {
		set := watch.NewSet(of(t, server, cfg), watch.SetConfig{})
		t.Cleanup(set.Close)
		states := make(map[watch.Query]watch.State)
		failing := func() (failing int) {
			for _, q := range queries {
				if st := states[q]; st.Rev == 0 || st.Err != nil {
					failing++
				}
			}
			return failing
		}
		await := func(well bool) time.Duration {
			t.Helper()
			began := time.Now()
			for late := time.After(2 * time.Minute); (failing() > 0) == well || !well && failing() < n; {
				select {
				case <-set.Ready():
					for q, st := range set.Take() {
						states[q] = st
					}
				case <-late:
					t.Fatalf("%d queries fail; want them well: %t", failing(), well)
				}
			}
			return time.Since(began)
		}
		for _, q := range queries {
			set.Watch(q)
		}
		return set, failing, await
	}

	// The start, without a proxy.
	cpu := cpuTime(t)
	set, _, await := follow(Config{})
	began := time.Now()
	took := await(true)
	used, without := cpuTime(t)-cpu, starved.between(began, time.Now())
	t.Logf("%d secrets in %s, which took %s of processor time; without a processor for %s", n, took.Round(time.Millisecond), used.Round(time.Millisecond), without.Round(time.Millisecond))
	if took-without > 30*time.Second { // 3 s on a machine that has nothing else to do
		t.Errorf("the start took %s", time.Since(began))
	}
	// Each is read after 4.5 minutes on average.
	if share := used.Seconds() * 2000 / float64(n) / (4.5 * 60); share > 0.01 && soak { // else other tests use the processor at the same time
		t.Errorf("reads of 2,000 secrets take %.2f %% of a core", share*100)
	} else {
		t.Logf("reads of 2,000 secrets take %.2f %% of a core, %d requests a minute", share*100, 2000*60/270)
	}
	set.Close()

	// Through the proxy: all are read while Vault is away, and again when it is back.
	began = time.Now()
	_, _, await = follow(Config{Address: through, LeaseDuration: 3 * time.Second})
	await(true)
	if count := len(counted.since(began)); count > n+n/10+10 && time.Since(began) < 2*time.Second {
		t.Errorf("%d requests for %d secrets", count, n)
	}
	server.Stop()
	await(false)
	away := time.Now()
	time.Sleep(time.Second)
	if count := len(counted.since(away)); float64(count) > 20*time.Since(away).Seconds() {
		t.Errorf("%d requests a second while Vault is away", count)
	}
	if err := server.Restart(); err != nil {
		t.Fatal(err)
	}
	if err := server.Unseal(); err != nil {
		t.Fatal(err)
	}
	back := time.Now()
	await(true)
	times := counted.since(back)
	const tenth = 100 * time.Millisecond
	most := 0
	for i, from := range times {
		in := 0
		for _, at := range times[i:] {
			if at.Sub(from) < tenth {
				in++
			}
		}
		most = max(most, in*int(tenth)/int(tenth+starved.around(from.Add(-tenth), from.Add(tenth))))
	}
	first, last := times[0], times[len(times)-1]
	lasts, without := last.Sub(first), starved.around(first.Add(-tenth), first)
	t.Logf("after Vault was away: %d requests within %s, %d at most in a tenth of a second", len(times), lasts.Round(time.Millisecond), most)
	if lasts+without < 1900*time.Millisecond || most > n/3 { // on a machine that is quiet, an eighth
		t.Errorf("%d requests within %s, %d in a tenth of a second; before them no processor for %s", len(times), lasts, most, without)
	}
}

// fill writes secrets.
func fill(t *testing.T, server *vaulttest.Server, n int) {
	t.Helper()
	next := make(chan int)
	var writers sync.WaitGroup
	for range 32 {
		writers.Go(func() {
			for i := range next {
				if _, err := server.Do(http.MethodPut, fmt.Sprint("secret/data/many-", i), map[string]any{"data": map[string]any{"value": i}}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	for i := range n {
		next <- i
	}
	close(next)
	writers.Wait()
}

// cpuTime returns the processor time of this process.
func cpuTime(t *testing.T) time.Duration {
	t.Helper()
	var used syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &used); err != nil {
		t.Error(err)
	}
	return time.Duration(used.Utime.Nano() + used.Stime.Nano())
}
