// Package group says which targets share an action, and which actions another configuration changes.
//
// Targets that name the same action share it; targets without one but with an equal command share an action made of that command; a
// target without a command is alone. A [Group] is the targets that share one action.
//
// All here are values: nothing has a goroutine, a clock or I/O.
package group

import (
	"maps"
	"reflect"
	"slices"

	"render/render/setting"
)

// Kind distinguishes groups that have the same name.
type Kind uint8

// What groups are made of.
const (
	Named     Kind = iota // an action of the configuration
	OfCommand             // an action made of a command
	OfTarget              // the action of one target without a command
)

// String returns the kind as snapshots have it.
func (k Kind) String() string { return [...]string{"named", "command", "target"}[k] }

// A Key is what a group is known by from one configuration to the next: the name of its action, its command, or the destination of
// its one target. Groups of one command that have other settings have the same key.
type Key struct {
	Kind Kind
	Name string
}

// A Group is the targets that share one action.
type Group struct {
	Key     Key
	Action  setting.Action
	Targets []int // their indexes in the configuration; none for an action that no target names
	Number  int   // how many groups before it have the same key
	Before  int   // the index of the group that it follows, whose state it keeps; negative for none
	Altered bool  // the group that it follows had other settings
}

// A Configuration is what says which targets share an action.
type Configuration struct {
	Targets []setting.Target
	Paths   []string         // of Targets: where the links of their destinations lead, which is what targets are known by
	Actions []setting.Action // what targets refer to by name
	Implied setting.Action   // the settings of an action that is made of a command, and of that of a target without a command
}

// Groups returns the groups of a configuration in the order in which their actions run: first the actions that have a name. Each
// follows one of the groups before it, best one that has the same settings, or none.
func (c Configuration) Groups(before []Group) []Group {
	g := grouping{before: make(map[Key][]int), now: make(map[Key][]int), old: before, exact: make(map[int]bool)}
	for i, b := range before {
		g.before[b.Key] = append(g.before[b.Key], i)
	}
	for _, t := range c.Targets {
		if a := c.implied(t); !a.Command.IsZero() {
			g.expect(Key{OfCommand, a.Command.String()}, a)
		}
	}

	for _, a := range c.Actions {
		g.add(Key{Named, a.Name}, a)
	}
	for i, t := range c.Targets {
		var of int
		switch key := keyOf(t); key.Kind {
		case Named:
			of = g.now[key][0]
		case OfTarget:
			of = g.add(key, c.implied(t))
		case OfCommand:
			of = g.shared(key, c.implied(t))
		}
		g.groups[of].Targets = append(g.groups[of].Targets, i)
	}
	return g.groups
}

// implied returns the action that is made of a target's command.
func (c Configuration) implied(t setting.Target) setting.Action {
	a := c.Implied
	if t.Implied != nil {
		a = *t.Implied
	}
	a.Name, a.Command = "", t.Command
	return a.Spaced()
}

// keyOf returns the key of the group that a target is in.
func keyOf(t setting.Target) Key {
	switch {
	case t.Action != "":
		return Key{Named, t.Action}
	case !t.Command.IsZero():
		return Key{OfCommand, t.Command.String()}
	}
	return Key{OfTarget, t.Destination}
}

// grouping is how far Groups is.
type grouping struct {
	old    []Group
	before map[Key][]int // of old, those that no group follows
	exact  map[int]bool  // of old, those that have the very settings of a group that is wanted
	groups []Group
	now    map[Key][]int // of groups
}

// expect notes that a group will be wanted, so that no other follows the one from before that has its settings.
func (g *grouping) expect(key Key, a setting.Action) {
	for _, i := range g.before[key] {
		if reflect.DeepEqual(g.old[i].Action, a) {
			g.exact[i] = true
		}
	}
}

// shared returns the index of the group with some settings that other targets have, or of a new one.
func (g *grouping) shared(key Key, a setting.Action) int {
	for _, i := range g.now[key] {
		if reflect.DeepEqual(g.groups[i].Action, a) {
			return i
		}
	}
	return g.add(key, a)
}

// add adds a group and returns its index. It follows one from before, best one with the same settings, or none.
func (g *grouping) add(key Key, a setting.Action) int {
	next := Group{Key: key, Action: a, Number: len(g.now[key]), Before: -1}
	old := g.before[key]
	at := slices.IndexFunc(old, func(i int) bool { return reflect.DeepEqual(g.old[i].Action, a) })
	if at < 0 {
		at = slices.IndexFunc(old, func(i int) bool { return !g.exact[i] })
		next.Altered = at >= 0
	}
	if at >= 0 {
		next.Before = old[at]
		g.before[key] = slices.Delete(old, at, at+1)
	}
	g.groups = append(g.groups, next)
	g.now[key] = append(g.now[key], len(g.groups)-1)
	return len(g.groups) - 1
}

// Affected returns the indexes of those groups of a configuration that another configuration changes: a target leaves or joins them,
// has other settings in them, or they have other settings.
func (c Configuration) Affected(groups []Group, next Configuration) map[int]bool {
	successors := make(map[string]int, len(next.Paths))
	for i, path := range next.Paths {
		successors[path] = i
	}
	affected := make(map[int]bool)
	joined := make(map[Key]bool)
	added := maps.Clone(successors)

	// Targets that leave, stay or join.
	for g, of := range groups {
		for _, i := range of.Targets {
			delete(added, c.Paths[i])
			n, stays := successors[c.Paths[i]]
			if !stays {
				affected[g] = true
				continue
			}
			was, is := c.Targets[i], next.Targets[n]
			altered := keyOf(is).Kind != Named && !reflect.DeepEqual(next.implied(is), of.Action)
			if altered || keyOf(was) != keyOf(is) || !reflect.DeepEqual(was, is) {
				affected[g] = true
				joined[keyOf(is)] = true
			}
		}
	}
	for _, i := range added {
		joined[keyOf(next.Targets[i])] = true
	}

	// The groups that they join, and those whose settings change.
	settings := make(map[string]setting.Action, len(next.Actions))
	for _, a := range next.Actions {
		settings[a.Name] = a
	}
	for g, of := range groups {
		altered := of.Key.Kind == Named && !reflect.DeepEqual(settings[of.Key.Name], of.Action)
		if altered || joined[of.Key] {
			affected[g] = true
		}
	}
	return affected
}
