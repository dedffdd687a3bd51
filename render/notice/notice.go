// Package notice reports changes of files in some folders, and calls a function with the changed paths when a row of changes
// has ended. It depends on no other package of render: its clients are the watch of destinations and the watch of templates.
package notice

import (
	"context"
	"sync"
	"time"

	"github.com/fsnotify/fsnotify"
)

// Interval is the time between two checks of all files. The system does not report every change.
const Interval = time.Minute

// A Watch calls a function when files in some folders have changed. The call comes with a delay: a writer may not be done.
// Any goroutine may call its methods.
type Watch struct {
	notifier *fsnotify.Watcher      // nil where the system does not report changes
	concerns func(path string) bool // whether a change of a path matters
	quiet    time.Duration          // from the last change to the check
	most     time.Duration          // from the first change to the check, however many follow
	changed  chan struct{}          // holds at most one
	wg       sync.WaitGroup

	mu      sync.Mutex // guards what follows
	touched map[string]bool
	folders map[string]bool
}

// New returns a watch of no folders. Start starts it.
//
// A check follows the last of a row of changes after quiet, and the first of them after at most most. The watch ignores changes
// of paths for which concerns returns false; concerns returns at once. The watch closes notifier. Where notifier is nil only
// Touch and the regular checks lead to calls.
func New(notifier *fsnotify.Watcher, quiet, most time.Duration, concerns func(path string) bool) *Watch {
	return &Watch{
		notifier: notifier, concerns: concerns, quiet: quiet, most: most,
		changed: make(chan struct{}, 1),
		touched: make(map[string]bool),
		folders: make(map[string]bool),
	}
}

// Start calls check with the paths that have changed, and every Interval with nil for all, until ctx is done. The calls come
// one after the other, in a goroutine of the watch. Wait waits for their end.
func (w *Watch) Start(ctx context.Context, check func(changed map[string]bool)) {
	if w.notifier != nil {
		w.wg.Go(func() { w.collect(ctx) })
	}
	w.wg.Go(func() {
		every := time.NewTicker(Interval)
		defer every.Stop()
		for {
			select {
			case <-w.changed:
				if !w.waitForQuiet(ctx) {
					return
				}
				check(w.drain())
			case <-every.C:
				check(nil)
			case <-ctx.Done():
				return
			}
		}
	})
}

// Wait returns when the watch has ended after its context, and closes the notifier.
func (w *Watch) Wait() {
	w.wg.Wait()
	if w.notifier != nil {
		_ = w.notifier.Close()
	}
}

// collect receives the events of the system. It waits for nothing else: a caller that adds a folder may have to wait for it.
func (w *Watch) collect(ctx context.Context) {
	for {
		select {
		case event := <-w.notifier.Events:
			if w.concerns(event.Name) {
				w.Touch(event.Name)
			}
		case <-w.notifier.Errors: // something was lost
			w.Touch("")
		case <-ctx.Done():
			return
		}
	}
}

// Touch makes a check of a path come soon. With an empty path the check is for no path in particular.
func (w *Watch) Touch(path string) {
	w.mu.Lock()
	w.touched[path] = true
	w.mu.Unlock()
	select {
	case w.changed <- struct{}{}:
	default:
	}
}

func (w *Watch) drain() (touched map[string]bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	touched, w.touched = w.touched, make(map[string]bool)
	return touched
}

// waitForQuiet returns true when nothing has changed for a while, and false where ctx was done first.
func (w *Watch) waitForQuiet(ctx context.Context) bool {
	end := time.Now().Add(w.most)
	for {
		quiet := time.NewTimer(min(w.quiet, time.Until(end)))
		select {
		case <-w.changed:
			quiet.Stop()
		case <-quiet.C:
			return true
		case <-ctx.Done():
			quiet.Stop()
			return false
		}
	}
}

// Add watches a folder. It does so again where the folder is watched already: somebody may have removed the folder and made
// it again. Only the regular checks find changes in a folder that cannot be watched.
func (w *Watch) Add(folder string) {
	if w.notifier == nil {
		return
	}
	w.mu.Lock()
	w.folders[folder] = true
	w.mu.Unlock()
	_ = w.notifier.Add(folder)
}

// Remove ends the watching of a folder.
func (w *Watch) Remove(folder string) {
	if w.notifier == nil {
		return
	}
	w.mu.Lock()
	delete(w.folders, folder)
	w.mu.Unlock()
	_ = w.notifier.Remove(folder)
}

// Keep ends the watching of all folders but these.
func (w *Watch) Keep(folders map[string]bool) {
	var ended []string
	w.mu.Lock()
	for folder := range w.folders {
		if !folders[folder] {
			ended = append(ended, folder)
			delete(w.folders, folder)
		}
	}
	w.mu.Unlock()
	for _, folder := range ended {
		_ = w.notifier.Remove(folder)
	}
}
