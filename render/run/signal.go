package run

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

// Validate returns what is wrong with the settings, or nil.
func (s Signal) Validate() error {
	if !s.IsZero() && (s.PIDFile == "") == (s.Process == "") {
		return errors.New("a signal needs either a pid file or the name of a process")
	}
	return nil
}

// Send sends the signal. By name it goes to the main processes of that name: those whose parent has another name. It is an
// error where no process got it, or where one may not be signalled; that one of several has ended meanwhile is no error.
func (s Signal) Send() error {
	if s.IsZero() {
		return nil
	}
	if err := s.sendTo(s.processes); err != nil {
		return fmt.Errorf("%s: %w", s, err)
	}
	return nil
}

// attempts is how often the processes of a name are listed, where all that were found have ended before they got the signal.
const attempts = 3

// sendTo sends the signal to all processes that find returns.
func (s Signal) sendTo(find func() ([]int, error)) error {
	var ended []error
	for range attempts {
		pids, err := find()
		if err != nil {
			return err
		}

		var failed []error
		ended = nil
		for _, pid := range pids {
			err := send(pid, s.Signal)
			if err == nil {
				continue
			}
			err = fmt.Errorf("process %d: %w", pid, err)
			if errors.Is(err, syscall.ESRCH) {
				ended = append(ended, err)
			} else {
				failed = append(failed, err)
			}
		}
		if len(failed) > 0 || len(ended) < len(pids) {
			return errors.Join(failed...)
		}
	}
	return errors.Join(ended...)
}

// send sends a signal to a process. A zombie, which the kernel would accept, has ended.
func send(pid int, s syscall.Signal) error {
	if !Alive(pid) {
		return syscall.ESRCH
	}
	return syscall.Kill(pid, s)
}

// processes returns the processes that get the signal, at least one.
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
		return nil, errors.New("the pid file does not begin with a process id")
	}
	return []int{pid}, nil
}

// processesNamed returns the processes, except our own, whose program has a name: the main ones, without the workers that
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
	file, _ := os.Readlink(fmt.Sprintf("/proc/%d/exe", pid)) // processes of others may not show it
	line, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	words := strings.Split(string(line), "\x00")
	names := append(words[:min(2, len(words))], strings.TrimSuffix(file, " (deleted)"))
	return slices.ContainsFunc(names, func(n string) bool { return filepath.Base(n) == name })
}
