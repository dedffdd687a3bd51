package render

import (
	"iter"
	"time"

	"render/render/debts"
	"render/render/disk"
)

// recall removes what an earlier run left beside the destinations of targets, and gives actions the debts that they had then (R13).
func (e *Engine) recall(targets []*target) {
	if e.cfg.Dry != nil {
		return
	}
	recalled, err := e.recallDebts(targets)
	if err != nil {
		e.log.Warn("leftovers of an earlier run not read", "err", err)
	}
	e.giveDebts(recalled)
}

// recallDebts reads what earlier runs left on disk for some targets. It is not for the loop.
func (e *Engine) recallDebts(targets []*target) ([]disk.Debt, error) {
	var paths []string
	for _, t := range targets {
		paths = append(paths, t.cfg.Destination)
	}
	return e.tools.Left.RecallAll(paths)
}

// giveDebts gives debts to the actions of their targets. One for a path that is no destination, as writeToFile has it, goes with
// the others of its mark, until a target writes the path.
func (e *Engine) giveDebts(recalled []disk.Debt) {
	actions := make(map[string]*action)
	for _, d := range recalled {
		if t := e.byDestination[d.Path]; t != nil {
			actions[d.Path] = t.action
		}
	}
	e.repeat(e.debts.Give(recalled, actions))
}

// repeat has actions succeed for debts that they have got.
func (e *Engine) repeat(gained []*action) {
	for _, a := range gained {
		a.pending, a.retry = true, time.Now()
		e.schedule.Now(a)
	}
}

// release has actions that have lost debts succeed only for those that they still have.
func (e *Engine) release(lost []*action) {
	for _, a := range lost {
		a.pending = a.pending && len(e.debts.Of(a)) > 0
		a.retry = time.Now()
	}
}

// gatherDebts moves the debts of files that the targets of an action write to that action. Nobody wrote them meanwhile, and another
// action had their debts.
func (e *Engine) gatherDebts(a *action, targets []*target) {
	if lost := e.debts.Gather(a, written(targets)); len(lost) > 0 {
		e.release(lost)
		e.repeat([]*action{a})
	}
}

// written returns the paths that targets want to write beside their destinations.
func written(targets []*target) iter.Seq[string] {
	return func(yield func(string) bool) {
		for _, t := range targets {
			for _, w := range t.Wanted.Writes {
				if !yield(cleanPath(w.Path)) {
					return
				}
			}
		}
	}
}

// debtOwners returns whose files actions have debts for (R13), before targets and actions change.
func (e *Engine) debtOwners(targets []*target) map[string]*target {
	if e.debts.IsEmpty() {
		return nil
	}
	files := make(map[string]*target)
	for _, t := range targets {
		files[t.cfg.Destination] = t
		for path := range e.claims.Of(t) {
			files[path] = t
		}
	}
	return debts.Owners(e.debts, files)
}

// followDebts moves a debt to the action of the target that has its file, where another action has it.
func (e *Engine) followDebts(owners map[string]*target) {
	lost, gained := e.debts.Move(func(holder *action, d disk.Debt) (*action, disk.Debt) {
		t := owners[d.Path]
		if t == nil || t.action == nil { // nobody's any more
			return holder, d
		}
		if d.Path == t.was { // the same file by another name
			d.Path = t.cfg.Destination
		}
		return t.action, d
	})
	e.release(lost)
	e.repeat(gained)
}

// dropDebts forgets the debts of actions that are gone, for files that are nobody's any more. The debts stay on disk, for
// a target that comes back; the old files do not: by then they would be out of date.
func (e *Engine) dropDebts(before []*action) {
	var dropped []disk.Debt
	for _, a := range before {
		if a.order >= len(e.actions) || e.actions[a.order] != a {
			dropped = append(dropped, e.debts.Of(a)...)
			e.debts.Set(a, nil)
		}
	}
	if len(dropped) > 0 {
		e.wg.Go(func() { disk.DropSaved(dropped) })
	}
}
