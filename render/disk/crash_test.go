package disk

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// This binary is also a commit that kills itself: see TestKilled.
func TestMain(m *testing.M) {
	if dir := os.Getenv("RENDER_TEST_KILLED_IN"); dir != "" {
		at, err := strconv.Atoi(os.Getenv("RENDER_TEST_KILLED_AT"))
		if err == nil {
			err = commitAndBeKilled(dir, at, os.Getenv("RENDER_TEST_FAILS") != "")
		}
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// killable returns what TestKilled commits: a has been there before, b has not, c is in another folder, d goes from one
// failure to the next.
func killable(dir, contents string) []Want {
	var wants []Want
	for _, name := range []string{"a", "b", "in/c", "in/d"} {
		wants = append(wants, Want{Path: filepath.Join(dir, name), Contents: []byte(contents), Options: Options{Backup: name == "a"}})
	}
	return wants
}

func acceptsNothingNew(dir string) func() error {
	return func() error {
		for _, name := range []string{"a", "b", "in/c", "in/d"} {
			if b, _ := os.ReadFile(filepath.Join(dir, name)); string(b) == "new" {
				return errAction
			}
		}
		return nil
	}
}

// commitAndBeKilled kills itself at a step. With a step that does not exist it prints how many there are.
func commitAndBeKilled(dir string, at int, failing bool) error {
	act := succeeds
	if failing {
		act = acceptsNothingNew(dir)
	}
	debts, err := Recall([]string{filepath.Join(dir, "in/d")})
	if err != nil || len(debts) != 1 {
		return fmt.Errorf("debts %v, %w", debts, err)
	}
	steps := 0
	o := commit(func(string) {
		if steps++; steps == at {
			_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
			select {} // it may take a moment
		}
	}, act, debts, killable(dir, "new")...)
	fmt.Println(steps)
	if len(o.failed) > 0 || len(o.warnings) > 0 {
		return fmt.Errorf("failed %v, warnings %v", o.failed, o.warnings)
	}
	return errors.New("it was not killed")
}

// kill runs commitAndBeKilled in a new place.
func kill(t *testing.T, at int, failing bool) (p testPlace, steps int) {
	t.Helper()
	p = newPlace(t)
	p.must(os.Mkdir(p.path("in"), 0o755))
	p.write("a", "old", 0o640)
	p.write("in/c", "old", 0o640)
	p.write("in/d", "old", 0o640)
	b := NewBatch(nil) // d has contents that are owed
	f, _, err := b.Stage(p.wants("in/d", "earlier"))
	p.must(err)
	_, _, err = b.Save([]*File{f})
	p.must(err)
	_, err = f.Swap()
	p.must(err)

	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "RENDER_TEST_KILLED_IN="+p.dir, "RENDER_TEST_KILLED_AT="+strconv.Itoa(at))
	if failing {
		cmd.Env = append(cmd.Env, "RENDER_TEST_FAILS=1")
	}
	output, _ := cmd.CombinedOutput() // it is killed, or says that it was not
	if status, ok := cmd.ProcessState.Sys().(syscall.WaitStatus); ok && status.Signal() == syscall.SIGKILL {
		return p, 0
	}
	if _, err := fmt.Sscan(string(output), &steps); err != nil || !strings.Contains(string(output), "it was not killed") {
		t.Fatalf("%v\n%s", err, output)
	}
	return p, steps
}

// Whenever we are killed, each file is whole, the next start knows what is owed, and nothing is left behind once that is done.
// All files are completed together, also those of several folders.
func TestKilled(t *testing.T) {
	for _, failing := range []bool{false, true} {
		_, steps := kill(t, -1, failing)
		if steps < 15 {
			t.Fatalf("%d steps", steps)
		}
		for at := 1; at <= steps; at++ {
			for _, then := range []string{"new, succeeds", "new, fails", "old"} {
				t.Run(fmt.Sprintf("failing %v, step %d, then %s", failing, at, then), func(t *testing.T) {
					t.Parallel()
					testKilled(t, at, failing, then)
				})
			}
		}
	}
}

func testKilled(t *testing.T, at int, failing bool, then string) {
	p, steps := kill(t, at, failing)
	if steps > 0 {
		t.Fatal("it was not killed")
	}
	whole := map[string]string{"a": "old new", "b": " new", "in/c": "old new", "in/d": "old earlier new"}
	for name, of := range whole {
		if got := p.files()[name]; !strings.Contains(of, got) || got == "" && name != "b" {
			t.Fatalf("%s holds %q", name, got)
		}
	}
	var paths []string
	for _, w := range killable(p.dir, "") {
		paths = append(paths, w.Path)
	}
	debts, err := Recall(paths)
	p.must(err)
	owed := make(map[string]bool)
	for _, d := range debts {
		owed[strings.TrimPrefix(d.Path, p.dir+"/")] = true
	}
	isSwapped := p.files()["a"] == "new" || p.files()["in/c"] == "new"
	if owed["a"] != owed["b"] || owed["in/d"] != owed["in/c"] && owed["in/c"] || isSwapped && owed["a"] != owed["in/c"] {
		t.Errorf("pending for %v", owed)
	}

	act, contents := succeeds, strings.Fields(strings.ReplaceAll(then, ",", ""))[0]
	if then == "new, fails" {
		act = acceptsNothingNew(p.dir)
	}
	o := commit(nil, act, debts, killable(p.dir, contents)...)
	if len(o.failed) > 0 || len(o.warnings) > 0 || len(o.debts) > 0 {
		t.Errorf("failed %v, warnings %v, debts %v", o.failed, o.warnings, o.debts)
	}
	got := p.files()
	if backup, ok := got["a.bak"]; ok && backup != "old" && (backup != "new" || then != "old") {
		t.Errorf("the backup holds %q", backup)
	}
	delete(got, "a.bak")
	want := map[string]string{"a": contents, "b": contents, "in/c": contents, "in/d": contents}
	if then == "new, fails" {
		// What was completed stays, all or nothing; else all goes back to what it was before anything failed.
		want = map[string]string{"a": "old", "in/c": "old", "in/d": "old"}
		if !owed["a"] && got["a"] == "new" {
			want = map[string]string{"a": "new", "b": "new", "in/c": "new", "in/d": "new"}
		}
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("the folder holds %q, want %q", got, want)
	}
	if info, _ := p.stat("a"); info.Mode() != 0o640 {
		t.Errorf("mode %o", info.Mode())
	}
}
