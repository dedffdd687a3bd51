package render

import (
	"context"
	"io"
	"log/slog"
	"time"

	"render/render/commit"
	"render/render/disk"
	"render/render/graph"
	"render/render/pace"
	"render/render/run"
	"render/render/supervise"
	"render/template"
)

// The defaults of an action that is made of a command.
const (
	DefaultTimeout = run.DefaultTimeout
	DefaultSpacing = time.Second
)

// Config is what an Engine is to do. Validate says what is wrong with one.
type Config struct {
	Targets []Target
	Actions []Action // what targets refer to by name
	// Implied says what the actions are like that are made of a target's command, and those of targets without one. Its
	// name and command do not count; its spacing is DefaultSpacing where it is 0 and there is a check or a command, and
	// none where it is negative.
	Implied Action
	// Exec is a program to supervise.
	Exec run.Program

	// Once makes Run render everything once and return: all files or, while one target cannot finish, none. What a query
	// has been answered counts, even if it changes before the others are; what does not exist is waited for.
	Once bool
	// FailAbsent makes a run with Once fail at once where something does not exist, instead of waiting for it.
	FailAbsent bool
	// Timeout is how long a run with Once may take to render everything; 0 is no limit. A supervised program is not bound by it.
	Timeout time.Duration
	// Asking says how queries that fail are asked again.
	Asking Asking
	// Dry, where it is set, gets what would be written, and nothing is written or run.
	Dry io.Writer
	// WatchTemplates has templates and partials taken again when they change on disk: within a second or so where the system
	// tells of changes, within a minute in any case. A text that cannot be used is not taken; see status.TargetStatus.Stale. Not with
	// Once or Dry.
	WatchTemplates bool
	// Env is added to the environment of commands and templates, as NAME=value.
	Env []string
	// Log gets what happens. The default drops it.
	Log *slog.Logger

	step       func(string)                                                               // tells tests how far a commit is
	outside    *programs                                                                  // what tests run in place of programs
	executes   func(*template.Template, context.Context, template.Lookup) template.Result // what tests do in place of an Execute
	unnotified bool                                                                       // files that others change are noticed by the regular check only: bubbles know no notifications
}

// programs are the ways to run one.
type programs struct {
	run    func(run.Command, run.Limits) (string, error)
	output func(context.Context, run.Command, run.Limits, int64) (stdout []byte, stderr string, err error)
	start  func(p run.Program, environ []string, log *slog.Logger) supervise.Child
}

// Asking says how queries that fail are asked again.
type Asking struct {
	Backoff    time.Duration // pause after a first failure, doubled by each further one; 0 means watch.DefaultBackoff
	MaxBackoff time.Duration // the longest such pause; 0 means watch.DefaultMaxBackoff
	Attempts   int           // with Config.Once: how often a query may fail in a row before the run fails; 0 is no limit
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
	// RemoveDelay is how long the target goes on seeing an instance of a service that has gone, unless it comes back
	// meanwhile. New instances, and changes of those that stay, are seen at once. The default is not to delay.
	RemoveDelay time.Duration
}

// An Action is what happens when files of its targets have changed.
//
// The check comes first. One with {} in it gets the path of each changed file in its place, before the swap; one without
// comes after the swap. Where it fails, what it does not like keeps its old contents. Then come the command and the signal,
// then the verification; where one of them fails, the old files come back, and the command runs again for them. As long as a
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
	if a.Spacing == 0 && a.steps().Acts() {
		a.Spacing = DefaultSpacing
	}
	a.Spacing = max(0, a.Spacing)
	return a
}
