package disk

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

func TestR8CommitFile(t *testing.T) {
	tests := []struct {
		name    string
		before  func(p testPlace)
		to      string // the destination; "out" where empty
		after   map[string]string
		changed bool
		mode    fs.FileMode // of the destination afterwards
	}{
		{name: "a new file", after: map[string]string{"out": "new"}, changed: true, mode: 0o644},
		{
			name:   "an old file keeps its mode",
			before: func(p testPlace) { p.write("out", "old", 0o640) },
			after:  map[string]string{"out": "new"}, changed: true, mode: 0o640,
		},
		{
			name:   "the same contents",
			before: func(p testPlace) { p.write("out", "new", 0o600) },
			after:  map[string]string{"out": "new"}, mode: 0o600,
		},
		{
			name:   "the same size",
			before: func(p testPlace) { p.write("out", "neW", 0o600) },
			after:  map[string]string{"out": "new"}, changed: true, mode: 0o600,
		},
		{
			name:   "an empty file is not a missing one",
			before: func(p testPlace) { p.write("out", "", 0o600) },
			after:  map[string]string{"out": "new"}, changed: true, mode: 0o600,
		},
		{name: "new folders", to: "a/b/out", after: map[string]string{"a/b/out": "new"}, changed: true, mode: 0o644},
		{
			name: "a link is followed",
			before: func(p testPlace) {
				p.write("real", "old", 0o604)
				p.must(os.Symlink("real", p.path("out")))
			},
			after: map[string]string{"out": "-> real", "real": "new"}, changed: true, mode: 0o604,
		},
		{
			name: "a link into another folder, to a file that does not exist yet",
			before: func(p testPlace) {
				p.must(os.Mkdir(p.path("sub"), 0o755))
				p.must(os.Symlink("sub/real", p.path("link")))
				p.must(os.Symlink("link", p.path("out")))
			},
			after: map[string]string{"out": "-> link", "link": "-> sub/real", "sub/real": "new"}, changed: true, mode: 0o644,
		},
		{
			name:   "a link from the root, into a folder that does not exist yet",
			before: func(p testPlace) { p.must(os.Symlink(p.path("a/./b/../c/real"), p.path("out"))) },
			to:     "out",
			after:  map[string]string{"out": "-> PLACE/a/./b/../c/real", "a/c/real": "new"}, changed: true, mode: 0o644,
		},
		{
			name: "a name that is as long as names can be", to: strings.Repeat("x", 255),
			after: map[string]string{strings.Repeat("x", 255): "new"}, changed: true, mode: 0o644,
		},
		{
			name: "a name that is no text", to: "\xff%\n",
			before: func(p testPlace) { p.write("\xff%\n", "old", 0o644) },
			after:  map[string]string{"\xff%\n": "new"}, changed: true, mode: 0o644,
		},
	}
	for _, test := range tests {
		for name, act := range map[string]func() error{"without an action": nil, "with one": succeeds} {
			t.Run(test.name+", "+name, func(t *testing.T) {
				p := newPlace(t)
				if test.before != nil {
					test.before(p)
				}
				to := test.to
				if to == "" {
					to = "out"
				}
				o := commit(nil, act, nil, p.wants(to, "new"))
				o.isFine(t)
				for name, text := range test.after {
					test.after[name] = strings.ReplaceAll(text, "PLACE", p.dir)
				}
				p.want(test.after)
				if changed := o.swapped() == 1; changed != test.changed {
					t.Errorf("changed is %v", changed)
				}
				info, err := os.Stat(p.path(to))
				p.must(err)
				if info.Mode() != test.mode {
					t.Errorf("mode %o, want %o", info.Mode(), test.mode)
				}
				for name := range test.after {
					test.after[name] = strings.ReplaceAll(test.after[name], p.dir, "PLACE")
				}
			})
		}
	}
}

