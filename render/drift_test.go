package render

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"testing"
	"time"

	"render/render/drift"
	"render/render/status"
)

const (
	driftWarned   = "file changed by another program; render keeps it until the output of its template changes"
	driftRepaired = "file changed by another program; render rewrites it"
)

// The regular check, in fake time: nothing tells of the changes.
func TestDrift(t *testing.T) {
	changes := map[string]func(r *rig, destination string){
		"edited": func(r *rig, path string) { r.must(os.WriteFile(path, []byte("edited"), 0o644)) },
		"replaced": func(r *rig, path string) {
			r.must(os.Rename(r.write("other", "edited"), path))
		},
		"removed": func(r *rig, path string) { r.must(os.Remove(path)) },
	}
	tests := []struct {
		drift           Drift
		warned, written int
		runs            int
	}{
		{"", 0, 0, 1}, {IgnoreDrift, 0, 0, 1}, {WarnDrift, 1, 0, 1}, {RepairDrift, 0, 1, 2},
	}
	for name, change := range changes {
		for _, test := range tests {
			t.Run(fmt.Sprintf("%s %q", name, test.drift), func(t *testing.T) {
				bubble(t, func(t *testing.T, r *rig) {
					a := r.target("a", `{{key "k"}}`)
					a.Drift = test.drift
					r.start(of(Action{Command: r.appends("runs"), Spacing: time.Second}, a))
					r.set(kv("k"), "1")
					elapse(5 * time.Minute)
					if n := r.log.count(driftWarned) + r.log.count(driftRepaired); n != 0 {
						t.Errorf("%d warnings before anything was changed", n)
					}
					change(r, a.Destination)
					changed := r.read("a")
					elapse(10 * time.Minute)
					if n := r.log.count(driftWarned); n != test.warned {
						t.Errorf("%d warnings, want %d\n%s", n, test.warned, r.log)
					}
					if n := r.log.count(driftRepaired); n != test.written {
						t.Errorf("%d repairs, want %d\n%s", n, test.written, r.log)
					}
					if n := r.lines("runs"); n != test.runs {
						t.Errorf("%d runs, want %d", n, test.runs)
					}
					if test.written > 0 {
						r.wantFile("a", "1")
					} else {
						r.wantFile("a", changed)
					}
					r.set(kv("k"), "2")
					elapse(70 * time.Second)
					r.wantFile("a", "2")
					if test.warned > 0 { // the next time is another one
						change(r, a.Destination)
						elapse(10 * time.Minute)
						if n := r.log.count(driftWarned); n != 2 {
							t.Errorf("%d warnings in the end, want 2", n)
						}
					}
				})
			})
		}
	}
}

// A mode or owner that was asked for is repaired; that is nothing to run a command for. One that was not asked for is nobody's
// business.
func TestDriftOfAttributes(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		asked, free := r.target("asked", "x"), r.target("free", "x")
		asked.File.Perms, asked.Drift, free.Drift = 0o600, RepairDrift, RepairDrift
		r.start(of(Action{Command: r.appends("runs")}, asked, free))
		elapse(5 * time.Second)
		for _, path := range []string{asked.Destination, free.Destination} {
			r.must(os.Chmod(path, 0o666))
		}
		elapse(2 * time.Minute)
		info, err := os.Stat(asked.Destination)
		r.must(err)
		if info.Mode() != 0o600 {
			t.Errorf("mode %o\n%s", info.Mode(), r.log)
		}
		if info, err = os.Stat(free.Destination); err != nil || info.Mode() != 0o666 {
			t.Errorf("mode %o, %v", info.Mode(), err)
		}
		if n := r.lines("runs"); n != 1 {
			t.Errorf("%d runs", n)
		}
		if n := r.log.count(driftRepaired); n != 1 {
			t.Errorf("%d repairs", n)
		}
	})
}

// In real time a change is noticed at once, also in a folder that was removed and made again.
func TestDriftIsNoticed(t *testing.T) {
	r := newRig(t)
	a := r.target("a", `{{key "k"}}`)
	a.Destination, a.Drift = r.path("folder/a"), RepairDrift
	r.world.set(kv("k"), "1")
	r.start(Config{Targets: []Target{a}})
	whole := func() bool { return r.read("folder/a") == "1" }
	r.await("the file", whole)
	r.await("status", func() bool { return r.status().Targets[0].State == status.Applied })
	for n := 1; n <= 4; n++ {
		if n%2 == 1 {
			r.must(os.WriteFile(a.Destination, []byte("edited"), 0o644))
		} else {
			r.must(os.RemoveAll(r.path("folder")))
		}
		r.await("the repair", func() bool {
			return r.log.count(driftRepaired) == n && whole() && r.status().Targets[0].State == status.Applied
		})
	}
}

// What somebody does while the command of a commit runs is noticed as soon as that has ended.
func TestDriftDuringACommand(t *testing.T) {
	r := newRig(t)
	a := r.target("a", `{{key "k"}}`)
	a.Drift = RepairDrift
	r.world.set(kv("k"), "1")
	r.start(of(Action{Command: r.sh("echo >> runs; [ -e changed ] || { touch begun; until [ -e changed ]; do sleep 0.01; done; }")}, a))
	r.await("the command", func() bool { return r.read("begun") != "no file" })
	r.must(os.Remove(a.Destination))
	r.write("changed", "")
	r.await("the repair", func() bool { return r.read("a") == "1" && r.lines("runs") == 2 })
}

