package render

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"render/render/pass"
	"render/render/run"
	"render/render/status"
	"render/template"
	"render/watch"
)

// durations are how long templates take, by the names of their targets.
type durations struct {
	mu sync.Mutex
	of map[string]time.Duration
}

func (d *durations) set(name string, takes time.Duration) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.of[name] = takes
}

// lasting has templates take time, when they ask their first query.
func lasting(of map[string]time.Duration) (*durations, func(*template.Template, context.Context, template.Lookup) template.Result) {
	all := &durations{of: of}
	return all, func(t *template.Template, ctx context.Context, lookup template.Lookup) template.Result {
		all.mu.Lock()
		d := all.of[strings.TrimSuffix(filepath.Base(t.Name()), ".ctmpl")]
		all.mu.Unlock()
		if d == 0 {
			return t.Execute(ctx, lookup)
		}
		first := true
		return t.Execute(ctx, func(q watch.Query) (any, bool) {
			if first {
				first = false
				timer := time.NewTimer(d)
				defer timer.Stop()
				select {
				case <-timer.C:
				case <-ctx.Done():
				}
			}
			return lookup(q)
		})
	}
}

func (r *rig) statusOf(name string) status.TargetStatus {
	r.t.Helper()
	for _, s := range r.status().Targets {
		if s.Destination == r.path(name) {
			return s
		}
	}
	r.t.Fatalf("there is no target %s", name)
	return status.TargetStatus{}
}

// A pass that takes long stops nothing else. It sees the answers as they were when it began; what has changed meanwhile leads
// to another one.
func TestLongPass(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.world.set(kv("k"), "1")
		slow, quick := r.target("slow", `{{key "k"}} {{key "k"}}`), r.target("quick", `{{key "k"}}`)
		_, execute := lasting(map[string]time.Duration{"slow": 3 * time.Second})
		r.start(Config{Targets: []Target{slow, quick}, executes: execute})
		elapse(4 * time.Second) // the level of queries
		elapse(time.Second)
		r.set(kv("k"), "2")
		r.wantFile("quick", "2")
		elapse(500 * time.Millisecond)
		if s := r.statusOf("slow"); s.Executing.IsZero() || s.State == status.Applied {
			t.Errorf("status of the slow one: %+v", s)
		}
		elapse(2 * time.Second)
		r.wantFile("slow", "1 1")
		elapse(10 * time.Second)
		r.wantFile("slow", "2 2")
		if s := r.statusOf("slow"); !s.Executing.IsZero() || s.State != status.Applied {
			t.Errorf("status of the slow one: %+v", s)
		}
	})
}

// What happens to a target while its pass takes long is not lost: the pass is dropped, or another one follows.
func TestChangesDuringPass(t *testing.T) {
	tests := []struct {
		name   string
		change func(r *rig, cfg Config)
		want   string // at once
		later  string
	}{
		{"another text", func(r *rig, cfg Config) {
			r.write("slow.ctmpl", `new {{key "k"}}`)
			r.apply(cfg)
		}, "1", "new 1"},
		{"a quick text", func(r *rig, cfg Config) {
			cfg.Targets = slices.Clone(cfg.Targets)
			cfg.Targets[0].Source = r.write("quick.ctmpl", `quick {{key "k"}}`)
			r.apply(cfg)
		}, "quick 1", "quick 1"},
		{"removed", func(r *rig, cfg Config) {
			cfg.Targets = []Target{r.target("other", "x")}
			r.apply(cfg)
			r.set(kv("k"), "2")
		}, "1", "1"},
		{"removed and added again", func(r *rig, cfg Config) {
			other := cfg
			other.Targets = []Target{r.target("other", "x")}
			r.apply(other)
			r.set(kv("k"), "2")
			r.apply(cfg)
		}, "1", "2"},
		{"another environment", func(r *rig, cfg Config) {
			cfg.Env = []string{"NAME=x"}
			r.apply(cfg)
		}, "1", "1x"},
		{"other settings", func(r *rig, cfg Config) {
			cfg.Targets = slices.Clone(cfg.Targets)
			cfg.Targets[0].Command = run.Command{Args: []string{"true"}}
			r.apply(cfg)
		}, "1", "1"},
		{"answers", func(r *rig, _ Config) {
			r.set(kv("k"), "2")
			r.set(kv("k"), "3")
		}, "1", "3"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			bubble(t, func(t *testing.T, r *rig) {
				r.world.set(kv("k"), "1")
				cfg := Config{Targets: []Target{r.target("slow", `{{key "k"}}{{env "NAME"}}`)}}
				_, cfg.executes = lasting(map[string]time.Duration{"slow": 3 * time.Second})
				r.start(cfg)
				elapse(20 * time.Second)
				r.wantFile("slow", "1")
				r.set(kv("k"), "0")
				elapse(time.Second)
				if r.statusOf("slow").Executing.IsZero() {
					t.Fatal("no pass is under way")
				}
				r.set(kv("k"), "1")
				test.change(r, cfg)
				elapse(100 * time.Millisecond)
				r.wantFile("slow", test.want)
				elapse(30 * time.Second)
				r.wantFile("slow", test.later)
			})
		})
	}
}

