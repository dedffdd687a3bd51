package watch

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/hashicorp/consul/api"
	"github.com/segmentio/encoding/json"
)

const (
	pollEvery       = 15 * time.Second // between requests to endpoints that cannot wait for a change
	idleConnections = 256              // kept open between one request and the next of the queries that share them
)

// ConsulConfig says where Consul is. What is empty is taken from the environment as Consul's own tools do
// (CONSUL_HTTP_ADDR, CONSUL_HTTP_TOKEN, CONSUL_HTTP_TOKEN_FILE, CONSUL_HTTP_SSL, CONSUL_CACERT …), with
// localhost:8500 as the default address.
type ConsulConfig struct {
	Address   string // host:port, http://host:port, https://host:port or unix:///path
	Token     string
	TokenFile string // its contents win over Token where they are not empty; read once
}

// Consul is a Source of all kinds but files. Reads are stale: any server may answer.
type Consul struct {
	client  *api.Client
	config  *api.Config // as the client has completed it
	address string      // for people
	buffers chan *bytes.Buffer
}

// NewConsul returns a source that asks Consul's HTTP API. It does not connect yet; an error means that an address, a
// token file or a TLS setting cannot be used.
func NewConsul(cfg ConsulConfig) (*Consul, error) {
	c := api.DefaultConfig()
	c.Address = cmp.Or(cfg.Address, c.Address)
	if cfg.Token != "" {
		c.Token, c.TokenFile = cfg.Token, ""
	}
	c.TokenFile = cmp.Or(cfg.TokenFile, c.TokenFile)
	c.Transport.MaxIdleConns = 0
	c.Transport.MaxIdleConnsPerHost = idleConnections
	c.Transport.DisableCompression = isLocal(c.Address)
	address := withoutPassword(c.Address)
	client, err := api.NewClient(c)
	if err != nil {
		return nil, fmt.Errorf("set up the connection to consul at %s: %w", address, err)
	}
	return &Consul{client: client, config: c, address: address, buffers: make(chan *bytes.Buffer, buffersKept)}, nil
}

// Close closes the connections that no request uses. Fetch must not be called any more.
func (c *Consul) Close() { c.config.HttpClient.CloseIdleConnections() }

// Fetch implements Source.
func (c *Consul) Fetch(ctx context.Context, q Query, after uint64) (any, uint64, error) {
	value, index, err := c.ask(ctx, q, after)
	if err != nil {
		return nil, 0, fmt.Errorf("consul at %s: %w", c.address, err)
	}
	return value, index, nil
}

func (c *Consul) ask(ctx context.Context, q Query, after uint64) (any, uint64, error) {
	opts := q.Options()
	params := c.params(opts, after)
	switch q.Kind {
	case KindService:
		return c.instances(ctx, "/v1/health/service/", q.Name, opts, params)
	case KindConnect:
		return c.instances(ctx, "/v1/health/connect/", q.Name, opts, params)
	case KindServices:
		return c.services(ctx, params)
	case KindNode:
		return c.node(ctx, q.Name, params)
	case KindNodes:
		return c.nodes(ctx, params)
	case KindDatacenters:
		return c.datacenters(ctx, opts.Get(OptReachable) != "", after)
	case KindKV:
		return c.key(ctx, q.Name, params)
	case KindPrefix:
		return c.prefix(ctx, q.Name, params)
	case KindPartitions:
		return c.partitions(ctx, after)
	case KindPeerings:
		return c.peerings(ctx, params)
	case KindExportedServices:
		return c.exportedServices(ctx, params)
	case KindImportedServices:
		return c.importedServices(ctx, params)
	case KindCARoots:
		return c.caRoots(ctx, params)
	case KindCALeaf:
		return c.caLeaf(ctx, q.Name, params)
	}
	return nil, 0, errUnknownKind(q)
}

// healthEntry is what of Consul's answer templates can see.
type healthEntry struct {
	Node    Node
	Service struct {
		ID, Service, Address string
		Tags                 []string
		Meta                 map[string]string
		Port                 int
		TaggedAddresses      map[string]ServiceAddress
		Weights              ServiceWeights
	}
	Checks api.HealthChecks
}

func (c *Consul) instances(ctx context.Context, endpoint, name string, opts, params url.Values) (any, uint64, error) {
	if !opts.Has(OptStatus) {
		params.Set("passing", "1")
	}
	if tags := opts[OptTag]; len(tags) > 0 {
		params["tag"] = tags
	}
	var entries []*healthEntry
	index, _, err := c.get(ctx, endpoint+segment(name), params, &entries)
	if err != nil {
		return nil, 0, err
	}
	list := make([]*HealthService, len(entries))
	for i, e := range entries {
		list[i] = newHealthService(e)
	}
	list = keepInstances(list, opts) // tags, too: Consul takes no notice of them for the mesh
	if !opts.Has(OptNear) {
		sortInstances(list)
	}
	return list, index, nil
}

