//go:build linux

package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

const ticksPerSecond = 100 // of /proc/PID/stat, on every Linux

// A process is a running render.
type process struct {
	cmd   *exec.Cmd
	log   string // path of what it logs
	began time.Time
	base  float64 // CPU seconds before what is being measured
}

// start runs render with the given --template values.
func (b *bench) start(ctx context.Context, specs []string) (*process, error) {
	args := append([]string{"--consul-addr", b.address}, b.args...)
	for _, spec := range specs {
		args = append(args, "--template", spec)
	}
	p := &process{cmd: exec.CommandContext(ctx, b.binary, args...), log: filepath.Join(b.dir, "log")}
	log, err := os.Create(p.log)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	p.cmd.Env = append(os.Environ(), b.env...)
	p.cmd.Stdout, p.cmd.Stderr = log, log
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	p.began = time.Now()
	return p, p.cmd.Start()
}

func (p *process) stop() {
	_ = p.cmd.Process.Kill()
	_ = p.cmd.Wait()
}

// fault adds the end of render's log to an error.
func (p *process) fault(err error) error {
	log, _ := os.ReadFile(p.log)
	return fmt.Errorf("%w; render said: %s", err, log[max(0, len(log)-1000):])
}

// reset lets usage count CPU from now on.
func (p *process) reset() (err error) {
	p.base, err = p.cpu()
	return err
}

// usage returns the CPU seconds since reset, or since the start, and the peak of resident memory in MB.
func (p *process) usage() (m measured, err error) {
	cpu, err := p.cpu()
	if err != nil {
		return m, err
	}
	m.cpu = cpu - p.base
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	if err != nil {
		return m, err
	}
	_, peak, _ := strings.Cut(string(status), "VmHWM:")
	peak, _, _ = strings.Cut(peak, "kB")
	kb, err := strconv.ParseFloat(strings.TrimSpace(peak), 64)
	m.mem = kb / 1024
	return m, err
}

// connections returns how many connections to Consul render has, which are all its sockets.
func (p *process) connections() (n int) {
	open, _ := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", p.cmd.Process.Pid))
	for _, fd := range open {
		if what, err := os.Readlink(fd); err == nil && strings.HasPrefix(what, "socket:") { // else closed meanwhile
			n++
		}
	}
	return n
}

func (p *process) cpu() (seconds float64, err error) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.cmd.Process.Pid))
	if err != nil {
		return 0, err
	}
	fields := bytes.Fields(stat[bytes.LastIndexByte(stat, ')')+1:]) // begin with the third
	user, err := strconv.Atoi(string(fields[11]))
	if err != nil {
		return 0, err
	}
	system, err := strconv.Atoi(string(fields[12]))
	return float64(user+system) / ticksPerSecond, err
}
