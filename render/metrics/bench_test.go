package metrics

import (
	"fmt"
	"testing"
	"time"

	"render/render/history"
	"render/render/status"
)

// What the engine's loop pays for each pass and each commit.
func BenchmarkObserve(b *testing.B) {
	b.Run("pass", func(b *testing.B) {
		f := new(fake)
		f.Observe(newMetrics(f))
		b.ReportAllocs()
		for b.Loop() {
			f.Passed(time.Millisecond, false)
		}
	})
	b.Run("commit", func(b *testing.B) {
		m := newMetrics(new(fake))
		c := &history.Commit{
			Action: "1", ActionName: "nginx", Result: history.Applied, Steps: []history.Step{{Kind: "check"}, {Kind: "command"}},
			Files: []history.File{{Result: history.Written, Size: 1}},
		}
		b.ReportAllocs()
		for b.Loop() {
			m.Committed(c)
		}
	})
}

// A scrape of an engine with 10,000 targets, without the making of its snapshot.
func BenchmarkScrape(b *testing.B) {
	f := new(fake)
	m := newMetrics(f)
	f.set(func(s *status.Snapshot) {
		for i := range 10_000 {
			s.Targets = append(s.Targets, &status.Target{State: status.Applied})
			s.Actions = append(s.Actions, &status.Action{ID: fmt.Sprint(i), Name: fmt.Sprint("/etc/nginx/upstreams/", i)})
		}
	})
	b.ReportAllocs()
	for b.Loop() {
		get(m.Handler(), "/metrics")
	}
}
