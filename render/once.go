package render

import (
	"errors"
	"slices"
	"time"

	"render/render/commit"
	"render/render/report"
	"render/watch"
)

// lastPasses is how long passes may take when a run with Config.Once is given up.
const lastPasses = 500 * time.Millisecond

// finishOnce ends a run with Config.Once: with an error as soon as a template has failed, and when all targets are
// finished by applying all of them.
func (e *Engine) finishOnce() (done bool, err error) {
	switch {
	case e.sums.failed > 0:
		return true, e.incomplete(func(t *target) bool { return t.result.Err != nil })
	case e.cfg.FailAbsent && e.sums.absent > 0, e.sums.unfinished > 0 && e.hopeless():
		return true, e.givenUp(0)
	case e.sums.unfinished > 0, e.sums.wanting > 0: // a pass that takes long is under way
		return false, nil
	}
	if e.cfg.Dry != nil {
		var errs []error
		for _, t := range e.targets {
			errs = append(errs, e.print(t))
		}
		return true, errors.Join(errs...)
	}
	return true, e.applyAll()
}

// hopeless reports whether a query that a target waits for has failed so often, or in such a way, that the run fails.
func (e *Engine) hopeless() bool {
	failed := func(q watch.Query) bool {
		err := e.failing.Errs[q]
		most := e.cfg.Asking.Most(q.Kind)
		st, _ := e.graph.State(q)
		return errors.Is(err, watch.ErrDenied) || err != nil && q.Kind == watch.KindPlugin || err != nil && most > 0 && st.Failures >= most
	}
	return len(e.failing.Errs) > 0 && slices.ContainsFunc(e.targets, func(t *target) bool {
		return !t.finished() && slices.ContainsFunc(t.result.Pending, failed)
	})
}

// givenUp returns what is missing when a run with Config.Once ends early: by its timeout, where tooLate is not 0. A last
// pass of each template that waits shows what it would make of the answers that came since its last one, if there is time.
// So does a pass that has just begun.
func (e *Engine) givenUp(tooLate time.Duration) error {
	unfinished := func(t *target) bool { return !t.finished() || t.pass != nil }
	began := time.Now()
	for _, t := range e.targets {
		if unfinished(t) && time.Since(began) < lastPasses {
			e.execute(t)
		}
	}
	e.awaitLastPasses()
	err := e.incomplete(unfinished)
	err.TooLate = tooLate
	return err
}

// awaitLastPasses waits for the ends of passes that have just begun.
func (e *Engine) awaitLastPasses() {
	now, late := time.Now(), time.After(lastPasses)
	begun := func(t *target) bool { return t.pass != nil && now.Sub(t.pass.Began) < lastPasses }
	for slices.ContainsFunc(e.targets, begun) {
		select {
		case p := <-e.passes.Ends():
			e.landPass(p)
		case <-late:
			return
		}
	}
}

// applyAll commits all actions together: all files or none, then the commands in order.
func (e *Engine) applyAll() error {
	var plans []commit.Plan
	var all []landing
	for _, a := range e.actions {
		if targets := a.toCommit(time.Now()); len(targets) > 0 {
			a.busy = true
			e.inFlight++
			plan, done := e.plan(a, targets)
			plans, all = append(plans, plan), append(all, done)
		}
	}
	written, commands := make(map[string]bool), 0
	err := commit.All(plans, e.tools, func(i int, r commit.Result) {
		for _, path := range r.Swapped {
			written[path] = true
		}
		for file, err := range r.Appends {
			written[plans[i].Files[file].Destination] = written[plans[i].Files[file].Destination] || err == nil
		}
		if r.Ran {
			commands++
		}
		all[i].event.Result = r
		e.land(all[i])
	})
	if err == nil && len(e.targets) > 0 {
		unchanged := 0
		for _, t := range e.targets {
			if !written[t.cfg.Destination] {
				unchanged++
			}
		}
		report.Summary(e.log, written, unchanged, len(e.targets), commands, time.Since(e.started))
	}
	return err
}
