package funcs

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"reflect"
	"slices"
	"strings"

	"render/watch/hint"
)

// listFuncs are the functions that choose, order and group what is in a list. To add one, add a line here.
var listFuncs = map[string]func(*Env) any{
	"fail":       func(e *Env) any { return e.fail("fail") },
	"groupBy":    func(e *Env) any { return e.groupBy },
	"sortBy":     func(e *Env) any { return e.sortBy },
	"sprig_fail": func(e *Env) any { return e.fail("sprig_fail") },
	"uniq":       func(e *Env) any { return e.uniq },
	"where":      func(e *Env) any { return e.where },
}

// The functions below choose and order what is in a list by a field. A field is the name of a struct's field or the key of
// a map, a path of these such as ServiceMeta.zone, or "." for the element itself. They give a new list of the same type.

// where keeps the elements whose field has a value, or is a list that has it.
func (e *Env) where(field string, value, list any) (any, error) {
	items, fields, err := e.fields(field, list)
	if err == nil {
		_, err = e.measured(measure{}, value)
	}
	if err != nil {
		return nil, Wrap("where", err)
	}
	kept := reflect.MakeSlice(items.Type(), 0, 0)
	for i, f := range fields {
		if slices.ContainsFunc(elements(f), func(e reflect.Value) bool { return same(e, reflect.ValueOf(value)) }) {
			kept = reflect.Append(kept, items.Index(i))
		}
	}
	return kept.Interface(), nil
}

// sortBy sorts by a field; what has the same value stays in its order. Numbers stand before texts, and nothing before both.
func (e *Env) sortBy(field string, list any) (any, error) {
	items, fields, err := e.fields(field, list)
	if err != nil {
		return nil, Wrap("sortBy", err)
	}
	order, err := sortedIndexes(fields)
	if err != nil {
		return nil, Wrap("sortBy", err)
	}
	sorted := reflect.MakeSlice(items.Type(), 0, items.Len())
	for _, i := range order {
		sorted = reflect.Append(sorted, items.Index(i))
	}
	return sorted.Interface(), nil
}

// A group is what has one value of a field.
type group struct {
	Key   any
	Items any // a list of the type of the one that was grouped
}

// groupBy returns a group for each value of a field, sorted by the value. Where the field is a list, an element of the list
// that is grouped is in the group of each of its values.
func (e *Env) groupBy(field string, list any) ([]group, error) {
	items, fields, err := e.fields(field, list)
	if err != nil {
		return nil, Wrap("groupBy", err)
	}
	var keys []reflect.Value
	var owners []int
	for i, f := range fields {
		if f.Kind() == reflect.Slice {
			if err := e.Make(times(f.Len(), 64)); err != nil {
				return nil, Wrap("groupBy", err)
			}
		}
		for _, key := range elements(f) {
			keys, owners = append(keys, key), append(owners, i)
		}
	}
	order, err := sortedIndexes(keys)
	if err != nil {
		return nil, Wrap("groupBy", err)
	}
	groups := []group{}
	for n, i := range order {
		if n == 0 || compare(keys[order[n-1]], keys[i]) != 0 {
			g := group{Items: reflect.MakeSlice(items.Type(), 0, 1).Interface()}
			if keys[i].IsValid() {
				g.Key = keys[i].Interface()
			}
			groups = append(groups, g)
		}
		last := &groups[len(groups)-1]
		last.Items = reflect.Append(reflect.ValueOf(last.Items), items.Index(owners[i])).Interface()
	}
	return groups, nil
}

// uniq keeps the first of the elements that are equal, or have equal values in a field.
func (e *Env) uniq(args ...any) (any, error) {
	field, isText := ".", true
	if len(args) == 2 {
		field, isText = args[0].(string)
	}
	if len(args) < 1 || len(args) > 2 || !isText {
		return nil, Wrap("uniq", errors.New("needs a list, or the name of a field and a list"))
	}
	items, fields, err := e.fields(field, args[len(args)-1])
	if err != nil {
		return nil, Wrap("uniq", err)
	}
	kept := reflect.MakeSlice(items.Type(), 0, 0)
	scalars := make(map[any]bool)
	var others []reflect.Value
	for i, f := range fields {
		if s, ok := scalar(f); ok {
			if scalars[s] {
				continue
			}
			scalars[s] = true
		} else {
			if err := e.Stopped(); err != nil {
				return nil, Wrap("uniq", err)
			}
			if f.IsValid() {
				if _, err := e.measured(measure{}, f.Interface()); err != nil {
					return nil, Wrap("uniq", err)
				}
			}
			if slices.ContainsFunc(others, func(o reflect.Value) bool { return same(o, f) }) {
				continue
			}
			others = append(others, f)
		}
		kept = reflect.Append(kept, items.Index(i))
	}
	return kept.Interface(), nil
}

// listOf returns a list as a slice. Nothing is an empty list.
func listOf(list any) (reflect.Value, error) {
	v := reflect.ValueOf(list)
	switch v.Kind() {
	case reflect.Invalid:
		return reflect.ValueOf([]any{}), nil
	case reflect.Slice:
		return v, nil
	}
	return reflect.Value{}, fmt.Errorf("a %T is not a list", list)
}

