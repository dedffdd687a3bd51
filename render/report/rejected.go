package report

import (
	"log/slog"
	"time"
)

// Rejected is why the newest configuration is not in effect. The zero value is that of one that is.
type Rejected struct {
	Err  error     // nil where it is in effect
	Next time.Time // when Report is due; zero where it is in effect
}

// Note logs that a configuration is rejected. Next is when Report is due.
func (r *Rejected) Note(log *slog.Logger, err error, next time.Time) {
	r.Err, r.Next = err, next
	log.Error("reload failed; the previous configuration stays in effect", "err", err)
}

// Report logs that the newest configuration is still not in effect, when it is due, and is due again after a time.
func (r *Rejected) Report(log *slog.Logger, now time.Time, every time.Duration) {
	if r.Err != nil && !now.Before(r.Next) {
		r.Next = now.Add(every)
		log.Warn("reload still fails; the previous configuration stays in effect", "err", r.Err)
	}
}
