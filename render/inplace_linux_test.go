package render

import (
	"encoding/binary"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// inMount returns a place where the file out is mounted from outside: the file real beside the place. With readOnly the rest
// of it cannot be written.
func inMount(t *testing.T, readOnly bool) (p place, real string) {
	p = newPlace(t)
	real = p.write("real", "old", 0o644)
	p.must(os.Mkdir(p.path("in"), 0o755))
	p.dir = p.path("in")
	mount(t, "tmpfs", p.dir, "tmpfs", 0, "size=1m")
	p.write("out", "below", 0o644)
	mount(t, real, p.path("out"), "", syscall.MS_BIND, "")
	if readOnly {
		p.must(syscall.Mount("", p.dir, "", syscall.MS_REMOUNT|syscall.MS_RDONLY, ""))
	}
	return p, real
}

// A file that is mounted by itself is written in place: it stays the same file, also when it is undone.
func TestInPlace(t *testing.T) {
	for name, readOnly := range map[string]bool{"in a folder": false, "in a read-only folder": true} {
		t.Run(name, func(t *testing.T) {
			p, real := inMount(t, readOnly)
			_, before := p.stat("out")
			check := p.sh("[ ! -e '" + real + ".fails' ] || ! grep -q new2 out")
			run := func(contents string, options File) *commit {
				c := p.newCommit(check, map[string]string{"out": contents})
				c.files[0].options = options
				c.stage()
				if c.swap() == nil {
					_ = c.run()
				}
				return c
			}
			want := func(contents string) {
				t.Helper()
				p.want(map[string]string{"out": contents})
				b, err := os.ReadFile(real)
				p.must(err)
				if string(b) != contents {
					t.Errorf("the mounted file holds %q, want %q", b, contents)
				}
			}
			c := run("longer than before", File{})
			if c.err != nil || len(c.failed) > 0 || len(c.swaps) != 1 {
				t.Fatalf("err %v, failed %v", c.err, c.failed)
			}
			want("longer than before")
			if run("new", File{Perms: 0o600}).err != nil { // shorter, and with another mode
				t.Fatal(c.err)
			}
			want("new")
			if info, _ := p.stat("out"); info.Mode() != 0o600 {
				t.Errorf("mode %o", info.Mode())
			}
			p.must(os.WriteFile(real+".fails", nil, 0o600))
			if c := run("new2", File{Perms: 0o644}); c.err == nil || !c.rejected {
				t.Errorf("rejected %v, err %v", c.rejected, c.err)
			}
			want("new")
			info, after := p.stat("out")
			if after.Ino != before.Ino || info.Mode() != 0o600 {
				t.Errorf("inode %d, before %d; mode %o", after.Ino, before.Ino, info.Mode())
			}
		})
	}
}

// A check with {} in it sees the contents of files that will be written in place, too.
func TestInPlaceCheck(t *testing.T) {
	for name, readOnly := range map[string]bool{"in a folder": false, "in a read-only folder": true} {
		t.Run(name, func(t *testing.T) {
			p, _ := inMount(t, readOnly)
			for contents, ok := range map[string]bool{"good": true, "bad": false} {
				c := p.newCommit(Command{}, map[string]string{"out": contents})
				c.cfg.Check = Command{Shell: "! grep -q bad {}"}
				c.stage()
				_ = c.swap()
				if passed := len(c.failed) == 0; passed != ok {
					t.Errorf("%s: %v", contents, c.failed)
				}
				if got := p.files()["out"]; got == "bad" {
					t.Error("what the check does not like is in place")
				}
			}
			if left, _ := filepath.Glob(os.TempDir() + "/render-check-*"); len(left) > 0 {
				t.Errorf("left behind: %v", left)
			}
		})
	}
}

// A render that was killed left a mark and a saved file beside a file that is mounted: that is put back in place, too.
func TestInPlaceAfterACrash(t *testing.T) {
	p, real := inMount(t, false)
	c := p.newCommit(p.sh("! grep -q new out"), map[string]string{"out": "new"})
	c.stage()
	p.must(c.swap()) // and then nothing
	p.want(map[string]string{"out": "new", ".render-out.owed": markText, ".render-out.old": "old"})
	if c := p.commit(p.sh("! grep -q new out"), map[string]string{"out": "new"}); c.err == nil || !c.ran || c.owed {
		t.Errorf("ran %v, owed %v, err %v", c.ran, c.owed, c.err)
	}
	p.want(map[string]string{"out": "old"})
	if b, err := os.ReadFile(real); err != nil || string(b) != "old" {
		t.Errorf("the mounted file holds %q, %v", b, err)
	}
}

// When the disk is full half-way, the old contents are written back.
func TestInPlaceDiskFull(t *testing.T) {
	p := newPlace(t)
	for _, dir := range []string{"small", "in"} {
		p.must(os.Mkdir(p.path(dir), 0o755))
	}
	mount(t, "tmpfs", p.path("small"), "tmpfs", 0, "size=64k")
	old := strings.Repeat("old", 5000)
	real := p.write("small/real", old, 0o644)
	p.write("in/out", "", 0o644)
	mount(t, real, p.path("in/out"), "", syscall.MS_BIND, "")
	c := p.commit(Command{Shell: "exit 1"}, map[string]string{"in/out": strings.Repeat("new", 50000), "in/other": "new"})
	err := c.failed[p.path("in/out")]
	if err == nil || !strings.Contains(err.Error(), "in place: write") || !strings.Contains(err.Error(), "no space left") {
		t.Errorf("got %v", err)
	}
	got := p.files()
	delete(got, "small/real")
	if got["in/out"] != old {
		t.Errorf("it holds %d bytes: %.10q…", len(got["in/out"]), got["in/out"])
	}
	if got["in/other"] != "new" {
		t.Errorf("the other file holds %q", got["in/other"])
	}
}

// What a file has beside its contents is kept, or is what is asked for: before anybody can see the contents.
func TestAttributes(t *testing.T) {
	isRoot := os.Geteuid() == 0
	tests := []struct {
		name     string
		mode     fs.FileMode // of the old file; 0 for none
		owner    int         // of the old file
		options  File
		wantMode fs.FileMode
		wantUser uint32
		root     bool
	}{
		{"kept", 0o440, 0, File{}, 0o440, 0, false},
		{"kept, of somebody else", 0o640, 65534, File{}, 0o640, 65534, true},
		{"setuid is kept", 0o755 | fs.ModeSetuid | fs.ModeSetgid, 65534, File{}, 0o755 | fs.ModeSetuid | fs.ModeSetgid, 65534, true},
		{"asked for", 0o644, 0, File{Perms: 0o600}, 0o600, 0, false},
		{"asked for, a new file", 0, 0, File{Perms: 0o600}, 0o600, 0, false},
		{"an owner is asked for", 0o644, 0, File{User: "nobody", Group: "65533", Perms: 0o640}, 0o640, 65534, true},
		{"an owner is asked for, a new file", 0, 0, File{User: "65534"}, 0o644, 65534, true},
		{"a new file", 0, 0, File{}, 0o644, 0, false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if test.root && !isRoot {
				t.Skip("only root can give files away")
			}
			p := newPlace(t)
			if test.mode != 0 {
				p.write("out", "old", test.mode)
				if test.owner != 0 {
					p.must(os.Chown(p.path("out"), test.owner, test.owner))
					p.must(os.Chmod(p.path("out"), test.mode))
				}
			}
			c := p.newCommit(p.appends("runs"), map[string]string{"out": "new"})
			c.files[0].options = test.options
			c.stage()
			staged, err := os.Stat(c.files[0].temporary)
			p.must(err)
			p.must(c.swap())
			p.must(c.run())
			info, stat := p.stat("out")
			if isRoot && stat.Uid != test.wantUser {
				t.Errorf("owner %d, want %d", stat.Uid, test.wantUser)
			}
			if info.Mode() != test.wantMode || staged.Mode() != test.wantMode || staged.Sys().(*syscall.Stat_t).Uid != stat.Uid {
				t.Errorf("mode %o, want %o; before the swap %o, owner %d", info.Mode(), test.wantMode, staged.Mode(), staged.Sys().(*syscall.Stat_t).Uid)
			}

			// What somebody else makes of it is repaired where it was asked for, and is no reason to run anything.
			p.must(os.Chmod(p.path("out"), 0o666))
			if isRoot {
				p.must(os.Chown(p.path("out"), 1, 1))
			}
			c = p.newCommit(p.appends("runs"), map[string]string{"out": "new"})
			c.files[0].options = test.options
			c.stage()
			p.must(c.swap())
			p.must(c.run())
			if info, _ := p.stat("out"); test.options.Perms != 0 && info.Mode() != test.wantMode {
				t.Errorf("mode %o afterwards", info.Mode())
			}
			if _, stat := p.stat("out"); isRoot && test.options.User != "" && stat.Uid != test.wantUser {
				t.Errorf("owner %d afterwards", stat.Uid)
			}
			p.want(map[string]string{"out": "new", "runs": "ran\n"})
		})
	}
}

