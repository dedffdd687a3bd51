package render

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/exec"
	"reflect"
	"slices"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// DefaultKillTimeout is how long a supervised program has to end.
const DefaultKillTimeout = 30 * time.Second

// An Exec is a program that the engine supervises: it is started when everything is rendered once, reloaded when files have
// changed, and ended with the engine. When it ends by itself, so does the engine. The zero value is none.
type Exec struct {
	Command     Command
	Env         Env
	OnChange    OnChange
	Reload      syscall.Signal // what to send, where OnChange is SendSignal
	KillSignal  syscall.Signal // asks it to end; 0 sends nothing
	KillTimeout time.Duration  // from KillSignal to SIGKILL; 0 means DefaultKillTimeout
	Splay       time.Duration  // a random pause of up to this before a reload

	// Keeper, where it is set, returns a process that calls KeepProgram with its input and some arguments. It runs beside the
	// program, and ends it when we are killed and cannot.
	Keeper func(args ...string) *exec.Cmd
}

// An OnChange says what becomes of a supervised program when files have changed.
type OnChange uint8

// What becomes of a supervised program.
const (
	Restart    OnChange = iota // it is ended and started again
	SendSignal                 // it gets a signal
	DoNothing
)

// An ExitError says that a supervised program has ended, and Run with it.
type ExitError struct {
	Code int // its exit code, or 128 and the number of the signal that has killed it
	Err  error
}

func (e *ExitError) Error() string { return fmt.Sprintf("the supervised program has ended: %v", e.Err) }

// A StopSignal as the cause of the context of Run is passed on to the supervised program.
type StopSignal struct{ Signal syscall.Signal }

func (s StopSignal) Error() string { return "stopped by " + s.Signal.String() }

// Find returns an error where there is no such program. A line for the shell cannot be told before it runs.
func (x Exec) Find() error {
	if x.Command.Shell != "" || x.Command.IsZero() {
		return nil
	}
	if _, err := exec.LookPath(x.Command.Args[0]); err != nil {
		return fmt.Errorf("exec: %w", err)
	}
	return nil
}

// equal reports whether two are the same but for who keeps the program.
func (x Exec) equal(y Exec) bool {
	x.Keeper, y.Keeper = nil, nil
	return reflect.DeepEqual(x, y)
}

// child is a supervised program at work. One goroutine starts it, waits for it and ends it.
type child struct {
	cfg     Exec
	environ []string
	log     *slog.Logger

	reloads chan struct{} // holds one at most: files have changed
	signals chan syscall.Signal
	stops   chan syscall.Signal
	ended   chan error // gets how it has ended, once
	wg      sync.WaitGroup

	stopping bool // owned by supervise
	given    Exec // what it was started with; not changed
	outdated bool // another is to take its place, or none; owned by the engine's loop
}

// startChild starts a program; how it ends, or why it could not be started, comes from ended.
func startChild(cfg Exec, environ []string, log *slog.Logger) *child {
	c := &child{
		cfg: cfg, given: cfg, environ: environ, log: log,
		reloads: make(chan struct{}, 1),
		signals: make(chan syscall.Signal, 16),
		stops:   make(chan syscall.Signal, 1),
		ended:   make(chan error, 1),
	}
	c.wg.Go(func() { c.ended <- c.supervise() })
	return c
}

// reload tells the program, by its OnChange, that files have changed.
func (c *child) reload() {
	select {
	case c.reloads <- struct{}{}:
	default: // it has not got to the one before yet
	}
}

// signal passes a signal on.
func (c *child) signal(s syscall.Signal) {
	select {
	case c.signals <- s:
	default: // sixteen are on their way already
	}
}

// stop asks the program to end, by a signal other than KillSignal where that is not 0.
func (c *child) stop(s syscall.Signal) {
	select {
	case c.stops <- s:
	default:
	}
}

// Whether all processes of a group have ended is looked at often at first, and then less so.
const (
	groupEvery = 20 * time.Millisecond
	groupMost  = 500 * time.Millisecond
)

// process is one run of the program.
type process struct {
	cmd   *exec.Cmd
	ended chan struct{} // closed when it has ended
	err   error         // how, then
}

