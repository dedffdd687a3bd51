package output

import (
	"errors"
	"slices"
	"time"

	"render/render/commit"
	"render/render/leases"
	"render/watch/pause"
)

// The pauses before an output is tried again that a check or a verification has rejected, and one that a command has.
const (
	RejectBase = 30 * time.Second
	RejectMax  = 5 * time.Minute

	RetryBase = time.Second // after the first failure; doubled by each further one
	RetryMax  = time.Minute
)

// Stages say which output of a target is in which stage. The zero value is that of a target of which nothing is known.
type Stages struct {
	Wanted   *Output // what the last finished pass wants, if that is not applied; the next commit gets it
	InFlight *Output // what a commit brings to disk at this moment
	Known    bool    // an output is applied, and nobody has reason to doubt it
	Drifted  bool    // somebody else has changed the file since
	Placed   bool    // an output of the present text is in place, and nothing has rejected it

	held     *leases.Uses // what may be in place is made of these answers
	placed   []any        // the secret answers in what was applied
	tried    []any        // the same of the last output that was not applied: it may be in place
	applied  Sum          // the output whose action has succeeded (R13)
	size     int64        // of the same
	doubted  bool         // somebody doubts what is in flight
	text     int          // counts the texts of the template
	secret   bool         // something secret may be in place
	rejected rejection
	appends  appends
}

// appends says what was appended for which output: it is not done again while the target wants the same.
type appends struct {
	sum  Sum
	done map[int]bool
}

// A rejection is an output that a check, a command or a verification did not accept.
type rejection struct {
	sum   Sum
	times int       // in a row; 0 means that nothing was rejected
	until time.Time // it is not tried again before this
}

// Want notes what a finished pass wants, and reports whether that has to be committed.
func (s *Stages) Want(o *Output) bool {
	o.text = s.text
	if o.sum == s.appends.sum {
		o.appended = s.appends.done
	}
	if s.InFlight == nil && s.Known && o.sum == s.applied {
		s.Wanted, s.Placed, s.held, s.placed = nil, true, o.Leases, o.Answers
		return false
	}
	s.Wanted = o
	return true
}

// Unwant notes that the last pass is not finished: what an earlier pass wanted is out of date.
func (s *Stages) Unwant() { s.Wanted = nil }

// Launch hands the wanted output to a commit.
func (s *Stages) Launch() *Output {
	s.InFlight, s.Wanted = s.Wanted, nil
	s.InFlight.Hidden = s.InFlight.Secret || s.secret
	return s.InFlight
}

// Land takes the output back from its commit, and reports whether it is applied: the commit has succeeded, and nobody doubts
// it. Where it is not applied it is wanted again, unless there is a newer one or, with a pass that is not finished, none.
func (s *Stages) Land(succeeded, finished bool) (applied bool) {
	o := s.InFlight
	applied = succeeded && !s.doubted
	s.InFlight, s.doubted = nil, false
	s.held, s.tried = s.held.Or(o.Leases), o.Answers
	if s.Known = applied; applied {
		s.applied, s.size, s.Drifted, s.held = o.sum, o.Size, false, o.Leases
		s.placed, s.tried = o.Answers, nil
	}
	switch {
	case s.Wanted == nil && !applied && finished:
		s.Wanted = o
	case s.Wanted != nil && s.Known && s.Wanted.sum == s.applied:
		s.Wanted, s.held, s.placed = nil, s.Wanted.Leases, s.Wanted.Answers
	case s.Wanted != nil && s.Wanted.sum == o.sum:
		s.Wanted.appended = o.appended
	}
	return applied
}

// LandCommit is Land with what became of the commit: the files of the output begin at first in its plan. What was rejected is not tried
// again soon. The error says why some of the files are not in place.
func (s *Stages) LandCommit(destination string, first int, r commit.Result, finished bool, now time.Time) (applied bool, err error) {
	o := s.InFlight
	for _, path := range o.Paths(destination) {
		err = errors.Join(err, r.Failed[path])
	}
	err = errors.Join(err, s.noteAppends(o, first, r.Appends))

	// What was rejected waits longer.
	switch {
	case errors.Is(err, commit.ErrCheck):
		s.reject(o, now, err)
	case r.Rejected:
		s.reject(o, now, r.Err)
	}

	if err == nil && (r.Err == nil || r.Ran && !r.Rejected) {
		s.place(o)
	}
	s.secret = s.secret || o.Secret
	if applied = s.Land(r.Err == nil && err == nil, finished); applied {
		s.Accept()
		s.secret = o.Secret
	}
	return applied, err
}

