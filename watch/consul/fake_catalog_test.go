package consul

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"render/watch"
)

// A store is what the servers of a datacenter keep at one moment. It answers as Consul 1.22.3 does: with the same indexes, and the
// same changes wake a request that waits.
type store struct {
	index      uint64
	nodes      map[string]storedNode
	instances  map[instanceName]storedInstance
	checks     map[checkName]storedCheck
	keys       map[string]storedKey
	tombstones map[string]uint64 // of deleted keys
	tables     map[string]uint64 // indexes of tables
	services   map[string]uint64 // indexes of services that have instances
	extinct    uint64            // when a service last lost its last instance
	statuses   map[string]uint64 // when a check of a status last came, went or changed
	onNode     map[string]uint64 // when a node or an instance on it last changed
	written    map[string]uint64 // when a key was last written or deleted
}

type instanceName struct{ node, id string }

type storedNode struct {
	address string
	index   uint64
}

type storedInstance struct {
	service        string
	port           int
	tags           []string
	created, index uint64
}

type storedCheck struct {
	service, serviceID, status, output string
	created, index                     uint64
}

type storedKey struct {
	value, encoded string // encoded once: large values take the race detector seconds
	created, index uint64
}

func newStore(index uint64) *store {
	return &store{
		index: index, nodes: map[string]storedNode{}, instances: map[instanceName]storedInstance{}, checks: map[checkName]storedCheck{},
		keys: map[string]storedKey{}, tombstones: map[string]uint64{}, tables: map[string]uint64{}, services: map[string]uint64{},
		statuses: map[string]uint64{}, onNode: map[string]uint64{}, written: map[string]uint64{},
	}
}

func (s *store) clone() *store {
	c := *s
	c.nodes, c.instances, c.checks = maps.Clone(s.nodes), maps.Clone(s.instances), maps.Clone(s.checks)
	c.keys, c.tombstones, c.tables = maps.Clone(s.keys), maps.Clone(s.tombstones), maps.Clone(s.tables)
	c.services, c.statuses, c.onNode = maps.Clone(s.services), maps.Clone(s.statuses), maps.Clone(s.onNode)
	c.written = maps.Clone(s.written)
	return &c
}

// node registers a node, with a check as its agent does, or changes its address.
func (s *store) node(name, address string) {
	was, ok := s.nodes[name]
	if ok && was.address == address {
		return
	}
	s.nodes[name] = storedNode{address, s.index}
	s.tables["nodes"], s.onNode[name] = s.index, s.index
	s.touchNode(name)
	if !ok {
		s.check(name, "", "passing", "")
	}
}

// touchNode moves the indexes of all services of a node.
func (s *store) touchNode(name string) {
	for at, in := range s.instances {
		if at.node == name {
			s.services[in.service] = s.index
		}
	}
}

// register registers an instance, or changes its port and tags.
func (s *store) register(node, id, service string, port int, tags ...string) {
	if _, ok := s.nodes[node]; !ok {
		s.node(node, "10.0.0.1")
	}
	at := instanceName{node, id}
	was, ok := s.instances[at]
	if ok && was.port == port && slices.Equal(was.tags, tags) {
		return
	}
	in := storedInstance{service, port, tags, s.index, s.index}
	if ok {
		in.created = was.created
	}
	s.instances[at] = in
	s.tables["services"], s.services[service], s.onNode[node] = s.index, s.index, s.index
}

func (s *store) deregister(node, id string) {
	at := instanceName{node, id}
	in, ok := s.instances[at]
	if !ok {
		return
	}
	delete(s.instances, at)
	for name, c := range s.checks {
		if name.node == node && c.serviceID == id {
			s.uncheck(name)
		}
	}
	s.tables["services"], s.onNode[node], s.services[in.service] = s.index, s.index, s.index
	for _, other := range s.instances {
		if other.service == in.service {
			return
		}
	}
	delete(s.services, in.service)
	s.extinct = s.index
}

// forget deregisters a node with all that is on it.
func (s *store) forget(name string) {
	if _, ok := s.nodes[name]; !ok {
		return
	}
	for at := range s.instances {
		if at.node == name {
			s.deregister(name, at.id)
		}
	}
	s.uncheck(checkName{name, "node:" + name})
	delete(s.nodes, name)
	delete(s.onNode, name)
	s.tables["nodes"] = s.index
}

