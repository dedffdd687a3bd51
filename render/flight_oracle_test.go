package render

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"render/render/commit"
	"render/render/pace"
	"render/render/run"
	"render/render/status"
	"render/render/supervise"
	"render/template"
	"render/watch"
)

// TestOracleInFlight plays random histories in which commands, checks, verifications, programs of templates and the supervised
// program take time, fail and hang, so that everything else comes while commits are in flight: answers, edits of templates,
// configurations that move targets and what is owed for them, edits of files by others, a crash at any step of a commit and
// the start after it. After every step, for every target that is applied:
//
//   - its file, and what writeToFile wrote for it, are what a render from scratch gives, of the text and the answers that
//     the engine has,
//   - the last command that had to do with the file succeeded, and saw it as it is.
//
// In every second history templates use leased passwords, which are replaced and renewed in between: no lease ends whose password is in
// a file in use.
//
// At the end, when nothing fails any more, everything is applied that can be, the supervised program has seen it, and
// nothing is left beside the files, and no lease that nobody uses.
func TestOracleInFlight(t *testing.T) {
	histories := uint64(500)
	if testing.Short() {
		histories = 100
	}
	first := uint64(0)
	if n, err := strconv.ParseUint(os.Getenv("RENDER_HISTORIES"), 10, 64); err == nil {
		histories = n
		first = rand.Uint64() >> 1
	}
	if seed, err := strconv.ParseUint(os.Getenv("RENDER_SEED"), 10, 64); err == nil {
		first, histories = seed, 1
	}
	for i := range histories {
		seed := first + i
		if !t.Run(fmt.Sprint(seed), func(t *testing.T) {
			bubble(t, func(t *testing.T, r *rig) { playFlight(t, r, seed) })
		}) {
			return
		}
	}
}

// A flight is a history of TestOracleInFlight.
type flight struct {
	*played
	t *testing.T
	r *rig

	mu      sync.Mutex        // guards what follows: commands run in goroutines
	random  *rand.Rand        // of what commands do
	calm    bool              // nothing fails any more
	crashAt int               // so many steps of commits from now the program is killed; negative for never
	dead    bool              // it was
	seen    map[string]string // by path: what the last command saw that had to do with it
	foreign map[string]string // by path: what somebody else wrote there
	service *fakeChild

	leasing   *rand.Rand // what of it templates use leased passwords; nil for none
	runs      int
	lessor    *lessor
	inConfig  map[string]bool // the destinations of the configuration in effect
	coming    []*comingConfig
	abandoned map[string]map[string]bool // by path: what it had while it was not in use

	names  []string
	cfg    Config
	texts  map[string]string
	parsed map[string]*template.Template
}

const (
	failedCommand = "\x00a command failed"
	missing       = "\x00no file"
)

func playFlight(t *testing.T, r *rig, seed uint64) {
	if info, err := os.Stat("/dev/shm"); err == nil && info.IsDir() { // files in memory: thousands of histories sync nothing
		if dir, err := os.MkdirTemp("/dev/shm", "render-test-"); err == nil {
			r.dir = dir
			t.Cleanup(func() { _ = os.RemoveAll(dir) })
		}
	}
	random := rand.New(rand.NewPCG(seed, 10))
	f := &flight{
		played: &played{random: random, answers: make(map[watch.Query]any)},
		t:      t, r: r, random: rand.New(rand.NewPCG(seed, 11)), crashAt: -1,
		seen: make(map[string]string), foreign: make(map[string]string),
		texts: make(map[string]string), parsed: make(map[string]*template.Template),
	}
	if seed%2 == 1 {
		f.leasing = rand.New(rand.NewPCG(seed, 12))
	}
	defer func() {
		if t.Failed() {
			t.Logf("RENDER_SEED=%d\nlog:\n%s", seed, r.log)
		}
	}()
	f.configure(random)
	for range random.IntN(12) {
		f.answer()
	}
	f.start()
	defer func() { _ = f.r.stop() }()
	for i := range 25 {
		f.step(random)
		f.check()
		if i%5 == 4 {
			r.wantSnapshot()
		}
	}

	// Nothing fails any more, and everything that can be is applied.
	f.mu.Lock()
	f.calm, f.crashAt = true, -1
	f.mu.Unlock()
	if f.isDead() {
		f.restart()
	}
	for i := range 4 {
		f.write(fmt.Sprint("t", i), random, false)
	}
	f.look()
	f.apply()
	elapse(20 * time.Minute)
	f.check()
	f.wantAll()
	f.wantLeases()
	f.stop()
}

