package render

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"time"

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

// wantSnapshot checks that a snapshot that was made of what has changed is the one that is made from the beginning, and that it agrees with
// Status.
func (r *rig) wantSnapshot() {
	r.t.Helper()
	changed, all := r.snapshot(), (*status.Snapshot)(nil)
	for range 100 { // until nothing has changed between the two
		r.settle()
		r.engine.shared.Forget()
		var err error
		if all, err = r.engine.Snapshot(r.t.Context()); err != nil {
			r.t.Fatal(err)
		}
		if all.Sequence == changed.Sequence {
			break
		}
		changed = r.snapshot()
	}
	same := *changed
	same.Time = all.Time
	text := func(s *status.Snapshot) string {
		one := *s
		one.Time = time.Time{}
		b, err := json.MarshalIndent(one, "", " ")
		if err != nil {
			r.t.Fatal(err)
		}
		return string(b)
	}
	if !reflect.DeepEqual(same, *all) {
		got, want := text(changed), text(all)
		gotLines, wantLines := strings.Split(got, "\n"), strings.Split(want, "\n")
		for i := range min(len(gotLines), len(wantLines)) {
			if gotLines[i] != wantLines[i] {
				r.t.Errorf("line %d is %q, want %q", i, gotLines[i], wantLines[i])
			}
		}
		r.t.Fatalf("a snapshot of what has changed is\n%s\nwant\n%s\nlog:\n%s", got, want, r.log)
	}
	is := r.status()
	for i, t := range is.Targets {
		if got := all.Targets[i]; got.State != t.State || got.Passes != t.Passes || len(got.Waiting) != len(t.Missing) || len(got.Held) != len(t.Held) {
			r.t.Fatalf("the target %+v is in the snapshot as %+v\nlog:\n%s", t, got, r.log)
		}
	}
	if len(all.Queries) != len(is.Queries) || len(all.Actions) != len(is.Actions) {
		r.t.Fatalf("%d queries and %d actions, want %d and %d", len(all.Queries), len(all.Actions), len(is.Queries), len(is.Actions))
	}
	for _, a := range all.Actions {
		if inSync := a.State == status.InSync; inSync != a.Unapplied.IsZero() {
			r.t.Fatalf("the action %+v\nlog:\n%s", a, r.log)
		}
	}
}
