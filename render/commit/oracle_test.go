package commit

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"render/render/disk"
	"render/render/run"
)

// TestCrashOracle plays random histories: a commit crashes at some step, and the next start commits the same contents or
// others. Each history is compared with those of twins that do not crash. RENDER_SOAK=1 plays more histories, with a crash at
// each step.
func TestCrashOracle(t *testing.T) {
	histories, everyStep := uint64(200), false
	if os.Getenv("RENDER_SOAK") != "" {
		histories, everyStep = 1000, true
	} else if testing.Short() {
		histories = 50
	}
	dir := inMemory(t)
	crashes, began := 0, time.Now()
	for seed := range histories {
		s := newScenario(seed)
		without, with := s.play(t, dir, history{noFirst: true}), s.play(t, dir, history{crashAt: -1})
		steps := []int{rand.New(rand.NewPCG(seed, 1)).IntN(with.steps)}
		if everyStep {
			steps = steps[:0]
			for step := range with.steps {
				steps = append(steps, step)
			}
		}
		for _, step := range steps {
			crashes++
			s.compare(t, s.play(t, dir, history{crashAt: step}), without, with)
		}
		if t.Failed() {
			t.Fatalf("seed %d: %+v", seed, s)
		}
	}
	t.Logf("%d histories, %d crashes, %s", histories, crashes, time.Since(began).Round(time.Millisecond))
}

// inMemory returns a folder that is in memory where there is one: syncs of many small files take long elsewhere.
func inMemory(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "render-test-")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

// A scenario is what is there in the beginning, and three plans for the same files, one after another.
type scenario struct {
	seed     uint64
	names    []string
	initial  []string // contents; "" for no file
	contents [4][]string
	action   Action
	options  disk.Options
	broken   bool // the command fails for whatever is there in commit 0: that leaves debts
	crash0   bool // commit 0 crashes with all files in place
	noZero   bool // there is no commit 0
	same     bool // commit 2 has the contents of commit 1
	fromDisk bool // commit 2 asks the disk for debts also where nothing has crashed
}

// What some contents are bad for.
var kinds = []string{"fine", "fine", "fine", "check", "command", "verify"}

func newScenario(seed uint64) *scenario {
	random := rand.New(rand.NewPCG(seed, 0))
	chance := func(n int) bool { return random.IntN(n) == 0 }
	s := &scenario{seed: seed, broken: chance(2), crash0: chance(2), noZero: chance(2), same: chance(2), fromDisk: chance(2)}
	folders := []string{"", "one/", "one/two/"}[:1+random.IntN(3)]
	for i := range 1 + random.IntN(5) {
		s.names = append(s.names, fmt.Sprint(folders[random.IntN(len(folders))], "f", i))
		initial := ""
		if !chance(3) {
			initial = fmt.Sprint("i", i)
		}
		s.initial = append(s.initial, initial)
		for n := range s.contents {
			kind := kinds[random.IntN(len(kinds))]
			if n == len(s.contents)-1 {
				kind = "fine"
			}
			s.contents[n] = append(s.contents[n], fmt.Sprint(n, "-", i, " ", kind))
		}
		if chance(4) && initial != "" {
			s.contents[random.IntN(3)][i] = initial
		}
	}
	if s.same {
		s.contents[2] = s.contents[1]
	}

	of := func(args ...string) run.Command { return run.Command{Args: args} }
	s.action.Check = []run.Command{{}, of("check"), of("check", "{}")}[random.IntN(3)]
	if s.action.Atomic = chance(3); !chance(6) {
		s.action.Command = of("command")
	}
	if chance(2) {
		s.action.Verify = Verify{Command: of("verify"), Within: 1}
	}
	s.options.Backup = chance(3)
	if chance(3) {
		s.options.Perms = 0o600
	}
	return s
}

// history says what happens in a scenario.
type history struct {
	noFirst bool // there is no commit 1
	crashAt int  // the step at which commit 1 crashes; negative for none
}

// outcome is what a history has come to.
type outcome struct {
	history
	steps int // of commit 1
	files map[string]string
	modes map[string]fs.FileMode
	seen  string // by the last command that succeeded
	now   string // what it would see
	last  Result
}

// machine is the folder of a history, with the commands that run there.
type machine struct {
	place
	*scenario
	seen   string
	broken bool
}

// all returns what a command sees.
func (m *machine) all() string {
	var b strings.Builder
	for _, name := range m.names {
		text, err := os.ReadFile(m.path(name))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			m.t.Fatal(err)
		}
		fmt.Fprintf(&b, "%s: %s\n", name, text)
	}
	return b.String()
}

