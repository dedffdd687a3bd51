package render

import (
	"cmp"
	"crypto/sha256"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"render/watch"
)

const (
	retryBase = time.Second // pause after an action's first failure; doubled by each further one
	retryMax  = time.Minute

	failingHold = 10 * time.Second // how long a member whose queries fail holds the others of its action

	diskWorkers = 16 // commits that are at their files at one time; commands do not count
)

// action is an Action at work. Owned by the loop.
type action struct {
	name    string
	order   int // in Engine.actions
	cfg     Action
	targets []*target
	pace    pace

	busy     bool // a commit is in flight (R9)
	owed     bool // the command has to run although no file changes (R13)
	commits  int
	runs     int
	failures int
	retry    time.Time
	err      error
}

// commitDone is a commit that has ended, on its way back to the loop.
type commitDone struct {
	*commit
	action   *action
	targets  []*target
	sums     [][sha256.Size]byte // of the outputs that were committed, by target
	paths    [][]string          // of the files that were committed, by target
	causes   []string
	causesOf [][]string // by target
	took     time.Duration
}

// group gives each target its action: the one that it names, the one of its command, or one of its own.
func (e *Engine) group() {
	add := func(name string, cfg Action) *action {
		a := &action{name: name, order: len(e.actions), cfg: cfg, pace: pace{spacing: cfg.Spacing, wait: cfg.Wait}}
		e.actions = append(e.actions, a)
		return a
	}
	named := make(map[string]*action)
	for _, cfg := range e.cfg.Actions {
		named[cfg.Name] = add(cfg.Name, cfg)
	}
	var ofCommands []*action
	for _, t := range e.targets {
		i := slices.IndexFunc(ofCommands, func(a *action) bool { return a.cfg.Command.equal(t.cfg.Command) })
		switch {
		case t.cfg.Action != "":
			t.action = named[t.cfg.Action]
		case t.cfg.Command.IsZero():
			t.action = add(t.cfg.Destination, Action{Wait: e.cfg.Wait})
		case i >= 0:
			t.action = ofCommands[i]
		default:
			t.action = add(t.cfg.Command.String(), Action{Command: t.cfg.Command, Spacing: DefaultSpacing, Wait: e.cfg.Wait})
			ofCommands = append(ofCommands, t.action)
		}
		t.action.targets = append(t.action.targets, t)
	}
}

// advanceAll lets each active action do what it can, and returns when the next of them has something to do.
func (e *Engine) advanceAll(now time.Time) (wake time.Time) {
	inOrder := slices.SortedFunc(maps.Keys(e.active), func(a, b *action) int { return cmp.Compare(a.order, b.order) })
	for _, a := range inOrder {
		at := e.advance(a, now)
		if at.IsZero() {
			delete(e.active, a)
		}
		wake = earlier(wake, at)
	}
	return wake
}

// advance runs the passes that an action's targets want and commits what is due. It returns when there is more to do;
// zero if that needs an answer, or the end of a commit, first.
func (e *Engine) advance(a *action, now time.Time) (wake time.Time) {
	for _, t := range a.targets {
		if t.wants && (!t.finished() || e.cfg.Once) {
			e.execute(t)
		}
	}
	if a.busy || e.cfg.Once {
		return time.Time{}
	}
	due, changed := a.pace.due()
	if !changed {
		due = a.retry
	}
	if due = earlier(due, a.retry); due.IsZero() || now.Before(due) {
		return due
	}
	began := time.Now()
	for _, t := range a.targets {
		if t.wants {
			e.execute(t)
		}
	}
	a.pace.passed(now, time.Since(began))
	if until, wait := e.mustWait(a, now); wait {
		return until
	}
	targets := a.changedTargets()
	if len(targets) == 0 && !a.owed {
		a.pace.settle()
		a.retry = time.Time{}
		return time.Time{}
	}
	e.commit(a, targets, now)
	return time.Time{}
}

// mustWait reports whether a member keeps the action from committing, and until when; zero means until an answer comes.
//
// A pending member whose queries fail may be about to get its answers, from a Consul that is just coming back, or may
// never get them, from a datacenter that is gone. So it holds the others for failingHold, but once only: from then on it
// counts as blocked, until it finishes.
func (e *Engine) mustWait(a *action, now time.Time) (until time.Time, wait bool) {
	for _, t := range a.targets {
		switch {
		case t.finished():
			t.leftOut = false
		case a.cfg.Atomic:
			return time.Time{}, true
		case len(t.result.Pending) == 0 || t.leftOut:
		case !e.graph.failing(t):
			return time.Time{}, true
		default:
			hold := a.pace.first.Add(failingHold)
			if now.Before(hold) {
				until, wait = hold, true
			} else {
				t.leftOut = true
			}
		}
	}
	return until, wait
}

func (a *action) changedTargets() []*target {
	var changed []*target
	for _, t := range a.targets {
		if t.changed() {
			changed = append(changed, t)
		}
	}
	return changed
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
		if err == nil {
			_ = done.run() // done.err has it
		}
		done.took = time.Since(began)
		e.commits <- done
	})
}

func (e *Engine) newCommit(a *action, targets []*target) *commitDone {
	done := &commitDone{
		commit: &commit{
			command: runner{Command: a.cfg.Command, timeout: a.cfg.Timeout, env: e.cfg.Env},
			owed:    a.owed,
			atomic:  a.cfg.Atomic,
		},
		action:  a,
		targets: targets,
	}
	for _, t := range targets {
		done.files = append(done.files, &stagedFile{destination: t.cfg.Destination, contents: t.result.Output})
		for _, w := range t.result.Writes {
			if !w.Append || t.sum != t.appended {
				done.files = append(done.files, &stagedFile{destination: w.Path, contents: w.Contents, write: &w})
			}
		}
		done.sums = append(done.sums, t.sum)
		done.paths = append(done.paths, pathsOf(t))
		for _, c := range t.causes {
			if !slices.Contains(done.causes, c) {
				done.causes = append(done.causes, c)
			}
		}
		done.causesOf = append(done.causesOf, t.causes)
		t.causes = nil // others may come while the commit is under way
	}
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

// committed takes the end of a commit: its targets are applied, or the action is tried again later (R12, R13).
func (e *Engine) committed(done *commitDone) {
	a := done.action
	a.busy = false
	a.commits++
	if done.ran {
		a.runs++
	}
	a.owed = done.err != nil && (done.ran || done.owed)
	var errs []error
	for i, t := range done.targets {
		t.err = nil
		for _, path := range done.paths[i] {
			t.err = errors.Join(t.err, done.failed[path])
		}
		if t.err != nil {
			errs = append(errs, t.err)
		} else if done.err == nil || done.ran {
			t.appended = done.sums[i]
		}
		if t.known = done.err == nil && t.err == nil; t.known {
			t.apply(done.sums[i])
		} else {
			t.causes = slices.Concat(done.causesOf[i], t.causes)
			t.causes = t.causes[:min(len(t.causes), maxCauses)]
		}
	}
	errs = append(errs, done.err)
	if a.err = errors.Join(errs...); a.err != nil {
		a.retry = time.Now().Add(watch.Backoff(a.failures, retryBase, retryMax))
		a.failures++
	} else {
		a.failures = 0
	}
	e.active[a] = true
	e.logCommit(done)
}

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
