package commit

import (
	"errors"
	"os"
	"slices"
	"strings"
	"testing"

	"render/render/run"
)

// diary notes what a commit does, in order.
type diary struct{ lines []string }

func (d *diary) note(what string) { d.lines = append(d.lines, what) }

// supervised is a plan whose program has what is in the file live: Tell copies the file out to it.
func supervised(p place, d *diary, contents string, tell func() error) (Plan, Tools) {
	plan := p.plan(Action{
		Command: run.Command{Shell: "command"},
		Verify:  Verify{Command: p.sh("cmp out live && ! grep -q bad live"), Within: 1},
	}, map[string]string{"out": contents})
	plan.Notify = func() error {
		d.note("tell")
		if tell != nil {
			if err := tell(); err != nil {
				return err
			}
		}
		b, err := os.ReadFile(p.path("out"))
		return errors.Join(err, os.WriteFile(p.path("live"), b, 0o644))
	}
	tools := newTools(p.t)
	group := tools.Run
	tools.Run = func(c run.Command, l run.Limits) (string, error) {
		if c.Shell == "command" {
			d.note("command")
			return "", nil
		}
		d.note("verify")
		return group(c, l)
	}
	return plan, tools
}

// The supervised program is told before the verification.
func TestTellBeforeVerify(t *testing.T) {
	p := newPlace(t)
	p.write("out", "old", 0o644)
	var d diary
	plan, tools := supervised(p, &d, "new", nil)
	r := Do(plan, tools)
	if r.Err != nil || !r.Notified || r.Pending || r.Revoked {
		t.Errorf("got %+v", r)
	}
	if want := []string{"command", "tell", "verify"}; !slices.Equal(d.lines, want) {
		t.Errorf("got %q, want %q", d.lines, want)
	}
	p.want(map[string]string{"out": "new", "live": "new"})
}

// After an undo the program has files that are not in place any more: it has to be told again, by who can.
func TestToldAndUndone(t *testing.T) {
	p := newPlace(t)
	p.write("out", "old", 0o644)
	var d diary
	plan, tools := supervised(p, &d, "bad", nil)
	r := Do(plan, tools)
	if !errors.Is(r.Err, ErrVerify) || r.Notified || !r.Revoked || !r.Rejected || r.Pending {
		t.Errorf("got %+v", r)
	}
	if want := []string{"command", "tell", "verify", "command"}; !slices.Equal(d.lines, want) {
		t.Errorf("got %q, want %q", d.lines, want)
	}
	p.want(map[string]string{"out": "old", "live": "bad"})
}

// A program that cannot be told is a failure of the action.
func TestTellFails(t *testing.T) {
	p := newPlace(t)
	p.write("out", "old", 0o644)
	var d diary
	plan, tools := supervised(p, &d, "new", func() error { return errors.New("the program has ended") })
	r := Do(plan, tools)
	if r.Err == nil || !strings.Contains(r.Err.Error(), "the program has ended") || r.Notified || !r.Rejected || r.Pending || len(r.Swapped) > 0 {
		t.Errorf("got %+v", r)
	}
	if want := []string{"command", "tell", "command"}; !slices.Equal(d.lines, want) {
		t.Errorf("got %q, want %q", d.lines, want)
	}
	p.want(map[string]string{"out": "old"})
}

// A program that is told while render stops: the next start does the rest.
func TestTellWhileStopping(t *testing.T) {
	p := newPlace(t)
	p.write("out", "old", 0o644)
	var d diary
	plan, tools := supervised(p, &d, "new", func() error { return ErrStopping })
	r := Do(plan, tools)
	if !errors.Is(r.Err, ErrStopping) || r.Notified || r.Rejected || !r.Pending || len(r.Debts) != 1 {
		t.Errorf("got %+v", r)
	}
	p.want(map[string]string{"out": "new", ".render-out.owed": owed("out"), ".render-out.old": "old"})
}

// Nobody is told where there is nothing to verify, where the command has failed, or before the start of the program.
func TestNobodyIsTold(t *testing.T) {
	for name, change := range map[string]func(plan *Plan, tools *Tools){
		"no verification": func(plan *Plan, _ *Tools) { plan.Action.Verify = Verify{} },
		"before the start": func(plan *Plan, _ *Tools) {
			plan.BeforeProgram = true
		},
		"the command fails": func(_ *Plan, tools *Tools) {
			tools.Run = func(run.Command, run.Limits) (string, error) { return "", errors.New("exit status 1") }
		},
		"nothing changes": func(plan *Plan, _ *Tools) { plan.Files[0].Contents = []byte("old") },
	} {
		t.Run(name, func(t *testing.T) {
			p := newPlace(t)
			p.write("out", "old", 0o644)
			var d diary
			plan, tools := supervised(p, &d, "new", nil)
			change(&plan, &tools)
			r := Do(plan, tools)
			if r.Notified || slices.Contains(d.lines, "tell") || slices.Contains(d.lines, "verify") {
				t.Errorf("%q; %+v", d.lines, r)
			}
		})
	}
}

func TestUnnotified(t *testing.T) {
	for _, test := range []struct {
		name string
		r    Result
		want bool
	}{
		{"nothing", Result{}, false},
		{"swapped", Result{Swapped: []string{"a"}}, true},
		{"swapped and notified", Result{Swapped: []string{"a"}, Notified: true}, false},
		{"put back", Result{Revoked: true}, true},
		{"appended after the notification", Result{Swapped: []string{"a"}, Notified: true, Appends: map[int]error{1: nil}}, true},
		{"not appended", Result{Appends: map[int]error{1: ErrLeftOut}}, false},
	} {
		if got := test.r.Unnotified(); got != test.want {
			t.Errorf("%s: got %v", test.name, got)
		}
	}
}
