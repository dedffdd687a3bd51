package consul

import (
	"cmp"
	"context"
	"net/url"
	"slices"

	"render/watch"

	"github.com/hashicorp/consul/api"
	"github.com/segmentio/encoding/json"
)

func (c *Source) peerings(ctx context.Context, params url.Values) (any, uint64, error) {
	var peerings []*api.Peering
	index, _, err := c.get(ctx, "/v1/peerings", params, &peerings)
	if err != nil {
		return nil, 0, err
	}
	list := make([]*watch.Peering, len(peerings))
	for i, p := range peerings {
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
	return list, index, nil
}

func (c *Source) exportedServices(ctx context.Context, params url.Values) (any, uint64, error) {
	var services []api.ResolvedExportedService
	index, _, err := c.get(ctx, "/v1/exported-services", params, &services)
	if err != nil {
		return nil, 0, err
	}
	list := make([]watch.ExportedService, len(services))
	for i, s := range services {
		list[i] = watch.ExportedService{Service: s.Service, Consumers: watch.ServiceConsumers{
			Peers:      append([]string{}, s.Consumers.Peers...),
			Partitions: append([]string{}, s.Consumers.Partitions...),
		}}
	}
	slices.SortStableFunc(list, func(a, b watch.ExportedService) int { return cmp.Compare(a.Service, b.Service) })
	return list, index, nil
}

// importedServices is how Consul gives them: in a list, or with the partition that was asked for around it.
type importedServices struct{ list []watch.ImportedService }

func (s *importedServices) UnmarshalJSON(text []byte) error {
	s.list = []watch.ImportedService{}
	if len(text) > 0 && text[0] == '[' {
		return json.Unmarshal(text, &s.list)
	}
	return json.Unmarshal(text, &struct{ ImportedServices *[]watch.ImportedService }{&s.list})
}

func (c *Source) importedServices(ctx context.Context, params url.Values) (any, uint64, error) {
	var services importedServices
	index, _, err := c.get(ctx, "/v1/imported-services", params, &services)
	if err != nil {
		return nil, 0, err
	}
	slices.SortStableFunc(services.list, func(a, b watch.ImportedService) int { return cmp.Compare(a.Service, b.Service) })
	return services.list, index, nil
}

func (c *Source) caRoots(ctx context.Context, params url.Values) (any, uint64, error) {
	var answer struct{ Roots []*watch.CARoot }
	index, _, err := c.get(ctx, "/v1/agent/connect/ca/roots", params, &answer)
	if err != nil {
		return nil, 0, err
	}
	return answer.Roots, index, nil
}

func (c *Source) caLeaf(ctx context.Context, service string, params url.Values) (any, uint64, error) {
	var leaf watch.LeafCert
	index, found, err := c.get(ctx, "/v1/agent/connect/ca/leaf/"+segment(service), params, &leaf)
	if err != nil || !found {
		return nil, index, err
	}
	return &leaf, index, nil
}
