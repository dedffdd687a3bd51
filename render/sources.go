package render

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"render/render/disk"
	"render/template"
	"render/watch"
)

// texts are what a template is made of.
type texts struct {
	body     string
	partials []template.Partial
}

func (x texts) equal(y texts) bool { return x.body == y.body && slices.Equal(x.partials, y.partials) }

// sources are the files that templates are made of, as they were read: each once, however many templates use it.
type sources map[sourceKey]*source

// sourceKey names a template's file, or a file or folder of partials, as it is configured.
type sourceKey struct {
	path     string
	partials bool
}

// source is what was read.
type source struct {
	signature string // of what was there just before
	texts     []template.Partial
	err       error
}

// keysOf returns what a target's template is made of.
func keysOf(t Target) []sourceKey {
	var keys []sourceKey
	if t.Contents == "" {
		keys = append(keys, sourceKey{path: t.Source})
	}
	for _, path := range t.Partials {
		keys = append(keys, sourceKey{path, true})
	}
	return keys
}

// textsOf returns what a target's template is made of, and reads what was not read yet.
func (s sources) textsOf(t Target) (texts, error) {
	x := texts{body: t.Contents}
	for _, key := range keysOf(t) {
		if s[key] == nil {
			s[key] = key.read()
		}
		read := s[key]
		switch {
		case read.err != nil && key.partials:
			return texts{}, partialsError{read.err}
		case read.err != nil:
			return texts{}, fmt.Errorf("read template: %w", read.err)
		case key.partials:
			x.partials = append(x.partials, read.texts...)
		default:
			x.body = read.texts[0].Text
		}
	}
	return x, nil
}

// A partialsError says that partials cannot be read. It does not tell whose: they may be those of many templates.
type partialsError struct{ error }

func (e partialsError) Error() string { return "read partials: " + e.error.Error() }
func (e partialsError) Unwrap() error { return e.error }

// of tells whose partials cannot be read.
func (e partialsError) of(t Target) error {
	return fmt.Errorf("read partials of template %s: %w", t.Source, e.error)
}

// read reads a source. The signature comes first: a change during the reading then shows as one after it.
func (k sourceKey) read() *source {
	s := &source{signature: k.signature()}
	if k.partials {
		s.texts, s.err = readPartials(k.path)
		return s
	}
	text, err := os.ReadFile(k.path)
	s.texts, s.err = []template.Partial{{Name: k.path, Text: string(text)}}, err
	return s
}

// signature is cheap to get, and changes with nearly every change of a source.
func (k sourceKey) signature() string {
	paths := []string{k.path}
	if k.partials {
		inside, err := partialPaths(k.path)
		if err != nil {
			return err.Error()
		}
		paths = inside
	}
	var all strings.Builder
	for _, path := range paths {
		fmt.Fprintln(&all, path, watch.Signature(path))
	}
	return all.String()
}

// readPartials reads a file of partials, or all files of a folder but the hidden ones, in the order of their names.
func readPartials(path string) ([]template.Partial, error) {
	paths, err := partialPaths(path)
	if err != nil {
		return nil, err
	}
	var partials []template.Partial
	for _, path := range paths {
		if info, err := os.Stat(path); err != nil || info.IsDir() {
			continue
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return nil, err
		}
		partials = append(partials, template.Partial{Name: path, Text: string(text)})
	}
	return partials, nil
}

func isFolder(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}

func partialPaths(path string) ([]string, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !info.IsDir() {
		return []string{path}, nil
	}
	return filepath.Glob(filepath.Join(path, "[^.]*"))
}

// parse makes a target's template of its texts.
func (e *Engine) parse(t Target, x texts) (*template.Template, error) {
	return template.Parse(t.Source, x.body, template.Options{
		Env: e.lookupEnv, TrimBlocks: t.TrimBlocks, Partials: x.partials,
		LeftDelimiter: t.LeftDelimiter, RightDelimiter: t.RightDelimiter,
		ErrorOnMissingKey: t.ErrorOnMissingKey, Denied: t.Denied, Sandbox: t.Sandbox,
	})
}

// readTargets reads and parses the templates of targets; an error joins all that is wrong with them, each once: many may be
// made of one file.
func (e *Engine) readTargets(all []Target) ([]*target, sources, error) {
	var targets []*target
	var errs []error
	s := make(sources)
	told := make(map[string]bool)
	for _, cfg := range all {
		t, err := e.readTarget(cfg, s)
		if err == nil {
			targets = append(targets, t)
			continue
		}
		if told[err.Error()] {
			continue
		}
		told[err.Error()] = true
		if partials, ok := errors.AsType[partialsError](err); ok {
			err = partials.of(cfg)
		}
		errs = append(errs, err)
	}
	return targets, s, errors.Join(errs...)
}

func (e *Engine) readTarget(cfg Target, s sources) (*target, error) {
	x, err := s.textsOf(cfg)
	if err != nil {
		return nil, err
	}
	parsed, err := e.parse(cfg, x)
	if err != nil {
		return nil, err
	}
	t := &target{cfg: cfg, texts: x, template: parsed}
	t.Owner = t
	if cfg.Destination != "" {
		t.path, err = disk.RealPath(cfg.Destination)
	}
	return t, err
}
