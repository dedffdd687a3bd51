package run

import "sync"

// maxTail is the most bytes that a tail keeps.
const maxTail = 64 << 10

// A tail keeps the end of what is written to it, up to maxTail bytes.
type tail struct {
	mu       sync.Mutex // guards what follows
	kept     []byte
	cut      bool
	finished bool
}

// Write keeps the end of p. It never fails.
func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.finished {
		return len(p), nil
	}
	t.kept = append(t.kept, p...)
	if len(t.kept) > 2*maxTail {
		t.kept = append(t.kept[:0], t.kept[len(t.kept)-maxTail:]...)
		t.cut = true
	}
	return len(p), nil
}

// finish returns what was kept, after […] if something was dropped before it. What is written later is dropped.
func (t *tail) finish() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	kept := t.kept
	if len(kept) > maxTail {
		kept, t.cut = kept[len(kept)-maxTail:], true
	}
	t.kept, t.finished = nil, true
	if t.cut {
		return "[…]" + string(kept)
	}
	return string(kept)
}

// A whole keeps all that is written to it, up to a limit.
type whole struct {
	most int64
	over func() // called when more than most bytes are written

	mu    sync.Mutex // guards what follows
	kept  []byte
	taken bool
}

// Write keeps p, if all is within the limit. It never fails.
func (w *whole) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.taken {
		return len(p), nil
	}
	if int64(len(w.kept))+int64(len(p)) > w.most {
		w.kept, w.taken = nil, true
		w.over()
		return len(p), nil
	}
	w.kept = append(w.kept, p...)
	return len(p), nil
}

// finish returns what was kept: nothing, if it was too much. What is written later is dropped.
func (w *whole) finish() []byte {
	w.mu.Lock()
	defer w.mu.Unlock()
	kept := w.kept
	w.kept, w.taken = nil, true
	return kept
}
