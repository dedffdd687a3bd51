package render

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"slices"
	"syscall"
	"testing"
	"time"

	"render/render/graph"
	"render/render/group"
	"render/render/proposal"
	"render/render/schedule"
	"render/render/status"
	"render/watch"
)

// BenchmarkManyFiles changes a key that 500 targets use, each of them alone: until all files are written. On disk, and in
// memory.
func BenchmarkManyFiles(b *testing.B) {
	for name, dir := range map[string]string{"disk": "", "memory": "/dev/shm"} {
		b.Run(name, func(b *testing.B) {
			r := &rig{idle: func() {}, world: newWorld(), log: new(logBuffer)}
			var err error
			if r.dir, err = os.MkdirTemp(dir, "render-bench-"); err != nil {
				b.Skip(err)
			}
			b.Cleanup(func() { _ = os.RemoveAll(r.dir) })
			const n = 500
			var cfg Config
			for i := range n {
				cfg.Targets = append(cfg.Targets, Target{Source: fmt.Sprint(i), Contents: `{{key "k"}}`, Destination: r.path(fmt.Sprint(i))})
			}
			r.world.set(kv("k"), "0")
			engine, err := New(r.world, cfg)
			if err != nil {
				b.Fatal(err)
			}
			done := make(chan error, 1)
			ctx := b.Context()
			go func() { done <- engine.Run(ctx) }()
			wait := func(want string) {
				for i := n - 1; i >= 0; i-- { // each is read once, when it is there
					for readFile(r.path(fmt.Sprint(i))) != want {
						time.Sleep(200 * time.Microsecond)
					}
				}
			}
			wait("0")
			before := cpuTime()
			i := 0
			for b.Loop() {
				i++
				r.world.set(kv("k"), fmt.Sprint(i))
				wait(fmt.Sprint(i))
			}
			b.ReportMetric(float64((cpuTime()-before).Milliseconds())/float64(i), "cpu-ms/op")
		})
	}
}

func cpuTime() time.Duration {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkEventOfManyActions is an event for one of 10,000 actions while all others wait for a retry, a spacing or a wait.
func BenchmarkEventOfManyActions(b *testing.B) {
	e := &Engine{graph: graph.New[*target](), gate: proposal.New[*proposed, *action](nil), schedule: schedule.New(byOrder), blocked: make(map[*target]bool)}
	later := time.Now().Add(time.Hour)
	const n = 10_000
	for i := range n {
		a := newAction(group.Key{Kind: group.OfTarget, Name: fmt.Sprint(i)})
		a.order, a.retry = i, later
		t := &target{passes: 1, action: a}
		t.Known = true
		a.targets = []*target{t}
		e.actions = append(e.actions, a)
		e.moved(t)
		e.schedule.Now(a)
	}
	e.advanceAll(time.Now())
	runtime.GC()
	i := 0
	for b.Loop() {
		i = (i + 7919) % n
		e.schedule.Now(e.actions[i])
		e.advanceAll(time.Now())
	}
}

// BenchmarkOneActionOfManyTargets is a change of one of the 10,000 targets of an action, up to the plan of its commit, and the
// end of the commit.
func BenchmarkOneActionOfManyTargets(b *testing.B) {
	w := newWorld()
	cfg := Config{Actions: []Action{{Name: "a"}}}
	const n = 10_000
	for i := range n {
		cfg.Targets = append(cfg.Targets, Target{Source: fmt.Sprint(i), Contents: fmt.Sprintf(`{{key "%d"}}`, i), Destination: fmt.Sprintf("/nowhere/%d", i), Action: "a"})
	}
	e, err := New(w, cfg)
	if err != nil {
		b.Fatal(err)
	}
	e.set = watch.NewSet(w, watch.SetConfig{})
	defer e.set.Close()
	for _, t := range e.targets {
		e.execute(t)
		e.graph.Take(map[watch.Query]watch.State{kv(t.cfg.Source): {Rev: 1, Value: "0"}}, time.Now())
		e.execute(t)
		t.Launch()
		t.Land(true, true)
		e.moved(t)
	}
	a := e.actions[0]
	a.pace.Reset()
	runtime.GC()
	i := 0
	for b.Loop() {
		i++
		q := kv(e.targets[i%n].cfg.Source)
		st, _ := e.graph.State(q)
		st.Rev++
		st.Value = fmt.Sprint(st.Rev)
		now := time.Now()
		want, _ := e.graph.Take(map[watch.Query]watch.State{q: st}, now)
		e.wakeActions(want, now)
		e.schedule.Due(now)
		for _, t := range inOrder(a.wanting) {
			e.execute(t)
		}
		if _, wait := a.mustWait(now); wait {
			b.Fatal("it waits")
		}
		_, done := e.plan(a, a.toCommit(now))
		a.busy = true
		e.inFlight++
		e.land(done)
		a.pace.Reset()
	}
}

// BenchmarkStartOfManyFiles starts with 10,000 files that are right: until all targets are applied.
func BenchmarkStartOfManyFiles(b *testing.B) {
	const n = 10_000
	dir := b.TempDir()
	var cfg Config
	for i := range n {
		path := fmt.Sprint(dir, "/", i)
		if err := os.WriteFile(path, []byte("0"), 0o644); err != nil {
			b.Fatal(err)
		}
		cfg.Targets = append(cfg.Targets, Target{Source: fmt.Sprint(i), Contents: `{{key "k"}}`, Destination: path})
	}
	w := newWorld()
	w.set(kv("k"), "0")
	for b.Loop() {
		engine, err := New(w, cfg)
		if err != nil {
			b.Fatal(err)
		}
		ctx, cancel := context.WithCancel(b.Context())
		done := make(chan error, 1)
		go func() { done <- engine.Run(ctx) }()
		for {
			s, err := engine.Status(ctx)
			if err != nil {
				b.Fatal(err)
			}
			if !slices.ContainsFunc(s.Targets, func(t status.TargetStatus) bool { return t.State != status.Applied }) {
				break
			}
			time.Sleep(10 * time.Millisecond)
		}
		cancel()
		if err := <-done; err != nil {
			b.Fatal(err)
		}
	}
}
