package template_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"render/template"
	"render/watch"

	"render/watch/hint"
)

// fault returns what is wrong with a text, be it found by Parse or by Execute.
func fault(t *testing.T, name, text string, known answers) *template.Error {
	t.Helper()
	return faultWith(t, name, text, known, template.Options{Env: testEnv})
}

func faultWith(t *testing.T, name, text string, known answers, o template.Options) *template.Error {
	t.Helper()
	tmpl, err := template.Parse(name, text, o)
	if err == nil {
		r := tmpl.Execute(t.Context(), known.lookup)
		if err = r.Err; err == nil {
			t.Fatalf("%s\nno error; pending %v, absent %v, output %q", text, r.Pending, r.Absent, r.Output)
		}
		if r.Output != nil {
			t.Errorf("%s\nan error and the output %q", text, r.Output)
		}
	}
	e, ok := errors.AsType[*template.Error](err)
	if !ok {
		t.Fatalf("%s\n%T is not an *Error", text, err)
	}
	if e.Name != name {
		t.Errorf("%s\nthe name is %q", text, e.Name)
	}
	return e
}

// The messages as a person sees them: one line with the place, then the line of the template and a caret.
// shown returns an error with its hints on one line.
func shown(err error) string { return strings.ReplaceAll(hint.Text(err), "\nhint: ", "; hint: ") }

