package run

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os/exec"
	"reflect"
	"syscall"
	"time"
)

// DefaultKillTimeout is how long a supervised program has to end.
const DefaultKillTimeout = 30 * time.Second

// A Program is a program to supervise. The zero value is no program.
type Program struct {
	Command     Command
	Env         Env
	OnChange    OnChange
	Reload      syscall.Signal // what to send, where OnChange is SendSignal
	KillSignal  syscall.Signal // asks it to end; 0 sends nothing
	KillTimeout time.Duration  // from KillSignal to SIGKILL; 0 means DefaultKillTimeout
	Splay       time.Duration  // a random pause of up to this before a reload

	// Keeper, where it is set, returns a process that calls KeepProgram with its input and some arguments. It runs beside the
	// program, and ends it when we are killed and cannot.
	Keeper func(args ...string) *exec.Cmd
}

// An OnChange says what a supervised program gets when files have changed.
type OnChange uint8

// What a supervised program gets.
const (
	Restart    OnChange = iota // it is ended and started again
	SendSignal                 // a signal
	DoNothing                  // nothing
)

// Find returns an error where there is no such program. Of a line for the shell that shows only when it runs.
func (p Program) Find() error {
	if p.Command.Shell != "" || p.Command.IsZero() {
		return nil
	}
	if _, err := exec.LookPath(p.Command.Args[0]); err != nil {
		return fmt.Errorf("exec: %w", err)
	}
	return nil
}

// Equal reports whether two programs are the same. Their Keeper is not compared.
func (p Program) Equal(q Program) bool {
	p.Keeper, q.Keeper = nil, nil
	return reflect.DeepEqual(p, q)
}

// Validate returns what is wrong with the settings, or nil.
func (p Program) Validate() error {
	if p.KillTimeout < 0 || p.Splay < 0 {
		return errors.New("exec: kill_timeout and splay cannot be negative")
	}
	if err := p.Env.Validate(); err != nil {
		return fmt.Errorf("exec: %w", err)
	}
	return nil
}

// An ExitError says that a supervised program has ended, and what supervises it ends with it.
type ExitError struct {
	Code int // its exit code, or 128 and the number of the signal that has killed it
	Err  error
}

func (e *ExitError) Error() string { return fmt.Sprintf("the supervised program ended: %v", e.Err) }

// A StopSignal as the cause of a context says which signal ends us. The supervised program gets the same one.
type StopSignal struct{ Signal syscall.Signal }

func (s StopSignal) Error() string { return "stopped by " + s.Signal.String() }

// EndOf returns how the end of a supervised program, an error from Child.Ended, ends what supervises it: nil for a program
// that has succeeded, an ExitError for one that has failed, and any other error as it is.
func EndOf(err error) error {
	if err == nil {
		return nil
	}
	failed, ok := errors.AsType[*exec.ExitError](err)
	if !ok {
		return err // it could not be started
	}
	code := failed.ExitCode()
	if status, ok := failed.Sys().(syscall.WaitStatus); ok {
		code = ExitCode(status)
	}
	return &ExitError{Code: code, Err: err}
}

// ExitCode returns the exit code of a process, or 128 and the number of the signal that has killed it.
func ExitCode(status syscall.WaitStatus) int {
	if status.Signaled() {
		return 128 + int(status.Signal())
	}
	return status.ExitStatus()
}

// UpTo returns a random time of less than most, or 0.
func UpTo(most time.Duration) time.Duration {
	if most <= 0 {
		return 0
	}
	return rand.N(most)
}
