package ask

import (
	"cmp"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"render/render/history"
	"render/render/status"
	"render/template"

	"render/watch/hint"
)

// mostChanges is how many changes of a file are shown without All.
const mostChanges = 5

// A Why is what render why prints about one file.
type Why struct {
	File     string // as it was named
	Snapshot *status.Snapshot
	Commits  []*history.Commit // the newest first
	All      bool              // all changes that are known
	Now      time.Time
}

// A Reason is what is known of a file, as JSON has it.
type Reason struct {
	Target  *status.Target    `json:"target"`  // null where no template makes the file
	Commits []*history.Commit `json:"commits"` // that changed the file, or tried to; each with this file only
}

// Reason returns what is known of the file. It fails where render does not know the file.
func (y Why) Reason() (Reason, error) {
	path := y.File
	if abs, err := filepath.Abs(path); err == nil {
		path = abs
	}
	names := []string{y.File, path}
	r := Reason{Target: y.target(names), Commits: []*history.Commit{}}
	if r.Target != nil {
		names = append(names, r.Target.Destination, r.Target.Path)
	}
	for _, c := range y.Commits {
		i := slices.IndexFunc(c.Files, func(f history.File) bool { return slices.Contains(names, f.Path) })
		if i >= 0 {
			one := *c
			one.Files = c.Files[i : i+1]
			r.Commits = append(r.Commits, &one)
		}
	}
	if r.Target == nil && len(r.Commits) == 0 {
		return r, y.unknown()
	}
	return r, nil
}

// target returns the target that makes the file: by its path, its ID, or the end of its path where no other has that. Nil for none.
func (y Why) target(names []string) *status.Target {
	var ends []*status.Target
	for _, t := range y.Snapshot.Targets {
		if slices.Contains(names, t.Destination) || slices.Contains(names, t.Path) || t.ID == y.File {
			return t
		}
		if strings.HasSuffix(t.Destination, "/"+y.File) {
			ends = append(ends, t)
		}
	}
	if len(ends) == 1 {
		return ends[0]
	}
	return nil
}

func (y Why) unknown() error {
	var all []string
	for _, t := range y.Snapshot.Targets {
		all = append(all, t.Destination)
	}
	if len(all) == 0 {
		return fmt.Errorf("no template of the running render makes %s: it has no templates with a destination", y.File)
	}
	err := fmt.Errorf("no template of the running render makes %s", y.File)
	return hint.With(err, cmp.Or(template.Suggestion(y.File, all), "render status --all lists the files"))
}

// Print prints why the file is as it is, in sentences.
func (y Why) Print(w io.Writer) error {
	r, err := y.Reason()
	if err != nil {
		return err
	}
	if t := r.Target; t != nil {
		y.printTarget(w, t)
	} else {
		fmt.Fprintf(w, "%s is written by writeToFile, or is of an earlier configuration.\n", y.File)
	}
	if len(r.Commits) == 0 {
		_, err := fmt.Fprintf(w, "\nrender has not changed the file since it started %s ago.\n", age(y.Now, y.Snapshot.Started))
		return err
	}
	for i, c := range r.Commits {
		if i == mostChanges && !y.All {
			_, err := fmt.Fprintf(w, "\n%d earlier changes are known; --all prints them.\n", len(r.Commits)-i)
			return err
		}
		y.printCommit(w, c)
	}
	return nil
}

func (y Why) printTarget(w io.Writer, t *status.Target) {
	since := age(y.Now, t.Since)
	states := map[status.State]string{
		status.Applied:  "has been up to date for " + since,
		status.Rendered: "has had a change that is not applied yet for " + since,
		status.Failed:   "has been failing for " + since,
		status.Absent:   "has stayed as it is for " + since + ": its template needs data that does not exist",
		status.Pending:  "has stayed as it is for " + since + ": its template waits for data",
	}
	fmt.Fprintf(w, "%s %s.\n", t.Destination, states[t.State])
	fmt.Fprintf(w, "Its template is %s", t.Source)
	if i := slices.IndexFunc(y.Snapshot.Actions, func(a *status.Action) bool { return a.ID == t.Action }); i >= 0 {
		if a := y.Snapshot.Actions[i]; a.Kind != "target" || a.Command != "" {
			fmt.Fprintf(w, ", its action is %q", a.Name)
		}
	}
	fmt.Fprintf(w, ".\n")
	for _, reason := range (Status{Snapshot: y.Snapshot, Now: y.Now}).reasons(t) {
		fmt.Fprintf(w, "  %s\n", reason)
	}
}

