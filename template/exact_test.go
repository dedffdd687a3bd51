package template_test

import (
	"encoding/json"
	"strings"
	"testing"

	"render/template"
	"render/watch"
)

// A whole number of JSON is the same number in whatever prints or converts it, and other numbers are what they always were.
func TestNumbersAreExact(t *testing.T) {
	for _, n := range []string{
		"0", "1", "-1", "10000000", "9007199254740991", "9007199254740992", "9007199254740993", "-9007199254740993", "1234567890123456789",
		"9223372036854775807", "-9223372036854775808", "9223372036854775808", "18446744073709551615", "18446744073709551614",
	} {
		secret, _ := watch.NewSecret("s")
		known := answers{kv("n"): n, secret: &watch.Secret{Data: map[string]any{"n": json.Number(n), "l": []any{json.Number(n)}, "m": map[string]any{"k": json.Number(n)}}}}
		for _, c := range []string{
			`{{key "n" | parseJSON}}`, `{{(key "n" | printf "{\"a\": %s}" | parseJSON).a}}`, `{{key "n" | fromJson}}`, `{{key "n" | mustFromJson}}`,
			`{{key "n" | parseJSON | toJSON}}`, `{{key "n" | parseJSON | toUnescapedJSON}}`, `{{key "n" | fromJson | toJson}}`, `{{key "n" | parseJSON | toYAML}}`,
			`{{key "n" | parseJSON | print}}`, `{{key "n" | parseJSON | printf "%v"}}`, `{{key "n" | parseJSON | toString}}`,
			`{{with key "n" | printf "[%s]" | parseJSON}}{{index . 0}}{{end}}`, `{{range key "n" | printf "[%s]" | parseJSON}}{{.}}{{end}}`,
			`{{key "n" | parseJSON | list | join ","}}`,
			`{{(secret "s").Data.n}}`, `{{(secret "s").Data.n | toJSON}}`, `{{(secret "s").Data.n | toYAML}}`, `{{(secret "s").Data.n | sprig_toJson}}`,
			`{{(secret "s").Data.l | toYAML | trimPrefix "- "}}`, `{{(secret "s").Data.m | toYAML | trimPrefix "k: "}}`,
		} {
			if strings.Contains(c, "list | join") {
				c = strings.Replace(c, "join", "sprig_join", 1)
			}
			if got := output(t, c, known); got != n {
				t.Errorf("%s of %s gives %s", c, n, got)
			}
		}
	}
}

func TestNumbersOfJSON(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{`{{with parseJSON "{\"x\": 7, \"y\": 2.5, \"z\": 1e3, \"m\": -0}"}}{{gt .x 5.0}} {{eq .x 7.0}} {{.y}} {{.z}} {{.m}}{{end}}`, `true true 2.5 1000 -0`},
		{`{{parseJSON "123456789012345678901234567890"}} {{parseJSON "100000000000000000000"}}`, `123456789012345678901234567890 100000000000000000000`},
		{`{{add (parseJSON "9007199254740992") 1}} {{add 1 (parseJSON "9007199254740993")}} {{subtract 1 (parseJSON "-9007199254740992")}}`, `9007199254740993 9007199254740994 -9007199254740993`},
		{`{{multiply (parseJSON "3") (parseJSON "3002399751580331")}} {{multiply (parseJSON "2.5") 2}}`, `9007199254740993 5`},
		{`{{divide 2 (parseJSON "7")}} {{add (parseJSON "0.5") 1}} {{add (parseJSON "2") 0.5}}`, `3.5 1.5 2.5`},
		{`{{multiply (parseJSON "4000000000000000000") 4}}`, `16000000000000000000`},
		{`{{range sortBy "." (parseJSON "[9007199254740993, 9007199254740992, 3]")}}{{.}} {{end}}`, `3 9007199254740992 9007199254740993 `},
		{`{{uniq (parseJSON "[9007199254740993, 9007199254740992, 9007199254740993]") | len}}`, `2`},
		{`{{dict "a" (parseJSON "1234567890123456789") | toTOML}}`, `a = 1234567890123456789`},
		{`{{with parseJSON "[1]"}}{{index (list "a" "b") (index . 0 | int)}}{{end}}`, `b`},
	} {
		if got := output(t, c.text, nil); got != c.want {
			t.Errorf("%s\n got %s\nwant %s", c.text, got, c.want)
		}
	}
}

// Keys of YAML that are the same text are an error, whichever comes first.
func TestYAMLKeys(t *testing.T) {
	for _, text := range []string{"1: a\n\"1\": b\n", "true: a\n\"true\": b\n", "null: a\n\"null\": b\n", "a: {1.5: a, \"1.5\": b}"} {
		for range 20 {
			r := parse(t, `{{key "y" | parseYAML}}`).Execute(t.Context(), answers{kv("y"): text}.lookup)
			if r.Err == nil || r.Err.Error() != `t:1:13: parseYAML: two keys of a map become the same text, such as 1 and "1"` {
				t.Fatalf("%q: %v, %q", text, r.Err, r.Output)
			}
		}
	}
}

// A text may define what it likes: no name is that of a text.
func TestPartialDefinesNumber(t *testing.T) {
	for _, text := range []string{`{{define "1"}}one{{end}}`, `outside{{define "1"}}one{{end}}`, `{{define "1"}}one{{end}}{{define "2"}}two{{end}}`} {
		o := template.Options{Partials: []template.Partial{{Name: "p", Text: text}, {Name: "q", Text: "{{.nope.nope}}"}}}
		tmpl, err := template.Parse("t", `{{template "1"}}{{define "x"}}{{template "q" 1}}{{end}}`, o)
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		if r := tmpl.Execute(t.Context(), answers{}.lookup); string(r.Output) != "one" {
			t.Errorf("%s: %q, %v", text, r.Output, r.Err)
		}
	}
}

// What a function keeps for later does not change what it returns: more patterns and more arguments than are kept.
func TestKeptForLater(t *testing.T) {
	text := `{{range loop 5000}}{{if not (regexMatch (printf "^%d$" .) (print .))}}bad{{end}}{{keyExists (printf "k%d" .)}}{{end}}`
	tmpl := parse(t, text)
	for range 3 {
		r := tmpl.Execute(t.Context(), func(watch.Query) (any, bool) { return nil, true })
		if strings.Contains(string(r.Output), "bad") || len(r.Used) != 5000 {
			t.Errorf("%v, %d queries", r.Err, len(r.Used))
		}
	}
}
