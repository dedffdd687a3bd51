package consul_test

import (
	"cmp"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/hashicorp/consul/api"
	"go.yaml.in/yaml/v3"

	"render/watch"
	"render/watch/consul"
	"render/watch/consultest"
	"render/watch/sourcetest"
)

// parity is put into a fixture and into a real Consul. Every node and instance has all that Consul would make up.
const parity = `
nodes:
  node-b:
    id: 5c7ba1b4-9a5b-4c7e-8f0e-00000000000b
    address: 10.0.0.2
    tagged_addresses: {lan: 10.0.0.2, wan: 198.51.100.2}
    meta: {rack: r2, zone: eu-1}
  node-a:
    id: 5c7ba1b4-9a5b-4c7e-8f0e-00000000000a
    address: 10.0.0.1
    meta: {rack: r1}
  Node-C:
    address: 10.0.0.3
  node-10: {address: 10.0.0.10}
  node-9: {address: node-9.example}
  idle: {address: 10.0.0.99, meta: {empty: ""}}

services:
  web:
    - {id: web-b, node: node-b, port: 8080, tags: [v2, canary, V1, a.b], meta: {env: prod, empty: ""}}
    - {id: web-a2, node: node-a, port: 8081, address: 10.1.0.1, tags: [v1, "env=prod"], weights: {passing: 10, warning: 5}}
    - {id: web-a10, node: node-a, port: 8082, tags: [Canary, canary, v1], status: warning}
    - {id: web-c, node: Node-C, port: 8083, tags: [v1], status: critical}
    - {id: web-9, node: node-9, port: 8084, tags: [v1, v2], status: maintenance}
    - id: web-10
      node: node-10
      port: 0
      tagged_addresses: {lan: {address: 10.1.0.10, port: 80}, wan: {address: 198.51.100.10, port: 443}}
  api:
    - {id: api, node: node-a, port: 9000, tags: [http]}
    - {id: API-2, node: node-a, port: 9001, tags: [HTTP, http]}
    - {id: api, node: node-b, port: 9000, tags: [grpc], meta: {version: "2"}}
  db-primary:
    - {id: db, node: node-9, port: 5432, status: critical}
  Mixed_Case:
    - {id: mixed, node: node-10, port: 1, tags: [Z, a, M], weights: {passing: 1, warning: 0}}
  weighted:
    - {id: weighted, node: node-10, port: 2, weights: {passing: 3}}

  native:
    - {id: native, node: node-b, port: 3000, tags: [v1], meta: {zone: a}, connect: native}
    - {id: native-2, node: node-a, port: 3001, status: critical, connect: native}
  web-sidecar-proxy:
    - {id: web-b-proxy, node: node-b, port: 20000, tags: [v2, Canary], meta: {zone: a, tier: "1"}, connect: web}
    - {id: web-a-proxy, node: node-a, port: 20001, tags: [v2], meta: {zone: b, tier: "1"}, connect: web}
    - {id: web-9-proxy, node: node-9, port: 20002, status: warning, meta: {zone: a}, connect: web}
  gateway:
    - {id: web-10-proxy, node: node-10, port: 20003, connect: web}

keys:
  app/: folder with a value
  app/port: 8080
  app/Port: upper case
  app/name: shop
  app/empty: ""
  app/a/: ""
  app/a/b: B
  app/a/b/c: C
  app/a0: after the slash
  app/a-: before the slash
  app/with space: S
  app/ключ: значение
  app/plus+and&more=: "+"
  app/lines: |
    one
    two
  apple: fruit
  app: without a slash
  zoo/: ""
`

