package render

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"render/render/commit"
	"render/render/disk"
	"render/render/run"
	"render/render/status"
	"render/render/supervise"
)

// What was appended for an output is not appended again while the target wants the same.
func TestAppendIsDoneOnce(t *testing.T) {
	t.Run("drift", func(t *testing.T) {
		bubble(t, func(t *testing.T, r *rig) {
			a := r.target("a", `x{{writeToFile "`+r.path("journal")+`" "" "" "0644" "append,newline" "line"}}`)
			a.Drift = RepairDrift
			r.start(Config{Targets: []Target{a}})
			elapse(time.Second)
			r.wantFile("journal", "line\n")
			r.write("a", "by hand")
			elapse(2 * time.Minute)
			r.wantFile("a", "x")
			r.wantFile("journal", "line\n")
		})
	})
	t.Run("settings", func(t *testing.T) {
		bubble(t, func(t *testing.T, r *rig) {
			a := r.target("a", `x{{writeToFile "`+r.path("journal")+`" "" "" "0644" "append,newline" "line"}}`)
			r.start(of(Action{Command: r.sh("true")}, a))
			elapse(time.Second)
			r.wantFile("journal", "line\n")
			r.apply(of(Action{Command: r.sh("true"), Timeout: 5 * time.Second}, a))
			elapse(2 * time.Minute)
			r.wantFile("journal", "line\n")
		})
	})
	t.Run("another pass before the retry", func(t *testing.T) {
		bubble(t, func(t *testing.T, r *rig) {
			a := r.target("a", `{{$x := keyOrDefault "other" ""}}x{{writeToFile "`+r.path("journal")+`" "" "" "0644" "append,newline" "line"}}{{writeToFile "`+r.path("dir")+`" "" "" "0644" "append,newline" "line"}}`)
			r.must(os.Mkdir(r.path("dir"), 0o755))
			r.world.set(kv("other"), "1")
			r.start(Config{Targets: []Target{a}})
			elapse(time.Second)
			r.wantFile("journal", "line\n")
			for i := range 5 {
				r.set(kv("other"), fmt.Sprint(i))
				elapse(2 * time.Minute)
			}
			r.wantFile("journal", "line\n")
		})
	})
	t.Run("undone and back", func(t *testing.T) {
		bubble(t, func(t *testing.T, r *rig) {
			a := r.target("a", `{{key "k"}}{{writeToFile "`+r.path("journal")+`" "" "" "0644" "append,newline" (key "k")}}`)
			r.start(of(Action{Command: r.sh("! grep -q bad a")}, a))
			r.set(kv("k"), "good")
			elapse(10 * time.Second)
			r.set(kv("k"), "bad")
			elapse(10 * time.Second)
			r.set(kv("k"), "good")
			elapse(2 * time.Minute)
			r.wantFile("journal", "good\n")
		})
	})
}

// A target is not applied while its own line is not appended, although another one has appended to the same file.
func TestAppendOfEachTarget(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		j := r.path("journal")
		a := r.target("a", `a{{writeToFile "`+j+`" "" "" "0644" "append,newline" "line a"}}`)
		b := r.target("b", `b{{writeToFile "`+j+`" "nosuchuser" "" "0644" "append,newline" "line b"}}`)
		r.start(of(Action{Command: r.sh("true")}, a, b))
		elapse(10 * time.Minute)
		s := r.status().Targets[1]
		if s.State == status.Applied {
			t.Errorf("b is applied; the journal: %q", r.read("journal"))
		}
	})
}

