package render

import (
	"fmt"
	"maps"
	"path/filepath"
	"time"

	"render/template"

	"render/watch/hint"
)

// claim claims what a finished pass of a target writes beside its destination, by writeToFile, and returns an error where that
// belongs to another target. Then the target keeps the claims that it has, and runs again when the path is free. A target
// keeps its claims while a commit of them is in flight, and while its passes fail: its files are still there.
func (e *Engine) claim(t *target) error {
	e.claims.StopWaiting(t)
	if len(e.claims.Of(t)) == 0 && len(t.result.Writes) == 0 {
		return nil
	}
	wanted := make(map[string]bool, len(t.result.Writes)) // whether it appends
	for _, w := range t.result.Writes {
		for _, path := range e.claims.Names(cleanPath(w.Path)) {
			if owner := e.ownerOf(path, t, w.Append); owner != nil {
				e.claims.Wait(path, t)
				return hint.With(fmt.Errorf("%s: writeToFile %s: the template %s already writes the file %s", t.cfg.Source, w.Path, owner.cfg.Source, path), "use a file of its own for each template")
			}
			wanted[path] = w.Append
		}
	}
	t.writing = maps.Clone(wanted)
	if t.InFlight != nil {
		for _, w := range t.InFlight.Writes {
			for _, path := range e.claims.Names(cleanPath(w.Path)) {
				if !w.Append {
					wanted[path] = false
				}
			}
		}
	}
	e.setClaims(t, wanted)
	return nil
}

// ownerOf returns the target whose file keeps t from writing to a path, or from appending to it; nil for none.
func (e *Engine) ownerOf(path string, t *target, appends bool) *target {
	if owner := e.destinations[path]; owner != nil {
		return owner
	}
	other, _ := e.claims.Other(path, t, appends)
	return other
}

// noteReal notes where a commit has found what a target writes, until the target does not write it any more. Where links lead
// there, the target runs again to claim that path, too. Where the path is another target's, that one's file was overwritten,
// and is written again.
func (e *Engine) noteReal(t *target, w template.Write, real string) {
	path := cleanPath(w.Path)
	if !e.claims.Lead(path, real) {
		return
	}
	e.rerun(t)
	if owner := e.ownerOf(real, t, w.Append); owner != nil {
		t.Doubt()
		owner.Doubt()
		e.rerun(owner)
	}
}

// setClaims gives a target claims in place of those that it has. Targets that wait for what it releases run again.
func (e *Engine) setClaims(t *target, wanted map[string]bool) {
	released, woken := e.claims.Set(t, wanted)
	for _, path := range released {
		delete(e.recalled, path)
	}
	for _, other := range woken {
		e.rerun(other)
	}
}

// free has targets run again that wait for a path.
func (e *Engine) free(path string) {
	for _, t := range e.claims.Free(path) {
		e.rerun(t)
	}
}

// rerun has a target run again, for another reason than an answer.
func (e *Engine) rerun(t *target) {
	t.Wants = true
	t.action.pace.Changed(time.Now())
	e.moved(t)
	e.schedule.Now(t.action)
}

// landClaims drops the claims of paths that only the commit that has ended was writing.
func (e *Engine) landClaims(t *target) {
	if !maps.Equal(e.claims.Of(t), t.writing) {
		e.setClaims(t, maps.Clone(t.writing))
	}
}

// newDestinations takes paths from targets that write them, where they are destinations now. Those run again, and fail.
func (e *Engine) newDestinations(added []*target) {
	for _, t := range added {
		for _, path := range []string{t.path, cleanPath(t.cfg.Destination)} {
			for _, holder := range e.claims.Take(path) {
				delete(holder.writing, path)
				e.rerun(holder)
			}
		}
	}
}

// cleanPath returns a path from the root, without a look at the disk.
func cleanPath(path string) string {
	if abs, err := filepath.Abs(path); err == nil {
		return abs
	}
	return filepath.Clean(path)
}
