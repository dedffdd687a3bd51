package commit

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"render/render/disk"
	"render/render/run"

	"render/watch/hint"
)

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
		for _, command := range []run.Command{{}, {Shell: ":"}} {
			t.Run(test.name+" "+command.Shell, func(t *testing.T) {
				p := newPlace(t)
				if test.before != nil {
					test.before(p)
				}
				to := test.to
				if to == "" {
					to = "out"
				}
				r := p.commit(command, map[string]string{to: "new"})
				if r.Err != nil || len(r.Failed) > 0 || len(r.Warnings) > 0 || r.Pending || len(r.Debts) > 0 {
					t.Fatalf("got %+v", r)
				}
				p.want(test.after)
				if changed := slices.Equal(r.Swapped, []string{p.path(to)}); changed != test.changed {
					t.Errorf("changed is %v", changed)
				}
				if ran := test.changed && !command.IsZero(); ran != r.Ran {
					t.Errorf("ran is %v", r.Ran)
				}
				info, err := os.Stat(p.path(to))
				p.must(err)
				if info.Mode() != test.mode {
					t.Errorf("mode %o, want %o", info.Mode(), test.mode)
				}
			})
		}
	}
}

func TestR8OwnerIsKept(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can give files away")
	}
	p := newPlace(t)
	p.must(os.Chown(p.write("out", "old", 0o640), 65534, 65533))
	p.commit(run.Command{}, map[string]string{"out": "new"})
	if info, sys := p.stat("out"); sys.Uid != 65534 || sys.Gid != 65533 || info.Mode() != 0o640 {
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
		}, "out", "is not a regular file\nhint: use --dry to print the file"},
		{"a name that only a folder can have", func(p place) {}, "out/", "the path ends in a slash, which means a folder\nhint: use the path of a file"},
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
			r := p.commit(run.Command{Shell: "exit 1"}, map[string]string{test.to: "new", "good": "new"})
			err := r.Failed[p.path(test.to)]
			if err == nil || !strings.Contains(hint.Text(err), test.want) || !strings.Contains(err.Error(), p.path(test.to)) {
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
		r := p.do(p.plan(Action{Atomic: true}, map[string]string{"bad": "new", "good": "new"}))
		if !errors.Is(r.Err, ErrLeftOut) || r.Rejected {
			t.Errorf("got %+v", r)
		}
		p.want(map[string]string{})
	})
}

// A swap that fails half-way restores what was swapped: bytes, mode, and absence.
func TestR8SwapIsUndone(t *testing.T) {
	for _, command := range []run.Command{{}, {Shell: "exit 1"}} {
		t.Run(command.Shell, func(t *testing.T) {
			p := newPlace(t)
			p.write("a", "old", 0o604)
			c := p.begin(p.plan(Action{Atomic: true, Command: command}, map[string]string{"a": "new", "b": "new", "z": "new"}))
			c.stage()
			p.must(os.MkdirAll(p.path("z/in the way"), 0o755))
			if err := c.swap(); err == nil || !strings.Contains(err.Error(), p.path("z")) {
				t.Fatalf("got %v", err)
			}
			if r := c.end(); len(r.Swapped) != 0 || r.Pending || len(r.Debts) > 0 || r.Err == nil {
				t.Errorf("got %+v", r)
			}
			p.want(map[string]string{"a": "old"})
			if info, _ := p.stat("a"); info.Mode() != 0o604 {
				t.Errorf("mode %o", info.Mode())
			}
		})
	}
	t.Run("not atomic", func(t *testing.T) {
		p := newPlace(t)
		p.write("a", "old", 0o604)
		c := p.begin(p.plan(Action{Command: p.sh("cat a b > seen")}, map[string]string{"a": "new", "b": "new", "z": "new"}))
		c.stage()
		p.must(os.MkdirAll(p.path("z/in the way"), 0o755))
		p.must(c.swap())
		p.must(c.checkInPlace())
		c.act()
		r := c.end()
		if err := r.Failed[p.path("z")]; err == nil || len(r.Failed) != 1 || r.Err != nil || r.Pending || len(r.Debts) > 0 {
			t.Errorf("got %+v", r)
		}
		p.want(map[string]string{"a": "new", "b": "new", "seen": "newnew"})
	})
}

