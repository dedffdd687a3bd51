package render

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"render/render/drift"
	"render/render/graph"
	"render/render/proposal"
	"render/render/run"
	"render/render/sources"
	"render/render/status"
	"render/watch"
)

const (
	notUsed      = "reload failed; the previous configuration stays in effect"
	stillNotUsed = "reload still fails; the previous configuration stays in effect"
	inForce      = "configuration reloaded"
)

func (r *rig) apply(cfg Config) {
	r.t.Helper()
	if err := r.engine.Apply(r.t.Context(), cfg); err != nil {
		r.t.Fatal(err)
	}
	r.idle()
}

// asked returns how many plain reads there were, by query.
func (w *world) asked() map[watch.Query]int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return maps.Clone(w.first)
}

// What is the same is not touched: no request, no pass, no command, no byte.
func TestR10SameIsUntouched(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		config := func() Config {
			cfg := Config{
				Actions: []Action{{Name: "group", Command: r.appends("group"), Spacing: time.Second, Guard: graph.Guard{Min: 1}}},
				Env:     []string{"A=b"},
				Asking:  Asking{Backoff: time.Second},
			}
			for i := range 100 {
				target := r.target(fmt.Sprint(i), fmt.Sprintf(`{{key "k/%d"}} {{key "all"}}{{range service "web"}}{{.Address}}{{end}}`, i/2))
				switch i % 4 {
				case 0:
					target.Action = "group"
				case 1:
					target.Command = r.appends("runs")
				case 2:
					target.Command, target.RemoveDelay = r.appends(fmt.Sprint("own ", i)), time.Minute
				}
				target.Drift = []Drift{"", WarnDrift, RepairDrift}[i%3]
				cfg.Targets = append(cfg.Targets, target)
			}
			return cfg
		}
		r.set(kv("all"), "a")
		r.set(service("web"), instances("web", "10.0.0.1"))
		for i := range 45 { // some stay pending
			r.set(kv(fmt.Sprintf("k/%d", i)), "v")
		}
		r.set(kv("k/45"), nil) // and some absent
		r.set(kv("k/46"), "v") // but for members of the group
		r.set(kv("k/48"), "v")
		r.start(config())
		elapse(10 * time.Second)
		before, asked, files := r.status(), r.world.asked(), r.files()
		if before.Actions[0].Runs != 1 {
			t.Fatalf("the group ran %d times", before.Actions[0].Runs)
		}
		for range 3 {
			r.apply(config())
			elapse(2 * time.Second) // less than a wait of the source
		}
		if after := r.status(); !reflect.DeepEqual(before, after) {
			t.Errorf("status was\n%+v\nis\n%+v", before, after)
		}
		if got := r.world.asked(); !reflect.DeepEqual(got, asked) {
			t.Errorf("requests were %v, are %v", asked, got)
		}
		if got := r.files(); !reflect.DeepEqual(got, files) {
			t.Errorf("files were %v, are %v", files, got)
		}
		if n := r.log.count(inForce); n != 3 {
			t.Errorf("%d lines", n)
		}
		r.wantLog(`"added":0,"changed":0,"removed":0,"same":100`)
	})
}

// files returns what tells a file from one that was written again, by name.
func (r *rig) files() map[string]string {
	r.t.Helper()
	entries, err := os.ReadDir(r.dir)
	r.must(err)
	all := make(map[string]string)
	for _, e := range entries {
		if strings.HasSuffix(e.Name(), ".ctmpl") {
			continue
		}
		info, err := e.Info()
		r.must(err)
		all[e.Name()] = fmt.Sprint(info.Size(), info.ModTime(), info.Sys())
	}
	return all
}

// On any error nothing changes, it is told of, and the next good one ends that.
func TestR10ErrorChangesNothing(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		good := r.target("good", `{{key "k"}}`)
		r.set(kv("k"), "1")
		r.start(Config{Targets: []Target{good}})
		before := r.status()
		fresh := r.target("fresh", "x")
		faulty := r.target("faulty", "{{")
		unread := Target{Source: r.path("nowhere"), Destination: r.path("unread")}
		nameless := Config{Targets: []Target{fresh}, Actions: []Action{{}}}
		program := Config{Targets: []Target{fresh}, Exec: run.Program{Command: run.Command{Args: []string{r.path("nowhere")}}}}
		for _, test := range []struct {
			cfg   Config
			wants []string
		}{
			{Config{Targets: []Target{fresh, faulty, unread}}, []string{"faulty.ctmpl:1", "nowhere"}},
			{nameless, []string{"an action has no name"}},
			{Config{Targets: []Target{fresh, {Source: "other", Contents: "x", Destination: fresh.Destination}}}, []string{"the same destination"}},
			{program, []string{"exec: ", "nowhere"}},
		} {
			err := r.engine.Apply(t.Context(), test.cfg)
			r.idle()
			for _, want := range test.wants {
				if err == nil || !strings.Contains(err.Error(), want) {
					t.Errorf("got %v, want %q", err, want)
				}
			}
			s := r.status()
			if !errors.Is(s.Rejected, err) {
				t.Errorf("status says %v, want %v", s.Rejected, err)
			}
			if s.Rejected = nil; !reflect.DeepEqual(s, before) {
				t.Errorf("status was\n%+v\nis\n%+v", before, s)
			}
			r.wantFile("fresh", "no file")
		}
		r.set(kv("k"), "2")
		r.wantFile("good", "2")
		if n := r.log.count(notUsed); n != 4 {
			t.Errorf("%d lines", n)
		}
		elapse(10*time.Minute + time.Second)
		if n := r.log.count(stillNotUsed); n != 10 {
			t.Errorf("%d lines in ten minutes", n)
		}
		r.apply(Config{Targets: []Target{good, fresh}})
		r.wantFile("fresh", "x")
		if err := r.status().Rejected; err != nil {
			t.Error(err)
		}
		elapse(10 * time.Minute)
		if n := r.log.count(stillNotUsed); n != 10 {
			t.Errorf("%d lines after it was fixed", n)
		}
		if n := r.log.count(inForce); n != 1 {
			t.Errorf("%d lines", n)
		}
	})
}