// fragmentsInFlight are like fragments, with what acts on more than the output. NAME stands for the target's name, DIR for the folder.
var fragmentsInFlight = []string{
	`{{writeToFile "DIR/NAME.more" "" "" "0644" (keyOrDefault "a" "none")}}`,
	`{{if keyExists "b"}}{{writeToFile "DIR/NAME.cert" "" "" "0600" (key "b")}}{{end}}`,
	`{{plugin "program" (keyOrDefault "a" "none")}} {{keyOrDefault "c" ""}}`,
	`{{plugin "program"}}{{keyOrDefault "b" ""}}`,
	`{{keyOrDefault "a" "x"}}`, `{{keyOrDefault "b" "y"}}`,
	`{{key "a"}}`, `{{key "b"}}`,
}

func (f *flight) write(name string, random *rand.Rand, mayBreak bool) {
	var text strings.Builder
	for range 1 + random.IntN(3) {
		all := fragmentsInFlight
		if random.IntN(3) == 0 {
			all = fragments
		}
		text.WriteString(all[random.IntN(len(all))])
	}
	if f.leasing != nil {
		for range f.leasing.IntN(3) {
			text.WriteString(leaseFragments[f.leasing.IntN(len(leaseFragments))])
		}
	}
	if mayBreak && random.IntN(6) == 0 {
		text.WriteString("{{")
	}
	f.r.write(name+".ctmpl", strings.NewReplacer("NAME", name, "DIR", f.r.dir).Replace(text.String()))
}

// configure makes a random configuration. Targets that were there keep their templates.
func (f *flight) configure(random *rand.Rand) {
	f.names = nil
	cfg := Config{WatchTemplates: true, Env: []string{fmt.Sprint("N=", random.IntN(2))}}
	for i := range 2 {
		a := Action{Name: fmt.Sprint("action", i), Command: run.Command{Args: []string{"command"}}, Timeout: 20 * time.Second}
		a.Atomic = random.IntN(5) == 0
		a.Spacing = time.Duration(random.IntN(3)) * time.Second
		switch random.IntN(4) {
		case 0:
			a.Check = run.Command{Args: []string{"check"}}
		case 1:
			a.Check = run.Command{Args: []string{"check", "{}"}}
		case 2:
			a.Verify = commit.Verify{Command: run.Command{Args: []string{"verify"}}, Within: 5 * time.Second, Every: time.Second}
		}
		cfg.Actions = append(cfg.Actions, a)
	}
	if random.IntN(3) == 0 {
		cfg.Implied.Wait = pace.Wait{Min: time.Second, Max: 3 * time.Second}
	}
	for i := range 4 {
		if i > 0 && random.IntN(4) == 0 {
			continue
		}
		name := fmt.Sprint("t", i)
		f.names = append(f.names, name)
		if f.r.read(name+".ctmpl") == "no file" {
			f.write(name, random, false)
		}
		target := Target{Source: f.r.path(name + ".ctmpl"), Destination: f.r.path(name)}
		switch n := random.IntN(4); {
		case i == 3: // alone: no command ever runs for it
		case n < 2:
			target.Action = "action0"
		case n == 2:
			target.Action = "action1"
		default:
			target.Command = run.Command{Args: []string{"command", fmt.Sprint(random.IntN(2))}}
		}
		if random.IntN(2) == 0 {
			target.Drift = RepairDrift
		}
		target.File.Backup = random.IntN(4) == 0
		cfg.Targets = append(cfg.Targets, target)
	}
	if random.IntN(2) == 0 {
		cfg.Exec = run.Program{Command: run.Command{Args: []string{"service"}}, OnChange: run.OnChange(random.IntN(2)), Reload: syscall.SIGHUP}
	}
	f.cfg = cfg
}

