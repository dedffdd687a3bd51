package render

import (
	"errors"
	"fmt"

	"render/render/disk/folder"
)

// Validate returns all that is wrong with the configuration, or nil.
func (c Config) Validate() error {
	return errors.Join(c.validateActions(), c.Implied.validateImplied(), c.Exec.Validate(), c.validateOnce(), c.validateTargets())
}

func (c Config) validateActions() error {
	var errs []error
	names := make(map[string]bool)
	for _, a := range c.Actions {
		if a.Name == "" {
			errs = append(errs, errors.New("an action has no name"))
		}
		faults := append([]error{a.validate()}, a.Guard.Faults()...)
		if names[a.Name] {
			faults = append(faults, errors.New("there are two of this name"))
		}
		names[a.Name] = true
		errs = append(errs, inEach("action "+a.Name, faults))
	}
	return errors.Join(errs...)
}

// inEach returns the faults of something, with its name in each.
func inEach(name string, faults []error) error {
	var errs []error
	for _, err := range faults {
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", name, err))
		}
	}
	return errors.Join(errs...)
}

func (c Config) validateTargets() error {
	actions := make(map[string]bool)
	for _, a := range c.Actions {
		actions[a.Name] = true
	}
	var errs []error
	makers := make(map[string]string)
	for _, t := range c.Targets {
		if t.Source == "" {
			errs = append(errs, errors.New("a template has no source"))
		}
		faults := t.faults()
		if t.Action != "" && !actions[t.Action] {
			faults = append(faults, fmt.Errorf("there is no action %s", t.Action))
		}
		if t.Destination == "" && c.Dry == nil {
			faults = append(faults, errors.New("missing destination; give SOURCE:DESTINATION"))
		}
		errs = append(errs, inEach("template "+t.Source, faults))
		if t.Destination != "" {
			errs = append(errs, t.overwrites(makers))
		}
	}
	return errors.Join(errs...)
}

// overwrites returns an error where a target's destination is its own source, or another's destination. Makers has the sources
// of those seen so far, by where their destinations really are.
func (t Target) overwrites(makers map[string]string) error {
	path, err := folder.RealPath(t.Destination)
	if err != nil {
		return fmt.Errorf("template %s: destination %s: %w", t.Source, t.Destination, err)
	}
	if source, err := folder.RealPath(t.Source); err == nil && source == path && t.Contents == "" {
		return fmt.Errorf("template %s: would be overwritten by what it makes", t.Source)
	}
	if other, taken := makers[path]; taken {
		return fmt.Errorf("templates %s and %s have the same destination %s", other, t.Source, t.Destination)
	}
	makers[path] = t.Source
	return nil
}

// faults returns what is wrong with a target by itself.
func (t Target) faults() []error {
	faults := t.Guard.Faults()
	if t.Action != "" && !t.Command.IsZero() {
		faults = append(faults, fmt.Errorf("has both the action %s and a command; give one", t.Action))
	}
	if t.Implied != nil {
		faults = append(faults, t.Implied.validateImplied())
	}
	if t.RemoveDelay < 0 {
		faults = append(faults, fmt.Errorf("the remove delay %s is negative", t.RemoveDelay))
	}
	if t.Drift != "" && !t.Drift.matters() && t.Drift != IgnoreDrift {
		faults = append(faults, fmt.Errorf("drift: %q is not one of warn, repair, ignore", t.Drift))
	}
	return faults
}

func (a Action) validate() error {
	var err error
	if a.Timeout < 0 || a.Spacing < 0 || a.Splay < 0 {
		err = errors.New("timeout, spacing and splay cannot be negative")
	}
	return errors.Join(err, a.Wait.Validate(), a.Verify.Validate(), a.Signal.Validate(), a.Env.Validate())
}

// validateImplied is validate for an action without a name, where a negative spacing is none.
func (a Action) validateImplied() error {
	a.Spacing = max(0, a.Spacing)
	return a.validate()
}

// validateOnce finds what a daemon cannot have: nothing but a signal ends it (R12).
func (c Config) validateOnce() error {
	if c.Timeout > 0 && !c.Once {
		return fmt.Errorf("timeout: %s would end a daemon; it is for a run that renders once", c.Timeout)
	}
	return nil
}
