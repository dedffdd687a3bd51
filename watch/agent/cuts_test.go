package agent

import (
	"log/slog"
	"testing"
	"time"

	"render/watch/sourcetest"
)

// Requests that are cut off at one age shorten the waits; those that are cut off for another reason do not.
func TestCuts(t *testing.T) {
	type cut struct{ at, age time.Duration }
	const s = time.Second
	tests := []struct {
		name string
		all  []cut
		want time.Duration // the longest wait; 0 is no bound
	}{
		{"one", []cut{{45 * s, 45 * s}}, 0},
		{"two of the same age", []cut{{45 * s, 45 * s}, {90 * s, 45 * s}}, 36 * s},
		{"nearly", []cut{{45 * s, 45 * s}, {90 * s, 46 * s}}, 46 * s * 4 / 5},
		{"of other ages", []cut{{45 * s, 45 * s}, {90 * s, 30 * s}}, 0},
		{"at one time", []cut{{45 * s, 45 * s}, {45*s + s/10, 45 * s}, {45*s + s/5, 45 * s}}, 0},
		{"one after the other, as a server that ends closes connections", []cut{{45 * s, 45 * s}, {46 * s, 46 * s}, {47 * s, 47 * s}}, 0},
		{"overlapping", []cut{{45 * s, 45 * s}, {50 * s, 45 * s}}, 36 * s},
		{"two ends", []cut{{45 * s, 45 * s}, {45 * s, 10 * s}, {100 * s, 45 * s}, {100 * s, 3 * s}}, 0},
		{"very soon", []cut{{s, 1100 * time.Millisecond}, {9 * s, 1100 * time.Millisecond}}, leastCutWait},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			sourcetest.Bubble(t, func(t *testing.T) {
				c := cuts{log: slog.New(slog.DiscardHandler)}
				began := time.Now()
				for _, cut := range test.all {
					time.Sleep(time.Until(began.Add(cut.at)))
					if !c.note(cut.age) {
						t.Errorf("a cut at %s is an error", cut.age)
					}
				}
				if got := c.most; got != test.want {
					t.Errorf("the longest wait is %s, want %s", got, test.want)
				}
				if c.note(leastCutAge - 1) {
					t.Error("a request that failed early counts as cut off")
				}
			})
		})
	}
}
