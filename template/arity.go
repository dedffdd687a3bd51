package template

import (
	"reflect"

	"render/watch"
)

// withArity returns a function that takes so many arguments and does with them what f does. Found is false where f is not of a
// common type that takes any number of arguments, or the number is not a common one: then f is used as it is. Package reflect
// makes a list for each call of such a function, which takes longer than most functions.
func withArity(f any, arguments int) (function any, found bool) {
	switch f := f.(type) {
	case func(...any) (string, error):
		return func(a any) (string, error) { return f(a) }, arguments == 1
	case func(any, ...any) (string, error):
		return func(a any) (string, error) { return f(a) }, arguments == 1
	case func(string, ...any) (string, error):
		return func(a string, b any) (string, error) { return f(a, b) }, arguments == 2
	case func(reflect.Value, ...reflect.Value) (bool, error):
		return func(a, b reflect.Value) (bool, error) { return f(a, b) }, arguments == 2
	case func(...any) ([]*watch.HealthService, error):
		if arguments == 2 {
			return func(a, b any) ([]*watch.HealthService, error) { return f(a, b) }, true
		}
		return func(a any) ([]*watch.HealthService, error) { return f(a) }, arguments == 1
	case func(...string) (option, error):
		if arguments == 2 {
			return func(a, b string) (option, error) { return f(a, b) }, true
		}
		return func(a, b, c string) (option, error) { return f(a, b, c) }, arguments == 3
	}
	return nil, false
}
