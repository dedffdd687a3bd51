package main

import (
	"fmt"
	"hash/fnv"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/consul/api"
)

// A world is what Consul knows while a test changes it at random, and what it knew at each earlier moment.
type world struct {
	random *rand.Rand
	slots  []slot
	seq    int // numbers values of keys, ports and addresses: none comes twice

	mu        sync.Mutex // guards what follows; only one goroutine changes it
	keys      map[string]string
	nodes     map[string]*churnNode
	questions []*question
	byID      map[string]*question
	log       []string
}

// A slot is where an instance can be: there is one or none.
type slot struct {
	service, node, id string
	anchor            bool // there is one that passes, at all times
}

type churnNode struct {
	address, rack string
	checks        map[string]string // status by ID
	instances     map[string]*churnInstance
}

type churnInstance struct {
	service, env string
	port         int
	tags         []string
	checks       map[string]string // status by ID
}

// A question is a block of a template that asks one query. Its lines are what the block shows for what the world is now.
type question struct {
	id       string
	text     string // of the template
	kind     byte   // k: of keys, s: of one service, n: of one node, c: of the whole catalog
	name     string // prefix of keys, name of a service or node
	lines    func(*world) []string
	versions []sum // of the lines, since the beginning
}

// A sum stands for lines.
type sum uint64

// block is what a question stands for in a template.
func block(id, text string) string {
	return fmt.Sprintf("<<%s\n%s>>\n", id, text)
}

// sumOf returns the sum of lines in any order: the order is compared with that of a fresh render, at the end.
func sumOf(lines []string) sum {
	lines = slices.Clone(lines)
	slices.Sort(lines)
	h := fnv.New64a()
	for _, line := range lines {
		fmt.Fprintln(h, line)
	}
	return sum(h.Sum64())
}

const (
	churnFolders  = 10
	churnServices = 40
	churnNodes    = 36
	churnAnchors  = 10 // nodes that stay
	churnDynamic  = 10 // services that only come by the list of services
)

func churnService(i int) string { return fmt.Sprintf("churn-s%02d", i) }
func churnNodeName(i int) string {
	return fmt.Sprintf("churn-n%02d", i)
}

func newWorld(seed uint64) *world {
	w := &world{
		random: rand.New(rand.NewPCG(seed, 1)),
		keys:   make(map[string]string),
		nodes:  make(map[string]*churnNode),
		byID:   make(map[string]*question),
	}
	for i := range churnServices + churnDynamic {
		name := churnService(i)
		if i >= churnServices {
			name = fmt.Sprint("churn-d", i-churnServices)
		}
		if i < churnServices && i%2 == 0 {
			w.slots = append(w.slots, slot{name, churnNodeName(i % churnAnchors), name + "-anchor", true})
		}
		for j := range 4 {
			w.slots = append(w.slots, slot{name, churnNodeName(churnAnchors + (7*i+5*j)%(churnNodes-churnAnchors)), fmt.Sprint(name, "-", j), false})
		}
	}
	w.ask()
	return w
}

