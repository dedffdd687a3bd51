package consul

import (
	"bytes"
	"cmp"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode"

	"render/watch"
	"render/watch/agent"
)

// A kind says how queries of a kind are answered.
type kind struct {
	permission string // what a token must be allowed for all of an answer
	answer     func(ctx context.Context, s *Source, q watch.Query, r agent.Request) (any, agent.Reply, error)
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
	watch.KindCALeaf:           {"service:write", caLeaf},
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
func instancesAt(path string) func(context.Context, *Source, watch.Query, agent.Request) (any, agent.Reply, error) {
	return func(ctx context.Context, s *Source, q watch.Query, r agent.Request) (any, agent.Reply, error) {
		opts := q.Options()
		if !opts.Has(watch.OptStatus) {
			r.Params.Set("passing", "1")
		}
		if tags := opts[watch.OptTag]; len(tags) > 0 {
			r.Params["tag"] = tags
		}
		r.Path = path + agent.Segment(q.Name)
		var entries []healthEntry
		got, err := s.agent.Get(ctx, r, &entries)
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

func services(ctx context.Context, s *Source, _ watch.Query, r agent.Request) (any, agent.Reply, error) {
	r.Path = servicesPath
	var tags map[string][]string
	got, err := s.agent.Get(ctx, r, &tags)
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

func node(ctx context.Context, s *Source, q watch.Query, r agent.Request) (any, agent.Reply, error) {
	name := q.Name
	if name == "" {
		var err error
		if name, err = s.agentNode(ctx); err != nil {
			return nil, agent.Reply{}, err
		}
	}
	r.Path = "/v1/catalog/node/" + agent.Segment(name)
	var answer *struct {
		Node     *watch.Node
		Services map[string]watch.CatalogNodeService
	}
	got, err := s.agent.Get(ctx, r, &answer)
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

func nodes(ctx context.Context, s *Source, q watch.Query, r agent.Request) (any, agent.Reply, error) {
	r.Path = nodesPath
	var found []watch.Node
	got, err := s.agent.Get(ctx, r, &found)
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
	self, err := s.self(ctx)
	return self.Config.NodeName, err
}

func datacenters(ctx context.Context, s *Source, q watch.Query, r agent.Request) (any, agent.Reply, error) {
	names := []string{}
	got, err := s.agent.Get(ctx, agent.Request{Path: "/v1/catalog/datacenters", WithoutIndex: true, Read: r.Read}, &names)
	if err != nil {
		return nil, got, err
	}
	if len(names) == 0 { // Consul names its own
		return nil, got, s.agent.Endpoint().NotJSON()
	}
	if q.Options().Get(watch.OptReachable) != "" {
		names = slices.DeleteFunc(names, func(dc string) bool {
			_, err := s.agent.Get(ctx, agent.Request{Path: servicesPath, Params: url.Values{"dc": {dc}}, Read: agent.Consistent}, new(map[string][]string))
			return err != nil
		})
	}
	slices.Sort(names)
	return s.numbers.number(q, names)
}

func partitions(ctx context.Context, s *Source, q watch.Query, r agent.Request) (any, agent.Reply, error) {
	var found []watch.Partition
	got, err := s.agent.Get(ctx, agent.Request{Path: "/v1/partitions", WithoutIndex: true, Read: r.Read}, &found)
	if errors.Is(err, agent.ErrNoIndex) {
		err = fmt.Errorf("consul at %s: answered 404: only Consul Enterprise has partitions", s.agent.Endpoint().Address())
	}
	if err != nil {
		return nil, got, err
	}
	list := make([]*watch.Partition, len(found))
	for i := range found {
		list[i] = &found[i]
	}
	slices.SortStableFunc(list, func(a, b *watch.Partition) int { return cmp.Compare(a.Name, b.Name) })
	return s.numbers.number(q, list)
}

// numbers are the indexes of answers that come without one. The zero value has none.
type numbers struct {
	mu   sync.Mutex
	last map[watch.Query]numbered
}

type numbered struct {
	text  string // of the answer
	index uint64
}

// number returns an answer with an index that is higher than that of each different answer to the query before. It begins with the
// time, so that it is also higher than those of an earlier source.
func (n *numbers) number(q watch.Query, answer any) (any, agent.Reply, error) {
	text, err := json.Marshal(answer)
	if err != nil {
		return nil, agent.Reply{}, err
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	last, known := n.last[q]
	if !known || last.text != string(text) {
		last = numbered{string(text), max(last.index+1, uint64(time.Now().Unix()))}
		if n.last == nil {
			n.last = make(map[watch.Query]numbered)
		}
		n.last[q] = last
	}
	return answer, agent.Reply{Index: last.index, Found: true}, nil
}

// base64Text is a text that has the form of base64 in JSON. Decoding it as []byte would keep every value of an answer twice.
type base64Text string

func (t *base64Text) UnmarshalJSON(text []byte) error {
	if string(text) == "null" {
		return nil
	}
	if len(text) < 2 || text[0] != '"' || bytes.IndexByte(text, '\\') >= 0 { // Consul escapes nothing
		var value []byte
		err := json.Unmarshal(text, &value)
		*t = base64Text(value)
		return err
	}
	text = text[1 : len(text)-1]
	value := make([]byte, base64.StdEncoding.DecodedLen(len(text)))
	n, err := base64.StdEncoding.Decode(value, text)
	*t = base64Text(value[:n])
	return err
}

// pair is a key as Consul sends it.
type pair struct {
	Key         string
	Value       base64Text
	CreateIndex uint64
	ModifyIndex uint64
	LockIndex   uint64
	Flags       uint64
	Session     string
}

func key(ctx context.Context, s *Source, q watch.Query, r agent.Request) (any, agent.Reply, error) {
	r.Path = keyPath(q.Name)
	var pairs []pair
	got, err := s.agent.Get(ctx, r, &pairs)
	if err != nil || len(pairs) == 0 || pairs[0].Key != q.Name { // Consul cleans names such as "a/../b", and answers with the key b
		return nil, got, err
	}
	return string(pairs[0].Value), got, nil
}

func prefix(ctx context.Context, s *Source, q watch.Query, r agent.Request) (any, agent.Reply, error) {
	pairs, got, err := s.pairs(ctx, q.Name, r)
	if err != nil {
		return nil, got, err
	}
	return keyPairs(q.Name, pairs), got, nil
}

// pairs returns all keys that begin with a prefix, in order.
func (s *Source) pairs(ctx context.Context, prefix string, r agent.Request) ([]pair, agent.Reply, error) {
	r.Path = keyPath(prefix)
	r.Params.Set("recurse", "")
	var pairs []pair
	got, err := s.agent.Get(ctx, r, &pairs)
	pairs = slices.DeleteFunc(pairs, func(p pair) bool { return !strings.HasPrefix(p.Key, prefix) }) // Consul cleans a prefix such as "a/../b"
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

// keyPath returns the path of a key.
func keyPath(key string) string { return "/v1/kv/" + agent.Segments(key) }

// checkPrintable returns an error where Consul answers no request for a name: it has a character that is not printable.
func checkPrintable(name string) error {
	for at, c := range name {
		if !unicode.IsPrint(c) {
			return fmt.Errorf("consul rejects a name that is not printable: byte %d of the name is %q", at, c)
		}
	}
	return nil
}
