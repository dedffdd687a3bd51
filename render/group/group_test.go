package group

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"render/render/run"
	"render/render/setting"
)

// configuration returns one with targets, whose paths are their destinations.
func configuration(actions []setting.Action, targets ...setting.Target) Configuration {
	c := Configuration{Targets: targets, Actions: actions}
	for _, t := range targets {
		c.Paths = append(c.Paths, t.Destination)
	}
	return c
}

func command(text string) run.Command { return run.Command{Shell: text} }

// spaced returns the settings of an action of its own for a target.
func spaced(d time.Duration) *setting.Action { return &setting.Action{Spacing: d} }

// show returns groups as texts: their keys, the destinations of their targets, and what they follow.
func show(c Configuration, groups []Group) (all []string) {
	for _, g := range groups {
		text := fmt.Sprintf("%s %s/%d:", g.Key.Kind, g.Key.Name, g.Number)
		for _, i := range g.Targets {
			text += " " + c.Targets[i].Destination
		}
		if g.Before >= 0 {
			text += fmt.Sprint(" after ", g.Before)
		}
		if g.Altered {
			text += " altered"
		}
		all = append(all, text)
	}
	return all
}

func TestGroups(t *testing.T) {
	for _, tt := range []struct {
		name string
		c    Configuration
		want string
	}{
		{"nothing", configuration(nil), ""},
		{"an action that no target names", configuration([]setting.Action{{Name: "web"}}), "named web/0:"},
		{"targets that name an action", configuration([]setting.Action{{Name: "web"}, {Name: "db"}},
			setting.Target{Destination: "a", Action: "db"}, setting.Target{Destination: "b", Action: "web"}, setting.Target{Destination: "c", Action: "db"}),
			"named web/0: b; named db/0: a c"},
		{"targets with a command", configuration(nil,
			setting.Target{Destination: "a", Command: command("x")}, setting.Target{Destination: "b", Command: command("y")}, setting.Target{Destination: "c", Command: command("x")}),
			"command x/0: a c; command y/0: b"},
		{"a command with other settings", configuration(nil,
			setting.Target{Destination: "a", Command: command("x")}, setting.Target{Destination: "b", Command: command("x"), Implied: spaced(time.Minute)}, setting.Target{Destination: "c", Command: command("x")}),
			"command x/0: a c; command x/1: b"},
		{"targets without a command", configuration(nil, setting.Target{Destination: "a"}, setting.Target{Destination: "b"}),
			"target a/0: a; target b/0: b"},
		{"all kinds: first the actions that have a name", configuration([]setting.Action{{Name: "web"}},
			setting.Target{Destination: "a"}, setting.Target{Destination: "b", Command: command("x")}, setting.Target{Destination: "c", Action: "web"}),
			"named web/0: c; target a/0: a; command x/0: b"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := strings.Join(show(tt.c, tt.c.Groups(nil)), "; "); got != tt.want {
				t.Errorf("got %s, want %s", got, tt.want)
			}
		})
	}
}

// The action of a group is the one that is named, or the implied one with the command of the targets.
func TestSettingsOfGroups(t *testing.T) {
	named := setting.Action{Name: "web", Timeout: time.Minute}
	c := configuration([]setting.Action{named},
		setting.Target{Destination: "a", Action: "web"},
		setting.Target{Destination: "b", Command: command("x")},
		setting.Target{Destination: "c"},
		setting.Target{Destination: "d", Command: command("y"), Implied: &setting.Action{Name: "dropped", Command: command("dropped"), Spacing: -1}})
	c.Implied = setting.Action{Name: "dropped", Command: command("dropped"), Splay: time.Second}
	want := []setting.Action{
		named,
		{Command: command("x"), Splay: time.Second, Spacing: setting.DefaultSpacing},
		{Splay: time.Second},
		{Command: command("y")},
	}
	for i, g := range c.Groups(nil) {
		if !reflect.DeepEqual(g.Action, want[i]) {
			t.Errorf("%+v: got %+v, want %+v", g.Key, g.Action, want[i])
		}
	}
}

