package disk

import (
	"os"
	"strings"
	"testing"
)

// killedInFolders commits a file in each of two folders, up to a step.
func killedInFolders(t *testing.T, at string) testPlace {
	t.Helper()
	p := newPlace(t)
	for _, name := range []string{"one", "two"} {
		p.must(os.Mkdir(p.path(name), 0o755))
		p.write(name+"/a", "old", 0o644)
	}
	type crash struct{}
	func() {
		defer func() {
			if r := recover(); r != (crash{}) {
				t.Fatalf("it did not come to the step %q: %v", at, r)
			}
		}()
		commit(func(step string) {
			if step == at {
				panic(crash{})
			}
		}, succeeds, nil, p.wants("one/a", "new"), p.wants("two/a", "new"))
	}()
	return p
}

// A start completes what a crash has interrupted after the first mark has said that the action has succeeded, whichever folder it
// knows. Where the first mark does not say so, or cannot be asked, the action is repeated.
func TestRecallOfFolders(t *testing.T) {
	for _, test := range []struct {
		name   string
		at     string
		before func(p testPlace)
		asked  []string
		debts  int
		marks  []string // that are left
	}{
		{"not decided", "acted", nil, []string{"one/a", "two/a"}, 2, []string{"one", "two"}},
		{"not decided, the other alone", "acted", nil, []string{"two/a"}, 1, []string{"one", "two"}},
		{"not decided, the first is gone", "acted", func(p testPlace) { p.must(os.Remove(p.path("one/.render-a.owed"))) }, []string{"two/a"}, 1, []string{"two"}},
		{"decided", "decided", nil, []string{"one/a", "two/a"}, 0, nil},
		{"decided, the first alone", "decided", nil, []string{"one/a"}, 0, nil},
		{"decided, the other alone", "decided", nil, []string{"two/a"}, 0, []string{"one"}},
		{"decided, the other removed", "unmarked one", nil, []string{"one/a"}, 0, nil},
		{"decided, the other folder is gone", "decided", func(p testPlace) { p.must(os.RemoveAll(p.path("two"))) }, []string{"one/a", "two/a"}, 0, nil},
		{"decided, the first folder is gone", "decided", func(p testPlace) { p.must(os.RemoveAll(p.path("one"))) }, []string{"one/a", "two/a"}, 1, []string{"two"}},
		{"decided, the first mark may be somebody else's", "decided", func(p testPlace) {
			p.must(os.Chmod(p.path("one/.render-a.owed"), 0o666))
		}, []string{"one/a", "two/a"}, 1, []string{"one", "two"}},
		{"decided, the other mark is of a later commit", "decided", func(p testPlace) {
			text := p.files()["one/.render-a.owed"]
			b := NewBatch(nil)
			f, _, err := b.Stage(p.wants("two/a", "later"))
			p.must(err)
			_, _, err = b.Save([]*File{f})
			p.must(err)
			_, err = f.Swap()
			p.must(err)
			if p.files()["one/.render-a.owed"] != text {
				t.Error("the first mark is another")
			}
		}, []string{"one/a", "two/a"}, 1, []string{"two"}},
	} {
		for _, how := range []string{"Recall", "Leftovers"} {
			t.Run(test.name+", "+how, func(t *testing.T) {
				p := killedInFolders(t, test.at)
				if test.before != nil {
					test.before(p)
				}
				for range 2 { // the second time finds the same
					var debts []Debt
					l := new(Leftovers)
					for _, name := range test.asked {
						recall := func() ([]Debt, error) { return Recall([]string{p.path(name)}) }
						if how == "Leftovers" {
							recall = func() ([]Debt, error) { return l.Recall(p.path(name)) }
						}
						found, err := recall()
						p.must(err)
						debts = append(debts, found...)
					}
					if len(debts) != test.debts {
						t.Fatalf("debts %+v, want %d", debts, test.debts)
					}
				}
				files := p.files()
				var marks []string
				for _, folder := range []string{"one", "two"} {
					if _, ok := files[folder+"/.render-a.owed"]; ok {
						marks = append(marks, folder)
					}
				}
				if len(marks) != len(test.marks) || len(marks) > 0 && marks[0] != test.marks[0] {
					t.Errorf("marks in %q, want %q: %q", marks, test.marks, files)
				}
			})
		}
	}
	if text := killedInFolders(t, "decided").files()["one/.render-a.owed"]; strings.Count(text, `"settled":`) != 1 {
		t.Errorf("the first mark holds %q", text)
	}
}
