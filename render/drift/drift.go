// Package drift finds destinations that somebody else changes or removes: a file, or a link on the way to it, is not what the
// last commit has made of it. What becomes of such a file is up to the client.
package drift

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

// Quiet is the time from a change to the check of the file.
const Quiet = 200 * time.Millisecond

// A Watch reports destinations that somebody else changes or removes. All its work on disk is in a goroutine of its own. Any
// goroutine may call its methods; on a nil Watch Reports, Expect and Wait do nothing.
type Watch struct {
	notices *notice.Watch
	reports chan *Expected

	checking sync.Mutex     // held during a check; guards folders, and what checks know of an Expected
	folders  map[string]int // how many names are in each

	mu       sync.Mutex             // guards what follows
	expected map[string]*Expected   // by destination
	added    []*Expected            // those that were not checked yet
	removed  []*Expected            // those that are not expected any more
	byName   map[string][]*Expected // by what is watched of them
}

// An Expected is what a destination should be. Whenever that changes there is a new one: what was found for the previous one
// does not apply to it.
type Expected struct {
	Destination string // as it is configured

	options disk.Options
	sum     [sha256.Size]byte
	size    int64

	disk  *disk.Expected // nil before the first check; guarded by Watch.checking
	names []string       // the same

	reported bool // as different; guarded by Watch.mu
}

// New starts a watch that expects nothing yet. It ends with ctx; Wait waits for its end. The watch closes notifier. Where notifier is
// nil, or a folder cannot be watched, the watch finds changes within notice.Interval.
func New(ctx context.Context, notifier *fsnotify.Watcher) *Watch {
	d := &Watch{
		reports: make(chan *Expected), folders: make(map[string]int),
		expected: make(map[string]*Expected), byName: make(map[string][]*Expected),
	}
	d.notices = notice.New(notifier, Quiet, Quiet, d.isExpected)
	d.notices.Start(ctx, func(changed map[string]bool) { d.Check(ctx, changed) })
	return d
}

// Wait returns when the watch has ended after its context.
func (d *Watch) Wait() {
	if d != nil {
		d.notices.Wait()
	}
}

// Reports returns the channel of destinations that have begun to be different. It is nil for a nil watch. The watch waits for
// its reader.
func (d *Watch) Reports() <-chan *Expected {
	if d == nil {
		return nil
	}
	return d.reports
}

// Expect notes what a destination should be, and makes a check of it come soon: somebody may have changed it before.
func (d *Watch) Expect(destination string, options disk.Options, sum [sha256.Size]byte, size int64) {
	if d == nil {
		return
	}
	x := &Expected{Destination: destination, options: options, sum: sum, size: size}
	d.mu.Lock()
	if last := d.expected[x.Destination]; last != nil {
		d.removed = append(d.removed, last)
	}
	d.expected[x.Destination] = x
	d.added = append(d.added, x)
	d.mu.Unlock()
	d.notices.Touch("")
}

// Keep forgets all destinations but these, which are named as they are configured.
func (d *Watch) Keep(destinations map[string]bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for destination, x := range d.expected {
		if !destinations[destination] {
			delete(d.expected, destination)
			d.removed = append(d.removed, x)
		}
	}
}

// IsCurrent reports whether x is what its destination should be now.
func (d *Watch) IsCurrent(x *Expected) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.expected[x.Destination] == x
}

// ReportLater makes the next regular check report a destination once more, where it is still different.
func (d *Watch) ReportLater(x *Expected) {
	d.mu.Lock()
	defer d.mu.Unlock()
	x.reported = false
}

func (d *Watch) isExpected(path string) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.byName[path]) > 0
}

// Check compares destinations with what they should be: those that Expect has added, and those with a changed path; all where changed
// is nil. It sends those that have begun to be different to Reports, and returns when they are received or ctx is done. The
// watch calls it for each change and regularly.
func (d *Watch) Check(ctx context.Context, changed map[string]bool) {
	d.checking.Lock()
	defer d.checking.Unlock()
	which := make(map[*Expected]bool)
	for _, x := range d.update() {
		which[x] = true
	}
	d.mu.Lock()
	for name := range changed {
		for _, x := range d.byName[name] {
			which[x] = true
		}
	}
	if changed == nil {
		for _, x := range d.expected {
			which[x] = true
		}
	}
	d.mu.Unlock()

	for x := range which {
		if x.disk == nil || !d.IsCurrent(x) {
			continue
		}
		differs, err := x.disk.Differs()
		if err != nil {
			continue
		}
		d.mu.Lock()
		begins := differs && !x.reported
		x.reported = differs
		d.mu.Unlock()
		if !begins {
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
func (d *Watch) update() (added []*Expected) {
	d.mu.Lock()
	added, removed := d.added, d.removed
	d.added, d.removed = nil, nil
	d.mu.Unlock()

	for _, x := range added {
		var err error
		if x.disk, err = disk.Expect(x.Destination, x.options, x.sum, x.size); err != nil {
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
			d.notices.Add(filepath.Dir(name))
		}
	}

	for _, x := range removed {
		d.mu.Lock()
		for _, name := range x.names {
			d.byName[name] = slices.DeleteFunc(d.byName[name], func(other *Expected) bool { return other == x })
			if len(d.byName[name]) == 0 {
				delete(d.byName, name)
			}
		}
		d.mu.Unlock()
		for _, name := range x.names {
			folder := filepath.Dir(name)
			if d.folders[folder]--; d.folders[folder] == 0 {
				delete(d.folders, folder)
				d.notices.Remove(folder)
			}
		}
	}
	return added
}