func TestErrorMessages(t *testing.T) {
	known := answers{
		service("web"):          []*watch.HealthService{{ID: "web-1"}},
		kv("k"):                 "value",
		query("node", "n9", ""): nil,
	}
	for _, c := range []struct{ name, file, text, want string }{
		{"misspelt function", "web.ctmpl", "{{ range servce \"web\" }}\n{{end}}",
			"web.ctmpl:1:10: there is no function servce\nhint: did you mean service?\n" +
				"{{ range servce \"web\" }}\n" +
				"         ^"},
		{"misspelt in case", "web.ctmpl", `{{ToJSON 1}}`,
			"web.ctmpl:1:3: there is no function ToJSON\nhint: did you mean toJSON?\n" +
				"{{ToJSON 1}}\n" +
				"  ^"},
		{"unknown function", "web.ctmpl", "a\n  {{ frobnicate }}\nb",
			"web.ctmpl:2:6: there is no function frobnicate\n" +
				"  {{ frobnicate }}\n" +
				"     ^"},
		{"unknown function inside define", "web.ctmpl", "{{define \"a\"}}\n{{keyy \"k\"}}\n{{end}}",
			"web.ctmpl:2:3: there is no function keyy\nhint: did you mean key?\n" +
				"{{keyy \"k\"}}\n" +
				"  ^"},
		{"action that is not closed", "web.ctmpl", "a\n{{key \"k\"\nb",
			"web.ctmpl:3: unclosed action started at line 2\n" +
				"b"},
		{"missing end", "web.ctmpl", "{{range services}}\nx\n",
			"web.ctmpl:1:1: unexpected EOF: the {{range}} in this line is not closed, {{end}} is missing\n" +
				"{{range services}}\n" +
				"^"},
		{"missing end of an inner block", "web.ctmpl", "{{range services}}\n  {{- with .Name -}} {{/* {{end}} */}}\n{{if .}}x{{else if 1}}y{{end}}\n{{end}}",
			"web.ctmpl:1:1: unexpected EOF: the {{range}} in this line is not closed, {{end}} is missing\n" +
				"{{range services}}\n" +
				"^"},
		{"misspelt end", "web.ctmpl", "a {{ define \"x\" }}\n{{ if key \"k\" }}b{{ ed }}\n{{ end }}\n",
			"web.ctmpl:1:3: unexpected EOF: the {{define}} in this line is not closed, {{end}} is missing\nhint: did you mean {{end}} in place of {{ed}} in line 2?\n" +
				"a {{ define \"x\" }}\n" +
				"  ^"},
		{"one end too many", "web.ctmpl", "x\n{{end}}",
			"web.ctmpl:2: unexpected {{end}}\n" +
				"{{end}}"},
		{"undefined variable", "web.ctmpl", "x {{$y}}",
			"web.ctmpl:1: undefined variable \"$y\"\n" +
				"x {{$y}}"},
		{"two templates of one name", "web.ctmpl", "{{define \"a\"}}1{{end}}\n{{define \"a\"}}2{{end}}",
			"web.ctmpl:2: multiple definition of template \"a\"\n" +
				"{{define \"a\"}}2{{end}}"},
		{"undefined template", "web.ctmpl", `{{template "nope" 1}}`,
			"web.ctmpl:1:12: template \"nope\" not defined\n" +
				"{{template \"nope\" 1}}\n" +
				"           ^"},
		{"too many arguments", "web.ctmpl", `{{key "a" "b"}}`,
			"web.ctmpl:1:3: key: needs one text, not 2\n" +
				"{{key \"a\" \"b\"}}\n" +
				"  ^"},
		{"too few arguments", "web.ctmpl", `{{"a" | keyOrDefault}}`,
			"web.ctmpl:1:9: keyOrDefault: needs a key and a default\n" +
				"{{\"a\" | keyOrDefault}}\n" +
				"        ^"},
		{"no argument", "web.ctmpl", `{{split}}`,
			"web.ctmpl:1:3: wrong number of args for split: want 2 got 0\n" +
				"{{split}}\n" +
				"  ^"},
		{"wrong type in the text", "web.ctmpl", `{{datacenters "true"}}`,
			"web.ctmpl:1:15: expected bool; found \"true\"\n" +
				"{{datacenters \"true\"}}\n" +
				"              ^"},
		{"wrong type of a value", "web.ctmpl", `{{join "," (key "k")}}`,
			"web.ctmpl:1:17: wrong type for value; expected []string; got string\n" +
				"{{join \",\" (key \"k\")}}\n" +
				"                ^"},
		{"tabs before the caret", "web.ctmpl", "{{range service \"web\"}}\n\t\tserver {{base64Decode \"?\"}}\n{{end}}",
			"web.ctmpl:2:12: base64Decode: illegal base64 data at input byte 0\n" +
				"\t\tserver {{base64Decode \"?\"}}\n" +
				"\t\t         ^"},
		{"UTF-8 before the caret", "web.ctmpl", `# größer als ½: {{base64Decode "?"}}`,
			"web.ctmpl:1:22: base64Decode: illegal base64 data at input byte 0\n" +
				"# größer als ½: {{base64Decode \"?\"}}\n" +
				"                  ^"},
		{"CR LF", "web.ctmpl", "a\r\n{{base64Decode \"?\"}}\r\nb\r\n",
			"web.ctmpl:2:3: base64Decode: illegal base64 data at input byte 0\n" +
				"{{base64Decode \"?\"}}\n" +
				"  ^"},
		{"last line", "web.ctmpl", "a\nb\n  {{base64Decode \"?\"}}",
			"web.ctmpl:3:5: base64Decode: illegal base64 data at input byte 0\n" +
				"  {{base64Decode \"?\"}}\n" +
				"    ^"},
		{"inside define", "web.ctmpl", "{{define \"a\"}}\n <{{key \"web@\"}}>{{end}}\n{{template \"a\"}}",
			"web.ctmpl:2:5: key: invalid format: \"web@\"\n" +
				" <{{key \"web@\"}}>{{end}}\n" +
				"    ^"},
		{"in a pipe", "web.ctmpl", `{{key "k" | toUpper | parseInt | printf "%d"}}`,
			"web.ctmpl:1:23: parseInt: invalid syntax\n" +
				"{{key \"k\" | toUpper | parseInt | printf \"%d\"}}\n" +
				"                      ^"},
		{"nested parentheses", "web.ctmpl", `{{toUpper (printf "%v" (parseBool (key "k")))}}`,
			"web.ctmpl:1:25: parseBool: invalid syntax\n" +
				"{{toUpper (printf \"%v\" (parseBool (key \"k\")))}}\n" +
				"                        ^"},
		{"unknown field", "web.ctmpl", `{{range service "web"}}{{.Adress}}{{end}}`,
			"web.ctmpl:1:26: a HealthService has no field Adress\nhint: did you mean Address? the fields are Address, Checks, ID, Name, Node, NodeAddress, NodeID, NodeMeta, NodeTaggedAddresses, Port, ServiceMeta, ServiceTaggedAddresses, Status, Tags, Weights\n" +
				"{{range service \"web\"}}{{.Adress}}{{end}}\n" +
				"                         ^"},
		{"node that does not exist", "web.ctmpl", `{{with node "n9"}}{{.Node.Address}}{{end}}`,
			"web.ctmpl:1:26: the Node whose field Address is read does not exist\nhint: put the field inside {{with VALUE}}\n" +
				"{{with node \"n9\"}}{{.Node.Address}}{{end}}\n" +
				"                         ^"},
		{"field of a secret that is not of KV version 2", "web.ctmpl", `{{with dict "Data" (dict "a" 1)}}{{.Data.data.user}}{{end}}`,
			"web.ctmpl:1:41: the value whose field user is read does not exist\n" +
				"hint: put the field inside {{with VALUE}}; only a secret of KV version 2 has its fields in .Data.data, any other in .Data\n" +
				"{{with dict \"Data\" (dict \"a\" 1)}}{{.Data.data.user}}{{end}}\n" +
				"                                        ^"},
		{"name with a hyphen", "web.ctmpl", `{{with node "n9"}}{{.db-name}}{{end}}`,
			"web.ctmpl:1: bad character U+002D '-'\nhint: read a field whose name has a - with {{index MAP \"NAME\"}}\n" +
				"{{with node \"n9\"}}{{.db-name}}{{end}}"},
		{"missing environment variable", "web.ctmpl", `{{mustEnv "DB_HOST"}}`,
			"web.ctmpl:1:3: mustEnv: required environment variable \"DB_HOST\" is empty\n" +
				"{{mustEnv \"DB_HOST\"}}\n" +
				"  ^"},
		{"long expression with many calls before it", "web.ctmpl", strings.Repeat(`{{keyOrDefault "k" ""}}`, 12) + "\n" + `{{toUpper (keyExists "k" "x")}}`,
			"web.ctmpl:2:12: keyExists: needs one text, not 2\n" +
				"{{toUpper (keyExists \"k\" \"x\")}}\n" +
				"           ^"},
		{"name with a percent sign", "50%d.ctmpl", `{{key "a" "b"}}`,
			"50%d.ctmpl:1:3: key: needs one text, not 2\n" +
				"{{key \"a\" \"b\"}}\n" +
				"  ^"},
		{"name with colons", "C:x:7: y", "{{$y}}",
			"C:x:7: y:1: undefined variable \"$y\"\n" +
				"{{$y}}"},
		{"no name", "", `{{key "a" "b"}}`,
			":1:3: key: needs one text, not 2\n" +
				"{{key \"a\" \"b\"}}\n" +
				"  ^"},
		{"recursion without end", "web.ctmpl", `{{define "a"}}{{template "a"}}{{end}}{{template "a"}}`,
			"web.ctmpl:1:26: templates call each other too deeply\nhint: check whether a template calls itself without end\n" +
				"{{define \"a\"}}{{template \"a\"}}{{end}}{{template \"a\"}}\n" +
				"                         ^"},
	} {
		t.Run(c.name, func(t *testing.T) {
			withDelimiters(func(o template.Options, in func(string) string) {
				e := faultWith(t, c.file, in(c.text), known, o)
				if got := hint.Text(e) + "\n" + e.Excerpt(); got != in(c.want) {
					t.Errorf("got\n%s\nwant\n%s", got, in(c.want))
				}
			})
		})
	}
}

