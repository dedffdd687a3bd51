package render

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"render/render/claims"
	"render/render/commit"
	"render/render/debts"
	"render/render/disk"
	"render/render/drift"
	"render/render/graph"
	"render/render/group"
	"render/render/history"
	"render/render/leases"
	"render/render/pass"
	"render/render/plugin"
	"render/render/proposal"
	"render/render/report"
	"render/render/run"
	"render/render/schedule"
	"render/render/sources"
	"render/render/status"
	"render/render/supervise"
	"render/template"
	"render/watch"
)

const (
	reportAfter  = 5 * time.Second  // a target that cannot finish is reported after this (R14)
	reportEvery  = time.Minute      // and then again and again
	slowShutdown = time.Second      // commits that are still in flight so long after the end has begun are logged
	drainGrace   = 10 * time.Second // for what ends after the time limit of its command
)

// An Engine keeps the targets of a configuration in sync with a source. One goroutine, the loop of Run, owns what is below
// "owned by the loop". Others reach it by channels: watches by their mailboxes, commits by landings, callers by the rest.
type Engine struct {
	src       watch.Source
	begun     Config // what New was given
	log       *slog.Logger
	questions chan func() // of callers, which the loop answers by calling them
	shared    *status.Shared
	history   *history.Log
	feed      *history.Feed
	ids       status.IDs
	gate      *proposal.Gate[*proposed, *action]
	refusals  chan error
	ended     chan struct{}

	// Owned by the loop.
	started       time.Time     // when Run was called
	cfg           Config        // in effect
	sources       sources.Files // of the templates, as they were read for cfg
	targets       []*target
	byDestination map[string]*target // by their destinations as they are configured
	destinations  map[string]*target // by these and where they really are, from the root
	groups        []group.Group      // of targets that share an action, in the order of actions
	actions       []*action
	graph         *graph.Graph[*target]
	set           *watch.Set
	schedule      *schedule.Schedule[*action]
	claims        *claims.Table[*target]
	leases        *leases.Table[*target] // nil with Config.Dry, which applies nothing
	sums          tally                  // over all targets
	blocked       map[*target]bool       // those that cannot finish
	debts         *debts.Table[*action]
	afterwards    map[*action][]*action // by an action whose commit is in flight: those that wait for its end
	recalled      map[string]bool       // paths of writeToFile for which it is known what earlier runs left
	reportAt      time.Time             // when to look for targets to report; zero for none (R14)
	failing       report.Failing
	guards        report.Guards[*target]
	unusable      report.Texts
	rejected      report.Rejected
	program       supervise.Program
	inFlight      int // commits
	passes        *pass.Runner[*target]
	crowded       schedule.Queue[*action] // with a target whose pass takes long, while there is no room for it
	texts         texts
	board         status.Board
	ready         status.Latch
	configuration status.Configuration

	// Beside the loop.
	drift         *drift.Watch   // nil where nobody wants to know
	templates     *sources.Watch // the same
	version       int            // of the configuration, for templates
	notifications chan chan error
	signals       chan syscall.Signal
	landings      chan landing
	stop          *commit.Stop
	group         run.Group
	tools         commit.Tools
	start         func(run.Program, []string, *slog.Logger) supervise.Child
	executes      func(*template.Template, context.Context, template.Lookup) template.Result
	env           atomic.Pointer[[]string] // Config.Env, for passes
	searches      *template.Searches       // of passes
	wg            sync.WaitGroup
}

// New returns an engine for a configuration. It reads and parses all templates; an error joins all that is wrong with
// the configuration and with them.
func New(src watch.Source, cfg Config) (*Engine, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	e := &Engine{
		begun:         cfg,
		cfg:           cfg,
		log:           cfg.Log,
		questions:     make(chan func()),
		history:       new(history.Log),
		searches:      new(template.Searches),
		feed:          history.NewFeed(),
		ids:           status.NewIDs(),
		refusals:      make(chan error),
		ended:         make(chan struct{}),
		graph:         graph.New[*target](),
		schedule:      schedule.New(byOrder),
		blocked:       make(map[*target]bool),
		claims:        claims.New[*target](),
		recalled:      make(map[string]bool),
		debts:         debts.New[*action](),
		afterwards:    make(map[*action][]*action),
		guards:        report.Guards[*target]{Show: (*target).show, Source: (*target).source},
		notifications: make(chan chan error),
		signals:       make(chan syscall.Signal, 16),
		landings:      make(chan landing, diskSlots),
		stop:          commit.NewStop(),
		texts:         texts{fresh: make(map[*target]bool)},
		executes:      cfg.executes,
	}
	e.gate = proposal.New[*proposed, *action](e.ended)
	e.passes = pass.New[*target](e.ended)
	if cfg.Dry == nil {
		e.leases = leases.New(e.graph, func(q watch.Query, index uint64) { e.set.Applied(q, index) }, e.forgetQueries)
	}
	e.shared = status.NewShared(e.askPart, e.feed.Told)
	e.env.Store(&e.begun.Env)
	if e.executes == nil {
		e.executes = (*template.Template).Execute
	}
	if e.log == nil {
		e.log = slog.New(slog.DiscardHandler)
	}
	outside := cfg.outside
	if outside == nil {
		outside = &programs{run: e.group.Run, output: e.group.Output, start: func(p run.Program, environ []string, log *slog.Logger) supervise.Child {
			return run.Start(p, environ, log)
		}}
	}
	e.src = watch.ByKind{watch.KindPlugin: plugin.New(outside.output, cfg.Env), "": src}
	e.tools = commit.Tools{Run: outside.run, Send: run.Signal.Send, Stop: e.stop, Slots: make(commit.Slots, diskSlots), Left: new(disk.Leftovers), Syncs: new(disk.Syncs), Folders: new(disk.Folders), Given: new(commit.Given), Step: cfg.step}
	e.start = outside.start
	var err error
	if e.targets, e.sources, err = e.readTargets(cfg.Targets); err != nil {
		return nil, err
	}
	e.number()
	e.regroup()
	for _, t := range e.targets {
		e.graph.SetRules(&t.User, rulesOf(t.cfg, t.action.cfg, cfg.Once), time.Time{})
		e.moved(t)
	}
	return e, nil
}

