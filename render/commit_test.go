package render

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
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

// files returns what is in the folder: names with their contents, links with where they lead.
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
			all[name] = string(b)
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

func (p place) want(want map[string]string) {
	p.t.Helper()
	if got := p.files(); fmt.Sprint(got) != fmt.Sprint(want) {
		p.t.Errorf("the folder holds %q, want %q", got, want)
	}
}

func (p place) stat(name string) (fs.FileInfo, *syscall.Stat_t) {
	p.t.Helper()
	info, err := os.Stat(p.path(name))
	p.must(err)
	return info, info.Sys().(*syscall.Stat_t)
}

// commit stages, swaps and runs.
func (p place) commit(command Command, files map[string]string) *commit {
	p.t.Helper()
	c := p.newCommit(command, files)
	c.stage()
	if c.swap() == nil && c.checkLive() == nil {
		_ = c.run()
	}
	return c
}

func (p place) newCommit(command Command, files map[string]string) *commit {
	c := &commit{cfg: Action{Command: command}}
	for name, text := range files {
		c.files = append(c.files, &stagedFile{destination: p.path(name), contents: []byte(text)})
	}
	return c
}

func TestR8CommitFile(t *testing.T) {
	tests := []struct {
		name    string
		before  func(p place)
		to      string // the destination; "out" where empty
		after   map[string]string
		changed bool
		mode    fs.FileMode // of the destination afterwards
	}{
		{name: "a new file", after: map[string]string{"out": "new"}, changed: true, mode: 0o644},
		{
			name:   "an old file keeps its mode",
			before: func(p place) { p.write("out", "old", 0o640) },
			after:  map[string]string{"out": "new"}, changed: true, mode: 0o640,
		},
		{
			name:   "the same contents",
			before: func(p place) { p.write("out", "new", 0o600) },
			after:  map[string]string{"out": "new"}, mode: 0o600,
		},
		{
			name:   "an empty file is not a missing one",
			before: func(p place) { p.write("out", "", 0o600) },
			after:  map[string]string{"out": "new"}, changed: true, mode: 0o600,
		},
		{name: "new folders", to: "a/b/out", after: map[string]string{"a/b/out": "new"}, changed: true, mode: 0o644},
		{
			name: "a link is followed",
			before: func(p place) {
				p.write("real", "old", 0o604)
				p.must(os.Symlink("real", p.path("out")))
			},
			after: map[string]string{"out": "-> real", "real": "new"}, changed: true, mode: 0o604,
		},
		{
			name: "a link into another folder, to a file that does not exist yet",
			before: func(p place) {
				p.must(os.Mkdir(p.path("sub"), 0o755))
				p.must(os.Symlink("sub/real", p.path("link")))
				p.must(os.Symlink("link", p.path("out")))
			},
			after: map[string]string{"out": "-> link", "link": "-> sub/real", "sub/real": "new"}, changed: true, mode: 0o644,
		},
		{
			name: "a name that is as long as names can be", to: strings.Repeat("x", 255),
			after: map[string]string{strings.Repeat("x", 255): "new"}, changed: true, mode: 0o644,
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			p := newPlace(t)
			if test.before != nil {
				test.before(p)
			}
			to := test.to
			if to == "" {
				to = "out"
			}
			c := p.commit(Command{}, map[string]string{to: "new"})
			if c.err != nil || len(c.failed) > 0 || len(c.warnings) > 0 {
				t.Fatalf("err %v, failed %v, warnings %v", c.err, c.failed, c.warnings)
			}
			p.want(test.after)
			if changed := len(c.swaps) == 1; changed != test.changed {
				t.Errorf("changed is %v", changed)
			}
			info, err := os.Stat(p.path(to))
			p.must(err)
			if info.Mode() != test.mode {
				t.Errorf("mode %o, want %o", info.Mode(), test.mode)
			}
		})
	}
}

