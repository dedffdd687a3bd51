package consul

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"render/watch"
)

// Histories of everything that can happen to a Consul and to those who ask it: some seconds after the last event every state is what
// the leaders have. A few hundred, or as many as $RENDER_HISTORIES says, from $RENDER_SEED on.
func TestSignalsOracle(t *testing.T) {
	t.Parallel()
	histories, from := uint64(200), uint64(0)
	if text := os.Getenv("RENDER_HISTORIES"); text != "" {
		n, err := strconv.ParseUint(text, 10, 64)
		check(t, err)
		histories = n
	}
	if text := os.Getenv("RENDER_SEED"); text != "" {
		n, err := strconv.ParseUint(text, 10, 64)
		check(t, err)
		from = n
	}
	failed := 0
	for seed := from; seed < from+histories && failed < 10; seed++ {
		if !t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			bubble(t, func(t *testing.T, f *fake) { newHistory(t, f, seed).run() })
		}) {
			failed++
		}
	}
}

// A history is a sequence of random events.
type history struct {
	*rand.Rand
	t       *testing.T
	f       *fake
	src     *Source
	all     []watch.Query
	watched map[watch.Query]bool
	fls     []*follower
	faults  bool // requests fail, indexes go back
	log     []string
	lowest  uint64 // index that there has been
	began   time.Time
}

const (
	historyConnections = 24
	historyServices    = 14
	historyFolders     = 4
	historyKeys        = 4 // of each folder
	historyNodes       = 3
)

func newHistory(t *testing.T, f *fake, seed uint64) *history {
	h := &history{Rand: rand.New(rand.NewPCG(seed, 7)), t: t, f: f, watched: make(map[watch.Query]bool), lowest: firstIndex, began: time.Now()}
	h.faults = h.IntN(2) == 0
	datacenters := []string{""}
	if h.IntN(2) == 0 {
		datacenters = append(datacenters, "dc2")
	}
	f.hold(datacenters...)
	for _, dc := range datacenters {
		f.change(dc, func(s *store) {
			for i := range historyNodes {
				s.node(fmt.Sprint("n", i), "10.0.0.1")
				s.check(fmt.Sprint("n", i), "", "passing", "")
			}
		})
		f.stock(dc, historyServices-2, 1+h.IntN(2)) // of two services there are no instances
		for folder := range historyFolders {
			f.fill(dc, fmt.Sprint("f", folder), historyKeys-1)
		}
		opts := url.Values{}
		if dc != "" {
			opts.Set(watch.OptDatacenter, dc)
		}
		for i := range historyServices {
			h.all = append(h.all, watch.NewQuery(watch.KindService, fmt.Sprint("s", i), opts))
		}
		for folder := range historyFolders {
			for i := range historyKeys {
				h.all = append(h.all, watch.NewQuery(watch.KindKV, fmt.Sprintf("f%d/k%d", folder, i), opts))
			}
			h.all = append(h.all, watch.NewQuery(watch.KindPrefix, fmt.Sprintf("f%d/", folder), opts))
		}
		h.all = append(h.all, watch.NewQuery(watch.KindServices, "", opts), watch.NewQuery(watch.KindNodes, "", opts),
			watch.NewQuery(watch.KindNode, "n0", opts), watch.NewQuery(watch.KindNode, "n1", opts))
	}
	h.latency(4 * h.IntN(20))
	if h.IntN(4) == 0 {
		f.stores.connections = 0 // the agent does not say what it is
	}
	address := []string{"http://consul:8500", "http://localhost:8500"}[h.IntN(2)]
	h.src, _ = f.consul(Config{Address: address, MaxConnections: historyConnections, MaxStale: time.Duration(2+h.IntN(2)*28) * time.Second})
	for range 1 + h.IntN(2)*h.IntN(2) {
		h.fls = append(h.fls, follow(t, h.src, watch.SetConfig{}))
	}
	return h
}

// latency has answers take up to some milliseconds.
func (h *history) latency(most int) {
	ms := h.IntN(1 + most)
	h.f.latency(time.Duration(1+ms)*time.Millisecond + 137*time.Microsecond)
	h.note("answers take %d ms", 1+ms)
}

func (h *history) note(format string, args ...any) {
	h.log = append(h.log, fmt.Sprintf("%8.3f ", time.Since(h.began).Seconds())+fmt.Sprintf(format, args...))
}

