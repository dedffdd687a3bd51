package commit

import (
	"os"
	"testing"

	"render/render/run"
)

// The next start runs what is owed for a file that is back, although nothing else says so.
func TestKilledBetweenUndoAndCommand(t *testing.T) {
	p := newPlace(t)
	p.write("out", "old", 0o644)
	p.crash(p.plan(Action{Command: p.sh("cat out >> seen; grep -q old out")}, map[string]string{"out": "new"}), "undone")
	p.want(map[string]string{"out": "old", "seen": "new", ".render-out.owed": owed("out")})
	if r := p.commit(p.sh("cat out >> seen"), map[string]string{"out": "old"}); r.Err != nil || !r.Ran {
		t.Errorf("got %+v", r)
	}
	p.want(map[string]string{"out": "old", "seen": "newold"})
}

// A crash between two steps of bookkeeping leaves nothing that misleads.
func TestHalfAMark(t *testing.T) {
	swapped := func(contents string) func(p place) { // by a commit that then crashes
		return func(p place) {
			p.crash(p.plan(Action{Command: run.Command{Shell: ":"}}, map[string]string{"out": contents}), "swapped")
		}
	}
	old := func(p place) { p.write("out", "old", 0o644) }
	older := func(p place) { p.write("out", "older", 0o644) }
	tests := []struct {
		name  string
		setUp []func(p place) // then out holds old
		ran   bool
		want  string // of the file, after a command that fails for what is new
	}{
		{"a saved file without a mark", []func(place){old, func(p place) { p.write(".render-out.old", "older", 0o644) }}, false, "old"},
		{"an empty mark", []func(place){old, func(p place) { p.write(".render-out.owed", "", 0o600) }}, true, "old"},
		{"a mark of an earlier version", []func(place){old, func(p place) {
			p.write(".render-out.owed", "An action has yet to succeed since the file beside this one was changed.\n", 0o600)
			p.write(".render-out.old", "older", 0o644)
		}}, true, "old"},
		{"a mark without entries", []func(place){old, func(p place) { p.write(".render-out.owed", markText, 0o600) }}, true, "old"},
		{"a mark without a saved file: it is back", []func(place){old, swapped("new"), func(p place) {
			p.must(os.Rename(p.path(".render-out.old"), p.path("out")))
		}}, true, "old"},
		{"a mark and a saved file", []func(place){older, swapped("old")}, true, "older"},
		{"a mark and a saved file that was replaced", []func(place){older, swapped("old"), func(p place) {
			p.write("another", "evil", 0o644)
			p.must(os.Rename(p.path("another"), p.path(".render-out.old")))
		}}, true, "old"},
		{"a mark and a saved file that was changed", []func(place){older, swapped("old"), func(p place) {
			p.write(".render-out.old", "changed", 0o644)
		}}, true, "old"},
		{"a mark of no file before", []func(place){swapped("old")}, true, "new"}, // a command that fails leaves what is first
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			setUp := func() place {
				p := newPlace(t)
				for _, step := range test.setUp {
					step(p)
				}
				if got := p.files()["out"]; got != "old" {
					t.Fatalf("the file holds %q", got)
				}
				return p
			}
			p := setUp()
			if r := p.commit(p.sh(":"), map[string]string{"out": "old"}); r.Err != nil || r.Ran != test.ran || r.Pending {
				t.Errorf("got %+v", r)
			}
			p.want(map[string]string{"out": "old"})

			p = setUp()
			r := p.commit(p.sh("! grep -q new out"), map[string]string{"out": "new"})
			if r.Err == nil || p.files()["out"] != test.want {
				t.Errorf("%q, err %v", p.files(), r.Err)
			}
		})
	}
}