func TestR8OwnerIsKept(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can give files away")
	}
	p := newPlace(t)
	p.must(os.Chown(p.write("out", "old", 0o640), 65534, 65533))
	p.commit(Command{}, map[string]string{"out": "new"})
	info, err := os.Stat(p.path("out"))
	p.must(err)
	if sys := info.Sys().(*syscall.Stat_t); sys.Uid != 65534 || sys.Gid != 65533 || info.Mode() != 0o640 {
		t.Errorf("owner %d:%d, mode %o", sys.Uid, sys.Gid, info.Mode())
	}
	p.want(map[string]string{"out": "new"})
}

func TestR8WhatCannotBeStaged(t *testing.T) {
	tests := []struct {
		name   string
		before func(p place)
		to     string
		want   string // part of the error
	}{
		{"a folder", func(p place) { p.must(os.Mkdir(p.path("out"), 0o755)) }, "out", "is a directory"},
		{"a pipe", func(p place) { p.must(syscall.Mkfifo(p.path("out"), 0o600)) }, "out", "is not a regular file"},
		{"a link to a pipe without a name", func(p place) { // as /dev/stdout often is one
			read, write, err := os.Pipe()
			p.must(err)
			p.t.Cleanup(func() { _ = errors.Join(read.Close(), write.Close()) })
			p.must(os.Symlink(fmt.Sprint("/proc/self/fd/", write.Fd()), p.path("out")))
		}, "out", "is not a regular file; --dry prints what would be written"},
		{"a name that only a folder can have", func(p place) {}, "out/", "ends in a slash, as a folder does; give the path of a file"},
		{"a folder that is a file", func(p place) { p.write("file", "", 0o600) }, "file/out", "not a directory"},
		{"links in a circle", func(p place) {
			p.must(os.Symlink("b", p.path("a")))
			p.must(os.Symlink("a", p.path("b")))
		}, "a", "too many links"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			p := newPlace(t)
			test.before(p)
			c := p.commit(Command{Shell: "exit 1"}, map[string]string{test.to: "new", "good": "new"})
			err := c.failed[p.path(test.to)]
			if err == nil || !strings.Contains(err.Error(), test.want) || !strings.Contains(err.Error(), p.path(test.to)) {
				t.Errorf("got %v, want the path and %q", err, test.want)
			}
			if got := p.files()["good"]; got != "new" {
				t.Errorf("the other file holds %q", got)
			}
		})
	}
	t.Run("stops an atomic commit", func(t *testing.T) {
		p := newPlace(t)
		p.must(os.Mkdir(p.path("bad"), 0o755))
		c := p.newCommit(Command{}, map[string]string{"bad": "new", "good": "new"})
		c.cfg.Atomic = true
		c.stage()
		if err := c.swap(); !errors.Is(err, errLeftOut) {
			t.Errorf("got %v", err)
		}
		p.want(map[string]string{})
	})
}

// A swap that fails half-way puts back what was swapped: bytes, mode, and absence.
func TestR8SwapIsUndone(t *testing.T) {
	p := newPlace(t)
	p.write("a", "old", 0o604)
	c := &commit{cfg: Action{Atomic: true}}
	for _, name := range []string{"a", "b", "z"} {
		c.files = append(c.files, &stagedFile{destination: p.path(name), contents: []byte("new")})
	}
	c.stage()
	p.must(os.MkdirAll(p.path("z/in the way"), 0o755))
	if err := c.swap(); err == nil || !strings.Contains(err.Error(), p.path("z")) {
		t.Fatalf("got %v", err)
	}
	if len(c.swaps) != 0 {
		t.Errorf("changed: %v", c.swaps)
	}
	p.want(map[string]string{"a": "old"})
	info, err := os.Stat(p.path("a"))
	p.must(err)
	if info.Mode() != 0o604 {
		t.Errorf("mode %o", info.Mode())
	}
}