func TestR8WhatCannotBeStaged(t *testing.T) {
	tests := []struct {
		name   string
		before func(p testPlace)
		want   Want
		err    string // part of it
	}{
		{"a folder", func(p testPlace) { p.must(os.Mkdir(p.path("out"), 0o755)) }, Want{Path: "out"}, "is a directory"},
		{"a pipe", func(p testPlace) { p.must(syscall.Mkfifo(p.path("out"), 0o600)) }, Want{Path: "out"}, "is not a regular file"},
		{"a link to a pipe", func(p testPlace) {
			p.must(syscall.Mkfifo(p.path("pipe"), 0o600))
			p.must(os.Symlink("pipe", p.path("out")))
		}, Want{Path: "out"}, "is not a regular file"},
		{"a link to a pipe without a name", func(p testPlace) { // as /dev/stdout often is one
			read, write, err := os.Pipe()
			p.must(err)
			p.t.Cleanup(func() { _ = errors.Join(read.Close(), write.Close()) })
			p.must(os.Symlink(fmt.Sprint("/proc/self/fd/", write.Fd()), p.path("out")))
		}, Want{Path: "out"}, "is not a regular file\nhint: use --dry to print the file"},
		{"a name that only a folder can have", func(p testPlace) {}, Want{Path: "out/"}, "the path ends in a slash, which means a folder\nhint: use the path of a file"},
		{"a path that ends in ..", func(p testPlace) { p.must(os.Mkdir(p.path("sub"), 0o755)) }, Want{Path: "sub/.."}, "is a directory"},
		{"the root", func(p testPlace) {}, Want{Path: "../../../../../../../../../.."}, "is a directory"},
		{"a folder that is a file", func(p testPlace) { p.write("file", "", 0o600) }, Want{Path: "file/out"}, "not a directory"},
		{"a missing folder", func(p testPlace) {}, Want{Path: "no/out", Options: Options{NoFolders: true}}, "the folder is missing, and create_dest_dirs is off"},
		{"links in a circle", func(p testPlace) {
			p.must(os.Symlink("b", p.path("out")))
			p.must(os.Symlink("out", p.path("b")))
		}, Want{Path: "out"}, "too many links"},
		{"a folder that leads to itself", func(p testPlace) { p.must(os.Symlink("loop", p.path("loop"))) }, Want{Path: "loop/out"}, "too many links"},
		{"a link where they are refused", func(p testPlace) { p.must(os.Symlink("real", p.path("out"))) },
			Want{Path: "out", Options: Options{RefuseLinks: true}}, "is a link, and links are refused"},
		{"a link of writeToFile", func(p testPlace) { p.must(os.Symlink("real", p.path("out"))) }, Want{Path: "out", NoLinks: true}, "writeToFile does not follow links"},
		{"a folder of writeToFile that is a link", func(p testPlace) {
			p.must(os.Mkdir(p.path("sub"), 0o755))
			p.must(os.Symlink("sub", p.path("dir")))
		}, Want{Path: "dir/out", NoLinks: true}, "writeToFile does not follow links"},
		{"an unknown user", func(testPlace) {}, Want{Path: "out", Options: Options{User: "nobody-of-this-name"}}, "unknown user nobody-of-this-name"},
		{"no user", func(testPlace) {}, Want{Path: "out", Options: Options{User: "4294967295"}}, "unknown user 4294967295"},
		{"a user below all", func(testPlace) {}, Want{Path: "out", Options: Options{User: "-1"}}, "unknown user -1"},
		{"an unknown group", func(testPlace) {}, Want{Path: "out", Options: Options{Group: "4294967296"}}, "unknown group 4294967296"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			p := newPlace(t)
			test.before(p)
			w := test.want
			w.Path, w.Contents = p.path(w.Path), []byte("new")
			before := p.files()
			o := commit(nil, succeeds, nil, w, p.wants("good", "new"))
			wantError(t, o.failed[w.Path], test.err)
			before["good"] = "new"
			p.want(before)
		})
	}
}

func TestRelativePath(t *testing.T) {
	p := newPlace(t)
	t.Chdir(p.dir)
	commit(nil, succeeds, nil, Want{Path: "sub/../out", Contents: []byte("1")}, Want{Path: "./other", Contents: []byte("2")}).isFine(t)
	p.want(map[string]string{"out": "1", "other": "2"})
}

