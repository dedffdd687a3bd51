package history

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"render/render/commit"
	"render/render/graph"
	"render/render/status"
)

const (
	mostNamed  = 3        // files or causes in one line of the log
	mostOutput = 16 << 10 // bytes of output in a Commit
	mostError  = 4 << 10  // bytes of an error in a Commit
	runOutput  = 4 << 10  // bytes of output in a status.Run
	runFiles   = 10       // in a status.Run
)

// An Event is the end of a commit, as an engine's loop knows it.
type Event struct {
	Action   string // its ID
	Name     string
	Kind     string // as in status.Action
	Doing    string // what the action runs, as logs show it
	Members  []Member
	Causes   []graph.Cause // of all members
	First    bool          // it is the first commit of the action
	Debt     bool          // an earlier run of render did not finish the action
	Failures int           // of the action, before this commit
	Once     bool          // of a run that renders once
	Result   commit.Result
	Err      error     // why the commit or some of its files failed
	Retry    time.Time // when the action is tried again; zero for never
	Ended    time.Time
}

// A Member is one target of a commit.
type Member struct {
	Target  string // its ID
	Source  string
	Paths   []string // of its files, the destination first
	Causes  []graph.Cause
	First   bool             // it was not applied before
	Appends map[string]int64 // bytes that were to be appended, by path; nil for none
}

// Because names the changes that led to the commit.
func (e *Event) Because() string {
	var texts []string
	for _, c := range e.because(e.Causes, e.First) {
		texts = append(texts, c.Text)
	}
	return commit.Summary(texts, mostNamed, "; ")
}

// because returns causes, or, for none, what led to the commit.
func (e *Event) because(causes []graph.Cause, first bool) []graph.Cause {
	switch {
	case len(causes) > 0:
		return causes
	case e.Failures > 0:
		return []graph.Cause{{Kind: string(OfRetry), Text: "an earlier attempt failed"}}
	case first:
		return []graph.Cause{{Kind: string(OfFirst), Text: "first render"}}
	}
	return []graph.Cause{{Kind: string(OfNewQueries), Text: "answers to new queries"}}
}

// Commit returns the record of the commit; nil where it found nothing to do.
func (e *Event) Commit(ids status.IDs) *Commit {
	r := &e.Result
	if e.Err == nil && len(r.Swapped) == 0 && !r.Ran && !e.appended() {
		return nil
	}
	c := &Commit{
		Began: e.Ended.Add(-r.Took), Ended: e.Ended, Seconds: r.Took.Seconds(), Action: e.Action, ActionName: e.Name, ActionKind: e.Kind,
		Because: causesOf(ids, e.because(e.Causes, e.First)), Result: e.result(), Attempt: e.Failures + 1, Retry: e.Retry,
		Output: publicOutput(r), Warnings: r.Warnings, Files: []File{}, Steps: []Step{},
	}
	if e.Debt && len(e.Causes) == 0 {
		c.Because = []Cause{{Kind: OfDebt, Text: "an earlier run of render did not finish the action"}}
	}
	if e.Err != nil {
		c.Error = status.Short(commit.PublicText(e.Err), mostError)
	}
	for _, s := range r.Steps {
		step := Step{Kind: s.Kind, Text: s.Text, Seconds: s.Took.Seconds(), Runs: s.Runs}
		if s.Err != nil {
			step.Error = status.Short(commit.PublicText(s.Err), mostError)
		}
		c.Steps = append(c.Steps, step)
	}
	e.addFiles(c, ids)
	return c
}

// publicOutput returns the end of what the command printed, or its size where not everybody may read all files.
func publicOutput(r *commit.Result) string {
	if r.Private && r.Output != "" {
		return fmt.Sprintf("(%d bytes that are in the log only: not everybody may read the files)", len(r.Output))
	}
	return end(r.Output, mostOutput)
}

// addFiles adds what became of the files.
func (e *Event) addFiles(c *Commit, ids status.IDs) {
	r := &e.Result
	swapped := make(map[string]bool, len(r.Swapped))
	for _, path := range r.Swapped {
		swapped[path] = true
	}
	type owner struct {
		*Member
		because []Cause
	}
	owners := make(map[string]*owner)
	for i := range e.Members {
		m := &e.Members[i]
		o := &owner{m, c.Because} // of the only target, and of an earlier run
		if len(e.Members) > 1 && !(len(m.Causes) == 0 && e.Debt) {
			o.because = causesOf(ids, e.because(m.Causes, m.First))
		}
		for _, path := range m.Paths {
			owners[path] = o
		}
	}
	about := func(f File) File {
		if o := owners[f.Path]; o != nil {
			f.Target, f.Source, f.Because = o.Target, o.Source, o.because
		} else { // of an earlier run, or of another target
			f.Because = c.Because
		}
		if err := r.Failed[f.Path]; err != nil {
			f.Error = status.Short(commit.PublicText(err), mostError)
		}
		return f
	}

	known := make(map[string]bool, len(r.Files))
	for _, f := range r.Files {
		known[f.Destination] = true
		result := Kept
		switch {
		case swapped[f.Destination]:
			result = Written
		case !f.Differs && r.Failed[f.Destination] == nil && !r.Rejected:
			result = Unchanged
		}
		c.Files = append(c.Files, about(File{Path: f.Destination, Result: result, OldSize: f.OldSize, Size: f.Size, Diff: f.Diff, NoDiff: f.NoDiff}))
	}
	for _, path := range r.Tried {
		if o := owners[path]; !known[path] && o != nil && o.Appends != nil {
			c.Files = append(c.Files, about(File{Path: path, Result: Appended, Size: o.Appends[path]}))
		}
	}
}

