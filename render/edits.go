package render

import (
	"context"
	"log/slog"
	"maps"
	"slices"
	"time"

	"render/render/commit"
	"render/render/report"
	"render/render/sources"
	"render/template"
)

// watchTemplates watches what the templates are made of, if that is wanted.
func (e *Engine) watchTemplates(ctx context.Context) {
	wanted := e.cfg.WatchTemplates && !e.cfg.Once && e.cfg.Dry == nil
	if e.templates == nil && !wanted {
		return
	}
	if e.templates == nil {
		e.templates = sources.NewWatch(ctx, e.notifier("changes of templates are noticed late"), func(ctx context.Context, found *sources.Changes) {
			_ = e.gate.Offer(ctx, &proposed{edits: found})
		})
	}
	e.version++
	next := sources.Set{Version: e.version}
	if wanted {
		next.Files = e.sources
		for _, t := range e.targets { // an index in Users is one in e.targets, too
			cfg := t.cfg
			parse := func(x sources.Texts) (*template.Template, error) { return e.parse(cfg, x) }
			next.Users = append(next.Users, sources.User{Template: madeOf(cfg), Parse: parse})
		}
	}
	e.templates.Replace(next)
}

// edit takes templates that have changed on disk. Where one cannot be used the previous text stays in use.
func (e *Engine) edit(found *sources.Changes, now time.Time) {
	if found.Version != e.version {
		return // of a configuration that is not in effect any more; the watch has what it needs to find it again
	}
	before := e.faults()
	defer e.board.Renew()
	fresh := make(map[*target]bool)
	var names []string
	for _, r := range found.Edits {
		t := e.targets[r.User]
		if t.stale = r.Err; r.Err != nil {
			e.stale.targets[t] = true
			continue
		}
		delete(e.stale.targets, t)
		if t.texts.Equal(r.Texts) {
			continue
		}
		e.leave(t)
		t.renew(r.Template, r.Texts)
		fresh[t] = true
		names = append(names, t.cfg.Source)
	}
	e.reportFaultChanges(before, now)
	if len(fresh) > 0 {
		e.log.Info("templates changed", "template", commit.Summary(names, mostNamed, ", "), "templates", len(names))
	}
	e.runNow(fresh, nil)
}

// staleTexts are the targets whose newest text is not in use.
type staleTexts struct {
	targets map[*target]bool
	report  time.Time // when to report them again; zero for none
}

// faults returns what keeps texts from being in use, by its text: a partial with a fault is that of many templates.
func (e *Engine) faults() map[string]report.Fault {
	all := make(map[string]report.Fault)
	for _, t := range inOrder(e.stale.targets) {
		text := t.stale.Error()
		all[text] = report.Fault{Err: t.stale, Sources: append(all[text].Sources, t.cfg.Source)}
	}
	return all
}

// reportFaultChanges reports the faults that are new, and those that are gone.
func (e *Engine) reportFaultChanges(before map[string]report.Fault, now time.Time) {
	stale := e.faults()
	e.logFaults(slog.LevelError, "changed template is unusable; its previous text stays in use", stale, before)
	still := make(map[string]bool)
	for _, f := range stale {
		for _, source := range f.Sources {
			still[source] = true
		}
	}
	for _, text := range slices.Sorted(maps.Keys(before)) {
		f := before[text]
		if !slices.ContainsFunc(f.Sources, func(source string) bool { return still[source] }) {
			e.log.Info("changed template is usable again", "template", f.Names(), "before", f.Err)
		}
	}
	e.stale.report = reportNext(now, len(stale) > 0)
}

// reportFaults reports all faults, when it is time to (R14).
func (e *Engine) reportFaults(now time.Time) {
	if !e.stale.report.IsZero() && !now.Before(e.stale.report) {
		stale := e.faults()
		e.logFaults(slog.LevelWarn, "changed template is still unusable; its previous text stays in use", stale, nil)
		e.stale.report = reportNext(now, len(stale) > 0)
	}
}

// reportNext returns when to report again; zero where there is nothing to report.
func reportNext(now time.Time, is bool) time.Time {
	if !is {
		return time.Time{}
	}
	return now.Add(reportEvery)
}

// logFaults logs a line for each fault that was not logged.
func (e *Engine) logFaults(level slog.Level, msg string, faults, logged map[string]report.Fault) {
	var news []report.Fault
	for _, text := range slices.Sorted(maps.Keys(faults)) {
		if logged[text].Err == nil {
			news = append(news, faults[text])
		}
	}
	report.Faults(e.log, level, msg, news)
}
