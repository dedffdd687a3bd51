package render

import (
	"fmt"
	"iter"
	"slices"
	"time"

	"render/render/commit"
	"render/render/graph"
	"render/render/report"
	"render/render/schedule"
	"render/watch"
)

const (
	mostReported = report.Most // targets in one report
	mostNamed    = report.Named
)

// report logs the targets that cannot finish, and the queries that fail, when it is time to (R14).
func (e *Engine) report(now time.Time) {
	e.failing.Report(e.log, now, reportEvery, e.graph.Len(), e.showFailure)
	if !e.reportAt.IsZero() && !now.Before(e.reportAt) {
		e.reportAt = e.reportBlocked(now)
	}
	e.guards.Report(e.log, e.graph, now, reportEvery)
	e.reportPasses(now)
	e.rejected.Report(e.log, now, reportEvery)
	e.unusable.Report(e.log, now, reportEvery)
}

// nextReport returns when the next report is due; zero where there is nothing to report.
func (e *Engine) nextReport() time.Time {
	return schedule.Earliest(e.reportAt, e.failing.Next, e.guards.Next, e.passes.Next, e.rejected.Next, e.unusable.Next)
}

func (e *Engine) reportBlocked(now time.Time) (next time.Time) {
	reported := 0
	for _, t := range inOrder(e.blocked) {
		at := t.blocked.Add(reportAfter)
		if !t.report.IsZero() {
			at = t.report.Add(reportEvery)
		}
		if !now.Before(at) && t.Answered() && e.passes.Over() {
			at = now // it runs first
		} else if !now.Before(at) {
			t.report = now
			if t.Answered() {
				e.execute(t) // R5 (c)
			}
			if t.finished() {
				continue
			}
			if t.pass != nil { // what there is to tell of it comes with its pass
				next = schedule.Earliest(next, now.Add(reportEvery))
				continue
			}
			if reported++; reported <= mostReported {
				e.reportTarget(t)
			}
			at = now.Add(reportEvery)
		}
		next = schedule.Earliest(next, at)
	}
	if reported > mostReported {
		e.log.Warn("more templates wait", "templates", reported-mostReported)
	}
	return next
}

func (e *Engine) reportTarget(t *target) {
	if t.result.Err != nil {
		e.log.Warn("template still fails; its file stays as it is", "err", t.result.Err)
		return
	}
	var missing []string
	for _, m := range e.missing(t) {
		missing = append(missing, m.String())
	}
	for _, h := range held(t) {
		if h.First {
			missing = append(missing, h.String())
		}
	}
	e.log.Warn("waiting", "template", t.cfg.Source, "for", commit.Summary(missing, mostNamed, "; "),
		"missing", len(missing), "of", t.Queries())
}

// showFailure returns a query that fails, with its error.
func (e *Engine) showFailure(q watch.Query, err error) error {
	if t := shower(e.graph.Users(q), q); t != nil {
		return fmt.Errorf("%s: %w", t.template.Show(q), t.template.ShowError(q, err))
	}
	return fmt.Errorf("%s: no template uses the query any more", q.Kind)
}

// shower returns the one of the users of a query that shows it where no target is named: the first in the order of the configuration that
// hides the name, or else the first; nil for none.
func shower(users iter.Seq[*target], q watch.Query) (first *target) {
	hides := false
	for t := range users {
		hidden := t.template.Hides(q)
		if first == nil || hidden && !hides || hidden == hides && t.order < first.order {
			first, hides = t, hidden
		}
	}
	return first
}

// noteFailures logs when queries begin to fail, and when none fails any more (R12).
func (e *Engine) noteFailures(states map[watch.Query]watch.State, now time.Time) {
	for q, st := range states {
		if _, used := e.graph.State(q); used {
			e.failing.Note(e.log, q, st.Err)
		}
	}
	e.failing.Begin(e.log, now, now.Add(reportEvery), e.showFailure)
}

// logJudgements logs what guards have done.
func (e *Engine) logJudgements(now time.Time) {
	judged := e.graph.Judgements()
	for _, j := range judged {
		e.board.Target(j.Owner.order)
		if j.Verdict == graph.Begun {
			e.schedule.Now(j.Owner.action) // its other members do not wait for ever
		}
	}
	e.guards.Note(e.log, judged, now, reportEvery)
}

// logFault logs that a template has failed, with the line that is at fault.
func (e *Engine) logFault(t *target) {
	t.panicked = report.Template(e.log, t.result.Err, t.panicked)
}

// noteWarnings logs when a template begins to leave instances out because they have no usable address, and each place that
// is probably a mistake once.
func (e *Engine) noteWarnings(t *target) {
	if d := t.result.Dropped; len(d) > 0 && !slices.Equal(d, t.dropped) {
		e.log.Warn("instances are left out", "template", t.cfg.Source, "count", len(d), "first", watch.Shorten(d[0].ID), "node", watch.Shorten(d[0].Node), "why", d[0].Reason)
	}
	for _, s := range t.template.Unreported(t.result) {
		e.log.Warn("template has a probable mistake", "template", t.cfg.Source, "place", s.Place(), "why", s.Why)
	}
	t.dropped, t.result.Dropped, t.result.Suspect = t.result.Dropped, nil, nil
}
