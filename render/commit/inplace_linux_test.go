package commit

import (
	"encoding/binary"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"render/render/disk"
	"render/render/run"
)

// mount mounts something for the duration of a test.
func mount(t *testing.T, source, target, kind string, flags uintptr, data string) {
	t.Helper()
	if err := syscall.Mount(source, target, kind, flags, data); err != nil {
		t.Skipf("cannot mount: %v", err)
	}
	t.Cleanup(func() { _ = syscall.Unmount(target, syscall.MNT_DETACH) })
}

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
			commit := func(contents string, options disk.Options) Result {
				t.Helper()
				plan := p.plan(Action{Command: check}, map[string]string{"out": contents})
				plan.Files[0].Options = options
				r := p.do(plan)
				if !strings.Contains(strings.Join(r.Warnings, "\n"), p.path("out")+" is written in place") {
					t.Errorf("warnings: %q", r.Warnings)
				}
				unknown := strings.Contains(strings.Join(r.Warnings, "\n"), "if render ends before the action has succeeded, the next start will not know")
				if unknown != readOnly {
					t.Errorf("warnings: %q", r.Warnings)
				}
				return r
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
			if r := commit("longer than before", disk.Options{}); r.Err != nil || len(r.Failed) > 0 || len(r.Swapped) != 1 {
				t.Fatalf("got %+v", r)
			}
			want("longer than before")
			if r := commit("new", disk.Options{Perms: 0o600}); r.Err != nil { // shorter, and with another mode
				t.Fatal(r.Err)
			}
			want("new")
			if info, _ := p.stat("out"); info.Mode() != 0o600 {
				t.Errorf("mode %o", info.Mode())
			}
			p.must(os.WriteFile(real+".fails", nil, 0o600))
			if r := commit("new2", disk.Options{Perms: 0o644}); r.Err == nil || !r.Rejected || r.Pending {
				t.Errorf("got %+v", r)
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
			tmp := t.TempDir()
			t.Setenv("TMPDIR", tmp)
			p, _ := inMount(t, readOnly)
			for _, contents := range []string{"good", "bad"} {
				r := p.do(p.plan(Action{Check: run.Command{Shell: "! grep -q bad {}"}}, map[string]string{"out": contents}))
				if passed := len(r.Failed) == 0; passed != (contents == "good") {
					t.Errorf("%s: %v", contents, r.Failed)
				}
				if got := p.files()["out"]; got != "good" {
					t.Errorf("the file holds %q", got)
				}
			}
			if left, _ := filepath.Glob(tmp + "/render-check-*"); len(left) > 0 {
				t.Errorf("left behind: %v", left)
			}
		})
	}
}

