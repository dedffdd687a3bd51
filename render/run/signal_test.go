package run

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// A signal goes to the process of a pid file, or to the main processes of a name.
func TestSignal(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("needs /proc")
	}
	p := newPlace(t)
	const name = "render-test-service" // longer than what the kernel keeps of it
	p.copyProgram("/bin/sh", name)
	// A main process, and a worker with the same name. Each notes it when it gets the signal.
	cmd := exec.Command(p.path(name), "-c", `cd '`+p.dir+`'
		trap 'echo main >> got' HUP
		(trap 'echo worker >> got' HUP; echo >> ready; while [ ! -e stop ]; do sleep 0.02; done) &
		while [ ! -e ready ]; do sleep 0.02; done
		echo "$$" > pid
		while [ ! -e stop ]; do sleep 0.02; done
		wait`)
	p.must(cmd.Start())
	defer func() {
		p.write("stop", "")
		_ = cmd.Wait()
	}()
	pid := p.number("pid")

	send := func(s Signal) error {
		s.Signal = syscall.SIGHUP
		return s.Send()
	}
	p.must(send(Signal{PIDFile: p.path("pid")}))
	p.await("the signal", func() bool { return p.read("got") == "main\n" })
	p.must(send(Signal{Process: name}))
	p.await("the signal", func() bool { return strings.Count(p.read("got"), "\n") == 2 })
	if got := p.read("got"); got != "main\nmain\n" {
		t.Errorf("got %q", got)
	}
	p.must((Signal{PIDFile: p.path("missing")}).Send()) // no signal at all

	p.write("nonsense", "x")
	p.write("empty", "")
	p.write("group", "-1\n")
	p.write("all", "0\n")
	p.write("init", "1\n") // in a container that is often the service
	if pids, err := (Signal{PIDFile: p.path("init")}).processes(); err != nil || !slices.Equal(pids, []int{1}) {
		t.Errorf("got %v, %v", pids, err)
	}
	p.write("many", fmt.Sprintf(" %d \nsecond line\n", pid))
	p.must(send(Signal{PIDFile: p.path("many")}))
	p.write("ended", fmt.Sprintln(endedProcess(t)))
	for want, s := range map[string]Signal{
		"no such file or directory":                             {PIDFile: p.path("none")},
		"does not begin with a process id":                      {PIDFile: p.path("nonsense")},
		"/empty: the pid file does not begin with a process id": {PIDFile: p.path("empty")},
		"/group: the pid file does not begin with a process id": {PIDFile: p.path("group")},
		"/all: the pid file does not begin with a process id":   {PIDFile: p.path("all")},
		"/ended: process ":                                      {PIDFile: p.path("ended")},
		"to no-such-program: there is no such process":          {Process: "no-such-program"},
		"signal SIGHUP to render-other: there is no such":       {Process: "render-other"},
		// The kernel keeps the same part of both names.
		"signal SIGHUP to render-test-serviced: there is no such": {Process: "render-test-serviced"},
		"signal SIGHUP to render-test-servic: there is no such":   {Process: "render-test-servic"},
	} {
		if err := send(s); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: got %v, want %q", s, err, want)
		}
	}
}

// A process may end after it was found and before it gets the signal.
func TestSignalToProcessThatEnds(t *testing.T) {
	ended := endedProcess(t)
	alive := sleeper(t)
	for _, test := range []struct {
		name  string
		found [][]int // each time
		want  string  // parts of the error; empty for success
		looks int
	}{
		{"one of two", [][]int{{ended, alive}}, "", 1},
		{"the other of two", [][]int{{alive, ended}}, "", 1},
		{"others are there", [][]int{{ended}, {alive}}, "", 2},
		{"none is there any more", [][]int{{ended}, nil}, "there is no such process", 2},
		{"always too late", [][]int{{ended}, {ended}, {ended}, {alive}}, fmt.Sprintf("process %d: no such process", ended), 3},
		{"both have ended", [][]int{{ended, ended}, {ended}, {ended, ended}}, fmt.Sprintf("process %d: no such process\nprocess %[1]d: no such process", ended), 3},
	} {
		t.Run(test.name, func(t *testing.T) {
			looks := 0
			err := Signal{Signal: syscall.SIGCONT}.sendTo(func() ([]int, error) {
				looks++
				if found := test.found[looks-1]; found != nil {
					return found, nil
				}
				return nil, errors.New("there is no such process")
			})
			if errorText(err) != test.want || looks != test.looks {
				t.Errorf("got %v after %d looks, want %q after %d", err, looks, test.want, test.looks)
			}
		})
	}
}