// Leases returns the answers that somebody may have leased, by the stages of the outputs that are made of them.
func (s *Stages) Leases() leases.Stages {
	all := leases.Stages{s.held}
	if s.InFlight != nil {
		all[1] = s.InFlight.Leases
	}
	if s.Wanted != nil {
		all[2] = s.Wanted.Leases
	}
	return all
}

// Secrets returns the secret answers in what may be in place, and in what is in flight.
func (s *Stages) Secrets() []any {
	all := slices.Concat(s.placed, s.tried)
	if s.InFlight != nil {
		all = append(all, s.InFlight.Answers...)
	}
	return all
}

// place notes that an output is in place: it counts where it is of the present text.
func (s *Stages) place(o *Output) { s.Placed = s.Placed || o.text == s.text }

// Doubt notes that what is on disk may be something else than what was applied. The target has to run again.
func (s *Stages) Doubt() { s.Known, s.Placed, s.doubted = false, false, s.InFlight != nil }

// Renew notes that the template has another text.
func (s *Stages) Renew() { s.text, s.Placed = s.text+1, false }

// Size returns the bytes of the newest output that is known; 0 where none is.
func (s *Stages) Size() int64 {
	switch {
	case s.Wanted != nil:
		return s.Wanted.Size
	case s.InFlight != nil:
		return s.InFlight.Size
	}
	return s.size
}

// Changed reports whether there is output that is to be committed (R13).
func (s *Stages) Changed() bool { return s.Wanted != nil }

// UpToDate reports whether the action has succeeded with what the last finished pass wanted.
func (s *Stages) UpToDate() bool { return s.Known && s.Wanted == nil && s.InFlight == nil }

// reject notes that an output was rejected, and puts the next attempt off.
func (s *Stages) reject(o *Output, now time.Time, err error) {
	if s.rejected.sum != o.sum {
		s.rejected.times = 0
	}
	base, most := RejectBase, RejectMax
	if _, ok := errors.AsType[commit.CommandError](err); ok { // it need not be the file's fault
		base, most = RetryBase, RetryMax
	}
	s.rejected.sum = o.sum
	s.rejected.until = now.Add(pause.Backoff(s.rejected.times, base, most))
	s.rejected.times++
}

// Accept forgets what was rejected: the next attempt is not put off.
func (s *Stages) Accept() { s.rejected.times = 0 }

// WasRejected reports whether the wanted output is the one that was rejected last.
func (s *Stages) WasRejected() bool {
	return s.rejected.times > 0 && s.Wanted != nil && s.Wanted.sum == s.rejected.sum
}

// IsRejected reports whether the wanted output was rejected, and is not to be tried again yet.
func (s *Stages) IsRejected(now time.Time) bool {
	return s.WasRejected() && now.Before(s.rejected.until)
}

// RejectedUntil returns when the output that was rejected last may be tried again.
func (s *Stages) RejectedUntil() time.Time { return s.rejected.until }

// noteAppends notes which writes of an output a commit has appended: they are not appended again. The results are those of
// the commit's files, of which those of the output begin at first. The error says why other writes were not appended.
func (s *Stages) noteAppends(o *Output, first int, results map[int]error) (err error) {
	i := first // of the commit's files; the destination comes first
	for n, w := range o.Writes {
		if w.Append && o.appended[n] {
			continue // it was not part of the commit
		}
		i++
		result, tried := results[i]
		switch {
		case !tried:
		case result != nil:
			err = errors.Join(err, result)
		default:
			if s.appends.sum != o.sum {
				s.appends = appends{o.sum, make(map[int]bool)}
			}
			s.appends.done[n] = true
		}
	}
	if s.appends.sum == o.sum {
		o.appended = s.appends.done
	}
	return err
}
