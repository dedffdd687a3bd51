package render

import (
	"cmp"
	"crypto/sha256"
	"errors"
	"fmt"
	"maps"
	"reflect"
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

	failingHold = 10 * time.Second // how long a member whose queries fail holds the others of its action

	diskWorkers = 16 // commits that are at their files at one time; commands do not count
)

// action is an Action at work. Owned by the loop.
type action struct {
	key     actionKey
	order   int // in Engine.actions
	cfg     Action
	targets []*target
	pace    pace

	busy     bool          // a commit is in flight (R9)
	owed     bool          // the command has to run although no file changes (R13)
	left     []*stagedFile // of earlier commits, that say so on disk
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
	contents [][sha256.Size]byte // of the destinations alone, by target
	paths    [][]string          // of the files that were committed, by target
	causes   []string
	causesOf [][]string // by target
	took     time.Duration
}

// actionKind tells actions apart that have the same name.
type actionKind uint8

const (
	named     actionKind = iota // in the configuration
	ofCommand                   // made of a command
	ofTarget                    // of one target without a command
)

type actionKey struct {
	kind actionKind
	name string
}

// group gives each target its action: the one that it names, the one of its command, or one of its own. An action that was
// there before keeps its state. It returns those of them that have other settings now.
func (e *Engine) group(before []*action) (altered map[*action]bool) {
	g := grouping{
		before: make(map[actionKey][]*action), now: make(map[actionKey][]*action),
		exact: make(map[*action]bool), altered: make(map[*action]bool),
	}
	for _, a := range before {
		g.before[a.key] = append(g.before[a.key], a)
	}
	for _, t := range e.targets {
		if cfg := e.cfg.implied(t.cfg); !cfg.Command.IsZero() {
			g.expect(actionKey{ofCommand, cfg.Command.String()}, cfg)
		}
	}
	for _, cfg := range e.cfg.Actions {
		g.action(actionKey{named, cfg.Name}, cfg)
	}
	for _, t := range e.targets {
		switch cfg := e.cfg.implied(t.cfg); {
		case t.cfg.Action != "":
			t.action = g.now[actionKey{named, t.cfg.Action}][0]
		case cfg.Command.IsZero():
			t.action = g.action(actionKey{ofTarget, t.cfg.Destination}, cfg)
		default:
			t.action = g.shared(actionKey{ofCommand, cfg.Command.String()}, cfg)
		}
		t.action.targets = append(t.action.targets, t)
	}
	e.actions = g.actions
	return g.altered
}

// grouping is how far group is.
type grouping struct {
	before  map[actionKey][]*action // those that are not in use again
	now     map[actionKey][]*action
	exact   map[*action]bool // those of before that have the very settings of one that is wanted
	actions []*action
	altered map[*action]bool
}

// expect notes that an action will be wanted, so that no other takes the one from before that has its settings.
func (g *grouping) expect(key actionKey, cfg Action) {
	for _, a := range g.before[key] {
		if reflect.DeepEqual(a.cfg, cfg) {
			g.exact[a] = true
		}
	}
}

// shared returns the action with some settings that other targets have, or a new one.
func (g *grouping) shared(key actionKey, cfg Action) *action {
	for _, a := range g.now[key] {
		if reflect.DeepEqual(a.cfg, cfg) {
			return a
		}
	}
	return g.action(key, cfg)
}

// action adds an action: one from before, best one with the same settings, or a new one.
func (g *grouping) action(key actionKey, cfg Action) *action {
	same := func(a *action) bool { return reflect.DeepEqual(a.cfg, cfg) }
	free := func(a *action) bool { return !g.exact[a] }
	a := &action{key: key}
	old := g.before[key]
	i := slices.IndexFunc(old, same)
	if i < 0 {
		if i = slices.IndexFunc(old, free); i >= 0 {
			g.altered[old[i]] = true
		}
	}
	if i >= 0 {
		a = old[i]
		g.before[key] = slices.Delete(old, i, i+1)
	}
	a.cfg, a.order, a.targets = cfg, len(g.actions), nil
	a.pace.spacing, a.pace.wait = cfg.Spacing, cfg.Wait
	g.actions = append(g.actions, a)
	g.now[key] = append(g.now[key], a)
	return a
}

