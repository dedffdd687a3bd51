package hint_test

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	"render/watch/hint"
)

func TestHints(t *testing.T) {
	plain := errors.New("open x: no such file")
	missing := hint.With(plain, "create x")
	unit := hint.Withf(errors.New("30 has no unit"), "write %q", "30s")
	for _, test := range []struct {
		err   error
		text  string
		hints []string
		shown string
	}{
		{plain, "open x: no such file", nil, "open x: no such file"},
		{hint.With(plain, ""), "open x: no such file", nil, "open x: no such file"},
		{missing, "open x: no such file", []string{"create x"}, "open x: no such file\nhint: create x"},
		{fmt.Errorf("start: %w; retrying", missing), "start: open x: no such file; retrying", []string{"create x"}, "start: open x: no such file; retrying\nhint: create x"},
		{hint.With(fmt.Errorf("a: %w", missing), "b"), "a: open x: no such file", []string{"b", "create x"}, "a: open x: no such file\nhint: b\nhint: create x"},
		{hint.With(missing, "create x"), "open x: no such file", []string{"create x"}, "open x: no such file\nhint: create x"},
		{
			errors.Join(missing, unit, plain), "open x: no such file\n30 has no unit\nopen x: no such file", []string{"create x", `write "30s"`},
			"open x: no such file\nhint: create x\n30 has no unit\nhint: write \"30s\"\nopen x: no such file",
		},
		{fmt.Errorf("%w; then %w", unit, missing), "30 has no unit; then open x: no such file", []string{`write "30s"`, "create x"}, "30 has no unit; then open x: no such file\nhint: write \"30s\"\nhint: create x"},
	} {
		if got := test.err.Error(); got != test.text {
			t.Errorf("the text is\n%s\nnot\n%s", got, test.text)
		}
		if got := hint.Of(test.err); !slices.Equal(got, test.hints) {
			t.Errorf("%v: the hints are %q, not %q", test.err, got, test.hints)
		}
		if got := hint.Text(test.err); got != test.shown {
			t.Errorf("shown is\n%s\nnot\n%s", got, test.shown)
		}
	}
	if got := hint.Text(nothing{}); got != "nothing" {
		t.Errorf("an error that wraps nothing is shown as %q", got)
	}
	if hint.With(nil, "create x") != nil || hint.Of(nil) != nil {
		t.Error("no error has a hint")
	}
	if !errors.Is(missing, plain) {
		t.Error("a hint hides its error")
	}
}

// nothing wraps a list of no errors.
type nothing struct{}

func (nothing) Error() string   { return "nothing" }
func (nothing) Unwrap() []error { return nil }
