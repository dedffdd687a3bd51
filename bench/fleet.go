//go:build linux

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/consul/api"

	"render/watch/consultest"
)

const (
	fleetHosts   = 8
	fleetUsed    = 150 // keys, and services, that every render uses
	fleetUnused  = 150 // of each that none uses
	fleetEach    = 3   // instances of a service
	fleetEvery   = time.Second / 2
	fleetSettle  = 4 * time.Minute  // in its first two minutes a render waits less long; these requests end within a minute
	fleetAgrees  = 10 * time.Second // for all files to be what the server has
	fleetQuiet   = 60.0             // goals: requests a minute and host, while nothing changes
	fleetChanged = 200.0            // with two changes a second
	fleetLast    = 25.0             // milliseconds from a change until it is in the last file, p50
)

// A fleet is a server, and hosts with a client agent and a render each, all on one machine.
type fleet struct {
	server *bench // writes to the catalog
	hosts  []*host
	next   int         // counts changes
	passes map[int]int // instances that pass, by service, where it is not fleetEach
}

// A host has a folder, an agent, and a render.
type host struct {
	*bench
	render *process
}

// runFleet measures a fleet whose agents have stock limits, then one whose agents have raised limits, and prints a table in markdown.
// Phase is how long to measure each thing.
func runFleet(ctx context.Context, binary string, phase time.Duration) error {
	fmt.Printf("\n%d hosts with a client agent and a render each, one server, %d queries a host, phases of %s.\n\n", fleetHosts, 2*fleetUsed, phase)
	fmt.Println("| agents | phase | requests a minute and host | RPCs a minute at the server | CPU s: server | an agent | a render | changes | until the last file, ms: p50 | p99 |")
	fmt.Println("|---|---|---|---|---|---|---|---|---|---|")
	for _, kind := range []struct{ name, config string }{{"stock", telemetry}, {"raised", telemetry + " " + raisedLimits}} {
		if err := measureFleet(ctx, binary, kind.name, kind.config, phase); err != nil {
			return fmt.Errorf("%s agents: %w", kind.name, err)
		}
	}
	return nil
}

