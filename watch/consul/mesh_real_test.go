package consul_test

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/consul/api"

	"render/watch"
	"render/watch/consul"
	"render/watch/consultest"
	"render/watch/sourcetest"
)

// What the mesh's endpoints of a real Consul give, as far as its free edition has them.
func TestConsulMesh(t *testing.T) {
	src := newConsul(t)
	roots := sourcetest.Fetch(t, src, sourcetest.Query("ca-roots")).([]*watch.CARoot)
	if len(roots) != 1 || !roots[0].Active || roots[0].NotAfter == nil {
		t.Fatalf("the roots are %s", sourcetest.Show(roots))
	}
	leaf := sourcetest.Fetch(t, src, sourcetest.Query("ca-leaf web")).(*watch.LeafCert)
	if _, err := tls.X509KeyPair([]byte(leaf.CertPEM), []byte(leaf.PrivateKeyPEM)); err != nil || leaf.Service != "web" || !leaf.ValidBefore.After(time.Now()) {
		t.Errorf("the leaf is of %q, until %s: %v", leaf.Service, leaf.ValidBefore, err)
	}
	trusted := x509.NewCertPool()
	trusted.AppendCertsFromPEM([]byte(roots[0].RootCertPEM))
	block, _ := pem.Decode([]byte(leaf.CertPEM))
	cert, err := x509.ParseCertificate(block.Bytes)
	check(t, err)
	if _, err := cert.Verify(x509.VerifyOptions{Roots: trusted, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}}); err != nil {
		t.Errorf("the root has not signed the leaf: %v", err)
	}
	for _, name := range []string{"odd name?x", "my.svc", ".."} {
		if leaf := sourcetest.Fetch(t, src, watch.NewQuery(watch.KindCALeaf, name, nil)).(*watch.LeafCert); leaf.Service != name {
			t.Errorf("the leaf of %q is of %q", name, leaf.Service)
		}
	}
	for q, want := range map[string]string{
		"partitions":                         "only Consul Enterprise has partitions",
		"peerings (partition=p)":             "Partitions are a Consul Enterprise feature",
		"exported-services (partition=p)":    "Partitions are a Consul Enterprise feature",
		"imported-services (partition=p)":    "Partitions are a Consul Enterprise feature",
		"service web (filter=Nope+%3D%3D+1)": `Selector "Nope" is not valid`,
		"services (ns=n)":                    "Namespaces are a Consul Enterprise feature",
		"connect web (partition=p)":          "Partitions are a Consul Enterprise feature",
	} {
		if value, _, err := src.Fetch(t.Context(), sourcetest.Query(q), 0); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, %v; want %q", q, value, err, want)
		}
	}
}

// A filter is Consul's to evaluate.
func TestConsulFilter(t *testing.T) {
	src := newConsul(t)
	check(t, agent.Register("filtered", "filtered-1", "10.0.0.1", 80, "passing"))
	check(t, agent.Register("filtered", "filtered-2", "10.0.0.2", 81, "passing"))
	t.Cleanup(func() {
		check(t, agent.Deregister("filtered-1"))
		check(t, agent.Deregister("filtered-2"))
	})
	filter := func(kind, name, filter string) any {
		return sourcetest.Fetch(t, src, watch.NewQuery(kind, name, map[string][]string{watch.OptFilter: {filter}}))
	}
	if got := filter(watch.KindService, "filtered", "Service.Port == 81").([]*watch.HealthService); len(got) != 1 || got[0].ID != "filtered-2" {
		t.Errorf("service: got %s", sourcetest.Show(got))
	}
	if got := filter(watch.KindServices, "", `ServiceName == "filtered"`).([]*watch.CatalogSnippet); len(got) != 1 || got[0].Name != "filtered" {
		t.Errorf("services: got %s", sourcetest.Show(got))
	}
	if got := filter(watch.KindNodes, "", `Address == "10.0.0.2"`).([]*watch.Node); len(got) != 1 || got[0].Node != "node-filtered-2" {
		t.Errorf("nodes: got %s", sourcetest.Show(got))
	}
	if got := filter(watch.KindNode, "node-filtered-1", `Service == "other"`).(*watch.CatalogNode); got.Node == nil || len(got.Services) != 0 {
		t.Errorf("node: got %s", sourcetest.Show(got))
	}
}

