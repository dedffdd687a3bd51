package consul

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/consul/api"

	"render/watch"
	"render/watch/consultest"
)

// A meter notes the requests that are made over its connections.
type meter struct {
	mu   sync.Mutex
	urls []string
}

func (m *meter) dial(ctx context.Context, network, address string) (net.Conn, error) {
	conn, err := new(net.Dialer).DialContext(ctx, network, address)
	return metered{conn, m}, err
}

// A metered connection has each request written in one piece, as net/http does.
type metered struct {
	net.Conn
	meter *meter
}

func (c metered) Write(b []byte) (int, error) {
	if url, ok := bytes.CutPrefix(b, []byte("GET ")); ok {
		url, _, _ = bytes.Cut(url, []byte(" "))
		c.meter.mu.Lock()
		c.meter.urls = append(c.meter.urls, string(url))
		c.meter.mu.Unlock()
	}
	return c.Conn.Write(b)
}

// take returns the requests since the last call.
func (m *meter) take() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	urls := m.urls
	m.urls = nil
	return urls
}

// until waits for a condition.
func until(t *testing.T, limit time.Duration, what string, is func() bool) {
	t.Helper()
	for end := time.Now().Add(limit); !is(); time.Sleep(200 * time.Microsecond) {
		if time.Now().After(end) {
			t.Fatalf("not within %s: %s", limit, what)
		}
	}
}

// On a real stock agent: each change of what is watched is noticed soon, and costs few requests, also where there are many more queries
// than connections; so does a change of what nobody watches.
func TestSignalsOfRealAgent(t *testing.T) {
	const services, keys, changes = 400, 100, 8
	agent, err := consultest.Start(t.Context(), "")
	check(t, err)
	t.Cleanup(agent.Stop)
	register := func(service, id string, port int) {
		t.Helper()
		check(t, agent.Register(service, id, "10.9.9.9", port, api.HealthPassing))
	}
	flip := func(service, id, status string) {
		t.Helper()
		_, err := agent.Client.Catalog().Register(&api.CatalogRegistration{
			Node: "node-" + id, SkipNodeUpdate: true, Address: "10.9.9.9",
			Check: &api.AgentCheck{Node: "node-" + id, CheckID: "service:" + id, Name: "check of " + service, Status: status, ServiceID: id, ServiceName: service},
		}, nil)
		check(t, err)
	}

	var queries []watch.Query
	for i := range services {
		name := fmt.Sprint("s", i)
		register(name, name+"-0", 80)
		queries = append(queries, watch.NewQuery(watch.KindService, name, nil))
	}
	register("unwatched", "unwatched-0", 80)
	for i := range keys {
		key := fmt.Sprint("app/", i)
		check(t, agent.Put(key, "v"))
		queries = append(queries, watch.NewQuery(watch.KindKV, key, nil))
	}
	m := new(meter)
	src, err := newSource(Config{Address: agent.Addr, Log: slog.New(slog.NewTextHandler(t.Output(), nil))}, m.dial)
	check(t, err)
	t.Cleanup(src.Close)
	fl := follow(t, src, watch.SetConfig{}, queries...)
	until(t, 30*time.Second, "all are answered", func() bool { return fl.answered() == len(queries) })
	quiet := func() (n int) { // returns how many requests there were until there are none
		for {
			time.Sleep(150 * time.Millisecond)
			k := len(m.take())
			if n += k; k == 0 {
				return n
			}
		}
	}
	quiet()
	register("s0", "first", 80) // the first change has the lists of checks read
	time.Sleep(3 * time.Second)
	quiet()

	tests := []struct {
		name   string
		change func(i int)
		query  func(i int) watch.Query // that is to notice; nil where nobody watches
		limit  time.Duration
		most   int // requests for half of the changes; 0 is no bound
	}{
		{"key", func(i int) { check(t, agent.Put(fmt.Sprint("app/", i), fmt.Sprint("w", i))) },
			func(i int) watch.Query { return watch.NewQuery(watch.KindKV, fmt.Sprint("app/", i), nil) }, time.Second, 3},
		{"flip", func(i int) { flip(fmt.Sprint("s", 10+i), fmt.Sprintf("s%d-0", 10+i), api.HealthCritical) },
			func(i int) watch.Query { return queries[10+i] }, time.Second, 8},
		{"recovery", func(i int) { flip(fmt.Sprint("s", 10+i), fmt.Sprintf("s%d-0", 10+i), api.HealthPassing) },
			func(i int) watch.Query { return queries[10+i] }, time.Second, 8},
		{"registration", func(i int) { register(fmt.Sprint("s", 30+i), fmt.Sprint("new", i), 80) },
			func(i int) watch.Query { return queries[30+i] }, time.Second, 8},
		{"deregistration", func(i int) { check(t, agent.Deregister(fmt.Sprint("new", i))) },
			func(i int) watch.Query { return queries[30+i] }, time.Second, 10},
		{"unwatched flip", func(i int) {
			flip("unwatched", "unwatched-0", []string{api.HealthCritical, api.HealthPassing}[i%2])
		}, nil, 0, 6},
		{"unwatched registration", func(i int) { register("unwatched", fmt.Sprint("more", i), 80) }, nil, 0, 6},
		{"port", func(i int) { register(fmt.Sprint("s", 50+i), fmt.Sprintf("s%d-0", 50+i), 81) },
			func(i int) watch.Query { return queries[50+i] }, 3 * time.Second, 0},
	}
	for _, test := range tests {
		var took []time.Duration
		var requests []int
		var last []string
		for i := range changes {
			var rev uint64
			if test.query != nil {
				rev = fl.of(test.query(i)).Rev
			}
			began := time.Now()
			test.change(i)
			if test.query != nil {
				until(t, 30*time.Second, fmt.Sprint(test.name, i), func() bool { return fl.of(test.query(i)).Rev > rev })
				took = append(took, time.Since(began))
			}
			if test.most > 0 {
				time.Sleep(150 * time.Millisecond)
				last = m.take()
				requests = append(requests, len(last))
			}
		}
		slices.Sort(took)
		slices.Sort(requests)
		t.Logf("%s: requests %v, noticed after %s", test.name, requests, took)
		if len(took) > 0 {
			if took[changes/2] > test.limit {
				t.Errorf("a %s is noticed after %s, want %s", test.name, took[changes/2], test.limit)
			}
		}
		if test.most > 0 && requests[changes/2] > test.most {
			t.Errorf("%d requests for a %s, want at most %d; the last:\n%s", requests[changes/2], test.name, test.most, strings.Join(last[:min(len(last), 30)], "\n"))
		}
		quiet()
	}
	if fl.errors() > 0 {
		t.Errorf("%d errors", fl.errors())
	}
}