// What is wrong with a file is told once, however many templates are made of it.
func TestR10ErrorOfManyTemplates(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.start(Config{})
		for _, partial := range []string{r.write("broken.tmpl", "{{if"), r.path("nowhere")} {
			var cfg Config
			for i := range 50 {
				target := r.target(fmt.Sprint("t", i), "x")
				target.Partials = []string{partial}
				cfg.Targets = append(cfg.Targets, target)
			}
			err := r.engine.Apply(t.Context(), cfg)
			if err == nil || strings.Count(err.Error(), partial) != 1 {
				t.Errorf("got %v", err)
			}
		}
	})
}

func TestReject(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.start(Config{Targets: []Target{r.target("a", "x")}})
		r.engine.Reject(t.Context(), errGone)
		r.idle()
		if err := r.status().Rejected; !errors.Is(err, errGone) {
			t.Errorf("got %v", err)
		}
		elapse(5*time.Minute + time.Second)
		if first, again := r.log.count(notUsed), r.log.count(stillNotUsed); first != 1 || again != 5 {
			t.Errorf("%d and %d lines", first, again)
		}
		r.apply(Config{})
		if s := r.status(); s.Rejected != nil || len(s.Targets) != 0 {
			t.Errorf("got %+v", s)
		}
		r.wantFile("a", "x")
	})
}

// Another text of a template: its answers and watchers stay, its file stays until the new one is finished.
func TestR10OtherText(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		target := r.target("a", `{{key "old"}} {{key "both"}}`)
		target.Command = r.appends("runs")
		r.set(kv("old"), "1")
		r.set(kv("both"), "2")
		r.start(Config{Targets: []Target{target}})
		elapse(5 * time.Second)
		r.target("a", `{{key "both"}} {{key "new"}}`)
		r.apply(Config{Targets: []Target{target}})
		r.wantPasses(3)
		r.wantFile("a", "1 2")
		for _, q := range []watch.Query{kv("old"), kv("both"), kv("new")} {
			if r.world.watchers(q) != 1 || r.world.asked()[q] != 1 {
				t.Errorf("%s: %d watchers, asked %d times", q, r.world.watchers(q), r.world.asked()[q])
			}
		}
		r.set(kv("old"), "a change that matters to nobody")
		r.wantFile("a", "1 2")
		r.set(kv("new"), "3")
		elapse(2 * time.Second)
		r.wantFile("a", "2 3")
		if r.world.watchers(kv("old")) != 0 || r.lines("runs") != 2 {
			t.Errorf("%d watchers, %d runs", r.world.watchers(kv("old")), r.lines("runs"))
		}
		r.wantLog("its template has changed")

		r.target("a", `{{nonsense}}`) // does not even parse
		if err := r.engine.Apply(t.Context(), Config{Targets: []Target{target}}); err == nil {
			t.Error("no error")
		}
		r.target("a", `{{(index (service "web") 0).Address}}`) // fails when it runs
		r.apply(Config{Targets: []Target{target}})
		r.set(service("web"), instances("web"))
		if s := r.status().Targets[0]; s.State != status.Failed || s.Err == nil {
			t.Errorf("got %+v", s)
		}
		r.wantFile("a", "2 3")
		r.target("a", "2 3") // and one that gives what is there
		r.apply(Config{Targets: []Target{target}})
		elapse(time.Minute)
		if s := r.status().Targets[0]; s.State != status.Applied || r.lines("runs") != 2 || len(r.status().Queries) != 0 {
			t.Errorf("got %+v, %d runs", s, r.lines("runs"))
		}
	})
}

// A template that was told of as blocked is told of anew when it is another.
func TestR14OtherTextIsBlocked(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		target := r.target("a", `{{key "one"}}`)
		r.start(Config{Targets: []Target{target}})
		elapse(30 * time.Second)
		r.target("a", `{{key "two"}}`)
		r.apply(Config{Targets: []Target{target}})
		elapse(6 * time.Second)
		if n := r.log.count("waiting"); n != 2 {
			t.Errorf("%d reports", n)
		}
		r.wantLog("kv two")
	})
}

