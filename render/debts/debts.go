// Package debts knows which action has which debts: files of earlier commits for which the action has not succeeded yet (R13 of package
// render).
//
// A debt passes to another action when that one writes the file from now on, or when the target of the file has that action now. A file
// that is nobody's, as one that writeToFile wrote once, goes with the others of its mark.
//
// A Table has no goroutine, no clock and no I/O. It is for one goroutine.
package debts

import (
	"iter"
	"maps"
	"slices"

	"render/render/disk"
)

// A Table holds the debts of actions.
type Table[A comparable] struct {
	debts   map[A][]disk.Debt // only actions that have some
	holders map[string]A      // by path, the action that got a debt for it last
}

// New returns a Table without debts.
func New[A comparable]() *Table[A] {
	return &Table[A]{debts: make(map[A][]disk.Debt), holders: make(map[string]A)}
}

// Of returns the debts of an action. The caller must not change them.
func (t *Table[A]) Of(a A) []disk.Debt { return t.debts[a] }

// Holders returns the actions that have debts, in no order. The table must not change meanwhile.
func (t *Table[A]) Holders() iter.Seq[A] { return maps.Keys(t.debts) }

// IsEmpty reports whether no action has debts.
func (t *Table[A]) IsEmpty() bool { return len(t.debts) == 0 }

// Set gives an action debts in place of those that it has. The table keeps them.
func (t *Table[A]) Set(a A, debts []disk.Debt) {
	for _, d := range t.debts[a] {
		if t.holders[d.Path] == a {
			delete(t.holders, d.Path)
		}
	}
	if delete(t.debts, a); len(debts) > 0 {
		t.debts[a] = debts
	}
	for _, d := range debts {
		t.holders[d.Path] = a
	}
}

// Others returns the actions other than a that have debts for some paths: those paths by action.
func (t *Table[A]) Others(a A, paths iter.Seq[string]) map[A]map[string]bool {
	if t.IsEmpty() {
		return nil
	}
	found := make(map[A]map[string]bool)
	for path := range paths {
		other, held := t.holders[path]
		if !held || other == a {
			continue
		}
		if found[other] == nil {
			found[other] = make(map[string]bool)
		}
		found[other][path] = true
	}
	return found
}

// Gather moves the debts that others have for some paths to an action, and returns these others.
func (t *Table[A]) Gather(a A, paths iter.Seq[string]) (lost []A) {
	for other, of := range t.Others(a, paths) {
		t.move([]A{other}, func(_ A, d disk.Debt) (A, disk.Debt) {
			if of[d.Path] {
				return a, d
			}
			return other, d
		})
		lost = append(lost, other)
	}
	return lost
}

// Move gives each debt to the action that has it from now on, and replaces it by the debt that stands for it there. It returns the
// actions that have lost debts, and those that have got some.
func (t *Table[A]) Move(to func(holder A, d disk.Debt) (A, disk.Debt)) (lost, gained []A) {
	return t.move(slices.Collect(t.Holders()), to)
}

func (t *Table[A]) move(holders []A, to func(holder A, d disk.Debt) (A, disk.Debt)) (lost, gained []A) {
	moved := make(map[A][]disk.Debt)
	for _, holder := range holders {
		var kept []disk.Debt
		for _, d := range t.debts[holder] {
			next, d := to(holder, d)
			if next == holder {
				kept = append(kept, d)
			} else {
				moved[next] = append(moved[next], d)
			}
		}
		if len(kept) < len(t.debts[holder]) {
			lost = append(lost, holder)
		}
		t.Set(holder, kept)
	}
	return lost, t.add(moved)
}

// Give gives debts to the actions of their files. A debt for a file without an action, and without one in its mark, is dropped. It
// returns the actions that have got some.
func (t *Table[A]) Give(debts []disk.Debt, actions map[string]A) (gained []A) {
	owners := ownersOf(debts, actions)
	added := make(map[A][]disk.Debt)
	for _, d := range debts {
		if a, ok := owners[d.Path]; ok {
			added[a] = append(added[a], d)
		}
	}
	return t.add(added)
}

func (t *Table[A]) add(added map[A][]disk.Debt) (gained []A) {
	for a, debts := range added {
		t.Set(a, slices.Concat(t.debts[a], debts))
		gained = append(gained, a)
	}
	return gained
}

// Owners returns whose files the debts of a table are for, by their paths, where that is known of the file or of another one of the
// same action and mark.
func Owners[A, T comparable](t *Table[A], files map[string]T) map[string]T {
	owners := make(map[string]T)
	for _, debts := range t.debts {
		maps.Copy(owners, ownersOf(debts, files))
	}
	return owners
}

// ownersOf returns whose files debts are for, by their paths.
func ownersOf[T any](debts []disk.Debt, files map[string]T) map[string]T {
	inMark := make(map[string]T)
	for _, d := range debts {
		if owner, ok := files[d.Path]; ok {
			inMark[d.Mark] = owner
		}
	}
	owners := make(map[string]T)
	for _, d := range debts {
		if owner, ok := files[d.Path]; ok {
			owners[d.Path] = owner
		} else if owner, ok := inMark[d.Mark]; ok {
			owners[d.Path] = owner
		}
	}
	return owners
}
