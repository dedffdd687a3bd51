package funcs

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

// number is a number of JSON that a float64 holds, or that is a fraction. It prints in full where a float64 would
// print 1e+07, and otherwise is a float64. A whole number that a float64 would change is an int64, a uint64 or, beyond these,
// a json.Number.
type number float64

func (n number) String() string { return strconv.FormatFloat(float64(n), 'f', -1, 64) }

func (e *Env) parseJSON(s string) (any, error) {
	if s == "" {
		return map[string]any{}, nil
	}
	v, err := e.decodeJSON(s)
	return v, Wrap("parseJSON", err)
}

// decodeJSON decodes one value. Its errors do not repeat the text.
func (e *Env) decodeJSON(s string) (any, error) {
	if err := e.Make(decodedJSON(s)); err != nil {
		return nil, err
	}
	decoder := json.NewDecoder(strings.NewReader(s))
	decoder.UseNumber()
	var v any
	err := decoder.Decode(&v)
	if err != nil || strings.TrimLeft(s[decoder.InputOffset():], " \t\r\n") != "" {
		var whole json.RawMessage
		return nil, jsonError(json.Unmarshal([]byte(s), &whole)) // it says more of what is wrong
	}
	return withNumbers(v)
}

// decodedJSON returns about how many bytes of memory a text of JSON takes as a value.
func decodedJSON(s string) int {
	return len(s) + times(strings.Count(s, "{"), 320) + times(strings.Count(s, "["), 24) + times(strings.Count(s, ","), 40)
}

var wrongCharacter = regexp.MustCompile(`^invalid character '.*?' (after|looking|in) `)

// jsonError says what is wrong with a text of JSON, without its characters.
func jsonError(err error) error {
	fault, ok := errors.AsType[*json.SyntaxError](err)
	if !ok {
		return errors.New("the text is not valid JSON")
	}
	if m := wrongCharacter.FindStringSubmatchIndex(fault.Error()); m != nil {
		return fmt.Errorf("invalid character at byte %d %s", fault.Offset, fault.Error()[m[2]:])
	}
	if strings.ContainsRune(fault.Error(), '\'') {
		return errors.New("the text is not valid JSON")
	}
	return fault
}

var errRange = errors.New("a number is out of range")

// withNumbers turns the numbers of a value into those of templates.
func withNumbers(v any) (any, error) {
	var err error
	switch v := v.(type) {
	case float64:
		return number(v), nil
	case json.Number:
		return newNumber(string(v))
	case []any:
		for i := range v {
			if v[i], err = withNumbers(v[i]); err != nil {
				return nil, err
			}
		}
	case map[string]any:
		for k := range v {
			if v[k], err = withNumbers(v[k]); err != nil {
				return nil, err
			}
		}
	}
	return v, nil
}

func newNumber(text string) (any, error) {
	f, err := strconv.ParseFloat(text, 64)
	if err != nil {
		return nil, errRange
	}
	if strings.ContainsAny(text, ".eE") || number(f).String() == text {
		return number(f), nil
	}
	if i, err := strconv.ParseInt(text, 10, 64); err == nil {
		return i, nil
	}
	if u, err := strconv.ParseUint(text, 10, 64); err == nil {
		return u, nil
	}
	return json.Number(text), nil
}

// wholeNumber returns a number, or an int64 where a float64 would print as another one.
func wholeNumber(i int64) any {
	if f := number(i); f.String() == strconv.FormatInt(i, 10) {
		return f
	}
	return i
}

func (e *Env) toJSON(name string, v any, indent string, escape bool) (string, error) {
	n, err := e.measured(measure{escape: true, pretty: indent != ""}, v)
	if err == nil {
		err = e.Make(n)
	}
	if err != nil {
		return "", Wrap(name, err)
	}
	var out bytes.Buffer
	enc := json.NewEncoder(&out)
	enc.SetEscapeHTML(escape)
	enc.SetIndent("", indent)
	if err := enc.Encode(v); err != nil {
		return "", Wrap(name, err)
	}
	return strings.TrimSuffix(out.String(), "\n"), nil
}