// A pass is ended by its limit. That is an error of its template, with the place, and retried later and later; it is reported
// while it lasts. The others do not notice.
func TestPassLimit(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.world.set(kv("k"), "1")
		times, execute := lasting(map[string]time.Duration{"hangs": 1000 * time.Hour})
		r.start(Config{Targets: []Target{r.target("hangs", `{{key "k"}} {{key "k"}}`), r.target("good", `{{key "k"}}`)}, executes: execute})
		for i := range 20 {
			elapse(time.Second)
			r.set(kv("k"), fmt.Sprint(i))
			r.wantFile("good", fmt.Sprint(i))
		}
		r.wantLog("template is still executing")
		elapse(5 * time.Minute)
		r.wantLog("hangs.ctmpl:1:15: the execution was stopped: the execution takes longer than 1m0s")
		if s := r.statusOf("hangs"); s.State != status.Failed {
			t.Errorf("state %s, error %v", s.State, s.Err)
		}
		if n := r.statusOf("hangs").Passes; n < 3 || n > 6 {
			t.Errorf("%d passes in 5 minutes", n)
		}
		times.set("hangs", 0)
		elapse(3 * time.Minute)
		r.wantFile("hangs", "19 19")
	})
}

// Passes that take long wait for each other, but not for ever; others wait for none.
func TestRoom(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		var cfg Config
		times := make(map[string]time.Duration)
		var under, most atomic.Int64
		for i := range 12 {
			name := fmt.Sprint("hangs", i)
			times[name] = 1000 * time.Hour
			cfg.Targets = append(cfg.Targets, r.target(name, `{{key "k"}}`))
		}
		cfg.Targets = append(cfg.Targets, r.target("slow", `{{key "k"}}`), r.target("good", `{{key "k"}}`))
		times["slow"] = time.Second
		_, execute := lasting(times)
		cfg.executes = func(t *template.Template, ctx context.Context, lookup template.Lookup) template.Result {
			if n := under.Add(1); n > most.Load() {
				most.Store(n)
			}
			defer under.Add(-1)
			return execute(t, ctx, lookup)
		}
		r.world.set(kv("k"), "1")
		r.start(cfg)
		elapse(time.Second)
		r.wantFile("good", "1")
		if n := most.Load(); n > 4 { // two, one that the loop waits for, and one that it has just dropped
			t.Errorf("%d passes at once", n)
		}
		elapse(time.Minute)
		r.wantFile("slow", "1")
		r.set(kv("k"), "2")
		elapse(pass.Patience)
		r.wantFile("good", "2")
		elapse(2 * time.Minute)
		r.wantFile("slow", "2")
	})
}