// check makes a check or changes it; one of a node where id is empty.
func (s *store) check(node, id, status, output string) {
	name, c := checkName{node, "node:" + node}, storedCheck{status: status, output: output, created: s.index, index: s.index}
	if id != "" {
		in, ok := s.instances[instanceName{node, id}]
		if !ok {
			return
		}
		name.id, c.service, c.serviceID = "service:"+id, in.service, id
	} else if _, ok := s.nodes[node]; !ok {
		return
	}
	if was, ok := s.checks[name]; ok {
		if was.status == status && was.output == output {
			return
		}
		c.created = was.created
		s.statuses[was.status] = s.index
	}
	s.checks[name] = c
	s.checked(name, c)
}

func (s *store) uncheck(name checkName) {
	if c, ok := s.checks[name]; ok {
		delete(s.checks, name)
		s.checked(name, c)
	}
}

func (s *store) checked(name checkName, c storedCheck) {
	s.tables["checks"], s.statuses[c.status] = s.index, s.index
	if c.service != "" {
		s.services[c.service] = s.index
	} else {
		s.touchNode(name.node)
	}
}

func (s *store) put(key, value string) {
	was, ok := s.keys[key]
	if ok && was.value == value {
		return
	}
	k := storedKey{value, base64.StdEncoding.EncodeToString([]byte(value)), s.index, s.index}
	if ok {
		k.created = was.created
	}
	s.keys[key] = k
	s.tables["kvs"], s.written[key] = s.index, s.index
}

// remove deletes all keys that begin with a prefix.
func (s *store) remove(prefix string) {
	for key := range s.keys {
		if strings.HasPrefix(key, prefix) {
			delete(s.keys, key)
			s.tombstones[key] = s.index
			s.tables["kvs"], s.written[key] = s.index, s.index
		}
	}
}

// answer returns the body for a request, its index, and the index of the last change that wakes such a request.
func (s *store) answer(path string, params map[string][]string) (body any, index, wake uint64) {
	has := func(name string) bool { return params[name] != nil }
	last := path[strings.LastIndex(path, "/")+1:]
	switch {
	case path == servicesPath:
		return s.listServices(), s.tables["services"], s.tables["services"]
	case path == nodesPath:
		list := []map[string]any{}
		for _, name := range slices.Sorted(maps.Keys(s.nodes)) {
			list = append(list, map[string]any{"Node": name, "Address": s.nodes[name].address, "ModifyIndex": s.nodes[name].index})
		}
		return list, s.tables["nodes"], s.tables["nodes"]
	case strings.HasPrefix(path, checksPath):
		list := s.listChecks(last)
		wake = s.statuses[last]
		if len(list) == 0 || last == "any" {
			wake = s.tables["checks"]
		}
		return list, s.tables["checks"], wake
	case strings.HasPrefix(path, "/v1/catalog/node/"), strings.HasPrefix(path, "/v1/catalog/node-services/"):
		return s.describeNode(last, strings.HasPrefix(path, "/v1/catalog/node/")), s.onNode[last], s.onNode[last]
	case strings.HasPrefix(path, "/v1/health/service/"):
		index, ok := s.services[last]
		switch {
		case ok:
			return s.health(last, has("passing")), index, index
		case s.extinct > 0:
			return []string{}, s.extinct, s.tables["services"]
		}
		return []string{}, max(s.tables["nodes"], s.tables["services"], s.tables["checks"]), s.tables["services"]
	case strings.HasPrefix(path, "/v1/kv/") && (has("recurse") || has("keys")):
		return s.below(strings.TrimPrefix(path, "/v1/kv/"), has("keys"))
	case strings.HasPrefix(path, "/v1/kv/"):
		key := strings.TrimPrefix(path, "/v1/kv/")
		if k, ok := s.keys[key]; ok {
			return []map[string]any{k.pair(key)}, k.index, k.index
		}
		return nil, s.tables["kvs"], 0
	}
	return nil, s.index, s.index
}

func (k storedKey) pair(key string) map[string]any {
	return map[string]any{"Key": key, "Value": k.encoded, "CreateIndex": k.created, "ModifyIndex": k.index}
}

func (s *store) listServices() map[string][]string {
	services := make(map[string][]string)
	for _, in := range s.instances {
		tags := append(services[in.service], in.tags...)
		slices.Sort(tags)
		services[in.service] = slices.Compact(tags)
	}
	return services
}

func (s *store) listChecks(status string) []map[string]any {
	list := []map[string]any{}
	for name, c := range s.checks {
		if status == "any" || status == c.status {
			list = append(list, c.describe(name))
		}
	}
	return list
}

func (c storedCheck) describe(name checkName) map[string]any {
	return map[string]any{
		"Node": name.node, "CheckID": name.id, "ServiceID": c.serviceID, "ServiceName": c.service, "Status": c.status,
		"Output": c.output, "CreateIndex": c.created, "ModifyIndex": c.index,
	}
}

