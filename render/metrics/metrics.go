// Package metrics shows an engine to those who watch over it: [Metrics] in Prometheus's format, and a [Health] for probes.
//
// What comes from outside has bounds: labels are the names of actions, the addresses of Consul, and words of ours. Names of actions are
// those of the configuration; they are made printable, are cut, and at most [MaxActions] have a label of their own. An action without a
// name has the ID of its command, or its one file. No query, no command and no answer is a label.
package metrics

import (
	"context"
	"log/slog"
	"net/http"
	"runtime"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"render/render/history"
	"render/render/status"
)

const (
	mostScrapes = 4               // at a time; a further one gets an error
	loopWait    = 5 * time.Second // that a scrape waits for the engine's loop
)

// An Engine is what metrics and health are about: a render.Engine.
type Engine interface {
	Snapshot(ctx context.Context) (*status.Snapshot, error)
	Progress(ctx context.Context) (status.Progress, error)
	History() *history.Log
}

// Metrics are the metrics of an engine.
type Metrics struct {
	engine   Engine
	registry *prometheus.Registry
	log      *slog.Logger
	wait     time.Duration // that a scrape waits for the engine's loop

	passes       prometheus.Histogram
	passFailures prometheus.Counter
	commits      prometheus.Histogram
	steps        *prometheus.HistogramVec
	stepFailures *prometheus.CounterVec
	files, bytes prometheus.Counter // written

	mu      sync.Mutex // guards what follows
	actions actions
}

// New returns the metrics of an engine, and counts from now on what it does. The version is that of the program. Log gets the errors of scrapes.
func New(engine Engine, version string, log *slog.Logger) *Metrics {
	m := &Metrics{
		engine: engine, registry: prometheus.NewRegistry(), log: log, wait: loopWait, actions: newActions(),
		passes: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "render_pass_duration_seconds", Help: "Time of the executions of templates.",
			Buckets: []float64{0.0001, 0.0005, 0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5, 20, 60},
		}),
		passFailures: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "render_pass_failures_total", Help: "Executions of templates that failed.",
		}),
		commits: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "render_commit_duration_seconds", Help: "Time of commits, with their checks, commands and verifications.",
			Buckets: []float64{0.001, 0.005, 0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120},
		}),
		steps: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "render_step_duration_seconds", Help: "Time that a commit spent on its checks, its command, its signal or its verification.",
			Buckets: []float64{0.001, 0.005, 0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120},
		}, []string{"step"}),
		stepFailures: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "render_step_failures_total", Help: "Commits whose check, command, signal or verification failed.",
		}, []string{"step"}),
		files: prometheus.NewCounter(prometheus.CounterOpts{Name: "render_written_files_total", Help: "Files that commits wrote or appended to."}),
		bytes: prometheus.NewCounter(prometheus.CounterOpts{Name: "render_written_bytes_total", Help: "Bytes that commits wrote or appended."}),
	}
	for _, step := range []string{"check", "command", "verify"} {
		m.steps.WithLabelValues(step)
		m.stepFailures.WithLabelValues(step)
	}
	build := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "render_build_info", Help: "The version of render; always 1.",
		ConstLabels: prometheus.Labels{"version": clean(version), "goversion": runtime.Version()},
	})
	build.Set(1)
	m.registry.MustRegister(
		m.passes, m.passFailures, m.commits, m.steps, m.stepFailures, m.files, m.bytes, build, collector{m},
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
	)
	engine.History().Observe(m)
	return m
}

// Handler returns what answers scrapes, without compression: the server compresses.
func (m *Metrics) Handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{
		MaxRequestsInFlight: mostScrapes, DisableCompression: true, ErrorHandling: promhttp.ContinueOnError,
		ErrorLog: slog.NewLogLogger(m.log.Handler(), slog.LevelDebug),
	})
}

// Passed implements history.Observer.
func (m *Metrics) Passed(took time.Duration, failed bool) {
	m.passes.Observe(took.Seconds())
	if failed {
		m.passFailures.Inc()
	}
}

// Committed implements history.Observer.
func (m *Metrics) Committed(c *history.Commit) {
	m.commits.Observe(c.Seconds)
	for _, s := range c.Steps {
		m.steps.WithLabelValues(s.Kind).Observe(s.Seconds)
		if s.Error != "" {
			m.stepFailures.WithLabelValues(s.Kind).Inc()
		}
	}
	for _, f := range c.Files {
		if f.Result == history.Written || f.Result == history.Appended {
			m.files.Inc()
			m.bytes.Add(float64(max(0, f.Size)))
		}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.actions.count(c)
}
