package render

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"time"

	"render/render/commit"
	"render/render/disk"
	"render/render/graph"
	"render/render/sources"
	"render/template"
	"render/watch/pause"
)

// target is a Target at work. Owned by the loop.
type target struct {
	graph.User[*target]
	stages
	cfg      Target
	order    int    // in Engine.targets
	was      string // its destination before the configuration in force, while that is adopted
	path     string // where the links of its destination lead: what it is known by
	texts    sources.Texts
	template *template.Template
	action   *action

	passes  int
	result  template.Result    // of the last pass; its output is in stages
	stale   error              // why a newer text of the template is not in use
	err     error              // why the file could not be written
	blocked time.Time          // since when it cannot finish; zero if it could
	report  time.Time          // when it was last reported as blocked
	passed  bool               // it has held the others of its action for long enough
	dropped []template.Dropped // instances that its last finished pass left out
	missing bool               // nothing is at its path; of a proposal
	writing map[string]bool    // of its claims, what the last finished pass writes, and whether it appends
	counted tally
}

func (t *target) finished() bool { return t.passes > 0 && t.result.Finished() }

// An output is what a finished pass wants on disk. Its bytes, its sums and what it writes elsewhere travel together.
type output struct {
	bytes    []byte
	writes   []template.Write
	sum      [sha256.Size]byte // of all of it
	main     [sha256.Size]byte // of the bytes alone
	size     int64             // of the bytes
	text     int               // of which text of the template it is
	appended map[int]bool      // which writes were appended already
	causes   []string          // why it is committed, for people
}

// newOutput takes the output out of a finished pass.
func newOutput(r *template.Result, text int) *output {
	o := &output{bytes: r.Output, writes: r.Writes, main: sha256.Sum256(r.Output), size: int64(len(r.Output)), text: text}
	r.Output, r.Writes = nil, nil
	if o.sum = o.main; len(o.writes) == 0 {
		return o
	}
	h := sha256.New()
	fmt.Fprintf(h, "%d\n%s", len(o.bytes), o.bytes)
	for _, w := range o.writes {
		fmt.Fprintf(h, "%q %v %q %q %o %d\n%s", w.Path, w.Append, w.User, w.Group, w.Perms, len(w.Contents), w.Contents)
	}
	o.sum = [sha256.Size]byte(h.Sum(nil))
	return o
}

// stages say which output of a target is in which stage. An output moves from stage to stage by the methods of stages, and
// nowhere else. It begins as wanted, is in flight while a commit works on it, and ends as applied. An output that is
// rejected is wanted again, later.
type stages struct {
	wanted   *output           // what the last finished pass wants, if that is not applied; the next commit gets it
	inFlight *output           // what a commit brings to disk at this moment
	applied  [sha256.Size]byte // the output whose action has succeeded (R13)
	known    bool              // applied is set, and nobody has reason to doubt it
	doubted  bool              // somebody has, of what is in flight
	drifted  bool              // somebody else has changed the file since
	placed   bool              // an output of the present text is in place, and nothing has rejected it
	text     int               // counts the texts of the template
	rejected rejection
	appends  appends
}

// appends says what was appended for which output: it is not done again while the target wants the same.
type appends struct {
	sum  [sha256.Size]byte
	done map[int]bool
}

// A rejection is an output that a check, a command or a verification did not accept.
type rejection struct {
	sum   [sha256.Size]byte
	times int       // in a row; 0 means that nothing was rejected
	until time.Time // it is not tried again before this
}

// want notes what a finished pass wants, and reports whether that has to be committed.
func (s *stages) want(o *output) bool {
	if o.sum == s.appends.sum {
		o.appended = s.appends.done
	}
	if s.inFlight == nil && s.known && o.sum == s.applied {
		s.wanted, s.placed = nil, true
		return false
	}
	s.wanted = o
	return true
}

// unwant notes that the last pass is not finished: what an earlier pass wanted is out of date.
func (s *stages) unwant() { s.wanted = nil }

// launch hands the wanted output to a commit.
func (s *stages) launch() *output {
	s.inFlight, s.wanted = s.wanted, nil
	return s.inFlight
}

// land takes the output back from its commit. Where the commit failed it is wanted again, unless there is a newer one or,
// with a pass that is not finished, none.
func (s *stages) land(applied, finished bool) {
	o := s.inFlight
	s.inFlight, s.doubted = nil, false
	if s.known = applied; applied {
		s.applied, s.drifted = o.sum, false
	}
	switch {
	case s.wanted == nil && !applied && finished:
		s.wanted = o
	case s.wanted != nil && s.known && s.wanted.sum == s.applied:
		s.wanted = nil
	case s.wanted != nil && s.wanted.sum == o.sum:
		s.wanted.appended = o.appended
	}
}