func measureFleet(ctx context.Context, binary, name, config string, phase time.Duration) error {
	dir, err := os.MkdirTemp(memoryDir, "render-bench-fleet-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	f, err := startFleet(ctx, binary, dir, config)
	defer f.stop()
	if err != nil {
		return err
	}
	if err := pause(ctx, fleetSettle); err != nil {
		return err
	}

	count := int(phase / fleetEvery)
	phases := []struct {
		name     string
		requests float64 // the goal
		count    int
		happen   func() (text string, err error)
	}{
		{"quiet", fleetQuiet, 0, nil},
		{"outputs of checks", fleetChanged, count, f.printed},
		{"changes of what nobody uses", fleetChanged, count, func() (string, error) {
			_, err := f.change(fleetUsed, fleetUnused)
			return "", err
		}},
		{"changes of what all use", fleetChanged, count, func() (string, error) { return f.change(0, fleetUsed) }},
	}
	for _, p := range phases {
		before, err := f.load(ctx)
		if err != nil {
			return err
		}
		times, took, err := f.during(ctx, phase, p.count, p.happen)
		if err != nil {
			return fmt.Errorf("%s: %w", p.name, err)
		}
		after, err := f.load(ctx)
		if err != nil {
			return err
		}

		minutes := took.Minutes()
		p50, p99 := "–", "–"
		if len(times) > 0 {
			slices.Sort(times)
			p50, p99 = against(percentile(times, 50), fleetLast), against(percentile(times, 99), 0)
		}
		fmt.Printf("| %s | %s | %s | %.0f | %.2f | %.2f | %.2f | %d | %s | %s |\n", name, p.name,
			against((after.requests-before.requests)/minutes/fleetHosts, p.requests), (after.rpcs-before.rpcs)/minutes,
			after.server-before.server, (after.agents-before.agents)/fleetHosts, (after.renders-before.renders)/fleetHosts, p.count, p50, p99)
	}
	return f.agrees(ctx)
}

// startFleet starts all in a folder. With an error, what it returns is to be stopped, too.
func startFleet(ctx context.Context, binary, dir, config string) (*fleet, error) {
	f := &fleet{server: &bench{}, passes: make(map[int]int)}
	var err error
	if f.server.Agent, err = consultest.StartServer(ctx, filepath.Join(dir, "server"), telemetry); err != nil {
		return f, err
	}
	if err := f.server.registerAll(fleetUsed+fleetUnused, fleetEach); err != nil {
		return f, err
	}
	if err := parallel(fleetUsed+fleetUnused, func(i int) error { return f.server.Put(fmt.Sprintf("own/%d", i), "first") }); err != nil {
		return f, err
	}

	var text strings.Builder
	for i := range fleetUsed {
		text.WriteString(keyAndService(i))
	}
	for i := range fleetHosts {
		h, err := f.startHost(ctx, binary, filepath.Join(dir, fmt.Sprint(i)), fmt.Sprint("client-", i), config, text.String())
		if h != nil {
			f.hosts = append(f.hosts, h)
		}
		if err != nil {
			return f, fmt.Errorf("host %d: %w", i, err)
		}
	}
	return f, nil
}

// startHost starts a host and returns when its file is there.
func (f *fleet) startHost(ctx context.Context, binary, dir, node, config, text string) (*host, error) {
	if err := os.Mkdir(dir, 0o755); err != nil {
		return nil, err
	}
	h := &host{bench: &bench{binary: binary, dir: dir}}
	var err error
	if h.Agent, err = f.server.StartClient(ctx, node, filepath.Join(dir, "consul"), config); err != nil {
		return nil, err
	}
	h.address = h.Addr
	if h.out, err = newOutput(filepath.Join(dir, "out")); err != nil {
		return h, err
	}
	spec, err := h.template("file", text)
	if err != nil {
		return h, err
	}
	h.render, err = h.startAndSettle(ctx, []string{spec})
	return h, err
}

func (f *fleet) stop() {
	for _, h := range f.hosts {
		if h.render != nil {
			h.render.stop()
		}
		if h.out != nil {
			h.out.close()
		}
		h.Stop()
	}
	if f.server.Agent != nil {
		f.server.Stop()
	}
}

// A fleetLoad is what has been done so far: requests of all hosts, RPCs at the server, and CPU seconds.
type fleetLoad struct{ requests, rpcs, server, agents, renders float64 }

func (f *fleet) load(ctx context.Context) (l fleetLoad, err error) {
	server, err := loadOf(ctx, f.server.Agent)
	if err != nil {
		return l, err
	}
	l.rpcs, l.server = server.rpcs, server.cpu
	for _, h := range f.hosts {
		agent, err := loadOf(ctx, h.Agent)
		if err != nil {
			return l, err
		}
		cpu, err := h.render.cpu()
		if err != nil {
			return l, err
		}
		l.requests += agent.requests
		l.agents += agent.cpu
		l.renders += cpu
	}
	return l, nil
}

// during lets something happen count times, evenly spread over a time or, where files take longer to follow, over more. It
// returns the times until the text that follows is in the last file; where the text is empty nothing follows.
func (f *fleet) during(ctx context.Context, long time.Duration, count int, happen func() (text string, err error)) (times []time.Duration, took time.Duration, err error) {
	began := time.Now()
	for i := range count {
		if err := pause(ctx, time.Until(began.Add(long*time.Duration(i)/time.Duration(count)))); err != nil {
			return nil, 0, err
		}
		change := time.Now()
		text, err := happen()
		if err != nil {
			return nil, 0, err
		}
		if text == "" {
			continue
		}
		last, err := f.await(ctx, text)
		if err != nil {
			return nil, 0, err
		}
		times = append(times, last.Sub(change))
	}
	err = pause(ctx, time.Until(began.Add(long)))
	return times, time.Since(began), err
}

// await waits until a text is in the files of all hosts, and returns when it was in the last.
func (f *fleet) await(ctx context.Context, text string) (last time.Time, err error) {
	at, errs := make([]time.Time, len(f.hosts)), make([]error, len(f.hosts))
	var wg sync.WaitGroup
	for i, h := range f.hosts {
		wg.Go(func() {
			if at[i], errs[i] = h.out.await(ctx, text, "file"); errs[i] != nil {
				errs[i] = h.render.fault(fmt.Errorf("host %d: %w", i, errs[i]))
			}
		})
	}
	wg.Wait()
	return slices.MaxFunc(at, time.Time.Compare), errors.Join(errs...)
}

// printed has a passing check of a service that nobody uses print something else.
func (f *fleet) printed() (string, error) {
	f.next++
	return "", f.server.check(fleetUsed+rand.IntN(fleetUnused), 1, api.HealthPassing, fmt.Sprint("printed ", f.next))
}

// change changes a key or a service, one of count from the first on, and returns the text that follows. With a service, a check
// fails or an instance comes, where all is as at the start, else all becomes so again.
func (f *fleet) change(first, count int) (text string, err error) {
	f.next++
	which := first + rand.IntN(count)
	if f.next%3 == 0 {
		text = fmt.Sprintf("value %d;", f.next)
		return text, f.server.Put(fmt.Sprintf("own/%d", which), text)
	}
	passes, differs := f.passes[which]
	switch {
	case !differs && f.next%3 == 1:
		passes, err = fleetEach-1, f.server.check(which, 0, api.HealthCritical, "")
	case !differs:
		passes, err = fleetEach+1, f.server.register(which, fleetEach, 8000, api.HealthPassing)
	case passes < fleetEach:
		err = f.server.check(which, 0, api.HealthPassing, "")
	default:
		err = f.server.deregister(which, fleetEach)
	}
	if differs {
		delete(f.passes, which)
		return has(which, fleetEach), err
	}
	f.passes[which] = passes
	return has(which, passes), err
}

// agrees checks that all files become what a render that starts now writes.
func (f *fleet) agrees(ctx context.Context) error {
	h := f.hosts[0]
	path := filepath.Join(h.dir, "fresh")
	spec := filepath.Join(h.dir, "file.ctmpl") + ":" + path
	if said, err := exec.CommandContext(ctx, h.binary, "--once", "--consul-addr", f.server.Addr, "--template", spec).CombinedOutput(); err != nil {
		return fmt.Errorf("render --once: %w: %s", err, said)
	}
	want, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, fleetAgrees)
	defer cancel()
	for i, h := range f.hosts {
		for {
			got, err := os.ReadFile(h.out.path("file"))
			if err != nil {
				return err
			}
			if bytes.Equal(got, want) {
				break
			}
			if err := pause(ctx, interval); err != nil {
				return h.render.fault(fmt.Errorf("host %d: the file differs from what a new render writes after %s", i, fleetAgrees))
			}
		}
	}
	return nil
}
