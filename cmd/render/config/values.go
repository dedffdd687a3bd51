package config

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	"render/cmd/render/config/conf"
)

// An origin is the place where something was set.
type origin struct {
	file string   // where name is empty
	at   conf.Pos // in the file; zero for all of it
	name string   // of a flag or a variable
}

// inFile reports whether the place is in a configuration file or the like.
func (o origin) inFile() bool { return o.name == "" }

// nameOf returns what a setting of a key is called where it was made.
func (o origin) nameOf(key string) string {
	if o.inFile() {
		return key
	}
	return o.name
}

func (o origin) String() string {
	switch {
	case !o.inFile():
		return o.name
	case o.at == (conf.Pos{}):
		return o.file
	}
	return fmt.Sprintf("%s:%d:%d", o.file, o.at.Line, o.at.Column)
}

// given is the value of a setting, and where it is from.
type given struct {
	value any
	from  origin
}

// A schema is what a block can have: its settings by their keys, and the blocks in it.
type schema struct {
	block    string // "" for the top of files
	settings map[string]*Setting
	blocks   map[string]bool
}

var (
	topSchema      = newSchema("", globalSettings)
	templateSchema = newSchema("template", templateSettings)
	actionSchema   = newSchema("action", actionSettings)
)

func newSchema(block string, settings []*Setting) *schema {
	s := &schema{block: block, settings: make(map[string]*Setting), blocks: make(map[string]bool)}
	for _, setting := range settings {
		if setting.Key == "" {
			continue
		}
		s.settings[setting.Key] = setting
		for i, r := range setting.Key {
			if r == '.' {
				s.blocks[setting.Key[:i]] = true
			}
		}
	}
	return s
}

// names returns what a block of a schema can have, without the prefix of the block.
func (s *schema) names(prefix string) []string {
	all := make(map[string]bool)
	add := func(key string) {
		if rest, ok := strings.CutPrefix(key, prefix); ok && !strings.Contains(rest, ".") {
			all[rest] = true
		}
	}
	for key := range s.settings {
		add(key)
	}
	for key := range s.blocks {
		add(key)
	}
	if s.block == "" {
		for name := range repeated {
			add(name)
		}
	}
	return slices.Sorted(maps.Keys(all))
}

// values are the settings of a block.
type values struct {
	schema *schema
	from   origin // where the block begins
	label  string
	given  map[string]given
	base   *values // where settings with a base have their default; nil at the top of files

	layout *layout // of the struct that has the values, once they are in it
	start  uintptr // the address of that
}

func newValues(s *schema, from origin, base *values) *values {
	return &values{schema: s, from: from, given: make(map[string]given), base: base}
}

// set gives a setting a value, in place of one before or in addition to it.
func (v *values) set(s *Setting, g given) {
	if s.spread != nil {
		for key, value := range s.spread(g.value) {
			v.set(v.schema.settings[key], given{value, g.from})
		}
		return
	}
	if before, ok := v.given[s.Key]; ok && s.kind.add != nil {
		g.value = s.kind.add(before.value, g.value)
	}
	v.given[s.Key] = g
}

// find returns the value of a setting that was made, here or at the base, and false for none.
func (v *values) find(key string) (given, bool) {
	s := v.schema.settings[key]
	if s == nil {
		panic("there is no setting " + v.schema.block + " " + key)
	}
	if g, ok := v.given[key]; ok || v.base == nil {
		return g, ok
	}
	switch {
	case s.Base != "":
		return v.base.find(s.Base)
	case IsPart(key):
		if block, _, _ := strings.Cut(key, "."); v.hasAny(block) {
			return given{}, false
		}
		return v.base.find(key)
	}
	return given{}, false
}

// isSet reports whether the setting of a field was made, here or at the base.
func (v *values) isSet(field any) bool {
	_, ok := v.find(v.key(field))
	return ok
}

// setsAny reports whether any setting of a block was made here, to whose struct a pointer is given.
func (v *values) setsAny(block any) bool {
	first := v.key(block) // at the same address
	return v.hasAny(first[:strings.LastIndexByte(first, '.')])
}

// hasAny reports whether any setting of a block was made here.
func (v *values) hasAny(block string) bool {
	for key := range v.given {
		if strings.HasPrefix(key, block+".") {
			return true
		}
	}
	return false
}

// setsMore reports whether another setting of the block of a key was made here.
func (v *values) setsMore(key string) bool {
	block := key[:strings.LastIndexByte(key, '.')+1]
	for other := range v.given {
		if other != key && strings.HasPrefix(other, block) {
			return true
		}
	}
	return false
}

// origin returns where the setting of a field was made; where its block begins if it was not.
func (v *values) origin(field any) origin { return v.originOf(v.key(field)) }

func (v *values) originOf(key string) origin {
	if g, ok := v.find(key); ok {
		return g.from
	}
	return v.from
}

// differences returns the settings that differ from the previous ones, sorted.
func (v *values) differences(before *values) []string {
	keys := make(map[string]bool)
	for key, now := range v.given {
		keys[key] = !reflect.DeepEqual(now.value, before.given[key].value)
	}
	for key := range before.given {
		keys[key] = keys[key] || v.given[key].value == nil
	}
	maps.DeleteFunc(keys, func(_ string, differs bool) bool { return !differs })
	return slices.Sorted(maps.Keys(keys))
}

// A document is all that was set: by files, variables and flags.
type document struct {
	top       *values
	templates []*values
	actions   []*values
}

func newDocument() *document { return &document{top: newValues(topSchema, origin{}, nil)} }

// template adds a template.
func (d *document) template(from origin) *values {
	v := newValues(templateSchema, from, d.top)
	d.templates = append(d.templates, v)
	return v
}

// action returns the action of a name, which is added if it does not exist yet.
func (d *document) action(name string, from origin) *values {
	for _, a := range d.actions {
		if a.label == name {
			return a
		}
	}
	v := newValues(actionSchema, from, d.top)
	v.label = name
	d.actions = append(d.actions, v)
	return v
}
