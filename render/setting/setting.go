// Package setting holds what an engine knows about a template and about an action: values, and what is wrong with them.
package setting

import (
	"time"

	"render/render/commit"
	"render/render/disk"
	"render/render/graph"
	"render/render/pace"
	"render/render/run"
	"render/watch"
)

// The defaults of an action that is made of a command.
const (
	DefaultTimeout = run.DefaultTimeout
	DefaultSpacing = time.Second
)

// Asking says how queries that fail are asked again.
type Asking struct {
	Backoff    time.Duration  // pause after a first failure, doubled by each further one; 0 means watch.DefaultBackoff
	MaxBackoff time.Duration  // the longest such pause; 0 means watch.DefaultMaxBackoff
	Attempts   int            // with Config.Once: how often a query may fail in a row before the run fails; 0 is no limit
	AttemptsOf map[string]int // the same for the queries of some kinds

	BackoffOf map[string]watch.Backoff // in place of Backoff and MaxBackoff, for the queries of some kinds
}

// Most returns how often a query of a kind may fail in a row; 0 is no limit.
func (a Asking) Most(kind string) int {
	if most, ok := a.AttemptsOf[kind]; ok {
		return most
	}
	return a.Attempts
}

// A Target is one template and the one file that it makes.
type Target struct {
	Source      string      // path of the template; with Contents its name only
	Contents    string      // the template itself, in place of a file
	Destination string      // path of the file; may be empty with Config.Dry
	Action      string      // name of the action that its changes lead to, or empty
	Command     run.Command // in place of Action: an action made of this command
	Implied     *Action     // in place of Config.Implied; nil for that one

	// File says how the file is written.
	File disk.Options
	// Drift says what becomes of a file that somebody else has changed.
	Drift Drift

	// Partials are files, or folders of files, whose templates this one can use; see template.Options.
	Partials []string
	// TrimBlocks makes lines vanish that hold only actions without output; see template.Options.
	TrimBlocks bool
	// These are as in template.Options.
	LeftDelimiter, RightDelimiter string
	ErrorOnMissingKey             bool
	Denied                        []string
	Sandbox                       string
	Untrusted                     bool
	MaxOutput                     int

	// Guard keeps the target from following large losses of instances at once. The default is its action's.
	Guard graph.Guard
	// RemoveDelay is how long the target goes on seeing an instance of a service that has gone, unless it is registered again
	// meanwhile. New instances, and changes of those that stay, are seen at once. The default is not to delay.
	RemoveDelay time.Duration
}

// An Action is what happens when files of its targets have changed.
//
// The check comes first. One with {} in it gets the path of each changed file in its place, before the swap; one without
// comes after the swap. Where it fails, what it does not like keeps its old contents. Then come the command and the signal,
// then the verification; where one of them fails, render restores the previous files, and the command runs again for them. As long as a
// Config.Exec has not been started, which the command may need, new files stay then, and nothing is verified.
type Action struct {
	Name    string
	Check   run.Command
	Command run.Command
	Signal  run.Signal
	Verify  commit.Verify
	Timeout time.Duration // of each run of the check and the command; 0 means DefaultTimeout
	Spacing time.Duration // least time from one commit to the next (R7)
	Splay   time.Duration // a random pause of up to this before the command
	Wait    pace.Wait
	Atomic  bool        // all targets or none
	Guard   graph.Guard // of the targets that have none of their own
	Env     run.Env     // of check, command and verification
}

// Spaced returns the action with its spacing where that is 0, DefaultSpacing if there is a check or a command, and with none
// where it is negative.
func (a Action) Spaced() Action {
	if a.Spacing == 0 && a.Steps().Acts() {
		a.Spacing = DefaultSpacing
	}
	a.Spacing = max(0, a.Spacing)
	return a
}

// Steps returns what a commit of the action does.
func (a Action) Steps() commit.Action {
	return commit.Action{
		Check: a.Check, Command: a.Command, Signal: a.Signal, Verify: a.Verify,
		Timeout: a.Timeout, Splay: a.Splay, Atomic: a.Atomic, Env: a.Env,
	}
}

// OfTemplate returns the settings that say what a target's template gives.
func (t Target) OfTemplate() Target {
	t.Destination, t.Action, t.Command, t.Implied = "", "", run.Command{}, nil
	t.File, t.Drift, t.Guard, t.RemoveDelay = disk.Options{}, "", graph.Guard{}, 0
	return t
}

// A Drift says what becomes of a destination that somebody else has changed or removed.
type Drift string

// What becomes of such a destination; "" means IgnoreDrift.
const (
	WarnDrift   Drift = "warn"   // it is logged
	RepairDrift Drift = "repair" // it is written again, and the action runs
	IgnoreDrift Drift = "ignore"
)

// Matters reports whether somebody wants to know of such a change.
func (d Drift) Matters() bool { return d == WarnDrift || d == RepairDrift }