// implied returns the action that is made of a target's command.
func (c Config) implied(t Target) Action {
	a := c.Implied
	if t.Implied != nil {
		a = *t.Implied
	}
	a.Name, a.Command = "", t.Command
	return a.Spaced()
}

// advanceAll lets each active action do what it can, and returns when the next of them has something to do.
func (e *Engine) advanceAll(now time.Time) (wake time.Time) {
	inOrder := slices.SortedFunc(maps.Keys(e.active), func(a, b *action) int { return cmp.Compare(a.order, b.order) })
	for _, a := range inOrder {
		at := e.advance(a, now)
		if at.IsZero() && e.coming == nil {
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
	if a.busy || e.cfg.Once || !e.coming.leaves(a) {
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
	targets := a.changedTargets(now)
	if len(targets) == 0 && !a.owed {
		a.pace.settle()
		if !slices.ContainsFunc(a.targets, (*target).changed) {
			a.err, a.failures = nil, 0 // what has failed is wanted no more
		}
		a.retry = a.retryAt(now)
		return a.retry
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

// changedTargets returns the members to commit: those with output that is not applied, but for those whose output was
// rejected a short while ago. Atomic ones go together.
func (a *action) changedTargets(now time.Time) []*target {
	var changed []*target
	rejected := 0
	for _, t := range a.targets {
		if !t.changed() {
			continue
		}
		if t.isRejected(now) {
			if rejected++; !a.cfg.Atomic {
				continue
			}
		}
		changed = append(changed, t)
	}
	if a.cfg.Atomic && rejected == len(changed) {
		return nil
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
		action:  a,
		targets: targets,
	}
	for _, t := range targets {
		done.files = append(done.files, &stagedFile{destination: t.cfg.Destination, options: t.cfg.File, contents: t.result.Output})
		for _, w := range t.result.Writes {
			if !w.Append || t.sum != t.appended {
				done.files = append(done.files, &stagedFile{destination: w.Path, contents: w.Contents, write: &w})
			}
		}
		done.sums = append(done.sums, t.sum)
		done.contents = append(done.contents, t.outputSum())
		done.paths = append(done.paths, pathsOf(t))
		for _, c := range t.causes {
			if !slices.Contains(done.causes, c) {
				done.causes = append(done.causes, c)
			}
		}
		done.causesOf = append(done.causesOf, t.causes)
		t.causes = nil // others may come while the commit is under way
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
	for i := range done.targets {
		if err := e.targetCommitted(done, i, now); err != nil {
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

// targetCommitted takes the end of a commit for one of its targets, and returns what kept that one's files from being in place.
func (e *Engine) targetCommitted(done *commitDone, i int, now time.Time) error {
	t, sum := done.targets[i], done.sums[i]
	t.err = nil
	for _, path := range done.paths[i] {
		t.err = errors.Join(t.err, done.failed[path])
	}
	if t.err == nil && (done.err == nil || done.ran) {
		t.appended = sum
	}
	if t.err == nil && (done.err == nil || done.ran && !done.rejected) {
		t.placed = true
	}
	switch {
	case errors.Is(t.err, errCheck):
		t.reject(sum, now, t.err)
	case done.rejected:
		t.reject(sum, now, done.err)
	}
	if t.known = done.err == nil && t.err == nil; !t.known {
		t.causes = slices.Concat(done.causesOf[i], t.causes)
		t.causes = t.causes[:min(len(t.causes), maxCauses)]
		return t.err
	}
	t.rejections = 0
	if e.drift != nil && t.cfg.Drift.matters() {
		e.drift.expect(t.cfg, done.contents[i])
	}
	t.apply(sum)
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
