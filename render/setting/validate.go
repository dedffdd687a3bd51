package setting

import (
	"errors"
	"fmt"

	"render/render/disk/folder"

	"render/watch/hint"
)

// Overwrites returns an error where a target's destination is its own source, or another's destination. Makers has the sources
// of those seen so far, by where their destinations really are.
func (t Target) Overwrites(makers map[string]string) error {
	path, err := folder.RealPath(t.Destination)
	if err != nil {
		return fmt.Errorf("template %s: destination %s: %w", t.Source, t.Destination, err)
	}
	if source, err := folder.RealPath(t.Source); err == nil && source == path && t.Contents == "" {
		return fmt.Errorf("template %s: source and destination are the same file", t.Source)
	}
	if other, taken := makers[path]; taken {
		return fmt.Errorf("templates %s and %s have the same destination %s", other, t.Source, t.Destination)
	}
	makers[path] = t.Source
	return nil
}

// Faults returns what is wrong with a target by itself.
func (t Target) Faults() []error {
	faults := t.Guard.Faults()
	if t.Action != "" && !t.Command.IsZero() {
		faults = append(faults, hint.With(fmt.Errorf("a template has either an action or a command, and this one has a command and the action %s", t.Action), "remove one of the two"))
	}
	if t.Implied != nil {
		faults = append(faults, t.Implied.ValidateImplied())
	}
	if t.RemoveDelay < 0 {
		faults = append(faults, fmt.Errorf("the remove delay %s is negative", t.RemoveDelay))
	}
	if t.Drift != "" && !t.Drift.Matters() && t.Drift != IgnoreDrift {
		faults = append(faults, fmt.Errorf("drift: %q is not one of warn, repair, ignore", t.Drift))
	}
	return faults
}

// Validate returns what is wrong with an action by itself, or nil.
func (a Action) Validate() error {
	var err error
	if a.Timeout < 0 || a.Spacing < 0 || a.Splay < 0 {
		err = errors.New("timeout, spacing and splay cannot be negative")
	}
	return errors.Join(err, a.Wait.Validate(), a.Verify.Validate(), a.Signal.Validate(), a.Env.Validate())
}

// ValidateImplied is Validate for an action without a name, where a negative spacing means no spacing.
func (a Action) ValidateImplied() error {
	a.Spacing = max(0, a.Spacing)
	return a.Validate()
}