// A member whose pass takes long holds the others of its action for ten seconds. All of them are committed, however often
// they change.
func TestMemberTakesLong(t *testing.T) {
	for _, test := range []struct {
		takes   time.Duration
		commits int // of the slow member in five minutes of changes
	}{{2 * time.Second, 40}, {15 * time.Second, 6}} {
		t.Run(test.takes.String(), func(t *testing.T) {
			bubble(t, func(t *testing.T, r *rig) {
				times, execute := lasting(make(map[string]time.Duration))
				r.world.set(kv("k"), "0")
				cfg := of(Action{Command: r.appends("runs"), Spacing: time.Second}, r.target("slow", `{{key "k"}}`), r.target("quick", `{{key "k"}}`))
				cfg.executes = execute
				r.start(cfg)
				elapse(5 * time.Second)
				r.wantFile("slow", "0")
				times.set("slow", test.takes)
				seen := map[string]map[string]bool{"slow": {}, "quick": {}}
				for i := range 300 {
					r.set(kv("k"), fmt.Sprint(i))
					elapse(time.Second)
					for name, values := range seen {
						values[r.read(name)] = true
					}
				}
				if n := len(seen["slow"]); n < test.commits {
					t.Errorf("the slow one has changed %d times, want at least %d", n, test.commits)
				}
				if n := len(seen["quick"]); n < 12 {
					t.Errorf("the quick one has changed %d times only", n)
				}
				elapse(time.Minute)
				r.wantFile("slow", "299")
				r.wantFile("quick", "299")
			})
		})
	}
}

// The end of the engine waits for no pass, also where that does not heed its context.
func TestEndDuringPass(t *testing.T) {
	for _, heeds := range []bool{true, false} {
		t.Run(fmt.Sprint(heeds), func(t *testing.T) {
			bubble(t, func(t *testing.T, r *rig) {
				r.world.set(kv("k"), "1")
				release := make(chan struct{})
				defer close(release)
				r.start(Config{
					Targets: []Target{r.target("slow", `{{key "k"}}`), r.target("good", `{{key "k"}}`)},
					executes: func(t *template.Template, ctx context.Context, lookup template.Lookup) template.Result {
						switch {
						case !strings.HasSuffix(t.Name(), "slow.ctmpl"):
						case heeds:
							<-ctx.Done()
						default:
							<-release
						}
						return t.Execute(ctx, lookup)
					},
				})
				elapse(10 * time.Second)
				r.wantFile("good", "1")
				began := time.Now()
				if err := r.stop(); err != nil {
					t.Errorf("Run returned %v", err)
				}
				if took := time.Since(began); took > time.Second {
					t.Errorf("the end took %s", took)
				}
				if left := strings.Contains(r.log.String(), "stopping while a template is executing"); left == heeds {
					t.Errorf("left behind: %t", left)
				}
			})
		})
	}
}

// The failure that ends a run that renders once begins a pass, too. Its end says where the template asks.
func TestOnceFailsDuringPass(t *testing.T) {
	for _, test := range []struct {
		takes time.Duration
		want  string
	}{
		{100 * time.Millisecond, "slow.ctmpl:1:3) cannot be queried: "},
		{20 * time.Second, "slow.ctmpl: the template is still executing"},
	} {
		t.Run(test.takes.String(), func(t *testing.T) {
			bubble(t, func(t *testing.T, r *rig) {
				r.world.fail(kv("k"), watch.ErrDenied)
				cfg := Config{Targets: []Target{r.target("slow", `{{key "k"}}`), r.target("quick", `{{key "k"}}`)}}
				_, cfg.executes = lasting(map[string]time.Duration{"slow": test.takes})
				err := r.run(t.Context(), cfg)
				if err == nil || !strings.Contains(err.Error(), test.want) || strings.Contains(err.Error(), "executing") != (test.takes > time.Second) {
					t.Errorf("got %v", err)
				}
			})
		})
	}
}

