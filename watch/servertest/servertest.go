// Package servertest runs the programs of real servers on loopback, for packages that make Consul, Vault and Nomad ready for tests.
package servertest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"sync"
	"time"
)

// Binary returns the program that an environment variable names, or else the file that make has built into the cache of the project.
// What says what the program is, for people, and target how make builds it.
func Binary(variable, file, what, target string) (string, error) {
	if path := os.Getenv(variable); path != "" {
		return path, nil
	}
	_, here, _, _ := runtime.Caller(0)
	path := filepath.Join(filepath.Dir(here), "..", "..", ".cache", file)
	if _, err := os.Stat(path); err != nil {
		return "", fmt.Errorf("no %s to test with: run `make %s` once, or set $%s: %w", what, target, variable, err)
	}
	return path, nil
}

// FreePorts returns ports of loopback that were free a moment ago, for TCP.
func FreePorts(n int) (ports []int, err error) {
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		defer l.Close()
		ports = append(ports, l.Addr().(*net.TCPAddr).Port)
	}
	return ports, nil
}

// ErrEnded is the error of a server whose process has ended before it was ready.
var ErrEnded = errors.New("has ended")

const attempts = 3

// Retry calls start, again when the process of a server has ended before it was ready: another process may take a port that was free a
// moment ago. Each attempt has a number, and has to use ports of its own.
func Retry(start func(attempt int) error) (err error) {
	for i := range attempts {
		if err = start(i); !errors.Is(err, ErrEnded) {
			break
		}
	}
	return err
}

// A Process is the program of a server. It ends with the process of the test, where the system can do that (Linux).
type Process struct {
	Name string   // of the server, for errors
	Args []string // the program and its arguments
	Env  []string // nil for that of the test

	cmd   *exec.Cmd
	out   *output
	ended chan struct{} // closed when the process has ended
}

// Run starts the process, and returns when the server is ready. It fails when ctx is done or the time is over before that; then the
// process has ended. A process that was killed can be run again.
func (p *Process) Run(ctx context.Context, within time.Duration, ready func(context.Context) bool) error {
	p.out = new(output)
	cmd := exec.Command(p.Args[0], p.Args[1:]...)
	cmd.Env, cmd.Stdout, cmd.Stderr, cmd.SysProcAttr = p.Env, p.out, p.out, dieWithParent()
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start %s: %w", p.Name, err)
	}
	p.cmd, p.ended = cmd, make(chan struct{})
	go func() {
		_ = cmd.Wait()
		close(p.ended)
	}()

	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	for !ready(ctx) {
		select {
		case <-ctx.Done():
			p.Kill()
			return fmt.Errorf("%s did not become ready: %w; it said: %s", p.Name, ctx.Err(), p.out)
		case <-p.ended:
			return fmt.Errorf("%s %w; it said: %s", p.Name, ErrEnded, p.out)
		case <-time.After(20 * time.Millisecond):
		}
	}
	return nil
}

// Output returns what the process has printed since it was run.
func (p *Process) Output() string { return p.out.String() }

// HasEnded reports whether the process has ended, or was not started.
func (p *Process) HasEnded() bool {
	if p.cmd == nil {
		return true
	}
	select {
	case <-p.ended:
		return true
	default:
		return false
	}
}

// Kill kills the process, if it was started, and waits for its end.
func (p *Process) Kill() {
	if p.cmd == nil {
		return
	}
	_ = p.cmd.Process.Kill()
	<-p.ended
}

// output is what a process prints. It can be read while the process runs.
type output struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (o *output) Write(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Write(b)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}
