package render

import (
	"context"
	"crypto/sha256"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/fsnotify/fsnotify"

	"render/render/disk"
	"render/render/notice"
)

const driftQuiet = 200 * time.Millisecond // from a change to the look at the file

// A Drift says what becomes of a destination that somebody else has changed or removed.
type Drift string

// What becomes of such a destination; "" means IgnoreDrift.
const (
	WarnDrift   Drift = "warn"   // it is logged
	RepairDrift Drift = "repair" // it is written again, and the action runs
	IgnoreDrift Drift = "ignore"
)

func (d Drift) matters() bool { return d == WarnDrift || d == RepairDrift }

// driftWatch notices destinations that somebody else changes or removes. All that it does on disk it does in a goroutine of
// its own.
type driftWatch struct {
	*notice.Watch
	reports chan *expected

	looking sync.Mutex     // held during a look; guards what follows, and what looks know of expected
	folders map[string]int // how many names are in each

	mu       sync.Mutex             // guards what follows
	expected map[string]*expected   // by destination
	added    []*expected            // those that were not looked at yet
	removed  []*expected            // those that are not expected any more
	byName   map[string][]*expected // by what is watched of them
}

// expected is what a destination should be. Whenever that changes there is a new one, so that what was seen of the one
// before does not count for it.
type expected struct {
	destination string
	options     disk.Options
	sum         [sha256.Size]byte
	size        int64

	disk  *disk.Expected // nil before the first look; guarded by driftWatch.looking
	names []string       // the same

	reported bool // as different; guarded by driftWatch.mu
}

func newDriftWatch(ctx context.Context, notifier *fsnotify.Watcher) *driftWatch {
	d := &driftWatch{
		reports: make(chan *expected), folders: make(map[string]int),
		expected: make(map[string]*expected), byName: make(map[string][]*expected),
	}
	d.Watch = notice.New(notifier, driftQuiet, driftQuiet, d.isExpected)
	d.Start(ctx, func(touched map[string]bool) { d.look(ctx, touched) })
	return d
}

// watchDrift starts to watch the destinations where a target wants that, and forgets those that none does any more.
func (e *Engine) watchDrift(ctx context.Context) {
	wanted := make(map[string]bool)
	for _, t := range e.targets {
		if t.cfg.Drift.matters() {
			wanted[t.cfg.Destination] = true
		}
	}
	if e.drift != nil {
		e.drift.expectOnly(wanted)
	}
	if e.drift != nil || len(wanted) == 0 || e.cfg.Once || e.cfg.Dry != nil {
		return
	}
	e.drift = newDriftWatch(ctx, e.notifier("changes of files by others will be noticed late"))
}

// found returns where drifted files come from; nil, from where nothing comes, for no watch.
func (d *driftWatch) found() <-chan *expected {
	if d == nil {
		return nil
	}
	return d.reports
}

// expect notes what a destination should be, and has it looked at soon: what somebody did while it was not known is news now.
func (d *driftWatch) expect(t Target, sum [sha256.Size]byte, size int64) {
	if d == nil || !t.Drift.matters() {
		return
	}
	x := &expected{destination: t.Destination, options: t.File, sum: sum, size: size}
	d.mu.Lock()
	if last := d.expected[x.destination]; last != nil {
		d.removed = append(d.removed, last)
	}
	d.expected[x.destination] = x
	d.added = append(d.added, x)
	d.mu.Unlock()
	d.Touch("")
}

// expectOnly forgets all destinations but some, which are named as they are configured.
func (d *driftWatch) expectOnly(destinations map[string]bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for destination, x := range d.expected {
		if !destinations[destination] {
			delete(d.expected, destination)
			d.removed = append(d.removed, x)
		}
	}
}

// isCurrent reports whether this is what is expected now.
func (d *driftWatch) isCurrent(x *expected) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.expected[x.destination] == x
}

// reportLater has a destination reported once more, by the next regular check.
func (d *driftWatch) reportLater(x *expected) {
	d.mu.Lock()
	defer d.mu.Unlock()
	x.reported = false
}

func (d *driftWatch) isExpected(path string) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.byName[path]) > 0
}

// look compares files with what is expected of them: those that are new, and those that were touched; all where touched is
// nil. It reports those that have begun to be different.
func (d *driftWatch) look(ctx context.Context, touched map[string]bool) {
	d.looking.Lock()
	defer d.looking.Unlock()
	which := make(map[*expected]bool)
	for _, x := range d.update() {
		which[x] = true
	}
	d.mu.Lock()
	for name := range touched {
		for _, x := range d.byName[name] {
			which[x] = true
		}
	}
	if touched == nil {
		for _, x := range d.expected {
			which[x] = true
		}
	}
	d.mu.Unlock()

	for x := range which {
		if x.disk == nil || !d.isCurrent(x) {
			continue
		}
		differs, err := x.disk.Differs()
		if err != nil {
			continue
		}
		d.mu.Lock()
		news := differs && !x.reported
		x.reported = differs
		d.mu.Unlock()
		if !news {
			continue
		}
		select {
		case d.reports <- x:
		case <-ctx.Done():
			return
		}
	}
}

// update watches what is expected now, and returns what is new.
func (d *driftWatch) update() (added []*expected) {
	d.mu.Lock()
	added, removed := d.added, d.removed
	d.added, d.removed = nil, nil
	d.mu.Unlock()

	for _, x := range added {
		var err error
		if x.disk, err = disk.Expect(x.destination, x.options, x.sum, x.size); err != nil {
			x.disk = nil
			continue
		}
		x.names = x.disk.Names()
		d.mu.Lock()
		for _, name := range x.names {
			d.byName[name] = append(d.byName[name], x)
		}
		d.mu.Unlock()
		for _, name := range x.names { // also where it is watched: it may have been removed and made again
			d.folders[filepath.Dir(name)]++
			d.Add(filepath.Dir(name))
		}
	}

	for _, x := range removed {
		d.mu.Lock()
		for _, name := range x.names {
			d.byName[name] = slices.DeleteFunc(d.byName[name], func(other *expected) bool { return other == x })
			if len(d.byName[name]) == 0 {
				delete(d.byName, name)
			}
		}
		d.mu.Unlock()
		for _, name := range x.names {
			folder := filepath.Dir(name)
			if d.folders[folder]--; d.folders[folder] == 0 {
				delete(d.folders, folder)
				d.Remove(folder)
			}
		}
	}
	return added
}

// drifted deals with a destination that is not as it should be.
func (e *Engine) drifted(x *expected, now time.Time) {
	if !e.drift.isCurrent(x) {
		return // our own change, which was seen before it was expected
	}
	t := e.byDestination[x.destination]
	if t == nil {
		return
	}
	if t.action.busy || !t.known { // it may be our own change
		e.drift.reportLater(x)
		return
	}
	t.drifted = true
	if t.cfg.Drift != RepairDrift {
		e.log.Warn("somebody has changed a file; it stays so until its template gives something else", "file", x.destination, "template", t.cfg.Source)
		return
	}
	e.log.Warn("somebody has changed a file; it is written again", "file", x.destination, "template", t.cfg.Source)
	t.doubt()
	t.wants = true
	t.addCause(x.destination + " was changed by somebody else")
	t.action.pace.changed(now)
	e.moved(t)
	e.schedule.now(t.action)
}
