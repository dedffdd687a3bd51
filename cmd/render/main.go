// Render keeps configuration files true: it watches Consul and renders templates. README.md is its reference.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
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

func main() {
	if os.Getpid() == 1 {
		os.Exit(runAsInit(os.Stderr))
	}
	// R12: no other signal ends it. Nobody reads the channel, which drops them.
	signal.Notify(make(chan os.Signal, 1), append([]os.Signal{syscall.SIGHUP, syscall.SIGPIPE}, forwarded...)...)
	os.Exit(run(untilStopped(), os.Args, os.Stdout, os.Stderr))
}

// untilStopped returns a context that SIGINT and SIGTERM end. A second one ends the process at once.
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

// forward passes signals on to the engine's supervised program.
func forward(ctx context.Context, engine *render.Engine) {
	signals := make(chan os.Signal, 16)
	signal.Notify(signals, forwarded...)
	defer signal.Stop(signals)
	for {
		select {
		case s := <-signals:
			if s, ok := s.(syscall.Signal); ok {
				engine.Signal(s)
			}
		case <-ctx.Done():
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
