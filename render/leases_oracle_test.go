package render

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"time"

	"render/render/status"
	"render/watch"
)

// A lessor is a Source of passwords that are leased. It ends leases the moment that it may: where the real one waits for a while, a
// mistake could hide.
type lessor struct {
	ended func(password string) // is called when a lease has ended

	mu      sync.Mutex // guards what follows
	name    string
	index   uint64
	leases  map[watch.Query]*leased
	changed chan struct{} // closed and replaced with each change
}

// leased is what a lessor has leased for a query.
type leased struct {
	value    *watch.Secret
	index    uint64
	since    uint64 // the first index of the value
	replaced []string
}

func newLessor(name string, ended func(string)) *lessor {
	return &lessor{ended: ended, name: name, leases: make(map[watch.Query]*leased), changed: make(chan struct{})}
}

// lease leases another password. The mutex is held.
func (l *lessor) lease(e *leased) {
	l.index++
	if e.value != nil {
		e.replaced = append(e.replaced, passwordOf(e.value))
	}
	e.value = &watch.Secret{Data: map[string]any{"password": fmt.Sprintf("<%s-%d>", l.name, l.index)}}
	e.index, e.since = l.index, l.index
	close(l.changed)
	l.changed = make(chan struct{})
}

func passwordOf(s *watch.Secret) string { return s.Data["password"].(string) }

// rotate replaces a lease, or renews it: then the answer is the same with another index.
func (l *lessor) rotate(random *rand.Rand) {
	l.mu.Lock()
	defer l.mu.Unlock()
	all := slices.SortedFunc(maps.Keys(l.leases), func(a, b watch.Query) int { return strings.Compare(a.Name, b.Name) })
	if len(all) == 0 {
		return
	}
	e := l.leases[all[random.IntN(len(all))]]
	if random.IntN(4) > 0 {
		l.lease(e)
		return
	}
	l.index++
	e.index, e.value = l.index, e.value.Until(time.Now().Add(time.Hour), 3600)
	close(l.changed)
	l.changed = make(chan struct{})
}

// Fetch implements watch.Source.
func (l *lessor) Fetch(ctx context.Context, q watch.Query, after uint64) (any, uint64, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	end := time.NewTimer(time.Minute)
	defer end.Stop()
	for waited := false; ; {
		e := l.leases[q]
		if e == nil {
			e = new(leased)
			l.leases[q] = e
			l.lease(e)
		}
		if e.index != after || waited {
			return e.value, e.index, nil
		}
		changed := l.changed
		l.mu.Unlock()
		select {
		case <-changed:
		case <-end.C:
			waited = true
		case <-ctx.Done():
		}
		l.mu.Lock()
		if err := ctx.Err(); err != nil {
			return nil, 0, err
		}
	}
}

// Applied implements watch.Applier.
func (l *lessor) Applied(q watch.Query, index uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	e := l.leases[q]
	if e == nil || index < e.since {
		return
	}
	for _, password := range e.replaced {
		l.ended(password)
	}
	e.replaced = nil
}

// Forget implements watch.Forgetter.
func (l *lessor) Forget(q watch.Query) {
	l.mu.Lock()
	defer l.mu.Unlock()
	e := l.leases[q]
	if e == nil {
		return
	}
	for _, password := range append(e.replaced, passwordOf(e.value)) {
		l.ended(password)
	}
	delete(l.leases, q)
}

// leaseFragments are parts of templates that use leased passwords, as fragmentsInFlight are. The last one uses none of the password.
var leaseFragments = []string{
	`{{with secret "a"}}{{.Data.password}}{{end}}`,
	`{{with secret "b"}}{{.Data.password}}{{end}}`,
	`{{with secret (printf "c/%s" (keyOrDefault "a" "none"))}}{{.Data.password}}{{end}}`,
	`{{if keyExists "b"}}{{with secret "b"}}{{.Data.password}}{{end}}{{end}}`,
	`{{with secret "a"}}{{writeToFile "DIR/NAME.password" "" "" "0600" .Data.password}}{{end}}`,
	`{{with secret "d"}}text{{end}}`,
}

// endLease checks that no file in use has the password of a lease that has ended. What a file had while its target was gone is not in use
// when the target is back, until it is applied.
func (f *flight) endLease(password string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.dead {
		return
	}
	f.noteAbandoned()
	for path := range f.inConfig {
		if text := readFile(path); f.inUse(path) && strings.Contains(text, password) && !f.abandoned[path][text] {
			f.t.Errorf("the lease of %s has ended, which %s holds: %q", password, path, text)
		}
	}
}

// begin notes a configuration that the engine begins with, offer one that it is to have instead, and land what became of that. The mutex
// is held.
func (f *flight) begin(cfg Config) {
	f.inConfig, f.coming, f.abandoned = destinations(cfg), nil, make(map[string]map[string]bool)
}

func (f *flight) offer(cfg Config) *comingConfig {
	f.noteAbandoned()
	c := &comingConfig{destinations(cfg)}
	f.coming = append(f.coming, c)
	return c
}

func (f *flight) land(c *comingConfig, err error) {
	i := slices.Index(f.coming, c)
	if i < 0 {
		return // of a run before
	}
	f.noteAbandoned()
	f.coming = slices.Delete(f.coming, i, i+1)
	if err == nil {
		f.inConfig = c.destinations
	}
}

// A comingConfig was offered to the engine, which has not said yet whether it takes it.
type comingConfig struct{ destinations map[string]bool }

func destinations(cfg Config) map[string]bool {
	all := make(map[string]bool)
	for _, t := range cfg.Targets {
		all[t.Destination] = true
	}
	return all
}

// inUse reports whether a file is one of the configuration in effect, and of each that is to come. The mutex is held.
func (f *flight) inUse(path string) bool {
	return f.inConfig[path] && !slices.ContainsFunc(f.coming, func(c *comingConfig) bool { return !c.destinations[path] })
}

// noteAbandoned notes what the files have that are not in use: commits that were in flight when their targets went may write them
// afterwards. The mutex is held.
func (f *flight) noteAbandoned() {
	for i := range 4 {
		path := f.r.path(fmt.Sprint("t", i))
		if f.inUse(path) {
			continue
		}
		if f.abandoned[path] == nil {
			f.abandoned[path] = make(map[string]bool)
		}
		f.abandoned[path][readFile(path)] = true
	}
}

// noteApplied notes that a target was seen to be applied: its file is in use again, if its configuration has been taken.
func (f *flight) noteApplied(path string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.inUse(path) {
		delete(f.abandoned, path)
	}
}

// wantLeases checks, when all is applied, that there is a lease for each secret that a template uses, and no other.
func (f *flight) wantLeases() {
	f.t.Helper()
	e := f.r.engine
	used := make(map[string]bool)
	for _, s := range f.idle().Targets {
		t := e.byDestination[s.Destination]
		if s.State != status.Applied || t == nil {
			return
		}
		for _, q := range f.scratch(t).Execute(context.Background(), func(q watch.Query) (any, bool) { return e.graph.Value(q) }).Used {
			if q.Kind == watch.KindSecret {
				used[q.String()] = true
			}
		}
	}
	f.lessor.mu.Lock()
	defer f.lessor.mu.Unlock()
	for q, l := range f.lessor.leases {
		if !used[q.String()] || len(l.replaced) > 0 {
			f.t.Fatalf("%s has leases that nobody uses: used are %v, its leases are %s and before %v", q, used, passwordOf(l.value), l.replaced)
		}
		delete(used, q.String())
	}
	if len(used) > 0 {
		f.t.Fatalf("no lease for %v", used)
	}
}
