package main

import (
	"context"
	"fmt"
	"time"

	"render/render/status"
)

const (
	progressAfter = 2 * time.Second        // a start that takes longer shows its progress
	progressEvery = 500 * time.Millisecond // on a terminal
	progressLog   = 10 * time.Second       // in a log, where there is any progress
)

// showProgress shows how far a start is until no template waits for an answer, or the engine has ended: on a terminal in a line
// below the log, if inLine allows that, elsewhere in the log. The log has no line where nothing changed: R14 reports what is missing.
func (p *program) showProgress(ctx context.Context, inLine bool, ended <-chan struct{}) {
	defer p.logs.Progress("")
	began := time.Now()
	next := time.NewTimer(progressAfter)
	defer next.Stop()
	var logged status.Progress
	logAt := began.Add(progressLog)
	for {
		select {
		case now := <-next.C:
			next.Reset(progressEvery)
			progress, err := p.progressWithin(ctx, progressEvery)
			switch {
			case err != nil: // the engine ends, or its commands run
				p.logs.Progress("")
				continue
			case progress.Complete():
				return
			}

			shown := inLine && p.logs.Progress(progressText(progress, now.Sub(began)))
			if !shown && !now.Before(logAt) {
				logAt = now.Add(progressLog)
				if progress != logged {
					p.log.Info("start in progress", "answered", progress.Answered, "queries", progress.Queries,
						"executed", progress.Executed, "templates", progress.Targets)
				}
				logged = progress
			}
			if !shown {
				next.Reset(time.Until(logAt))
			}
		case <-ctx.Done():
			return
		case <-ended:
			return
		}
	}
}

// progressWithin returns the progress of the engine, if it answers in time: in a run with once it does not while commands run.
func (p *program) progressWithin(ctx context.Context, limit time.Duration) (status.Progress, error) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	return p.engine.Progress(ctx)
}

func progressText(p status.Progress, since time.Duration) string {
	return fmt.Sprintf("%d of %d queries answered, %d of %d templates executed, %s",
		p.Answered, p.Queries, p.Executed, p.Targets, since.Truncate(time.Second))
}