// A process that may not be signalled is an error, and does not keep others from their signal.
func TestSignalNotPermitted(t *testing.T) {
	if os.Getuid() == 0 {
		t.Skip("root may signal all")
	}
	alive := sleeper(t)
	err := Signal{Signal: syscall.SIGKILL}.sendTo(func() ([]int, error) { return []int{1, alive}, nil })
	if errorText(err) != "process 1: operation not permitted" {
		t.Errorf("got %v", err)
	}
	newPlace(t).awaitEnd(alive)
}

func TestSignalValidate(t *testing.T) {
	for _, test := range []struct {
		signal Signal
		valid  bool
		text   string
	}{
		{Signal{}, true, ""},
		{Signal{Signal: syscall.SIGHUP, PIDFile: "/run/a"}, true, "signal SIGHUP to the process of /run/a"},
		{Signal{Signal: syscall.SIGUSR1, Process: "b"}, true, "signal SIGUSR1 to b"},
		{Signal{Signal: syscall.SIGHUP}, false, "signal SIGHUP to "},
		{Signal{Signal: syscall.SIGHUP, PIDFile: "a", Process: "b"}, false, "signal SIGHUP to the process of a"},
	} {
		if err := test.signal.Validate(); (err == nil) != test.valid {
			t.Errorf("%+v: got %v", test.signal, err)
		}
		if got := test.signal.String(); got != test.text || test.signal.IsZero() != (test.text == "") {
			t.Errorf("%+v: got %q", test.signal, got)
		}
	}
}

// endedProcess returns the number of a process that has ended.
func endedProcess(t *testing.T) int {
	t.Helper()
	cmd := exec.Command("true")
	if err := cmd.Run(); err != nil {
		t.Fatal(err)
	}
	return cmd.Process.Pid
}

// sleeper starts a process that runs until the test ends, in a group of its own.
func sleeper(t *testing.T) int {
	t.Helper()
	cmd := exec.Command("sleep", "1000")
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { _ = cmd.Wait() }()
	t.Cleanup(func() { _ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) })
	return cmd.Process.Pid
}

func TestAlive(t *testing.T) {
	p := newPlace(t)
	if !Alive(os.Getpid()) || !Alive(os.Getppid()) || !Alive(-syscall.Getpgrp()) {
		t.Error("we, our parent or our group are not alive")
	}
	if ended := endedProcess(t); Alive(ended) || Alive(-ended) {
		t.Error("a process that has ended is alive")
	}

	// A zombie, and a group that has a process besides a zombie.
	cmd := exec.Command("sh", "-c", "sleep 1000 & echo $! > '"+p.path("pid")+"'")
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	p.must(cmd.Start())
	group := cmd.Process.Pid
	child := p.number("pid")
	if runtime.GOOS == "linux" {
		p.await("a zombie", func() bool { s, err := statOf(group); return err == nil && s.state == zombie })
		if Alive(group) {
			t.Error("a zombie is alive")
		}
		if (Signal{PIDFile: p.write("zombie", fmt.Sprintln(group)), Signal: syscall.SIGHUP}).Send() == nil {
			t.Error("a zombie has got a signal")
		}
	}
	if !Alive(-group) || !Alive(child) {
		t.Error("the group of a zombie is not alive")
	}
	p.must(syscall.Kill(child, syscall.SIGKILL))
	if runtime.GOOS == "linux" {
		p.await("the end of the group", func() bool { return !Alive(-group) })
	}
	_ = cmd.Wait()
	p.await("the end of all", func() bool { return !Alive(-group) && !Alive(child) })
}

// The name of a process may have any byte in it.
func TestStatOfOddName(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("needs /proc")
	}
	p := newPlace(t)
	const name = "a) R 1 (b\n"
	p.copyProgram("/bin/sh", name)
	cmd := exec.Command(p.path(name), "-c", "echo $$ > '"+p.path("pid")+"'; while :; do sleep 1; done")
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	p.must(cmd.Start())
	defer func() {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL)
		_ = cmd.Wait()
	}()
	pid := p.number("pid")
	got, err := statOf(pid)
	if err != nil || got.name != name || got.parent != os.Getpid() || got.group != pid || !slices.Contains([]string{"R", "S", "D"}, got.state) {
		t.Errorf("got %+v, %v", got, err)
	}
	if pids, err := processesNamed(name); err != nil || !slices.Equal(pids, []int{pid}) {
		t.Errorf("got %v, %v", pids, err)
	}
}

func BenchmarkAliveGroup(b *testing.B) {
	group := -syscall.Getpgrp()
	for b.Loop() {
		Alive(group)
	}
	b.ReportMetric(float64(len(processes())), "processes")
}
