package funcs

import (
	"errors"
	"fmt"
	"reflect"
)

// equalFuncs are the comparisons of text/template. Its own print the values that they cannot compare, whatever their size.
// They take a reflect.Value, as its own do: package reflect copies each value that becomes an interface.
var equalFuncs = map[string]any{
	"eq": func(v reflect.Value, others ...reflect.Value) (bool, error) {
		equal, err := equalToOne(v, others)
		return equal, Wrap("eq", err)
	},
	"ne": func(v, other reflect.Value) (bool, error) {
		equal, err := equalValues(v, other)
		return !equal, Wrap("ne", err)
	},
}

func equalToOne(v reflect.Value, others []reflect.Value) (bool, error) {
	if len(others) == 0 {
		return false, errors.New("missing argument for comparison")
	}
	for _, other := range others {
		if equal, err := equalValues(v, other); equal || err != nil {
			return equal, err
		}
	}
	return false, nil
}

// equalValues compares as text/template does: whole numbers of all kinds, other values of one kind, and all with nil.
func equalValues(a, b reflect.Value) (bool, error) {
	if a.Kind() == reflect.Interface {
		a = a.Elem()
	}
	if b.Kind() == reflect.Interface {
		b = b.Elem()
	}
	switch {
	case a.CanInt() && b.CanInt():
		return a.Int() == b.Int(), nil
	case a.CanUint() && b.CanUint():
		return a.Uint() == b.Uint(), nil
	case a.CanInt() && b.CanUint():
		return a.Int() >= 0 && uint64(a.Int()) == b.Uint(), nil
	case a.CanUint() && b.CanInt():
		return b.Int() >= 0 && uint64(b.Int()) == a.Uint(), nil
	case a.CanFloat() && b.CanFloat():
		return a.Float() == b.Float(), nil
	case a.CanComplex() && b.CanComplex():
		return a.Complex() == b.Complex(), nil
	case a.Kind() == b.Kind() && a.Kind() == reflect.String:
		return a.String() == b.String(), nil
	case a.Kind() == b.Kind() && a.Kind() == reflect.Bool:
		return a.Bool() == b.Bool(), nil
	}
	return equalOthers(a, b)
}

// equalOthers compares values that are neither numbers nor texts, or are of two kinds.
func equalOthers(a, b reflect.Value) (bool, error) {
	switch {
	case isScalar(a) != isScalar(b) || isScalar(a):
		if !a.IsValid() || !b.IsValid() {
			return false, nil
		}
		return false, fmt.Errorf("incompatible types for comparison: %v and %v", a.Type(), b.Type())
	case (isNil(a) || isNil(b)) && (a.Kind() == b.Kind() || !a.IsValid() || !b.IsValid()):
		return isNil(a) == isNil(b), nil
	case a.Kind() == b.Kind() && b.Comparable():
		return a.Interface() == b.Interface(), nil
	}
	return false, fmt.Errorf("cannot compare a value of the type %v with one of the type %v", a.Type(), b.Type())
}

func isScalar(v reflect.Value) bool {
	return v.Kind() == reflect.String || v.Kind() >= reflect.Bool && v.Kind() <= reflect.Complex128
}

func isNil(v reflect.Value) bool {
	switch v.Kind() {
	case reflect.Invalid:
		return true
	case reflect.Chan, reflect.Func, reflect.Map, reflect.Pointer, reflect.Slice:
		return v.IsNil()
	}
	return false
}