// A target that joins an action whose commit is in flight, because the implied settings have become the same, takes along
// what it owes.
func TestDebtToBusyImpliedAction(t *testing.T) {
	r := newRig(t)
	a, o := r.target("a", `x`), r.target("o", `{{key "o"}}`)
	c := r.sh(`echo "$RENDER_CHANGED" >> runs; case "$RENDER_CHANGED" in */a*) [ ! -e broken ];; *) ` + hold + ` :;; esac`)
	a.Command, o.Command = c, c
	o.Implied = &Action{Timeout: 20 * time.Second, Spacing: time.Millisecond}
	r.write("broken", "")
	r.world.set(kv("o"), "1")
	r.world.set(kv("none"), nil)
	r.start(Config{Targets: []Target{a, o}, Implied: Action{Timeout: 10 * time.Second, Spacing: time.Millisecond}, WatchTemplates: false})
	r.await("the debt", func() bool {
		s := r.status().Targets
		return r.read(".render-a.owed") != "no file" && s[1].State == status.Applied && s[0].State == status.Failed
	})
	r.write("hold", "")
	r.world.set(kv("o"), "2")
	r.await("the command", func() bool { return r.read("begun") != "no file" })
	r.write("a.ctmpl", `{{key "none"}}`)
	applied := make(chan error, 1)
	go func() {
		applied <- r.engine.Apply(context.Background(), Config{Targets: []Target{a, o}, Implied: Action{Timeout: 20 * time.Second, Spacing: time.Millisecond}})
	}()
	select {
	case err := <-applied:
		r.must(err)
	case <-time.After(3 * time.Second):
		r.write("go", "")
		r.must(<-applied)
	}
	r.must(os.Remove(r.path("broken")))
	r.write("go", "")
	r.await("what is pending for a", func() bool { return r.read(".render-a.owed") == "no file" })
}

// Nothing is verified while the supervised program is being replaced.
func TestVerifyWhileProgramIsReplaced(t *testing.T) {
	r := newRig(t)
	a := r.target("out", `{{key "k"}}`)
	r.world.set(kv("k"), "1")
	script := "trap 'cp out live' HUP; trap 'sleep 4; exit 0' TERM; cd '" + r.dir + "'; cp out live; while :; do sleep 0.01; done"
	r.write("p", script)
	r.write("q", script)
	cfg := of(Action{Verify: commit.Verify{Command: r.sh("cmp out live"), Within: time.Second, Every: 50 * time.Millisecond}, Spacing: time.Millisecond}, a)
	prog := func(name string) run.Program {
		return run.Program{Command: run.Command{Args: []string{"sh", r.path(name)}}, OnChange: run.SendSignal, Reload: syscall.SIGHUP, KillSignal: syscall.SIGTERM}
	}
	cfg.Exec = prog("p")
	r.start(cfg)
	r.await("the program", func() bool { return r.read("live") == "1" })
	cfg.Exec = prog("q")
	r.must(r.engine.Apply(context.Background(), cfg))
	r.await("the end of the first", func() bool { return r.log.count("program stopping, the configuration changed") == 1 })
	r.world.set(kv("k"), "2") // while the first one ends, which takes it 4 s
	r.await("the second program", func() bool { return r.log.count("program started") == 2 && r.read("live") == "2" })
	if n := r.log.count("verification failed, retrying; the previous files stay"); n > 0 || r.read("out") != "2" {
		t.Errorf("a good file was taken back because the program is being replaced: out %q", r.read("out"))
	}
}

// Commits that overlap without end do not keep the supervised program from its start.
func TestProgramStartsDuringCommits(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		a, b := r.target("a", `{{key "a"}}`), r.target("b", `{{key "b"}}`)
		a.Command, b.Command = run.Command{Args: []string{"one"}}, run.Command{Args: []string{"two"}}
		var started atomic.Int32
		cfg := Config{Targets: []Target{a, b}, Exec: run.Program{Command: run.Command{Args: []string{"p"}}}}
		f := &flight{r: r, t: t, calm: true}
		cfg.outside = &programs{
			run: func(c run.Command, l run.Limits) (string, error) { time.Sleep(3 * time.Second); return "", nil },
			start: func(p run.Program, e []string, l *slog.Logger) supervise.Child {
				started.Add(1)
				return instant{&fakeChild{f: f, program: p, ended: make(chan error, 1)}}
			},
		}
		r.world.set(kv("a"), "0")
		r.start(cfg)
		elapse(1500 * time.Millisecond)
		for i := range 600 {
			r.world.set(kv("b"), fmt.Sprint(i))
			elapse(500 * time.Millisecond)
			r.world.set(kv("a"), fmt.Sprint(i))
			elapse(500 * time.Millisecond)
		}
		if started.Load() == 0 {
			t.Errorf("ten minutes later the program is not started; all is rendered: %v %v", r.read("a"), r.read("b"))
		}
	})
}

