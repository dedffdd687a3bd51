package funcs

// Generations keep values by their keys: at least the last n that were used, at most twice as many. The zero value is empty.
type Generations[K comparable, V any] struct{ young, old map[K]V }

// Get returns a value that is kept.
func (g *Generations[K, V]) Get(key K) (v V, found bool) {
	if v, found = g.young[key]; found {
		return v, true
	}
	if v, found = g.old[key]; found {
		g.young[key] = v
		delete(g.old, key)
	}
	return v, found
}

// Put keeps a value.
func (g *Generations[K, V]) Put(key K, v V, n int) {
	if g.young == nil || len(g.young) >= n {
		g.old, g.young = g.young, make(map[K]V)
	}
	g.young[key] = v
}
