// Package report logs what lasts, and what many templates of an engine have in common: queries that fail ([Failing]), what guards hold back
// ([Guards]), texts that cannot be used ([Texts]), a configuration that is rejected ([Rejected]).
//
// Each logs when something begins and ends, and reports it again and again as long as it lasts (R14 of package render). Nothing here has a
// goroutine or a clock: the caller passes the time in, and calls Report when it is due.
package report

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"time"

	"render/template"
)

// The bounds of what is logged at one time.
const (
	Most  = 10 // lines
	Named = 3  // files, causes, missing queries in one line
)

// Summary logs what a run that renders once has done: which paths it has written, how many of all destinations are unchanged, and how many
// commands, or what stands for one, ran.
func Summary(log *slog.Logger, written map[string]bool, unchanged, all, commands int, took time.Duration) {
	files := 0
	for _, is := range written {
		if is {
			files++
		}
	}
	took = took.Round(time.Millisecond)
	if files == 0 && commands == 0 {
		log.Info("all files are up to date", "templates", all, "took", took)
		return
	}
	log.Info("run completed", "written", files, "unchanged", unchanged, "commands", commands, "took", took)
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
