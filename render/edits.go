package render

import (
	"context"
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
	defer e.board.Renew()
	fresh := make(map[*target]bool)
	var texts []report.Text
	var names []string
	for _, r := range found.Edits {
		t := e.targets[r.User]
		texts = append(texts, report.Text{Target: r.User, Source: t.cfg.Source, Err: r.Err})
		if r.Err != nil || t.texts.Equal(r.Texts) {
			continue
		}
		e.leave(t)
		t.renew(r.Template, r.Texts)
		fresh[t] = true
		names = append(names, t.cfg.Source)
	}
	e.unusable.Note(e.log, texts, now.Add(reportEvery))
	if len(fresh) > 0 {
		e.log.Info("templates changed", "template", commit.Summary(names, mostNamed, ", "), "templates", len(names))
	}
	e.runNow(fresh, nil)
}
