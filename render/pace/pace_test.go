package pace

import (
	"testing"
	"time"
)

// TestR7Pace plays changes and commits on a clock that starts at 0 and looks at when the next commit is due.
func TestR7Pace(t *testing.T) {
	const never = -1
	type event struct {
		at     time.Duration
		commit bool          // else a change
		took   time.Duration // by passes
	}
	change := func(at time.Duration) event { return event{at: at} }
	commit := func(at time.Duration) event { return event{at: at, commit: true} }
	passes := func(at, took time.Duration) event { return event{at: at, took: took} }
	const s = time.Second
	tests := []struct {
		name    string
		spacing time.Duration
		wait    Wait
		events  []event
		due     time.Duration
	}{
		{"nothing has changed", s, Wait{}, nil, never},
		{"the first commit is at once", s, Wait{Min: 5 * s, Max: 9 * s}, []event{change(3 * s)}, 3 * s},
		{"all is committed", s, Wait{}, []event{change(3 * s), commit(3 * s)}, never},
		{"quiet for long", s, Wait{}, []event{change(0), commit(0), change(60 * s)}, 60 * s},
		{"spaced", 5 * s, Wait{}, []event{change(0), commit(0), change(2 * s)}, 5 * s},
		{"spaced, changed while committing", 5 * s, Wait{}, []event{change(0), commit(0), change(0)}, 5 * s},
		{"without spacing", 0, Wait{}, []event{change(0), commit(0), change(2 * s)}, 2 * s},
		{"later changes do not put it off", 5 * s, Wait{}, []event{change(0), commit(0), change(2 * s), change(4 * s)}, 5 * s},
		{"wait for quiet", 0, Wait{Min: 2 * s, Max: 9 * s}, []event{change(0), commit(0), change(20 * s)}, 22 * s},
		{"a change extends it", 0, Wait{Min: 2 * s, Max: 9 * s}, []event{change(0), commit(0), change(20 * s), change(21 * s)}, 23 * s},
		{
			"but not past the maximum", 0, Wait{Min: 2 * s, Max: 3 * s},
			[]event{change(0), commit(0), change(20 * s), change(21 * s), change(22 * s)}, 23 * s,
		},
		{
			"rest after long passes", 0, Wait{},
			[]event{change(0), passes(0, s/100), commit(0), change(s / 10)}, 3 * s / 10,
		},
		{
			"a rest has an end", 0, Wait{},
			[]event{change(0), passes(0, 10*s), commit(0), change(s / 10)}, s,
		},
		{
			"the first commit needs no rest", 0, Wait{},
			[]event{change(0), passes(0, 10*s)}, 0,
		},
		{"both: the later counts", 30 * s, Wait{Min: 2 * s, Max: 9 * s}, []event{change(0), commit(0), change(20 * s)}, 30 * s},
	}
	start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			p := Pace{Spacing: test.spacing, Wait: test.wait}
			for _, e := range test.events {
				switch at := start.Add(e.at); {
				case e.commit:
					p.Commit(at)
				case e.took > 0:
					p.Passed(at, e.took)
				default:
					p.Changed(at)
				}
			}
			at, changed := p.Due()
			switch {
			case changed != (test.due != never):
				t.Errorf("changed is %v", changed)
			case changed && at.Sub(start) != test.due:
				t.Errorf("due at %s, want %s", at.Sub(start), test.due)
			}
			p.Reset()
			if _, changed := p.Due(); changed {
				t.Error("due although completed")
			}
		})
	}
}

func TestWaitValidate(t *testing.T) {
	for _, test := range []struct {
		wait  Wait
		valid bool
	}{
		{Wait{}, true},
		{Wait{Max: 1}, true},
		{Wait{Min: 1, Max: 1}, true},
		{Wait{Min: 2, Max: 1}, false},
		{Wait{Min: -1}, false},
		{Wait{Min: -2, Max: -1}, false},
	} {
		if err := test.wait.Validate(); (err == nil) != test.valid {
			t.Errorf("%v: %v", test.wait, err)
		}
	}
}