// result says what became of the commit.
func (e *Event) result() Result {
	r := &e.Result
	switch {
	case e.Err == nil:
		return Applied
	case errors.Is(e.Err, commit.ErrStopping):
		return Interrupted
	case r.Err == nil && len(r.Swapped) > 0:
		return Partial
	case r.Rejected && !errors.Is(r.Err, commit.ErrCheck):
		return Undone
	case r.Rejected, r.Err == nil, errors.Is(r.Err, commit.ErrLeftOut):
		return Rejected
	}
	return Failed
}

// Run returns the commit as its action shows it; nil where nothing ran.
func (c *Commit) Run() *status.Run {
	if len(c.Steps) == 0 {
		return nil
	}
	run := &status.Run{Commit: c.Number, Began: c.Began, Seconds: c.Seconds, Result: string(c.Result), Output: end(c.Output, runOutput), Files: []string{}, Total: len(c.Files)}
	for _, f := range c.Files[:min(len(c.Files), runFiles)] {
		run.Files = append(run.Files, f.Path)
	}
	return run
}

// end returns the end of a text.
func end(text string, most int) string {
	if len(text) <= most {
		return text
	}
	from := len(text) - most
	for from < len(text) && text[from]&0xC0 == 0x80 { // not within a letter
		from++
	}
	return "[…]" + text[from:]
}

func causesOf(ids status.IDs, causes []graph.Cause) []Cause {
	all := make([]Cause, 0, len(causes))
	for _, c := range causes {
		if c.Kind != "" {
			all = append(all, Cause{Kind: CauseKind(c.Kind), Text: c.Text})
		} else {
			all = append(all, Cause{Kind: OfQuery, Text: c.Text, Query: ids.Query(c.Query)})
		}
	}
	return all
}

// appended reports whether something was.
func (e *Event) appended() bool {
	for _, err := range e.Result.Appends {
		if err == nil {
			return true
		}
	}
	return false
}

// Log logs what the commit did, why, and how its command ended.
func (e *Event) Log(log *slog.Logger) {
	r := &e.Result
	for _, w := range r.Warnings {
		log.Warn(w)
	}

	var attrs []slog.Attr
	if len(r.Tried) > 0 {
		attrs = append(attrs, slog.String("files", commit.Summary(r.Tried, mostNamed, ", ")), slog.String("because", e.Because()))
	}
	if r.Ran {
		if e.Doing != "" {
			attrs = append(attrs, slog.String("command", e.Doing))
		}
		attrs = append(attrs, slog.Duration("took", r.Took.Round(time.Millisecond)))
	}
	if changes := r.Changes(); changes != "" {
		attrs = append(attrs, slog.String("changes", changes)) // which only a terminal shows
	}
	if r.Ran && r.Output != "" {
		attrs = append(attrs, slog.String("output", r.Output))
	}

	ctx := context.Background()
	switch {
	case errors.Is(e.Err, commit.ErrStopping):
		log.LogAttrs(ctx, slog.LevelInfo, "commit interrupted; the next start repeats it", append(attrs, slog.String("action", e.Name))...)
	case e.Err != nil:
		if len(r.Swapped) > 0 && r.Err == nil { // some are good
			log.LogAttrs(ctx, slog.LevelInfo, "rendered", attrs...)
			attrs = nil
		}
		attrs = append(attrs, slog.Any("err", e.Err))
		if !e.Once {
			attrs = append(attrs, slog.Duration("in", time.Until(e.Retry).Round(time.Millisecond)))
		}
		log.LogAttrs(ctx, slog.LevelError, e.failure(), attrs...)
	case len(r.Swapped) > 0 || e.appended():
		log.LogAttrs(ctx, slog.LevelInfo, "rendered", attrs...)
	case r.Ran:
		log.LogAttrs(ctx, slog.LevelInfo, "command succeeded", attrs...)
	default:
		log.Debug("up to date", "action", e.Name)
	}
}

// failure says what has failed, whether render retries, and what became of the files.
func (e *Event) failure() string {
	what := "commit failed"
	_, command := errors.AsType[commit.CommandError](e.Err)
	switch {
	case errors.Is(e.Err, commit.ErrVerify):
		what = "verification failed"
	case command:
		what = "command failed"
	case errors.Is(e.Err, commit.ErrCheck):
		what = "check failed"
	}
	if !e.Once {
		what += ", retrying"
	}
	if e.Result.Rejected || errors.Is(e.Err, commit.ErrCheck) {
		what += "; the previous files stay"
	}
	return what
}

// Causes returns the causes of all members that differ, at most so many as a user of the graph keeps.
func Causes(members []Member) (all []graph.Cause) {
	for _, m := range members {
		for _, c := range m.Causes {
			if len(all) == graph.MaxCauses {
				return all
			}
			if !slices.ContainsFunc(all, func(other graph.Cause) bool { return other.Text == c.Text }) {
				all = append(all, c)
			}
		}
	}
	return all
}
