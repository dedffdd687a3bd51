//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"render/watch/consultest"
)

// A bench is where a case runs.
type bench struct {
	*consultest.Agent
	address string   // of the agent for render
	env     []string // for render
	args    []string // for render
	binary  string
	dir     string
	data    string // folder of the agent's data
	out     *output
}

type benchCase struct {
	name  string
	agent agentKind
	run   func(context.Context, *bench) ([]row, error)
}

// alone makes the run of a case that has one row.
func alone(g goals, measure func(context.Context, *bench) (measured, error)) func(context.Context, *bench) ([]row, error) {
	return func(ctx context.Context, b *bench) ([]row, error) {
		m, err := measure(ctx, b)
		if err != nil {
			return nil, err
		}
		return []row{{goals: g, measured: m}}, nil
	}
}

// groups returns all cases. Those of a group run at the same time. Quiet is how long to measure where nothing or little changes.
func groups(quiet time.Duration) [][]benchCase {
	single := []benchCase{
		{"one key, one file", stockHTTP, alone(goals{p50: 1.8}, oneKey)},
		{"500 templates", stockHTTP, ownData(500, goals{p50: 8, p99: 40, cpu: 0.25})},
		{"500 templates, raised", raised, ownData(500, goals{p50: 4, cpu: 0.12})},
		{"2,000 templates", stockHTTP, ownData(2000, goals{p50: 20, cpu: 0.4})},
		{"2,000 templates, raised", raised, ownData(2000, goals{p50: 5, cpu: 0.15})},
		{"500 templates on one key (CPU of one)", stockHTTP, alone(goals{p50: 150, cpu: 0.12}, sharedKey)},
		{"1,000 services × 5", stockHTTP, oneFile(1000, 5, goals{p50: 40, cpu: 0.75}, goals{p50: 300, cpu: 0.75})},
		{"1,000 services × 5, raised", raised, oneFile(1000, 5, goals{p50: 15, cpu: 0.2}, goals{p50: 15, cpu: 0.2})},
		{"5,000 services × 2", stockHTTP, oneFile(5000, 2, goals{p50: 150}, goals{p50: 1500})},
		{"1,000 services × 5, 20 changes/s", stockHTTP, alone(goals{cpu: 1}, churn(""))},
		{"the same, raised", raised, alone(goals{cpu: 0.4}, churn(""))},
		{"the same with a command", stockHTTP, alone(goals{cpu: 1}, churn(":true"))},
		{"1,000 services × 5, start (CPU of one)", stockHTTP, alone(goals{p50: 250, cpu: 0.2, mem: 50}, coldStart)},
		{"tree of 10,000 keys", stockHTTP, alone(goals{p50: 15, cpu: 0.2}, tree)},
		{"no cliff, flips", stockHTTP, noCliff},
		{"until nginx answers, -s reload", stockHTTP, alone(goals{}, nginxAnswers(reloadBySignal))},
		{"until nginx answers, reload.sh", stockHTTP, alone(goals{}, nginxAnswers(reloadByScript))},
		{"500 actions of one file (CPU of one)", stockHTTP, alone(goals{}, ownCommands)},
	}
	still := []benchCase{{"500 queries (CPU in %)", stockHTTP, requestsFor500(quiet)}} // they take long, and do next to nothing
	for _, s := range stockSizes() {
		single = append(single,
			benchCase{s.name + ", changes", s.agent, alone(goals{}, stockChanges(s.count, s.slowest))},
			benchCase{s.name + ", 10 changes/s", s.agent, alone(goals{}, stockChurn(s.count))})
		still = append(still, benchCase{s.name + ", quiet (CPU in %)", s.agent, alone(goals{}, stockQuiet(s.count, quiet, s.quiet))})
	}
	still = append(still,
		benchCase{"1,000 quiet queries, HTTP (CPU in %)", stockHTTP, alone(goals{cpu: 0.5}, quietQueries(quiet, 40))},
		benchCase{"1,000 quiet queries, HTTPS (CPU in %)", stockHTTPS, alone(goals{cpu: 1}, quietQueries(quiet, 1000*60/45))})
	var all [][]benchCase
	for _, c := range single {
		all = append(all, []benchCase{c})
	}
	return append(all, still)
}

