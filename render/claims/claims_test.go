package claims

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
)

// A model holds the claims of owners, and who waits, without an index.
type model struct {
	claims map[string]map[string]bool // by owner and path: whether it appends
	waits  map[string]string
}

func (m *model) excluded(path, owner string, appends bool) bool {
	for other, claims := range m.claims {
		if has, ok := claims[path]; ok && other != owner && !(has && appends) {
			return true
		}
	}
	return false
}

func (m *model) wake(path string) (woken []string) {
	for owner, waitsFor := range m.waits {
		if waitsFor == path {
			woken = append(woken, owner)
			delete(m.waits, owner)
		}
	}
	return woken
}

func (m *model) set(owner string, wanted map[string]bool) (released, woken []string) {
	maps.DeleteFunc(wanted, func(path string, appends bool) bool { return m.excluded(path, owner, appends) })
	for path, appended := range m.claims[owner] {
		appends, still := wanted[path]
		if !still {
			released = append(released, path)
		}
		if !still || appends && !appended { // others may append now
			woken = append(woken, m.wake(path)...)
		}
	}
	m.claims[owner] = wanted
	return released, woken
}

func (m *model) take(path string) (holders []string) {
	for owner, claims := range m.claims {
		if _, ok := claims[path]; ok {
			holders = append(holders, owner)
			delete(claims, path)
		}
	}
	return holders
}

// A table does what a model without an index does, whatever comes in whatever order, and keeps nothing when all is over.
func TestModel(t *testing.T) {
	names := []string{"a", "b", "c", "d", "e"}
	for seed := range uint64(50) {
		random := rand.New(rand.NewPCG(seed, 0))
		table := New[string]()
		m := &model{make(map[string]map[string]bool), make(map[string]string)}
		pick := func(names []string) string { return names[random.IntN(len(names))] }
		excluded, woken := 0, 0
		compare := func(step int, what string, got, want []string) {
			t.Helper()
			slices.Sort(got)
			slices.Sort(want)
			if !slices.Equal(got, want) {
				t.Fatalf("seed %d, step %d: %s: got %v, want %v", seed, step, what, got, want)
			}
		}
		for step := range 3000 {
			owner, path := pick(names), "/"+pick(names)
			switch random.IntN(6) {
			case 0, 1:
				wanted := make(map[string]bool)
				for range random.IntN(3) {
					wanted["/"+pick(names)] = random.IntN(2) == 0
				}
				gotReleased, gotWoken := table.Set(owner, maps.Clone(wanted))
				wantReleased, wantWoken := m.set(owner, wanted)
				compare(step, "released", gotReleased, wantReleased)
				compare(step, "woken", gotWoken, wantWoken)
				woken += len(gotWoken)
			case 2:
				compare(step, "holders", table.Take(path), m.take(path))
			case 3:
				table.Wait(path, owner)
				m.waits[owner] = path
			case 4:
				table.StopWaiting(owner)
				delete(m.waits, owner)
			case 5:
				compare(step, "woken", table.Free(path), m.wake(path))
			}

			for _, owner := range names {
				if got, want := table.Of(owner), m.claims[owner]; !maps.Equal(got, want) {
					t.Fatalf("seed %d, step %d: claims of %s: got %v, want %v", seed, step, owner, got, want)
				}
			}
			appends := random.IntN(2) == 0
			other, taken := table.Other(path, owner, appends)
			if taken != m.excluded(path, owner, appends) || taken && other == owner {
				t.Fatalf("seed %d, step %d: other of %s for %s: got %q, %v", seed, step, owner, path, other, taken)
			}
			if taken {
				if _, ok := m.claims[other][path]; !ok {
					t.Fatalf("seed %d, step %d: %s has no claim to %s", seed, step, other, path)
				}
				excluded++
			}
		}
		if excluded < 100 || woken < 20 {
			t.Errorf("seed %d: only %d excluded and %d woken", seed, excluded, woken)
		}

		for _, owner := range names {
			table.Set(owner, nil)
			table.StopWaiting(owner)
		}
		if len(table.paths)+len(table.owners)+len(table.waiting)+len(table.waits) > 0 {
			t.Fatalf("seed %d: kept: %+v", seed, table)
		}
	}
}

// Several owners append to a path; nobody else writes it until all of them have released it.
func TestAppends(t *testing.T) {
	table := New[string]()
	table.Set("a", map[string]bool{"/log": true})
	table.Set("b", map[string]bool{"/log": true})
	if _, taken := table.Other("/log", "c", true); taken {
		t.Error("c may append, too")
	}
	for _, holder := range []string{"b", "a"} {
		table.Wait("/log", "c")
		if _, taken := table.Other("/log", "c", false); !taken {
			t.Errorf("%s appends, and c may write", holder)
		}
		if released, woken := table.Set(holder, nil); !slices.Equal(released, []string{"/log"}) || !slices.Equal(woken, []string{"c"}) {
			t.Errorf("released %v, woken %v", released, woken)
		}
	}
	if other, taken := table.Other("/log", "c", false); taken {
		t.Errorf("%s has it", other)
	}
}

// Where a path leads is known until an owner releases the path.
func TestLead(t *testing.T) {
	table := New[string]()
	table.Set("a", map[string]bool{"/link": false, "/file": false})
	for _, test := range []struct {
		path, real string
		news       bool
		names      []string
	}{
		{"/link", "", false, []string{"/link"}},
		{"/file", "/file", false, []string{"/file"}},
		{"/link", "/real", true, []string{"/link", "/real"}},
		{"/link", "/real", false, []string{"/link", "/real"}},
		{"/link", "", false, []string{"/link", "/real"}},
		{"/link", "/other", true, []string{"/link", "/other"}},
	} {
		if news := table.Lead(test.path, test.real); news != test.news || !slices.Equal(table.Names(test.path), test.names) {
			t.Errorf("%s leads to %q: new %v, names %v", test.path, test.real, news, table.Names(test.path))
		}
	}
	table.Set("a", map[string]bool{"/link": false})
	if names := table.Names("/link"); len(names) != 2 {
		t.Errorf("it is not released, and has the names %v", names)
	}
	table.Set("a", nil)
	if names := table.Names("/link"); len(names) != 1 {
		t.Errorf("it is released, and has the names %v", names)
	}
}

// What Set costs grows with the claims of the owner, not with those of all.
func BenchmarkSet(b *testing.B) {
	table := New[int]()
	const n = 10_000
	for i := range n {
		table.Set(i, map[string]bool{fmt.Sprint("/", i): false, "/log": true})
	}
	i := 0
	for b.Loop() {
		i = (i + 7919) % n
		table.Set(i, map[string]bool{fmt.Sprint("/", i): false, "/log": true})
	}
}
