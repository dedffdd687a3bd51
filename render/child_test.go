package render

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"render/render/commit"
	"render/render/run"
	"render/render/status"
	"render/watch"
)

// The program of most tests notes in the file events when it is started, as "start PID", and which signals it gets. It has a
// child of its own all the time, and ends well on SIGINT and with 7 on SIGTERM.
const noting = `cd %s
for s in HUP USR1; do trap "echo $s >>events" $s; done
trap 'echo INT >>events; exit 0' INT
trap 'echo TERM >>events; exit 7' TERM
%s
echo "start $$" >>events
while :; do sleep 1000 & wait; done
`

// supervised is an engine with a program.
type supervised struct {
	*rig
	engine *Engine
	cancel context.CancelCauseFunc
	ended  chan struct{} // closed when Run has returned
	err    error         // of Run, then
}

// program writes a program that notes what happens to it, with some more lines of sh.
func (r *rig) program(more string) run.Command {
	return run.Command{Args: []string{"sh", r.write("program", fmt.Sprintf(noting, r.dir, more))}}
}

func (r *rig) supervise(cfg Config) *supervised {
	r.t.Helper()
	return r.superviseFrom(r.world, cfg)
}

func (r *rig) superviseFrom(src watch.Source, cfg Config) *supervised {
	r.t.Helper()
	cfg.Log = r.log.logger()
	engine, err := New(src, cfg)
	if err != nil {
		r.t.Fatal(err)
	}
	ctx, cancel := context.WithCancelCause(context.Background())
	s := &supervised{rig: r, engine: engine, cancel: cancel, ended: make(chan struct{})}
	r.engine = engine
	go func() {
		defer close(s.ended)
		s.err = engine.Run(ctx)
	}()
	r.t.Cleanup(func() {
		pids := s.pids()
		cancel(nil)
		engine.Signal(syscall.SIGKILL)
		<-s.ended
		for _, pid := range append(pids, s.pids()...) {
			r.await(fmt.Sprintf("the end of the group of process %d", pid), func() bool { return !groupLives(pid) })
		}
	})
	return s
}

// pids returns the processes that the program has been so far.
func (s *supervised) pids() (pids []int) {
	for line := range strings.Lines(s.read("events")) {
		if text, ok := strings.CutPrefix(line, "start "); ok {
			pid, _ := strconv.Atoi(strings.TrimSpace(text))
			pids = append(pids, pid)
		}
	}
	return pids
}

// starts waits until the program has been started so often.
func (s *supervised) starts(n int) {
	s.t.Helper()
	s.await(fmt.Sprintf("start %d of the program", n), func() bool { return len(s.pids()) >= n })
	if got := len(s.pids()); got > n {
		s.t.Fatalf("the program was started %d times, want %d", got, n)
	}
}

// events returns what has happened to the program, without numbers of processes.
func (s *supervised) events() string {
	text := s.read("events")
	for _, pid := range s.pids() {
		text = strings.ReplaceAll(text, fmt.Sprintf("start %d\n", pid), "start\n")
	}
	return strings.Join(strings.Fields(text), " ")
}

func (s *supervised) awaitEvents(want string) {
	s.t.Helper()
	s.await("events "+want, func() bool { return s.events() == want })
}

// notStarted fails the test where the program has been started. The engine's loop has turned since what came before.
func (s *supervised) notStarted() {
	s.t.Helper()
	s.status()
	if s.log.count("program started") > 0 {
		s.t.Fatalf("the program was started\nlog:\n%s", s.log)
	}
}

// ends waits for the end of Run.
func (s *supervised) ends() error {
	s.t.Helper()
	select {
	case <-s.ended:
		return s.err
	case <-time.After(20 * time.Second):
		s.t.Fatalf("Run does not end\nlog:\n%s", s.log)
		return nil
	}
}

