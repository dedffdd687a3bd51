package template_test

import (
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"render/template"
	"render/watch"
)

func TestPlugin(t *testing.T) {
	tests := []struct{ text, want, err string }{
		{`[{{plugin "echo" "a b" "" "  c  "}}]`, "[a b c]", ""},
		{`{{plugin "printf" " \\n x \\n"}}`, "x", ""},
		{`[{{plugin ""}}]`, "[]", ""},
		{`{{plugin "sh" "-c" "echo out; echo oops >&2; exit 3"}}`, "", `1:3: plugin: "sh": exit status 3: oops`},
		{`{{plugin "sh" "-c" "echo $0 >&2; exit 3" (printf "%s%s" "se" "cret")}}`, "", `exit status 3: what it said is left out`},
		{`{{plugin "/no/such/program"}}`, "", "no such file"},
		{`{{$x := plugin "echo" "{\"a\": 1}" | parseJSON}}{{$x.a}}`, "1", ""},
		{`{{index (plugin "echo" "a,b" | split ",") 1}}`, "b", ""},
	}
	for _, test := range tests {
		t.Run(test.text, func(t *testing.T) {
			tmpl, err := template.Parse("t", test.text, template.Options{})
			if err != nil {
				t.Fatal(err)
			}
			result := tmpl.Execute(nil)
			if test.err != "" {
				if result.Err == nil || !strings.Contains(result.Err.Error(), test.err) {
					t.Errorf("got %v, want %q", result.Err, test.err)
				}
				return
			}
			if string(result.Output) != test.want || result.Err != nil {
				t.Errorf("got %q, %v; want %q", result.Output, result.Err, test.want)
			}
		})
	}
}

// What does more than give a value does so only once nothing is missing, and then once.
func TestEffectsOfFinishedPassesOnly(t *testing.T) {
	journal := filepath.Join(t.TempDir(), "journal")
	tmpl, err := template.Parse("t", fmt.Sprintf(`{{plugin "sh" "-c" "echo ran >> %s"}}{{writeToFile "/x" "" "" "0600" (key "k")}}{{key "k"}}`, journal), template.Options{})
	if err != nil {
		t.Fatal(err)
	}
	for _, missing := range []bool{false, true} { // pending, then absent
		result := tmpl.Execute(func(watch.Query) (any, bool) { return nil, missing })
		if _, err := os.Stat(journal); err == nil || len(result.Writes) > 0 || result.Finished() {
			t.Fatalf("effects of an unfinished pass: %v, %+v", err, result)
		}
	}
	result := tmpl.Execute(func(watch.Query) (any, bool) { return "v", true })
	if b, _ := os.ReadFile(journal); string(b) != "ran\n" {
		t.Errorf("the journal holds %q", b)
	}
	if want := []template.Write{{Path: "/x", Contents: []byte("v"), Perms: 0o600}}; !reflect.DeepEqual(result.Writes, want) || string(result.Output) != "v" {
		t.Errorf("got %+v, %q", result.Writes, result.Output)
	}
}

func TestWriteToFile(t *testing.T) {
	tests := []struct {
		text string
		want []template.Write
		err  string
	}{
		{`{{"c" | writeToFile "/x" "u" "g" "0640"}}`, []template.Write{{Path: "/x", Contents: []byte("c"), User: "u", Group: "g", Perms: 0o640}}, ""},
		{`{{"c" | writeToFile "/x" "" "" "644" "newline"}}`, []template.Write{{Path: "/x", Contents: []byte("c\n"), Perms: 0o644}}, ""},
		{`{{"c" | writeToFile "/x" "" "" "644" "append,newline"}}`, []template.Write{{Path: "/x", Contents: []byte("c\n"), Append: true, Perms: 0o644}}, ""},
		{`{{writeToFile "/x" "" "" "644" "append" "newline" "c"}}`, []template.Write{{Path: "/x", Contents: []byte("c"), Perms: 0o644}}, ""}, // two flags: neither counts
		{
			`{{range split "," "a,b"}}{{writeToFile "/x" "" "" "644" "append" .}}{{end}}{{writeToFile "/y" "" "" "600" "y"}}`,
			[]template.Write{{Path: "/x", Contents: []byte("ab"), Append: true, Perms: 0o644}, {Path: "/y", Contents: []byte("y"), Perms: 0o600}}, "",
		},
		{
			`{{writeToFile "/x" "" "" "644" "a"}}{{writeToFile "/x" "" "" "644" "append" "b"}}`,
			[]template.Write{{Path: "/x", Contents: []byte("ab"), Perms: 0o644}}, "",
		},
		{`{{writeToFile "/x" "" "" "644"}}`, nil, "has no contents"},
		{`{{writeToFile "" "" "" "644" "c"}}`, nil, "has no path"},
		{`{{writeToFile "/x" "" "" "rw" "c"}}`, nil, `permissions "rw" are not octal`},
		{`{{writeToFile "/x" "" "" "4755" "c"}}`, nil, "are not octal"},
	}
	for _, test := range tests {
		t.Run(test.text, func(t *testing.T) {
			tmpl, err := template.Parse("t", test.text, template.Options{})
			if err != nil {
				t.Fatal(err)
			}
			result := tmpl.Execute(nil)
			if (result.Err == nil) != (test.err == "") || result.Err != nil && !strings.Contains(result.Err.Error(), test.err) {
				t.Errorf("got %v, want %q", result.Err, test.err)
			}
			if !reflect.DeepEqual(result.Writes, test.want) {
				t.Errorf("got %+v, want %+v", result.Writes, test.want)
			}
		})
	}
}

// A place in a partial is named by the partial.
func TestWhereInPartial(t *testing.T) {
	tmpl, err := template.Parse("main", `{{template "p"}}`, template.Options{Partials: []template.Partial{{Name: "dir/p", Text: "\n{{key \"k\"}}"}}})
	if err != nil {
		t.Fatal(err)
	}
	result := tmpl.Execute(func(watch.Query) (any, bool) { return nil, false })
	if got := tmpl.Where(result.Pending[0]); got != "dir/p:2:3" {
		t.Errorf("got %s", got)
	}
}