// A group follows the one of the same key with the same settings, else one that no other group has the settings of.
func TestGroupsFollow(t *testing.T) {
	one := func(spacings ...time.Duration) Configuration {
		var targets []setting.Target
		for i, d := range spacings {
			targets = append(targets, setting.Target{Destination: fmt.Sprint(i), Command: command("x"), Implied: spaced(d)})
		}
		return configuration(nil, targets...)
	}
	named := func(name string, d time.Duration) Configuration {
		return configuration([]setting.Action{{Name: name, Spacing: d}}, setting.Target{Destination: "0", Action: name})
	}
	for _, tt := range []struct {
		name    string
		was, is Configuration
		want    string
	}{
		{"the same", one(1, 2), one(1, 2), "command x/0: 0 after 0; command x/1: 1 after 1"},
		{"another order", one(1, 2), one(2, 1), "command x/0: 0 after 1; command x/1: 1 after 0"},
		{"one is altered", one(1, 2), one(1, 3), "command x/0: 0 after 0; command x/1: 1 after 1 altered"},
		{"the first is altered, another has its settings", one(1, 2), one(3, 1), "command x/0: 0 after 1 altered; command x/1: 1 after 0"},
		{"one more", one(1), one(2, 1), "command x/0: 0; command x/1: 1 after 0"},
		{"one less", one(1, 2), one(2), "command x/0: 0 after 1"},
		{"a name with other settings", named("web", 1), named("web", 2), "named web/0: 0 after 0 altered"},
		{"another name", named("web", 1), named("db", 1), "named db/0: 0"},
		{"another kind of the same name", named("x", 1), one(1), "command x/0: 0"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := strings.Join(show(tt.is, tt.is.Groups(tt.was.Groups(nil))), "; "); got != tt.want {
				t.Errorf("got %s, want %s", got, tt.want)
			}
		})
	}
}

func TestAffected(t *testing.T) {
	web := func(path string) setting.Target { return setting.Target{Destination: path, Action: "web"} }
	run := func(path, text string) setting.Target {
		return setting.Target{Destination: path, Command: command(text)}
	}
	actions := []setting.Action{{Name: "web"}, {Name: "db"}}
	was := configuration(actions, web("a"), web("b"), run("c", "x"), run("d", "y"), setting.Target{Destination: "e"})
	// The groups are: 0 web, 1 db, 2 command x, 3 command y, 4 target e.
	with := func(change func(c *Configuration)) Configuration {
		c := configuration(slices.Clone(actions), slices.Clone(was.Targets)...)
		change(&c)
		return configuration(c.Actions, c.Targets...)
	}
	for _, tt := range []struct {
		name string
		next Configuration
		want []int
	}{
		{"nothing", with(func(*Configuration) {}), nil},
		{"another order", with(func(c *Configuration) { slices.Reverse(c.Targets) }), nil},
		{"a target goes", with(func(c *Configuration) { c.Targets = c.Targets[1:] }), []int{0}},
		{"a target comes", with(func(c *Configuration) { c.Targets = append(c.Targets, web("f")) }), []int{0}},
		{"a target without a command comes", with(func(c *Configuration) { c.Targets = append(c.Targets, setting.Target{Destination: "f"}) }), nil},
		{"a target leaves one for another", with(func(c *Configuration) { c.Targets[2] = run("c", "y") }), []int{2, 3}},
		{"a target leaves one for its own", with(func(c *Configuration) { c.Targets[2] = setting.Target{Destination: "c"} }), []int{2}},
		{"a target has other settings", with(func(c *Configuration) { c.Targets[4].File.Perms = 0o600 }), []int{4}},
		{"a name has other settings", with(func(c *Configuration) { c.Actions[1].Splay = 1 }), []int{1}},
		{"a name goes", with(func(c *Configuration) { c.Actions = c.Actions[:1] }), []int{1}},
		{"what is implied is another", with(func(c *Configuration) { c.Targets[3].Implied = spaced(1) }), []int{3}},
		{"all goes", configuration(nil), []int{0, 1, 2, 3, 4}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := slices.Sorted(maps.Keys(was.Affected(was.Groups(nil), tt.next))); !slices.Equal(got, tt.want) {
				t.Errorf("got %v, want %v", got, tt.want)
			}
		})
	}

	next := was
	next.Implied.Splay = time.Second
	if got := slices.Sorted(maps.Keys(was.Affected(was.Groups(nil), next))); !slices.Equal(got, []int{2, 3, 4}) {
		t.Errorf("another implied action affects %v", got)
	}
}