// Settings that say how the file is written: it is compared with the disk again.
func TestR10OtherSettings(t *testing.T) {
	type change struct {
		name  string
		do    func(r *rig, t *Target)
		runs  int // of the command, more than before
		check func(r *rig) error
	}
	changes := []change{
		{name: "mode", do: func(_ *rig, t *Target) { t.File.Perms = 0o600 }, check: func(r *rig) error {
			if info, err := os.Stat(r.path("a")); err != nil || info.Mode() != 0o600 {
				return fmt.Errorf("mode %v, %v", info.Mode(), err)
			}
			return nil
		}},
		{name: "drift that is to be repaired", do: func(r *rig, t *Target) {
			r.write("a", "edited")
			t.Drift = RepairDrift
		}, runs: 1},
		{name: "another name of the same file", do: func(r *rig, t *Target) {
			r.must(os.Symlink(r.dir, r.path("link")))
			t.Destination = filepath.Join(r.path("link"), "a")
		}},
		{name: "the check of its action", do: func(_ *rig, t *Target) { t.Implied = &Action{Check: run.Command{Args: []string{"true"}}} }},
		{name: "another command", do: func(r *rig, t *Target) { t.Command = r.appends("others") }},
		{name: "no command", do: func(_ *rig, t *Target) { t.Command = run.Command{} }},
		{name: "a name for the source", do: func(r *rig, t *Target) { t.Source = r.write("copy.ctmpl", `{{key "k"}}`) }},
		{name: "a guard", do: func(_ *rig, t *Target) { t.Guard.Min = 3 }},
	}
	for _, c := range changes {
		t.Run(c.name, func(t *testing.T) {
			bubble(t, func(t *testing.T, r *rig) {
				target := r.target("a", `{{key "k"}}`)
				target.Command = r.appends("runs")
				other := r.target("b", `{{key "k"}}`)
				other.Command = target.Command
				r.set(kv("k"), "v")
				r.start(Config{Targets: []Target{target, other}})
				elapse(5 * time.Second)
				asked := r.world.asked()
				c.do(r, &target)
				r.apply(Config{Targets: []Target{target, other}})
				elapse(5 * time.Second)
				r.wantFile("a", "v")
				if n := r.lines("runs"); n != 1+c.runs {
					t.Errorf("%d runs\n%s", n, r.log)
				}
				if n := r.lines("others"); n != 0 {
					t.Errorf("%d runs of the new command, though no file has changed", n)
				}
				for _, s := range r.status().Targets {
					if s.State != status.Applied {
						t.Errorf("got %+v", s)
					}
				}
				if got := r.world.asked(); !reflect.DeepEqual(got, asked) {
					t.Errorf("asked %v, before %v", got, asked)
				}
				if c.check != nil {
					r.must(c.check(r))
				}
				r.set(kv("k"), "w")
				elapse(2 * time.Second)
				r.wantFile("a", "w")
				r.wantFile("b", "w")
				r.wantClean()
			})
		})
	}
}

// Targets that come and go: what both ask stays watched, what is gone stays on disk and is nobody's business.
func TestR10AddedAndRemoved(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		gone := r.target("gone", `{{key "both"}} {{key "old"}}`)
		gone.Drift = RepairDrift
		stays := r.target("stays", `{{key "stays"}}`)
		r.set(kv("both"), "1")
		r.set(kv("old"), "2")
		r.set(kv("stays"), "3")
		r.start(Config{Targets: []Target{gone, stays}})
		elapse(5 * time.Second)
		next := r.target("next", `{{key "both"}} {{key "new"}}`)
		r.write(".render-next-123", "of an earlier run")
		r.apply(Config{Targets: []Target{next, stays}})
		r.wantClean()
		if n := r.world.asked()[kv("both")]; n != 1 || r.world.watchers(kv("both")) != 1 {
			t.Errorf("the query of both was asked %d times, has %d watchers", n, r.world.watchers(kv("both")))
		}
		if r.world.watchers(kv("old")) != 0 || r.world.watchers(kv("new")) != 1 {
			t.Error("the query of one is watched, or that of the other is not")
		}
		r.set(kv("new"), "4")
		r.wantFile("next", "1 4")
		r.wantFile("gone", "1 2")
		r.write("gone", "edited")
		r.set(kv("both"), "5")
		elapse(5 * time.Minute)
		r.wantFile("gone", "edited")
		r.wantFile("next", "5 4")
		s := r.status()
		if len(s.Targets) != 2 || s.Targets[0].Source != next.Source || s.Targets[1].Source != stays.Source {
			t.Errorf("got %+v", s.Targets)
		}
		if len(s.Actions) != 2 || len(s.Queries) != 3 {
			t.Errorf("got %+v, %+v", s.Actions, s.Queries)
		}
		r.apply(Config{Targets: []Target{stays, gone}}) // it comes back
		elapse(5 * time.Second)
		r.wantFile("gone", "5 2")
		r.wantPasses(2, 2)
	})
}

