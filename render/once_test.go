package render

import (
	"bytes"
	"context"
	"errors"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"render/render/commit"
	"render/render/run"
	"render/render/status"
	"render/template"
	"render/watch"
)

func TestOnce(t *testing.T) {
	tests := []struct {
		name    string
		prepare func(r *rig) []Target
		err     string            // part of it; empty for success
		files   map[string]string // afterwards
	}{
		{
			"all files, then the commands in order",
			func(r *rig) []Target {
				a, b := r.target("a", `{{key "k"}}`), r.target("b", `{{range services}}{{range service .Name}}{{.Address}}{{end}}{{end}}`)
				a.Command = run.Command{Shell: "cat '" + r.path("b") + "' > '" + r.path("seen") + "'"}
				r.world.set(kv("k"), "v")
				r.world.set(services, names("web"))
				r.world.set(service("web"), instances("web", "10.0.0.1"))
				return []Target{a, b}
			},
			"", map[string]string{"a": "v", "b": "10.0.0.1", "seen": "10.0.0.1"},
		},
		{
			"no targets", func(*rig) []Target { return nil }, "", nil,
		},
		{
			"a key that does not exist",
			func(r *rig) []Target {
				r.world.set(kv("k"), "v")
				r.world.set(kv("none"), nil)
				return []Target{r.target("a", `{{key "k"}}`), r.target("b", "\n {{key \"none\"}}{{key \"silent\"}}")}
			},
			"b.ctmpl:2:4) does not exist", map[string]string{"a": "no file", "b": "no file"},
		},
		{
			"a folder without keys",
			func(r *rig) []Target {
				r.world.set(prefix("dir/"), []*watch.KeyPair{})
				return []Target{r.target("a", `{{safeLs "dir/"}}`)}
			},
			"prefix dir/ (", map[string]string{"a": "no file"},
		},
		{
			"a template that fails",
			func(r *rig) []Target {
				r.world.set(kv("k"), "v")
				return []Target{r.target("a", `{{key "k"}}`), r.target("b", `{{parseInt (key "k")}}`), r.target("c", `{{key "silent"}}`)}
			},
			"b.ctmpl:1:3: parseInt: invalid syntax", map[string]string{"a": "no file", "b": "no file"},
		},
		{
			"a file that cannot be written",
			func(r *rig) []Target {
				bad := r.target("bad", "x")
				if err := os.Mkdir(bad.Destination, 0o755); err != nil {
					r.t.Fatal(err)
				}
				good := r.target("good", "x")
				good.Command = r.appends("runs")
				return []Target{good, bad}
			},
			"bad: is a directory", map[string]string{"good": "no file", "runs": "no file"},
		},
		{
			"a command that fails does not keep the others from running",
			func(r *rig) []Target {
				a, b := r.target("a", "x"), r.target("b", "x")
				a.Command, b.Command = run.Command{Shell: "exit 3"}, r.appends("runs")
				return []Target{a, b}
			},
			`command "exit 3": exit status 3`, map[string]string{"a": "x", "b": "x", "runs": "ran\n"},
		},
		{
			"a signal that nobody gets is told of without the words of a command",
			func(r *rig) []Target {
				a := r.target("a", "x")
				a.Implied = &Action{Signal: run.Signal{Signal: syscall.SIGHUP, PIDFile: r.path("missing")}}
				return []Target{a}
			},
			"signal SIGHUP to the process of", map[string]string{"a": "x"},
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			bubble(t, func(t *testing.T, r *rig) {
				targets := test.prepare(r)
				ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
				defer cancel()
				err := r.run(ctx, Config{Targets: targets})
				if (err == nil) != (test.err == "") || err != nil && strings.Count(err.Error(), test.err) != 1 {
					t.Errorf("got %v, want %q", err, test.err)
				}
				for name, want := range test.files {
					r.wantFile(name, want)
				}
				entries, _ := os.ReadDir(r.dir)
				for _, e := range entries {
					if strings.HasPrefix(e.Name(), ".render-") && !strings.HasSuffix(e.Name(), ".owed") {
						t.Errorf("left behind: %s", e.Name())
					}
				}
			})
		})
	}
}

// A failing template ends a run with Once at once; one that waits says so within 5 s.
func TestOnceTiming(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		began := time.Now()
		r.world.set(service("web"), instances("web"))
		err := r.run(context.Background(), Config{Targets: []Target{r.target("a", `{{(index (service "web") 0).Port}}`), r.target("b", `{{key "silent"}}`)}})
		if fault, ok := errors.AsType[*template.Error](err); !ok || fault.Line != 1 || fault.Column != 4 {
			t.Errorf("got %v", err)
		}
		if took := time.Since(began); took != 0 {
			t.Errorf("took %s", took)
		}
	})
	bubble(t, func(t *testing.T, r *rig) {
		ctx, cancel := context.WithTimeout(context.Background(), 8*time.Second)
		defer cancel()
		r.world.fail(kv("k"), errGone)
		err := r.run(ctx, Config{Targets: []Target{r.target("a", `{{key "k"}}`)}})
		incomplete, ok := errors.AsType[*status.IncompleteError](err)
		if !ok || len(incomplete.Targets) != 1 || !errors.Is(incomplete.Targets[0].Missing[0].Err, errGone) {
			t.Errorf("got %v", err)
		}
		if n := r.log.count("waiting"); n != 1 {
			t.Errorf("%d reports:\n%s", n, r.log)
		}
	})
}