// R13: the mark is on disk while the command runs, stays where there was no file before and the command fails, and is removed
// where the command succeeds or the old file is back.
func TestR13Mark(t *testing.T) {
	p := newPlace(t)
	const mark = ".render-out.owed"
	isMarked := run.Command{Shell: "[ -e '" + p.path(mark) + "' ]"}
	fails := run.Command{Shell: "exit 1"}
	if r := p.commit(fails, map[string]string{"out": "1"}); r.Err == nil || !r.Ran || !r.Pending {
		t.Fatalf("the command did not fail: %+v", r)
	}
	if got := p.files()[mark]; got != owed("+out") {
		t.Fatalf("the mark holds %q", got)
	}
	if info, _ := p.stat(mark); info.Mode() != 0o600 {
		t.Errorf("the mark has the mode %o", info.Mode())
	}
	if r := p.commit(isMarked, map[string]string{"out": "1"}); r.Err != nil || !r.Ran {
		t.Fatalf("the command was pending: %+v", r)
	}
	p.want(map[string]string{"out": "1"})
	if r := p.commit(isMarked, map[string]string{"out": "2"}); r.Err != nil {
		t.Fatalf("no mark while the command ran: %v", r.Err)
	}
	p.want(map[string]string{"out": "2"})
	if r := p.commit(fails, map[string]string{"out": "3"}); r.Err == nil || !r.Rejected || !r.Pending || len(r.Debts) != 1 {
		t.Fatalf("the command did not fail: %+v", r)
	}
	p.want(map[string]string{"out": "2", mark: owed("out")}) // it has failed for the old file, too
	if r := p.commit(isMarked, map[string]string{"out": "2"}); r.Err != nil || !r.Ran {
		t.Fatalf("the command was pending for the old file: %+v", r)
	}
	if r := p.commit(run.Command{Shell: "grep 2 '" + p.path("out") + "'"}, map[string]string{"out": "3"}); r.Err == nil || !r.Rejected || r.Pending {
		t.Fatalf("the command did not fail: %+v", r)
	}
	p.want(map[string]string{"out": "2"})
	if r := p.commit(fails, map[string]string{"out": "2"}); r.Ran {
		t.Error("the command ran although nothing changed and nothing was pending")
	}
}

// Debts come back from a commit as the next start reads them from disk, and the next commit is the same with both.
func TestR13DebtsAreValues(t *testing.T) {
	for _, restart := range []bool{false, true} {
		t.Run(fmt.Sprint("restart ", restart), func(t *testing.T) {
			p := newPlace(t)
			p.must(os.Mkdir(p.path("sub"), 0o755))
			p.write("a", "old", 0o644)
			p.write("sub/b", "old", 0o644)
			fails := Action{Command: p.sh("exit 1"), Atomic: true}
			r := p.do(p.plan(fails, map[string]string{"a": "new", "sub/b": "new", "c": "new"}))
			if !r.Pending || !r.Rejected || len(r.Debts) != 3 {
				t.Fatalf("got %+v", r)
			}
			p.want(map[string]string{"a": "old", "sub/b": "old", ".render-a.owed": owed("a", "+c"), "sub/.render-b.owed": owed("b")})

			// The next plan has one of the files.
			plan := p.plan(Action{Command: p.sh("cat a sub/b > seen; echo \"$RENDER_CHANGED\" >> seen")}, map[string]string{"a": "old"})
			if plan.Debts, plan.Pending = r.Debts, true; restart {
				all := p.recall(p.plan(Action{}, map[string]string{"a": "", "sub/b": "", "c": ""}))
				plan.Debts = all.Debts
			}
			r = Do(plan, newTools(t))
			if r.Err != nil || !r.Ran || r.Pending || len(r.Debts) > 0 || len(r.Swapped) > 0 {
				t.Errorf("got %+v", r)
			}
			tried := slices.Sorted(slices.Values(r.Tried))
			if want := []string{p.path("a"), p.path("c"), p.path("sub/b")}; !slices.Equal(tried, want) {
				t.Errorf("tried %q, want %q", tried, want)
			}
			seen := strings.Split(strings.TrimSpace(p.files()["seen"]), "\n")
			slices.Sort(seen)
			want := []string{p.path("c"), p.path("sub/b"), "oldold" + p.path("a")}
			slices.Sort(want)
			if !slices.Equal(seen, want) {
				t.Errorf("the command saw %q, want %q", seen, want)
			}
			p.wantClean()
		})
	}
}

// What somebody else has put where render's own files should be is not followed, waited for, or read as render's own.
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
				p.write(".render-out.owed", "of an earlier version", 0o600)
			}
			before := p.files()
			for range 2 {
				r := p.commit(run.Command{Shell: "exit 1"}, map[string]string{"out": "new"})
				err := errors.Join(r.Failed[p.path("out")], r.Err)
				if err == nil || !strings.Contains(err.Error(), p.path(".render-out.o")) || !strings.Contains(hint.Text(err), "\nhint: remove "+p.path(".render-out.o")) {
					t.Errorf("got %v", err)
				}
			}
			p.want(before)
		})
	}
}