// number notes where each target stands, and which path is whose.
func (e *Engine) number() {
	e.byDestination = make(map[string]*target, len(e.targets))
	e.destinations = make(map[string]*target, len(e.targets))
	e.ready.Renew()
	for i, t := range e.targets {
		t.order = i
		e.byDestination[t.cfg.Destination] = t
		e.destinations[t.path], e.destinations[cleanPath(t.cfg.Destination)] = t, t
	}
}

// Run does the engine's work and returns when everything that it started has ended; it can be called once.
//
// A supervised program (Config.Exec) that ends makes it return an *ExitError, or nil where its exit code is 0.
//
// With Config.Once it returns nil when everything is rendered and applied, and else an error: a *status.IncompleteError when a
// template failed, or ctx or Config.Timeout ended first, with nothing written, or what kept a file from being written or a command from
// succeeding. Without it Run returns nil once ctx is done, and never before (R12); commits in flight are let end.
func (e *Engine) Run(ctx context.Context) error {
	defer close(e.ended)
	e.started = time.Now()
	e.configuration = status.Configuration{Version: 1, Loaded: e.started}
	e.recall(e.targets)
	e.set = watch.NewSet(e.src, watch.SetConfig{
		Backoff: e.cfg.Asking.Backoff, MaxBackoff: e.cfg.Asking.MaxBackoff, BackoffOf: e.cfg.Asking.BackoffOf, Once: e.cfg.Once && !e.guarded(), Log: e.log,
	})
	defer e.group.Close() // after all that runs programs
	defer e.set.Close()
	defer e.drain()
	defer e.stop.Begin()
	defer context.AfterFunc(ctx, e.stop.Begin)() // with Config.Once the loop itself may be at a commit
	defer e.program.End()
	watching, stop := context.WithCancel(ctx)
	defer e.endWatches()
	defer stop()
	e.watchFiles(watching)
	for _, t := range e.targets {
		e.block(t, time.Now())
		t.Wants = true
		e.moved(t)
		e.schedule.Now(t.action)
	}
	for _, a := range e.actions {
		e.noteAction(a) // also one without targets
	}
	defer e.endPasses()

	timer := time.NewTimer(0)
	defer timer.Stop()
	var tooLate <-chan time.Time
	if e.cfg.Timeout > 0 {
		tooLate = time.After(e.cfg.Timeout)
	}
	for {
		// What there is to do now, and when there is more to do.
		now := time.Now()
		e.passes.Turn(now)
		e.adopt(watching, now)
		e.updateViews(now)
		e.report(now)
		wake := schedule.Earliest(e.admit(now), e.advanceAll(now))
		e.unpin()
		wake = schedule.Earliest(wake, e.nextReport(), e.graph.Next(), e.gate.Wakes()) // after all passes: they block targets and make views
		if e.cfg.Once {
			if done, err := e.finishOnce(); done {
				return e.thenSupervise(ctx, err)
			}
		} else {
			wake = schedule.Earliest(wake, e.supervise(now), e.program.Notify(now, e.inFlight, holdMost))
			e.leases.Await(e.program.IsBehind())
		}
		e.noteChanges()
		timer.Stop()
		var alarm <-chan time.Time
		if !wake.IsZero() {
			timer.Reset(time.Until(wake))
			alarm = timer.C
		}

		// What comes. Questions do not wait until no long pass happens to end.
		select {
		case answer := <-e.questions:
			answer()
		default:
		}
		select {
		case <-e.set.Ready(): // answers
			e.receiveAnswers(e.set.Take())
		case done := <-e.landings: // the end of a commit
			e.landAll(done)
		case p := <-e.passes.Ends(): // the end of a pass that takes long
			e.landPass(p)
		case answer := <-e.questions: // Status, Snapshot, Progress
			answer()
		case x := <-e.drift.Reports(): // somebody else has changed a file
			e.drifted(x, time.Now())
		case p := <-e.gate.Received(): // a new configuration, or new texts of templates
			e.receive(p)
		case <-e.gate.Withdrawn(): // Apply, which waits no more
			e.resume(e.gate.Withdraw())
		case err := <-e.refusals: // Reject
			e.reject(err, time.Now())
		case notified := <-e.notifications: // a commit waits until the program was notified
			e.program.Wait(notified, time.Now())
		case <-e.program.Notified():
			e.program.FinishNotification()
		case s := <-e.signals: // for the program
			e.program.Signal(s)
		case err := <-supervise.EndOf(e.program.Child): // of the program
			if !e.program.Outdated {
				return run.EndOf(err)
			}
			e.program.Child = nil // another follows
		case <-supervise.EndOf(e.program.Leaving): // of the program before
			e.program.Leaving = nil
		case <-alarm: // an action is due, or a view, or a report
		case <-tooLate: // with Config.Once
			return e.givenUp(e.cfg.Timeout)
		case <-ctx.Done():
			if e.cfg.Once {
				return e.givenUp(0)
			}
			return e.stopProgram(ctx)
		}
	}
}

