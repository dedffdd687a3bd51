package render

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"render/render/graph"
	"render/watch"
)

// Status is a snapshot of an engine.
type Status struct {
	Targets []TargetStatus // in the order of the configuration
	Actions []ActionStatus
	Queries []QueryStatus // sorted by their text
	Missed  uint64        // changes that only a plain read beside the waiting requests has found; should be 0

	// Rejected is why the configuration in force is not the newest one that somebody wanted; nil where it is. See Engine.Apply.
	Rejected error

	ProgramWaits bool // there is a program to supervise, and not everything is rendered yet that it needs to be started
}

// A State tells how far a target is.
type State string

// The states of a target.
const (
	Pending  State = "pending"  // waits for answers
	Absent   State = "absent"   // needs what does not exist
	Failed   State = "failed"   // its template has failed, or its file cannot be written, or its action failed
	Rendered State = "rendered" // has output that is not applied yet
	Applied  State = "applied"  // its file is as it should be, and its action has succeeded (R13)
)

// TargetStatus tells about one target.
type TargetStatus struct {
	Source      string
	Destination string
	State       State
	Since       time.Time // when it began to wait; zero unless it is pending, absent or failed in its template
	Passes      int       // executions of its template
	Missing     []Missing // what it waits for
	Held        []Held    // what guards hold back from it, sorted by query
	Err         error     // why it failed
	Stale       error     // why a newer text of its template is not in use; nil where the newest is

	path string // where its destination really is
}

// Missing is a query without which a target cannot finish.
type Missing struct {
	Kind  string // of the query
	Query string
	Where string // name:line:column of the place that asks
	Err   error  // why there is no answer; nil where it was asked and has not answered, or does not exist
	None  bool   // it was answered: there is none
}

func (m Missing) String() string {
	switch {
	case m.None && m.Kind == watch.KindPrefix: // asked by safeLs or safeTree
		return fmt.Sprintf("%s (%s) has no keys", m.Query, m.Where)
	case m.None:
		return fmt.Sprintf("%s (%s) does not exist", m.Query, m.Where)
	case m.Err != nil:
		return fmt.Sprintf("%s (%s) cannot be asked: %v", m.Query, m.Where, m.Err)
	}
	return fmt.Sprintf("%s (%s) has not answered yet", m.Query, m.Where)
}

// Held is an answer that a guard holds back from a target.
type Held struct {
	Query  string
	Where  string      // name:line:column of the place that asks
	First  bool        // the target has seen no other answer, and waits
	Before int         // instances that the target sees
	After  int         // instances of the answer
	Guard  graph.Guard // with its defaults applied
	Since  time.Time
	Until  time.Time // when Guard.Then is due: in the past where the answer is held back for longer
}

func (h Held) String() string {
	return fmt.Sprintf("%s (%s): %s instances, held back by the guard %s", h.Query, h.Where, counts(h.First, h.Before, h.After), h.Guard)
}

// counts shows how an answer's number of instances has changed.
func counts(first bool, before, after int) string {
	if first {
		return strconv.Itoa(after)
	}
	return fmt.Sprintf("%d → %d", before, after)
}

// A heldError says that a target has failed because of what a guard holds back.
type heldError struct{ held Held }

func (e *heldError) Error() string { return e.held.String() }

// ActionStatus tells about one action.
type ActionStatus struct {
	Name     string // or its command, or its one target's destination
	Commits  int
	Runs     int // of the command
	Busy     bool
	Failures int       // since the last success
	Retry    time.Time // when it is tried again; zero unless it has failed
	Err      error     // of the last commit
}

// QueryStatus tells about one watched query.
type QueryStatus struct {
	Query    string
	Rev      uint64
	Index    uint64
	Err      error
	Failures int // attempts that failed in a row
	Since    time.Time
}

var errNotRunning = errors.New("the engine does not run")

// Status returns a snapshot. It fails when ctx is done or the engine does not run any longer; before Run it waits.
func (e *Engine) Status(ctx context.Context) (Status, error) {
	answer := make(chan Status, 1)
	select {
	case e.questions <- answer:
		return <-answer, nil
	case <-e.ended:
		return Status{}, errNotRunning
	case <-ctx.Done():
		return Status{}, ctx.Err()
	}
}

