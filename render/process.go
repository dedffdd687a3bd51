package render

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
)

// lives reports whether a process has not ended, or where the number is negative one of a group. Zombies have: their parent may
// never ask for their end.
func lives(pid int) bool {
	if syscall.Kill(pid, 0) == syscall.ESRCH {
		return false
	}
	if self, err := os.Readlink("/proc/self"); err != nil || self != strconv.Itoa(os.Getpid()) {
		return true // there is none to tell, or it tells of another namespace
	}
	return slices.ContainsFunc(processes(), func(p processStat) bool {
		return (p.pid == pid || p.group == -pid) && p.state != zombie
	})
}

// A processStat is what Linux tells of a process.
type processStat struct {
	pid, parent, group int
	name               string // the first 15 bytes
	state              string
}

const zombie = "Z" // the state of a process that has ended, and whose parent has not asked for that

// processes returns all processes; none where the system does not tell.
func processes() (all []processStat) {
	paths, _ := filepath.Glob("/proc/[0-9]*") // the pattern is a good one
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
