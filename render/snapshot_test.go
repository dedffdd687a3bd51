package render

import (
	"testing"

	"render/render/history"
	"render/render/status"
)

// A snapshot has each target, action and query with what belongs together by ID; it changes when the engine does.
func TestSnapshot(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		a, b := r.target("a", "{{key \"one\"}}"), r.target("b", "{{key \"one\"}}\n{{key \"two\"}}")
		a.Command, b.Command = r.appends("runs"), r.appends("runs")
		r.start(Config{Targets: []Target{a, b}})
		r.set(kv("one"), "secret 1")
		elapse(holdMost + 2*reportAfter)
		s, err := r.engine.Snapshot(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if got := s.Counts.Targets; got[status.Applied] != 1 || got[status.Pending] != 1 {
			t.Errorf("targets: %v", got)
		}
	})
}

// snapshot returns a new snapshot.
func (r *rig) snapshot() *status.Snapshot {
	r.t.Helper()
	elapse(history.Every)
	s, err := r.engine.Snapshot(r.t.Context())
	if err != nil {
		r.t.Fatal(err)
	}
	return s
}
