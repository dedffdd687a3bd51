package funcs

import (
	"fmt"
	"reflect"
	"strings"
	"text/template"
)

// printFuncs are the functions of text/template that print values, with bounds.
var printFuncs = map[string]func(*Env) any{
	"html":     printer("html", measure{escape: true}, template.HTMLEscaper),
	"js":       printer("js", measure{escape: true}, template.JSEscaper),
	"print":    printer("print", measure{}, fmt.Sprint),
	"println":  printer("println", measure{}, fmt.Sprintln),
	"urlquery": printer("urlquery", measure{escape: true, triple: true}, template.URLQueryEscaper),
	"printf": func(e *Env) any {
		return func(format string, values ...any) (string, error) {
			text, err := e.printf(measure{}, fmt.Sprintf, format, values)
			return text, Wrap("printf", err)
		}
	},
}

func printer(name string, m measure, print func(...any) string) func(*Env) any {
	return func(e *Env) any {
		return func(values ...any) (string, error) {
			text, err := e.print(m, func() string { return print(values...) }, values...)
			return text, Wrap(name, err)
		}
	}
}

// Printable returns a value that can be printed within the bounds.
func (e *Env) Printable(v any) (any, error) {
	switch reflect.ValueOf(v).Kind() {
	case reflect.Slice, reflect.Map, reflect.Pointer, reflect.Struct, reflect.Array:
		n, err := e.measured(measure{}, v)
		if err == nil {
			err = e.Make(n)
		}
		return v, Wrap("print", err)
	}
	return v, nil
}

// maxWidth is the greatest width or precision that package fmt takes.
const maxWidth = 1_000_000

// printf prints in a format whose result is within the bounds. It adds up widths and precisions, and what the verbs print.
func (e *Env) printf(m measure, print func(string, ...any) string, format string, values []any) (string, error) {
	verbs := strings.Count(format, "%")
	if verbs > 0 && strings.ContainsAny(format, "qxXU#+") {
		m.escape, m.names = true, max(m.names, 48)
	}
	n, err := e.measured(m, values...)
	if err != nil {
		return "", err
	}

	printed := n
	if strings.Contains(format, "[") { // a verb can print any value
		printed = times(n, verbs+1)
	}
	width, number := 0, 0
	for i := range len(format) {
		switch c := format[i]; {
		case c >= '0' && c <= '9':
			number = min(10*number+int(c-'0'), maxWidth)
			continue
		case c == '*':
			number = e.starWidth(values)
		}
		width, number = width+number, 0
	}
	if verbs == 0 {
		width = 0
	}
	if err := e.Make(len(format) + printed + width + 32*verbs); err != nil {
		return "", err
	}
	return print(format, values...), nil
}

// starWidth returns the greatest width that a * can take from the values.
func (e *Env) starWidth(values []any) int {
	widest := 0
	for _, v := range values {
		switch r := reflect.ValueOf(v); {
		case r.CanInt():
			widest = max(widest, int(min(max(r.Int(), -r.Int()), maxWidth)))
		case r.CanUint():
			widest = max(widest, int(min(r.Uint(), maxWidth)))
		}
	}
	return widest
}
