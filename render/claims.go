package render

import (
	"fmt"
	"maps"
	"path/filepath"
	"time"
)

// claims say which target writes which path beside destinations, by writeToFile: a path belongs to one target. Only to append,
// several may share one. A target keeps its claims while a commit of them is in flight, and while its passes fail: its files
// are still there.
type claims struct {
	of      map[string]*claim
	waiting map[string]map[*target]bool // targets that failed because of a claim, or of a destination
}

// A claim is what targets have of one path.
type claim struct {
	alone   *target          // who writes it; nil where it is appended to
	appends map[*target]bool // who appends to it
}

func newClaims() claims {
	return claims{of: make(map[string]*claim), waiting: make(map[string]map[*target]bool)}
}

// claim claims what a finished pass of a target writes, and returns an error where that belongs to another target. Then the
// target keeps the claims that it has, and runs again when the path is free.
func (e *Engine) claim(t *target) error {
	e.claims.stopWaiting(t)
	if len(t.claimed) == 0 && len(t.result.Writes) == 0 {
		return nil
	}
	wanted := make(map[string]bool, len(t.result.Writes)) // whether it appends
	for _, w := range t.result.Writes {
		path := cleanPath(w.Path)
		if owner := e.destinations[path]; owner != nil {
			e.claims.wait(path, t)
			return fmt.Errorf("%s: writeToFile %s: this file is the destination of the template %s; give each its own", t.cfg.Source, w.Path, owner.cfg.Source)
		}
		if other := e.claims.other(path, t, w.Append); other != nil {
			e.claims.wait(path, t)
			return fmt.Errorf("%s: writeToFile %s: the template %s writes this file, too; give each its own", t.cfg.Source, w.Path, other.cfg.Source)
		}
		wanted[path] = w.Append
	}
	t.writing = maps.Clone(wanted)
	if t.inFlight != nil {
		for _, w := range t.inFlight.writes {
			if path := cleanPath(w.Path); !w.Append {
				wanted[path] = false
			}
		}
	}
	e.setClaims(t, wanted)
	return nil
}

// setClaims gives a target claims in place of those that it has.
func (e *Engine) setClaims(t *target, wanted map[string]bool) {
	for path := range t.claimed {
		if _, still := wanted[path]; !still {
			e.release(path, t)
		}
	}
	for path, appends := range wanted {
		c := e.claims.of[path]
		if c == nil {
			c = &claim{appends: make(map[*target]bool)}
			e.claims.of[path] = c
		}
		if delete(c.appends, t); appends {
			c.appends[t] = true
		} else {
			c.alone = t
		}
		if appends && c.alone == t {
			c.alone = nil
		}
	}
	t.claimed = wanted
}

// release ends a claim. Targets that wait for the path run again.
func (e *Engine) release(path string, t *target) {
	delete(e.recalled, path)
	if c := e.claims.of[path]; c != nil {
		if delete(c.appends, t); c.alone == t {
			c.alone = nil
		}
		if c.alone == nil && len(c.appends) == 0 {
			delete(e.claims.of, path)
		}
	}
	e.free(path)
}

// free has targets run again that wait for a path.
func (e *Engine) free(path string) {
	for t := range e.claims.waiting[path] {
		e.rerun(t)
	}
	delete(e.claims.waiting, path)
}

// rerun has a target run again, for another reason than an answer.
func (e *Engine) rerun(t *target) {
	t.wants, t.waitsFor = true, ""
	t.action.pace.Changed(time.Now())
	e.moved(t)
	e.schedule.now(t.action)
}

// landClaims lets go of what only the commit that has ended was writing.
func (e *Engine) landClaims(t *target) {
	if len(t.claimed) > len(t.writing) {
		e.setClaims(t, maps.Clone(t.writing))
	}
}

// newDestinations takes paths from targets that write them, where they are destinations now. Those run again, and fail.
func (e *Engine) newDestinations(added []*target) {
	for _, t := range added {
		for _, path := range []string{t.path, cleanPath(t.cfg.Destination)} {
			c := e.claims.of[path]
			if c == nil {
				continue
			}
			delete(e.claims.of, path)
			if c.alone != nil {
				c.appends[c.alone] = true
			}
			for holder := range c.appends {
				delete(holder.claimed, path)
				e.rerun(holder)
			}
		}
	}
}

// other returns a target that keeps another one from writing a path.
func (c claims) other(path string, t *target, appends bool) *target {
	is := c.of[path]
	switch {
	case is == nil:
		return nil
	case is.alone != nil && is.alone != t:
		return is.alone
	case appends:
		return nil
	}
	for other := range is.appends {
		if other != t {
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
	t.waitsFor = path
}

func (c claims) stopWaiting(t *target) {
	if t.waitsFor == "" {
		return
	}
	if delete(c.waiting[t.waitsFor], t); len(c.waiting[t.waitsFor]) == 0 {
		delete(c.waiting, t.waitsFor)
	}
	t.waitsFor = ""
}

// cleanPath returns a path from the root, without a look at the disk.
func cleanPath(path string) string {
	if abs, err := filepath.Abs(path); err == nil {
		return abs
	}
	return filepath.Clean(path)
}
