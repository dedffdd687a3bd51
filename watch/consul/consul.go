package consul

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"log/slog"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"render/watch"
	"render/watch/pause"

	"github.com/hashicorp/consul/api"
	"github.com/segmentio/encoding/json"
)

const mostDials = 4 // at a time, over HTTP/2

const outageBackoff = time.Second // the longest pause between attempts during an outage

const pollEvery = 15 * time.Second // between requests to endpoints that cannot wait for a change

// Consul is a Source and a Confirmer of all kinds but files. Reads are stale: any server may answer, up to
// ConsulConfig.MaxStale behind the leader.
type Source struct {
	cfg       Config
	addresses []string
	namespace string
	partition string
	log       *slog.Logger

	pace      *pace
	cuts      cuts
	buffers   chan *bytes.Buffer
	conns     chan struct{} // holds a token for each connection of HTTP/1.1 that is in use
	rereads   chan struct{} // holds a token for each query that is read because of a hint
	introduce chan struct{} // holds a token while a new endpoint is asked for the first time
	dials     chan struct{} // holds a token for each request over HTTP/2 that looks for a connection
	wg        sync.WaitGroup

	mu        sync.Mutex // guards what follows
	current   *endpoint
	at        int // index of the current one's address
	since     *epoch
	answered  map[watch.Query]*epoch // where there are several addresses: when a query was last answered
	creds     *credentials
	fault     string // what is wrong with the credentials' files, as last told
	ownNode   string
	outages   map[string]*outage // by datacenter
	hints     map[scope]*hint
	listeners int // requests of hints
	waiting   int // calls of Fetch that wait for a change
	polls     int // those of them that have a request of their own
	mostPolls int
	grown     time.Time // when mostPolls was last changed
	announced *time.Timer
}

// An epoch is a time in which one address is asked. Indexes of another are void.
type epoch struct {
	context.Context
	end  context.CancelCauseFunc
	used bool // has answered a query
}

func newEpoch() *epoch {
	ctx, end := context.WithCancelCause(context.Background())
	return &epoch{Context: ctx, end: end}
}

// NewConsul returns a source that asks Consul's HTTP API. It does not connect yet; an error means that an address, a
// token file, a TLS setting or a number cannot be used.
func New(cfg Config) (*Source, error) {
	cfg = cfg.withDefaults()
	if err := cfg.validate(); err != nil {
		return nil, fmt.Errorf("consul: %w", err)
	}
	c := &Source{
		cfg:       cfg,
		log:       cfg.Log,
		pace:      newPace(cfg.MaxRequests),
		cuts:      cuts{log: cfg.Log},
		buffers:   make(chan *bytes.Buffer, buffersKept),
		conns:     make(chan struct{}, cfg.MaxConnections),
		rereads:   make(chan struct{}, cfg.MaxConnections/4),
		introduce: make(chan struct{}, 1),
		dials:     make(chan struct{}, mostDials),
		since:     newEpoch(),
		answered:  make(map[watch.Query]*epoch),
		outages:   make(map[string]*outage),
		hints:     make(map[scope]*hint),
		mostPolls: cfg.MaxConnections * 3 / 4,
	}
	for address := range strings.SplitSeq(cfg.Address, ",") {
		c.addresses = append(c.addresses, strings.TrimSpace(address))
	}
	for _, address := range c.addresses[1:] {
		if _, err := cfg.connect(address); err != nil {
			return nil, err
		}
	}
	var err error
	if c.current, err = cfg.connect(c.addresses[0]); err != nil {
		return nil, err
	}
	c.namespace, c.partition = c.current.config.Namespace, c.current.config.Partition
	if c.creds, err = newCredentials(cfg, c.current); err != nil {
		return nil, err
	}
	return c, nil
}

// Close ends what the source does by itself and closes the connections that no request uses. Fetch must not be called any
// more.
func (c *Source) Close() {
	c.mu.Lock()
	for _, h := range c.hints {
		h.stop()
	}
	if c.announced != nil {
		c.announced.Stop()
	}
	c.mu.Unlock()
	c.wg.Wait()
	c.current.config.HttpClient.CloseIdleConnections()
}

