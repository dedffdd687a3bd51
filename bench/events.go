//go:build linux

package main

import (
	"context"
	"fmt"

	"github.com/hashicorp/consul/api"
)

// An event is something that happens to one of the services of a catalog, each of which has the same number of instances.
type event struct {
	name string
	// happen returns what does it to the service, as the i-th event, and the text that it brings.
	happen func(b *bench, service, each, i int) (do func() error, text string)
}

// has is the text that follows when a service has a number of instances that pass.
func has(service, count int) string { return fmt.Sprintf("service-%d has %d;", service, count) }

var (
	flip = event{"a check flips", func(b *bench, service, each, _ int) (func() error, string) {
		return func() error { return b.check(service, 0, api.HealthCritical, "") }, has(service, each-1)
	}}
	registration = event{"an instance comes or goes", func(b *bench, service, each, i int) (func() error, string) {
		if i%2 == 0 {
			return func() error { return b.register(service, each, 8000, api.HealthPassing) }, has(service, each+1)
		}
		return func() error { return b.deregister(service, 0) }, has(service, each-1)
	}}
	newPort = event{"a port alone", func(b *bench, service, _, i int) (func() error, string) {
		port := firstNewPort + i
		return func() error { return b.move(service, 0, port) }, fmt.Sprintf("port %d;", port)
	}}
)

// keyAndService returns the text of a template of a key and a service.
func keyAndService(i int) string {
	return fmt.Sprintf(`{{key "own/%d"}} {{$list := service "service-%[1]d"}}service-%[1]d has {{len $list}};
{{range $list}}{{.ID}} {{.Address}} port {{.Port}};
{{end}}`, i)
}

// ownData is a case of templates that have a key and a service each. Each change is of another template.
func ownData(count int, g goals) func(context.Context, *bench) ([]row, error) {
	return func(ctx context.Context, b *bench) (rows []row, err error) {
		const n, each = 50, 3
		if err := b.registerAll(count, each); err != nil {
			return nil, err
		}
		specs := make([]string, count)
		err = parallel(count, func(i int) (err error) {
			if err := b.Put(fmt.Sprintf("own/%d", i), "first"); err != nil {
				return err
			}
			specs[i], err = b.template(fmt.Sprint(i), keyAndService(i))
			return err
		})
		if err != nil {
			return nil, err
		}
		p, err := b.startAndSettle(ctx, specs)
		if err != nil {
			return nil, err
		}
		defer p.stop()

		changed := 0
		next := func() int { changed++; return changed * 37 % count }
		key := func(i int) change {
			own, value := next(), fmt.Sprintf("value %d;", i)
			return change{func() error { return b.Put(fmt.Sprintf("own/%d", own), value) }, value, []string{fmt.Sprint(own)}}
		}
		m, err := b.changesWithTail(ctx, p, n, interval, key)
		if err != nil {
			return nil, err
		}
		rows = append(rows, row{"a key", g, m})
		for _, e := range []event{flip, registration} {
			m, err := b.changesWithTail(ctx, p, n, interval, func(i int) change {
				own := next()
				do, text := e.happen(b, own, each, i)
				return change{do, text, []string{fmt.Sprint(own)}}
			})
			if err != nil {
				return rows, fmt.Errorf("%s: %w", e.name, err)
			}
			rows = append(rows, row{e.name, g, m})
		}
		return rows, nil
	}
}

// oneFile is a case of one template of all services. Its changes are so far apart that each finds render at rest. The second
// goals are those of a port alone.
func oneFile(count, each int, g, portGoals goals) func(context.Context, *bench) ([]row, error) {
	return func(ctx context.Context, b *bench) (rows []row, err error) {
		const n = 30
		if err := b.registerAll(count, each); err != nil {
			return nil, err
		}
		spec, err := b.template("file", allServices)
		if err != nil {
			return nil, err
		}
		p, err := b.start(ctx, []string{spec})
		if err != nil {
			return nil, err
		}
		defer p.stop()
		at, err := b.out.await(ctx, has(count-1, each), "file")
		if err != nil {
			return nil, p.fault(err)
		}
		started := at.Sub(p.began)
		if err := pause(ctx, quietInterval); err != nil {
			return nil, err
		}

		changed := 0
		for _, e := range []event{flip, registration, newPort} {
			g := g
			if e.name == newPort.name {
				g = portGoals
			}
			m, err := b.changesWithTail(ctx, p, n, quietInterval, func(i int) change {
				changed++
				do, text := e.happen(b, changed*37%count, each, i)
				return change{do, text, []string{"file"}}
			})
			if err != nil {
				return rows, fmt.Errorf("%s: %w", e.name, err)
			}
			m.note += fmt.Sprintf("; start %.2f s", started.Seconds())
			rows = append(rows, row{e.name, g, m})
		}
		return rows, nil
	}
}

// noCliff is a case of numbers of queries: none may cost more than twice what the number before costs.
func noCliff(ctx context.Context, b *bench) (rows []row, err error) {
	const n, each = 100, 2
	sizes := []int{96, 97, 120, 132, 134, 160, 200, 300}
	if err := b.registerAll(sizes[len(sizes)-1], each); err != nil {
		return nil, err
	}
	var before struct{ p50, cpu, requests float64 }
	for _, size := range sizes {
		m, requests, err := b.flipsOf(ctx, size, each, n)
		if err != nil {
			return rows, fmt.Errorf("%d services: %w", size, err)
		}
		m.note = "requests a change " + against(requests, 2*before.requests)
		rows = append(rows, row{fmt.Sprintf("%d services", size), goals{p50: 2 * before.p50, cpu: 2 * before.cpu}, m})
		before.p50, before.cpu, before.requests = median(m.times), max(m.cpu, leastCPU), max(requests, 1)
	}
	return rows, nil
}

const leastCPU = 0.05 // seconds: less is too near to the tick of /proc to be compared

// flipsOf measures n flips of the first services, with a template for each.
func (b *bench) flipsOf(ctx context.Context, services, each, n int) (m measured, requests float64, err error) {
	var specs []string
	for i := range services {
		spec, err := b.template(fmt.Sprintf("%d-of-%d", i, services), fmt.Sprintf(`{{$list := service "service-%d"}}service-%[1]d has {{len $list}};
`, i))
		if err != nil {
			return m, 0, err
		}
		specs = append(specs, spec)
	}
	p, err := b.startAndSettle(ctx, specs)
	if err != nil {
		return m, 0, err
	}
	defer p.stop()

	before, err := loadOf(ctx, b.Agent)
	if err != nil {
		return m, 0, err
	}
	m, err = b.changesWithTail(ctx, p, n, interval, func(i int) change {
		service, status, left := i/2*7%services, api.HealthCritical, each-1
		if i%2 == 1 {
			status, left = api.HealthPassing, each
		}
		return change{
			func() error { return b.check(service, 0, status, "") },
			has(service, left), []string{fmt.Sprintf("%d-of-%d", service, services)},
		}
	})
	if err != nil {
		return m, 0, err
	}
	after, err := loadOf(ctx, b.Agent)
	return m, after.sub(before).requests / float64(n), err
}
