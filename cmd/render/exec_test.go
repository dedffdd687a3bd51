package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// noting is a program that notes in the file events when it is started, as "start PID", and which signals it gets. It has a
// child of its own all the time, and ends with 3 on SIGINT and with 7 on SIGTERM.
const noting = `for s in HUP USR1 USR2 QUIT ALRM WINCH CONT URG PIPE; do trap "echo $s >>events" $s; done
trap 'echo INT >>events; exit 3' INT
trap 'echo TERM >>events; exit 7' TERM
%s
echo "start $$" >>events
while :; do sleep 1000 & wait; done
`

// supervised is a folder for a render with a program, and its arguments.
type supervised struct {
	t    *testing.T
	dir  string
	args []string
}

// newSupervised writes a program that notes what happens to it, with some more lines of sh, a template and its data.
func newSupervised(t *testing.T, more string) *supervised {
	t.Helper()
	s := &supervised{t: t, dir: t.TempDir(), args: []string{"--fixture", "data.yaml", "--template", "in:out"}}
	write(t, s.path("data.yaml"), "keys: {a: 1}")
	write(t, s.path("in"), `{{key "a"}}`)
	write(t, s.path("program"), fmt.Sprintf(noting, more))
	t.Cleanup(func() {
		for _, pid := range s.pids() {
			if err := within(patience, groupHasEnded(pid)); err != nil {
				t.Error(err)
				_ = syscall.Kill(-pid, syscall.SIGKILL)
			}
		}
	})
	return s
}

func (s *supervised) path(name string) string { return filepath.Join(s.dir, name) }

func (s *supervised) start(args ...string) *daemon {
	s.t.Helper()
	return startRender(s.t, s.dir, append(s.args, args...)...)
}

func (s *supervised) read(name string) string {
	b, err := os.ReadFile(s.path(name))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		s.t.Fatal(err)
	}
	return string(b)
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
	text := s.read("events")
	for _, pid := range s.pids() {
		text = strings.ReplaceAll(text, fmt.Sprintf("start %d\n", pid), "start\n")
	}
	return strings.Join(strings.Fields(text), " ")
}

// happens returns the condition that this and nothing else has happened to the program.
func (s *supervised) happens(want string) func() error {
	return func() error {
		if got := s.events(); got != want {
			return fmt.Errorf("the events are %q, not %q", got, want)
		}
		return nil
	}
}

// endsWith waits for the end of render, and fails the test if its exit code is another one.
func (d *daemon) endsWith(code int) {
	d.t.Helper()
	select {
	case <-d.ended:
	case <-time.After(patience):
		d.t.Fatal("render does not end")
	}
	status := d.cmd.ProcessState.Sys().(syscall.WaitStatus)
	if got := d.cmd.ProcessState.ExitCode(); got != code {
		d.t.Fatalf("render exited %d (%v), not %d", got, status, code)
	}
}

func (d *daemon) signal(s syscall.Signal) {
	d.t.Helper()
	check(d.t, d.cmd.Process.Signal(s))
}

// A processStat is what /proc tells of a process.
type processStat struct {
	pid, parent, group int
	state              string
}

// processes returns all processes, where there is a /proc.
func processes() (all []processStat) {
	paths, _ := filepath.Glob("/proc/[0-9]*/stat") // the pattern is a good one
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil {
			continue // it has ended
		}
		fields := strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:]))
		p := processStat{state: fields[0]}
		p.pid, _ = strconv.Atoi(filepath.Base(filepath.Dir(path)))
		p.parent, _ = strconv.Atoi(fields[1])
		p.group, _ = strconv.Atoi(fields[2])
		all = append(all, p)
	}
	return all
}

// keeper returns the process that keeps a daemon's program.
func (d *daemon) keeper() (pid int) {
	d.t.Helper()
	awaits(d.t, func() error {
		for _, p := range processes() {
			line, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", p.pid))
			if err == nil && p.parent == d.cmd.Process.Pid && bytes.Contains(line, []byte(keepArgument)) {
				pid = p.pid
				return nil
			}
		}
		return errors.New("there is no keeper")
	})
	return pid
}

// hasEnded returns the condition that a process is no more than a zombie.
func hasEnded(pid int) func() error {
	return func() error {
		if text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid)); err == nil && !bytes.Contains(text, []byte(") Z ")) {
			return fmt.Errorf("process %d lives", pid)
		}
		return nil
	}
}

