package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"render/examples/stack/dockertest"
	"render/watch/consultest"

	"github.com/hashicorp/consul/api"
)

func TestMain(m *testing.M) { dockertest.Main(m) }

// machine is a machine with Docker, an agent of Consul and a registrator.
type machine struct {
	t      *testing.T
	host   string
	docker *dockertest.Daemon
	agent  *consultest.Agent
	output bytes.Buffer // of the registrator; use it after stop only
	stop   func()       // ends the registrator
}

// start starts the registrator.
func (m *machine) start(flags ...string) {
	m.t.Helper()
	ctx, cancel := context.WithCancel(m.t.Context())
	ended := make(chan error, 1)
	m.output.Reset()
	go func() { ended <- run(ctx, append(flags, "consul://"+m.agent.Addr), &m.output) }()
	m.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			m.t.Errorf("registrator: %v", err)
		}
	})
	m.t.Cleanup(func() {
		m.stop()
		if m.t.Failed() {
			m.t.Logf("registrator printed:\n%s", &m.output)
		}
	})
}

// services returns the agent's services with the statuses of their checks, as "ID name address:port [tags] status", sorted.
func (m *machine) services() []string {
	m.t.Helper()
	services, err := m.agent.Client.Agent().Services()
	if err != nil {
		return []string{"error: " + err.Error()}
	}
	checks, err := m.agent.Client.Agent().Checks()
	if err != nil {
		return []string{"error: " + err.Error()}
	}
	all := []string{}
	for id, s := range services {
		line := fmt.Sprintf("%s %s %s:%d %v", strings.TrimPrefix(id, m.host), s.Service, s.Address, s.Port, s.Tags)
		if c := checks["service:"+id]; c != nil {
			line += " " + c.Status
		}
		all = append(all, line)
	}
	slices.Sort(all)
	return all
}