func (e *Engine) status() Status {
	s := Status{Missed: e.set.Missed(), Rejected: e.refused.err, ProgramWaits: e.programWaits()}
	for _, t := range e.targets {
		s.Targets = append(s.Targets, e.targetStatus(t))
	}
	for _, a := range e.actions {
		s.Actions = append(s.Actions, ActionStatus{
			Name: a.key.name, Commits: a.commits, Runs: a.runs, Busy: a.busy,
			Failures: a.failures, Retry: a.retry, Err: a.err,
		})
	}
	for q, st := range e.graph.All() {
		s.Queries = append(s.Queries, QueryStatus{
			Query: q.String(), Rev: st.Rev, Index: st.Index, Err: st.Err,
			Failures: st.Failures, Since: st.Since,
		})
	}
	slices.SortFunc(s.Queries, func(a, b QueryStatus) int { return cmp.Compare(a.Query, b.Query) })
	return s
}

func (e *Engine) targetStatus(t *target) TargetStatus {
	s := TargetStatus{
		Source: t.cfg.Source, Destination: t.cfg.Destination,
		Since: t.blocked, Passes: t.passes, Missing: e.missing(t), Held: held(t), Err: t.result.Err, Stale: t.stale, path: t.path,
	}
	switch {
	case t.result.Err != nil:
		s.State = Failed
	case len(t.result.Absent) > 0:
		s.State = Absent
	case !t.finished():
		s.State = Pending
	case t.upToDate() && !t.Wants:
		s.State = Applied
	default:
		s.State = Rendered
		if s.Err = cmp.Or(t.err, t.action.err); s.Err != nil {
			s.State = Failed
		}
	}
	return s
}

// missing returns what keeps a target's last pass from being finished.
func (e *Engine) missing(t *target) []Missing {
	var all []Missing
	for _, q := range t.result.Absent {
		all = append(all, Missing{Kind: q.Kind, Query: q.String(), Where: t.template.Where(q), None: true})
	}
	for _, q := range t.result.Pending {
		if st, used := e.graph.State(q); used && st.Rev == 0 {
			all = append(all, Missing{Kind: q.Kind, Query: q.String(), Where: t.template.Where(q), Err: st.Err})
		}
	}
	return all
}

// held returns what guards hold back of the queries that a target's last pass asked.
func held(t *target) []Held {
	var all []Held
	for _, h := range t.Held() {
		all = append(all, heldBack(t, h))
	}
	slices.SortFunc(all, func(a, b Held) int { return cmp.Compare(a.Query, b.Query) })
	return all
}

func heldBack(t *target, h graph.Held) Held {
	return Held{
		Query: h.Query.String(), Where: t.template.Where(h.Query), First: h.First, Before: h.Before, After: h.After,
		Guard: h.Guard, Since: h.Since, Until: h.Until(),
	}
}

// An IncompleteError says why Run with Config.Once could not render: nothing was written.
type IncompleteError struct {
	Targets []TargetStatus // those that could not finish
	TooLate time.Duration  // Config.Timeout, where that has ended the run
}

func (e *IncompleteError) Error() string {
	var b strings.Builder
	b.WriteString("not everything could be rendered")
	if e.TooLate > 0 {
		fmt.Fprintf(&b, " within %s", e.TooLate)
	}
	b.WriteString(", so nothing was written")
	for _, t := range e.Targets {
		if t.Err != nil {
			fmt.Fprintf(&b, "\n  %v", t.Err)
		}
		for _, m := range t.Missing {
			fmt.Fprintf(&b, "\n  %s: %s", t.Source, m)
		}
		for _, h := range t.Held {
			if t.Err == nil {
				fmt.Fprintf(&b, "\n  %s: %s", t.Source, h)
			}
		}
	}
	return b.String()
}

// Unwrap returns the faults of the templates.
func (e *IncompleteError) Unwrap() []error {
	var errs []error
	for _, t := range e.Targets {
		if t.Err != nil {
			errs = append(errs, t.Err)
		}
	}
	return errs
}

func (e *Engine) incomplete(which func(*target) bool) *IncompleteError {
	var targets []TargetStatus
	for _, t := range e.targets {
		if which(t) {
			targets = append(targets, e.targetStatus(t))
		}
	}
	return &IncompleteError{Targets: targets}
}
