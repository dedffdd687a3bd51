package template_test

import (
	"reflect"
	"strings"
	"testing"

	"render/template"
	"render/watch"
)

// A pass that is not finished writes nothing.
func TestWritesOfFinishedPassesOnly(t *testing.T) {
	tmpl := parse(t, `{{writeToFile "/x" "" "" "0600" (key "k")}}{{key "k"}}{{writeToFile "/y" "" "" "0600" "y"}}`)
	for _, absent := range []bool{false, true} {
		if r := tmpl.Execute(t.Context(), func(watch.Query) (any, bool) { return nil, absent }); len(r.Writes) > 0 || r.Finished() {
			t.Errorf("absent %v: got %+v", absent, r)
		}
	}

	r := tmpl.Execute(t.Context(), answers{kv("k"): "v"}.lookup)
	want := []template.Write{{Path: "/x", Contents: []byte("v"), Perms: 0o600}, {Path: "/y", Contents: []byte("y"), Perms: 0o600}}
	if !reflect.DeepEqual(r.Writes, want) || string(r.Output) != "v" {
		t.Errorf("got %+v, %q", r.Writes, r.Output)
	}

	failing := parse(t, `{{writeToFile "/x" "" "" "0600" "x"}}{{fail "no"}}`)
	if r := failing.Execute(t.Context(), nil); len(r.Writes) > 0 || r.Err == nil {
		t.Errorf("a failed pass: got %+v", r)
	}
}

// A finished pass runs its template once: what it writes is written once, too.
func TestExecuteRunsOnce(t *testing.T) {
	asked := 0
	tmpl := parse(t, `{{writeToFile "/x" "" "" "0600" "append" (key "k")}}`)
	r := tmpl.Execute(t.Context(), func(watch.Query) (any, bool) { asked++; return "v", true })
	if want := []template.Write{{Path: "/x", Contents: []byte("v"), Append: true, Perms: 0o600}}; asked != 1 || !reflect.DeepEqual(r.Writes, want) {
		t.Errorf("asked %d times, got %+v", asked, r.Writes)
	}
}

// Ten thousand files take no time that grows with their square.
func TestWriteManyFiles(t *testing.T) {
	tmpl := parse(t, `{{range loop 10000}}{{writeToFile (printf "/f%d" .) "" "" "600" "a"}}{{end}}{{range loop 10000}}{{writeToFile (printf "/f%d" .) "" "" "600" "append" "b"}}{{end}}`)
	r := tmpl.Execute(t.Context(), nil)
	if len(r.Writes) != 10000 || r.Writes[9999].Path != "/f9999" {
		t.Fatalf("got %d writes, %v", len(r.Writes), r.Err)
	}
	for _, w := range r.Writes {
		if string(w.Contents) != "ab" || w.Append {
			t.Fatalf("got %+v", w)
		}
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
		{`{{writeToFile "/x" "" "" "644"}}`, nil, "the contents are missing"},
		{`{{writeToFile "" "" "" "644" "c"}}`, nil, "the path is empty"},
		{`{{writeToFile "/x" "" "" "rw" "c"}}`, nil, `permissions "rw" are not an octal mode`},
		{`{{writeToFile "/x" "" "" "4755" "c"}}`, nil, "are not an octal mode"},
	}
	for _, test := range tests {
		t.Run(test.text, func(t *testing.T) {
			tmpl, err := template.Parse("t", test.text, template.Options{})
			if err != nil {
				t.Fatal(err)
			}
			result := tmpl.Execute(t.Context(), nil)
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
	result := tmpl.Execute(t.Context(), func(watch.Query) (any, bool) { return nil, false })
	if got := tmpl.Where(result.Pending[0]); got != "dir/p:2:3" {
		t.Errorf("got %s", got)
	}
}
