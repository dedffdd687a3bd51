// Package status holds what an engine reports about itself: values that nothing changes any more.
package status

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"render/watch"
	"render/watch/hint"
)

// Status is a snapshot of an engine. It is a copy: what the engine does later does not change it.
type Status struct {
	Targets []TargetStatus // in the order of the configuration
	Actions []ActionStatus
	Queries []QueryStatus // sorted by their text
	Missed  uint64        // changes that only a plain read beside the waiting requests has found; should be 0

	// Rejected is why the configuration in effect is not the newest one that somebody wanted; nil where it is. See render.Engine.Apply.
	Rejected error

	ProgramWaits bool // there is a program to supervise, and not everything is rendered yet that it needs to be started
}

// Line returns the state in one line: the one of a [Snapshot] of the same moment.
func (s Status) Line() string {
	c := Counts{Targets: make(map[State]int)}
	for _, t := range s.Targets {
		c.Targets[t.State]++
		c.Held += len(t.Held)
	}
	for _, q := range s.Queries {
		if q.Err != nil {
			c.Failing++
		}
	}
	return LineOf(c, Configuration{Error: errorText(s.Rejected)}, &Program{Waits: s.ProgramWaits})
}

// A State says how far a target is.
type State string

// The states of a target.
const (
	Pending  State = "pending"  // waits for answers
	Absent   State = "absent"   // needs what does not exist
	Failed   State = "failed"   // its template has failed, or its file cannot be written, or its action failed
	Rendered State = "rendered" // has output that is not applied yet
	Applied  State = "applied"  // its file is as it should be, and its action has succeeded (R13)
)

// TargetStatus is the state of one target.
type TargetStatus struct {
	Source      string
	Destination string
	Path        string // where the links of Destination lead: the file that is written; empty without a destination
	State       State
	Since       time.Time // when it began to wait; zero unless it is pending, absent or failed in its template
	Passes      int       // executions of its template that have ended
	Executing   time.Time // since when its template has been executing, where that takes long; else zero
	Missing     []Missing // what it waits for
	Held        []Held    // what guards hold back from it, sorted by query
	Err         error     // why it failed
	Stale       error     // why a newer text of its template is not in use; nil where the newest is
}

// Missing is a query without which a target cannot finish.
type Missing struct {
	Kind  string      // of the query
	Asked watch.Query // the query; Query is what is shown of it
	Query string
	Where string // name:line:column of the place that asks
	Err   error  // why there is no answer; nil where it was asked and has not answered, or does not exist
	None  bool   // it was answered: the name does not exist
	At    string // with None, the name that does not exist, where it is not the query's own: see watch.Locator
}

// String returns the query, the place that asks and why there is no answer.
func (m Missing) String() string {
	query := at(m.Query, m.Where)
	switch {
	case m.None && m.Kind == watch.KindPrefix: // asked by safeLs or safeTree
		return query + " has no keys"
	case m.None && m.At != "" && m.Query == m.Asked.String(): // else a part of the name is from an answer
		return fmt.Sprintf("%s does not exist at %s", query, watch.Shorten(m.At))
	case m.None:
		return query + " does not exist"
	case m.Err != nil:
		return fmt.Sprintf("%s cannot be queried: %v", query, m.Err)
	}
	return query + " has not answered yet"
}

// at returns a query with the place that asks it. In place of a name that is made of a secret the query has the place.
func at(query, where string) string {
	if strings.Contains(query, where) {
		return query
	}
	return query + " (" + where + ")"
}

// Held is an answer that a guard holds back from a target.
type Held struct {
	Asked  watch.Query // the query; Query is what is shown of it
	Query  string
	Where  string // name:line:column of the place that asks
	First  bool   // the target has seen no other answer, and waits
	Before int    // instances that the target sees
	After  int    // instances of the answer
	Guard  string // with its defaults applied, as the command line has it
	Since  time.Time
	Until  time.Time // when the guard ends the hold, or decides to go on with it: in the past where the answer is held back for longer
}

// String returns the query, the place that asks, the numbers of instances and the guard.
func (h Held) String() string {
	return fmt.Sprintf("%s: %s instances, held back by the guard %s", at(h.Query, h.Where), Instances(h.First, h.Before, h.After), h.Guard)
}

// Instances returns how an answer changes the number of instances: "3 → 0", or "3" where it is the first answer.
func Instances(first bool, before, after int) string {
	if first {
		return strconv.Itoa(after)
	}
	return fmt.Sprintf("%d → %d", before, after)
}

// A HeldError says that a target has failed because of an answer that a guard holds back.
type HeldError struct{ Held Held }

// Error returns the text of the held answer.
func (e *HeldError) Error() string { return e.Held.String() }

// ActionStatus is the state of one action.
type ActionStatus struct {
	Name     string // or its command, or its one target's destination
	Commits  int
	Runs     int // of the command
	Busy     bool
	Failures int       // since the last success
	Retry    time.Time // when it is tried again; zero unless it has failed
	Err      error     // of the last commit
}

// QueryStatus is the state of one watched query.
type QueryStatus struct {
	Query    string
	Rev      uint64
	Index    uint64
	Err      error
	Failures int // attempts that failed in a row
	Since    time.Time
}

// Progress is how far the first render is. Nested queries are counted when a template asks them, so both numbers of queries grow.
type Progress struct {
	Queries  int // that templates use
	Answered int // queries
	Targets  int
	Executed int // targets whose last pass waited for no answer
}

// Complete reports whether no target waits for an answer.
func (p Progress) Complete() bool { return p.Executed == p.Targets }

// An IncompleteError says why a run that renders once could not render: nothing was written.
type IncompleteError struct {
	Targets []TargetStatus // those that could not finish
	TooLate time.Duration  // the time limit of the run, where that has ended it; else 0
}

// Error returns a first line, and a line for each fault, missing answer and held answer.
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
		if !t.Executing.IsZero() {
			fmt.Fprintf(&b, "\n  %s: the template is still executing", t.Source)
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

// Hints returns the hints of what is missing. Those of the faults are in what Unwrap returns.
func (e *IncompleteError) Hints() (hints []string) {
	for _, t := range e.Targets {
		for _, m := range t.Missing {
			hints = append(hints, hint.Of(m.Err)...)
		}
	}
	return hints
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
