package commit

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"render/render/run"
)

// After a crash at any step of a commit with files in several folders, the next start has all files of an atomic action old or
// all new, whether the action succeeds then or not, and whatever folder the start asks first.
func TestCrashOverFolders(t *testing.T) {
	contents := func(text string) map[string]string {
		return map[string]string{"one/a": text, "two/b": text, "two/made": text, "three/c": text}
	}
	begin := func(t *testing.T, earlier bool) place {
		p := newPlace(t)
		for _, name := range []string{"one/a", "two/b", "three/c"} {
			p.must(os.MkdirAll(p.path(name[:strings.Index(name, "/")]), 0o755))
			p.write(name, "old", 0o644)
		}
		if earlier { // debts of several marks, as they come from a crash between two commits
			for _, name := range []string{"three/c", "one/a"} {
				p.crash(p.plan(Action{Command: run.Command{Shell: ":"}}, map[string]string{name: "earlier"}), "swapped")
			}
		}
		return p
	}
	all := func(p place) string {
		files := p.files()
		return strings.Join([]string{files["one/a"], files["two/b"], files["two/made"], files["three/c"]}, " ")
	}
	crashAt := func(p place, plan Plan, at int) (crash bool) {
		tools := newTools(p.t)
		tools.Step = func(string) {
			if at--; at < 0 {
				panic(crashed{})
			}
		}
		return crashes(func() { Do(plan, tools) })
	}

	for _, earlier := range []bool{false, true} {
		for _, fails := range []bool{false, true} {
			action := func(p place) Action {
				line := ":"
				if fails {
					line = "! grep -q new */*"
				}
				return Action{Command: p.sh(line), Atomic: true}
			}
			for step := 0; ; step++ {
				p := begin(t, earlier)
				if !crashAt(p, p.recall(p.plan(action(p), contents("new"))), step) {
					if step < 20 {
						t.Errorf("%d steps", step)
					}
					break
				}
				t.Run(fmt.Sprintf("earlier %v, fails %v, step %d", earlier, fails, step), func(t *testing.T) {
					p.t = t
					swapped := all(p)
					plan := p.recall(p.plan(Action{}, contents("new")))
					if isNew := "new new new new"; swapped == isNew && len(plan.Debts) != 0 && len(plan.Debts) != 4 {
						t.Fatalf("some files are pending, and others are not: %v", plan.Debts)
					}

					// What is owed fails now, for these contents; another crash may come at any step of that, too.
					plan.Action = Action{Command: p.sh("! grep -q new */*"), Atomic: true}
					crashAt(p, plan, step%7)
					plan = p.recall(plan)
					r := Do(plan, newTools(t))
					switch got := all(p); {
					case got == "new new new new" && r.Err == nil: // it had succeeded before the crash
					case got == "old old  old":
					default:
						t.Errorf("it holds %q, and held %q after the crash: %+v", got, swapped, r)
					}
					if r = Do(p.recall(p.plan(Action{Command: p.sh(":"), Atomic: true}, contents("good"))), newTools(t)); r.Err != nil || r.Pending {
						t.Errorf("got %+v", r)
					}
					p.wantClean()
				})
			}
		}
	}
}