func (s *store) describeNode(name string, byID bool) any {
	n, ok := s.nodes[name]
	if !ok {
		return json.RawMessage("null")
	}
	list, services := []map[string]any{}, map[string]any{}
	for at, in := range s.instances {
		if at.node == name {
			services[at.id] = map[string]any{
				"ID": at.id, "Service": in.service, "Port": in.port, "Tags": in.tags, "CreateIndex": in.created, "ModifyIndex": in.index,
			}
			list = append(list, services[at.id].(map[string]any))
		}
	}
	about := map[string]any{"Node": name, "Address": n.address}
	if byID {
		return map[string]any{"Node": about, "Services": services}
	}
	return map[string]any{"Node": about, "Services": list}
}

func (s *store) health(service string, passing bool) []map[string]any {
	list := []map[string]any{}
	for at, in := range s.instances {
		if in.service != service {
			continue
		}
		checks, bad := []map[string]any{}, false
		for _, name := range []checkName{{at.node, "node:" + at.node}, {at.node, "service:" + at.id}} {
			if c, ok := s.checks[name]; ok {
				checks = append(checks, c.describe(name))
				bad = bad || c.status != "passing"
			}
		}
		if !passing || !bad {
			list = append(list, map[string]any{
				"Node":    map[string]any{"Node": at.node, "Address": s.nodes[at.node].address},
				"Service": map[string]any{"ID": at.id, "Service": service, "Port": in.port, "Tags": in.tags},
				"Checks":  checks,
			})
		}
	}
	return list
}

// below answers for all keys that begin with a prefix. Changes of others do not wake, and neither does that there are none.
func (s *store) below(prefix string, names bool) (body any, index, wake uint64) {
	pairs, list := []map[string]any{}, []string{}
	for _, key := range slices.Sorted(maps.Keys(s.keys)) {
		if rest, ok := strings.CutPrefix(key, prefix); ok {
			pairs = append(pairs, s.keys[key].pair(key))
			name, _, folder := strings.Cut(rest, "/")
			if folder {
				name += "/"
			}
			list = append(list, prefix+name)
			index = max(index, s.keys[key].index)
		}
	}
	for key, at := range s.tombstones {
		if strings.HasPrefix(key, prefix) {
			index = max(index, at)
		}
	}
	for key, at := range s.written {
		if strings.HasPrefix(key, prefix) {
			wake = max(wake, at)
		}
	}
	if index == 0 {
		index = s.tables["kvs"]
	}
	switch {
	case len(pairs) == 0:
		return nil, index, 0
	case names:
		return slices.Compact(list), index, wake
	}
	return pairs, index, wake
}

// A datacenter is what its servers have kept, oldest first, the last being what the leader has.
type datacenter struct {
	history []moment
	resets  int
}

type moment struct {
	at time.Time
	*store
}

// stores has a fake answer from stores, in place of facts.
type stores struct {
	datacenters map[string]*datacenter // by the parameter "dc"
	lags        []time.Duration        // how far servers are behind the leader; empty is one server
	connections int                    // for each client, as the agent tells; 0 means 403
	client      bool                   // the agent is no server
	token       func(path string, params map[string][]string) (filtered bool)
}

// leader returns what a datacenter's leader has. It must be called with the mutex held.
func (f *fake) leader(dc string) *store {
	d := f.stores.datacenters[dc]
	return d.history[len(d.history)-1].store
}

const firstIndex = 1 << 20 // of a store

// hold has a fake answer from stores of some datacenters; "" is its own.
func (f *fake) hold(datacenters ...string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.stores = &stores{datacenters: make(map[string]*datacenter), connections: 200}
	for _, dc := range datacenters {
		f.stores.datacenters[dc] = &datacenter{history: []moment{{time.Now().Add(-time.Hour), newStore(firstIndex)}}}
	}
}

// change changes what a datacenter has, in one step with an index of its own.
func (f *fake) change(dc string, do func(s *store)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	d := f.stores.datacenters[dc]
	now := f.leader(dc).clone()
	now.index++
	do(now)
	d.history = append(d.history, moment{time.Now(), now})
	for len(d.history) > 1 && time.Since(d.history[1].at) > 2*time.Minute {
		d.history = d.history[1:]
	}
	f.wakeAll()
}

// reset has a datacenter begin anew with lower indexes, as after a restore. All requests that wait are answered.
func (f *fake) reset(dc string, index uint64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	d := f.stores.datacenters[dc]
	was, now := f.leader(dc), newStore(index)
	for _, name := range slices.Sorted(maps.Keys(was.nodes)) {
		now.node(name, was.nodes[name].address)
	}
	for at, in := range was.instances {
		now.register(at.node, at.id, in.service, in.port, in.tags...)
	}
	for name, c := range was.checks {
		now.check(name.node, c.serviceID, c.status, c.output)
	}
	for key, k := range was.keys {
		now.put(key, k.value)
	}
	d.history, d.resets = []moment{{time.Now().Add(-time.Hour), now}}, d.resets+1
	f.wakeAll()
}

