package main

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"render/cmd/render/filetest"
)

// A daemon is a render that runs in the background.
type daemon struct {
	t     *testing.T
	cmd   *exec.Cmd
	log   string        // path of its output
	ended chan struct{} // closed when it has ended
}

// startRender starts render in a folder. Its output is in the folder's file log.
func startRender(t *testing.T, dir string, args ...string) *daemon {
	t.Helper()
	log, err := os.Create(filepath.Join(dir, "log"))
	check(t, err)
	defer log.Close()
	d := startRenderTo(t, dir, log, args...)
	d.log = log.Name()
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("%s said:\n%s", d.cmd, d.said())
		}
	})
	return d
}

// startRenderTo starts render with its output in a file that the caller closes.
func startRenderTo(t *testing.T, dir string, output *os.File, args ...string) *daemon {
	t.Helper()
	d := &daemon{t: t, cmd: exec.Command("render", args...), ended: make(chan struct{})}
	d.cmd.Dir, d.cmd.Stdout, d.cmd.Stderr = dir, output, output
	check(t, d.cmd.Start())
	go func() {
		_ = d.cmd.Wait() // stop looks at the exit code
		close(d.ended)
	}()
	t.Cleanup(d.kill)
	return d
}

func (d *daemon) said() string {
	b, err := os.ReadFile(d.log)
	if err != nil {
		d.t.Fatal(err)
	}
	return string(b)
}

func (d *daemon) saying(text string) func() error {
	return func() error {
		if said := d.said(); !strings.Contains(said, text) {
			return fmt.Errorf("it did not say %q", text)
		}
		return nil
	}
}

func (d *daemon) kill() {
	_ = d.cmd.Process.Kill()
	<-d.ended
}

// stop sends SIGTERM. A daemon that has died before, or ends with anything but 0, fails the test.
func (d *daemon) stop() {
	d.t.Helper()
	if err := d.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		d.t.Fatal("render has ended by itself: ", err)
	}
	select {
	case <-d.ended:
	case <-time.After(patience):
		d.t.Fatal("render does not end on SIGTERM")
	}
	if code := d.cmd.ProcessState.ExitCode(); code != exitDone {
		d.t.Fatalf("render exited %d", code)
	}
}

// renderOnce runs render with --once to its end.
func renderOnce(t *testing.T, dir string, args ...string) {
	t.Helper()
	cmd := exec.Command("render", append([]string{"--once", "--timeout", patience.String()}, args...)...)
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", cmd, err, out)
	}
}

const patience = filetest.Patience

var (
	check    = filetest.Check
	write    = filetest.Write
	awaits   = filetest.Awaits
	contains = filetest.Contains
	within   = filetest.Within
)

// freeAddr returns an address on loopback where nothing listened a moment ago.
func freeAddr(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	check(t, err)
	check(t, l.Close())
	return l.Addr().String()
}
