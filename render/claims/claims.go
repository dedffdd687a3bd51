// Package claims says which owner writes which path, and who waits for a path that is not free.
package claims

// A Table holds the claims of owners to paths: a path belongs to one owner, or is shared by owners that only append to it.
// A Table compares paths as texts, and knows where some of them really lead. It is for one goroutine.
type Table[T comparable] struct {
	paths   map[string]*claim[T]
	owners  map[T]map[string]bool // the same claims: whether the owner appends to the path
	waiting map[string]map[T]bool // owners that wait for a path
	waits   map[T]string          // the same
	real    map[string]string     // where claimed paths lead, where that differs
}

// A claim is what owners have of one path.
type claim[T comparable] struct {
	alone   T // who writes it
	written bool
	appends map[T]bool // who appends to it
}

// New returns a Table without claims.
func New[T comparable]() *Table[T] {
	return &Table[T]{
		paths: make(map[string]*claim[T]), owners: make(map[T]map[string]bool),
		waiting: make(map[string]map[T]bool), waits: make(map[T]string), real: make(map[string]string),
	}
}

// Of returns the paths that an owner has claimed, and whether it appends to them. The caller must not change the map; later
// calls of Set and Take do.
func (t *Table[T]) Of(owner T) map[string]bool { return t.owners[owner] }

// Lead notes where a path really leads, "" for where that is not known, until an owner releases the path. It reports whether that is new,
// and differs from the path.
func (t *Table[T]) Lead(path, real string) bool {
	if real == "" || real == path || real == t.real[path] {
		return false
	}
	t.real[path] = real
	return true
}

// Names returns a path, and where it really leads, if that is known and differs.
func (t *Table[T]) Names(path string) []string {
	if real := t.real[path]; real != "" {
		return []string{path, real}
	}
	return []string{path}
}

// Other returns another owner whose claim keeps an owner from writing to a path, or from appending to it. It reports whether
// there is one.
func (t *Table[T]) Other(path string, owner T, appends bool) (other T, taken bool) {
	c := t.paths[path]
	switch {
	case c == nil:
		return other, false
	case c.written && c.alone != owner:
		return c.alone, true
	case appends:
		return other, false
	}
	for other := range c.appends {
		if other != owner {
			return other, true
		}
	}
	return other, false
}

// Set gives an owner claims in place of those that it has: paths, and whether the owner appends to them. Set does not claim
// what the claim of another owner excludes, see Other. The Table keeps the map.
//
// Set returns the paths that the owner has released, and the owners that have waited for one of these, or for one that it
// only appends to from now on. They do not wait any longer. Neither has an order.
func (t *Table[T]) Set(owner T, wanted map[string]bool) (released []string, woken []T) {
	for path, appends := range wanted {
		if _, taken := t.Other(path, owner, appends); taken {
			delete(wanted, path)
		}
	}

	for path := range t.owners[owner] {
		if _, still := wanted[path]; !still {
			t.release(path, owner)
			delete(t.real, path)
			released = append(released, path)
			woken = append(woken, t.Free(path)...)
		}
	}

	for path, appends := range wanted {
		c := t.paths[path]
		if c == nil {
			c = &claim[T]{appends: make(map[T]bool)}
			t.paths[path] = c
		}
		shared := appends && c.written && c.alone == owner // it was not until now
		c.remove(owner)
		if appends {
			c.appends[owner] = true
		} else {
			c.alone, c.written = owner, true
		}
		if shared {
			woken = append(woken, t.Free(path)...)
		}
	}

	if delete(t.owners, owner); len(wanted) > 0 {
		t.owners[owner] = wanted
	}
	return released, woken
}

func (t *Table[T]) release(path string, owner T) {
	c := t.paths[path]
	if c.remove(owner); !c.written && len(c.appends) == 0 {
		delete(t.paths, path)
	}
}

func (c *claim[T]) remove(owner T) {
	if delete(c.appends, owner); c.written && c.alone == owner {
		var nobody T
		c.alone, c.written = nobody, false
	}
}

// Take ends all claims to a path, and returns the owners that had them, in no order. Owners that wait for the path go on
// waiting.
func (t *Table[T]) Take(path string) (holders []T) {
	c := t.paths[path]
	if c == nil {
		return nil
	}
	delete(t.paths, path)
	if c.written {
		c.appends[c.alone] = true
	}
	for holder := range c.appends {
		if delete(t.owners[holder], path); len(t.owners[holder]) == 0 {
			delete(t.owners, holder)
		}
		holders = append(holders, holder)
	}
	return holders
}

// Wait has an owner wait until a path is free, in place of the path that it waited for.
func (t *Table[T]) Wait(path string, owner T) {
	t.StopWaiting(owner)
	if t.waiting[path] == nil {
		t.waiting[path] = make(map[T]bool)
	}
	t.waiting[path][owner] = true
	t.waits[owner] = path
}

// StopWaiting has an owner wait for nothing any longer.
func (t *Table[T]) StopWaiting(owner T) {
	path, waits := t.waits[owner]
	if !waits {
		return
	}
	delete(t.waits, owner)
	if delete(t.waiting[path], owner); len(t.waiting[path]) == 0 {
		delete(t.waiting, path)
	}
}

// Free returns the owners that wait for a path, in no order. They do not wait any longer.
func (t *Table[T]) Free(path string) (woken []T) {
	for owner := range t.waiting[path] {
		delete(t.waits, owner)
		woken = append(woken, owner)
	}
	delete(t.waiting, path)
	return woken
}
