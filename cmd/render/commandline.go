package main

import (
	"flag"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"render/cmd/render/config"
	"render/template"

	"render/watch/hint"
)

// flagsOfLibrary returns the flags of the command line, which note their uses in used.
func flagsOfLibrary(used *config.Flags) []cli.Flag {
	var all []cli.Flag
	for _, f := range used.All() {
		all = append(all, &libraryFlag{f})
	}
	return append(all, &cli.BoolFlag{Name: "version", Aliases: []string{"v"}})
}

// unknownFlag returns an error that names the first flag that does not exist, and a similar one; nil where all exist.
func unknownFlag(args []string) error {
	known := map[string]bool{"help": true, "h": true, "version": true, "v": true} // whether one needs no value
	for _, s := range config.WithFlags() {
		known[s.Flag] = s.IsSwitch()
	}
	names := slices.DeleteFunc(slices.Sorted(maps.Keys(known)), func(name string) bool { return len(name) == 1 })
	for old, now := range config.OldFlags {
		known[old] = known[now]
	}
	for len(args) > 0 && strings.HasPrefix(args[0], "-") && strings.Trim(args[0], "-") != "" {
		name, _, valued := strings.Cut(strings.TrimPrefix(strings.TrimPrefix(args[0], "-"), "-"), "=")
		alone, ok := known[name]
		if !ok {
			return usageError{hint.With(fmt.Errorf("there is no flag --%s", name), similarFlag(strings.ReplaceAll(name, "_", "-"), names))}
		}
		if args = args[1:]; !alone && !valued && len(args) > 0 {
			args = args[1:]
		}
	}
	return nil
}

// similarFlag suggests a flag in place of one that does not exist: one of a similar name, or one that its name begins with.
func similarFlag(name string, names []string) string {
	if len(name) == 1 {
		return ""
	}
	if text := template.Suggestion(name, names); text != "" {
		return strings.Replace(text, "did you mean ", "did you mean --", 1)
	}
	if i := slices.IndexFunc(names, func(known string) bool { return strings.HasPrefix(name, known+"-") }); i >= 0 {
		return fmt.Sprintf("did you mean --%s?", names[i])
	}
	return ""
}

// A libraryFlag is a flag as the library wants it. The library's own types cost a start six milliseconds, as it looks for each of
// so many among all, by regular expressions, and they keep neither the order of flags nor the name that was used.
type libraryFlag struct{ *config.Flag }

// Apply implements cli.Flag.
func (f *libraryFlag) Apply(set *flag.FlagSet) error {
	set.Var(f.Flag, f.Flag.Name, f.Setting.Meaning)
	return nil
}

// Names implements cli.Flag.
func (f *libraryFlag) Names() []string { return []string{f.Flag.Name} }

// IsSet implements cli.Flag. Nothing calls it: config.Flags notes what was set.
func (f *libraryFlag) IsSet() bool { return false }
