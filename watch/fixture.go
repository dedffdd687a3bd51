package watch

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"

	"go.yaml.in/yaml/v3"

	"render/watch/hint"
)

// Fixture is a Source that answers from a YAML file as Consul would answer if it held what the file says: the same
// filters, order and prefixes. The file is watched. Its format is described in the README of this package.
//
// However many ask, the file is read and decoded once for each change, and who waits is answered when its own answer differs.
type Fixture struct {
	files    *Files
	path     string
	reading  chan struct{} // of size 1, full while somebody reads the file
	watching chan struct{} // of size 1, full while somebody waits for a change of the file

	mu      sync.Mutex // guards what follows
	reads   uint64     // plain ones that have begun
	current *fixtureState
}

// A fixtureState is what a read of the file brought. Only the Fixture's mutex allows to set read, and to close changed.
type fixtureState struct {
	index   uint64
	data    *fixtureData
	err     error
	read    uint64        // the number of the last plain read that brought this
	changed chan struct{} // closed when there is another
}

// NewFixture returns a source that answers from the file at path. An error means that the file cannot be read or has
// a fault now; a fault that comes later is an error of every Fetch until it is fixed.
func NewFixture(files *Files, path string) (*Fixture, error) {
	f := &Fixture{
		files: files, path: path, reading: make(chan struct{}, 1), watching: make(chan struct{}, 1),
		current: &fixtureState{changed: make(chan struct{})},
	}
	now, err := f.read(context.Background())
	if err == nil {
		err = now.err
	}
	if err != nil {
		return nil, err
	}
	return f, nil
}

// Fetch implements Source.
func (f *Fixture) Fetch(ctx context.Context, q Query, after uint64) (value any, index uint64, err error) {
	if after == 0 {
		now, err := f.read(ctx)
		if err != nil {
			return nil, 0, err
		}
		return now.answer(q)
	}
	f.mu.Lock()
	now := f.current
	f.mu.Unlock()
	old, index, err := now.answer(q)
	if err != nil || index != after {
		return old, index, err
	}
	for {
		if now, err = f.wait(ctx, now); err != nil {
			return nil, 0, err
		}
		value, index, err = now.answer(q)
		if err != nil || !Equal(old, value) {
			return value, index, err
		}
	}
}

func (s *fixtureState) answer(q Query) (any, uint64, error) {
	if s.err != nil {
		return nil, 0, s.err
	}
	value, err := s.data.answer(q)
	return value, s.index, err
}