// pause waits a little: most events follow each other closely, now and then there is a quiet time.
func (h *history) pause() {
	d := time.Duration(h.IntN(1+h.IntN(1<<h.IntN(24)))) * time.Microsecond
	time.Sleep(d + time.Duration(h.IntN(1000)))
}

func (h *history) run() {
	for _, q := range h.all {
		if h.IntN(5) > 0 {
			h.watch(q)
		}
	}
	events := 20 + h.IntN(80)
	for range events {
		h.pause()
		h.event()
	}
	h.f.fail(nil)
	h.note("quiet")
	h.end(events)
}

func (h *history) watch(q watch.Query) {
	h.watched[q] = true
	for _, fl := range h.fls {
		fl.set.Watch(q)
	}
}

func (h *history) forget(q watch.Query) {
	delete(h.watched, q)
	for _, fl := range h.fls {
		fl.set.Forget(q)
	}
}

// event makes one event.
func (h *history) event() {
	if h.faults && h.IntN(10) == 0 {
		h.fault()
		return
	}
	q := h.all[h.IntN(len(h.all))]
	switch h.IntN(13) {
	case 12:
		h.latency(1 << h.IntN(11))
	case 0:
		h.note("forget %s", q)
		h.forget(q)
	case 1:
		h.note("watch %s", q)
		h.watch(q)
	case 2:
		h.note("forget and watch %s", q)
		h.forget(q)
		h.watch(q)
	default:
		h.change()
	}
}

// change changes something of a datacenter, at times several things in one step.
func (h *history) change() {
	dc := ""
	if h.f.stores.datacenters["dc2"] != nil && h.IntN(3) == 0 {
		dc = "dc2"
	}
	h.f.change(dc, func(s *store) {
		node, i := fmt.Sprint("n", h.IntN(historyNodes)), h.IntN(historyServices)
		service, id := fmt.Sprint("s", i), fmt.Sprintf("s%d-%d", i, h.IntN(2))
		key := fmt.Sprintf("f%d/k%d", h.IntN(historyFolders), h.IntN(historyKeys))
		status := []string{"passing", "passing", "warning", "critical"}[h.IntN(4)]
		what := ""
		switch h.IntN(16) {
		case 0, 1:
			what = "register " + node + " " + id
			s.register(node, id, service, h.IntN(60000))
			s.check(node, id, status, "")
		case 14:
			what = "register without a check " + node + " " + id
			s.register(node, id, service, h.IntN(60000))
		case 2:
			what = "tag " + node + " " + id
			s.register(node, id, service, 1000, fmt.Sprint("t", h.IntN(3)))
			s.check(node, id, status, "")
		case 3:
			what = "deregister " + node + " " + id
			s.deregister(node, id)
		case 4, 5:
			what = "check " + node + " " + id + " " + status
			s.check(node, id, status, "")
		case 6, 7:
			what = "output " + node + " " + id
			s.check(node, id, "passing", fmt.Sprint(h.IntN(1000)))
		case 8:
			what = "address " + node
			s.node(node, fmt.Sprint("10.0.0.", h.IntN(200)))
		case 9:
			what = "check " + node + " " + status
			s.check(node, "", status, "")
		case 10, 11:
			what = "put " + key
			s.put(key, fmt.Sprint(h.IntN(1000)))
		case 12:
			what = "delete " + key
			s.remove(key)
		case 13:
			what = "delete " + key[:3]
			s.remove(key[:3])
		case 15:
			what = "deregister " + node
			s.forget(node)
		}
		h.note("%d: %s in %q", s.index, what, dc)
	})
}

// fault makes something go wrong, or go well again.
func (h *history) fault() {
	switch h.IntN(5) {
	case 0:
		h.note("cut")
		h.f.cut()
	case 1, 2:
		h.refuse()
	case 3:
		h.note("well")
		h.f.fail(nil)
	case 4:
		if h.IntN(3) == 0 {
			h.note("reset")
			h.lowest /= 2 // an index never comes twice: nobody could tell the two answers apart
			h.f.reset("", h.lowest)
		}
	}
}

