package consultest

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"time"

	"render/watch/servertest"

	"github.com/hashicorp/consul/api"
)

// A Cluster is three Consul servers, and an agent that is none and asks them, as it runs on each machine of a real
// cluster. Each of the four can be stopped, which kills it, and restarted, with its data; one server at a time may be
// away.
//
// What Register and Put write is kept by the servers.
type Cluster struct {
	Servers []*Agent
	Local   *Agent
}

// StartCluster starts a cluster with its data in an empty folder, and returns when it has a leader and all know each
// other. Config is more of the configuration of all its agents, as HCL, or empty. The caller stops the cluster.
func StartCluster(ctx context.Context, dir, config string) (*Cluster, error) {
	var c *Cluster
	err := servertest.Retry(func(attempt int) (err error) {
		if c, err = newCluster(filepath.Join(dir, fmt.Sprint(attempt)), config); err != nil {
			return err
		}
		if err = c.start(ctx); err != nil {
			c.Stop()
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	return c, nil
}

// A dead server stays a member: a cluster of two could not lose the next one.
const clusterConfig = "-hcl=autopilot { cleanup_dead_servers = false }"

func newCluster(dir, config string) (*Cluster, error) {
	c := new(Cluster)
	for i := range 4 {
		s := settings{node: fmt.Sprint("server-", i), mode: []string{"-server", "-bootstrap-expect=3", fast, clusterConfig}, hcl: config}
		if i == 3 {
			s = settings{node: "local", hcl: config}
		}
		s.mode = append(s.mode, "-data-dir="+filepath.Join(dir, s.node), "-retry-interval=200ms")
		a, err := newAgent(s)
		if err != nil {
			return nil, err
		}
		if i == 3 {
			c.Local = a
		} else {
			c.Servers = append(c.Servers, a)
		}
	}
	for _, a := range c.all() {
		for _, server := range c.Servers {
			a.process.Args = append(a.process.Args, "-retry-join="+loopback(server.serf))
		}
	}
	return c, nil
}

func (c *Cluster) all() []*Agent { return append([]*Agent{c.Local}, c.Servers...) }

// start starts all agents at the same time: none is ready without the others. The first that fails ends the wait for
// them.
func (c *Cluster) start(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	errs := make([]error, 4)
	var wg sync.WaitGroup
	for i, a := range c.all() {
		wg.Go(func() {
			if errs[i] = a.Restart(ctx); errs[i] != nil {
				cancel()
			}
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}

// Stop kills all agents and waits for their end.
func (c *Cluster) Stop() {
	for _, a := range c.all() {
		a.Stop()
	}
}

// Leader returns the server that leads the cluster. It waits while no server leads.
func (c *Cluster) Leader(ctx context.Context) (*Agent, error) {
	for {
		for _, a := range c.Servers {
			if a.leads(ctx) {
				return a, nil
			}
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("consul has no leader: %w", ctx.Err())
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// leads reports whether the agent runs and says itself that it is the leader; others may name one that has died.
func (a *Agent) leads(ctx context.Context) bool {
	opts := new(api.QueryOptions).WithContext(ctx)
	leader, err := a.Client.Status().LeaderWithQueryOptions(opts)
	return err == nil && leader == loopback(a.server)
}
