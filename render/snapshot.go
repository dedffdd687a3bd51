package render

import (
	"context"
	"time"

	"render/render/commit"
	"render/render/history"
	"render/render/output"
	"render/render/status"
	"render/watch"
)

// Snapshot returns a snapshot that all who ask share: it is at most 100 ms old, and must not be changed. It fails when ctx is done or
// the engine does not run any longer; before Run it waits.
func (e *Engine) Snapshot(ctx context.Context) (*status.Snapshot, error) {
	return e.shared.Snapshot(ctx)
}

// History returns the last commits.
func (e *Engine) History() *history.Log { return e.history }

// Feed notifies that a snapshot or the history has changed.
func (e *Engine) Feed() *history.Feed { return e.feed }

// askPart gets a part of a snapshot from the loop.
func (e *Engine) askPart(ctx context.Context, all bool) (status.Part, error) {
	return ask(ctx, e, func() status.Part { return e.part(all) })
}

// part makes the next part of a snapshot.
func (e *Engine) part(all bool) status.Part {
	e.noteChanges()
	now := time.Now()
	p := e.board.Part(all, e.ids, status.Maker{
		Targets: len(e.targets), Actions: len(e.actions), Target: e.viewTarget, Action: e.viewAction, Query: e.viewQuery,
		Queries: func(yield func(watch.Query) bool) {
			for q := range e.graph.All() {
				if !yield(q) {
					return
				}
			}
		},
	}, now)
	p.Connections = status.Connections(watch.FiguresOf(e.src))
	p.Sequence, p.Time, p.Started, p.Ready, p.Configuration, p.Missed = e.feed.Sequence(), now, e.started, e.ready.At, e.configuration, e.set.Missed()
	if e.supervises() {
		p.Program = &status.Program{Command: e.cfg.Exec.Command.String(), Waits: e.programWaits()}
	}
	return p
}

// noteChanges notifies subscribers where something has changed.
func (e *Engine) noteChanges() {
	ready := e.ready.Note(len(e.targets), func(i int) bool { return e.targets[i].track.Applied }, e.programWaits())
	if e.board.Flush() || ready {
		e.feed.Note()
	}
}

// note notes the state of a target and its action for snapshots.
func (e *Engine) note(t *target) {
	if t.action == nil {
		return
	}
	t.track.Note(t.state())
	e.board.Target(t.order)
	e.noteAction(t.action)
}

// noteAction notes the state of an action, and of its targets where they share another error.
func (e *Engine) noteAction(a *action) {
	if a.noted != a.err {
		a.noted = a.err
		for _, t := range a.targets {
			e.note(t)
		}
	}
	a.track.Note(a.state())
	if a.busy && a.isBehind() {
		a.track.Changed()
	}
	e.board.Action(a.order)
}

// member returns what the history has to know of a target of a commit.
func (t *target) member(e *Engine, o *output.Output) history.Member {
	return history.Member{
		Target: t.track.ID(e.ids, t.cfg.Source, t.cfg.Destination), Source: t.cfg.Source, Paths: o.Paths(t.cfg.Destination),
		Causes: o.Causes, Appends: o.Appends(), First: !t.track.Applied,
	}
}

// isBehind reports whether there is something that no commit has.
func (a *action) isBehind() bool { return len(a.wanting)+len(a.unfinished)+len(a.changed) > 0 }

func (a *action) state() status.ActionState {
	switch {
	case a.busy:
		return status.Committing
	case a.err != nil:
		return status.Retrying
	case a.isBehind() || a.pending:
		return status.Waiting
	}
	return status.InSync
}

// markQuery notes a query that has changed, and the targets that use it: they show that they wait for it, or what a guard holds back.
func (e *Engine) markQuery(q watch.Query) {
	if e.board.Query(q); !e.board.IsRead() {
		return
	}
	for t := range e.graph.Users(q) {
		e.board.Target(t.order)
	}
}

func (e *Engine) viewTarget(i int) *status.Target {
	t := e.targets[i]
	v := e.targetStatus(t).View(e.ids, &t.track)
	v.Action, v.Drifted, v.Total = t.action.track.ID, t.Drifted, t.Queries()
	v.Bytes = t.Size()
	queries, version := t.Uses()
	v.Queries = t.track.Uses(e.ids, queries, version, t.template.Show, t.where, t.pass != nil)
	return v
}

func (e *Engine) viewAction(i int) *status.Action {
	a := e.actions[i]
	v := &status.Action{
		ID: a.track.ID, Name: a.key.Name, Kind: a.key.Kind.String(), Check: a.cfg.Check.String(), Command: a.cfg.Steps().String(),
		Verify: a.cfg.Verify.String(), Atomic: a.cfg.Atomic, State: a.track.State, Since: a.track.Since,
		Unapplied: a.track.Unapplied(), Succeeded: a.track.Succeeded, Commits: a.commits, Runs: a.runs,
		Failures: a.failures, Retry: a.retry, LastRun: a.track.LastRun,
	}
	if a.err != nil {
		v.Error = status.Short(commit.PublicText(a.err), 4<<10)
	}
	for _, t := range a.targets {
		v.Targets = append(v.Targets, t.track.ID(e.ids, t.cfg.Source, t.cfg.Destination))
	}
	return v
}

// viewQuery returns a query as a snapshot has it, nil where nobody uses it, and whether its name is hidden.
func (e *Engine) viewQuery(q watch.Query) (v *status.Query, hidden bool) {
	st, used := e.graph.State(q)
	if !used {
		return nil, false
	}
	var text string
	text, st.Err, hidden = e.show(q, st.Err)
	return status.QueryOf(e.ids, q, text, st, e.graph.LastChange(q)), hidden
}

// show returns a query and its error as they are shown where no target is named, and whether the name is hidden. Its [shower] shows it: that is
// the same in each run.
func (e *Engine) show(q watch.Query, err error) (text string, shown error, hidden bool) {
	first := shower(e.graph.Users(q), q)
	if first == nil {
		return e.graph.Label(q, func() string { return "" }), err, false
	}
	if err != nil {
		shown = first.template.ShowError(q, err)
	}
	if first.template.Hides(q) { // which need not be so for as long as somebody uses the query
		return first.template.Show(q), shown, true
	}
	return e.graph.Label(q, func() string { return first.template.Show(q) }), shown, false
}