// Two targets that change their files are, as before, the targets of these files.
func TestR10FilesChangeHands(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		a, b := r.target("a", `{{key "a"}}`), r.target("b", `{{key "b"}}`)
		r.set(kv("a"), "1")
		r.set(kv("b"), "2")
		r.start(Config{Targets: []Target{a, b}})
		a.Destination, b.Destination = b.Destination, a.Destination
		r.apply(Config{Targets: []Target{a, b}})
		elapse(time.Second)
		r.wantFile("a", "2")
		r.wantFile("b", "1")
		if asked := r.world.asked(); asked[kv("a")] != 1 || asked[kv("b")] != 1 {
			t.Errorf("asked %v", asked)
		}
		if s := r.status(); s.Targets[0].Source != a.Source || s.Targets[0].Destination != r.path("b") {
			t.Errorf("got %+v", s.Targets)
		}
	})
}

// An action of the same name keeps its pace and its failures, and takes new settings.
func TestR10ActionsKeepTheirState(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		target := r.target("a", `{{key "k"}}`)
		config := func(spacing time.Duration, command run.Command) Config {
			return of(Action{Command: command, Spacing: spacing}, target)
		}
		r.set(kv("k"), "1")
		r.start(config(time.Minute, r.appends("runs")))
		elapse(time.Second)
		cfg := config(time.Minute, r.appends("runs"))
		cfg.Actions = append(cfg.Actions, Action{Name: "more"})
		r.apply(cfg)
		r.set(kv("k"), "2")
		elapse(50 * time.Second)
		r.wantFile("a", "1") // the pace is that of before
		elapse(10 * time.Second)
		r.wantFile("a", "2")
		if s := r.status().Actions; len(s) != 2 || s[0].Commits != 2 || s[0].Runs != 2 || s[1].Name != "more" {
			t.Errorf("got %+v", s)
		}
		r.apply(config(10*time.Second, run.Command{Shell: "exit 1"}))
		elapse(20 * time.Second)
		r.set(kv("k"), "3")
		elapse(time.Second)
		s := r.status().Actions
		if len(s) != 1 || s[0].Failures == 0 || s[0].Commits < 4 {
			t.Errorf("got %+v", s)
		}
		r.apply(config(10*time.Second, r.appends("runs"))) // fixed: it is retried without waiting for the back-off
		elapse(11 * time.Second)
		r.wantFile("a", "3")
		if s := r.status().Actions[0]; s.Failures != 0 || s.Err != nil {
			t.Errorf("got %+v", s)
		}
		r.wantClean()
	})
}

// R13: what an action owes for a file is owed by the action that the file's target has next.
func TestR13OwedByTheNextAction(t *testing.T) {
	named := func(r *rig, target Target, others ...Target) Config {
		target.Action = "next"
		cfg := Config{Targets: append(others, target)}
		cfg.Actions = []Action{{Name: "next", Command: r.appends("runs"), Spacing: time.Second}, {Name: "first", Command: run.Command{Shell: "exit 1"}}}
		return cfg
	}
	configs := map[string]func(r *rig, target Target, others ...Target) Config{
		"another command": func(r *rig, target Target, others ...Target) Config {
			target.Action, target.Command = "", r.appends("runs")
			return Config{Targets: append(others, target)}
		},
		"a named action": named,
		"a named action, and blocked": func(r *rig, target Target, others ...Target) Config {
			r.write("a.ctmpl", `{{key "none"}}`)
			r.set(kv("none"), nil)
			return named(r, target, others...)
		},
		"another name of the file": func(r *rig, target Target, others ...Target) Config {
			r.must(os.Symlink(r.dir, r.path("link")))
			target.Destination = filepath.Join(r.path("link"), "a")
			return named(r, target, others...)
		},
		"the same action with another command": func(r *rig, target Target, others ...Target) Config {
			return Config{Targets: append(others, target), Actions: []Action{{Name: "first", Command: r.appends("runs")}}}
		},
	}
	for name, next := range configs {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, r *rig) {
				target, other := r.target("a", "x"), r.target("other", "y")
				target.Action = "first"
				r.start(Config{Targets: []Target{target, other}, Actions: []Action{{Name: "first", Command: run.Command{Shell: "exit 1"}}}})
				elapse(10 * time.Second)
				if r.read(".render-a.owed") == "no file" {
					t.Fatal("nothing is pending")
				}
				r.apply(next(r, target, other))
				elapse(2 * time.Minute)
				if n := r.lines("runs"); n != 1 {
					t.Errorf("%d runs, want one\n%s", n, r.log)
				}
				r.wantClean()
				for _, a := range r.status().Actions {
					if a.Failures > 0 {
						t.Errorf("got %+v", a)
					}
				}
			})
		})
	}
}