// endsWith waits for the end of Run, which has to give an exit code.
func (s *supervised) endsWith(code int) {
	s.t.Helper()
	err := s.ends()
	exit, ok := errors.AsType[*run.ExitError](err)
	if code == 0 && err == nil || ok && exit.Code == code {
		return
	}
	s.t.Fatalf("Run gave %v, want exit code %d\nlog:\n%s", err, code, s.log)
}

// groupLives reports whether a process group has a process that is more than a zombie.
func groupLives(group int) bool {
	if syscall.Kill(-group, 0) != nil {
		return false
	}
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil || len(stats) == 0 {
		return true
	}
	for _, path := range stats {
		text, err := os.ReadFile(path)
		if err != nil {
			continue
		}
		fields := strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+1:])) // state, parent, group
		if fields[2] == strconv.Itoa(group) && fields[0] != "Z" && fields[0] != "X" {
			return true
		}
	}
	return false
}

func TestProgramStartsWhenAllIsRendered(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	plain := r.target("plain", `{{key "a"}}`)
	plain.Command = run.Command{Shell: "sleep 0.1; echo command >>" + r.path("events")}
	nested := r.target("nested", `{{key (key "a")}}`)
	r.world.set(kv("a"), "b")
	r.world.set(kv("b"), nil)
	s := r.supervise(Config{
		Targets: []Target{plain, nested},
		Env:     []string{"CONSUL_HTTP_ADDR=injected"},
		Exec: run.Program{
			Command: r.program(`echo "$CONSUL_HTTP_ADDR $CUSTOM" >environment`),
			Env:     run.Env{Custom: []string{"CUSTOM=custom"}},
		},
	})
	s.awaitEvents("command")
	s.await("the wait for a key", func() bool { return s.status().Targets[1].State == status.Absent })
	s.notStarted()
	s.set(kv("b"), "there")
	s.awaitEvents("command start")
	s.wantFile("nested", "there")
	s.wantFile("environment", "injected custom\n")
}

// TestProgramNeedsItsFiles: a program is not started before its files are there, and what a check has rejected is not.
func TestProgramNeedsItsFiles(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name string
		fail func(r *rig, target *Target) (fix func())
	}{
		{"cannot be written", func(r *rig, target *Target) func() {
			target.File.NoFolders = true
			target.Destination = r.path("folder/out")
			return func() { _ = os.Mkdir(r.path("folder"), 0o755) }
		}},
		{"check of the file fails", func(r *rig, target *Target) func() {
			target.Action = "check"
			return func() { r.set(kv("a"), "good") }
		}},
		{"template fails", func(r *rig, target *Target) func() {
			r.write("out.ctmpl", `{{key "a" | parseInt}}`)
			return func() { r.set(kv("a"), "1") }
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			target := r.target("out", `{{key "a"}}`)
			fix := tt.fail(r, &target)
			r.world.set(kv("a"), "bad")
			s := r.supervise(Config{
				Targets: []Target{target},
				Actions: []Action{{Name: "check", Check: run.Command{Shell: "grep good {}"}}},
				Exec:    run.Program{Command: r.program("")},
			})
			s.await("the failure", func() bool { return s.status().Targets[0].State == status.Failed })
			s.notStarted()
			fix()
			s.starts(1)
		})
	}
}

// TestProgramStartsThoughCommandFails: the command may be one that needs the program.
func TestProgramStartsThoughCommandFails(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	target := r.target("out", `{{key "a"}}`)
	target.Command = run.Command{Args: []string{"false"}}
	r.world.set(kv("a"), "1")
	s := r.supervise(Config{Targets: []Target{target}, Exec: run.Program{Command: r.program("")}})
	s.starts(1)
	s.wantFile("out", "1")
}

