package render

import (
	"context"

	"render/render/status"
)

// Progress returns how far the first render is: it costs far less than Status. It fails when ctx is done or the engine does not run
// any longer; before Run it waits.
func (e *Engine) Progress(ctx context.Context) (status.Progress, error) {
	return ask(ctx, e, e.progress)
}

func (e *Engine) progress() status.Progress {
	p := status.Progress{Queries: e.graph.Len(), Targets: len(e.targets)}
	for _, st := range e.graph.All() {
		if st.Rev > 0 {
			p.Answered++
		}
	}
	for _, t := range e.targets {
		if t.passes > 0 && len(t.result.Pending) == 0 {
			p.Executed++
		}
	}
	return p
}
