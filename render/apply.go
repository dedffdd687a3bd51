package render

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"reflect"
	"slices"
	"time"

	"render/render/disk"
	"render/render/graph"
	"render/render/history"
	"render/render/proposal"
	"render/render/report"
	"render/render/schedule"
	"render/render/sources"
	"render/render/status"

	"render/watch/hint"
)

var errOnce = errors.New("a run with once cannot load another configuration")

// Apply puts another configuration in the place of the one in effect, as a transaction (R10). It reads and parses all
// templates first. On any error nothing changes: the error joins all that is wrong, is logged, and shows in Status until
// another configuration is in effect; one of ctx alone is nobody's fault, and only returned.
//
// A target is the same as before where its destination is. One with the same settings, texts and action is not touched: it
// keeps its output, answers and watchers, and nothing runs for it, unless its Drift matters and its file was changed or
// removed by somebody else: then it is written again. One whose template has changed runs at once, and its
// file stays as it is until a pass is finished; one whose other settings have changed is compared with the disk again.
// What is asked by templates before and after stays watched. The files of targets that are gone stay on disk. An action of
// the same name, or made of the same command, keeps its pace and its debts. A program to supervise is left alone where
// its Exec is the same but for the Keeper, also by another Config.Env; else it is replaced when everything is rendered, or
// ended where there is to be none. Only the end of a program that is in effect ends Run.
//
// Once, FailAbsent, Timeout, Dry, Log and the attempts of Asking stay as New got them. With Once there is no Apply.
//
// Apply returns when the configuration is in effect; what that leads to, from passes of new templates on, may be under way.
// It waits for Run, and for commits in flight of actions that do not stay as they are, which their own time limits bound: where
// one hangs in a file system for longer, Apply fails and nothing changes. Meanwhile answers are taken, and no other commit of
// such an action begins. When ctx is done before that, nothing changes. It fails when the engine does not run any longer.
func (e *Engine) Apply(ctx context.Context, cfg Config) error {
	if e.begun.Once {
		return errOnce
	}
	leave, err := e.gate.Enter(ctx) // what is new on disk is found for the configuration that is in effect
	if err != nil {
		return err
	}
	defer leave()
	p, err := e.propose(cfg)
	if err != nil {
		e.Reject(ctx, err)
		return err
	}
	present, err := e.Status(ctx)
	if err != nil {
		return err
	}
	e.prepare(p, present)
	return e.gate.Offer(ctx, p)
}