// A link that leads elsewhere than before, or that is a file now, is a change like any other.
func TestDriftOfLinks(t *testing.T) {
	for name, test := range map[string]struct {
		change func(r *rig)
		slow   bool // only the regular check can find it
	}{
		"a file": {func(r *rig) { r.must(os.Rename(r.write("other", "edited"), r.path("a"))) }, false},
		"gone":   {func(r *rig) { r.must(os.Remove(r.path("a"))) }, false},
		"another file": {func(r *rig) {
			r.must(errors.Join(os.Symlink("real/3", r.path("l")), os.Rename(r.path("l"), r.path("a"))))
		}, false},
		"the folder's own": {func(r *rig) { r.must(errors.Join(os.Remove(r.path("real")), os.Symlink("second", r.path("real")))) }, true},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			a := r.target("a", `{{key "k"}}`)
			a.Drift = RepairDrift
			for _, folder := range []string{"first", "second"} {
				r.must(os.Mkdir(r.path(folder), 0o755))
			}
			r.must(errors.Join(os.Symlink("first", r.path("real")), os.Symlink("real/1", a.Destination)))
			r.world.set(kv("k"), "1")
			r.start(Config{Targets: []Target{a}})
			r.await("status", func() bool { return r.status().Targets[0].State == status.Applied })
			test.change(r)
			if test.slow {
				r.engine.drift.Check(t.Context(), nil)
			}
			r.await("the repair", func() bool { return r.read("a") == "1" && r.log.count(driftRepaired) == 1 })
			if test.slow {
				r.wantFile("second/1", "1")
			}
			r.await("status", func() bool { return r.status().Targets[0].State == status.Applied })
			r.must(os.WriteFile(a.Destination, []byte("edited"), 0o644))
			r.await("the next repair", func() bool { return r.read("a") == "1" && r.log.count(driftRepaired) == 2 })
			r.await("status", func() bool { return r.status().Targets[0].State == status.Applied })
			r.engine.drift.Check(t.Context(), nil)
			if n := r.log.count(driftRepaired); r.status().Targets[0].State != status.Applied || n != 2 {
				t.Errorf("%d repairs", n)
			}
		})
	}
}

// Own changes are never taken for others', however long the command takes.
func TestDriftOwnChanges(t *testing.T) {
	r := newRig(t)
	a := r.target("a", `{{key "k"}}`)
	a.Drift = RepairDrift
	r.world.set(kv("k"), "0")
	r.start(of(Action{Command: r.sh("sleep 0.2; cat a >> runs; echo >> runs"), Spacing: time.Millisecond}, a))
	r.await("the first run", func() bool { return r.lines("runs") == 1 })
	want := "0\n"
	for i := 1; i <= 6; i++ {
		r.world.set(kv("k"), fmt.Sprint(i))
		r.await("the run", func() bool { return r.lines("runs") == i+1 })
		want += fmt.Sprintln(i)
	}
	r.wantFile("runs", want)
	if n := r.log.count(driftRepaired); n != 0 {
		t.Errorf("%d repairs\n%s", n, r.log)
	}
}

// What was seen before a commit has ended is no news after it.
func TestDriftSeenTooEarly(t *testing.T) {
	r := newRig(t)
	a := r.target("a", "x")
	a.Drift = RepairDrift
	engine, err := New(r.world, Config{Targets: []Target{a}, Log: r.log.logger()})
	r.must(err)
	ctx, cancel := context.WithCancel(t.Context())
	engine.drift = drift.New(ctx, nil)
	defer engine.drift.Wait()
	defer cancel()
	target := engine.targets[0]
	target.Known = true
	engine.drift.Expect(a.Destination, a.File, sha256.Sum256([]byte("x")), 1)
	seen := <-engine.drift.Reports()
	engine.drift.Expect(a.Destination, a.File, sha256.Sum256([]byte("y")), 1) // the commit has ended
	engine.drifted(seen, time.Now())
	if !target.Known || r.log.String() != "" {
		t.Errorf("known %v, log %s", target.Known, r.log)
	}
	engine.drifted(<-engine.drift.Reports(), time.Now())
	if target.Known {
		t.Error("what is seen afterwards is not news")
	}
}

// A reload puts back what somebody else has changed or removed, but where nobody wants to know.
func TestDriftEndsWithReload(t *testing.T) {
	for _, tt := range []struct {
		drift Drift
		back  bool
	}{{WarnDrift, true}, {IgnoreDrift, false}, {"", false}} {
		t.Run(string(tt.drift), func(t *testing.T) {
			r := newRig(t)
			edited, removed := r.target("edited", "x"), r.target("removed", "x")
			edited.Drift, removed.Drift = tt.drift, tt.drift
			edited.Command, removed.Command = r.appends("runs"), r.appends("runs")
			cfg := Config{Targets: []Target{edited, removed}}
			r.start(cfg)
			r.await("the files", func() bool { return r.read("edited") == "x" && r.read("removed") == "x" && r.lines("runs") == 1 })
			r.write("edited", "by hand")
			if tt.drift == WarnDrift {
				r.await("the warning", func() bool { return r.log.count(driftWarned) > 0 })
			}
			r.must(os.Remove(r.path("removed")))
			r.apply(cfg)
			if tt.back {
				r.await("the files", func() bool { return r.read("edited") == "x" && r.read("removed") == "x" && r.lines("runs") == 2 })
				return
			}
			r.apply(cfg) // what the first led to has begun
			r.wantFile("edited", "by hand")
			r.wantFile("removed", "no file")
		})
	}
}
