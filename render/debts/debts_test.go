package debts

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"render/render/disk"
)

// parse returns debts of a text: their paths and, behind a colon, their marks.
func parse(text string) (all []disk.Debt) {
	for field := range strings.FieldsSeq(text) {
		path, mark, _ := strings.Cut(field, ":")
		all = append(all, disk.Debt{Path: path, Mark: mark})
	}
	return all
}

// show returns the paths of debts.
func show(debts []disk.Debt) string {
	var paths []string
	for _, d := range debts {
		paths = append(paths, d.Path)
	}
	return strings.Join(paths, " ")
}

// table returns one with the debts of actions.
func table(debts map[string]string) *Table[string] {
	t := New[string]()
	for a, text := range debts {
		t.Set(a, parse(text))
	}
	return t
}

// wantDebts checks all debts of a table.
func wantDebts(t *testing.T, table *Table[string], want map[string]string) {
	t.Helper()
	got := make(map[string]string)
	for a := range table.Holders() {
		got[a] = show(table.Of(a))
	}
	if !maps.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	if table.IsEmpty() != (len(want) == 0) {
		t.Errorf("it is empty: %v", table.IsEmpty())
	}
}

func wantActions(t *testing.T, what string, got []string, want ...string) {
	t.Helper()
	if slices.Sort(got); !slices.Equal(got, want) {
		t.Errorf("%s: got %v, want %v", what, got, want)
	}
}

func TestSet(t *testing.T) {
	x := New[string]()
	wantDebts(t, x, nil)
	x.Set("web", parse("a b"))
	wantDebts(t, x, map[string]string{"web": "a b"})
	x.Set("web", parse("b c"))
	wantDebts(t, x, map[string]string{"web": "b c"})
	if others := x.Others("db", slices.Values([]string{"a"})); len(others) > 0 {
		t.Errorf("a is a debt of %v", others)
	}
	x.Set("web", nil)
	wantDebts(t, x, nil)
}

func TestOthers(t *testing.T) {
	x := table(map[string]string{"web": "a b", "db": "c"})
	for _, tt := range []struct{ action, paths, want string }{
		{"web", "a b", "map[]"},
		{"web", "c d", "map[db:map[c:true]]"},
		{"new", "d", "map[]"},
		{"new", "a b c d", "map[db:map[c:true] web:map[a:true b:true]]"},
	} {
		if got := fmt.Sprint(x.Others(tt.action, slices.Values(strings.Fields(tt.paths)))); got != tt.want {
			t.Errorf("%s, %s: got %s, want %s", tt.action, tt.paths, got, tt.want)
		}
	}
}

// Of two actions that have a debt for one path, the one counts that got it last.
func TestOthersOfOnePath(t *testing.T) {
	x := New[string]()
	x.Set("web", parse("a"))
	x.Set("db", parse("a"))
	x.Set("web", nil)
	if got := fmt.Sprint(x.Others("new", slices.Values([]string{"a"}))); got != "map[db:map[a:true]]" {
		t.Error(got)
	}
}

func TestGather(t *testing.T) {
	x := table(map[string]string{"web": "a b", "db": "c", "new": "d"})
	wantActions(t, "nothing", x.Gather("new", slices.Values([]string{"d", "e"})))
	wantDebts(t, x, map[string]string{"web": "a b", "db": "c", "new": "d"})
	wantActions(t, "two", x.Gather("new", slices.Values([]string{"b", "c"})), "db", "web")
	got := strings.Fields(show(x.Of("new")))
	if slices.Sort(got); !slices.Equal(got, []string{"b", "c", "d"}) {
		t.Errorf("got %v", got)
	}
	wantActions(t, "none is left", x.Gather("web", slices.Values([]string{"b", "c", "d"})), "new")
	if len(x.Of("web")) != 4 || len(x.Of("new")) > 0 {
		t.Errorf("got %v, %v", x.Of("web"), x.Of("new"))
	}
}

