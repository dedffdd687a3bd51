package render

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"time"

	"render/render/run"
	"render/render/setting"
	"render/render/supervise"
	"render/template"
	"render/watch/hint"
)

// What the configuration of an engine is made of.
type (
	Target = setting.Target
	Action = setting.Action
	Asking = setting.Asking
	Drift  = setting.Drift
)

// The defaults of an action that is made of a command, and what becomes of a file that somebody else has changed.
const (
	DefaultTimeout = setting.DefaultTimeout
	DefaultSpacing = setting.DefaultSpacing

	WarnDrift   = setting.WarnDrift
	RepairDrift = setting.RepairDrift
	IgnoreDrift = setting.IgnoreDrift
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
	// reports changes, within a minute in any case. A text that cannot be used is not taken; see status.TargetStatus.Stale. Not with
	// Once or Dry.
	WatchTemplates bool
	// Env is added to the environment of commands and templates, as NAME=value.
	Env []string
	// Log gets what happens. The default drops it.
	Log *slog.Logger

	step       func(string)                                                               // notifies tests how far a commit is
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

// Validate returns all that is wrong with the configuration, or nil. Nothing but a signal ends a daemon (R12), so it has no timeout.
func (c Config) Validate() error {
	var errs []error
	if c.Timeout > 0 && !c.Once {
		errs = append(errs, hint.With(fmt.Errorf("timeout: the time limit %s has an effect only with once", c.Timeout), "set once, or remove timeout"))
	}
	return errors.Join(setting.ValidateActions(c.Actions), c.Implied.ValidateImplied(), c.Exec.Validate(), errors.Join(errs...),
		setting.ValidateTargets(c.Targets, c.Actions, c.Dry != nil))
}
