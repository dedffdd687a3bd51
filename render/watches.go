package render

import (
	"context"
	"time"

	"github.com/fsnotify/fsnotify"

	"render/render/notice"
)

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
		e.drift.Wait()
		e.templates.Wait()
	}()
	hung := time.NewTimer(drainGrace)
	defer hung.Stop()
	select {
	case <-ended:
	case <-hung.C:
		e.log.Error("check of files hangs, a file system does not answer")
	}
}

// notifier returns what reports changes in folders, or nil where the system does not.
func (e *Engine) notifier(otherwise string) *fsnotify.Watcher {
	if e.cfg.unnotified {
		return nil
	}
	notifier, err := fsnotify.NewWatcher()
	if err != nil {
		e.log.Warn(otherwise, "within", notice.Interval, "err", err)
		return nil
	}
	return notifier
}
