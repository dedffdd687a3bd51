package funcs

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"regexp"
	"regexp/syntax"
	"strconv"
	"strings"

	"golang.org/x/text/cases"
	"golang.org/x/text/language"
)

// textFuncs are the functions that need nothing but their arguments. To add one, add a line here.
var textFuncs = map[string]any{
	"base64Decode":    base64Decoder("base64Decode", base64.StdEncoding),
	"base64Encode":    func(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) },
	"contains":        func(needle, list any) (bool, error) { return in(list, needle) },
	"in":              in,
	"indent":          indent,
	"join":            func(sep string, list []string) string { return strings.Join(list, sep) },
	"parseBool":       orZero("parseBool", strconv.ParseBool),
	"parseFloat":      orZero("parseFloat", func(s string) (float64, error) { return strconv.ParseFloat(s, 64) }),
	"parseInt":        orZero("parseInt", func(s string) (int64, error) { return strconv.ParseInt(s, 10, 64) }),
	"parseJSON":       parseJSON,
	"parseUint":       orZero("parseUint", func(s string) (uint64, error) { return strconv.ParseUint(s, 10, 64) }),
	"regexMatch":      regexMatch,
	"regexReplaceAll": regexReplaceAll,
	"replaceAll":      func(from, to, s string) string { return strings.ReplaceAll(s, from, to) },
	"split":           split,
	"splitToMap":      splitToMap,
	"toJSON":          func(v any) (string, error) { return toJSON("toJSON", v, "", true) },
	"toJSONPretty":    func(v any) (string, error) { return toJSON("toJSONPretty", v, "  ", true) },
	"toLower":         strings.ToLower,
	"toTitle":         toTitle,
	"toUpper":         strings.ToUpper,
	"trim":            func(cutset, s string) string { return strings.Trim(s, cutset) },
	"trimPrefix":      func(prefix, s string) string { return strings.TrimPrefix(s, prefix) },
	"trimSpace":       strings.TrimSpace,
	"trimSuffix":      func(suffix, s string) string { return strings.TrimSuffix(s, suffix) },
}

func base64Decoder(name string, encoding *base64.Encoding) func(string) (string, error) {
	return func(s string) (string, error) {
		b, err := encoding.DecodeString(s)
		if err != nil {
			return "", Wrap(name, err)
		}
		return string(b), nil
	}
}

func split(sep, s string) []string {
	s = strings.TrimSpace(s)
	if s == "" {
		return []string{}
	}
	return strings.Split(s, sep)
}

// splitToMap returns a map of the items that have a key and a value. The last of a key counts.
func splitToMap(itemSep, valueSep, s string) map[string]string {
	m := make(map[string]string)
	for _, item := range strings.Split(s, itemSep) {
		if key, value, found := strings.Cut(item, valueSep); found {
			m[key] = value
		}
	}
	return m
}

// indent puts n blanks before each line that is not empty.
func indent(n int, s string) (string, error) {
	if n < 0 {
		return "", Wrap("indent", errors.New("the number of blanks is negative"))
	}
	lines := strings.Split(s, "\n")
	for i, line := range lines {
		if line != "" {
			lines[i] = strings.Repeat(" ", n) + line
		}
	}
	return strings.Join(lines, "\n"), nil
}

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

// number is a JSON number. It prints in full where a float64 would print 1e+07, and otherwise is a float64.
type number float64

func (n number) String() string { return strconv.FormatFloat(float64(n), 'f', -1, 64) }

func parseJSON(s string) (any, error) {
	if s == "" {
		return map[string]any{}, nil
	}
	var v any
	if err := json.Unmarshal([]byte(s), &v); err != nil {
		if _, ok := errors.AsType[*json.UnmarshalTypeError](err); ok { // its text repeats the number
			err = errors.New("a number is out of range")
		}
		return nil, Wrap("parseJSON", err)
	}
	return withNumbers(v), nil
}

func withNumbers(v any) any {
	switch v := v.(type) {
	case float64:
		return number(v)
	case []any:
		for i := range v {
			v[i] = withNumbers(v[i])
		}
	case map[string]any:
		for k := range v {
			v[k] = withNumbers(v[k])
		}
	}
	return v
}

func toJSON(name string, v any, indent string, escape bool) (string, error) {
	var out bytes.Buffer
	enc := json.NewEncoder(&out)
	enc.SetEscapeHTML(escape)
	enc.SetIndent("", indent)
	if err := enc.Encode(v); err != nil {
		return "", Wrap(name, err)
	}
	return strings.TrimSuffix(out.String(), "\n"), nil
}

func regexMatch(pattern, s string) (bool, error) {
	re, err := compile("regexMatch", pattern)
	if err != nil {
		return false, err
	}
	return re.MatchString(s), nil
}

func regexReplaceAll(pattern, replacement, s string) (string, error) {
	re, err := compile("regexReplaceAll", pattern)
	if err != nil {
		return "", err
	}
	return re.ReplaceAllString(s, replacement), nil
}

// compile compiles a pattern. Its errors do not repeat the pattern.
func compile(function, pattern string) (*regexp.Regexp, error) {
	re, err := regexp.Compile(pattern)
	if fault, ok := errors.AsType[*syntax.Error](err); ok {
		err = fmt.Errorf("the regular expression has a fault: %s", fault.Code)
	}
	return re, Wrap(function, err)
}
