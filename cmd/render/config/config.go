// Package config is what users can set, and what that comes to: the table of settings, the reading of files, variables and flags,
// and one Plan made from them, or all that is wrong with them, with places.
//
//	settings.go compat.go  the table of settings; what consul-template has, and is without effect here
//	kinds.go spread.go     what values a setting takes
//	conf/                  the syntax of files
//	load.go decode.go      files, variables and flags become a document
//	values.go fields.go    the document: what was set, and where; structs that have the values
//	build.go build_*.go    the document becomes a Plan
//	faults.go              what is wrong, and the lines that show it
//
// A new setting is a line in a table, a field of the struct that has its values, and a use of the field.
package config

import (
	"errors"
	"fmt"
	"io/fs"
)

// Notices are what users should know of a configuration that is good.
type Notices struct {
	Warn  []string // old names, and what has no effect
	Debug []string // files and variables that were not read
}

// Load reads the configuration of a command line, whose variables are as in os.Environ, and makes a plan of it. It reads files, and
// changes nothing. An error is an *Error with all that is wrong.
func Load(flags *Flags, environ []string) (*Plan, Notices, error) {
	l, err := load(flags, environ)
	if err != nil {
		return nil, l.notices, err
	}
	p, err := l.build()
	return p, l.notices, err
}

// Differences returns the keys at the top of files whose settings are different from those of another plan, sorted.
func (p *Plan) Differences(before *Plan) []string {
	return p.loader.doc.top.differences(before.loader.doc.top)
}

// Wrong returns an error that says the same of settings at the top of files, with their places; nil for no keys.
func (p *Plan) Wrong(text string, keys ...string) error {
	l := &loader{doc: p.loader.doc, sources: p.loader.sources, hidden: p.loader.hidden}
	for _, key := range keys {
		l.wrongKey(l.doc.top, key, "%s", text)
	}
	return l.err()
}

// PlaceTemplates adds to errors of reading templates where in files these are named.
func (p *Plan) PlaceTemplates(err error) error {
	if all, ok := err.(interface{ Unwrap() []error }); ok {
		var errs []error
		for _, e := range all.Unwrap() {
			errs = append(errs, p.PlaceTemplates(e))
		}
		return errors.Join(errs...)
	}
	failed, ok := errors.AsType[*fs.PathError](err)
	if !ok {
		return err
	}
	for _, b := range p.loader.templates {
		if at := b.origin(&b.Source); at.inFile() && b.Source == failed.Path {
			return fmt.Errorf("%s: %w", at, err)
		}
	}
	return err
}

// Place adds to an error where in files the setting was made that it is about.
func (p *Plan) Place(key string, err error) error {
	if at := p.loader.doc.top.originOf(key); at.inFile() && at != (origin{}) {
		return fmt.Errorf("%s: %w", at, err)
	}
	return err
}

// PlaceListen adds to an error of the status page where in files its address was set, or the file that it names.
func (p *Plan) PlaceListen(err error) error {
	g := p.loader.global
	key := g.key(&g.Listen.Addresses)
	if failed, ok := errors.AsType[*fs.PathError](err); ok && failed.Path != "" {
		for _, field := range []*string{&g.Listen.Cert, &g.Listen.Key, &g.Listen.TokenFile} {
			if *field == failed.Path {
				key = g.key(field)
			}
		}
	}
	return p.Place(key, err)
}

// PlaceSource adds to an error of connecting to Consul, or of reading a fixture, where in files one is named that cannot be read.
func (p *Plan) PlaceSource(err error) error {
	if files := p.loader.unreadableFiles(); len(files) > 0 {
		return p.Place(p.loader.global.key(files[0].path), err)
	}
	return err
}