// randomConfiguration returns a configuration of a few names, commands and settings, so that many targets share some.
func randomConfiguration(rnd *rand.Rand) Configuration {
	var actions []setting.Action
	for i := range rnd.IntN(3) {
		actions = append(actions, setting.Action{Name: fmt.Sprint("action", i), Splay: time.Duration(rnd.IntN(2))})
	}
	var targets []setting.Target
	for i := range 6 {
		target := setting.Target{Destination: fmt.Sprint(i), MaxOutput: rnd.IntN(2)}
		switch {
		case rnd.IntN(3) == 0:
			continue
		case len(actions) > 0 && rnd.IntN(2) == 0:
			target.Action = actions[rnd.IntN(len(actions))].Name
		case rnd.IntN(4) > 0:
			target.Command = command(fmt.Sprint("command", rnd.IntN(2)))
			fallthrough
		default:
			if rnd.IntN(2) == 0 {
				target.Implied = &setting.Action{Splay: time.Duration(1 + rnd.IntN(2))}
			}
		}
		targets = append(targets, target)
	}
	c := configuration(actions, targets...)
	c.Implied.Splay = time.Duration(rnd.IntN(2))
	return c
}

// Each target is in one group, a group is followed once and by one of its key, and what no configuration affects is as it was.
func TestGroupsOfManyConfigurations(t *testing.T) {
	for seed := range uint64(2000) {
		rnd := rand.New(rand.NewPCG(seed, 0))
		was, is := randomConfiguration(rnd), randomConfiguration(rnd)
		before := was.Groups(nil)
		after := is.Groups(before)

		var targets []int
		followed := make(map[int]int)
		for i, g := range after {
			targets = append(targets, g.Targets...)
			for _, n := range g.Targets {
				if key := keyOf(is.Targets[n]); key != g.Key {
					t.Fatalf("seed %d: a target of %v is in the group %v", seed, key, g.Key)
				}
			}
			if g.Before < 0 {
				continue
			}
			if _, twice := followed[g.Before]; twice {
				t.Fatalf("seed %d: two groups follow %d: %v", seed, g.Before, show(is, after))
			}
			followed[g.Before] = i
			if old := before[g.Before]; old.Key != g.Key || g.Altered == reflect.DeepEqual(old.Action, g.Action) {
				t.Fatalf("seed %d: %+v follows %+v", seed, g, old)
			}
		}
		if slices.Sort(targets); len(slices.Compact(targets)) != len(is.Targets) || len(targets) != len(is.Targets) {
			t.Fatalf("seed %d: the targets in groups are %v", seed, targets)
		}

		affected := was.Affected(before, is)
		for i, g := range before {
			if affected[i] {
				continue
			}
			next, ok := followed[i]
			if !ok || after[next].Altered || !reflect.DeepEqual(members(was, g), members(is, after[next])) {
				t.Fatalf("seed %d: the group %d is not affected:\n%v\n%v", seed, i, show(was, before), show(is, after))
			}
		}
		if affected := is.Affected(after, is); len(affected) > 0 {
			t.Fatalf("seed %d: the same configuration affects %v", seed, affected)
		}
	}
}

// members returns the targets of a group by their paths.
func members(c Configuration, g Group) map[string]setting.Target {
	all := make(map[string]setting.Target)
	for _, i := range g.Targets {
		all[c.Paths[i]] = c.Targets[i]
	}
	return all
}
