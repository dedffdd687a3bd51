package render

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// The defaults of an action that is made of a command.
const (
	DefaultTimeout = 30 * time.Second
	DefaultSpacing = time.Second
)

// DefaultHold is how long a Guard holds an answer back.
const DefaultHold = 5 * time.Minute

// Config is what an Engine is to do. Validate says what is wrong with one.
type Config struct {
	Targets []Target
	Actions []Action // what targets refer to by name
	Wait    Wait     // of the actions that are made of a target's command, and of targets without one

	// Once makes Run render everything once and return: all files or, while one target cannot finish, none. What a query
	// has been answered counts, even if it changes before the others are; what does not exist is waited for.
	Once bool
	// Asking says how queries that fail are asked again.
	Asking Asking
	// Dry, where it is set, gets what would be written, and nothing is written or run.
	Dry io.Writer
	// Env is added to the environment of commands and templates, as NAME=value.
	Env []string
	// Log gets what happens. The default drops it.
	Log *slog.Logger
}

// Asking says how queries that fail are asked again.
type Asking struct {
	Backoff    time.Duration // pause after a first failure, doubled by each further one; 0 means watch.DefaultBackoff
	MaxBackoff time.Duration // the longest such pause; 0 means watch.DefaultMaxBackoff
	Attempts   int           // with Config.Once: how often a query may fail in a row before the run fails; 0 is no limit
}

// A Target is one template and the one file that it makes.
type Target struct {
	Source      string  // path of the template
	Destination string  // path of the file; may be empty with Config.Dry
	Action      string  // name of the action that its changes lead to, or empty
	Command     Command // in place of Action: an action made of this command

	// Partials are files, or folders of files, whose templates this one can use; see template.Options.
	Partials []string
	// TrimBlocks makes lines vanish that hold only actions without output; see template.Options.
	TrimBlocks bool

	// Guard keeps the target from following large losses of instances at once. The default is its action's.
	Guard Guard
	// RemoveDelay is how long the target goes on seeing an instance of a service that has gone, unless it comes back
	// meanwhile. New instances, and changes of those that stay, are seen at once. The default is not to delay.
	RemoveDelay time.Duration
}

// An Action is what happens when files of its targets have changed.
type Action struct {
	Name    string
	Command Command
	Timeout time.Duration // of the command; 0 means DefaultTimeout
	Spacing time.Duration // least time from one commit to the next (R7)
	Wait    Wait
	Atomic  bool  // all targets or none
	Guard   Guard // of the targets that have none of their own
}

// Wait lets changes collect before they are committed (R7). The zero value does not wait.
type Wait struct {
	Min time.Duration // quiet that ends the collecting
	Max time.Duration // the longest that a change is kept back
}

// A Guard holds back answers with too few instances, to queries of the kinds watch.KindService and watch.KindConnect, for
// each query of each target. The target goes on seeing the instances that it has seen; where the first answer is held
// back it waits as if there were none. The first answer that is not in violation ends this at once. The zero value lets
// everything through.
//
// Only a loss is a violation, or a first answer below Min: an answer with as many instances as the target sees is let
// through, however few they are. Instances are counted: those that others replace are not lost, as in a deployment that
// replaces all of them. A loss at once is that from what the target sees to one answer: many small ones are for Min.
type Guard struct {
	Min     int           // an answer with fewer instances is in violation
	MaxDrop float64       // greatest part of the instances that may be lost at once, from 0 to 1; 0 means any part
	Hold    time.Duration // how long the violation has to last for Then; 0 means DefaultHold
	Then    GuardThen     // what comes of an answer that has been held back for Hold; "" means Keep
}

// A GuardThen says what comes of an answer that a Guard has held back for long.
type GuardThen string

// What comes of an answer that has been held back for long. Where it comes to this in a run with Config.Once, Keep and
// Fail end the run with an *IncompleteError.
const (
	Keep   GuardThen = "keep"   // it is held back for as long as the violation lasts
	Accept GuardThen = "accept" // it is let through
	Fail   GuardThen = "fail"   // the target has failed until an answer is let through; its file stays as it is
)

