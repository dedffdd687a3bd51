package web

import (
	"cmp"
	"fmt"
	"time"

	"render/render/status"
)

const (
	mostNotes = 50 // on the overview
	mostLines = 3  // of a note
)

// A note is something that needs somebody's attention.
type note struct {
	ID, URL, Title, What string
	State                state
	Since, Until         time.Time
	UntilText            string
	Error, Output        string
	Lines                []noteLine
}

type noteLine struct{ URL, Text, Where string }

// attention returns what is not as it should be, the worst first. Targets that wait for the same are one note.
func attention(x *index) []note {
	s := x.snapshot
	var notes []note
	if s.Configuration.Error != "" {
		notes = append(notes, note{ID: "configuration", Title: "The newest configuration", What: "is rejected; the previous one stays in effect", State: state{"bad", "rejected"}, Since: s.Configuration.Reload, Error: s.Configuration.Error})
	}
	for i := range s.Connections {
		if c := &s.Connections[i]; c.Error != "" && !c.Reachable {
			notes = append(notes, note{ID: fmt.Sprintf("consul-%d", i), Title: cmp.Or(c.Server, "consul") + " at " + c.Address, What: "does not answer; files keep their last good state", State: connectionState(*c), Since: c.Since, Error: c.Error})
		}
	}
	for _, a := range s.Actions {
		if a.State != status.Retrying && (a.Error == "" || a.State != status.Committing) {
			continue
		}
		n := note{ID: a.ID, URL: "/actions/" + a.ID, Title: a.Name, What: "failed" + times(a.Failures), State: actionState(a), Since: a.Unapplied, Until: a.Retry, UntilText: "next try", Error: a.Error}
		if a.LastRun != nil {
			n.Output = a.LastRun.Output
		}
		n.addTargets(x, a.Targets)
		notes = append(notes, n)
	}
	for _, t := range s.Targets {
		if a := x.actions[t.Action]; t.State == status.Failed && (a == nil || a.State != status.Retrying) {
			notes = append(notes, note{ID: t.ID, URL: "/targets/" + t.ID, Title: t.Destination, What: "failed", State: targetState(t), Since: t.Since, Error: t.Error})
		}
		if t.Stale != "" {
			notes = append(notes, note{ID: "stale-" + t.ID, URL: "/targets/" + t.ID, Title: t.Source, What: "a newer text of this template is rejected; the previous one stays in use", State: state{"bad", "rejected"}, Error: t.Stale})
		}
	}
	notes = append(notes, waits(s)...)
	for _, q := range s.Queries {
		if q.State == status.QueryAnswered && q.Error != "" {
			notes = append(notes, note{ID: q.ID, URL: "/queries/" + q.ID, Title: q.Text, What: "failed" + times(q.Failures) + "; its last answer stays in use", State: queryState(q), Since: q.Since, Error: q.Error})
		}
	}
	return notes
}

// addTargets names the first targets.
func (n *note) addTargets(x *index, ids []string) {
	for i, id := range ids {
		t := x.targets[id]
		switch {
		case t == nil:
		case i < mostLines:
			n.Lines = append(n.Lines, noteLine{URL: "/targets/" + id, Text: t.Destination})
		case i == mostLines:
			n.Lines = append(n.Lines, noteLine{Text: "and " + moreOf(len(ids)-mostLines, "file")})
		}
	}
}

// waits returns a note for each query that targets wait for, and for each that a guard holds back.
func waits(s *status.Snapshot) []note {
	var notes []note
	at := make(map[string]int)
	counts := make(map[string]int)
	add := func(key string, t *status.Target, since time.Time, where string, made func() note) {
		i, ok := at[key]
		if !ok {
			i = len(notes)
			at[key] = i
			notes = append(notes, made())
		}
		n := &notes[i]
		if !since.IsZero() && (n.Since.IsZero() || since.Before(n.Since)) {
			n.Since = since
		}
		if counts[key]++; counts[key] <= mostLines {
			n.Lines = append(n.Lines, noteLine{"/targets/" + t.ID, t.Destination, where})
		}
	}
	for _, t := range s.Targets {
		for _, w := range t.Waiting {
			add("wait-"+w.Query, t, t.Since, w.Where, func() note {
				return note{ID: "wait-" + w.Query, URL: "/queries/" + w.Query, Title: w.Text, What: reason(w.Reason), State: stateOf(w.Reason), Error: w.Error}
			})
		}
		for _, h := range t.Held {
			key := fmt.Sprintf("held-%s-%s", h.Query, h.Guard)
			add(key, t, h.Since, h.Where, func() note {
				return note{
					ID: key, URL: "/queries/" + h.Query, Title: h.Text, What: status.Instances(h.First, h.Before, h.After) + " instances, held back by the guard " + h.Guard,
					State: state{"wait held", "held"}, Until: h.Until, UntilText: "until",
				}
			})
		}
	}
	for key, i := range at {
		if n := counts[key] - mostLines; n > 0 {
			notes[i].Lines = append(notes[i].Lines, noteLine{Text: "and " + moreOf(n, "file")})
		}
	}
	return notes
}

// moreOf returns how many more of something there are.
func moreOf(n int, one string) string {
	if n != 1 {
		one += "s"
	}
	return fmt.Sprintf("%d more %s", n, one)
}

func times(n int) string {
	if n < 2 {
		return ""
	}
	return fmt.Sprintf(" %d times", n)
}
