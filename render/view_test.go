package render

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

// TestView plays answers on a clock that starts at 0 and looks at what is seen, when the view changes by itself, and what
// its guard says.
func TestView(t *testing.T) {
	const (
		s       = time.Second
		never   = -1
		unknown = "unknown"
	)
	type step struct {
		at      time.Duration
		answer  string // or "-", if the view is only looked at
		seen    string
		wake    time.Duration
		verdict verdict
		changed bool
	}
	tests := []struct {
		name  string
		rules viewRules
		opts  url.Values
		steps []step
	}{
		{
			"a removal is delayed, an addition is not", viewRules{delay: 5 * s}, nil,
			[]step{
				{0, "ad", "ad", never, unchanged, true},
				{1 * s, "d", "ad", 6 * s, unchanged, false},
				{2 * s, "de", "ade", 6 * s, unchanged, true},
				{3 * s, "bde", "abde", 6 * s, unchanged, true},
				{5 * s, "-", "abde", 6 * s, unchanged, false},
				{6 * s, "-", "bde", never, unchanged, true},
			},
		},
		{
			"what comes back was never gone, and has all of the delay again", viewRules{delay: 5 * s}, nil,
			[]step{
				{0, "ab", "ab", never, unchanged, true},
				{1 * s, "b", "ab", 6 * s, unchanged, false},
				{2 * s, "ab", "ab", never, unchanged, false},
				{3 * s, "b", "ab", 8 * s, unchanged, false},
				{7 * s, "-", "ab", 8 * s, unchanged, false},
				{8 * s, "-", "b", never, unchanged, true},
			},
		},
		{
			"those that go one after the other", viewRules{delay: 5 * s}, nil,
			[]step{
				{0, "abc", "abc", never, unchanged, true},
				{1 * s, "bc", "abc", 6 * s, unchanged, false},
				{2 * s, "", "abc", 6 * s, unchanged, false},
				{6 * s, "-", "bc", 7 * s, unchanged, true},
				{8 * s, "-", "", never, unchanged, true},
			},
		},
		{
			"an answer that comes when a delay has ended", viewRules{delay: 5 * s}, nil,
			[]step{
				{0, "ab", "ab", never, unchanged, true},
				{1 * s, "b", "ab", 6 * s, unchanged, false},
				{7 * s, "bc", "bc", never, unchanged, true},
			},
		},
		{
			"by distance: as given, and what has gone last", viewRules{delay: 5 * s}, url.Values{watch.OptNear: {"_agent"}},
			[]step{
				{0, "cab", "cab", never, unchanged, true},
				{1 * s, "b", "bca", 6 * s, unchanged, true},
				{2 * s, "bd", "bdca", 6 * s, unchanged, true},
			},
		},
		{
			"a minimum", viewRules{guard: Guard{Min: 2, Hold: 60 * s, Then: Keep}}, nil,
			[]step{
				{0, "abc", "abc", never, unchanged, true},
				{1 * s, "bc", "bc", never, unchanged, true},
				{2 * s, "b", "bc", never, begun, false},
				{3 * s, "", "bc", never, unchanged, false},
				{99 * s, "-", "bc", never, unchanged, false}, // keep
				{100 * s, "bx", "bx", never, recovered, true},
				{101 * s, "", "bx", never, begun, false},
				{102 * s, "bx", "bx", never, recovered, false},
				{103 * s, "yz", "yz", never, unchanged, true}, // others in their place
			},
		},
		{
			"a first answer below the minimum", viewRules{guard: Guard{Min: 2, Hold: 60 * s, Then: Keep}}, nil,
			[]step{
				{0, "a", unknown, never, begun, false},
				{90 * s, "", unknown, never, unchanged, false},
				{91 * s, "ab", "ab", never, recovered, true},
			},
		},
		{
			"a maximum drop: half may go", viewRules{guard: Guard{MaxDrop: 0.5, Hold: 60 * s, Then: Keep}}, nil,
			[]step{
				{0, "", "", never, unchanged, true},
				{1 * s, "abcd", "abcd", never, unchanged, true},
				{2 * s, "ab", "ab", never, unchanged, true},
				{3 * s, "abcde", "abcde", never, unchanged, true},
				{4 * s, "ab", "abcde", never, begun, false},
				{5 * s, "abc", "abc", never, recovered, true},
				{6 * s, "xyz", "xyz", never, unchanged, true}, // all replaced
			},
		},
		{
			"exactly the maximum drop, as fractions are imprecise", viewRules{guard: Guard{MaxDrop: 0.29, Hold: 60 * s, Then: Keep}}, nil,
			[]step{
				{0, strings.Repeat("a", 100), strings.Repeat("a", 100), never, unchanged, true},
				{0, strings.Repeat("a", 71), strings.Repeat("a", 71), never, unchanged, true},
				{0, strings.Repeat("a", 50), strings.Repeat("a", 71), never, begun, false}, // 29.6 %
			},
		},
		{
			"accept", viewRules{guard: Guard{Min: 3, Hold: 60 * s, Then: Accept}}, nil,
			[]step{
				{0, "abcd", "abcd", never, unchanged, true},
				{10 * s, "ab", "abcd", 70 * s, begun, false},
				{50 * s, "b", "abcd", 70 * s, unchanged, false}, // worse: since then is since the first
				{70 * s, "-", "b", never, accepted, true},
				{71 * s, "c", "c", never, unchanged, true},        // no loss any more
				{72 * s, "cd", "cd", never, unchanged, true},      // still below the minimum, and a gain
				{73 * s, "d", "cd", 133 * s, begun, false},        // a loss again
				{133 * s, "de", "de", never, recovered, true},     // better just in time
				{200 * s, "", "de", 260 * s, begun, false},        // accepted with an answer, too
				{300 * s, "e", "e", never, accepted, true},        //
				{301 * s, "efgh", "efgh", never, unchanged, true}, //
			},
		},
		{
			"accept a first answer", viewRules{guard: Guard{Min: 1, Hold: 60 * s, Then: Accept}}, nil,
			[]step{
				{0, "", unknown, 60 * s, begun, false},
				{60 * s, "-", "", never, accepted, true},
			},
		},
		{
			"fail", viewRules{guard: Guard{Min: 1, Hold: 60 * s, Then: Fail}, strict: true}, nil,
			[]step{
				{0, "a", "a", never, unchanged, true},
				{1 * s, "", "a", 61 * s, begun, false},
				{61 * s, "-", "a", never, failed, false},
				{62 * s, "-", "a", never, unchanged, false},
				{63 * s, "a", "a", never, recovered, false},
				{64 * s, "", "a", 124 * s, begun, false},
			},
		},
		{
			"both: what is delayed is no loss yet", viewRules{delay: 5 * s, guard: Guard{Min: 1, Hold: 60 * s, Then: Accept}}, nil,
			[]step{
				{0, "ab", "ab", never, unchanged, true},
				{1 * s, "", "ab", 6 * s, unchanged, false},
				{6 * s, "-", "ab", 66 * s, begun, false},
				{7 * s, "c", "c", never, recovered, true},
				{8 * s, "", "c", 13 * s, unchanged, false},
				{13 * s, "-", "c", 73 * s, begun, false},
				{73 * s, "-", "", never, accepted, true},
			},
		},
		{
			"both: what has gone counts for as long as it is delayed", viewRules{delay: 5 * s, guard: Guard{MaxDrop: 0.5, Hold: 60 * s, Then: Keep}}, nil,
			[]step{
				{0, "abcd", "abcd", never, unchanged, true},
				{1 * s, "d", "abcd", 6 * s, unchanged, false},
				{2 * s, "de", "abcde", 6 * s, unchanged, true},
				{6 * s, "-", "abcde", never, begun, false},
				{7 * s, "def", "def", never, recovered, true},
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
					v.take(letters(step.answer), now)
				}
				changed, did := v.look(now)
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