// A target that is gone while its action owes: the action goes on, where there is one, and what is on disk says so where not.
func TestR13OwedForWhatIsGone(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		target := r.target("a", "x")
		command := run.Command{Shell: "[ -e '" + r.path("ok") + "' ] && echo ran >> '" + r.path("runs") + "'"}
		r.start(of(Action{Command: command}, target))
		elapse(5 * time.Second)
		r.apply(of(Action{Command: command}))
		r.write("ok", "")
		elapse(2 * time.Minute)
		if n := r.lines("runs"); n != 1 {
			t.Errorf("%d runs", n)
		}
		r.wantClean()

		r.must(os.Remove(r.path("ok")))
		r.write("a.ctmpl", "y")
		r.apply(of(Action{Command: command}, target))
		elapse(5 * time.Second)
		r.apply(Config{}) // the action is gone, too
		r.write("ok", "")
		elapse(2 * time.Minute)
		if n := r.lines("runs"); n != 1 {
			t.Errorf("%d runs of an action that is gone", n)
		}
		r.apply(of(Action{Command: command}, target))
		elapse(2 * time.Second)
		if n := r.lines("runs"); n != 2 {
			t.Errorf("%d runs after it came back", n)
		}
		r.wantClean()
	})
}

// A member that held the others lets them go when it is gone, or another action's.
func TestR10HeldMembersGo(t *testing.T) {
	for _, name := range []string{"gone", "moved"} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, r *rig) {
				ready, pending := r.target("ready", "x"), r.target("pending", `{{key "never"}}`)
				cfg := of(Action{Command: r.appends("runs")}, ready, pending)
				r.start(cfg)
				elapse(holdMost - time.Second)
				r.wantFile("ready", "no file")
				if name == "gone" {
					cfg.Targets = cfg.Targets[:1]
				} else {
					cfg.Targets[1].Action = ""
				}
				r.apply(cfg)
				r.wantFile("ready", "x")
			})
		})
	}
}

// What a target has seen is what other rules compare with.
func TestR10OtherGuards(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		target := r.target("a", `{{range service "web"}}{{.Address}} {{end}}`)
		with := func(g graph.Guard, delay time.Duration) Config {
			target.Guard, target.RemoveDelay = g, delay
			return Config{Targets: []Target{target}}
		}
		r.set(service("web"), instances("web", "1", "2"))
		r.start(with(graph.Guard{}, 0))
		r.wantFile("a", "1 2 ")
		r.apply(with(graph.Guard{Min: 3}, 0)) // two are not enough, but they are what is there
		elapse(time.Minute)
		r.wantFile("a", "1 2 ")
		if s := r.status().Targets[0]; s.State != status.Applied || len(s.Held) != 0 {
			t.Errorf("got %+v", s)
		}
		r.set(service("web"), instances("web", "1"))
		r.wantFile("a", "1 2 ")
		if s := r.status().Targets[0]; len(s.Held) != 1 {
			t.Errorf("got %+v", s)
		}
		r.apply(with(graph.Guard{Min: 2, Then: graph.Fail, Hold: time.Hour}, time.Second)) // still too few
		elapse(time.Minute)
		r.wantFile("a", "1 2 ")
		r.apply(with(graph.Guard{Min: 1}, 0))
		r.wantFile("a", "1 ")
		r.set(service("web"), instances("web"))
		r.wantFile("a", "1 ")
		r.apply(with(graph.Guard{}, 0))
		r.wantFile("a", "")
		if s := r.status().Targets[0]; s.State != status.Applied || len(s.Held) != 0 {
			t.Errorf("got %+v", s)
		}
		r.set(service("web"), instances("web", "1", "2"))
		r.apply(with(graph.Guard{}, time.Hour))
		r.set(service("web"), instances("web", "1"))
		elapse(time.Minute)
		r.wantFile("a", "1 2 ")
		r.apply(with(graph.Guard{}, time.Minute)) // the rest of an hour becomes a minute
		elapse(59 * time.Second)
		r.wantFile("a", "1 2 ")
		elapse(2 * time.Second)
		r.wantFile("a", "1 ")
		if n := r.log.count("answer recovered, no longer held back by a guard"); n != 2 {
			t.Errorf("%d lines\n%s", n, r.log)
		}
	})
}

// A target that has failed because of its guard recovers with another.
func TestR10GuardThatFailed(t *testing.T) {
	for _, next := range []graph.Guard{{}, {Min: 2, Then: graph.Accept, Hold: time.Second}, {Min: 1}} {
		t.Run(next.String(), func(t *testing.T) {
			bubble(t, func(t *testing.T, r *rig) {
				target := r.target("a", `{{range service "web"}}{{.Address}} {{end}}`)
				target.Guard = graph.Guard{Min: 2, Then: graph.Fail, Hold: time.Second}
				r.set(service("web"), instances("web", "1", "2"))
				r.start(Config{Targets: []Target{target}})
				r.set(service("web"), instances("web", "1"))
				elapse(2 * time.Second)
				if s := r.status().Targets[0]; s.State != status.Failed {
					t.Fatalf("got %+v", s)
				}
				target.Guard = next
				r.apply(Config{Targets: []Target{target}})
				elapse(2 * time.Second)
				r.wantFile("a", "1 ")
				if s := r.status().Targets[0]; s.State != status.Applied {
					t.Errorf("got %+v", s)
				}
			})
		})
	}
}

