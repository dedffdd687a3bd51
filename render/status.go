package render

import (
	"cmp"
	"context"
	"errors"
	"slices"

	"render/render/status"
	"render/watch"
)

var errNotRunning = errors.New("the engine does not run")

// Status returns a snapshot. It fails when ctx is done or the engine does not run any longer; before Run it waits.
func (e *Engine) Status(ctx context.Context) (status.Status, error) {
	answer := make(chan status.Status, 1)
	select {
	case e.questions <- answer:
		return <-answer, nil
	case <-e.ended:
		return status.Status{}, errNotRunning
	case <-ctx.Done():
		return status.Status{}, ctx.Err()
	}
}

func (e *Engine) status() status.Status {
	s := status.Status{Missed: e.set.Missed(), Rejected: e.refused.err, ProgramWaits: e.programWaits()}
	for _, t := range e.targets {
		s.Targets = append(s.Targets, e.targetStatus(t))
	}
	for _, a := range e.actions {
		s.Actions = append(s.Actions, status.ActionStatus{
			Name: a.key.name, Commits: a.commits, Runs: a.runs, Busy: a.busy,
			Failures: a.failures, Retry: a.retry, Err: a.err,
		})
	}
	for q, n := range e.graph.nodes {
		s.Queries = append(s.Queries, status.QueryStatus{
			Query: q.String(), Rev: n.state.Rev, Index: n.state.Index, Err: n.state.Err,
			Failures: n.state.Failures, Since: n.state.Since,
		})
	}
	slices.SortFunc(s.Queries, func(a, b status.QueryStatus) int { return cmp.Compare(a.Query, b.Query) })
	return s
}

func (e *Engine) targetStatus(t *target) status.TargetStatus {
	s := status.TargetStatus{
		Source: t.cfg.Source, Destination: t.cfg.Destination,
		Since: t.blocked, Passes: t.passes, Missing: e.missing(t), Held: e.held(t), Err: t.result.Err, Stale: t.stale, Path: t.path,
	}
	switch {
	case t.result.Err != nil:
		s.State = status.Failed
	case len(t.result.Absent) > 0:
		s.State = status.Absent
	case !t.finished():
		s.State = status.Pending
	case t.upToDate() && !t.wants:
		s.State = status.Applied
	default:
		s.State = status.Rendered
		if s.Err = cmp.Or(t.err, t.action.err); s.Err != nil {
			s.State = status.Failed
		}
	}
	return s
}

// missing returns what keeps a target's last pass from being finished.
func (e *Engine) missing(t *target) []status.Missing {
	var all []status.Missing
	for _, q := range t.result.Absent {
		all = append(all, status.Missing{Kind: q.Kind, Query: q.String(), Where: t.template.Where(q), None: true})
	}
	for _, q := range t.result.Pending {
		if n := e.graph.nodes[q]; n != nil && n.state.Rev == 0 {
			all = append(all, status.Missing{Kind: q.Kind, Query: q.String(), Where: t.template.Where(q), Err: n.state.Err})
		}
	}
	return all
}

// held returns what guards hold back of the queries that a target's last pass asked.
func (e *Engine) held(t *target) []status.Held {
	var all []status.Held
	for q, v := range t.views {
		if v.held() && t.uses[q] < kept {
			all = append(all, e.heldBack(t, q, v))
		}
	}
	slices.SortFunc(all, func(a, b status.Held) int { return cmp.Compare(a.Query, b.Query) })
	return all
}

func (e *Engine) heldBack(t *target, q watch.Query, v *view) status.Held {
	return status.Held{
		Query: q.String(), Where: t.template.Where(q), First: !v.known, Before: len(v.seen), After: v.count,
		Guard: v.rules.guard.String(), Since: v.since, Until: v.until(),
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
