package main

import (
	"fmt"
	"strings"
	"time"

	"render/watch"
)

// configEvery is how often configuration files are looked at where they are watched. A change counts once they have been
// the same for so long.
const configEvery = time.Second

// signatureOf is cheap to get and changes with nearly every change of configuration files.
func signatureOf(configs []string) string {
	var b strings.Builder
	note := func(path string) { fmt.Fprintln(&b, path, watch.Signature(path)) }
	l := &loader{read: note}
	for _, path := range configs {
		l.readPath(path)
	}
	fmt.Fprint(&b, len(l.faults))
	return b.String()
}

// configWatch notices that configuration files are other than they were, and have settled.
type configWatch struct {
	configs []string
	last    string // what they were when they were looked at last
}

// settled reports whether the files are other than what was read, and the same as at the last look.
func (w *configWatch) settled(read string) bool {
	now := signatureOf(w.configs)
	before := w.last
	w.last = now
	return now != read && now == before
}
