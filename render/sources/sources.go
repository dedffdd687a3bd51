// Package sources reads the files that templates are made of, and watches them: a Watch reads again what has changed, parses the
// templates that are made of it and proposes them to its client.
package sources

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"render/template"
	"render/watch"
)

// A Template says what a template is made of.
type Template struct {
	Source   string   // its file
	Contents string   // in place of the file; "" means that the file is read
	Partials []string // files and folders
}

// Texts are the texts of a template.
type Texts struct {
	Body     string
	Partials []template.Partial
}

// Equal reports whether both have the same body and the same partials.
func (x Texts) Equal(y Texts) bool { return x.Body == y.Body && slices.Equal(x.Partials, y.Partials) }

// Files are the files that templates are made of, as they were read: each once, however many templates use it.
type Files map[key]*file

// key names a template's file, or a file or folder of partials, as it is configured.
type key struct {
	path     string
	partials bool
}

// file is what was read.
type file struct {
	signature string // of what was there just before
	texts     []template.Partial
	err       error
}

// keys returns the files of a template.
func (t Template) keys() []key {
	var keys []key
	if t.Contents == "" {
		keys = append(keys, key{path: t.Source})
	}
	for _, path := range t.Partials {
		keys = append(keys, key{path, true})
	}
	return keys
}

// TextsOf returns the texts of a template, and reads the files that were not read yet. An error for partials is a PartialsError.
func (s Files) TextsOf(t Template) (Texts, error) {
	x := Texts{Body: t.Contents}
	for _, k := range t.keys() {
		if s[k] == nil {
			s[k] = k.read()
		}
		read := s[k]
		switch {
		case read.err != nil && k.partials:
			return Texts{}, PartialsError{read.err}
		case read.err != nil:
			return Texts{}, fmt.Errorf("read template: %w", read.err)
		case k.partials:
			x.Partials = append(x.Partials, read.texts...)
		default:
			x.Body = read.texts[0].Text
		}
	}
	return x, nil
}

// A PartialsError says that partials cannot be read. It does not name a template: many may use them.
type PartialsError struct{ error }

func (e PartialsError) Error() string { return "read partials: " + e.error.Error() }

// Unwrap returns why the partials cannot be read.
func (e PartialsError) Unwrap() error { return e.error }

// Of returns the error with the source of a template that uses the partials.
func (e PartialsError) Of(source string) error {
	return fmt.Errorf("read partials of template %s: %w", source, e.error)
}

// read reads a file, or the partials of a folder. The signature comes first: a change during the reading then shows as one after it.
func (k key) read() *file {
	s := &file{signature: k.signature()}
	if k.partials {
		s.texts, s.err = readPartials(k.path)
		return s
	}
	text, err := os.ReadFile(k.path)
	s.texts, s.err = []template.Partial{{Name: k.path, Text: string(text)}}, err
	return s
}

// signature is cheap to get, and changes with nearly every change of the file or the folder.
func (k key) signature() string {
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

// readPartials reads a file of partials, or all files of a folder that are partials by their names, in the order of these.
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
	entries, err := os.ReadDir(path)
	if err != nil {
		return nil, err
	}
	var paths []string
	for _, entry := range entries {
		if isPartial(entry.Name()) {
			paths = append(paths, filepath.Join(path, entry.Name()))
		}
	}
	return paths, nil
}

// leftovers are the endings of what editors and package managers leave in a folder.
var leftovers = []string{"~", ".bak", ".swp", ".swo", ".orig", ".rej", ".rpmsave", ".rpmnew"}

// isPartial reports whether a file in a folder of partials is one of them, by its name.
func isPartial(name string) bool {
	lower := strings.ToLower(name)
	return !strings.HasPrefix(name, ".") && !strings.HasPrefix(filepath.Ext(lower), ".dpkg-") &&
		!(strings.HasPrefix(name, "#") && strings.HasSuffix(name, "#")) &&
		!slices.ContainsFunc(leftovers, func(end string) bool { return strings.HasSuffix(lower, end) })
}

func (s *file) equal(t *file) bool {
	if s.err != nil || t.err != nil {
		return s.err != nil && t.err != nil && s.err.Error() == t.err.Error()
	}
	return slices.Equal(s.texts, t.texts)
}
