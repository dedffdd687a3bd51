package render

import (
	"cmp"
	"errors"
	"slices"
	"time"

	"render/render/commit"
	"render/render/graph"
	"render/render/history"
	"render/render/leases"
	"render/render/output"
	"render/render/run"
	"render/render/schedule"
	"render/watch/pause"
)

const (
	diskSlots = 64 // commits that are at their files at one time; commands and checks do not count
)

func backoff(failures int) time.Duration {
	return pause.Backoff(failures, output.RetryBase, output.RetryMax)
}

// A landing is the end of a commit, on its way to the loop.
type landing struct {
	action  *action
	members []member
	event   history.Event
}

// A member is one target of a commit, with the output that the commit brings to disk for it.
type member struct {
	target *target
	output *output.Output
	first  int // of its files in the plan
}

// commit commits an action's changed targets: in a goroutine, whose end is sent to the loop (R9).
func (e *Engine) commit(a *action, targets []*target, now time.Time) {
	a.pace.Commit(now)
	a.retry = time.Time{}
	if e.cfg.Dry != nil {
		for _, t := range targets {
			if err := e.print(t); err != nil {
				e.log.Error("printing failed", "err", err)
			}
		}
		return
	}
	a.busy = true
	e.inFlight++
	plan, done := e.plan(a, targets)
	a.track.Launched(a.isBehind())
	e.noteAction(a)
	e.wg.Go(func() {
		done.event.Result = commit.Do(plan, e.tools)
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
		Action: a.cfg.Steps(), Pending: a.pending, Debts: slices.Clone(e.debts.Of(a)),
		BeforeProgram: !e.cfg.Once && e.supervises() && e.program.Child == nil,
		Notify:        e.notification(), Report: !e.cfg.Once,
	}
	done := landing{action: a, event: history.Event{
		Action: a.track.ID, Name: a.key.Name, Kind: a.key.Kind.String(), Doing: a.cfg.Steps().String(), First: a.commits == 0,
		Debt: a.pending && a.failures == 0 && a.commits == 0, Failures: a.failures, Once: e.cfg.Once,
	}}
	for _, t := range targets {
		o := t.Launch()
		o.Causes, t.Causes = t.Causes, nil // others may come while the commit is under way
		p.Unknown = p.Unknown || o.Hidden && !t.track.Applied
		done.event.Members = append(done.event.Members, t.member(e, o))
		done.members = append(done.members, member{t, o, len(p.Files)})
		p.KeepFrom = schedule.Earliest(p.KeepFrom, e.keepFrom(t, o.Leases))
		p.Files = append(p.Files, o.Files(t.cfg.Destination, t.cfg.File)...)
		for _, w := range o.Writes {
			if path := cleanPath(w.Path); !w.Append && !e.recalled[path] {
				e.recalled[path] = true
				p.Fresh = append(p.Fresh, w.Path)
			}
		}
		e.moved(t)
	}
	for _, d := range p.Debts {
		t := e.byDestination[d.Path]
		if t != nil && t.InFlight == nil {
			p.Unknown = p.Unknown || t.UsesSecret()
			done.event.Members = append(done.event.Members, t.member(e, &output.Output{}))
			p.KeepFrom = schedule.Earliest(p.KeepFrom, e.keepFrom(t, leases.Of(t.answers)))
		}
	}
	for _, t := range a.targets { // a check may read the files of all
		p.Secrets = append(p.Secrets, t.Secrets()...)
		p.Hidden = p.Hidden || t.InFlight == nil && !t.track.Applied && t.UsesSecret()
	}
	done.event.Causes = history.Causes(done.event.Members)
	p.Env = slices.Concat(e.cfg.Env, []string{"RENDER_ACTION=" + a.key.Name, "RENDER_CAUSE=" + run.Variable(done.event.Because())})
	return p, done
}

// keepFrom returns from when on an undo is not to restore what a target has in place, made of leased answers: it has ended then, or
// ends before the commit could be tried again. Nobody renews what an earlier run has leased. Next is what the commit brings.
func (e *Engine) keepFrom(t *target, next *leases.Uses) time.Time {
	if !t.track.Applied && e.leases.NeedRenewal(next) {
		return time.Unix(0, 0)
	}
	end := e.leases.End(t.Leases()[0])
	if end.IsZero() {
		return end
	}
	return end.Add(-max(output.RejectMax, t.action.cfg.Spacing) - time.Minute)
}

// land takes the end of a commit: its targets are applied, or tried again later (R12, R13).
func (e *Engine) land(done landing) {
	a, r := done.action, done.event.Result
	a.busy = false
	e.inFlight--
	e.gate.Landed(a)
	a.commits++
	if r.Ran {
		a.runs++
	}
	a.pending = r.Pending
	e.debts.Set(a, r.Debts)

	now := time.Now()
	if r.Unnotified() {
		e.program.FilesChanged(now)
		e.leases.Await(e.program.IsBehind()) // until then it uses what was there before
	}

	// Each target, and then the action.
	var errs []error
	for _, path := range r.Swapped {
		if t := e.byDestination[path]; t != nil {
			t.track.LastChange = now
		}
	}
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

	a.track.Landed(a.err == nil, now)
	e.noteAction(a)
	e.schedule.Now(a)
	for _, other := range e.afterwards[a] {
		e.schedule.Now(other)
	}
	delete(e.afterwards, a)
	done.event.Err, done.event.Retry, done.event.Ended = a.err, a.retry, now
	done.event.Log(e.log)
	if c := done.event.Commit(e.ids); c != nil && !e.cfg.Once {
		e.history.Add(c)
		a.track.LastRun = cmp.Or(c.Run(), a.track.LastRun)
	}
}

// landMember takes the end of a commit for one of its targets, and returns what kept that one's files from being in place.
func (e *Engine) landMember(m member, r commit.Result, now time.Time) error {
	t, o := m.target, m.output
	var applied bool
	applied, t.err = t.LandCommit(t.cfg.Destination, m.first, r, t.finished(), now)
	e.landClaims(t)
	for _, w := range o.Writes {
		e.noteReal(t, w, r.Real[w.Path])
	}
	if !applied {
		t.Causes = slices.Concat(o.Causes, t.Causes)
		t.Causes = t.Causes[:min(len(t.Causes), graph.MaxCauses)]
	} else {
		t.track.Applied = true
		if t.cfg.Drift.Matters() {
			e.drift.Expect(t.cfg.Destination, t.cfg.File, o.Main, o.Size)
		}
	}
	e.moved(t)
	return t.err
}

// print writes what would be written, for Config.Dry.
func (e *Engine) print(t *target) error {
	o := t.Launch()
	err := o.Print(e.cfg.Dry, t.cfg.Destination)
	t.Land(err == nil, t.finished())
	e.moved(t)
	return err
}
