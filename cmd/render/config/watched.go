package config

import (
	"fmt"
	"strings"
	"time"

	"render/watch"
)

// WatchEvery is how often configuration files are looked at where they are watched. A change is used once they have been the same
// for so long.
const WatchEvery = time.Second

// Signature is cheap to get and changes with nearly every change of configuration files.
func (f *Flags) Signature() string {
	var b strings.Builder
	note := func(path string) { fmt.Fprintln(&b, path, watch.Signature(path)) }
	l := &loader{read: note}
	for _, path := range f.configs {
		l.readPath(path)
	}
	fmt.Fprint(&b, len(l.faults))
	return b.String()
}

// A Watch notices that configuration files are different from what was read, and no longer change.
type Watch struct {
	Flags *Flags
	last  string // their signature at the last look
}

// IsStable reports whether the files are different from those of a signature, and the same as at the last look.
func (w *Watch) IsStable(read string) bool {
	now := w.Flags.Signature()
	before := w.last
	w.last = now
	return now != read && now == before
}
