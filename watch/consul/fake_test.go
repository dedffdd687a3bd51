package consul

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"render/watch"
	"render/watch/pause"
	"render/watch/sourcetest"
)

// A fake is a Consul of keys, and of services with one instance each, whose port is the value. It lives in a synctest
// bubble: its network is made of pipes, its time is fake, and blocking queries cost nothing.
type fake struct {
	t      *testing.T
	server *http.Server
	conns  chan net.Conn
	closed chan struct{}
	links  bool // connections buffer what is on its way, as TLS needs it

	mu           sync.Mutex      // guards what follows
	facts        map[string]fact // by the path of the request that answers with it
	index        uint64
	moved        chan struct{} // closed at each change
	requests     []asked
	open, most   int // connections
	dialed       int
	refuses      bool            // connections
	taken        bool            // the next connection
	refusesAll   bool            // the test ends
	down         map[string]bool // addresses that refuse connections
	fault        func(w http.ResponseWriter, r *http.Request) (done bool)
	lag          time.Duration // plain reads answer as of that long ago
	headers      map[string]string
	alive        map[*link]bool
	answersAfter time.Duration // what an answer takes
	far          time.Duration // what it takes to connect
	stores       *stores       // in place of facts
}

type fact struct {
	value   string // "" is none
	index   uint64
	at      time.Time
	earlier *fact
}

type asked struct {
	path   string
	index  string
	query  string
	host   string
	token  string
	at     time.Time
	proto  int
	params map[string][]string
}

func newFake(t *testing.T) *fake {
	f := &fake{
		t:      t,
		conns:  make(chan net.Conn),
		closed: make(chan struct{}),
		facts:  make(map[string]fact),
		index:  10,
		moved:  make(chan struct{}),
		down:   make(map[string]bool),
		alive:  make(map[*link]bool),
	}
	f.server = &http.Server{Handler: f, ErrorLog: log.New(io.Discard, "", 0)}
	return f
}

// start serves until the test ends: HTTP, or HTTPS where there is a configuration for it.
func (f *fake) start(config *tls.Config) {
	f.links, f.server.TLSConfig = config != nil, config
	var wg sync.WaitGroup
	wg.Go(func() {
		if config == nil {
			_ = f.server.Serve(pipes{f})
			return
		}
		_ = f.server.ServeTLS(pipes{f}, "", "")
	})
	f.t.Cleanup(func() {
		_ = f.server.Close()
		wg.Wait()
	})
}

// consul returns a source that asks the fake, and what it logs.
func (f *fake) consul(cfg Config) (*Source, *logged) {
	f.t.Helper()
	out := new(logged)
	if cfg.Address == "" {
		cfg.Address = "http://consul:8500"
	}
	cfg.Log = slog.New(slog.NewTextHandler(out, nil))
	c, err := newSource(cfg, f.dial)
	if err != nil {
		f.t.Fatal(err)
	}
	f.t.Cleanup(c.Close)
	return c, out
}

// pipes is the listener of a fake.
type pipes struct{ f *fake }

func (p pipes) Accept() (net.Conn, error) {
	select {
	case conn := <-p.f.conns:
		return conn, nil
	case <-p.f.closed:
		return nil, net.ErrClosed
	}
}

func (p pipes) Close() error {
	p.f.mu.Lock()
	defer p.f.mu.Unlock()
	if !p.f.refusesAll {
		close(p.f.closed)
		p.f.refusesAll = true
	}
	return nil
}

func (p pipes) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 8500} }

var errRefused = errors.New("connection refused")

func (f *fake) dial(ctx context.Context, _, address string) (net.Conn, error) {
	f.mu.Lock()
	far := f.far
	f.mu.Unlock()
	if !pause.For(ctx, far) {
		return nil, ctx.Err()
	}
	f.mu.Lock()
	f.dialed++
	if f.refuses || f.refusesAll || f.down[address] {
		f.mu.Unlock()
		return nil, &net.OpError{Op: "dial", Net: "tcp", Err: errRefused}
	}
	f.open++
	f.most = max(f.most, f.open)
	conn, theirs := f.connect()
	f.alive[conn] = true
	f.mu.Unlock()
	select {
	case f.conns <- theirs:
		f.mu.Lock()
		defer f.mu.Unlock()
		if f.taken {
			f.taken = false
			return taken{conn}, nil
		}
		return conn, nil
	case <-f.closed:
		_ = conn.Close()
		return nil, errRefused
	case <-ctx.Done():
		_ = conn.Close()
		return nil, ctx.Err()
	}
}

