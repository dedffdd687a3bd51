// Render keeps configuration files in sync: it watches Consul and renders templates. README.md is its reference.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"

	"render/cmd/render/config"
	"render/cmd/render/host"
	"render/cmd/render/logs"
	"render/render/run"
	"render/template"

	"render/watch/hint"
)

// The exit codes.
const (
	exitDone   = 0
	exitUsage  = 13
	exitFailed = 14
	exitConfig = 15
)

// A usageError is a mistake on the command line or in the environment.
type usageError struct{ err error }

func (e usageError) Error() string { return e.err.Error() }
func (e usageError) Unwrap() error { return e.err }

// Hint is for errors that have no hint.
func (e usageError) Hint() string {
	if len(hint.Of(e.err)) > 0 {
		return ""
	}
	return "see render --help"
}

// A settingError is a fault of a setting that only shows when it is used, as a log file that cannot be opened.
type settingError struct{ error }

// Unwrap returns the fault.
func (e settingError) Unwrap() error { return e.error }

// keepArgument makes us the keeper of a supervised program.
const keepArgument = "keep-program"

// keeper returns a keeper: see render.Exec. By the path that Linux has for our program it is not of our name, so that who
// kills all of that name does not kill it.
func keeper(args ...string) *exec.Cmd {
	path := "/proc/self/exe"
	if _, err := os.Stat(path); err != nil {
		if path, err = os.Executable(); err != nil {
			path = os.Args[0]
		}
	}
	return &exec.Cmd{Path: path, Args: append([]string{os.Args[0], keepArgument}, args...)}
}

func main() { os.Exit(start()) }

// start does what we were started for, and returns the exit code.
func start() (code int) {
	switch {
	case isKeeper():
		if err := run.KeepProgram(os.Stdin, os.Args[2:]); err != nil {
			return exitFailed
		}
		return exitDone
	case os.Getpid() == 1:
		return host.RunAsInit(os.Stderr, exitFailed)
	}
	ctx, signals := newSignalRouter()
	defer signals.waitForEnd()
	stderr := logs.NewWriter(os.Stderr)
	defer func() { _ = stderr.Flush() }() // there is nobody to report it to; a panic needs the lines before it, too
	return runApp(ctx, signals, os.Args, os.Stdout, stderr)
}

func isKeeper() bool { return len(os.Args) > 1 && os.Args[1] == keepArgument }

func runApp(ctx context.Context, signals *signalRouter, args []string, stdout io.Writer, stderr logs.Writer) (code int) {
	err := unknownFlag(args[1:])
	if err == nil {
		err = newApp(signals, stdout, stderr).RunContext(ctx, args)
	}
	if err == nil {
		return exitDone
	}
	if wrong, ok := errors.AsType[*config.Error](err); ok {
		if wrong.AtUsage() {
			text := hint.Text(wrong)
			if len(hint.Of(wrong)) == 0 {
				text = hint.Text(usageError{wrong})
			}
			fmt.Fprintf(stderr, "render: %s\n", text)
			return exitUsage
		}
		fmt.Fprintf(stderr, "render: %s\n", wrong.Excerpts())
		return exitConfig
	}
	fmt.Fprintf(stderr, "render: %s\n", hint.Text(err))
	if ended, ok := errors.AsType[*run.ExitError](err); ok {
		return ended.Code
	}
	if fault, ok := errors.AsType[*template.Error](err); ok && fault.Excerpt() != "" {
		fmt.Fprintf(stderr, "\n%s\n", fault.Excerpt())
	}
	if _, ok := errors.AsType[usageError](err); ok {
		return exitUsage
	}
	if _, ok := errors.AsType[settingError](err); ok {
		return exitConfig
	}
	return exitFailed
}