// TestProgramStartsBeforeItAnswers: as long as it is not started, a command that needs it is no reason to take new files
// back, and there is nothing to verify. Afterwards both are as ever.
func TestProgramStartsBeforeItAnswers(t *testing.T) {
	t.Parallel()
	for _, old := range []string{"no file", "0"} {
		t.Run(old, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			r.world.set(kv("a"), "1")
			target := r.target("out", `{{key "a"}}`)
			if old != "no file" {
				r.write("out", old)
			}
			cfg := of(Action{
				Command: r.sh("echo >> runs; test -e events && ! grep bad out"),
				Verify:  commit.Verify{Command: r.sh("echo >> verified; test -e events && ! grep wrong out"), Within: time.Nanosecond},
				Spacing: time.Millisecond,
			}, target)
			cfg.Exec = run.Program{Command: r.program(""), OnChange: run.DoNothing}
			s := r.supervise(cfg)
			s.starts(1)
			s.wantFile("out", "1")
			applied := func() bool { return s.status().Targets[0].State == status.Applied }
			s.await("the command", applied)
			if runs, verified := s.lines("runs"), s.lines("verified"); runs < 2 || verified != 1 {
				t.Errorf("%d runs, %d verifications", runs, verified)
			}
			for _, next := range []struct{ value, failure string }{{"bad", "command failed"}, {"wrong", "verification failed"}} {
				s.set(kv("a"), next.value)
				s.await("the "+next.failure, func() bool {
					return s.log.count(next.failure+", retrying; the previous files stay") > 0
				})
				s.await("the old file", func() bool { return s.read("out") == "1" })
			}
		})
	}
}

// TestProgramLearnsOfOldFiles: when what it was started with goes back after all, because a command fails, it is told.
func TestProgramLearnsOfOldFiles(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.world.set(kv("a"), "1")
	r.write("out", "0")
	cfg := of(Action{Command: r.sh("! grep 1 out"), Spacing: time.Millisecond}, r.target("out", `{{key "a"}}`))
	cfg.Exec = run.Program{Command: r.program("cat out >>seen"), KillSignal: syscall.SIGINT}
	s := r.supervise(cfg)
	s.starts(1)
	s.awaitEvents("start INT start")
	s.await("what the program has seen", func() bool { return strings.HasPrefix(s.read("seen"), "10") })
	s.await("the old file", func() bool { return s.read("out") == "0" })
}

func TestProgramNotStartedByDryRun(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.world.set(kv("a"), "1")
	var out logBuffer
	s := r.supervise(Config{Targets: []Target{r.target("out", `{{key "a"}}`)}, Dry: &out, Exec: run.Program{Command: r.program("")}})
	s.await("the output", func() bool { return strings.Contains(out.String(), "1") })
	s.notStarted()
}

func TestProgramIsRestarted(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.world.set(kv("a"), "1")
	s := r.supervise(Config{Targets: []Target{r.target("out", `{{key "a"}}`)}, Exec: run.Program{
		Command: r.program("cat out >>seen"), KillSignal: syscall.SIGINT,
	}})
	s.starts(1)
	s.set(kv("a"), "2")
	s.awaitEvents("start INT start")
	s.wantFile("seen", "12")
	s.await("the end of what the program has started", func() bool { return !groupLives(s.pids()[0]) })
}

// TestChangesWhileProgramEnds: however many there are while a program ends, the one that follows has seen them all.
func TestChangesWhileProgramEnds(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.world.set(kv("a"), "0")
	s := r.supervise(Config{Targets: []Target{r.target("out", `{{key "a"}}`)}, Exec: run.Program{
		Command:    r.program("trap 'echo INT >>events; until test -e go; do sleep 0.01; done; exit 0' INT; cat out >>seen"),
		KillSignal: syscall.SIGINT,
	}})
	s.starts(1)
	s.set(kv("a"), "1")
	s.awaitEvents("start INT")
	for _, value := range []string{"2", "3", "4"} {
		s.set(kv("a"), value)
		s.await("value "+value, func() bool { return s.status().Targets[0].State == status.Applied && s.read("out") == value })
	}
	s.write("go", "")
	s.awaitEvents("start INT start")
	s.wantFile("seen", "04")
	s.set(kv("a"), "5") // comes after all that is under way
	s.awaitEvents("start INT start INT start")
	s.wantFile("seen", "045")
	s.await("the line of the third start", func() bool { return s.log.count("program started") >= 3 }) // it comes after the program runs
	if n := s.log.count("program started"); n != 3 {
		t.Errorf("it was started %d times, want 3", n)
	}
}

