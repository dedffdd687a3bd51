//go:build linux

package main

import (
	"bufio"
	"context"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"render/watch/consultest"
)

// An agentKind is how an agent is configured.
type agentKind int

const (
	stockHTTP  agentKind = iota // with stock limits
	stockHTTPS                  // with stock limits; render talks to it over TLS
	raised                      // with a limit of connections that no case reaches
)

const (
	telemetry    = `telemetry { prometheus_retention_time = "24h" }` // is what load reads
	raisedLimits = `limits { http_max_conns_per_client = 12000 }`
)

func (b *bench) startAgent(ctx context.Context, kind agentKind) error {
	if kind == stockHTTPS {
		agent, tls, err := consultest.StartTLS(ctx, b.dir, telemetry)
		if err != nil {
			return err
		}
		b.Agent, b.address, b.env = agent, "https://"+tls.Addr, []string{"CONSUL_CACERT=" + tls.CA}
		return nil
	}
	config := telemetry
	if kind == raised {
		config += " " + raisedLimits
	}
	agent, err := consultest.StartServer(ctx, b.data, config)
	if err != nil {
		return err
	}
	b.Agent, b.address = agent, agent.Addr
	return nil
}

// A load is what an agent has done since it was started.
type load struct {
	requests float64 // answered over HTTP, without writes and the bench's own
	rpcs     float64 // received from other agents
	cpu      float64 // seconds
}

// sub returns what was done since an earlier load.
func (l load) sub(earlier load) load {
	return load{requests: l.requests - earlier.requests, rpcs: l.rpcs - earlier.rpcs, cpu: l.cpu - earlier.cpu}
}

// loadOf reads an agent's own telemetry, which counts a request when it has been answered.
func loadOf(ctx context.Context, agent *consultest.Agent) (l load, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+agent.Addr+"/v1/agent/metrics?format=prometheus", nil)
	if err != nil {
		return l, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return l, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return l, fmt.Errorf("the agent's telemetry: answered %s", resp.Status)
	}
	lines := bufio.NewScanner(resp.Body)
	for lines.Scan() {
		name, text, _ := strings.Cut(lines.Text(), " ")
		var to *float64
		switch {
		case name == "process_cpu_seconds_total":
			to = &l.cpu
		case name == "consul_rpc_request":
			to = &l.rpcs
		case strings.HasPrefix(name, `consul_api_http_count{method="GET",`) && !strings.Contains(name, `"v1_agent_metrics"`):
			to = &l.requests
		default:
			continue
		}
		value, err := strconv.ParseFloat(text, 64)
		if err != nil {
			return l, fmt.Errorf("the agent's telemetry: %w", err)
		}
		*to += value
	}
	return l, lines.Err()
}

// An observation is what render asked of the agent during some time.
type observation struct {
	requests    float64 // a second
	agent       float64 // the agent's CPU in % of a core
	connections int     // the most at a time
}

func (o observation) String() string {
	return fmt.Sprintf("agent %.1f %% of a core, %d connections", o.agent, o.connections)
}

// observe watches render and the agent while do runs.
func (b *bench) observe(ctx context.Context, p *process, do func() error) (o observation, err error) {
	before, err := loadOf(ctx, b.Agent)
	if err != nil {
		return o, err
	}
	began := time.Now()
	sampled, stop := context.WithCancel(ctx)
	var wg sync.WaitGroup
	wg.Go(func() {
		for pause(sampled, interval) == nil {
			o.connections = max(o.connections, p.connections())
		}
	})
	err = do()
	stop()
	wg.Wait()
	if err != nil {
		return o, err
	}
	seconds := time.Since(began).Seconds()
	after, err := loadOf(ctx, b.Agent)
	done := after.sub(before)
	o.requests, o.agent = done.requests/seconds, done.cpu*100/seconds
	return o, err
}
