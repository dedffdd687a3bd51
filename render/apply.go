package render

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"reflect"
	"slices"
	"time"

	"render/template"
)

var (
	errOnce      = errors.New("a run that renders once takes no other configuration")
	errWithdrawn = errors.New("nobody waits for it any more")
)

// Apply puts another configuration in the place of the one in force, as a transaction (R10). It reads and parses all
// templates first. On any error nothing changes: the error joins all that is wrong, is logged, and shows in Status until
// another configuration is in force; one of ctx alone is nobody's fault, and only returned.
//
// A target is the same as before where its destination is. One with the same settings, texts and action is not touched: it
// keeps its output, answers and watchers, and nothing runs for it, unless its Drift matters and its file was changed or
// removed by somebody else: then it is written again. One whose template has changed runs at once, and its
// file stays as it is until a pass is finished; one whose other settings have changed is compared with the disk again.
// What is asked by templates before and after stays watched. The files of targets that are gone stay on disk. An action of
// the same name, or made of the same command, keeps its pace and what it owes. A program to supervise is left alone where
// its Exec is the same but for the Keeper, also by another Config.Env; else it is replaced when everything is rendered, or
// ended where there is to be none. Only the end of a program that is in force ends Run.
//
// Once, FailAbsent, Timeout, Dry, Log and Asking.Attempts stay as New got them. With Once there is no Apply.
//
// Apply returns when the configuration is in force and its new templates have run once; what that leads to may be under way.
// It waits for Run, and for commits in flight of actions that do not stay as they are, which their own time limits bound;
// meanwhile answers are taken, and no other commit of such an action begins. When ctx is done before that, nothing changes. It fails when the engine does not run any longer.
func (e *Engine) Apply(ctx context.Context, cfg Config) error {
	if e.begun.Once {
		return errOnce
	}
	p, err := e.propose(cfg)
	if err != nil {
		e.Reject(ctx, err)
		return err
	}
	p.withdrawn = ctx.Done()
	select {
	case e.proposals <- p:
	case <-e.ended:
		return errNotRunning
	case <-ctx.Done():
		return ctx.Err()
	}
	select {
	case err = <-p.answer:
	case <-e.ended:
		select {
		case err = <-p.answer:
		default:
			return errNotRunning
		}
	}
	if errors.Is(err, errWithdrawn) {
		return ctx.Err()
	}
	return err
}

// Reject notes that somebody wanted another configuration, and could not even make it: as Apply does with one that it does
// not take. It waits for Run, until ctx is done.
func (e *Engine) Reject(ctx context.Context, err error) {
	if e.begun.Once {
		return
	}
	select {
	case e.refusals <- err:
	case <-e.ended:
	case <-ctx.Done():
	}
}

// A proposal is a configuration that was read and checked, on its way to be in force.
type proposal struct {
	cfg       Config
	targets   []*target // as if they were new
	byPath    map[string]*target
	sources   sources
	withdrawn <-chan struct{} // closed when nobody waits for the answer
	answer    chan error      // holds one
}

func (e *Engine) propose(cfg Config) (*proposal, error) {
	first := e.begun
	cfg.Once, cfg.FailAbsent, cfg.Timeout, cfg.Dry, cfg.Log = first.Once, first.FailAbsent, first.Timeout, first.Dry, first.Log
	cfg.Asking.Attempts = first.Asking.Attempts
	cfg.step, cfg.unnotified = first.step, first.unnotified
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	targets, sources, err := e.readTargets(cfg.Targets)
	p := &proposal{cfg: cfg, targets: targets, sources: sources, byPath: make(map[string]*target, len(targets)), answer: make(chan error, 1)}
	for _, t := range targets {
		p.byPath[t.path] = t
	}
	return p, err
}

// leaves reports whether a proposal leaves an action and its targets as they are, so that it can come into force while a
// commit of it is in flight. No proposal leaves all.
func (p *proposal) leaves(a *action) bool {
	if p == nil {
		return true
	}
	for _, t := range a.targets {
		next := p.byPath[t.path]
		if next == nil || !next.texts.equal(t.texts) || !reflect.DeepEqual(next.cfg, t.cfg) {
			return false
		}
		if a.key.kind != named && !reflect.DeepEqual(p.cfg.implied(t.cfg), a.cfg) {
			return false
		}
	}
	same := func(cfg Action) bool { return reflect.DeepEqual(cfg, a.cfg) }
	return len(a.left) == 0 && (a.key.kind != named || slices.ContainsFunc(p.cfg.Actions, same))
}

// offers returns where the next proposal comes from: none while there is one already.
func (e *Engine) offers() <-chan *proposal {
	if e.coming != nil {
		return nil
	}
	return e.proposals
}

