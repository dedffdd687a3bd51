package run

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// The program of most tests notes in the file events when it is started, as "start PID", and which signals it gets. It has a
// child of its own all the time, and ends well on SIGINT and with 7 on SIGTERM.
const noting = `cd '%s'
for s in HUP USR1; do trap "echo $s >>events" $s; done
trap 'echo INT >>events; exit 0' INT
trap 'echo TERM >>events; exit 7' TERM
%s
echo "start $$" >>events
while :; do sleep 1000 & wait; done
`

// program writes a program that notes what happens to it, with some more lines of sh.
func (p place) program(more string) Command {
	return Command{Args: []string{"sh", p.write("program", fmt.Sprintf(noting, p.dir, more))}}
}

// supervised is a child in a test.
type supervised struct {
	place
	*Child
	log *logBuffer
}

func supervise(t *testing.T, configure func(p place) Program) *supervised {
	t.Helper()
	s := &supervised{place: newPlace(t), log: new(logBuffer)}
	s.Child = Start(configure(s.place), os.Environ(), s.log.logger())
	t.Cleanup(func() {
		s.Signal(syscall.SIGKILL)
		s.Stop(syscall.SIGKILL)
		s.Wait()
		for _, pid := range s.pids() {
			if Alive(-pid) {
				t.Errorf("the group of process %d is left after Wait", pid)
			}
		}
		if t.Failed() {
			t.Logf("log:\n%s", s.log)
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

// events returns what has happened to the program, without numbers of processes.
func (s *supervised) events() string {
	var all []string
	for line := range strings.Lines(s.read("events")) {
		what, _, _ := strings.Cut(strings.TrimSpace(line), " ")
		all = append(all, what)
	}
	return strings.Join(all, " ")
}

func (s *supervised) awaitEvents(want string) {
	s.t.Helper()
	for end := time.Now().Add(patience); s.events() != want; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			s.t.Fatalf("the events are %q, want %q", s.events(), want)
		}
	}
}

func (s *supervised) wantEvents(want string) {
	s.t.Helper()
	if got := s.events(); got != want {
		s.t.Errorf("the events are %q, want %q", got, want)
	}
}

// endsWith waits for the end of the program, which has to give an exit code.
func (s *supervised) endsWith(code int) {
	s.t.Helper()
	err := EndOf(wantClosed(s.t, "the end of the program", s.Ended()))
	exit, ok := errors.AsType[*ExitError](err)
	if code == 0 && err == nil || ok && exit.Code == code {
		return
	}
	s.t.Fatalf("got %v, want exit code %d", err, code)
}

// reloads reloads the program and waits until it was told.
func (s *supervised) reloads() {
	s.t.Helper()
	wantClosed(s.t, "the reload", s.Reload())
}

// isClosed reports whether a channel is closed.
func isClosed(ch <-chan struct{}) bool {
	select {
	case <-ch:
		return true
	default:
		return false
	}
}

func TestProgramRuns(t *testing.T) {
	t.Setenv("SECRET", "ours")
	for _, test := range []struct {
		env  Env
		want string
	}{
		{Env{}, "ours added \n"},
		{Env{Deny: []string{"SECRET"}, Custom: []string{"CUSTOM=custom"}}, " added custom\n"},
	} {
		p := newPlace(t)
		program := Program{Command: p.sh(`echo "$SECRET $ADDED $CUSTOM" >environment`), Env: test.env}
		c := Start(program, test.env.Environ(os.Environ(), []string{"ADDED=added"}), silentLog)
		if err := wantClosed(t, "the end of the program", c.Ended()); err != nil {
			t.Error(err)
		}
		c.Wait()
		if got := p.read("environment"); got != test.want {
			t.Errorf("got %q, want %q", got, test.want)
		}
		if !c.Program().Equal(program) {
			t.Errorf("it was started with %+v", c.Program())
		}
	}
	p := newPlace(t)
	path := os.Getenv("PATH")
	c := Start(Program{Command: p.sh("env >environment"), Env: Env{Pristine: true}}, Env{Pristine: true}.Environ(os.Environ(), []string{"PATH=" + path}), silentLog)
	c.Wait()
	if got := p.read("environment"); strings.Contains(got, "SECRET") || got == "" {
		t.Errorf("got %q", got)
	}
	if (*Child)(nil).Ended() != nil {
		t.Error("the end of no child may come")
	}
}

func TestProgramIsRestarted(t *testing.T) {
	t.Parallel()
	s := supervise(t, func(p place) Program {
		p.write("out", "1")
		return Program{Command: p.program("cat out >>seen"), KillSignal: syscall.SIGINT}
	})
	s.awaitEvents("start")
	s.write("out", "2")
	s.reloads()
	s.awaitEvents("start INT start")
	if got := s.read("seen"); got != "12" {
		t.Errorf("it has seen %q", got)
	}
	if Alive(-s.pids()[0]) {
		t.Error("something of the first is left")
	}
	if s.log.count("program started") != 2 || s.log.count("program restarting, files changed") != 1 {
		t.Errorf("log:\n%s", s.log)
	}
}

// However many changes there are while a program ends, the one that follows has seen them all, and they are done when it has
// been started.
func TestChangesWhileProgramEnds(t *testing.T) {
	t.Parallel()
	s := supervise(t, func(p place) Program {
		p.write("out", "0")
		return Program{
			Command:    p.program("trap 'echo INT >>events; until test -e go; do sleep 0.01; done; exit 0' INT; cat out >>seen"),
			KillSignal: syscall.SIGINT,
		}
	})
	s.awaitEvents("start")
	s.write("out", "1")
	dones := []<-chan struct{}{s.Reload()}
	s.awaitEvents("start INT")
	for _, value := range []string{"2", "3", "4"} {
		s.write("out", value)
		dones = append(dones, s.Reload())
	}
	for i, done := range dones {
		if isClosed(done) {
			t.Errorf("reload %d is done before the program was started again", i)
		}
	}
	s.write("go", "")
	for _, done := range dones {
		wantClosed(t, "a reload", done)
	}
	s.awaitEvents("start INT start")
	if got := s.read("seen"); got != "04" {
		t.Errorf("it has seen %q", got)
	}
	s.write("out", "5")
	s.reloads() // comes after all that was under way
	s.awaitEvents("start INT start INT start")
	if got := s.read("seen"); got != "045" || s.log.count("program started") != 3 {
		t.Errorf("it has seen %q", got)
	}
}

// However many say at the same time that files have changed, the program is told once, or twice if it had been told already.
func TestManyReloads(t *testing.T) {
	t.Parallel()
	const many = 1000
	s := supervise(t, func(p place) Program {
		return Program{Command: p.program(""), OnChange: SendSignal, Reload: syscall.SIGHUP, Splay: 50 * time.Millisecond}
	})
	s.awaitEvents("start")
	var all sync.WaitGroup
	for range many {
		all.Go(func() { <-s.Reload() })
	}
	all.Wait()
	told := s.log.count("program reloading, files changed")
	if told < 1 || told > 20 {
		t.Errorf("it was logged %d times", told)
	}
	s.endsAfterStop(t)
}

func (s *supervised) endsAfterStop(t *testing.T) {
	t.Helper()
	s.Stop(syscall.SIGKILL)
	s.endsWith(128 + int(syscall.SIGKILL))
}

func TestProgramThatIgnoresItsKillSignal(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name   string
		signal syscall.Signal
	}{{"ignored", syscall.SIGINT}, {"none", 0}} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := supervise(t, func(p place) Program {
				return Program{Command: p.program("trap '' INT"), KillSignal: tt.signal, KillTimeout: 200 * time.Millisecond}
			})
			s.awaitEvents("start")
			s.reloads()
			s.awaitEvents("start start")
			began := time.Now()
			s.Stop(0)
			s.endsWith(128 + int(syscall.SIGKILL))
			if took := time.Since(began); took < 200*time.Millisecond {
				t.Errorf("it had %s to end", took)
			}
			if s.log.count("program does not stop, killing it") != 2 {
				t.Errorf("log:\n%s", s.log)
			}
		})
	}
}

