package consul

import (
	"cmp"
	"context"
	"slices"

	"github.com/hashicorp/consul/api"
	"github.com/segmentio/encoding/json"

	"render/watch"
	"render/watch/agent"
)

func peerings(ctx context.Context, s *Source, _ watch.Query, r agent.Request) (any, agent.Reply, error) {
	var found []api.Peering
	r.Path = "/v1/peerings"
	got, err := s.agent.Get(ctx, r, &found)
	if err != nil {
		return nil, got, err
	}
	list := make([]*watch.Peering, len(found))
	for i, p := range found {
		list[i] = &watch.Peering{
			ID:                  p.ID,
			Name:                p.Name,
			Partition:           p.Partition,
			Meta:                p.Meta,
			PeeringState:        string(p.State),
			PeerID:              p.PeerID,
			PeerServerName:      p.PeerServerName,
			PeerServerAddresses: p.PeerServerAddresses,
			StreamStatus:        watch.PeeringStreamStatus(p.StreamStatus),
			Remote:              watch.PeeringRemote{Partition: p.Remote.Partition, Datacenter: p.Remote.Datacenter},
		}
	}
	slices.SortStableFunc(list, func(a, b *watch.Peering) int {
		return cmp.Or(cmp.Compare(a.PeeringState, b.PeeringState), cmp.Compare(a.Partition, b.Partition), cmp.Compare(a.Name, b.Name))
	})
	return list, got, nil
}

func exportedServices(ctx context.Context, s *Source, _ watch.Query, r agent.Request) (any, agent.Reply, error) {
	var services []api.ResolvedExportedService
	r.Path = "/v1/exported-services"
	got, err := s.agent.Get(ctx, r, &services)
	if err != nil {
		return nil, got, err
	}
	list := make([]watch.ExportedService, len(services))
	for i, s := range services {
		list[i] = watch.ExportedService{Service: s.Service, Consumers: watch.ServiceConsumers{
			Peers:      append([]string{}, s.Consumers.Peers...),
			Partitions: append([]string{}, s.Consumers.Partitions...),
		}}
	}
	slices.SortStableFunc(list, func(a, b watch.ExportedService) int { return cmp.Compare(a.Service, b.Service) })
	return list, got, nil
}

// importedAnswer is how Consul gives them: in a list, or with the partition that was requested around it.
type importedAnswer struct{ list []watch.ImportedService }

func (s *importedAnswer) UnmarshalJSON(text []byte) error {
	s.list = []watch.ImportedService{}
	if len(text) > 0 && text[0] == '[' {
		return json.Unmarshal(text, &s.list)
	}
	return json.Unmarshal(text, &struct{ ImportedServices *[]watch.ImportedService }{&s.list})
}

func importedServices(ctx context.Context, s *Source, _ watch.Query, r agent.Request) (any, agent.Reply, error) {
	var services importedAnswer
	r.Path = "/v1/imported-services"
	got, err := s.agent.Get(ctx, r, &services)
	if err != nil {
		return nil, got, err
	}
	slices.SortStableFunc(services.list, func(a, b watch.ImportedService) int { return cmp.Compare(a.Service, b.Service) })
	return services.list, got, nil
}

func caRoots(ctx context.Context, s *Source, _ watch.Query, r agent.Request) (any, agent.Reply, error) {
	var answer struct{ Roots []watch.CARoot }
	r.Path = "/v1/agent/connect/ca/roots"
	got, err := s.agent.Get(ctx, r, &answer)
	if err != nil {
		return nil, got, err
	}
	roots := make([]*watch.CARoot, len(answer.Roots))
	for i := range answer.Roots {
		roots[i] = &answer.Roots[i]
	}
	return roots, got, nil
}

func caLeaf(ctx context.Context, s *Source, q watch.Query, r agent.Request) (any, agent.Reply, error) {
	var leaf watch.LeafCert
	r.Path = "/v1/agent/connect/ca/leaf/" + agent.Segment(q.Name)
	got, err := s.agent.Get(ctx, r, &leaf)
	if err != nil || !got.Found {
		return nil, got, err
	}
	return &leaf, got, nil
}