const (
	settle   = 300 * time.Millisecond // for the requests that follow an answer
	interval = 50 * time.Millisecond  // between one change and the next
)

// template writes a template whose file is to have the given name, and returns its --template value.
func (b *bench) template(name, text string) (spec string, err error) {
	source := filepath.Join(b.dir, name+".ctmpl")
	return source + ":" + b.out.path(name), os.WriteFile(source, []byte(text+"\n"), 0o644)
}

// startAndSettle starts render and returns when all its files are there and it waits for changes.
func (b *bench) startAndSettle(ctx context.Context, specs []string) (*process, error) {
	var names []string
	for _, spec := range specs {
		names = append(names, filepath.Base(strings.Split(spec, ":")[1]))
	}
	p, err := b.start(ctx, specs)
	if err != nil {
		return nil, err
	}
	if _, err = b.out.await(ctx, "", names...); err != nil {
		err = p.fault(err)
	} else if err = pause(ctx, settle); err == nil {
		err = p.reset()
	}
	if err != nil {
		p.stop()
	}
	return p, err
}

// A change is one of a series.
type change struct {
	make  func() error
	text  string   // that the change brings
	files []string // into these
}

// changes starts render and makes n changes one after another, with a pause after each.
func (b *bench) changes(ctx context.Context, n int, every time.Duration, specs []string, next func(i int) change) (m measured, err error) {
	p, err := b.startAndSettle(ctx, specs)
	if err != nil {
		return m, err
	}
	defer p.stop()
	return b.eachChange(ctx, p, n, every, next)
}

// eachChange makes n changes one after another, with a pause after each, once the one before is in the files.
func (b *bench) eachChange(ctx context.Context, p *process, n int, every time.Duration, next func(i int) change) (m measured, err error) {
	var times []time.Duration
	for i := range n {
		c := next(i)
		began := time.Now()
		if err := c.make(); err != nil {
			return m, err
		}
		at, err := b.out.await(ctx, c.text, c.files...)
		if err != nil {
			return m, p.fault(fmt.Errorf("change %d: %w", i, err))
		}
		times = append(times, at.Sub(began))
		if err := pause(ctx, every); err != nil {
			return m, err
		}
	}
	m, err = p.usage()
	m.times = times
	return m, err
}

// tail is longer than what render still reads of a change once the change is in the file.
const tail = 3 * time.Second

// changesWithTail is eachChange, with what render and the agent do for a while after the last change. The note has the agent's share.
func (b *bench) changesWithTail(ctx context.Context, p *process, n int, every time.Duration, next func(i int) change) (m measured, err error) {
	if err := p.reset(); err != nil {
		return m, err
	}
	before, err := loadOf(ctx, b.Agent)
	if err != nil {
		return m, err
	}
	m, err = b.eachChange(ctx, p, n, every, next)
	if err != nil {
		return m, err
	}
	if err := pause(ctx, tail); err != nil {
		return m, err
	}
	used, err := p.usage()
	if err != nil {
		return m, err
	}
	m.cpu, m.mem = used.cpu, used.mem

	after, err := loadOf(ctx, b.Agent)
	done := after.sub(before)
	m.note = fmt.Sprintf("%.1f requests a change, agent's CPU %.2f s", done.requests/float64(n), done.cpu)
	return m, err
}

// parallel calls do for 0 to n-1, a few at a time.
func parallel(n int, do func(i int) error) error {
	const workers = 8
	var wg sync.WaitGroup
	errs := make([]error, workers)
	for w := range workers {
		wg.Go(func() {
			for i := w; i < n && errs[w] == nil; i += workers {
				errs[w] = do(i)
			}
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}

func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
