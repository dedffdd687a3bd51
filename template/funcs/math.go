package funcs

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"reflect"
)

// mathFuncs are the functions that count. In a pipe they read from left to right: {{10 | subtract 3}} is 7, so what comes
// last is the first operand.
var mathFuncs = map[string]any{
	"add": arithmetic{"add",
		func(a, b int64) int64 { return a + b }, func(a, b uint64) uint64 { return a + b }, func(a, b float64) float64 { return a + b }}.of,
	"subtract": arithmetic{"subtract",
		func(a, b int64) int64 { return a - b }, func(a, b uint64) uint64 { return a - b }, func(a, b float64) float64 { return a - b }}.of,
	"multiply": arithmetic{"multiply",
		func(a, b int64) int64 { return a * b }, func(a, b uint64) uint64 { return a * b }, func(a, b float64) float64 { return a * b }}.of,
	"divide": arithmetic{"divide",
		func(a, b int64) int64 { return a / b }, func(a, b uint64) uint64 { return a / b }, func(a, b float64) float64 { return a / b }}.of,
	"modulo": arithmetic{"modulo",
		func(a, b int64) int64 { return a % b }, func(a, b uint64) uint64 { return a % b }, nil}.of,
	"minimum": func(b, a any) (any, error) { return extreme("minimum", b, a, -1) },
	"maximum": func(b, a any) (any, error) { return extreme("maximum", b, a, +1) },
}

// An arithmetic is one operation on two whole numbers, two that have no sign, or two others. The last can be missing.
type arithmetic struct {
	name   string
	ints   func(a, b int64) int64
	uints  func(a, b uint64) uint64
	floats func(a, b float64) float64
}

// of counts with floats where one operand is a float, and with signs where one has a sign.
func (o arithmetic) of(second, first any) (any, error) {
	a, err := operand(first)
	if err != nil {
		return nil, Wrap(o.name, err)
	}
	b, err := operand(second)
	if err != nil {
		return nil, Wrap(o.name, err)
	}
	if a.CanFloat() || b.CanFloat() {
		if o.floats == nil {
			return nil, Wrap(o.name, errors.New("takes whole numbers only"))
		}
		result := o.floats(toFloat(a), toFloat(b))
		if a.Type() == numberType || b.Type() == numberType {
			return number(result), nil
		}
		return result, nil
	}
	if (o.name == "divide" || o.name == "modulo") && b.IsZero() {
		return nil, Wrap(o.name, errors.New("integer divide by zero"))
	}
	if a.CanUint() && b.CanUint() {
		return o.uints(a.Uint(), b.Uint()), nil
	}
	return o.ints(toInt(a), toInt(b)), nil
}

// extreme returns the operand that is further in a direction; its kind does not change.
func extreme(name string, second, first any, direction int) (any, error) {
	a, err := operand(first)
	if err != nil {
		return nil, Wrap(name, err)
	}
	b, err := operand(second)
	if err != nil {
		return nil, Wrap(name, err)
	}
	if compareNumbers(b, a) == direction {
		a = b
	}
	switch {
	case a.CanInt():
		return a.Int(), nil
	case a.CanUint():
		return a.Uint(), nil
	}
	return a.Interface(), nil
}

var numberType = reflect.TypeFor[number]()

func isNumber(v reflect.Value) bool { return v.CanInt() || v.CanUint() || v.CanFloat() }

func operand(v any) (reflect.Value, error) {
	if r := reflect.ValueOf(v); isNumber(r) {
		return r, nil
	}
	return reflect.Value{}, fmt.Errorf("a %T is not a number", v)
}

func toFloat(v reflect.Value) float64 {
	switch {
	case v.CanInt():
		return float64(v.Int())
	case v.CanUint():
		return float64(v.Uint())
	}
	return v.Float()
}

func toInt(v reflect.Value) int64 {
	if v.CanUint() {
		return int64(v.Uint())
	}
	return v.Int()
}

// compareNumbers orders numbers by their values, whatever their kinds, and NaN before all others.
func compareNumbers(a, b reflect.Value) int {
	switch {
	case a.CanFloat() || b.CanFloat():
		return cmp.Compare(toFloat(a), toFloat(b))
	case a.CanUint() && b.CanUint():
		return cmp.Compare(a.Uint(), b.Uint())
	case a.CanUint() && a.Uint() > math.MaxInt64:
		return +1
	case b.CanUint() && b.Uint() > math.MaxInt64:
		return -1
	}
	return cmp.Compare(toInt(a), toInt(b))
}
