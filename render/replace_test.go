package render

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"syscall"
	"testing"
	"time"

	"render/render/proposal"
	"render/render/run"
	"render/render/status"
)

// R10: a program whose settings are the same is left alone.
func TestR10ProgramIsLeftAlone(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.world.set(kv("a"), "1")
	keeper := func(args ...string) *exec.Cmd { return exec.Command("sleep", "1000") }
	cfg := Config{Targets: []Target{r.target("out", `{{key "a"}}`)}, Exec: run.Program{
		Command: r.program(""), KillSignal: syscall.SIGINT, Env: run.Env{Custom: []string{"A=b"}}, Keeper: keeper,
	}}
	s := r.supervise(cfg)
	s.starts(1)
	for i := range 3 {
		next := cfg
		next.Exec.Keeper = func(args ...string) *exec.Cmd { return keeper(args...) }
		next.Targets = append(next.Targets, Target{Source: "more", Contents: "x", Destination: r.path(fmt.Sprint(i)), Drift: WarnDrift})
		next.Targets = next.Targets[:1] // the same files
		next.Env = []string{fmt.Sprint("N=", i)}
		r.apply(next)
	}
	s.await("the log", func() bool { return s.log.count(inForce) == 3 })
	s.status()
	if got := s.events(); got != "start" || s.status().ProgramWaits {
		t.Errorf("got %s", got)
	}
	r.must(syscall.Kill(s.pids()[0], syscall.SIGTERM)) // by itself: that ends Run
	s.endsWith(7)
}

// R10: another program takes its place when all is rendered, and no earlier.
func TestR10ProgramIsReplaced(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.world.set(kv("a"), "1")
	cfg := Config{Targets: []Target{r.target("out", `{{key "a"}}`)}, Exec: run.Program{
		Command:    r.program("trap 'until test -e go; do sleep 0.01; done; echo INT >>events; exit 3' INT"),
		KillSignal: syscall.SIGINT, OnChange: run.DoNothing,
	}}
	s := r.supervise(cfg)
	s.starts(1)
	second := cfg
	second.Exec.KillSignal = syscall.SIGUSR1
	second.Exec.Command.Args = append(second.Exec.Command.Args, "second")
	second.Targets = append(second.Targets[:1:1], r.target("more", `{{key "b"}}`))
	r.apply(second)
	if !s.status().ProgramWaits || s.events() != "start" {
		t.Errorf("got %s", s.events())
	}
	r.world.set(kv("b"), "1")
	s.await("the end", func() bool { return s.log.count("program stopping, the configuration changed") == 1 })
	r.apply(cfg) // meanwhile it is the first again: that is a new one nevertheless
	r.apply(second)
	s.write("go", "")
	s.awaitEvents("start INT start")
	if s.status().ProgramWaits {
		t.Error("it still waits")
	}
	if command, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", s.pids()[1])); err == nil && string(command[len(command)-7:]) != "second\x00" {
		t.Errorf("it is %q", command)
	}
	s.await("the end of the first", func() bool { return !groupLives(s.pids()[0]) })
	s.cancel(run.StopSignal{Signal: syscall.SIGTERM})
	s.endsWith(7)
	if n := s.log.count("program started"); n != 2 {
		t.Errorf("%d starts", n)
	}
}

// One that ends by itself while another is about to take its place does not end Run, and neither does one that is removed.
func TestR10ProgramThatIsNotInForceEnds(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.world.set(kv("a"), "1")
	cfg := Config{Targets: []Target{r.target("out", `{{key "a"}}`)}, Exec: run.Program{Command: r.program(""), KillSignal: syscall.SIGINT}}
	none := cfg
	none.Exec = run.Program{}
	s := r.supervise(none)
	s.await("the file", func() bool { return s.read("out") == "1" })
	s.notStarted()
	r.apply(cfg) // newly configured
	s.starts(1)
	r.apply(none) // removed
	s.awaitEvents("start INT")
	s.await("the end of it", func() bool { return !groupLives(s.pids()[0]) })
	r.world.set(kv("a"), "2")
	s.await("the file", func() bool { return s.read("out") == "2" })
	r.apply(cfg)
	s.starts(2)
	next := cfg
	next.Exec.Splay = time.Second
	next.Targets = append(next.Targets[:1:1], r.target("more", `{{key "b"}}`))
	r.apply(next)
	r.must(syscall.Kill(s.pids()[1], syscall.SIGTERM))
	s.await("its end", func() bool { return !groupLives(s.pids()[1]) })
	r.world.set(kv("b"), "1")
	s.starts(3)
	s.cancel(run.StopSignal{Signal: syscall.SIGTERM})
	s.endsWith(7)
}