func TestProgramThatIgnoresItsKillSignal(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name   string
		signal syscall.Signal
	}{{"ignored", syscall.SIGINT}, {"none", 0}} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			r.world.set(kv("a"), "1")
			s := r.supervise(Config{Targets: []Target{r.target("out", `{{key "a"}}`)}, Exec: run.Program{
				Command: r.program("trap '' INT"), KillSignal: tt.signal, KillTimeout: 200 * time.Millisecond,
			}})
			s.starts(1)
			s.set(kv("a"), "2")
			s.awaitEvents("start start")
			began := time.Now()
			s.cancel(run.StopSignal{})
			s.endsWith(128 + int(syscall.SIGKILL))
			if took := time.Since(began); took < 200*time.Millisecond {
				t.Errorf("it had %s to end", took)
			}
		})
	}
}

// TestStopWhileProgramIsRestarted: what ends us is how the program has ended, and it is not started again.
func TestStopWhileProgramIsRestarted(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.world.set(kv("a"), "1")
	s := r.supervise(Config{Targets: []Target{r.target("out", `{{key "a"}}`)}, Exec: run.Program{
		Command:    r.program("trap 'echo INT >>events' INT"),
		KillSignal: syscall.SIGINT,
	}})
	s.starts(1)
	s.set(kv("a"), "2")
	s.awaitEvents("start INT")
	s.cancel(run.StopSignal{Signal: syscall.SIGTERM})
	s.endsWith(7)
	if got := s.events(); got != "start INT TERM" {
		t.Errorf("got %s", got)
	}
}

func TestProgramGetsReloadSignal(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.world.set(kv("a"), "1")
	s := r.supervise(Config{Targets: []Target{r.target("out", `{{key "a"}}`)}, Exec: run.Program{
		Command: r.program(""), OnChange: run.SendSignal, Reload: syscall.SIGHUP, Splay: 10 * time.Millisecond,
	}})
	s.starts(1)
	s.set(kv("a"), "2")
	s.awaitEvents("start HUP")
	s.set(kv("a"), "3")
	s.awaitEvents("start HUP HUP")
}

func TestProgramIsToldNothing(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.world.set(kv("a"), "1")
	s := r.supervise(Config{Targets: []Target{r.target("out", `{{key "a"}}`)}, Exec: run.Program{Command: r.program(""), OnChange: run.DoNothing}})
	s.starts(1)
	s.set(kv("a"), "2")
	s.await("the change", func() bool { return s.read("out") == "2" })
	s.engine.Signal(syscall.SIGUSR1) // comes after what else there may be
	s.awaitEvents("start USR1")
}

func TestProgramSplay(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.world.set(kv("a"), "1")
	s := r.supervise(Config{Targets: []Target{r.target("out", `{{key "a"}}`)}, Exec: run.Program{
		Command: r.program(""), OnChange: run.SendSignal, Reload: syscall.SIGHUP, Splay: 1000 * time.Hour,
	}})
	s.starts(1)
	s.set(kv("a"), "2")
	s.await("the change", func() bool { return s.read("out") == "2" })
	s.cancel(run.StopSignal{Signal: syscall.SIGTERM}) // the pause is no hindrance
	s.endsWith(7)
	if got := s.events(); got != "start TERM" {
		t.Errorf("got %s", got)
	}
}

