package nomad

import (
	"cmp"
	"context"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"maps"
	"net"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"render/watch"
	"render/watch/sourcetest"
)

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// A fake is a Nomad in memory, of which a test can say what the real one cannot be brought to. Time may stand still.
type fake struct {
	conns  chan net.Conn
	closed chan struct{}

	mu       sync.Mutex // guards what follows
	moved    chan struct{}
	index    uint64
	vars     map[string]variableEntry // by path
	services map[string]serviceEntry
	down     bool            // connections are refused
	denies   map[string]bool // by the first part of the path: vars, var, services, service
	status   int             // of all answers; 0 for the usual
	leader   string          // X-Nomad-KnownLeader
	hides    string          // a prefix of variables that lists leave out
	open     map[net.Conn]bool
	requests map[string]int // by the first part of the path
	waits    int            // requests that wait just now
	most     int            // of them, at a time
	headers  []http.Header
	urls     []string
	lag      uint64 // a stale read of a service is answered as it was so many changes ago
	led      int    // reads of services that only the leader may answer
	stale    int    // those that any server may
}

type variableEntry struct {
	value  string
	index  uint64
	create uint64
}

type serviceEntry struct {
	port  int
	index uint64
}

// inBubble runs a test with a fake, a source of it, and a time that passes at once.
func inBubble(t *testing.T, cfg Config, test func(t *testing.T, f *fake, s *Source)) {
	t.Helper()
	sourcetest.Bubble(t, func(t *testing.T) {
		f := newFake()
		server := &http.Server{Handler: f}
		go func() { _ = server.Serve(f) }()
		cfg.Address = cmp.Or(cfg.Address, "nomad.example:4646")
		s := New(cfg)
		s.dial = f.dial
		defer func() {
			s.Close()
			f.drop()
			_ = server.Close()
			synctest.Wait()
		}()
		test(t, f, s)
	})
}

func newFake() *fake {
	return &fake{
		conns: make(chan net.Conn), closed: make(chan struct{}), moved: make(chan struct{}), index: 1_000_000,
		vars: make(map[string]variableEntry), services: make(map[string]serviceEntry), denies: make(map[string]bool), leader: "true",
		open: make(map[net.Conn]bool), requests: make(map[string]int),
	}
}

// Accept, Close and Addr make the fake a listener.
func (f *fake) Accept() (net.Conn, error) {
	select {
	case c := <-f.conns:
		return c, nil
	case <-f.closed:
		return nil, net.ErrClosed
	}
}

func (f *fake) Close() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	select {
	case <-f.closed:
	default:
		close(f.closed)
	}
	return nil
}

func (f *fake) Addr() net.Addr { return &net.TCPAddr{} }

func (f *fake) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	f.mu.Lock()
	down := f.down
	f.mu.Unlock()
	if down {
		return nil, fmt.Errorf("connection refused")
	}
	ours, theirs := net.Pipe()
	select {
	case f.conns <- theirs:
	case <-f.closed:
		return nil, net.ErrClosed
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.open[theirs] = true
	return ours, nil
}

// drop closes all connections, as the end of a process does.
func (f *fake) drop() {
	f.mu.Lock()
	defer f.mu.Unlock()
	for c := range f.open {
		_ = c.Close()
	}
	clear(f.open)
	f.wake()
}

// change changes the fake, and wakes who waits.
func (f *fake) change(do func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	do()
	f.wake()
}

func (f *fake) wake() {
	close(f.moved)
	f.moved = make(chan struct{})
}

// put sets a variable; "" deletes it. It must be called within change, as must register.
func (f *fake) put(path, value string) {
	f.index++
	if value == "" {
		delete(f.vars, path)
		return
	}
	f.vars[path] = variableEntry{value, f.index, cmp.Or(f.vars[path].create, f.index)}
}

// register sets the port of a service's one instance; 0 takes it away.
func (f *fake) register(name string, port int) {
	f.index++
	if port == 0 {
		delete(f.services, name)
		return
	}
	f.services[name] = serviceEntry{port, f.index}
}

func (f *fake) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	part, name, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/v1/"), "/")
	after, _ := strconv.ParseUint(r.URL.Query().Get("index"), 10, 64)
	wait, _ := time.ParseDuration(r.URL.Query().Get("wait"))
	limit := time.NewTimer(wait + wait/16)
	defer limit.Stop()
	f.mu.Lock()
	defer f.mu.Unlock()
	f.requests[part]++
	f.headers, f.urls = append(f.headers, r.Header.Clone()), append(f.urls, r.URL.RequestURI())
	for {
		if f.status != 0 || f.denies[part] {
			http.Error(w, "Permission denied", cmp.Or(f.status, http.StatusForbidden))
			return
		}
		answer, index := f.answer(part, name, r.URL.Query().Get("prefix"))
		if part == "service" && after == 0 && !r.URL.Query().Has("stale") {
			f.led++
		} else if part == "service" && after == 0 && f.lag == 0 {
			f.stale++
		} else if part == "service" && after == 0 {
			f.stale++
			answer, index = f.before(name, answer), index-f.lag
		}
		if after == 0 || index > after || wait == 0 {
			f.send(w, answer, index)
			return
		}
		moved := f.moved
		f.waits++
		f.most = max(f.most, f.waits)
		f.mu.Unlock()
		ended := false
		select {
		case <-moved:
		case <-limit.C:
			ended = true
		case <-r.Context().Done():
			ended = true
		}
		f.mu.Lock()
		f.waits--
		if ended {
			answer, index = f.answer(part, name, r.URL.Query().Get("prefix"))
			f.send(w, answer, index)
			return
		}
	}
}