// ask makes the questions: 300.
func (w *world) ask() {
	add := func(kind byte, name, id, text string, lines func(*world) []string) {
		q := &question{id: id, text: block(id, text), kind: kind, name: name, lines: lines}
		w.questions = append(w.questions, q)
		w.byID[id] = q
	}
	for f := range churnFolders {
		for k := range 8 {
			key := fmt.Sprintf("churn/f%d/k%d", f, k)
			text := fmt.Sprintf("{{keyOrDefault %q \"none\"}}\n", key)
			if k < 2 { // is never deleted
				text = fmt.Sprintf("{{key %q}}\n", key)
			}
			add('k', key, "key "+key, text, func(w *world) []string {
				if v, ok := w.keys[key]; ok {
					return []string{v}
				}
				return []string{"none"}
			})
		}
	}
	below := func(function, prefix string) {
		text := fmt.Sprintf("{{range %s %q}}{{.Path}}={{.Value}}\n{{end}}", function, prefix)
		add('k', prefix, function+" "+prefix, text, func(w *world) (lines []string) {
			for key, v := range w.keys {
				rest, is := strings.CutPrefix(key, prefix)
				if is && (function == "tree" || !strings.Contains(rest, "/")) {
					lines = append(lines, key+"="+v)
				}
			}
			return lines
		})
	}
	for f := range churnFolders {
		below("ls", fmt.Sprintf("churn/f%d/", f))
		if f > 0 {
			below("tree", fmt.Sprintf("churn/f%d/", f))
		}
	}
	below("ls", "churn/")
	below("tree", "churn/f1")
	below("tree", "churn/")

	for i := range churnServices {
		name := churnService(i)
		w.askService(add, name, "", "", "passing", func(*churnInstance) bool { return true })
		w.askService(add, name, "|any", "", "any", func(*churnInstance) bool { return true })
		switch {
		case i < 20:
			w.askService(add, name, "", `(meta "env" "a")`, "passing", func(c *churnInstance) bool { return c.env == "a" })
			w.askService(add, "t1."+name, "", "", "passing", func(c *churnInstance) bool { return slices.Contains(c.tags, "t1") })
		case i < 30:
			w.askService(add, "t1."+name, "", "", "passing", func(c *churnInstance) bool { return slices.Contains(c.tags, "t1") })
			fallthrough
		default:
			filter := `(filter "Service.Meta.env == b")`
			w.askService(add, name, "", filter, "passing", func(c *churnInstance) bool { return c.env == "b" })
		}
	}
	for i := range churnNodes {
		w.askNode(add, churnNodeName(i))
	}
	add('c', "", "nodes", "{{range nodes}}{{.Node}} {{.Address}} {{.Meta.rack}}\n{{end}}", func(w *world) (lines []string) {
		for name, n := range w.nodes {
			lines = append(lines, fmt.Sprint(name, " ", n.address, " ", n.rack))
		}
		return lines
	})
	add('c', "", "services", "{{range services}}{{.Name}} {{.Tags}}\n{{end}}", func(w *world) (lines []string) {
		tags := make(map[string]map[string]bool)
		for _, n := range w.nodes {
			for _, c := range n.instances {
				if tags[c.service] == nil {
					tags[c.service] = make(map[string]bool)
				}
				for _, t := range c.tags {
					tags[c.service][t] = true
				}
			}
		}
		for name, set := range tags {
			lines = append(lines, fmt.Sprint(name, " ", slices.Sorted(maps.Keys(set))))
		}
		return lines
	})

	// Services that come and go are found by their list. The text of the first of these questions asks for all of them.
	for i := range churnDynamic {
		w.askService(add, fmt.Sprint("churn-d", i), "", "", "passing", func(*churnInstance) bool { return true })
		q := w.questions[len(w.questions)-1]
		q.text = ""
		if i == 0 {
			q.text = `{{range services}}{{if regexMatch "^churn-d" .Name}}` + block("service {{.Name}}", "{{range service .Name}}"+instanceLine+"\n{{end}}") + "{{end}}{{end}}"
		}
	}
}

const instanceLine = "{{.Node}} {{.NodeAddress}} {{.NodeMeta.rack}} {{.ID}} {{.Address}}:{{.Port}} {{.Tags}} {{.ServiceMeta.env}} {{.Status}}"

type addQuestion func(kind byte, name, id, text string, lines func(*world) []string)

// askService asks for the instances of a service: of a name with a tag, and with statuses and a named argument, or without.
func (*world) askService(add addQuestion, name, statuses, argument, status string, has func(*churnInstance) bool) {
	call := fmt.Sprintf("service %q", name+statuses)
	id := "service " + name + statuses
	if argument != "" {
		call += " " + argument
		id += " " + argument
	}
	service := name[strings.LastIndex(name, ".")+1:]
	add('s', service, id, "{{range "+call+"}}"+instanceLine+"\n{{end}}", func(w *world) (lines []string) {
		for node, n := range w.nodes {
			for id, c := range n.instances {
				is := aggregate(n.checks, c.checks)
				if c.service != service || !has(c) || status != "any" && status != is {
					continue
				}
				lines = append(lines, fmt.Sprintf("%s %s %s %s %s:%d %s %s %s", node, n.address, n.rack, id, n.address, c.port, sortedTags(c.tags), c.env, is))
			}
		}
		return lines
	})
}