func (f *flight) start() {
	cfg := f.cfg
	cfg.Log = f.r.log.logger()
	cfg.unnotified = true
	cfg.step = f.commitStep
	cfg.executes = f.runPass
	cfg.outside = &programs{run: f.runCommand, output: f.runPlugin, start: f.startService}
	f.runs++
	f.lessor = newLessor(fmt.Sprint("run", f.runs), f.endLease) // a start knows no leases of an earlier one
	src := watch.ByKind{watch.KindSecret: f.lessor, "": f.r.world}
	f.mu.Lock()
	f.begin(cfg)
	f.mu.Unlock()
	engine, err := New(src, cfg)
	if err != nil { // a template is broken
		for _, name := range f.names {
			f.write(name, f.played.random, false)
		}
		if engine, err = New(src, cfg); err != nil {
			f.t.Fatal(err)
		}
	}
	f.r.engine = engine
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- engine.Run(ctx) }()
	f.r.stop = sync.OnceValue(func() error {
		cancel()
		return <-ended
	})
	synctest.Wait()
}

func (f *flight) stop() {
	if err := f.r.stop(); err != nil {
		f.t.Errorf("Run returned %v", err)
	}
}

// restart starts the program after a crash.
func (f *flight) restart() {
	f.r.log.logger().Info("killed; it starts again")
	f.stop()
	f.mu.Lock()
	f.dead, f.crashAt, f.service = false, -1, nil
	f.mu.Unlock()
	f.start()
}

func (f *flight) step(random *rand.Rand) {
	if f.isDead() {
		f.restart()
		return
	}
	if f.leasing != nil && f.leasing.IntN(3) == 0 {
		f.lessor.rotate(f.leasing)
	}
	switch random.IntN(14) {
	case 0, 1, 2, 3, 4:
		for range 1 + random.IntN(3) {
			f.answer()
		}
	case 5, 6:
		f.write(f.names[random.IntN(len(f.names))], random, true)
		f.look()
	case 7: // edited, and edited back
		name := f.names[random.IntN(len(f.names))]
		text := f.r.read(name + ".ctmpl")
		f.write(name, random, true)
		f.look()
		elapse(time.Duration(random.IntN(4000)) * time.Millisecond)
		f.r.write(name+".ctmpl", text)
		f.look()
	case 8, 9:
		f.configure(random)
		f.apply()
	case 10:
		f.mu.Lock()
		f.crashAt = random.IntN(12)
		f.mu.Unlock()
	case 11:
		name := f.names[random.IntN(len(f.names))]
		f.mu.Lock()
		f.foreign[f.r.path(name)] = "by hand"
		f.mu.Unlock()
		f.r.write(name, "by hand")
	default:
	}
	elapse(time.Duration(random.IntN(5000)) * time.Millisecond)
}

func (f *flight) isDead() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.dead
}

// apply gives the engine the configuration, without waiting for commits in flight.
func (f *flight) apply() {
	cfg := f.cfg
	f.mu.Lock()
	coming := f.offer(cfg)
	f.mu.Unlock()
	go func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Minute)
		defer cancel()
		err := f.r.engine.Apply(ctx, cfg)
		f.mu.Lock()
		defer f.mu.Unlock()
		f.land(coming, err)
	}()
	synctest.Wait()
}

// look has the engine look at the templates.
func (f *flight) look() {
	if w := f.r.engine.templates; w != nil {
		w.Touch()
	}
	elapse(time.Second)
}

// answer changes an answer. One in twenty makes contents that a check rejects.
func (f *flight) answer() {
	q, value := f.draw()
	if f.played.random.IntN(2) == 0 {
		q = kv([]string{"a", "b", "c"}[f.played.random.IntN(3)])
		value = []string{"1", "2", "", "rejected"}[f.played.random.IntN(4)]
	}
	f.r.world.set(q, value)
	f.answers[q] = value
}

