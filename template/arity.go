package template

import (
	"reflect"
	"text/template/parse"

	"render/watch"
)

// withArity returns a function that takes so many arguments and does with them what f does. Found is false where f is not of a
// common type, or the number is not a common one: then f is used as it is. Package reflect makes a list for each call of a function
// that takes any number of arguments, which takes longer than most functions.
func withArity(f any, arguments int) (function any, found bool) {
	switch f := f.(type) {
	case func(string) (string, error):
		return func(a string) string { return must(f(a)) }, arguments == 1
	case func(string, string) (string, error):
		return func(a, b string) string { return must(f(a, b)) }, arguments == 2
	case func(string, string) (bool, error):
		return func(a, b string) bool { return must(f(a, b)) }, arguments == 2
	case func(any, any) (bool, error):
		return func(a, b any) bool { return must(f(a, b)) }, arguments == 2
	case func(any, any) (any, error):
		return func(a, b any) any { return must(f(a, b)) }, arguments == 2
	case func(...any) (string, error):
		return func(a any) string { return must(f(a)) }, arguments == 1
	case func(any, ...any) (string, error):
		return func(a any) string { return must(f(a)) }, arguments == 1
	case func(string, ...any) (string, error):
		return func(a string, b any) string { return must(f(a, b)) }, arguments == 2
	case func(reflect.Value, reflect.Value) (bool, error):
		return func(a, b reflect.Value) bool { return must(f(a, b)) }, arguments == 2
	case func(reflect.Value, ...reflect.Value) (bool, error):
		return func(a, b reflect.Value) bool { return must(f(a, b)) }, arguments == 2
	case func(...any) ([]*watch.HealthService, error):
		if arguments == 2 {
			return func(a, b any) []*watch.HealthService { return must(f(a, b)) }, true
		}
		return func(a any) []*watch.HealthService { return must(f(a)) }, arguments == 1
	case func(...string) (option, error):
		if arguments == 2 {
			return func(a, b string) option { return must(f(a, b)) }, true
		}
		return func(a, b, c string) option { return must(f(a, b, c)) }, arguments == 3
	}
	return nil, false
}

// must returns a result of a function of a template, or panics with its error. Text/template makes the same of an error that is returned
// and of one that is the value of a panic, but package reflect allocates memory for each result, also for an error that is nil.
func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// firstLiteral is more than the numbers that names of functions have otherwise.
const firstLiteral = 1000

// withLiteral returns a function that has the literal among its arguments already, and the other arguments. Text/template makes
// a new value of a literal for each call. Found is false where the function is not of a type that is common with literals.
func withLiteral(f any, args []parse.Node, piped int) (function any, others []parse.Node, found bool) {
	if len(args)+piped != 2 || len(args) == 0 {
		return nil, nil, false
	}
	switch f := f.(type) {
	case func(string, string) bool:
		if text, ok := args[0].(*parse.StringNode); ok {
			return func(s string) bool { return f(text.Text, s) }, args[1:], true
		}
	case func(a, b reflect.Value) bool:
		if literal := literalOf(args[len(args)-1]); piped == 0 && literal.IsValid() {
			return func(v reflect.Value) bool { return f(v, literal) }, args[:1], true
		}
	}
	return nil, nil, false
}

// literalOf returns a text or a whole number that stands in a template, and no value for other nodes.
func literalOf(n parse.Node) (literal reflect.Value) {
	switch n := n.(type) {
	case *parse.StringNode:
		return reflect.ValueOf(n.Text)
	case *parse.NumberNode:
		if isDigits(n.Text) && n.IsInt {
			return reflect.ValueOf(int(n.Int64))
		}
	}
	return literal
}

func isDigits(s string) bool {
	for _, c := range []byte(s) {
		if c < '0' || c > '9' {
			return false
		}
	}
	return true
}
