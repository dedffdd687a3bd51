// Package report logs what many templates of an engine have in common: what guards hold back, and texts that cannot be used.
package report

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"time"

	"render/render/commit"
	"render/render/graph"
	"render/render/schedule"
	"render/render/status"
	"render/template"
	"render/watch"
)

// The bounds of what is logged at one time.
const (
	Most  = 10 // lines
	Named = 3  // files, causes, missing queries in one line
)

// Guards logs a line for what guards have done: one for all templates that saw the same of a query. Show returns a query as the template of an
// owner shows it, and source returns that template.
func Guards[T any](log *slog.Logger, level slog.Level, msg string, all []graph.Judgement[T], show func(T, watch.Query) string, source func(T) string, now time.Time) {
	type line struct {
		query         string
		guard         graph.Guard
		first         bool
		before, after int
	}
	templates := make(map[line][]string)
	since := make(map[line]time.Time)
	var lines []line
	for _, j := range all {
		l := line{show(j.Owner, j.Query), j.Guard, j.First, j.Before, j.After}
		if templates[l] == nil {
			lines = append(lines, l)
		}
		templates[l] = append(templates[l], source(j.Owner))
		since[l] = schedule.Earliest(since[l], j.Since)
	}
	for _, l := range lines[:min(len(lines), Most)] {
		slices.Sort(templates[l])
		attrs := []any{
			"query", l.query, "template", commit.Summary(templates[l], Named, ", "),
			"instances", status.Instances(l.first, l.before, l.after), "guard", l.guard.String(),
		}
		if held := now.Sub(since[l]).Round(time.Millisecond); held > 0 {
			attrs = append(attrs, "for", held)
		}
		log.Log(context.Background(), level, msg, attrs...)
	}
	if more := len(lines) - Most; more > 0 {
		log.Log(context.Background(), level, msg, "more", more)
	}
}

// A Fault is what keeps the newest text of some templates from being in use.
type Fault struct {
	Err     error
	Sources []string // of the templates
}

// Names returns the first of the templates, for a line of the log.
func (f Fault) Names() string { return commit.Summary(f.Sources, Named, ", ") }

// Faults logs a line for each fault.
func Faults(log *slog.Logger, level slog.Level, msg string, faults []Fault) {
	for _, f := range faults[:min(len(faults), Most)] {
		attrs := []slog.Attr{slog.Any("err", f.Err), slog.String("template", f.Names())}
		if at, ok := errors.AsType[*template.Error](f.Err); ok {
			attrs = append(attrs, slog.String("line", strings.TrimSpace(at.Source)))
		}
		log.LogAttrs(context.Background(), level, msg, attrs...)
	}
	if more := len(faults) - Most; more > 0 {
		log.Log(context.Background(), level, msg, "more", more)
	}
}

// Template logs that a template has failed, with the line that is at fault; the stack of a panic, unless one is in the log already. It reports
// whether one is.
func Template(log *slog.Logger, err error, panicked bool) bool {
	attrs := []slog.Attr{slog.Any("err", err)}
	if fault, ok := errors.AsType[*template.Error](err); ok {
		attrs = append(attrs, slog.String("line", strings.TrimSpace(fault.Source)))
	}
	if fault, ok := errors.AsType[*template.PanicError](err); ok && !panicked {
		panicked = true
		attrs = append(attrs, slog.String("stack", string(fault.Stack)))
	}
	log.LogAttrs(context.Background(), slog.LevelError, "template failed; its file stays as it is", attrs...)
	return panicked
}
