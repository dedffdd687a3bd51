//go:build linux

package main

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
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

	allServices = `{{range services}}{{range service .Name}}{{.Name}} {{.ID}} {{.Address}} port {{.Port}};
{{end}}{{end}}`
)

// register puts an instance of a service into the catalog, with a check, on a node that hosts many.
func (b *bench) register(service, instance, port int) error {
	name := fmt.Sprintf("service-%d", service)
	id := fmt.Sprintf("%s-%d", name, instance)
	node := (service*instances + instance) % nodes
	host := fmt.Sprintf("host-%d", node)
	_, err := b.Client.Catalog().Register(&api.CatalogRegistration{
		Node:    host,
		Address: fmt.Sprintf("10.0.0.%d", node),
		Service: &api.AgentService{ID: id, Service: name, Address: fmt.Sprintf("10.0.1.%d", node), Port: port},
		Check: &api.AgentCheck{
			Node: host, CheckID: "service:" + id, Name: "check of " + name, Status: api.HealthPassing,
			ServiceID: id, ServiceName: name,
		},
	}, nil)
	return err
}

func (b *bench) registerAll() error {
	return parallel(services*instances, func(i int) error { return b.register(i/instances, i%instances, 8000+i%instances) })
}

// churn is a case of changes that come at a steady pace, whether those before are rendered or not.
func churn(command string) func(context.Context, *bench) (measured, error) {
	return func(ctx context.Context, b *bench) (m measured, err error) {
		if err := b.registerAll(); err != nil {
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
		return b.steadyChanges(ctx, p, 300, interval, func(i, port int) error { return b.register(i*7%services, i%instances, port) })
	}
}

// steadyChanges makes changes at a steady pace, whether those before are rendered or not. Move brings the given port into the file.
func (b *bench) steadyChanges(ctx context.Context, p *process, n int, every time.Duration, move func(i, port int) error) (m measured, err error) {
	made := make(chan change, n)
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
	var open []change
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
		open = slices.DeleteFunc(open, func(c change) bool {
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

// A change brings a text into the file.
type change struct {
	text  string
	began time.Time
}

// makeChanges moves something to another port, n times.
func makeChanges(ctx context.Context, n int, every time.Duration, move func(i, port int) error, made chan<- change) error {
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	for i := range n {
		port := 20000 + i
		made <- change{fmt.Sprintf("port %d;", port), time.Now()}
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
	if err := b.registerAll(); err != nil {
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
