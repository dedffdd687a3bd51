package schedule

import (
	"cmp"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// A model holds the turns of members without a heap.
type model struct {
	ready map[int]bool
	at    map[int]time.Time
}

func (m *model) due(now time.Time) []int {
	due := maps.Clone(m.ready)
	for member, at := range m.at {
		if !at.After(now) {
			due[member] = true
			delete(m.at, member)
		}
	}
	clear(m.ready)
	return slices.Sorted(maps.Keys(due))
}

func (m *model) next(now time.Time) time.Time {
	if len(m.ready) > 0 {
		return now
	}
	times := slices.SortedFunc(maps.Values(m.at), time.Time.Compare)
	if len(times) == 0 {
		return time.Time{}
	}
	return times[0]
}

// A schedule does what a model without a heap does, whatever comes in whatever order.
func TestModel(t *testing.T) {
	for seed := range uint64(50) {
		random := rand.New(rand.NewPCG(seed, 0))
		s := New(cmp.Compare[int])
		m := &model{make(map[int]bool), make(map[int]time.Time)}
		now := time.Unix(0, 0)
		turns := 0
		for step := range 2000 {
			member := random.IntN(30)
			switch random.IntN(8) {
			case 0:
				s.Now(member)
				m.ready[member] = true
			case 1, 2, 3: // also times in the past
				at := now.Add(time.Duration(random.IntN(60)-10) * time.Second)
				s.At(member, at)
				m.at[member] = at
			case 4:
				s.At(member, time.Time{})
				delete(m.at, member)
			case 5:
				s.Remove(member)
				delete(m.ready, member)
				delete(m.at, member)
			default:
				now = now.Add(time.Duration(random.IntN(5)) * time.Second)
				got, want := s.Due(now), m.due(now)
				if !slices.Equal(got, want) {
					t.Fatalf("seed %d, step %d: due: got %v, want %v", seed, step, got, want)
				}
				turns += len(got)
			}
			if got, want := s.Next(now), m.next(now); !got.Equal(want) {
				t.Fatalf("seed %d, step %d: next: got %s, want %s", seed, step, got, want)
			}
		}
		if turns < 100 {
			t.Errorf("seed %d: only %d turns", seed, turns)
		}
	}
}

// A schedule keeps nothing of a member without a turn.
func TestNothingIsKept(t *testing.T) {
	s := New(cmp.Compare[int])
	now := time.Unix(0, 0)
	for i := range 100 {
		s.Now(i)
		s.At(i, now.Add(time.Duration(i)))
	}
	for i := range 50 {
		s.Remove(i)
	}
	if due := s.Due(now.Add(time.Hour)); len(due) != 50 || due[0] != 50 {
		t.Errorf("due: %v", due)
	}
	if len(s.ready)+len(s.turns)+len(s.waiting) > 0 || slices.ContainsFunc(s.waiting[:cap(s.waiting)], func(t *turn[int]) bool { return t != nil }) {
		t.Errorf("kept: %+v", s)
	}
}

// BenchmarkSchedule is the turn of one of 10,000 members while all others wait.
func BenchmarkSchedule(b *testing.B) {
	s := New(cmp.Compare[int])
	now := time.Unix(0, 0)
	const n = 10_000
	for i := range n {
		s.At(i, now.Add(time.Hour+time.Duration(i)))
	}
	i := 0
	for b.Loop() {
		i = (i + 7919) % n
		s.Now(i)
		for _, member := range s.Due(now) {
			s.At(member, now.Add(time.Hour+time.Duration(member)))
		}
	}
}
