package render

import "time"

// pace says when an action may commit (R7). The zero value has no spacing and no wait.
type pace struct {
	spacing time.Duration
	wait    Wait

	committed bool      // once at least
	last      time.Time // when the last commit began
	rest      time.Time // until when no pass should run, because the last ones took long
	first     time.Time // the first change since then; zero if there is none
	latest    time.Time // the last change since then
}

// changed notes that something has changed.
func (p *pace) changed(now time.Time) {
	if p.first.IsZero() {
		p.first = now
	}
	p.latest = now
}

// due returns when the changes may be committed, and false where there are none.
func (p *pace) due() (at time.Time, changed bool) {
	if p.first.IsZero() {
		return time.Time{}, false
	}
	at = p.first
	if !p.committed {
		return at, true
	}
	if p.wait.Min > 0 {
		at = earlier(p.latest.Add(p.wait.Min), p.first.Add(p.wait.Max))
	}
	return later(at, later(p.spaced(), p.rest)), true
}

// spaced returns when the next commit may begin at the earliest.
func (p *pace) spaced() time.Time {
	if !p.committed {
		return time.Time{}
	}
	return p.last.Add(p.spacing)
}

// A template may be large, and change often. So that it takes a small part of a core only, its passes are followed by a
// rest of restFactor times what they took.
const (
	restFactor = 30
	restMax    = time.Second
)

// passed notes that passes have ended, and what they took.
func (p *pace) passed(now time.Time, took time.Duration) {
	p.rest = now.Add(min(restFactor*took, restMax))
}

// reset notes that the changes turned out to need no commit.
func (p *pace) reset() { p.first, p.latest = time.Time{}, time.Time{} }

// commit notes that a commit of all changes begins.
func (p *pace) commit(now time.Time) {
	p.reset()
	p.committed, p.last = true, now
}

func later(a, b time.Time) time.Time {
	if a.Before(b) {
		return b
	}
	return a
}

// earlier returns the earlier of two times, where the zero time stands for never.
func earlier(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}