func TestR10OtherBackoff(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		cfg := Config{Targets: []Target{r.target("a", `{{key "k"}}`)}, Asking: Asking{Backoff: time.Hour, MaxBackoff: time.Hour}}
		r.fail(kv("k"), errGone)
		r.start(cfg)
		elapse(61 * time.Minute)
		failures := r.status().Queries[0].Failures
		cfg.Asking = Asking{Backoff: time.Second, MaxBackoff: time.Second}
		r.apply(cfg)
		elapse(3 * time.Hour)
		if n := r.world.asked()[kv("k")] - failures; n < 3600 {
			t.Errorf("asked %d times in hours", n)
		}
	})
}

func TestR10OtherEnvironment(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		with, without := r.target("with", `{{env "N"}}`), r.target("without", `{{key "k"}}`)
		without.Command = run.Command{Shell: "echo $N >> '" + r.path("seen") + "'"}
		r.set(kv("k"), "v")
		cfg := Config{Targets: []Target{with, without}, Env: []string{"N=1"}}
		r.start(cfg)
		elapse(2 * time.Second)
		cfg.Env = []string{"N=2"}
		r.apply(cfg)
		elapse(2 * time.Second)
		r.wantFile("with", "2")
		r.wantFile("seen", "1\n") // nothing has changed for the other
		r.set(kv("k"), "w")
		elapse(2 * time.Second)
		r.wantFile("seen", "1\n2\n")
	})
}

// A reload may be the first to ask for drift to be watched.
func TestR10DriftBegins(t *testing.T) {
	r := newRig(t)
	target := r.target("folder/../a", "x")
	r.start(Config{Targets: []Target{target}})
	r.await("the file", func() bool { return r.status().Targets[0].State == status.Applied })
	target.Drift = RepairDrift
	r.apply(Config{Targets: []Target{target}})
	r.await("the comparison", func() bool { return r.status().Targets[0].State == status.Applied })
	r.write("a", "edited")
	r.await("the repair", func() bool { return r.read("a") == "x" })
	target.Drift = IgnoreDrift
	r.apply(Config{Targets: []Target{target}})
	r.await("the comparison", func() bool { return r.status().Targets[0].State == status.Applied })
	r.write("a", "edited")
	r.await("the end of the settling", func() bool { time.Sleep(2 * drift.Quiet); return true })
	r.wantFile("a", "edited")
	if n := r.log.count(driftWarned); n != 0 {
		t.Errorf("%d warnings\n%s", n, r.log)
	}
}

// Commits in flight of what changes are let end; answers are taken meanwhile, and no other commit of what changes begins.
// What stays as it is goes on.
func TestR10WaitsForCommits(t *testing.T) {
	r := newRig(t)
	slow, other, free := r.target("slow", "x"), r.target("other", `{{key "k"}}`), r.target("free", `{{key "k"}}`)
	slow.Command = r.sh("echo >begun; while [ ! -e go ]; do sleep 0.01; done")
	r.start(Config{Targets: []Target{slow, other, free}})
	r.await("the command", func() bool { return r.read("begun") != "no file" })
	fresh, changed := r.target("fresh", "y"), other
	changed.File.Perms = 0o600
	next := Config{Targets: []Target{fresh, changed, free}}

	ctx, cancel := context.WithCancel(t.Context())
	waits := func(ctx context.Context) <-chan error {
		applied := make(chan error, 1)
		go func() { applied <- r.engine.Apply(ctx, next) }()
		r.await("the proposal", func() bool { return r.isComing() })
		return applied
	}
	applied := waits(ctx)
	r.world.set(kv("k"), "u")
	r.await("the answer", func() bool { return r.status().Targets[1].State == status.Rendered })
	cancel()
	if err := <-applied; !errors.Is(err, context.Canceled) { // nobody waits: nothing happens
		t.Errorf("got %v", err)
	}
	if s := r.status(); len(s.Targets) != 3 || s.Targets[0].Source != slow.Source || s.Rejected != nil {
		t.Errorf("got %+v", s)
	}
	r.await("the file that was held back", func() bool { return r.read("other") == "u" })

	applied = waits(t.Context())
	r.world.set(kv("k"), "v")
	r.await("the answer", func() bool { return r.status().Queries[0].Rev == 2 })
	r.await("the file of what stays as it is", func() bool { return r.read("free") == "v" })
	r.wantFile("other", "u")
	r.write("go", "")
	if err := <-applied; err != nil {
		t.Fatal(err)
	}
	r.await("the files", func() bool { return r.read("other") == "v" && r.read("fresh") == "y" })
	if s := r.status(); len(s.Targets) != 3 || s.Targets[0].Source != fresh.Source {
		t.Errorf("got %+v", s)
	}
	r.await("the end of the commits", func() bool { return r.applied() })
	r.wantClean()
}

