// Render keeps configuration files true: it watches Consul and renders templates. README.md is its reference.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"syscall"

	"render/render"
	"render/template"
)

// The exit codes.
const (
	exitDone   = 0
	exitUsage  = 13
	exitFailed = 14
)

// A usageError is a mistake on the command line or in the environment.
type usageError struct{ err error }

func (e usageError) Error() string { return e.err.Error() + "; see render --help" }
func (e usageError) Unwrap() error { return e.err }

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

func main() {
	if len(os.Args) > 1 && os.Args[1] == keepArgument {
		if err := render.KeepProgram(os.Stdin, os.Args[2:]); err != nil {
			os.Exit(exitFailed)
		}
		return
	}
	if os.Getpid() == 1 {
		os.Exit(runAsInit(os.Stderr))
	}
	// R12: no other signal ends it. Nobody reads the channel, which drops them.
	signal.Notify(make(chan os.Signal, 1), append([]os.Signal{syscall.SIGHUP, syscall.SIGPIPE}, forwarded...)...)
	os.Exit(run(untilStopped(), os.Args, os.Stdout, os.Stderr))
}

// untilStopped returns a context that SIGINT and SIGTERM end. A second one ends the process at once, unless there is a
// program to supervise: see forward.
func untilStopped() context.Context {
	ctx, cancel := context.WithCancelCause(context.Background())
	stops := make(chan os.Signal, 1)
	signal.Notify(stops, syscall.SIGINT, syscall.SIGTERM)
	go func() {
		var cause render.StopSignal
		if s := <-stops; s == syscall.SIGTERM {
			cause.Signal = syscall.SIGTERM // SIGINT is what the supervised program's own signal stands for
		}
		cancel(cause)
		signal.Stop(stops)
	}()
	return ctx
}

// forwarded are the signals that are the supervised program's. Without one they do nothing (R12).
var forwarded = []os.Signal{
	syscall.SIGUSR1, syscall.SIGUSR2, syscall.SIGQUIT, syscall.SIGALRM, syscall.SIGWINCH, syscall.SIGCONT,
}

// forward passes signals on to the engine's supervised program, if there is to be one, until the engine has ended. Of
// those that stop us, untilStopped deals with the first, the second kills the program, and a third ends the process at once.
func forward(engine *render.Engine, supervises bool, ended <-chan struct{}) {
	if !supervises {
		return
	}
	signals, stops := make(chan os.Signal, 16), make(chan os.Signal, 2)
	signal.Notify(signals, forwarded...)
	signal.Notify(stops, syscall.SIGINT, syscall.SIGTERM)
	defer signal.Stop(signals)
	defer signal.Stop(stops)
	for n := 0; ; {
		select {
		case s := <-signals:
			if s, ok := s.(syscall.Signal); ok {
				engine.Signal(s)
			}
		case <-stops:
			if n++; n == 2 {
				engine.Signal(syscall.SIGKILL)
				signal.Stop(stops)
			}
		case <-ended:
			return
		}
	}
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) (code int) {
	app := newApp(stdout, stderr)
	err := app.RunContext(ctx, args)
	if err == nil {
		return exitDone
	}
	fmt.Fprintf(stderr, "render: %v\n", err)
	if ended, ok := errors.AsType[*render.ExitError](err); ok {
		return ended.Code
	}
	if fault, ok := errors.AsType[*template.Error](err); ok && fault.Excerpt() != "" {
		fmt.Fprintf(stderr, "\n%s\n", fault.Excerpt())
	}
	if _, ok := errors.AsType[usageError](err); ok {
		return exitUsage
	}
	return exitFailed
}
