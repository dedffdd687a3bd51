package funcs

import (
	"bytes"
	"crypto/hmac"
	"crypto/md5"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/BurntSushi/toml"
	"go.yaml.in/yaml/v2"
)

// convertFuncs are the functions of checksums and of time.
var convertFuncs = map[string]any{
	"hmacSHA256Hex": hmacSHA256Hex,
	"md5sum":        func(s string) string { sum := md5.Sum([]byte(s)); return hex.EncodeToString(sum[:]) },
	"sha256Hex":     func(s string) string { sum := sha256.Sum256([]byte(s)); return hex.EncodeToString(sum[:]) },
	"timestamp":     func(layout ...string) (string, error) { return timestamp(time.Now(), layout) },
}

// boundedConvertFuncs are the functions that turn a value into a text, or a text into a value.
var boundedConvertFuncs = map[string]func(*Env) any{
	"base64URLDecode":       func(e *Env) any { return e.base64Decoder("base64URLDecode", base64.URLEncoding) },
	"base64URLEncode":       func(e *Env) any { return e.made1("base64URLEncode", 2, encodeBase64(base64.URLEncoding)) },
	"parseJSON":             func(e *Env) any { return e.parseJSON },
	"parseYAML":             func(e *Env) any { return e.parseYAML },
	"toJSON":                jsonPrinter("toJSON", "", true),
	"toJSONPretty":          jsonPrinter("toJSONPretty", "  ", true),
	"toTOML":                func(e *Env) any { return e.toTOML },
	"toUnescapedJSON":       jsonPrinter("toUnescapedJSON", "", false),
	"toUnescapedJSONPretty": jsonPrinter("toUnescapedJSONPretty", "  ", false),
	"toYAML":                func(e *Env) any { return e.toYAML },
}

func jsonPrinter(name, indent string, escape bool) func(*Env) any {
	return func(e *Env) any {
		return func(v any) (string, error) { return e.toJSON(name, v, indent, escape) }
	}
}

func hmacSHA256Hex(message, key string) string {
	mac := hmac.New(sha256.New, []byte(key))
	mac.Write([]byte(message))
	return hex.EncodeToString(mac.Sum(nil))
}

// parseYAML reads YAML as consul-template does, but its maps have string keys. Keys that are the same as strings, such as 1
// and "1", are an error: which of them a map holds would depend on chance.
func (e *Env) parseYAML(s string) (any, error) {
	if s == "" {
		return map[string]any{}, nil
	}
	if err := e.Make(decodedYAML(s)); err != nil {
		return nil, Wrap("parseYAML", err)
	}
	var v any
	if err := yaml.Unmarshal([]byte(s), &v); err != nil {
		return nil, Wrap("parseYAML", withoutValues(err))
	}
	v, err := withStringKeys(v)
	return v, Wrap("parseYAML", err)
}

// decodedYAML returns about how many bytes of memory it takes to decode a text of YAML.
func decodedYAML(s string) int {
	return len(s) + times(strings.Count(s, "\n")+strings.Count(s, ",")+strings.Count(s, ":")+strings.Count(s, "["), 200) +
		times(strings.Count(s, "{"), 320)
}

var errSameKey = errors.New("two keys of a map become the same text, such as 1 and \"1\"")

func withStringKeys(v any) (any, error) {
	var err error
	switch v := v.(type) {
	case []any:
		for i := range v {
			if v[i], err = withStringKeys(v[i]); err != nil {
				return nil, err
			}
		}
	case map[any]any:
		m := make(map[string]any, len(v))
		for key, value := range v {
			if key == nil {
				key = "null"
			}
			name := fmt.Sprint(key)
			if _, found := m[name]; found {
				return nil, errSameKey
			}
			if m[name], err = withStringKeys(value); err != nil {
				return nil, err
			}
		}
		return m, nil
	}
	return v, nil
}

// MarshalYAML makes yaml print a whole number in full where it can.
func (n number) MarshalYAML() (any, error) {
	if f := float64(n); f == math.Trunc(f) && math.Abs(f) < 1<<63 {
		return int64(f), nil
	}
	return float64(n), nil
}

func (e *Env) toYAML(v any) (text string, err error) {
	defer func() { // yaml panics where it meets a channel or a function
		if recover() != nil {
			err = Wrap("toYAML", fmt.Errorf("a value of the type %T has parts that YAML cannot represent", v))
		}
	}()
	n, err := e.measured(measure{escape: true, pretty: true}, v)
	if err == nil {
		err = e.Make(n)
	}
	if err != nil {
		return "", Wrap("toYAML", err)
	}
	b, err := yaml.Marshal(withUnsigned(v))
	if err != nil {
		return "", Wrap("toYAML", withoutValues(err))
	}
	return string(bytes.TrimSpace(b)), nil
}

// withUnsigned returns a value of JSON with whole numbers that need 64 bits and have no sign as such: of texts of numbers, yaml knows those
// with a sign. A value without them is returned as it is.
func withUnsigned(v any) any {
	if !hasUnsigned(v) {
		return v
	}
	return replaceUnsigned(v)
}

func replaceUnsigned(v any) any {
	switch v := v.(type) {
	case json.Number:
		if n, is := unsigned(v); is {
			return n
		}
	case map[string]any:
		with := make(map[string]any, len(v))
		for key, value := range v {
			with[key] = replaceUnsigned(value)
		}
		return with
	case []any:
		with := make([]any, len(v))
		for i, value := range v {
			with[i] = replaceUnsigned(value)
		}
		return with
	}
	return v
}

func hasUnsigned(v any) bool {
	switch v := v.(type) {
	case json.Number:
		_, is := unsigned(v)
		return is
	case map[string]any:
		for _, value := range v {
			if hasUnsigned(value) {
				return true
			}
		}
	case []any:
		return slices.ContainsFunc(v, hasUnsigned)
	}
	return false
}

func unsigned(text json.Number) (n uint64, is bool) {
	n, err := strconv.ParseUint(text.String(), 10, 64)
	return n, err == nil && n > math.MaxInt64
}

func (e *Env) toTOML(v any) (string, error) {
	if v == nil {
		return "", Wrap("toTOML", errors.New("the value is missing"))
	}
	n, depth, err := e.measuredDepth(measure{escape: true, pretty: true, names: 8}, v)
	if err == nil {
		err = e.Make(times(n, depth+1)) // the name of a table has the names of all around it
	}
	if err != nil {
		return "", Wrap("toTOML", err)
	}
	var b bytes.Buffer
	if err := toml.NewEncoder(&b).Encode(v); err != nil {
		return "", Wrap("toTOML", withoutValues(err))
	}
	return string(bytes.TrimSpace(b.Bytes())), nil
}

// withoutValues cuts the message of a library before the first thing that it quotes: that can be a value.
func withoutValues(err error) error {
	msg := err.Error()
	if i := strings.IndexAny(msg, "'\"`[{(<"); i >= 0 {
		msg = msg[:i]
	}
	return errors.New(strings.TrimRight(msg, " :"))
}

// timestamp returns the time as RFC 3339, as seconds for "unix", or in a layout of package time.
func timestamp(now time.Time, layout []string) (string, error) {
	now = now.UTC()
	switch {
	case len(layout) > 1:
		return "", Wrap("timestamp", fmt.Errorf("accepts at most one argument, not %d", len(layout)))
	case len(layout) == 0:
		return now.Format(time.RFC3339), nil
	case layout[0] == "unix":
		return fmt.Sprint(now.Unix()), nil
	}
	return now.Format(layout[0]), nil
}
