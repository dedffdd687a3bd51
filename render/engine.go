package render

import (
	"context"
	"crypto/sha256"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"render/template"
	"render/watch"
)

const (
	reportAfter = 5 * time.Second // a target that cannot finish is reported after this (R14)
	reportEvery = time.Minute     // and then again and again
	tellDrain   = time.Second     // commits that are still in flight so long after the end has begun are told of
)

// An Engine keeps the targets of a configuration true to a source.
type Engine struct {
	src       watch.Source
	begun     Config // what New was given
	log       *slog.Logger
	questions chan chan Status
	proposals chan *proposal
	refusals  chan error
	ended     chan struct{}

	// Owned by the loop.
	cfg       Config    // in force
	coming    *proposal // what it is to be replaced by when no action that it changes is busy; nil for none
	refused   refused   // what is not in force although somebody wanted that
	sources   sources   // of the templates, as they were read for cfg
	targets   []*target
	actions   []*action
	graph     *graph
	set       *watch.Set
	active    map[*action]bool // those that may have something to do
	reportAt  time.Time        // when to look for targets to report; zero if there are none (R14)
	guardsAt  time.Time        // when to tell of guards that still hold; zero if there are none
	failing   failing
	drift     *driftWatch    // nil where nobody wants to know
	templates *templateWatch // the same
	version   int            // of the configuration, for templates
	staleAt   time.Time      // when to tell of changed templates that cannot be used; zero if there are none
	child     *child         // nil where there is none, or not yet
	leaving   *child         // one that another is to follow, or none, while it ends
	signals   chan syscall.Signal

	// Commits in flight.
	commits chan *commitDone
	disk    chan struct{} // holds a token for each commit at its files
	hurry   chan struct{} // closed when the engine is to end
	running running
	wg      sync.WaitGroup
}

// target is a Target at work. Owned by the loop.
type target struct {
	dependency
	cfg      Target
	path     string // where the links of its destination lead: what it is known by
	texts    texts
	template *template.Template
	action   *action

	passes  int
	result  template.Result // of the last pass; without the output once it is applied
	sum     [sha256.Size]byte
	applied [sha256.Size]byte // of the output whose action has succeeded
	known   bool              // applied is set
	drifted bool              // somebody else has changed the file since
	placed  bool              // an output has been written that nothing has rejected

	rejected      [sha256.Size]byte // the output that was rejected last
	rejections    int               // how often in a row
	rejectedUntil time.Time         // it is not tried again before this

	stale    error             // why a newer text of the template is not in use
	appended [sha256.Size]byte // of the output whose writes have been appended
	err      error             // why the file could not be written
	blocked  time.Time         // since when it cannot finish; zero if it could
	reported time.Time
	leftOut  bool               // it has held the others of its action long enough
	dropped  []template.Dropped // instances that its last finished pass left out
}

func (t *target) finished() bool { return t.passes > 0 && t.result.Finished() }

// changed reports whether a finished target has output that is not applied (R13).
func (t *target) changed() bool { return t.finished() && (!t.known || t.sum != t.applied) }

// apply notes that an output with the given sum is applied.
func (t *target) apply(sum [sha256.Size]byte) {
	t.known, t.applied, t.drifted = true, sum, false
	if !t.changed() {
		t.drop()
	}
}

// drop lets go of what is needed until an output is applied.
func (t *target) drop() { t.result.Output, t.result.Writes = nil, nil }

// outputSum stands for what a finished target wants in its destination alone.
func (t *target) outputSum() [sha256.Size]byte {
	if len(t.result.Writes) == 0 {
		return t.sum
	}
	return sha256.Sum256(t.result.Output)
}

// sumOf stands for all that a result wants on disk.
func sumOf(r template.Result) [sha256.Size]byte {
	if len(r.Writes) == 0 {
		return sha256.Sum256(r.Output)
	}
	h := sha256.New()
	fmt.Fprintf(h, "%d\n%s", len(r.Output), r.Output)
	for _, w := range r.Writes {
		fmt.Fprintf(h, "%q %v %q %q %o %d\n%s", w.Path, w.Append, w.User, w.Group, w.Perms, len(w.Contents), w.Contents)
	}
	return [sha256.Size]byte(h.Sum(nil))
}

