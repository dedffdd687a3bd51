package render

import (
	"fmt"
	"path/filepath"
)

// claims say which target writes which path: a path belongs to one target, its destination as well as what writeToFile asks
// for. Only to append several may share a path.
type claims struct {
	of      map[string]map[*target]bool // by path: its targets, and whether they append
	waiting map[string]map[*target]bool // targets that failed because of a claim of another
}

func newClaims() claims {
	return claims{of: make(map[string]map[*target]bool), waiting: make(map[string]map[*target]bool)}
}

// claim notes what a target writes, in place of what it wrote before, and returns an error where that is another target's.
func (e *Engine) claim(t *target) error {
	if len(t.claimed) == 0 && len(t.result.Writes) == 0 {
		return nil
	}
	e.unclaim(t)
	for _, w := range t.result.Writes {
		path := cleanPath(w.Path)
		if other := e.claims.other(path, t, w.Append); other != nil {
			e.claims.wait(path, t)
			return fmt.Errorf("%s: writeToFile %s: the template %s writes this file, too; give each its own", t.cfg.Source, w.Path, other.cfg.Source)
		}
		if owner := e.byPath[path]; owner != nil {
			return fmt.Errorf("%s: writeToFile %s: this file is the destination of the template %s; give each its own", t.cfg.Source, w.Path, owner.cfg.Source)
		}
		if e.claims.of[path] == nil {
			e.claims.of[path] = make(map[*target]bool)
		}
		e.claims.of[path][t] = w.Append
		t.claimed = append(t.claimed, path)
	}
	return nil
}

// unclaim ends all claims of a target. Targets that waited for one of them run again.
func (e *Engine) unclaim(t *target) {
	for _, path := range t.claimed {
		delete(e.claims.of[path], t)
		if len(e.claims.of[path]) == 0 {
			delete(e.claims.of, path)
		}
		for waiting := range e.claims.waiting[path] {
			if waiting != t {
				waiting.wants = true
				e.moved(waiting)
				e.schedule.now(waiting.action)
			}
		}
		delete(e.claims.waiting, path)
	}
	t.claimed = nil
}

// other returns a target that keeps another one from writing a path.
func (c claims) other(path string, t *target, appends bool) *target {
	for other, alsoAppends := range c.of[path] {
		if other != t && !(appends && alsoAppends) {
			return other
		}
	}
	return nil
}

func (c claims) wait(path string, t *target) {
	if c.waiting[path] == nil {
		c.waiting[path] = make(map[*target]bool)
	}
	c.waiting[path][t] = true
}

func cleanPath(path string) string {
	if abs, err := filepath.Abs(path); err == nil {
		return abs
	}
	return filepath.Clean(path)
}