// A swap that fails half-way puts back what was swapped: bytes, mode, and absence, with an action and without.
func TestR8SwapIsUndone(t *testing.T) {
	for name, acts := range map[string]bool{"with an action": true, "without": false} {
		t.Run(name, func(t *testing.T) {
			p := newPlace(t)
			p.write("a", "old", 0o604)
			ino := p.ino("a")
			b := NewBatch(nil)
			var files []*File
			for _, name := range []string{"a", "b", "z"} {
				f, _, err := b.Stage(p.wants(name, "new"))
				p.must(err)
				files = append(files, f)
			}
			if acts {
				failed, _, err := b.Save(files)
				if err != nil || len(failed) > 0 {
					t.Fatal(err, failed)
				}
			}
			p.must(os.MkdirAll(p.path("z/in the way"), 0o755))
			for i, f := range files {
				if _, err := f.Swap(); (err != nil) != (i == 2) {
					t.Fatalf("file %d: %v", i, err)
				}
			}
			for _, f := range files {
				p.must(f.GiveUp())
			}
			if debts, warnings := b.Close(); len(debts)+len(warnings) > 0 {
				t.Errorf("debts %v, warnings %v", debts, warnings)
			}
			p.want(map[string]string{"a": "old"})
			if info, _ := p.stat("a"); info.Mode() != 0o604 || p.ino("a") != ino {
				t.Errorf("mode %o", info.Mode())
			}
		})
	}
}

// What a file has beside its contents is kept, or is what is asked for: before anybody can see the contents. Bits that
// give somebody's rights do not move to another owner.
func TestAttributes(t *testing.T) {
	const special = fs.ModeSetuid | fs.ModeSetgid | fs.ModeSticky
	tests := []struct {
		name     string
		mode     fs.FileMode // of the old file; 0 for none
		owner    int         // of the old file
		options  Options
		wantMode fs.FileMode
		wantUser uint32
		root     bool
	}{
		{"kept", 0o440, 0, Options{}, 0o440, 0, false},
		{"kept, of somebody else", 0o640, 65534, Options{}, 0o640, 65534, true},
		{"setuid is kept", 0o755 | special, 65534, Options{}, 0o755 | special, 65534, true},
		{"setuid does not go to another user", 0o755 | special, 65534, Options{User: "0"}, 0o755, 0, true},
		{"setgid does not go to another group", 0o755 | special, 65534, Options{Group: "0"}, 0o755, 65534, true},
		{"setuid is set", 0o644, 65534, Options{User: "65533", Perms: 0o755 | fs.ModeSetuid}, 0o755 | fs.ModeSetuid, 65533, true},
		{"a mode is set", 0o644, 0, Options{Perms: 0o600}, 0o600, 0, false},
		{"a mode is set, a new file", 0, 0, Options{Perms: 0o600}, 0o600, 0, false},
		{"an owner is set", 0o644, 0, Options{User: "65534", Group: "65533", Perms: 0o640}, 0o640, 65534, true},
		{"an owner is set, a new file", 0, 0, Options{User: "65534"}, 0o644, 65534, true},
		{"a new file", 0, 0, Options{}, 0o644, 0, false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if test.root {
				mustBeRoot(t)
			}
			isRoot := os.Geteuid() == 0
			p := newPlace(t)
			if test.mode != 0 {
				p.write("out", "old", test.mode)
				if test.owner != 0 {
					p.chown("out", test.owner, test.owner)
					p.must(os.Chmod(p.path("out"), test.mode))
				}
			}
			w := p.wants("out", "new")
			w.Options = test.options
			var before fs.FileInfo
			o := commit(func(step string) {
				if step == "staged" {
					names, _ := filepath.Glob(p.path(".render-out-*"))
					before, _ = os.Stat(names[0])
				}
			}, succeeds, nil, w)
			o.isFine(t)
			info, stat := p.stat("out")
			if isRoot && stat.Uid != test.wantUser {
				t.Errorf("owner %d, want %d", stat.Uid, test.wantUser)
			}
			if info.Mode() != test.wantMode || before.Mode() != test.wantMode || before.Sys().(*syscall.Stat_t).Uid != stat.Uid {
				t.Errorf("mode %o, want %o; before the swap %o", info.Mode(), test.wantMode, before.Mode())
			}

			// What somebody else makes of it is repaired where it was asked for, and is no change.
			p.must(os.Chmod(p.path("out"), 0o666))
			if isRoot {
				p.chown("out", 1, 1)
			}
			o = commit(nil, succeeds, nil, w)
			o.isFine(t)
			if o.swapped() > 0 {
				t.Error("the action has run")
			}
			if info, _ := p.stat("out"); test.options.Perms != 0 && info.Mode() != test.wantMode {
				t.Errorf("mode %o afterwards", info.Mode())
			}
			if _, stat := p.stat("out"); isRoot && test.options.User != "" && stat.Uid != test.wantUser {
				t.Errorf("owner %d afterwards", stat.Uid)
			}
			p.want(map[string]string{"out": "new"})
		})
	}
}

