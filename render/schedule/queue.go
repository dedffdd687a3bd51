package schedule

// A Queue holds members, each once, in the order in which they came. The zero value is empty. It is for one goroutine.
type Queue[T comparable] struct {
	order []T
	in    map[T]bool
}

// Add adds a member behind all others, unless it is in the queue.
func (q *Queue[T]) Add(member T) {
	if q.in[member] {
		return
	}
	if q.in == nil {
		q.in = make(map[T]bool)
	}
	q.in[member] = true
	q.order = append(q.order, member)
}

// Take removes and returns the first members, at most n.
func (q *Queue[T]) Take(n int) []T {
	n = max(0, min(n, len(q.order)))
	first := q.order[:n:n]
	q.order = q.order[n:]
	for _, member := range first {
		delete(q.in, member)
	}
	return first
}

// Len returns the number of members.
func (q *Queue[T]) Len() int { return len(q.order) }
