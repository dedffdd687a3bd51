package main

import (
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"testing"
)

// startInit starts render as process 1 of a namespace of processes.
func startInit(t *testing.T, s *supervised, args ...string) *daemon {
	t.Helper()
	log, err := os.Create(s.path("log"))
	check(t, err)
	defer log.Close()
	d := &daemon{t: t, cmd: exec.Command("render", append(s.args, args...)...), log: log.Name(), ended: make(chan struct{})}
	d.cmd.Dir, d.cmd.Stdout, d.cmd.Stderr = s.dir, log, log
	d.cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWPID, Setpgid: true}
	if err := d.cmd.Start(); err != nil {
		t.Skip("no namespace of processes: ", err)
	}
	go func() {
		_ = d.cmd.Wait()
		close(d.ended)
	}()
	t.Cleanup(d.kill)
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("it said:\n%s", d.said())
		}
	})
	return d
}

// children returns the processes, zombies included, whose parent is the daemon.
func (d *daemon) children() (all []processStat) {
	for _, p := range processes() {
		if p.parent == d.cmd.Process.Pid {
			all = append(all, p)
		}
	}
	return all
}

func (d *daemon) hasChildren(n int) func() error {
	return func() error {
		if all := d.children(); len(all) != n {
			return fmt.Errorf("its children are %+v, not %d", all, n)
		}
		return nil
	}
}

// newContained is newSupervised for a namespace, where the program does not know its number outside.
func newContained(t *testing.T, more string) *supervised {
	t.Helper()
	return newSupervised(t, "echo() { test \"${1#start}\" = \"$1\" && command echo \"$@\" || command echo start; }; "+more)
}

// TestInitReaps lets orphans end, which become zombies of process 1, while commands are waited for.
func TestInitReaps(t *testing.T) {
	t.Parallel()
	s := newContained(t, "sh -c '(until test -e go; do sleep 0.01; done; echo orphan >>events) &'")
	write(t, s.path("command"), "for i in 1 2 3 4 5; do sh -c '(exit 3) & exit 4' & done; exit 0")
	s.args = []string{"--fixture", "data.yaml", "--template", "in:out:sh command"}
	d := startInit(t, s, "--exec", "sh program", "--exec-reload-signal", "USR2")
	awaits(t, s.happens("start"))
	awaits(t, d.hasChildren(2)) // render itself and the orphan
	events := "start"
	for _, value := range []string{"2", "3"} {
		write(t, s.path("data.yaml"), "keys: {a: "+value+"}")
		events += " USR2"
		awaits(t, s.happens(events))
	}
	write(t, s.path("go"), "")
	awaits(t, s.happens(events+" orphan"))
	awaits(t, d.hasChildren(1))
	if err := d.saying("failed")(); err == nil {
		t.Error("a command has failed")
	}
	d.signal(syscall.SIGTERM)
	d.endsWith(7)
}

// TestInitPassesSignalsOnOnce: a terminal sends them to the whole group, and a second one would kill the program.
func TestInitPassesSignalsOnOnce(t *testing.T) {
	t.Parallel()
	s := newContained(t, "trap 'echo INT >>events; sleep 0.2; exit 3' INT")
	d := startInit(t, s, "--exec", "sh program")
	awaits(t, s.happens("start"))
	d.signal(syscall.SIGUSR1)
	awaits(t, s.happens("start USR1"))
	awaits(t, d.hasChildren(1))
	if p := d.children()[0]; p.group != p.pid {
		t.Errorf("render is in the group of process 1: %+v", p)
	}
	for range 100 { // no storm of signals makes it miss the end of a process
		d.signal(syscall.SIGWINCH)
	}
	check(t, syscall.Kill(-d.cmd.Process.Pid, syscall.SIGINT))
	d.endsWith(3)
}

// TestInitEndsWithRender: with render, all of the namespace ends.
func TestInitEndsWithRender(t *testing.T) {
	t.Parallel()
	s := newContained(t, "")
	d := startInit(t, s, "--exec", "sh program")
	awaits(t, s.happens("start"))
	awaits(t, d.hasChildren(1))
	check(t, syscall.Kill(d.children()[0].pid, syscall.SIGKILL))
	d.endsWith(128 + 9)
}

// TestProgramEndsUnreaped: where process 1 is a program that does not care for orphans, what the shell has started stays a
// zombie for ever. It has ended all the same.
func TestProgramEndsUnreaped(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name    string
		prepare string
		timeout string // for the program; where /proc tells of others, its end is not known before that
	}{
		{"proc", "mount -t proc proc /proc && ", "1h"},
		{"proc of others", "", "3s"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := newContained(t, "")
			write(t, s.path("program"), "trap 'sleep 0.3; echo TERM >>events; exit 7' TERM\necho start >>events\nwhile :; do sleep 1000 & wait; done\n")
			args := append([]string{"-c", tt.prepare + `daemon "$@" & exec sleep 1000`, "sh"}, s.args...)
			careless := exec.Command("sh", append(args, "--exec", "sh program; echo", "--exec-kill-timeout", tt.timeout)...)
			careless.Dir = s.dir
			careless.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWPID, Unshareflags: syscall.CLONE_NEWNS}
			if err := careless.Start(); err != nil {
				t.Skip("no namespace of processes: ", err)
			}
			t.Cleanup(func() {
				_ = careless.Process.Kill()
				_ = careless.Wait()
			})
			awaits(t, contains(s.path("events"), "start\n"))
			for _, p := range (&daemon{cmd: careless}).children() {
				check(t, syscall.Kill(p.pid, syscall.SIGTERM))
			}
			awaits(t, contains(s.path("code"), "143"))
			check(t, contains(s.path("events"), "start\nTERM\n")())
		})
	}
}
