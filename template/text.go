package template

import (
	"fmt"
	"strings"
	"text/template/parse"
)

// A text is what a template was parsed from: its own, or that of a file of partials.
type text struct{ name, text string }

// errorAt returns the Error for a place in the text, with a hint or with "".
func (t *text) errorAt(pos parse.Pos, msg, hint string) *Error {
	line, column := t.position(pos)
	return &Error{Name: t.name, Line: line, Column: column, Source: t.line(line), Msg: msg, hint: hint}
}

func (t *text) position(pos parse.Pos) (line, column int) {
	before := t.text[:min(int(pos), len(t.text))]
	return 1 + strings.Count(before, "\n"), len(before) - strings.LastIndex(before, "\n")
}

func (t *text) place(pos parse.Pos) string {
	line, column := t.position(pos)
	return fmt.Sprintf("%s:%d:%d", t.name, line, column)
}

func (t *text) line(n int) string {
	lines := strings.SplitN(t.text, "\n", n+1)
	if n < 1 || n > len(lines) {
		return ""
	}
	return strings.TrimSuffix(lines[n-1], "\r")
}