// Fetch implements Source.
func (c *Source) Fetch(ctx context.Context, q watch.Query, after uint64) (any, uint64, error) {
	if len(c.addresses) == 1 {
		return c.fetch(ctx, q, after)
	}
	c.mu.Lock()
	since := c.since
	if c.answered[q] != since {
		after = 0
	}
	c.mu.Unlock()
	within, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer context.AfterFunc(since, func() { cancel(watch.ErrIndexVoid) })()
	value, index, err := c.fetch(within, q, after)
	if err != nil && errors.Is(context.Cause(within), watch.ErrIndexVoid) {
		return nil, 0, watch.ErrIndexVoid
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if ctx.Err() != nil {
		delete(c.answered, q)
	} else if err == nil {
		c.answered[q], since.used = since, true
	}
	return value, index, err
}

func (c *Source) fetch(ctx context.Context, q watch.Query, after uint64) (any, uint64, error) {
	if after == 0 {
		return c.ask(ctx, q, c.readParams(q))
	}
	switch q.Kind {
	case watch.KindDatacenters, watch.KindPartitions: // cannot wait
		if !pause.For(ctx, pollEvery) {
			return nil, 0, ctx.Err()
		}
		return c.ask(ctx, q, c.readParams(q))
	}
	return c.wait(ctx, q, after)
}

// Confirm implements Confirmer: the leader answers, after it has made sure that it still leads.
func (c *Source) Confirm(ctx context.Context, q watch.Query) (any, uint64, error) {
	params := c.params(q.Options())
	params.Set("consistent", "")
	return c.ask(ctx, q, params)
}

// readParams returns the parameters of a plain read.
func (c *Source) readParams(q watch.Query) url.Values {
	params := c.params(q.Options())
	if c.cfg.MaxStale > 0 {
		params.Set("stale", "")
	}
	return params
}

// ask makes the request for a query, with its parameters.
func (c *Source) ask(ctx context.Context, q watch.Query, params url.Values) (value any, index uint64, err error) {
	value, index, err = c.answer(ctx, q, params)
	if errors.Is(err, errFiltered) {
		err = deniedError{fmt.Errorf("%w; it needs %s", err, permission(q.Kind))}
	}
	return value, index, err
}

// permission names what a token must be allowed for all of an answer.
func permission(kind string) string {
	switch kind {
	case watch.KindKV, watch.KindPrefix:
		return `key:read, and key:list where "acl.enable_key_list_policy" is set`
	case watch.KindNode, watch.KindService, watch.KindConnect:
		return "service:read and node:read"
	case watch.KindNodes:
		return "node:read"
	case watch.KindPeerings:
		return "peering:read"
	}
	return "service:read"
}

func (c *Source) answer(ctx context.Context, q watch.Query, params url.Values) (any, uint64, error) {
	opts := q.Options()
	switch q.Kind {
	case watch.KindService:
		return c.instances(ctx, "/v1/health/service/", q.Name, opts, params)
	case watch.KindConnect:
		return c.instances(ctx, "/v1/health/connect/", q.Name, opts, params)
	case watch.KindServices:
		return c.services(ctx, params)
	case watch.KindNode:
		return c.node(ctx, q.Name, params)
	case watch.KindNodes:
		return c.nodes(ctx, params)
	case watch.KindDatacenters:
		return c.datacenters(ctx, opts.Get(watch.OptReachable) != "")
	case watch.KindKV:
		return c.key(ctx, q.Name, params)
	case watch.KindPrefix:
		return c.prefix(ctx, q.Name, params)
	case watch.KindPartitions:
		return c.partitions(ctx)
	case watch.KindPeerings:
		return c.peerings(ctx, params)
	case watch.KindExportedServices:
		return c.exportedServices(ctx, params)
	case watch.KindImportedServices:
		return c.importedServices(ctx, params)
	case watch.KindCARoots:
		return c.caRoots(ctx, params)
	case watch.KindCALeaf:
		return c.caLeaf(ctx, q.Name, params)
	}
	return nil, 0, watch.UnknownKind(q)
}

// healthEntry is what of Consul's answer templates can see.
type healthEntry struct {
	Node    watch.Node
	Service struct {
		ID, Service, Address string
		Tags                 []string
		Meta                 map[string]string
		Port                 int
		TaggedAddresses      map[string]watch.ServiceAddress
		Weights              watch.ServiceWeights
	}
	Checks api.HealthChecks
}

func (c *Source) instances(ctx context.Context, endpoint, name string, opts, params url.Values) (any, uint64, error) {
	if !opts.Has(watch.OptStatus) {
		params.Set("passing", "1")
	}
	if tags := opts[watch.OptTag]; len(tags) > 0 {
		params["tag"] = tags
	}
	var entries []*healthEntry
	index, _, err := c.get(ctx, endpoint+segment(name), params, &entries)
	if err != nil {
		return nil, 0, err
	}
	list := make([]*watch.HealthService, len(entries))
	for i, e := range entries {
		list[i] = newHealthService(e)
	}
	list = watch.KeepInstances(list, opts) // tags, too: Consul takes no notice of them for the mesh
	if !opts.Has(watch.OptNear) {
		watch.SortInstances(list)
	}
	return list, index, nil
}

func newHealthService(e *healthEntry) *watch.HealthService {
	return &watch.HealthService{
		Node:                   e.Node.Node,
		NodeID:                 e.Node.ID,
		NodeAddress:            e.Node.Address,
		NodeTaggedAddresses:    e.Node.TaggedAddresses,
		NodeMeta:               e.Node.Meta,
		ServiceMeta:            e.Service.Meta,
		Address:                cmp.Or(e.Service.Address, e.Node.Address),
		ServiceTaggedAddresses: e.Service.TaggedAddresses,
		ID:                     e.Service.ID,
		Name:                   e.Service.Service,
		Tags:                   watch.SortedTags(e.Service.Tags),
		Checks:                 e.Checks,
		Status:                 e.Checks.AggregatedStatus(),
		Port:                   e.Service.Port,
		Weights:                e.Service.Weights,
	}
}

func (c *Source) services(ctx context.Context, params url.Values) (any, uint64, error) {
	var tags map[string][]string
	index, _, err := c.get(ctx, "/v1/catalog/services", params, &tags)
	if err != nil {
		return nil, 0, err
	}
	list := make([]*watch.CatalogSnippet, 0, len(tags))
	for name, t := range tags {
		list = append(list, &watch.CatalogSnippet{Name: name, Tags: watch.SortedTags(t)})
	}
	slices.SortFunc(list, func(a, b *watch.CatalogSnippet) int { return cmp.Compare(a.Name, b.Name) })
	return list, index, nil
}

func (c *Source) node(ctx context.Context, name string, params url.Values) (any, uint64, error) {
	if name == "" {
		var err error
		if name, err = c.agentNode(ctx); err != nil {
			return nil, 0, err
		}
	}
	var answer *struct {
		Node     *watch.Node
		Services map[string]*watch.CatalogNodeService
	}
	index, _, err := c.get(ctx, "/v1/catalog/node/"+segment(name), params, &answer)
	if err != nil || answer == nil {
		return nil, index, err
	}
	node := &watch.CatalogNode{Node: answer.Node, Services: make([]*watch.CatalogNodeService, 0, len(answer.Services))}
	for _, s := range answer.Services {
		s.Tags = watch.SortedTags(s.Tags)
		node.Services = append(node.Services, s)
	}
	watch.SortNodeServices(node.Services)
	return node, index, nil
}

func (c *Source) nodes(ctx context.Context, params url.Values) (any, uint64, error) {
	list := []*watch.Node{}
	index, _, err := c.get(ctx, "/v1/catalog/nodes", params, &list)
	if err != nil {
		return nil, 0, err
	}
	if !params.Has(watch.OptNear) {
		watch.SortNodes(list)
	}
	return list, index, nil
}

// agentNode returns the name of the node that the agent runs on.
func (c *Source) agentNode(ctx context.Context) (string, error) {
	c.mu.Lock()
	name := c.ownNode
	c.mu.Unlock()
	if name != "" {
		return name, nil
	}
	var self struct{ Config struct{ NodeName string } }
	if _, _, err := c.get(ctx, "/v1/agent/self", nil, &self); err != nil {
		return "", err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ownNode = self.Config.NodeName
	return c.ownNode, nil
}

func (c *Source) datacenters(ctx context.Context, reachable bool) (any, uint64, error) {
	names := []string{}
	if _, _, err := c.get(ctx, "/v1/catalog/datacenters", nil, &names); err != nil {
		return nil, 0, err
	}
	if reachable {
		names = slices.DeleteFunc(names, func(dc string) bool {
			_, _, err := c.get(ctx, "/v1/catalog/services", url.Values{"dc": {dc}, "consistent": {""}}, new(map[string][]string))
			return err != nil && !errors.Is(err, errFiltered)
		})
	}
	slices.Sort(names)
	return indexed(names)
}

func (c *Source) partitions(ctx context.Context) (any, uint64, error) {
	list := []*watch.Partition{}
	_, _, err := c.get(ctx, "/v1/partitions", nil, &list)
	if errors.Is(err, errNoIndex) {
		err = errors.New("answered 404: only Consul Enterprise has partitions")
	}
	if err != nil {
		return nil, 0, err
	}
	slices.SortStableFunc(list, func(a, b *watch.Partition) int { return cmp.Compare(a.Name, b.Name) })
	return indexed(list)
}

// indexed gives an answer that came without an index one that is made from it, so that it differs whenever that does.
func indexed(answer any) (any, uint64, error) {
	text, err := json.Marshal(answer)
	return answer, 1 + uint64(crc32.ChecksumIEEE(text)), err
}

// pair is a key as Consul gives it.
type pair struct {
	Key         string
	Value       []byte
	CreateIndex uint64
	ModifyIndex uint64
	LockIndex   uint64
	Flags       uint64
	Session     string
}

func (c *Source) key(ctx context.Context, path string, params url.Values) (any, uint64, error) {
	var pairs []pair
	index, found, err := c.get(ctx, keyPath(path), params, &pairs)
	if err != nil || !found || len(pairs) == 0 {
		return nil, index, err
	}
	return string(pairs[0].Value), index, nil
}

func (c *Source) prefix(ctx context.Context, prefix string, params url.Values) (any, uint64, error) {
	params.Set("recurse", "")
	var pairs []pair
	index, _, err := c.get(ctx, keyPath(prefix), params, &pairs)
	if err != nil {
		return nil, 0, err
	}
	keys := make([]watch.KeyPair, len(pairs)) // at once: there can be very many
	list := make([]*watch.KeyPair, len(pairs))
	for i := range pairs {
		p := &pairs[i]
		keys[i] = watch.NewKeyPair(prefix, p.Key, string(p.Value))
		list[i] = &keys[i]
		list[i].CreateIndex, list[i].ModifyIndex, list[i].LockIndex = p.CreateIndex, p.ModifyIndex, p.LockIndex
		list[i].Flags, list[i].Session = p.Flags, p.Session
	}
	return list, index, nil
}

// segment returns a name as one segment of a path. Unescaped, Consul would take names such as ".." for a way through the
// path.
func segment(name string) string {
	if strings.Trim(name, ".") == "" {
		return strings.ReplaceAll(name, ".", "%2E")
	}
	return url.PathEscape(name)
}

// keyPath returns the path of a key: everything but its slashes escaped, and one at the beginning, which Consul would pass
// over.
func keyPath(key string) string {
	path := (&url.URL{Path: key}).EscapedPath()
	if rest, ok := strings.CutPrefix(path, "/"); ok {
		path = "%2F" + rest
	}
	return "/v1/kv/" + path
}