// A repair does not touch an inode that has another name, or is in a folder where others make names.
func TestRepairOfAnotherName(t *testing.T) {
	tests := []struct {
		name   string
		before func(p testPlace)
		other  fs.FileMode // of the other name
		same   bool        // the inode is repaired
	}{
		{"its only name, in a folder of ours", func(p testPlace) {}, 0, true},
		{"another name", func(p testPlace) { p.must(os.Link(p.path("in/out"), p.path("other"))) }, 0o600, false},
		{"a folder that others write to", func(p testPlace) { p.must(os.Chmod(p.path("in"), 0o777)) }, 0, false},
		{"a folder of somebody else", func(p testPlace) {
			mustBeRoot(p.t)
			p.chown("in", 65534, 65534)
		}, 0, false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			p := newPlace(t)
			p.must(os.Mkdir(p.path("in"), 0o755))
			p.write("in/out", "new", 0o600)
			test.before(p)
			ino := p.ino("in/out")
			w := p.wants("in/out", "new")
			w.Options.Perms = 0o644
			o := commit(nil, succeeds, nil, w)
			o.isFine(t)
			if info, _ := p.stat("in/out"); info.Mode() != 0o644 || (p.ino("in/out") == ino) != test.same || o.swapped() > 0 {
				t.Errorf("mode %o, the same inode: %v, swapped %d", info.Mode(), p.ino("in/out") == ino, o.swapped())
			}
			if test.other != 0 {
				if info, _ := p.stat("other"); info.Mode() != test.other {
					t.Errorf("the other name has mode %o", info.Mode())
				}
			}
		})
	}
}

// The backup is what was there before the last change that stayed, with its mode.
func TestBackup(t *testing.T) {
	for name, acts := range map[string]bool{"with an action": true, "without": false} {
		t.Run(name, func(t *testing.T) {
			p := newPlace(t)
			run := func(contents string) {
				t.Helper()
				act := p.failsFor("out", "bad")
				if !acts {
					act = nil
				}
				w := p.wants("out", contents)
				w.Options.Backup = true
				if o := commit(nil, act, nil, w); (o.err != nil) != (contents == "bad") || len(o.warnings) > 0 || len(o.failed) > 0 {
					t.Errorf("err %v, warnings %v", o.err, o.warnings)
				}
			}
			run("1")
			p.want(map[string]string{"out": "1"})
			p.must(os.Chmod(p.path("out"), 0o604))
			run("2")
			run("2")
			p.want(map[string]string{"out": "2", "out.bak": "1"})
			if info, _ := p.stat("out.bak"); info.Mode() != 0o604 {
				t.Errorf("mode %o", info.Mode())
			}
			run("3")
			if acts {
				run("bad")
			}
			p.want(map[string]string{"out": "3", "out.bak": "2"})

			// Where it cannot be made that is a warning.
			p.must(os.Remove(p.path("out.bak")))
			p.must(os.MkdirAll(p.path("out.bak/full"), 0o755))
			act := succeeds
			if !acts {
				act = nil
			}
			w := p.wants("out", "4")
			w.Options.Backup = true
			o := commit(nil, act, nil, w)
			if len(o.warnings) != 1 || !strings.Contains(o.warnings[0], p.path("out")+" has no backup: ") || len(o.debts) > 0 || o.err != nil {
				t.Errorf("err %v, warnings %v", o.err, o.warnings)
			}
			p.want(map[string]string{"out": "4"})
		})
	}
}

// The backup of a file gives no rights that the file in place does not give, but for one that has another name.
func TestBackupIsRestricted(t *testing.T) {
	for _, act := range []func() error{nil, succeeds} {
		for linked, want := range map[bool]os.FileMode{false: 0o600, true: 0o644} {
			p := newPlace(t)
			p.write("out", "old", 0o644)
			if linked {
				p.must(os.Link(p.path("out"), p.path("link")))
			}
			w := p.wants("out", "new")
			w.Options.Backup, w.Options.Perms = true, 0o600
			commit(nil, act, nil, w).isFine(t)
			files := map[string]string{"out": "new", "out.bak": "old"}
			if linked {
				files["link"] = "old"
			}
			p.want(files)
			if info, _ := p.stat("out.bak"); info.Mode() != want {
				t.Errorf("the backup has mode %o, want %o", info.Mode(), want)
			}
		}
	}
}

