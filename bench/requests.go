//go:build linux

package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/hashicorp/consul/api"
)

const (
	used     = 250 // of keys and of services by the template
	existing = 500 // of each
	perName  = 3   // instances of each service
)

// requestsFor500 is a case of one template of 250 keys and 250 services. It counts requests while nothing changes, while checks
// elsewhere print, for changes of what the template does not use, and for changes of services that it uses.
func requestsFor500(long time.Duration) func(context.Context, *bench) ([]row, error) {
	return func(ctx context.Context, b *bench) (rows []row, err error) {
		p, err := b.startWith500(ctx)
		if err != nil {
			return nil, err
		}
		defer p.stop()
		if err := pause(ctx, quietSettle); err != nil {
			return nil, err
		}

		const changes = 10
		var quiet float64 // requests a second
		aMinute := func(o observation, goal float64) string {
			return "requests a minute " + against(o.requests*60, goal)
		}
		aChange := func(o observation, goal float64) string {
			return "requests a change " + against((o.requests-quiet)*long.Seconds()/changes, goal)
		}
		parts := []struct {
			name   string
			count  int
			happen func(i int) (text string, err error)
			note   func(observation, float64) string
			goal   float64
		}{
			{"quiet", 0, nil, aMinute, 30},
			{"2 outputs/s elsewhere", int(2 * long.Seconds()), func(i int) (string, error) {
				return "", b.check(used+i%used, 0, api.HealthPassing, fmt.Sprint("printed ", i))
			}, aMinute, 150},
			{"changes elsewhere", changes, func(i int) (string, error) {
				if i%4 == 3 {
					return "", b.Put(fmt.Sprintf("own/%d", used+i), "second")
				}
				do, _ := []event{flip, registration, newPort}[i%4].happen(b, used+i, perName, i)
				return "", do()
			}, aChange, 6},
			{"changes of services", changes, func(i int) (string, error) {
				do, text := []event{flip, registration, newPort}[i%3].happen(b, i*37%used, perName, i)
				return text, do()
			}, aChange, 8},
		}
		for _, part := range parts {
			m, seen, err := b.during(ctx, p, long, part.count, part.happen)
			if err != nil {
				return rows, fmt.Errorf("%s: %w", part.name, err)
			}
			if part.count == 0 {
				quiet = seen.requests
			}
			m.note = part.note(seen, part.goal) + ", " + seen.String()
			rows = append(rows, row{part: part.name, measured: m})
		}
		return rows, nil
	}
}

func (b *bench) startWith500(ctx context.Context) (*process, error) {
	if err := b.registerAll(existing, perName); err != nil {
		return nil, err
	}
	if err := parallel(existing, func(i int) error { return b.Put(fmt.Sprintf("own/%d", i), "first") }); err != nil {
		return nil, err
	}
	var text strings.Builder
	for i := range used {
		text.WriteString(keyAndService(i))
	}
	spec, err := b.template("file", text.String())
	if err != nil {
		return nil, err
	}
	return b.startAndSettle(ctx, []string{spec})
}

// during measures a time in which something happens count times, evenly spread. Happen returns the text that follows in the
// file, or an empty one where none follows. The CPU measured is in % of a core.
func (b *bench) during(ctx context.Context, p *process, long time.Duration, count int,
	happen func(i int) (text string, err error)) (m measured, seen observation, err error) {
	if err := p.reset(); err != nil {
		return m, seen, err
	}
	var times []time.Duration
	seen, err = b.observe(ctx, p, func() error {
		began := time.Now()
		for i := range count {
			if err := pause(ctx, time.Until(began.Add(long*time.Duration(i)/time.Duration(count)))); err != nil {
				return err
			}
			change := time.Now()
			text, err := happen(i)
			if err != nil {
				return err
			}
			if text == "" {
				continue
			}
			at, err := b.out.await(ctx, text, "file")
			if err != nil {
				return p.fault(err)
			}
			times = append(times, at.Sub(change))
		}
		return pause(ctx, time.Until(began.Add(long)))
	})
	if err != nil {
		return m, seen, err
	}
	m, err = p.usage()
	m.cpu *= 100 / long.Seconds()
	m.times = times
	return m, seen, err
}