// prepare finds out what the loop must not look at by itself, because it is on disk: what earlier runs left beside
// destinations that are new, and which destinations are missing.
func (e *Engine) prepare(p *proposed, s status.Status) {
	present := make(map[string]bool, len(s.Targets))
	for _, t := range s.Targets {
		present[t.Path] = true
	}
	var added []*target
	for _, t := range p.targets {
		if t.path == "" {
			continue
		}
		if !present[t.path] {
			added = append(added, t)
		} else if t.cfg.Drift.Matters() {
			_, err := os.Lstat(t.path)
			t.missing = errors.Is(err, fs.ErrNotExist)
		}
	}
	if p.cfg.Dry == nil && len(added) > 0 {
		var err error
		if p.debts, err = e.recallDebts(added); err != nil {
			e.log.Warn("leftovers of an earlier run not read", "err", err)
		}
	}
	p.program = p.cfg.Exec.Find()
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

// proposed is what a proposal has: a configuration that was read and checked, or, with edits, other texts of templates of the
// configuration in effect. It is all that changes targets from outside, and adopt is its only way in.
type proposed struct {
	cfg     Config
	targets []*target // as if they were new
	sources sources.Files
	debts   []disk.Debt      // of earlier runs, for targets that are new
	program error            // why the program of cfg cannot be started
	edits   *sources.Changes // in place of all this
}

func (e *Engine) propose(cfg Config) (*proposed, error) {
	first := e.begun
	cfg.Once, cfg.FailAbsent, cfg.Timeout, cfg.Dry, cfg.Log = first.Once, first.FailAbsent, first.Timeout, first.Dry, first.Log
	cfg.Asking.Attempts, cfg.Asking.AttemptsOf = first.Asking.Attempts, first.Asking.AttemptsOf
	cfg.step, cfg.unnotified, cfg.outside = first.step, first.unnotified, first.outside
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	targets, sources, err := e.readTargets(cfg.Targets)
	return &proposed{cfg: cfg, targets: targets, sources: sources}, err
}

// receive takes a proposal, and finds out which actions it affects: those that a target leaves, joins, or has other settings
// in, those with other settings, and those that have debts. Another text of a template affects none: an output in flight
// is one of the text before, and what the new text gives follows it.
func (e *Engine) receive(p *proposal.Proposal[*proposed]) {
	affected, busy := make(map[*action]bool), 0
	if next := p.Content; next.edits == nil {
		for i := range e.cfg.grouping(e.targets).Affected(e.groups, next.cfg.grouping(next.targets)) {
			affected[e.actions[i]] = true
		}
		for a := range e.debts.Holders() {
			affected[a] = true
		}
	}
	for a := range affected {
		if a.busy {
			busy++
		}
	}
	e.gate.Admit(p, affected, busy, time.Now().Add(e.longestCommit()))
}

// resume lets the actions go on that a proposal has held which is not in effect.
func (e *Engine) resume(held map[*action]bool) {
	for a := range held {
		e.schedule.Now(a)
	}
}

// adopt brings the proposal that waits into force when it is due.
func (e *Engine) adopt(ctx context.Context, now time.Time) {
	p, due, late := e.gate.Due(now)
	if !due {
		return
	}
	var err error
	switch {
	case late:
		err = hint.With(fmt.Errorf("a commit in flight did not end within %s", e.longestCommit()), "reload again when the command of the commit has ended")
	case p.edits != nil:
		e.edit(p.edits, now)
	case p.program != nil && !p.cfg.Exec.Equal(e.cfg.Exec): // when the program before has ended it is too late to find out
		err = p.program
	default:
		e.use(ctx, p, now)
	}
	if err != nil {
		e.reject(err, now)
	}
	if held := e.gate.Answer(err); err != nil {
		e.resume(held)
	}
}

// succession is how the targets of one configuration follow those of another.
type succession struct {
	added  []*target
	kept   []keptTarget
	gone   []*target
	owners map[string]*target // of debts, by path
}

// keptTarget is a target that has been there before.
type keptTarget struct {
	*target
	from    *action // its action until now
	was     Target  // its settings until now
	renewed bool    // its template is another
	missing bool    // its file does not exist
}

// use makes a configuration the one in effect.
func (e *Engine) use(ctx context.Context, p *proposed, now time.Time) {
	sameEnv := slices.Equal(e.cfg.Env, p.cfg.Env)
	before := e.actions
	s := e.succeed(p)
	e.cfg, e.sources = p.cfg, p.sources
	e.env.Store(&p.cfg.Env)
	e.program.Outdated = e.program.Child != nil && !e.program.Child.Program().Equal(p.cfg.Exec)
	e.leases.Await(e.program.IsBehind()) // it uses what it has until its end, also of targets that have gone
	e.number()
	altered := e.regroup()
	e.followDebts(s.owners)
	e.dropDebts(before)
	e.giveDebts(p.debts)
	e.newDestinations(s.added)

	// What each target has to do.
	fresh := make(map[*target]bool)
	for _, t := range s.added {
		e.graph.SetRules(&t.User, rulesOf(t.cfg, t.action.cfg, false), now)
		e.block(t, now)
		fresh[t] = true
	}
	changed := 0
	for _, k := range s.kept {
		if k.renewed {
			e.leave(k.target)
			fresh[k.target] = true
		}
		if e.carryOver(k, altered[k.action], sameEnv, now) {
			changed++
		}
		if k.from != k.action {
			k.round = 0
		}
	}
	e.tools.Left.Forget()
	e.board.Renew()
	e.configuration.Accept(now)
	e.regather(before)
	e.runNow(fresh, s.gone)
	e.forget(s.gone, now)

	e.set.SetBackoff(p.cfg.Asking.Backoff, p.cfg.Asking.MaxBackoff, p.cfg.Asking.BackoffOf)
	e.watchFiles(ctx)
	e.rejected, e.unusable = report.Rejected{}, report.Texts{}
	e.log.Info("configuration reloaded", "added", len(s.added), "changed", changed,
		"removed", len(s.gone), "same", len(s.kept)-changed)
}

// regather has actions know their targets anew, and gives each action its turn: some were held by a target that is another
// action's now, or nobody's.
func (e *Engine) regather(before []*action) {
	for _, a := range before {
		clear(a.wanting)
		clear(a.unfinished)
		clear(a.changed)
		e.schedule.Remove(a)
	}
	for _, t := range e.targets {
		e.moved(t)
	}
	for _, a := range e.actions {
		e.noteAction(a)
		e.schedule.Now(a)
	}
	e.crowded = schedule.Queue[*action]{}
}

// succeed finds the targets of a proposal among those that are there, and puts the new ones in the others' places.
func (e *Engine) succeed(p *proposed) succession {
	before := make(map[string]*target, len(e.targets))
	for _, t := range e.targets {
		before[t.path] = t
	}
	delete(before, "") // Config.Dry without destinations: nobody can distinguish them
	var s succession
	for _, next := range p.targets {
		if before[next.path] == nil {
			s.added = append(s.added, next)
		}
	}
	s.owners = e.debtOwners(slices.Concat(e.targets, s.added))
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
	k := keptTarget{target: t, from: t.action, was: t.cfg, missing: next.missing}
	k.renewed = !t.texts.Equal(next.texts) || !reflect.DeepEqual(t.cfg.OfTemplate(), next.cfg.OfTemplate())
	if k.renewed {
		t.renew(next.template, next.texts)
	}
	t.was, t.cfg = t.cfg.Destination, next.cfg
	return k
}

// carryOver makes a target that has been there before follow its new settings, and reports whether anything has changed.
func (e *Engine) carryOver(k keptTarget, altered, sameEnv bool, now time.Time) (changed bool) {
	t := k.target
	moved := k.from != t.action || altered
	other := t.cfg.File != k.was.File || t.cfg.Drift != k.was.Drift || t.cfg.Destination != k.was.Destination
	if moved {
		t.Accept()
		t.passed = false
	}
	again := (moved || other) && e.cfg.Dry == nil
	if again {
		t.Doubt()
		t.AddCause(graph.Cause{Kind: string(history.OfConfiguration), Text: "its settings have changed"})
	}
	if !again && e.cfg.Dry == nil && t.Known && !t.action.busy && t.cfg.Drift.Matters() && (t.Drifted || k.missing) {
		again, other = true, true
		t.Doubt()
		t.AddCause(driftCause(t.cfg.Destination))
	}
	reseen := e.graph.SetRules(&t.User, rulesOf(t.cfg, t.action.cfg, false), now)
	if reseen || !sameEnv {
		e.drop(t)
	}
	e.logJudgements(now)
	if again || reseen || !sameEnv {
		t.Wants = true
		e.wakeActions([]*target{t}, now)
	}
	return k.renewed || moved || other || reseen
}

// forget ends what was done for targets and actions that are not in effect any more.
func (e *Engine) forget(gone []*target, now time.Time) {
	for _, t := range gone {
		e.leave(t)
		delete(e.texts.fresh, t)
		e.forgetQueries(e.graph.Remove(&t.User))
		e.claims.StopWaiting(t)
		e.setClaims(t, nil)
		e.free(t.path)
		e.free(cleanPath(t.cfg.Destination))
		e.remove(t)
	}
	e.logJudgements(now)
}

// reject notes that a configuration is not used (R14).
func (e *Engine) reject(err error, now time.Time) {
	e.configuration.Reject(err, now)
	e.rejected.Note(e.log, err, now.Add(reportEvery))
}
