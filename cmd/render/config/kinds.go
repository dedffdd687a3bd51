package config

import (
	"errors"
	"fmt"
	"io/fs"
	"math"
	"path"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"render/cmd/render/config/conf"
	"render/render/run"
	"render/template"

	"render/watch/hint"
)

// A kind says what values a setting has: as text on the command line and in the environment, and in files.
type kind struct {
	name    string                           // for people: what is expected
	parse   func(text string) (any, error)   // of the command line, a variable, and of text in a file where read is nil
	read    func(v *conf.Value) (any, error) // of a file
	forms   []conf.Kind                      // that read takes; none: text
	add     func(old, more any) any          // what comes later is added to what came before; nil: it takes its place
	words   []string                         // what a value can be, where that is one of some words
	truth   bool                             // a flag needs no value
	private bool                             // a value must not be shown
}

// readFrom returns the value of a file, or an error that says what is expected.
func (k *kind) readFrom(v *conf.Value) (any, error) {
	forms := k.forms
	if len(forms) == 0 {
		forms = []conf.Kind{conf.Text}
	}
	if v.Kind == conf.Null { // HCL 1 takes it for an empty text
		if value, err := k.readFrom(&conf.Value{Kind: conf.Text}); err == nil {
			return value, nil
		}
	}
	if !slices.Contains(forms, v.Kind) {
		return nil, fmt.Errorf("needs %s, not %s", k.name, formNames[v.Kind])
	}
	if k.read != nil {
		return k.read(v)
	}
	return k.parse(v.Text)
}

var formNames = map[conf.Kind]string{
	conf.Text: "text in quotes", conf.Number: "a number", conf.Bool: "true or false without quotes",
	conf.List: "a list", conf.Object: "a block", conf.Null: "null",
}