// B14b: what an atomic action owes is done although another file of it cannot be staged.
func TestAtomicOwedWhileAnotherCannotBeStaged(t *testing.T) {
	p := newPlace(t)
	p.write("a", "old", 0o644)
	fails := Action{Command: p.sh("exit 1"), Atomic: true}
	p.do(p.plan(fails, map[string]string{"a": "new"})) // the old file is back, the command is owed for it
	p.want(map[string]string{"a": "old", ".render-a.owed": owed("a")})

	p.must(os.Mkdir(p.path("b"), 0o755))
	r := p.do(p.plan(Action{Command: p.sh("cat a >> seen"), Atomic: true}, map[string]string{"a": "new", "b": "new"}))
	if !errors.Is(r.Err, ErrLeftOut) || r.Failed[p.path("b")] == nil || !r.Ran || r.Pending || len(r.Swapped) > 0 {
		t.Errorf("got %+v", r)
	}
	p.want(map[string]string{"a": "old", "seen": "old"})
}

// One mark in each folder covers all files of a commit. Wherever a crash comes while the marks are removed, an atomic
// action has all new files or none after the next commit.
func TestAtomicCrashWhileMarksAreRemoved(t *testing.T) {
	for _, step := range []string{"run", "unmarked", "completed"} {
		t.Run(step, func(t *testing.T) {
			p := newPlace(t)
			all := map[string]string{}
			for _, name := range []string{"a", "b", "c", "d"} {
				p.write(name, "old", 0o644)
				all[name] = "new"
			}
			p.crash(p.plan(Action{Command: p.sh("ls -A | grep -c owed > marks"), Atomic: true}, all), step)
			if n := p.files()["marks"]; n != "1\n" {
				t.Errorf("%q marks while the command ran", n)
			}
			p.do(p.plan(Action{Command: p.sh("! grep -q new b"), Atomic: true}, all)) // the service is not up yet
			files := p.files()
			for name := range all {
				if files[name] != files["a"] {
					t.Errorf("an atomic action has %q", files)
				}
			}
			p.wantClean()
		})
	}
}

// In a folder where others may make names, their mark and their old file are not believed.
func TestMarkOfSomebodyElse(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can make files of others")
	}
	p := newPlace(t)
	p.must(os.Chmod(p.dir, 0o777|fs.ModeSticky))
	p.write("out", "good", 0o644)
	plant := func(name, text string, mode fs.FileMode) {
		p.must(os.Chown(p.write(name, text, mode), 65534, 65534))
	}
	for _, mark := range []string{"x", markText + `{"name":"out","old":true}` + "\n"} {
		plant(".render-out.owed", mark, 0o644)
		plant(".render-out.old", "evil", 0o644)
		runs := p.appends("../runs of " + filepath.Base(p.dir))
		if r := p.commit(runs, map[string]string{"out": "good"}); r.Ran || r.Pending {
			t.Errorf("a mark of somebody else makes the command run: %+v", r)
		}
		r := p.commit(run.Command{Shell: "exit 1"}, map[string]string{"out": "new"})
		info, sys := p.stat("out")
		if files := p.files(); files["out"] != "good" || sys.Uid != 0 || info.Mode() != 0o644 {
			t.Errorf("the file holds %q, belongs to %d and has the mode %o; %+v", files["out"], sys.Uid, info.Mode(), r)
		}
	}
}

// The old file is believed only while the file in place is the one that it was swapped for.
func TestOldFileOfLongAgo(t *testing.T) {
	p := newPlace(t)
	p.write("out", "of long ago", 0o644)
	p.crash(p.plan(Action{Command: run.Command{Shell: ":"}}, map[string]string{"out": "then"}), "swapped")
	p.want(map[string]string{"out": "then", ".render-out.old": "of long ago", ".render-out.owed": owed("out")})
	p.write("out", "somebody's", 0o644) // the template was removed for a while
	r := p.commit(p.sh("echo $(cat out) >> seen; ! grep -q new out"), map[string]string{"out": "new"})
	if r.Err == nil || !r.Rejected || r.Pending {
		t.Errorf("got %+v", r)
	}
	p.want(map[string]string{"out": "somebody's", "seen": "new\nsomebody's\n"})
}

// A commit of nothing does nothing, and one that only owes runs its command.
func TestNoFiles(t *testing.T) {
	p := newPlace(t)
	plan := Plan{Action: Action{Command: p.appends("runs"), Check: p.appends("checks")}}
	if r := Do(plan, newTools(t)); r.Ran || r.Err != nil || r.Pending {
		t.Errorf("got %+v", r)
	}
	p.want(map[string]string{})
	plan.Pending = true
	if r := Do(plan, newTools(t)); !r.Ran || r.Err != nil || r.Pending {
		t.Errorf("got %+v", r)
	}
	p.want(map[string]string{"runs": "ran\n", "checks": "ran\n"})
	plan.Action.Command = p.sh("exit 1")
	if r := Do(plan, newTools(t)); !r.Ran || r.Err == nil || !r.Pending {
		t.Errorf("got %+v", r)
	}
}

