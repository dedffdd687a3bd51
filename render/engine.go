package render

import (
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"render/template"
	"render/watch"
)

const (
	retryBase = time.Second // pause after an action's first failure; doubled by each further one
	retryMax  = time.Minute

	failingHold = 10 * time.Second // how long a member whose queries fail holds the others of its action

	reportAfter = 5 * time.Second // a target that cannot finish is reported after this (R14)
	reportEvery = time.Minute     // and then again and again

	diskWorkers = 16 // commits that are at their files at one time; commands do not count
)

// An Engine keeps the targets of a configuration true to a source.
type Engine struct {
	src       watch.Source
	cfg       Config
	log       *slog.Logger
	questions chan chan Status
	ended     chan struct{}

	// Owned by the loop.
	targets  []*target
	actions  []*action
	graph    *graph
	set      *watch.Set
	active   map[*action]bool // those that may have something to do
	reportAt time.Time        // when to look for targets to report; zero if there are none (R14)
	failing  failing

	// Commits in flight.
	commits chan *commitDone
	disk    chan struct{} // holds a token for each commit at its files
	wg      sync.WaitGroup
}

// target is a Target at work. Owned by the loop.
type target struct {
	dependency
	cfg      Target
	template *template.Template
	action   *action

	passes   int
	result   template.Result // of the last pass; without the output once it is applied
	sum      [sha256.Size]byte
	applied  [sha256.Size]byte // of the output whose action has succeeded
	known    bool              // applied is set
	err      error             // why the file could not be written
	blocked  time.Time         // since when it cannot finish; zero if it could
	reported time.Time
	leftOut  bool // it has held the others of its action long enough
}

func (t *target) finished() bool { return t.passes > 0 && t.result.Finished() }

// changed reports whether a finished target has output that is not applied (R13).
func (t *target) changed() bool { return t.finished() && (!t.known || t.sum != t.applied) }

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
	action  *action
	targets []*target
	sums    [][sha256.Size]byte // of the outputs that were committed, by target
	causes  []string
	took    time.Duration
}

