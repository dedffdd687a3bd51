package template_test

import (
	"strings"
	"testing"

	"render/template"
)

func TestTrimBlocks(t *testing.T) {
	tests := []struct{ name, text, want string }{
		{"a block", "a\n{{if true}}\nb\n{{end}}\nc\n", "a\nb\nc\n"},
		{"else", "{{if false}}\na\n{{else}}\nb\n{{end}}\n", "b\n"},
		{"indented", "a {\n  {{range $x := split \",\" \"1,2\"}}\n  x {{$x}};\n  {{end}}\n}\n", "a {\n  x 1;\n  x 2;\n}\n"},
		{"several on a line", "{{if true}}{{if true}}\na\n{{end}} {{end}}\nb", "a\nb"},
		{"an assignment", "{{$x := 1}}\n{{$x}}\n", "1\n"},
		{"a comment", "a\n{{/* nothing */}}\nb\n", "a\nb\n"},
		{"a comment of two lines", "a\n{{/* no\nthing */}}\nb\n", "a\nb\n"},
		{"output", "a\n{{\"b\"}}\n{{if true}}{{\"c\"}}{{end}}\n", "a\nb\nc\n"},
		{"text", "a {{if true}}\nb {{end}}\n", "a \nb \n"},
		{"a template", "{{define \"x\"}}\nx\n{{end}}\n{{template \"x\"}}\nb\n", "x\n\nb\n"},
		{"at the end without a newline", "a\n{{if true}}\nb\n{{end}}", "a\nb\n"},
		{"nothing but a block", "{{if false}}{{end}}", ""},
		{"empty lines stay", "a\n\n{{if true}}\n\nb\n{{end}}\n\nc", "a\n\n\nb\n\nc"},
		{"trim markers", "a\n{{- if true}}\nb\n{{- end}}\nc", "a\nb\nc"},
		{"CRLF", "a\r\n{{if true}}\r\nb\r\n{{end}}\r\nc", "a\r\nb\r\nc"},
		{"no action", "a\n  \nb\n", "a\n  \nb\n"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			withDelimiters(func(o template.Options, in func(string) string) {
				o.TrimBlocks = true
				tmpl, err := template.Parse("t", in(test.text), o)
				if err != nil {
					t.Fatal(err)
				}
				if got := tmpl.Execute(t.Context(), nil); string(got.Output) != test.want || got.Err != nil {
					t.Errorf("got %q, %v; want %q", got.Output, got.Err, test.want)
				}
			})
		})
	}
}

func TestPartials(t *testing.T) {
	p := func(name, text string) template.Partial { return template.Partial{Name: "dir/" + name, Text: text} }
	tests := []struct {
		name     string
		text     string
		partials []template.Partial
		want     string
		err      string
	}{
		{name: "by define", text: `{{template "greet" "you"}}`, partials: []template.Partial{p("a", "{{define \"greet\"}}hello {{.}}{{end}}\n")}, want: "hello you"},
		{name: "by file name", text: `{{template "a.tmpl" "you"}}`, partials: []template.Partial{p("a.tmpl", "hello {{.}}")}, want: "hello you"},
		{name: "by executeTemplate", text: `{{executeTemplate "a.tmpl" "you" | toUpper}}`, partials: []template.Partial{p("a.tmpl", "hello {{.}}")}, want: "HELLO YOU"},
		{name: "from a partial", text: `{{template "a"}}`, partials: []template.Partial{p("a", `{{template "b"}}`), p("b", "b")}, want: "b"},
		{name: "twice", text: "", partials: []template.Partial{p("a", `{{define "x"}}1{{end}}`), p("b", `{{define "x"}}2{{end}}`)}, err: `dir/b:1:1: the template "x" is also defined in dir/a`},
		{name: "a fault in a partial", text: "", partials: []template.Partial{p("a", "\n{{nope}}")}, err: "dir/a:2:3: there is no function nope"},
		{name: "bad syntax in a partial", text: "", partials: []template.Partial{p("ok", ""), p("a", "\n{{if}}")}, err: "dir/a:2: missing value for if"},
		{name: "a failure in a partial", text: `{{template "a"}}`, partials: []template.Partial{p("a", "\n {{parseInt \"x\"}}")}, err: "dir/a:2:4: parseInt: invalid syntax"},
		{name: "a failure in executeTemplate", text: `{{executeTemplate "a"}}`, partials: []template.Partial{p("a", "\n {{parseInt \"x\"}}")}, err: "dir/a:2:4: parseInt: invalid syntax"},
		{name: "unknown", text: `{{executeTemplate "nope"}}`, err: `main:1:3: executeTemplate: there is no template "nope"`},
		{name: "too many values", text: `{{define "x"}}{{end}}{{executeTemplate "x" 1 2}}`, err: "at most one value, not 2"},
		{name: "without end", text: `{{define "x"}}{{executeTemplate "x"}}{{end}}{{executeTemplate "x"}}`, err: "call each other too deeply"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			withDelimiters(func(o template.Options, in func(string) string) {
				for _, partial := range test.partials {
					o.Partials = append(o.Partials, template.Partial{Name: partial.Name, Text: in(partial.Text)})
				}
				tmpl, err := template.Parse("main", in(test.text), o)
				var result template.Result
				if err == nil {
					result = tmpl.Execute(t.Context(), nil)
					err = result.Err
				}
				if test.err != "" {
					if err == nil || !strings.Contains(shown(err), test.err) {
						t.Errorf("got %v, want %q", err, test.err)
					}
					return
				}
				if err != nil || string(result.Output) != test.want {
					t.Errorf("got %q, %v; want %q", result.Output, err, test.want)
				}
			})
		})
	}
}