// However many files there are, the command can be run, and gets as many of their names as there is room for.
func TestEnvIsBounded(t *testing.T) {
	p := newPlace(t)
	dir := strings.Repeat("d", 200)
	all := make(map[string]string)
	for i := range 500 {
		all[fmt.Sprintf("%s/%s%03d", dir, strings.Repeat("x", 100), i)] = "new"
	}
	r := p.commit(p.sh(`echo "$RENDER_CHANGED" > changed`), all)
	if r.Err != nil || len(r.Swapped) != len(all) {
		t.Fatalf("%d files, err %v", len(r.Swapped), r.Err)
	}
	text := strings.TrimSpace(p.files()["changed"])
	lines := strings.Split(text, "\n")
	if len(text) > maxChanged || len(text) < maxChanged-500 {
		t.Errorf("%d bytes", len(text))
	}
	for _, line := range lines {
		if name, err := filepath.Rel(p.dir, line); err != nil || all[name] == "" {
			t.Fatalf("%q is no destination", line)
		}
	}
	p.wantClean()
}

// Check, command and verification have the variables of the plan and of the action.
func TestEnvOfActions(t *testing.T) {
	p := newPlace(t)
	report := func(who string) run.Command {
		return p.sh(`echo "` + who + ` $RENDER_ACTION: $(echo $RENDER_CHANGED): $CUSTOM" >> reports`)
	}
	plan := p.plan(Action{
		Check: report("check"), Command: report("command"), Verify: Verify{Command: report("verify")},
		Env: run.Env{Pristine: true, Custom: []string{"CUSTOM=c", "PATH=" + os.Getenv("PATH")}},
	}, map[string]string{"a": "new", "b": "new"})
	plan.Env = []string{"RENDER_ACTION=action"}
	if r := p.do(plan); r.Err != nil {
		t.Fatal(r.Err)
	}
	line := fmt.Sprintf(" action: %s %s: c\n", p.path("a"), p.path("b"))
	p.want(map[string]string{"a": "new", "b": "new", "reports": "check" + line + "command" + line + "verify" + line})
}

func TestActionString(t *testing.T) {
	command, signal := run.Command{Args: []string{"nginx", "-s", "reload"}}, run.Signal{Signal: syscall.SIGHUP, Process: "nginx"}
	tests := []struct {
		action Action
		want   string
		acts   bool
	}{
		{Action{}, "", false},
		{Action{Command: command}, "nginx -s reload", true},
		{Action{Signal: signal}, signal.String(), true},
		{Action{Command: command, Signal: signal}, "nginx -s reload; " + signal.String(), true},
		{Action{Check: command}, "", true},
		{Action{Verify: Verify{URL: "http://127.0.0.1/"}}, "", true},
		{Action{Atomic: true, Splay: 1}, "", false},
	}
	for _, test := range tests {
		if got := test.action.String(); got != test.want || test.action.Acts() != test.acts {
			t.Errorf("%+v: got %q, acts %v", test.action, got, test.action.Acts())
		}
	}
}

func TestSummary(t *testing.T) {
	for want, all := range map[string][]string{
		"": nil, "a": {"a"}, "a, b, c": {"a", "b", "c"}, "a, b, c, and 2 more": {"a", "b", "c", "d", "e"},
	} {
		if got := Summary(all, 3, ", "); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

// The destination of a debt may have another path in the plan: it is one file.
func TestDebtByAnotherPath(t *testing.T) {
	p := newPlace(t)
	p.must(os.Mkdir(p.path("real"), 0o755))
	p.must(os.Symlink("real", p.path("link")))
	p.write("real/out", "old", 0o644)
	r := p.commit(run.Command{Shell: "exit 1"}, map[string]string{"link/out": "new"})
	if len(r.Debts) != 1 {
		t.Fatalf("got %+v", r)
	}
	debts, err := disk.Recall([]string{p.path("real/out")})
	p.must(err)
	for name, debts := range map[string][]disk.Debt{"of the commit": r.Debts, "from disk": debts} {
		t.Run(name, func(t *testing.T) {
			plan := p.plan(Action{Command: p.sh("exit 1")}, map[string]string{"link/out": "old"})
			plan.Debts, plan.Pending = debts, true
			r := Do(plan, newTools(t))
			if !r.Ran || !r.Pending || len(r.Debts) != 1 || len(r.Failed) > 0 {
				t.Errorf("got %+v", r)
			}
		})
	}
	plan := p.plan(Action{Command: p.sh("cat real/out > seen")}, map[string]string{"real/out": "old"})
	plan.Debts, plan.Pending = r.Debts, true
	if r := Do(plan, newTools(t)); !r.Ran || r.Pending || len(r.Debts) > 0 {
		t.Errorf("got %+v", r)
	}
	p.want(map[string]string{"real/out": "old", "link": "-> real", "seen": "old"})
}