// wakeAll must be called with the mutex held.
func (f *fake) wakeAll() {
	close(f.moved)
	f.moved = make(chan struct{})
}

// view returns what a server has that is behind the leader, and when it will have more.
func (d *datacenter) view(lag time.Duration) (s *store, more time.Duration) {
	for i := len(d.history) - 1; i > 0; i-- {
		if age := time.Since(d.history[i].at); age >= lag {
			return d.history[i].store, more
		} else {
			more = lag - age
		}
	}
	return d.history[0].store, more
}

// serveStore answers from a store.
func (f *fake) serveStore(w http.ResponseWriter, r *http.Request) {
	params := r.URL.Query()
	f.mu.Lock()
	d, all := f.stores.datacenters[params.Get("dc")], *f.stores
	f.mu.Unlock()
	switch {
	case r.URL.Path == "/v1/agent/self" && all.connections == 0:
		http.Error(w, "Permission denied", http.StatusForbidden)
		return
	case r.URL.Path == "/v1/agent/self":
		_ = json.NewEncoder(w).Encode(map[string]any{
			"Config":      map[string]any{"NodeName": "n0", "Server": !all.client},
			"DebugConfig": map[string]any{"HTTPMaxConnsPerClient": all.connections},
		})
		return
	case d == nil:
		http.Error(w, "No path to datacenter", http.StatusInternalServerError)
		return
	}
	if all.token != nil && all.token(r.URL.Path, params) {
		w.Header().Set("X-Consul-Results-Filtered-By-ACLs", "true")
	}
	var lag time.Duration
	if params.Has("stale") && len(all.lags) > 0 {
		lag = all.lags[rand.IntN(len(all.lags))]
	}
	f.serveDatacenter(w, r, d, lag)
}

// serveDatacenter answers as a server of a datacenter that is behind its leader.
func (f *fake) serveDatacenter(w http.ResponseWriter, r *http.Request, d *datacenter, lag time.Duration) {
	params := r.URL.Query()
	after, _ := strconv.ParseUint(params.Get("index"), 10, 64)
	wait, _ := time.ParseDuration(params.Get("wait"))
	timeout := time.NewTimer(wait)
	defer timeout.Stop()
	f.mu.Lock()
	resets := d.resets
	f.mu.Unlock()
	var woken uint64
	for first, over := true, false; ; first = false {
		f.mu.Lock()
		s, more := d.view(lag)
		body, index, wake := s.answer(r.URL.Path, params)
		moved, reset := f.moved, d.resets != resets
		f.mu.Unlock()
		index = max(index, 1)
		if after == 0 || reset || over || index > after && (first || wake != woken) {
			f.give(w, body, index)
			return
		}
		woken = wake
		catchUp := time.NewTimer(more)
		if more == 0 {
			catchUp.Stop()
		}
		select {
		case <-moved:
		case <-catchUp.C:
		case <-timeout.C:
			over = true
		case <-r.Context().Done():
			catchUp.Stop()
			return
		}
		catchUp.Stop()
	}
}

// Queries of a stage: one service each, named s0, s1, and one key each, named FOLDER/k0, FOLDER/k1.
func serviceQueries(n int) (queries []watch.Query) {
	for i := range n {
		queries = append(queries, watch.NewQuery(watch.KindService, fmt.Sprint("s", i), nil))
	}
	return queries
}

func keyQueries(folder string, n int) (queries []watch.Query) {
	for i := range n {
		queries = append(queries, watch.NewQuery(watch.KindKV, fmt.Sprint(folder, "/k", i), nil))
	}
	return queries
}

// stock registers services s0, s1 and so on with some instances each, on as many nodes.
func (f *fake) stock(dc string, services, instances int) {
	f.change(dc, func(s *store) {
		for j := range instances {
			for i := range services {
				id := fmt.Sprintf("s%d-%d", i, j)
				s.register(fmt.Sprint("n", j), id, fmt.Sprint("s", i), 1000+i)
				s.check(fmt.Sprint("n", j), id, "passing", "")
			}
		}
	})
}

// fill puts keys FOLDER/k0, FOLDER/k1 and so on.
func (f *fake) fill(dc, folder string, n int) {
	f.change(dc, func(s *store) {
		for i := range n {
			s.put(fmt.Sprint(folder, "/k", i), fmt.Sprint("v", i))
		}
	})
}