// The mesh's endpoints wait for a change.
func TestConsulMeshWaits(t *testing.T) {
	port := 20000 + os.Getpid()%10000                                                         // not one that the system gives to who asks for any: the agent asks for others
	agent, err := consultest.Start(t.Context(), fmt.Sprintf("ports { grpc_tls = %d }", port)) // for peerings
	check(t, err)
	t.Cleanup(agent.Stop)
	src, err := consul.New(consul.Config{Address: agent.Addr})
	check(t, err)
	t.Cleanup(src.Close)
	exports := func(services ...api.ExportedService) {
		_, _, err := agent.Client.ConfigEntries().Set(&api.ExportedServicesConfigEntry{Name: "default", Services: services}, nil)
		check(t, err)
	}
	for _, c := range []struct {
		query  string
		change func()
		want   func(value any) bool
	}{
		{"peerings", func() {
			_, _, err := agent.Client.Peerings().GenerateToken(t.Context(), api.PeeringGenerateTokenRequest{PeerName: "other", Meta: map[string]string{"env": "prod"}}, nil)
			check(t, err)
		}, func(value any) bool {
			list := value.([]*watch.Peering)
			return len(list) == 1 && list[0].Name == "other" && list[0].ID != "" && list[0].PeeringState == "PENDING" && list[0].Meta["env"] == "prod"
		}},
		{"exported-services", func() {
			exports(api.ExportedService{Name: "zoo", Consumers: []api.ServiceConsumer{{Peer: "other"}}}, api.ExportedService{Name: "app", Consumers: []api.ServiceConsumer{{Peer: "other"}}})
		}, func(value any) bool {
			consumers := watch.ServiceConsumers{Peers: []string{"other"}, Partitions: []string{}}
			return reflect.DeepEqual(value, []watch.ExportedService{{Service: "app", Consumers: consumers}, {Service: "zoo", Consumers: consumers}})
		}},
		{"connect waits", func() {
			_, err := agent.Client.Catalog().Register(&api.CatalogRegistration{
				Node: "node-waits", Address: "10.0.0.1",
				Service: &api.AgentService{ID: "waits", Service: "waits", Port: 80, Connect: &api.AgentServiceConnect{Native: true}},
			}, nil)
			check(t, err)
		}, func(value any) bool {
			list := value.([]*watch.HealthService)
			return len(list) == 1 && list[0].ID == "waits"
		}},
	} {
		t.Run(c.query, func(t *testing.T) {
			before, index, err := src.Fetch(t.Context(), sourcetest.Query(c.query), 0)
			check(t, err)
			if v := reflect.ValueOf(before); v.IsNil() || v.Len() != 0 {
				t.Fatalf("before the change there is %s", sourcetest.Show(before))
			}
			changed := make(chan struct{})
			time.AfterFunc(100*time.Millisecond, func() {
				defer close(changed)
				c.change()
			})
			defer func() { <-changed }() // its answer may come after ours
			began := time.Now()
			for value := before; !c.want(value); {
				if value, index, err = src.Fetch(t.Context(), sourcetest.Query(c.query), index); err != nil || time.Since(began) > 20*time.Second {
					t.Fatalf("got %s, %v", sourcetest.Show(value), err)
				}
			}
			if time.Since(began) < 100*time.Millisecond {
				t.Error("the answer came before the change")
			}
		})
	}
}