// A hard link keeps the old contents: it is another name of the old file.
func TestHardLink(t *testing.T) {
	for _, act := range []func() error{nil, succeeds} {
		p := newPlace(t)
		p.write("out", "old", 0o644)
		p.must(os.Link(p.path("out"), p.path("link")))
		commit(nil, act, nil, p.wants("out", "new")).isFine(t)
		p.want(map[string]string{"out": "new", "link": "old"})
	}
}

// Links lead where the kernel says, also with .. in a folder that is a link.
func TestLinks(t *testing.T) {
	p := newPlace(t)
	p.must(os.MkdirAll(p.path("data/sites"), 0o755))
	p.must(os.MkdirAll(p.path("etc"), 0o755))
	p.must(os.Symlink("../data/sites", p.path("etc/sites")))
	p.must(os.Symlink("../real", p.path("data/sites/out"))) // data/real, and not etc/real
	for _, contents := range []string{"1", "2"} {           // it does not exist, it does
		commit(nil, nil, nil, p.wants("etc/sites/out", contents)).isFine(t)
		p.want(map[string]string{"etc/sites": "-> ../data/sites", "data/sites/out": "-> ../real", "data/real": contents})
	}
	w := p.wants("etc/sites/../sites/new", "3") // a folder of ours is no link that is refused
	w.Options.RefuseLinks = true
	commit(nil, nil, nil, w).isFine(t)
	if got := p.files()["data/sites/new"]; got != "3" {
		t.Errorf("it holds %q", got)
	}
}

// Two destinations of a batch that are one file are an error, and one that is kept gives way to one with contents.
func TestOneFileTwice(t *testing.T) {
	p := newPlace(t)
	p.write("real", "old", 0o644)
	p.must(os.Symlink("real", p.path("out")))
	o := commit(nil, fails, nil, p.wants("out", "1"), p.wants("real", "2"))
	wantError(t, o.failed[p.path("real")], "the same file as "+p.path("out"))
	p.want(map[string]string{"out": "-> real", "real": "old", ".render-real.owed": "[real]"})

	for _, debtFirst := range []bool{true, false} {
		wants := []Want{{Path: p.path("real"), Keep: true}, p.wants("out", "new")}
		if !debtFirst {
			wants[0], wants[1] = wants[1], wants[0]
		}
		runs := 0
		o = commit(nil, func() error { runs++; return p.failsFor("real", "new")() }, o.debts, wants...)
		if o.err == nil || len(o.failed) > 0 || len(o.debts) > 0 || runs != 2 {
			t.Errorf("%d runs, err %v, failed %v, debts %v", runs, o.err, o.failed, o.debts)
		}
		p.want(map[string]string{"out": "-> real", "real": "old"})
		o = commit(nil, fails, nil, p.wants("out", "1"))
	}
}

// Files are staged again in the same batch, one by one, as after a check that rejects all of them. There is one mark at a time.
func TestStagedAgain(t *testing.T) {
	p := newPlace(t)
	p.write("b", "old", 0o644)
	b := NewBatch(nil)
	try := func(names ...string) (files []*File) {
		t.Helper()
		for _, name := range names {
			f, _, err := b.Stage(p.wants(name, "new"))
			p.must(err)
			files = append(files, f)
		}
		failed, _, err := b.Save(files)
		if err != nil || len(failed) > 0 {
			t.Fatal(err, failed)
		}
		for _, f := range files {
			_, err := f.Swap()
			p.must(err)
		}
		return files
	}
	for _, f := range try("a", "b", "c") {
		p.must(f.Undo(false))
		if f.Pending() || f.Live() || f.Swapped() || f.Back() {
			t.Errorf("%+v", f)
		}
	}
	p.must(try("c")[0].GiveUp())
	try("b")
	p.want(map[string]string{"b": "new", ".render-b.old": "old", ".render-b.owed": "[b]"})
	try("a")
	p.want(map[string]string{"a": "new", "b": "new", ".render-b.old": "old", ".render-a.owed": "[a b]"})
	debts, warnings := b.Close()
	if len(debts) != 2 || len(warnings) > 0 {
		t.Errorf("debts %v, warnings %v", debts, warnings)
	}
	p.want(map[string]string{"a": "new", "b": "new", ".render-b.old": "old", ".render-a.owed": "[a b]"})
}

