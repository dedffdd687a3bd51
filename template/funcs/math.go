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
		func(a, b int64) int64 { return a + b }, func(a, b uint64) uint64 { return a + b }, func(a, b float64) float64 { return a + b }, addWhole}.of,
	"subtract": arithmetic{"subtract",
		func(a, b int64) int64 { return a - b }, func(a, b uint64) uint64 { return a - b }, func(a, b float64) float64 { return a - b }, subtractWhole}.of,
	"multiply": arithmetic{"multiply",
		func(a, b int64) int64 { return a * b }, func(a, b uint64) uint64 { return a * b }, func(a, b float64) float64 { return a * b }, multiplyWhole}.of,
	"divide": arithmetic{"divide",
		func(a, b int64) int64 { return a / b }, func(a, b uint64) uint64 { return a / b }, func(a, b float64) float64 { return a / b }, nil}.of,
	"modulo": arithmetic{"modulo",
		func(a, b int64) int64 { return a % b }, func(a, b uint64) uint64 { return a % b }, nil, nil}.of,
	"minimum": func(b, a any) (any, error) { return extreme("minimum", b, a, -1) },
	"maximum": func(b, a any) (any, error) { return extreme("maximum", b, a, +1) },
}

// An arithmetic is one operation on two whole numbers, two that have no sign, or two others. The last can be missing.
type arithmetic struct {
	name   string
	ints   func(a, b int64) int64
	uints  func(a, b uint64) uint64
	floats func(a, b float64) float64
	whole  func(a, b int64) (result int64, exact bool) // for whole numbers of JSON; nil where these count as floats
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
	if result, ok := o.wholeNumbers(a, b); ok {
		return result, nil
	}
	if a.CanFloat() || b.CanFloat() {
		if o.floats == nil {
			return nil, Wrap(o.name, errors.New("accepts only whole numbers"))
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

// wholeNumbers counts with two whole numbers of which one is of JSON, where the result is exact.
func (o arithmetic) wholeNumbers(a, b reflect.Value) (any, bool) {
	if a.Type() != numberType && b.Type() != numberType || o.whole == nil {
		return nil, false
	}
	x, isWhole := wholeOf(a)
	y, alsoWhole := wholeOf(b)
	if !isWhole || !alsoWhole {
		return nil, false
	}
	result, exact := o.whole(x, y)
	return wholeNumber(result), exact
}

// wholeOf returns the value of a whole number, where an int64 and, for a number of JSON, a float64 hold it exactly.
func wholeOf(v reflect.Value) (int64, bool) {
	switch {
	case v.CanInt():
		return v.Int(), true
	case v.CanUint():
		return int64(v.Uint()), v.Uint() <= math.MaxInt64
	case v.Type() == numberType && v.Float() == math.Trunc(v.Float()) && math.Abs(v.Float()) < 1<<62:
		return int64(v.Float()), !(v.Float() == 0 && math.Signbit(v.Float()))
	}
	return 0, false
}

func addWhole(a, b int64) (int64, bool) {
	sum := a + b
	return sum, (sum > a) == (b > 0)
}

func subtractWhole(a, b int64) (int64, bool) {
	difference := a - b
	return difference, (difference < a) == (b > 0)
}

func multiplyWhole(a, b int64) (int64, bool) {
	if a == 0 || b == 0 {
		return 0, true
	}
	product := a * b
	return product, product/b == a && !(a == -1 && b == math.MinInt64) && !(b == -1 && a == math.MinInt64)
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
	if x, isWhole := wholeOf(a); isWhole {
		if y, alsoWhole := wholeOf(b); alsoWhole {
			return cmp.Compare(x, y)
		}
	}
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
