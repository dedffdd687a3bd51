//go:build linux

package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/hashicorp/consul/api"
)

// A stockSize is a number of services, with one instance each, of an agent with its stock limits.
type stockSize struct {
	name    string
	count   int
	agent   agentKind
	slowest float64 // the goal for the slowest change in seconds
	quiet   float64 // the goal for the requests of a minute in which nothing moves
}

// stockSizes returns the sizes. Over HTTPS each query waits by itself, for 45 s and more.
func stockSizes() []stockSize {
	return []stockSize{
		{"300 services, HTTP", 300, stockHTTP, 2, 300},
		{"1,000 services, HTTP", 1000, stockHTTP, 5, 300},
		{"5,000 services, HTTP", 5000, stockHTTP, 5, 300},
		{"300 services, HTTPS", 300, stockHTTPS, 2, 300 * 60 / 45},
		{"1,000 services, HTTPS", 1000, stockHTTPS, 5, 1000 * 60 / 45},
		{"5,000 services, HTTPS", 5000, stockHTTPS, 5, 5000 * 60 / 45},
	}
}

// oneEach registers services and writes a template of them all.
func (b *bench) oneEach(count int) (spec string, err error) {
	if err := parallel(count, func(i int) error { return b.register(i, 0, 8000, api.HealthPassing) }); err != nil {
		return "", err
	}
	return b.template("file", allServices)
}

// moveOne returns what moves one service after another to a port.
func (b *bench) moveOne(count int) func(i, port int) error {
	return func(i, port int) error { return b.register(i*7%count, 0, port, api.HealthPassing) }
}

const startGoal = 3 // seconds

// stockChanges is a case of a start and of changes so far apart that each finds render at rest.
func stockChanges(count int, slowest float64) func(context.Context, *bench) (measured, error) {
	return func(ctx context.Context, b *bench) (m measured, err error) {
		spec, err := b.oneEach(count)
		if err != nil {
			return m, err
		}
		p, err := b.start(ctx, []string{spec})
		if err != nil {
			return m, err
		}
		defer p.stop()
		move := b.moveOne(count)
		var start time.Duration
		seen, err := b.observe(ctx, p, func() error {
			at, err := b.out.await(ctx, fmt.Sprintf("service-%d ", count-1), "file")
			if err != nil {
				return p.fault(err)
			}
			start = at.Sub(p.began)
			if err := pause(ctx, quietInterval); err != nil {
				return err
			}
			if err := p.reset(); err != nil {
				return err
			}
			m, err = b.eachChange(ctx, p, 20, quietInterval, func(i int) change {
				port := 20000 + i
				return change{func() error { return move(i, port) }, fmt.Sprintf("port %d;", port), []string{"file"}}
			})
			return err
		})
		if err != nil {
			return m, err
		}
		m.note = fmt.Sprintf("seconds to start %s, of the slowest change %s; %.1f requests a second, %s",
			against(start.Seconds(), startGoal), against(slices.Max(m.times).Seconds(), slowest), seen.requests, seen)
		return m, nil
	}
}

// stockChurn is a case of changes that come at a steady pace.
func stockChurn(count int) func(context.Context, *bench) (measured, error) {
	return func(ctx context.Context, b *bench) (m measured, err error) {
		const n, every = 200, 100 * time.Millisecond
		spec, err := b.oneEach(count)
		if err != nil {
			return m, err
		}
		p, err := b.startAndSettle(ctx, []string{spec})
		if err != nil {
			return m, err
		}
		defer p.stop()
		seen, err := b.observe(ctx, p, func() error {
			m, err = b.steadyChanges(ctx, p, n, every, b.moveOne(count))
			return err
		})
		m.note = fmt.Sprintf("%.1f requests a second, %s", seen.requests, seen)
		return m, err
	}
}

// stockQuiet is a case in which nothing moves.
// Requests is the goal for a minute.
func stockQuiet(count int, long time.Duration, requests float64) func(context.Context, *bench) (measured, error) {
	return func(ctx context.Context, b *bench) (m measured, err error) {
		spec, err := b.oneEach(count)
		if err != nil {
			return m, err
		}
		return b.quiet(ctx, spec, long, requests)
	}
}

// quietQueries is a case of queries that are not about services, of which nothing moves. Requests is the goal for a minute.
func quietQueries(long time.Duration, requests float64) func(context.Context, *bench) (measured, error) {
	return func(ctx context.Context, b *bench) (m measured, err error) {
		const keys = 1000
		if err := parallel(keys, func(i int) error { return b.Put(fmt.Sprintf("quiet/%d", i), "value") }); err != nil {
			return m, err
		}
		var text strings.Builder
		for i := range keys {
			fmt.Fprintf(&text, "{{key \"quiet/%d\"}}\n", i)
		}
		spec, err := b.template("file", text.String())
		if err != nil {
			return m, err
		}
		return b.quiet(ctx, spec, long, requests)
	}
}

// quietSettle is longer than a blocking query waits: what a start leaves behind is over.
const quietSettle = 70 * time.Second

// quiet starts render and measures it while nothing moves. Requests is the goal for a minute.
func (b *bench) quiet(ctx context.Context, spec string, long time.Duration, requests float64) (m measured, err error) {
	p, err := b.startAndSettle(ctx, []string{spec})
	if err != nil {
		return m, err
	}
	defer p.stop()
	if err := pause(ctx, quietSettle); err != nil {
		return m, err
	}
	if err := p.reset(); err != nil {
		return m, err
	}
	seen, err := b.observe(ctx, p, func() error { return pause(ctx, long) })
	if err != nil {
		return m, err
	}
	m, err = p.usage()
	m.cpu *= 100 / long.Seconds()
	m.note = fmt.Sprintf("requests a minute %s, %s", against(seen.requests*60, requests), seen)
	return m, err
}
