package commit

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"render/render/run"
)

// All writes all files or none, and runs the actions in order.
func TestAll(t *testing.T) {
	tests := []struct {
		name    string
		prepare func(p place)
		second  func(p place) Action // of the file b; those of a and c only run a command
		want    map[string]string
		done    []int  // plans with a result
		err     string // part of the error
	}{
		{"all succeed", nil, func(p place) Action {
			return Action{Check: p.sh("cat a c; grep -q new b"), Command: p.sh("echo b >> runs")}
		},
			map[string]string{"a": "new", "b": "new", "c": "new", "runs": "a\nb\nc\n"}, []int{0, 1, 2}, ""},
		{"a file cannot be staged", func(p place) { p.must(errors.Join(os.Remove(p.path("b")), os.Mkdir(p.path("b"), 0o755))) },
			func(p place) Action { return Action{Command: p.sh("echo b >> runs")} },
			map[string]string{"a": "old", "c": "old"}, nil, "/b: is a directory"},
		{"a check before the swap", nil, func(p place) Action { return Action{Check: p.sh("! grep -q new {}")} },
			map[string]string{"a": "old", "b": "old", "c": "old"}, nil, ErrCheck.Error()},
		{"a check in place", nil, func(p place) Action { return Action{Check: p.sh("! grep -q new b")} },
			map[string]string{"a": "old", "b": "old", "c": "old"}, nil, ErrCheck.Error()},
		{"a command fails", nil, func(p place) Action { return Action{Command: p.sh("echo b >> runs; ! grep -q new b")} },
			map[string]string{"a": "new", "b": "old", "c": "new", "runs": "a\nb\nb\nc\n"}, []int{0, 1, 2}, `command "cd `},
		{"a verification fails", nil, func(p place) Action { return Action{Verify: Verify{Command: p.sh("! grep -q new b"), Within: 1}} },
			map[string]string{"a": "new", "b": "old", "c": "new", "runs": "a\nc\n"}, []int{0, 1, 2}, ErrVerify.Error()},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			p := newPlace(t)
			for _, name := range []string{"a", "b", "c"} {
				p.write(name, "old", 0o644)
			}
			if test.prepare != nil {
				test.prepare(p)
			}
			plans := []Plan{
				p.plan(Action{Command: p.sh("echo a >> runs")}, map[string]string{"a": "new"}),
				p.plan(test.second(p), map[string]string{"b": "new"}),
				p.plan(Action{Command: p.sh("echo c >> runs")}, map[string]string{"c": "new"}),
			}
			var done []int
			err := All(plans, newTools(t), func(i int, r Result) { done = append(done, i) })
			if (err == nil) != (test.err == "") || err != nil && !strings.Contains(err.Error(), test.err) {
				t.Errorf("got %v, want %q", err, test.err)
			}
			if left := errors.Is(err, ErrLeftOut); left != (test.done == nil) {
				t.Errorf("got %v", err)
			}
			if !slices.Equal(done, test.done) {
				t.Errorf("results of %v, want %v", done, test.done)
			}
			p.want(test.want)
		})
	}
}

// All or none is true also where the program is about to end, or kills what it runs, during a check in place.
func TestAllInterrupted(t *testing.T) {
	for i, at := range []string{"check a", "check b", "check c"} {
		t.Run(at, func(t *testing.T) {
			p := newPlace(t)
			var plans []Plan
			for _, name := range []string{"a", "b", "c"} {
				p.write(name, "old", 0o644)
				action := Action{Check: run.Command{Shell: "check " + name}, Command: run.Command{Shell: "command"}}
				plans = append(plans, p.plan(action, map[string]string{name: "new", name + "-2": "new"}))
			}
			checks := 0
			tools := newTools(t)
			tools.Run = func(c run.Command, _ run.Limits) (string, error) {
				checks++
				if c.Shell == at {
					return "", run.ErrKilled
				}
				return "", nil
			}
			err := All(plans, tools, func(int, Result) { t.Error("a result") })
			if !errors.Is(err, ErrLeftOut) || !errors.Is(err, ErrStopping) || checks != i+1 {
				t.Errorf("%d programs: %v", checks, err)
			}
			p.want(map[string]string{"a": "old", "b": "old", "c": "old"})
		})
	}
}

// An action of All is atomic, also where it is not on its own.
func TestAllIsAtomic(t *testing.T) {
	p := newPlace(t)
	files := map[string]string{"a": "new", "b": "bad"}
	for name := range files {
		p.write(name, "old", 0o644)
	}
	action := Action{Check: p.sh("! grep -q bad a b")}
	err := All([]Plan{p.plan(action, files)}, newTools(t), func(int, Result) { t.Error("a result") })
	if !errors.Is(err, ErrLeftOut) || !errors.Is(err, ErrCheck) {
		t.Errorf("got %v", err)
	}
	p.want(map[string]string{"a": "old", "b": "old"})
}

// All with what an earlier run owes, and a check in place that rejects: what was in place before is so afterwards.
func TestAllAfterACrash(t *testing.T) {
	p := newPlace(t)
	p.write("a", "old", 0o644)
	p.crash(p.plan(Action{Command: run.Command{Shell: ":"}}, map[string]string{"a": "new", "b": "new"}), "swapped")
	plans := []Plan{
		p.recall(p.plan(Action{Command: p.appends("runs")}, map[string]string{"a": "newer", "b": "newer"})),
		p.plan(Action{Check: run.Command{Shell: "false"}}, map[string]string{"c": "new"}),
	}
	err := All(plans, newTools(t), func(int, Result) { t.Error("a result") })
	if !errors.Is(err, ErrLeftOut) {
		t.Errorf("got %v", err)
	}
	files := p.files()
	if got := fmt.Sprint(files["a"], files["b"], files["c"], files["runs"]); got != "old" && got != "newnew" {
		t.Errorf("the folder holds %q", files)
	}
	plans[0] = p.recall(plans[0])
	if !plans[0].Pending {
		t.Error("the action is not pending any more")
	}
	p.must(All(plans[:1], newTools(t), func(int, Result) {}))
	p.want(map[string]string{"a": "newer", "b": "newer", "runs": "ran\n"})
}
