package run

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"time"
)

// DefaultTimeout is how long a command may run.
const DefaultTimeout = 30 * time.Second

const (
	killGrace   = 5 * time.Second // from SIGTERM to SIGKILL, for a command that has used up its time
	deathGrace  = 5 * time.Second // from SIGKILL until a command is given up
	outputGrace = time.Second     // for output of what a command has left running
)

// Limits are what a command may use.
type Limits struct {
	Timeout time.Duration // 0 means DefaultTimeout
	Env     []string      // its environment, as NAME=value; nil stands for all of ours
}

// ErrKilled is the error of a command that Group.Kill has killed, or that is not started any more.
var ErrKilled = errors.New("killed, because render ends at once")

// A Group runs commands and knows all that run, so that they can be killed. The zero value is ready. It is safe for
// concurrent use.
type Group struct {
	readers sync.WaitGroup // of output

	mu      sync.Mutex // guards what follows; held while a command is started, so that Kill misses none
	jobs    map[*job]bool
	outputs map[*os.File]bool
	killed  bool // nothing starts any more
}

// A job is one run of a command.
type job struct {
	cmd    *exec.Cmd
	ended  chan struct{}   // closed when the command has ended
	err    error           // how it has ended, then
	killed chan struct{}   // closed by Group.Kill
	silent []chan struct{} // each is closed when one output was read to its end
}

// Run runs a command in a process group of its own and returns the end of what it printed, up to 64 KiB. A command that has
// not ended in time gets SIGTERM, and SIGKILL after a grace of 5 seconds; both go to the whole group. What a command that
// ends in time has left running goes on to run; its output is read for a second, and then dropped until Close. A Command
// that is zero runs nothing.
func (g *Group) Run(c Command, l Limits) (output string, err error) {
	if c.IsZero() {
		return "", nil
	}
	var out tail
	j, err := g.start(c, l.Env, &out, nil)
	if err != nil {
		return "", err
	}
	err = j.await(context.Background(), l.timeout())
	j.awaitSilence(context.Background())
	return out.finish(), err
}

// Output runs a command as Run does, and returns all that it printed to its standard output and the end of what it printed
// to its standard error. A command that prints more than most bytes is killed, which is an error. It is killed at once when
// ctx is done, with all that it has started; the error is then the cause of that.
func (g *Group) Output(ctx context.Context, c Command, l Limits, most int64) (stdout []byte, stderr string, err error) {
	if c.IsZero() {
		return nil, "", nil
	}
	if ctx.Err() != nil {
		return nil, "", context.Cause(ctx)
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	out := &whole{most: most, over: func() { cancel(fmt.Errorf("printed more than %d bytes", most)) }}
	var complaint tail
	j, err := g.start(c, l.Env, out, &complaint)
	if err != nil {
		return nil, "", err
	}

	err = j.await(ctx, l.timeout())
	j.awaitSilence(ctx)
	stdout = out.finish() // from here on nothing is too much
	if err == nil && ctx.Err() != nil {
		j.signal(syscall.SIGKILL) // what the command has left running may be what printed too much
		err = context.Cause(ctx)
	}
	return stdout, complaint.finish(), err
}

// Kill kills all commands that run, with what they have started. Nothing starts any more: Run and Output return ErrKilled.
func (g *Group) Kill() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.killed = true
	for j := range g.jobs {
		j.signal(syscall.SIGKILL)
		close(j.killed)
		delete(g.jobs, j)
	}
}

// Close ends the reading of output that programs left running still hold open, and waits for that. The caller makes sure
// that no Run and no Output is under way, and that none follows.
func (g *Group) Close() {
	g.mu.Lock()
	for output := range g.outputs {
		_ = output.Close()
	}
	g.mu.Unlock()
	g.readers.Wait()
}

func (l Limits) timeout() time.Duration {
	if l.Timeout == 0 {
		return DefaultTimeout
	}
	return l.Timeout
}

