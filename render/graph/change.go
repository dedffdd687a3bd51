package graph

import (
	"cmp"
	"fmt"
	"iter"
	"reflect"
	"slices"
	"strings"
	"time"

	"render/watch"
)

// nouns are what the elements of list answers are called.
var nouns = map[string]string{
	watch.KindService:     "instances",
	watch.KindServices:    "services",
	watch.KindNodes:       "nodes",
	watch.KindDatacenters: "datacenters",
	watch.KindPrefix:      "keys",
	watch.KindSecrets:     "names",
}

// A Cause is why an owner is not applied.
type Cause struct {
	Text  string      // for people: "service web: 3 → 4 instances"; never a value
	Query watch.Query // whose answer has changed; zero where the cause is another
	Kind  string      // of another cause, as the owner names it
}

// A Change says how an answer has changed. It never has a value.
type Change struct {
	At              time.Time // zero where the answer is the first
	Before, After   int       // elements, where the answer is a list
	WasNone, IsNone bool      // the name did not exist, or does not
}

func changeOf(old, value any, at time.Time) Change {
	return Change{At: at, Before: length(old), After: length(value), WasNone: old == nil, IsNone: value == nil}
}

// Describe says how the answer to a query of a kind has changed: "3 → 4 instances".
func (c Change) Describe(kind string) string {
	noun, isList := nouns[kind]
	switch {
	case isList && c.Before != c.After:
		return fmt.Sprintf("%d → %d %s", c.Before, c.After, noun)
	case isList:
		return fmt.Sprintf("changed, %d %s", c.After, noun)
	case c.WasNone:
		return "appeared"
	case c.IsNone:
		return "disappeared"
	}
	return "changed"
}

// Describe returns an answer to a query of a kind in short: "4 instances". It never has a value.
func Describe(kind string, value any) string {
	noun, isList := nouns[kind]
	switch {
	case isList && length(value) == 1:
		return "1 " + strings.TrimSuffix(noun, "s")
	case isList:
		return fmt.Sprintf("%d %s", length(value), noun)
	case value == nil:
		return "does not exist"
	}
	return "exists"
}

func length(list any) int {
	v := reflect.ValueOf(list)
	if v.Kind() != reflect.Slice {
		return 0
	}
	return v.Len()
}

// before returns the state that an answer is compared with: for a query that was asked again, that of the answer its users know.
func (n *node[T]) before(old watch.State) watch.State {
	if n.again {
		return watch.State{Rev: 1, Value: n.last}
	}
	return old
}

// LastChange returns how the answer to a query has last changed; zero where it has not.
func (g *Graph[T]) LastChange(q watch.Query) Change {
	if n := g.nodes[q]; n != nil {
		return n.change
	}
	return Change{}
}

// Users returns the owners that use a query, in no order.
func (g *Graph[T]) Users(q watch.Query) iter.Seq[T] {
	return func(yield func(T) bool) {
		n := g.nodes[q]
		if n == nil {
			return
		}
		for u := range n.users {
			if !u.pin && !yield(u.Owner) {
				return
			}
		}
	}
}

// Label returns what make returns for a query. It is kept for as long as somebody uses the query, unless it is empty.
func (g *Graph[T]) Label(q watch.Query, make func() string) string {
	n := g.nodes[q]
	if n == nil {
		return ""
	}
	if n.label == "" {
		n.label = make()
	}
	return n.label
}

// UsesSecret reports whether something secret is among the queries that the user uses, or their answers.
func (u *User[T]) UsesSecret() bool { return u.secret }

// Uses returns the queries that the user uses, in the order in which its template asks them where its last pass ran to its end, else
// sorted. The version differs where the queries do. The caller must not change them.
func (u *User[T]) Uses() (queries []watch.Query, version int) {
	if u.complete != nil {
		return u.complete, u.version
	}
	for q := range u.uses {
		queries = append(queries, q)
	}
	slices.SortFunc(queries, func(a, b watch.Query) int {
		return cmp.Or(cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Name, b.Name), cmp.Compare(a.Opts, b.Opts))
	})
	return queries, u.version
}
