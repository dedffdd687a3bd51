package run

import (
	"bufio"
	"fmt"
	"io"
	"os/signal"
	"strconv"
	"syscall"
	"time"
)

// startKeeper starts the keeper, if there is one. keep writes to it which process group it is to end, or with 0 none; end ends
// it. Where we are killed between the start of the program and keep, nothing ends the program.
func (c *Child) startKeeper() (keep func(group int), end func()) {
	none := func() {}
	if c.program.Keeper == nil {
		return func(int) {}, none
	}
	cmd := c.program.Keeper(strconv.Itoa(int(c.program.KillSignal)), c.killTimeout().String(), strconv.FormatBool(c.program.Command.Shell != ""))
	cmd.Dir = "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	input, err := cmd.StdinPipe()
	if err == nil {
		err = cmd.Start()
	}
	failed := func(err error) {
		c.log.Warn("if render is killed, the program that it supervises may be left", "err", err)
	}
	if err != nil {
		failed(err)
		return func(int) {}, none
	}

	keep = func(group int) {
		if _, err := fmt.Fprintln(input, group); err != nil {
			failed(err)
		}
	}
	end = func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	}
	return keep, end
}

// KeepProgram does the work of Program.Keeper in a process of its own: it waits for the end of its input, which comes with the
// end of the process that supervises, however that ends, and then ends the supervised program. It ignores the signals that
// usually end a process.
func KeepProgram(input io.Reader, args []string) error {
	signal.Ignore(syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGQUIT, syscall.SIGUSR1, syscall.SIGUSR2, syscall.SIGALRM)
	if len(args) != 3 {
		return fmt.Errorf("keep: there are %d arguments, not 3", len(args))
	}
	ask, err := strconv.Atoi(args[0])
	if err != nil {
		return fmt.Errorf("keep: %w", err)
	}
	timeout, err := time.ParseDuration(args[1])
	if err != nil {
		return fmt.Errorf("keep: %w", err)
	}

	// The last line has the group, or 0 while no program runs.
	group := 0
	for lines := bufio.NewScanner(input); lines.Scan(); {
		if group, err = strconv.Atoi(lines.Text()); err != nil {
			return fmt.Errorf("keep: %w", err)
		}
	}
	if group <= 1 {
		return nil
	}

	// End it as Child.terminate does.
	who := group
	if args[2] == "true" { // under a shell: see Child.send
		who = -group
	}
	if ask != 0 {
		_ = syscall.Kill(who, syscall.Signal(ask))
	}
	pause := pollFirst
	for end := time.Now().Add(timeout); Alive(who) && time.Now().Before(end); pause = min(2*pause, pollMost) {
		time.Sleep(min(pause, time.Until(end)))
	}
	_ = syscall.Kill(-group, syscall.SIGKILL)
	return nil
}