// A program uses the credentials that it has read until it is notified of others: until then their lease lasts.
func TestLeasesOfAProgram(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name, next string
		splay      time.Duration
		notified   bool
	}{
		{"other credentials", `{{with secret "a"}}{{.Data.password}}{{end}}`, 0, true},
		{"other credentials, before it is notified", `{{with secret "a"}}{{.Data.password}}{{end}}`, 1000 * time.Hour, false},
		{"no credentials, before it is notified", `none`, 1000 * time.Hour, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			ended := make(chan string, 10)
			l := newLessor("s", func(password string) { ended <- password })
			text := `{{if eq (key "more") "no"}}{{with secret "a"}}{{.Data.password}}{{end}}{{else}}` + test.next + `{{end}}`
			r.world.set(kv("more"), "no")
			s := r.superviseFrom(watch.ByKind{watch.KindSecret: l, "": r.world}, Config{Targets: []Target{r.target("out", text)}, Exec: run.Program{
				Command: r.program(""), OnChange: run.SendSignal, Reload: syscall.SIGHUP, Splay: test.splay,
			}})
			s.starts(1)
			before := s.read("out")
			l.mu.Lock()
			for _, e := range l.leases {
				l.lease(e)
			}
			l.mu.Unlock()
			s.set(kv("more"), "yes")
			s.await("other contents", func() bool { return s.read("out") != before && s.status().Targets[0].State == status.Applied })
			if test.notified {
				s.awaitEvents("start HUP")
				if got := <-ended; got != before {
					t.Errorf("the lease of %s has ended, want that of %s", got, before)
				}
				return
			}
			for range 3 {
				s.status() // turns of the loop
			}
			if len(ended) > 0 {
				t.Errorf("the lease of %s has ended, which the program uses", <-ended)
			}
		})
	}
}

// A program that another takes the place of uses its credentials until it has ended, though their targets are gone.
func TestLeasesOfAProgramThatEnds(t *testing.T) {
	t.Parallel()
	for name, next := range map[string]run.Program{"another program": {Command: run.Command{Args: []string{"sleep", "1000"}}}, "no program": {}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			ended := make(chan string, 10)
			r.world.set(kv("a"), "1")
			kept := r.target("kept", `{{key "a"}}`)
			s := r.superviseFrom(watch.ByKind{watch.KindSecret: newLessor("s", func(password string) { ended <- password }), "": r.world}, Config{
				Targets: []Target{kept, r.target("out", `{{with secret "a"}}{{.Data.password}}{{end}}`)},
				Exec: run.Program{
					Command:    r.program("trap 'echo INT >>events; until test -e go; do sleep 0.01; done; exit 0' INT"),
					KillSignal: syscall.SIGINT, KillTimeout: time.Hour,
				},
			})
			s.starts(1)
			used := s.read("out")
			r.apply(Config{Targets: []Target{kept}, Exec: next})
			s.awaitEvents("start INT")
			for range 3 {
				s.status() // turns of the loop
			}
			if len(ended) > 0 {
				t.Fatalf("the lease of %s has ended, which the program uses", <-ended)
			}
			s.write("go", "")
			s.await("the end of the lease", func() bool { return len(ended) > 0 })
			if got := <-ended; got != used {
				t.Errorf("the lease of %s has ended, want that of %s", got, used)
			}
		})
	}
}

func TestProgramEnds(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, lines string
		code        int
	}{
		{"well", "exit 0", 0},
		{"with a code", "exit 42", 42},
		{"by a signal", "kill -KILL $$", 128 + 9},
		{"and leaves something", `echo "start $$" >>events; sleep 1000 & exit 3`, 3},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			r.world.set(kv("a"), "1")
			s := r.supervise(Config{Targets: []Target{r.target("out", `{{key "a"}}`)}, Exec: run.Program{Command: r.program(tt.lines)}})
			s.endsWith(tt.code)
		})
	}
}

