package render

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"render/render/run"
	"render/render/status"
	"render/watch"
)

// world is a Source in memory. A query that was never set has no answer: who asks for it waits.
type world struct {
	mu      sync.Mutex
	index   uint64
	answers map[watch.Query]worldAnswer
	changed chan struct{}       // closed and replaced with each change
	first   map[watch.Query]int // plain reads
	open    map[watch.Query]int // requests under way
}

type worldAnswer struct {
	value any
	err   error
	index uint64
}

func newWorld() *world {
	return &world{
		answers: make(map[watch.Query]worldAnswer),
		changed: make(chan struct{}),
		first:   make(map[watch.Query]int),
		open:    make(map[watch.Query]int),
	}
}

func (w *world) Fetch(ctx context.Context, q watch.Query, after uint64) (any, uint64, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if after == 0 {
		w.first[q]++
	}
	w.open[q]++
	defer func() { w.open[q]-- }()
	end := time.NewTimer(time.Minute)
	defer end.Stop()
	for waited := false; ; {
		a, ok := w.answers[q]
		if ok && (a.err != nil || a.index != after || waited) {
			return a.value, a.index, a.err
		}
		changed := w.changed
		w.mu.Unlock()
		select {
		case <-changed:
		case <-end.C:
			waited = true
		case <-ctx.Done():
		}
		w.mu.Lock()
		if err := ctx.Err(); err != nil {
			return nil, 0, err
		}
	}
}

func (w *world) put(q watch.Query, value any, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.index++
	w.answers[q] = worldAnswer{value, err, w.index}
	close(w.changed)
	w.changed = make(chan struct{})
}

func (w *world) set(q watch.Query, value any)  { w.put(q, value, nil) }
func (w *world) fail(q watch.Query, err error) { w.put(q, nil, err) }

func (w *world) watchers(q watch.Query) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.open[q]
}

func kv(path string) watch.Query     { return watch.NewQuery(watch.KindKV, path, nil) }
func prefix(path string) watch.Query { return watch.NewQuery(watch.KindPrefix, path, nil) }
func service(name string) watch.Query {
	return watch.NewQuery(watch.KindService, name, nil)
}

var services = watch.NewQuery(watch.KindServices, "", nil)

func instances(name string, addresses ...string) []*watch.HealthService {
	list := []*watch.HealthService{}
	for _, a := range addresses {
		list = append(list, &watch.HealthService{Name: name, ID: name + a, Address: a, Port: 80, Status: watch.StatusPassing})
	}
	return list
}

func names(all ...string) []*watch.CatalogSnippet {
	list := []*watch.CatalogSnippet{}
	for _, n := range all {
		list = append(list, &watch.CatalogSnippet{Name: n})
	}
	return list
}

// rig runs an engine over a world, in a folder of its own: inside a synctest bubble or in real time.
type rig struct {
	t      *testing.T
	bubble bool
	idle   func() // in a bubble: returns when everybody waits
	world  *world
	dir    string
	engine *Engine
	log    *logBuffer
	stop   func() error // ends Run and returns what it returned
}

func newRig(t *testing.T) *rig {
	return &rig{t: t, idle: func() {}, world: newWorld(), dir: t.TempDir(), log: new(logBuffer)}
}

func (r *rig) path(name string) string { return filepath.Join(r.dir, name) }

func (r *rig) write(name, text string) string {
	r.t.Helper()
	if err := os.WriteFile(r.path(name), []byte(text), 0o644); err != nil {
		r.t.Fatal(err)
	}
	return r.path(name)
}

// target writes a template and returns the target that makes the file name from it.
func (r *rig) target(name, text string) Target {
	r.t.Helper()
	return Target{Source: r.write(name+".ctmpl", text), Destination: r.path(name)}
}

func (r *rig) read(name string) string {
	b, err := os.ReadFile(r.path(name))
	if err != nil {
		return "no file"
	}
	return string(b)
}

func (r *rig) wantFile(name, want string) {
	r.t.Helper()
	if got := r.read(name); got != want {
		r.t.Fatalf("%s holds %q, want %q\nlog:\n%s", name, got, want, r.log)
	}
}

func (r *rig) wantLog(part string) {
	r.t.Helper()
	if !strings.Contains(r.log.String(), part) {
		r.t.Fatalf("the log does not say %q:\n%s", part, r.log)
	}
}

