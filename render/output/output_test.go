package output

import (
	"errors"
	"testing"
	"time"

	"render/render/commit"
	"render/render/disk"
	"render/render/leases"
	"render/template"
)

func of(text string, writes ...template.Write) *Output {
	return New(&template.Result{Output: []byte(text), Writes: writes})
}

// An output goes from wanted over in flight to applied. What equals the applied output is not wanted.
func TestStages(t *testing.T) {
	var s Stages
	if s.UpToDate() || !s.Want(of("1")) || !s.Changed() {
		t.Fatalf("the first output is not wanted: %+v", s)
	}
	o := s.Launch()
	if s.Changed() || s.InFlight != o || s.UpToDate() {
		t.Fatalf("in flight: %+v", s)
	}
	s.Place(o)
	if !s.Land(true, true) || !s.UpToDate() || !s.Placed {
		t.Fatalf("applied: %+v", s)
	}
	if s.Want(of("1")) || s.Changed() {
		t.Error("the applied output is wanted again")
	}
	s.Renew()
	if s.Place(o); s.Placed {
		t.Error("the output of an earlier text counts as placed")
	}
}

// A commit that failed leaves its output wanted, unless a newer one is, or the last pass is not finished.
func TestLandFailed(t *testing.T) {
	for _, test := range []struct {
		name             string
		newer            string // wanted while the commit is in flight
		finished, change bool
		want             string
	}{
		{"again", "", true, false, "1"},
		{"not finished", "", false, false, ""},
		{"newer", "2", true, false, "2"},
		{"doubted", "", true, true, "1"},
	} {
		t.Run(test.name, func(t *testing.T) {
			var s Stages
			s.Want(of("1"))
			s.Launch()
			if test.newer != "" {
				s.Want(of(test.newer))
			}
			if test.change {
				s.Doubt()
			}
			if s.Land(test.change, test.finished) {
				t.Error("it is applied")
			}
			got := ""
			if s.Wanted != nil {
				got = string(s.Wanted.Bytes)
			}
			if got != test.want || s.Known {
				t.Errorf("wanted: %q, want %q; known %t", got, test.want, s.Known)
			}
		})
	}
}

// What was rejected waits, longer each time in a row. A failed command puts off less, and another output not at all.
func TestReject(t *testing.T) {
	var s Stages
	now := time.Unix(0, 0)
	bad := of("bad")
	s.Want(bad)
	s.Reject(bad, now, errors.New("check"))
	if !s.WasRejected() || !s.IsRejected(now.Add(RejectBase/4)) || s.IsRejected(now.Add(2*RejectBase)) {
		t.Errorf("the first time: %+v", s)
	}
	first := s.RejectedUntil()
	for range 8 {
		s.Reject(bad, now, errors.New("check"))
	}
	if until := s.RejectedUntil(); !until.After(first) || until.After(now.Add(2*RejectMax)) {
		t.Errorf("in a row: until %s, the first time %s", until, first)
	}
	if s.Want(of("good")); s.WasRejected() {
		t.Error("another output counts as rejected")
	}
	s.Want(bad)
	if s.Accept(); s.WasRejected() {
		t.Error("it counts as rejected after Accept")
	}
	s.Reject(bad, now, commit.CommandError{})
	if s.IsRejected(now.Add(2 * RetryBase)) {
		t.Errorf("a failed command puts off until %s", s.RejectedUntil())
	}
}

// What was appended for an output is not part of its next commit; another output appends anew.
func TestNoteAppends(t *testing.T) {
	var s Stages
	writes := []template.Write{{Path: "log", Append: true}, {Path: "audit", Append: true}}
	o := of("1", writes...)
	s.Want(o)
	s.Launch()
	why := errors.New("disk full")
	if err := s.NoteAppends(o, 3, map[int]error{4: nil, 5: why}); !errors.Is(err, why) {
		t.Errorf("got %v", err)
	}
	s.Land(false, true)
	names := func(o *Output) (all []string) {
		for _, f := range o.Files("out", disk.Options{}) {
			all = append(all, f.Destination)
		}
		return all
	}
	if got := names(s.Wanted); len(got) != 2 || got[1] != "audit" {
		t.Errorf("the next commit has %q", got)
	}
	s.Want(of("1", writes...)) // the next pass wants the same
	if got := names(s.Wanted); len(got) != 2 {
		t.Errorf("an equal output has %q", got)
	}
	s.Want(of("2", writes...))
	if got := names(s.Wanted); len(got) != 3 {
		t.Errorf("another output has %q", got)
	}
}

// What an output is made of is held from when it is wanted until another one is applied, also through commits that fail.
func TestLeases(t *testing.T) {
	leased := func(text string) *Output {
		o := of(text)
		o.Leases = new(leases.Uses)
		return o
	}
	var s Stages
	one, two := leased("1"), leased("2")
	s.Want(one)
	if s.Leases() != (leases.Stages{nil, nil, one.Leases}) {
		t.Error("wanted: not held")
	}
	s.Launch()
	if s.Leases() != (leases.Stages{nil, one.Leases}) {
		t.Error("in flight: not held")
	}
	s.Land(true, true)
	if s.Leases() != (leases.Stages{one.Leases}) {
		t.Error("applied: not held")
	}

	again := leased("1") // other answers, and the same bytes
	if s.Want(again) || s.Leases() != (leases.Stages{again.Leases}) {
		t.Error("equal bytes: the later answers are not held")
	}
	s.Want(two)
	s.Launch()
	s.Unwant()
	if s.Land(false, false); s.Leases()[0] == nil || s.Leases()[0] == two.Leases {
		t.Error("failed: what may be in place is not held")
	}

	s.Want(two)
	s.Launch()
	more := leased("2")
	s.Want(more)
	if s.Land(true, true); s.Leases() != (leases.Stages{more.Leases}) {
		t.Error("wanted again while in flight: the later answers are not held")
	}
}