// gaveUp returns what tells that nobody waits for a proposal any more.
func (p *proposal) gaveUp() <-chan struct{} {
	if p == nil {
		return nil
	}
	return p.withdrawn
}

// withdraw forgets the proposal that waits.
func (e *Engine) withdraw() {
	e.coming.answer <- errWithdrawn
	e.coming = nil
}

// adopt brings the proposal that waits into force, if there is one and no action is busy that it changes.
func (e *Engine) adopt(ctx context.Context, now time.Time) {
	inTheWay := func(a *action) bool { return a.busy && !e.coming.leaves(a) }
	if e.coming == nil || slices.ContainsFunc(e.actions, inTheWay) {
		return
	}
	p := e.coming
	e.coming = nil
	err := e.startable(p.cfg.Exec)
	if err != nil {
		e.reject(err, now)
	} else {
		e.use(ctx, p, now)
	}
	p.answer <- err
}

// startable returns what keeps a program that is to replace another from being started: it would be too late to find out
// when the other has ended.
func (e *Engine) startable(x Exec) error {
	if x.equal(e.cfg.Exec) {
		return nil
	}
	return x.Find()
}

// succession is how the targets of one configuration follow those of another.
type succession struct {
	added []*target
	kept  []keptTarget
	gone  []*target
	debts []debt
}

// keptTarget is a target that has been there before.
type keptTarget struct {
	*target
	from    *action // its action until now
	was     Target  // its settings until now
	renewed bool    // its template is another
}

// A debt is what an action owes for a file, and whose file that is.
type debt struct {
	action *action
	file   *stagedFile
	owner  *target
	main   bool // it is what the owner's template gives
}

// use makes a configuration the one in force.
func (e *Engine) use(ctx context.Context, p *proposal, now time.Time) {
	sameEnv := slices.Equal(e.cfg.Env, p.cfg.Env)
	s := e.succeed(p)
	e.cfg, e.sources = p.cfg, p.sources
	altered := e.group(e.actions)
	for _, d := range s.debts {
		e.settle(d, now)
	}
	run := make(map[*target]bool)
	e.sweep(s.added)
	for _, t := range s.added {
		t.see(newViewRules(t.cfg, t.action.cfg, false))
		e.block(t, now)
		run[t] = true
	}
	changed := 0
	for _, k := range s.kept {
		if e.carryOver(k, altered[k.action], sameEnv, now) {
			changed++
		}
		if k.renewed {
			run[k.target] = true
		}
	}
	e.runNow(run, now)
	e.forget(s.gone, now)
	e.set.SetBackoff(p.cfg.Asking.Backoff, p.cfg.Asking.MaxBackoff)
	e.watchFiles(ctx)
	if e.child != nil {
		e.child.outdated = !e.child.given.equal(p.cfg.Exec)
	}
	e.refused = refused{}
	e.log.Info("a new configuration is in force", "added", len(s.added), "changed", changed,
		"removed", len(s.gone), "same", len(s.kept)-changed)
}

// succeed finds the targets of a proposal among those that are there, and puts the new ones in the others' places.
func (e *Engine) succeed(p *proposal) succession {
	before := make(map[string]*target, len(e.targets))
	for _, t := range e.targets {
		before[t.path] = t
	}
	delete(before, "") // Config.Dry without destinations: nobody can tell them apart
	var s succession
	for _, next := range p.targets {
		if before[next.path] == nil {
			s.added = append(s.added, next)
		}
	}
	s.debts = e.debts(slices.Concat(e.targets, s.added))
	old := e.targets
	e.targets = make([]*target, 0, len(p.targets))
	for _, next := range p.targets {
		t := before[next.path]
		if t == nil {
			t = next
		} else {
			s.kept = append(s.kept, t.replace(next))
			delete(before, next.path)
		}
		e.targets = append(e.targets, t)
	}
	for _, t := range old {
		if before[t.path] == t || t.path == "" {
			s.gone = append(s.gone, t)
		}
	}
	return s
}

// replace gives a target the settings of another, and its template where that is not the same.
func (t *target) replace(next *target) keptTarget {
	k := keptTarget{target: t, from: t.action, was: t.cfg}
	k.renewed = !t.texts.equal(next.texts) || !reflect.DeepEqual(t.cfg.ofTemplate(), next.cfg.ofTemplate())
	if k.renewed {
		t.renew(next.template, next.texts)
	}
	t.cfg, t.stale = next.cfg, nil
	return k
}

// renew gives a target another template. It has to run then.
func (t *target) renew(parsed *template.Template, x texts) {
	t.template, t.texts = parsed, x
	t.blocked, t.reported, t.placed = time.Time{}, time.Time{}, false
	t.addCause("its template has changed")
}