// A folder that is replaced between two steps, by a link or by another folder, is not written to.
func TestFolderIsReplaced(t *testing.T) {
	for _, at := range []string{"staged", "marked", "swapped one", "acted"} {
		for name, replace := range map[string]func(p testPlace) error{
			"a link":  func(p testPlace) error { return os.Symlink("elsewhere", p.path("in")) },
			"another": func(p testPlace) error { return os.Rename(p.path("elsewhere"), p.path("in")) },
		} {
			t.Run(at+", "+name, func(t *testing.T) {
				p := newPlace(t)
				p.must(os.Mkdir(p.path("in"), 0o755))
				p.must(os.Mkdir(p.path("elsewhere"), 0o755))
				p.write("in/out", "old", 0o644)
				p.write("elsewhere/out", "other", 0o644)
				p.write("elsewhere/.render-out.old", "other", 0o644)
				ino := p.ino("elsewhere/out")
				o := commit(func(step string) {
					if step == at {
						p.must(os.Rename(p.path("in"), p.path("moved")))
						p.must(replace(p))
					}
				}, map[bool]func() error{false: p.failsFor("moved/out", "new"), true: succeeds}[at == "acted"], nil, p.wants("in/out", "new"))
				if o.err == nil && len(o.failed)+len(o.warnings) == 0 {
					t.Error("no error")
				}
				others := 0
				for name, text := range p.files() {
					if strings.HasPrefix(name, "moved/") {
						continue
					}
					if others++; text != "other" && text != "-> elsewhere" {
						t.Errorf("%s holds %q", name, text)
					}
				}
				if others < 2 {
					t.Errorf("the other folder has %d files", others)
				}
				if info, err := os.Stat(p.path("in/out")); err != nil || info.Sys().(*syscall.Stat_t).Ino != ino {
					t.Errorf("the other file was replaced: %v", err)
				}
			})
		}
	}
}

// A file that somebody makes huge costs nothing, with or without an action, and is brought back when the action fails.
func TestHugeFile(t *testing.T) {
	p := newPlace(t)
	size := int64(8 << 40)
	for p.write("out", "", 0o644); os.Truncate(p.path("out"), size) != nil; size /= 2 { // what the file system allows
	}
	if size <= maxCopy {
		t.Skip("no large files here")
	}
	began := time.Now()
	if o := commit(nil, fails, nil, p.wants("out", "new")); o.err == nil || len(o.failed) > 0 {
		t.Errorf("err %v, failed %v", o.err, o.failed)
	}
	if info, _ := p.stat("out"); info.Size() != size {
		t.Errorf("%d bytes", info.Size())
	}
	p.must(os.Remove(p.path(".render-out.owed")))
	for _, act := range []func() error{succeeds, nil} {
		p.must(os.Truncate(p.write("out", "", 0o644), size))
		x, err := Expect(p.path("out"), Options{}, [32]byte{}, 3)
		p.must(err)
		if differs, err := x.Differs(); !differs || err != nil {
			t.Errorf("differs: %v, %v", differs, err)
		}
		w := p.wants("out", "new")
		w.Options.Backup = true
		commit(nil, act, nil, w).isFine(t)
		if info, _ := p.stat("out.bak"); info.Size() != size {
			t.Errorf("the backup has %d bytes", info.Size())
		}
		p.must(os.Remove(p.path("out.bak")))
	}
	p.want(map[string]string{"out": "new"})
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("took %s", took)
	}
}

// A check before the swap gets the new contents, wherever they are.
func TestCandidate(t *testing.T) {
	p := newPlace(t)
	p.write("same", "new", 0o644)
	b := NewBatch(nil)
	for _, name := range []string{"same", "other"} {
		f, _, err := b.Stage(p.wants(name, "new"))
		p.must(err)
		path, remove, err := f.Candidate()
		p.must(err)
		if text, err := os.ReadFile(path); err != nil || string(text) != "new" {
			t.Errorf("%s: %q, %v", path, text, err)
		}
		remove()
	}
	b.Close()
	p.want(map[string]string{"same": "new"})
}