func (c *child) supervise() error {
	if c.cfg.KillTimeout == 0 {
		c.cfg.KillTimeout = DefaultKillTimeout
	}
	keep, end := c.startKeeper()
	defer end()
	for {
		p, err := c.start()
		if err != nil {
			return fmt.Errorf("start %s: %w", c.cfg.Command, err)
		}
		keep(p.cmd.Process.Pid)
		again, err := c.watch(p)
		p.signalGroup(syscall.SIGKILL) // what it has left behind
		keep(0)
		if !again {
			return err
		}
	}
}

func (c *child) start() (*process, error) {
	select {
	case <-c.reloads: // it will find all files that have changed so far
	default:
	}
	args := c.cfg.Command.argv()
	p := &process{cmd: exec.Command(args[0], args[1:]...), ended: make(chan struct{})}
	p.cmd.Env = c.environ
	p.cmd.Stdin, p.cmd.Stdout, p.cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	c.log.Info("started", "program", c.cfg.Command.String(), "pid", p.cmd.Process.Pid)
	c.wg.Go(func() {
		defer close(p.ended)
		p.err = p.cmd.Wait()
	})
	return p, nil
}

// watch does what is asked for until the program has ended, and reports whether it is to be started again.
func (c *child) watch(p *process) (again bool, err error) {
	var splay <-chan time.Time // is up when a reload is due
	for {
		select {
		case <-p.ended:
			return false, p.err
		case s := <-c.signals:
			c.send(p, s)
		case s := <-c.stops:
			if s == 0 {
				s = c.cfg.KillSignal
			}
			return false, c.terminate(p, s)
		case <-c.reloads:
			if splay == nil && c.cfg.OnChange != DoNothing {
				splay = time.After(upTo(c.cfg.Splay))
			}
		case <-splay:
			splay = nil
			if c.cfg.OnChange == Restart {
				c.log.Info("restarting, because files have changed", "program", c.cfg.Command.String())
				err := c.terminate(p, c.cfg.KillSignal)
				return !c.stopping, err
			}
			c.log.Info("reloading, because files have changed", "program", c.cfg.Command.String(), "signal", unix.SignalName(c.cfg.Reload))
			c.send(p, c.cfg.Reload)
		}
	}
}

// terminate ends a run of the program: a signal, some time, and SIGKILL. A shell may end at once by the signal; what it has
// started has got the signal, too, and has the same time.
func (c *child) terminate(p *process, s syscall.Signal) error {
	if s != 0 {
		c.send(p, s)
	}
	kill := time.NewTimer(c.cfg.KillTimeout)
	defer kill.Stop()
	ended := p.ended
	var look <-chan time.Time
	pause := groupEvery
	killed := false
	for {
		select {
		case <-ended:
			if c.cfg.Command.Shell == "" || killed || !p.groupLives() {
				return p.err
			}
			ended, look = nil, time.After(pause)
		case <-look:
			if killed || !p.groupLives() {
				return p.err
			}
			pause = min(2*pause, groupMost)
			look = time.After(pause)
		case s := <-c.signals:
			c.send(p, s)
		case s := <-c.stops: // while it is being restarted
			c.stopping = true
			if s != 0 {
				c.send(p, s)
			}
		case <-kill.C:
			c.log.Warn("the program does not end; it is killed", "program", c.cfg.Command.String(), "after", c.cfg.KillTimeout)
			p.signalGroup(syscall.SIGKILL)
			killed = true
		}
	}
}

// send sends a signal to the program; where it runs under a shell, to both. What kills goes to all that it has started.
func (c *child) send(p *process, s syscall.Signal) {
	if c.cfg.Command.Shell != "" || s == syscall.SIGKILL {
		p.signalGroup(s)
		return
	}
	_ = p.cmd.Process.Signal(s)
}

func (p *process) signalGroup(s syscall.Signal) { _ = syscall.Kill(-p.cmd.Process.Pid, s) }

func (p *process) groupLives() bool { return lives(-p.cmd.Process.Pid) }

// upTo returns a random time.
func upTo(most time.Duration) time.Duration {
	if most <= 0 {
		return 0
	}
	return rand.N(most)
}

// exitError returns how a program's end ends us.
func exitError(err error) error {
	if err == nil {
		return nil
	}
	failed, ok := errors.AsType[*exec.ExitError](err)
	if !ok {
		return err // it could not be started
	}
	code := failed.ExitCode()
	if status, ok := failed.Sys().(syscall.WaitStatus); ok {
		code = ExitCode(status)
	}
	return &ExitError{Code: code, Err: err}
}

