package config

import (
	"math"
	"strings"
	"testing"
	"time"

	"render/render"
	"render/render/graph"

	"render/watch/hint"
)

// guardFrom returns the guard of the text of a flag.
func guardFrom(text string) (graph.Guard, error) {
	value, err := guardKind.parse(text)
	if err != nil {
		return graph.Guard{}, err
	}
	b := &actionBlock{values: newValues(actionSchema, origin{}, newValues(topSchema, origin{}, nil))}
	b.set(actionSchema.settings["guard"], given{value, origin{}})
	b.fill(actionLayout(), &b.actionFields)
	return guardOf(b.values, &b.Shared), nil
}

func TestParseGuard(t *testing.T) {
	tests := []struct {
		text string
		want graph.Guard
		err  string // part of it; empty for success
	}{
		{text: ""},
		{text: "min=2", want: graph.Guard{Min: 2}},
		{text: "min=2,max_drop=50%,hold=5m,then=keep", want: graph.Guard{Min: 2, MaxDrop: 0.5, Hold: 5 * time.Minute, Then: graph.Keep}},
		{text: "then=fail, hold=90s, max-drop=0.25, min=1", want: graph.Guard{Min: 1, MaxDrop: 0.25, Hold: 90 * time.Second, Then: graph.Fail}},
		{text: " max_drop = 12.5 % ", want: graph.Guard{MaxDrop: 0.125}},
		{text: "max_drop=100%", want: graph.Guard{MaxDrop: 1}},
		{text: "min=two", err: `"min=two": min: "two" is not a whole number`},
		{text: "min=1.5", err: "not a whole number"},
		{text: "max_drop=half", err: `max_drop: "half" is not a share of the instances`},
		{text: "max_drop=50%%", err: "not a share"},
		{text: "hold=5", err: "hold: the duration 5 has no unit\nhint: write \"5s\" for seconds, or \"5ms\" for milliseconds"},
		{text: "min=1,least=2", err: "there is no part \"least\"\nhint: the parts are min, max_drop, hold and then"},
		{text: "2", err: `there is no part "2"`},
		{text: "min=1,", err: `there is no part ""`},
		{text: "Min=1", err: `there is no part "Min"`},
		{text: "min", err: "min has no value"},
		{text: "min=", err: "min has no value"},
		{text: "max_drop=1,max-drop=1", err: "the part max_drop is there twice"},
	}
	for _, test := range tests {
		got, err := guardFrom(test.text)
		if (err == nil) != (test.err == "") || err != nil && !strings.Contains(hint.Text(err), test.err) {
			t.Errorf("%q: got %v, want %q", test.text, err, test.err)
		}
		if err == nil && got != test.want {
			t.Errorf("%q: got %+v, want %+v", test.text, got, test.want)
		}
	}
}

// A guard that is fine can be read from what it says of itself.
func FuzzGuard(f *testing.F) {
	for _, seed := range []string{"min=2,max_drop=50%,hold=5m,then=keep", "max-drop=0.29", "min=1,then=accept", "hold=1ns,min=0x1", "max_drop=NaN%", "=,="} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		g, err := guardFrom(text)
		cfg := render.Config{Actions: []render.Action{{Name: "a", Guard: g}}}
		if err != nil || g == (graph.Guard{}) || cfg.Validate() != nil {
			return
		}
		again, err := guardFrom(g.String())
		if err != nil {
			t.Fatalf("%q became %q: %v", text, g, err)
		}
		same := again.Min == g.Min && math.Abs(again.MaxDrop-g.MaxDrop) < 1e-9 && again.String() == g.String()
		if !same {
			t.Fatalf("%q became %+v, and then %+v", text, g, again)
		}
	})
}
