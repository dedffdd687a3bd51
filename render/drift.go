package render

import (
	"context"
	"time"

	"render/render/drift"
	"render/render/graph"
	"render/render/history"
)

// watchDrift starts to watch the destinations where a target wants that, and forgets those that none does any more.
func (e *Engine) watchDrift(ctx context.Context) {
	wanted := make(map[string]bool)
	for _, t := range e.targets {
		if t.cfg.Drift.Matters() {
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

func driftCause(destination string) graph.Cause {
	return graph.Cause{Kind: string(history.OfDrift), Text: "another program changed " + destination}
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
	t.AddCause(driftCause(x.Destination))
	e.rerun(t)
}