func (f *fake) send(w http.ResponseWriter, answer any, index uint64) {
	w.Header().Set("X-Nomad-Index", fmt.Sprint(index))
	w.Header().Set("X-Nomad-LastContact", "0")
	w.Header().Set("X-Nomad-KnownLeader", f.leader)
	if answer == nil {
		http.Error(w, "variable not found", http.StatusNotFound)
		return
	}
	_ = json.NewEncoder(w).Encode(answer)
}

// answer returns what Nomad answers, as a real one does: a variable has its own index, what is missing and all else that of the whole.
func (f *fake) answer(part, name, prefix string) (answer any, index uint64) {
	type object = map[string]any
	meta := func(path string, v variableEntry) object {
		return object{"Namespace": "default", "Path": path, "CreateIndex": v.create, "ModifyIndex": v.index, "CreateTime": 1, "ModifyTime": v.index}
	}
	switch part {
	case "var":
		v, found := f.vars[name]
		if !found {
			return nil, f.index
		}
		all := meta(name, v)
		all["Items"] = map[string]string{"x": v.value}
		return all, v.index
	case "vars":
		list := []object{}
		for _, path := range slices.Sorted(maps.Keys(f.vars)) {
			if strings.HasPrefix(path, prefix) && (f.hides == "" || !strings.HasPrefix(path, f.hides)) {
				list = append(list, meta(path, f.vars[path]))
			}
		}
		return list, f.index
	case "services":
		list := []object{}
		for _, name := range slices.Sorted(maps.Keys(f.services)) {
			list = append(list, object{"ServiceName": name, "Tags": []string{"b", "a"}})
		}
		return []object{{"Namespace": "default", "Services": list}, {"Namespace": "other", "Services": []object{{"ServiceName": "elsewhere"}}}}, f.index
	case "service":
		list := []object{}
		if s, found := f.services[name]; found {
			list = append(list, object{"ID": name + "-1", "ServiceName": name, "Port": s.port, "ModifyIndex": s.index})
		}
		return list, f.index
	}
	return nil, 0
}

// before returns what a server that is behind answers of a service: nothing, where the service has changed since.
func (f *fake) before(name string, answer any) any {
	if s, found := f.services[name]; found && s.index > f.index-f.lag {
		return []map[string]any{}
	}
	return answer
}

// serviceReads returns how many reads of a service there were that only the leader may answer, and that any server may.
func (f *fake) serviceReads() (led, stale int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.led, f.stale
}

// count returns how many requests there were, of some parts or of all.
func (f *fake) count(parts ...string) (n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for part, k := range f.requests {
		if len(parts) == 0 || slices.Contains(parts, part) {
			n += k
		}
	}
	return n
}

func variableQuery(path string) watch.Query { return watch.NewQuery(watch.KindNomadVar, path, nil) }
func serviceQuery(name string) watch.Query  { return watch.NewQuery(watch.KindNomadService, name, nil) }
func listQuery(prefix string) watch.Query   { return watch.NewQuery(watch.KindNomadVars, prefix, nil) }

// wanted returns what the answer to a query is, in short.
func (f *fake) wanted(q watch.Query) string {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch q.Kind {
	case watch.KindNomadVar:
		return f.vars[q.Name].value
	case watch.KindNomadService:
		if s, found := f.services[q.Name]; found {
			return fmt.Sprint(s.port)
		}
	case watch.KindNomadServices:
		return strings.Join(slices.Sorted(maps.Keys(f.services)), " ")
	case watch.KindNomadVars:
		var paths []string
		for _, path := range slices.Sorted(maps.Keys(f.vars)) {
			if strings.HasPrefix(path, q.Name) {
				paths = append(paths, fmt.Sprint(path, f.vars[path].index))
			}
		}
		return strings.Join(paths, " ")
	}
	return ""
}

// short returns an answer as wanted does.
func short(value any) string {
	var parts []string
	switch value := value.(type) {
	case *watch.NomadVar:
		return value.Items["x"].Value
	case []*watch.NomadService:
		for _, s := range value {
			parts = append(parts, fmt.Sprint(s.Port))
		}
	case []*watch.NomadSnippet:
		for _, s := range value {
			parts = append(parts, s.Name)
		}
	case []*watch.NomadVarMeta:
		for _, m := range value {
			parts = append(parts, fmt.Sprint(m.Path, m.ModifyIndex))
		}
	}
	return strings.Join(parts, " ")
}

// A follower takes the states of a set as they come.
type follower struct {
	set    *watch.Set
	states map[watch.Query]watch.State
}

func follow(src watch.Source, queries ...watch.Query) *follower {
	fl := &follower{set: watch.NewSet(src, watch.SetConfig{}), states: make(map[watch.Query]watch.State)}
	for _, q := range queries {
		fl.set.Watch(q)
	}
	return fl
}

// pass lets a time go by.
func (fl *follower) pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
	maps.Copy(fl.states, fl.set.Take())
}

// wrong returns the queries whose state is not as the fake has it.
func (fl *follower) wrong(f *fake, queries []watch.Query) (all []string) {
	for _, q := range queries {
		if st := fl.states[q]; st.Err != nil || short(st.Value) != f.wanted(q) {
			all = append(all, fmt.Sprintf("%s is %q (%v), want %q", q, short(st.Value), st.Err, f.wanted(q)))
		}
	}
	return all
}

func writePEM(t *testing.T, path string, certificate []byte) {
	t.Helper()
	check(t, os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: certificate}), 0o600))
}
