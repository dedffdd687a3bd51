package template

import (
	"errors"
	"fmt"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"text/template/parse"

	"render/template/funcs"
)

// An Error is a fault in a template's text, or one that came up when it was executed. Its text is one line that begins
// with name:line:column, and never has a value of a key. Package hint returns its hint.
type Error struct {
	Name   string // of the template
	Line   int    // from 1; 0 where it is not known
	Column int    // in bytes, from 1; 0 where it is not known
	Source string // the line itself
	Msg    string
	Err    error // what one of our functions returned, or nil

	hint string // "" for none, or where Err has it
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

// Hint returns what the author of the template can do; "" where that is not known, or where Err has a hint.
func (e *Error) Hint() string { return e.hint }

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

// namesInText matches the messages of text/template that have names and types, and no values. A message that is neither of these
// nor one with a value is not shown: another version of Go may have words of its own.
var namesInText = regexp.MustCompile(`(?s)^(?:error calling \S+: )?(?:arg \d+: )?(?:` + strings.Join([]string{
	`can't evaluate (?:field|command) `, `can't give argument to non-function `, `can't handle `, `can't (?:index|slice) item of type `,
	`can't print `, `cannot 3-index slice a string$`, `cannot (?:index slice/array|slice string) with `, `cannot assign nil to `,
	`call of nil$`, `dereference of nil pointer of type `, `exceeded maximum template depth `, `expected \w+(?: integer)?; found `,
	`incompatible types for comparison`, `indirection through explicit nil in `, `(?:index|slice|len) of (?:nil pointer|untyped nil)$`,
	`invalid type for comparison$`, `invalid value; expected `, `len of type `, `map has no entry for key `, `missing argument for comparison$`,
	`nil data; no entry for key `, `nil is not a command$`, `nil pointer evaluating `, `non-function \S+ of type `, `template ".*" not defined$`,
	`reflect: \w+ index out of range$`, `too many slice indexes: \d+$`, `undefined variable: `, `value (?:has type|is nil; should be of type) `, `wrong number of args`,
	`wrong type for value; expected `, `\S+ (?:has arguments but cannot be invoked as function|is not a method but has arguments)$`,
	`\S+ is an unexported field of struct type `,
}, "|") + `)`)

// canShow reports whether errors can have all words.
func (t *Template) canShow(words []string) bool {
	return !slices.ContainsFunc(words, func(word string) bool { return !t.pass.canShow(word) })
}

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
			if offset, msg, hint := t.delims.Unclosed(text.text); offset >= 0 {
				return text.errorAt(parse.Pos(offset), msg, hint)
			}
		}
	}
	e.Msg = startInText.ReplaceAllString(e.Msg, " started at line $1")
	e.Msg = siteInText.ReplaceAllString(e.Msg, "")
	if strings.HasPrefix(e.Msg, "bad character U+002D") {
		e.hint = "read a field whose name has a - with " + t.delims.Around(`index MAP "NAME"`)
	}
	return e
}

func (t *Template) execError(err error) *Error {
	if inner, ok := errors.AsType[*Error](err); ok { // of executeTemplate, which knows the place better
		return inner
	}
	if stopped, ok := errors.AsType[*stopError](err); ok {
		e := stopped.site.text.errorAt(stopped.site.pos, stopped.Error(), "")
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
	} else if m := valueInText.FindStringSubmatch(e.Msg); m != nil {
		if !t.pass.canShow(m[2]) {
			e.Msg = m[1] + " a value that is not in the template's text" + m[3]
		}
	} else if !namesInText.MatchString(e.Msg) && !t.canShow(strings.Fields(e.Msg)) {
		e.Msg = "the template failed here; Go's message is not shown, because it may contain a value"
	}
	e.Msg, e.hint = t.delims.Explain(e.Msg)
	if e.hint != "" && strings.Contains(e.Source, ".Data.data.") && strings.HasSuffix(e.Msg, " does not exist") {
		e.hint += "; only a secret of KV version 2 has its fields in .Data.data, any other in .Data"
	}
	return e
}

// Suggestion returns the hint "did you mean NAME?" where a name is close to a misspelt one, else "".
func Suggestion(name string, known []string) string { return funcs.Suggestion(name, known) }