// A run that renders once waits for passes that take long, until its timeout.
func TestOnceWithLongPass(t *testing.T) {
	for _, test := range []struct {
		takes time.Duration
		err   bool
	}{{20 * time.Second, false}, {50 * time.Second, true}} {
		t.Run(test.takes.String(), func(t *testing.T) {
			bubble(t, func(t *testing.T, r *rig) {
				r.world.set(kv("k"), "1")
				cfg := Config{Targets: []Target{r.target("slow", `{{key "k"}}`), r.target("quick", `{{key "k"}}`)}, Timeout: 45 * time.Second}
				_, cfg.executes = lasting(map[string]time.Duration{"slow": test.takes})
				began := time.Now()
				err := r.run(t.Context(), cfg)
				incomplete, is := errors.AsType[*status.IncompleteError](err)
				if is != test.err || !is && err != nil {
					t.Fatalf("got %v", err)
				}
				if !test.err {
					r.wantFile("slow", "1")
					r.wantFile("quick", "1")
					return
				}
				if took := time.Since(began); took > 46*time.Second || incomplete.TooLate == 0 {
					t.Errorf("after %s: %v", took, err)
				}
				if !strings.Contains(err.Error(), "slow.ctmpl: the template is still executing") || r.read("quick") != "no file" {
					t.Errorf("got %v", err)
				}
			})
		})
	}
}

// Two templates that do not end leave 200 others what they had: a change is in their files within a tenth of a second. It is in
// real time.
func TestOthersInTime(t *testing.T) {
	r := newRig(t)
	if dir, err := os.MkdirTemp("/dev/shm", "render-test-"); err == nil { // a disk may be busy with other things
		r.dir = dir
		t.Cleanup(func() { _ = os.RemoveAll(dir) })
	}
	var cfg Config
	for i := range 200 {
		key := fmt.Sprint("k", i)
		cfg.Targets = append(cfg.Targets, r.target(key, fmt.Sprintf(`{{key %q}}`, key)))
		r.world.set(kv(key), "0")
	}
	for i := range 2 {
		cfg.Targets = slices.Insert(cfg.Targets, 0, r.target(fmt.Sprint("hangs", i), `{{range 10_000_000}}{{end}}`))
	}
	cfg.executes = func(t *template.Template, ctx context.Context, lookup template.Lookup) template.Result {
		if strings.Contains(t.Name(), "hangs") {
			for ctx.Err() == nil { // at work
				t.Execute(ctx, lookup)
			}
		}
		return t.Execute(ctx, lookup)
	}
	r.start(cfg)
	r.await("all files", func() bool {
		applied := 0
		for _, s := range r.status().Targets {
			if s.State == status.Applied {
				applied++
			}
		}
		return applied == 200
	})
	var took []time.Duration
	for i := range 20 {
		key := fmt.Sprint("k", 7*i+1)
		began := time.Now()
		r.world.set(kv(key), "1")
		for r.read(key) != "1" && time.Since(began) < 10*time.Second {
			time.Sleep(time.Millisecond)
		}
		took = append(took, time.Since(began))
	}
	slices.Sort(took)
	t.Logf("a change took %s to %s, half of them at most %s", took[0], took[len(took)-1], took[len(took)/2])
	if took[len(took)/2] > 100*time.Millisecond {
		t.Errorf("half of the changes took longer than %s", took[len(took)/2])
	}
}

// Passes of a new configuration run in turns of the loop: thousands of them do not hold what else there is to do.
func TestManyPassesInTurns(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		cfg := Config{Dry: io.Discard}
		for i := range 1000 {
			cfg.Targets = append(cfg.Targets, Target{Source: fmt.Sprint(i), Contents: `{{key "k"}}`})
		}
		cfg.executes = func(t *template.Template, ctx context.Context, lookup template.Lookup) template.Result {
			time.Sleep(10 * time.Millisecond)
			return t.Execute(ctx, lookup)
		}
		r.idle = func() {}
		r.start(cfg)
		began := time.Now()
		if s := r.status(); len(s.Targets) != 1000 {
			t.Errorf("%d targets", len(s.Targets))
		}
		if took := time.Since(began); took > 10*pass.Patience {
			t.Errorf("the status took %s", took)
		}
		elapse(15 * time.Second)
		synctest.Wait()
		for _, s := range r.status().Targets {
			if s.Passes == 0 {
				t.Fatalf("%s has not run", s.Source)
			}
		}
	})
}
