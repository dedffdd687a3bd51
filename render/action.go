package render

import (
	"time"

	"render/render/group"
	"render/render/pace"
	"render/render/schedule"
	"render/render/status"
)

// holdMost is how long a member that cannot finish, because its queries fail or do not answer, holds the others of its
// action. So long, too, actions at work hold back the notification of the supervised program.
const holdMost = 10 * time.Second

// action is an Action at work. Owned by the loop.
type action struct {
	key     group.Key
	order   int // in Engine.actions
	cfg     Action
	targets []*target
	pace    pace.Pace

	round     uint64        // counts the commits that were prepared, from 1
	gathering time.Time     // since when members have their passes for the next commit; zero if they have not
	took      time.Duration // passes since the last commit

	// Of the targets, those that …
	wanting    map[*target]bool // … want a pass
	unfinished map[*target]bool // … have no finished pass
	changed    map[*target]bool // … have output to commit

	busy     bool // a commit is in flight (R9)
	pending  bool // the action has to succeed although no file changes (R13)
	commits  int
	runs     int
	failures int
	retry    time.Time
	err      error
	track    status.ActionTrack
	noted    error // err, as its targets show it
}

func newAction(key group.Key) *action {
	return &action{
		key: key, round: 1,
		wanting: make(map[*target]bool), unfinished: make(map[*target]bool), changed: make(map[*target]bool),
	}
}

// byOrder compares the places of two actions in the configuration.
func byOrder(a, b *action) int { return a.order - b.order }

// grouping returns what says which of some targets, which are made of the configuration, share an action.
func (c Config) grouping(targets []*target) group.Configuration {
	g := group.Configuration{Actions: c.Actions, Implied: c.Implied}
	for _, t := range targets {
		g.Targets, g.Paths = append(g.Targets, t.cfg), append(g.Paths, t.path)
	}
	return g
}

// regroup gives each target its action. An action that was there before keeps its state. It returns those of them that have other
// settings now.
func (e *Engine) regroup() (altered map[*action]bool) {
	before := e.actions
	e.groups = e.cfg.grouping(e.targets).Groups(e.groups)
	e.actions = make([]*action, 0, len(e.groups))
	altered = make(map[*action]bool)
	for i, g := range e.groups {
		a := newAction(g.Key)
		if g.Before >= 0 {
			a = before[g.Before]
			altered[a] = g.Altered
		}
		a.cfg, a.order, a.targets = g.Action, i, nil
		a.pace.Spacing, a.pace.Wait = g.Action.Spacing, g.Action.Wait
		a.track.ID = e.ids.Action(g.Key.Kind.String(), g.Key.Name, g.Number)
		for _, i := range g.Targets {
			e.targets[i].action = a
			a.targets = append(a.targets, e.targets[i])
		}
		e.actions = append(e.actions, a)
	}
	return altered
}

// without forgets a target.
func (a *action) without(t *target) {
	delete(a.wanting, t)
	delete(a.unfinished, t)
	delete(a.changed, t)
}

// advanceAll lets each action do what it can whose turn it is, and returns when the next of them has something to do.
func (e *Engine) advanceAll(now time.Time) (wake time.Time) {
	for _, a := range e.schedule.Due(now) {
		e.schedule.At(a, e.advance(a, now))
	}
	return e.schedule.Next(now)
}

// advance runs the passes that an action's targets want and commits what is due. It returns when there is more to do;
// zero if that needs an answer, or the end of a pass or a commit, first.
func (e *Engine) advance(a *action, now time.Time) (wake time.Time) {
	wake = e.runMembers(a, func(t *target) bool { return !t.finished() || t.urgent || e.cfg.Once })
	if a.busy || e.cfg.Once || e.gate.Affects(a) {
		return wake
	}
	if due := a.due(); due.IsZero() || now.Before(due) {
		return schedule.Earliest(wake, due)
	}

	// What the other members want to say is part of the same commit. Each has one pass for it.
	if a.gathering.IsZero() {
		a.gathering = now
	}
	wake = schedule.Earliest(wake, e.runMembers(a, func(t *target) bool {
		t.skipped = t.skipped || t.round == a.round
		return t.round != a.round
	}))
	until, wait := a.gathers(now)
	if !wait {
		a.pace.Passed(now, a.took)
		a.gathering, a.took = time.Time{}, 0
		a.round++
		until, wait = a.mustWait(now)
	}
	if wait && (!a.pending || !a.cfg.Atomic || now.Before(until)) {
		return schedule.Earliest(wake, until)
	}
	if wait {
		e.commit(a, nil, now) // what is in place already does not wait for the members that are blocked
		return wake
	}
	return schedule.Earliest(wake, e.commitMembers(a, now))
}

