package template_test

import (
	"bytes"
	"context"
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"render/template"
	"render/watch"
)

// programs is a source that runs the programs of plugin.
type programs struct{}

func (programs) Fetch(ctx context.Context, q watch.Query, _ uint64) (any, uint64, error) {
	argv, quiet := q.Plugin()
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	switch {
	case err != nil && quiet:
		return nil, 0, fmt.Errorf("%s failed", q)
	case err != nil:
		return nil, 0, fmt.Errorf("%s: %w: %s", q, err, stderr.String())
	}
	return string(out), 1, nil
}

func plugin(argv ...string) watch.Query { return watch.NewPlugin(argv[0], argv, false) }

// What plugin asks, and what it makes of the answer.
func TestPlugin(t *testing.T) {
	for _, c := range []struct {
		text string
		asks watch.Query
		says string
		want string
	}{
		{`[{{plugin ""}}]`, watch.Query{}, "", "[]"},
		{`[{{plugin "" "x"}}]`, watch.Query{}, "", "[]"},
		{`[{{plugin "p"}}]`, plugin("p"), "out", "[out]"},
		{`[{{plugin "p"}}]`, plugin("p"), " \n x \n y\n\t", "[x \n y]"},
		{`[{{plugin "p"}}]`, plugin("p"), "", "[]"},
		{`{{plugin "p" "a b" "" "  c  " " "}}`, plugin("p", "a b", "c"), "x", "x"},
		{`{{key "k" | plugin "p" "k"}}`, plugin("p", "k", "key"), "x", "x"},
		{`{{$x := plugin "p" | parseJSON}}{{$x.a}}`, plugin("p"), `{"a": 1}`, "1"},
		{`{{index (plugin "p" | split ",") 1}}`, plugin("p"), "a,b", "b"},
		{`{{define "t"}}{{plugin "p"}}{{end}}{{template "t"}}{{plugin "p"}}`, plugin("p"), "x", "xx"},
		{`{{key (plugin "p")}}`, plugin("p"), "k\n", "key"},
		{`{{plugin (key "k")}}`, watch.NewPlugin("key", []string{"key"}, false), "x", "x"},

		// What is not in the text can be a secret.
		{`{{plugin "p" (key "secret")}}`, watch.NewPlugin("p", []string{"p", "c4nary"}, true), "x", "x"},
		{`{{plugin (key "secret") "p"}}`, watch.NewPlugin("with a name of 6 bytes that is not in the template's text", []string{"c4nary", "p"}, true), "x", "x"},
	} {
		tmpl := parse(t, c.text)
		known := answers{kv("k"): "key", kv("secret"): "c4nary"}
		r := tmpl.Execute(t.Context(), known.lookup)
		if c.asks == (watch.Query{}) {
			if !r.Finished() || len(r.Used) > 0 || string(r.Output) != c.want {
				t.Errorf("%s: got %+v", c.text, r)
			}
			continue
		}
		if !slices.Equal(r.Pending, []watch.Query{c.asks}) || r.Err != nil || r.Finished() || r.Complete {
			t.Errorf("%s\npending %+v, error %v\n   want %+v", c.text, r.Pending, r.Err, c.asks)
			continue
		}
		if strings.Contains(fmt.Sprint(r.Pending), "c4nary") {
			t.Errorf("%s: %s has a secret", c.text, r.Pending)
		}

		known[c.asks] = c.says
		if r = tmpl.Execute(t.Context(), known.lookup); string(r.Output) != c.want || !r.Finished() || !r.Complete {
			t.Errorf("%s\n got %q, %v\nwant %q", c.text, r.Output, r.Err, c.want)
		}
	}
}

// A program is asked for only when all that the pass asked before has its answer: else an argument may be a zero value.
func TestPluginWaits(t *testing.T) {
	a, b := kv("a"), kv("b")
	for _, c := range []struct {
		text            string
		known           answers
		pending, absent []watch.Query
		complete        bool
	}{
		{`{{plugin "p" (key "a")}}`, answers{}, []watch.Query{a}, nil, false},
		{`{{plugin "p" (key "a")}}`, answers{a: nil}, nil, []watch.Query{a}, false},
		{`{{plugin "p" (key "a")}}`, answers{a: "p"}, []watch.Query{plugin("p", "p")}, nil, false},
		{`{{key "a"}}{{plugin "p"}}{{key "b"}}`, answers{}, []watch.Query{a, b}, nil, false},
		{`{{key "a"}}{{plugin "p"}}{{key "b"}}`, answers{a: "x"}, []watch.Query{plugin("p"), b}, nil, false},
		{`{{plugin "p"}}{{key "b"}}`, answers{plugin("p"): "x", b: nil}, nil, []watch.Query{b}, true},
		{`{{plugin "p"}}{{plugin "p"}}`, answers{}, []watch.Query{plugin("p")}, nil, false},
		{`{{plugin "p"}}{{plugin "q"}}`, answers{}, []watch.Query{plugin("p")}, nil, false},
		{`{{plugin "p"}}{{plugin "q"}}`, answers{plugin("p"): "x"}, []watch.Query{plugin("q")}, nil, false},
		{`{{plugin "p" (plugin "q")}}`, answers{plugin("q"): " q "}, []watch.Query{plugin("p", "q")}, nil, false},
		{`{{plugin ""}}{{key "a"}}{{plugin ""}}`, answers{a: nil}, nil, []watch.Query{a}, true},
	} {
		r := parse(t, c.text).Execute(t.Context(), c.known.lookup)
		if !slices.Equal(r.Pending, c.pending) || !slices.Equal(r.Absent, c.absent) || r.Complete != c.complete || r.Finished() || r.Err != nil {
			t.Errorf("%s with %v\ngot pending %v, absent %v, complete %v, error %v", c.text, c.known, r.Pending, r.Absent, r.Complete, r.Err)
		}
	}
}

// R14: a program can be traced to its line.
func TestWherePlugin(t *testing.T) {
	tmpl := parse(t, "a\n{{plugin \"p\" (key \"secret\")}}")
	r := tmpl.Execute(t.Context(), answers{kv("secret"): "c4nary"}.lookup)
	if got := fmt.Sprint(r.Pending[0], " at ", tmpl.Where(r.Pending[0])); got != "plugin p at t:2:3" {
		t.Errorf("got %s", got)
	}
}

// A run of a failed pass says nothing of what a template uses.
func TestComplete(t *testing.T) {
	for _, c := range []struct {
		text  string
		known answers
		want  bool
	}{
		{`x`, answers{}, true},
		{`{{key "a"}}`, answers{}, false},
		{`{{key "a"}}`, answers{kv("a"): nil}, true},
		{`{{key "a"}}`, answers{kv("a"): "x"}, true},
		{`{{key "a"}}{{fail "no"}}`, answers{kv("a"): "x"}, false},
		{`{{key "a"}}{{fail "no"}}`, answers{kv("a"): nil}, false},
		{`{{(key "a" | parseJSON).x}}`, answers{kv("a"): nil}, true},
	} {
		for _, strict := range []bool{false, true} {
			tmpl, err := template.Parse("t", c.text, template.Options{ErrorOnMissingKey: strict})
			if err != nil {
				t.Fatal(err)
			}
			if r := tmpl.Execute(t.Context(), c.known.lookup); r.Complete != c.want {
				t.Errorf("%s with %v: got %+v", c.text, c.known, r)
			}
		}
	}
}