// What ends us is how the program has ended, and it is not started again.
func TestStopWhileProgramIsRestarted(t *testing.T) {
	t.Parallel()
	s := supervise(t, func(p place) Program {
		return Program{Command: p.program("trap 'echo INT >>events' INT"), KillSignal: syscall.SIGINT}
	})
	s.awaitEvents("start")
	done := s.Reload()
	s.awaitEvents("start INT")
	s.Stop(syscall.SIGTERM)
	s.endsWith(7)
	wantClosed(t, "the reload", done)
	s.wantEvents("start INT TERM")
}

func TestProgramGetsReloadSignal(t *testing.T) {
	t.Parallel()
	s := supervise(t, func(p place) Program {
		return Program{Command: p.program(""), OnChange: SendSignal, Reload: syscall.SIGHUP, Splay: 10 * time.Millisecond}
	})
	s.awaitEvents("start")
	s.reloads()
	s.awaitEvents("start HUP")
	s.reloads()
	s.awaitEvents("start HUP HUP")
	if s.log.count("program reloading, files changed") != 2 {
		t.Errorf("log:\n%s", s.log)
	}
}

func TestProgramIsToldNothing(t *testing.T) {
	t.Parallel()
	s := supervise(t, func(p place) Program { return Program{Command: p.program(""), OnChange: DoNothing} })
	if !isClosed(s.Reload()) {
		t.Error("there is nothing to wait for")
	}
	s.awaitEvents("start")
	if !isClosed(s.Reload()) {
		t.Error("there is nothing to wait for")
	}
	s.Signal(syscall.SIGUSR1) // comes after what else there may be
	s.awaitEvents("start USR1")
}

