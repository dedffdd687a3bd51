package render

import (
	"slices"
	"time"

	"render/render/graph"
	"render/render/history"
	"render/render/leases"
	"render/render/output"
	"render/render/pass"
	"render/render/sources"
	"render/render/status"
	"render/template"
	"render/watch"
)

// target is a Target at work. Owned by the loop.
type target struct {
	graph.User[*target]
	output.Stages
	cfg      Target
	order    int    // in Engine.targets
	was      string // its destination before the configuration in effect, while that is adopted
	path     string // where the links of its destination lead: what it is known by
	texts    sources.Texts
	template *template.Template
	action   *action

	passes   int
	result   template.Result          // of the last pass; its output is in Stages
	err      error                    // why the file could not be written
	blocked  time.Time                // since when it cannot finish; zero if it could
	report   time.Time                // when it was last reported as blocked
	passed   bool                     // it has held the others of its action for long enough
	dropped  []template.Dropped       // instances that its last finished pass left out
	panicked bool                     // the stack of a panic in a pass is in the log
	missing  bool                     // nothing is at its path; of a proposal
	pass     *pass.Pass[*target]      // under way, if it is detached; nil for none
	answers  *graph.Snapshot[*target] // of the last pass
	slow     bool                     // its last pass took long
	urgent   bool                     // its template has another text: it runs whatever the pace of its action
	rest     time.Time                // it does not run before this
	overruns int                      // passes in a row that took too long
	round    uint64                   // of its action, in which it had its last pass for a commit
	skipped  bool                     // it wanted another one in the same round

	writing map[string]bool // of its claims, what the last finished pass writes, and whether it appends
	counted tally
	track   status.TargetTrack
}

func (t *target) finished() bool { return t.passes > 0 && t.result.Finished() }

// show returns a query as the target's template shows it.
func (t *target) show(q watch.Query) string { return t.template.Show(q) }

// source returns what the target's template is made of.
func (t *target) source() string { return t.cfg.Source }

// renew gives a target another template. It has to run then.
func (t *target) renew(parsed *template.Template, x sources.Texts) {
	t.template, t.texts = parsed, x
	t.Stages.Renew()
	t.blocked, t.report = time.Time{}, time.Time{}
	t.AddCause(graph.Cause{Kind: string(history.OfTemplate), Text: "its template has changed"})
}

// A tally is what a target adds to the sums of an engine, so that nobody has to look at all targets.
type tally struct{ unfinished, failed, absent, unplaced, wanting int }

func (c *tally) add(d tally, sign int) {
	c.unfinished += sign * d.unfinished
	c.failed += sign * d.failed
	c.absent += sign * d.absent
	c.unplaced += sign * d.unplaced
	c.wanting += sign * d.wanting
}

func (t *target) count() tally {
	one := func(is bool) int {
		if is {
			return 1
		}
		return 0
	}
	return tally{
		unfinished: one(!t.finished()),
		failed:     one(t.result.Err != nil),
		absent:     one(len(t.result.Absent) > 0),
		unplaced:   one(!t.finished() || !t.Placed),
		wanting:    one(t.Wants),
	}
}

// moved brings what the engine and the action know of a target up to date. It is called after whatever changes a target: an
// answer, a pass, a commit, a new configuration, drift.
func (e *Engine) moved(t *target) {
	e.sums.add(t.counted, -1)
	t.counted = t.count()
	e.sums.add(t.counted, 1)
	if a := t.action; a != nil {
		set(a.wanting, t, t.Wants)
		set(a.unfinished, t, !t.finished())
		set(a.changed, t, t.Changed())
	}
	set(e.blocked, t, !t.blocked.IsZero())
	e.leases.Hold(t, t.Leases())
	e.note(t)
}

// remove takes a target out of what the engine and its action know.
func (e *Engine) remove(t *target) {
	e.sums.add(t.counted, -1)
	t.counted = tally{}
	t.action.without(t)
	delete(e.blocked, t)
	e.leases.Hold(t, leases.Stages{})
}

func set[T comparable](s map[T]bool, x T, is bool) {
	if is {
		s[x] = true
	} else {
		delete(s, x)
	}
}

// inOrder returns the targets of a set in the order of the configuration.
func inOrder(s map[*target]bool) []*target {
	all := make([]*target, 0, len(s))
	for t := range s {
		all = append(all, t)
	}
	slices.SortFunc(all, func(a, b *target) int { return a.order - b.order })
	return all
}
