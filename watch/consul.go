package watch

import (
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
	config  *api.Config
	address string
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
	address := withoutPassword(c.Address)
	client, err := api.NewClient(c)
	if err != nil {
		return nil, fmt.Errorf("set up the connection to consul at %s: %w", address, err)
	}
	return &Consul{client: client, config: c, address: address}, nil
}

// Address returns where Consul is asked.
func (c *Consul) Address() string { return c.address }

// Close closes the connections that no request uses. Fetch must not be called any more.
func (c *Consul) Close() { c.config.HttpClient.CloseIdleConnections() }

// Fetch implements Source.
func (c *Consul) Fetch(ctx context.Context, q Query, after uint64) (any, uint64, error) {
	value, index, err := c.ask(ctx, q, after)
	if err != nil {
		return nil, 0, fmt.Errorf("consul at %s: %w", c.address, withoutURL(err))
	}
	return value, index, nil
}

func (c *Consul) ask(ctx context.Context, q Query, after uint64) (any, uint64, error) {
	opts := q.Options()
	ask := (&api.QueryOptions{
		AllowStale:    true,
		Datacenter:    opts.Get(OptDatacenter),
		Near:          opts.Get(OptNear),
		Namespace:     opts.Get(OptNamespace),
		Partition:     opts.Get(OptPartition),
		Peer:          opts.Get(OptPeer),
		SamenessGroup: opts.Get(OptSamenessGroup),
	}).WithContext(ctx)
	if after != 0 {
		ask.WaitIndex, ask.WaitTime = after, MaxWait
	}
	switch q.Kind {
	case KindService:
		return c.service(q.Name, opts, ask)
	case KindServices:
		return c.services(ask)
	case KindNode:
		return c.node(q.Name, ask)
	case KindNodes:
		return c.nodes(ask)
	case KindDatacenters:
		return c.datacenters(ctx, opts.Get(OptReachable) != "", after)
	case KindKV:
		return c.key(q.Name, ask)
	case KindPrefix:
		return c.prefix(q.Name, ask)
	}
	return nil, 0, errUnknownKind(q)
}

func (c *Consul) service(name string, opts url.Values, ask *api.QueryOptions) (any, uint64, error) {
	statuses := opts[OptStatus]
	passingOnly := len(statuses) == 0
	entries, meta, err := c.client.Health().ServiceMultipleTags(name, opts[OptTag], passingOnly, ask)
	if err != nil {
		return nil, 0, err
	}
	list := make([]*HealthService, len(entries))
	for i, e := range entries {
		list[i] = newHealthService(e)
	}
	list = keepStatus(list, statuses)
	if ask.Near == "" {
		sortInstances(list)
	}
	return list, meta.LastIndex, nil
}

func newHealthService(e *api.ServiceEntry) *HealthService {
	s := &HealthService{
		Node:                e.Node.Node,
		NodeID:              e.Node.ID,
		NodeAddress:         e.Node.Address,
		NodeTaggedAddresses: e.Node.TaggedAddresses,
		NodeMeta:            e.Node.Meta,
		ServiceMeta:         e.Service.Meta,
		Address:             cmp.Or(e.Service.Address, e.Node.Address),
		ID:                  e.Service.ID,
		Name:                e.Service.Service,
		Tags:                sortedTags(e.Service.Tags),
		Checks:              e.Checks,
		Status:              e.Checks.AggregatedStatus(),
		Port:                e.Service.Port,
		Weights:             ServiceWeights(e.Service.Weights),
	}
	if len(e.Service.TaggedAddresses) > 0 {
		s.ServiceTaggedAddresses = make(map[string]ServiceAddress, len(e.Service.TaggedAddresses))
	}
	for name, a := range e.Service.TaggedAddresses {
		s.ServiceTaggedAddresses[name] = ServiceAddress(a)
	}
	return s
}

func (c *Consul) services(ask *api.QueryOptions) (any, uint64, error) {
	tags, meta, err := c.client.Catalog().Services(ask)
	if err != nil {
		return nil, 0, err
	}
	list := make([]*CatalogSnippet, 0, len(tags))
	for name, t := range tags {
		list = append(list, &CatalogSnippet{Name: name, Tags: sortedTags(t)})
	}
	slices.SortFunc(list, func(a, b *CatalogSnippet) int { return cmp.Compare(a.Name, b.Name) })
	return list, meta.LastIndex, nil
}

