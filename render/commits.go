package render

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"render/render/commit"
	"render/watch"
)

const (
	retryBase = time.Second // pause after an action's first failure; doubled by each further one
	retryMax  = time.Minute

	rejectBase = 30 * time.Second // the same for contents that a check or a verification rejected
	rejectMax  = 5 * time.Minute

	diskSlots = 8 // commits that are at their files at one time; commands and checks do not count

	mostCause  = 1 << 10 // bytes of one cause in RENDER_CAUSE
	mostCauses = 8 << 10 // of all
)

func backoff(failures int) time.Duration { return watch.Backoff(failures, retryBase, retryMax) }

// A landing is the end of a commit, on its way to the loop.
type landing struct {
	action  *action
	members []member
	causes  []string // of all members
	first   bool     // of the action
	result  commit.Result
}

// A member is one target of a commit, with the output that the commit brings to disk for it.
type member struct {
	target *target
	output *output
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
	plan, done := e.plan(a, targets)
	a.busy = true
	e.inFlight++
	e.wg.Go(func() {
		done.result = commit.Do(plan, e.tools)
		select {
		case e.landings <- done:
		case <-e.ended: // it hung for so long that nobody waits for it
		}
	})
}

// plan returns what a commit has to do, and what the loop has to know when it ends.
func (e *Engine) plan(a *action, targets []*target) (commit.Plan, landing) {
	e.gatherDebts(a, targets)
	p := commit.Plan{
		Action: a.cfg.steps(), Owed: a.owed, Debts: slices.Clone(a.debts),
		BeforeProgram: !e.cfg.Once && e.supervises() && !e.program.runs(),
		Tell:          e.teller(),
	}
	done := landing{action: a, first: a.commits == 0}
	seen := make(map[string]bool)
	for _, t := range targets {
		o := t.launch()
		o.causes, t.causes = t.causes, nil // others may come while the commit is under way
		p.Files = append(p.Files, o.files(t.cfg)...)
		for _, w := range o.writes {
			if !w.Append && !e.recalled[w.Path] {
				e.recalled[w.Path] = true
				p.Fresh = append(p.Fresh, w.Path)
			}
		}
		done.members = append(done.members, member{t, o})
		for _, c := range o.causes {
			if !seen[c] && len(done.causes) < maxCauses {
				seen[c] = true
				done.causes = append(done.causes, c)
			}
		}
		e.moved(t)
	}
	if len(done.causes) == 0 && a.failures > 0 {
		done.causes = []string{"an earlier attempt failed"}
	}
	p.Env = slices.Concat(e.cfg.Env, []string{"RENDER_ACTION=" + a.key.name, "RENDER_CAUSE=" + cause(done.because())})
	return p, done
}

// gatherDebts has an action owe what another has owed until now for a file that its targets write. It was nobody's meanwhile.
func (e *Engine) gatherDebts(a *action, targets []*target) {
	for other := range e.owing {
		if other == a || other.busy {
			continue
		}
		for _, t := range targets {
			for _, w := range t.wanted.writes {
				if i := other.debtOf(w.Path); i >= 0 {
					e.setDebts(a, append(a.debts, other.debts[i]))
					e.setDebts(other, slices.Delete(other.debts, i, i+1))
					a.owed, other.owed = true, other.owed && len(other.debts) > 0
				}
			}
		}
	}
}

// cause returns a text for the environment of a command: the kernel does not start a program with a variable that is too
// long, and names in Consul may be as long as somebody likes.
func cause(text string) string {
	text = strings.ReplaceAll(text, "\x00", "")
	if len(text) <= mostCauses {
		return text
	}
	return strings.ToValidUTF8(text[:mostCauses], "") + "…"
}

// land takes the end of a commit: its targets are applied, or tried again later (R12, R13).
func (e *Engine) land(done landing) {
	a, r := done.action, done.result
	a.busy = false
	e.inFlight--
	e.coming.landed(a)
	a.commits++
	if r.Ran {
		a.runs++
	}
	a.owed = r.Owed
	e.setDebts(a, r.Debts)

	// Each target, and then the action.
	now := time.Now()
	var errs []error
	for _, m := range done.members {
		if err := e.landMember(m, r, now); err != nil {
			errs = append(errs, err)
		}
	}
	errs = append(errs, r.Err)
	if a.err = errors.Join(errs...); a.err != nil {
		a.retry = a.retryAt(now)
		a.failures++
	} else {
		a.retry = a.rejectedUntil()
		a.failures = 0
	}

	if (len(r.Swapped) > 0 || len(r.Appended) > 0 || r.Revoked) && !r.Told {
		e.program.filesChanged(now)
	}
	e.schedule.now(a)
	e.logCommit(done)
}

// landMember takes the end of a commit for one of its targets, and returns what kept that one's files from being in place.
func (e *Engine) landMember(m member, r commit.Result, now time.Time) error {
	t, o := m.target, m.output
	t.err = nil
	for _, path := range o.paths(t.cfg) {
		t.err = errors.Join(t.err, r.Failed[path])
	}
	o.note(r.Appended)

	// What was rejected waits longer.
	switch {
	case errors.Is(t.err, commit.ErrCheck):
		t.reject(o.sum, now, t.err)
	case r.Rejected:
		t.reject(o.sum, now, r.Err)
	}

	if t.err == nil && (r.Err == nil || r.Ran && !r.Rejected) && o.text == t.text {
		t.placed = true
	}
	applied := r.Err == nil && t.err == nil
	t.land(applied, t.finished())
	if !applied {
		t.causes = slices.Concat(o.causes, t.causes)
		t.causes = t.causes[:min(len(t.causes), maxCauses)]
	} else {
		t.rejected.times = 0
		e.drift.expect(t.cfg, o.main, o.size)
	}
	e.moved(t)
	return t.err
}

// note notes what was appended: it is not done again.
func (o *output) note(appended []string) {
	for _, w := range o.writes {
		if w.Append && slices.Contains(appended, w.Path) {
			if o.appended == nil {
				o.appended = make(map[string]bool)
			}
			o.appended[w.Path] = true
		}
	}
}

// print writes what would be written, for Config.Dry.
func (e *Engine) print(t *target) error {
	o := t.launch()
	_, err := fmt.Fprintf(e.cfg.Dry, "> %s\n%s", t.cfg.Destination, o.bytes)
	for _, w := range o.writes {
		if err == nil {
			_, err = fmt.Fprintf(e.cfg.Dry, "> %s\n%s", w.Path, w.Contents)
		}
	}
	t.land(err == nil, t.finished())
	e.moved(t)
	if err != nil {
		return fmt.Errorf("print %s: %w", t.cfg.Destination, err)
	}
	return nil
}