// read reads the file, or uses a read of somebody else that began after the call.
func (f *Fixture) read(ctx context.Context) (*fixtureState, error) {
	f.mu.Lock()
	begun := f.reads
	f.mu.Unlock()
	select {
	case f.reading <- struct{}{}:
		defer func() { <-f.reading }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}

	f.mu.Lock()
	if now := f.current; now.read > begun {
		f.mu.Unlock()
		return now, nil
	}
	f.reads++
	number := f.reads
	f.mu.Unlock()
	now, err := f.fetch(ctx, 0)
	if err != nil {
		return nil, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	now.read = number
	return now, nil
}

// wait returns the state that follows one. One of those who wait watches the file for all.
func (f *Fixture) wait(ctx context.Context, last *fixtureState) (*fixtureState, error) {
	select {
	case <-last.changed:
	case <-ctx.Done():
		return nil, ctx.Err()
	case f.watching <- struct{}{}:
		defer func() { <-f.watching }()
		select {
		case <-last.changed: // while it was not our turn
		default:
			return f.fetch(ctx, last.index)
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.current, nil
}

// fetch reads the file, like Files.fetch, and returns the state that is the current one after that.
func (f *Fixture) fetch(ctx context.Context, after uint64) (*fixtureState, error) {
	text, found, index, err := f.files.fetch(ctx, place{path: f.path}, after)
	if err != nil {
		return nil, fmt.Errorf("fixture: %w", err)
	}
	if !found {
		return nil, fmt.Errorf("fixture %s: no such file", f.path)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if index <= f.current.index { // known, or older than what is known
		return f.current, nil
	}
	next := &fixtureState{index: index, changed: make(chan struct{})}
	if next.data, next.err = parseFixture([]byte(text)); next.err != nil {
		next.err = fmt.Errorf("fixture %s: %w", f.path, next.err)
	}
	close(f.current.changed)
	f.current = next
	return next, nil
}

// The file as it is written.
type (
	fixtureFile struct {
		Datacenter  string                     `yaml:"datacenter"`
		Datacenters map[string]fixtureContents `yaml:"datacenters"`
		Contents    fixtureContents            `yaml:",inline"`
	}
	fixtureContents struct {
		Nodes    map[string]fixtureNode       `yaml:"nodes"`
		Services map[string][]fixtureInstance `yaml:"services"`
		Keys     fixtureKeys                  `yaml:"keys"`
	}
	fixtureKeys map[string]string
	fixtureNode struct {
		ID              string            `yaml:"id"`
		Address         string            `yaml:"address"`
		TaggedAddresses map[string]string `yaml:"tagged_addresses"`
		Meta            map[string]string `yaml:"meta"`
	}
	fixtureInstance struct {
		ID              string                    `yaml:"id"`
		Node            string                    `yaml:"node"`
		Address         string                    `yaml:"address"`
		TaggedAddresses map[string]ServiceAddress `yaml:"tagged_addresses"`
		Port            int                       `yaml:"port"`
		Tags            []string                  `yaml:"tags"`
		Meta            map[string]string         `yaml:"meta"`
		Status          string                    `yaml:"status"`
		Weights         *ServiceWeights           `yaml:"weights"`
		Connect         string                    `yaml:"connect"`
	}
)

// UnmarshalYAML reads keys as the library does. The library alone compares each key of a map with all others, which takes
// minutes for 200,000: it gets a few at a time.
func (k *fixtureKeys) UnmarshalYAML(node *yaml.Node) error {
	if node.Kind != yaml.MappingNode {
		return node.Decode((*map[string]string)(k)) // which says what is wrong
	}
	const pairs = 32
	type key struct {
		kind  yaml.Kind
		value string
	}
	lines := make(map[key]int)
	faults := new(yaml.TypeError)
	var merged, others []*yaml.Node
	for pair := range slices.Chunk(node.Content, 2) {
		name := pair[0]
		id := key{name.Kind, name.Value}
		if line, twice := lines[id]; twice {
			faults.Errors = append(faults.Errors, fmt.Sprintf("line %d: mapping key %q already defined at line %d", name.Line, name.Value, line))
		}
		lines[id] = name.Line
		if name.ShortTag() == "!!merge" {
			merged = append(merged, pair...)
		} else {
			others = append(others, pair...)
		}
	}
	if len(faults.Errors) > 0 {
		return faults
	}

	*k = make(fixtureKeys, len(lines))
	for part := range slices.Chunk(append(merged, others...), 2*pairs) { // what is merged first: others take precedence
		few := &yaml.Node{Kind: yaml.MappingNode, Tag: node.Tag, Content: part}
		err := few.Decode((*map[string]string)(k))
		if more, ok := errors.AsType[*yaml.TypeError](err); ok {
			faults.Errors = append(faults.Errors, more.Errors...)
		} else if err != nil {
			return err
		}
	}
	if len(faults.Errors) > 0 {
		return faults
	}
	return nil
}

// fixtureData is what the file says, in the form of answers. It is not changed after parseFixture.
type fixtureData struct {
	datacenter string // where queries without a datacenter go
	contents   map[string]*fixtureCatalog
}

type fixtureCatalog struct {
	agent    string // the node that answers for "the agent's own node"
	nodes    map[string]*Node
	onNode   map[string][]*CatalogNodeService // sorted
	services map[string][]*HealthService      // sorted; all statuses
	connect  map[string][]*HealthService      // the same instances by the service that their connect names
	keys     []*KeyPair                       // sorted by Path
}

const (
	fixtureDatacenter = "dc1"
	fixtureAgent      = "localhost"
	fixtureAddress    = "127.0.0.1"
)

func parseFixture(text []byte) (*fixtureData, error) {
	var file fixtureFile
	dec := yaml.NewDecoder(bytes.NewReader(text))
	dec.KnownFields(true)
	if err := dec.Decode(&file); err != nil && !errors.Is(err, io.EOF) {
		return nil, plainYAMLError(err)
	}
	if err := dec.Decode(new(any)); !errors.Is(err, io.EOF) {
		return nil, errors.New("the file has more than one YAML document")
	}
	data := &fixtureData{
		datacenter: cmp.Or(file.Datacenter, fixtureDatacenter),
		contents:   make(map[string]*fixtureCatalog),
	}
	if _, twice := file.Datacenters[data.datacenter]; twice {
		return nil, hint.With(fmt.Errorf("datacenters.%s: the top of the file describes this datacenter", data.datacenter), "move the contents of this entry to the top of the file")
	}
	all := maps.Clone(file.Datacenters)
	if all == nil {
		all = make(map[string]fixtureContents)
	}
	all[data.datacenter] = file.Contents
	for _, dc := range slices.Sorted(maps.Keys(all)) {
		catalog, err := newFixtureCatalog(dc, all[dc])
		if err != nil && dc != data.datacenter {
			err = fmt.Errorf("datacenters.%s: %w", dc, err)
		}
		if err != nil {
			return nil, err
		}
		data.contents[dc] = catalog
	}
	return data, nil
}

var (
	unknownInYAMLError = regexp.MustCompile(` not found in type watch\.\w+`)
	typesInYAMLError   = regexp.MustCompile("(?s)cannot unmarshal (\\S+)(?: (`.*?`))? into ([^;]+)")
)

// plainYAMLError says what is wrong without the names of our types.
func plainYAMLError(err error) error {
	text := strings.TrimPrefix(err.Error(), "yaml: ")
	if faults, ok := errors.AsType[*yaml.TypeError](err); ok {
		text = strings.Join(faults.Errors, "; ")
	}
	advice := ""
	if strings.Contains(text, "cannot start any token") {
		advice = "indent with spaces: YAML does not accept tabs"
	}
	text = unknownInYAMLError.ReplaceAllString(text, " does not exist")
	return hint.With(errors.New(typesInYAMLError.ReplaceAllStringFunc(text, func(fault string) string {
		m := typesInYAMLError.FindStringSubmatch(fault)
		is, wanted := m[2], "a map"
		if is == "" || is == "``" { // what it is says its tag
			is = m[1]
		}
		switch m[1] {
		case "!!seq":
			is = "a list"
		case "!!map":
			is = "a map"
		}
		switch {
		case m[3] == "string":
			wanted = "a text"
		case m[3] == "int":
			wanted = "a number"
		case strings.HasPrefix(m[3], "[]"):
			wanted = "a list"
		}
		return is + " is not " + wanted
	})), advice)
}

func newFixtureCatalog(dc string, contents fixtureContents) (*fixtureCatalog, error) {
	c := &fixtureCatalog{
		nodes:    make(map[string]*Node),
		onNode:   make(map[string][]*CatalogNodeService),
		services: make(map[string][]*HealthService),
		connect:  make(map[string][]*HealthService),
	}
	for name, n := range contents.Nodes {
		address := cmp.Or(n.Address, fixtureAddress)
		c.nodes[name] = &Node{
			ID: n.ID, Node: name, Address: address, Datacenter: dc,
			TaggedAddresses: n.TaggedAddresses, Meta: n.Meta,
		}
	}
	if len(c.nodes) == 0 {
		c.nodes[fixtureAgent] = &Node{Node: fixtureAgent, Address: fixtureAddress, Datacenter: dc}
	}
	c.agent = slices.Min(slices.Collect(maps.Keys(c.nodes)))
	for _, name := range slices.Sorted(maps.Keys(contents.Services)) {
		for i, in := range contents.Services[name] {
			s, err := c.newInstance(name, i, in)
			if err != nil {
				return nil, fmt.Errorf("services.%s, instance %d: %w", name, i+1, err)
			}
			c.services[name] = append(c.services[name], s)
			if in.Connect != "" {
				c.connect[in.Connect] = append(c.connect[in.Connect], s)
			}
			c.onNode[s.Node] = append(c.onNode[s.Node], &CatalogNodeService{
				ID: s.ID, Service: name, Tags: s.Tags, Meta: s.ServiceMeta, Port: s.Port, Address: in.Address,
			})
		}
		SortInstances(c.services[name])
	}
	for _, instances := range c.connect {
		SortInstances(instances)
	}
	for _, services := range c.onNode {
		SortNodeServices(services)
	}
	if err := c.checkIDs(); err != nil {
		return nil, err
	}
	for _, path := range slices.Sorted(maps.Keys(contents.Keys)) {
		if path == "" || path[0] == '/' {
			return nil, fmt.Errorf("keys: %q: a key cannot be empty or begin with a slash", path)
		}
		c.keys = append(c.keys, &KeyPair{Path: path, Value: contents.Keys[path]})
	}
	return c, nil
}

func (c *fixtureCatalog) newInstance(name string, i int, in fixtureInstance) (*HealthService, error) {
	node := c.nodes[cmp.Or(in.Node, c.agent)]
	if node == nil {
		return nil, fmt.Errorf("node %q is not among the nodes", in.Node)
	}
	if in.Port < 0 || in.Port > 65535 {
		return nil, fmt.Errorf("port %d is not between 0 and 65535", in.Port)
	}
	s := &HealthService{
		Node:                   node.Node,
		NodeID:                 node.ID,
		NodeAddress:            node.Address,
		NodeTaggedAddresses:    node.TaggedAddresses,
		NodeMeta:               node.Meta,
		ServiceMeta:            in.Meta,
		Address:                cmp.Or(in.Address, node.Address),
		ServiceTaggedAddresses: in.TaggedAddresses,
		ID:                     cmp.Or(in.ID, fmt.Sprintf("%s-%d", name, i+1)),
		Name:                   name,
		Tags:                   SortedTags(in.Tags),
		Port:                   in.Port,
		Weights:                ServiceWeights{Passing: 1, Warning: 1},
	}
	if in.Weights != nil {
		s.Weights = *in.Weights
	}
	check := &HealthCheck{
		Node: s.Node, CheckID: "service:" + s.ID, Name: "Service '" + name + "' check",
		Status: cmp.Or(in.Status, StatusPassing), ServiceID: s.ID, ServiceName: name, ServiceTags: append([]string{}, in.Tags...),
	}
	switch check.Status {
	case StatusPassing, StatusWarning, StatusCritical:
	case StatusMaintenance:
		check.CheckID, check.Name, check.Status = ServiceMaintenance+s.ID, "Service Maintenance Mode", StatusCritical
	default:
		return nil, fmt.Errorf("status %q is not one of passing, warning, critical, maintenance", in.Status)
	}
	s.Checks = HealthChecks{check}
	s.Status = s.Checks.AggregatedStatus()
	return s, nil
}

// checkIDs finds instances that Consul would take for one. It does not regard the case of an ID.
func (c *fixtureCatalog) checkIDs() error {
	taken := make(map[[2]string]string)
	for _, name := range slices.Sorted(maps.Keys(c.services)) {
		for _, s := range c.services[name] {
			key := [2]string{s.Node, strings.ToLower(s.ID)}
			if other, ok := taken[key]; ok {
				return fmt.Errorf("services.%s: the id %q belongs to an instance of %[4]s on node %[3]q", name, s.ID, s.Node, other)
			}
			taken[key] = name
		}
	}
	return nil
}

func (d *fixtureData) answer(q Query) (any, error) {
	opts := q.Options()
	if q.Kind == KindDatacenters {
		return slices.Sorted(maps.Keys(d.contents)), nil
	}
	dc := cmp.Or(opts.Get(OptDatacenter), d.datacenter)
	c := d.contents[dc]
	if c == nil {
		return nil, hint.Withf(fmt.Errorf("no path to datacenter %q", Shorten(dc)), "the datacenters of the fixture are %s", strings.Join(slices.Sorted(maps.Keys(d.contents)), ", "))
	}
	if opts.Has(OptFilter) {
		return nil, hint.With(errors.New("a fixture cannot evaluate a filter"), "select by tag, status or meta")
	}
	switch q.Kind {
	case KindService:
		return instances(named(c.services, q.Name), opts), nil
	case KindConnect:
		return instances(named(c.connect, q.Name), opts), nil
	case KindServices:
		return c.list(), nil
	case KindNode:
		if node := c.node(cmp.Or(q.Name, c.agent)); node != nil {
			return node, nil
		}
		return nil, nil
	case KindNodes:
		nodes := slices.Collect(maps.Values(c.nodes))
		SortNodes(nodes)
		return nodes, nil
	case KindKV:
		i, found := slices.BinarySearchFunc(c.keys, q.Name, comparePath)
		if !found {
			return nil, nil
		}
		return c.keys[i].Value, nil
	case KindPrefix:
		pairs := []*KeyPair{}
		first, _ := slices.BinarySearchFunc(c.keys, q.Name, comparePath)
		for _, k := range c.keys[first:] {
			if !strings.HasPrefix(k.Path, q.Name) {
				break
			}
			pair := NewKeyPair(q.Name, k.Path, k.Value)
			pairs = append(pairs, &pair)
		}
		return pairs, nil
	case KindPartitions:
		return []*Partition{}, nil
	case KindPeerings:
		return []*Peering{}, nil
	case KindExportedServices:
		return []ExportedService{}, nil
	case KindImportedServices:
		return []ImportedService{}, nil
	case KindCARoots:
		return []*CARoot{}, nil
	case KindCALeaf:
		return nil, nil
	}
	return nil, UnknownKind(q)
}

func comparePath(k *KeyPair, path string) int { return cmp.Compare(k.Path, path) }

// instances returns those of a list that a query's options select.
func instances(all []*HealthService, opts url.Values) []*HealthService {
	return KeepInstances(append([]*HealthService{}, all...), opts)
}

func (c *fixtureCatalog) list() []*CatalogSnippet {
	list := []*CatalogSnippet{}
	for _, name := range slices.Sorted(maps.Keys(c.services)) {
		if len(c.services[name]) == 0 {
			continue
		}
		var tags []string
		for _, s := range c.services[name] {
			tags = append(tags, s.Tags...)
		}
		list = append(list, &CatalogSnippet{Name: name, Tags: slices.Compact(SortedTags(tags))})
	}
	return list
}

func (c *fixtureCatalog) node(name string) *CatalogNode {
	node := named(c.nodes, name)
	if node == nil {
		return nil
	}
	return &CatalogNode{Node: node, Services: append([]*CatalogNodeService{}, c.onNode[node.Node]...)}
}

// named returns the entry of a name. Like Consul it does not regard case.
func named[V any](m map[string]V, name string) (v V) {
	if v, ok := m[name]; ok {
		return v
	}
	for _, other := range slices.Sorted(maps.Keys(m)) {
		if strings.EqualFold(other, name) {
			return m[other]
		}
	}
	return v
}
