package host

import (
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"render/render/run"
)

// RunAsInit does the duties of process 1 of a container: it starts us again as a child, passes signals on, and takes care
// of all processes whose parents have ended. It does nothing else, so that its waiting for any process never takes away
// the end of one that somebody waits for. It returns the child's exit code, or failed where there is no child.
func RunAsInit(stderr io.Writer, failed int) (code int) {
	signals, ends := make(chan os.Signal, 64), make(chan os.Signal, 1)
	signal.Notify(signals)
	signal.Notify(ends, syscall.SIGCHLD) // apart, so that no other takes its place
	program, err := os.Executable()
	if err != nil {
		fmt.Fprintf(stderr, "render: %v\n", err)
		return failed
	}
	child, err := os.StartProcess(program, os.Args, &os.ProcAttr{
		Files: []*os.File{os.Stdin, os.Stdout, os.Stderr},
		Sys:   &syscall.SysProcAttr{Setpgid: true}, // a terminal sends signals to our group: the child is to get them once
	})
	if err != nil {
		fmt.Fprintf(stderr, "render: %v\n", err)
		return failed
	}
	for {
		select {
		case <-ends:
			if code, ended := reap(child.Pid); ended {
				return code
			}
		case s := <-signals:
			switch s {
			case syscall.SIGCHLD, syscall.SIGURG, syscall.SIGPIPE: // ours, our runtime's, our output's
			default:
				_ = child.Signal(s)
			}
		}
	}
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
			code, ended = run.ExitCode(status), true
		}
	}
}
