package template_test

import (
	"errors"
	"strings"
	"testing"

	"render/template"
	"render/watch"
)

const secretText = "c4nary"

// findNothing panics, at work on what nobody may see.
func findNothing(text string) string {
	var lists [][]string
	return lists[0][len(text)]
}

// R12: a panic in a pass is an error of its template, with a stack, and without what the pass worked on.
func TestPanic(t *testing.T) {
	find := func(text string) (string, error) { return findNothing(text), nil }
	each := func(text string) func(yield func(string) bool) {
		return func(yield func(string) bool) { yield(findNothing(text)) }
	}
	answers := func(watch.Query) (any, bool) { return secretText, true }
	for _, tt := range []struct {
		name, text string
		f          any
		place      string
	}{
		{"function", `{{toUpper (key "a")}}`, find, "page:1:3: "},
		{"after text", "a\nb {{key \"a\" | toUpper}}", find, "page:2:15: "},
		{"function with errors", `{{toUpper (key "a")}}`, func(text string) string { return findNothing(text) }, "page:1:3: "},
		{"variadic", `{{toUpper (key "a")}}`, func(text ...string) string { return findNothing(text[0]) }, "page:1:3: "},
		{"in executeTemplate", `{{define "x"}}{{toUpper .}}{{end}}{{executeTemplate "x" (key "a")}}`, find, "page:1:17: "},
		{"in a defined template", `{{define "x"}}{{toUpper .}}{{end}}{{template "x" (key "a")}}`, find, "page:1:17: "},
		{"of text/template", `{{range toUpper (key "a")}}{{.}}{{end}}`, each, "page: "},
		{"of text/template in executeTemplate", `{{define "x"}}{{range toUpper .}}{{.}}{{end}}{{end}}{{executeTemplate "x" (key "a")}}`, each, "page:1:55: "},
	} {
		t.Run(tt.name, func(t *testing.T) {
			page, err := template.Parse("page", tt.text, template.Options{})
			if err != nil {
				t.Fatal(err)
			}
			page.SetFunction("toUpper", tt.f)
			for range 2 {
				got := page.Execute(t.Context(), answers)
				fault, is := errors.AsType[*template.PanicError](got.Err)
				if !is {
					t.Fatalf("got %v", got.Err)
				}
				if stack := string(fault.Stack); !strings.Contains(stack, "findNothing") || strings.Contains(stack, secretText) {
					t.Errorf("the stack does not have the place, or has what nobody may see:\n%s", stack)
				}
				want := tt.place + "a bug in render: panic: runtime error: index out of range [0] with length 0; hint: report this bug with the stack that the log has"
				if shown(got.Err) != want || got.Output != nil || len(got.Used) != 1 {
					t.Errorf("got %q, %q, %v; want %q", got.Err, got.Output, got.Used, want)
				}
			}
			page.SetFunction("toUpper", func(text string) []string { return []string{text} })
			if got := page.Execute(t.Context(), answers); got.Err != nil || !strings.Contains(string(got.Output), secretText) {
				t.Errorf("when the fault is gone: %q, %v", got.Output, got.Err)
			}
		})
	}
}
