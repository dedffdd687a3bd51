package funcs

import (
	"bytes"
	"crypto/hmac"
	"crypto/md5"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/BurntSushi/toml"
	"go.yaml.in/yaml/v2"
)

// convertFuncs are the functions that turn a value into a text, or a text into a value.
var convertFuncs = map[string]any{
	"base64URLDecode":       base64Decoder("base64URLDecode", base64.URLEncoding),
	"base64URLEncode":       func(s string) string { return base64.URLEncoding.EncodeToString([]byte(s)) },
	"hmacSHA256Hex":         hmacSHA256Hex,
	"md5sum":                func(s string) string { sum := md5.Sum([]byte(s)); return hex.EncodeToString(sum[:]) },
	"parseYAML":             parseYAML,
	"sha256Hex":             func(s string) string { sum := sha256.Sum256([]byte(s)); return hex.EncodeToString(sum[:]) },
	"timestamp":             func(layout ...string) (string, error) { return timestamp(time.Now(), layout) },
	"toTOML":                toTOML,
	"toUnescapedJSON":       func(v any) (string, error) { return toJSON("toUnescapedJSON", v, "", false) },
	"toUnescapedJSONPretty": func(v any) (string, error) { return toJSON("toUnescapedJSONPretty", v, "  ", false) },
	"toYAML":                toYAML,
}

func hmacSHA256Hex(message, key string) string {
	mac := hmac.New(sha256.New, []byte(key))
	mac.Write([]byte(message))
	return hex.EncodeToString(mac.Sum(nil))
}

// parseYAML reads YAML as consul-template does, but its maps have string keys.
func parseYAML(s string) (any, error) {
	if s == "" {
		return map[string]any{}, nil
	}
	var v any
	if err := yaml.Unmarshal([]byte(s), &v); err != nil {
		return nil, Wrap("parseYAML", withoutValues(err))
	}
	return withStringKeys(v), nil
}

func withStringKeys(v any) any {
	switch v := v.(type) {
	case []any:
		for i := range v {
			v[i] = withStringKeys(v[i])
		}
	case map[any]any:
		m := make(map[string]any, len(v))
		for key, value := range v {
			if key == nil {
				key = "null"
			}
			m[fmt.Sprint(key)] = withStringKeys(value)
		}
		return m
	}
	return v
}

// MarshalYAML makes yaml print a whole number in full where it can.
func (n number) MarshalYAML() (any, error) {
	if f := float64(n); f == math.Trunc(f) && math.Abs(f) < 1<<63 {
		return int64(f), nil
	}
	return float64(n), nil
}

func toYAML(v any) (text string, err error) {
	defer func() { // yaml panics where it meets a channel or a function
		if recover() != nil {
			err = Wrap("toYAML", fmt.Errorf("a %T has parts that YAML cannot hold", v))
		}
	}()
	b, err := yaml.Marshal(v)
	if err != nil {
		return "", Wrap("toYAML", withoutValues(err))
	}
	return string(bytes.TrimSpace(b)), nil
}

func toTOML(v any) (string, error) {
	if v == nil {
		return "", Wrap("toTOML", errors.New("there is no value"))
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
		return "", Wrap("timestamp", fmt.Errorf("takes one argument at most, not %d", len(layout)))
	case len(layout) == 0:
		return now.Format(time.RFC3339), nil
	case layout[0] == "unix":
		return fmt.Sprint(now.Unix()), nil
	}
	return now.Format(layout[0]), nil
}