func TestProgramCannotBeStarted(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.world.set(kv("a"), "1")
	s := r.supervise(Config{Targets: []Target{r.target("out", `{{key "a"}}`)}, Exec: run.Program{Command: run.Command{Args: []string{r.path("missing")}}}})
	err := s.ends()
	if _, exit := errors.AsType[*run.ExitError](err); exit || !errors.Is(err, os.ErrNotExist) || !strings.Contains(err.Error(), "start "+r.path("missing")) {
		t.Errorf("Run gave %v", err)
	}
}

// TestProgramUnderShell: the shell, which dies of a signal at once, is no reason to kill what it has started, and which
// has got the signal as well.
func TestProgramUnderShell(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.world.set(kv("a"), "1")
	program := r.program("trap 'echo TERM >>events; sleep 0.3; echo done >>events; exit' TERM")
	s := r.supervise(Config{Targets: []Target{r.target("out", `{{key "a"}}`)}, Exec: run.Program{
		Command:     run.Command{Shell: program.String() + "; echo shell"},
		KillTimeout: 5 * time.Second, // for what the program starts just when it gets the signal
	}})
	s.starts(1)
	s.cancel(run.StopSignal{Signal: syscall.SIGTERM})
	s.endsWith(128 + int(syscall.SIGTERM))
	if got := s.events(); got != "start TERM done" {
		t.Errorf("got %s", got)
	}
}

// TestNothingTouchesProgram: templates, commands and Consul may fail (R12).
func TestNothingTouchesProgram(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	for _, k := range []string{"a", "b", "c", "d"} {
		r.world.set(kv(k), "1")
	}
	command := r.target("command", `{{key "b"}}`)
	command.Command = run.Command{Shell: "test ! -e " + r.path("broken")}
	s := r.supervise(Config{
		Targets: []Target{r.target("template", `{{key "a" | parseInt}}`), command, r.target("key", `{{key "c"}}`), r.target("d", `{{key "d"}}`)},
		Exec:    run.Program{Command: r.program(""), OnChange: run.SendSignal, Reload: syscall.SIGHUP},
	})
	s.starts(1)
	s.write("broken", "")
	s.set(kv("a"), "none")
	s.set(kv("b"), "2")
	s.set(kv("c"), nil)
	s.fail(kv("d"), errors.New("no leader"))
	s.await("the failures", func() bool {
		is := s.status()
		failing := false
		for _, q := range is.Queries {
			failing = failing || q.Err != nil
		}
		return failing && is.Targets[0].State == status.Failed && is.Targets[1].State == status.Failed && is.Targets[2].State == status.Absent
	})
	s.engine.Signal(syscall.SIGUSR1)
	s.awaitEvents("start USR1")
	s.set(kv("c"), "2")
	s.awaitEvents("start USR1 HUP")
	s.cancel(run.StopSignal{Signal: syscall.SIGTERM})
	s.endsWith(7)
}

func TestProgramAfterOnce(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.world.set(kv("a"), "1")
	target := r.target("out", `{{key "a"}}`)
	target.Command = run.Command{Shell: "echo command >>" + r.path("events")}
	s := r.supervise(Config{Once: true, Targets: []Target{target}, Exec: run.Program{
		Command: r.program("trap 'exit 5' USR1"), KillSignal: syscall.SIGINT,
	}})
	s.awaitEvents("command start")
	s.await("the end of watching", func() bool { return s.world.watchers(kv("a")) == 0 })
	if state := s.status().Targets[0].State; state != status.Applied {
		t.Errorf("the state is %s", state)
	}
	s.engine.Signal(syscall.SIGHUP)
	s.awaitEvents("command start HUP")
	s.engine.Signal(syscall.SIGUSR1)
	s.endsWith(5)
}

func TestOnceFailsWithoutProgram(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.world.set(kv("a"), "1")
	target := r.target("out", `{{key "a"}}`)
	target.Command = run.Command{Args: []string{"false"}}
	s := r.supervise(Config{Once: true, Targets: []Target{target}, Exec: run.Program{Command: r.program("")}})
	if err := s.ends(); err == nil {
		t.Error("no error")
	}
	if s.log.count("program started") > 0 {
		t.Error("the program was started")
	}
}