var (
	textKind = &kind{name: "text in quotes", parse: func(s string) (any, error) { return s, nil }}
	// secretKind is text that is not shown.
	secretKind = &kind{name: "text in quotes", parse: textKind.parse, private: true}

	boolKind = &kind{
		name: "true or false", truth: true,
		parse: func(s string) (any, error) {
			b, err := strconv.ParseBool(s)
			if err != nil {
				return nil, fmt.Errorf("%q is not true or false", s)
			}
			return b, nil
		},
		forms: []conf.Kind{conf.Bool},
		read:  func(v *conf.Value) (any, error) { return v.Bool, nil },
	}

	numberKind = &kind{
		name: "a whole number", parse: parseNumber,
		forms: []conf.Kind{conf.Number},
	}

	durationKind = &kind{
		name:  `a duration, as in "5s"`,
		forms: []conf.Kind{conf.Text, conf.Number}, parse: parseDuration,
	}

	countKind = atLeast(0)

	// idKind is the name or number of a user or a group.
	idKind = &kind{name: "a name or a number", parse: textKind.parse, forms: []conf.Kind{conf.Text, conf.Number}}

	// portionKind is a number from 0 to 1.
	portionKind = &kind{
		name: "a number", forms: []conf.Kind{conf.Number},
		parse: func(s string) (any, error) {
			f, err := strconv.ParseFloat(s, 64)
			if err != nil || math.IsNaN(f) {
				return nil, fmt.Errorf("%q is not a number", s)
			}
			return f, nil
		},
	}
	// dropKind is a share of instances.
	dropKind = &kind{name: "a share of the instances, as in 0.5 or \"50%\"", parse: parseShare, forms: []conf.Kind{conf.Text, conf.Number}}

	permsKind = &kind{
		name: `an octal mode, as in 0640 or "0640"`, parse: func(s string) (any, error) { return parsePerms(s) },
		forms: []conf.Kind{conf.Text, conf.Number},
		read:  func(v *conf.Value) (any, error) { return readPerms(v) },
	}

	signalKind = &kind{name: `the name of a signal, as in "SIGHUP"`, parse: func(s string) (any, error) { return signalOf(s) }}
	// notifyKind is a signal and whom it is for.
	notifyKind = &kind{name: `NAME:PROCESS, as in "HUP:/run/nginx.pid"`, parse: func(s string) (any, error) { return parseSignal(s) }}

	listKind = &kind{
		name: "a list of texts", forms: []conf.Kind{conf.List, conf.Text},
		parse: func(s string) (any, error) { return []string{s}, nil },
		read:  func(v *conf.Value) (any, error) { return readList(v) },
		add:   appendTexts,
	}
	// addressesKind is a list of addresses, or one text with commas between them.
	addressesKind = &kind{
		name: `addresses, as in "127.0.0.1:9820"`, forms: listKind.forms, add: appendTexts,
		parse: func(s string) (any, error) { return parseAddresses(s) },
		read: func(v *conf.Value) (any, error) {
			text, err := joined(v)
			if err != nil {
				return nil, err
			}
			return parseAddresses(text)
		},
	}
	// serverKind is the address of a server, or those of several with commas between them.
	serverKind = &kind{
		name: "text in quotes, or a list of texts", forms: listKind.forms, parse: textKind.parse,
		read: func(v *conf.Value) (any, error) { return joined(v) },
	}
	// patternsKind is a list of patterns of names.
	patternsKind = &kind{
		name: "a list of patterns", forms: listKind.forms,
		parse: func(s string) (any, error) { return patterns([]string{s}, nil) },
		read:  func(v *conf.Value) (any, error) { return patterns(readList(v)) },
		add:   appendTexts,
	}
	// delimiterKind begins or ends an action of a template.
	delimiterKind = &kind{
		name:  textKind.name,
		parse: func(s string) (any, error) { return s, template.Options{LeftDelimiter: s}.Validate() },
	}
	// functionsKind is a list of template functions.
	functionsKind = &kind{
		name: "a list of functions", forms: listKind.forms,
		parse: func(s string) (any, error) { return functions([]string{s}, nil) },
		read:  func(v *conf.Value) (any, error) { return functions(readList(v)) },
		add:   appendTexts,
	}
	// pairsKind is a list of NAME=value, where the values are nobody's business.
	pairsKind = &kind{
		name: "a list of NAME=value", forms: listKind.forms,
		parse: func(s string) (any, error) { return pairs([]string{s}, nil) },
		read:  func(v *conf.Value) (any, error) { return pairs(readPairs(v)) },
		add:   appendTexts, private: true,
	}

	// mapKind is a block whose keys are not ours.
	mapKind = mapOf(textKind)
	// secretMapKind is one whose values are not shown.
	secretMapKind = mapOf(secretKind)
	// intervalsKind is a block of durations.
	intervalsKind = mapOf(durationKind)

	// commandKind is a line for sh, or a program and its arguments.
	commandKind = &kind{
		name: "a command: text, or a list of a program and its arguments", forms: []conf.Kind{conf.Text, conf.List},
		parse: func(s string) (any, error) { return parseCommand(s), nil },
		read:  func(v *conf.Value) (any, error) { return readCommand(v, parseCommand) },
	}
	// programKind is a command that is supervised.
	programKind = &kind{
		name: commandKind.name, forms: commandKind.forms,
		parse: func(s string) (any, error) { return parseProgram(s), nil },
		read:  func(v *conf.Value) (any, error) { return readCommand(v, parseProgram) },
	}

	levelKind = choice("trace", "debug", "info", "warn", "err", "error")
)

// choice is one of some words, in any case.
func choice(words ...string) *kind {
	return &kind{
		name:  "one of " + strings.Join(words, ", "),
		words: words,
		parse: func(s string) (any, error) {
			if i := slices.IndexFunc(words, func(word string) bool { return strings.EqualFold(word, s) }); i >= 0 {
				return words[i], nil
			}
			return nil, hint.With(fmt.Errorf("%q is not one of %s", s, strings.Join(words, ", ")), template.Suggestion(s, words))
		},
	}
}

// atLeast is a whole number from one on.
func atLeast(least int) *kind {
	return &kind{
		name: numberKind.name, forms: numberKind.forms,
		parse: func(s string) (any, error) {
			n, err := parseNumber(s)
			if err == nil && n.(int) < least {
				return nil, fmt.Errorf("%s is less than %d", s, least)
			}
			return n, err
		},
	}
}

func parseNumber(s string) (any, error) {
	n, err := strconv.ParseInt(s, 0, 0)
	if errors.Is(err, strconv.ErrRange) {
		return nil, fmt.Errorf("%s is too large", s)
	}
	if err != nil {
		return nil, fmt.Errorf("%q is not a whole number", s)
	}
	return int(n), nil
}