// R13: the mark is on disk while the command runs, stays where nothing was there before and it fails, and goes where it
// succeeds or the old file is back.
func TestR13Mark(t *testing.T) {
	p := newPlace(t)
	mark := markOf(p.path("out"))
	isMarked := Command{Shell: "[ -e '" + mark + "' ]"}
	if c := p.commit(Command{Shell: "exit 1"}, map[string]string{"out": "1"}); c.err == nil || !c.ran {
		t.Fatal("the command did not fail")
	}
	if got := p.files()[filepath.Base(mark)]; got != markText+markNothing {
		t.Fatalf("the mark holds %q", got)
	}
	if c := p.commit(isMarked, map[string]string{"out": "1"}); c.err != nil || !c.ran {
		t.Fatalf("the command was owed: ran %v, err %v", c.ran, c.err)
	}
	p.want(map[string]string{"out": "1"})
	if c := p.commit(isMarked, map[string]string{"out": "2"}); c.err != nil {
		t.Fatalf("no mark while the command ran: %v", c.err)
	}
	p.want(map[string]string{"out": "2"})
	if c := p.commit(Command{Shell: "exit 1"}, map[string]string{"out": "3"}); c.err == nil || !c.rejected {
		t.Fatal("the command did not fail")
	}
	p.want(map[string]string{"out": "2", filepath.Base(mark): markText}) // it has failed for the old file, too
	if c := p.commit(isMarked, map[string]string{"out": "2"}); c.err != nil || !c.ran {
		t.Fatalf("the command was owed for the old file: ran %v, err %v", c.ran, c.err)
	}
	if c := p.commit(Command{Shell: "grep 2 '" + p.path("out") + "'"}, map[string]string{"out": "3"}); c.err == nil || !c.rejected {
		t.Fatal("the command did not fail")
	}
	p.want(map[string]string{"out": "2"})
	if c := p.commit(Command{Shell: "exit 1"}, map[string]string{"out": "2"}); c.ran {
		t.Error("the command ran although nothing changed and nothing was owed")
	}
}

func TestSweep(t *testing.T) {
	p := newPlace(t)
	keep := []string{".render-out.owed", ".render-other-123", ".render-out-x-123", ".render-out-12a", "render-out-123", ".render-out-", "out"}
	for _, name := range append(keep, ".render-out-123", ".render-out-9") {
		p.write(name, "", 0o600)
	}
	p.must(os.Symlink("out", p.path("link")))
	p.must(sweep([]string{p.path("link"), p.path("no/such/folder/x")}))
	want := map[string]string{"link": "-> out"}
	for _, name := range keep {
		want[name] = ""
	}
	p.want(want)
}

func TestCommand(t *testing.T) {
	tests := []struct {
		name    string
		command Command
		output  string
		err     string // part of it; empty for success
	}{
		{"a line for sh", Command{Shell: "echo a | tr a b; echo c >&2"}, "b\nc\n", ""},
		{"a program and arguments", Command{Args: []string{"echo", "a b", "$HOME"}}, "a b $HOME\n", ""},
		{"environment", Command{Shell: "echo $GREETING"}, "hello\n", ""},
		{"a failure", Command{Shell: "echo why; exit 7"}, "why\n", "exit status 7"},
		{"no such program", Command{Args: []string{"/no/such/program"}}, "", "no such file"},
		{"killed", Command{Shell: "kill -9 $$"}, "", "killed"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			output, err := runner{Command: test.command, env: []string{"GREETING=hello"}}.run()
			if output != test.output {
				t.Errorf("output %q, want %q", output, test.output)
			}
			if (err == nil) != (test.err == "") || err != nil && !strings.Contains(err.Error(), test.err) {
				t.Errorf("got %v, want %q", err, test.err)
			}
		})
	}
}

// A command that does not end gets SIGTERM together with all that it started.
func TestCommandTimeout(t *testing.T) {
	p := newPlace(t)
	line := fmt.Sprintf("sleep 1000 & echo $! > '%s'; echo started; wait", p.path("pid"))
	output, err := runner{Command: Command{Shell: line}, timeout: 300 * time.Millisecond}.run()
	if err == nil || !strings.Contains(err.Error(), "did not end within 300ms") || output != "started\n" {
		t.Errorf("got %q, %v", output, err)
	}
	wantGone(t, p)
}