// New returns an engine for a configuration. It reads and parses all templates; an error joins all that is wrong with
// the configuration and with them.
func New(src watch.Source, cfg Config) (*Engine, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	e := &Engine{
		src:       src,
		cfg:       cfg,
		log:       cfg.Log,
		questions: make(chan chan Status),
		ended:     make(chan struct{}),
		graph:     newGraph(),
		active:    make(map[*action]bool),
		failing:   failing{errs: make(map[watch.Query]error)},
		commits:   make(chan *commitDone),
		disk:      make(chan struct{}, diskWorkers),
	}
	if e.log == nil {
		e.log = slog.New(slog.DiscardHandler)
	}
	var errs []error
	for _, t := range cfg.Targets {
		parsed, err := e.parse(t.Source)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		e.targets = append(e.targets, &target{cfg: t, template: parsed})
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	e.group()
	return e, nil
}

func (e *Engine) parse(source string) (*template.Template, error) {
	text, err := os.ReadFile(source)
	if err != nil {
		return nil, fmt.Errorf("read template: %w", err)
	}
	return template.Parse(source, string(text), template.Options{Env: e.lookupEnv})
}

func (e *Engine) lookupEnv(name string) (string, bool) {
	for _, entry := range slices.Backward(e.cfg.Env) {
		if value, ok := strings.CutPrefix(entry, name+"="); ok {
			return value, true
		}
	}
	return os.LookupEnv(name)
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

// Run does the engine's work and returns when everything that it started has ended; it can be called once.
//
// With Config.Once it returns nil when everything is rendered and applied, and else an error: an *IncompleteError when a
// template failed or ctx ended first, with nothing written, or what kept a file from being written or a command from
// succeeding. Without it Run returns nil once ctx is done, and never before (R12); commits in flight are let end.
func (e *Engine) Run(ctx context.Context) error {
	defer close(e.ended)
	e.sweep()
	e.set = watch.NewSet(e.src)
	defer e.set.Close()
	defer e.drain()
	for _, t := range e.targets {
		e.block(t, time.Now())
		e.execute(t)
	}
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		now := time.Now()
		wake := e.report(now)
		wake = earlier(wake, e.advanceAll(now))
		if e.cfg.Once {
			if done, err := e.finishOnce(); done {
				return err
			}
		}
		timer.Stop()
		var alarm <-chan time.Time
		if !wake.IsZero() {
			timer.Reset(time.Until(wake))
			alarm = timer.C
		}
		select {
		case <-e.set.Ready(): // answers
			e.take(e.set.Take())
		case done := <-e.commits: // the end of a commit
			e.committed(done)
		case answer := <-e.questions: // Status
			answer <- e.status()
		case <-alarm: // an action is due, or a report
		case <-ctx.Done():
			if e.cfg.Once {
				return e.givenUp()
			}
			return nil
		}
	}
}

// drain lets the commits in flight end, and records how.
func (e *Engine) drain() {
	done := make(chan struct{})
	go func() {
		e.wg.Wait()
		close(done)
	}()
	for {
		select {
		case c := <-e.commits:
			e.committed(c)
		case <-done:
			return
		}
	}
}

func (e *Engine) sweep() {
	if e.cfg.Dry != nil {
		return
	}
	var destinations []string
	for _, t := range e.targets {
		destinations = append(destinations, t.cfg.Destination)
	}
	if err := sweep(destinations); err != nil {
		e.log.Warn("cannot remove a temporary file that an earlier run left", "err", err)
	}
}

// take brings answers into the graph and wakes the actions that have something to do because of them.
func (e *Engine) take(states map[watch.Query]watch.State) {
	now := time.Now()
	e.noteFailures(states, now)
	want, failed := e.graph.take(states)
	for _, t := range want {
		if t.finished() {
			t.action.pace.changed(now)
		}
		e.active[t.action] = true
	}
	for _, t := range failed {
		e.active[t.action] = true
	}
}

// execute runs a target's template once (R5 says when).
func (e *Engine) execute(t *target) {
	wasFinished := t.finished()
	t.result = t.template.Execute(e.graph.lookup)
	t.passes++
	watched, forgotten := e.graph.finish(t, t.result)
	t.result.Used = nil // the graph has it
	for _, q := range watched {
		e.set.Watch(q)
	}
	for _, q := range forgotten {
		e.set.Forget(q)
		e.forgetFailure(q)
	}
	now := time.Now()
	if !t.finished() {
		e.block(t, now)
		if t.result.Err != nil && !e.cfg.Once {
			e.log.Error("template failed; its file stays as it is", "err", t.result.Err)
		}
		return
	}
	t.blocked, t.reported = time.Time{}, time.Time{}
	t.sum = sha256.Sum256(t.result.Output)
	if !t.changed() {
		t.result.Output = nil
		t.causes = nil
		return
	}
	if !wasFinished {
		t.action.pace.changed(now)
	}
	e.active[t.action] = true
}

// block notes that a target cannot finish.
func (e *Engine) block(t *target, now time.Time) {
	if t.blocked.IsZero() {
		t.blocked = now
		e.reportAt = earlier(e.reportAt, now.Add(reportAfter))
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
		done.sums = append(done.sums, t.sum)
		for _, c := range t.causes {
			if !slices.Contains(done.causes, c) {
				done.causes = append(done.causes, c)
			}
		}
	}
	return done
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
		t.err = done.failed[t.cfg.Destination]
		if t.err != nil {
			errs = append(errs, t.err)
		}
		if t.known = done.err == nil && t.err == nil; t.known {
			t.apply(done.sums[i])
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

// apply notes that an output with the given sum is applied.
func (t *target) apply(sum [sha256.Size]byte) {
	t.known, t.applied = true, sum
	if !t.changed() {
		t.result.Output, t.causes = nil, nil
	}
}

// print writes what would be written, for Config.Dry.
func (e *Engine) print(t *target) error {
	if _, err := fmt.Fprintf(e.cfg.Dry, "> %s\n%s", t.cfg.Destination, t.result.Output); err != nil {
		return fmt.Errorf("print %s: %w", t.cfg.Destination, err)
	}
	t.apply(t.sum)
	return nil
}
