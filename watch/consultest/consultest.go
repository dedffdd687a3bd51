// Package consultest starts real Consul agents for tests and benchmarks, alone or as a cluster, and puts a Proxy before
// them that makes faults.
package consultest

import (
	"context"
	"fmt"
	"time"

	"render/watch/servertest"

	"github.com/hashicorp/consul/api"
)

// Version is the Consul that `make consul` builds.
const Version = "1.22.3"

// Binary returns the consul program: $CONSUL, or what `make consul` has built.
func Binary() (string, error) {
	return servertest.Binary("CONSUL", "consul-"+Version, "consul", "consul")
}

// An Agent is a running Consul agent, on loopback, with ports of its own.
type Agent struct {
	Addr   string // host:port of the HTTP API
	Client *api.Client

	node                string
	token               string // that Client uses, or empty
	server, serf, https int    // ports
	process             servertest.Process
}

// settings is what makes one agent different from another.
type settings struct {
	node  string   // its name, or empty for test
	mode  []string // flags
	hcl   string   // more configuration, or empty
	token string   // that the Agent's Client uses, or empty
	https bool     // listens for HTTPS, too
}

// Start starts an agent in development mode, which keeps its data in memory, and returns when it has a leader. Config is
// more of the agent's configuration, as HCL, or empty. The caller stops the agent.
func Start(ctx context.Context, config string) (*Agent, error) {
	return start(ctx, settings{mode: []string{"-dev"}, hcl: config})
}

// StartServer is Start for an agent as in production: in development mode an agent indents all JSON, which makes large
// answers larger and slower.
func StartServer(ctx context.Context, dataDir, config string) (*Agent, error) {
	return start(ctx, settings{mode: []string{"-server", "-bootstrap-expect=1", "-data-dir=" + dataDir, fast}, hcl: config})
}

const fast = "-hcl=performance { raft_multiplier = 1 }"

func start(ctx context.Context, s settings) (a *Agent, err error) {
	err = servertest.Retry(func(int) error {
		if a, err = newAgent(s); err != nil {
			return err
		}
		return a.Restart(ctx)
	})
	if err != nil {
		return nil, err
	}
	return a, nil
}

// newAgent returns an agent that has not been started yet.
func newAgent(s settings) (*Agent, error) {
	binary, err := Binary()
	if err != nil {
		return nil, err
	}
	ports, err := servertest.FreePorts(5)
	if err != nil {
		return nil, err
	}
	a := &Agent{Addr: loopback(ports[0]), node: s.node, token: s.token, serf: ports[1], server: ports[2], https: ports[4]}
	if a.node == "" {
		a.node = "test"
	}
	args := append([]string{binary, "agent"}, s.mode...)
	args = append(args,
		"-bind=127.0.0.1", "-client=127.0.0.1", "-node="+a.node, "-log-level=warn",
		fmt.Sprintf("-http-port=%d", ports[0]), fmt.Sprintf("-serf-lan-port=%d", ports[1]),
		fmt.Sprintf("-server-port=%d", ports[2]), fmt.Sprintf("-serf-wan-port=%d", ports[3]),
		"-grpc-port=-1", "-grpc-tls-port=-1", "-dns-port=-1",
		"-hcl=disable_update_check = true",
		"-hcl=disable_remote_exec = true",
	)
	if s.https {
		args = append(args, fmt.Sprintf("-https-port=%d", a.https))
	}
	if s.hcl != "" {
		args = append(args, "-hcl="+s.hcl)
	}
	a.process = servertest.Process{Name: "consul", Args: args}
	c := api.DefaultConfig()
	c.Address, c.Token = a.Addr, s.token
	c.Transport.MaxIdleConnsPerHost = 16
	a.Client, err = api.NewClient(c)
	return a, err
}

// Restart starts the agent again, on the same ports, and returns when there is a leader; in development mode it has no
// data then. It must have been stopped.
func (a *Agent) Restart(ctx context.Context) error {
	return a.process.Run(ctx, 30*time.Second, a.ready)
}

// ready reports whether there is a leader and the agent has registered itself, with all that it says of its node: first the
// leader does so, with less.
func (a *Agent) ready(ctx context.Context) bool {
	opts := new(api.QueryOptions).WithContext(ctx)
	node, _, err := a.Client.Catalog().Node(a.node, opts)
	if err != nil || node == nil || len(node.Node.TaggedAddresses) == 0 {
		return false
	}
	services, _, err := a.Client.Catalog().Services(opts)
	return err == nil && len(services) > 0
}

// Stop kills the agent and waits for its end.
func (a *Agent) Stop() { a.process.Kill() }

// Register puts an instance of a service into the catalog, on a node of its own with the instance's address, with one
// check of the given status.
func (a *Agent) Register(service, id, address string, port int, status string, tags ...string) error {
	_, err := a.Client.Catalog().Register(&api.CatalogRegistration{
		Node:    "node-" + id,
		Address: address,
		Service: &api.AgentService{ID: id, Service: service, Address: address, Port: port, Tags: tags},
		Check: &api.AgentCheck{
			Node: "node-" + id, CheckID: "service:" + id, Name: "check of " + service, Status: status,
			ServiceID: id, ServiceName: service,
		},
	}, nil)
	return err
}

// Deregister takes an instance that Register has put there, and its node, out of the catalog.
func (a *Agent) Deregister(id string) error {
	_, err := a.Client.Catalog().Deregister(&api.CatalogDeregistration{Node: "node-" + id}, nil)
	return err
}

// Put writes a key.
func (a *Agent) Put(key, value string) error {
	_, err := a.Client.KV().Put(&api.KVPair{Key: key, Value: []byte(value)}, nil)
	return err
}

// Delete removes a key.
func (a *Agent) Delete(key string) error {
	_, err := a.Client.KV().Delete(key, nil)
	return err
}

func loopback(port int) string { return fmt.Sprintf("127.0.0.1:%d", port) }
