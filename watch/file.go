package watch

import (
	"context"
	"crypto/sha256"
	"fmt"
	"path/filepath"
	"sync"
	"time"

	"github.com/fsnotify/fsnotify"
)

const (
	fileQuiet    = 50 * time.Millisecond  // without an event ends a series of changes: editors write in several steps
	fileQuietMax = 500 * time.Millisecond // ends it although events go on
	fileCheck    = 2 * time.Second        // check the file although there is no event: NFS, links, a missing folder
)

// Files is the Source of the kind "file": the contents of files, absent where there is no such file. It notices a file
// that is replaced, as editors and ConfigMaps do, because it watches folders and not files. Where a query has an OptSandbox,
// no byte from outside is ever read for it, whatever links are swapped meanwhile.
//
// A file is regular and has at most 256 MiB; anything else is an error. So is a file system that does not answer within 30
// seconds. At most one goroutine waits for such a file system on behalf of a query.
type Files struct {
	changing sync.Mutex // held while the notifier's folders change; never by the goroutine that reads its events
	notifier *fsnotify.Watcher
	wg       sync.WaitGroup

	slots        chan struct{}     // one for each access under way
	beforeAccess func(path string) // of tests, to hang in; else nil

	mu      sync.Mutex // guards what follows
	waiting map[string]map[chan struct{}]bool
	files   map[place]*file
}

// NewFiles returns a source of files. Close ends it.
func NewFiles() (*Files, error) {
	notifier, err := fsnotify.NewWatcher()
	if err != nil {
		return nil, fmt.Errorf("watch files: %w", err)
	}
	f := &Files{
		notifier: notifier,
		slots:    make(chan struct{}, maxAccesses),
		waiting:  make(map[string]map[chan struct{}]bool),
		files:    make(map[place]*file),
	}
	f.wg.Go(f.dispatch)
	return f, nil
}

// Close stops watching and returns when the source's goroutine has ended. It does not wait for a file system that hangs.
func (f *Files) Close() {
	f.changing.Lock()
	defer f.changing.Unlock()
	_ = f.notifier.Close()
	f.wg.Wait()
}

// Fetch implements Source.
func (f *Files) Fetch(ctx context.Context, q Query, after uint64) (any, uint64, error) {
	if q.Kind != KindFile {
		return nil, 0, UnknownKind(q)
	}
	text, found, index, err := f.fetch(ctx, place{q.Name, q.Options().Get(OptSandbox)}, after)
	if err != nil || !found {
		return nil, index, err
	}
	return text, index, nil
}

// fetch waits for contents with another index than after, like Source.Fetch.
func (f *Files) fetch(ctx context.Context, at place, after uint64) (text string, found bool, index uint64, err error) {
	file := f.file(at)
	if after == 0 {
		r := f.read(ctx, file)
		return r.text, r.found, r.index, r.err
	}

	events, stop, err := f.listen(ctx, file)
	if err != nil {
		return "", false, 0, err
	}
	defer stop()
	check := time.NewTicker(fileCheck)
	defer check.Stop()

	for {
		r := f.read(ctx, file)
		if r.err != nil || r.index != after {
			return r.text, r.found, r.index, r.err
		}
		for changed := false; !changed; {
			select {
			case <-events:
				waitForQuiet(ctx, events)
				changed = true
			case <-check.C:
				signature, err := access(ctx, f, file, at.signature)
				if err != nil {
					return "", false, 0, err
				}
				changed = signature != r.signature
			case <-ctx.Done():
				return "", false, 0, ctx.Err()
			}
		}
	}
}

// waitForQuiet returns when there was no event for fileQuiet, or after fileQuietMax.
func waitForQuiet(ctx context.Context, events <-chan struct{}) {
	end := time.Now().Add(fileQuietMax)
	for {
		quiet := time.NewTimer(min(fileQuiet, time.Until(end)))
		select {
		case <-events:
			quiet.Stop()
			if time.Now().Before(end) {
				continue
			}
		case <-quiet.C:
		case <-ctx.Done():
			quiet.Stop()
		}
		return
	}
}

// A reading is what one read of a file returned.
type reading struct {
	text      string
	found     bool
	index     uint64
	signature string // from before the read
	err       error
}

// read reads a file, unless ctx is done before.
func (f *Files) read(ctx context.Context, file *file) reading {
	r, err := access(ctx, f, file, file.read)
	if err != nil {
		return reading{err: err}
	}
	return r
}

// A file is what is known of a place. The index counts the contents that were read there.
type file struct {
	at     place
	access chan struct{} // of size 1, full while a goroutine accesses the file; that goroutine owns sum, found and index
	began  time.Time     // that access; Files.mu guards it

	sum   [sha256.Size]byte
	found bool
	index uint64
}

func (f *Files) file(at place) *file {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.files[at] == nil {
		f.files[at] = &file{at: at, access: make(chan struct{}, 1)}
	}
	return f.files[at]
}

// read reads the file and counts contents that differ from the last.
func (file *file) read() reading {
	signature := file.at.signature()
	text, sum, found, err := file.at.contents()
	if err != nil {
		return reading{err: err}
	}
	if file.index == 0 || file.found != found || file.sum != sum {
		file.sum, file.found = sum, found
		file.index++
	}
	return reading{text: text, found: found, index: file.index, signature: signature}
}

// listen returns a channel that is notified of events in the folders of a file and of the file that it links to, and a
// function that ends this. A folder that cannot be watched is left to the regular check.
func (f *Files) listen(ctx context.Context, file *file) (events <-chan struct{}, stop func(), err error) {
	dirs, err := access(ctx, f, file, file.at.folders)
	if err != nil {
		return nil, nil, err
	}

	ch := make(chan struct{}, 1)
	f.changing.Lock()
	defer f.changing.Unlock()
	for _, dir := range dirs {
		f.mu.Lock()
		first := len(f.waiting[dir]) == 0
		if first {
			f.waiting[dir] = make(map[chan struct{}]bool)
		}
		f.waiting[dir][ch] = true
		f.mu.Unlock()
		if first {
			_ = f.notifier.Add(dir)
		}
	}

	return ch, func() {
		f.changing.Lock()
		defer f.changing.Unlock()
		for _, dir := range dirs {
			f.mu.Lock()
			delete(f.waiting[dir], ch)
			last := len(f.waiting[dir]) == 0
			if last {
				delete(f.waiting, dir)
			}
			f.mu.Unlock()
			if last {
				_ = f.notifier.Remove(dir)
			}
		}
	}, nil
}

// dispatch passes notifications on. It must never wait for anything: an unread notifier blocks its own Add and Remove.
func (f *Files) dispatch() {
	for {
		select {
		case event, ok := <-f.notifier.Events:
			if !ok {
				return
			}
			f.notify(filepath.Dir(event.Name))
		case _, ok := <-f.notifier.Errors: // an overflow: any file can have changed
			if !ok {
				return
			}
			f.notify("")
		}
	}
}

// notify wakes all who wait for a folder, or for any folder where dir is empty.
func (f *Files) notify(dir string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for d, chans := range f.waiting {
		if dir != "" && d != dir {
			continue
		}
		for ch := range chans {
			select {
			case ch <- struct{}{}:
			default:
			}
		}
	}
}