// commitStep is called at each step of a commit. The program may be killed there.
func (f *flight) commitStep(string) {
	f.mu.Lock()
	if f.crashAt >= 0 {
		if f.crashAt--; f.crashAt < 0 {
			f.dead = true
		}
	}
	dead := f.dead
	f.mu.Unlock()
	if dead {
		runtime.Goexit()
	}
}

// chance reports true one in n times, unless nothing fails any more.
func (f *flight) chance(n int) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return !f.calm && f.random.IntN(n) == 0
}

func (f *flight) someTime() time.Duration {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.random.IntN(3) == 0 {
		return 0
	}
	return time.Duration(f.random.IntN(4000)) * time.Millisecond
}

// runCommand stands for a check, a command or a verification. A command loads the files that it is told of.
func (f *flight) runCommand(c run.Command, l run.Limits) (string, error) {
	time.Sleep(min(f.someTime(), l.Timeout))
	f.commitStep("")
	changed := changedOf(l.Env)
	switch c.Args[0] {
	case "check":
		files := changed
		if len(c.Args) > 1 {
			files = c.Args[1:]
		}
		for _, path := range files {
			if strings.Contains(readFile(path), "rejected") {
				return "rejected", errors.New("exit status 1")
			}
		}
		if f.chance(12) {
			return "", errors.New("exit status 2")
		}
		return "", nil
	case "verify":
		f.mu.Lock()
		defer f.mu.Unlock()
		for _, path := range changed {
			if f.service != nil && f.service.loaded[path] != readFile(path) {
				return "", errors.New("the service does not have " + path)
			}
		}
		if !f.calm && f.random.IntN(8) == 0 {
			return "", errors.New("exit status 1")
		}
		return "", nil
	}

	fails := f.chance(5)
	f.mu.Lock()
	for _, path := range changed {
		f.seen[path] = readFile(path)
		if fails {
			f.seen[path] = failedCommand
		}
	}
	f.mu.Unlock()
	time.Sleep(min(f.someTime(), l.Timeout))
	f.commitStep("")
	if fails {
		return "failed", errors.New("exit status 1")
	}
	return "", nil
}

func changedOf(env []string) []string {
	for _, entry := range env {
		if files, ok := strings.CutPrefix(entry, "RENDER_CHANGED="); ok && files != "" {
			return strings.Split(files, "\n")
		}
	}
	return nil
}

func readFile(path string) string {
	b, err := os.ReadFile(path)
	if err != nil {
		return missing
	}
	return string(b)
}

// runPlugin stands for the program of a template: what it prints depends on its arguments.
func (f *flight) runPlugin(ctx context.Context, c run.Command, _ run.Limits, _ int64) ([]byte, string, error) {
	timer := time.NewTimer(f.someTime())
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
		return nil, "", ctx.Err()
	}
	if f.chance(6) {
		return nil, "failed", errors.New("exit status 1")
	}
	return []byte("<" + strings.Join(c.Args, " ") + ">"), "", nil
}

// runPass executes a template. One in four takes time between what it asks, or hangs; the answers stay the same meanwhile.
func (f *flight) runPass(t *template.Template, ctx context.Context, lookup template.Lookup) template.Result {
	if f.chance(40) {
		<-ctx.Done()
	}
	f.mu.Lock()
	slow := f.random.IntN(4) == 0
	f.mu.Unlock()
	if !slow {
		return t.Execute(ctx, lookup)
	}
	type answer struct {
		value    any
		answered bool
	}
	seen := make(map[watch.Query]answer)
	return t.Execute(ctx, func(q watch.Query) (any, bool) {
		timer := time.NewTimer(f.someTime())
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-ctx.Done():
		}
		value, answered := lookup(q)
		seen[q] = answer{value, answered}
		for q, was := range seen {
			if value, answered := lookup(q); ctx.Err() == nil && (answered != was.answered || !watch.Equal(value, was.value)) {
				f.t.Errorf("%s: %v, %t became %v, %t during a pass", q, was.value, was.answered, value, answered)
			}
		}
		return value, answered
	})
}

