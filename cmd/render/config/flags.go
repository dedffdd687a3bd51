package config

import (
	"slices"
	"strings"
)

// Flags are the uses of flags on a command line, in their order. Each Load reads them anew, so that a reload has them, too.
type Flags struct {
	configs []string
	used    []flagUse
}

// flagUse is one use of a flag.
type flagUse struct {
	setting *Setting
	name    string // as it was written
	value   any
	err     error // what is wrong with the value
}

// A Flag is one flag under one of its names. It is a flag.Value that notes each use.
type Flag struct {
	flags   *Flags
	Setting *Setting
	Name    string
}

// templateFlag is the setting of --template.
var templateFlag = &Setting{
	Flag: "template", Topic: TopicTemplates, Operand: "SPEC",
	Meaning: "Render SOURCE to DESTINATION and run COMMAND after changes, as `SOURCE:DESTINATION[:COMMAND]`. Any further colon belongs to the command. Repeat the flag for more",
	kind:    &kind{name: "SOURCE:DESTINATION[:COMMAND]", parse: func(s string) (any, error) { return parseTemplateSpec(s) }},
}

// WithFlags returns the settings that have flags.
func WithFlags() []*Setting {
	all := []*Setting{templateFlag}
	for _, s := range slices.Concat(templateSettings, globalSettings) {
		if s.Flag != "" {
			all = append(all, s)
		}
	}
	return all
}

// All returns all flags, under their names of today and of old.
func (f *Flags) All() []*Flag {
	var all []*Flag
	settings := make(map[string]*Setting)
	for _, s := range WithFlags() {
		settings[s.Flag] = s
		all = append(all, &Flag{f, s, s.Flag})
	}
	for old, now := range OldFlags {
		all = append(all, &Flag{f, settings[now], old})
	}
	return all
}

// Configs are the files and folders that are read.
func (f *Flags) Configs() []string { return f.configs }

func (f *Flag) String() string { return "" }

// IsBoolFlag makes a flag need no value.
func (f *Flag) IsBoolFlag() bool { return f != nil && f.Setting != nil && f.Setting.IsSwitch() }

// Set notes a use. It returns no error: Load says what is wrong with all flags.
func (f *Flag) Set(text string) error {
	value, err := f.Setting.kind.parse(text)
	f.flags.used = append(f.flags.used, flagUse{f.Setting, f.Name, value, err})
	if f.Setting.Flag == "config" && err == nil {
		f.flags.configs = append(f.flags.configs, value.([]string)...)
	}
	return nil
}

// check notes what is wrong with the values of flags.
func (f *Flags) check(l *loader) {
	for _, use := range f.used {
		if use.err != nil {
			l.fault(origin{name: "--" + use.name}, "%w", withoutValue(use.setting, use.err))
		}
	}
}

// bring brings what the flags say into a loader's document. All that describes a template in single flags is one template.
func (f *Flags) bring(l *loader) {
	var single *values
	for _, use := range f.used {
		s, from := use.setting, origin{name: "--" + use.name}
		if use.name != s.Flag {
			l.notice(from, "--%s is an old name of --%s", use.name, s.Flag)
		}
		switch {
		case s == templateFlag:
			v := l.doc.template(from)
			for key, value := range use.value.(map[string]any) {
				v.given[key] = given{value, from}
			}
			l.warnOfSpaces(use.value.(map[string]any), from)
		case s.Flag == "config":
		case slices.Contains(templateSettings, s):
			if single == nil {
				single = newValues(templateSchema, from, l.doc.top)
			}
			single.set(s, given{use.value, from})
		default:
			l.doc.top.set(s, given{use.value, from})
			l.idle(s, from)
		}
	}
	if single != nil {
		l.doc.templates = append(l.doc.templates, single)
	}
}

// warnOfSpaces warns of a path with a space beside the colon that separates it: the space belongs to the path.
func (l *loader) warnOfSpaces(spec map[string]any, from origin) {
	source, destination := spec["source"].(string), spec["destination"].(string)
	for _, path := range []string{source, destination} {
		if trimmed := strings.TrimSpace(path); trimmed != "" && (path == source && strings.HasSuffix(path, " ") || path == destination && strings.HasPrefix(path, " ")) {
			l.notice(from, "--template: the space beside the colon is part of the path %q; remove the space if it is a mistake", path)
		}
	}
}
