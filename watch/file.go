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
	fileSettle    = 50 * time.Millisecond  // quiet that ends a row of changes: editors write in several steps
	fileSettleMax = 500 * time.Millisecond // but not longer than this
	fileCheck     = 2 * time.Second        // look at the file although nothing was notified: NFS, links, a missing folder
)

// Files is the Source of the kind "file": the contents of files, absent where there is no such file. It notices a file
// that is replaced, as editors and ConfigMaps do, because it watches folders and not files. Where a query has an OptSandbox,
// no byte from outside is ever read for it, whatever links are swapped meanwhile.
type Files struct {
	changing sync.Mutex // held while the notifier's folders change; never by the goroutine that reads its events
	notifier *fsnotify.Watcher
	wg       sync.WaitGroup

	mu      sync.Mutex // guards what follows
	waiting map[string]map[chan struct{}]bool
	known   map[place]*known
}

// known is what was last seen of a file. The index counts the contents seen.
type known struct {
	mu    sync.Mutex // held while the file is read: what was read first is known first
	sum   [sha256.Size]byte
	found bool
	index uint64
}

// NewFiles returns a source of files. Close ends it.
func NewFiles() (*Files, error) {
	notifier, err := fsnotify.NewWatcher()
	if err != nil {
		return nil, fmt.Errorf("watch files: %w", err)
	}
	f := &Files{notifier: notifier, waiting: make(map[string]map[chan struct{}]bool), known: make(map[place]*known)}
	f.wg.Go(f.dispatch)
	return f, nil
}

// Close stops watching and returns when the source's goroutine has ended.
func (f *Files) Close() {
	f.changing.Lock()
	defer f.changing.Unlock()
	_ = f.notifier.Close()
	f.wg.Wait()
}

// Fetch implements Source.
func (f *Files) Fetch(ctx context.Context, q Query, after uint64) (any, uint64, error) {
	if q.Kind != KindFile {
		return nil, 0, errUnknownKind(q)
	}
	text, found, index, err := f.fetch(ctx, place{q.Name, q.Options().Get(OptSandbox)}, after)
	if err != nil || !found {
		return nil, index, err
	}
	return text, index, nil
}

// fetch waits for contents with another index than after, like Source.Fetch.
func (f *Files) fetch(ctx context.Context, at place, after uint64) (text string, found bool, index uint64, err error) {
	if after == 0 {
		return f.read(at)
	}
	news, stop := f.listen(at.path)
	defer stop()
	check := time.NewTicker(fileCheck)
	defer check.Stop()
	for {
		seen := at.signature()
		text, found, index, err = f.read(at)
		if err != nil || index != after {
			return text, found, index, err
		}
		for changed := false; !changed; {
			select {
			case <-news:
				settle(ctx, news)
				changed = true
			case <-check.C:
				changed = at.signature() != seen
			case <-ctx.Done():
				return "", false, 0, ctx.Err()
			}
		}
	}
}

// settle returns when nothing has been notified for fileSettle, or after fileSettleMax.
func settle(ctx context.Context, news <-chan struct{}) {
	end := time.Now().Add(fileSettleMax)
	for {
		quiet := time.NewTimer(min(fileSettle, time.Until(end)))
		select {
		case <-news:
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

func (f *Files) read(at place) (text string, found bool, index uint64, err error) {
	k := f.knownOf(at)
	k.mu.Lock()
	defer k.mu.Unlock()
	var sum [sha256.Size]byte
	info, err := at.stat()
	switch {
	case isMissing(err):
	case err != nil:
		return "", false, 0, err
	case !info.Mode().IsRegular():
		return "", false, 0, fmt.Errorf("%s is not a regular file", at.path)
	default:
		b, err := at.read()
		if err != nil && !isMissing(err) {
			return "", false, 0, err
		}
		if err == nil {
			text, found, sum = string(b), true, sha256.Sum256(b)
		}
	}
	if k.index == 0 || k.found != found || k.sum != sum {
		k.sum, k.found = sum, found
		k.index++
	}
	return text, found, k.index, nil
}

func (f *Files) knownOf(at place) *known {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.known[at] == nil {
		f.known[at] = new(known)
	}
	return f.known[at]
}

// listen returns a channel that is notified of events in the folders of path and of the file that path links to, and a
// function that ends this. A folder that cannot be watched is left to the regular check.
func (f *Files) listen(path string) (news <-chan struct{}, stop func()) {
	dirs := []string{filepath.Dir(path)}
	if real, err := filepath.EvalSymlinks(path); err == nil && filepath.Dir(real) != dirs[0] {
		dirs = append(dirs, filepath.Dir(real))
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
	}
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
