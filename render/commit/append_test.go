package commit

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"

	"render/render/disk"
	"render/render/run"
)

// appending returns a plan with a line for the file journal in addition.
func (p place) appending(a Action, files map[string]string, line string) Plan {
	plan := p.plan(a, files)
	plan.Files = append(plan.Files, File{Destination: p.path("journal"), Contents: []byte(line + "\n"), Written: true, Append: true})
	return plan
}

// What is appended is so once, when the action has succeeded, whatever becomes of the files.
func TestAppendOnce(t *testing.T) {
	tests := []struct {
		name     string
		action   func(p place) Action
		files    map[string]string
		appended bool
		want     map[string]string
	}{
		{"no action", func(p place) Action { return Action{} }, map[string]string{"a": "1"}, true, map[string]string{"a": "1"}},
		{"nothing else changes", func(p place) Action { return Action{Command: p.sh("cat journal > seen")} }, nil, true, map[string]string{"seen": "0\n"}},
		{"files are tried alone", func(p place) Action {
			return Action{Check: p.sh("! grep -q bad a b c")}
		}, map[string]string{"a": "1", "b": "bad", "c": "3"}, true, map[string]string{"a": "1", "c": "3"}},
		{"a check before the swap rejects a file", func(p place) Action {
			return Action{Check: p.sh("! grep -q bad {}")}
		}, map[string]string{"a": "1", "b": "bad"}, true, map[string]string{"a": "1"}},
		{"a check rejects all", func(p place) Action {
			return Action{Check: p.sh("! grep -q bad a"), Atomic: true}
		}, map[string]string{"a": "bad", "b": "2"}, false, map[string]string{}},
		{"a check rejects the only file", func(p place) Action {
			return Action{Check: p.sh("! grep -q bad a")}
		}, map[string]string{"a": "bad"}, false, map[string]string{}},
		{"the command fails", func(p place) Action {
			return Action{Command: p.sh("exit 1")}
		}, map[string]string{"old": "new"}, false, map[string]string{".render-old.owed": owed("old")}},
		{"the command fails, and not for the old file", func(p place) Action {
			return Action{Command: p.sh("! grep -q new old")}
		}, map[string]string{"old": "new"}, false, map[string]string{}},
		{"the verification fails", func(p place) Action {
			return Action{Command: p.sh(":"), Verify: Verify{Command: p.sh("! grep -q new old"), Within: 1}}
		}, map[string]string{"old": "new"}, false, map[string]string{}},
		{"the command fails, and nothing else changes", func(p place) Action {
			return Action{Command: p.sh("exit 1")}
		}, nil, false, map[string]string{}},
		{"a file of an atomic action cannot be staged", func(p place) Action {
			return Action{Atomic: true}
		}, map[string]string{"a": "1", "dir": "2"}, false, map[string]string{}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			p := newPlace(t)
			p.write("journal", "0\n", 0o644)
			p.write("old", "old", 0o644)
			p.must(os.Mkdir(p.path("dir"), 0o755))
			r := p.do(p.appending(test.action(p), test.files, "1"))
			want := map[string]string{"journal": "0\n", "old": "old"}
			if test.appended {
				want["journal"] += "1\n"
			}
			for name, contents := range test.want {
				want[name] = contents
			}
			p.want(want)
			if got := len(r.Appends) == 1 && appended(r) == 1; got != test.appended || !got && len(r.Appends) > 0 {
				t.Errorf("got %+v", r)
			}
			if tried := slices.Contains(r.Tried, p.path("journal")); tried != test.appended {
				t.Errorf("tried: %q", r.Tried)
			}
		})
	}
}

// An atomic action that does only what it owes appends nothing.
func TestAppendOfAtomicActionThatOwes(t *testing.T) {
	p := newPlace(t)
	p.write("a", "old", 0o644)
	p.do(p.plan(Action{Command: p.sh("exit 1"), Atomic: true}, map[string]string{"a": "new"}))
	p.must(os.Mkdir(p.path("dir"), 0o755))
	r := p.do(p.appending(Action{Command: p.sh("cat a > seen"), Atomic: true}, map[string]string{"a": "new", "dir": "new"}, "1"))
	if !errors.Is(r.Err, ErrLeftOut) || !r.Ran || r.Pending || len(r.Appends) > 0 {
		t.Errorf("got %+v", r)
	}
	p.want(map[string]string{"a": "old", "seen": "old"})
}

// Commits that append to one file at the same time lose nothing.
func TestAppendsAtTheSameTime(t *testing.T) {
	p := newPlace(t)
	tools := newTools(t)
	const commits = 40
	var wg sync.WaitGroup
	results := make([]Result, commits)
	for i := range commits {
		plan := p.recall(p.appending(Action{}, map[string]string{fmt.Sprint("t", i): "new"}, fmt.Sprint("line ", i)))
		wg.Go(func() { results[i] = Do(plan, tools) })
	}
	wg.Wait()
	for i, r := range results {
		if r.Err != nil || len(r.Failed) > 0 || appended(r) != 1 {
			t.Errorf("%d: %+v", i, r)
		}
	}
	lines := strings.Split(strings.TrimSpace(p.files()["journal"]), "\n")
	slices.Sort(lines)
	if lines = slices.Compact(lines); len(lines) != commits {
		t.Errorf("%d lines of %d: %q", len(lines), commits, lines)
	}
}