// What does not exist ends a run with FailAbsent at once.
func TestOnceFailAbsent(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		began := time.Now()
		r.world.set(kv("none"), nil)
		err := r.run(context.Background(), Config{FailAbsent: true, Targets: []Target{r.target("a", `{{key "none"}}`)}})
		if err == nil || !strings.Contains(err.Error(), "kv none (") || !strings.Contains(err.Error(), "does not exist") || time.Since(began) != 0 {
			t.Errorf("got %v after %s", err, time.Since(began))
		}
	})
}

// Once, too, runs a command that an earlier run still owed.
func TestOnceRunsWhatIsOwed(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		target := r.target("a", "x")
		target.Command = run.Command{Shell: "exit 1"}
		if err := r.run(t.Context(), Config{Targets: []Target{target}}); err == nil {
			t.Fatal("no error")
		}
		target.Command = r.appends("runs")
		for range 2 {
			if err := r.run(t.Context(), Config{Targets: []Target{target}}); err != nil {
				t.Fatal(err)
			}
			if n := r.lines("runs"); n != 1 {
				t.Errorf("%d runs, want 1", n)
			}
		}
	})
}

func TestDry(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.world.set(kv("k"), "1")
		var out bytes.Buffer
		a := r.target("a", `{{key "k"}}`)
		a.Command = r.appends("runs")
		b := r.target("b", "b\n")
		cfg := Config{Targets: []Target{a, b}, Dry: &out}
		r.write("b", "b\n") // printed all the same
		if err := r.run(t.Context(), cfg); err != nil {
			t.Fatal(err)
		}
		if want := "> " + a.Destination + "\n1> " + b.Destination + "\nb\n"; out.String() != want {
			t.Errorf("got %q, want %q", out.String(), want)
		}
		out.Reset()
		r.start(cfg)
		elapse(2 * time.Second)
		r.set(kv("k"), "2")
		if want := "> " + b.Destination + "\nb\n> " + a.Destination + "\n1> " + a.Destination + "\n2"; out.String() != want {
			t.Errorf("got %q, want %q", out.String(), want)
		}
		r.wantFile("a", "no file")
		r.wantFile("runs", "no file")
	})
}

func TestDryWithoutDestination(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		var out bytes.Buffer
		target := r.target("a", "x")
		target.Destination = ""
		if err := r.run(t.Context(), Config{Targets: []Target{target}, Dry: &out}); err != nil || out.String() != "> \nx" {
			t.Errorf("got %q, %v", out.String(), err)
		}
	})
}

// Once asks for what has been answered no more: a waiting request would be left to Consul when the run ends. What does not
// exist yet is waited for.
func TestOnceAsksOnce(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.world.set(kv("a"), "1")
		go func() {
			time.Sleep(time.Second)
			r.world.set(kv("a"), "2")
			time.Sleep(time.Second)
			r.world.set(watch.NewQuery(watch.KindKV, "b", nil), "b")
		}()
		if err := r.run(t.Context(), Config{Targets: []Target{r.target("f", `{{key "a"}}{{key "b"}}`)}}); err != nil {
			t.Fatal(err)
		}
		r.wantFile("f", "1b")
	})
}

// With Once, what a check does not like keeps all files of all actions from being written; a command or verification that
// fails puts the files of its own action back. Each is an error.
func TestOnceAction(t *testing.T) {
	tests := []struct {
		name   string
		action func(r *rig) Action // of b and c; a has none
		err    string
		files  map[string]string
	}{
		{"all is well", func(r *rig) Action {
			return Action{Check: r.sh("grep -q new {}"), Command: r.appends("runs"), Verify: commit.Verify{Command: r.sh("grep new b c")}}
		}, "", map[string]string{"a": "new", "b": "new", "c": "new", "runs": "ran\n"}},
		{"check before the swap", func(r *rig) Action {
			return Action{Check: r.sh("echo why; false {}"), Command: r.appends("runs")}
		}, "c: cd ", map[string]string{"a": "old", "b": "old", "c": "no file", "runs": "no file"}},
		{"check after the swap", func(r *rig) Action {
			return Action{Check: r.sh("echo why; cat a b c > seen; false"), Command: r.appends("runs")}
		}, "it said: why", map[string]string{"a": "old", "b": "old", "c": "no file", "seen": "newnewnew", "runs": "no file"}},
		{"command", func(r *rig) Action {
			return Action{Command: r.sh("cat b >> runs; ! grep -q new b")}
		}, "exit status 1", map[string]string{"a": "new", "b": "old", "c": "no file", "runs": "newold"}},
		{"verification", func(r *rig) Action {
			return Action{Verify: commit.Verify{Command: r.sh("false"), Within: time.Millisecond}}
		}, "verification failed", map[string]string{"a": "new", "b": "old", "c": "no file"}},
		{"missing folder", func(r *rig) Action {
			if err := os.Mkdir(r.path("c"), 0o755); err != nil {
				r.t.Fatal(err)
			}
			return Action{Command: r.appends("runs")}
		}, "c: is a directory", map[string]string{"a": "old", "b": "old", "runs": "no file"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			bubble(t, func(t *testing.T, r *rig) {
				r.write("a", "old")
				r.write("b", "old")
				r.world.set(kv("k"), "new")
				cfg := of(test.action(r), r.target("b", `{{key "k"}}`), r.target("c", `{{key "k"}}`))
				cfg.Targets = append(cfg.Targets, r.target("a", `{{key "k"}}`))
				err := r.run(t.Context(), cfg)
				if (err == nil) != (test.err == "") || err != nil && strings.Count(err.Error(), test.err) != 1 {
					t.Errorf("got %v, want %q", err, test.err)
				}
				for name, want := range test.files {
					r.wantFile(name, want)
				}
				r.wantClean()
			})
		})
	}
}
