package main

import (
	"maps"
	"net/netip"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/hashicorp/consul/api"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/network"
)

// inspected returns a running container with an image, SERVICE_ variables and published ports, as "80/tcp": "32768".
func inspected(image string, env []string, ports map[string]string) container.InspectResponse {
	c := container.InspectResponse{
		Name:            "/web-1",
		State:           &container.State{Running: true},
		HostConfig:      &container.HostConfig{NetworkMode: "bridge"},
		Config:          &container.Config{Image: image, Env: env, ExposedPorts: network.PortSet{}, Labels: map[string]string{}},
		NetworkSettings: &container.NetworkSettings{Ports: network.PortMap{}, Networks: map[string]*network.EndpointSettings{"bridge": {IPAddress: netip.MustParseAddr("172.17.0.2")}}},
	}
	for port, published := range ports {
		p := network.MustParsePort(port)
		c.Config.ExposedPorts[p] = struct{}{}
		c.NetworkSettings.Ports[p] = nil
		if published != "" {
			c.NetworkSettings.Ports[p] = []network.PortBinding{{HostIP: netip.IPv4Unspecified(), HostPort: published}, {HostIP: netip.IPv6Unspecified(), HostPort: published}}
		}
	}
	return c
}

func TestServices(t *testing.T) {
	one := map[string]string{"80/tcp": "32768"}
	two := map[string]string{"80/tcp": "32768", "443/tcp": "32769"}
	host := Conventions{Host: "h"}
	type service = api.AgentServiceRegistration
	for _, test := range []struct {
		name  string
		c     Conventions
		in    container.InspectResponse
		wants []service
	}{
		{"defaults", host, inspected("library/nginx:1.28", nil, one),
			[]service{{ID: "h:web-1:80", Name: "nginx", Port: 32768}}},
		{"image of a registry with a port and a digest", host, inspected("registry:5000/shop/web:2@sha256:aa", nil, one),
			[]service{{ID: "h:web-1:80", Name: "web", Port: 32768}}},
		{"-ip", Conventions{Host: "h", Address: "10.0.0.9"}, inspected("web", nil, one),
			[]service{{ID: "h:web-1:80", Name: "web", Address: "10.0.0.9", Port: 32768}}},
		{"two ports", host, inspected("web", nil, two),
			[]service{{ID: "h:web-1:443", Name: "web-443", Port: 32769}, {ID: "h:web-1:80", Name: "web-80", Port: 32768}}},
		{"a name for two ports", host, inspected("web", []string{"SERVICE_NAME=shop"}, two),
			[]service{{ID: "h:web-1:443", Name: "shop-443", Port: 32769}, {ID: "h:web-1:80", Name: "shop-80", Port: 32768}}},
		{"names and ignored ports", host, inspected("web", []string{"SERVICE_80_NAME=http", "SERVICE_443_IGNORE=1"}, two),
			[]service{{ID: "h:web-1:80", Name: "http", Port: 32768}}},
		{"a port that is not published", host, inspected("web", nil, map[string]string{"80/tcp": "32768", "9000/tcp": ""}),
			[]service{{ID: "h:web-1:80", Name: "web", Port: 32768}}},
		{"tags", Conventions{Host: "h", Tags: []string{"all"}}, inspected("web", []string{`SERVICE_TAGS=a, b\,c,,d`}, one),
			[]service{{ID: "h:web-1:80", Name: "web", Port: 32768, Tags: []string{"a", "b,c", "d", "all"}}}},
		{"udp", host, inspected("dns", nil, map[string]string{"53/udp": "53"}),
			[]service{{ID: "h:web-1:53:udp", Name: "dns", Port: 53, Tags: []string{"udp"}}}},
		{"attributes", host, inspected("web", []string{"SERVICE_REGION=us2", "SERVICE_80_ZONE=a", "SERVICE_81_ZONE=b", "SERVICE_BAD KEY=x", "OTHER=1"}, one),
			[]service{{ID: "h:web-1:80", Name: "web", Port: 32768, Meta: map[string]string{"region": "us2", "zone": "a"}}}},
		{"the key with a port wins, before and after", host, inspected("web", []string{"SERVICE_80_NAME=x", "SERVICE_NAME=y"}, one),
			[]service{{ID: "h:web-1:80", Name: "x", Port: 32768}}},
		{"an ID", host, inspected("web", []string{"SERVICE_ID=me"}, one),
			[]service{{ID: "me", Name: "web", Port: 32768, Meta: map[string]string{"registrator": "h"}}}},
		{"SERVICE_IGNORE", host, inspected("web", []string{"SERVICE_IGNORE=true"}, one), nil},
		{"-internal", Conventions{Host: "h", Internal: true, Address: "10.0.0.9"}, inspected("web", nil, map[string]string{"80/tcp": ""}),
			[]service{{ID: "h:web-1:80", Name: "web", Address: "172.17.0.2", Port: 80}}},
		{"an HTTP check", host, inspected("web", []string{"SERVICE_80_CHECK_HTTP=/healthz", "SERVICE_80_CHECK_INTERVAL=1s", "SERVICE_CHECK_TIMEOUT=2s"}, one),
			[]service{{ID: "h:web-1:80", Name: "web", Port: 32768,
				Check: &api.AgentServiceCheck{CheckID: "service:h:web-1:80", HTTP: "http://127.0.0.1:32768/healthz", Interval: "1s", Timeout: "2s"}}}},
		{"a TCP check", Conventions{Host: "h", Address: "10.0.0.9", TTL: time.Minute}, inspected("web", []string{"SERVICE_CHECK_TCP=true", "SERVICE_CHECK_INITIAL_STATUS=passing"}, one),
			[]service{{ID: "h:web-1:80", Name: "web", Address: "10.0.0.9", Port: 32768,
				Check: &api.AgentServiceCheck{CheckID: "service:h:web-1:80", TCP: "10.0.0.9:32768", Interval: "10s", Status: "passing"}}}},
		{"the container's own TTL check", host, inspected("web", []string{"SERVICE_CHECK_TTL=30s"}, one),
			[]service{{ID: "h:web-1:80", Name: "web", Port: 32768, Check: &api.AgentServiceCheck{CheckID: "service:h:web-1:80", TTL: "30s"}}}},
		{"-ttl", Conventions{Host: "h", TTL: time.Minute}, inspected("web", nil, one),
			[]service{{ID: "h:web-1:80", Name: "web", Port: 32768,
				Check: &api.AgentServiceCheck{CheckID: "service:h:web-1:80", TTL: "1m0s", Status: "passing", Notes: refreshed}}}},
	} {
		t.Run(test.name, func(t *testing.T) {
			var got []service
			for _, s := range test.c.Services(test.in) {
				if len(s.Meta) == 0 {
					s.Meta = nil
				}
				got = append(got, *s)
			}
			if !reflect.DeepEqual(got, test.wants) {
				t.Errorf("got %+v, want %+v", got, test.wants)
			}
		})
	}
}