// A command that takes long does not keep a new configuration waiting that has nothing to do with it.
func TestR10DoesNotWaitForWhatStays(t *testing.T) {
	for _, kind := range []string{"a command's", "a named"} {
		t.Run(kind, func(t *testing.T) {
			r := newRig(t)
			r.world.set(kv("k"), "1")
			command := r.sh("echo ran >>runs; while [ ! -e go ]; do sleep 0.01; done")
			slow, other := r.target("slow", `{{key "k"}}`), r.target("other", "old")
			cfg := Config{Targets: []Target{slow, other}}
			if kind == "a named" {
				cfg.Targets[0].Action, cfg.Actions = "slow", []Action{{Name: "slow", Command: command}}
			} else {
				cfg.Targets[0].Command = command
			}
			r.start(cfg)
			r.await("the command", func() bool { return r.lines("runs") == 1 })
			for i, text := range []string{"new", "newer"} {
				r.write("other.ctmpl", text)
				next := cfg
				next.Targets = append(slices.Clone(cfg.Targets), r.target(fmt.Sprint("added", i), "z"))
				if err := r.engine.Apply(t.Context(), next); err != nil {
					t.Fatal(err)
				}
				r.await("the others", func() bool { return r.read("other") == text && r.read(fmt.Sprint("added", i)) == "z" })
			}
			if s := r.status(); !s.Actions[0].Busy || s.Targets[0].State != status.Rendered {
				t.Errorf("got %+v", s)
			}
			r.world.set(kv("k"), "2")
			r.write("go", "")
			r.await("the end of the command, and another", func() bool {
				return r.read("slow") == "2" && r.lines("runs") == 2 && r.status().Targets[0].State == status.Applied
			})
			r.wantClean()
		})
	}
}

// isComing reports whether a proposal waits: another is not taken then.
func (r *rig) isComing() bool {
	r.status()
	ctx, cancel := context.WithTimeout(context.Background(), 200*time.Millisecond)
	defer cancel()
	return r.engine.gate.Offer(ctx, &proposed{edits: &sources.Changes{Version: -1}}) != nil // edits of a configuration that there was never
}

func TestApplyBeforeRunAndAfter(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		engine, err := New(r.world, Config{Targets: []Target{r.target("a", "x")}, unnotified: true})
		r.must(err)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := engine.Apply(ctx, Config{}); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("before Run: got %v", err)
		}
		engine.Reject(ctx, errGone)
		early := make(chan error, 1)
		go func() { early <- engine.Apply(t.Context(), Config{Targets: []Target{r.target("b", "y")}}) }()
		running, stop := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- engine.Run(running) }()
		if err := <-early; err != nil {
			t.Error(err)
		}
		elapse(time.Second)
		r.wantFile("b", "y")
		stop()
		r.must(<-ended)
		if err := engine.Apply(t.Context(), Config{}); !errors.Is(err, proposal.ErrNotRunning) {
			t.Errorf("after Run: got %v", err)
		}
		engine.Reject(t.Context(), errGone)

		once, err := New(r.world, Config{Once: true})
		r.must(err)
		if err := once.Apply(t.Context(), Config{}); !errors.Is(err, errOnce) {
			t.Errorf("with Once: got %v", err)
		}
		once.Reject(t.Context(), errGone)
	})
}

// What New was given stays: a new configuration does not end a dry run, or the log.
func TestApplyKeepsTheMode(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		var dry strings.Builder
		a := r.target("a", "x")
		r.start(Config{Targets: []Target{a}, Dry: &dry})
		r.apply(Config{Targets: []Target{a, r.target("b", "y"), {Source: "c", Contents: "z"}}, Once: true, FailAbsent: true, Timeout: 1})
		elapse(time.Minute)
		r.wantFile("b", "no file")
		if want := "> " + r.path("a") + "\nx> " + r.path("b") + "\ny> \nz"; dry.String() != want {
			t.Errorf("printed %q, want %q", dry.String(), want)
		}
	})
}

// Many configurations, changes of data and looks at the status at one time; then the end, in the middle of it all.
func TestApplyUnderLoad(t *testing.T) {
	r := newRig(t)
	base := r.target("base", `{{key "base"}}`)
	base.Command = run.Command{Args: []string{"true"}}
	var some []Target
	for i := range 6 {
		some = append(some, r.target(fmt.Sprint(i), fmt.Sprintf(`{{key "base"}} {{key "k/%d"}}`, i)))
		some[i].Command = run.Command{Args: []string{"sh", "-c", "exit 0", fmt.Sprint(i % 2)}}
		some[i].Drift = RepairDrift
		r.world.set(kv(fmt.Sprintf("k/%d", i)), "0")
	}
	r.world.set(kv("base"), "0")
	cfg := Config{Targets: []Target{base}, WatchTemplates: true}
	r.start(cfg)
	ctx, stop := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	loop := func(do func(i int) error) {
		wg.Go(func() {
			for i := 0; ctx.Err() == nil; i++ {
				if err := do(i); err != nil && !errors.Is(err, proposal.ErrNotRunning) && ctx.Err() == nil {
					t.Error(err)
				}
			}
		})
	}
	applied := make(chan struct{}, 1000)
	for n := range 2 {
		loop(func(i int) error {
			cfg := cfg
			cfg.Targets = append([]Target{base}, some[(i+n)%4:(i+n)%4+3]...)
			cfg.Env = []string{fmt.Sprint("I=", i%3)}
			err := r.engine.Apply(t.Context(), cfg)
			select {
			case applied <- struct{}{}:
			default:
			}
			return err
		})
	}
	loop(func(i int) error {
		r.engine.Reject(t.Context(), errGone)
		time.Sleep(time.Millisecond)
		return nil
	})
	loop(func(i int) error {
		r.world.set(kv(fmt.Sprintf("k/%d", i%6)), fmt.Sprint(i))
		time.Sleep(time.Millisecond)
		return nil
	})
	loop(func(int) error {
		_, err := r.engine.Status(ctx)
		return err
	})
	for range 200 {
		<-applied
	}
	r.world.set(kv("base"), "last")
	r.await("the file", func() bool { return r.read("base") == "last" })
	if err := r.stop(); err != nil { // the others go on
		t.Error(err)
	}
	stop()
	wg.Wait()
	r.wantClean()
}

