package consul

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"hash/crc32"
	"net/url"
	"slices"
	"strings"

	"render/watch"
)

// A kind says how queries of a kind are answered.
type kind struct {
	permission string // what a token must be allowed for all of an answer
	answer     func(ctx context.Context, s *Source, q watch.Query, r request) (any, reply, error)
}

// kinds has all kinds that Consul answers. The answer to a query is made of the request that it is given, with the parameters of
// the query's options and the consistency that is wanted; it adds the path, and parameters of its own.
var kinds = map[string]kind{
	watch.KindService:          {"service:read and node:read", instancesAt("/v1/health/service/")},
	watch.KindConnect:          {"service:read and node:read", instancesAt("/v1/health/connect/")},
	watch.KindServices:         {"service:read", services},
	watch.KindNode:             {"service:read and node:read", node},
	watch.KindNodes:            {"node:read", nodes},
	watch.KindDatacenters:      {"service:read", datacenters},
	watch.KindKV:               {keyPermission, key},
	watch.KindPrefix:           {keyPermission, prefix},
	watch.KindPartitions:       {"service:read", partitions},
	watch.KindPeerings:         {"peering:read", peerings},
	watch.KindExportedServices: {"service:read", exportedServices},
	watch.KindImportedServices: {"service:read", importedServices},
	watch.KindCARoots:          {"service:read", caRoots},
	watch.KindCALeaf:           {"service:read", caLeaf},
}

const keyPermission = `key:read, and key:list where "acl.enable_key_list_policy" is set`

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
	Checks watch.HealthChecks
}

// instancesAt returns the answer of the kinds that list instances of a service.
func instancesAt(path string) func(context.Context, *Source, watch.Query, request) (any, reply, error) {
	return func(ctx context.Context, s *Source, q watch.Query, r request) (any, reply, error) {
		opts := q.Options()
		if !opts.Has(watch.OptStatus) {
			r.params.Set("passing", "1")
		}
		if tags := opts[watch.OptTag]; len(tags) > 0 {
			r.params["tag"] = tags
		}
		r.path = path + segment(q.Name)
		var entries []healthEntry
		got, err := s.agent.get(ctx, r, &entries)
		if err != nil {
			return nil, got, err
		}

		list := make([]*watch.HealthService, len(entries))
		for i := range entries {
			list[i] = newHealthService(&entries[i])
		}
		list = watch.KeepInstances(list, opts) // tags, too: Consul takes no notice of them for the mesh
		if !opts.Has(watch.OptNear) {
			watch.SortInstances(list)
		}
		return list, got, nil
	}
}

