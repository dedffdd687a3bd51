package watch

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"hash/crc32"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/hashicorp/consul/api"
)

const (
	datacentersEvery = 15 * time.Second // Consul cannot wait for a change of its list of datacenters
	idleConnections  = 256              // kept open between one request and the next of the queries that share them
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

// Address returns where Consul is asked.
func (c *Consul) Address() string { return c.address }

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
		return c.service(ctx, q.Name, opts, params)
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

func (c *Consul) service(ctx context.Context, name string, opts, params url.Values) (any, uint64, error) {
	statuses := opts[OptStatus]
	if len(statuses) == 0 {
		params.Set("passing", "1")
	}
	if tags := opts[OptTag]; len(tags) > 0 {
		params["tag"] = tags
	}
	var entries []*healthEntry
	index, _, err := c.get(ctx, "/v1/health/service/"+url.PathEscape(name), params, &entries)
	if err != nil {
		return nil, 0, err
	}
	list := make([]*HealthService, len(entries))
	for i, e := range entries {
		list[i] = newHealthService(e)
	}
	list = keepStatus(list, statuses)
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
	index, _, err := c.get(ctx, "/v1/catalog/node/"+url.PathEscape(name), params, &answer)
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

// datacenters asks at intervals: this is the one endpoint that cannot wait for a change. Its index is made from the
// names, so that it differs whenever they do.
func (c *Consul) datacenters(ctx context.Context, reachable bool, after uint64) (any, uint64, error) {
	if after != 0 && !sleep(ctx, datacentersEvery) {
		return nil, 0, ctx.Err()
	}
	names := []string{}
	if _, _, err := c.get(ctx, "/v1/catalog/datacenters", nil, &names); err != nil {
		return nil, 0, err
	}
	if reachable {
		names = slices.DeleteFunc(names, func(dc string) bool {
			_, _, err := c.get(ctx, "/v1/catalog/services", url.Values{"dc": {dc}, "consistent": {""}}, new(map[string][]string))
			return err != nil
		})
	}
	slices.Sort(names)
	return names, 1 + uint64(crc32.ChecksumIEEE([]byte(strings.Join(names, "\n")))), nil
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

// keyPath returns the path of a key: everything but its slashes escaped.
func keyPath(key string) string { return "/v1/kv/" + (&url.URL{Path: key}).EscapedPath() }