func (p place) appends(name string) Command { return p.sh("echo ran >> '" + name + "'") }

// Extended attributes, among them lists of rights, go along; a mode that is asked for holds all the same.
func TestExtendedAttributes(t *testing.T) {
	list := binary.LittleEndian.AppendUint32(nil, 2) // the version of the format
	for _, entry := range []struct {
		tag, perm uint16
		id        uint32
	}{{1, 6, 1<<32 - 1}, {2, 4, 12345}, {4, 4, 1<<32 - 1}, {16, 4, 1<<32 - 1}, {32, 0, 1<<32 - 1}} { // owner, user, group, mask, others
		list = binary.LittleEndian.AppendUint16(list, entry.tag)
		list = binary.LittleEndian.AppendUint16(list, entry.perm)
		list = binary.LittleEndian.AppendUint32(list, entry.id)
	}
	for name, value := range map[string][]byte{"user.render": []byte("value"), "system.posix_acl_access": list} {
		t.Run(name, func(t *testing.T) {
			p := newPlace(t)
			p.write("out", "old", 0o640)
			if err := unix.Setxattr(p.path("out"), name, value, 0); err != nil {
				t.Skipf("the file system has none: %v", err)
			}
			get := func() string {
				got := make([]byte, 200)
				n, err := unix.Getxattr(p.path("out"), name, got)
				p.must(err)
				return string(got[:n])
			}
			p.commit(Command{}, map[string]string{"out": "new"})
			if got := get(); got != string(value) {
				t.Errorf("got %q, want %q", got, value)
			}
			c := p.newCommit(Command{}, map[string]string{"out": "newer"})
			c.files[0].options.Perms = 0o600
			c.stage()
			p.must(c.swap())
			if info, _ := p.stat("out"); info.Mode() != 0o600 {
				t.Errorf("mode %o", info.Mode())
			}
			get()
			p.want(map[string]string{"out": "newer"})
		})
	}
}