// doubt notes that what is on disk may be something else than what was applied. The target has to run again.
func (s *stages) doubt() { s.known, s.placed, s.doubted = false, false, s.inFlight != nil }

// renew notes that the template has another text.
func (s *stages) renew() { s.text, s.placed = s.text+1, false }

// changed reports whether there is output that is to be committed (R13).
func (s *stages) changed() bool { return s.wanted != nil }

// upToDate reports whether the action has succeeded with what the last finished pass wanted.
func (s *stages) upToDate() bool { return s.known && s.wanted == nil && s.inFlight == nil }

// reject notes that an output was rejected, and puts the next attempt off.
func (s *stages) reject(sum [sha256.Size]byte, now time.Time, err error) {
	if s.rejected.sum != sum {
		s.rejected.times = 0
	}
	base, most := rejectBase, rejectMax
	if _, ok := errors.AsType[commit.CommandError](err); ok { // it need not be the file's fault
		base, most = retryBase, retryMax
	}
	s.rejected.sum = sum
	s.rejected.until = now.Add(pause.Backoff(s.rejected.times, base, most))
	s.rejected.times++
}

// wasRejected reports whether the wanted output is the one that was rejected last.
func (s *stages) wasRejected() bool {
	return s.rejected.times > 0 && s.wanted != nil && s.wanted.sum == s.rejected.sum
}

// isRejected reports whether the wanted output was rejected, and is not to be tried again yet.
func (s *stages) isRejected(now time.Time) bool {
	return s.wasRejected() && now.Before(s.rejected.until)
}

// files returns what a commit brings to disk for an output.
func (o *output) files(cfg Target) []commit.File {
	all := []commit.File{{Destination: cfg.Destination, Contents: o.bytes, Options: cfg.File}}
	for i, w := range o.writes {
		if !w.Append || !o.appended[i] {
			all = append(all, commit.File{
				Destination: w.Path, Contents: w.Contents, Written: true, Append: w.Append,
				Options: disk.Options{Perms: w.Perms, User: w.User, Group: w.Group},
			})
		}
	}
	return all
}

// paths returns the destinations of an output.
func (o *output) paths(cfg Target) []string {
	paths := []string{cfg.Destination}
	for _, w := range o.writes {
		paths = append(paths, w.Path)
	}
	return paths
}

// renew gives a target another template. It has to run then.
func (t *target) renew(parsed *template.Template, x sources.Texts) {
	t.template, t.texts = parsed, x
	t.stages.renew()
	t.blocked, t.report = time.Time{}, time.Time{}
	t.AddCause("its template has changed")
}

// A tally is what a target adds to the sums of an engine, so that nobody has to look at all targets.
type tally struct{ unfinished, failed, absent, unplaced int }

func (c *tally) add(d tally, sign int) {
	c.unfinished += sign * d.unfinished
	c.failed += sign * d.failed
	c.absent += sign * d.absent
	c.unplaced += sign * d.unplaced
}

func (t *target) count() tally {
	one := func(is bool) int {
		if is {
			return 1
		}
		return 0
	}
	return tally{
		unfinished: one(!t.finished()),
		failed:     one(t.result.Err != nil),
		absent:     one(len(t.result.Absent) > 0),
		unplaced:   one(!t.finished() || !t.placed),
	}
}

// moved brings what the engine and the action know of a target up to date. It is called after whatever changes a target: an
// answer, a pass, a commit, a new configuration, drift.
func (e *Engine) moved(t *target) {
	e.sums.add(t.counted, -1)
	t.counted = t.count()
	e.sums.add(t.counted, 1)
	if a := t.action; a != nil {
		set(a.wanting, t, t.Wants)
		set(a.unfinished, t, !t.finished())
		set(a.changed, t, t.changed())
	}
	set(e.blocked, t, !t.blocked.IsZero())
}

// remove takes a target out of what the engine and its action know.
func (e *Engine) remove(t *target) {
	e.sums.add(t.counted, -1)
	t.counted = tally{}
	t.action.without(t)
	delete(e.blocked, t)
	delete(e.stale.targets, t)
}

func set[T comparable](s map[T]bool, x T, is bool) {
	if is {
		s[x] = true
	} else {
		delete(s, x)
	}
}

// inOrder returns the targets of a set in the order of the configuration.
func inOrder(s map[*target]bool) []*target {
	all := make([]*target, 0, len(s))
	for t := range s {
		all = append(all, t)
	}
	slices.SortFunc(all, func(a, b *target) int { return a.order - b.order })
	return all
}