// What is kept of a file survives a second failure, and a third.
func TestMarkedAgain(t *testing.T) {
	p := newPlace(t)
	p.write("out", "old", 0o644)
	p.must(os.Link(p.path("out"), p.path("link")))
	fails := p.sh("exit 1")
	for range 2 {
		if r := p.commit(fails, map[string]string{"out": "new"}); r.Err == nil || !r.Pending {
			t.Fatalf("got %+v", r)
		}
		p.want(map[string]string{"out": "old", "link": "old", ".render-out.owed": owed("out")})
	}
	p.crash(p.plan(Action{Command: fails}, map[string]string{"out": "new"}), "swapped")
	p.want(map[string]string{"out": "new", "link": "old", ".render-out.owed": owed("out"), ".render-out.old": "old"})
	if r := p.commit(p.sh("grep -q old out"), map[string]string{"out": "new"}); r.Err == nil || r.Pending {
		t.Errorf("got %+v", r)
	}
	p.want(map[string]string{"out": "old", "link": "old"})
	if before, after := p.ino("link"), p.ino("out"); before != after {
		t.Error("it is another file with the same contents")
	}
}

// A file that is back is left alone while its action is repeated, and the action runs once a time.
func TestOwedOnly(t *testing.T) {
	p := newPlace(t)
	p.write("out", "old", 0o644)
	p.commit(p.sh("exit 1"), map[string]string{"out": "new"})
	before := p.ino("out")
	if r := p.commit(p.sh("echo ran >> runs; exit 1"), map[string]string{"out": "old"}); r.Err == nil || !r.Pending {
		t.Errorf("got %+v", r)
	}
	p.want(map[string]string{"out": "old", "runs": "ran\n", ".render-out.owed": owed("out")})
	if p.ino("out") != before {
		t.Error("it was written again")
	}
}

// A crash between the second name and the swap leaves two names of one file. None of them stays.
func TestKilledBeforeTheSwap(t *testing.T) {
	p := newPlace(t)
	p.write("out", "old", 0o644)
	plan := func(command, contents string) Plan {
		plan := p.plan(Action{Command: p.sh(command)}, map[string]string{"out": contents})
		plan.Files[0].Options.Backup = true
		return plan
	}
	crash := func() {
		t.Helper()
		p.crash(plan(":", "new"), "marked")
		files := p.files()
		if files[".render-out.old"] != "old" || files[".render-out.owed"] != owed("out") || p.ino("out") != p.ino(".render-out.old") {
			t.Fatalf("the folder holds %q", files)
		}
	}
	crash()
	r := p.do(plan("echo ran >> runs; [ $(wc -l < runs) = 2 ]", "old")) // fails, and then not
	if r.Err == nil || !r.Pending {
		t.Errorf("got %+v", r)
	}
	r = p.do(plan("echo ran >> runs; [ $(wc -l < runs) = 2 ]", "old"))
	if r.Err != nil || r.Pending {
		t.Errorf("got %+v", r)
	}
	p.want(map[string]string{"out": "old", "runs": "ran\nran\n"})

	crash()
	if r = p.do(plan(":", "old")); r.Err != nil || r.Pending {
		t.Errorf("got %+v", r)
	}
	p.want(map[string]string{"out": "old", "runs": "ran\nran\n"}) // nothing has changed: no backup
}

// What an action owed is nobody's business any more when there is no action.
func TestOwedWithoutAction(t *testing.T) {
	for _, contents := range []string{"new", "newer"} {
		p := newPlace(t)
		p.write("out", "old", 0o644)
		p.crash(p.plan(Action{Command: run.Command{Shell: ":"}}, map[string]string{"out": "new"}), "swapped")
		p.want(map[string]string{"out": "new", ".render-out.owed": owed("out"), ".render-out.old": "old"})
		if r := p.commit(run.Command{}, map[string]string{"out": contents}); r.Err != nil || r.Pending || len(r.Debts) > 0 {
			t.Errorf("got %+v", r)
		}
		p.want(map[string]string{"out": contents})
	}
}