func parseDuration(s string) (any, error) {
	d, err := time.ParseDuration(s)
	switch {
	case err == nil && d < 0:
		return nil, fmt.Errorf("%q is negative", s)
	case err == nil:
		return d, nil
	}
	if _, err := strconv.ParseFloat(s, 64); err == nil {
		return nil, hint.Withf(fmt.Errorf("the duration %s has no unit", s), "write \"%ss\" for seconds, or \"%sms\" for milliseconds", s, s)
	}
	return nil, hint.With(fmt.Errorf("%q is not a duration", s), `write a duration such as "5s", "250ms" or "1m30s"`)
}

// parseShare reads a share of 1, or one in percent.
func parseShare(s string) (any, error) {
	number, percent := strings.CutSuffix(strings.TrimSpace(s), "%")
	f, err := strconv.ParseFloat(strings.TrimSpace(number), 64)
	if err != nil || math.IsNaN(f) {
		return nil, hint.With(fmt.Errorf("%q is not a share of the instances", s), "write a share such as 50% or 0.5")
	}
	if percent {
		f /= 100
	}
	return f, nil
}

// parsePerms reads an octal mode. Bits beyond rwxrwxrwx do not count; "" and 0 set nothing.
func parsePerms(text string) (fs.FileMode, error) {
	if text == "" {
		return 0, nil
	}
	mode, err := strconv.ParseUint(text, 8, 12)
	if err != nil {
		return 0, hint.With(fmt.Errorf("%q is not an octal mode", text), "write a mode such as 0640")
	}
	return fs.FileMode(mode) & fs.ModePerm, nil
}

// readPerms reads a mode of a file: text is octal, and so is a number that begins with 0; others are decimal, as 384 for 0600.
func readPerms(v *conf.Value) (fs.FileMode, error) {
	if v.Kind == conf.Text || strings.HasPrefix(v.Text, "0") {
		return parsePerms(v.Text)
	}
	mode, err := strconv.ParseUint(v.Text, 10, 32)
	if err != nil || mode > 0o7777 {
		return 0, hint.With(fmt.Errorf("%s is not a mode", v.Text), `write a mode such as 0640 or "0640"`)
	}
	return fs.FileMode(mode) & fs.ModePerm, nil
}

// isDecimalByMistake reports whether a mode is a number whose first 0 was forgotten.
func isDecimalByMistake(v *conf.Value) bool {
	decimal, err := strconv.ParseUint(v.Text, 10, 32)
	_, notOctal := strconv.ParseUint(v.Text, 8, 32)
	return v.Kind == conf.Number && err == nil && notOctal == nil && decimal > 0o777 && v.Text[0] != '0'
}

// parseAddresses cuts a text at its commas.
func parseAddresses(s string) ([]string, error) {
	addresses := []string{}
	for part := range strings.SplitSeq(s, ",") {
		if part = strings.TrimSpace(part); part != "" {
			addresses = append(addresses, part)
		}
	}
	return addresses, nil
}

// patterns are texts with *, ? and [...] as in names of files.
func patterns(texts []string, err error) (any, error) {
	for _, text := range texts {
		if _, err := path.Match(text, ""); err != nil {
			return nil, hint.With(fmt.Errorf("%q is not a pattern", text), "write a pattern such as CONSUL_*, and close each [ with ]")
		}
	}
	return texts, err
}

// functions are names of template functions, and patterns of them.
func functions(texts []string, err error) (any, error) {
	if err == nil {
		err = template.Options{Denied: texts}.Validate()
	}
	return texts, err
}

// readPairs reads a list of texts. A single text is cut at commas, but for those that no NAME= comes after: they are part of a value.
func readPairs(v *conf.Value) ([]string, error) {
	texts, err := readList(v)
	if err != nil || v.Kind != conf.Text {
		return texts, err
	}
	var joined []string
	for _, text := range texts {
		if name, _, found := strings.Cut(text, "="); len(joined) > 0 && (!found || name == "") {
			joined[len(joined)-1] += "," + text
			continue
		}
		joined = append(joined, text)
	}
	return joined, nil
}

// pairs are texts that have to be NAME=value. An error does not show them.
func pairs(texts []string, err error) (any, error) {
	for i, text := range texts {
		if name, _, found := strings.Cut(text, "="); !found || name == "" {
			return nil, fmt.Errorf("needs a list of NAME=value, and element %d is not of this form", i+1)
		}
	}
	return texts, err
}