// fakeChild is a supervised program that takes fake time.
type fakeChild struct {
	f       *flight
	program run.Program
	loaded  map[string]string // guarded by flight.mu
	ended   chan error
	stop    sync.Once
	wg      sync.WaitGroup
}

func (f *flight) startService(p run.Program, _ []string, _ *slog.Logger) supervise.Child {
	c := &fakeChild{f: f, program: p, ended: make(chan error, 1)}
	f.mu.Lock()
	f.service = c
	f.mu.Unlock()
	c.load()
	return c
}

func (c *fakeChild) load() {
	files := make(map[string]string)
	entries, _ := os.ReadDir(c.f.r.dir)
	for _, e := range entries {
		path := filepath.Join(c.f.r.dir, e.Name())
		files[path] = readFile(path)
	}
	c.f.mu.Lock()
	c.loaded = files
	c.f.mu.Unlock()
}

func (c *fakeChild) Program() run.Program { return c.program }

func (c *fakeChild) Reload() <-chan struct{} {
	done := make(chan struct{})
	c.wg.Go(func() {
		time.Sleep(c.f.someTime() / 4)
		c.load()
		close(done)
	})
	return done
}

func (c *fakeChild) Signal(syscall.Signal) {}
func (c *fakeChild) Stop(syscall.Signal) {
	c.stop.Do(func() {
		c.f.mu.Lock()
		if c.f.service == c {
			c.f.service = nil
		}
		c.f.mu.Unlock()
		c.ended <- nil
	})
}
func (c *fakeChild) Ended() <-chan error { return c.ended }
func (c *fakeChild) Wait()               { c.wg.Wait() }

// check checks what has to be true of applied targets at any moment. Everybody waits at this moment, so that the engine's
// state can be looked at.
func (f *flight) check() {
	f.t.Helper()
	synctest.Wait()
	if f.isDead() {
		return
	}
	e := f.r.engine
	defer func() { _ = f.r.status() }() // what follows in the loop comes after this look at its state
	for _, s := range f.idle().Targets {
		t := e.byDestination[s.Destination]
		if s.State != status.Applied || t == nil {
			continue
		}
		want := f.scratch(t).Execute(context.Background(), func(q watch.Query) (any, bool) { return e.graph.Value(q) })
		if !want.Finished() {
			if slices.ContainsFunc(want.Pending, func(q watch.Query) bool { return q.Kind == watch.KindPlugin }) {
				continue // another template has it run again
			}
			f.t.Fatalf("%s is applied, and a render from scratch does not finish: %+v\n%s", s.Destination, want, t.texts.Body)
		}
		f.wantPath(t, s.Destination, string(want.Output))
		for _, w := range want.Writes {
			f.wantPath(t, w.Path, string(w.Contents))
		}
		f.noteApplied(s.Destination)
	}
}

// idle returns the state of an engine whose loop waits for events: it does not wait for the end of a pass, which takes time.
func (f *flight) idle() status.Status {
	for {
		synctest.Wait()
		began := time.Now()
		s := f.r.status()
		if time.Now().Equal(began) {
			synctest.Wait()
			return s
		}
	}
}

func (f *flight) wantPath(t *target, path, want string) {
	f.t.Helper()
	f.mu.Lock()
	defer f.mu.Unlock()
	got := readFile(path)
	if foreign, touched := f.foreign[path]; touched {
		if got == foreign && want != foreign {
			return // somebody else has changed it, and nobody has looked yet
		}
		delete(f.foreign, path)
	}
	if got != want {
		f.t.Fatalf("%s is applied and holds %q, a render from scratch gives %q\ntext: %s", path, got, want, t.texts.Body)
	}
	if seen, ran := f.seen[path]; ran && seen != want {
		f.t.Fatalf("%s is applied and holds %q; the last command that had to do with it saw %q", path, got, seen)
	}
}