// run stands for the programs of the action.
func (m *machine) run(c run.Command, _ run.Limits) (string, error) {
	text := m.all()
	if len(c.Args) > 1 { // a staged file
		b, err := os.ReadFile(c.Args[1])
		m.must(err)
		text = string(b)
	}
	kind := c.Args[0]
	if strings.Contains(text, kind) || kind == "command" && m.broken {
		return "it is bad", errors.New("exit status 1")
	}
	if kind == "command" {
		m.seen = text
	}
	return "", nil
}

// plan returns the plan of commit n.
func (m *machine) plan(n int) Plan {
	plan := Plan{Action: m.action}
	for i, name := range m.names {
		plan.Files = append(plan.Files, File{Destination: m.path(name), Contents: []byte(m.contents[n][i]), Options: m.options})
	}
	plan.Files = append(plan.Files, File{
		Destination: m.path("journal"), Contents: fmt.Appendf(nil, "line %d\n", n), Written: true, Append: true,
	})
	return plan
}

// commit carries out a plan up to a step; a negative one does not come. It returns how many steps there were.
func (m *machine) commit(plan Plan, crashAt int) (r Result, steps int, isCrash bool) {
	tools := Tools{Run: m.run, Send: run.Signal.Send, Stop: NewStop(), Step: func(string) {
		if steps++; steps == crashAt+1 {
			panic(crashed{})
		}
	}}
	isCrash = crashes(func() { r = Do(plan, tools) })
	return r, steps, isCrash
}

// play plays a history of the scenario.
func (s *scenario) play(t *testing.T, dir string, h history) *outcome {
	t.Helper()
	dir, err := os.MkdirTemp(dir, "")
	m := &machine{place: place{t, dir}, scenario: s}
	m.must(err)
	defer os.RemoveAll(dir)
	for i, name := range s.names {
		if s.initial[i] != "" {
			m.must(os.MkdirAll(filepath.Dir(m.path(name)), 0o755))
			m.write(name, s.initial[i], 0o640)
		}
	}
	m.seen = m.all()
	o := &outcome{history: h}

	// An earlier commit that may leave debts.
	var r Result
	if !s.noZero {
		m.broken = s.broken
		at := -1
		if s.crash0 {
			at = 3 + len(s.names)
		}
		r, _, _ = m.commit(m.plan(0), at)
		m.broken = false
	}
	next := func(plan Plan, fromDisk bool) Plan {
		if fromDisk {
			return m.recall(plan)
		}
		plan.Debts, plan.Pending = r.Debts, r.Pending
		return plan
	}

	// The commit that crashes, and the next one.
	var isCrash bool
	if !h.noFirst {
		plan := next(m.plan(1), true)
		before := m.journal(1)
		r, o.steps, isCrash = m.commit(plan, h.crashAt)
		if isCrash != (h.crashAt >= 0) {
			t.Fatalf("seed %d: crash at step %d of %d: %v", s.seed, h.crashAt, o.steps, isCrash)
		}
		if isCrash {
			r = Result{}
		} else {
			m.check("commit 1", plan, r, 1)
		}
		m.wantLine(1, before, r, isCrash)
	} else {
		isCrash = true
	}
	isAppended := false
	for attempt := range 3 { // contents of commit 1 that are in place may have been what failed
		plan := next(m.plan(2), attempt == 0 && isCrash || s.fromDisk)
		if isAppended {
			plan.Files = slices.DeleteFunc(plan.Files, func(f File) bool { return f.Append })
		}
		before := m.journal(2)
		r, _, _ = m.commit(plan, -1)
		m.check(fmt.Sprint("commit 2, attempt ", attempt), plan, r, 2)
		m.wantLine(2, before, r, false)
		isAppended = isAppended || appended(r) > 0
	}
	o.last, o.seen, o.now, o.files, o.modes = r, m.seen, m.all(), m.files(), m.allModes()

	// Good contents at last.
	plan := next(m.plan(3), s.fromDisk)
	r, _, _ = m.commit(plan, -1)
	m.check("commit 3", plan, r, 3)
	if r.Err != nil || len(r.Failed) > 0 || r.Pending {
		t.Errorf("commit 3 of good contents: %+v", r)
	}
	if t.Failed() {
		t.Fatalf("seed %d, %+v: %+v", s.seed, h, s)
	}
	return o
}

// appended returns how many appends of a commit have succeeded.
func appended(r Result) int {
	n := 0
	for _, err := range r.Appends {
		if err == nil {
			n++
		}
	}
	return n
}