// A render that was killed left a mark and a saved file beside a file that is mounted: that is restored in place, too.
func TestInPlaceAfterACrash(t *testing.T) {
	p, real := inMount(t, false)
	fails := Action{Command: p.sh("! grep -q new out")}
	p.crash(p.plan(fails, map[string]string{"out": "new"}), "swapped")
	p.want(map[string]string{"out": "new", ".render-out.owed": owed("out"), ".render-out.old": "old"})
	if r := p.do(p.plan(fails, map[string]string{"out": "new"})); r.Err == nil || !r.Ran || r.Pending {
		t.Errorf("got %+v", r)
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
	r := p.commit(run.Command{Shell: "exit 1"}, map[string]string{"in/out": strings.Repeat("new", 50000), "in/other": "new"})
	err := r.Failed[p.path("in/out")]
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

// What a file has beside its contents is kept, or is what Options say: before anybody can see the contents.
func TestAttributes(t *testing.T) {
	isRoot := os.Geteuid() == 0
	tests := []struct {
		name     string
		mode     fs.FileMode // of the old file; 0 for none
		owner    int         // of the old file
		options  disk.Options
		wantMode fs.FileMode
		wantUser uint32
		root     bool
	}{
		{"kept", 0o440, 0, disk.Options{}, 0o440, 0, false},
		{"kept, of somebody else", 0o640, 65534, disk.Options{}, 0o640, 65534, true},
		{"setuid is kept", 0o755 | fs.ModeSetuid | fs.ModeSetgid, 65534, disk.Options{}, 0o755 | fs.ModeSetuid | fs.ModeSetgid, 65534, true},
		{"setuid does not move", 0o755 | fs.ModeSetuid | fs.ModeSetgid, 65534, disk.Options{User: "0"}, 0o755, 0, true},
		{"configured", 0o644, 0, disk.Options{Perms: 0o600}, 0o600, 0, false},
		{"configured, a new file", 0, 0, disk.Options{Perms: 0o600}, 0o600, 0, false},
		{"an owner is configured", 0o644, 0, disk.Options{User: "nobody", Group: "65533", Perms: 0o640}, 0o640, 65534, true},
		{"an owner is configured, a new file", 0, 0, disk.Options{User: "65534"}, 0o644, 65534, true},
		{"a new file", 0, 0, disk.Options{}, 0o644, 0, false},
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
			plan := p.plan(Action{Command: p.appends("runs")}, map[string]string{"out": "new"})
			plan.Files[0].Options = test.options
			c := p.begin(plan)
			c.stage()
			temporary, remove, err := c.files[0].Candidate()
			p.must(err)
			defer remove()
			staged, err := os.Stat(temporary)
			p.must(err)
			p.must(c.swap())
			c.act()
			p.must(c.end().Err)
			info, stat := p.stat("out")
			if isRoot && stat.Uid != test.wantUser {
				t.Errorf("owner %d, want %d", stat.Uid, test.wantUser)
			}
			if info.Mode() != test.wantMode || staged.Mode() != test.wantMode || staged.Sys().(*syscall.Stat_t).Uid != stat.Uid {
				t.Errorf("mode %o, want %o; before the swap %o, owner %d", info.Mode(), test.wantMode, staged.Mode(), staged.Sys().(*syscall.Stat_t).Uid)
			}

			// What somebody else makes of it is repaired where it is configured, and is no reason to run anything.
			p.must(os.Chmod(p.path("out"), 0o666))
			if isRoot {
				p.must(os.Chown(p.path("out"), 1, 1))
			}
			r := p.do(plan)
			p.must(r.Err)
			if r.Ran || len(r.Swapped) > 0 {
				t.Errorf("got %+v", r)
			}
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

// Extended attributes, among them lists of rights, are kept; a mode that is configured is in effect all the same.
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
				t.Helper()
				got := make([]byte, 200)
				n, err := unix.Getxattr(p.path("out"), name, got)
				p.must(err)
				return string(got[:n])
			}
			p.commit(run.Command{}, map[string]string{"out": "new"})
			if got := get(); got != string(value) {
				t.Errorf("got %q, want %q", got, value)
			}
			plan := p.plan(Action{}, map[string]string{"out": "newer"})
			plan.Files[0].Options.Perms = 0o600
			p.do(plan)
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
			commit := func(contents string) {
				t.Helper()
				plan := p.plan(Action{}, map[string]string{"out": contents})
				if command != "" {
					plan.Action.Command = p.sh(command)
				}
				plan.Files[0].Options.Backup = true
				if r := p.do(plan); (r.Err != nil) != (contents == "bad") || len(r.Warnings) > 0 {
					t.Errorf("got %+v", r)
				}
			}
			commit("1")
			p.want(map[string]string{"out": "1"})
			p.must(os.Chmod(p.path("out"), 0o604))
			commit("2")
			commit("2")
			p.want(map[string]string{"out": "2", "out.bak": "1"})
			if info, _ := p.stat("out.bak"); info.Mode() != 0o604 {
				t.Errorf("mode %o", info.Mode())
			}
			commit("3")
			if command != "" {
				commit("bad")
			}
			p.want(map[string]string{"out": "3", "out.bak": "2"})
		})
	}
	t.Run("where it cannot be", func(t *testing.T) {
		p := newPlace(t)
		p.write("out", "old", 0o644)
		p.must(os.MkdirAll(p.path("out.bak/full"), 0o755))
		for _, command := range []run.Command{{}, {Shell: ":"}} {
			r := withBackup(p, command)
			if len(r.Warnings) != 1 || !strings.Contains(r.Warnings[0], p.path("out")+" has no backup: ") || r.Pending {
				t.Errorf("got %+v", r)
			}
		}
		p.must(os.RemoveAll(p.path("out.bak")))
		p.want(map[string]string{"out": "new:"})
	})
	t.Run("of a mounted file", func(t *testing.T) {
		p, _ := inMount(t, false)
		for _, command := range []run.Command{{}, {Shell: ":"}} {
			withBackup(p, command)
		}
		p.want(map[string]string{"out": "new:", "out.bak": "new"})
	})
}

// withBackup commits a file of which there is a backup. Its contents name the command.
func withBackup(p place, command run.Command) Result {
	p.t.Helper()
	plan := p.plan(Action{Command: command}, map[string]string{"out": "new" + command.Shell})
	plan.Files[0].Options.Backup = true
	r := p.do(plan)
	p.must(r.Err)
	return r
}

// A hard link is left with the old contents: it is another name of the old file.
func TestHardLink(t *testing.T) {
	p := newPlace(t)
	p.write("out", "old", 0o644)
	p.must(os.Link(p.path("out"), p.path("link")))
	p.commit(run.Command{Shell: ":"}, map[string]string{"out": "new"})
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
		p.commit(run.Command{}, map[string]string{"etc/sites/out": contents})
		p.want(map[string]string{"etc/sites": "-> ../data/sites", "data/sites/out": "-> ../real", "data/real": contents})
	}
	plan := p.plan(Action{}, map[string]string{"etc/sites/out": "3"})
	plan.Files[0].Options.RefuseLinks = true
	if err := p.do(plan).Failed[p.path("etc/sites/out")]; err == nil || !strings.Contains(err.Error(), "is a link, and links are refused") {
		t.Errorf("got %v", err)
	}
}
