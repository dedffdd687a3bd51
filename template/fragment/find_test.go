package fragment

import (
	"fmt"
	"strings"
	"testing"
	"text/template/parse"
)

// Which ranges can be kept, and what they need for that.
func TestFind(t *testing.T) {
	effects := func(name string, arguments int) Effect {
		switch name {
		case "ask":
			return Asks
		case "run":
			return Executes
		case "print", "or":
			return Pure
		case "one":
			if arguments == 1 {
				return Asks
			}
		}
		return Effectful
	}
	for _, c := range []struct{ text, want string }{
		{`{{range .}}{{ask .}}{{end}}`, "[]"},
		{`{{range .}}{{print .}}{{end}}`, ""},
		{`{{range .}}{{ask .}}{{unknown}}{{end}}`, ""},
		{`{{range .}}{{ask .}}{{print (unknown).X}}{{end}}`, ""},
		{`{{range .}}{{ask .}}{{with .}}{{else}}{{. | print | unknown}}{{end}}{{end}}`, ""},
		{`{{range unknown}}{{ask .}}{{end}}`, "[]"},
		{`{{range .}}{{one .}}{{. | one}}{{print (one .)}}{{end}}`, "[]"},
		{`{{range .}}{{one .}}{{one}}{{end}}`, ""},
		{`{{range .}}{{one .}}{{print one}}{{end}}`, ""},
		{`{{range .}}{{one .}}{{. | one .}}{{end}}`, ""},
		{`{{range .}}{{one .}}{{with (one . .).X}}{{end}}{{end}}`, ""},
		{`{{range $x := .}}{{ask $x $.Y}}{{end}}`, "[$]"},
		{`{{$a := 1}}{{$b := 2}}{{range $i, $x := .}}{{ask $b $x $a}}{{end}}`, "[$a $b]"},
		{`{{range $i, $x := .}}{{ask $i}}{{end}}`, "[] index"},
		{`{{range $i, $x := .}}{{$i := 1}}{{ask $i}}{{end}}`, "[]"},
		{`{{range $x := .}}{{ask $x}}{{end}}`, "[]"},
		{`{{$x := 1}}{{range .}}{{$x := $x}}{{ask $x}}{{end}}`, "[$x]"},
		{`{{$x := 1}}{{range .}}{{if .}}{{$x := 2}}{{end}}{{ask $x}}{{end}}`, "[$x]"},
		{`{{$x := 1}}{{range .}}{{if .}}{{$x := 2}}{{else}}{{ask $x}}{{end}}{{end}}`, "[$x]"},
		{`{{$x := 1}}{{range .}}{{with $x := 2}}{{end}}{{ask $x}}{{end}}`, "[$x]"},
		{`{{$x := 1}}{{range .}}{{range $i, $x := .}}{{end}}{{ask $x}}{{end}}`, "[$x]"},
		{`{{if .}}{{$x := 1}}{{else}}{{range .}}{{ask $x}}{{end}}{{end}}`, ""},
		{`{{$x := 1}}{{range .}}{{ask .}}{{$x = 2}}{{end}}`, ""},
		{`{{range .}}{{ask .}}{{$x := 1}}{{$x = 2}}{{end}}`, "[]"},
		{`{{$x := 1}}{{range .}}{{ask .}}{{or . ($x := 2)}}{{end}}`, ""},
		{`{{$x := 1}}{{range (or . ($x := 2))}}{{ask $x}}{{end}}`, ""},
		{`{{$x := 1}}{{range $x = .}}{{ask .}}{{end}}`, ""},
		{`{{range .}}{{ask .}}{{break}}{{end}}`, ""},
		{`{{range .}}{{ask .}}{{continue}}{{end}}`, "[]"},
		{`{{range .}}{{ask .}}{{range .}}{{break}}{{end}}{{end}}`, "[]"},
		{`{{range .}}{{ask .}}{{range .}}{{else}}{{break}}{{end}}{{end}}`, ""},
		{`{{range .}}{{range $x := .}}{{ask $x}}{{end}}{{end}}`, "[]; []"},
		{`{{range .A}}{{unknown}}{{range $x := .}}{{ask $x}}{{end}}{{end}}`, "[]"},
		{`{{range .}}{{template "a" .}}{{end}}{{define "a"}}{{ask .}}{{end}}`, "[]"},
		{`{{range .}}{{ask .}}{{template "a" .}}{{end}}{{define "a"}}{{unknown}}{{end}}`, ""},
		{`{{range .}}{{ask .}}{{template "a" unknown}}{{end}}{{define "a"}}{{end}}`, ""},
		{`{{range .}}{{ask .}}{{template "a"}}{{end}}`, ""},
		{`{{range .}}{{run "a" .}}{{end}}{{define "a"}}{{. | run "b"}}{{end}}{{define "b"}}{{run "a"}}{{ask .}}{{end}}`, "[]"},
		{`{{range .}}{{run "a" .}}{{end}}{{define "a"}}{{run "b"}}{{end}}{{define "b"}}{{ask .}}{{unknown}}{{end}}`, ""},
		{`{{range .}}{{ask .}}{{run .}}{{end}}`, ""},
		{`{{range .}}{{ask .}}{{"a" | run}}{{end}}{{define "a"}}{{end}}`, ""},
		{`{{range .}}{{ask run}}{{end}}`, ""},
		{`{{define "a"}}{{range .}}{{ask $}}{{end}}{{end}}`, "[$]"},
	} {
		tree := parse.New("t")
		tree.Mode = parse.SkipFuncCheck
		trees := make(map[string]*parse.Tree)
		if _, err := tree.Parse(c.text, "", "", trees); err != nil {
			t.Fatalf("%s: %v", c.text, err)
		}
		var got []string
		for _, r := range Find(trees, effects) {
			s := fmt.Sprint(r.Captured)
			if r.Index {
				s += " index"
			}
			got = append(got, s)
		}
		if s := strings.Join(got, "; "); s != c.want {
			t.Errorf("%s\n got %q\nwant %q", c.text, s, c.want)
		}
	}
}