func newHealthService(e *healthEntry) *HealthService {
	return &HealthService{
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
		Tags:                   sortedTags(e.Service.Tags),
		Checks:                 e.Checks,
		Status:                 e.Checks.AggregatedStatus(),
		Port:                   e.Service.Port,
		Weights:                e.Service.Weights,
	}
}

func (c *Consul) services(ctx context.Context, params url.Values) (any, uint64, error) {
	var tags map[string][]string
	index, _, err := c.get(ctx, "/v1/catalog/services", params, &tags)
	if err != nil {
		return nil, 0, err
	}
	list := make([]*CatalogSnippet, 0, len(tags))
	for name, t := range tags {
		list = append(list, &CatalogSnippet{Name: name, Tags: sortedTags(t)})
	}
	slices.SortFunc(list, func(a, b *CatalogSnippet) int { return cmp.Compare(a.Name, b.Name) })
	return list, index, nil
}

func (c *Consul) node(ctx context.Context, name string, params url.Values) (any, uint64, error) {
	if name == "" {
		own, err := c.client.Agent().NodeName() // the client library keeps the answer
		if err != nil {
			return nil, 0, err
		}
		name = own
	}
	var answer *struct {
		Node     *Node
		Services map[string]*CatalogNodeService
	}
	index, _, err := c.get(ctx, "/v1/catalog/node/"+segment(name), params, &answer)
	if err != nil || answer == nil {
		return nil, index, err
	}
	node := &CatalogNode{Node: answer.Node, Services: make([]*CatalogNodeService, 0, len(answer.Services))}
	for _, s := range answer.Services {
		s.Tags = sortedTags(s.Tags)
		node.Services = append(node.Services, s)
	}
	sortNodeServices(node.Services)
	return node, index, nil
}

func (c *Consul) nodes(ctx context.Context, params url.Values) (any, uint64, error) {
	list := []*Node{}
	index, _, err := c.get(ctx, "/v1/catalog/nodes", params, &list)
	if err != nil {
		return nil, 0, err
	}
	if !params.Has(OptNear) {
		sortNodes(list)
	}
	return list, index, nil
}

func (c *Consul) datacenters(ctx context.Context, reachable bool, after uint64) (any, uint64, error) {
	names := []string{}
	return poll(ctx, after, &names, func() error {
		if _, _, err := c.get(ctx, "/v1/catalog/datacenters", nil, &names); err != nil {
			return err
		}
		if reachable {
			names = slices.DeleteFunc(names, func(dc string) bool {
				_, _, err := c.get(ctx, "/v1/catalog/services", url.Values{"dc": {dc}, "consistent": {""}}, new(map[string][]string))
				return err != nil
			})
		}
		slices.Sort(names)
		return nil
	})
}

func (c *Consul) partitions(ctx context.Context, after uint64) (any, uint64, error) {
	list := []*Partition{}
	return poll(ctx, after, &list, func() error {
		_, _, err := c.get(ctx, "/v1/partitions", nil, &list)
		if errors.Is(err, errNoIndex) {
			return errors.New("answered 404: only Consul Enterprise has partitions")
		}
		slices.SortStableFunc(list, func(a, b *Partition) int { return cmp.Compare(a.Name, b.Name) })
		return err
	})
}

// poll asks an endpoint that cannot wait for a change: at intervals. The index is made from the answer, so that it differs
// whenever that does.
func poll[T any](ctx context.Context, after uint64, answer *T, ask func() error) (any, uint64, error) {
	if after != 0 && !sleep(ctx, pollEvery) {
		return nil, 0, ctx.Err()
	}
	if err := ask(); err != nil {
		return nil, 0, err
	}
	text, err := json.Marshal(*answer)
	return *answer, 1 + uint64(crc32.ChecksumIEEE(text)), err
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

func (c *Consul) key(ctx context.Context, path string, params url.Values) (any, uint64, error) {
	var pairs []pair
	index, found, err := c.get(ctx, keyPath(path), params, &pairs)
	if err != nil || !found || len(pairs) == 0 {
		return nil, index, err
	}
	return string(pairs[0].Value), index, nil
}

func (c *Consul) prefix(ctx context.Context, prefix string, params url.Values) (any, uint64, error) {
	params.Set("recurse", "")
	var pairs []pair
	index, _, err := c.get(ctx, keyPath(prefix), params, &pairs)
	if err != nil {
		return nil, 0, err
	}
	keys := make([]KeyPair, len(pairs)) // at once: there can be very many
	list := make([]*KeyPair, len(pairs))
	for i := range pairs {
		p := &pairs[i]
		keys[i] = newKeyPair(prefix, p.Key, string(p.Value))
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
