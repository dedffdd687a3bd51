package render

import (
	"errors"
	"fmt"
)

// Validate returns all that is wrong with the configuration, or nil.
func (c Config) Validate() error {
	return errors.Join(c.validateActions(), c.Implied.ValidateImplied(), c.Exec.Validate(), c.validateOnce(), c.validateTargets())
}

func (c Config) validateActions() error {
	var errs []error
	names := make(map[string]bool)
	for _, a := range c.Actions {
		if a.Name == "" {
			errs = append(errs, errors.New("an action has no name"))
		}
		faults := append([]error{a.Validate()}, a.Guard.Faults()...)
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
		faults := t.Faults()
		if t.Action != "" && !actions[t.Action] {
			faults = append(faults, fmt.Errorf("there is no action %s", t.Action))
		}
		if t.Destination == "" && c.Dry == nil {
			faults = append(faults, errors.New("missing destination; give SOURCE:DESTINATION"))
		}
		errs = append(errs, inEach("template "+t.Source, faults))
		if t.Destination != "" {
			errs = append(errs, t.Overwrites(makers))
		}
	}
	return errors.Join(errs...)
}

// validateOnce finds what a daemon cannot have: nothing but a signal ends it (R12).
func (c Config) validateOnce() error {
	if c.Timeout > 0 && !c.Once {
		return fmt.Errorf("timeout: %s would end a daemon; it is for a run that renders once", c.Timeout)
	}
	return nil
}