var parityQueries = []string{
	"service web",
	"service web (dc=dc1)",
	"service web (status=any)",
	"service web (status=passing&status=warning)",
	"service web (status=warning)",
	"service web (status=critical)",
	"service web (status=maintenance)",
	"service web (status=critical&status=maintenance)",
	"service web (status=any&status=critical)",
	"service web (tag=v1)",
	"service web (tag=V1)",
	"service web (tag=v2)",
	"service web (tag=canary)",
	"service web (tag=CANARY)",
	"service web (tag=a.b)",
	"service web (tag=env%3Dprod)",
	"service web (tag=nope)",
	"service web (status=any&tag=v1)",
	"service web (status=any&tag=CANARY)",
	"service web (status=warning&tag=canary)",
	"service web (status=maintenance&tag=v2)",
	"service WEB",
	"service we",
	"service api",
	"service api (tag=http)",
	"service api (tag=grpc)",
	"service db-primary",
	"service db-primary (status=critical)",
	"service Mixed_Case",
	"service mixed_case",
	"service weighted",
	"service web (meta=env%3Dprod)",
	"service web (meta=empty%3D)",
	"service web (meta=none%3D)",
	"service web (meta=env%3DPROD)",
	"service web-sidecar-proxy (meta=tier%3D1&meta=zone%3Da)",
	"service web-sidecar-proxy (meta=tier%3D1&status=any&tag=CANARY&tag=v2)",
	"service web-sidecar-proxy (status=any)",
	"connect web",
	"connect WEB",
	"connect web (dc=dc1)",
	"connect web (status=any)",
	"connect web (status=passing&status=warning)",
	"connect web (tag=canary&tag=v2)",
	"connect web (meta=zone%3Da)",
	"connect native",
	"connect native (status=critical)",
	"connect native (meta=zone%3Da&tag=v1)",
	"connect web-sidecar-proxy",
	"connect none",
	"connect none (status=any)",
	"peerings",
	"exported-services",
	"imported-services",
	"service none",
	"service none (status=any&tag=v1)",
	"services",
	"services (dc=dc1)",
	"nodes",
	"nodes (dc=dc1)",
	"node node-a",
	"node NODE-A",
	"node node-b",
	"node Node-C",
	"node node-9 (dc=dc1)",
	"node node-10",
	"node idle",
	"node none",
	"datacenters",
	"datacenters (reachable=true)",
	"kv app/port",
	"kv app/Port",
	"kv APP/port",
	"kv app/empty",
	"kv app/lines",
	"kv app/with space",
	"kv app/ключ",
	"kv app/plus+and&more=",
	"kv app/",
	"kv app/a/",
	"kv app/a",
	"kv app",
	"kv zoo",
	"kv none",
	"kv app/port (dc=dc1)",
	"prefix",
	"prefix app",
	"prefix app/",
	"prefix app/a",
	"prefix app/a/",
	"prefix app/a/b",
	"prefix app/port",
	"prefix app/with",
	"prefix app/к",
	"prefix APP/",
	"prefix zoo/",
	"prefix none",
	"prefix app/ (dc=dc1)",
}

// A fixture answers as a Consul that holds the same.
func TestParity(t *testing.T) {
	agent, err := consultest.Start(t.Context(), "")
	check(t, err)
	t.Cleanup(agent.Stop)
	seed(t, agent.Client)
	consul, err := consul.New(consul.Config{Address: agent.Addr})
	check(t, err)
	t.Cleanup(consul.Close)
	fixture, fault := sourcetest.Fixture(t, parity)
	if fault != "" {
		t.Fatal(fault)
	}
	for _, q := range parityQueries {
		t.Run(q, func(t *testing.T) {
			want := normal(sourcetest.Fetch(t, consul, sourcetest.Query(q)))
			if got := sourcetest.Fetch(t, fixture, sourcetest.Query(q)); !reflect.DeepEqual(got, want) {
				t.Error(difference(got, want))
			}
		})
	}
}

// What neither holds is an error of both.
func TestParityErrors(t *testing.T) {
	consul := newConsul(t)
	fixture, _ := sourcetest.Fixture(t, parity)
	for _, q := range []string{"service web (dc=nope)", "services (dc=nope)", "node node-a (dc=nope)", "nodes (dc=nope)", "kv app/port (dc=nope)", "prefix app (dc=nope)", "connect web (dc=nope)", "service web (filter=a+b)", "services (filter=a+b)", "nonsense"} {
		for _, src := range []watch.Source{consul, fixture} {
			if value, _, err := src.Fetch(t.Context(), sourcetest.Query(q), 0); err == nil {
				t.Errorf("%T: %s is answered with %s", src, q, sourcetest.Show(value))
			}
		}
	}
}

