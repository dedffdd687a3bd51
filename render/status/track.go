package status

import (
	"time"

	"render/render/schedule"
	"render/watch"
)

const mostUses = 1000 // queries of one target in a snapshot

// A TargetTrack is what an engine's loop notes about a target, so that snapshots can tell when it happened.
type TargetTrack struct {
	State      State
	Since      time.Time // when it came into this state
	LastPass   time.Time
	PassTook   time.Duration
	LastChange time.Time // when its file was last written
	Applied    bool      // once at least

	id      string
	name    string // that the ID is of
	uses    []Use
	version int // of uses
}

// Note notes the state of the target.
func (t *TargetTrack) Note(state State) {
	if t.State != state {
		t.State, t.Since = state, time.Now()
	}
}

// Passed notes the end of a pass.
func (t *TargetTrack) Passed(now time.Time, took time.Duration) { t.LastPass, t.PassTook = now, took }

// ID returns the ID of the target with a source and a destination.
func (t *TargetTrack) ID(ids IDs, source, destination string) string {
	name := destination
	if name == "" {
		name = source
	}
	if t.id == "" || t.name != name {
		t.id, t.name = ids.Of("target", name, 0), name
	}
	return t.id
}

// Uses returns the queries of a version of what the target uses. It makes a new list only where the version is another. While the template is
// executing it is not known where it asks: such a list is not kept.
func (t *TargetTrack) Uses(ids IDs, queries []watch.Query, version int, show, where func(watch.Query) string, executing bool) []Use {
	if t.uses != nil && t.version == version {
		return t.uses
	}
	queries = queries[:min(len(queries), mostUses)]
	uses := make([]Use, 0, len(queries))
	for _, q := range queries {
		uses = append(uses, Use{Query: ids.Query(q), Text: show(q), Where: where(q)})
	}
	if t.uses = nil; !executing {
		t.uses, t.version = uses, version
	}
	return uses
}

// A Latch notes when all targets were applied at least once, and the supervised program was started. What comes later does not change that.
type Latch struct {
	At   time.Time // zero for not yet
	next int       // the targets before this one were applied
}

// Renew notes that targets are numbered anew.
func (l *Latch) Renew() { l.next = 0 }

// Note looks at the targets that were not applied yet, and reports whether this is the moment. Waits says that the program is not started.
func (l *Latch) Note(targets int, applied func(i int) bool, waits bool) (now bool) {
	if !l.At.IsZero() {
		return false
	}
	for l.next < targets && applied(l.next) {
		l.next++
	}
	if l.next < targets || waits {
		return false
	}
	l.At = time.Now()
	return true
}

// An ActionTrack is what an engine's loop notes about an action.
type ActionTrack struct {
	ID        string
	State     ActionState
	Since     time.Time // when it came into this state
	Succeeded time.Time // when a commit last succeeded
	LastRun   *Run

	unapplied time.Time // when the oldest change came that no commit has; zero for none
	carried   time.Time // the same of the commit that is in flight
}

// Note notes the state of the action, and whether something is left to apply.
func (a *ActionTrack) Note(state ActionState) {
	if a.State != state {
		a.State, a.Since = state, time.Now()
	}
	switch {
	case state == InSync:
		a.unapplied, a.carried = time.Time{}, time.Time{}
	case a.unapplied.IsZero() && state != Committing:
		a.unapplied = time.Now()
	}
}

// Launched notes that a commit begins. Others says that there are changes that it does not have.
func (a *ActionTrack) Launched(others bool) {
	a.carried = schedule.Earliest(a.carried, a.unapplied)
	if !others {
		a.unapplied = time.Time{}
	}
}

// Changed notes a change that comes while a commit is in flight.
func (a *ActionTrack) Changed() {
	if a.unapplied.IsZero() {
		a.unapplied = time.Now()
	}
}

// Landed notes the end of a commit.
func (a *ActionTrack) Landed(succeeded bool, now time.Time) {
	if succeeded {
		a.Succeeded = now
	} else {
		a.unapplied = schedule.Earliest(a.unapplied, a.carried)
	}
	a.carried = time.Time{}
}

// Unapplied returns when the oldest change came that is not applied; zero for none.
func (a *ActionTrack) Unapplied() time.Time { return schedule.Earliest(a.unapplied, a.carried) }