// ofTemplate returns the settings that say what a target's template gives.
func (t Target) ofTemplate() Target {
	t.Destination, t.Action, t.Command, t.Implied = "", "", Command{}, nil
	t.File, t.Drift, t.Guard, t.RemoveDelay = File{}, "", Guard{}, 0
	return t
}

// carryOver makes a target that has been there before follow its new settings, and reports whether anything has changed.
func (e *Engine) carryOver(k keptTarget, altered, sameEnv bool, now time.Time) (changed bool) {
	t := k.target
	moved := k.from != t.action || altered
	other := t.cfg.File != k.was.File || t.cfg.Drift != k.was.Drift || t.cfg.Destination != k.was.Destination
	if moved {
		t.rejections, t.leftOut = 0, false
	}
	again := (moved || other) && e.cfg.Dry == nil
	if again {
		t.known, t.placed = false, false
		t.addCause("its settings have changed")
	}
	if !again && e.cfg.Dry == nil && t.astray() {
		again, other = true, true
		t.known = false
		t.addCause(t.cfg.Destination + " was changed by somebody else")
	}
	reseen := e.seeBy(t, newViewRules(t.cfg, t.action.cfg, false), now)
	if again || reseen || !sameEnv {
		t.wants = true
		e.wakeActions([]*target{t}, now)
	}
	return k.renewed || moved || other || reseen
}

// astray reports whether somebody else has changed or removed the file of a target that minds: who asks for a reload wants it
// to be as it should.
func (t *target) astray() bool {
	if !t.known || t.action.busy || !t.cfg.Drift.matters() {
		return false
	}
	_, err := os.Lstat(t.path)
	return t.drifted || errors.Is(err, fs.ErrNotExist)
}

// runNow runs targets whose template is new, in the order of the configuration. What one of them does not ask any more
// another may ask now: its watcher stays.
func (e *Engine) runNow(run map[*target]bool, now time.Time) {
	before := e.graph.pin(run)
	for _, t := range e.targets {
		if !run[t] {
			continue
		}
		e.execute(t)
		if t.changed() {
			t.action.pace.changed(now)
		}
	}
	e.forgetQueries(e.graph.remove(before))
}

// forget ends what was done for targets and actions that are not in force any more.
func (e *Engine) forget(gone []*target, now time.Time) {
	for _, t := range gone {
		e.forgetQueries(e.graph.remove(t))
	}
	e.tellJudged(now)
	clear(e.active)
	for _, a := range e.actions { // also those that were held by a target which is another action's now, or nobody's
		e.active[a] = true
	}
}

// debts returns what actions owe for files of some targets (R13), before targets and actions change.
func (e *Engine) debts(targets []*target) (all []debt) {
	owners := make(map[string]*target)
	for _, a := range e.actions {
		if len(a.left) > 0 && len(owners) == 0 {
			for _, t := range targets {
				for _, path := range pathsOf(t) {
					owners[path] = t
				}
			}
		}
		for _, f := range a.left {
			if t := owners[f.destination]; t != nil { // else the action goes on owing for what is nobody's any more
				all = append(all, debt{a, f, t, f.destination == t.cfg.Destination})
			}
		}
	}
	return all
}

// settle makes the action that the file's target has now owe what another has owed for it.
func (e *Engine) settle(d debt, now time.Time) {
	if d.main {
		d.file.destination, d.file.options = d.owner.cfg.Destination, d.owner.cfg.File
	}
	to := d.owner.action
	if to == d.action {
		return
	}
	d.action.left = slices.DeleteFunc(d.action.left, func(f *stagedFile) bool { return f == d.file })
	d.action.owed = d.action.owed && len(d.action.left) > 0
	d.action.retry = now
	to.left = append(to.left, d.file)
	to.owed, to.retry = true, now
	e.active[to] = true
}

// refused is what keeps the newest configuration from being in force.
type refused struct {
	err    error     // nil where it is in force
	report time.Time // when to tell again
}

// reject notes that a configuration is not used (R14).
func (e *Engine) reject(err error, now time.Time) {
	e.refused = refused{err, now.Add(reportEvery)}
	e.log.Error("the new configuration is not used; the one before stays in force", "err", err)
}

// reportRefused tells that the newest configuration is still not in force, when it is time to, and returns when to do so again.
func (e *Engine) reportRefused(now time.Time) (next time.Time) {
	r := &e.refused
	if r.err != nil && !now.Before(r.report) {
		r.report = now.Add(reportEvery)
		e.log.Warn("the new configuration is still not used; the one before stays in force", "err", r.err)
	}
	return r.report
}
