package render

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
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
	env     []string // all of it
	among   *running // nil for none: nobody wants to kill it
}

// running are the commands that run.
type running struct {
	wg sync.WaitGroup // of who reads their output

	mu      sync.Mutex // guards what follows; held while one is started, so that none is missed
	groups  map[int]bool
	outputs map[*os.File]bool
	killed  bool // none begins any more
}

var errKilled = errors.New("is not run: render is to end at once")

// start starts a command that has a process group of its own. Its output is read to the end, which is told: what the command
// leaves running may go on to write.
func (r *running) start(cmd *exec.Cmd, out *tail) (silent <-chan struct{}, err error) {
	read, write, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	defer write.Close()
	cmd.Stdout, cmd.Stderr = write, write
	r.mu.Lock()
	defer r.mu.Unlock()
	if err = errKilled; !r.killed {
		err = cmd.Start()
	}
	if err != nil {
		_ = read.Close()
		return nil, err
	}
	if r.groups == nil {
		r.groups, r.outputs = make(map[int]bool), make(map[*os.File]bool)
	}
	r.groups[cmd.Process.Pid], r.outputs[read] = true, true
	end := make(chan struct{})
	r.wg.Go(func() {
		defer close(end)
		_, _ = io.Copy(out, read)
		r.mu.Lock()
		defer r.mu.Unlock()
		delete(r.outputs, read)
		_ = read.Close()
	})
	return end, nil
}

// ended notes that a command has ended. What it has left running on purpose is left alone.
func (r *running) ended(cmd *exec.Cmd) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.groups, cmd.Process.Pid)
}

// close ends the reading of what commands have left running.
func (r *running) close() {
	r.mu.Lock()
	for output := range r.outputs {
		_ = output.Close()
	}
	r.mu.Unlock()
	r.wg.Wait()
}

// kill kills all commands, with what they have started. No other begins.
func (r *running) kill() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.killed = true
	for group := range r.groups {
		_ = syscall.Kill(-group, syscall.SIGKILL)
	}
}

// run runs the command in a process group of its own and returns the end of what it printed. A command that has not
// ended in time gets SIGTERM, and SIGKILL after a grace; both go to the whole group.
func (r runner) run() (output string, err error) {
	timeout := r.timeout
	if timeout == 0 {
		timeout = DefaultTimeout
	}
	among := r.among
	if among == nil {
		among = new(running)
	}
	args := r.argv()
	var out tail
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Env = r.env
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	silent, err := among.start(cmd, &out)
	if err != nil {
		return "", err
	}
	signalGroup := func(s syscall.Signal) { _ = syscall.Kill(-cmd.Process.Pid, s) }
	term := time.AfterFunc(timeout, func() { signalGroup(syscall.SIGTERM) })
	kill := time.AfterFunc(timeout+killGrace, func() { signalGroup(syscall.SIGKILL) })
	err = cmd.Wait()
	among.ended(cmd)
	kill.Stop()
	if !term.Stop() {
		signalGroup(syscall.SIGKILL) // what ignores SIGTERM must not outlive the command that started it
		err = fmt.Errorf("did not end within %s", timeout)
	}
	select {
	case <-silent:
	case <-time.After(outputGrace): // something that it has left running holds its output open
	}
	return out.take(), err
}

// tail keeps the end of what is written to it, up to maxOutputKept bytes.
type tail struct {
	mu    sync.Mutex // guards what follows
	kept  []byte
	cut   bool
	taken bool
}

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.taken {
		return len(p), nil
	}
	t.kept = append(t.kept, p...)
	if len(t.kept) > 2*maxOutputKept {
		t.kept = append(t.kept[:0], t.kept[len(t.kept)-maxOutputKept:]...)
		t.cut = true
	}
	return len(p), nil
}

// take returns what was kept. Nothing more is.
func (t *tail) take() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	kept := t.kept
	if len(kept) > maxOutputKept {
		kept, t.cut = kept[len(kept)-maxOutputKept:], true
	}
	t.kept, t.taken = nil, true
	if t.cut {
		return "[…]" + string(kept)
	}
	return string(kept)
}

// argv returns what to run.
func (c Command) argv() []string {
	if c.Shell != "" {
		return []string{"sh", "-c", c.Shell}
	}
	return c.Args
}

// fileMark stands for the file in a check that takes one.
const fileMark = "{}"

// takesFile reports whether a check wants the path of a file in it.
func (c Command) takesFile() bool {
	return strings.Contains(c.Shell, fileMark) || slices.ContainsFunc(c.Args, func(arg string) bool { return strings.Contains(arg, fileMark) })
}

// withFile returns the command with a file's path in it.
func (c Command) withFile(path string) Command {
	quoted := "'" + strings.ReplaceAll(path, "'", `'\''`) + "'"
	d := Command{Shell: strings.ReplaceAll(c.Shell, fileMark, quoted)}
	for _, arg := range c.Args {
		d.Args = append(d.Args, strings.ReplaceAll(arg, fileMark, path))
	}
	return d
}
