package output

import (
	"errors"
	"fmt"
	"slices"
	"strings"
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
	s.place(o)
	if !s.Land(true, true) || !s.UpToDate() || !s.Placed {
		t.Fatalf("applied: %+v", s)
	}
	if s.Want(of("1")) || s.Changed() {
		t.Error("the applied output is wanted again")
	}
	s.Renew()
	if s.place(o); s.Placed {
		t.Error("the output of an earlier text counts as placed")
	}
}

// A commit that failed leaves its output wanted, unless a newer one is, or the last pass is not finished.
func TestLandCommit(t *testing.T) {
	swapped, ran := commit.Result{Swapped: []string{"out"}}, commit.Result{Ran: true}
	failed := errors.New("failed")
	with := func(r commit.Result, change func(*commit.Result)) commit.Result {
		change(&r)
		return r
	}
	for _, test := range []struct {
		name              string
		r                 commit.Result
		applied, rejected bool
		placed            bool
		err               error
	}{
		{"applied", swapped, true, false, true, nil},
		{"a file was not written", commit.Result{Failed: map[string]error{"out": failed}}, false, false, false, failed},
		{"a file of writeToFile was not written", commit.Result{Failed: map[string]error{"log": failed}}, false, false, false, failed},
		{"a file of another target was not written", commit.Result{Failed: map[string]error{"other": failed}}, true, false, true, nil},
		{"the check failed for the file", commit.Result{Failed: map[string]error{"out": commit.ErrCheck}}, false, true, false, commit.ErrCheck},
		{"the command failed", with(ran, func(r *commit.Result) { r.Err, r.Rejected = failed, true }), false, true, false, nil},
		{"the command failed, and the files stay", with(ran, func(r *commit.Result) { r.Err = failed }), false, false, true, nil},
		{"the command did not run", commit.Result{Err: failed}, false, false, false, nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			var s Stages
			now := time.Unix(0, 0)
			s.Want(of("1", template.Write{Path: "log"}))
			s.Launch()
			applied, err := s.LandCommit("out", 0, test.r, true, now)
			if applied != test.applied || !errors.Is(err, test.err) || (err != nil) != (test.err != nil) {
				t.Errorf("applied %v, error %v", applied, err)
			}
			if s.IsRejected(now) != test.rejected || s.Placed != test.placed || s.Known != test.applied {
				t.Errorf("rejected %v, placed %v, known %v", s.IsRejected(now), s.Placed, s.Known)
			}
		})
	}
}

// What is secret is hidden until something else is applied in its place.
func TestHidden(t *testing.T) {
	var s Stages
	for i, test := range []struct{ secret, fails, hidden bool }{
		{false, false, false},
		{true, true, true},
		{false, true, true}, // the secret may be in place
		{false, false, true},
		{false, false, false},
		{true, false, true},
		{false, false, true},
		{false, false, false},
	} {
		o := of(fmt.Sprint(i))
		o.Secret = test.secret
		s.Want(o)
		if s.Launch(); o.Hidden != test.hidden {
			t.Errorf("%d: hidden %v", i, o.Hidden)
		}
		var r commit.Result
		if test.fails {
			r.Err = errors.New("failed")
		}
		s.LandCommit("out", 0, r, true, time.Unix(0, 0))
	}
}

func TestPrint(t *testing.T) {
	var out strings.Builder
	if err := of("text\n", template.Write{Path: "log", Contents: []byte("line\n")}).Print(&out, "a"); err != nil || out.String() != "> a\ntext\n> log\nline\n" {
		t.Errorf("got %q, %v", out.String(), err)
	}
	if err := of("text").Print(failing{}, "a"); err == nil || err.Error() != "print a: full" {
		t.Errorf("got %v", err)
	}
}

// failing is a writer that cannot write.
type failing struct{}

func (failing) Write([]byte) (int, error) { return 0, errors.New("full") }

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
	s.reject(bad, now, errors.New("check"))
	if !s.WasRejected() || !s.IsRejected(now.Add(RejectBase/4)) || s.IsRejected(now.Add(2*RejectBase)) {
		t.Errorf("the first time: %+v", s)
	}
	first := s.RejectedUntil()
	for range 8 {
		s.reject(bad, now, errors.New("check"))
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
	s.reject(bad, now, commit.CommandError{})
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
	if err := s.noteAppends(o, 3, map[int]error{4: nil, 5: why}); !errors.Is(err, why) {
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

// The secrets in what may be in place are those of what was applied, of what was tried since, and of what is in flight.
func TestSecrets(t *testing.T) {
	secret := func(text string) *Output {
		o := of(text)
		o.Answers = []any{text}
		return o
	}
	var s Stages
	want := func(step string, texts ...string) {
		t.Helper()
		var got []string
		for _, answer := range s.Secrets() {
			got = append(got, answer.(string))
		}
		if !slices.Equal(got, texts) {
			t.Errorf("%s: got %q, want %q", step, got, texts)
		}
	}
	commit := func(text string, succeeds bool) {
		s.Want(secret(text))
		s.Launch()
		s.Land(succeeds, true)
	}
	s.Want(secret("1"))
	want("wanted")
	s.Launch()
	want("in flight", "1")
	s.Land(true, true)
	want("applied", "1")
	commit("2", false)
	commit("3", false)
	want("failed", "1", "3")
	s.Want(secret("4"))
	s.Launch()
	want("after failures", "1", "3", "4")
	s.Land(true, true)
	want("applied again", "4")
}
