package render

import (
	"context"
	"time"

	"render/render/drift"
)

// A Drift says what becomes of a destination that somebody else has changed or removed.
type Drift string

// What becomes of such a destination; "" means IgnoreDrift.
const (
	WarnDrift   Drift = "warn"   // it is logged
	RepairDrift Drift = "repair" // it is written again, and the action runs
	IgnoreDrift Drift = "ignore"
)

func (d Drift) matters() bool { return d == WarnDrift || d == RepairDrift }

// watchDrift starts to watch the destinations where a target wants that, and forgets those that none does any more.
func (e *Engine) watchDrift(ctx context.Context) {
	wanted := make(map[string]bool)
	for _, t := range e.targets {
		if t.cfg.Drift.matters() {
			wanted[t.cfg.Destination] = true
		}
	}
	if e.drift != nil {
		e.drift.Keep(wanted)
	}
	if e.drift != nil || len(wanted) == 0 || e.cfg.Once || e.cfg.Dry != nil {
		return
	}
	e.drift = drift.New(ctx, e.notifier("changes of files by other programs are noticed late"))
}

// drifted deals with a destination that is not as it should be.
func (e *Engine) drifted(x *drift.Expected, now time.Time) {
	if !e.drift.IsCurrent(x) {
		return // our own change, which was seen before it was expected
	}
	t := e.byDestination[x.Destination]
	if t == nil {
		return
	}
	if t.action.busy || !t.Known { // it may be our own change
		e.drift.ReportLater(x)
		return
	}
	t.Drifted = true
	if t.cfg.Drift != RepairDrift {
		e.log.Warn("file changed by another program; render keeps it until the output of its template changes", "file", x.Destination, "template", t.cfg.Source)
		return
	}
	e.log.Warn("file changed by another program; render rewrites it", "file", x.Destination, "template", t.cfg.Source)
	t.Doubt()
	t.AddCause(x.Destination + " was changed by somebody else")
	e.rerun(t)
}
