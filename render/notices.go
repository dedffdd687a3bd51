package render

import (
	"context"
	"sync"
	"time"

	"github.com/fsnotify/fsnotify"
)

const lookEvery = time.Minute // between looks at all files: not every change is told of

// notices tell of changes of files in some folders, a little later: who writes may not be done.
type notices struct {
	notifier *fsnotify.Watcher      // nil where the system does not tell of changes
	concerns func(path string) bool // whether a change of a path matters
	quiet    time.Duration          // from the last change to the look at it
	most     time.Duration          // from the first, however many follow
	news     chan struct{}          // holds one at most
	wg       sync.WaitGroup

	mu      sync.Mutex // guards what follows
	touched map[string]bool
	folders map[string]bool
}

func newNotices(notifier *fsnotify.Watcher, quiet, most time.Duration, concerns func(string) bool) *notices {
	return &notices{
		notifier: notifier, concerns: concerns, quiet: quiet, most: most,
		news:    make(chan struct{}, 1),
		touched: make(map[string]bool),
		folders: make(map[string]bool),
	}
}

// start calls look with the paths that were touched, and now and then with nil, until ctx is done; wait waits for that.
func (n *notices) start(ctx context.Context, look func(touched map[string]bool)) {
	if n.notifier != nil {
		n.wg.Go(func() { n.collect(ctx) })
	}
	n.wg.Go(func() {
		every := time.NewTicker(lookEvery)
		defer every.Stop()
		for {
			select {
			case <-n.news:
				if !n.settle(ctx) {
					return
				}
				look(n.take())
			case <-every.C:
				look(nil)
			case <-ctx.Done():
				return
			}
		}
	})
}

func (n *notices) wait() {
	n.wg.Wait()
	if n.notifier != nil {
		_ = n.notifier.Close()
	}
}

// collect takes what the system tells. It waits for nothing else: who adds a folder may have to wait for it.
func (n *notices) collect(ctx context.Context) {
	for {
		select {
		case event := <-n.notifier.Events:
			if n.concerns(event.Name) {
				n.touch(event.Name)
			}
		case <-n.notifier.Errors: // something was lost
			n.touch("")
		case <-ctx.Done():
			return
		}
	}
}

// touch has a look at a path come soon; at none in particular where it is empty.
func (n *notices) touch(path string) {
	n.mu.Lock()
	n.touched[path] = true
	n.mu.Unlock()
	select {
	case n.news <- struct{}{}:
	default:
	}
}

func (n *notices) take() (touched map[string]bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	touched, n.touched = n.touched, make(map[string]bool)
	return touched
}

// settle returns when nothing more has changed for a while, and false where ctx was done first.
func (n *notices) settle(ctx context.Context) bool {
	end := time.Now().Add(n.most)
	for {
		quiet := time.NewTimer(min(n.quiet, time.Until(end)))
		select {
		case <-n.news:
			quiet.Stop()
		case <-quiet.C:
			return true
		case <-ctx.Done():
			quiet.Stop()
			return false
		}
	}
}

// watch adds a folder; once more where it is watched already: it may have been removed and made again. One that cannot be
// watched is left to the regular looks.
func (n *notices) watch(folder string) {
	if n.notifier == nil {
		return
	}
	n.mu.Lock()
	n.folders[folder] = true
	n.mu.Unlock()
	_ = n.notifier.Add(folder)
}

// unwatch ends the watching of a folder.
func (n *notices) unwatch(folder string) {
	if n.notifier == nil {
		return
	}
	n.mu.Lock()
	delete(n.folders, folder)
	n.mu.Unlock()
	_ = n.notifier.Remove(folder)
}

// watchOnly ends the watching of all folders but some.
func (n *notices) watchOnly(folders map[string]bool) {
	var ended []string
	n.mu.Lock()
	for folder := range n.folders {
		if !folders[folder] {
			ended = append(ended, folder)
			delete(n.folders, folder)
		}
	}
	n.mu.Unlock()
	for _, folder := range ended {
		_ = n.notifier.Remove(folder)
	}
}

// watchFiles watches the files that others may change. The watches end with ctx; endWatches waits for that.
func (e *Engine) watchFiles(ctx context.Context) {
	e.watchDrift(ctx)
	e.watchTemplates(ctx)
}

// endWatches waits for the end of the watches, unless one hangs in a file system.
func (e *Engine) endWatches() {
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		if e.drift != nil {
			e.drift.wait()
		}
		if e.templates != nil {
			e.templates.wait()
		}
	}()
	hung := time.NewTimer(drainGrace)
	defer hung.Stop()
	select {
	case <-ended:
	case <-hung.C:
		e.log.Error("a look at files does not end; a file system hangs")
	}
}

// notifier returns what tells of changes in folders, or nil where the system does not.
func (e *Engine) notifier(otherwise string) *fsnotify.Watcher {
	if e.cfg.unnotified {
		return nil
	}
	notifier, err := fsnotify.NewWatcher()
	if err != nil {
		e.log.Warn(otherwise, "within", lookEvery, "err", err)
		return nil
	}
	return notifier
}
