package disk

import (
	"encoding/binary"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"render/render/disk/folder"

	"golang.org/x/sys/unix"
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
func inMount(t *testing.T, readOnly bool) (p testPlace, real string) {
	t.Helper()
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

// A file that is mounted by itself is written in place, with a warning: it stays the same file, also when it is undone.
func TestInPlace(t *testing.T) {
	for name, readOnly := range map[string]bool{"in a folder": false, "in a read-only folder": true} {
		t.Run(name, func(t *testing.T) {
			p, real := inMount(t, readOnly)
			ino := p.ino("out")
			run := func(act func() error, contents string, o Options) *outcome {
				t.Helper()
				w := p.wants("out", contents)
				w.Options = o
				out := commit(nil, act, nil, w)
				if len(out.warnings) == 0 || !strings.Contains(out.warnings[0], "is written in place: ") || len(out.failed) > 0 || len(out.debts) > 0 {
					t.Errorf("warnings %q, failed %v, debts %v", out.warnings, out.failed, out.debts)
				}
				return out
			}
			want := func(contents string) {
				t.Helper()
				p.want(map[string]string{"out": contents})
				if b, err := os.ReadFile(real); err != nil || string(b) != contents {
					t.Errorf("the mounted file holds %q, want %q", b, contents)
				}
			}
			for _, act := range []func() error{nil, succeeds} {
				run(act, "longer than before", Options{})
				want("longer than before")
				run(act, "new", Options{Perms: 0o600}) // shorter, and with another mode
				want("new")
				if info, _ := p.stat("out"); info.Mode() != 0o600 {
					t.Errorf("mode %o", info.Mode())
				}
			}
			if run(p.failsFor("out", "new2"), "new2", Options{Perms: 0o644}).err == nil {
				t.Error("no error")
			}
			want("new")
			if info, _ := p.stat("out"); p.ino("out") != ino || info.Mode() != 0o600 {
				t.Errorf("inode %d, before %d; mode %o", p.ino("out"), ino, info.Mode())
			}

			// Attributes are repaired in place, too.
			w := p.wants("out", "new")
			w.Options.Perms = 0o640
			commit(nil, succeeds, nil, w).isFine(t)
			if info, _ := p.stat("out"); p.ino("out") != ino || info.Mode() != 0o640 {
				t.Errorf("mode %o", info.Mode())
			}
		})
	}
}

// An action that fails again and again for a mounted file is owed as long, and warns only of new contents.
func TestInPlaceOwed(t *testing.T) {
	for name, readOnly := range map[string]bool{"in a folder": false, "in a read-only folder": true} {
		t.Run(name, func(t *testing.T) {
			p, _ := inMount(t, readOnly)
			o := commit(nil, fails, nil, p.wants("out", "new"))
			for range 2 {
				if o.err == nil || len(o.debts) != 1 {
					t.Fatalf("err %v, debts %v", o.err, o.debts)
				}
				o = commit(nil, fails, o.debts, p.wants("out", "old"))
				if len(o.warnings) > 0 {
					t.Errorf("warnings %v", o.warnings)
				}
			}
			commit(nil, succeeds, o.debts, p.wants("out", "old")).isFine(t)
			p.want(map[string]string{"out": "old"})
		})
	}
}

// A check before the swap sees the contents of files that will be written in place, too.
func TestInPlaceCandidate(t *testing.T) {
	for _, readOnly := range []bool{false, true} {
		p, _ := inMount(t, readOnly)
		b := NewBatch(nil)
		f, _, err := b.Stage(p.wants("out", "new"))
		p.must(err)
		path, remove, err := f.Candidate()
		p.must(err)
		if text, err := os.ReadFile(path); err != nil || string(text) != "new" {
			t.Errorf("%q, %v", text, err)
		}
		remove()
		b.Close()
		p.want(map[string]string{"out": "old"})
	}
	if left, _ := filepath.Glob(os.TempDir() + "/render-check-*"); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

// After a crash the saved copy of a mounted file is put back in place, too.
func TestInPlaceAfterACrash(t *testing.T) {
	p, real := inMount(t, false)
	b := NewBatch(nil)
	f, _, err := b.Stage(p.wants("out", "new"))
	p.must(err)
	_, _, err = b.Save([]*File{f})
	p.must(err)
	_, err = f.Swap()
	p.must(err) // and then nothing
	p.want(map[string]string{"out": "new", ".render-out.owed": "[out]", ".render-out.old": "old"})
	debts, err := Recall([]string{p.path("out")})
	p.must(err)
	if o := commit(nil, p.failsFor("out", "new"), debts, p.wants("out", "new")); o.err == nil || len(o.debts) > 0 {
		t.Errorf("err %v, debts %v", o.err, o.debts)
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
	o := commit(nil, fails, nil, p.wants("in/out", strings.Repeat("new", 50000)), p.wants("in/other", "new"))
	wantError(t, o.failed[p.path("in/out")], "in place: write", "no space left")
	got := p.files()
	if got["in/out"] != old {
		t.Errorf("it holds %d bytes: %.10q…", len(got["in/out"]), got["in/out"])
	}
	if got["in/other"] != "new" {
		t.Errorf("the other file holds %q", got["in/other"])
	}
	if _, ok := got["in/.render-out.old"]; ok {
		t.Error("the saved copy is still there")
	}
}

// A mounted file that is too large to be kept in memory is an error, and stays as it is.
func TestInPlaceHuge(t *testing.T) {
	for _, readOnly := range []bool{false, true} {
		p, real := inMount(t, readOnly)
		p.must(os.Truncate(real, maxCopy+1))
		for _, act := range []func() error{nil, succeeds} {
			o := commit(nil, act, nil, p.wants("out", "new"))
			wantError(t, o.failed[p.path("out")], fmt.Sprint(maxCopy+1, " bytes; render keeps at most ", maxCopy))
		}
		if info, _ := p.stat("out"); info.Size() != maxCopy+1 {
			t.Errorf("%d bytes", info.Size())
		}
		if left, _ := filepath.Glob(p.path(".render-*")); len(left) > 0 {
			t.Errorf("left behind: %v", left)
		}
	}
}

// A backup of a mounted file is a copy.
func TestInPlaceBackup(t *testing.T) {
	p, _ := inMount(t, false)
	for i, act := range []func() error{nil, succeeds} {
		w := p.wants("out", fmt.Sprint("new", i))
		w.Options.Backup = true
		commit(nil, act, nil, w)
	}
	p.want(map[string]string{"out": "new1", "out.bak": "new0"})
}

// A full disk keeps the old file and leaves nothing behind.
func TestDiskFull(t *testing.T) {
	for name, data := range map[string]string{"blocks": "size=64k", "inodes": "nr_inodes=3"} {
		t.Run(name, func(t *testing.T) {
			p := newPlace(t)
			p.must(os.Mkdir(p.path("small"), 0o755))
			p.dir = p.path("small")
			mount(t, "tmpfs", p.dir, "tmpfs", 0, data)
			p.write("out", "old", 0o644)
			if name == "inodes" {
				p.write("1", "", 0o600)
			}
			for _, act := range []func() error{nil, succeeds} {
				o := commit(nil, act, nil, p.wants("out", strings.Repeat("new", 50000)))
				wantError(t, o.failed[p.path("out")], "no space left on device", p.dir)
			}
			if got := p.files(); got["out"] != "old" {
				t.Errorf("got %q", got)
			}
			if left, _ := filepath.Glob(p.path(".render-*")); len(left) > 0 {
				t.Errorf("left behind: %v", left)
			}
		})
	}
}

// become makes the thread of this goroutine, which ends with it, somebody else.
func become(uid int) {
	runtime.LockOSThread()
	_, _, _ = unix.RawSyscall(unix.SYS_SETGROUPS, 0, 0, 0)
	_, _, _ = unix.RawSyscall(unix.SYS_SETRESGID, uintptr(uid), uintptr(uid), uintptr(uid))
	if _, _, err := unix.RawSyscall(unix.SYS_SETRESUID, uintptr(uid), uintptr(uid), uintptr(uid)); err != 0 {
		panic(err)
	}
}

// asNobody runs f as another user. Os.Geteuid says so, too: it asks the thread.
func asNobody(t *testing.T, f func()) {
	t.Helper()
	mustBeRoot(t)
	done := make(chan bool)
	go func() {
		defer close(done)
		become(65534)
		f()
	}()
	<-done
}

// open makes a place reachable for everybody.
func (p testPlace) open(mode fs.FileMode) {
	p.t.Helper()
	p.must(os.Chmod(filepath.Dir(p.dir), 0o755))
	p.must(os.Chmod(p.dir, mode))
}

func TestNotAllowed(t *testing.T) {
	t.Run("a folder that may not be written", func(t *testing.T) {
		p := newPlace(t)
		p.open(0o755)
		asNobody(t, func() {
			o := commit(nil, succeeds, nil, p.wants("out", "new"))
			wantError(t, o.failed[p.path("out")], "permission denied\nhint: give render the right to write to the folder")
		})
		p.want(map[string]string{})
	})
	t.Run("a folder that may be written, and not read", func(t *testing.T) {
		p := newPlace(t)
		p.open(0o333)
		asNobody(t, func() {
			commit(nil, succeeds, nil, p.wants("out", "new")).isFine(t)
			commit(nil, succeeds, nil, p.wants("out", "newer")).isFine(t)
			if debts, err := Recall([]string{p.path("out")}); len(debts) > 0 || err != nil {
				t.Errorf("debts %v, %v", debts, err)
			}
		})
		p.want(map[string]string{"out": "newer"})
	})
	t.Run("a file that may not be read", func(t *testing.T) {
		p := newPlace(t)
		p.open(0o777)
		p.write("out", "old", 0o600)
		asNobody(t, func() {
			o := commit(nil, succeeds, nil, p.wants("out", "new"))
			wantError(t, o.failed[p.path("out")], "permission denied")
		})
		p.want(map[string]string{"out": "old"})
	})
	t.Run("owner", func(t *testing.T) {
		mustBeRoot(t)
		p := newPlace(t)
		p.open(0o777)
		p.write("kept", "old", 0o2664)
		p.chown("kept", 65533, 65533)
		p.must(os.Chmod(p.path("kept"), 0o664|fs.ModeSetuid))
		asNobody(t, func() {
			asked := p.wants("asked", "new")
			asked.Options.User = strconv.Itoa(65533)
			o := commit(nil, succeeds, nil, asked, p.wants("kept", "new"))
			wantError(t, o.failed[p.path("asked")], "cannot change the owner")
			if len(o.warnings) != 1 || !strings.Contains(o.warnings[0], p.path("kept")+": cannot change the owner") {
				t.Errorf("warnings: %v", o.warnings)
			}
		})
		p.want(map[string]string{"kept": "new"})
		if info, stat := p.stat("kept"); info.Mode() != 0o644 || stat.Uid != 65534 { // our group gets no more than all have
			t.Errorf("mode %o, owner %d", info.Mode(), stat.Uid)
		}
	})
}

// In a sticky folder a link to the file of another user is one that we could not remove again. Nothing is left behind.
func TestStickyFolder(t *testing.T) {
	mustBeRoot(t)
	p := newPlace(t)
	p.open(0o777 | fs.ModeSticky)
	p.write("out", "old", 0o666)
	p.chown("out", 65533, 65533)
	asNobody(t, func() {
		for _, act := range []func() error{nil, succeeds} {
			o := commit(nil, act, nil, p.wants("out", "new"), p.wants("other", "new"+fmt.Sprint(act == nil)))
			wantError(t, o.failed[p.path("out")], "operation not permitted")
			if len(o.failed) != 1 || len(o.debts) > 0 {
				t.Errorf("failed %v, debts %v", o.failed, o.debts)
			}
		}
	})
	p.want(map[string]string{"out": "old", "other": "newfalse"})
}

// A link is followed where it belongs to root, to us, or to the owner of what it leads to.
func TestLinksOfOthers(t *testing.T) {
	mustBeRoot(t)
	const bob, eve = 65533, 65532
	tests := []struct {
		name        string
		link, leads string // in our place
		linkOwner   int
		endOwner    int // of file and folder that it leads to
		path        string
		refuse      bool
		err         string // "" where it is followed
	}{
		{"root's link to a file", "out", "end/file", 0, bob, "out", false, ""},
		{"a user's link to his file", "out", "end/file", bob, bob, "out", false, ""},
		{"a user's link to root's file", "out", "end/file", bob, 0, "out", false, "is a link of user 65533 and leads to"},
		{"a user's link to another's file", "out", "end/file", eve, bob, "out", false, "of user 65533, so render does not follow the link\nhint: give the link to root, or use the path /"},
		{"a user's link to what does not exist, in his folder", "out", "end/none", bob, bob, "out", false, ""},
		{"a user's link to what does not exist, in root's folder", "out", "end/none", bob, 0, "out", false, "is a link of user 65533"},
		{"a user's link to a folder that does not exist, in root's", "out", "end/no/none", bob, 0, "out", false, "is a link of user 65533"},
		{"a user's link to a folder that does not exist, in his", "out", "end/no/none", bob, bob, "out", false, ""},
		{"a user's folder that leads to root's", "dir", "end", bob, 0, "dir/file", false, "is a link of user 65533"},
		{"a user's folder that leads to a folder below root's", "dir", "end/no", bob, 0, "dir/file", false, "is a link of user 65533"},
		{"a user's folder that leads to his", "dir", "end", bob, bob, "dir/file", false, ""},
		{"root's folder", "dir", "end", 0, bob, "dir/file", true, ""},
		{"refused: a user's folder that leads to his", "dir", "end", bob, bob, "dir/file", true, "is a link of user 65533, and links are refused"},
		{"refused: root's link", "out", "end/file", 0, 0, "out", true, "is a link, and links are refused"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			p := newPlace(t)
			p.must(os.Mkdir(p.path("end"), 0o755))
			p.write("end/file", "old", 0o644)
			p.chown("end", test.endOwner, test.endOwner)
			p.chown("end/file", test.endOwner, test.endOwner)
			p.must(os.Symlink(test.leads, p.path(test.link)))
			p.chown(test.link, test.linkOwner, test.linkOwner)
			before := p.files()
			w := p.wants(test.path, "new")
			w.Options.RefuseLinks = test.refuse
			o := commit(nil, succeeds, nil, w)
			if test.err == "" {
				o.isFine(t)
				if b, err := os.ReadFile(p.path(test.path)); string(b) != "new" {
					t.Errorf("it holds %q, %v", b, err)
				}
				return
			}
			wantError(t, o.failed[w.Path], test.err)
			p.want(before)
			if _, err := os.Lstat(p.path("end/no")); err == nil {
				t.Error("it has made a folder")
			}
			x, err := Expect(w.Path, w.Options, [32]byte{}, 3)
			p.must(err)
			if differs, err := x.Differs(); !differs || err != nil {
				t.Errorf("differs: %v, %v", differs, err)
			}
		})
	}
}

const accessList = "system.posix_acl_access"

// accessListOf returns an access control list: what the system takes for one.
func accessListOf(owner, group, other uint16, user uint32) []byte {
	list := binary.LittleEndian.AppendUint32(nil, 2) // the version of the format
	for _, entry := range []struct {
		tag, perm uint16
		id        uint32
	}{{1, owner, 1<<32 - 1}, {2, 4, user}, {4, group, 1<<32 - 1}, {16, 4, 1<<32 - 1}, {32, other, 1<<32 - 1}} { // owner, user, group, mask, others
		list = binary.LittleEndian.AppendUint16(list, entry.tag)
		list = binary.LittleEndian.AppendUint16(list, entry.perm)
		list = binary.LittleEndian.AppendUint32(list, entry.id)
	}
	return list
}

func extended(p testPlace, name, attribute string) string {
	got := make([]byte, 200)
	n, err := unix.Lgetxattr(p.path(name), attribute, got)
	if err != nil {
		return ""
	}
	return string(got[:n])
}

// Extended attributes go along where they belong to the file and not to its contents; a mode that is asked for holds all the
// same. A list of rights that a former owner has made does not go to another owner.
func TestExtendedAttributes(t *testing.T) {
	list := string(accessListOf(6, 4, 0, 12345))
	for _, test := range []struct {
		name, value string
		kept        bool
	}{
		{"user.render", "value", true}, {accessList, list, true}, {"trusted.render", "value", false},
		{"security.capability", "\x01\x00\x00\x02\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00", false},
	} {
		t.Run(test.name, func(t *testing.T) {
			p := newPlace(t)
			p.write("out", "old", 0o640)
			if err := unix.Setxattr(p.path("out"), test.name, []byte(test.value), 0); err != nil {
				t.Skipf("cannot be set: %v", err)
			}
			commit(nil, nil, nil, p.wants("out", "new")).isFine(t)
			if got := extended(p, "out", test.name); (got == test.value) != test.kept {
				t.Errorf("got %q, want %q: %v", got, test.value, test.kept)
			}
			w := p.wants("out", "newer")
			w.Options.Perms = 0o600
			commit(nil, nil, nil, w).isFine(t)
			if info, _ := p.stat("out"); info.Mode() != 0o600 {
				t.Errorf("mode %o", info.Mode())
			}
			p.want(map[string]string{"out": "newer"})
		})
	}
	t.Run("another owner", func(t *testing.T) {
		mustBeRoot(t)
		p := newPlace(t)
		p.write("out", "old", 0o640)
		p.chown("out", 65534, 65534)
		if err := unix.Setxattr(p.path("out"), accessList, []byte(list), 0); err != nil {
			t.Skipf("cannot be set: %v", err)
		}
		w := p.wants("out", "new")
		w.Options = Options{User: "0", Perms: 0o640}
		o := commit(nil, nil, nil, w)
		if extended(p, "out", accessList) != "" || len(o.warnings) != 1 || !strings.Contains(o.warnings[0], "its access control list is dropped") {
			t.Errorf("got %q, warnings %q", extended(p, "out", accessList), o.warnings)
		}
	})
}

// A file gets neither the group nor the rights of its folder where the old one had others.
func TestRightsAreNotWider(t *testing.T) {
	t.Run("the group of a setgid folder", func(t *testing.T) {
		mustBeRoot(t)
		p := newPlace(t)
		p.chown("", 0, 65534)
		p.must(os.Chmod(p.dir, 0o755|fs.ModeSetgid))
		for i, o := range []Options{{Group: "0", Perms: 0o640}, {}} {
			w := p.wants("out", fmt.Sprint(i))
			w.Options = o
			if i == 1 {
				p.write("out", "old", 0o640)
				p.chown("out", 0, 0)
			}
			commit(nil, succeeds, nil, w).isFine(t)
			if info, stat := p.stat("out"); stat.Gid != 0 || info.Mode() != 0o640 {
				t.Errorf("group %d, mode %o", stat.Gid, info.Mode())
			}
		}
		commit(nil, succeeds, nil, p.wants("new", "x")).isFine(t)
		if _, stat := p.stat("new"); stat.Gid != 65534 { // as any new file there
			t.Errorf("group %d", stat.Gid)
		}
	})
	t.Run("the default list of a folder", func(t *testing.T) {
		p := newPlace(t)
		p.write("out", "old", 0o640)
		if err := unix.Setxattr(p.dir, "system.posix_acl_default", accessListOf(6, 4, 4, 65534), 0); err != nil {
			t.Skipf("the file system has none: %v", err)
		}
		commit(nil, succeeds, nil, p.wants("out", "new")).isFine(t)
		if got := extended(p, "out", accessList); got != "" {
			t.Errorf("it has the list %q", got)
		}
		if info, _ := p.stat("out"); info.Mode() != 0o640 {
			t.Errorf("mode %o", info.Mode())
		}
	})
}

// Our own files are never more open than the destination.
func TestOwnFilesAreClosed(t *testing.T) {
	syscall.Umask(0)
	defer syscall.Umask(0o022)
	p := newPlace(t)
	p.write("out", "old", 0o600)
	seen := 0
	commit(func(string) {
		names, _ := filepath.Glob(p.path(".render-*"))
		for _, name := range names {
			if info, err := os.Stat(name); err == nil {
				if seen++; info.Mode().Perm() != 0o600 {
					t.Errorf("%s has mode %o", name, info.Mode())
				}
			}
		}
	}, p.failsFor("out", "new"), nil, p.wants("out", "new"))
	if seen < 5 {
		t.Errorf("%d files", seen)
	}
}

// In a batch of many folders few descriptors are open at once.
func TestDescriptors(t *testing.T) {
	p := newPlace(t)
	open := func() int {
		names, err := os.ReadDir("/proc/self/fd")
		p.must(err)
		return len(names)
	}
	var wants []Want
	for i := range 200 {
		wants = append(wants, p.wants(fmt.Sprintf("%d/out", i), "new"))
	}
	before, most := open(), 0
	commit(func(string) { most = max(most, open()) }, succeeds, nil, wants...).isFine(t)
	if after := open(); after > before || most > before+10 {
		t.Errorf("%d before, at most %d, %d after", before, most, after)
	}
}

// What is in place is not read where nothing has changed, and nothing hangs.
func TestExpected(t *testing.T) {
	p := newPlace(t)
	p.write("real", "right", 0o644)
	p.must(os.Symlink("real", p.path("out")))
	w := p.wants("out", "right")
	f := File{want: w}
	x, err := Expect(w.Path, Options{Perms: 0o644}, f.content().Sum, f.content().Size)
	p.must(err)
	if got, want := fmt.Sprint(x.Names()), fmt.Sprint([]string{p.path("out"), p.path("real")}); got != want {
		t.Errorf("names %s, want %s", got, want)
	}
	differs := func(want bool) {
		t.Helper()
		if got, err := x.Differs(); got != want || err != nil {
			t.Errorf("differs: %v, %v; want %v", got, err, want)
		}
	}
	differs(false)
	change := func(change func(), fix func()) {
		t.Helper()
		change()
		differs(true)
		fix()
		differs(false)
	}
	right := func() { p.must(os.RemoveAll(p.path("real"))); p.write("real", "right", 0o644) }
	change(func() { p.write("real", "wrong", 0o644) }, right) // at once, with the same size and nearly the same time
	change(func() { p.write("real", "longer", 0o644) }, right)
	change(func() { p.must(os.Chmod(p.path("real"), 0o640)) }, right)
	change(func() { p.must(os.Remove(p.path("real"))) }, right)
	change(func() { right(); p.must(os.Remove(p.path("real"))); p.must(syscall.Mkfifo(p.path("real"), 0o600)) }, right)
	change(func() { right(); p.must(os.Remove(p.path("real"))); p.must(os.Mkdir(p.path("real"), 0o700)) }, right)
	change(func() {
		p.write("other", "right", 0o644)
		p.must(os.Remove(p.path("out")))
		p.must(os.Symlink("other", p.path("out")))
	},
		func() { p.must(os.Remove(p.path("out"))); p.must(os.Symlink("real", p.path("out"))) })
	change(func() { p.must(os.Remove(p.path("out"))); p.write("out", "right", 0o644) },
		func() { p.must(os.Remove(p.path("out"))); p.must(os.Symlink("real", p.path("out"))) })

	// A change of some time ago is not read again: contents that change without any trace are not noticed.
	h, err := os.OpenFile(p.path("real"), os.O_RDWR, 0)
	p.must(err)
	defer func() { _ = h.Close() }()
	d, err := folder.Open(p.dir)
	p.must(err)
	defer d.Close()
	if x.known != (folder.Info{}) {
		t.Error("a change of just now is trusted")
	}
	x.known, err = d.StatAt("real")
	p.must(err)
	x.want.Sum = sum{}
	differs(false)
	_, err = h.WriteString("right")
	p.must(err)
	differs(true)
}

// After a while a file is known by its times.
func TestExpectedIsNotReadAgain(t *testing.T) {
	if testing.Short() {
		t.Skip("takes as long as a change needs to be old")
	}
	p := newPlace(t)
	p.write("out", "right", 0o644)
	f := File{want: p.wants("out", "right")}
	x, err := Expect(p.path("out"), Options{}, f.content().Sum, f.content().Size)
	p.must(err)
	for end := time.Now().Add(settling * 5); x.known == (folder.Info{}); time.Sleep(10 * time.Millisecond) {
		if differs, err := x.Differs(); differs || err != nil || time.Now().After(end) {
			t.Fatalf("differs: %v, %v", differs, err)
		}
	}
	p.write("out", "wrong", 0o644)
	if differs, err := x.Differs(); !differs || err != nil {
		t.Errorf("differs: %v, %v", differs, err)
	}
}

func TestAppend(t *testing.T) {
	p := newPlace(t)
	for i, o := range []Options{{Perms: 0o640}, {}, {Perms: 0o600}} {
		real, err := Append(p.path("sub/journal"), fmt.Appendf(nil, "%d\n", i), o)
		if p.must(err); real != p.path("sub/journal") {
			t.Errorf("it is %s", real)
		}
		if info, _ := p.stat("sub/journal"); info.Mode() != []fs.FileMode{0o640, 0o640, 0o600}[i] {
			t.Errorf("%d: mode %o", i, info.Mode())
		}
	}
	p.want(map[string]string{"sub/journal": "0\n1\n2\n"})
	p.must(os.Symlink("sub", p.path("dir")))
	p.must(os.Symlink("sub/journal", p.path("link")))
	p.must(syscall.Mkfifo(p.path("pipe"), 0o600))
	for path, want := range map[string]string{
		"dir/journal": "writeToFile does not follow links", "link": "writeToFile does not follow links",
		"pipe": "is not a regular file", "sub": "is a directory", "no/journal": "the folder is missing",
	} {
		_, err := Append(p.path(path), []byte("x"), Options{NoFolders: true})
		wantError(t, err, want)
	}
	p.want(map[string]string{"sub/journal": "0\n1\n2\n", "dir": "-> sub", "link": "-> sub/journal"})
	t.Run("another name in a folder of others", func(t *testing.T) {
		p := newPlace(t)
		p.write("secret", "old", 0o600)
		p.must(os.Mkdir(p.path("in"), 0o755))
		p.must(os.Chmod(p.path("in"), 0o777))
		p.must(os.Link(p.path("secret"), p.path("in/journal")))
		_, err := Append(p.path("in/journal"), []byte("x"), Options{})
		wantError(t, err, "the file has another hard link, and other users may write to the folder")
		p.want(map[string]string{"secret": "old", "in/journal": "old"})
	})
}

// Appends of many at once are all there, each once, in one piece.
func TestAppendsAtOnce(t *testing.T) {
	const n, writers = 50, 8
	p := newPlace(t)
	errs := make(chan error)
	for w := range writers {
		go func() {
			for i := range n {
				if _, err := Append(p.path("journal"), []byte(strings.Repeat(fmt.Sprintf("%d-%d ", w, i), 50)+"\n"), Options{}); err != nil {
					errs <- err
					return
				}
			}
			errs <- nil
		}()
	}
	for range writers {
		p.must(<-errs)
	}
	seen := make(map[string]bool)
	for line := range strings.Lines(p.files()["journal"]) {
		seen[line] = true
		if fields := strings.Fields(line); len(fields) != 50 || fields[0] != fields[49] {
			t.Errorf("got the line %q", line)
		}
	}
	if len(seen) != n*writers || strings.Count(p.files()["journal"], "\n") != n*writers {
		t.Errorf("%d lines", len(seen))
	}
}

// Figures: a batch of files that are right, and one of new files.
func TestBatchOfMany(t *testing.T) {
	p := newPlace(t)
	for _, test := range []struct {
		name string
		n    int
		act  func() error
		most time.Duration
	}{{"right", 10000, succeeds, 5 * time.Second}, {"new, with an action", 500, succeeds, time.Minute}, {"new, without", 500, nil, time.Minute}} {
		var wants []Want
		for i := range test.n {
			name := fmt.Sprintf("%s-%d", test.name, i)
			if wants = append(wants, p.wants(name, name)); test.name == "right" {
				p.must(os.WriteFile(p.path(name), []byte(name), 0o644))
			}
		}
		began := time.Now()
		commit(nil, test.act, nil, wants...).isFine(t)
		took := time.Since(began)
		t.Logf("%d files, %s: %s", test.n, test.name, took)
		if took > test.most {
			t.Error("that is too long")
		}
	}
}

// Where the system refuses to rename over a file that could be given a second name, the file is written in place: the saved
// file is a copy then, also for the next start.
func TestBusyFile(t *testing.T) {
	for _, crash := range []bool{false, true} {
		p := newPlace(t)
		p.write("out", "old", 0o640)
		ino := p.ino("out")
		b := NewBatch(nil)
		b.Step = func(step string) {
			if step == "marked" && p.ino("out") == ino {
				mount(t, p.path("out"), p.path("out"), "", syscall.MS_BIND, "")
				b.Step = nil
			}
		}
		f, _, err := b.Stage(p.wants("out", "new"))
		p.must(err)
		_, _, err = b.Save([]*File{f})
		p.must(err)
		warnings, err := f.Swap()
		if err != nil || len(warnings) != 1 || !strings.Contains(warnings[0], "device or resource busy") {
			t.Fatalf("warnings %q, %v", warnings, err)
		}
		p.want(map[string]string{"out": "new", ".render-out.old": "old", ".render-out.owed": "[out]"})
		if crash {
			debts, err := Recall([]string{p.path("out")})
			p.must(err)
			b = NewBatch(debts)
			f, _, err = b.Stage(p.wants("out", "new"))
			p.must(err)
		}
		if !f.Live() || !f.HadFile() {
			t.Errorf("live %v, had a file %v", f.Live(), f.HadFile())
		}
		p.must(f.Undo(true))
		b.Complete()
		b.Close()
		p.want(map[string]string{"out": "old"})
		if info, _ := p.stat("out"); p.ino("out") != ino || info.Mode() != 0o640 {
			t.Errorf("mode %o", info.Mode())
		}
	}
}