func (*world) askNode(add addQuestion, name string) {
	text := fmt.Sprintf("{{with node %q}}{{with .Node}}{{.Node}} {{.Address}} {{.Meta.rack}}\n{{end}}", name) +
		"{{range .Services}}{{.ID}} {{.Service}} {{.Port}} {{.Tags}} {{.Meta.env}}\n{{end}}{{end}}"
	add('n', name, "node "+name, text, func(w *world) (lines []string) {
		n := w.nodes[name]
		if n == nil {
			return nil
		}
		lines = append(lines, fmt.Sprint(name, " ", n.address, " ", n.rack))
		for id, c := range n.instances {
			lines = append(lines, fmt.Sprintf("%s %s %d %s %s", id, c.service, c.port, sortedTags(c.tags), c.env))
		}
		return lines
	})
}

func sortedTags(tags []string) string { return fmt.Sprint(slices.Sorted(slices.Values(tags))) }

// aggregate returns the worst status of checks.
func aggregate(all ...map[string]string) string {
	worst := api.HealthPassing
	for _, checks := range all {
		for _, status := range checks {
			if status == api.HealthCritical || status == api.HealthWarning && worst == api.HealthPassing {
				worst = status
			}
		}
	}
	return worst
}

// A change is a request that has one effect, however often it is made.
type change struct {
	what string
	do   func(*api.Client) error
}

// begin returns the requests that make the world what it is at first: each anchor, each key that is never deleted, and half of all else.
func (w *world) begin() (all []change) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for f := range churnFolders {
		for k := range 8 {
			if k < 2 || k%2 == 0 {
				all = append(all, w.put(fmt.Sprintf("churn/f%d/k%d", f, k)))
			}
		}
	}
	for i, s := range w.slots {
		if s.anchor || i%2 == 0 {
			all = append(all, w.register(s))
		}
	}
	for _, q := range w.questions {
		q.versions = []sum{sumOf(q.lines(w))}
	}
	return all
}

// next changes the world at random, and returns the request that has Consul follow.
func (w *world) next() change {
	w.mu.Lock()
	defer w.mu.Unlock()
	do, kind, name := w.pick()
	for _, q := range w.questions {
		if q.kind == 'k' != (kind == 'k') || kind == 'k' && !strings.HasPrefix(q.name, name) && !strings.HasPrefix(name, q.name) ||
			q.kind == 's' && kind == 's' && q.name != name {
			continue
		}
		if v := sumOf(q.lines(w)); v != q.versions[len(q.versions)-1] {
			q.versions = append(q.versions, v)
		}
	}
	return do
}

// pick changes the world. Kind and name say what has changed: keys with a prefix, a service, or more.
func (w *world) pick() (do change, kind byte, name string) {
	for {
		switch n := w.random.IntN(100); {
		case n < 24:
			key := w.key()
			return w.put(key), 'k', key
		case n < 34:
			key := w.key()
			if w.keys[key] != "" && !isKept(key) {
				return w.remove(key), 'k', key
			}
		case n < 35:
			folder := fmt.Sprintf("churn/f%d/sub/", w.random.IntN(churnFolders))
			return w.removeBelow(folder), 'k', folder
		case n < 92:
			s := w.slots[w.random.IntN(len(w.slots))]
			if do, ok := w.pickOf(s); ok {
				return do, 's', s.service
			}
		case n < 95:
			node := churnNodeName(w.random.IntN(churnNodes))
			if w.nodes[node] != nil {
				return w.readdress(node), 'n', node
			}
		case n < 96:
			node := churnNodeName(churnAnchors + w.random.IntN(churnNodes-churnAnchors))
			if w.nodes[node] != nil {
				return w.removeNode(node), 'n', node
			}
		default:
			node := churnNodeName(churnAnchors + w.random.IntN(churnNodes-churnAnchors))
			if n := w.nodes[node]; n != nil {
				if n.checks["alive"] != "" && w.random.IntN(3) == 0 {
					return w.removeCheck(node, n.checks, "alive"), 'n', node
				}
				return w.setCheck(node, n.checks, "", "", "alive", w.status()), 'n', node
			}
		}
	}
}