// groupHasEnded returns the condition that a process group has nothing but zombies.
func groupHasEnded(group int) func() error {
	return func() error {
		if syscall.Kill(-group, 0) == nil && slices.ContainsFunc(processes(), func(p processStat) bool { return p.group == group && p.state != "Z" }) {
			return fmt.Errorf("the group of process %d is left", group)
		}
		return nil
	}
}

// TestProgramHasOurStreams runs a program that copies its input to its output.
func TestProgramHasOurStreams(t *testing.T) {
	t.Parallel()
	s := newSupervised(t, "")
	for _, program := range []string{"cat", "cat; echo error >&2"} {
		cmd := exec.Command("render", append(s.args, "--log-level", "err", "--exec", program)...)
		var stdout, stderr bytes.Buffer
		cmd.Dir, cmd.Stdin, cmd.Stdout, cmd.Stderr = s.dir, strings.NewReader("hello"), &stdout, &stderr
		check(t, cmd.Run())
		if stdout.String() != "hello" || strings.Contains(program, "error") && stderr.String() != "error\n" {
			t.Errorf("%s: the output is %q, the errors are %q", program, stdout.String(), stderr.String())
		}
	}
}

func TestEnvironmentOfProgram(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name string
		args []string
		want []string
	}{
		{"all", nil, []string{"OURS_1=1", "OURS_2=2"}},
		{
			"flags", []string{"--consul-addr", "addr:1", "--consul-token", "token"},
			[]string{"CONSUL_HTTP_ADDR=addr:1", "CONSUL_HTTP_TOKEN=token", "OURS_1=1", "OURS_2=2"},
		},
		{"pristine", []string{"--exec-env-pristine"}, nil},
		{"custom wins", []string{"--exec-env-custom", "OURS_1=x=y", "--exec-env-custom", "OURS_3=3"}, []string{"OURS_1=x=y", "OURS_2=2", "OURS_3=3"}},
		{"allowed", []string{"--exec-env-allowlist", "OURS_1", "--exec-env-allowlist", "PATH"}, []string{"OURS_1=1"}},
		{"denied", []string{"--exec-env-denylist", "OURS_*", "--exec-env-allowlist", "OURS_1"}, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := newSupervised(t, "")
			env, err := exec.LookPath("env")
			check(t, err)
			cmd := exec.Command("render", append(append(s.args, "--exec", env), tt.args...)...)
			cmd.Dir = s.dir
			cmd.Env = append(os.Environ(), "OURS_1=1", "OURS_2=2", "NOTIFY_SOCKET=/missing", "WATCHDOG_USEC=1000000", "WATCHDOG_PID=1")
			out, err := cmd.Output()
			check(t, err)
			var got []string
			for line := range strings.Lines(string(out)) {
				for _, prefix := range []string{"OURS_", "CONSUL_HTTP_", "NOTIFY_SOCKET", "WATCHDOG_"} {
					if strings.HasPrefix(line, prefix) {
						got = append(got, strings.TrimSpace(line))
					}
				}
			}
			slices.Sort(got)
			if !slices.Equal(got, tt.want) {
				t.Errorf("it got %q, want %q", got, tt.want)
			}
		})
	}
}

// TestCommandsKeepFromSystemd: what we start does not speak for us.
func TestCommandsKeepFromSystemd(t *testing.T) {
	t.Setenv("NOTIFY_SOCKET", "/missing")
	t.Setenv("WATCHDOG_USEC", "1000000")
	dir := t.TempDir()
	write(t, filepath.Join(dir, "in"), "")
	renderOnce(t, dir, "--template", "in:out:env >environment")
	b, err := os.ReadFile(filepath.Join(dir, "environment"))
	check(t, err)
	if strings.Contains(string(b), "NOTIFY_SOCKET") || strings.Contains(string(b), "WATCHDOG_") || !strings.Contains(string(b), "RENDER_ACTION") {
		t.Errorf("a command got\n%s", b)
	}
}

