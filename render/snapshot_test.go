package render

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
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

// Since when everything was applied once is known whether somebody asks or not, and what fails later does not change it.
func TestReady(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		good, late := r.target("good", "{{key \"one\"}}"), r.target("late", "{{key \"two\"}}")
		r.start(Config{Targets: []Target{good, late}})
		r.set(kv("one"), "1")
		elapse(time.Minute)
		if s := r.snapshot(); !s.Ready.IsZero() {
			t.Errorf("ready since %s, and one is not applied", s.Ready)
		}
		r.set(kv("two"), "2")
		elapse(time.Minute)
		applied := time.Now()
		r.apply(Config{Targets: []Target{good, late, r.target("bad", "{{fail \"always\"}}")}})
		elapse(time.Hour)
		s := r.snapshot()
		if s.Ready.IsZero() || s.Ready.After(applied) || s.Counts.Applied {
			t.Errorf("ready since %s: %+v", s.Ready, s.Counts)
		}
		r.wantSnapshot()
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
		r.idle()
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
	if got := is.Line(); got != all.Line {
		r.t.Fatalf("the line of Status is %q, of the snapshot %q", got, all.Line)
	}
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

// BenchmarkSnapshot makes snapshots of 10,000 targets that use 20 of 50,000 queries each: from the beginning, and after a change. It reports
// how long the loop was kept at most.
func BenchmarkSnapshot(b *testing.B) {
	const targets, uses, queries = 10_000, 20, 50_000
	var cfg Config
	for i := range targets {
		var text strings.Builder
		for j := range uses {
			fmt.Fprintf(&text, "{{key \"some/folder/of/keys/%d\"}}\n", (i*uses+j)%queries)
		}
		cfg.Targets = append(cfg.Targets, Target{Source: fmt.Sprint("/etc/render/template", i), Contents: text.String(), Destination: fmt.Sprint("/etc/service/file", i)})
	}
	cfg.Dry = io.Discard
	world := newWorld()
	for i := range queries {
		world.set(kv(fmt.Sprintf("some/folder/of/keys/%d", i)), "value")
	}
	engine, err := New(world, cfg)
	if err != nil {
		b.Fatal(err)
	}
	ctx := b.Context()
	go func() { _ = engine.Run(ctx) }()
	get := func() *status.Snapshot {
		s, err := engine.Snapshot(ctx)
		if err != nil {
			b.Fatal(err)
		}
		return s
	}
	for get().Counts.Targets[status.Applied] < targets {
		time.Sleep(100 * time.Millisecond)
	}

	longest, parts := time.Duration(0), 0
	ask := func(ctx context.Context, all bool) (status.Part, error) {
		began := time.Now()
		defer func() { longest, parts = max(longest, time.Since(began)), parts+1 }()
		return engine.askPart(ctx, all)
	}
	engine.shared = status.NewShared(ask, engine.feed.Told)
	b.Run("whole", func(b *testing.B) {
		for b.Loop() {
			engine.shared.Forget()
			if s := get(); len(s.Queries) != queries {
				b.Fatal(len(s.Queries))
			}
		}
		b.ReportMetric(float64(longest.Microseconds()), "longest-µs")
		b.ReportMetric(float64(parts)/float64(b.N), "parts/op")
	})
	b.Run("change", func(b *testing.B) {
		longest, parts = 0, 0
		for i := 0; b.Loop(); i++ {
			b.StopTimer()
			world.set(kv("some/folder/of/keys/1"), fmt.Sprint(i))
			time.Sleep(110 * time.Millisecond)
			b.StartTimer()
			get()
		}
		b.ReportMetric(float64(longest.Microseconds()), "longest-µs")
	})
}
