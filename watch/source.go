package watch

import (
	"context"
	"errors"
	"fmt"
)

// A Source answers queries. It may be asked by many goroutines at once.
type Source interface {
	// Fetch returns the answer to a query and the answer's index; a nil value means: there is none.
	//
	// With after zero it answers at once. With another after it waits until the index differs from after, or until a wait
	// of its own choosing ends. It returns promptly once ctx is done, and never waits for ever on something that is dead.
	// An index tells answers apart: a changed answer has another index; the reverse need not hold. An answer is never
	// changed once it has been returned.
	Fetch(ctx context.Context, q Query, after uint64) (value any, index uint64, err error)
}

// A Confirmer is a Source that can ask again with the strongest consistency it has (R11).
type Confirmer interface {
	// Confirm is Fetch with after zero, of an answer that is not out of date.
	Confirm(ctx context.Context, q Query) (value any, index uint64, err error)
}

// ErrDenied is the error of a query that the source refuses to answer because of missing rights. Asking again helps only if
// somebody changes that.
var ErrDenied = errors.New("permission denied")

// ErrIndexVoid is the error of a request that waits, where the source no longer knows the index that it waits on. The next
// request has to be a plain read.
var ErrIndexVoid = errors.New("the index counts no longer; ask again from 0")

// An OutageError is a failure of the source that other queries have, too: what it asks cannot be reached, or is not well. The
// source itself keeps the attempts few while it lasts.
type OutageError struct{ Err error }

func (e OutageError) Error() string { return e.Err.Error() }

func (e OutageError) Unwrap() error { return e.Err }

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
	return fmt.Errorf("no source answers queries of the kind %q", q.Kind)
}
