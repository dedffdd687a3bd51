package render

import (
	"reflect"
	"slices"
)

// actionKind distinguishes actions that have the same name.
type actionKind uint8

const (
	named     actionKind = iota // in the configuration
	ofCommand                   // made of a command
	ofTarget                    // of one target without a command
)

// String returns the kind as snapshots have it.
func (k actionKind) String() string { return [...]string{"named", "command", "target"}[k] }

type actionKey struct {
	kind actionKind
	name string
}

// regroup gives each target its action: the one that it names, the one of its command, or one of its own. An action that was
// there before keeps its state. It returns those of them that have other settings now.
func (e *Engine) regroup(before []*action) (altered map[*action]bool) {
	g := grouping{
		before: make(map[actionKey][]*action), now: make(map[actionKey][]*action),
		exact: make(map[*action]bool), altered: make(map[*action]bool),
	}
	for _, a := range before {
		g.before[a.key] = append(g.before[a.key], a)
	}
	for _, t := range e.targets {
		if cfg := e.cfg.implied(t.cfg); !cfg.Command.IsZero() {
			g.expect(actionKey{ofCommand, cfg.Command.String()}, cfg)
		}
	}
	for _, cfg := range e.cfg.Actions {
		g.action(actionKey{named, cfg.Name}, cfg)
	}
	for _, t := range e.targets {
		switch cfg := e.cfg.implied(t.cfg); {
		case t.cfg.Action != "":
			t.action = g.now[actionKey{named, t.cfg.Action}][0]
		case cfg.Command.IsZero():
			t.action = g.action(actionKey{ofTarget, t.cfg.Destination}, cfg)
		default:
			t.action = g.shared(actionKey{ofCommand, cfg.Command.String()}, cfg)
		}
		t.action.targets = append(t.action.targets, t)
	}
	e.actions = g.actions
	number := make(map[actionKey]int)
	for _, a := range e.actions {
		a.track.ID = e.ids.Action(a.key.kind.String(), a.key.name, number[a.key])
		number[a.key]++
	}
	return g.altered
}

// grouping is how far group is.
type grouping struct {
	before  map[actionKey][]*action // those that are not in use again
	now     map[actionKey][]*action
	exact   map[*action]bool // those of before that have the very settings of one that is wanted
	actions []*action
	altered map[*action]bool
}

// expect notes that an action will be wanted, so that no other takes the one from before that has its settings.
func (g *grouping) expect(key actionKey, cfg Action) {
	for _, a := range g.before[key] {
		if reflect.DeepEqual(a.cfg, cfg) {
			g.exact[a] = true
		}
	}
}

// shared returns the action with some settings that other targets have, or a new one.
func (g *grouping) shared(key actionKey, cfg Action) *action {
	for _, a := range g.now[key] {
		if reflect.DeepEqual(a.cfg, cfg) {
			return a
		}
	}
	return g.action(key, cfg)
}

// action adds an action: one from before, best one with the same settings, or a new one.
func (g *grouping) action(key actionKey, cfg Action) *action {
	same := func(a *action) bool { return reflect.DeepEqual(a.cfg, cfg) }
	free := func(a *action) bool { return !g.exact[a] }
	a := newAction(key)
	old := g.before[key]
	i := slices.IndexFunc(old, same)
	if i < 0 {
		if i = slices.IndexFunc(old, free); i >= 0 {
			g.altered[old[i]] = true
		}
	}
	if i >= 0 {
		a = old[i]
		g.before[key] = slices.Delete(old, i, i+1)
	}
	a.cfg, a.order, a.targets = cfg, len(g.actions), nil
	a.pace.Spacing, a.pace.Wait = cfg.Spacing, cfg.Wait
	g.actions = append(g.actions, a)
	g.now[key] = append(g.now[key], a)
	return a
}

// implied returns the action that is made of a target's command.
func (c Config) implied(t Target) Action {
	a := c.Implied
	if t.Implied != nil {
		a = *t.Implied
	}
	a.Name, a.Command = "", t.Command
	return a.Spaced()
}

// keyOf returns the key of the action that a target has.
func (c Config) keyOf(t Target) actionKey {
	switch {
	case t.Action != "":
		return actionKey{named, t.Action}
	case !t.Command.IsZero():
		return actionKey{ofCommand, t.Command.String()}
	}
	return actionKey{ofTarget, t.Destination}
}
