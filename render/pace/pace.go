// Package pace says when an action may commit (R7).
package pace

import (
	"fmt"
	"slices"
	"time"
)

// A Wait lets changes collect before they are committed (R7). The zero value does not wait.
type Wait struct {
	Min time.Duration // quiet that ends the collecting
	Max time.Duration // the longest that a change is kept back
}

// Validate returns an error where the times are negative, or the maximum is less than the minimum.
func (w Wait) Validate() error {
	if w.Min < 0 || w.Max < w.Min {
		return fmt.Errorf("wait: the maximum %s is less than the minimum %s", w.Max, w.Min)
	}
	return nil
}

// A Pace says when an action may commit (R7). The zero value has no spacing and no wait.
type Pace struct {
	Spacing time.Duration // between the beginnings of two commits
	Wait    Wait

	committed bool      // once at least
	last      time.Time // when the last commit began
	rest      time.Time // until when no pass should run, because the last ones took long
	first     time.Time // the first change since then; zero for none
	latest    time.Time // the last change since then
}

// Changed notes that something has changed.
func (p *Pace) Changed(now time.Time) {
	if p.first.IsZero() {
		p.first = now
	}
	p.latest = now
}

// First returns the time of the first change since the last commit; zero for none.
func (p *Pace) First() time.Time { return p.first }

// Due returns when the changes may be committed, and false for none.
func (p *Pace) Due() (at time.Time, changed bool) {
	if p.first.IsZero() {
		return time.Time{}, false
	}
	at = p.first
	if !p.committed {
		return at, true
	}
	if p.Wait.Min > 0 {
		at = slices.MinFunc([]time.Time{p.latest.Add(p.Wait.Min), p.first.Add(p.Wait.Max)}, time.Time.Compare)
	}
	return slices.MaxFunc([]time.Time{at, p.Spaced(), p.rest}, time.Time.Compare), true
}

// Spaced returns when the next commit may begin at the earliest; zero before the first commit.
func (p *Pace) Spaced() time.Time {
	if !p.committed {
		return time.Time{}
	}
	return p.last.Add(p.Spacing)
}

// A template may be large, and change often. So that it takes a small part of a processor only, its passes are followed by a
// rest of restFactor times what they took. Changes wait for restMax at most: passes that take seconds may use most of one
// processor.
const (
	restFactor = 30
	restMax    = time.Second
)

// Rest returns how long to rest after passes, for what they took.
func Rest(took time.Duration) time.Duration { return min(restFactor*took, restMax) }

// Passed notes that passes have ended, and what they took.
func (p *Pace) Passed(now time.Time, took time.Duration) { p.rest = now.Add(Rest(took)) }

// Reset notes that the changes turned out to need no commit.
func (p *Pace) Reset() { p.first, p.latest = time.Time{}, time.Time{} }

// Commit notes that a commit of all changes begins.
func (p *Pace) Commit(now time.Time) {
	p.Reset()
	p.committed, p.last = true, now
}
