package render

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// A Signal is sent to a process in place of a command, or after it. The zero value sends nothing.
type Signal struct {
	Signal  syscall.Signal
	PIDFile string // a file that begins with the number of the process
	Process string // the name of the program, of all processes that run it, where PIDFile is empty; Linux only
}

// IsZero reports whether there is nothing to send.
func (s Signal) IsZero() bool { return s.Signal == 0 }

// String returns the signal as logs show it.
func (s Signal) String() string {
	if s.IsZero() {
		return ""
	}
	to := s.Process
	if s.PIDFile != "" {
		to = "the process of " + s.PIDFile
	}
	return fmt.Sprintf("signal %s to %s", unix.SignalName(s.Signal), to)
}

func (s Signal) validate() error {
	if !s.IsZero() && (s.PIDFile == "") == (s.Process == "") {
		return errors.New("a signal needs the file of a process number, or the name of a process, and not both")
	}
	return nil
}

func (s Signal) send() error {
	if s.IsZero() {
		return nil
	}
	pids, err := s.processes()
	if err != nil {
		return fmt.Errorf("%s: %w", s, err)
	}
	for _, pid := range pids {
		if err := syscall.Kill(pid, s.Signal); err != nil {
			return fmt.Errorf("%s: process %d: %w", s, pid, err)
		}
	}
	return nil
}

func (s Signal) processes() ([]int, error) {
	if s.PIDFile == "" {
		return processesNamed(s.Process)
	}
	text, err := os.ReadFile(s.PIDFile)
	if err != nil {
		return nil, err
	}
	first, _, _ := strings.Cut(strings.TrimSpace(string(text)), "\n")
	pid, err := strconv.Atoi(strings.TrimSpace(first))
	if err != nil || pid < 1 {
		return nil, errors.New("the file does not begin with the number of a process")
	}
	return []int{pid}, nil
}

// processesNamed returns the processes, but for our own, whose program has a name: the main ones, without the workers that
// these have started.
func processesNamed(name string) ([]int, error) {
	const most = 15              // bytes of a name that the kernel keeps
	parents := make(map[int]int) // of those with the name
	for _, p := range processes() {
		if p.name != name[:min(len(name), most)] || len(name) > most && !hasLongName(p.pid, name) {
			continue
		}
		if p.state != zombie && p.pid != os.Getpid() {
			parents[p.pid] = p.parent
		}
	}
	var pids []int
	for pid, parent := range parents {
		if _, worker := parents[parent]; !worker {
			pids = append(pids, pid)
		}
	}
	if len(pids) == 0 {
		return nil, errors.New("there is no such process")
	}
	return pids, nil
}

// hasLongName reports whether a process has a name that is longer than what the kernel keeps of it: by the file that it runs,
// or what it was started as, which for a script follows the shell.
func hasLongName(pid int, name string) bool {
	file, _ := os.Readlink(fmt.Sprintf("/proc/%d/exe", pid)) // others' processes may not tell
	line, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	words := strings.Split(string(line), "\x00")
	names := append(words[:min(2, len(words))], strings.TrimSuffix(file, " (deleted)"))
	return slices.ContainsFunc(names, func(n string) bool { return filepath.Base(n) == name })
}