// Signals and the end of us reach a program that is on its way out, and the one after it does not come.
func TestR10StopWhileProgramIsReplaced(t *testing.T) {
	t.Parallel()
	for _, how := range []syscall.Signal{syscall.SIGTERM, syscall.SIGKILL} {
		t.Run(how.String(), func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			r.world.set(kv("a"), "1")
			cfg := Config{Targets: []Target{r.target("out", `{{key "a"}}`)}, Exec: run.Program{
				Command: r.program("trap 'echo INT >>events' INT"), KillSignal: syscall.SIGINT,
			}}
			s := r.supervise(cfg)
			s.starts(1)
			next := cfg
			next.Exec.KillTimeout = time.Hour
			r.apply(next)
			s.awaitEvents("start INT")
			s.engine.Signal(syscall.SIGUSR1)
			s.awaitEvents("start INT USR1")
			s.cancel(run.StopSignal{Signal: syscall.SIGTERM})
			want := "start INT USR1 TERM"
			if how == syscall.SIGKILL {
				s.engine.Signal(how)
			} else {
				defer func() {
					if got := s.events(); got != want {
						t.Errorf("got %s", got)
					}
				}()
			}
			r.must(s.ends())
			if groupLives(s.pids()[0]) {
				t.Error("it is still there")
			}
			if n := s.log.count("program started"); n != 1 {
				t.Errorf("%d starts", n)
			}
		})
	}
}

// A program that ends while a proposal waits for a commit ends Run, and the proposal with it.
func TestR10ProgramEndsWhileApplying(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.world.set(kv("a"), "1")
	target := r.target("out", `{{key "a"}}`)
	target.Command = r.sh("test ! -e slow || { echo >begun; until test -e go; do sleep 0.01; done; }")
	cfg := Config{Targets: []Target{target}, Exec: run.Program{Command: r.program(""), OnChange: run.DoNothing}}
	s := r.supervise(cfg)
	s.starts(1)
	s.await("the end of the commit", func() bool { return s.status().Targets[0].State == status.Applied })
	s.write("slow", "")
	s.set(kv("a"), "2")
	s.await("a commit", func() bool { return s.read("begun") != "no file" })
	next := cfg
	target.File.Perms = 0o600 // what stays as it is would not keep it waiting
	next.Targets = []Target{target}
	applied := make(chan error, 1)
	go func() { applied <- r.engine.Apply(t.Context(), next) }()
	s.await("the proposal", r.isComing)
	r.must(syscall.Kill(s.pids()[0], syscall.SIGTERM))
	s.await("the end of the program", func() bool { return !groupLives(s.pids()[0]) })
	s.write("go", "")
	s.endsWith(7)
	if err := <-applied; err != nil && err != proposal.ErrNotRunning { // the commit may have ended first
		t.Errorf("got %v", err)
	}
}

func TestR10ReplacedProgramsLeaveNothing(t *testing.T) {
	r := newRig(t)
	r.world.set(kv("a"), "1")
	cfg := Config{Targets: []Target{r.target("out", `{{key "a"}}`)}, Exec: run.Program{
		Command: r.program(""), KillSignal: syscall.SIGINT,
	}}
	s := r.supervise(cfg)
	s.starts(1)
	goroutines, descriptors := runtime.NumGoroutine(), openDescriptors(t)
	for i := range 20 {
		cfg.Exec.Splay = time.Duration(i + 1)
		cfg.Targets[0].Drift = []Drift{RepairDrift, IgnoreDrift}[i%2]
		cfg.WatchTemplates = true
		r.apply(cfg)
		s.starts(i + 2)
		if i == 0 { // the watches that begin stay
			goroutines, descriptors = runtime.NumGoroutine(), openDescriptors(t)
		}
	}
	const starting = 5 // of a program that had noted its start before all of its goroutines had begun
	r.await("the goroutines to end", func() bool { return runtime.NumGoroutine() <= goroutines+starting })
	if n := openDescriptors(t); n > descriptors+starting {
		t.Errorf("%d descriptors, %d before", n, descriptors)
	}
}

// A program that takes another's place finds the files of the new templates, also where their action has to wait.
func TestR10ProgramFindsNewFiles(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	target := r.target("out", "1")
	target.Command, target.Implied = run.Command{Args: []string{"true"}}, &Action{Spacing: 500 * time.Millisecond}
	cfg := Config{Targets: []Target{target}, Exec: run.Program{
		Command: r.program("cat out >>seen"), KillSignal: syscall.SIGINT, OnChange: run.DoNothing,
	}}
	s := r.supervise(cfg)
	s.starts(1)
	for i := range 3 {
		r.write("out.ctmpl", fmt.Sprint(i+2))
		cfg.Exec.Splay++
		r.apply(cfg)
		s.starts(i + 2)
	}
	r.write("out.ctmpl", "{{/* the same output */}}4")
	cfg.Exec.Splay++
	r.apply(cfg)
	s.starts(5)
	s.wantFile("seen", "12344")
}
