package render

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"time"
)

const (
	killGrace     = 5 * time.Second // from SIGTERM to SIGKILL, for a command that has used up its time
	outputGrace   = time.Second     // for output of what a command has left running
	maxOutputKept = 64 << 10
)

// A runner is a command with what it needs to run.
type runner struct {
	Command
	timeout time.Duration
	env     []string // added to ours
}

// run runs the command in a process group of its own and returns the end of what it printed. A command that has not
// ended in time gets SIGTERM, and SIGKILL after a grace; both go to the whole group.
func (r runner) run() (output string, err error) {
	timeout := r.timeout
	if timeout == 0 {
		timeout = DefaultTimeout
	}
	args := r.Args
	if r.Shell != "" {
		args = []string{"sh", "-c", r.Shell}
	}
	var out tail
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Env = append(os.Environ(), r.env...)
	cmd.Stdout, cmd.Stderr = &out, &out
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.WaitDelay = outputGrace
	if err := cmd.Start(); err != nil {
		return "", err
	}
	signalGroup := func(s syscall.Signal) { _ = syscall.Kill(-cmd.Process.Pid, s) }
	term := time.AfterFunc(timeout, func() { signalGroup(syscall.SIGTERM) })
	kill := time.AfterFunc(timeout+killGrace, func() { signalGroup(syscall.SIGKILL) })
	err = cmd.Wait()
	kill.Stop()
	switch {
	case !term.Stop():
		signalGroup(syscall.SIGKILL) // what ignores SIGTERM must not outlive the command that started it
		err = fmt.Errorf("did not end within %s", timeout)
	case errors.Is(err, exec.ErrWaitDelay):
		err = nil // it has ended well; something that it started holds its output open
	}
	return out.String(), err
}

// tail keeps the end of what is written to it, up to maxOutputKept bytes.
type tail struct {
	kept []byte
	cut  bool
}

func (t *tail) Write(p []byte) (int, error) {
	t.kept = append(t.kept, p...)
	if len(t.kept) > 2*maxOutputKept {
		t.kept = append(t.kept[:0], t.kept[len(t.kept)-maxOutputKept:]...)
		t.cut = true
	}
	return len(p), nil
}

func (t *tail) String() string {
	kept := t.kept
	if len(kept) > maxOutputKept {
		kept, t.cut = kept[len(kept)-maxOutputKept:], true
	}
	if t.cut {
		return "[…]" + string(kept)
	}
	return string(kept)
}
