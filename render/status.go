package render

import (
	"cmp"
	"context"
	"slices"

	"render/render/graph"
	"render/render/proposal"
	"render/render/status"
	"render/watch"
)

// Status returns a snapshot. It fails when ctx is done or the engine does not run any longer; before Run it waits.
func (e *Engine) Status(ctx context.Context) (status.Status, error) {
	return ask(ctx, e, e.status)
}

// ask has the loop make an answer, and returns it. It fails when ctx is done or the loop has ended.
func ask[T any](ctx context.Context, e *Engine, answer func() T) (answered T, err error) {
	answers := make(chan T, 1)
	select {
	case e.questions <- func() { answers <- answer() }:
		return <-answers, nil
	case <-e.ended:
		return answered, proposal.ErrNotRunning
	case <-ctx.Done():
		return answered, ctx.Err()
	}
}

func (e *Engine) status() status.Status {
	s := status.Status{Missed: e.set.Missed(), Rejected: e.rejected.Err, ProgramWaits: e.programWaits()}
	for _, t := range e.targets {
		s.Targets = append(s.Targets, e.targetStatus(t))
	}
	for _, a := range e.actions {
		s.Actions = append(s.Actions, status.ActionStatus{
			Name: a.key.Name, Commits: a.commits, Runs: a.runs, Busy: a.busy,
			Failures: a.failures, Retry: a.retry, Err: a.err,
		})
	}
	for q, st := range e.graph.All() {
		text, err, _ := e.show(q, st.Err)
		s.Queries = append(s.Queries, status.QueryStatus{Query: text, Rev: st.Rev, Index: st.Index, Err: err, Failures: st.Failures, Since: st.Since})
	}
	slices.SortFunc(s.Queries, func(a, b status.QueryStatus) int { return cmp.Compare(a.Query, b.Query) })
	return s
}

func (e *Engine) targetStatus(t *target) status.TargetStatus {
	s := status.TargetStatus{
		Source: t.cfg.Source, Destination: t.cfg.Destination,
		Since: t.blocked, Passes: t.passes, Missing: e.missing(t), Held: held(t), Err: t.result.Err, Stale: e.unusable.Of(t.order), Path: t.path,
	}
	if t.pass != nil {
		s.Executing = t.pass.Began
	}
	s.State = t.state()
	if s.State == status.Failed {
		s.Err = cmp.Or(t.result.Err, t.err, t.action.err)
	}
	return s
}

// state returns how far a target is.
func (t *target) state() status.State {
	switch {
	case t.result.Err != nil:
		return status.Failed
	case len(t.result.Absent) > 0:
		return status.Absent
	case !t.finished():
		return status.Pending
	case t.UpToDate() && !t.Wants:
		return status.Applied
	case t.err != nil || t.action.err != nil:
		return status.Failed
	}
	return status.Rendered
}

// missing returns what keeps a target's last pass from being finished.
func (e *Engine) missing(t *target) []status.Missing {
	var all []status.Missing
	for _, q := range t.result.Absent {
		all = append(all, status.Missing{Kind: q.Kind, Asked: q, Query: t.template.Show(q), Where: t.where(q), None: true, At: watch.Locate(e.src, q)})
	}
	for _, q := range t.result.Pending {
		if st, used := e.graph.State(q); used && st.Rev == 0 {
			all = append(all, status.Missing{Kind: q.Kind, Asked: q, Query: t.template.Show(q), Where: t.where(q), Err: t.template.ShowError(q, st.Err)})
		}
	}
	return all
}

// held returns what guards hold back of the queries that a target's last pass asked.
func held(t *target) []status.Held {
	var all []status.Held
	for _, h := range t.Held() {
		all = append(all, heldBack(t, h))
	}
	slices.SortFunc(all, func(a, b status.Held) int { return cmp.Compare(a.Query, b.Query) })
	return all
}

func heldBack(t *target, h graph.Held) status.Held {
	return status.Held{
		Asked: h.Query, Query: t.template.Show(h.Query), Where: t.where(h.Query), First: h.First, Before: h.Before, After: h.After,
		Guard: h.Guard.String(), Since: h.Since, Until: h.Until(),
	}
}

func (e *Engine) incomplete(which func(*target) bool) *status.IncompleteError {
	var targets []status.TargetStatus
	for _, t := range e.targets {
		if which(t) {
			targets = append(targets, e.targetStatus(t))
		}
	}
	return &status.IncompleteError{Targets: targets}
}
