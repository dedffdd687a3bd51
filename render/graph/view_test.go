package graph

import (
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"

	"render/watch"
)

// letters returns a list with an instance for each letter.
func letters(all string) []*watch.HealthService {
	list := []*watch.HealthService{}
	for _, r := range all {
		list = append(list, &watch.HealthService{Node: "n", ID: string(r)})
	}
	return list
}

// TestView plays answers on a clock that starts at 0 and compares what is seen, when the view changes by itself, and what
// its guard says.
func TestView(t *testing.T) {
	const (
		s       = time.Second
		never   = -1
		unknown = "unknown"
	)
	type step struct {
		at      time.Duration
		answer  string // or "-", if the view is only updated
		seen    string
		wake    time.Duration
		verdict Verdict
		changed bool
	}
	tests := []struct {
		name  string
		rules Rules
		opts  url.Values
		steps []step
	}{
		{
			"a removal is delayed, an addition is not", Rules{delay: 5 * s}, nil,
			[]step{
				{0, "ad", "ad", never, Unchanged, true},
				{1 * s, "d", "ad", 6 * s, Unchanged, false},
				{2 * s, "de", "ade", 6 * s, Unchanged, true},
				{3 * s, "bde", "abde", 6 * s, Unchanged, true},
				{5 * s, "-", "abde", 6 * s, Unchanged, false},
				{6 * s, "-", "bde", never, Unchanged, true},
			},
		},
		{
			"what comes back was never gone, and has all of the delay again", Rules{delay: 5 * s}, nil,
			[]step{
				{0, "ab", "ab", never, Unchanged, true},
				{1 * s, "b", "ab", 6 * s, Unchanged, false},
				{2 * s, "ab", "ab", never, Unchanged, false},
				{3 * s, "b", "ab", 8 * s, Unchanged, false},
				{7 * s, "-", "ab", 8 * s, Unchanged, false},
				{8 * s, "-", "b", never, Unchanged, true},
			},
		},
		{
			"those that go one after the other", Rules{delay: 5 * s}, nil,
			[]step{
				{0, "abc", "abc", never, Unchanged, true},
				{1 * s, "bc", "abc", 6 * s, Unchanged, false},
				{2 * s, "", "abc", 6 * s, Unchanged, false},
				{6 * s, "-", "bc", 7 * s, Unchanged, true},
				{8 * s, "-", "", never, Unchanged, true},
			},
		},
		{
			"an answer that comes when a delay has ended", Rules{delay: 5 * s}, nil,
			[]step{
				{0, "ab", "ab", never, Unchanged, true},
				{1 * s, "b", "ab", 6 * s, Unchanged, false},
				{7 * s, "bc", "bc", never, Unchanged, true},
			},
		},
		{
			"by distance: as given, and what has gone last", Rules{delay: 5 * s}, url.Values{watch.OptNear: {"_agent"}},
			[]step{
				{0, "cab", "cab", never, Unchanged, true},
				{1 * s, "b", "bca", 6 * s, Unchanged, true},
				{2 * s, "bd", "bdca", 6 * s, Unchanged, true},
			},
		},
		{
			"a minimum", Rules{guard: Guard{Min: 2, Hold: 60 * s, Then: Keep}}, nil,
			[]step{
				{0, "abc", "abc", never, Unchanged, true},
				{1 * s, "bc", "bc", never, Unchanged, true},
				{2 * s, "b", "bc", never, Begun, false},
				{3 * s, "", "bc", never, Unchanged, false},
				{99 * s, "-", "bc", never, Unchanged, false}, // keep
				{100 * s, "bx", "bx", never, Recovered, true},
				{101 * s, "", "bx", never, Begun, false},
				{102 * s, "bx", "bx", never, Recovered, false},
				{103 * s, "yz", "yz", never, Unchanged, true}, // others in their place
			},
		},
		{
			"a first answer below the minimum", Rules{guard: Guard{Min: 2, Hold: 60 * s, Then: Keep}}, nil,
			[]step{
				{0, "a", unknown, never, Begun, false},
				{90 * s, "", unknown, never, Unchanged, false},
				{91 * s, "ab", "ab", never, Recovered, true},
			},
		},
		{
			"a maximum drop: half may go", Rules{guard: Guard{MaxDrop: 0.5, Hold: 60 * s, Then: Keep}}, nil,
			[]step{
				{0, "", "", never, Unchanged, true},
				{1 * s, "abcd", "abcd", never, Unchanged, true},
				{2 * s, "ab", "ab", never, Unchanged, true},
				{3 * s, "abcde", "abcde", never, Unchanged, true},
				{4 * s, "ab", "abcde", never, Begun, false},
				{5 * s, "abc", "abc", never, Recovered, true},
				{6 * s, "xyz", "xyz", never, Unchanged, true}, // all replaced
			},
		},
		{
			"exactly the maximum drop, as fractions are imprecise", Rules{guard: Guard{MaxDrop: 0.29, Hold: 60 * s, Then: Keep}}, nil,
			[]step{
				{0, strings.Repeat("a", 100), strings.Repeat("a", 100), never, Unchanged, true},
				{0, strings.Repeat("a", 71), strings.Repeat("a", 71), never, Unchanged, true},
				{0, strings.Repeat("a", 50), strings.Repeat("a", 71), never, Begun, false}, // 29.6 %
			},
		},
		{
			"accept", Rules{guard: Guard{Min: 3, Hold: 60 * s, Then: Accept}}, nil,
			[]step{
				{0, "abcd", "abcd", never, Unchanged, true},
				{10 * s, "ab", "abcd", 70 * s, Begun, false},
				{50 * s, "b", "abcd", 70 * s, Unchanged, false}, // worse: since then is since the first
				{70 * s, "-", "b", never, Accepted, true},
				{71 * s, "c", "c", never, Unchanged, true},        // no loss any more
				{72 * s, "cd", "cd", never, Unchanged, true},      // still below the minimum, and a gain
				{73 * s, "d", "cd", 133 * s, Begun, false},        // a loss again
				{133 * s, "de", "de", never, Recovered, true},     // better just in time
				{200 * s, "", "de", 260 * s, Begun, false},        // accepted with an answer, too
				{300 * s, "e", "e", never, Accepted, true},        //
				{301 * s, "efgh", "efgh", never, Unchanged, true}, //
			},
		},
		{
			"accept a first answer", Rules{guard: Guard{Min: 1, Hold: 60 * s, Then: Accept}}, nil,
			[]step{
				{0, "", unknown, 60 * s, Begun, false},
				{60 * s, "-", "", never, Accepted, true},
			},
		},
		{
			"fail", Rules{guard: Guard{Min: 1, Hold: 60 * s, Then: Fail}, strict: true}, nil,
			[]step{
				{0, "a", "a", never, Unchanged, true},
				{1 * s, "", "a", 61 * s, Begun, false},
				{61 * s, "-", "a", never, Failed, false},
				{62 * s, "-", "a", never, Unchanged, false},
				{63 * s, "a", "a", never, Recovered, false},
				{64 * s, "", "a", 124 * s, Begun, false},
			},
		},
		{
			"both: what is delayed is no loss yet", Rules{delay: 5 * s, guard: Guard{Min: 1, Hold: 60 * s, Then: Accept}}, nil,
			[]step{
				{0, "ab", "ab", never, Unchanged, true},
				{1 * s, "", "ab", 6 * s, Unchanged, false},
				{6 * s, "-", "ab", 66 * s, Begun, false},
				{7 * s, "c", "c", never, Recovered, true},
				{8 * s, "", "c", 13 * s, Unchanged, false},
				{13 * s, "-", "c", 73 * s, Begun, false},
				{73 * s, "-", "", never, Accepted, true},
			},
		},
		{
			"both: what has gone counts for as long as it is delayed", Rules{delay: 5 * s, guard: Guard{MaxDrop: 0.5, Hold: 60 * s, Then: Keep}}, nil,
			[]step{
				{0, "abcd", "abcd", never, Unchanged, true},
				{1 * s, "d", "abcd", 6 * s, Unchanged, false},
				{2 * s, "de", "abcde", 6 * s, Unchanged, true},
				{6 * s, "-", "abcde", never, Begun, false},
				{7 * s, "def", "def", never, Recovered, true},
			},
		},
	}
	start := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			v := newView(watch.NewQuery(watch.KindService, "web", test.opts), &test.rules)
			for i, step := range test.steps {
				now := start.Add(step.at)
				if step.answer != "-" {
					v.receive(letters(step.answer), now)
				}
				changed, did := v.update(now)
				seen := unknown
				if v.known {
					seen = ""
					for _, s := range v.seen {
						seen += s.ID
					}
				}
				wake := time.Duration(never)
				if at := v.wake(); !at.IsZero() {
					wake = at.Sub(start)
				}
				got := fmt.Sprint(seen, wake, did, changed)
				if want := fmt.Sprint(step.seen, step.wake, step.verdict, step.changed); got != want {
					t.Errorf("step %d: got %s, want %s", i, got, want)
				}
			}
		})
	}
}
