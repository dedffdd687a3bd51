package config

import (
	"strings"
	"testing"
	"time"

	"render/render"
	"render/render/pace"
	"render/render/run"

	"render/watch/hint"
)

// targetOf returns what a SPEC says of its target.
func targetOf(spec string) (render.Target, error) {
	parts, err := parseTemplateSpec(spec)
	if err != nil {
		return render.Target{}, err
	}
	return render.Target{
		Source: parts["source"].(string), Destination: parts["destination"].(string), Command: parts["command"].(run.Command),
	}, nil
}

func TestParseTemplateSpec(t *testing.T) {
	shell := func(line string) run.Command { return run.Command{Shell: line} }
	tests := []struct {
		spec string
		want render.Target
		err  string // part of it; empty for success
	}{
		{spec: "in:out", want: render.Target{Source: "in", Destination: "out"}},
		{spec: "in:out:", want: render.Target{Source: "in", Destination: "out"}},
		{spec: "in", want: render.Target{Source: "in"}},
		{spec: "a:out/aa", want: render.Target{Source: "a", Destination: "out/aa"}},
		{spec: "in:out:true", want: render.Target{Source: "in", Destination: "out", Command: run.Command{Args: []string{"true"}}}},
		{spec: "in:out:nginx -s reload", want: render.Target{Source: "in", Destination: "out", Command: shell("nginx -s reload")}},
		{spec: "in:out:echo a::b c:d:", want: render.Target{Source: "in", Destination: "out", Command: shell("echo a::b c:d:")}},
		{spec: "in:out:$CMD", want: render.Target{Source: "in", Destination: "out", Command: shell("$CMD")}},
		{spec: "in : out", want: render.Target{Source: "in ", Destination: " out"}},
		{spec: "in::cmd x", want: render.Target{Source: "in", Command: shell("cmd x")}},
		{spec: "", err: "the value is empty\nhint: write SOURCE:DESTINATION or SOURCE:DESTINATION:COMMAND"},
		{spec: " ", err: "the value is empty\nhint: write SOURCE:DESTINATION or SOURCE:DESTINATION:COMMAND"},
		{spec: "::", err: "the value is empty\nhint: write SOURCE:DESTINATION or SOURCE:DESTINATION:COMMAND"},
		{spec: ":x:y", err: `":x:y" has no source`},
	}
	for _, test := range tests {
		t.Run(test.spec, func(t *testing.T) {
			got, err := targetOf(test.spec)
			if (err == nil) != (test.err == "") || err != nil && !strings.Contains(hint.Text(err), test.err) {
				t.Fatalf("got %v, want %q", err, test.err)
			}
			if err == nil && (got.Source != test.want.Source || got.Destination != test.want.Destination || got.Command.String() != test.want.Command.String() || got.Command.Shell != test.want.Command.Shell) {
				t.Errorf("got %+v, want %+v", got, test.want)
			}
		})
	}
}

func TestParseWait(t *testing.T) {
	const s = time.Second
	tests := []struct {
		text string
		want pace.Wait
		fail bool
	}{
		{"2s", pace.Wait{Min: 2 * s, Max: 8 * s}, false},
		{"2s:10s", pace.Wait{Min: 2 * s, Max: 10 * s}, false},
		{"0", pace.Wait{}, false},
		{"5", pace.Wait{}, true},
		{"5s:", pace.Wait{}, true},
		{"5s:1", pace.Wait{}, true},
		{"soon", pace.Wait{}, true},
	}
	for _, test := range tests {
		got, err := parseWait(test.text)
		if (err != nil) != test.fail || err == nil && got != test.want {
			t.Errorf("%q: got %v, %v", test.text, got, err)
		}
	}
}

// Whatever is given, a target has a source, and nothing of the text is lost or added.
func FuzzTemplateSpec(f *testing.F) {
	for _, seed := range []string{"in:out:cmd a:b", "a", ":", "a::", "ä:\x00:\n", "a:b:c:"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, spec string) {
		target, err := targetOf(spec)
		if err != nil {
			return
		}
		if target.Source == "" {
			t.Fatal("no source")
		}
		back := strings.Join([]string{target.Source, target.Destination, target.Command.String()}, ":")
		if strings.TrimRight(back, ": \t\n\v\f\r\u0085\u00a0") != strings.TrimRight(spec, ": \t\n\v\f\r\u0085\u00a0") && !strings.HasPrefix(spec, back) {
			t.Fatalf("%q became %q", spec, back)
		}
	})
}