func TestMove(t *testing.T) {
	x := table(map[string]string{"web": "a b", "db": "c"})
	lost, gained := x.Move(func(holder string, d disk.Debt) (string, disk.Debt) {
		if d.Path == "c" {
			d.Path = "other name of c"
		}
		return holder, d
	})
	wantActions(t, "lost", lost)
	wantActions(t, "gained", gained)
	wantDebts(t, x, map[string]string{"web": "a b", "db": "other name of c"})

	// Two actions exchange debts: each is moved once.
	lost, gained = x.Move(func(holder string, d disk.Debt) (string, disk.Debt) {
		switch {
		case holder == "db":
			return "web", d
		case d.Path == "a":
			return "db", d
		}
		return holder, d
	})
	wantActions(t, "lost", lost, "db", "web")
	wantActions(t, "gained", gained, "db", "web")
	wantDebts(t, x, map[string]string{"web": "b other name of c", "db": "a"})
}

func TestGive(t *testing.T) {
	for _, tt := range []struct {
		name, debts string
		actions     map[string]string
		want        map[string]string
	}{
		{"nothing", "", nil, nil},
		{"nobody's", "a:1 b:1", nil, nil},
		{"of their files", "a:1 b:2", map[string]string{"a": "web", "b": "db"}, map[string]string{"web": "a", "db": "b"}},
		{"of their marks", "a:1 b:2 c:1 d:2 e:3", map[string]string{"a": "web", "b": "db"}, map[string]string{"web": "a c", "db": "b d"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			x := New[string]()
			wantActions(t, "gained", x.Give(parse(tt.debts), tt.actions), slices.Sorted(maps.Keys(tt.want))...)
			wantDebts(t, x, tt.want)
		})
	}

	x := table(map[string]string{"web": "a"})
	wantActions(t, "gained", x.Give(parse("b"), map[string]string{"b": "web"}), "web")
	wantDebts(t, x, map[string]string{"web": "a b"})
}

// A mark says only of debts of one action whose they are: another action may have got some of them since.
func TestOwners(t *testing.T) {
	x := table(map[string]string{"web": "a:1 b:1 c:2", "db": "d:1 e:3"})
	got := Owners(x, map[string]int{"a": 1, "e": 2, "f": 3})
	if want := map[string]int{"a": 1, "b": 1, "e": 2}; !maps.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

// No debt is lost or doubled, and each is found by its path, whatever is done.
func TestManyMoves(t *testing.T) {
	for seed := range uint64(500) {
		rnd := rand.New(rand.NewPCG(seed, 0))
		actions := []string{"web", "db", "mail"}
		x := New[string]()
		want := make(map[string]string) // the action of each path
		for step := range 20 {
			switch rnd.IntN(3) {
			case 0:
				path, a := fmt.Sprint(step), actions[rnd.IntN(3)]
				x.Give([]disk.Debt{{Path: path}}, map[string]string{path: a})
				want[path] = a
			case 1:
				a, path := actions[rnd.IntN(3)], fmt.Sprint(rnd.IntN(20))
				x.Gather(a, slices.Values([]string{path}))
				if want[path] != "" {
					want[path] = a
				}
			case 2:
				to := make(map[string]string)
				for path := range want {
					to[path] = actions[rnd.IntN(3)]
				}
				x.Move(func(_ string, d disk.Debt) (string, disk.Debt) { return to[d.Path], d })
				maps.Copy(want, to)
			}
		}
		got := make(map[string]string)
		for a := range x.Holders() {
			for _, d := range x.Of(a) {
				if got[d.Path] != "" {
					t.Fatalf("seed %d: %s is a debt twice", seed, d.Path)
				}
				got[d.Path] = a
			}
		}
		if !maps.Equal(got, want) {
			t.Fatalf("seed %d: got %v, want %v", seed, got, want)
		}
		for path, a := range want {
			if others := x.Others("new", slices.Values([]string{path})); len(others) != 1 || !others[a][path] {
				t.Fatalf("seed %d: %s is found as the debt of %v, and is that of %s", seed, path, others, a)
			}
		}
	}
}
