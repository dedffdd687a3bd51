package funcs

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"time"
)

// ownSprig are functions of sprig that are written anew: they decode exactly, keep what they compiled, or stay within bounds.
// They return what sprig's return.
var ownSprig = map[string]func(*Env) any{
	"set": func(e *Env) any {
		return func(dict map[string]any, key string, value any) (map[string]any, error) {
			return dict, Wrap("set", e.put(dict, key, value))
		}
	},
	"fromJson": func(e *Env) any {
		return func(s string) any { v, _ := e.decodeJSON(s); return v }
	},
	"sprig_fromJson": func(e *Env) any {
		return func(s string) any { v, _ := e.decodeJSON(s); return withFloats(v) }
	},
	"mustFromJson": func(e *Env) any {
		return func(s string) (any, error) { v, err := e.decodeJSON(s); return v, Wrap("mustFromJson", err) }
	},
	"sprig_mustFromJson": func(e *Env) any {
		return func(s string) (any, error) {
			v, err := e.decodeJSON(s)
			return withFloats(v), Wrap("sprig_mustFromJson", err)
		}
	},
	"durationRound": func(*Env) any {
		return func(duration any) (string, error) {
			if _, isTime := duration.(time.Time); isTime {
				return "", Wrap("durationRound", errors.New("needs a duration, because the time since a date depends on the clock"))
			}
			return sprigFuncs["durationRound"].f.(func(any) string)(duration), nil
		}
	},
	"uniq": func(e *Env) any {
		return func(list any) ([]any, error) { return e.distinct("uniq", list) }
	},
	"mustUniq": func(e *Env) any {
		return func(list any) ([]any, error) { return e.distinct("mustUniq", list) }
	},

	"regexMatch": func(e *Env) any {
		return func(pattern, s string) bool { found, _ := e.matches(pattern, s); return found }
	},
	"mustRegexMatch": func(e *Env) any {
		return func(pattern, s string) (bool, error) {
			found, err := e.matches(pattern, s)
			return found, Wrap("mustRegexMatch", err)
		}
	},
	"regexFind":     func(e *Env) any { return e.regexFind },
	"mustRegexFind": func(e *Env) any { return e.regexFind },

	"regexFindAll":     func(e *Env) any { return e.regexFindAll },
	"mustRegexFindAll": func(e *Env) any { return e.regexFindAll },
	"regexSplit":       func(e *Env) any { return e.regexSplit },
	"mustRegexSplit":   func(e *Env) any { return e.regexSplit },

	"regexReplaceAll":            func(e *Env) any { return e.regexReplacer(false) },
	"mustRegexReplaceAll":        func(e *Env) any { return e.regexReplacer(false) },
	"regexReplaceAllLiteral":     func(e *Env) any { return e.regexReplacer(true) },
	"mustRegexReplaceAllLiteral": func(e *Env) any { return e.regexReplacer(true) },
}

// withFloats turns numbers into float64s, which print as consul-template prints them. What a float64 cannot hold stays.
func withFloats(v any) any {
	if _, text := v.(json.Number); text {
		return v
	}
	return (deep).of(v)
}

func (e *Env) regexFind(pattern, s string) (string, error) {
	p, err := e.compile(pattern, s)
	if err != nil {
		return "", Wrap("regexFind", err)
	}
	if p.work(s) < quickWork {
		return p.FindString(s), nil
	}
	found, err := aside(e, len(s), func(func() bool) string { return p.FindString(s) })
	return found, Wrap("regexFind", err)
}

func (e *Env) regexFindAll(pattern, s string, n int) ([]string, error) {
	list, err := e.allMatches(pattern, s, n, func(p *regexp.Regexp) []string { return p.FindAllString(s, n) })
	return list, Wrap("regexFindAll", err)
}

func (e *Env) regexSplit(pattern, s string, n int) ([]string, error) {
	list, err := e.allMatches(pattern, s, n, func(p *regexp.Regexp) []string { return p.Split(s, n) })
	return list, Wrap("regexSplit", err)
}