func (c *Consul) node(name string, ask *api.QueryOptions) (any, uint64, error) {
	if name == "" {
		own, err := c.client.Agent().NodeName() // the client library keeps the answer
		if err != nil {
			return nil, 0, err
		}
		name = own
	}
	answer, meta, err := c.client.Catalog().Node(name, ask)
	if err != nil {
		return nil, 0, err
	}
	if answer == nil {
		return nil, meta.LastIndex, nil
	}
	node := &CatalogNode{Node: newNode(answer.Node), Services: make([]*CatalogNodeService, 0, len(answer.Services))}
	for _, s := range answer.Services {
		node.Services = append(node.Services, &CatalogNodeService{
			ID:                s.ID,
			Service:           s.Service,
			Tags:              sortedTags(s.Tags),
			Meta:              s.Meta,
			Port:              s.Port,
			Address:           s.Address,
			EnableTagOverride: s.EnableTagOverride,
		})
	}
	sortNodeServices(node.Services)
	return node, meta.LastIndex, nil
}

func newNode(n *api.Node) *Node {
	return &Node{
		ID:              n.ID,
		Node:            n.Node,
		Address:         n.Address,
		Datacenter:      n.Datacenter,
		TaggedAddresses: n.TaggedAddresses,
		Meta:            n.Meta,
	}
}

func (c *Consul) nodes(ask *api.QueryOptions) (any, uint64, error) {
	answer, meta, err := c.client.Catalog().Nodes(ask)
	if err != nil {
		return nil, 0, err
	}
	list := make([]*Node, len(answer))
	for i, n := range answer {
		list[i] = newNode(n)
	}
	if ask.Near == "" {
		sortNodes(list)
	}
	return list, meta.LastIndex, nil
}

// datacenters asks at intervals: this is the one endpoint that cannot wait for a change. Its index is made from the
// names, so that it differs whenever they do.
func (c *Consul) datacenters(ctx context.Context, reachable bool, after uint64) (any, uint64, error) {
	if after != 0 && !sleep(ctx, datacentersEvery) {
		return nil, 0, ctx.Err()
	}
	names, err := c.client.Catalog().Datacenters()
	if err != nil {
		return nil, 0, err
	}
	if reachable {
		names = slices.DeleteFunc(names, func(dc string) bool {
			ask := &api.QueryOptions{Datacenter: dc, RequireConsistent: true}
			_, _, err := c.client.Catalog().Services(ask.WithContext(ctx))
			return err != nil
		})
	}
	slices.Sort(names)
	return names, 1 + uint64(crc32.ChecksumIEEE([]byte(strings.Join(names, "\n")))), nil
}

func (c *Consul) key(path string, ask *api.QueryOptions) (any, uint64, error) {
	pair, meta, err := c.client.KV().Get(path, ask)
	if err != nil {
		return nil, 0, err
	}
	if pair == nil {
		return nil, meta.LastIndex, checkAbsence(meta)
	}
	return string(pair.Value), meta.LastIndex, nil
}

func (c *Consul) prefix(prefix string, ask *api.QueryOptions) (any, uint64, error) {
	pairs, meta, err := c.client.KV().List(prefix, ask)
	if err != nil {
		return nil, 0, err
	}
	if pairs == nil {
		if err := checkAbsence(meta); err != nil {
			return nil, 0, err
		}
	}
	list := make([]*KeyPair, len(pairs))
	for i, p := range pairs {
		k := newKeyPair(prefix, p.Key, string(p.Value))
		k.CreateIndex, k.ModifyIndex, k.LockIndex = p.CreateIndex, p.ModifyIndex, p.LockIndex
		k.Flags, k.Session = p.Flags, p.Session
		list[i] = k
	}
	return list, meta.LastIndex, nil
}

// checkAbsence tells Consul's own "404, no such key", which carries an index, from the page of somebody else.
func checkAbsence(meta *api.QueryMeta) error {
	if meta.LastIndex == 0 {
		return errors.New("answered 404 without Consul's index header; is this the address of Consul, and its path prefix right?")
	}
	return nil
}

// withoutPassword returns an address as logs and errors may show it.
func withoutPassword(address string) string {
	if u, err := url.Parse(address); err == nil && u.User != nil {
		return u.Redacted()
	}
	return address
}

// withoutURL takes the request's URL out of a failed request's error: it repeats what the query says already.
func withoutURL(err error) error {
	if failed, ok := errors.AsType[*url.Error](err); ok {
		return failed.Err
	}
	return err
}
