package config

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"render/watch/hint"
)

// A fault is something wrong with the configuration.
type fault struct {
	at      origin
	text    string
	hint    string // "" for none
	syntax  bool   // the text could not be read: any of it may be a secret, but for the excerpt
	excerpt string // of a line, where syntax is true
}

// A hidden is part of a file that is not shown: a secret, or a value whose name is misspelt.
type hidden struct {
	from   origin
	toLine int
}

// mostFaults is how many faults an Error shows. Who has fixed these sees the remaining ones.
const mostFaults = 20

// An Error is what is wrong with a configuration.
type Error struct {
	faults  []fault // the first of them
	more    int     // how many there are beyond
	sources map[string][]byte
	hidden  []hidden
}

func (e *Error) Error() string { return errors.Join(e.Unwrap()...).Error() }

// Unwrap returns an error for each fault, with its hint.
func (e *Error) Unwrap() []error {
	var errs []error
	for _, f := range e.faults {
		errs = append(errs, f.err())
	}
	if e.more > 0 {
		errs = append(errs, fmt.Errorf("and %d more", e.more))
	}
	return errs
}

// err returns a fault as an error, without what a terminal obeys and without passwords.
func (f fault) err() error {
	text := f.text
	if f.at != (origin{}) {
		text = f.at.String() + ": " + text
	}
	return hint.With(errors.New(showable(text)), showable(f.hint))
}

func showable(text string) string {
	return strings.Map(printable, urlPassword.ReplaceAllString(text, "${1}xxxxx@"))
}

// urlPassword finds the passwords in URLs.
var urlPassword = regexp.MustCompile(`(://[^\s/:@"]*:)[^\s"]*@`)

// AtUsage reports whether all of it comes from the command line and the environment.
func (e *Error) AtUsage() bool {
	return !slices.ContainsFunc(e.faults, func(f fault) bool { return f.at.inFile() && f.at.file != LocalConfig })
}

// Excerpts returns the faults, each with its line of the file and then its hint below.
func (e *Error) Excerpts() string {
	var b strings.Builder
	for i, err := range e.Unwrap() {
		fmt.Fprintln(&b, err)
		if i < len(e.faults) {
			f := e.faults[i]
			if line, ok := e.line(f); ok {
				fmt.Fprintf(&b, "  %s\n  %s^\n", line, indent(line, f.at.at.Column))
			}
		}
		b.WriteString(strings.TrimPrefix(hint.Lines(err)+"\n", "\n"))
	}
	return strings.TrimSuffix(b.String(), "\n")
}

// line returns the line that is at fault, if it can be shown.
func (e *Error) line(f fault) (string, bool) {
	if f.syntax {
		return strings.Map(printable, f.excerpt), f.excerpt != ""
	}
	source, ok := e.sources[f.at.file]
	lines := strings.Split(string(source), "\n")
	n := f.at.at.Line
	if !ok || !f.at.inFile() || n < 1 || n > len(lines) {
		return "", false
	}

	line := []rune(strings.TrimPrefix(lines[n-1], "\ufeff"))
	shown := len(line)
	for _, h := range e.hidden {
		if h.from.file == f.at.file && h.from.at.Line <= n && n <= h.toLine {
			column := 1
			if h.from.at.Line == n {
				column = h.from.at.Column
			}
			shown = min(shown, column-1)
		}
	}
	if m := urlPassword.FindStringIndex(string(line[:shown])); m != nil {
		shown = utf8.RuneCountInString(string(line[:shown])[:m[0]])
	}
	text := strings.TrimRight(string(line[:shown]), "\r")
	if shown < len(line) {
		text = strings.TrimRight(text, " ") + " …"
	}
	const longest = 200
	inSight := shown > 0 && f.at.at.Column-1 <= shown
	return strings.Map(printable, text), inSight && strings.TrimSpace(text) != "" && len(text) <= longest
}

// printable replaces what a terminal might obey, or cannot show.
func printable(r rune) rune {
	if r != '\t' && r != '\n' && !strconv.IsPrint(r) {
		return utf8.RuneError
	}
	return r
}

// indent returns the whitespace before a column of a line, with its tabs.
func indent(line string, column int) string {
	var b strings.Builder
	for i, r := range []rune(line) {
		if i+1 >= column {
			break
		}
		if r != '\t' {
			r = ' '
		}
		b.WriteRune(r)
	}
	return b.String()
}

func (l *loader) err() error {
	if len(l.faults) == 0 {
		return nil
	}
	var once []fault // a fault of a default may have been found for many templates
	seen := make(map[fault]bool)
	for _, f := range l.faults {
		if !seen[f] {
			seen[f] = true
			once = append(once, f)
		}
	}
	more := max(0, len(once)-mostFaults)
	return &Error{once[:len(once)-more], more, l.sources, l.hidden}
}

// fault notes a fault. The hints of an error among the arguments, whose verb is %w, become those of the fault.
func (l *loader) fault(at origin, format string, args ...any) {
	err := fmt.Errorf(format, args...)
	l.faults = append(l.faults, fault{at: at, text: err.Error(), hint: strings.Join(hint.Of(err), "; ")})
}

// wrong notes a fault of the setting of a field.
func (l *loader) wrong(v *values, field any, format string, args ...any) {
	l.wrongKey(v, v.key(field), format, args...)
}

func (l *loader) wrongKey(v *values, key, format string, args ...any) {
	at := v.originOf(key)
	if at.inFile() {
		format = key + ": " + format
	}
	l.fault(at, format, args...)
}

// withoutValue returns the error of a value, or another one where the value must not be shown.
func withoutValue(s *Setting, err error) error {
	if s.kind.private {
		return errors.New("needs " + s.kind.name)
	}
	return err
}
