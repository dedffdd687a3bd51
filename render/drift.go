package render

import (
	"context"
	"crypto/sha256"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/fsnotify/fsnotify"
)

const (
	driftSettle = 200 * time.Millisecond // from a notification to the look at the file: who writes may not be done
	driftCheck  = time.Minute            // between looks at all files: not every change is notified
)

// A Drift says what becomes of a destination that somebody else has changed or removed.
type Drift string

// What becomes of such a destination; "" means IgnoreDrift.
const (
	WarnDrift   Drift = "warn"   // it is logged
	RepairDrift Drift = "repair" // it is written again, and the action runs
	IgnoreDrift Drift = "ignore"
)

func (d Drift) matters() bool { return d == WarnDrift || d == RepairDrift }

// driftWatch notices destinations that somebody else changes or removes.
type driftWatch struct {
	notifier *fsnotify.Watcher
	found    chan string // destinations that are not as they should be
	wg       sync.WaitGroup

	mu       sync.Mutex // guards what follows
	expected map[string]expected
	folders  map[string]bool
}

type expected struct {
	destination string
	sum         [sha256.Size]byte
	told        bool // that it is not so
}

// newDriftWatch starts to watch. It ends with ctx; wait waits for that.
func newDriftWatch(ctx context.Context) (*driftWatch, error) {
	notifier, err := fsnotify.NewWatcher()
	if err != nil {
		return nil, err
	}
	d := &driftWatch{
		notifier: notifier,
		found:    make(chan string),
		expected: make(map[string]expected),
		folders:  make(map[string]bool),
	}
	d.wg.Go(func() { d.run(ctx) })
	return d, nil
}

// watchDrift starts to watch the destinations, if any target wants that, and returns what ends it.
func (e *Engine) watchDrift(ctx context.Context) (end func()) {
	wanted := slices.ContainsFunc(e.targets, func(t *target) bool { return t.cfg.Drift.matters() })
	if !wanted || e.cfg.Once || e.cfg.Dry != nil {
		return func() {}
	}
	ctx, stop := context.WithCancel(ctx)
	var err error
	if e.drift, err = newDriftWatch(ctx); err != nil {
		e.log.Warn("changes of files by others will not be noticed", "err", err)
		return stop
	}
	return func() {
		stop()
		e.drift.wait()
	}
}

// news returns where drifted files come from; nil, from where nothing comes, for no watch.
func (d *driftWatch) news() <-chan string {
	if d == nil {
		return nil
	}
	return d.found
}

func (d *driftWatch) wait() {
	d.wg.Wait()
	_ = d.notifier.Close()
}

// expect notes what a destination should hold.
func (d *driftWatch) expect(destination string, sum [sha256.Size]byte) {
	path, err := realPath(destination)
	if err != nil {
		return
	}
	d.mu.Lock()
	d.expected[path] = expected{destination: destination, sum: sum}
	folder := filepath.Dir(path)
	isNew := !d.folders[folder]
	d.folders[folder] = true
	d.mu.Unlock()
	if isNew {
		_ = d.notifier.Add(folder) // a folder that cannot be watched is left to the regular check
	}
}

// lookLater has a destination found once more, by the next regular check.
func (d *driftWatch) lookLater(destination string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for path, x := range d.expected {
		if x.destination == destination {
			x.told = false
			d.expected[path] = x
		}
	}
}

// run looks at files that were touched, a little later, and at all of them now and then.
func (d *driftWatch) run(ctx context.Context) {
	touched := make(map[string]bool)
	var settled <-chan time.Time
	every := time.NewTicker(driftCheck)
	defer every.Stop()
	for {
		select {
		case event, ok := <-d.notifier.Events:
			if !ok {
				return
			}
			d.mu.Lock()
			_, ours := d.expected[event.Name]
			d.mu.Unlock()
			if ours {
				touched[event.Name] = true
			}
			if ours && settled == nil {
				settled = time.After(driftSettle)
			}
		case <-d.notifier.Errors: // the regular check will see what was lost
		case <-settled:
			settled = nil
			d.look(ctx, touched)
			clear(touched)
		case <-every.C:
			d.look(ctx, d.all())
		case <-ctx.Done():
			return
		}
	}
}

func (d *driftWatch) all() map[string]bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	all := make(map[string]bool, len(d.expected))
	for path := range d.expected {
		all[path] = true
	}
	return all
}

func (d *driftWatch) look(ctx context.Context, paths map[string]bool) {
	for path := range paths {
		d.mu.Lock()
		before := d.expected[path]
		d.mu.Unlock()
		contents, err := os.ReadFile(path)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			continue
		}
		drifted := err != nil || sha256.Sum256(contents) != before.sum
		d.mu.Lock()
		now := d.expected[path]
		news := drifted && now == before && !now.told
		now.told = drifted
		if now.sum == before.sum {
			d.expected[path] = now
		}
		d.mu.Unlock()
		if !news {
			continue
		}
		select {
		case d.found <- before.destination:
		case <-ctx.Done():
			return
		}
	}
}

// drifted deals with a destination that is not as it should be.
func (e *Engine) drifted(destination string, now time.Time) {
	for _, t := range e.targets {
		if t.cfg.Destination != destination {
			continue
		}
		if t.action.busy || !t.known { // it may be our own change
			e.drift.lookLater(destination)
			continue
		}
		t.drifted = true
		if t.cfg.Drift != RepairDrift {
			e.log.Warn("somebody has changed a file; it stays so until its template gives something else", "file", destination, "template", t.cfg.Source)
			continue
		}
		e.log.Warn("somebody has changed a file; it is written again", "file", destination, "template", t.cfg.Source)
		t.known = false
		t.wants = true
		t.causes = append(t.causes, destination+" was changed by somebody else")
		t.action.pace.changed(now)
		e.active[t.action] = true
	}
}