// A link is our end of a connection.
type link struct {
	net.Conn
	f    *fake
	once sync.Once
	far  net.Conn      // what the server has
	dead chan struct{} // closed when nothing comes through any more
}

func (f *fake) connect() (*link, net.Conn) {
	ours, near := net.Pipe()
	l := &link{Conn: ours, f: f, far: near, dead: make(chan struct{})}
	if !f.links {
		return l, near
	}
	far, theirs := net.Pipe()
	l.far = theirs
	go l.carry(near, far)
	go l.carry(far, near)
	return l, theirs
}

// carry moves what is written at one side to the other, until one of them is closed.
func (l *link) carry(from, to net.Conn) {
	way := make(chan []byte, 1000)
	go func() {
		defer to.Close()
		for b := range way {
			select {
			case <-l.dead:
				continue
			default:
			}
			if _, err := to.Write(b); err != nil {
				from.Close()
			}
		}
	}()
	defer close(way)
	b := make([]byte, 32<<10)
	for {
		n, err := from.Read(b)
		if err != nil {
			return
		}
		way <- slices.Clone(b[:n])
	}
}

func (l *link) Close() error {
	l.once.Do(func() {
		l.f.mu.Lock()
		defer l.f.mu.Unlock()
		l.f.open--
		delete(l.f.alive, l)
	})
	return l.Conn.Close()
}

// set changes the values of paths, in one step; "" removes.
func (f *fake) set(values map[string]string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.index++
	for path, value := range values {
		was := f.facts[path]
		f.facts[path] = fact{value, f.index, time.Now(), &was}
	}
	close(f.moved)
	f.moved = make(chan struct{})
}

func (f *fake) put(path, value string) { f.set(map[string]string{path: value}) }

// fail sets what may answer in place of the fake.
func (f *fake) fail(fault func(w http.ResponseWriter, r *http.Request) (done bool)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.fault = fault
}

// refuse has new connections refused, and cuts those that are open.
func (f *fake) refuse(refuses bool) {
	f.mu.Lock()
	f.refuses = refuses
	f.mu.Unlock()
	if refuses {
		f.cut()
	}
}

func (f *fake) cut() {
	f.mu.Lock()
	all := slices.Collect(maps.Keys(f.alive))
	f.mu.Unlock()
	for _, l := range all {
		_ = l.far.Close()
	}
}

// die has all connections that are open carry nothing any more.
func (f *fake) die() {
	f.mu.Lock()
	defer f.mu.Unlock()
	for l := range f.alive {
		close(l.dead)
	}
}

// since returns the requests from a time on.
func (f *fake) since(at time.Time) []asked {
	f.mu.Lock()
	defer f.mu.Unlock()
	i, _ := slices.BinarySearchFunc(f.requests, at, func(r asked, at time.Time) int { return r.at.Compare(at) })
	return slices.Clone(f.requests[i:])
}

func (f *fake) mostOpen() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.most
}

func (f *fake) dials() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.dialed
}

func (f *fake) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	params := r.URL.Query()
	f.mu.Lock()
	f.requests = append(f.requests, asked{
		r.URL.Path, params.Get("index"), r.URL.RawQuery, r.Host, r.Header.Get("X-Consul-Token"), time.Now(), r.ProtoMajor, params,
	})
	fault, takes := f.fault, f.answersAfter
	f.mu.Unlock()
	if takes > 0 && !pause.For(r.Context(), takes) {
		return
	}
	if fault != nil && fault(w, r) {
		return
	}
	f.serve(w, r)
}

// serve answers as Consul does.
func (f *fake) serve(w http.ResponseWriter, r *http.Request) {
	if f.stores != nil {
		f.serveStore(w, r)
		return
	}
	params := r.URL.Query()
	after, _ := strconv.ParseUint(params.Get("index"), 10, 64)
	wait, err := time.ParseDuration(params.Get("wait"))
	if params.Has("index") && err != nil {
		http.Error(w, "no wait", http.StatusBadRequest)
		return
	}
	timeout := time.NewTimer(wait)
	defer timeout.Stop()
	for {
		f.mu.Lock()
		body, index := f.answer(r.URL.Path, params)
		moved := f.moved
		f.mu.Unlock()
		if after == 0 || index > after {
			f.give(w, body, index)
			return
		}
		select {
		case <-moved:
		case <-timeout.C:
			f.give(w, body, index)
			return
		case <-r.Context().Done():
			return
		}
	}
}

