package report

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"time"

	"render/render/commit"
	"render/template"
)

// A Text is what became of the newest text of a template.
type Text struct {
	Target int    // whose template it is: an index in the configuration
	Source string // of the template
	Err    error  // why it cannot be used; nil where it is in use
}

// Texts keeps count of the templates whose newest text cannot be used, and logs when that begins and ends. The zero value has none.
type Texts struct {
	Next time.Time // when Report is due; zero if there are none

	unusable map[int]Text // by target
}

// Of returns why the newest text of a target's template is not in use; nil where it is.
func (x *Texts) Of(target int) error { return x.unusable[target].Err }

// Note notes what became of texts, and logs the faults that are new, and those that are gone. Next is when Report is due.
func (x *Texts) Note(log *slog.Logger, texts []Text, next time.Time) {
	before := x.faults()
	for _, text := range texts {
		if delete(x.unusable, text.Target); text.Err == nil {
			continue
		}
		if x.unusable == nil {
			x.unusable = make(map[int]Text)
		}
		x.unusable[text.Target] = text
	}
	now := x.faults()
	x.due(next)

	var begun []fault
	still := make(map[string]bool)
	for _, text := range slices.Sorted(maps.Keys(now)) {
		for _, source := range now[text].sources {
			still[source] = true
		}
		if before[text].err == nil {
			begun = append(begun, now[text])
		}
	}
	logFaults(log, slog.LevelError, "changed template is unusable; its previous text stays in use", begun)
	for _, text := range slices.Sorted(maps.Keys(before)) {
		f := before[text]
		if !slices.ContainsFunc(f.sources, func(source string) bool { return still[source] }) {
			log.Info("changed template is usable again", "template", f.names(), "before", f.err)
		}
	}
}

// Report logs all faults, when it is due, and is due again after a time.
func (x *Texts) Report(log *slog.Logger, now time.Time, every time.Duration) {
	if x.Next.IsZero() || now.Before(x.Next) {
		return
	}
	var all []fault
	faults := x.faults()
	for _, text := range slices.Sorted(maps.Keys(faults)) {
		all = append(all, faults[text])
	}
	logFaults(log, slog.LevelWarn, "changed template is still unusable; its previous text stays in use", all)
	x.due(now.Add(every))
}

func (x *Texts) due(next time.Time) {
	if x.Next = next; len(x.unusable) == 0 {
		x.Next = time.Time{}
	}
}

// A fault is what keeps the newest text of some templates from being in use.
type fault struct {
	err     error
	sources []string // of the templates
}

// faults returns what keeps texts from being in use, by its text: a partial with a fault is that of many templates.
func (x *Texts) faults() map[string]fault {
	all := make(map[string]fault)
	for _, target := range slices.Sorted(maps.Keys(x.unusable)) {
		t := x.unusable[target]
		text := t.Err.Error()
		all[text] = fault{t.Err, append(all[text].sources, t.Source)}
	}
	return all
}

// names returns the first of the templates, for a line of the log.
func (f fault) names() string { return commit.Summary(f.sources, Named, ", ") }

// logFaults logs a line for each fault.
func logFaults(log *slog.Logger, level slog.Level, msg string, faults []fault) {
	for _, f := range faults[:min(len(faults), Most)] {
		attrs := []slog.Attr{slog.Any("err", f.err), slog.String("template", f.names())}
		if at, ok := errors.AsType[*template.Error](f.err); ok {
			attrs = append(attrs, slog.String("line", strings.TrimSpace(at.Source)))
		}
		log.LogAttrs(context.Background(), level, msg, attrs...)
	}
	if more := len(faults) - Most; more > 0 {
		log.Log(context.Background(), level, msg, "more", more)
	}
}
