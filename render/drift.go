package render

import (
	"context"
	"crypto/sha256"
	"errors"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/fsnotify/fsnotify"
)

const driftSettle = 200 * time.Millisecond // from a change to the look at the file

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
	*notices
	found chan *expected // what is not as it should be

	mu       sync.Mutex           // guards what follows
	expected map[string]*expected // by destination
	paths    map[string]bool      // of all that is expected, and of its links
}

// expected is what a destination should be. Whenever that changes there is a new one, so that what was seen of the one
// before does not count for it.
type expected struct {
	destination string
	path        string // from the root, where links lead
	link        string // from the root, where the destination itself is: path, where it is no link
	file        File
	sum         [sha256.Size]byte
	told        bool // that it is not so; guarded by driftWatch.mu
}

// newDriftWatch starts to watch. It ends with ctx; wait waits for that.
func newDriftWatch(ctx context.Context, notifier *fsnotify.Watcher) *driftWatch {
	d := &driftWatch{found: make(chan *expected), expected: make(map[string]*expected), paths: make(map[string]bool)}
	d.notices = newNotices(notifier, driftSettle, driftSettle, d.isExpected)
	d.start(ctx, func(touched map[string]bool) {
		d.look(ctx, func(x *expected) bool { return touched == nil || touched[x.path] || touched[x.link] })
	})
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

// news returns where drifted files come from; nil, from where nothing comes, for no watch.
func (d *driftWatch) news() <-chan *expected {
	if d == nil {
		return nil
	}
	return d.found
}

// expect notes what a destination should be, and has it looked at soon: what somebody did while it was not known is news now.
func (d *driftWatch) expect(t Target, sum [sha256.Size]byte) {
	x := &expected{destination: t.Destination, file: t.File, sum: sum}
	var err error
	if x.path, err = realPath(t.Destination); err != nil {
		return
	}
	if x.link, err = realName(t.Destination); err != nil {
		return
	}
	d.mu.Lock()
	d.forget(x.destination)
	d.expected[x.destination] = x
	d.paths[x.path], d.paths[x.link] = true, true
	d.mu.Unlock()
	d.watch(filepath.Dir(x.path))
	d.watch(filepath.Dir(x.link))
	d.touch(x.path)
}

// forget expects nothing more of a destination. It is called with mu held.
func (d *driftWatch) forget(destination string) {
	if x := d.expected[destination]; x != nil {
		delete(d.paths, x.path)
		delete(d.paths, x.link)
		delete(d.expected, destination)
	}
}

// expectOnly forgets all destinations but some, which are named as they are configured.
func (d *driftWatch) expectOnly(destinations map[string]bool) {
	folders := make(map[string]bool)
	d.mu.Lock()
	for destination, x := range d.expected {
		if destinations[destination] {
			folders[filepath.Dir(x.path)], folders[filepath.Dir(x.link)] = true, true
		} else {
			d.forget(destination)
		}
	}
	d.mu.Unlock()
	d.watchOnly(folders)
}

// isCurrent reports whether this is what is expected now.
func (d *driftWatch) isCurrent(x *expected) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.expected[x.destination] == x
}

// lookLater has a destination found once more, by the next regular check.
func (d *driftWatch) lookLater(x *expected) {
	d.mu.Lock()
	defer d.mu.Unlock()
	x.told = false
}

func (d *driftWatch) isExpected(path string) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.paths[path]
}

// look looks at some of the files, and gives news of those that have begun to be other than expected.
func (d *driftWatch) look(ctx context.Context, which func(*expected) bool) {
	d.mu.Lock()
	all := slices.Collect(maps.Values(d.expected))
	d.mu.Unlock()
	for _, x := range all {
		if !which(x) {
			continue
		}
		drifted, err := x.drifted()
		if err != nil {
			continue
		}
		d.mu.Lock()
		news := drifted && !x.told
		x.told = drifted
		d.mu.Unlock()
		if !news {
			continue
		}
		select {
		case d.found <- x:
		case <-ctx.Done():
			return
		}
	}
}

// drifted reports whether a file has other contents than expected, or other attributes than its target asks for.
func (x *expected) drifted() (bool, error) {
	if x.elsewhere() {
		return true, nil
	}
	is, err := readOld(x.path)
	if err != nil || !is.exists {
		return !is.exists, err
	}
	want, err := x.file.attributes(is.attributes)
	return want != is.attributes || sha256.Sum256(is.contents) != x.sum, err
}

// elsewhere reports whether the destination leads to another file than it did: a link was changed, or is none any more.
func (x *expected) elsewhere() bool {
	was, err := os.Stat(x.path)
	if err != nil {
		return false
	}
	is, err := os.Stat(x.destination)
	return errors.Is(err, fs.ErrNotExist) || err == nil && !os.SameFile(was, is)
}

// drifted deals with a destination that is not as it should be.
func (e *Engine) drifted(x *expected, now time.Time) {
	if !e.drift.isCurrent(x) {
		return // our own change, which was seen before it was expected
	}
	for _, t := range e.targets {
		if t.cfg.Destination != x.destination {
			continue
		}
		if t.action.busy || !t.known { // it may be our own change
			e.drift.lookLater(x)
			continue
		}
		t.drifted = true
		if t.cfg.Drift != RepairDrift {
			e.log.Warn("somebody has changed a file; it stays so until its template gives something else", "file", x.destination, "template", t.cfg.Source)
			continue
		}
		e.log.Warn("somebody has changed a file; it is written again", "file", x.destination, "template", t.cfg.Source)
		t.known = false
		t.wants = true
		t.causes = append(t.causes, x.destination+" was changed by somebody else")
		t.action.pace.changed(now)
		e.active[t.action] = true
	}
}