// await waits until the agent has just these services.
func (m *machine) await(want ...string) {
	m.t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	var got []string
	for time.Now().Before(deadline) {
		if got = m.services(); slices.Equal(got, want) {
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
	m.t.Fatalf("Consul's agent has %q, want %q", got, want)
}

// The registrator with a real Docker and a real Consul.
func TestRegistrator(t *testing.T) {
	docker := dockertest.Start(t)
	web := filepath.Join(t.TempDir(), "web")
	build := exec.CommandContext(t.Context(), "go", "build", "-o", web, "../web")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	dockertest.Import(t, "shop/web:1", map[string]string{"web": web}, `ENTRYPOINT ["/web"]`, "EXPOSE 80")
	host, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}

	for _, test := range []struct {
		name string
		run  func(*machine)
	}{
		{"containers come and go", testLife},
		{"what the container says", testMetadata},
		{"internal", testInternal},
		{"restart of the registrator", testRestart},
		{"restart of Consul", testConsulRestart},
		{"TTL", testTTL},
		{"restart of Docker", testDockerRestart},
	} {
		t.Run(test.name, func(t *testing.T) {
			agent, err := consultest.Start(t.Context(), "")
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(agent.Stop)
			t.Cleanup(func() {
				if all := strings.Fields(dockertest.Docker(t, "ps", "-aq")); len(all) > 0 {
					dockertest.Docker(t, append([]string{"rm", "-f"}, all...)...)
				}
			})
			test.run(&machine{t: t, host: host, docker: docker, agent: agent})
		})
	}
}

func (m *machine) docker1(args ...string) { m.t.Helper(); dockertest.Docker(m.t, args...) }

func testLife(m *machine) {
	m.docker1("run", "-d", "--name", "before", "-p", "8001:80", "shop/web:1")
	m.start("-resync", "0", "-ip", "127.0.0.1")
	m.await(":before:80 web 127.0.0.1:8001 []")
	m.docker1("run", "-d", "--name", "web-1", "-p", "8002:80", "shop/web:1")
	m.await(":before:80 web 127.0.0.1:8001 []", ":web-1:80 web 127.0.0.1:8002 []")
	m.docker1("stop", "before")
	m.await(":web-1:80 web 127.0.0.1:8002 []")
	m.docker1("start", "before")
	m.await(":before:80 web 127.0.0.1:8001 []", ":web-1:80 web 127.0.0.1:8002 []")
	m.docker1("rename", "web-1", "web-2")
	m.await(":before:80 web 127.0.0.1:8001 []", ":web-2:80 web 127.0.0.1:8002 []")
	m.docker1("kill", "web-2")
	m.await(":before:80 web 127.0.0.1:8001 []")
	m.docker1("rm", "-f", "before")
	m.await()
}

func testMetadata(m *machine) {
	m.start("-tags", "all")
	m.docker1("run", "-d", "--name", "web-1", "-p", "8001:80", "-p", "8443:443", "-e", "SERVICE_80_NAME=shop", "-e", "SERVICE_443_ID=me",
		"-l", "SERVICE_TAGS=v1,blue", "-e", "SERVICE_80_CHECK_HTTP=/healthz", "-e", "SERVICE_80_CHECK_INTERVAL=100ms", "shop/web:1")
	m.docker1("run", "-d", "--name", "ignored", "-p", "8003:80", "-e", "SERVICE_IGNORE=1", "shop/web:1")
	m.docker1("run", "-d", "--name", "private", "shop/web:1")
	m.docker1("run", "-d", "--name", "on-host", "--net", "host", "-e", "SERVICE_NAME=onhost", "shop/web:1", ":80")
	m.await(":on-host:80 onhost :80 [all]", ":web-1:80 shop :8001 [v1 blue all] passing", "me web-443 :8443 [v1 blue all]")

	// The service becomes critical, and stays registered.
	m.docker1("kill", "--signal", "USR1", "web-1")
	m.await(":on-host:80 onhost :80 [all]", ":web-1:80 shop :8001 [v1 blue all] critical", "me web-443 :8443 [v1 blue all]")
}

func testInternal(m *machine) {
	m.docker1("run", "-d", "--name", "web-1", "shop/web:1")
	address := dockertest.Docker(m.t, "inspect", "-f", "{{.NetworkSettings.Networks.bridge.IPAddress}}", "web-1")
	m.start("-internal")
	m.await(":web-1:80 web " + address + ":80 []")
}

// While the registrator is away, services stay. When it is back, it corrects what has changed, touches nothing else, and leaves
// services alone that others have registered.
func testRestart(m *machine) {
	m.docker1("run", "-d", "--name", "web-1", "-p", "8001:80", "-e", "SERVICE_CHECK_HTTP=/healthz", "-e", "SERVICE_CHECK_INTERVAL=1s", "shop/web:1")
	m.docker1("run", "-d", "--name", "web-2", "-p", "8002:80", "-e", "SERVICE_ID=mine", "shop/web:1")
	m.start()
	both := []string{":web-1:80 web :8001 [] passing", "mine web :8002 []"}
	m.await(both...)
	m.stop()
	if got := m.services(); !slices.Equal(got, both) {
		m.t.Errorf("after the end of the registrator: %q", got)
	}
	for _, id := range []string{"by-hand", m.host + ":gone:80"} {
		if err := m.agent.Client.Agent().ServiceRegister(&api.AgentServiceRegistration{ID: id, Name: "x", Port: 1}); err != nil {
			m.t.Fatal(err)
		}
	}
	m.docker1("rm", "-f", "web-2")

	index := m.index("web")
	m.start()
	m.await(":web-1:80 web :8001 [] passing", "by-hand x :1 []")
	health, _, err := m.agent.Client.Health().Service("web", "", true, &api.QueryOptions{RequireConsistent: true})
	if err != nil || len(health) != 1 || health[0].Service.ModifyIndex > index || health[0].Checks[1].ModifyIndex > index {
		m.t.Errorf("the restart has touched a service that is unchanged: %v, %+v, index %d", err, health, index)
	}
}

// index returns the index of Consul's last change of a service, after the registrator is in sync.
func (m *machine) index(service string) uint64 {
	m.t.Helper()
	_, meta, err := m.agent.Client.Health().Service(service, "", false, &api.QueryOptions{RequireConsistent: true})
	if err != nil {
		m.t.Fatal(err)
	}
	return meta.LastIndex
}

// A new agent has no services. The registrator is patient while it is away, and notices that it has lost them.
func testConsulRestart(m *machine) {
	m.docker1("run", "-d", "--name", "web-1", "-p", "8001:80", "shop/web:1")
	m.start("-resync", "1")
	m.await(":web-1:80 web :8001 []")
	m.agent.Stop()
	m.docker1("run", "-d", "--name", "web-2", "-p", "8002:80", "shop/web:1")
	if err := m.agent.Restart(m.t.Context()); err != nil {
		m.t.Fatal(err)
	}
	m.await(":web-1:80 web :8001 []", ":web-2:80 web :8002 []")
}

// A service stays passing for as long as the registrator lives, and becomes critical when it does not.
func testTTL(m *machine) {
	m.docker1("run", "-d", "--name", "web-1", "-p", "8001:80", "shop/web:1")
	m.start("-ttl", "3", "-ttl-refresh", "1")
	m.await(":web-1:80 web :8001 [] passing")
	if err := m.agent.Client.Agent().CheckDeregister("service:" + m.host + ":web-1:80"); err != nil {
		m.t.Fatal(err)
	}
	m.await(":web-1:80 web :8001 [] passing") // the check is there again
	m.stop()
	m.await(":web-1:80 web :8001 [] critical")
}

// Containers end with Docker, and their services with them. Docker may start some of them again.
func testDockerRestart(m *machine) {
	m.docker1("run", "-d", "--name", "web-1", "--restart", "always", "-p", "8001:80", "shop/web:1")
	m.docker1("run", "-d", "--name", "web-2", "-p", "8002:80", "shop/web:1")
	m.start()
	m.await(":web-1:80 web :8001 []", ":web-2:80 web :8002 []")
	m.docker.Stop()
	if err := m.docker.Restart(m.t.Context()); err != nil {
		m.t.Fatal(err)
	}
	m.await(":web-1:80 web :8001 []")
	m.docker1("start", "web-2")
	m.await(":web-1:80 web :8001 []", ":web-2:80 web :8002 []")
}
