package render

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"render/watch"
)

const (
	retryBase = time.Second // pause after an action's first failure; doubled by each further one
	retryMax  = time.Minute

	rejectBase = 30 * time.Second // the same for contents that a check or a verification did not like
	rejectMax  = 5 * time.Minute

	diskWorkers = 16 // commits that are at their files at one time; commands do not count
)

// commitDone is a commit that has ended, on its way back to the loop.
type commitDone struct {
	*commit
	action  *action
	members []member
	causes  []string // of all members
	took    time.Duration
}

// A member is what a commit brings to disk for one target.
type member struct {
	target *target
	sum    [sha256.Size]byte // of all its output
	main   [sha256.Size]byte // of what is for its destination
	paths  []string          // of its files
	causes []string
}

// commit commits an action's changed targets: in a goroutine, whose end comes back to the loop (R9).
func (e *Engine) commit(a *action, targets []*target, now time.Time) {
	a.pace.commit(now)
	a.retry = time.Time{}
	if e.cfg.Dry != nil {
		for _, t := range targets {
			if err := e.print(t); err != nil {
				e.log.Error("cannot print", "err", err)
			}
		}
		return
	}
	a.busy = true
	done := e.newCommit(a, targets)
	e.wg.Go(func() {
		began := time.Now()
		e.disk <- struct{}{}
		done.stage()
		err := done.swap()
		<-e.disk
		if err == nil && done.checkLive() == nil {
			_ = done.run() // done.err has it
		}
		done.took = time.Since(began)
		e.commits <- done
	})
}

func (e *Engine) newCommit(a *action, targets []*target) *commitDone {
	cfg := a.cfg
	cfg.Atomic = cfg.Atomic || e.cfg.Once
	done := &commitDone{
		commit: &commit{
			cfg:   cfg,
			hurry: e.hurry,
			among: &e.running,
			early: !e.cfg.Once && e.supervises() && e.child == nil && e.leaving == nil,
			owed:  a.owed,
			step:  e.cfg.step,
		},
		action: a,
	}
	for _, t := range targets {
		done.files = append(done.files, &stagedFile{destination: t.cfg.Destination, options: t.cfg.File, contents: t.result.Output})
		for _, w := range t.result.Writes {
			if !w.Append || t.sum != t.appended {
				done.files = append(done.files, &stagedFile{destination: w.Path, contents: w.Contents, write: &w})
			}
		}
		done.members = append(done.members, member{t, t.sum, t.outputSum(), pathsOf(t), t.causes})
		for _, c := range t.causes {
			if !slices.Contains(done.causes, c) {
				done.causes = append(done.causes, c)
			}
		}
		t.causes = nil // others may come while the commit is under way
	}
	if len(done.causes) == 0 && a.failures > 0 {
		done.causes = []string{"an earlier attempt failed"}
	}
	for _, left := range a.left {
		if !slices.ContainsFunc(done.files, func(f *stagedFile) bool { return f.destination == left.destination }) {
			done.files = append(done.files, &stagedFile{destination: left.destination, options: left.options, stay: true})
		}
	}
	done.env = slices.Concat(e.cfg.Env, []string{"RENDER_ACTION=" + a.key.name, "RENDER_CAUSE=" + strings.ReplaceAll(done.because(), "\x00", "")})
	return done
}

// pathsOf returns the destinations of a target's output.
func pathsOf(t *target) []string {
	paths := []string{t.cfg.Destination}
	for _, w := range t.result.Writes {
		paths = append(paths, w.Path)
	}
	return paths
}

