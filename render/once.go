package render

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"render/watch"
)

// finishOnce ends a run with Config.Once: with an error as soon as a template has failed, and when all targets are
// finished by applying all of them.
func (e *Engine) finishOnce() (done bool, err error) {
	complete := true
	for _, t := range e.targets {
		if t.result.Err != nil {
			return true, e.incomplete(func(t *target) bool { return t.result.Err != nil })
		}
		if e.cfg.FailAbsent && len(t.result.Absent) > 0 {
			return true, e.givenUp(0)
		}
		complete = complete && t.finished()
	}
	if !complete {
		if e.hopeless() {
			return true, e.givenUp(0)
		}
		return false, nil
	}
	if e.cfg.Dry != nil {
		var errs []error
		for _, t := range e.targets {
			errs = append(errs, e.print(t))
		}
		return true, errors.Join(errs...)
	}
	return true, e.applyAll()
}

// hopeless reports whether a query that a target waits for has failed so often, or in such a way, that the run fails.
func (e *Engine) hopeless() bool {
	failed := func(q watch.Query) bool {
		err := e.failing.errs[q]
		most := e.cfg.Asking.Attempts
		return errors.Is(err, watch.ErrDenied) || err != nil && most > 0 && e.graph.nodes[q].state.Failures >= most
	}
	return len(e.failing.errs) > 0 && slices.ContainsFunc(e.targets, func(t *target) bool {
		return !t.finished() && slices.ContainsFunc(t.result.Pending, failed)
	})
}

// givenUp returns what is missing when a run with Config.Once ends early: by its timeout, where tooLate is not 0. A last
// pass of each template that waits tells what it would make of the answers that came since its last one.
func (e *Engine) givenUp(tooLate time.Duration) error {
	unfinished := func(t *target) bool { return !t.finished() }
	for _, t := range e.targets {
		if unfinished(t) {
			e.execute(t)
		}
	}
	err := e.incomplete(unfinished)
	err.TooLate = tooLate
	return err
}

// applyAll commits all actions together: all files or none, then the commands in order.
func (e *Engine) applyAll() error {
	var all []*commitDone
	for _, a := range e.actions {
		if targets := a.changedTargets(time.Now()); len(targets) > 0 {
			all = append(all, e.newCommit(a, targets))
		}
	}
	var errs []error
	for _, c := range all {
		c.stage()
		for _, err := range c.failed {
			errs = append(errs, err)
		}
	}
	if len(errs) == 0 {
		errs = swapAll(all)
	}
	if len(errs) > 0 {
		for _, c := range all {
			c.discard()
		}
		return fmt.Errorf("%w:\n%w", errLeftOut, errors.Join(errs...))
	}
	for _, c := range all {
		if err := c.checkLive(); err != nil {
			for _, other := range all {
				err = errors.Join(err, other.abandon(nil))
			}
			return fmt.Errorf("%w:\n%w", errLeftOut, err)
		}
	}
	for _, c := range all {
		began := time.Now()
		err := c.run()
		c.took = time.Since(began)
		e.committed(c)
		if _, ok := errors.AsType[commandError](err); ok && !c.action.cfg.Command.IsZero() {
			err = fmt.Errorf("command %q: %w", c.action.cfg.Command.String(), err)
		}
		if err != nil {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

func swapAll(all []*commitDone) (errs []error) {
	for i, c := range all {
		err := c.swap()
		if err == nil {
			continue
		}
		errs = append(errs, err)
		for _, before := range all[:i] {
			_ = before.abandon(nil)
			errs = append(errs, before.err)
		}
		break
	}
	return errs
}
