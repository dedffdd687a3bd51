//go:build unix

package main

import (
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
)

// runAsInit does the duties of process 1 of a container: it starts us again as a child, passes signals on, and takes care
// of all processes whose parents have ended. It does nothing else, so that its waiting for any process never takes away
// the end of one that somebody waits for. It returns the child's exit code.
func runAsInit(stderr io.Writer) (code int) {
	signals := make(chan os.Signal, 64)
	signal.Notify(signals)
	program, err := os.Executable()
	if err != nil {
		fmt.Fprintf(stderr, "render: %v\n", err)
		return exitFailed
	}
	child, err := os.StartProcess(program, os.Args, &os.ProcAttr{Files: []*os.File{os.Stdin, os.Stdout, os.Stderr}})
	if err != nil {
		fmt.Fprintf(stderr, "render: %v\n", err)
		return exitFailed
	}
	for s := range signals {
		switch s {
		case syscall.SIGCHLD:
			if code, ended := reap(child.Pid); ended {
				return code
			}
		case syscall.SIGURG, syscall.SIGPIPE: // our own runtime's, and our own output's
		default:
			_ = child.Signal(s)
		}
	}
	return exitFailed
}

// reap takes the ends of all processes that have ended, and returns the exit code of one of them if it has.
func reap(pid int) (code int, ended bool) {
	for {
		var status syscall.WaitStatus
		got, err := syscall.Wait4(-1, &status, syscall.WNOHANG, nil)
		if err == syscall.EINTR {
			continue
		}
		if err != nil || got <= 0 {
			return code, ended
		}
		if got == pid {
			code, ended = status.ExitStatus(), true
			if status.Signaled() {
				code = 128 + int(status.Signal())
			}
		}
	}
}