// pickOf changes what is in a slot. It reports whether it does something.
func (w *world) pickOf(s slot) (do change, ok bool) {
	c := w.instance(s)
	if c == nil {
		return w.register(s), true
	}
	check, second := "check:"+s.id, "second:"+s.id
	switch n := w.random.IntN(10); {
	case n < 2 && !s.anchor:
		return w.deregister(s), true
	case n < 5 && !s.anchor && c.checks[check] != "":
		return w.setCheck(s.node, c.checks, s.service, s.id, check, w.status()), true
	case n < 6 && !s.anchor:
		if c.checks[second] != "" {
			return w.removeCheck(s.node, c.checks, second), true
		}
		return w.setCheck(s.node, c.checks, s.service, s.id, second, w.status()), true
	case n < 7:
		c.port = w.number()
	case n < 8:
		c.tags = w.tags()
	case n < 9:
		c.env = w.env()
	default:
		return change{}, false
	}
	return w.register(s), true
}

// status is one of a check: it passes half of the time.
func (w *world) status() string {
	return []string{api.HealthPassing, api.HealthPassing, api.HealthWarning, api.HealthCritical}[w.random.IntN(4)]
}

func (w *world) tags() (tags []string) {
	for _, t := range []string{"t1", "t2", "t3"} {
		if w.random.IntN(2) == 0 {
			tags = append(tags, t)
		}
	}
	return tags
}

func (w *world) env() string { return []string{"a", "b", "c"}[w.random.IntN(3)] }

// number returns one that is used next in 50,000 calls.
func (w *world) number() int {
	w.seq++
	return 1000 + w.seq%50_000
}

func (w *world) key() string {
	f := w.random.IntN(churnFolders)
	switch n := w.random.IntN(14); {
	case n < 8:
		return fmt.Sprintf("churn/f%d/k%d", f, n)
	case n < 13:
		return fmt.Sprintf("churn/f%d/sub/k%d", f, n)
	}
	return fmt.Sprint("churn/root", f)
}

// isKept reports whether a key is never deleted.
func isKept(key string) bool { return strings.HasSuffix(key, "/k0") || strings.HasSuffix(key, "/k1") }

func (w *world) instance(s slot) *churnInstance {
	if n := w.nodes[s.node]; n != nil {
		return n.instances[s.id]
	}
	return nil
}

func (w *world) put(key string) change {
	w.seq++
	value := fmt.Sprint("v", w.seq)
	w.keys[key] = value
	return change{"put " + key + " " + value, func(c *api.Client) error {
		_, err := c.KV().Put(&api.KVPair{Key: key, Value: []byte(value)}, nil)
		return err
	}}
}

func (w *world) remove(key string) change {
	delete(w.keys, key)
	return change{"delete " + key, func(c *api.Client) error {
		_, err := c.KV().Delete(key, nil)
		return err
	}}
}

func (w *world) removeBelow(folder string) change {
	maps.DeleteFunc(w.keys, func(key, _ string) bool { return strings.HasPrefix(key, folder) })
	return change{"delete all of " + folder, func(c *api.Client) error {
		_, err := c.KV().DeleteTree(folder, nil)
		return err
	}}
}

func send(r *api.CatalogRegistration) change {
	what := fmt.Sprint("register ", r.Node, " ", r.Address)
	if r.Service != nil {
		what += fmt.Sprint(" ", r.Service.ID, " ", r.Service.Port, " ", r.Service.Tags, " ", r.Service.Meta)
	}
	if r.Check != nil {
		what += fmt.Sprint(" ", r.Check.CheckID, " ", r.Check.Status)
	}
	return change{what, func(c *api.Client) error {
		_, err := c.Catalog().Register(r, nil)
		return err
	}}
}

func withdraw(r *api.CatalogDeregistration) change {
	return change{fmt.Sprint("deregister ", r.Node, " ", r.ServiceID, r.CheckID), func(c *api.Client) error {
		_, err := c.Catalog().Deregister(r, nil)
		return err
	}}
}

