//go:build linux

package main

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/hashicorp/consul/api"
)

const (
	services  = 1000
	instances = 5
	nodes     = 50

	// allServices has for each service a line that says how many instances pass, and a line for each of them.
	allServices = `{{range services}}{{$list := service .Name}}{{.Name}} has {{len $list}};
{{range $list}}{{.Name}} {{.ID}} {{.Address}} port {{.Port}};
{{end}}{{end}}`
)

// An instance has a check and runs on a node that hosts many.
type instance struct {
	service, number int
	port            int
	status          string // of its check
}

func (i instance) name() string { return fmt.Sprintf("service-%d", i.service) }
func (i instance) id() string   { return fmt.Sprintf("%s-%d", i.name(), i.number) }
func (i instance) node() int    { return (i.service*instances + i.number) % nodes }
func (i instance) host() string { return fmt.Sprintf("host-%d", i.node()) }

// registration returns what puts the instance and its check into the catalog.
func (i instance) registration() *api.CatalogRegistration {
	return &api.CatalogRegistration{
		Node:    i.host(),
		Address: fmt.Sprintf("10.0.0.%d", i.node()),
		Service: &api.AgentService{ID: i.id(), Service: i.name(), Address: fmt.Sprintf("10.0.1.%d", i.node()), Port: i.port},
		Check: &api.AgentCheck{
			Node: i.host(), CheckID: "service:" + i.id(), Name: "check of " + i.name(), Status: i.status,
			ServiceID: i.id(), ServiceName: i.name(),
		},
	}
}

func (b *bench) register(service, number, port int, status string) error {
	_, err := b.Client.Catalog().Register(instance{service, number, port, status}.registration(), nil)
	return err
}

// check writes the check of an instance that is registered, with what it has printed, and nothing else.
func (b *bench) check(service, number int, status, printed string) error {
	r := instance{service: service, number: number, status: status}.registration()
	r.Service, r.SkipNodeUpdate, r.Check.Output = nil, true, printed
	_, err := b.Client.Catalog().Register(r, nil)
	return err
}

// move writes the port of an instance that is registered, and nothing else.
func (b *bench) move(service, number, port int) error {
	r := instance{service: service, number: number, port: port}.registration()
	r.Check, r.SkipNodeUpdate = nil, true
	_, err := b.Client.Catalog().Register(r, nil)
	return err
}

func (b *bench) deregister(service, number int) error {
	i := instance{service: service, number: number}
	_, err := b.Client.Catalog().Deregister(&api.CatalogDeregistration{Node: i.host(), ServiceID: i.id()}, nil)
	return err
}

// registerAll registers instances that pass.
func (b *bench) registerAll(services, each int) error {
	return parallel(services*each, func(i int) error { return b.register(i/each, i%each, 8000+i%each, api.HealthPassing) })
}

// churn is a case of changes that come at a steady pace, whether those before are rendered or not: in turn a port, an instance
// more, and a check that passes again. The goal for the agent's CPU is what one waiting request for each service costs it.
func churn(command string) func(context.Context, *bench) (measured, error) {
	return func(ctx context.Context, b *bench) (m measured, err error) {
		reference, err := b.costOfWaits(ctx)
		if err != nil {
			return m, fmt.Errorf("waiting requests without render: %w", err)
		}
		if err := b.registerForChurn(); err != nil {
			return m, err
		}
		spec, err := b.template("file", allServices)
		if err != nil {
			return m, err
		}
		p, err := b.startAndSettle(ctx, []string{spec + command})
		if err != nil {
			return m, err
		}
		defer p.stop()

		before, err := loadOf(ctx, b.Agent)
		if err != nil {
			return m, err
		}
		if m, err = b.steadyChanges(ctx, p, churnChanges, interval, b.churnOnce); err != nil {
			return m, err
		}
		after, err := loadOf(ctx, b.Agent)
		done := after.sub(before)
		m.note = fmt.Sprintf("%.0f requests, agent's CPU %s", done.requests, against(done.cpu, reference))
		return m, err
	}
}

const churnChanges = 300

// registerForChurn registers all services. The instances whose checks are to pass later do not pass yet.
func (b *bench) registerForChurn() error {
	if err := b.registerAll(services, instances); err != nil {
		return err
	}
	for i := 2; i < churnChanges; i += 3 {
		if err := b.register(i*7%services, i%instances, firstNewPort+i, api.HealthCritical); err != nil {
			return err
		}
	}
	return nil
}

// churnOnce makes the i-th change, after which an instance with the port passes.
func (b *bench) churnOnce(i, port int) error {
	service := i * 7 % services
	switch i % 3 {
	case 0:
		return b.move(service, i%instances, port)
	case 1:
		return b.register(service, instances, port, api.HealthPassing)
	default:
		return b.check(service, i%instances, api.HealthPassing, "")
	}
}