// start starts a command. Both outputs go to stdout where stderr is nil.
func (g *Group) start(c Command, env []string, stdout, stderr io.Writer) (*job, error) {
	args := c.argv()
	j := &job{cmd: exec.Command(args[0], args[1:]...), ended: make(chan struct{}), killed: make(chan struct{})}
	j.cmd.Env = env
	j.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}

	// A pipe for each output. The command's ends are closed here when it has them, ours by who reads.
	var reads []*os.File
	pipe := func() (write *os.File, err error) {
		read, write, err := os.Pipe()
		if err == nil {
			reads = append(reads, read)
		}
		return write, err
	}
	fail := func(err error) (*job, error) {
		for _, read := range reads {
			_ = read.Close()
		}
		return nil, err
	}
	out, err := pipe()
	if err != nil {
		return fail(err)
	}
	defer out.Close()
	j.cmd.Stdout, j.cmd.Stderr = out, out
	if stderr != nil {
		complaint, err := pipe()
		if err != nil {
			return fail(err)
		}
		defer complaint.Close()
		j.cmd.Stderr = complaint
	}

	g.mu.Lock()
	defer g.mu.Unlock()
	if g.killed {
		return fail(ErrKilled)
	}
	if err := j.cmd.Start(); err != nil {
		return fail(explained(err, j.cmd))
	}
	if g.jobs == nil {
		g.jobs, g.outputs = make(map[*job]bool), make(map[*os.File]bool)
	}
	g.jobs[j] = true
	for i, read := range reads {
		j.silent = append(j.silent, g.read(read, []io.Writer{stdout, stderr}[i]))
	}
	go func() {
		defer close(j.ended)
		j.err = j.cmd.Wait()
		g.mu.Lock()
		defer g.mu.Unlock()
		delete(g.jobs, j)
	}()
	return j, nil
}

// read reads an output to its end: what a command leaves running may go on to write. The caller holds the lock.
func (g *Group) read(from *os.File, to io.Writer) (end chan struct{}) {
	g.outputs[from] = true
	end = make(chan struct{})
	g.readers.Go(func() {
		defer close(end)
		_, _ = io.Copy(to, from)
		g.mu.Lock()
		defer g.mu.Unlock()
		delete(g.outputs, from)
		_ = from.Close()
	})
	return end
}

// await waits until the command has ended, and ends it at the timeout or when ctx is done. It gives up a command that even
// SIGKILL does not end: one that runs as another user, or that hangs in the kernel.
func (j *job) await(ctx context.Context, timeout time.Duration) error {
	timer := time.NewTimer(timeout)
	defer timer.Stop()

	// Its own end, or a reason to kill it.
	tooLate := fmt.Errorf("did not end within %s", timeout)
	var why error
	for late := false; why == nil; {
		select {
		case <-j.ended:
			switch {
			case j.err != nil && j.wasKilled():
				return ErrKilled
			case late:
				j.signal(syscall.SIGKILL) // what ignores SIGTERM must not outlive the command that started it
				return tooLate
			}
			return j.err
		case <-timer.C:
			if late {
				why = tooLate
				break
			}
			late = true
			j.signal(syscall.SIGTERM)
			timer.Reset(killGrace)
		case <-ctx.Done():
			why = context.Cause(ctx)
		case <-j.killed:
			why = ErrKilled
		}
	}

	j.signal(syscall.SIGKILL)
	timer.Reset(deathGrace)
	select {
	case <-j.ended:
		return why
	case <-timer.C:
		return fmt.Errorf("%w; process %d does not end after SIGKILL", why, j.cmd.Process.Pid)
	}
}

func (j *job) wasKilled() bool {
	select {
	case <-j.killed:
		return true
	default:
		return false
	}
}

// awaitSilence waits until the output was read to its end, but not for long: something that the command has left running
// may hold it open.
func (j *job) awaitSilence(ctx context.Context) {
	timer := time.NewTimer(outputGrace)
	defer timer.Stop()
	for _, silent := range j.silent {
		select {
		case <-silent:
		case <-timer.C:
			return
		case <-ctx.Done():
			return
		}
	}
}

// signal sends a signal to the command and all that it has started.
func (j *job) signal(s syscall.Signal) { _ = syscall.Kill(-j.cmd.Process.Pid, s) }

// explained returns the error of a start, and says of one that comes of too long arguments or environment which they are,
// without any value.
func explained(err error, cmd *exec.Cmd) error {
	if !errors.Is(err, syscall.E2BIG) {
		return err
	}
	maxEntry := 32*os.Getpagesize() - 1 // what Linux accepts of one argument or entry
	all := 0
	for i, arg := range cmd.Args {
		if all += len(arg) + 1; len(arg) > maxEntry {
			return fmt.Errorf("%w: argument %d has %d bytes, and the kernel accepts at most %d", err, i, len(arg), maxEntry)
		}
	}
	for _, entry := range cmd.Environ() {
		if all += len(entry) + 1; len(entry) > maxEntry {
			name, _, _ := strings.Cut(entry, "=")
			return fmt.Errorf("%w: the variable %s has %d bytes, and the kernel accepts at most %d", err, name, len(entry), maxEntry)
		}
	}
	return fmt.Errorf("%w: arguments and environment together have %d bytes", err, all)
}
