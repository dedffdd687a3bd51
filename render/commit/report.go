package commit

import (
	"sync/atomic"
	"time"

	"render/render/history/diff"
)

const (
	mostDiff  = 64 << 10 // bytes of a diff, and of a file that has one
	mostDiffs = 1 << 20  // bytes of the files of one commit that have diffs
)

// A FileReport says what a commit did to one file, for people: a file that it changed, appended to or acted for, or that failed.
type FileReport struct {
	Destination string
	OldSize     int64  // -1 where there was no file
	Size        int64  // of the wanted contents
	Differs     bool   // the file differed from the wanted contents
	Diff        string // how it differed
	NoDiff      string // why there is no diff of a file that differs
}

// Why there is no diff of a file.
const (
	NoDiffSecret  = "secret"  // something secret went into it
	NoDiffPrivate = "private" // not everybody may read it
	NoDiffBinary  = "binary"  // it is not text
	NoDiffLarge   = "large"   // it is too large, or its diff is, or there are many
)

// A Step is something that a commit ran, as often as it did.
type Step struct {
	Kind string // check, command, signal, notify or verify
	Text string // as configured
	Took time.Duration
	Runs int
	Err  error // of the last run that failed
}

// noteStep notes that something was run.
func (c *commit) noteStep(kind, text string, began time.Time, err error) {
	i := 0
	for i < len(c.r.Steps) && c.r.Steps[i].Kind != kind {
		i++
	}
	if i == len(c.r.Steps) {
		c.r.Steps = append(c.r.Steps, Step{Kind: kind, Text: text})
	}
	s := &c.r.Steps[i]
	s.Took += time.Since(began)
	if s.Runs++; err != nil {
		s.Err = err
	}
}

// A recall bounds how much of old files is read for diffs.
type recall struct{ bytes atomic.Int64 }

// of returns what decides whether an old file is read; nil where no diff is wanted.
func (r *recall) of(f File) func(bytes int64) bool {
	if !f.Show {
		return nil
	}
	return func(bytes int64) bool { return bytes <= 2*mostDiff && r.bytes.Add(bytes) <= mostDiffs }
}

// report reports what became of the files.
func (c *commit) report() {
	c.r.Private = c.isPrivate()
	for _, f := range c.all {
		if !f.differs && !f.Pending() && c.r.Failed[f.want.Destination] == nil {
			continue
		}
		old, before, read := f.Before()
		r := FileReport{Destination: f.want.Destination, OldSize: old, Size: int64(len(f.want.Contents)), Differs: f.differs}
		if f.keep {
			r.Size = old
		}
		switch {
		case !f.differs:
		case !f.want.Show:
			r.NoDiff = NoDiffSecret
		case !c.isPublic(f):
			r.NoDiff = NoDiffPrivate
		case !read || r.Size > mostDiff:
			r.NoDiff = NoDiffLarge
		case !diff.IsText(before) || !diff.IsText(f.want.Contents):
			r.NoDiff = NoDiffBinary
		default:
			var ok bool
			if r.Diff, ok = diff.Unified(before, f.want.Contents, mostDiff); !ok {
				r.NoDiff = NoDiffLarge
			}
		}
		c.r.Files = append(c.r.Files, r)
	}
}
