package setting

import (
	"errors"
	"fmt"

	"render/watch/hint"
)

// ValidateActions returns all that is wrong with the actions that targets refer to by name, or nil.
func ValidateActions(actions []Action) error {
	var errs []error
	names := make(map[string]bool)
	for _, a := range actions {
		if a.Name == "" {
			errs = append(errs, errors.New("an action has no name"))
		}
		faults := append([]error{a.Validate()}, a.Guard.Faults()...)
		if names[a.Name] {
			faults = append(faults, errors.New("there are two actions with this name"))
		}
		names[a.Name] = true
		errs = append(errs, inEach("action "+a.Name, faults))
	}
	return errors.Join(errs...)
}

// ValidateTargets returns all that is wrong with targets that refer to these actions, or nil. Where nothing is written a destination may be
// missing.
func ValidateTargets(targets []Target, actions []Action, dry bool) error {
	named := make(map[string]bool)
	for _, a := range actions {
		named[a.Name] = true
	}
	var errs []error
	makers := make(map[string]string)
	for _, t := range targets {
		if t.Source == "" {
			errs = append(errs, errors.New("a template has no source"))
		}
		faults := t.Faults()
		if t.Action != "" && !named[t.Action] {
			faults = append(faults, fmt.Errorf("there is no action %s", t.Action))
		}
		if t.Destination == "" && !dry {
			faults = append(faults, hint.With(errors.New("missing destination"), "write SOURCE:DESTINATION"))
		}
		errs = append(errs, inEach("template "+t.Source, faults))
		if t.Destination != "" {
			errs = append(errs, t.Overwrites(makers))
		}
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
