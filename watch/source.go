package watch

import (
	"context"
	"fmt"
	"time"
)

// MaxWait is the longest that a Source may wait for news before it answers with what it has.
const MaxWait = 60 * time.Second

// A Source answers queries. It may be asked by many goroutines at once.
type Source interface {
	// Fetch returns the answer to a query and the answer's index; a nil value means: there is none.
	//
	// With after zero it answers at once. With another after it waits until the index differs from after, or until a wait
	// of its own choosing of at most MaxWait ends. It returns promptly once ctx is done. An index tells answers apart: a
	// changed answer has another index; the reverse need not hold. An answer is never changed once it has been returned.
	Fetch(ctx context.Context, q Query, after uint64) (value any, index uint64, err error)
}

// ByKind is a Source that hands each query to the source of its kind, or to the source of "" where the kind has none.
type ByKind map[string]Source

// Fetch implements Source.
func (k ByKind) Fetch(ctx context.Context, q Query, after uint64) (any, uint64, error) {
	src, ok := k[q.Kind]
	if !ok {
		src, ok = k[""]
	}
	if !ok {
		return nil, 0, errUnknownKind(q)
	}
	return src.Fetch(ctx, q, after)
}

func errUnknownKind(q Query) error {
	return fmt.Errorf("no source answers queries of the kind %q", q.Kind)
}
