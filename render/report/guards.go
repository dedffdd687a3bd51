package report

import (
	"context"
	"log/slog"
	"slices"
	"time"

	"render/render/commit"
	"render/render/graph"
	"render/render/schedule"
	"render/render/status"
	"render/watch"
)

// Guards logs what guards do to the answers of templates, whose owners are T.
type Guards[T any] struct {
	Show   func(T, watch.Query) string // returns a query as the template of an owner shows it
	Source func(T) string              // returns the template of an owner
	Next   time.Time                   // when Report is due; zero if no guard holds an answer back
}

// Note logs what guards have done. Report is due after a time when one of them begins to hold an answer back.
func (g *Guards[T]) Note(log *slog.Logger, judged []graph.Judgement[T], now time.Time, every time.Duration) {
	if len(judged) == 0 {
		return
	}
	byVerdict := make(map[graph.Verdict][]graph.Judgement[T])
	for _, j := range judged {
		byVerdict[j.Verdict] = append(byVerdict[j.Verdict], j)
	}
	if len(byVerdict[graph.Begun]) > 0 {
		g.Next = schedule.Earliest(g.Next, now.Add(every))
	}
	g.log(log, slog.LevelWarn, "answer held back by a guard", byVerdict[graph.Begun], now)
	g.log(log, slog.LevelInfo, "answer recovered, no longer held back by a guard", byVerdict[graph.Recovered], now)
	g.log(log, slog.LevelWarn, "held answer accepted, the hold of the guard is over", byVerdict[graph.Accepted], now)
	g.log(log, slog.LevelError, "held answer fails its template, the hold of the guard is over; the file stays as it is", byVerdict[graph.Failed], now)
	g.log(log, slog.LevelInfo, "held answer dropped, the template no longer uses the query", byVerdict[graph.Forgotten], now)
}

// Report logs the guards of a graph that still hold, when it is due, and is due again after a time.
func (g *Guards[T]) Report(log *slog.Logger, of *graph.Graph[T], now time.Time, every time.Duration) {
	if g.Next.IsZero() || now.Before(g.Next) {
		return
	}
	g.log(log, slog.LevelWarn, "answer still held back by a guard", of.StillHeld(), now)
	if g.Next = (time.Time{}); of.Holds() {
		g.Next = now.Add(every)
	}
}

// log logs a line for what has become of each query: one for all templates that saw the same of it.
func (g *Guards[T]) log(log *slog.Logger, level slog.Level, msg string, all []graph.Judgement[T], now time.Time) {
	type line struct {
		query         string
		guard         graph.Guard
		first         bool
		before, after int
	}
	templates := make(map[line][]string)
	since := make(map[line]time.Time)
	var lines []line
	for _, j := range all {
		l := line{g.Show(j.Owner, j.Query), j.Guard, j.First, j.Before, j.After}
		if templates[l] == nil {
			lines = append(lines, l)
		}
		templates[l] = append(templates[l], g.Source(j.Owner))
		since[l] = schedule.Earliest(since[l], j.Since)
	}

	for _, l := range lines[:min(len(lines), Most)] {
		slices.Sort(templates[l])
		attrs := []any{
			"query", l.query, "template", commit.Summary(templates[l], Named, ", "),
			"instances", status.Instances(l.first, l.before, l.after), "guard", l.guard.String(),
		}
		if held := now.Sub(since[l]).Round(time.Millisecond); held > 0 {
			attrs = append(attrs, "for", held)
		}
		log.Log(context.Background(), level, msg, attrs...)
	}
	if more := len(lines) - Most; more > 0 {
		log.Log(context.Background(), level, msg, "more", more)
	}
}