// TestProgramWithEmptyEnvironment: nothing is not the same as all.
func TestProgramWithEmptyEnvironment(t *testing.T) {
	t.Setenv("SECRET", "ours")
	r := newRig(t)
	r.world.set(kv("a"), "1")
	s := r.supervise(Config{Targets: []Target{r.target("out", `{{key "a"}}`)}, Exec: run.Program{
		Command: r.program("env >environment"), Env: run.Env{Pristine: true},
	}})
	s.starts(1)
	if env := s.read("environment"); strings.Contains(env, "SECRET") {
		t.Errorf("it got\n%s", env)
	}
}

// TestProgramIsKilled: who has no patience sends SIGKILL after the signal that has stopped us.
func TestProgramIsKilled(t *testing.T) {
	t.Parallel()
	for _, shell := range []bool{false, true} {
		t.Run(fmt.Sprint("shell ", shell), func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			r.world.set(kv("a"), "1")
			command := r.program("trap 'echo TERM >>events' TERM")
			if shell {
				command = run.Command{Shell: "trap : TERM USR1; " + command.String() + "; echo shell"}
			}
			s := r.supervise(Config{Targets: []Target{r.target("out", `{{key "a"}}`)}, Exec: run.Program{Command: command}})
			s.starts(1)
			s.cancel(run.StopSignal{Signal: syscall.SIGTERM})
			s.awaitEvents("start TERM")
			s.engine.Signal(syscall.SIGUSR1) // all are passed on until the end
			s.awaitEvents("start TERM USR1")
			s.engine.Signal(syscall.SIGKILL)
			s.endsWith(128 + int(syscall.SIGKILL))
		})
	}
}

// TestProgramEndsWithPanic: however we end, it does not stay behind.
func TestProgramEndsWithPanic(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.world.set(kv("a"), "1")
	engine, err := New(r.world, Config{
		Targets: []Target{r.target("out", `{{key "a" | parseInt}}`)},
		Exec:    run.Program{Command: r.program(""), KillSignal: syscall.SIGTERM},
		Log:     slog.New(slog.NewTextHandler(panicking{}, nil)),
	})
	if err != nil {
		t.Fatal(err)
	}
	panicked := make(chan any, 1)
	go func() {
		defer func() { panicked <- recover() }()
		_ = engine.Run(t.Context())
	}()
	s := &supervised{rig: r}
	s.starts(1)
	r.set(kv("a"), "none")
	if p := <-panicked; p == nil {
		t.Error("there was no panic")
	}
	s.awaitEvents("start TERM")
	s.await("the end of the program", func() bool { return !groupLives(s.pids()[0]) })
}

// panicking panics when a failure is logged.
type panicking struct{}

func (panicking) Write(p []byte) (int, error) {
	if strings.Contains(string(p), "template failed") {
		panic("a fault of ours")
	}
	return len(p), nil
}

func TestProgramLeavesNothing(t *testing.T) {
	r := newRig(t)
	target := r.target("out", `{{key "a"}}`)
	r.world.set(kv("a"), "1")
	cycle := func(i int) {
		s := r.supervise(Config{Targets: []Target{target}, Exec: run.Program{
			Command: r.program(""), KillSignal: syscall.SIGINT, Splay: time.Hour,
		}})
		s.starts(i + 1)
		s.cancel(run.StopSignal{Signal: syscall.SIGTERM})
		s.endsWith(7)
	}
	cycle(0)
	goroutines, descriptors := runtime.NumGoroutine(), openDescriptors(t)
	for i := range 20 {
		cycle(i + 1)
	}
	r.await("the goroutines to end", func() bool { return runtime.NumGoroutine() <= goroutines })
	if n := openDescriptors(t); n > descriptors {
		t.Errorf("%d descriptors, %d before", n, descriptors)
	}
}