// allMatches returns the list that a function makes of at most n matches, or of all for a negative n.
func (e *Env) allMatches(pattern, s string, n int, list func(*regexp.Regexp) []string) ([]string, error) {
	p, err := e.compile(pattern, s)
	if err == nil {
		err = e.Make(times(mostMatches(s, n), 16))
	}
	if err != nil {
		return nil, err
	}
	if p.allWork(s) < quickWork {
		return list(p.Regexp), nil
	}
	if _, err := e.lookThrough(p, s, n, 0, 0); err != nil {
		return nil, err
	}
	return aside(e, len(s)+times(mostMatches(s, n), 16), func(func() bool) []string { return list(p.Regexp) })
}

// mostMatches returns how many matches a text can have where at most n are looked for, or all for a negative n.
func mostMatches(s string, n int) int {
	if n < 0 {
		return len(s) + 1
	}
	return min(n, len(s)+1)
}

func (e *Env) regexReplacer(literal bool) func(pattern, s, replacement string) (string, error) {
	return func(pattern, s, replacement string) (string, error) {
		text, err := e.replaceMatches(pattern, replacement, s, literal)
		return text, Wrap("regexReplaceAll", err)
	}
}

// distinct keeps the first of the elements that are equal.
func (e *Env) distinct(function string, list any) ([]any, error) {
	v := reflect.ValueOf(list)
	if v.Kind() != reflect.Slice && v.Kind() != reflect.Array {
		return nil, Wrap(function, fmt.Errorf("needs a list, not a value of the type %s", v.Kind()))
	}
	if err := e.canCopy(list); err != nil {
		return nil, Wrap(function, err)
	}
	scalars := make(map[any]bool)
	var others []any
	kept := []any{}
	for i := range v.Len() {
		item := v.Index(i).Interface()
		if k := reflect.ValueOf(item).Kind(); k == reflect.String || k >= reflect.Bool && k <= reflect.Complex128 || k == reflect.Invalid {
			if scalars[item] {
				continue
			}
			scalars[item] = true
		} else {
			if err := e.Stopped(); err != nil {
				return nil, Wrap(function, err)
			}
			if slices.ContainsFunc(others, func(o any) bool { return reflect.DeepEqual(o, item) }) {
				continue
			}
			others = append(others, item)
		}
		kept = append(kept, item)
	}
	return kept, nil
}

// A sizeOf says about how many bytes a function makes of its arguments, never less.
type sizeOf func(e *Env, args []any) (int, error)

// sprigSizes has the functions of sprig whose result can be much larger than their arguments, and those that walk through
// lists and maps.
var sprigSizes = func() map[string]sizeOf {
	m := map[string]sizeOf{
		"repeat":    func(_ *Env, a []any) (int, error) { return times(intOf(a[0]), lengthOf(a[1])), nil },
		"indent":    func(_ *Env, a []any) (int, error) { return indented(intOf(a[0]), textOf(a[1])), nil },
		"nindent":   func(_ *Env, a []any) (int, error) { return 1 + indented(intOf(a[0]), textOf(a[1])), nil },
		"replace":   func(_ *Env, a []any) (int, error) { return replaced(textOf(a[0]), textOf(a[1]), textOf(a[2])), nil },
		"wrap":      func(_ *Env, a []any) (int, error) { return times(lengthOf(a[1]), 3) + 16, nil },
		"wrapWith":  func(_ *Env, a []any) (int, error) { return times(lengthOf(a[2]), 2+lengthOf(a[1])), nil },
		"splitList": func(_ *Env, a []any) (int, error) { return pieces(textOf(a[0]), textOf(a[1])), nil },
		"split":     func(_ *Env, a []any) (int, error) { return 8 * pieces(textOf(a[0]), textOf(a[1])), nil },
		"splitn": func(_ *Env, a []any) (int, error) {
			return 8 * min(pieces(textOf(a[0]), textOf(a[2])), times(intOf(a[1]), 16)), nil
		},
		"toStrings": listSize(measure{names: 16}), "sortAlpha": listSize(measure{names: 16}),
		"until":     func(_ *Env, a []any) (int, error) { return steps(0, intOf(a[0]), 1), nil },
		"untilStep": func(_ *Env, a []any) (int, error) { return steps(intOf(a[0]), intOf(a[1]), intOf(a[2])), nil },
		"seq":       seqSize,
		"join": func(e *Env, a []any) (int, error) {
			n, err := e.measured(measure{names: 16}, a[1])
			if v := reflect.ValueOf(a[1]); v.Kind() == reflect.Slice || v.Kind() == reflect.Array {
				n += times(v.Len(), lengthOf(a[0]))
			}
			return n, err
		},
		"chunk":          func(_ *Env, a []any) (int, error) { return times(reflect.ValueOf(a[1]).Len(), 48), nil },
		"derivePassword": func(e *Env, _ []any) (int, error) { return 128, e.Stopped() },
		"decryptAES":     func(e *Env, a []any) (int, error) { return lengthOf(a[1]), e.Stopped() },
	}
	m["mustChunk"] = m["chunk"]
	for _, name := range strings.Fields("cat quote squote toString") {
		m[name] = listSize(measure{escape: true, names: 16})
	}
	for _, name := range strings.Fields("toJson mustToJson toRawJson mustToRawJson") {
		m[name] = listSize(measure{escape: true})
	}
	for _, name := range strings.Fields("toPrettyJson mustToPrettyJson") {
		m[name] = listSize(measure{escape: true, pretty: true})
	}
	for _, name := range strings.Fields(`deepCopy mustDeepCopy deepEqual merge mustMerge mergeOverwrite mustMergeOverwrite has mustHas
		without mustWithout compact mustCompact`) {
		m[name] = listSize(measure{names: 48})
	}
	for _, name := range strings.Fields(`add add1 add1f addf biggest ceil div divf float64 floor int int64 max maxf min minf mod mul mulf round
		sub subf toDecimal`) {
		m[name] = func(e *Env, a []any) (int, error) { return e.printedLists(a) }
	}
	m["slice"] = func(e *Env, a []any) (int, error) { return e.printedLists(a[1:]) }
	m["mustSlice"] = m["slice"]
	m["dict"] = func(e *Env, a []any) (int, error) {
		var keys []any
		for i := 0; i < len(a); i += 2 {
			keys = append(keys, a[i])
		}
		n, err := e.printedLists(keys)
		return n + times(len(keys), 64), err
	}
	return m
}()