// What only Consul Enterprise, or a Consul with peers, gives: order, and the two forms of imported services.
func TestConsulMeshAnswers(t *testing.T) {
	var asked, answer string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked = r.RequestURI
		w.Header().Set("X-Consul-Index", "7")
		fmt.Fprint(w, answer)
	}))
	defer server.Close()
	src, err := consul.New(consul.Config{Address: server.URL})
	check(t, err)
	defer src.Close()
	sent := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	none := []string{}
	for _, c := range []struct {
		query, asked, answer string
		want                 any
	}{
		{"partitions", "/v1/partitions", `[{"Name": "b", "Description": "B", "CreateIndex": 1}, {"Name": "a"}]`,
			[]*watch.Partition{{Name: "a"}, {Name: "b", Description: "B"}}},
		{"partitions", "/v1/partitions", `[]`, []*watch.Partition{}},
		{"peerings (partition=p)", "/v1/peerings?partition=p&stale=", `[
			{"Name": "b", "State": "ACTIVE", "Partition": "y"}, {"Name": "b", "State": "ACTIVE", "Partition": "x"}, {"Name": "a", "State": "PENDING"},
			{"ID": "1", "Name": "a", "State": "ACTIVE", "Partition": "y", "Meta": {"k": "v"}, "PeerID": "2", "PeerServerName": "n", "PeerServerAddresses": ["s:1"],
				"StreamStatus": {"ImportedServices": ["i"], "ExportedServices": ["e"], "LastSend": "2026-01-02T03:04:05Z"},
				"Remote": {"Partition": "rp", "Datacenter": "rd"}, "ModifyIndex": 9}]`,
			[]*watch.Peering{
				{Name: "b", PeeringState: "ACTIVE", Partition: "x"},
				{
					ID: "1", Name: "a", PeeringState: "ACTIVE", Partition: "y", Meta: map[string]string{"k": "v"}, PeerID: "2", PeerServerName: "n",
					PeerServerAddresses: []string{"s:1"},
					StreamStatus:        watch.PeeringStreamStatus{ImportedServices: []string{"i"}, ExportedServices: []string{"e"}, LastSend: &sent},
					Remote:              watch.PeeringRemote{Partition: "rp", Datacenter: "rd"},
				},
				{Name: "b", PeeringState: "ACTIVE", Partition: "y"},
				{Name: "a", PeeringState: "PENDING"},
			}},
		{"exported-services (partition=p)", "/v1/exported-services?partition=p&stale=",
			`[{"Service": "b", "Partition": "p", "Namespace": "n", "Consumers": {"Partitions": ["q"]}}, {"Service": "a"}]`,
			[]watch.ExportedService{
				{Service: "a", Consumers: watch.ServiceConsumers{Peers: none, Partitions: none}},
				{Service: "b", Consumers: watch.ServiceConsumers{Peers: none, Partitions: []string{"q"}}},
			}},
		{"imported-services (partition=p)", "/v1/imported-services?partition=p&stale=",
			`{"Partition": "p", "ImportedServices": [{"Service": "b", "SourcePartition": "q"}, {"Service": "a", "Namespace": "n"}]}`,
			[]watch.ImportedService{{Service: "a", Namespace: "n"}, {Service: "b", SourcePartition: "q"}}},
		{"imported-services", "/v1/imported-services?stale=", `[{"Service": "a", "SourcePeer": "x"}]`, []watch.ImportedService{{Service: "a"}}},
		{"imported-services (partition=p)", "/v1/imported-services?partition=p&stale=", `{"Partition": "p", "ImportedServices": null}`, []watch.ImportedService{}},
		{"ca-roots", "/v1/agent/connect/ca/roots?stale=", `{"ActiveRootID": "2", "Roots": [{"ID": "2", "RootCert": "pem", "Active": true}, {"ID": "1"}]}`,
			[]*watch.CARoot{{ID: "2", RootCertPEM: "pem", Active: true}, {ID: "1"}}},
		{"ca-leaf a b", "/v1/agent/connect/ca/leaf/a%20b?stale=", `{"Service": "a b", "ValidAfter": "2026-01-02T03:04:05Z"}`,
			&watch.LeafCert{Service: "a b", ValidAfter: sent}},
		{"connect web (filter=a+b&meta=k%3Dv&peer=x)", "/v1/health/connect/web?filter=a+b&passing=1&peer=x&stale=", `[]`, []*watch.HealthService{}},
	} {
		answer = c.answer
		if got := sourcetest.Fetch(t, src, sourcetest.Query(c.query)); !reflect.DeepEqual(got, c.want) || asked != c.asked {
			t.Errorf("%s: asked %s, want %s; got\n%s\nwant\n%s", c.query, asked, c.asked, sourcetest.Show(got), sourcetest.Show(c.want))
		}
	}
}
