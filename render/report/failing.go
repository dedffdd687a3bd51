package report

import (
	"log/slog"
	"time"

	"render/watch"
)

// Failing keeps count of the watched queries whose last attempt failed, and logs when queries begin to fail and when none fails any more. The
// zero value has none.
type Failing struct {
	Errs map[watch.Query]error
	Next time.Time // when Report is due; zero if there are none

	since time.Time // of the first of them
}

// Note notes the outcome of the last attempt of a query: nil forgets the query.
func (f *Failing) Note(log *slog.Logger, q watch.Query, err error) {
	if err != nil {
		if f.Errs == nil {
			f.Errs = make(map[watch.Query]error)
		}
		f.Errs[q] = err
		return
	}
	if f.Errs[q] == nil {
		return
	}
	delete(f.Errs, q)
	if len(f.Errs) == 0 {
		log.Info("queries recovered", "for", time.Since(f.since).Round(time.Millisecond))
		f.Next = time.Time{}
	}
}

// Begin logs that queries fail, if they did not before. Next is when Report is due. Show returns a query that fails, with its error.
func (f *Failing) Begin(log *slog.Logger, now, next time.Time, show func(watch.Query, error) error) {
	if len(f.Errs) > 0 && f.Next.IsZero() {
		f.since, f.Next = now, next
		log.Warn("query failed, retrying; files stay as they are", "err", f.example(show))
	}
}

// Report logs how many of all queries still fail, when it is due, and is due again after a time.
func (f *Failing) Report(log *slog.Logger, now time.Time, every time.Duration, all int, show func(watch.Query, error) error) {
	if !f.Next.IsZero() && !now.Before(f.Next) {
		f.Next = now.Add(every)
		log.Warn("queries still fail; their last good answers stay in use", "failing", len(f.Errs), "of", all,
			"for", now.Sub(f.since).Round(time.Second), "one", f.example(show))
	}
}

func (f *Failing) example(show func(watch.Query, error) error) error {
	for q, err := range f.Errs {
		return show(q, err)
	}
	return nil
}
