package funcs

import (
	"encoding/base64"
	"errors"
	"reflect"
	"strconv"
	"strings"

	"golang.org/x/text/cases"
	"golang.org/x/text/language"
)

// textFuncs are the functions of texts whose result is not much larger than their arguments.
var textFuncs = map[string]any{
	"parseBool":  orZero("parseBool", strconv.ParseBool),
	"parseFloat": orZero("parseFloat", func(s string) (float64, error) { return strconv.ParseFloat(s, 64) }),
	"parseInt":   orZero("parseInt", func(s string) (int64, error) { return strconv.ParseInt(s, 10, 64) }),
	"parseUint":  orZero("parseUint", func(s string) (uint64, error) { return strconv.ParseUint(s, 10, 64) }),
	"contains":   func(needle, list any) (bool, error) { return in(list, needle) },
	"in":         in,
	"trim":       func(cutset, s string) string { return strings.Trim(s, cutset) },
	"trimPrefix": func(prefix, s string) string { return strings.TrimPrefix(s, prefix) },
	"trimSpace":  strings.TrimSpace,
	"trimSuffix": func(suffix, s string) string { return strings.TrimSuffix(s, suffix) },
}

// boundedTextFuncs are those that make texts or lists.
var boundedTextFuncs = map[string]func(*Env) any{
	"base64Decode":    func(e *Env) any { return e.base64Decoder("base64Decode", base64.StdEncoding) },
	"base64Encode":    func(e *Env) any { return e.made1("base64Encode", 2, encodeBase64(base64.StdEncoding)) },
	"indent":          func(e *Env) any { return e.indent },
	"join":            func(e *Env) any { return e.join },
	"regexMatch":      func(e *Env) any { return e.regexMatch },
	"regexReplaceAll": func(e *Env) any { return e.regexReplaceAll },
	"replaceAll":      func(e *Env) any { return e.replaceAll },
	"split":           func(e *Env) any { return e.split },
	"splitToMap":      func(e *Env) any { return e.splitToMap },
	"toLower":         func(e *Env) any { return e.made1("toLower", 3, strings.ToLower) },
	"toTitle":         func(e *Env) any { return e.made1("toTitle", 3, toTitle) },
	"toUpper":         func(e *Env) any { return e.made1("toUpper", 3, strings.ToUpper) },
}

// made1 bounds a function whose result has at most factor times the bytes of its argument.
func (e *Env) made1(name string, factor int, f func(string) string) func(string) (string, error) {
	return func(s string) (string, error) {
		if err := e.Make(times(len(s)+8, factor)); err != nil {
			return "", Wrap(name, err)
		}
		return f(s), nil
	}
}

func encodeBase64(encoding *base64.Encoding) func(string) string {
	return func(s string) string { return encoding.EncodeToString([]byte(s)) }
}

func (e *Env) join(sep string, list []string) (string, error) {
	size := times(len(list), len(sep))
	for _, s := range list {
		size += len(s)
	}
	if err := e.Make(size); err != nil {
		return "", Wrap("join", err)
	}
	return strings.Join(list, sep), nil
}

func (e *Env) replaceAll(from, to, s string) (string, error) {
	if err := e.Make(replaced(from, to, s)); err != nil {
		return "", Wrap("replaceAll", err)
	}
	return strings.ReplaceAll(s, from, to), nil
}

// replaced returns how many bytes a text has at most once each of from in it is to.
func replaced(from, to, s string) int { return len(s) + times(strings.Count(s, from), len(to)) }

func (e *Env) base64Decoder(name string, encoding *base64.Encoding) func(string) (string, error) {
	return func(s string) (string, error) {
		if err := e.Make(len(s)); err != nil {
			return "", Wrap(name, err)
		}
		b, err := encoding.DecodeString(s)
		if err != nil {
			return "", Wrap(name, err)
		}
		return string(b), nil
	}
}

func (e *Env) split(sep, s string) ([]string, error) {
	s = strings.TrimSpace(s)
	if s == "" {
		return []string{}, nil
	}
	if err := e.Make(pieces(sep, s)); err != nil {
		return nil, Wrap("split", err)
	}
	return strings.Split(s, sep), nil
}

// pieces returns how many bytes the list has that a text is split to.
func pieces(sep, s string) int { return times(strings.Count(s, sep)+1, 16) }

// splitToMap returns a map of the items that have a key and a value. The last of a key counts.
func (e *Env) splitToMap(itemSep, valueSep, s string) (map[string]string, error) {
	if err := e.Make(5 * pieces(itemSep, s)); err != nil {
		return nil, Wrap("splitToMap", err)
	}
	m := make(map[string]string)
	for _, item := range strings.Split(s, itemSep) {
		if key, value, found := strings.Cut(item, valueSep); found {
			m[key] = value
		}
	}
	return m, nil
}

// indent puts n spaces before each line that is not empty.
func (e *Env) indent(n int, s string) (string, error) {
	if n < 0 {
		return "", Wrap("indent", errors.New("the number of spaces is negative"))
	}
	if err := e.Make(indented(n, s)); err != nil {
		return "", Wrap("indent", err)
	}
	lines := strings.Split(s, "\n")
	blanks := strings.Repeat(" ", n)
	for i, line := range lines {
		if line != "" {
			lines[i] = blanks + line
		}
	}
	return strings.Join(lines, "\n"), nil
}

// indented returns how many bytes it takes to indent a text.
func indented(n int, s string) int { return len(s) + times(strings.Count(s, "\n")+1, n+16) }

// toTitle makes the first letter of each word a title letter, by Unicode's rules, and leaves the rest as it is.
func toTitle(s string) string { return cases.Title(language.Und, cases.NoLower).String(s) }

// in reports whether a list has an element, or a string a part. Numbers are compared with numbers of their kind only.
func in(list, needle any) (bool, error) {
	v, n := reflect.ValueOf(list), reflect.ValueOf(needle)
	switch v.Kind() {
	case reflect.String:
		return n.Kind() == reflect.String && strings.Contains(v.String(), n.String()), nil
	case reflect.Slice, reflect.Array:
		for i := range v.Len() {
			if sameElement(v.Index(i), n) {
				return true, nil
			}
		}
	}
	return false, nil
}

func sameElement(e, needle reflect.Value) bool {
	if e.Kind() == reflect.Interface {
		e = e.Elem()
	}
	switch {
	case !e.IsValid() || !needle.IsValid():
		return false
	case e.CanInt() && needle.CanInt():
		return e.Int() == needle.Int()
	case e.CanUint() && needle.CanUint():
		return e.Uint() == needle.Uint()
	case e.CanFloat() && needle.CanFloat():
		return e.Float() == needle.Float()
	case e.Kind() == reflect.String && needle.Kind() == reflect.String:
		return e.Type() == needle.Type() && e.String() == needle.String()
	}
	return false
}

// orZero makes a parser give zero for an empty text, and errors that do not repeat the text: it may be a secret.
func orZero[T any](name string, parse func(string) (T, error)) func(string) (T, error) {
	return func(s string) (T, error) {
		var zero T
		if s == "" {
			return zero, nil
		}
		v, err := parse(s)
		if failed, ok := errors.AsType[*strconv.NumError](err); ok {
			err = failed.Err
		}
		return v, Wrap(name, err)
	}
}