// verbs say what became of a file.
var verbs = map[history.FileResult]string{
	history.Written: "render wrote the file", history.Appended: "render appended to the file",
	history.Unchanged: "the action ran again for the file, which did not change", history.Kept: "render tried to change the file, and the previous contents stay",
}

func (y Why) printCommit(w io.Writer, c *history.Commit) {
	f := c.Files[0]
	fmt.Fprintf(w, "\n%s, %s ago: %s%s.\n", c.Ended.Local().Format("2006-01-02 15:04:05"), age(y.Now, c.Ended), verbs[f.Result], sizes(f))
	for i, cause := range f.Because {
		start := "  The reason:"
		if i > 0 {
			start = "  Also:"
		}
		fmt.Fprintf(w, "%s %s.\n", start, because(cause))
	}
	for _, s := range c.Steps {
		outcome := "succeeded"
		if s.Error != "" {
			outcome = "failed: " + indented(s.Error, "    ")
		}
		fmt.Fprintf(w, "  The %s %q took %s and %s\n", s.Kind, s.Text, seconds(s.Seconds), ended(outcome))
	}
	if f.Error != "" {
		fmt.Fprintf(w, "  The error: %s\n", indented(f.Error, "    "))
	}
	fmt.Fprintf(w, "  %s\n", outcome(c))
	switch {
	case f.Diff != "":
		fmt.Fprintf(w, "    %s\n", indented(f.Diff, "    "))
	case f.NoDiff != "":
		fmt.Fprintf(w, "  %s\n", noDiff(f.NoDiff))
	}
}

// ended returns a text with a full stop where it has none.
func ended(text string) string {
	if strings.HasSuffix(text, ".") {
		return text
	}
	return text + "."
}

// because returns a cause as part of a sentence.
func because(c history.Cause) string {
	switch c.Kind {
	case history.OfConfiguration:
		return "the settings of the template have changed"
	case history.OfTemplate:
		return "the text of the template has changed"
	case history.OfFirst:
		return "it was the first render after the start"
	}
	return c.Text
}

func sizes(f history.File) string {
	switch {
	case f.Result == history.Appended:
		return fmt.Sprintf(", %d bytes", f.Size)
	case f.OldSize < 0:
		return fmt.Sprintf(", which did not exist: %d bytes", f.Size)
	case f.Result == history.Unchanged:
		return ""
	}
	return fmt.Sprintf(", from %d to %d bytes", f.OldSize, f.Size)
}

// outcome says what became of a commit.
func outcome(c *history.Commit) string {
	texts := map[history.Result]string{
		history.Applied:     "Everything succeeded.",
		history.Partial:     "Other files of the same commit were applied, some were not.",
		history.Rejected:    "The commit was rejected: the previous files stay.",
		history.Undone:      "The commit was undone: the previous files are back.",
		history.Failed:      "The commit failed: the new files stay.",
		history.Interrupted: "render was stopped meanwhile: its next start repeats the commit.",
	}
	text := texts[c.Result]
	if c.Attempt > 1 {
		text += fmt.Sprintf(" It was attempt %d.", c.Attempt)
	}
	return text
}

// noDiff says why there is no diff.
func noDiff(reason string) string {
	texts := map[string]string{
		"secret": "Its diff is not shown: something secret is in it.", "private": "Its diff is not shown: not everybody may read the file.",
		"binary": "It has no diff: it is not text.", "large": "It has no diff: it is too large.",
		history.NoDiffDropped: "Its diff was dropped to save memory.",
	}
	return texts[reason]
}
