package watch

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// A Source answers queries. It may be asked by many goroutines at once, also about the same query: each of them learns of
// each change.
//
// What else a Source can do, it says by the interfaces below.
type Source interface {
	// Fetch returns the answer to a query and the answer's index; a nil value means that the name does not exist.
	//
	// With after zero it answers at once. With another after it waits until the index differs from after, or until a wait
	// of its own choosing ends. It returns promptly once ctx is done, and never waits for ever on something that is dead.
	// An index distinguishes answers: a changed answer has another index; the reverse need not hold. An answer is never
	// changed once it has been returned.
	//
	// A plain read, with after zero, has no effects: a Set makes one after each failure, whenever it is in doubt. A source
	// that creates something for its answer, as a lease, creates it for the first read of a query and returns the same to
	// all others, until it replaces that by itself or the query is forgotten (Forgetter). The source of KindPlugin is the
	// exception: each plain read runs the program.
	Fetch(ctx context.Context, q Query, after uint64) (value any, index uint64, err error)
}

// A Confirmer is a Source that can ask again with the strongest consistency it has (R11).
type Confirmer interface {
	// Confirm is Fetch with after zero, of an answer that is not out of date.
	Confirm(ctx context.Context, q Query) (value any, index uint64, err error)
}

// A Rereader is a Source whose requests that wait can miss a change, by some fault on the way. A Set then also reads a query
// plainly every two hours. It never does so with a Source that is no Rereader.
type Rereader interface {
	// Reread reports whether a query is to be read like that. It answers at once.
	Reread(q Query) bool
}

// A Forgetter is a Source that keeps something for a query: a lease, or what it knows of a file.
type Forgetter interface {
	// Forget says that somebody who has asked about a query will not do so again. A Set calls it once after Set.Forget, when
	// its last request for the query has returned and unless the query is watched again; the first request of a later Watch
	// begins after Forget has returned. Closing a Set forgets nothing. Others may still ask about the same query.
	//
	// Forget returns at once: what takes long, the source does later.
	Forget(q Query)
}

// An Applier is a Source whose earlier answers hold something that somebody still uses, as the password that a service was started with.
type Applier interface {
	// Applied says that what was made of the answer with an index is in use, and that of earlier answers is not: files are in
	// place, and the action has succeeded. The source then ends what it holds for those. It returns at once.
	Applied(q Query, index uint64)
}

// A Locator is a Source that looks for a query under another name than the query has.
type Locator interface {
	// Locate returns that name, or in words why the query's own leads elsewhere than its author may expect; "" where it leads there, or
	// that is not known yet. It returns at once.
	Locate(q Query) string
}

// Locate returns what the [Locator] of a source says, where the source is one.
func Locate(src Source, q Query) string {
	if l, ok := src.(Locator); ok {
		return l.Locate(q)
	}
	return ""
}

// ErrDenied is the error of a query that the source refuses to answer because of missing rights. Asking again helps only if
// somebody changes that.
var ErrDenied = errors.New("permission denied")

// ErrIndexVoid is the error of a request that waits, where the source no longer knows the index that it waits on. The next
// request has to be a plain read.
var ErrIndexVoid = errors.New("the index is no longer valid; the next request starts from 0")

// An OutageError is a failure of the source that other queries have, too: what it asks cannot be reached, or is not well. The
// source itself keeps the attempts few while it lasts.
type OutageError struct{ Err error }

func (e OutageError) Error() string { return e.Err.Error() }

// Unwrap returns the failure.
func (e OutageError) Unwrap() error { return e.Err }

// A RetriedError is a failure after which the source asks again by itself, with pauses of its own: a read meanwhile costs next to
// nothing, and learns of the end of the failure.
type RetriedError struct {
	Err     error
	Changed <-chan struct{} // closed when the source has asked again; nil where it does not say so
}

func (e RetriedError) Error() string { return e.Err.Error() }

// Unwrap returns the failure.
func (e RetriedError) Unwrap() error { return e.Err }

// An ExpiredError says that an answer has expired, as the credentials of a lease, and was not replaced in time.
type ExpiredError struct {
	At  time.Time // when the answer expired
	Err error     // why there is no other; nil where the source has not failed
}

func (e ExpiredError) Error() string {
	text := "the answer expired at " + e.At.UTC().Format(time.RFC3339)
	if e.Err != nil {
		text += " and is not replaced: " + e.Err.Error()
	}
	return text
}

// Unwrap returns why the answer was not replaced.
func (e ExpiredError) Unwrap() error { return e.Err }

func confirmer(src Source) Confirmer {
	if c, ok := src.(Confirmer); ok {
		return c
	}
	return plainly{src}
}

// plainly makes a Confirmer of a source whose plain reads are never out of date.
type plainly struct{ Source }

func (p plainly) Confirm(ctx context.Context, q Query) (value any, index uint64, err error) {
	return p.Fetch(ctx, q, 0)
}

func rereads(src Source, q Query) bool {
	r, ok := src.(Rereader)
	return ok && r.Reread(q)
}

func forget(src Source, q Query) {
	if f, ok := src.(Forgetter); ok {
		f.Forget(q)
	}
}

func applied(src Source, q Query, index uint64) {
	if a, ok := src.(Applier); ok {
		a.Applied(q, index)
	}
}

// ByKind is a Source that hands each query to the source of its kind, or to the source of "" where the kind has none.
type ByKind map[string]Source

// Fetch implements Source.
func (k ByKind) Fetch(ctx context.Context, q Query, after uint64) (any, uint64, error) {
	src, err := k.of(q)
	if err != nil {
		return nil, 0, err
	}
	return src.Fetch(ctx, q, after)
}

// Confirm implements Confirmer.
func (k ByKind) Confirm(ctx context.Context, q Query) (value any, index uint64, err error) {
	src, err := k.of(q)
	if err != nil {
		return nil, 0, err
	}
	return confirmer(src).Confirm(ctx, q)
}

// Reread implements Rereader.
func (k ByKind) Reread(q Query) bool {
	src, err := k.of(q)
	return err == nil && rereads(src, q)
}

// Forget implements Forgetter.
func (k ByKind) Forget(q Query) {
	if src, err := k.of(q); err == nil {
		forget(src, q)
	}
}

// Applied implements Applier.
func (k ByKind) Applied(q Query, index uint64) {
	if src, err := k.of(q); err == nil {
		applied(src, q, index)
	}
}

// Locate implements Locator.
func (k ByKind) Locate(q Query) string {
	src, err := k.of(q)
	if err != nil {
		return ""
	}
	return Locate(src, q)
}

func (k ByKind) of(q Query) (Source, error) {
	if src, ok := k[q.Kind]; ok {
		return src, nil
	}
	if src, ok := k[""]; ok {
		return src, nil
	}
	return nil, UnknownKind(q)
}

// UnknownKind is the error of a query of a kind that a source does not answer.
func UnknownKind(q Query) error {
	return fmt.Errorf("there is no source for queries of the kind %q", q.Kind)
}
