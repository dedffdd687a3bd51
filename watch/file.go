package watch

import (
	"context"
	"crypto/sha256"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"sync"
	"time"

	"github.com/fsnotify/fsnotify"
)

const (
	fileQuiet    = 50 * time.Millisecond  // without an event ends a series of changes: editors write in several steps
	fileQuietMax = 500 * time.Millisecond // ends it although events go on
	fileCheck    = 2 * time.Second        // check the file although there is no event: NFS, links, a missing folder
	fileTick     = fileCheck / 8          // checks begin at multiples of this: a thousand quiet files wake the process for few moments
)

// Files is the Source of the kind "file": the contents of files, absent where there is no such file. It notices a file
// that is replaced, as editors and ConfigMaps do, because it watches folders and not files. Where a query has an OptSandbox,
// no byte from outside is ever read for it, whatever links are swapped meanwhile.
//
// A file is regular and has at most 256 MiB; anything else is an error. So is a file system that does not answer within 30
// seconds. At most one goroutine waits for such a file system on behalf of a query.
type Files struct {
	changing sync.Mutex        // held while the notifier's folders change; never by the goroutine that reads its events
	notifier *fsnotify.Watcher // nil where the system has none to give
	wg       sync.WaitGroup
	began    time.Time

	slots        chan struct{}     // one for each access under way
	beforeAccess func(path string) // of tests, to hang in; else nil

	mu      sync.Mutex                          // guards what follows
	waiting map[string]map[chan struct{}]string // by folder; with the name of the file that events have to be about, or ""
	files   map[place]*file
	indexes uint64 // that files have had: contents that differ never have the same, also where a file was forgotten meanwhile
}

// NewFiles returns a source of files, which Close ends. An error says why the system does not notify of changes, as where all
// instances of inotify are in use. The source can be used all the same: it notices a change within 2 seconds.
func NewFiles() (*Files, error) {
	notifier, err := fsnotify.NewWatcher()
	if err != nil {
		return newFiles(nil), fmt.Errorf("watch folders: %w; render notices changes of files within %s", err, fileCheck)
	}
	return newFiles(notifier), nil
}

func newFiles(notifier *fsnotify.Watcher) *Files {
	f := &Files{
		notifier: notifier,
		began:    time.Now(),
		slots:    make(chan struct{}, maxAccesses),
		waiting:  make(map[string]map[chan struct{}]string),
		files:    make(map[place]*file),
	}
	if notifier != nil {
		f.wg.Go(f.dispatch)
	}
	return f
}

// Close stops watching and returns when the source's goroutine has ended. It does not wait for a file system that hangs.
func (f *Files) Close() {
	f.changing.Lock()
	defer f.changing.Unlock()
	if f.notifier != nil {
		_ = f.notifier.Close()
	}
	f.wg.Wait()
}

// Fetch implements Source.
func (f *Files) Fetch(ctx context.Context, q Query, after uint64) (any, uint64, error) {
	if q.Kind != KindFile {
		return nil, 0, UnknownKind(q)
	}
	text, found, index, err := f.fetch(ctx, placeOf(q), after)
	if err != nil || !found {
		return nil, index, err
	}
	return text, index, nil
}

// Forget implements Forgetter. What is known of a file that hangs is kept until it answers.
func (f *Files) Forget(q Query) {
	if q.Kind != KindFile {
		return
	}
	at := placeOf(q)
	f.mu.Lock()
	defer f.mu.Unlock()
	if file := f.files[at]; file != nil && len(file.access) > 0 {
		file.forgotten = true
		return
	}
	delete(f.files, at)
}

func placeOf(q Query) place { return place{q.Name, q.Options().Get(OptSandbox)} }

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
	check := time.NewTimer(f.untilTick() + fileTick*rand.N(fileCheck/fileTick))
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
				check.Reset(f.untilTick() + fileCheck - fileTick)
			case <-ctx.Done():
				return "", false, 0, ctx.Err()
			}
		}
	}
}

// untilTick returns how long it is to the next moment at which checks begin.
func (f *Files) untilTick() time.Duration { return fileTick - time.Since(f.began)%fileTick }

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
	r, err := access(ctx, f, file, func() reading { return f.readNow(file) })
	if err != nil {
		return reading{err: err}
	}
	return r
}

// A file is what is known of a place. The index distinguishes the contents that were read there.
type file struct {
	at     place
	access chan struct{} // of size 1, full while a goroutine accesses the file; that goroutine owns sum, found and index

	began     time.Time // that access; Files.mu guards this and the next
	forgotten bool      // is to be dropped when that access ends

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
	f.files[at].forgotten = false
	return f.files[at]
}

// readNow reads a file and gives contents that differ from the last another index.
func (f *Files) readNow(file *file) reading {
	signature := file.at.signature()
	text, sum, found, err := file.at.contents()
	if err != nil {
		return reading{err: err}
	}
	if file.index == 0 || file.found != found || file.sum != sum {
		file.sum, file.found = sum, found
		f.mu.Lock()
		f.indexes++
		file.index = f.indexes
		f.mu.Unlock()
	}
	return reading{text: text, found: found, index: file.index, signature: signature}
}

// listen returns a channel that is notified of events in the folders of a file and of the file that it links to, and a
// function that ends this. A folder that cannot be watched is left to the regular check.
func (f *Files) listen(ctx context.Context, file *file) (events <-chan struct{}, stop func(), err error) {
	where, err := access(ctx, f, file, file.at.folders)
	if err != nil || f.notifier == nil {
		return nil, func() {}, err
	}

	ch := make(chan struct{}, 1)
	f.changing.Lock()
	defer f.changing.Unlock()
	for _, dir := range where.dirs {
		f.mu.Lock()
		first := len(f.waiting[dir]) == 0
		if first {
			f.waiting[dir] = make(map[chan struct{}]string)
		}
		f.waiting[dir][ch] = where.name
		f.mu.Unlock()
		if first {
			_ = f.notifier.Add(dir)
		}
	}

	return ch, func() {
		f.changing.Lock()
		defer f.changing.Unlock()
		for _, dir := range where.dirs {
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
			f.notify(filepath.Dir(event.Name), filepath.Base(event.Name))
		case _, ok := <-f.notifier.Errors: // an overflow: any file can have changed
			if !ok {
				return
			}
			f.notify("", "")
		}
	}
}

// notify wakes all who wait for a file of a folder, or for any file where dir is empty.
func (f *Files) notify(dir, name string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	wake := func(chans map[chan struct{}]string) {
		for ch, only := range chans {
			if dir != "" && only != "" && only != name {
				continue
			}
			select {
			case ch <- struct{}{}:
			default:
			}
		}
	}
	if dir != "" {
		wake(f.waiting[dir])
		return
	}
	for _, chans := range f.waiting {
		wake(chans)
	}
}
