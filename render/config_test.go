package render

import (
	"io"
	"math"
	"strings"
	"testing"
	"time"

	"render/render/graph"
	"render/render/pace"
	"render/render/run"
	"render/watch/hint"
)

func TestValidate(t *testing.T) {
	target := Target{Source: "in", Destination: "out"}
	tests := []struct {
		name string
		cfg  Config
		want []string // parts of the error; none for a good configuration
	}{
		{"nothing", Config{}, nil},
		{"a target", Config{Targets: []Target{target}}, nil},
		{"no source", Config{Targets: []Target{{Destination: "out"}}}, []string{"has no source"}},
		{"no destination", Config{Targets: []Target{{Source: "in"}}}, []string{"template in: missing destination"}},
		{"no destination, dry", Config{Targets: []Target{{Source: "in"}, {Source: "in"}}, Dry: io.Discard}, nil},
		{
			"one destination twice", Config{Targets: []Target{target, {Source: "in2", Destination: "./x/../out"}}},
			[]string{"templates in and in2 have the same destination"},
		},
		{"a template as its own destination", Config{Targets: []Target{{Source: "x/in", Destination: "./x//in"}}}, []string{"source and destination are the same file"}},
		{"an action", Config{Targets: []Target{{Source: "in", Destination: "out", Action: "a"}}, Actions: []Action{{Name: "a"}}}, nil},
		{
			"an unknown action", Config{Targets: []Target{{Source: "in", Destination: "out", Action: "b"}}, Actions: []Action{{Name: "a"}}},
			[]string{"template in: there is no action b"},
		},
		{
			"an action and a command",
			Config{Targets: []Target{{Source: "in", Destination: "out", Action: "a", Command: run.Command{Shell: "x"}}}, Actions: []Action{{Name: "a"}}},
			[]string{"a command and the action a"},
		},
		{"an action without a name", Config{Actions: []Action{{}}}, []string{"no name"}},
		{"two actions of a name", Config{Actions: []Action{{Name: "a"}, {Name: "a"}}}, []string{"action a: there are two"}},
		{"negative", Config{Actions: []Action{{Name: "a", Spacing: -1}}}, []string{"action a: timeout, spacing and splay cannot be negative"}},
		{"wait", Config{Implied: Action{Wait: pace.Wait{Min: time.Second, Max: time.Second}}}, nil},
		{"wait the wrong way round", Config{Implied: Action{Wait: pace.Wait{Min: 2 * time.Second, Max: time.Second}}}, []string{"maximum 1s is less than the minimum 2s"}},
		{"an action's wait", Config{Actions: []Action{{Name: "a", Wait: pace.Wait{Min: -1}}}}, []string{"action a: wait"}},
		{"a guard", Config{Targets: []Target{{Source: "in", Destination: "out", Guard: graph.Guard{Min: 1, MaxDrop: 1, Hold: 1, Then: graph.Fail}, RemoveDelay: 1}}}, nil},
		{"a guard without an end", Config{Actions: []Action{{Name: "a", Guard: graph.Guard{MaxDrop: 0.01}}}}, nil},
		{"a guard that guards nothing", Config{Actions: []Action{{Name: "a", Guard: graph.Guard{Then: graph.Keep}}}}, []string{"action a: guard: a guard without min and max_drop accepts every change"}},
		{
			"a guard that makes no sense", Config{Targets: []Target{{Source: "in", Destination: "out", Guard: graph.Guard{Min: -1, MaxDrop: 1.1, Hold: -1, Then: "panic"}}}},
			[]string{
				"template in: guard: the minimum -1 is negative", "template in: guard: the maximum drop 1.1 is not between 0 and 1",
				"template in: guard: the hold -1ns is negative", `template in: guard: then: "panic" is not one of keep, accept, fail`,
			},
		},
		{"a negative drop", Config{Actions: []Action{{Name: "a", Guard: graph.Guard{MaxDrop: -0.1}}}}, []string{"maximum drop -0.1"}},
		{"a drop that is no number", Config{Actions: []Action{{Name: "a", Guard: graph.Guard{MaxDrop: math.NaN()}}}}, []string{"maximum drop NaN"}},
		{"a negative delay", Config{Targets: []Target{{Source: "in", Destination: "out", RemoveDelay: -1}}}, []string{"template in: the remove delay -1ns is negative"}},
		{"all that is wrong", Config{Targets: []Target{{Source: "in"}}, Actions: []Action{{}}}, []string{"missing destination", "no name"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			err := test.cfg.Validate()
			if (err == nil) != (len(test.want) == 0) {
				t.Fatalf("got %v", err)
			}
			for _, part := range test.want {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("got %v, want %q", err, part)
				}
			}
		})
	}
}

func TestNewReportsAllTemplates(t *testing.T) {
	r := newRig(t)
	_, err := New(r.world, Config{Targets: []Target{
		r.target("good", "x"),
		{Source: r.path("missing.ctmpl"), Destination: r.path("b")},
		r.target("syntax", "\n{{if}}"),
		r.target("unknown", "{{keyy \"a\"}}"),
	}})
	if err == nil {
		t.Fatal("no error")
	}
	for _, part := range []string{
		"read template: open " + r.path("missing.ctmpl") + ": no such file",
		"syntax.ctmpl:2: missing value for if",
		"unknown.ctmpl:1:3: there is no function keyy\nhint: did you mean key?",
	} {
		if !strings.Contains(hint.Text(err), part) {
			t.Errorf("got %v, want %q", err, part)
		}
	}
}

func TestCommandString(t *testing.T) {
	if !(run.Command{}).IsZero() || (run.Command{Args: []string{"a"}}).IsZero() || (run.Command{Shell: "a"}).IsZero() {
		t.Error("IsZero is wrong")
	}
	if got := (run.Command{Args: []string{"nginx", "-s", "reload"}}).String(); got != "nginx -s reload" {
		t.Errorf("got %q", got)
	}
}