// guarded reports whether a guard may hold an answer back until there is a better one.
func (e *Engine) guarded() bool {
	return slices.ContainsFunc(e.targets, func(t *target) bool { return t.Ruled() })
}

// landAll takes the end of a commit, and of those that have ended as well.
func (e *Engine) landAll(done landing) {
	e.land(done)
	for len(e.landings) > 0 {
		e.land(<-e.landings)
	}
}

// drain waits for the commits in flight, and records how they end: no longer than the time limit of one command, which all
// that they still run has together. What hangs longer hangs in the file system, and is left to the end of the process.
func (e *Engine) drain() {
	done := make(chan struct{})
	go func() {
		e.wg.Wait()
		close(done)
	}()
	long := time.After(slowShutdown)
	tooLong := time.After(e.longestTimeout() + drainGrace)
	for {
		select {
		case c := <-e.landings:
			e.land(c)
		case <-long:
			for _, a := range e.actions {
				if a.busy {
					e.log.Info("stopping when the command ends", "action", a.key.Name)
				}
			}
		case <-tooLong:
			for _, a := range e.actions {
				if a.busy {
					e.log.Error("commit does not end; the next start repeats it", "action", a.key.Name)
				}
			}
			return
		case <-done:
			for len(e.landings) > 0 {
				e.land(<-e.landings)
			}
			return
		}
	}
}

// longestCommit returns how long a commit may take, with all that it runs: twice the check, the command and what it does about
// failures, a verification, and time for its files.
func (e *Engine) longestCommit() time.Duration {
	longest := time.Duration(0)
	for _, a := range e.actions {
		longest = max(longest, a.cfg.Verify.Within+a.cfg.Splay)
	}
	return longest + 4*(e.longestTimeout()+drainGrace) + time.Minute
}

// longestTimeout returns the longest time limit of a command.
func (e *Engine) longestTimeout() time.Duration {
	longest := run.DefaultTimeout
	for _, a := range e.actions {
		longest = max(longest, a.cfg.Timeout)
	}
	return longest
}

// receiveAnswers brings answers into the graph and wakes the actions that have something to do because of them.
func (e *Engine) receiveAnswers(states map[watch.Query]watch.State) {
	now := time.Now()
	e.noteFailures(states, now)
	for q := range states {
		e.markQuery(q)
	}
	want, failed := e.graph.Take(states, now)
	e.leases.Answered(states)
	e.wakeActions(want, now)
	for _, t := range failed {
		e.schedule.Now(t.action)
	}
	e.logJudgements(now)
}

// updateViews brings what targets see of answers up to date, where that changes with time.
func (e *Engine) updateViews(now time.Time) {
	e.wakeActions(e.graph.Tick(now), now)
	e.logJudgements(now)
}

// wakeActions wakes the actions of targets that want a pass because of a change.
func (e *Engine) wakeActions(want []*target, now time.Time) {
	for _, t := range want {
		if t.finished() {
			t.action.pace.Changed(now)
		}
		e.moved(t)
		e.schedule.Now(t.action)
	}
}

// rerunPlugins has programs run again.
func (e *Engine) rerunPlugins(plugins []watch.Query) {
	for _, q := range plugins {
		e.graph.Restart(q)
		e.markQuery(q)
		e.set.Forget(q)
		e.set.Watch(q)
	}
}

// forgetQueries ends what is done for queries that nobody uses any longer (R6).
func (e *Engine) forgetQueries(all []watch.Query) {
	for _, q := range all {
		e.set.Forget(q)
		e.failing.Note(e.log, q, nil)
		e.board.Query(q)
	}
}

// refuse makes a pass fail that has used an answer which a guard has held back for too long, and reports whether it has.
func (e *Engine) refuse(t *target) bool {
	h, failed := t.Failed(t.result.Used)
	if failed {
		t.result.Err = &status.HeldError{Held: heldBack(t, h)}
	}
	return failed
}

// block notes that a target cannot finish.
func (e *Engine) block(t *target, now time.Time) {
	if t.blocked.IsZero() {
		t.blocked = now
		e.reportAt = schedule.Earliest(e.reportAt, now.Add(reportAfter))
	}
}
