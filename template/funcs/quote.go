package funcs

import (
	"errors"
	"fmt"
	"reflect"
	"strings"
	"unicode"
	"unicode/utf8"
)

// safeFuncs are the functions that make a value one token of a format, which its parser reads as that value again.
var safeFuncs = map[string]func(*Env) any{
	"haproxyQuote": quoter("haproxyQuote", haproxyQuote),
	"jsonQuote":    quoter("jsonQuote", doubleQuote),
	"nginxMapKey":  quoter("nginxMapKey", nginxMapKey),
	"nginxQuote":   quoter("nginxQuote", nginxQuote),
	"shellQuote":   quoter("shellQuote", shellQuote),
	"tomlQuote":    quoter("tomlQuote", doubleQuote),
	"yamlQuote":    quoter("yamlQuote", doubleQuote),
}

// quoter makes a function of a template from one that quotes a text. An error of quote must not repeat the text.
func quoter(name string, quote func(string) (string, error)) func(*Env) any {
	return func(e *Env) any {
		return func(v any) (string, error) {
			if k := reflect.ValueOf(v).Kind(); k != reflect.String && (k < reflect.Bool || k > reflect.Float64) {
				return "", Wrap(name, fmt.Errorf("accepts a text, a number or a bool, not a value of the type %T", v))
			}
			n, err := e.measured(measure{escape: true}, v)
			if err == nil {
				err = e.Make(n)
			}
			if err != nil {
				return "", Wrap(name, err)
			}
			token, err := quote(fmt.Sprint(v))
			if err != nil {
				return "", Wrap(name, err)
			}
			return token, nil
		}
	}
}

var errNUL = errors.New("the text contains a NUL byte, which a configuration file cannot have")

var errNginxLength = fmt.Errorf("the text is too long: nginx accepts %d bytes with quotes and escapes", maxNginxToken)

const maxNginxToken = 4096 // the buffer that nginx reads its configuration with

var nginxEscapes = strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`, "\r", `\r`, "\t", `\t`)

func nginxQuote(s string) (string, error) {
	token := `"` + nginxEscapes.Replace(s) + `"`
	switch {
	case strings.Contains(s, "\x00"):
		return "", errNUL
	case strings.Contains(s, "$"): // many directives expand it inside of quotes, too
		return "", errors.New("the text contains $, which begins a variable in nginx and cannot be escaped")
	case len(token) > maxNginxToken:
		return "", errNginxLength
	}
	return token, nil
}

// nginxMapKey quotes the first parameter of a line of a map block. There some words are directives, such as include and
// default, and a ~ begins a regular expression. A backslash before them makes them ordinary, and nginx drops it. nginx does not
// expand a $ there.
func nginxMapKey(s string) (string, error) {
	token := `"\\` + nginxEscapes.Replace(s) + `"`
	switch {
	case strings.Contains(s, "\x00"):
		return "", errNUL
	case len(token) > maxNginxToken:
		return "", errNginxLength
	}
	return token, nil
}

// In single quotes HAProxy takes all as it is, but a line cannot go on in the next. Escapes are for outside of quotes.
var haproxyEscapes = strings.NewReplacer(`'`, `'\''`, "\n", `'\n'`, "\r", `'\r'`)

func haproxyQuote(s string) (string, error) {
	switch {
	case s == "":
		return "", errors.New("the text is empty, which ends the line in HAProxy")
	case strings.Contains(s, "\x00"):
		return "", errNUL
	case strings.Contains(s, "%"): // %[env(NAME)] in the value of a header, for example; %% is two signs elsewhere
		return "", errors.New("the text contains %, which begins a variable in many places of HAProxy and has no escape that works in all of them")
	}
	return `'` + haproxyEscapes.Replace(s) + `'`, nil
}

func shellQuote(s string) (string, error) {
	if strings.Contains(s, "\x00") {
		return "", errNUL
	}
	return `'` + strings.ReplaceAll(s, `'`, `'\''`) + `'`, nil
}

// doubleQuote keeps to what JSON, YAML and TOML all read alike. They have no common escape for what is beyond \uffff,
// and none of them needs one there.
func doubleQuote(s string) (string, error) {
	if !utf8.ValidString(s) {
		return "", errors.New("the text is not valid UTF-8")
	}
	var b strings.Builder
	b.WriteByte('"')
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			b.WriteByte('\\')
			b.WriteRune(r)
		case r == '\n':
			b.WriteString(`\n`)
		case r > 0xffff || unicode.IsPrint(r):
			b.WriteRune(r)
		default:
			fmt.Fprintf(&b, `\u%04x`, r)
		}
	}
	b.WriteByte('"')
	return b.String(), nil
}
