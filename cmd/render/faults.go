package main

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/hashicorp/hcl/v2"
)

// A fault is something wrong with the configuration.
type fault struct {
	at      origin
	text    string
	private bool // the line must not be shown
}

// maybeSecret is what is said of text that cannot be read, and must not be shown.
const maybeSecret = "what stands here cannot be read, and is not shown, as it may be secret: text stands in double quotes on one line, " +
	`with a \ before each " and \ in it, and elements of a list have commas between them`

// mostFaults is how many faults are told of: who has mended these will see the others.
const mostFaults = 20

// A configError is what is wrong with a configuration.
type configError struct {
	faults  []fault // the first of them
	more    int     // how many there are beyond
	sources map[string][]byte
	hidden  []hcl.Range
}

func (e *configError) Error() string {
	var lines []string
	for _, f := range e.faults {
		line := f.text
		if place := f.at.String(); f.at != (origin{}) {
			line = place + ": " + line
		}
		lines = append(lines, line)
	}
	if e.more > 0 {
		lines = append(lines, e.others())
	}
	return strings.Map(printable, urlPassword.ReplaceAllString(strings.Join(lines, "\n"), "${1}xxxxx@"))
}

// urlPassword finds the passwords in URLs.
var urlPassword = regexp.MustCompile(`(://[^\s/:@"]*:)[^\s"]*@`)

// atUsage reports whether all of it comes from the command line and the environment.
func (e *configError) atUsage() bool {
	return !slices.ContainsFunc(e.faults, func(f fault) bool { return f.at.inFile() && f.at.at.Filename != localConfig })
}

// others says how many faults there are beyond those that are told of.
func (e *configError) others() string { return fmt.Sprintf("and %d more", e.more) }

// excerpts returns the faults with the lines that are at fault.
func (e *configError) excerpts() string {
	var b strings.Builder
	for _, f := range e.faults {
		fmt.Fprintln(&b, (&configError{faults: []fault{f}}).Error())
		if line, ok := e.line(f); ok {
			fmt.Fprintf(&b, "  %s\n  %s^\n", line, indent(line, f.at.at.Start.Column))
		}
	}
	if e.more > 0 {
		fmt.Fprintln(&b, e.others())
	}
	return strings.TrimSuffix(b.String(), "\n")
}

// publicNames are the names that settings and blocks have, but for those whose values must not be shown.
var publicNames = func() map[string]bool {
	names := map[string]bool{"template": true, "action": true}
	add := func(key string) {
		for name := range strings.SplitSeq(key, ".") {
			names[name] = true
		}
	}
	all := slices.Concat(globalSettings, templateSettings, actionSettings)
	for _, s := range all {
		add(s.key)
	}
	for _, old := range oldKeys {
		for key := range old {
			add(key)
		}
	}
	for _, s := range all {
		if s.kind.private {
			delete(names, s.key[strings.LastIndexByte(s.key, '.')+1:])
		}
	}
	return names
}()

// isSecret reports whether a name is, or may be a misspelt one of, a setting whose value must not be shown.
func isSecret(name string) bool { return !publicNames[strings.ToLower(name)] }

// line returns the line that is at fault, if it can be shown.
func (e *configError) line(f fault) (string, bool) {
	source, ok := e.sources[f.at.at.Filename]
	if !ok || !f.at.inFile() || f.private {
		return "", false
	}
	lines := strings.Split(string(source), "\n")
	n := f.at.at.Start.Line - 1
	if n < 0 || n >= len(lines) {
		return "", false
	}
	line, start := lines[n], len(strings.Join(lines[:n], "\n"))+min(n, 1)
	shown := len(line)
	for _, r := range e.hidden {
		if r.Filename == f.at.at.Filename && r.Start.Line <= n+1 && n+1 <= r.End.Line {
			shown = min(shown, max(0, r.Start.Byte-start))
		}
	}
	if m := urlPassword.FindStringIndex(line[:shown]); m != nil {
		shown = m[0]
	}
	inSight := shown > 0 && f.at.at.Start.Byte-start <= shown
	if shown < len(line) {
		line = strings.TrimRight(line[:shown], " ") + " …"
	}
	line = strings.Map(printable, strings.TrimRight(line, "\r"))
	const longest = 200
	return line, inSight && strings.TrimSpace(line) != "" && len(line) <= longest
}

// printable replaces what a terminal might obey, or cannot show.
func printable(r rune) rune {
	if r != '\t' && r != '\n' && !strconv.IsPrint(r) {
		return utf8.RuneError
	}
	return r
}

// indent returns the blanks before a column of a line, with its tabs.
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
	return &configError{once[:len(once)-more], more, l.sources, l.hidden}
}

func (l *loader) fault(at origin, format string, args ...any) {
	l.faults = append(l.faults, fault{at: at, text: fmt.Sprintf(format, args...)})
}

// wrong notes a fault of a setting.
func (l *loader) wrong(v *values, key, format string, args ...any) {
	at := v.origin(key)
	if at.inFile() {
		format = key + ": " + format
	}
	l.fault(at, format, args...)
}

var assigned = regexp.MustCompile(`([\pL\w.-]+)("?\s*[=:{]|\s+")`)

// hideRest hides the rest of a line that could not be read if there may be a secret in it.
func (l *loader) hideRest(at hcl.Range, text []byte) {
	rest, _, _ := bytes.Cut(text[at.Start.Byte:], []byte("\n"))
	if slices.ContainsFunc(assigned.FindAllSubmatch(rest, -1), func(m [][]byte) bool { return isSecret(string(m[1])) }) {
		l.hidden = append(l.hidden, hcl.Range{Filename: at.Filename, Start: hcl.Pos{Line: at.Start.Line, Byte: at.End.Byte}, End: at.Start})
	}
}

// withoutValue returns what an error says, unless that must not be shown.
func withoutValue(s *setting, err error) string {
	if s.kind.private {
		return "needs " + s.kind.name
	}
	return err.Error()
}

// placed adds to errors of reading templates where in files these are named.
func (l *loader) placed(err error) error {
	if all, ok := err.(interface{ Unwrap() []error }); ok {
		var errs []error
		for _, e := range all.Unwrap() {
			errs = append(errs, l.placed(e))
		}
		return errors.Join(errs...)
	}
	failed, ok := errors.AsType[*fs.PathError](err)
	if !ok {
		return err
	}
	for _, v := range l.doc.templates {
		if at := v.origin("source"); at.inFile() && get[string](v, "source") == failed.Path {
			return fmt.Errorf("%s: %w", at, err)
		}
	}
	return err
}

// placedAt adds to an error where in files a setting was made that it is about.
func (l *loader) placedAt(key string, err error) error {
	if at := l.doc.top.origin(key); at.inFile() && at != (origin{}) {
		return fmt.Errorf("%s: %w", at, err)
	}
	return err
}

// placedAtFile adds to an error of asking where in files one is named that cannot be read.
func (l *loader) placedAtFile(err error) error {
	if files := l.unreadableFiles(); len(files) > 0 {
		return l.placedAt(files[0].key, err)
	}
	return err
}