// An Error without a place, or with one outside its line, has an excerpt all the same.
func TestExcerpt(t *testing.T) {
	for _, c := range []struct {
		name             string
		fault            template.Error
		message, excerpt string
	}{
		{"no line", template.Error{Name: "t", Msg: "m"}, "t: m", ""},
		{"no column", template.Error{Name: "t", Line: 3, Source: "text", Msg: "m"}, "t:3: m", "text"},
		{"column after the end", template.Error{Name: "t", Line: 3, Column: 5, Source: "text", Msg: "m"}, "t:3:5: m", "text\n    ^"},
		{"column far away", template.Error{Name: "t", Line: 3, Column: 9, Source: "text", Msg: "m"}, "t:3:9: m", "text"},
	} {
		if got := c.fault.Error(); got != c.message {
			t.Errorf("%s: got %q, want %q", c.name, got, c.message)
		}
		if got := c.fault.Excerpt(); got != c.excerpt {
			t.Errorf("%s: got %q, want %q", c.name, got, c.excerpt)
		}
	}
}

// What a function returned is in the chain of the error.
func TestErrorUnwraps(t *testing.T) {
	if e := fault(t, "t", `{{base64Decode "?"}}`, nil); e.Unwrap() == nil || e.Unwrap().Error() != "illegal base64 data at input byte 0" {
		t.Errorf("got %v", e.Unwrap())
	}
	if e := fault(t, "t", `{{`, nil); e.Unwrap() != nil {
		t.Errorf("got %v", e.Unwrap())
	}
}

