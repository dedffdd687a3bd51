package run

import "sync"

// maxTail is the most bytes that a tail keeps.
const maxTail = 64 << 10

// A tail keeps the end of what is written to it, up to maxTail bytes.
type tail struct {
	mu    sync.Mutex // guards what follows
	kept  []byte
	cut   bool
	taken bool
}

// Write keeps the end of p. It never fails.
func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.taken {
		return len(p), nil
	}
	t.kept = append(t.kept, p...)
	if len(t.kept) > 2*maxTail {
		t.kept = append(t.kept[:0], t.kept[len(t.kept)-maxTail:]...)
		t.cut = true
	}
	return len(p), nil
}

// take returns what was kept, after […] if something was dropped before it. What is written later is dropped.
func (t *tail) take() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	kept := t.kept
	if len(kept) > maxTail {
		kept, t.cut = kept[len(kept)-maxTail:], true
	}
	t.kept, t.taken = nil, true
	if t.cut {
		return "[…]" + string(kept)
	}
	return string(kept)
}

// A whole keeps all that is written to it, up to a limit.
type whole struct {
	most int64
	over chan struct{} // closed when more than most bytes were written

	mu     sync.Mutex // guards what follows
	kept   []byte
	isOver bool
	taken  bool
}

func newWhole(most int64) *whole { return &whole{most: most, over: make(chan struct{})} }

// Write keeps p, if it is within the limit. It never fails.
func (w *whole) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case w.taken || w.isOver:
	case int64(len(w.kept)+len(p)) > w.most:
		w.kept, w.isOver = nil, true
		close(w.over)
	default:
		w.kept = append(w.kept, p...)
	}
	return len(p), nil
}

// take returns what was kept, and whether that is all. What is written later is dropped.
func (w *whole) take() (kept []byte, ok bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	kept, w.kept, w.taken = w.kept, nil, true
	return kept, !w.isOver
}