// The backup is what was there before the last change that stayed, with its mode.
func TestBackup(t *testing.T) {
	for name, command := range map[string]string{"with a command": "! grep -q bad out", "without": ""} {
		t.Run(name, func(t *testing.T) {
			p := newPlace(t)
			run := func(contents string) {
				t.Helper()
				c := p.newCommit(Command{}, map[string]string{"out": contents})
				if command != "" {
					c.cfg.Command = p.sh(command)
				}
				c.files[0].options.Backup = true
				c.stage()
				p.must(c.swap())
				if err := c.run(); (err != nil) != (contents == "bad") || len(c.warnings) > 0 {
					t.Errorf("err %v, warnings %v", err, c.warnings)
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
			if command != "" {
				run("bad")
			}
			p.want(map[string]string{"out": "3", "out.bak": "2"})
		})
	}
	t.Run("where it cannot be", func(t *testing.T) {
		p := newPlace(t)
		p.write("out", "old", 0o644)
		p.must(os.MkdirAll(p.path("out.bak/full"), 0o755))
		for _, command := range []Command{{}, {Shell: ":"}} {
			c := withBackup(p, command)
			if len(c.warnings) != 1 || !strings.Contains(c.warnings[0], p.path("out")+" has no backup: ") || c.owed {
				t.Errorf("owed %v, warnings %v", c.owed, c.warnings)
			}
		}
		p.must(os.RemoveAll(p.path("out.bak")))
		p.want(map[string]string{"out": "new:"})
	})
	t.Run("of a mounted file", func(t *testing.T) {
		p, _ := inMount(t, false)
		for _, command := range []Command{{}, {Shell: ":"}} {
			withBackup(p, command)
		}
		p.want(map[string]string{"out": "new:", "out.bak": "new"})
	})
}

// withBackup commits a file of which there is to be a backup. Its contents tell the command.
func withBackup(p place, command Command) *commit {
	c := p.newCommit(command, map[string]string{"out": "new" + command.Shell})
	c.files[0].options.Backup = true
	c.stage()
	p.must(c.swap())
	p.must(c.run())
	return c
}

// A hard link is left with the old contents: it is another name of the old file.
func TestHardLink(t *testing.T) {
	p := newPlace(t)
	p.write("out", "old", 0o644)
	p.must(os.Link(p.path("out"), p.path("link")))
	p.commit(Command{Shell: ":"}, map[string]string{"out": "new"})
	p.want(map[string]string{"out": "new", "link": "old"})
}

// Links lead where the kernel says, also with .. in a folder that is a link.
func TestLinks(t *testing.T) {
	p := newPlace(t)
	p.must(os.MkdirAll(p.path("data/sites"), 0o755))
	p.must(os.MkdirAll(p.path("etc"), 0o755))
	p.must(os.Symlink("../data/sites", p.path("etc/sites")))
	p.must(os.Symlink("../real", p.path("data/sites/out"))) // data/real, and not etc/real
	for _, contents := range []string{"1", "2"} {           // it does not exist, it does
		p.commit(Command{}, map[string]string{"etc/sites/out": contents})
		p.want(map[string]string{"etc/sites": "-> ../data/sites", "data/sites/out": "-> ../real", "data/real": contents})
	}
	c := p.newCommit(Command{}, map[string]string{"etc/sites/out": "3"})
	c.files[0].options.RefuseLinks = true
	c.stage()
	if err := c.failed[p.path("etc/sites/out")]; err == nil || !strings.Contains(err.Error(), "is a link, and links are refused") {
		t.Errorf("got %v", err)
	}
}

// Two destinations that are one file are an error that names both, by whatever links.
func TestOneFileTwice(t *testing.T) {
	p := newPlace(t)
	p.must(os.Mkdir(p.path("dir"), 0o755))
	p.must(os.Symlink("dir", p.path("dirlink")))
	p.must(os.Symlink("dir/out", p.path("link")))
	p.must(os.Symlink("../dirlink/out", p.path("dir/circle")))
	for _, pair := range [][2]string{
		{"dir/out", "dirlink/out"}, {"dir/out", "link"}, {"link", "dir/circle"}, {"dir/out", "dir/../dir//out"},
		{"dir/not/yet/out", "dirlink/not/yet/out"},
	} {
		err := Config{Targets: []Target{{Source: "one", Destination: p.path(pair[0])}, {Source: "two", Destination: p.dir + "/" + pair[1]}}}.Validate()
		if err == nil || !strings.Contains(err.Error(), "templates one and two have the same destination") {
			t.Errorf("%v: got %v", pair, err)
		}
	}
}

// In a daemon: what is mounted is repaired and undone as any other file.
func TestInPlaceEngine(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.write("real", "old")
		out := r.target("out", `{{key "k"}}`)
		r.write("out", "")
		mount(t, r.path("real"), r.path("out"), "", syscall.MS_BIND, "")
		r.start(of(Action{Command: r.sh("cat out >> runs; ! grep -q bad out")}, out))
		for _, value := range []string{"1", "2", "bad", "3"} {
			r.set(kv("k"), value)
			elapse(5 * time.Second)
		}
		r.wantFile("real", "3")
		r.wantClean()
	})
}