// committed takes the end of a commit: its targets are applied, or tried again later (R12, R13).
func (e *Engine) committed(done *commitDone) {
	a := done.action
	a.busy = false
	a.commits++
	if done.ran {
		a.runs++
	}
	a.owed = done.owed
	a.left = slices.DeleteFunc(done.files, func(f *stagedFile) bool { return !f.marked })
	now := time.Now()
	var errs []error
	for _, m := range done.members {
		if err := e.memberCommitted(done, m, now); err != nil {
			errs = append(errs, err)
		}
	}
	errs = append(errs, done.err)
	if a.err = errors.Join(errs...); a.err != nil {
		a.retry = a.retryAt(now)
		a.failures++
	} else {
		a.retry = a.rejectedUntil()
		a.failures = 0
	}
	if e.child != nil && (len(done.swaps) > 0 || done.revoked) {
		e.child.reload()
	}
	e.active[a] = true
	e.logCommit(done)
}

// memberCommitted takes the end of a commit for one of its targets, and returns what kept that one's files from being in place.
func (e *Engine) memberCommitted(done *commitDone, m member, now time.Time) error {
	t := m.target
	t.err = nil
	for _, path := range m.paths {
		t.err = errors.Join(t.err, done.failed[path])
	}
	if t.err == nil && (done.err == nil || done.ran) {
		t.appended = m.sum
	}
	if t.err == nil && (done.err == nil || done.ran && !done.rejected) {
		t.placed = true
	}
	switch {
	case errors.Is(t.err, errCheck):
		t.reject(m.sum, now, t.err)
	case done.rejected:
		t.reject(m.sum, now, done.err)
	}
	if t.known = done.err == nil && t.err == nil; !t.known {
		t.causes = slices.Concat(m.causes, t.causes)
		t.causes = t.causes[:min(len(t.causes), maxCauses)]
		return t.err
	}
	t.rejections = 0
	if e.drift != nil && t.cfg.Drift.matters() {
		e.drift.expect(t.cfg, m.main)
	}
	t.apply(m.sum)
	return nil
}

// retryAt returns when to try again: soon where something was in the way, late where all that is left was rejected.
func (a *action) retryAt(now time.Time) time.Time {
	inTheWay := func(t *target) bool { return t.changed() && !t.isRejected(now) }
	if a.owed || slices.ContainsFunc(a.targets, inTheWay) {
		return now.Add(watch.Backoff(a.failures, retryBase, retryMax))
	}
	return a.rejectedUntil()
}

// rejectedUntil returns when the first output that was rejected may be tried again; zero if none was.
func (a *action) rejectedUntil() (at time.Time) {
	for _, t := range a.targets {
		if t.changed() && t.wasRejected() {
			at = earlier(at, t.rejectedUntil)
		}
	}
	return at
}

// reject notes that an output was rejected, and puts the next attempt off.
func (t *target) reject(sum [sha256.Size]byte, now time.Time, err error) {
	if t.rejected != sum {
		t.rejections = 0
	}
	t.rejected = sum
	base, most := rejectBase, rejectMax
	if _, ok := errors.AsType[commandError](err); ok { // it need not be the file's fault
		base, most = retryBase, retryMax
	}
	t.rejectedUntil = now.Add(watch.Backoff(t.rejections, base, most))
	t.rejections++
}

// isRejected reports whether the output was rejected, and is not to be tried again yet.
func (t *target) isRejected(now time.Time) bool {
	return t.wasRejected() && now.Before(t.rejectedUntil)
}

// wasRejected reports whether the output is the one that was rejected last.
func (t *target) wasRejected() bool { return t.rejections > 0 && t.sum == t.rejected }

// print writes what would be written, for Config.Dry.
func (e *Engine) print(t *target) error {
	if _, err := fmt.Fprintf(e.cfg.Dry, "> %s\n%s", t.cfg.Destination, t.result.Output); err != nil {
		return fmt.Errorf("print %s: %w", t.cfg.Destination, err)
	}
	for _, w := range t.result.Writes {
		if _, err := fmt.Fprintf(e.cfg.Dry, "> %s\n%s", w.Path, w.Contents); err != nil {
			return fmt.Errorf("print %s: %w", w.Path, err)
		}
	}
	t.apply(t.sum)
	return nil
}