// A program of a template that takes longer than the time between two changes comes to its end, and its output is used.
func TestPluginSlowerThanChanges(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		cfg := Config{Targets: []Target{r.target("a", `{{key "a"}} {{plugin "p"}}`), r.target("b", `{{key "b"}} {{plugin "p"}}`)}}
		var runs, killed atomic.Int32
		cfg.outside = &programs{output: func(ctx context.Context, c run.Command, l run.Limits, most int64) ([]byte, string, error) {
			runs.Add(1)
			select {
			case <-time.After(2 * time.Second):
				return []byte("v"), "", nil
			case <-ctx.Done():
				killed.Add(1)
				return nil, "", ctx.Err()
			}
		}}
		r.world.set(kv("a"), "0")
		r.world.set(kv("b"), "0")
		r.start(cfg)
		elapse(5 * time.Second)
		r.wantFile("a", "0 v")
		for i := range 300 { // each key changes every three seconds
			r.world.set(kv("a"), fmt.Sprint(i))
			elapse(1500 * time.Millisecond)
			r.world.set(kv("b"), fmt.Sprint(i))
			elapse(1500 * time.Millisecond)
		}
		if r.read("a") == "0 v" {
			t.Errorf("fifteen minutes later: a %q, b %q; %d runs of the program, %d killed", r.read("a"), r.read("b"), runs.Load(), killed.Load())
		}
	})
}

// The supervised program is told of what is appended after a verification.
func TestProgramIsToldOfAppends(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		f := &flight{r: r, t: t}
		a := r.target("a", `{{key "k"}}{{writeToFile "`+r.path("journal")+`" "" "" "0644" "append,newline" (key "k")}}`)
		cfg := of(Action{Verify: commit.Verify{Command: run.Command{Args: []string{"verify"}}}}, a)
		cfg.Exec = run.Program{Command: run.Command{Args: []string{"p"}}, OnChange: run.SendSignal, Reload: syscall.SIGHUP}
		var c *fakeChild
		f.calm = true
		f.random = nil
		cfg.outside = &programs{
			run: func(run.Command, run.Limits) (string, error) { return "", nil },
			start: func(p run.Program, e []string, l *slog.Logger) supervise.Child {
				c = &fakeChild{f: f, program: p, ended: make(chan error, 1)}
				c.load()
				return instant{c}
			},
		}
		r.world.set(kv("k"), "1")
		r.start(cfg)
		elapse(10 * time.Second)
		r.set(kv("k"), "2")
		elapse(10 * time.Minute)
		f.mu.Lock()
		defer f.mu.Unlock()
		if got := c.loaded[r.path("journal")]; got != "1\n2\n" {
			t.Errorf("the program has read %q of the journal", got)
		}
	})
}

// After a crash, what a template has written beside its destination goes back with it, also where the target is blocked.
func TestCrashKeepsPair(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.write("cert", "old")
		r.write("key", "old")
		tools := commit.Tools{Stop: commit.NewStop(), Send: run.Signal.Send, Left: new(disk.Leftovers),
			Run: func(run.Command, run.Limits) (string, error) { return "", run.ErrKilled }}
		commit.Do(commit.Plan{Action: commit.Action{Command: run.Command{Args: []string{"x"}}}, Files: []commit.File{
			{Destination: r.path("cert"), Contents: []byte("new!")},
			{Destination: r.path("key"), Contents: []byte("new!"), Written: true},
		}}, tools)
		r.wantFile("cert", "new!")
		r.wantFile("key", "new!")
		a := r.target("cert", `{{key "k"}}{{writeToFile "`+r.path("key")+`" "" "" "0644" "x"}}`)
		r.world.set(kv("k"), nil)
		r.start(of(Action{Command: r.sh("cat cert key >> seen; echo >> seen; exit 1")}, a))
		elapse(time.Hour)
		if r.read("cert") != r.read("key") {
			t.Errorf("cert %q, key %q\n%s", r.read("cert"), r.read("key"), r.read("seen")[:20])
		}
	})
}

// instant is a supervised program that is told at once.
type instant struct{ *fakeChild }

func (c instant) Reload() <-chan struct{} {
	done := make(chan struct{})
	c.load()
	close(done)
	return done
}
