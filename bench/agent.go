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
	roomy      agentKind = iota // with the limit of connections lifted: each query holds one
	stockHTTP                   // with stock limits
	stockHTTPS                  // with stock limits; render talks to it over TLS
)

// telemetry is what load reads.
const telemetry = `telemetry { prometheus_retention_time = "24h" }`

func (b *bench) startAgent(ctx context.Context, kind agentKind, data string) error {
	if kind == stockHTTPS {
		agent, tls, err := consultest.StartTLS(ctx, b.dir, telemetry)
		if err != nil {
			return err
		}
		b.Agent, b.address, b.env = agent, "https://"+tls.Addr, []string{"CONSUL_CACERT=" + tls.CA}
		return nil
	}
	config := telemetry
	if kind == roomy {
		config = `limits { http_max_conns_per_client = 4000 }`
		b.args = []string{"--consul-max-connections", "4000"}
	}
	agent, err := consultest.StartServer(ctx, data, config)
	if err != nil {
		return err
	}
	b.Agent, b.address = agent, agent.Addr
	return nil
}

// A load is what an agent has done since it was started.
type load struct {
	requests float64 // answered, without writes and the bench's own
	cpu      float64 // seconds
}

// load reads the agent's own telemetry, which counts a request when it has been answered.
func (b *bench) load(ctx context.Context) (l load, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+b.Addr+"/v1/agent/metrics?format=prometheus", nil)
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
	before, err := b.load(ctx)
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
	after, err := b.load(ctx)
	o.requests = (after.requests - before.requests) / seconds
	o.agent = (after.cpu - before.cpu) * 100 / seconds
	return o, err
}
