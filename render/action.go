package render

import (
	"cmp"
	"maps"
	"reflect"
	"slices"
	"time"
)

const failingHold = 10 * time.Second // how long a member whose queries fail holds the others of its action

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