// Starts, reloads and stops, some at one time, leave no goroutine and no file descriptor behind.
func TestApplyLeavesNothing(t *testing.T) {
	r := newRig(t)
	a, b := r.target("a", `{{key "k"}}{{key "never"}}`), r.target("b", `{{key "k"}}`)
	b.Command, b.Drift = run.Command{Args: []string{"true"}}, RepairDrift
	r.world.set(kv("k"), "v")
	cycle := func(i int) {
		engine, err := New(r.world, Config{Targets: []Target{a}})
		r.must(err)
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- engine.Run(ctx) }()
		var wg sync.WaitGroup
		for n := range 3 {
			wg.Go(func() {
				cfg := Config{Targets: []Target{b}, WatchTemplates: n != 1}
				if n == 2 {
					cfg.Targets = append(cfg.Targets, a)
				}
				if err := engine.Apply(t.Context(), cfg); err != nil && !errors.Is(err, proposal.ErrNotRunning) {
					t.Error(err)
				}
			})
		}
		if i%2 == 0 {
			wg.Wait()
		}
		cancel()
		r.must(<-ended)
		wg.Wait()
	}
	cycle(0)
	goroutines, descriptors := runtime.NumGoroutine(), openDescriptors(t)
	for i := range 300 {
		cycle(i)
	}
	r.await("the goroutines to end", func() bool { return runtime.NumGoroutine() <= goroutines })
	if n := openDescriptors(t); n > descriptors {
		t.Errorf("%d descriptors, %d before", n, descriptors)
	}
	r.wantClean()
}

// A file that an action owes for, and that was nobody's for a while, is the business of one action alone.
func TestR13OwedForWhatComesBack(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		target := r.target("a", "x")
		target.Action = "first"
		first := Action{Name: "first", Command: run.Command{Shell: "exit 1"}}
		r.start(Config{Targets: []Target{target}, Actions: []Action{first}})
		elapse(5 * time.Second)
		r.apply(Config{Actions: []Action{first}})
		elapse(5 * time.Second)
		target.Action, target.Command = "", r.appends("runs")
		r.apply(Config{Targets: []Target{target}, Actions: []Action{first}})
		elapse(2 * time.Minute)
		if n := r.lines("runs"); n != 1 {
			t.Errorf("%d runs", n)
		}
		for _, a := range r.status().Actions {
			if a.Failures != 0 {
				t.Errorf("got %+v", a)
			}
		}
		r.wantClean()
	})
}

// Actions that are made of the same command, with other settings, do not change places.
func TestR10ActionsOfOneCommand(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		with := func(name string, spacing time.Duration) Target {
			target := r.target(name, name)
			target.Command = r.appends("runs")
			target.Implied = &Action{Spacing: spacing}
			return target
		}
		one, two, three := with("1", time.Second), with("2", 2*time.Second), with("3", 3*time.Second)
		r.start(Config{Targets: []Target{one, two}})
		elapse(5 * time.Second)
		before := r.status().Actions
		r.apply(Config{Targets: []Target{three, one, two}})
		elapse(5 * time.Second)
		r.wantPasses(1, 1, 1)
		if s := r.status().Actions; !reflect.DeepEqual(s[1:], before) || s[0].Commits != 1 {
			t.Errorf("got %+v, before %+v", s, before)
		}
		four := with("2", 4*time.Second) // other settings, the same state
		r.apply(Config{Targets: []Target{one, four}})
		if s := r.status().Actions; len(s) != 2 || !reflect.DeepEqual(s[0], before[0]) || s[1].Runs != 1 {
			t.Errorf("got %+v, before %+v", s, before)
		}
	})
}

// What a check has rejected is tried at once by another check.
func TestR10MendedCheck(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		target := r.target("a", "x")
		r.start(of(Action{Check: run.Command{Shell: "exit 1 # {}"}}, target))
		elapse(5 * time.Second)
		r.wantFile("a", "no file")
		r.apply(of(Action{Check: run.Command{Shell: "exit 0 # {}"}}, target))
		elapse(time.Second)
		r.wantFile("a", "x")
	})
}
