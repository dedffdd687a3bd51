package render

import (
	"cmp"

	"render/render/graph"
)

// rulesOf returns the rules by which a target sees lists of instances: nil where it sees every answer as it comes.
func rulesOf(t Target, a Action, once bool) *graph.Rules {
	return graph.NewRules(t.RemoveDelay, cmp.Or(t.Guard, a.Guard), once)
}

// usersOf returns what the graph knows targets by.
func usersOf(targets []*target) []*graph.User[*target] {
	users := make([]*graph.User[*target], 0, len(targets))
	for _, t := range targets {
		users = append(users, &t.User)
	}
	return users
}