// register writes the instance of a slot; where there is none, a new one, with or without a check, and its node where that is missing.
func (w *world) register(s slot) change {
	n := w.nodes[s.node]
	r := &api.CatalogRegistration{Node: s.node, SkipNodeUpdate: n != nil}
	if n == nil {
		n = &churnNode{checks: make(map[string]string), instances: make(map[string]*churnInstance)}
		w.nodes[s.node] = n
		w.move(n)
		r.Address, r.NodeMeta = n.address, map[string]string{"rack": n.rack}
	}
	c := n.instances[s.id]
	if c == nil {
		c = &churnInstance{service: s.service, env: w.env(), port: w.number(), tags: w.tags(), checks: make(map[string]string)}
		n.instances[s.id] = c
		if s.anchor || w.random.IntN(2) == 0 {
			id := "check:" + s.id
			c.checks[id] = w.status()
			if s.anchor {
				c.checks[id] = api.HealthPassing
			}
			r.Check = &api.AgentCheck{Node: s.node, CheckID: id, Name: "check", Status: c.checks[id], ServiceID: s.id, ServiceName: s.service}
		}
	}
	r.Service = &api.AgentService{ID: s.id, Service: s.service, Port: c.port, Tags: c.tags, Meta: map[string]string{"env": c.env}}
	return send(r)
}

func (w *world) deregister(s slot) change {
	delete(w.nodes[s.node].instances, s.id)
	return withdraw(&api.CatalogDeregistration{Node: s.node, ServiceID: s.id})
}

func (w *world) setCheck(node string, checks map[string]string, service, instance, id, status string) change {
	checks[id] = status
	return send(&api.CatalogRegistration{Node: node, SkipNodeUpdate: true, Check: &api.AgentCheck{
		Node: node, CheckID: id, Name: "check", Status: status, ServiceID: instance, ServiceName: service,
	}})
}

func (w *world) removeCheck(node string, checks map[string]string, id string) change {
	delete(checks, id)
	return withdraw(&api.CatalogDeregistration{Node: node, CheckID: id})
}

// move gives a node another address and rack.
func (w *world) move(n *churnNode) {
	w.seq++
	n.address, n.rack = fmt.Sprintf("10.%d.%d.%d", w.seq>>16&255, w.seq>>8&255, w.seq&255), fmt.Sprint("r", w.random.IntN(3))
}

func (w *world) readdress(node string) change {
	n := w.nodes[node]
	w.move(n)
	return send(&api.CatalogRegistration{Node: node, Address: n.address, NodeMeta: map[string]string{"rack": n.rack}})
}

func (w *world) removeNode(node string) change {
	delete(w.nodes, node)
	return withdraw(&api.CatalogDeregistration{Node: node})
}

// A place is where a reader of a block is among the versions of its question.
type place map[*question]int

// see takes a reader of a block to the version that it shows. The error says that the block shows what never was, or what was before
// what it has shown already.
func (w *world) see(at place, id string, lines []string) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	q := w.byID[id]
	if q == nil {
		return fmt.Errorf("shows %s, which nobody has asked", id)
	}
	if q.kind == 'c' { // Consul's own nodes and services come and go by themselves
		lines = slices.DeleteFunc(lines, func(line string) bool { return !strings.HasPrefix(line, "churn-") })
	}
	v := sumOf(lines)
	if i := slices.Index(q.versions[at[q]:], v); i >= 0 {
		at[q] += i
		return nil
	}
	shown := fmt.Sprintf("%s: %q; now it is %q", id, lines, q.lines(w))
	if i := slices.Index(q.versions, v); i >= 0 {
		return fmt.Errorf("shows an earlier version (%d, after %d of %d): %s", i, at[q], len(q.versions), shown)
	}
	return fmt.Errorf("shows what never was: %s", shown)
}

// isNow reports whether a reader of all blocks has seen what the world is now.
func (w *world) isNow(at place) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	for q, i := range at {
		if q.versions[i] != q.versions[len(q.versions)-1] {
			return fmt.Errorf("%s is at version %d of %d", q.id, i, len(q.versions)-1)
		}
	}
	return nil
}

// note notes what happens to the world.
func (w *world) note(format string, args ...any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.log = append(w.log, time.Now().Format("15:04:05.000 ")+fmt.Sprintf(format, args...))
}

// lately returns the last of what has been noted, and now.
func (w *world) lately() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return strings.Join(w.log[max(0, len(w.log)-100):], "\n") + time.Now().Format("\n15:04:05.000")
}