// Contents of an earlier run that the check rejects go back, too.
func TestCheckOfWhatIsOwed(t *testing.T) {
	p := newPlace(t)
	p.write("out", "old", 0o644)
	p.crash(p.plan(Action{Command: run.Command{Shell: ":"}}, map[string]string{"out": "bad"}), "swapped")
	r := p.do(p.plan(Action{Check: run.Command{Shell: "! grep -q bad {}"}, Command: p.sh("cat out > seen")}, map[string]string{"out": "bad"}))
	if r.Failed[p.path("out")] == nil || !r.Revoked || r.Pending || !r.Ran {
		t.Errorf("got %+v", r)
	}
	p.want(map[string]string{"out": "old", "seen": "old"})
}

// A crash in the middle of a swap, or of an undo, leaves old and new files of an atomic action in place. Where the next start has
// no contents for all of them, the action runs for the old files, and not for the mixture.
func TestAtomicMixture(t *testing.T) {
	all := map[string]string{"a": "new", "b": "new", "c": "new"}
	for _, step := range []string{"swapped one", "undone one"} {
		for name, next := range map[string]func(p place) (plan Plan, want string){
			"a file cannot be staged": func(p place) (Plan, string) {
				p.must(os.Mkdir(p.path("bad"), 0o755))
				return p.plan(Action{}, map[string]string{"a": "newer", "b": "newer", "c": "newer", "bad": "newer"}), "old"
			},
			"a check rejects a file": func(p place) (Plan, string) {
				return p.plan(Action{Check: p.sh("! grep -q bad {}")}, map[string]string{"a": "newer", "b": "bad", "c": "newer"}), "old"
			},
			"no contents": func(p place) (Plan, string) { return Plan{}, "old" },
			"all contents": func(p place) (Plan, string) {
				return p.plan(Action{}, map[string]string{"a": "newer", "b": "newer", "c": "newer"}), "newer"
			},
		} {
			t.Run(step+", "+name, func(t *testing.T) {
				p := newPlace(t)
				p.write("a", "old", 0o644)
				p.write("b", "old", 0o644)
				p.write("c", "old", 0o644)
				p.crash(p.plan(Action{Command: p.sh("! grep -q new a b c"), Atomic: true}, all), step)
				mixture := p.files()
				if old, isNew := mixture["a"]+mixture["b"]+mixture["c"], "newnewnew"; old == "oldoldold" || old == isNew {
					t.Fatalf("the folder holds %q", mixture)
				}

				debts := p.recall(p.plan(Action{}, all))
				plan, want := next(p)
				plan.Debts, plan.Pending = debts.Debts, debts.Pending
				plan.Action.Atomic, plan.Action.Command = true, p.sh("echo $(cat a b c) >> seen")
				if r := Do(plan, newTools(t)); r.Pending || len(r.Debts) > 0 || !r.Ran || r.Revoked != (want == "old") {
					t.Errorf("got %+v", r)
				}
				p.want(map[string]string{"a": want, "b": want, "c": want, "seen": want + want + want + "\n"})
			})
		}
	}
}

// Files of an earlier commit that the check rejects, and for which there are no contents now, go back, and the command is
// told of them.
func TestCheckOfWhatIsOwedAlone(t *testing.T) {
	p := newPlace(t)
	p.write("a", "old", 0o644)
	p.write("b", "old", 0o644)
	p.crash(p.plan(Action{Command: run.Command{Shell: ":"}}, map[string]string{"a": "bad", "b": "bad"}), "swapped")
	plan := p.recall(p.plan(Action{}, map[string]string{"a": "", "b": ""}))
	plan.Files = nil
	plan.Action = Action{Check: p.sh("! grep -q bad a b"), Command: p.sh(`for f in $RENDER_CHANGED; do cat $f >> seen; done`)}
	r := Do(plan, newTools(t))
	if r.Err != nil || r.Pending || len(r.Debts) > 0 || len(r.Tried) != 2 {
		t.Errorf("got %+v", r)
	}
	p.want(map[string]string{"a": "old", "b": "old", "seen": "oldold"})
}