// printedLists measures the lists and maps among the arguments of a function that takes numbers or texts: sprig prints what it
// cannot convert, if only for an error that nobody sees.
func (e *Env) printedLists(args []any) (int, error) {
	size := 0
	for _, arg := range args {
		switch reflect.ValueOf(arg).Kind() {
		case reflect.Slice, reflect.Map, reflect.Pointer, reflect.Struct, reflect.Array:
			n, err := e.measured(measure{escape: true, names: 48}, arg)
			if err != nil {
				return 0, err
			}
			size += n
		}
	}
	return size, nil
}

// listSize returns a sizeOf that measures all arguments.
func listSize(m measure) sizeOf {
	return func(e *Env, args []any) (int, error) {
		if err := e.Stopped(); err != nil {
			return 0, err
		}
		return e.measured(m, args...)
	}
}

// steps returns how many bytes a list of numbers has. Where a step leads nowhere sprig makes no list.
func steps(from, to, step int) int {
	const far = 1 << 40
	switch {
	case max(from, to, step) >= far || min(from, to, step) <= -far:
		return far // where sprig's own arithmetic overflows, too
	case step == 0 || from == to || (to > from) != (step > 0):
		if step == 1 && to < from { // until counts down
			return times(from-to, 8)
		}
		return 0
	case to > from:
		return times((to-from)/step+1, 8)
	}
	return times((from-to)/-step+1, 8)
}

func seqSize(_ *Env, args []any) (int, error) {
	n := make([]int, len(args))
	for i := range args {
		n[i] = intOf(args[i])
	}
	const digits = 4 // in bytes of a number beside 8 for the number itself, times 8
	switch len(n) {
	case 1:
		return digits * (steps(1, n[0], 1) + steps(1, n[0], -1) + 16), nil
	case 2:
		return digits * (steps(n[0], n[1], 1) + steps(n[0], n[1], -1) + 16), nil
	case 3:
		return digits * (steps(n[0], n[2], n[1]) + 16), nil
	}
	return 0, nil
}

func intOf(v any) int {
	if r := reflect.ValueOf(v); r.CanInt() {
		return int(min(max(r.Int(), -1<<40), 1<<40))
	}
	return 0
}

func textOf(v any) string {
	switch v := v.(type) {
	case string:
		return v
	case json.Number:
		return string(v)
	}
	return ""
}

func lengthOf(v any) int { return len(textOf(v)) }