// start runs the engine until the test ends or stop is called.
func (r *rig) start(cfg Config) {
	r.t.Helper()
	cfg.Log = r.log.logger()
	cfg.unnotified = r.bubble
	engine, err := New(r.world, cfg)
	if err != nil {
		r.t.Fatal(err)
	}
	r.engine = engine
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- engine.Run(ctx) }()
	r.stop = sync.OnceValue(func() error {
		cancel()
		return <-ended
	})
	r.t.Cleanup(func() {
		if err := r.stop(); err != nil && !cfg.Once {
			r.t.Errorf("Run gave %v", err)
		}
	})
	r.idle()
}

// run runs the engine to its end, for Config.Once.
func (r *rig) run(ctx context.Context, cfg Config) error {
	r.t.Helper()
	cfg.Once = true
	cfg.Log = r.log.logger()
	engine, err := New(r.world, cfg)
	if err != nil {
		r.t.Fatal(err)
	}
	return engine.Run(ctx)
}

func (r *rig) set(q watch.Query, value any) {
	r.world.set(q, value)
	r.idle()
}

func (r *rig) fail(q watch.Query, err error) {
	r.world.fail(q, err)
	r.idle()
}

func (r *rig) status() status.Status {
	r.t.Helper()
	s, err := r.engine.Status(context.Background())
	if err != nil {
		r.t.Fatal(err)
	}
	return s
}

// wantPasses compares how often each target was executed.
func (r *rig) wantPasses(want ...int) {
	r.t.Helper()
	var got []int
	for _, t := range r.status().Targets {
		got = append(got, t.Passes)
	}
	if len(got) != len(want) {
		r.t.Fatalf("got passes %v, want %v", got, want)
	}
	for i := range got {
		if got[i] != want[i] {
			r.t.Fatalf("got passes %v, want %v", got, want)
		}
	}
}

// await waits, in real time, for a condition.
func (r *rig) await(what string, done func() bool) {
	r.t.Helper()
	for end := time.Now().Add(20 * time.Second); !done(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			r.t.Fatalf("waited in vain for %s\nlog:\n%s", what, r.log)
		}
	}
}

// elapse lets (fake) time go by, and all that it brings.
func elapse(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

func (r *rig) lines(name string) int {
	return strings.Count(strings.TrimPrefix(r.read(name), "no file"), "\n")
}

// appends is a command that adds a line to a file.
func (r *rig) appends(name string) run.Command {
	return run.Command{Shell: "echo ran >> '" + r.path(name) + "'"}
}

// bubble runs a test where time stands still until everybody waits. It takes but one processor: on several, the race
// detector is brought down by timers of a bubble that end at the same time (golang/go#78156).
func bubble(t *testing.T, f func(t *testing.T, r *rig)) {
	t.Helper()
	defer oneProcessor()()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t)
		r.bubble, r.idle = true, synctest.Wait
		f(t, r)
	})
}

var processors struct {
	mu      sync.Mutex
	bubbles int
	before  int
}

// oneProcessor has the process use one processor until all bubbles have ended.
func oneProcessor() (end func()) {
	p := &processors
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.bubbles++; p.bubbles == 1 {
		p.before = runtime.GOMAXPROCS(1)
	}
	return func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		if p.bubbles--; p.bubbles == 0 {
			runtime.GOMAXPROCS(p.before)
		}
	}
}

// logBuffer keeps what is logged.
type logBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *logBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *logBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

// count returns how many lines have this message.
func (b *logBuffer) count(msg string) int {
	n := 0
	for line := range strings.Lines(b.String()) {
		var entry struct{ Msg string }
		if json.Unmarshal([]byte(line), &entry) == nil && entry.Msg == msg {
			n++
		}
	}
	return n
}

func (b *logBuffer) logger() *slog.Logger {
	return slog.New(slog.NewJSONHandler(b, &slog.HandlerOptions{Level: slog.LevelDebug}))
}

// of returns a configuration with one action of these targets.
func of(a Action, targets ...Target) Config {
	a.Name = "action"
	for i := range targets {
		targets[i].Action = a.Name
	}
	return Config{Actions: []Action{a}, Targets: targets}
}

// wantClean checks that nothing of ours is left beside the destinations.
func (r *rig) wantClean() {
	r.t.Helper()
	entries, err := os.ReadDir(r.dir)
	if err != nil {
		r.t.Fatal(err)
	}
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), ".render-") {
			r.t.Errorf("left behind: %s: %q\nlog:\n%s", e.Name(), r.read(e.Name()), r.log)
		}
	}
}

// sh returns a line for sh that runs in the rig's folder.
func (r *rig) sh(line string) run.Command { return run.Command{Shell: "cd '" + r.dir + "'; " + line} }
