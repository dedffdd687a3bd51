package ask

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"render/render/status"
)

// few is how many applied files a table has without All.
const few = 20

// A Status is what render status prints.
type Status struct {
	*status.Snapshot
	All bool // also what is applied, however much that is
	Now time.Time
}

// Print prints the state in one line, and tables of what is behind it.
func (s Status) Print(w io.Writer) error {
	fmt.Fprintf(w, "%s\n", s.Line)
	fmt.Fprintf(w, "render has been running for %s; configuration %d has been in effect for %s\n", s.age(s.Started), s.Configuration.Version, s.age(s.Configuration.Loaded))
	if text := s.Configuration.Error; text != "" {
		fmt.Fprintf(w, "! the newest configuration is rejected: %s\n", indented(text, "    "))
	}
	if s.Program != nil && s.Program.Waits {
		fmt.Fprintf(w, "! the program is not started, because not everything is rendered that it needs: %s\n", s.Program.Command)
	}
	for _, c := range s.Connections {
		s.printConnection(w, c)
	}
	if err := s.printTargets(w); err != nil {
		return err
	}
	return s.printActions(w)
}

func (s Status) printConnection(w io.Writer, c status.Connection) {
	server := cmp.Or(c.Server, "consul") // which older versions do not name
	if !c.Reachable && c.Error != "" {
		fmt.Fprintf(w, "! %s at %s has not answered for %s: %s\n", server, c.Address, s.age(c.Since), c.Error)
		return
	}
	fmt.Fprintf(w, "%s at %s: %d requests in flight, %d of them wait for changes; last answer %s ago\n", server, c.Address, c.InFlight, c.Waiting, s.age(c.LastAnswer))
}

// marks are the signs of states: a table can be read without colours.
var marks = map[status.State]string{status.Failed: "!", status.Absent: "?", status.Pending: "…", status.Rendered: "*", status.Applied: " "}

// order is how urgent states are.
var order = []status.State{status.Failed, status.Absent, status.Pending, status.Rendered, status.Applied}

func (s Status) printTargets(w io.Writer) error {
	shown, applied := []*status.Target{}, 0
	for _, t := range s.Targets {
		calm := t.State == status.Applied && len(t.Held) == 0 && t.Stale == "" && !t.Drifted
		if calm {
			applied++
		}
		if !calm || s.All || len(s.Targets) <= few {
			shown = append(shown, t)
		}
	}
	slices.SortStableFunc(shown, func(a, b *status.Target) int {
		return cmp.Compare(slices.Index(order, a.State), slices.Index(order, b.State))
	})
	if len(shown) > 0 {
		fmt.Fprintf(w, "\nFILES\n")
	}
	var files table
	for _, t := range shown {
		files.add(marks[t.State]+" "+string(t.State), s.age(t.Since), t.Destination)
		for _, line := range s.reasons(t) {
			files.note("    " + line)
		}
	}
	if left := len(s.Targets) - len(shown); left > 0 {
		files.add("  applied", "", fmt.Sprintf("%d more files; --all lists them", left))
	}
	return files.print(w)
}

// reasons says why a target is not applied, or what else there is to know of it.
func (s Status) reasons(t *status.Target) (all []string) {
	if t.Error != "" {
		all = append(all, indented(t.Error, "      "))
	}
	if !t.Executing.IsZero() {
		all = append(all, "its template has been executing for "+s.age(t.Executing))
	}
	for i, wait := range t.Waiting {
		if i == 5 {
			all = append(all, fmt.Sprintf("and %d more", len(t.Waiting)-i))
			break
		}
		all = append(all, waitText(wait))
	}
	for _, h := range t.Held {
		all = append(all, fmt.Sprintf("%s: %s instances, held back by the guard %s for %s (%s)",
			h.Text, status.Instances(h.First, h.Before, h.After), h.Guard, s.age(h.Since), h.Where))
	}
	if t.Stale != "" {
		all = append(all, "a newer text of its template is unusable: "+indented(t.Stale, "      "))
	}
	if t.Drifted {
		all = append(all, "another program has changed the file")
	}
	return all
}

// waitText says what a target waits for.
func waitText(w status.Wait) string {
	switch w.Reason {
	case status.QueryAbsent:
		return fmt.Sprintf("needs %s, which does not exist (%s)", w.Text, w.Where)
	case status.QueryFailed:
		return fmt.Sprintf("waits for %s, which fails: %s (%s)", w.Text, w.Error, w.Where)
	}
	return fmt.Sprintf("waits for %s, which has not answered yet (%s)", w.Text, w.Where)
}

var actionMarks = map[status.ActionState]string{status.Retrying: "!", status.Committing: "*", status.Waiting: "…", status.InSync: " "}

func (s Status) printActions(w io.Writer) error {
	silent := 0
	var actions table
	for _, a := range s.Actions {
		calm := a.State == status.InSync || a.Check == "" && a.Command == "" && a.Verify == "" && a.Error == ""
		if calm && (a.Command == "" || len(s.Actions) > few) && !s.All {
			silent++
			continue
		}
		actions.add(actionMarks[a.State]+" "+strings.ReplaceAll(string(a.State), "_", " "), s.age(a.Since), a.Name, s.lastRun(a))
		if a.Error != "" {
			actions.note("    " + indented(a.Error, "      "))
		}
		if !a.Retry.IsZero() && a.Error != "" {
			actions.note("    next try in " + short(a.Retry.Sub(s.Now)))
		}
	}
	if len(actions.rows) == 0 {
		return nil
	}
	if silent > 0 {
		actions.add("", "", fmt.Sprintf("%d more; --all lists them", silent))
	}
	fmt.Fprintf(w, "\nACTIONS\n")
	return actions.print(w)
}

func (s Status) lastRun(a *status.Action) string {
	if a.LastRun == nil {
		return "never run"
	}
	return fmt.Sprintf("%s %s ago, took %s", a.LastRun.Result, s.age(a.LastRun.Began), seconds(a.LastRun.Seconds))
}

// age returns how long ago something was.
func (s Status) age(at time.Time) string { return age(s.Now, at) }

func age(now, at time.Time) string {
	if at.IsZero() {
		return "-"
	}
	return short(now.Sub(at))
}

// short returns a duration with at most two units, for people.
func short(d time.Duration) string {
	d = max(0, d)
	switch {
	case d < time.Second:
		return "0s"
	case d < time.Minute:
		return d.Truncate(time.Second).String()
	case d < time.Hour:
		return fmt.Sprintf("%dm%ds", d/time.Minute, d%time.Minute/time.Second)
	case d < 24*time.Hour:
		return fmt.Sprintf("%dh%dm", d/time.Hour, d%time.Hour/time.Minute)
	}
	return fmt.Sprintf("%dd%dh", d/(24*time.Hour), d%(24*time.Hour)/time.Hour)
}

// seconds returns a short time, for people.
func seconds(s float64) string {
	d := time.Duration(s * float64(time.Second))
	if d < time.Second {
		return d.Round(time.Millisecond).String()
	}
	return d.Round(100 * time.Millisecond).String()
}

// indented returns a text whose further lines are indented.
func indented(text, indent string) string {
	return strings.ReplaceAll(strings.TrimSpace(text), "\n", "\n"+indent)
}