// refuse has some requests answered with an error, until the next event of this kind.
func (h *history) refuse() {
	status := []int{http.StatusTooManyRequests, http.StatusInternalServerError, http.StatusForbidden}[h.IntN(3)]
	path := []string{"/v1/", servicesPath, nodesPath, checksPath, "/v1/health/service/", "/v1/kv/", "/v1/catalog/node-services/"}[h.IntN(7)]
	every := 1 + h.IntN(3)
	h.note("%d for %s, one of %d", status, path, every)
	n := 0
	h.f.fail(func(w http.ResponseWriter, r *http.Request) bool {
		if !strings.HasPrefix(r.URL.Path, path) {
			return false
		}
		h.f.mu.Lock()
		n++
		refused := n%every == 0
		h.f.mu.Unlock()
		if refused {
			http.Error(w, "no", status)
		}
		return refused
	})
}

// covered reports whether signals tell of all changes.
func (h *history) covered() bool {
	h.src.mu.Lock()
	defer h.src.mu.Unlock()
	for _, c := range h.src.scopes {
		if c.catalog() && c.stop == nil || !c.catalog() && len(c.groups) == 0 {
			return false
		}
	}
	return true
}

// onlyChecksDiffer reports whether each state is what the leaders have but for checks that pass.
func (h *history) onlyChecksDiffer(want map[watch.Query]any, queries []watch.Query) bool {
	withoutChecks := func(value any) any {
		instances, ok := value.([]*watch.HealthService)
		if !ok {
			return value
		}
		var without []*watch.HealthService
		for _, in := range instances {
			bare := *in
			bare.Checks = slices.DeleteFunc(slices.Clone(in.Checks), func(c *watch.HealthCheck) bool { return c.Status == "passing" })
			without = append(without, &bare)
		}
		return without
	}
	for _, fl := range h.fls {
		for _, q := range queries {
			if st := fl.of(q); st.Rev == 0 || st.Err != nil || !watch.Equal(withoutChecks(st.Value), withoutChecks(want[q])) {
				return false
			}
		}
	}
	return true
}

// end waits until all states are what the leaders have, and fails where that takes too long, or has taken too many requests.
func (h *history) end(events int) {
	limit := 7 * time.Second
	if !h.covered() {
		limit = 12*time.Second + time.Duration(len(h.all))*time.Minute/mostTurns // what has no signals waits for its turn
	}
	if h.faults {
		limit = 75 * time.Second // signals are tried again after 10 s, the rate of requests recovers in a minute
	}
	if h.f.stores.connections == 0 {
		limit += time.Duration(len(h.all)) * remoteCost // rounds are rare where the agent may be a client
	}
	lasted, requests, open := time.Since(h.began), len(h.f.since(h.began)), h.f.mostOpen()
	if most := 400 + 4*len(h.all) + 30*events + 40*int(lasted.Seconds()); requests > most {
		h.t.Errorf("%d requests in %s and %d events, want at most %d", requests, lasted, events, most)
	}
	if open > historyConnections {
		h.t.Errorf("%d connections", open)
	}
	truth := h.f.truth(h.t)
	queries := make([]watch.Query, 0, len(h.watched))
	for _, q := range h.all {
		if h.watched[q] {
			queries = append(queries, q)
		}
	}
	want := make(map[watch.Query]any)
	learn := func() {
		for _, q := range queries {
			want[q] = truth(q)
		}
	}
	learn()
	differing := func() (text []string) {
		for i, fl := range h.fls {
			for _, q := range fl.differing(func(q watch.Query) any { return want[q] }, queries) {
				text = append(text, fmt.Sprintf("%d: %s is %s, %v; want %s", i, q, describe(fl.of(q).Value), fl.of(q).Err, describe(want[q])))
			}
		}
		return text
	}
	changed := false
	for began := time.Now(); ; later(100 * time.Millisecond) {
		text := differing()
		if len(text) == 0 {
			break
		}
		if time.Since(began) > limit {
			if !changed && h.onlyChecksDiffer(want, queries) { // a passing check that came or went alone waits for the next change
				changed, began = true, time.Now()
				for dc := range h.f.stores.datacenters {
					h.f.change(dc, func(s *store) { s.register("n0", "last", "last", 80) })
				}
				learn()
				continue
			}
			h.t.Errorf("after %s:\n%s\nhistory (faults %v, server %v at %s, stale %s):\n%s", limit, strings.Join(text, "\n"), h.faults,
				h.f.stores.connections > 0, h.src.cfg.Address, h.src.cfg.MaxStale, strings.Join(slices.Clone(h.log)[max(0, len(h.log)-60):], "\n"))
			return
		}
	}
	later(time.Minute)
	if text := differing(); len(text) > 0 {
		h.t.Errorf("a minute later:\n%s", strings.Join(text, "\n"))
	}
}