// runMembers runs the passes of the members that want one and are to have it. It returns when one that rests may run.
func (e *Engine) runMembers(a *action, has func(*target) bool) (wake time.Time) {
	for _, t := range inOrder(a.wanting) {
		if t.pass != nil || !has(t) {
			continue
		}
		if e.passes.Over() {
			e.schedule.Now(a) // in the next turn
			return wake
		}
		wake = schedule.Earliest(wake, e.execute(t))
	}
	return wake
}

// gathers reports whether the commit has to wait for passes of members, and until when. One whose pass takes long, or waits for
// its turn, holds the others as one that is pending does (mustWait).
func (a *action) gathers(now time.Time) (until time.Time, wait bool) {
	hold := a.gathering.Add(holdMost)
	for t := range a.wanting {
		ready := t.pass == nil && (t.round == a.round || now.Before(t.rest))
		switch {
		case ready, t.passed:
		case now.Before(hold):
			until, wait = hold, true
		case a.cfg.Atomic:
			return time.Time{}, true
		default:
			t.passed = true
		}
	}
	return until, wait
}

// commitMembers commits what is due, and returns when there is more to do.
func (e *Engine) commitMembers(a *action, now time.Time) (wake time.Time) {
	targets := a.toCommit(now)
	for other := range e.debts.Others(a, written(targets)) {
		if other.busy {
			e.afterwards[other] = append(e.afterwards[other], a)
			return time.Time{}
		}
	}
	if len(targets) == 0 && !a.pending {
		a.pace.Reset()
		if len(a.changed) == 0 {
			a.err, a.failures = nil, 0 // what failed is not wanted any more
		}
		a.retry = a.retryAt(now)
		wake = a.retry
		e.noteAction(a)
	} else {
		e.commit(a, targets, now)
	}
	for t := range a.wanting {
		if t.skipped {
			a.pace.Changed(now) // it has changed since its pass for this commit
			e.schedule.Now(a)
			break
		}
	}
	return wake
}

// due returns when the action may commit; zero if it has nothing to commit. A commit that failed is repeated no sooner than
// the spacing after it (R7).
func (a *action) due() time.Time {
	due, changed := a.pace.Due()
	if !a.retry.IsZero() {
		retry := schedule.Latest(a.retry, a.pace.Spaced())
		if !changed {
			return retry
		}
		due = schedule.Earliest(due, retry)
	}
	return due
}

// mustWait reports whether a member keeps the action from committing, and until when; zero means until an answer comes.
//
// A pending member may be about to get its answers, from a Consul that is just coming back, or may never get them, from a
// datacenter that is gone or a file system that hangs. So it holds the others for holdMost, but once only: from then on it
// counts as blocked, until it finishes.
func (a *action) mustWait(now time.Time) (until time.Time, wait bool) {
	if len(a.unfinished) > 0 && a.cfg.Atomic {
		return time.Time{}, true
	}
	for t := range a.unfinished {
		if len(t.result.Pending) == 0 || t.passed {
			continue
		}
		if hold := schedule.Latest(a.pace.First(), t.blocked).Add(holdMost); now.Before(hold) {
			until, wait = schedule.Earliest(until, hold), true
		} else {
			t.passed = true
		}
	}
	return until, wait
}

// toCommit returns the members to commit: those with output that is not applied, but for those whose output was rejected a
// short while ago. Atomic ones go together.
func (a *action) toCommit(now time.Time) []*target {
	var all []*target
	rejected := 0
	for _, t := range inOrder(a.changed) {
		if t.pass != nil {
			continue // what it wants is being found out
		}
		if t.IsRejected(now) {
			if rejected++; !a.cfg.Atomic {
				continue
			}
		}
		all = append(all, t)
	}
	if a.cfg.Atomic && rejected == len(all) {
		return nil
	}
	return all
}

// retryAt returns when to try again: soon where something was in the way, late where all that is left was rejected.
func (a *action) retryAt(now time.Time) time.Time {
	inTheWay := a.pending
	for t := range a.changed {
		inTheWay = inTheWay || !t.IsRejected(now)
	}
	if inTheWay {
		return now.Add(backoff(a.failures))
	}
	return a.rejectedUntil()
}

// rejectedUntil returns when the first output that was rejected may be tried again; zero if none was.
func (a *action) rejectedUntil() (at time.Time) {
	for t := range a.changed {
		if t.WasRejected() {
			at = schedule.Earliest(at, t.RejectedUntil())
		}
	}
	return at
}
