package run

import (
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// A Child is a supervised program at work. One goroutine starts it, waits for it and ends it. Its methods are safe for
// concurrent use and never block, except Wait.
type Child struct {
	program Program
	environ []string
	log     *slog.Logger

	signals chan syscall.Signal
	stops   chan syscall.Signal
	ended   chan error // gets how it has ended, once
	wg      sync.WaitGroup

	mu      sync.Mutex    // guards what follows
	reload  chan struct{} // closed when the program was notified of files that have changed; nil for none
	over    bool          // the program has ended and is not started again
	changed chan struct{} // holds one at most: reload has been set

	stopping bool // owned by supervise
}

// Start starts a program, with environ as its environment. How it ends, or why it could not be started, comes from Ended.
func Start(p Program, environ []string, log *slog.Logger) *Child {
	c := newChild(p, environ, log)
	c.wg.Go(func() {
		err := c.supervise()
		c.end()
		c.ended <- err
	})
	return c
}

func newChild(p Program, environ []string, log *slog.Logger) *Child {
	return &Child{
		program: p, environ: environ, log: log,
		signals: make(chan syscall.Signal, 16),
		stops:   make(chan syscall.Signal, 1),
		ended:   make(chan error, 1),
		changed: make(chan struct{}, 1),
	}
}

// Program returns what the child was started with.
func (c *Child) Program() Program { return c.program }

// Ended returns where the end of the program comes from, once: nil, or an error of EndOf. For no child it returns nil, from
// which nothing comes.
func (c *Child) Ended() <-chan error {
	if c == nil {
		return nil
	}
	return c.ended
}

// Wait returns when nothing of the program is left.
func (c *Child) Wait() { c.wg.Wait() }

// Reload notifies the program, by its OnChange, that files have changed, after a random pause of up to Splay. done is closed when
// the signal was sent, the program was started again, or it has ended; with DoNothing at once. A Reload that comes while
// another waits for its pause, or for the end of the program that is being restarted, shares it. Any later one leads to
// another.
func (c *Child) Reload() (done <-chan struct{}) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.over || c.program.OnChange == DoNothing {
		closed := make(chan struct{})
		close(closed)
		return closed
	}
	if c.reload == nil {
		c.reload = make(chan struct{})
		c.changed <- struct{}{} // there is room: takeReload has emptied it
	}
	return c.reload
}

// beginReload returns the reload that is due: its caller is about to tell the program, and closes it then. A Reload from now
// on is another one. Without a due one it returns one that nobody waits for.
func (c *Child) beginReload() chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	due := c.reload
	c.reload = nil
	select {
	case <-c.changed:
	default:
	}
	if due == nil {
		due = make(chan struct{})
	}
	return due
}

// end notes that the program has ended and is not started again.
func (c *Child) end() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.over = true
	if c.reload != nil {
		close(c.reload)
	}
}

// Signal passes a signal on to the program; SIGKILL goes to all that it has started as well.
func (c *Child) Signal(s syscall.Signal) {
	select {
	case c.signals <- s:
	default: // sixteen are on their way already
	}
}

// Stop asks the program to end, by a signal other than KillSignal where that is not 0. After KillTimeout it is killed.
func (c *Child) Stop(s syscall.Signal) {
	select {
	case c.stops <- s:
	default: // one is on its way already
	}
}

// A process is one run of the program.
type process struct {
	cmd   *exec.Cmd
	ended chan struct{} // closed when it has ended
	err   error         // how, then
}

// supervise runs the program until it ends by itself or is stopped, and returns how it has ended.
func (c *Child) supervise() error {
	keep, end := c.startKeeper()
	defer end()
	for {
		p, err := c.start()
		if err != nil {
			return fmt.Errorf("start %s: %w", c.program.Command, err)
		}
		keep(p.cmd.Process.Pid)
		c.log.Info("program started", "program", c.program.Command.String(), "pid", p.cmd.Process.Pid)
		again, err := c.watch(p)
		p.killRest()
		keep(0)
		if !again {
			return err
		}
	}
}

