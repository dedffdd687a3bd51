package status

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"render/watch"
	"render/watch/hint"
)

func TestMissing(t *testing.T) {
	for want, m := range map[string]Missing{
		"key a (t:1:2) has not answered yet":            {Kind: watch.KindKV, Query: "key a", Where: "t:1:2"},
		"key a (t:1:2) does not exist":                  {Kind: watch.KindKV, Query: "key a", Where: "t:1:2", None: true},
		"secret a/b (t:1:2) does not exist at a/data/b": {Kind: watch.KindSecret, Asked: watch.NewQuery(watch.KindSecret, "a/b", nil), Query: "secret a/b", Where: "t:1:2", None: true, At: "a/data/b"},
		"secret a/... (from an answer) (t:1:2) does not exist": {
			Kind: watch.KindSecret, Asked: watch.NewQuery(watch.KindSecret, "a/b", nil), Query: "secret a/... (from an answer)", Where: "t:1:2", None: true, At: "a/data/b",
		},
		"ls a (t:1:2) has no keys":                       {Kind: watch.KindPrefix, Query: "ls a", Where: "t:1:2", None: true},
		"key a (t:1:2) cannot be queried: no leader":     {Kind: watch.KindKV, Query: "key a", Where: "t:1:2", Err: errors.New("no leader")},
		"service a (t:1:2) cannot be queried: no leader": {Kind: watch.KindService, Query: "service a", Where: "t:1:2", Err: errors.New("no leader")},
	} {
		if got := m.String(); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

func TestHeld(t *testing.T) {
	for want, h := range map[string]Held{
		"service a (t:1:2): 3 → 0 instances, held back by the guard min=1": {Query: "service a", Where: "t:1:2", Before: 3, Guard: "min=1"},
		"service a (t:1:2): 1 instances, held back by the guard min=2":     {Query: "service a", Where: "t:1:2", First: true, After: 1, Guard: "min=2"},
	} {
		if got := h.String(); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
		if got := (&HeldError{h}).Error(); got != want {
			t.Errorf("as an error: got %q, want %q", got, want)
		}
	}
}

// An error lists all that is missing, and gives the faults of templates to errors.Is. What is held back is no reason beside
// a fault.
func TestIncomplete(t *testing.T) {
	fault := errors.New("t2:1:1: the fault")
	held := Held{Query: "service a", Where: "x:1:1", After: 1, First: true, Guard: "min=2"}
	err := &IncompleteError{TooLate: 3 * time.Second, Targets: []TargetStatus{
		{Source: "t1", Missing: []Missing{{Query: "key a", Where: "t1:1:1"}, {Query: "key b", Where: "t1:1:2", None: true}}},
		{Source: "t2", Err: fault, Missing: []Missing{{Query: "key a", Where: "t2:1:1"}}, Held: []Held{held}},
		{Source: "t3", Held: []Held{held}},
	}}
	want := `not everything could be rendered within 3s, so nothing was written
  t1: key a (t1:1:1) has not answered yet
  t1: key b (t1:1:2) does not exist
  t2:1:1: the fault
  t2: key a (t2:1:1) has not answered yet
  t3: service a (x:1:1): 1 instances, held back by the guard min=2`
	if got := err.Error(); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	if all := err.Unwrap(); len(all) != 1 || !errors.Is(err, fault) {
		t.Errorf("unwrapped: %v", all)
	}
	err.TooLate = 0
	if got, want := err.Error()[:len("not everything could be rendered, so")], "not everything could be rendered, so"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// The hints are those of all that is missing and of all faults, each once. What is missing is no fault of the run: who looks for the exit
// code of a program must not find that of one that a template uses.
func TestIncompleteHints(t *testing.T) {
	denied := fmt.Errorf("vault at x: %w", hint.With(errors.New("403"), "give render a token"))
	err := &IncompleteError{Targets: []TargetStatus{
		{Source: "t1", Missing: []Missing{{Query: "secret a", Where: "t1:1:1", Err: denied}, {Query: "secret b", Where: "t1:1:2", Err: denied}, {Query: "key a", Where: "t1:1:3"}}},
		{Source: "t2", Err: hint.With(errors.New("t2:1:1: the fault"), "fix it"), Missing: []Missing{{Query: "secret a", Where: "t2:1:1", Err: denied}}},
	}}
	if got, want := hint.Of(err), []string{"give render a token", "fix it"}; !slices.Equal(got, want) {
		t.Errorf("the hints are %q, not %q", got, want)
	}
	if got, want := hint.Text(err), err.Error()+"\nhint: give render a token\nhint: fix it"; got != want {
		t.Errorf("shown is\n%s\nnot\n%s", got, want)
	}
	if errors.Is(err, denied) {
		t.Error("what is missing is a fault of the run")
	}
}
