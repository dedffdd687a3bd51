package schedule

import (
	"slices"
	"testing"
)

// Members come out in the order in which they came, each once; one that was taken may come again.
func TestQueue(t *testing.T) {
	var q Queue[string]
	if got := q.Take(1); len(got) != 0 {
		t.Errorf("an empty queue has %q", got)
	}
	for _, member := range []string{"a", "b", "a", "c"} {
		q.Add(member)
	}
	if got := q.Take(2); !slices.Equal(got, []string{"a", "b"}) || q.Len() != 1 {
		t.Errorf("got %q, %d left", got, q.Len())
	}
	q.Add("a")
	if got := q.Take(-1); len(got) != 0 {
		t.Errorf("without room: %q", got)
	}
	if got := q.Take(9); !slices.Equal(got, []string{"c", "a"}) || q.Len() != 0 {
		t.Errorf("got %q, %d left", got, q.Len())
	}
}