// readList reads a list of texts. A single text is cut at commas, as consul-template does, and an empty one is an empty list.
func readList(v *conf.Value) ([]string, error) {
	switch {
	case v.Kind == conf.Text && v.Text == "":
		return []string{}, nil
	case v.Kind == conf.Text:
		return strings.Split(v.Text, ","), nil
	}
	return readTexts(v)
}

// joined returns a text, or the texts of a list with commas between them.
func joined(v *conf.Value) (string, error) {
	if v.Kind == conf.Text {
		return v.Text, nil
	}
	texts, err := readTexts(v)
	return strings.Join(texts, ","), err
}

func readTexts(v *conf.Value) ([]string, error) {
	texts := []string{}
	for i, e := range v.List {
		if e.Kind != conf.Text {
			return nil, fmt.Errorf("needs a list of texts, and element %d is %s", i+1, formNames[e.Kind])
		}
		texts = append(texts, e.Text)
	}
	return texts, nil
}

func appendTexts(old, more any) any {
	before, _ := old.([]string)
	return slices.Concat(before, more.([]string))
}

// readCommand reads a command. A list with one text is that text.
func readCommand(v *conf.Value, ofText func(string) run.Command) (run.Command, error) {
	if v.Kind == conf.Text {
		return ofText(v.Text), nil
	}
	args, err := readTexts(v)
	switch {
	case err != nil:
		return run.Command{}, err
	case len(args) == 1:
		return ofText(args[0]), nil
	case len(args) > 0 && args[0] == "":
		return run.Command{}, fmt.Errorf("the program is an empty text")
	}
	return run.Command{Args: args}, nil
}

// parseCommand returns a command: of one word it is run as it is, else by sh.
func parseCommand(text string) run.Command {
	switch {
	case strings.TrimSpace(text) == "":
		return run.Command{}
	case strings.ContainsAny(text, shellCharacters):
		return run.Command{Shell: text}
	}
	return run.Command{Args: []string{text}}
}

// shellCharacters make a command one for sh. One word without any of them is a program, which needs no shell.
const shellCharacters = " \t\n\"'`$&|;<>()*?[]{}~#=%\\!"

// parseProgram returns a program to supervise. Plain words need no shell, which would stand between it and its signals, and
// which a container may not have.
func parseProgram(text string) run.Command {
	text = strings.TrimSpace(text)
	words := strings.Fields(text)
	forShell := strings.Map(func(r rune) rune {
		if strings.ContainsRune(" \t=%", r) { // they do not hurt within arguments
			return -1
		}
		return r
	}, shellCharacters)
	if strings.ContainsAny(text, forShell) || len(words) > 1 && slices.Contains(shellWords, words[0]) || len(words) > 0 && strings.Contains(words[0], "=") {
		return run.Command{Shell: text}
	}
	return run.Command{Args: words}
}

// shellWords begin a line that only a shell understands, though it looks like a program's.
var shellWords = []string{
	"exec", ".", ":", "case", "cd", "command", "eval", "exit", "export", "for", "if", "readonly", "set", "source", "times", "trap",
	"ulimit", "umask", "unset", "until", "wait", "while",
}

// parseSignal reads NAME:PROCESS, where a PROCESS with a slash in it is the path of a file.
func parseSignal(text string) (s run.Signal, err error) {
	if text == "" {
		return s, nil
	}
	name, process, _ := strings.Cut(text, ":")
	if s.Signal, err = signalOf(name); err != nil {
		return s, err
	}
	if process == "" || s.Signal == 0 {
		return s, hint.With(fmt.Errorf("%q is not a signal and a process", text), "write NAME:PROCESS, such as HUP:/run/nginx.pid or HUP:nginx")
	}
	if strings.Contains(process, "/") {
		s.PIDFile = process
	} else {
		s.Process = process
	}
	return s, nil
}

// signalOf returns the signal of a name, in any case and with or without SIG; none for "" and SIGNULL.
func signalOf(name string) (syscall.Signal, error) {
	full := strings.ToUpper(name)
	if full == "" || full == "SIGNULL" {
		return 0, nil
	}
	if !strings.HasPrefix(full, "SIG") {
		full = "SIG" + full
	}
	if full == "SIGIOT" { // another name of it, which has no place in unix's table
		return syscall.SIGABRT, nil
	}
	if s := unix.SignalNum(full); s != 0 {
		return s, nil
	}
	return 0, fmt.Errorf("there is no signal %q", name)
}