// fields returns a list and the field of each of its elements. What an interface holds is returned, not the interface.
func (e *Env) fields(field string, list any) (items reflect.Value, fields []reflect.Value, err error) {
	items, err = listOf(list)
	if err != nil {
		return items, nil, err
	}
	if _, err := e.field(reflect.Zero(items.Type().Elem()), field); err != nil { // an empty list hides no misspelt name
		return items, nil, err
	}
	if err := e.Make(times(items.Len(), 48)); err != nil {
		return items, nil, err
	}
	for i := range items.Len() {
		f, err := e.field(items.Index(i), field)
		if err != nil {
			return items, nil, err
		}
		fields = append(fields, f)
	}
	return items, fields, nil
}

func (e *Env) field(v reflect.Value, path string) (reflect.Value, error) {
	for v.Kind() == reflect.Interface {
		v = v.Elem()
	}
	if path == "." || path == "" || !v.IsValid() {
		return v, nil
	}
	for v.Kind() == reflect.Pointer {
		if v.IsNil() {
			v = reflect.Zero(v.Type().Elem())
		} else {
			v = v.Elem()
		}
	}
	name, rest, _ := strings.Cut(path, ".")
	t := v.Type()
	switch {
	case t.Kind() == reflect.Struct:
		f, ok := t.FieldByName(name)
		if !ok || !f.IsExported() {
			return v, hint.With(fmt.Errorf("a %s has no field %s", t.Name(), e.Quote(name)), Suggestion(name, FieldsOf(t)))
		}
		return e.field(v.FieldByIndex(f.Index), rest)
	case t.Kind() == reflect.Map && t.Key().Kind() == reflect.String:
		if whole := v.MapIndex(reflect.ValueOf(path).Convert(t.Key())); whole.IsValid() { // a key can have dots
			return e.field(whole, "")
		}
		value := v.MapIndex(reflect.ValueOf(name).Convert(t.Key()))
		if value.IsValid() {
			return e.field(value, rest)
		}
		value = reflect.Zero(t.Elem())
		if value.Kind() == reflect.Struct {
			return e.field(value, rest)
		}
		return e.field(value, "")
	}
	return v, fmt.Errorf("a %s has no field %s", t, e.Quote(name))
}

// elements returns what is in a list, or the value itself if it is not a list.
func elements(v reflect.Value) []reflect.Value {
	if v.Kind() != reflect.Slice {
		return []reflect.Value{v}
	}
	var list []reflect.Value
	for i := range v.Len() {
		e := v.Index(i)
		if e.Kind() == reflect.Interface {
			e = e.Elem()
		}
		list = append(list, e)
	}
	return list
}

// scalar returns a text, a truth value or a number in a form that is == for what is equal.
func scalar(v reflect.Value) (any, bool) {
	switch {
	case v.Kind() == reflect.String:
		return v.String(), true
	case v.Kind() == reflect.Bool:
		return v.Bool(), true
	case v.CanInt():
		return v.Int(), true
	case v.CanUint() && v.Uint() > math.MaxInt64:
		return v.Uint(), true
	case v.CanUint():
		return int64(v.Uint()), true
	case v.CanFloat() && v.Float() == math.Trunc(v.Float()) && math.Abs(v.Float()) < 1<<63:
		return int64(v.Float()), true
	case v.CanFloat():
		return v.Float(), true
	}
	return nil, false
}

func same(a, b reflect.Value) bool {
	if !a.IsValid() || !b.IsValid() {
		return a.IsValid() == b.IsValid()
	}
	x, isScalar := scalar(a)
	y, alsoScalar := scalar(b)
	if isScalar && alsoScalar {
		return x == y
	}
	return reflect.DeepEqual(a.Interface(), b.Interface())
}

// sortedIndexes returns the order in which values are sorted.
func sortedIndexes(values []reflect.Value) ([]int, error) {
	order := make([]int, len(values))
	for i, v := range values {
		if rank(v) == unsortable {
			return nil, fmt.Errorf("values of the type %s cannot be sorted", v.Type())
		}
		order[i] = i
	}
	slices.SortStableFunc(order, func(i, j int) int { return compare(values[i], values[j]) })
	return order, nil
}

const unsortable = 4

func rank(v reflect.Value) int {
	switch {
	case !v.IsValid():
		return 0
	case v.Kind() == reflect.Bool:
		return 1
	case isNumber(v):
		return 2
	case v.Kind() == reflect.String:
		return 3
	}
	return unsortable
}

func compare(a, b reflect.Value) int {
	if c := cmp.Compare(rank(a), rank(b)); c != 0 {
		return c
	}
	switch rank(a) {
	case 1:
		return cmp.Compare(fmt.Sprint(a.Bool()), fmt.Sprint(b.Bool())) // false, true
	case 2:
		return compareNumbers(a, b)
	case 3:
		return strings.Compare(a.String(), b.String())
	}
	return 0
}

// FieldsOf returns the names of the fields of a struct that a template can read, sorted.
func FieldsOf(t reflect.Type) []string {
	var fields []string
	for f := range t.Fields() {
		if f.IsExported() {
			fields = append(fields, f.Name)
		}
	}
	slices.Sort(fields)
	return fields
}
