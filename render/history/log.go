package history

import (
	"slices"
	"sync"
	"sync/atomic"
	"time"
	"unsafe"
)

// The bounds of a Log.
const (
	MaxCommits = 1000
	MaxBytes   = 16 << 20
)

// A Log keeps the last commits. Readers share what it returns.
type Log struct {
	mu      sync.Mutex // guards what follows
	commits []*Commit  // oldest first
	number  uint64     // of the last commit
	bytes   int        // of all
	short   int        // so many of the oldest have lost their details
	brief   bool       // commits lose their details at once
	view    []*Commit  // newest first; nil where a commit has come since

	observer atomic.Pointer[Observer]
}

// An Observer counts what an engine does. The engine's loop calls its methods: they return at once.
type Observer interface {
	Passed(took time.Duration, failed bool) // an execution of a template has ended
	Committed(*Commit)                      // a commit has ended, and is in the log
}

// Observe has an observer see what happens from now on, in place of the one before.
func (l *Log) Observe(o Observer) { l.observer.Store(&o) }

// Passed notes that an execution of a template has ended. The log does not keep it.
func (l *Log) Passed(took time.Duration, failed bool) {
	if o := l.observer.Load(); o != nil {
		(*o).Passed(took, failed)
	}
}

// Add adds a commit and gives it its number. It must not be changed any more.
func (l *Log) Add(c *Commit) {
	l.add(c)
	if o := l.observer.Load(); o != nil {
		(*o).Committed(c)
	}
}

func (l *Log) add(c *Commit) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.number++
	c.Number = l.number
	if l.brief {
		c = c.shortened()
	}
	l.commits, l.view = append(l.commits, c), nil
	l.bytes += c.size()
	if len(l.commits) > MaxCommits {
		l.drop()
	}
	for l.bytes > MaxBytes && len(l.commits) > 0 {
		switch n := len(l.commits); {
		case l.short < n-1, n == 1 && l.short == 0:
			l.shorten()
		default: // rather than the details of the newest
			l.drop()
		}
	}
}

// SetBrief says whether the log keeps diffs, outputs and warnings from now on, which take most of its memory: nobody may be able to read them.
func (l *Log) SetBrief(brief bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.brief = brief
}

// drop drops the oldest commit.
func (l *Log) drop() {
	l.bytes -= l.commits[0].size()
	l.commits[0] = nil
	l.commits = l.commits[1:]
	l.short = max(0, l.short-1)
}

// shorten drops the details of the oldest commit that has them.
func (l *Log) shorten() {
	old := l.commits[l.short]
	c := old.shortened()
	l.bytes += c.size() - old.size()
	l.commits[l.short] = c
	l.short++
}

// Commits returns the commits, the newest first. The caller must not change them.
func (l *Log) Commits() []*Commit {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.view == nil {
		l.view = slices.Clone(l.commits)
		slices.Reverse(l.view)
	}
	return l.view
}

// Number returns the number of the last commit.
func (l *Log) Number() uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.number
}

// size returns about how many bytes a commit takes.
func (c *Commit) size() int {
	n := int(unsafe.Sizeof(*c)) + len(c.Error) + len(c.Output) + sizeOf(c.Because)
	for _, w := range c.Warnings {
		n += len(w)
	}
	for i := range c.Steps {
		s := &c.Steps[i]
		n += int(unsafe.Sizeof(*s)) + len(s.Text) + len(s.Error)
	}
	for i := range c.Files {
		f := &c.Files[i]
		n += int(unsafe.Sizeof(*f)) + len(f.Path) + len(f.Error) + len(f.Diff) + sizeOf(f.Because)
	}
	return n
}

func sizeOf(causes []Cause) int {
	n := 0
	for i := range causes {
		n += int(unsafe.Sizeof(causes[i])) + len(causes[i].Text)
	}
	return n
}

// NoDiffDropped is the File.NoDiff of a file whose diff was dropped to save memory.
const NoDiffDropped = "dropped"

// shortened returns a commit without its details.
func (c *Commit) shortened() *Commit {
	s := *c
	s.Shortened, s.Output, s.Warnings = true, "", nil
	s.Files = slices.Clone(c.Files)
	for i := range s.Files {
		f := &s.Files[i]
		if f.Diff != "" {
			f.Diff, f.NoDiff = "", NoDiffDropped
		}
		if i > 0 { // each error may be long
			f.Error = ""
		}
	}
	return &s
}
