package template

import (
	"errors"
	"fmt"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"text/template/parse"

	"render/template/funcs"
)

// An Error is a fault in a template's text, or one that came up when it was executed. Its text is one line that begins
// with name:line:column, and never has a value of a key.
type Error struct {
	Name   string // of the template
	Line   int    // from 1; 0 where it is not known
	Column int    // in bytes, from 1; 0 where it is not known
	Source string // the line itself
	Msg    string
	Err    error // what one of our functions returned, or nil
}

func (e *Error) Error() string {
	switch {
	case e.Line == 0:
		return e.Name + ": " + e.Msg
	case e.Column == 0:
		return fmt.Sprintf("%s:%d: %s", e.Name, e.Line, e.Msg)
	}
	return fmt.Sprintf("%s:%d:%d: %s", e.Name, e.Line, e.Column, e.Msg)
}

func (e *Error) Unwrap() error { return e.Err }

// Excerpt returns the line with the fault and, where the column is known, a second line with a caret below it.
func (e *Error) Excerpt() string {
	if e.Line == 0 {
		return ""
	}
	if e.Column == 0 || e.Column > len(e.Source)+1 {
		return e.Source
	}
	indent := strings.Map(func(r rune) rune {
		if r == '\t' {
			return r
		}
		return ' '
	}, e.Source[:e.Column-1])
	return e.Source + "\n" + indent + "^"
}

var (
	// text/template gives the place of a fault only as text: "template: NAME:LINE[:COLUMN]: MESSAGE", where NAME is the
	// mark and the number of the text (see Parse). For an execution the message begins with the template and the expression.
	placeInText = regexp.MustCompile(`(?s)^template: (?:` + siteMark + `(\d+))?:(\d+)(?::(\d+))?: ` +
		`(?:template: |executing ".*?" at <.*?>: )?(.*)$`)
	startInText = regexp.MustCompile(` started at (?:` + siteMark + `\d+)?:(\d+)`)
	siteInText  = regexp.MustCompile(siteMark + `\d+`)

	// valueInText matches the messages of text/template that repeat a value.
	valueInText = regexp.MustCompile(`(?s)^(.*?(?:can't iterate over|can't use|index out of range:|invalid slice index:|non-comparable types?)) ` +
		`(.*?)( (?:to )?iterate over more than one variable)?$`)
)

func siteName(function string, i int) string { return function + siteMark + strconv.Itoa(i) }

func (t *Template) parseError(err error) *Error {
	e := &Error{Name: t.texts[0].name, Msg: err.Error()}
	if m := placeInText.FindStringSubmatch(e.Msg); m != nil {
		number, _ := strconv.Atoi(m[1]) // none for the template's own text
		text := t.texts[number]
		e.Name = text.name
		e.Line, _ = strconv.Atoi(m[2])
		if m[3] != "" { // text/template counts columns from 0
			e.Column, _ = strconv.Atoi(m[3])
			e.Column++
		}
		e.Source = text.line(e.Line)
		e.Msg = m[4]
		if e.Msg == "unexpected EOF" {
			if offset, msg := t.delims.unclosed(text.text); offset >= 0 {
				return text.errorAt(parse.Pos(offset), msg)
			}
		}
	}
	e.Msg = startInText.ReplaceAllString(e.Msg, " started at line $1")
	e.Msg = siteInText.ReplaceAllString(e.Msg, "")
	return e
}

func (t *Template) execError(err error) *Error {
	if inner, ok := errors.AsType[*Error](err); ok { // of executeTemplate, which knows the place better
		return inner
	}
	if stopped, ok := errors.AsType[*stopError](err); ok {
		e := stopped.site.text.errorAt(stopped.site.pos, stopped.Error())
		e.Err = stopped.err
		return e
	}
	e := t.parseError(err)
	if fault, ok := errors.AsType[*PanicError](err); ok {
		e.Msg, e.Err = fault.Error(), fault
		return e
	}
	if fault, ok := errors.AsType[runtime.Error](err); ok {
		e.Err = fault
	}
	if failed, ok := errors.AsType[*funcs.Error](err); ok {
		e.Msg, e.Err = failed.Error(), failed.Err
	} else if m := valueInText.FindStringSubmatch(e.Msg); m != nil && !t.pass.inText(m[2]) {
		e.Msg = m[1] + " a value that is not in the template's text" + m[3]
	}
	e.Msg = t.delims.explain(e.Msg)
	return e
}

// Suggestion returns "; did you mean NAME?" where a name is close to a misspelt one.
func Suggestion(name string, known []string) string { return funcs.Suggestion(name, known) }