func newHealthService(e *healthEntry) *watch.HealthService {
	e.Checks = slices.DeleteFunc(e.Checks, func(c *watch.HealthCheck) bool { return c == nil })
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

func services(ctx context.Context, s *Source, _ watch.Query, r request) (any, reply, error) {
	r.path = servicesPath
	var tags map[string][]string
	got, err := s.agent.get(ctx, r, &tags)
	if err != nil {
		return nil, got, err
	}
	list := make([]*watch.CatalogSnippet, 0, len(tags))
	for name, t := range tags {
		list = append(list, &watch.CatalogSnippet{Name: name, Tags: watch.SortedTags(t)})
	}
	slices.SortFunc(list, func(a, b *watch.CatalogSnippet) int { return cmp.Compare(a.Name, b.Name) })
	return list, got, nil
}

func node(ctx context.Context, s *Source, q watch.Query, r request) (any, reply, error) {
	name := q.Name
	if name == "" {
		var err error
		if name, err = s.agentNode(ctx); err != nil {
			return nil, reply{}, err
		}
	}
	r.path = "/v1/catalog/node/" + segment(name)
	var answer *struct {
		Node     *watch.Node
		Services map[string]watch.CatalogNodeService
	}
	got, err := s.agent.get(ctx, r, &answer)
	if err != nil || answer == nil || answer.Node == nil {
		return nil, got, err
	}

	node := &watch.CatalogNode{Node: answer.Node, Services: make([]*watch.CatalogNodeService, 0, len(answer.Services))}
	for _, service := range answer.Services {
		service.Tags = watch.SortedTags(service.Tags)
		node.Services = append(node.Services, &service)
	}
	watch.SortNodeServices(node.Services)
	return node, got, nil
}

func nodes(ctx context.Context, s *Source, q watch.Query, r request) (any, reply, error) {
	r.path = nodesPath
	var found []watch.Node
	got, err := s.agent.get(ctx, r, &found)
	if err != nil {
		return nil, got, err
	}
	list := make([]*watch.Node, len(found))
	for i := range found {
		list[i] = &found[i]
	}
	if !q.Options().Has(watch.OptNear) {
		watch.SortNodes(list)
	}
	return list, got, nil
}

// agentNode returns the name of the node that the agent runs on.
func (s *Source) agentNode(ctx context.Context) (string, error) {
	self, err := s.agent.self(ctx)
	return self.Config.NodeName, err
}

func datacenters(ctx context.Context, s *Source, q watch.Query, r request) (any, reply, error) {
	names := []string{}
	got, err := s.agent.get(ctx, request{path: "/v1/catalog/datacenters", withoutIndex: true, read: r.read}, &names)
	if err != nil {
		return nil, got, err
	}
	if q.Options().Get(watch.OptReachable) != "" {
		names = slices.DeleteFunc(names, func(dc string) bool {
			_, err := s.agent.get(ctx, request{path: servicesPath, params: url.Values{"dc": {dc}}, read: consistent}, new(map[string][]string))
			return err != nil
		})
	}
	slices.Sort(names)
	return indexed(names)
}

func partitions(ctx context.Context, s *Source, _ watch.Query, r request) (any, reply, error) {
	var found []watch.Partition
	got, err := s.agent.get(ctx, request{path: "/v1/partitions", withoutIndex: true, read: r.read}, &found)
	if errors.Is(err, errNoIndex) {
		err = errors.New("answered 404: only Consul Enterprise has partitions")
	}
	if err != nil {
		return nil, got, err
	}
	list := make([]*watch.Partition, len(found))
	for i := range found {
		list[i] = &found[i]
	}
	slices.SortStableFunc(list, func(a, b *watch.Partition) int { return cmp.Compare(a.Name, b.Name) })
	return indexed(list)
}

// indexed gives an answer that came without an index one that is made from it, so that it differs whenever that does.
func indexed(answer any) (any, reply, error) {
	text, err := json.Marshal(answer)
	return answer, reply{index: 1 + uint64(crc32.ChecksumIEEE(text)), found: true}, err
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

func key(ctx context.Context, s *Source, q watch.Query, r request) (any, reply, error) {
	r.path = keyPath(q.Name)
	var pairs []pair
	got, err := s.agent.get(ctx, r, &pairs)
	if err != nil || !got.found || len(pairs) == 0 {
		return nil, got, err
	}
	return string(pairs[0].Value), got, nil
}

func prefix(ctx context.Context, s *Source, q watch.Query, r request) (any, reply, error) {
	pairs, got, err := s.pairs(ctx, q.Name, r)
	if err != nil {
		return nil, got, err
	}
	return keyPairs(q.Name, pairs), got, nil
}

// pairs returns all keys that begin with a prefix, in order.
func (s *Source) pairs(ctx context.Context, prefix string, r request) ([]pair, reply, error) {
	r.path = keyPath(prefix)
	r.params.Set("recurse", "")
	var pairs []pair
	got, err := s.agent.get(ctx, r, &pairs)
	return pairs, got, err
}

// keyPairs returns the value of a query for a prefix, of pairs that all begin with it.
func keyPairs(prefix string, pairs []pair) []*watch.KeyPair {
	keys := make([]watch.KeyPair, len(pairs)) // at once: there can be very many
	list := make([]*watch.KeyPair, len(pairs))
	for i := range pairs {
		p := &pairs[i]
		keys[i] = watch.NewKeyPair(prefix, p.Key, string(p.Value))
		list[i] = &keys[i]
		list[i].CreateIndex, list[i].ModifyIndex, list[i].LockIndex = p.CreateIndex, p.ModifyIndex, p.LockIndex
		list[i].Flags, list[i].Session = p.Flags, p.Session
	}
	return list
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
