package schedule

import (
	"testing"
	"time"
)

func TestEarliestAndLatest(t *testing.T) {
	var never time.Time
	one, two := time.Unix(1, 0), time.Unix(2, 0)
	for _, test := range []struct {
		times       []time.Time
		first, last time.Time
	}{
		{nil, never, never},
		{[]time.Time{never, never}, never, never},
		{[]time.Time{one, never}, one, one},
		{[]time.Time{never, one}, one, one},
		{[]time.Time{one, two}, one, two},
		{[]time.Time{two, never, one}, one, two},
	} {
		if got := Earliest(test.times...); !got.Equal(test.first) {
			t.Errorf("Earliest(%v) = %v, want %v", test.times, got, test.first)
		}
		if got := Latest(test.times...); !got.Equal(test.last) {
			t.Errorf("Latest(%v) = %v, want %v", test.times, got, test.last)
		}
	}
}