func (m *machine) journal(n int) int {
	return strings.Count(m.files()["journal"], fmt.Sprintf("line %d\n", n))
}

// wantLine says that the line of a commit is in the journal once if that was in the result, and that a commit that crashed has
// added it at most once.
func (m *machine) wantLine(n, before int, r Result, crash bool) {
	m.t.Helper()
	got, want := m.journal(n)-before, appended(r)
	if got != want && !(crash && (got == 0 || got == 1)) {
		m.t.Errorf("commit %d: %d times in the journal, want %d", n, got, want)
	}
}

func (m *machine) allModes() map[string]fs.FileMode {
	modes := make(map[string]fs.FileMode)
	for _, name := range m.names {
		if info, err := os.Stat(m.path(name)); err == nil {
			modes[name] = info.Mode()
		}
	}
	return modes
}

// check checks what is so after each commit that did not crash.
func (m *machine) check(what string, plan Plan, r Result, n int) {
	m.t.Helper()
	fail := func(format string, args ...any) {
		m.t.Helper()
		m.t.Errorf("seed %d, %s: %s\nfolder: %q\nresult: %+v", m.seed, what, fmt.Sprintf(format, args...), m.files(), r)
	}
	files := m.files()

	// Each file is whole, and what it should be.
	same := make(map[string]bool) // the commits whose contents all files have
	for i := range n + 1 {
		same[fmt.Sprint(i)] = true
	}
	same["initial"] = true
	for i, name := range m.names {
		got := files[name]
		known := got == m.initial[i]
		same["initial"] = same["initial"] && got == m.initial[i]
		for j := range n + 1 {
			known = known || got == m.contents[j][i]
			same[fmt.Sprint(j)] = same[fmt.Sprint(j)] && got == m.contents[j][i]
		}
		if !known {
			fail("%s holds %q", name, got)
		}
		if r.Err == nil && r.Failed[m.path(name)] == nil && got != m.contents[n][i] {
			fail("%s holds %q after a success, want %q", name, got, m.contents[n][i])
		}
		for _, kind := range []string{"check", "command", "verify"} {
			if !r.Pending && strings.Contains(got, kind) && m.rejects(kind) {
				fail("%s holds %q, which is bad, and nothing is pending", name, got)
			}
		}
	}
	if !r.Pending && m.action.Atomic && !slices.Contains(slices.Collect(maps.Values(same)), true) {
		fail("an atomic action has files of several commits")
	}

	// What is owed is on disk; else nothing is.
	recalled := m.recall(plan)
	if len(recalled.Debts) != len(r.Debts) || recalled.Pending && !r.Pending {
		fail("the next start would have the debts %v", recalled.Debts)
	}
	for i := range recalled.Debts {
		if recalled.Debts[i].Mark != r.Debts[i].Mark || recalled.Debts[i].Path != r.Debts[i].Path {
			fail("the next start would have the debts %v", recalled.Debts)
		}
	}
	if r.Pending {
		return
	}
	for name := range files {
		if strings.HasPrefix(filepath.Base(name), prefix) {
			fail("left behind: %s", name)
		}
	}
	if now := m.all(); !m.action.Command.IsZero() && m.seen != now {
		fail("the command saw %q, want %q", m.seen, now)
	}
}

// rejects reports whether the action notices contents that are bad for something.
func (m *machine) rejects(kind string) bool {
	switch kind {
	case "check":
		return !m.action.Check.IsZero()
	case "command":
		return !m.action.Command.IsZero()
	}
	return !m.action.Verify.IsZero()
}

// compare compares a history with a crash with that of a twin without the commit that crashed, and of one in which it did not
// crash.
func (s *scenario) compare(t *testing.T, got, without, with *outcome) {
	t.Helper()
	for i, name := range s.names {
		text, mode := with.files[name], with.modes[name]
		if !s.same && (text != without.files[name] || mode != without.modes[name]) {
			continue
		}
		if !s.same && !s.action.Atomic && got.files[name] == s.contents[1][i] { // good ones that others held back
			continue
		}
		if got.files[name] != text || got.modes[name] != mode {
			t.Errorf("crash at step %d of %d: %s holds %q with mode %o, want %q with mode %o\nthe folder: %q\nwithout a crash: %q\nresult: %+v",
				got.crashAt, with.steps, name, got.files[name], got.modes[name], text, mode, got.files, with.files, got.last)
		}
	}
	if s.same && got.last.Pending != with.last.Pending {
		t.Errorf("crash at step %d of %d: pending %v, want %v\n%+v", got.crashAt, with.steps, got.last.Pending, with.last.Pending, got.last)
	}
}
