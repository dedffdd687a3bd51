package run

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
)

// Alive reports whether process pid has not ended, or with a negative number whether a process of that group has not.
// Zombies have ended: their parent may never read their exit status.
func Alive(pid int) bool {
	if syscall.Kill(pid, 0) == syscall.ESRCH {
		return false
	}
	if self, err := os.Readlink("/proc/self"); err != nil || self != strconv.Itoa(os.Getpid()) {
		return true // no /proc, or one of another namespace
	}
	if pid > 0 {
		p, err := statOf(pid)
		if err != nil { // it has ended just now, or /proc hides processes of others
			return syscall.Kill(pid, 0) != syscall.ESRCH
		}
		return p.state != zombie
	}
	return slices.ContainsFunc(processes(), func(p processStat) bool { return p.group == -pid && p.state != zombie })
}

// A processStat is what Linux says of a process.
type processStat struct {
	pid, parent, group int
	name               string // the first 15 bytes
	state              string
}

const zombie = "Z" // the state of a process that has ended, and whose parent has not read its exit status

// processes returns all processes; none where there is no /proc.
func processes() (all []processStat) {
	paths, _ := filepath.Glob("/proc/[0-9]*") // the pattern is well-formed
	for _, path := range paths {
		if pid, err := strconv.Atoi(filepath.Base(path)); err == nil {
			if p, err := statOf(pid); err == nil { // else it has ended meanwhile
				all = append(all, p)
			}
		}
	}
	return all
}

func statOf(pid int) (p processStat, err error) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return p, err
	}
	_, text, _ := strings.Cut(string(stat), "(")
	end := max(0, strings.LastIndexByte(text, ')')) // a name may have any byte in it
	fields := strings.Fields(strings.TrimPrefix(text[end:], ")"))
	if len(fields) < 3 {
		return p, fmt.Errorf("/proc has no state of process %d", pid)
	}
	p = processStat{pid: pid, name: text[:end], state: fields[0]}
	p.parent, err = strconv.Atoi(fields[1])
	if err == nil {
		p.group, err = strconv.Atoi(fields[2])
	}
	return p, err
}
