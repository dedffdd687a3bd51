package run

import (
	"log/slog"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"
)

// keeper is a Program.Keeper.
func keeper(args ...string) *exec.Cmd { return role("keeper", args...) }

// supervisor supervises a program with a keeper until it is killed. It is another process, and logs to its standard output.
// Its arguments are the program, the time it has to end, and whether it runs under a shell.
func supervisor() {
	timeout, _ := time.ParseDuration(os.Args[2])
	p := Program{Command: Command{Args: []string{"sh", os.Args[1]}}, KillSignal: syscall.SIGTERM, KillTimeout: timeout, Keeper: keeper}
	if os.Args[3] == "true" {
		p.Command = Command{Shell: "sh " + os.Args[1] + "; echo shell"}
	}
	Start(p, os.Environ(), slog.New(slog.NewTextHandler(os.Stdout, nil))).Wait()
}

// When we are killed and cannot end the program, the keeper does: by the signal, and after the time by SIGKILL.
func TestKeeper(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name, lines, timeout, shell, events string
	}{
		{"asked", "", "1h", "false", "start TERM"},
		{"under a shell", "trap 'echo TERM >>events; sleep 0.3; echo done >>events; exit' TERM", "1h", "true", "start TERM done"},
		{"ignores it", "trap 'echo TERM >>events' TERM", "300ms", "false", "start TERM"},
		{"leaves something", "(trap '' TERM; exec sleep 1000) &", "1h", "false", "start TERM"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			p := newPlace(t)
			cmd := role("supervisor", p.program(test.lines).Args[1], test.timeout, test.shell)
			log, err := os.Create(p.path("log"))
			p.must(err)
			defer log.Close()
			cmd.Stdout = log
			p.must(cmd.Start())
			s := &supervised{place: p}
			s.awaitEvents("start")
			group, err := statOf(s.pids()[0])
			p.must(err)
			t.Cleanup(func() { _ = syscall.Kill(-group.group, syscall.SIGKILL) })
			p.await("the keeper, who is told before that is logged", func() bool { return strings.Contains(p.read("log"), `msg="program started"`) })
			p.must(cmd.Process.Kill())
			_ = cmd.Wait()
			p.awaitEnd(-group.group)
			s.wantEvents(test.events)
		})
	}
}

// A program that ends by itself takes its keeper with it; a keeper that cannot be started does not hinder the program.
func TestKeeperFails(t *testing.T) {
	t.Parallel()
	s := supervise(t, func(p place) Program {
		return Program{
			Command: p.program(""), OnChange: SendSignal, Reload: syscall.SIGHUP,
			Keeper: func(...string) *exec.Cmd { return exec.Command("/no/such/keeper") },
		}
	})
	s.awaitEvents("start")
	s.reloads()
	s.awaitEvents("start HUP")
	if s.log.count("if render is killed, the program that it supervises may be left") != 1 {
		t.Errorf("log:\n%s", s.log)
	}
}

func TestKeepProgramArguments(t *testing.T) {
	for _, test := range []struct {
		args  []string
		input string
		want  string
	}{
		{nil, "", "keep: there are 0 arguments, not 3"},
		{[]string{"x", "1s", "false"}, "", `keep: strconv.Atoi: parsing "x": invalid syntax`},
		{[]string{"2", "x", "false"}, "", `keep: time: invalid duration "x"`},
		{[]string{"2", "1s", "false"}, "x\n", `keep: strconv.Atoi: parsing "x": invalid syntax`},
		{[]string{"2", "1s", "false"}, "", ""},            // no program was started
		{[]string{"2", "1s", "false"}, "999999\n0\n", ""}, // it has ended
		{[]string{"9", "1s", "true"}, "1\n", ""},          // never all processes
	} {
		cmd := role("keeper", test.args...)
		cmd.Stdin = strings.NewReader(test.input)
		said, err := cmd.CombinedOutput()
		if (err == nil) != (test.want == "") || strings.TrimSpace(string(said)) != test.want {
			t.Errorf("%q with %q: got %q, %v, want %q", test.args, test.input, said, err, test.want)
		}
	}
}