// New returns an engine for a configuration. It reads and parses all templates; an error joins all that is wrong with
// the configuration and with them.
func New(src watch.Source, cfg Config) (*Engine, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	e := &Engine{
		src:       src,
		begun:     cfg,
		cfg:       cfg,
		log:       cfg.Log,
		questions: make(chan chan Status),
		proposals: make(chan *proposal),
		refusals:  make(chan error),
		ended:     make(chan struct{}),
		graph:     newGraph(),
		active:    make(map[*action]bool),
		failing:   failing{errs: make(map[watch.Query]error)},
		commits:   make(chan *commitDone),
		disk:      make(chan struct{}, diskWorkers),
		hurry:     make(chan struct{}),
		signals:   make(chan syscall.Signal, 16),
	}
	if e.log == nil {
		e.log = slog.New(slog.DiscardHandler)
	}
	var err error
	if e.targets, e.sources, err = e.readTargets(cfg.Targets); err != nil {
		return nil, err
	}
	e.group(nil)
	for _, t := range e.targets {
		t.see(newViewRules(t.cfg, t.action.cfg, cfg.Once))
	}
	return e, nil
}

func (e *Engine) lookupEnv(name string) (string, bool) {
	for _, entry := range slices.Backward(e.cfg.Env) {
		if value, ok := strings.CutPrefix(entry, name+"="); ok {
			return value, true
		}
	}
	return os.LookupEnv(name)
}

// Run does the engine's work and returns when everything that it started has ended; it can be called once.
//
// A supervised program (Config.Exec) that ends makes it return an *ExitError, or nil where its exit code is 0.
//
// With Config.Once it returns nil when everything is rendered and applied, and else an error: an *IncompleteError when a
// template failed, or ctx or Config.Timeout ended first, with nothing written, or what kept a file from being written or a command from
// succeeding. Without it Run returns nil once ctx is done, and never before (R12); commits in flight are let end.
func (e *Engine) Run(ctx context.Context) error {
	defer close(e.ended)
	e.sweep(e.targets)
	e.set = watch.NewSet(e.src, watch.SetConfig{
		Backoff: e.cfg.Asking.Backoff, MaxBackoff: e.cfg.Asking.MaxBackoff, Once: e.cfg.Once && !e.guarded(),
	})
	defer e.set.Close()
	defer e.running.close()
	defer e.drain()
	hurry := sync.OnceFunc(func() { close(e.hurry) })
	defer hurry()
	defer context.AfterFunc(ctx, hurry)() // with Config.Once the loop itself may be at a commit
	defer e.endChild()
	watching, stop := context.WithCancel(ctx)
	defer e.endWatches()
	defer stop()
	e.watchFiles(watching)
	for _, t := range e.targets {
		e.block(t, time.Now())
		e.execute(t)
	}
	timer := time.NewTimer(0)
	defer timer.Stop()
	var tooLate <-chan time.Time
	if e.cfg.Timeout > 0 {
		tooLate = time.After(e.cfg.Timeout)
	}
	for {
		now := time.Now()
		e.adopt(watching, now)
		e.lookAgain(now)
		wake := e.report(now)
		wake = earlier(wake, e.advanceAll(now))
		wake = earlier(wake, e.graph.lookAt) // after all passes: they make views
		if e.cfg.Once {
			if done, err := e.finishOnce(); done {
				return e.thenSupervise(ctx, err)
			}
		} else {
			e.supervise()
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
		case found := <-e.templates.news(): // templates have changed
			e.reread(found, time.Now())
		case x := <-e.drift.news(): // somebody else has changed a file
			e.drifted(x, time.Now())
		case p := <-e.offers(): // Apply
			e.coming = p
		case <-e.coming.gaveUp(): // Apply, which waits no more
			e.withdraw()
		case err := <-e.refusals: // Reject
			e.reject(err, time.Now())
		case s := <-e.signals: // for the child
			e.signalChildren(s)
		case err := <-e.child.end(): // of the child
			if !e.child.outdated {
				return exitError(err)
			}
			e.child = nil // another follows
		case <-e.leaving.end(): // of the child before
			e.leaving = nil
		case <-alarm: // an action is due, or a view, or a report
		case <-tooLate: // with Config.Once
			return e.givenUp(e.cfg.Timeout)
		case <-ctx.Done():
			if e.cfg.Once {
				return e.givenUp(0)
			}
			return e.stopChild(ctx)
		}
	}
}

