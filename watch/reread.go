package watch

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"render/watch/pause"
)

const (
	rereadEvery = 2 * time.Hour    // between plain reads of a query beside its waiting ones; less up to a quarter
	rereadGrace = 10 * time.Second // for a change to arrive that a plain read has seen first
)

var errMissed = errors.New("a change was missed")

// rereads has a query read plainly now and then, where its source wants that (Rereader). What it returns stops the watcher and
// returns when nobody reads any more.
func (s *Set) rereads(ctx context.Context, w *watcher) (end func()) {
	next := func() time.Duration { return rereadEvery - rand.N(rereadEvery/4) }
	var timer *time.Timer
	s.mu.Lock() // the timer's function reads the variable
	defer s.mu.Unlock()
	timer = time.AfterFunc(next(), func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if ctx.Err() != nil {
			return
		}
		w.rereading.Go(func() {
			s.reread(ctx, w)
			if ctx.Err() == nil {
				timer.Reset(next())
			}
		})
	})
	return func() {
		s.mu.Lock() // the timer's function comes before this, or sees that the watcher has stopped
		w.stop()
		s.mu.Unlock()
		timer.Stop()
		w.rereading.Wait()
	}
}

// reread reads a query plainly. Where the answer differs from the one in use, and the waiting request does not bring it in
// time, the waiting request is given up.
func (s *Set) reread(ctx context.Context, w *watcher) {
	if !rereads(s.src, w.query) {
		return
	}
	differs := func() (from uint64, differs bool) {
		got := s.request(w.query, func() (any, uint64, error) { return s.src.Fetch(ctx, w.query, 0) })
		s.mu.Lock()
		defer s.mu.Unlock()
		return w.last.Rev, got.err == nil && w.last.Rev > 0 && w.last.Err == nil && !Equal(w.last.Value, got.value)
	}
	from, differ := differs()
	if !differ || !pause.For(ctx, rereadGrace) {
		return
	}
	if still, differ := differs(); !differ || still != from { // where another answer has come, the request works
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.missed++
	w.giveUp(errMissed)
}
