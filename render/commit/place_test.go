package commit

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"maps"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"

	"render/render/disk"
	"render/render/run"
)

// place is a folder with helpers that end the test on errors.
type place struct {
	t   *testing.T
	dir string
}

func newPlace(t *testing.T) place { return place{t, t.TempDir()} }

func (p place) path(name string) string { return p.dir + "/" + name }

func (p place) must(err error) {
	p.t.Helper()
	if err != nil {
		p.t.Fatal(err)
	}
}

func (p place) write(name, text string, mode fs.FileMode) string {
	p.t.Helper()
	p.must(os.WriteFile(p.path(name), []byte(text), mode))
	p.must(os.Chmod(p.path(name), mode))
	return p.path(name)
}

// files returns what is in the folder: names with their contents, links with where they lead, marks as owed returns them.
func (p place) files() map[string]string {
	p.t.Helper()
	all := make(map[string]string)
	p.must(filepath.WalkDir(p.dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name, _ := filepath.Rel(p.dir, path)
		switch d.Type() {
		case 0:
			b, err := os.ReadFile(path)
			all[name] = describeMark(name, string(b))
			return err
		case fs.ModeSymlink:
			link, err := os.Readlink(path)
			all[name] = "-> " + link
			return err
		}
		return nil
	}))
	return all
}

const (
	prefix   = ".render-" // of the names of render's own files
	markText = "An action has yet to succeed since the files below were changed. render repeats it and then removes this file.\n"
)

// describeMark returns what a mark says, as owed writes it. Contents of other files it returns as they are.
func describeMark(name, text string) string {
	lines, isMark := strings.CutPrefix(text, markText)
	base := filepath.Base(name)
	if !strings.HasPrefix(base, prefix) || !strings.HasSuffix(base, ".owed") || !isMark {
		return text
	}
	var entries []string
	for line := range strings.Lines(lines) {
		var e struct {
			Name string
			Old  bool
		}
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			return text
		}
		file, err := url.PathUnescape(e.Name)
		if err != nil {
			return text
		}
		if !e.Old {
			file = "+" + file
		}
		entries = append(entries, file)
	}
	return owed(entries...)
}

// owed describes a mark for some files of its folder. A name with a + had no file before.
func owed(names ...string) string { return "owed: " + strings.Join(names, " ") }

func (p place) want(want map[string]string) {
	p.t.Helper()
	if got := p.files(); fmt.Sprint(got) != fmt.Sprint(want) {
		p.t.Errorf("the folder holds %q, want %q", got, want)
	}
}

// wantClean says that none of render's own files is left.
func (p place) wantClean() {
	p.t.Helper()
	for name := range p.files() {
		if strings.HasPrefix(filepath.Base(name), prefix) {
			p.t.Errorf("left behind: %s", name)
		}
	}
}

func (p place) stat(name string) (fs.FileInfo, *syscall.Stat_t) {
	p.t.Helper()
	info, err := os.Stat(p.path(name))
	p.must(err)
	return info, info.Sys().(*syscall.Stat_t)
}

func (p place) ino(name string) uint64 {
	p.t.Helper()
	_, stat := p.stat(name)
	return stat.Ino
}

func (p place) sh(line string) run.Command { return run.Command{Shell: "cd '" + p.dir + "'; " + line} }

func (p place) appends(name string) run.Command { return p.sh("echo ran >> '" + name + "'") }

// plan returns a plan for some files, in the order of their names.
func (p place) plan(a Action, files map[string]string) Plan {
	plan := Plan{Action: a}
	for _, name := range slices.Sorted(maps.Keys(files)) {
		plan.Files = append(plan.Files, File{Destination: p.path(name), Contents: []byte(files[name])})
	}
	return plan
}

// recall returns a plan with what an earlier run owes, as a start of the program does.
func (p place) recall(plan Plan) Plan {
	p.t.Helper()
	var paths []string
	for _, f := range plan.Files {
		paths = append(paths, f.Destination)
	}
	debts, err := disk.Recall(paths)
	p.must(err)
	plan.Debts, plan.Pending = debts, len(debts) > 0
	return plan
}

// begin returns a commit that a start of the program begins.
func (p place) begin(plan Plan) *commit {
	p.t.Helper()
	return newCommit(p.recall(plan), newTools(p.t))
}

// do carries out a plan as the first commit after a start of the program.
func (p place) do(plan Plan) Result {
	p.t.Helper()
	return Do(p.recall(plan), newTools(p.t))
}

// commit carries out a plan that has a command and some files.
func (p place) commit(command run.Command, files map[string]string) Result {
	p.t.Helper()
	return p.do(p.plan(Action{Command: command}, files))
}

// crash carries out a plan up to a step.
func (p place) crash(plan Plan, at string) {
	p.t.Helper()
	tools := newTools(p.t)
	tools.Step = func(step string) {
		if step == at {
			panic(crashed{})
		}
	}
	if !crashes(func() { Do(p.recall(plan), tools) }) {
		p.t.Fatalf("it did not come to the step %q", at)
	}
}

// crashed is the value of a panic that stands for a crash.
type crashed struct{}

// crashes reports whether a function has crashed.
func crashes(f func()) (yes bool) {
	defer func() {
		switch r := recover(); r {
		case nil:
		case crashed{}:
			yes = true
		default:
			panic(r)
		}
	}()
	f()
	return false
}

func newTools(t *testing.T) Tools {
	group := new(run.Group)
	t.Cleanup(func() {
		group.Kill()
		group.Close()
	})
	return Tools{Run: group.Run, Send: run.Signal.Send, Stop: NewStop(), Slots: make(Slots, 16)}
}

// bubble runs a test on a clock of its own. On several processors the race detector is brought down by that now and then.
func bubble(t *testing.T, test func(t *testing.T)) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	synctest.Test(t, test)
}