func TestSignalsReachProgram(t *testing.T) {
	t.Parallel()
	s := newSupervised(t, "")
	d := s.start("--exec", "sh program", "--exec-reload-signal", "")
	events := "start"
	awaits(t, s.happens(events))
	for _, signal := range []syscall.Signal{syscall.SIGURG, syscall.SIGCHLD, syscall.SIGPIPE, syscall.SIGHUP} {
		d.signal(signal) // these are ours
	}
	for _, signal := range forwarded {
		d.signal(signal.(syscall.Signal))
		for name, number := range map[string]syscall.Signal{
			"USR1": syscall.SIGUSR1, "USR2": syscall.SIGUSR2, "QUIT": syscall.SIGQUIT,
			"ALRM": syscall.SIGALRM, "WINCH": syscall.SIGWINCH, "CONT": syscall.SIGCONT,
		} {
			if number == signal {
				events += " " + name
			}
		}
		awaits(t, s.happens(events))
	}
	d.signal(syscall.SIGTERM)
	d.endsWith(7)
	awaits(t, s.happens(events+" TERM"))
}

func TestKillSignal(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name   string
		args   []string
		event  string
		code   int
		signal syscall.Signal
	}{
		{"SIGINT by itself", nil, "INT", 3, syscall.SIGINT},
		{"another", []string{"--exec-kill-signal", "TERM"}, "TERM", 7, syscall.SIGINT},
		{"SIGTERM is SIGTERM", []string{"--exec-kill-signal", "USR1"}, "TERM", 7, syscall.SIGTERM},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := newSupervised(t, "")
			d := s.start(append(tt.args, "--exec", "sh program")...)
			awaits(t, s.happens("start"))
			keeper := d.keeper()
			began := time.Now()
			d.signal(tt.signal)
			d.endsWith(tt.code)
			if took := time.Since(began); took > time.Second {
				t.Errorf("the end took %s", took)
			}
			awaits(t, hasEnded(keeper))
			awaits(t, s.happens("start "+tt.event))
		})
	}
}

// TestSecondStopKillsProgram, which does not end, with all that it has started.
func TestSecondStopKillsProgram(t *testing.T) {
	t.Parallel()
	for _, program := range []string{"sh program", "trap : INT TERM USR1; sh program; echo"} {
		t.Run(program, func(t *testing.T) {
			t.Parallel()
			s := newSupervised(t, "trap 'echo INT >>events' INT; trap 'echo TERM >>events' TERM")
			d := s.start("--exec", program)
			awaits(t, s.happens("start"))
			d.signal(syscall.SIGINT)
			awaits(t, s.happens("start INT"))
			d.signal(syscall.SIGUSR1) // is passed on until the end
			if program == "sh program" {
				awaits(t, s.happens("start INT USR1"))
			}
			d.signal(syscall.SIGTERM)
			d.endsWith(128 + 9)
		})
	}
}

// TestProgramDiesWithRender: nothing is left of it, even if nobody could tell it.
func TestProgramDiesWithRender(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ name, program, more string }{
		{"plain", "sh program", ""},
		{"shell", "sh program; echo", ""},
		{"ignoring signals", "sh program", "trap '' TERM INT"},
		{"shell, ignoring signals", "trap '' TERM; sh program; echo", "trap '' TERM INT"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := newSupervised(t, tt.more)
			d := s.start("--exec", tt.program, "--exec-kill-timeout", "300ms")
			awaits(t, s.happens("start"))
			keeper := d.keeper()
			d.kill()
			awaits(t, hasEnded(keeper))
			awaits(t, func() error {
				for _, p := range processes() {
					if cwd, err := os.Readlink(fmt.Sprintf("/proc/%d/cwd", p.pid)); err == nil && cwd == s.dir && p.state != "Z" {
						return fmt.Errorf("%+v is left", p)
					}
				}
				return nil
			})
		})
	}
}

func TestProgramThatCannotBeStarted(t *testing.T) {
	t.Parallel()
	s := newSupervised(t, "")
	d := s.start("--exec", "./missing")
	d.endsWith(exitFailed)
	awaits(t, d.saying("render: start ./missing: fork/exec ./missing: no such file or directory"))
}

// TestOnceWithProgram: the timeout is one of rendering.
func TestOnceWithProgram(t *testing.T) {
	t.Parallel()
	s := newSupervised(t, "")
	d := s.start("--once", "--timeout", "1s", "--exec", "sh program", "--exec-reload-signal", "HUP")
	awaits(t, s.happens("start"))
	write(t, s.path("data.yaml"), "keys: {a: 2}")
	late := time.NewTimer(1100 * time.Millisecond)
	select {
	case <-late.C:
	case <-d.ended:
	}
	d.signal(syscall.SIGUSR1)
	awaits(t, s.happens("start USR1"))
	awaits(t, contains(s.path("out"), "1"))
	d.signal(syscall.SIGTERM)
	d.endsWith(7)
}
