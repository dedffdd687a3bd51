package plugin

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"render/render/run"
	"render/watch"
)

// Programs run with the environment that New was given; an error repeats nothing of a program with arguments that are not the
// template's.
func TestFetch(t *testing.T) {
	const secret = "s3cret"
	for name, tt := range map[string]struct {
		argv  []string
		quiet bool
		value string
		err   string // "" for none
	}{
		"output":            {[]string{"echo", " a  b "}, false, "a  b", ""},
		"environment":       {[]string{"sh", "-c", "echo $PLUGIN_TEST"}, false, "value", ""},
		"messages":          {[]string{"sh", "-c", "echo x; echo no >&2; echo good >&2; exit 3"}, false, "", ": no good"},
		"long messages":     {[]string{"sh", "-c", "printf %1000s | tr ' ' x >&2; exit 3"}, false, "", strings.Repeat("x", mostComplaint)},
		"quiet":             {[]string{"sh", "-c", "echo " + secret + " >&2; exit 3"}, true, "", "does not show the messages"},
		"quiet, no program": {[]string{"/none/" + secret}, true, "", "does not show the messages"},
		"quiet, not found":  {[]string{"none-" + secret}, true, "", "does not show the messages"},
		"no messages":       {[]string{"false"}, false, "", "1"},
	} {
		t.Run(name, func(t *testing.T) {
			var group run.Group
			defer group.Close()
			s := New(group.Output, []string{"PLUGIN_TEST=value"})
			value, index, err := s.Fetch(t.Context(), watch.NewPlugin("p", tt.argv, tt.quiet), 0)
			if tt.err == "" {
				if err != nil || value != tt.value || index == 0 {
					t.Errorf("%q at %d, %v", value, index, err)
				}
				return
			}
			switch {
			case err == nil:
				t.Errorf("%q, no error", value)
			case !strings.Contains(err.Error(), tt.err), len(err.Error()) > mostComplaint+100:
				t.Errorf("%v, want %s", err, tt.err)
			case strings.Contains(err.Error(), secret):
				t.Errorf("the error has the argument: %v", err)
			}
		})
	}
}

// Each run has another index, and a Fetch with one waits for the end of its context.
func TestIndex(t *testing.T) {
	var group run.Group
	defer group.Close()
	s := New(group.Output, nil)
	q := watch.NewPlugin("p", []string{"echo"}, false)
	_, first, err := s.Fetch(t.Context(), q, 0)
	if err != nil {
		t.Fatal(err)
	}
	_, second, err := s.Fetch(t.Context(), q, 0)
	if err != nil || second == first {
		t.Errorf("indexes %d and %d, %v", first, second, err)
	}
}

// A Fetch with an index runs nothing, and waits for the end of its context.
func TestFetchAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := New(nil, nil)
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		began := time.Now()
		_, _, err := s.Fetch(ctx, watch.NewPlugin("p", []string{"echo"}, false), 1)
		if !errors.Is(err, context.DeadlineExceeded) || time.Since(began) != time.Hour {
			t.Errorf("%v after %s", err, time.Since(began))
		}
	})
}