// String returns the guard as the command line has it: "min=2,max_drop=50%,hold=5m0s,then=keep".
func (g Guard) String() string {
	var parts []string
	if g.Min != 0 {
		parts = append(parts, fmt.Sprintf("min=%d", g.Min))
	}
	if g.MaxDrop != 0 {
		parts = append(parts, fmt.Sprintf("max_drop=%.10g%%", 100*g.MaxDrop))
	}
	return strings.Join(append(parts, fmt.Sprintf("hold=%s,then=%s", cmp.Or(g.Hold, DefaultHold), cmp.Or(g.Then, Keep))), ",")
}

// faults returns all that is wrong with the guard.
func (g Guard) faults() []error {
	var errs []error
	if g.Min < 0 {
		errs = append(errs, fmt.Errorf("the minimum %d is negative", g.Min))
	}
	if !(g.MaxDrop >= 0 && g.MaxDrop <= 1) { // nor NaN
		errs = append(errs, fmt.Errorf("the maximum drop %g is not between 0 and 1, which is 100%%", g.MaxDrop))
	}
	if g.Hold < 0 {
		errs = append(errs, fmt.Errorf("the hold %s is negative", g.Hold))
	}
	if !slices.Contains([]GuardThen{"", Keep, Accept, Fail}, g.Then) {
		errs = append(errs, fmt.Errorf("then: %q is not one of %s, %s, %s", g.Then, Keep, Accept, Fail))
	}
	if g != (Guard{}) && g.Min == 0 && g.MaxDrop == 0 {
		errs = append(errs, errors.New("lets everything through; give a minimum or a maximum drop"))
	}
	return errs
}

// A Command is a program to run: a line for sh, or a program and its arguments. The zero value runs nothing.
type Command struct {
	Shell string
	Args  []string
}

// IsZero reports whether there is nothing to run.
func (c Command) IsZero() bool { return c.Shell == "" && len(c.Args) == 0 }

// String returns the command as logs show it.
func (c Command) String() string {
	if c.Shell != "" {
		return c.Shell
	}
	return strings.Join(c.Args, " ")
}

func (c Command) equal(d Command) bool { return c.Shell == d.Shell && slices.Equal(c.Args, d.Args) }

// Validate returns all that is wrong with the configuration, or nil.
func (c Config) Validate() error {
	var errs []error
	fail := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	actions := make(map[string]bool)
	for _, a := range c.Actions {
		if a.Name == "" {
			fail("an action has no name")
		}
		if actions[a.Name] {
			fail("action %s: there are two of this name", a.Name)
		}
		actions[a.Name] = true
		if a.Timeout < 0 || a.Spacing < 0 {
			fail("action %s: timeout and spacing cannot be negative", a.Name)
		}
		if err := a.Wait.validate(); err != nil {
			fail("action %s: %w", a.Name, err)
		}
		for _, err := range a.Guard.faults() {
			fail("action %s: guard: %w", a.Name, err)
		}
	}
	if err := c.Wait.validate(); err != nil {
		errs = append(errs, err)
	}
	makers := make(map[string]string)
	for _, t := range c.Targets {
		if t.Source == "" {
			fail("a template has no source")
		}
		switch {
		case t.Action != "" && !actions[t.Action]:
			fail("template %s: there is no action %s", t.Source, t.Action)
		case t.Action != "" && !t.Command.IsZero():
			fail("template %s: has both the action %s and a command; give one", t.Source, t.Action)
		}
		for _, err := range t.Guard.faults() {
			fail("template %s: guard: %w", t.Source, err)
		}
		if t.RemoveDelay < 0 {
			fail("template %s: the remove delay %s is negative", t.Source, t.RemoveDelay)
		}
		if t.Destination == "" {
			if c.Dry == nil {
				fail("template %s: missing destination; give SOURCE:DESTINATION", t.Source)
			}
			continue
		}
		path, err := filepath.Abs(t.Destination)
		if err != nil {
			fail("template %s: destination %s: %w", t.Source, t.Destination, err)
			continue
		}
		if other, taken := makers[path]; taken {
			fail("templates %s and %s have the same destination %s", other, t.Source, t.Destination)
		}
		makers[path] = t.Source
		if source, err := filepath.Abs(t.Source); err == nil && source == path {
			fail("template %s: would be overwritten by what it makes", t.Source)
		}
	}
	return errors.Join(errs...)
}

func (w Wait) validate() error {
	if w.Min < 0 || w.Max < w.Min {
		return fmt.Errorf("wait: the maximum %s is less than the minimum %s", w.Max, w.Min)
	}
	return nil
}
