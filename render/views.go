package render

import (
	"time"

	"render/render/graph"
)

// rulesOf returns the rules by which a target sees lists of instances: nil where it sees every answer as it comes.
func rulesOf(t Target, a Action, once bool) *graph.Rules {
	guard := t.Guard
	if guard == (graph.Guard{}) {
		guard = a.Guard
	}
	return graph.NewRules(t.RemoveDelay, guard, once)
}

// seeBy gives a target other rules, and reports whether it has to run because of that.
func (e *Engine) seeBy(t *target, r *graph.Rules, now time.Time) (changed bool) {
	changed = e.graph.SetRules(&t.User, r, now)
	e.tellJudged(now)
	return changed
}

// usersOf returns what the graph knows targets by.
func usersOf(targets []*target) []*graph.User[*target] {
	users := make([]*graph.User[*target], 0, len(targets))
	for _, t := range targets {
		users = append(users, &t.User)
	}
	return users
}
