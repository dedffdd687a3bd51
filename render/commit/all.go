package commit

import (
	"errors"
	"fmt"
	"maps"
	"slices"
)

// All carries out plans together, for a run that renders once: all files are written or none, then each action runs, in
// order. Done is called with the result of each plan, unless no file was written.
func All(plans []Plan, t Tools, done func(i int, r Result)) error {
	var all []*commit
	for _, p := range plans {
		p.Action.Atomic = true
		all = append(all, newCommit(p, t))
	}

	// All files, or none.
	if err := writeAll(all); err != nil {
		for _, c := range all {
			_ = c.end()
		}
		return fmt.Errorf("%w:\n%w", ErrLeftOut, err)
	}

	// The files stay, whatever becomes of the actions of others.
	var errs []error
	for i, c := range all {
		c.act()
		if err := c.batch.Sync(); err != nil {
			c.r.Err = errors.Join(c.r.Err, err)
		}
		r := c.end()
		done(i, r)
		err := r.Err
		if _, ok := errors.AsType[CommandError](err); ok && !c.Action.Command.IsZero() {
			err = fmt.Errorf("command %q: %w", c.Action.Command.String(), err)
		}
		for _, path := range sorted(r.Failed) {
			err = errors.Join(err, r.Failed[path])
		}
		for _, i := range slices.Sorted(maps.Keys(r.Appends)) {
			err = errors.Join(err, r.Appends[i])
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// writeAll stages, swaps and checks all files. On an error all old files are back.
func writeAll(all []*commit) error {
	var errs []error
	for _, c := range all {
		c.stage()
		for _, path := range sorted(c.r.Failed) {
			errs = append(errs, c.r.Failed[path])
		}
	}
	if len(errs) > 0 {
		return errors.Join(errs...)
	}

	for _, step := range []func(*commit) error{(*commit).swap, (*commit).checkInPlace} {
		for _, c := range all {
			err := step(c)
			if err == nil {
				continue
			}
			for _, each := range all { // also c: a check that was interrupted keeps its files in place
				err = errors.Join(err, each.abandon(nil))
			}
			return err
		}
	}
	return nil
}

func sorted(failed map[string]error) []string {
	var paths []string
	for path := range failed {
		paths = append(paths, path)
	}
	slices.Sort(paths)
	return paths
}