// A reload that waits for its pause is no hindrance to the end, and is shared.
func TestProgramSplay(t *testing.T) {
	t.Parallel()
	s := supervise(t, func(p place) Program {
		return Program{Command: p.program(""), OnChange: SendSignal, Reload: syscall.SIGHUP, Splay: 1000 * time.Hour}
	})
	s.awaitEvents("start")
	done := s.Reload()
	if again := s.Reload(); again != done {
		t.Error("a second reload does not share the pause")
	}
	s.Signal(syscall.SIGUSR1)
	s.awaitEvents("start USR1")
	if isClosed(done) {
		t.Error("the pause is over")
	}
	s.Stop(syscall.SIGTERM)
	s.endsWith(7)
	wantClosed(t, "the reload", done)
	s.wantEvents("start USR1 TERM")
	if !isClosed(s.Reload()) {
		t.Error("a reload after the end has something to wait for")
	}
}

// A reload that comes before the program runs is done when it runs, and leads to nothing else: the program reads files that
// are there already.
func TestReloadBeforeProgramStarts(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	c := newChild(Program{Command: p.sh("sleep 1000"), OnChange: SendSignal, Reload: syscall.SIGKILL}, os.Environ(), silentLog)
	done := c.Reload()
	if isClosed(done) {
		t.Error("the reload is done before the program runs")
	}
	run, err := c.start()
	p.must(err)
	if !isClosed(done) || len(c.changed) > 0 {
		t.Error("the reload is not done although the program runs")
	}
	if again := c.Reload(); isClosed(again) || len(c.changed) != 1 {
		t.Error("the next reload is lost")
	}
	run.signalGroup(syscall.SIGKILL)
	c.Wait()
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
			s := supervise(t, func(p place) Program { return Program{Command: p.program(tt.lines)} })
			s.endsWith(tt.code)
			s.Wait()
			wantClosed(t, "a reload", s.Reload())
			s.Signal(syscall.SIGHUP) // to nobody
			s.Stop(0)
		})
	}
}

func TestProgramCannotBeStarted(t *testing.T) {
	t.Parallel()
	for want, command := range map[string]Command{
		"no such file":                {Args: []string{"/no/such/program"}},
		"executable file not found":   {Args: []string{"no-such-program"}},
		"argument 1 has 200000 bytes": {Args: []string{"true", strings.Repeat("x", 200000)}},
	} {
		if runtime.GOOS != "linux" && len(command.Args) > 1 {
			continue // the limit is Linux's
		}
		c := Start(Program{Command: command}, os.Environ(), silentLog)
		done := c.Reload()
		err := wantClosed(t, "the error", c.Ended())
		if _, exit := errors.AsType[*ExitError](EndOf(err)); exit || err == nil || !strings.HasPrefix(err.Error(), "start "+command.Args[0]) || !strings.Contains(err.Error(), want) {
			t.Errorf("got %.200q, want %q", errorText(err), want)
		}
		wantClosed(t, "the reload", done)
		c.Wait()
	}
}

// A program that cannot be started again ends as one that could not be started.
func TestProgramCannotBeStartedAgain(t *testing.T) {
	t.Parallel()
	var link string
	s := supervise(t, func(p place) Program {
		link = p.path("sh")
		p.must(os.Symlink("/bin/sh", link))
		return Program{Command: Command{Args: []string{link, p.program("").Args[1]}}, KillSignal: syscall.SIGTERM}
	})
	s.awaitEvents("start")
	s.must(os.Remove(link))
	s.reloads()
	err := wantClosed(t, "the error", s.Ended())
	if !errors.Is(err, os.ErrNotExist) || !strings.HasPrefix(err.Error(), "start "+link) || EndOf(err) != err {
		t.Errorf("got %v", err)
	}
	s.wantEvents("start TERM")
}

// The shell, which dies of a signal at once, is no reason to kill what it has started, and which has got the signal as well.
func TestProgramUnderShell(t *testing.T) {
	t.Parallel()
	s := supervise(t, func(p place) Program {
		program := p.program("trap 'echo TERM >>events; sleep 0.3; echo done >>events; exit' TERM")
		return Program{
			Command:     Command{Shell: program.String() + "; echo shell"},
			KillTimeout: 10 * time.Second, // for what the program starts just when it gets the signal
		}
	})
	s.awaitEvents("start")
	s.Stop(syscall.SIGTERM)
	s.endsWith(128 + int(syscall.SIGTERM))
	s.wantEvents("start TERM done")
}