func (f *flight) scratch(t *target) *template.Template {
	if f.parsed[t.texts.Body] == nil {
		parsed, err := template.Parse("scratch", t.texts.Body, template.Options{})
		if err != nil {
			f.t.Fatal(err)
		}
		f.parsed[t.texts.Body] = parsed
	}
	return f.parsed[t.texts.Body]
}

// wantAll checks what has to be true when nothing fails any more.
func (f *flight) wantAll() {
	f.t.Helper()
	e := f.r.engine
	clean := true
	for i, s := range f.idle().Targets {
		t := e.targets[i]
		path := s.Destination
		if body := f.r.read(filepath.Base(t.cfg.Source)); body != t.texts.Body {
			f.t.Fatalf("%s: the template on disk is not in use:\n%s\n%s", path, body, t.texts.Body)
		}
		result := f.scratch(t).Execute(context.Background(), func(q watch.Query) (any, bool) {
			if q.Kind == watch.KindPlugin || q.Kind == watch.KindSecret {
				return e.graph.Value(q)
			}
			value, ok := f.answers[q]
			return value, ok
		})
		rejected := bytes.Contains(result.Output, []byte("rejected"))
		for _, w := range result.Writes {
			rejected = rejected || bytes.Contains(w.Contents, []byte("rejected"))
		}
		for _, d := range e.debts.Of(t.action) { // an old file that is back, from a time without a check
			rejected = rejected || strings.Contains(readFile(d.Path), "rejected")
		}
		switch {
		case !result.Finished(), rejected && !t.action.cfg.Check.IsZero(), t.action.cfg.Atomic:
			clean = clean && !t.action.cfg.Atomic
		case s.State != status.Applied && !f.heldByOther(t):
			f.t.Fatalf("%s is %s long after everything was well: %v %+v", path, s.State, s.Err, e.status().Actions)
		}
	}
	if f.service != nil && !f.service.program.Command.IsZero() && e.program.Child == supervise.Child(f.service) {
		f.mu.Lock()
		loaded := maps.Clone(f.service.loaded)
		f.mu.Unlock()
		for _, s := range f.r.status().Targets {
			byHand := f.foreign[s.Destination] != "" && readFile(s.Destination) == f.foreign[s.Destination]
			if s.State == status.Applied && !byHand && loaded[s.Destination] != readFile(s.Destination) {
				f.t.Fatalf("the supervised program has %q of %s, which holds %q", loaded[s.Destination], s.Destination, readFile(s.Destination))
			}
		}
	}
	for _, a := range e.actions {
		clean = clean && !a.pending && a.err == nil
	}
	if clean {
		f.wantNothingLeft()
	}
}

// heldByOther reports whether a target may wait because another one of its action is rejected.
func (f *flight) heldByOther(t *target) bool {
	return slices.ContainsFunc(t.action.targets, func(other *target) bool { return other.WasRejected() })
}

// wantNothingLeft checks that nothing of ours is left beside the files of targets that are there.
func (f *flight) wantNothingLeft() {
	f.t.Helper()
	entries, err := os.ReadDir(f.r.dir)
	f.r.must(err)
	for _, e := range entries {
		ours, ok := strings.CutPrefix(e.Name(), ".render-")
		for _, t := range f.r.engine.targets {
			if !t.UpToDate() || !t.finished() {
				continue
			}
			for _, path := range append(slices.Collect(maps.Keys(f.r.engine.claims.Of(t))), t.cfg.Destination) {
				end, of := strings.CutPrefix(ours, filepath.Base(path))
				if end == ".owed" && !strings.Contains(f.r.read(e.Name()), `{"name":"`+filepath.Base(path)+`"`) {
					continue // for others, of an action that is gone
				}
				if ok && of && (end == ".owed" || end == ".old" || strings.Trim(end, "-0123456789") == "") {
					f.t.Fatalf("left behind: %s: %q", e.Name(), f.r.read(e.Name()))
				}
			}
		}
	}
}