// What ignores SIGTERM is killed.
func TestCommandIgnoresTERM(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("takes as long as the grace")
	}
	p := newPlace(t)
	line := fmt.Sprintf("trap '' TERM; sleep 1000 & echo $! > '%s'; wait; wait", p.path("pid"))
	began := time.Now()
	if _, err := (runner{Command: Command{Shell: line}, timeout: 100 * time.Millisecond}).run(); err == nil {
		t.Error("no error")
	}
	if took := time.Since(began); took > killGrace+5*time.Second {
		t.Errorf("took %s", took)
	}
	wantGone(t, p)
}

// wantGone waits for the end of the process whose ID is in the file pid.
func wantGone(t *testing.T, p place) {
	t.Helper()
	var pid int
	_, err := fmt.Sscan(p.files()["pid"], &pid)
	p.must(err)
	for end := time.Now().Add(30 * time.Second); lives(pid); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("process %d is still there", pid)
		}
	}
}

// A command may leave something running that holds its output open; that is a success.
func TestCommandLeavesSomethingRunning(t *testing.T) {
	p := newPlace(t)
	line := fmt.Sprintf("sleep 1000 & echo $! > '%s'; echo done", p.path("pid"))
	output, err := runner{Command: Command{Shell: line}}.run()
	if err != nil || output != "done\n" {
		t.Errorf("got %q, %v", output, err)
	}
	var pid int
	_, err = fmt.Sscan(p.files()["pid"], &pid)
	p.must(err)
	p.must(syscall.Kill(pid, syscall.SIGKILL))
}

// What a command leaves running may go on to write, as long as the engine runs.
func TestCommandLeavesSomethingThatWrites(t *testing.T) {
	r := newRig(t)
	target := r.target("a", "x")
	target.Command = r.sh("(while [ ! -e stop ]; do sleep 0.01; done; seq 100000 && echo >> ended) & echo done")
	r.start(Config{Targets: []Target{target}})
	r.await("the command", func() bool { return r.status().Targets[0].State == Applied })
	r.write("stop", "")
	r.await("the end of what it has left", func() bool { return r.lines("ended") == 1 })
	r.wantLog(`"output":"done\n"`)
	r.must(r.stop())
}

func TestCommandOutputIsBounded(t *testing.T) {
	output, err := runner{Command: Command{Shell: "seq 1000000; echo end"}}.run()
	if err != nil || len(output) > maxOutputKept+10 || !strings.HasSuffix(output, "\n1000000\nend\n") || !strings.HasPrefix(output, "[…]") {
		t.Errorf("%d bytes, err %v, begins %.20q", len(output), err, output)
	}
}

// What somebody else has put where our own files should be is not followed, waited for, or taken for what we have kept.
func TestOwnFilesInTheWay(t *testing.T) {
	for name, plant := range map[string]func(p place){
		"a link to nothing as a mark":  func(p place) { p.must(os.Symlink(p.path("planted"), p.path(".render-out.owed"))) },
		"a link as a mark":             func(p place) { p.must(os.Symlink(p.path("other"), p.path(".render-out.owed"))) },
		"a pipe as a mark":             func(p place) { p.must(syscall.Mkfifo(p.path(".render-out.owed"), 0o600)) },
		"a folder as a mark":           func(p place) { p.must(os.Mkdir(p.path(".render-out.owed"), 0o700)) },
		"a link as the old file":       func(p place) { p.must(os.Symlink(p.path("other"), p.path(".render-out.old"))) },
		"a full folder as the old one": func(p place) { p.must(os.MkdirAll(p.path(".render-out.old/full"), 0o700)) },
	} {
		t.Run(name, func(t *testing.T) {
			p := newPlace(t)
			p.write("out", "old", 0o644)
			p.write("other", "other", 0o644)
			plant(p)
			if strings.HasSuffix(name, "old file") {
				p.write(".render-out.owed", markText, 0o600)
			}
			before := p.files()
			for range 2 {
				c := p.commit(Command{Shell: "exit 1"}, map[string]string{"out": "new"})
				err := errors.Join(c.failed[p.path("out")], c.err)
				if err == nil || !strings.Contains(err.Error(), p.path(".render-out.o")) || !strings.Contains(err.Error(), "is in the way; remove it") {
					t.Errorf("got %v", err)
				}
			}
			p.want(before)
		})
	}
}