// Who has no patience sends SIGKILL after the signal that has stopped us.
func TestProgramIsKilled(t *testing.T) {
	t.Parallel()
	for _, shell := range []bool{false, true} {
		t.Run(fmt.Sprint("shell ", shell), func(t *testing.T) {
			t.Parallel()
			s := supervise(t, func(p place) Program {
				command := p.program("trap 'echo TERM >>events' TERM")
				if shell {
					command = Command{Shell: "trap : TERM USR1; " + command.String() + "; echo shell"}
				}
				return Program{Command: command}
			})
			s.awaitEvents("start")
			s.Stop(syscall.SIGTERM)
			s.awaitEvents("start TERM")
			s.Signal(syscall.SIGUSR1) // all are passed on until the end
			s.awaitEvents("start TERM USR1")
			s.Signal(syscall.SIGKILL)
			s.endsWith(128 + int(syscall.SIGKILL))
		})
	}
}

// What a program leaves behind is gone before it is started again: it may hold the port.
func TestNothingIsLeftAtRestart(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	c := newChild(Program{Command: p.sh("sleep 1000 & exit 3")}, os.Environ(), silentLog)
	run, err := c.start()
	p.must(err)
	wantClosed(t, "the end of the program", run.ended)
	run.awaitGroup(time.Millisecond)
	if !run.groupAlive() {
		t.Error("the program has left nothing")
	}
	time.AfterFunc(100*time.Millisecond, func() { run.signalGroup(syscall.SIGKILL) })
	run.awaitGroup(patience)
	if run.groupAlive() {
		t.Error("something is left")
	}

	again, err := c.start()
	p.must(err)
	wantClosed(t, "the end of the program", again.ended)
	again.killRest()
	if again.groupAlive() {
		t.Error("something is left")
	}
	c.Wait()
}

func TestProgramLeavesNothing(t *testing.T) {
	p := newPlace(t)
	cycle := func() {
		c := Start(Program{Command: p.program(""), KillSignal: syscall.SIGINT, Splay: time.Hour, Keeper: keeper}, os.Environ(), silentLog)
		s := &supervised{place: p, Child: c}
		s.awaitEvents("start")
		c.Reload()
		c.Stop(syscall.SIGTERM)
		s.endsWith(7)
		c.Wait()
		p.must(os.Remove(p.path("events")))
	}
	cycle()
	goroutines, descriptors := runtime.NumGoroutine(), openDescriptors()
	for range 10 {
		cycle()
	}
	p.await("the goroutines to end", func() bool { return runtime.NumGoroutine() <= goroutines })
	if n := openDescriptors(); n > descriptors {
		t.Errorf("%d descriptors, %d before", n, descriptors)
	}
}

func TestProgramSettings(t *testing.T) {
	program := Program{Command: Command{Args: []string{"sh"}}, Env: Env{Custom: []string{"A=b"}}, KillSignal: syscall.SIGINT}
	same, other := program, program
	same.Keeper = keeper
	other.Env = Env{Custom: []string{"A=c"}}
	if !program.Equal(same) || program.Equal(other) {
		t.Error("programs are compared wrongly")
	}
	for want, p := range map[string]Program{
		"": program,
		"exec: kill_timeout and splay cannot be negative":  {KillTimeout: -1},
		"exec: kill_timeout and splay cannot be negative ": {Splay: -1},
		"exec: environment: entry 1 is not NAME=value":     {Env: Env{Custom: []string{"secret"}}},
	} {
		if got := errorText(p.Validate()); got != strings.TrimSpace(want) {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	for _, test := range []struct {
		command Command
		want    string
	}{
		{Command{}, ""},
		{Command{Args: []string{"sh", "x"}}, ""},
		{Command{Shell: "no-such-program"}, ""},
		{Command{Args: []string{"no-such-program"}}, `exec: exec: "no-such-program": executable file not found in $PATH`},
	} {
		if got := errorText((Program{Command: test.command}).Find()); got != test.want {
			t.Errorf("got %q, want %q", got, test.want)
		}
	}
}

func TestEndOf(t *testing.T) {
	other := errors.New("cannot be started")
	if EndOf(nil) != nil || EndOf(other) != other {
		t.Error("what is no exit is changed")
	}
	for line, want := range map[string]string{
		"exit 3":        "3 the supervised program ended: exit status 3",
		"kill -TERM $$": "143 the supervised program ended: signal: terminated",
	} {
		exit, ok := errors.AsType[*ExitError](EndOf(exec.Command("sh", "-c", line).Run()))
		if !ok || fmt.Sprint(exit.Code, " ", exit) != want {
			t.Errorf("%s: got %v, want %s", line, exit, want)
		}
	}
}

func TestUpTo(t *testing.T) {
	for _, most := range []time.Duration{-1, 0, 1, time.Hour} {
		for range 100 {
			if got := UpTo(most); got < 0 || got > 0 && got >= most {
				t.Errorf("up to %s: got %s", most, got)
			}
		}
	}
}