// A value never appears in an error, whatever function it is given to, and neither does the mark of a call's site.
func TestErrorsHaveNoValues(t *testing.T) {
	const (
		word   = "c4narysecret"
		number = "424242424242"
	)
	// Each text is executed with each value of the key k; it has to fail with one of them at least.
	values := []string{
		word, word + " @ ? |", number, `{"` + word + `":` + number + `}`, `{"` + word + `":`, `["` + word + `",` + number + `]`,
		"(" + word, number + strings.Repeat("0", 400), "NaN",
	}
	for _, text := range []string{
		// our functions
		`{{service (key "k")}}`,
		`{{service "web" (key "k")}}`,
		`{{service (printf "web?%s=x" (key "k"))}}`,
		`{{service (printf "web?ns=%s|bogus" (key "k"))}}`,
		`{{services (key "k")}}`,
		`{{nodes "?ns=" (key "k")}}`,
		`{{node (key "k")}}`,
		`{{datacenters (key "k")}}`,
		`{{key (key "k")}}`,
		`{{keyExists (key "k")}}`,
		`{{keyOrDefault (key "k") (key "k")}}`,
		`{{key (printf "a?%s=b" (key "k"))}}`,
		`{{ls (key "k")}}`,
		`{{tree (key "k")}}`,
		`{{base64Decode (key "k")}}`,
		`{{parseBool (key "k")}}`,
		`{{parseInt (key "k")}}`,
		`{{parseUint (key "k")}}`,
		`{{parseFloat (key "k")}}`,
		`{{parseJSON (key "k")}}`,
		`{{regexMatch (key "k") "x"}}`,
		`{{regexReplaceAll (key "k") "x" "y"}}`,
		`{{toJSON (parseFloat (key "k"))}}`,
		`{{toJSONPretty (parseFloat (key "k"))}}`,
		`{{mustEnv (key "k")}}`,
		// values of a type that does not fit
		`{{join (key "k") (key "k")}}`,
		`{{toUpper (parseJSON (key "k"))}}`,
		`{{file (parseInt (key "k"))}}`,
		`{{(key "k").Field}}`,
		`{{(parseJSON (key "k")).a.b.c}}`,
		`{{range service "web"}}{{.Nope}}{{end}}`,
		`{{call (key "k")}}`,
		`{{len (parseInt (key "k"))}}`,
		`{{template "nope" (key "k")}}`,
		`{{key (key "k") (key "k")}}`,
		// messages of text/template that repeat a value
		`{{range key "k"}}{{end}}`,
		`{{range parseFloat (key "k")}}{{end}}`,
		`{{range $i, $n := parseInt (key "k")}}{{end}}`,
		`{{index (key "k") "a"}}`,
		`{{index (split "" "abc") (parseInt (key "k"))}}`,
		`{{slice "abc" (parseInt (key "k"))}}`,
		`{{slice (split "" "abc") 0 (parseInt (key "k"))}}`,
		`{{eq (key "k") 1}}`,
		`{{lt (key "k") 1.5}}`,
		`{{eq (parseJSON (key "k")) (parseJSON (key "k"))}}`,
		`{{eq (parseJSON (key "k")) 1}}`,
		`{{index (parseJSON (key "k")) "a" "b"}}`,
	} {
		t.Run(text, func(t *testing.T) {
			tmpl, failed := parse(t, text), false
			for _, value := range values {
				r := tmpl.Execute(t.Context(), func(q watch.Query) (any, bool) {
					switch q {
					case kv("k"):
						return value, true
					case service("web"):
						return []*watch.HealthService{{Node: word, ID: number}}, true
					}
					return nil, true
				})
				e, ok := errors.AsType[*template.Error](r.Err)
				if !ok {
					continue
				}
				failed = true
				said := fmt.Sprintf("%v\n%s\n%v\n%+v", e, e.Excerpt(), e.Err, *e)
				for _, secret := range []string{word, number, template.SiteMark} {
					if strings.Contains(said, secret) {
						t.Fatalf("with %.30q it says %q: %.200s", value, secret, said)
					}
				}
			}
			if !failed {
				t.Error("does not fail")
			}
		})
	}
}

// A message that nobody knows is shown only where all of its words stand in the template's text.
func TestUnknownMessage(t *testing.T) {
	tmpl := parse(t, "{{/* it went wrong */}}")
	for message, want := range map[string]string{
		"it went wrong":                                          "it went wrong",
		"it went wrong: hunter2":                                 "the template failed here; Go's message is not shown, because it may contain a value",
		"a new message with hunter2 in it":                       "the template failed here; Go's message is not shown, because it may contain a value",
		"error calling index: a new message with hunter2":        "the template failed here; Go's message is not shown, because it may contain a value",
		"error calling index: index of untyped nil":              "error calling index: index of untyped nil",
		"error calling index: reflect: slice index out of range": "error calling index: reflect: slice index out of range",
		"error calling index: index out of range: 31337":         "error calling index: index out of range: a value that is not in the template's text",
		"error calling len: len of type int":                     "error calling len: len of type int",
		"wrong number of args for upper: want 1 got 0":           "wrong number of args for upper: want 1 got 0",
		"error calling call: error calling f: found hunter2":     "the template failed here; Go's message is not shown, because it may contain a value",
	} {
		err := tmpl.ExecError(errors.New("template: :1:2: executing \"\" at <x>: " + message))
		if got := err.Error(); got != "t:1:3: "+want {
			t.Errorf("%s\n got %s\nwant %s", message, got, want)
		}
	}
}