// What cannot be appended is an error of that file. The others stay, and so does the action's success.
func TestAppendFails(t *testing.T) {
	for name, plant := range map[string]func(p place){
		"a folder": func(p place) { p.must(os.Mkdir(p.path("journal"), 0o755)) },
		"a link":   func(p place) { p.must(os.Symlink(p.write("real", "0\n", 0o644), p.path("journal"))) },
	} {
		t.Run(name, func(t *testing.T) {
			p := newPlace(t)
			plant(p)
			r := p.do(p.appending(Action{Command: p.sh("cat a > seen")}, map[string]string{"a": "new"}, "1"))
			if len(r.Appends) != 1 || len(r.Failed) > 0 {
				t.Errorf("got %+v", r)
			}
			for i, err := range r.Appends {
				if err == nil || !strings.Contains(err.Error(), "append to "+p.path("journal")) {
					t.Errorf("append %d: %v", i, err)
				}
			}
			if r.Err != nil || r.Pending || slices.Contains(r.Tried, p.path("journal")) || !slices.Equal(r.Swapped, []string{p.path("a")}) {
				t.Errorf("got %+v", r)
			}
			if files := p.files(); files["seen"] != "new" || files["real"] != "" && files["real"] != "0\n" {
				t.Errorf("the folder holds %q", files)
			}
		})
	}
}

// Several files of a commit may append to one path: each has a result of its own, and the path was tried once.
func TestAppendsToOnePath(t *testing.T) {
	p := newPlace(t)
	journal := p.path("journal")
	plan := p.plan(Action{}, map[string]string{"a": "new"})
	plan.Files = append(plan.Files,
		File{Destination: journal, Contents: []byte("1\n"), Append: true},
		File{Destination: journal, Contents: []byte("2\n"), Append: true, Options: disk.Options{User: "no-such-user-here"}},
		File{Destination: journal, Contents: []byte("3\n"), Append: true},
	)
	r := p.do(plan)
	first, second, third := r.Appends[1], r.Appends[2], r.Appends[3]
	if len(r.Appends) != 3 || first != nil || second == nil || third != nil || len(r.Failed) > 0 {
		t.Errorf("got %+v", r)
	}
	if want := []string{p.path("a"), journal}; !slices.Equal(r.Tried, want) {
		t.Errorf("tried %q, want %q", r.Tried, want)
	}
	p.want(map[string]string{"a": "new", "journal": "1\n3\n"})

	// All returns the errors of appends, too.
	err := All([]Plan{p.plan(Action{}, nil), plan}, newTools(t), func(int, Result) {})
	if err == nil || !strings.Contains(err.Error(), "append to "+journal) {
		t.Errorf("got %v", err)
	}
}

// A file that was written as a whole, and has a debt since, may be appended to later.
func TestAppendToDebt(t *testing.T) {
	p := newPlace(t)
	p.write("journal", "0\n", 0o644)
	r := p.commit(p.sh("exit 1"), map[string]string{"journal": "new"})
	plan := p.appending(Action{Command: p.appends("runs")}, nil, "1")
	plan.Debts, plan.Pending = r.Debts, r.Pending
	r = Do(plan, newTools(t))
	if r.Err != nil || r.Pending || len(r.Debts) > 0 || len(r.Tried) == 0 {
		t.Errorf("got %+v", r)
	}
	p.want(map[string]string{"journal": "0\n1\n", "runs": "ran\n"})
}

// The old file of a debt is restored before anything is appended to it.
func TestAppendToLiveDebt(t *testing.T) {
	p := newPlace(t)
	p.write("journal", "0\n", 0o644)
	p.crash(p.plan(Action{Command: run.Command{Shell: ":"}}, map[string]string{"journal": "bad\n"}), "swapped")
	r := p.do(p.appending(Action{Command: p.sh("! grep -q bad journal")}, nil, "1"))
	if r.Err == nil || !r.Rejected || !r.Revoked || r.Pending || len(r.Debts) > 0 || len(r.Appends) > 0 {
		t.Errorf("got %+v", r)
	}
	p.want(map[string]string{"journal": "0\n"})
}

// All appends as one commit does: after the action.
func TestAppendOfAll(t *testing.T) {
	p := newPlace(t)
	plans := []Plan{
		p.appending(Action{Command: p.sh("cat journal > seen-1; true")}, map[string]string{"a": "1"}, "1"),
		p.appending(Action{Command: run.Command{Shell: "exit 1"}}, map[string]string{"b": "2"}, "2"),
	}
	_ = All(plans, newTools(t), func(int, Result) {})
	if got := p.files()["journal"]; got != "1\n" {
		t.Errorf("the journal holds %q", got)
	}
}
