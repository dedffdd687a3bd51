package render

import (
	"errors"

	"render/render/disk/folder"
	"render/render/sources"
	"render/template"
)

// parse makes a target's template of its texts.
func (e *Engine) parse(t Target, x sources.Texts) (*template.Template, error) {
	return template.Parse(t.Source, x.Body, template.Options{
		Env: e.lookupEnv, TrimBlocks: t.TrimBlocks, Partials: x.Partials,
		LeftDelimiter: t.LeftDelimiter, RightDelimiter: t.RightDelimiter,
		ErrorOnMissingKey: t.ErrorOnMissingKey, Denied: t.Denied, Sandbox: t.Sandbox, Destination: t.Destination,
		Untrusted: t.Untrusted, MaxOutput: t.MaxOutput, Searches: e.searches, ID: e.ids.Query,
	})
}

// madeOf returns what a target's template is made of.
func madeOf(t Target) sources.Template {
	return sources.Template{Source: t.Source, Contents: t.Contents, Partials: t.Partials}
}

// readTargets reads and parses the templates of targets; an error joins all that is wrong with them, each once: many may be
// made of one file.
func (e *Engine) readTargets(all []Target) ([]*target, sources.Files, error) {
	var targets []*target
	var errs []error
	s := make(sources.Files)
	reported := make(map[string]bool)
	for _, cfg := range all {
		t, err := e.readTarget(cfg, s)
		if err == nil {
			targets = append(targets, t)
			continue
		}
		if reported[err.Error()] {
			continue
		}
		reported[err.Error()] = true
		if partials, ok := errors.AsType[sources.PartialsError](err); ok {
			err = partials.Of(cfg.Source)
		}
		errs = append(errs, err)
	}
	return targets, s, errors.Join(errs...)
}

func (e *Engine) readTarget(cfg Target, s sources.Files) (*target, error) {
	x, err := s.TextsOf(madeOf(cfg))
	if err != nil {
		return nil, err
	}
	parsed, err := e.parse(cfg, x)
	if err != nil {
		return nil, err
	}
	t := &target{cfg: cfg, texts: x, template: parsed}
	t.Owner, t.Show = t, t.show
	if cfg.Destination != "" {
		t.path, err = folder.RealPath(cfg.Destination)
	}
	return t, err
}