func (c *Child) start() (*process, error) {
	defer close(c.beginReload()) // the program reads all files that have changed so far
	args := c.program.Command.argv()
	p := &process{cmd: exec.Command(args[0], args[1:]...), ended: make(chan struct{})}
	p.cmd.Env = c.environ
	p.cmd.Stdin, p.cmd.Stdout, p.cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := p.cmd.Start(); err != nil {
		return nil, explained(err, p.cmd)
	}
	c.wg.Go(func() {
		defer close(p.ended)
		p.err = p.cmd.Wait()
	})
	return p, nil
}

// watch passes on what comes until the program has ended, and reports whether it is to be started again.
func (c *Child) watch(p *process) (again bool, err error) {
	var due <-chan time.Time // of a reload
	for {
		select {
		case <-p.ended:
			return false, p.err
		case s := <-c.signals:
			c.send(p, s)
		case s := <-c.stops:
			if s == 0 {
				s = c.program.KillSignal
			}
			return false, c.terminate(p, s)
		case <-c.changed:
			due = time.After(UpTo(c.program.Splay))
		case <-due:
			due = nil
			if c.program.OnChange == Restart {
				c.log.Info("program restarting, files changed", "program", c.program.Command.String())
				err := c.terminate(p, c.program.KillSignal)
				return !c.stopping, err
			}
			c.log.Info("program reloading, files changed", "program", c.program.Command.String(), "signal", unix.SignalName(c.program.Reload))
			done := c.beginReload()
			c.send(p, c.program.Reload)
			close(done)
		}
	}
}

// Whether all processes of a group have ended is asked often at first, and then less so.
const (
	pollFirst = 20 * time.Millisecond
	pollMost  = 500 * time.Millisecond
)

// terminate ends a run of the program: a signal, some time, and SIGKILL. A shell may end at once by the signal; what it has
// started has got the signal, too, and has the same time.
func (c *Child) terminate(p *process, s syscall.Signal) error {
	if s != 0 {
		c.send(p, s)
	}
	kill := time.NewTimer(c.killTimeout())
	defer kill.Stop()
	ended := p.ended
	var poll <-chan time.Time
	pause := pollFirst
	killed := false
	for {
		select {
		case <-ended:
			if c.program.Command.Shell == "" || killed || !p.groupAlive() {
				return p.err
			}
			ended, poll = nil, time.After(pause)
		case <-poll:
			if killed || !p.groupAlive() {
				return p.err
			}
			pause = min(2*pause, pollMost)
			poll = time.After(pause)
		case s := <-c.signals:
			c.send(p, s)
		case s := <-c.stops: // while it is being restarted
			c.stopping = true
			if s != 0 {
				c.send(p, s)
			}
		case <-kill.C:
			c.log.Warn("program does not stop, killing it", "program", c.program.Command.String(), "after", c.killTimeout())
			p.signalGroup(syscall.SIGKILL)
			killed = true
		}
	}
}

func (c *Child) killTimeout() time.Duration {
	if c.program.KillTimeout == 0 {
		return DefaultKillTimeout
	}
	return c.program.KillTimeout
}

// send sends a signal to the program; where it runs under a shell, to both. SIGKILL goes to all that it has started.
func (c *Child) send(p *process, s syscall.Signal) {
	if c.program.Command.Shell != "" || s == syscall.SIGKILL {
		p.signalGroup(s)
		return
	}
	_ = p.cmd.Process.Signal(s)
}

func (p *process) signalGroup(s syscall.Signal) { _ = syscall.Kill(-p.cmd.Process.Pid, s) }

func (p *process) groupAlive() bool { return Alive(-p.cmd.Process.Pid) }

// killRest kills what the program, which has ended, has left behind, and waits for the end of that: it may hold the port that
// the program needs when it is started again. What even SIGKILL does not end is given up.
func (p *process) killRest() {
	p.signalGroup(syscall.SIGKILL)
	p.awaitGroup(deathGrace)
}

// awaitGroup waits until all processes of the group have ended, at most for a time.
func (p *process) awaitGroup(most time.Duration) {
	pause := time.Millisecond
	for end := time.Now().Add(most); p.groupAlive() && time.Now().Before(end); pause = min(2*pause, pollMost) {
		time.Sleep(pause)
	}
}