// Whatever is staged and not swapped is gone when a batch ends.
func TestCloseRemovesStaged(t *testing.T) {
	for _, saved := range []bool{true, false} {
		p := newPlace(t)
		p.write("out", "old", 0o644)
		b := NewBatch(nil)
		f, _, err := b.Stage(p.wants("out", "new"))
		p.must(err)
		if saved {
			_, _, err = b.Save([]*File{f})
			p.must(err)
			p.want(map[string]string{"out": "old", ".render-out.old": "old", ".render-out.owed": "[out]", filepath.Base(p.glob(".render-out-*")): "new"})
		}
		if debts, warnings := b.Close(); len(debts)+len(warnings) > 0 {
			t.Errorf("debts %v, warnings %v", debts, warnings)
		}
		p.want(map[string]string{"out": "old"})
	}
}

// glob returns the one file with a name.
func (p testPlace) glob(pattern string) string {
	p.t.Helper()
	names, err := filepath.Glob(p.path(pattern))
	p.must(err)
	if len(names) != 1 {
		p.t.Fatalf("%s: %v", pattern, names)
	}
	return names[0]
}

// An undo leaves a file that somebody else has changed or replaced since it was swapped in, and says so. The action has to
// succeed for it.
func TestUndoLeavesTheirs(t *testing.T) {
	changes := map[string]struct {
		change func(p testPlace)
		want   string // in place afterwards; "" where the old file is restored, or none
	}{
		"edited":            {func(p testPlace) { p.write("out", "edited", 0o644) }, "edited"},
		"edited, same size": {func(p testPlace) { p.write("out", "neW", 0o644) }, "neW"},
		"replaced":          {func(p testPlace) { p.must(os.Rename(p.write("x", "theirs", 0o644), p.path("out"))) }, "theirs"},
		"a link": {func(p testPlace) {
			p.must(os.Remove(p.path("out")))
			p.must(os.Symlink("elsewhere", p.path("out")))
		}, "-> elsewhere"},
		"removed":       {func(p testPlace) { p.must(os.Remove(p.path("out"))) }, ""},
		"only touched":  {func(p testPlace) { p.must(os.Chtimes(p.path("out"), time.Time{}, time.Unix(1, 0))) }, ""},
		"the same text": {func(p testPlace) { p.must(os.Rename(p.write("x", "new", 0o644), p.path("out"))) }, ""},
	}
	for name, test := range changes {
		for _, hadOld := range []bool{false, true} {
			for _, earlier := range []bool{false, true} { // the contents in place are those of an earlier run
				t.Run(fmt.Sprint(name, hadOld, earlier), func(t *testing.T) {
					p := newPlace(t)
					if hadOld {
						p.write("out", "old", 0o644)
					}
					b := NewBatch(nil)
					f, _, err := b.Stage(p.wants("out", "new"))
					p.must(err)
					_, _, err = b.Save([]*File{f})
					p.must(err)
					_, err = f.Swap()
					p.must(err)
					if earlier {
						debts, err := Recall([]string{p.path("out")})
						p.must(err)
						b = NewBatch(debts)
						f, _, err = b.Stage(p.wants("out", "newer"))
						p.must(err)
						if !f.Live() || !f.Changes() {
							t.Fatal("it is not live")
						}
					}

					test.change(p)
					p.must(f.Undo(true))
					if f.Live() || !f.Back() {
						t.Error("it is not undone")
					}
					debts, warnings := b.Close()
					if len(debts) != 1 || debts[0].live {
						t.Errorf("debts %+v", debts)
					}
					want := map[string]string{".render-out.owed": "[out]"}
					switch {
					case test.want != "":
						want["out"] = test.want
						if len(warnings) != 1 || !strings.Contains(warnings[0], p.path("out")+" was changed by someone else") {
							t.Errorf("warnings %q", warnings)
						}
					case hadOld:
						want["out"] = "old"
						fallthrough
					default:
						if len(warnings) > 0 {
							t.Errorf("warnings %q", warnings)
						}
					}
					p.want(want)
				})
			}
		}
	}
}
