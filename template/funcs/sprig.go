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

// bind returns the function for the templates of an Env: it has bounds, fails with an error where sprig panics, and its errors
// have no values.
func (s sprigFunction) bind(name string, e *Env) any {
	bare := strings.TrimPrefix(name, "sprig_")
	f := s.f
	for _, n := range []string{bare, name} { // the name with the prefix can have one of its own
		if own, ok := ownSprig[n]; ok {
			f = own(e)
		}
	}
	size, sized := sprigSizes[bare]

	if !sized && s.numbers == asIs {
		if f := e.bindText(name, f); f != nil {
			return f
		}
	}
	return s.numbers.wrap(name, f, e, size)
}

// bindText binds the functions of the most common types, which need no reflection. It returns nil for others.
func (e *Env) bindText(name string, f any) any {
	switch f := f.(type) {
	case func(string) string:
		return func(s string) (text string, err error) {
			defer e.catch(name, &err)
			if text = f(s); len(text) > len(s) {
				err = Wrap(name, e.Make(len(text)))
			}
			return text, err
		}
	case func(string, string) string:
		return func(a, b string) (text string, err error) {
			defer e.catch(name, &err)
			if text = f(a, b); len(text) > len(a)+len(b) {
				err = Wrap(name, e.Make(len(text)))
			}
			return text, err
		}
	case func(string, string) bool:
		return f
	case func(string) bool:
		return f
	}
	return nil
}

// catch turns a panic into an error. It is called by defer.
func (e *Env) catch(name string, err *error) {
	if reason := recover(); reason != nil {
		*err = Wrap(name, sprigError(reason))
	}
}

// wrap wraps a function of any type. Where size is not nil, it says how large a result the arguments make.
func (c conversion) wrap(name string, f any, e *Env, size sizeOf) any {
	function := reflect.ValueOf(f)
	t := function.Type()
	var in []reflect.Type
	for i := range t.NumIn() {
		in = append(in, t.In(i))
	}
	call := function.Call
	if t.IsVariadic() {
		call = function.CallSlice
	}
	errorType := reflect.TypeFor[error]()
	fail := func(err error) []reflect.Value {
		return []reflect.Value{reflect.Zero(t.Out(0)), reflect.ValueOf(Wrap(name, err)).Convert(errorType)}
	}

	return reflect.MakeFunc(
		reflect.FuncOf(in, []reflect.Type{t.Out(0), errorType}, t.IsVariadic()),
		func(args []reflect.Value) (results []reflect.Value) {
			defer func() {
				if reason := recover(); reason != nil {
					results = fail(sprigError(reason))
				}
			}()
			if size != nil {
				n, err := size(e, flat(args, t.IsVariadic()))
				if err == nil {
					err = e.Make(n)
				}
				if err != nil {
					return fail(err)
				}
			}
			for i := range args {
				args[i] = c.argument(args[i])
			}
			results = call(args)
			if len(results) == 2 && !results[1].IsNil() {
				return fail(sprigError(results[1].Interface()))
			}
			if size == nil {
				if err := e.Make(shallow(results[0])); err != nil {
					return fail(err)
				}
			}
			if list, ok := results[0].Interface().([]any); ok && c == andBack {
				_, _ = withNumbers(list)
			}
			return []reflect.Value{results[0], reflect.Zero(errorType)}
		}).Interface()
}

// flat returns arguments as values, those of a variadic function one by one.
func flat(args []reflect.Value, variadic bool) []any {
	var values []any
	for i, arg := range args {
		if variadic && i == len(args)-1 {
			for j := range arg.Len() {
				values = append(values, arg.Index(j).Interface())
			}
			break
		}
		values = append(values, arg.Interface())
	}
	return values
}

// shallow returns how many bytes a text or a list has, without what is in the list.
func shallow(v reflect.Value) int {
	if v.Kind() == reflect.Interface {
		v = v.Elem()
	}
	switch v.Kind() {
	case reflect.String:
		return v.Len()
	case reflect.Slice:
		return times(v.Len(), 16)
	case reflect.Map:
		return times(v.Len(), 64)
	}
	return 0
}

var wrongKind = regexp.MustCompile(`^Cannot (\w+ )+type \w+( as list)?$|^list should be type of slice or array but \w+$`)

// sprigError returns the reason of an error or a panic of sprig, as far as it has no value.
func sprigError(reason any) error {
	msg := fmt.Sprint(reason)
	if err, ok := reason.(error); ok {
		if own, ok := errors.AsType[*Error](err); ok {
			return own.Err
		}
		if fault, ok := errors.AsType[*syntax.Error](err); ok {
			return fmt.Errorf("invalid regular expression: %s", fault.Code)
		}
		if _, ok := errors.AsType[*json.SyntaxError](err); ok {
			return jsonError(err)
		}
		if fault, ok := errors.AsType[base64.CorruptInputError](err); ok {
			return fault
		}
	}
	if wrongKind.MatchString(msg) {
		return errors.New(strings.ToLower(msg[:1]) + msg[1:])
	}
	return errors.New("the arguments are not accepted")
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
