package funcs

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"regexp"
	"regexp/syntax"
	"slices"
	"strings"

	"github.com/Masterminds/sprig/v3"
)

// sprigFuncs are the functions of sprig, as sprig_NAME and, where neither Go nor we have the name, as NAME. See refused for
// those that are left out; fail is among passFuncs.
//
// They are wrapped when a text calls them (see bindCall): there are many, and few are called.
var sprigFuncs = func() map[string]sprigFunction {
	functions := sprig.HermeticTxtFuncMap()
	for _, name := range strings.Fields(unrepeatableSprig) {
		delete(functions, name)
	}
	delete(functions, "fail")
	correct(functions)
	table := make(map[string]sprigFunction, 2*len(functions))
	for name, f := range functions {
		table["sprig_"+name] = sprigFunction{f, conversions[name]}
		if !IsShadowed(name) {
			table[name] = sprigFunction{f, conversions[name]}
		}
	}
	return table
}()

// A sprigFunction is a function as sprig has it.
type sprigFunction struct {
	f       any
	numbers conversion
}

// notBare are the names that mean another function without the prefix.
var notBare = strings.Fields("add contains indent join regexMatch regexReplaceAll slice split trim trimPrefix trimSuffix uniq")

// correct replaces functions whose result depends on chance, that change an answer, or that can make a map hold itself.
func correct(functions map[string]any) {
	functions["keys"] = func(dicts ...map[string]any) []string {
		keys := []string{}
		for _, dict := range dicts {
			keys = slices.AppendSeq(keys, slices.Values(slices.Sorted(maps.Keys(dict))))
		}
		return keys
	}
	functions["values"] = sortedValues
	functions["set"] = func(dict map[string]any, key string, value any) (map[string]any, error) {
		return dict, put(dict, key, value)
	}
	sortAlpha := functions["sortAlpha"].(func(any) []string)
	functions["sortAlpha"] = func(list any) []string {
		if texts, ok := list.([]string); ok {
			list = slices.Clone(texts)
		}
		return sortAlpha(list)
	}
	for _, name := range []string{"merge", "mergeOverwrite"} {
		merge := functions[name].(func(map[string]any, ...map[string]any) any)
		functions[name] = func(dst map[string]any, srcs ...map[string]any) any { return merge(dst, copies(srcs)...) }
	}
	for _, name := range []string{"mustMerge", "mustMergeOverwrite"} {
		merge := functions[name].(func(map[string]any, ...map[string]any) (any, error))
		functions[name] = func(dst map[string]any, srcs ...map[string]any) (any, error) { return merge(dst, copies(srcs)...) }
	}
}

func copies(list []map[string]any) []map[string]any {
	list = slices.Clone(list)
	for i := range list {
		list[i] = deepCopy(list[i])
	}
	return list
}

// A conversion says what becomes of numbers from JSON before sprig sees them. Most functions take them as they are: they
// only hand them on or print them.
type conversion int

const (
	asIs    conversion = iota
	floats             // an argument becomes a float64
	deep               // and so does what is in lists and maps
	andBack            // and the elements of the result become numbers again
)

var conversions = func() map[string]conversion {
	m := map[string]conversion{"without": andBack, "mustWithout": andBack}
	for _, name := range strings.Fields("deepEqual has mustHas") {
		m[name] = deep
	}
	for _, name := range strings.Fields(`add add1 add1f addf biggest ceil div divf duration float64 floor int int64 kindIs kindOf
		max maxf min minf mod mul mulf mustSlice round slice sub subf typeIs typeIsLike typeOf`) {
		m[name] = floats
	}
	return m
}()

func (c conversion) of(v any) any {
	if n, ok := v.(number); ok {
		return float64(n)
	}
	if c < deep {
		return v
	}
	switch v := v.(type) {
	case []any:
		v = slices.Clone(v)
		for i := range v {
			v[i] = c.of(v[i])
		}
		return v
	case map[string]any:
		v = maps.Clone(v)
		for key := range v {
			v[key] = c.of(v[key])
		}
		return v
	}
	return v
}

var anyType = reflect.TypeFor[any]()

// argument converts one argument, or the rest of them, for a parameter of type any.
func (c conversion) argument(arg reflect.Value) reflect.Value {
	switch {
	case c == asIs:
	case arg.Type() == anyType && !arg.IsNil():
		return reflect.ValueOf(c.of(arg.Interface()))
	case arg.Type() == reflect.SliceOf(anyType):
		rest := slices.Clone(arg.Interface().([]any))
		for i := range rest {
			rest[i] = c.of(rest[i])
		}
		return reflect.ValueOf(rest)
	}
	return arg
}

// wrapped returns a function that fails with an error where sprig panics, and with a text without values.
func (s sprigFunction) wrapped(name string) any {
	c, function := s.numbers, reflect.ValueOf(s.f)
	t := function.Type()
	var in []reflect.Type
	for i := range t.NumIn() {
		in = append(in, t.In(i))
	}
	call := function.Call
	if t.IsVariadic() {
		call = function.CallSlice
	}
	fail := func(reason any) []reflect.Value {
		err := Wrap(name, sprigError(reason))
		return []reflect.Value{reflect.Zero(t.Out(0)), reflect.ValueOf(err).Convert(reflect.TypeFor[error]())}
	}
	return reflect.MakeFunc(
		reflect.FuncOf(in, []reflect.Type{t.Out(0), reflect.TypeFor[error]()}, t.IsVariadic()),
		func(args []reflect.Value) (results []reflect.Value) {
			defer func() {
				if reason := recover(); reason != nil {
					results = fail(reason)
				}
			}()
			for i := range args {
				args[i] = c.argument(args[i])
			}
			results = call(args)
			if len(results) == 2 && !results[1].IsNil() {
				return fail(results[1].Interface())
			}
			if list, ok := results[0].Interface().([]any); ok && c == andBack {
				results[0] = reflect.ValueOf(withNumbers(list))
			}
			return []reflect.Value{results[0], reflect.Zero(reflect.TypeFor[error]())}
		}).Interface()
}

var wrongKind = regexp.MustCompile(`^Cannot (\w+ )+type \w+( as list)?$|^list should be type of slice or array but \w+$`)

// sprigError returns the reason of an error or a panic of sprig, as far as it has no value.
func sprigError(reason any) error {
	msg := fmt.Sprint(reason)
	if err, ok := reason.(error); ok {
		if errors.Is(err, errSelf) {
			return err
		}
		if fault, ok := errors.AsType[*syntax.Error](err); ok {
			return fmt.Errorf("the regular expression has a fault: %s", fault.Code)
		}
		if fault, ok := errors.AsType[*json.SyntaxError](err); ok {
			return fault
		}
		if fault, ok := errors.AsType[base64.CorruptInputError](err); ok {
			return fault
		}
	}
	if wrongKind.MatchString(msg) {
		return errors.New(strings.ToLower(msg[:1]) + msg[1:])
	}
	return errors.New("it cannot take these arguments")
}

// fail ends the execution with a message. Words that are not in the template's text come from an answer and are left out.
func (e *Env) fail(name string) func(string) (string, error) {
	return func(message string) (string, error) {
		words := strings.Fields(message)
		for i, word := range words {
			if !e.InText(word) {
				words[i] = "…"
			}
		}
		return "", Wrap(name, errors.New(strings.Join(words, " ")))
	}
}
