package web

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"render/render/status"
)

const (
	rowHeight   = 30 // of a node of the graph, as in style.css
	mostTargets = 24 // in a graph
	mostAsked   = 30 // queries in a graph
)

// A graph is what is drawn of queries, targets and actions, in three columns.
type graph struct {
	Queries, Targets, Actions []node
	Left, Right               []edge // between the columns
	Height                    int
	More                      string // what is left out
}

type node struct {
	ID, Text string
	State    state
	place    float64 // the mean place of its neighbors to the left or right
}

type edge struct{ From, To, Class, Path string }

// newGraph draws the first of some targets.
func newGraph(x *index, targets []*status.Target) graph {
	var g graph
	shown := targets[:min(len(targets), mostTargets)]
	queries, actions := newColumn(), newColumn()
	left := 0 // queries that are left out
	for i, t := range shown {
		g.Targets = append(g.Targets, node{ID: t.ID, Text: t.Destination, State: targetState(t)})
		if a := x.actions[t.Action]; a != nil {
			actions.add(a.ID, i, func() node { return node{ID: a.ID, Text: a.Name, State: actionState(a)} })
		}
		for _, u := range t.Queries {
			q := x.queries[u.Query]
			if q == nil {
				continue
			}
			if !queries.has(q.ID) && len(queries.nodes) == mostAsked {
				left++
				continue
			}
			queries.add(q.ID, i, func() node { return node{ID: q.ID, Text: q.Text, State: queryState(q)} })
		}
	}
	g.Queries, g.Actions = queries.sorted(), actions.sorted()
	rows := max(len(g.Queries), len(g.Targets), len(g.Actions))
	g.Height = rows * rowHeight

	y := func(column []node) map[string]int {
		places := make(map[string]int, len(column))
		for i, n := range column {
			places[n.ID] = (rows-len(column))*rowHeight/2 + i*rowHeight + rowHeight/2
		}
		return places
	}
	yQuery, yTarget, yAction := y(g.Queries), y(g.Targets), y(g.Actions)
	for _, t := range shown {
		held := make(map[string]bool)
		for _, w := range t.Waiting {
			held[w.Query] = true
		}
		for _, h := range t.Held {
			held[h.Query] = true
		}
		for _, u := range t.Queries {
			if from, ok := yQuery[u.Query]; ok {
				class := ""
				if held[u.Query] {
					class = "wait"
				}
				g.Left = append(g.Left, newEdge(u.Query, t.ID, class, from, yTarget[t.ID]))
			}
		}
		if to, ok := yAction[t.Action]; ok {
			class := ""
			switch t.State {
			case status.Failed:
				class = "bad"
			case status.Applied:
			default:
				class = "wait"
			}
			g.Right = append(g.Right, newEdge(t.ID, t.Action, class, yTarget[t.ID], to))
		}
	}

	var more []string
	if n := len(targets) - len(shown); n > 0 {
		more = append(more, moreOf(n, "file"))
	}
	if left > 0 {
		more = append(more, moreOf(left, "use")+" of queries")
	}
	if len(more) > 0 {
		g.More = "Not drawn: " + strings.Join(more, ", ")
	}
	return g
}

func newEdge(from, to, class string, y1, y2 int) edge {
	return edge{from, to, class, fmt.Sprintf("M0 %dC50 %d 50 %d 100 %d", y1, y1, y2, y2)}
}

// A column collects nodes, and where their neighbors are.
type column struct {
	nodes []node
	at    map[string]int // by ID
	sums  []struct{ sum, n int }
}

func newColumn() *column { return &column{at: make(map[string]int)} }

func (c *column) has(id string) bool { _, ok := c.at[id]; return ok }

// add notes that a node, which is made where it is new, has a neighbor in a row.
func (c *column) add(id string, row int, made func() node) {
	i, ok := c.at[id]
	if !ok {
		i = len(c.nodes)
		c.at[id] = i
		c.nodes = append(c.nodes, made())
		c.sums = append(c.sums, struct{ sum, n int }{})
	}
	c.sums[i].sum += row
	c.sums[i].n++
}

// sorted returns the nodes in the order of their neighbors, so that few edges cross.
func (c *column) sorted() []node {
	for i, s := range c.sums {
		c.nodes[i].place = float64(s.sum) / float64(s.n)
	}
	slices.SortStableFunc(c.nodes, func(a, b node) int { return cmp.Compare(a.place, b.place) })
	return c.nodes
}