// seed puts what parity says into Consul's catalog and KV store.
func seed(t *testing.T, client *api.Client) {
	t.Helper()
	var data struct {
		Nodes map[string]struct {
			ID, Address     string
			TaggedAddresses map[string]string `yaml:"tagged_addresses"`
			Meta            map[string]string
		}
		Services map[string][]struct {
			ID, Node, Address, Status, Connect string

			Port            int
			Tags            []string
			Meta            map[string]string
			Weights         api.AgentWeights
			TaggedAddresses map[string]api.ServiceAddress `yaml:"tagged_addresses"`
		}
		Keys map[string]string
	}
	check(t, yaml.Unmarshal([]byte(parity), &data))
	for name, n := range data.Nodes {
		_, err := client.Catalog().Register(&api.CatalogRegistration{
			ID: n.ID, Node: name, Address: n.Address, TaggedAddresses: n.TaggedAddresses, NodeMeta: n.Meta,
		}, nil)
		check(t, err)
	}
	for name, instances := range data.Services {
		for _, s := range instances {
			c := &api.AgentCheck{
				Node: s.Node, CheckID: "service:" + s.ID, Name: fmt.Sprintf("Service '%s' check", name),
				Status: cmp.Or(s.Status, "passing"), ServiceID: s.ID, ServiceName: name,
			}
			if s.Status == "maintenance" { // this is how an agent registers it
				c.CheckID, c.Name, c.Status = "_service_maintenance:"+s.ID, "Service Maintenance Mode", "critical"
			}
			service := &api.AgentService{
				ID: s.ID, Service: name, Address: s.Address, Port: s.Port, Tags: s.Tags, Meta: s.Meta, Weights: s.Weights,
				TaggedAddresses: s.TaggedAddresses,
			}
			switch s.Connect {
			case "":
			case name:
				service.Connect = &api.AgentServiceConnect{Native: true}
			default:
				service.Kind, service.Proxy = api.ServiceKindConnectProxy, &api.AgentServiceConnectProxyConfig{DestinationServiceName: s.Connect}
			}
			_, err := client.Catalog().Register(&api.CatalogRegistration{
				Node: s.Node, Address: data.Nodes[s.Node].Address, SkipNodeUpdate: true, Check: c, Service: service,
			}, nil)
			check(t, err)
		}
	}
	for key, value := range data.Keys {
		if _, err := client.KV().Put(&api.KVPair{Key: key, Value: []byte(value)}, nil); err != nil {
			t.Fatalf("%q: %v", key, err)
		}
	}
}

// normal takes out of an answer what Consul adds by itself.
func normal(value any) any {
	switch list := value.(type) {
	case []*watch.CatalogSnippet: // the service of the servers
		return slices.DeleteFunc(list, func(s *watch.CatalogSnippet) bool { return s.Name == "consul" })
	case []*watch.Node: // the agent's own node
		return slices.DeleteFunc(list, func(n *watch.Node) bool { return n.Node == "test" })
	case []*watch.KeyPair: // indexes
		for _, k := range list {
			k.CreateIndex, k.ModifyIndex = 0, 0
		}
	case []*watch.HealthService: // indexes, and the virtual addresses of the mesh
		for _, s := range list {
			if delete(s.ServiceTaggedAddresses, "consul-virtual"); len(s.ServiceTaggedAddresses) == 0 {
				s.ServiceTaggedAddresses = nil
			}
			for _, c := range s.Checks {
				c.CreateIndex, c.ModifyIndex = 0, 0
			}
		}
	}
	return value
}

// difference returns where a fixture's answer first differs from Consul's.
func difference(fixture, consul any) string {
	f, c := strings.Split(sourcetest.Show(fixture), "\n"), strings.Split(sourcetest.Show(consul), "\n")
	for i := range min(len(f), len(c)) {
		if f[i] != c[i] {
			return fmt.Sprintf("line %d after %s\nfixture %s\n consul %s", i+1, f[:i], strings.Join(f[i:min(i+3, len(f))], ""), strings.Join(c[i:min(i+3, len(c))], ""))
		}
	}
	return fmt.Sprintf("fixture %#v\n consul %#v", fixture, consul)
}
