package render_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"testing"

	"render/render"
	"render/watch"
)

const (
	benchTemplates = 500
	benchQueries   = 10 // of each template
)

// benchSource is a Source of keys in memory. A change wakes those alone who wait for its key.
type benchSource struct {
	mu   sync.Mutex
	keys map[string]*benchKey
}

type benchKey struct {
	index   uint64
	changed chan struct{} // closed when the index is no longer that
}

func (s *benchSource) key(name string) *benchKey {
	k := s.keys[name]
	if k == nil {
		k = &benchKey{index: 1, changed: make(chan struct{})}
		s.keys[name] = k
	}
	return k
}

func (s *benchSource) Fetch(ctx context.Context, q watch.Query, after uint64) (any, uint64, error) {
	s.mu.Lock()
	k := *s.key(q.Name)
	s.mu.Unlock()
	if k.index == after {
		select {
		case <-k.changed:
			k.index++
		case <-ctx.Done():
			return nil, 0, ctx.Err()
		}
	}
	return strconv.FormatUint(k.index, 10), k.index, nil
}

func (s *benchSource) change(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	k := s.key(name)
	k.index++
	close(k.changed)
	k.changed = make(chan struct{})
}

// benchWrites is a Writer that passes on that it was written to: once for each file, be it for Config.Dry or for a log.
type benchWrites chan struct{}

func (w benchWrites) Write(p []byte) (int, error) {
	w <- struct{}{}
	return len(p), nil
}

func (w benchWrites) wait(n int) {
	for range n {
		<-w
	}
}

// benchVariants are the ways to run an engine that tells of each file: to disk, and without one to see the engine itself.
var benchVariants = []struct {
	name   string
	config func(benchWrites) render.Config
}{
	{"disk", func(w benchWrites) render.Config { return render.Config{Log: slog.New(slog.NewTextHandler(w, nil))} }},
	{"dry", func(w benchWrites) render.Config { return render.Config{Dry: io.Writer(w)} }},
}

func BenchmarkColdStart500x5000(b *testing.B) {
	for _, v := range benchVariants {
		b.Run(v.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				b.StopTimer()
				written := make(benchWrites, benchTemplates)
				cfg := benchConfig(b, v.config(written))
				b.StartTimer()
				stop := benchRun(b, newBenchSource(), cfg)
				written.wait(benchTemplates)
				b.StopTimer()
				stop()
				b.StartTimer()
			}
		})
	}
}

func BenchmarkOneChange500x5000(b *testing.B) {
	for _, v := range benchVariants {
		b.Run(v.name, func(b *testing.B) {
			b.ReportAllocs()
			written := make(benchWrites, benchTemplates)
			src := newBenchSource()
			stop := benchRun(b, src, benchConfig(b, v.config(written)))
			defer stop()
			written.wait(benchTemplates)
			i := 0
			for b.Loop() {
				src.change(benchName(i%benchTemplates, i%benchQueries))
				written.wait(1)
				i++
			}
		})
	}
}

// BenchmarkApplySame5000 applies a configuration that is the same as before: 5,000 templates with a key each, in one folder.
func BenchmarkApplySame5000(b *testing.B) {
	const templates = 5000
	written := make(benchWrites, templates)
	cfg := render.Config{Log: slog.New(slog.NewTextHandler(written, nil)), WatchTemplates: true}
	dir := b.TempDir()
	for t := range templates {
		source := filepath.Join(dir, fmt.Sprintf("%d.ctmpl", t))
		if err := os.WriteFile(source, fmt.Appendf(nil, "# %d\n{{key %q}}\n", t, benchName(t, 0)), 0o644); err != nil {
			b.Fatal(err)
		}
		cfg.Targets = append(cfg.Targets, render.Target{Source: source, Destination: filepath.Join(dir, fmt.Sprint(t))})
	}
	engine, stop := benchEngine(b, newBenchSource(), cfg)
	defer stop()
	written.wait(templates)
	b.ReportAllocs()
	for b.Loop() {
		if err := engine.Apply(b.Context(), cfg); err != nil {
			b.Fatal(err)
		}
		written.wait(1) // a line of the log, and no file
	}
}

func newBenchSource() *benchSource { return &benchSource{keys: make(map[string]*benchKey)} }

func benchName(template, query int) string { return fmt.Sprintf("%d/%d", template, query) }

// benchConfig adds the templates to a configuration.
func benchConfig(b *testing.B, cfg render.Config) render.Config {
	dir := b.TempDir()
	for t := range benchTemplates {
		var text []byte
		for q := range benchQueries {
			text = fmt.Appendf(text, "{{key %q}}\n", benchName(t, q))
		}
		source := filepath.Join(dir, fmt.Sprintf("%d.ctmpl", t))
		if err := os.WriteFile(source, text, 0o644); err != nil {
			b.Fatal(err)
		}
		cfg.Targets = append(cfg.Targets, render.Target{Source: source, Destination: filepath.Join(dir, fmt.Sprint(t))})
	}
	return cfg
}

// benchRun runs an engine until stop is called.
func benchRun(b *testing.B, src watch.Source, cfg render.Config) (stop func()) {
	_, stop = benchEngine(b, src, cfg)
	return stop
}

func benchEngine(b *testing.B, src watch.Source, cfg render.Config) (engine *render.Engine, stop func()) {
	engine, err := render.New(src, cfg)
	if err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error)
	go func() { ended <- engine.Run(ctx) }()
	return engine, func() {
		cancel()
		if err := <-ended; err != nil {
			b.Error(err)
		}
	}
}