// guarded reports whether a guard may hold an answer back until there is a better one.
func (e *Engine) guarded() bool {
	return slices.ContainsFunc(e.targets, func(t *target) bool { return t.rules != nil })
}

// drain lets the commits in flight end, and records how. Of those that take long it tells.
func (e *Engine) drain() {
	done := make(chan struct{})
	go func() {
		e.wg.Wait()
		close(done)
	}()
	long := time.After(tellDrain)
	for {
		select {
		case c := <-e.commits:
			e.committed(c)
		case <-long:
			for _, a := range e.actions {
				if a.busy {
					e.log.Info("ending as soon as its command has ended", "action", a.key.name)
				}
			}
		case <-done:
			return
		}
	}
}

// sweep removes what an earlier run left beside the destinations of targets.
func (e *Engine) sweep(targets []*target) {
	if e.cfg.Dry != nil {
		return
	}
	var destinations []string
	for _, t := range targets {
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
	want, failed := e.graph.take(states, now)
	e.wakeActions(want, now)
	for _, t := range failed {
		e.active[t.action] = true
	}
	e.tellJudged(now)
}

// lookAgain brings what targets see of answers up to date, where that changes with time.
func (e *Engine) lookAgain(now time.Time) {
	e.wakeActions(e.graph.lookAgain(now), now)
	e.tellJudged(now)
}

// wakeActions wakes the actions of targets that want a pass because of a change.
func (e *Engine) wakeActions(want []*target, now time.Time) {
	for _, t := range want {
		if t.finished() {
			t.action.pace.changed(now)
		}
		e.active[t.action] = true
	}
}

// execute runs a target's template once (R5 says when).
func (e *Engine) execute(t *target) {
	wasFinished := t.finished()
	t.result = t.template.Execute(e.graph.lookupOf(t, time.Now()))
	t.passes++
	refused := e.refuse(t)
	watched, forgotten := e.graph.finish(t, t.result)
	t.result.Used = nil // the graph has it
	for _, q := range watched {
		e.set.Watch(q)
	}
	e.forgetQueries(forgotten)
	now := time.Now()
	e.tellJudged(now)
	if !t.finished() {
		e.block(t, now)
		if t.result.Err != nil && !refused && !e.cfg.Once {
			e.logFault(t)
		}
		return
	}
	t.blocked, t.reported = time.Time{}, time.Time{}
	e.noteDropped(t)
	t.sum = sumOf(t.result)
	if !t.changed() {
		t.drop()
		t.causes, t.placed = nil, true
		return
	}
	if !wasFinished {
		t.action.pace.changed(now)
	}
	e.active[t.action] = true
}

// forgetQueries ends what is done for queries that nobody uses any longer (R6).
func (e *Engine) forgetQueries(all []watch.Query) {
	for _, q := range all {
		e.set.Forget(q)
		e.forgetFailure(q)
	}
}

// refuse makes a pass fail that has used an answer which a guard has held back for too long, and reports whether it has.
func (e *Engine) refuse(t *target) bool {
	if len(t.views) == 0 {
		return false
	}
	for _, q := range t.result.Used {
		if v := t.views[q]; v != nil && v.failed {
			t.result.Err = &heldError{e.heldBack(t, q, v)}
			return true
		}
	}
	return false
}

// block notes that a target cannot finish.
func (e *Engine) block(t *target, now time.Time) {
	if t.blocked.IsZero() {
		t.blocked = now
		e.reportAt = earlier(e.reportAt, now.Add(reportAfter))
	}
}