// ExitCode returns the exit code of a process, or 128 and the number of the signal that has killed it.
func ExitCode(status syscall.WaitStatus) int {
	if status.Signaled() {
		return 128 + int(status.Signal())
	}
	return status.ExitStatus()
}

// end returns where a child's end comes from; nil, from where nothing comes, for no child.
func (c *child) end() <-chan error {
	if c == nil {
		return nil
	}
	return c.ended
}

// Signal passes a signal on to the supervised program, if there is one; SIGKILL to all that it has started as well.
func (e *Engine) Signal(s syscall.Signal) {
	select {
	case e.signals <- s:
	default: // many are on their way already
	}
}

// Kill kills the commands that run, and the supervised program if there is one, with all that they have started. No command
// begins any more; what was interrupted is done again by the next start (R13).
func (e *Engine) Kill() {
	e.running.kill()
	e.Signal(syscall.SIGKILL)
}

// renderedOnce reports whether the files of all targets are there, and their actions have had their turn. That a command has
// failed does not count: it may need the program to run.
func (e *Engine) renderedOnce() bool {
	if !e.supervises() {
		return false
	}
	for _, t := range e.targets {
		if !t.finished() || t.action.busy || !t.placed {
			return false
		}
	}
	return true
}

// supervises reports whether there is a program to supervise.
func (e *Engine) supervises() bool { return !e.cfg.Exec.Command.IsZero() && e.cfg.Dry == nil }

func (e *Engine) startChild() *child {
	return startChild(e.cfg.Exec, e.cfg.Exec.Env.environ(os.Environ(), e.cfg.Env), e.log)
}

// supervise starts the program when everything is rendered once, and ends one that is not in force any more: when another
// can take its place, or at once where there is to be none. Its end is then no news.
func (e *Engine) supervise() {
	if e.leaving != nil || e.child != nil && !e.child.outdated {
		return
	}
	switch ready := e.renderedOnce(); {
	case e.child == nil && ready:
		e.child = e.startChild()
	case e.child != nil && (ready || !e.supervises()):
		e.log.Info("ending the program, because the configuration has changed", "program", e.child.given.Command.String())
		e.child.stop(0)
		e.leaving, e.child = e.child, nil
	}
}

// programWaits reports whether there is a program to supervise that is not started yet.
func (e *Engine) programWaits() bool { return e.supervises() && (e.child == nil || e.child.outdated) }

// children are the program, and the one before it while that ends.
func (e *Engine) children() []*child {
	return slices.DeleteFunc([]*child{e.child, e.leaving}, func(c *child) bool { return c == nil })
}

func (e *Engine) signalChildren(s syscall.Signal) {
	for _, c := range e.children() {
		c.signal(s)
	}
}

// thenSupervise supervises the program, if there is one, when everything is rendered once.
func (e *Engine) thenSupervise(ctx context.Context, err error) error {
	if err != nil || !e.supervises() {
		return err
	}
	e.set.Close()
	e.child = e.startChild()
	for {
		select {
		case s := <-e.signals:
			e.child.signal(s)
		case err := <-e.child.end():
			return exitError(err)
		case answer := <-e.questions:
			answer <- e.status()
		case <-ctx.Done():
			return e.stopChild(ctx)
		}
	}
}

// stopChild ends the program, by the signal that has stopped us, and returns how it ended.
func (e *Engine) stopChild(ctx context.Context) error {
	var with syscall.Signal
	if s, ok := errors.AsType[StopSignal](context.Cause(ctx)); ok {
		with = s.Signal
	}
	for _, c := range e.children() {
		c.stop(with)
	}
	ended, left := e.child.end(), e.leaving.end()
	var err error
	for ended != nil || left != nil {
		select {
		case s := <-e.signals:
			e.signalChildren(s)
		case err = <-ended:
			ended = nil
		case <-left:
			left = nil
		}
	}
	return exitError(err)
}

// endChild makes sure that nothing of a program is left, however we end.
func (e *Engine) endChild() {
	for _, c := range e.children() {
		c.stop(0)
	}
	for _, c := range e.children() {
		c.wg.Wait()
	}
}
