//go:build linux

package main

import (
	"context"
	"errors"
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
	args    []string // for render
	env     []string // for render
	binary  string
	dir     string
	out     *output
}

type benchCase struct {
	name  string
	goals goals
	agent agentKind
	run   func(context.Context, *bench) (measured, error)
}

// groups returns all cases. Those of a group run at the same time.
func groups(quiet time.Duration) [][]benchCase {
	alone := []benchCase{
		{"one key, one file", goals{p50: 1.5}, roomy, oneKey},
		{"500 templates, a change of one", goals{p50: 4, cpu: 0.1}, roomy, ownKeys(500)},
		{"2,000 templates, a change of one", goals{p50: 4, cpu: 0.1}, roomy, ownKeys(2000)},
		{"500 templates on one key (CPU of one)", goals{p50: 150, cpu: 0.1}, roomy, sharedKey},
		{"1,000 services × 5, 20 changes/s", goals{cpu: 1}, roomy, churn("")},
		{"the same with a command", goals{cpu: 1}, roomy, churn(":true")},
		{"1,000 services × 5, start (CPU of one)", goals{p50: 350, cpu: 0.3, mem: 50}, stockHTTP, coldStart},
		{"tree of 10,000 keys", goals{p50: 25, cpu: 0.3}, roomy, tree},
		{"until nginx answers, -s reload", goals{}, roomy, nginxAnswers(reloadBySignal)},
		{"until nginx answers, reload.sh", goals{}, roomy, nginxAnswers(reloadByScript)},
		{"500 actions of one file (CPU of one)", goals{}, roomy, ownCommands},
	}
	var still []benchCase // they take long, and do next to nothing
	for _, s := range stockSizes() {
		alone = append(alone,
			benchCase{s.name + ", changes", goals{}, s.agent, stockChanges(s.count, s.slowest)},
			benchCase{s.name + ", 10 changes/s", goals{}, s.agent, stockChurn(s.count)})
		still = append(still, benchCase{s.name + ", quiet (CPU in %)", goals{}, s.agent, stockQuiet(s.count, quiet)})
	}
	still = append(still,
		benchCase{"1,000 quiet queries, HTTP (CPU in %)", goals{cpu: 1}, stockHTTP, quietQueries(quiet)},
		benchCase{"1,000 quiet queries, HTTPS (CPU in %)", goals{cpu: 1}, stockHTTPS, quietQueries(quiet)})
	var all [][]benchCase
	for _, c := range alone {
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

// changes starts render and makes changes one after another, with a pause after each. Next returns what a change is, and which files it brings
// which text.
func (b *bench) changes(ctx context.Context, n int, every time.Duration, specs []string,
	next func(i int) (text string, files []string, change func() error)) (m measured, err error) {
	p, err := b.startAndSettle(ctx, specs)
	if err != nil {
		return m, err
	}
	defer p.stop()
	return b.eachChange(ctx, p, n, every, next)
}

func (b *bench) eachChange(ctx context.Context, p *process, n int, every time.Duration,
	next func(i int) (text string, files []string, change func() error)) (m measured, err error) {
	var times []time.Duration
	for i := range n {
		text, files, change := next(i)
		began := time.Now()
		if err := change(); err != nil {
			return m, err
		}
		at, err := b.out.await(ctx, text, files...)
		if err != nil {
			return m, p.fault(err)
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