func (f *fake) give(w http.ResponseWriter, body any, index uint64) {
	f.mu.Lock()
	for name, value := range f.headers {
		w.Header().Set(name, value)
	}
	f.mu.Unlock()
	w.Header().Set("X-Consul-Index", fmt.Sprint(index))
	if body == nil {
		w.WriteHeader(http.StatusNotFound)
		return
	}
	_ = json.NewEncoder(w).Encode(body)
}

// answer returns the body for a request, and its index. It must be called with the mutex held.
func (f *fake) answer(path string, params map[string][]string) (body any, index uint64) {
	newest := func(prefix string) uint64 {
		index := uint64(1)
		for path, fact := range f.facts {
			if strings.HasPrefix(path, prefix) {
				index = max(index, fact.index)
			}
		}
		return index
	}
	if _, ok := params["keys"]; ok {
		return []string{}, newest(path)
	}
	switch path {
	case "/v1/catalog/services":
		if params["filter"] == nil {
			return map[string][]string{}, newest("/v1/health/service/")
		}
		return map[string][]string{}, newest("/v1/health/service/")
	case "/v1/health/state/any": // what is at /check/ID: a status, and what the check has printed
		list := []map[string]string{}
		for path, fact := range f.facts {
			if id, ok := strings.CutPrefix(path, "/check/"); ok && !strings.HasPrefix(fact.value, "passing") {
				status, output, _ := strings.Cut(fact.value, " ")
				list = append(list, map[string]string{"Node": "n", "CheckID": id, "Status": status, "Output": output})
			}
		}
		return list, newest("/check/")
	case "/v1/catalog/nodes":
		return []string{}, 1
	case "/v1/agent/self":
		return map[string]any{"Config": map[string]any{"NodeName": "n", "Server": true}, "DebugConfig": map[string]any{"HTTPMaxConnsPerClient": 200}}, 0
	case "/v1/catalog/datacenters":
		return []string{"dc1"}, 0
	}
	now := f.facts[path]
	is := now
	for _, waits := params["index"]; !waits && f.lag > 0 && is.earlier != nil && time.Since(is.at) < f.lag; {
		is = *is.earlier
	}
	index = max(1, is.index)
	switch {
	case strings.HasPrefix(path, "/v1/kv/"):
		if is.value == "" {
			return nil, index
		}
		return []map[string]any{{"Key": strings.TrimPrefix(path, "/v1/kv/"), "Value": base64.StdEncoding.EncodeToString([]byte(is.value))}}, index
	default:
		list := []map[string]any{}
		if port, err := strconv.Atoi(is.value); err == nil {
			list = append(list, map[string]any{
				"Node":    map[string]any{"Node": "n", "Address": "10.0.0.1"},
				"Service": map[string]any{"ID": path, "Service": path, "Port": port},
				"Checks":  []map[string]any{{"CheckID": "c", "Status": "passing"}},
			})
		}
		return list, index
	}
}

// logged is what was logged.
type logged struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logged) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(b)
}

func (l *logged) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// count returns how many lines contain a text.
func (l *logged) count(text string) int {
	n := 0
	for line := range strings.Lines(l.String()) {
		if strings.Contains(line, text) {
			n++
		}
	}
	return n
}

// services returns queries for services, with the paths that a fake knows them by, and gives each a value.
func (f *fake) services(n int) (queries []watch.Query, paths []string) {
	values := make(map[string]string)
	for i := range n {
		queries = append(queries, watch.NewQuery(watch.KindService, fmt.Sprint("s", i), nil))
		paths = append(paths, fmt.Sprint("/v1/health/service/s", i))
		values[paths[i]] = fmt.Sprint(i + 1)
	}
	f.set(values)
	return queries, paths
}

// keys is services for keys below a folder.
func (f *fake) keys(folder string, n int) (queries []watch.Query, paths []string) {
	values := make(map[string]string)
	for i := range n {
		key := fmt.Sprint(folder, "/k", i)
		queries = append(queries, watch.NewQuery(watch.KindKV, key, nil))
		paths = append(paths, "/v1/kv/"+key)
		values[paths[i]] = fmt.Sprint(i + 1)
	}
	f.set(values)
	return queries, paths
}

// bubble runs a test with a fake in a bubble.
func bubble(t *testing.T, test func(t *testing.T, f *fake)) {
	t.Helper()
	sourcetest.Bubble(t, func(t *testing.T) {
		f := newFake(t)
		f.start(nil)
		test(t, f)
	})
}

func busiest(requests []asked, window time.Duration) int {
	most, from := 0, 0
	for i, r := range requests {
		for requests[from].at.Before(r.at.Add(-window)) {
			from++
		}
		most = max(most, i-from+1)
	}
	return most
}