// costOfWaits returns the CPU seconds of an agent of its own during the churn, while one request for each service, and one
// for all names, wait for changes, without render.
func (b *bench) costOfWaits(ctx context.Context) (cpu float64, err error) {
	data, err := os.MkdirTemp(memoryDir, "render-bench-consul-")
	if err != nil {
		return 0, err
	}
	defer os.RemoveAll(data)
	plain := &bench{dir: b.dir, data: data}
	if err := plain.startAgent(ctx, raised); err != nil {
		return 0, err
	}
	defer plain.Stop()
	if err := plain.registerForChurn(); err != nil {
		return 0, err
	}

	ctx, stop := context.WithCancel(ctx)
	var watchers, parked sync.WaitGroup
	defer watchers.Wait()
	defer stop()
	client := &http.Client{Transport: new(http.Transport)}
	paths := []string{"/v1/catalog/services?stale"}
	for i := range services {
		paths = append(paths, fmt.Sprintf("/v1/health/service/service-%d?stale&passing=1", i))
	}
	for _, path := range paths {
		parked.Add(1)
		watchers.Go(func() { waitForChanges(ctx, client, "http://"+plain.Addr+path, parked.Done) })
	}
	parked.Wait()
	if err := pause(ctx, settle); err != nil {
		return 0, err
	}

	before, err := loadOf(ctx, plain.Agent)
	if err != nil {
		return 0, err
	}
	if err := makeChanges(ctx, churnChanges, interval, plain.churnOnce, make(chan begun, churnChanges)); err != nil {
		return 0, err
	}
	after, err := loadOf(ctx, plain.Agent)
	return after.sub(before).cpu, err
}

// waitForChanges asks for a URL and then again and again for its changes, until ctx is done. It calls answered after the first
// attempt.
func waitForChanges(ctx context.Context, client *http.Client, url string, answered func()) {
	index := "0"
	for first := true; ctx.Err() == nil; first = false {
		if next, err := askAfter(ctx, client, url, index); err == nil {
			index = next
		}
		if first {
			answered()
		}
	}
}

// askAfter returns the index of an answer. It waits until the index is not the one given.
func askAfter(ctx context.Context, client *http.Client, url, index string) (string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url+"&index="+index, nil)
	if err != nil {
		return "", err
	}
	resp, err := client.Do(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	_, err = io.Copy(io.Discard, resp.Body)
	return resp.Header.Get("X-Consul-Index"), err
}

// steadyChanges makes changes at a steady pace, whether those before are rendered or not. Move brings the given port into the file.
func (b *bench) steadyChanges(ctx context.Context, p *process, n int, every time.Duration, move func(i, port int) error) (m measured, err error) {
	made := make(chan begun, n)
	ctx, fail := context.WithCancelCause(ctx)
	var wg sync.WaitGroup
	defer wg.Wait()
	defer fail(nil)
	wg.Go(func() {
		if err := makeChanges(ctx, n, every, move, made); err != nil {
			fail(err)
		}
	})
	var times []time.Duration
	var open []begun
	for len(times) < n {
		_, at, err := b.out.arrivals(ctx)
		if err != nil {
			return m, cmp.Or(context.Cause(ctx), p.fault(err))
		}
		contents, err := os.ReadFile(b.out.path("file"))
		if err != nil {
			return m, err
		}
		for len(made) > 0 {
			open = append(open, <-made)
		}
		open = slices.DeleteFunc(open, func(c begun) bool {
			arrived := bytes.Contains(contents, []byte(c.text))
			if arrived {
				times = append(times, at.Sub(c.began))
			}
			return arrived
		})
	}
	m, err = p.usage()
	m.times = times
	return m, err
}

// A begun change brings a text into the file.
type begun struct {
	text  string
	began time.Time
}

const firstNewPort = 20000 // of what changes

// makeChanges moves something to another port, n times.
func makeChanges(ctx context.Context, n int, every time.Duration, move func(i, port int) error, made chan<- begun) error {
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	for i := range n {
		port := firstNewPort + i
		made <- begun{fmt.Sprintf("port %d;", port), time.Now()}
		if err := move(i, port); err != nil {
			return err
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

func coldStart(ctx context.Context, b *bench) (m measured, err error) {
	const n = 5
	if err := b.registerAll(services, instances); err != nil {
		return m, err
	}
	spec, err := b.template("file", allServices)
	if err != nil {
		return m, err
	}
	start := func() error {
		p, err := b.start(ctx, []string{spec})
		if err != nil {
			return err
		}
		defer p.stop()
		at, err := b.out.await(ctx, "service-999", "file")
		if err != nil {
			return p.fault(err)
		}
		if err := pause(ctx, settle); err != nil {
			return err
		}
		used, err := p.usage()
		m.times = append(m.times, at.Sub(p.began))
		m.cpu += used.cpu / n
		m.mem = max(m.mem, used.mem)
		return err
	}
	for range n {
		if err := start(); err != nil {
			return m, err
		}
		if err := os.Remove(b.out.path("file")); err != nil {
			return m, err
		}
	}
	return m, nil
}
