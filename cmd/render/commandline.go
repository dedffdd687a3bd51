package main

import (
	"flag"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"render/template"
)

// A commandLine is what flags say, in their order. It is brought into each document anew, so that a reload has it, too.
type commandLine struct {
	configs []string
	used    []flagUse
}

// flagUse is one use of a flag.
type flagUse struct {
	setting *setting
	name    string // as it was written
	value   any
	err     error // where the value must not be shown, which the error of a flag does
}

// templateFlag is the setting of --template.
var templateFlag = &setting{
	flag: "template", topic: topicTemplates, operand: "SPEC",
	meaning: "`SOURCE:DESTINATION[:COMMAND]`: the first two colons separate, the rest is the command; repeatable",
	kind:    &kind{name: "SOURCE:DESTINATION[:COMMAND]", parse: func(s string) (any, error) { return parseTemplateSpec(s) }},
}

// flagSettings returns the settings that have flags.
func flagSettings() []*setting {
	all := []*setting{templateFlag}
	for _, s := range slices.Concat(templateSettings, globalSettings) {
		if s.flag != "" {
			all = append(all, s)
		}
	}
	return all
}

// flags returns the flags of the command line, which note their uses in it.
func (c *commandLine) flags() []cli.Flag {
	var all []cli.Flag
	settings := make(map[string]*setting)
	for _, s := range flagSettings() {
		settings[s.flag] = s
		all = append(all, &flagValue{c, s, s.flag})
	}
	for old, now := range oldFlags {
		all = append(all, &flagValue{c, settings[now], old})
	}
	return append(all, &cli.BoolFlag{Name: "version", Aliases: []string{"v"}})
}

// unknownFlag returns an error that names the first flag that there is not, and one of a like name; nil where all are known.
func unknownFlag(args []string) error {
	known := map[string]bool{"help": true, "h": true, "version": true, "v": true} // whether one needs no value
	for _, s := range flagSettings() {
		known[s.flag] = s.kind.truth
	}
	names := slices.Sorted(maps.Keys(known))
	for old, now := range oldFlags {
		known[old] = known[now]
	}
	for len(args) > 0 && strings.HasPrefix(args[0], "-") && strings.Trim(args[0], "-") != "" {
		name, _, valued := strings.Cut(strings.TrimPrefix(strings.TrimPrefix(args[0], "-"), "-"), "=")
		alone, ok := known[name]
		if !ok {
			return usageError{fmt.Errorf("there is no flag --%s%s", name, template.Suggestion(strings.ReplaceAll(name, "_", "-"), names))}
		}
		if args = args[1:]; !alone && !valued && len(args) > 0 {
			args = args[1:]
		}
	}
	return nil
}

// flagValue is a flag, and notes each use of it. It is a cli.Flag by itself: the library's own cost a start six milliseconds,
// as it looks for each of so many among all, by regular expressions.
type flagValue struct {
	line    *commandLine
	setting *setting
	name    string
}

func (f *flagValue) String() string { return "" }

// Apply implements cli.Flag.
func (f *flagValue) Apply(set *flag.FlagSet) error {
	set.Var(f, f.name, f.setting.meaning)
	return nil
}

// Names implements cli.Flag.
func (f *flagValue) Names() []string { return []string{f.name} }

// IsSet implements cli.Flag. Nobody needs to know: what was set is noted.
func (f *flagValue) IsSet() bool { return false }

// IsBoolFlag makes a flag need no value.
func (f *flagValue) IsBoolFlag() bool { return f != nil && f.setting != nil && f.setting.kind.truth }

// Set notes a use.
func (f *flagValue) Set(text string) error {
	value, err := f.setting.kind.parse(text)
	if err != nil && !f.setting.kind.private {
		return err
	}
	f.line.used = append(f.line.used, flagUse{f.setting, f.name, value, err})
	if f.setting.flag == "config" {
		f.line.configs = append(f.line.configs, value.([]string)...)
	}
	return nil
}

// bring brings what the flags say into a loader's document. All that describes a template in single flags is one template.
func (c *commandLine) bring(l *loader) {
	var single *values
	for _, use := range c.used {
		s, from := use.setting, origin{name: "--" + use.name}
		if use.name != s.flag {
			l.notice(from, "--%s is an old name of --%s", use.name, s.flag)
		}
		switch {
		case use.err != nil:
			l.fault(from, "%s", withoutValue(s, use.err))
		case s == templateFlag:
			v := l.doc.template(from)
			for key, value := range use.value.(map[string]any) {
				v.given[key] = given{value, from}
			}
		case s.flag == "config":
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

// operandOf returns what a flag's value is called in the help; "" where it needs none.
func operandOf(s *setting) string {
	switch {
	case s.kind.truth:
		return ""
	case s.operand != "":
		return s.operand
	case s.kind == durationKind:
		return "DURATION"
	case s.kind == signalKind:
		return "SIGNAL"
	}
	return strings.ToUpper(s.flag[strings.LastIndexByte(s.flag, '-')+1:])
}