// Ports of a container on the host's network are ports of the host. A container that has stopped has no services, also while Docker
// still shows its ports.
func TestServicesOfOtherContainers(t *testing.T) {
	c := inspected("web", nil, map[string]string{"8080/tcp": ""})
	c.HostConfig.NetworkMode = "host"
	if got := (Conventions{Host: "h", Address: "10.0.0.9"}).Services(c); len(got) != 1 || got[0].Address != "10.0.0.9" || got[0].Port != 8080 {
		t.Errorf("host's network: %+v", got)
	}
	c.State.Running = false
	if got := (Conventions{Host: "h"}).Services(c); got != nil {
		t.Errorf("stopped: %+v", got)
	}
	c = inspected("web", nil, map[string]string{"80/tcp": "8001"})
	c.NetworkSettings.Ports[network.MustParsePort("80/tcp")][0].HostIP = netip.MustParseAddr("127.0.0.1")
	if got := (Conventions{Host: "h"}).Services(c); len(got) != 1 || got[0].Address != "127.0.0.1" {
		t.Errorf("published on one address: %+v", got)
	}
	c.Config.Env, c.Config.Labels = []string{"SERVICE_NAME=of-the-image"}, map[string]string{"SERVICE_NAME": "of-the-operator", "SERVICE_TAGS": "a"}
	if got := (Conventions{Host: "h"}).Services(c); len(got) != 1 || got[0].Name != "of-the-operator" || !slices.Equal(got[0].Tags, []string{"a"}) {
		t.Errorf("labels: %+v", got)
	}
}

func TestOwns(t *testing.T) {
	c := Conventions{Host: "h"}
	for id, want := range map[string]bool{
		"h:web-1:80": true, "h:web_1.x:53:udp": true,
		"web": false, "other:web:80": false, "h:web": false, "h:web:http": false, "h:a:b:80": false, "hh:web:80": false,
	} {
		if got := c.Owns(&api.AgentService{ID: id}); got != want {
			t.Errorf("%s: %v", id, got)
		}
	}
	for host, want := range map[string]bool{"h": true, "other": false} {
		if got := c.Owns(&api.AgentService{ID: "me", Meta: map[string]string{owner: host}}); got != want {
			t.Errorf("meta %s: %v", host, got)
		}
	}
}

func TestArguments(t *testing.T) {
	good := map[string][]string{
		"127.0.0.1:8500":   {},
		"consul.test:8500": {"-ip", "10.0.0.1", "-internal", "-tags", "a,b", "-resync", "5", "-ttl", "30", "-ttl-refresh", "10", "-cleanup=false", "consul://consul.test:8500"},
	}
	for _, name := range slices.Sorted(maps.Keys(good)) {
		r, err := parse(good[name], t.Output())
		if err != nil || r.Host == "" {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, args := range [][]string{
		{"-ip", "web"}, {"-resync", "-1"}, {"-ttl-refresh", "5"}, {"-ttl", "5", "-ttl-refresh", "6"},
		{"localhost:8500"}, {"etcd://localhost:1"}, {"consul-tls://"}, {"consul://a:1", "consul://b:1"}, {"-unknown"},
	} {
		if _, err := parse(args, t.Output()); err == nil {
			t.Errorf("%q: no error", args)
		}
	}
}
