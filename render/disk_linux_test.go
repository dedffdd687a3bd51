package render

import (
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"render/render/disk"
	"render/render/status"
)

// mount mounts something for the duration of a test.
func mount(t *testing.T, source, target, kind string, flags uintptr, data string) {
	t.Helper()
	if err := syscall.Mount(source, target, kind, flags, data); err != nil {
		t.Skipf("cannot mount: %v", err)
	}
	t.Cleanup(func() { _ = syscall.Unmount(target, syscall.MNT_DETACH) })
}

// fill fills a file system and returns what makes room again.
func (r *rig) fill(dir string) (empty func()) {
	r.t.Helper()
	filler := filepath.Join(dir, "filler")
	f, err := os.Create(filler)
	r.must(err)
	for _, size := range []int{4096, 1} {
		for err = nil; err == nil; _, err = io.WriteString(f, strings.Repeat("x", size)) {
		}
	}
	r.must(f.Close())
	return func() { r.must(os.Remove(filler)) }
}

// A full disk keeps the old file, says so, and the new one comes when there is room again.
func TestDiskFull(t *testing.T) {
	for name, mountData := range map[string]string{"blocks": "size=64k", "inodes": "nr_inodes=5"} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, r *rig) {
				r.must(os.Mkdir(r.path("small"), 0o755))
				mount(t, "tmpfs", r.path("small"), "tmpfs", 0, mountData)
				out := r.target("out", `{{key "k"}}`)
				out.Destination = r.path("small/out")
				r.start(of(Action{Command: r.appends("runs")}, out, r.target("other", `{{key "k"}}`)))
				r.set(kv("k"), "old")
				r.wantFile("small/out", "old")
				var empty func()
				if name == "blocks" {
					empty = r.fill(r.path("small"))
				} else {
					r.write("small/1", "")
					r.write("small/2", "")
					empty = func() { r.must(os.Remove(r.path("small/1"))); r.must(os.Remove(r.path("small/2"))) }
				}
				elapse(10 * time.Second)
				long := strings.Repeat("new", 3000)
				r.set(kv("k"), long)
				elapse(10 * time.Second)
				r.wantFile("small/out", "old")
				r.wantFile("other", long)
				r.wantLog("small/out")
				r.wantLog("no space left on device")
				if s := r.status().Targets; s[0].Err == nil || s[1].State != status.Applied {
					t.Errorf("got %+v", s)
				}
				empty()
				elapse(70 * time.Second)
				r.wantFile("small/out", long)
				if left, _ := filepath.Glob(r.path("small/.render-*")); len(left) > 0 {
					t.Errorf("left behind: %v", left)
				}
			})
		})
	}
}

// What is in the way of one file is said clearly, keeps no other, and once it is gone the file comes by itself.
func TestInTheWay(t *testing.T) {
	tests := []struct {
		name  string
		setUp func(r *rig, target *Target) (fix func())
		want  string
	}{
		{"a read-only file system", func(r *rig, target *Target) func() {
			r.must(os.Mkdir(r.path("ro"), 0o755))
			mount(r.t, "tmpfs", r.path("ro"), "tmpfs", 0, "size=64k")
			r.must(syscall.Mount("", r.path("ro"), "", syscall.MS_REMOUNT|syscall.MS_RDONLY, ""))
			target.Destination = r.path("ro/out")
			return func() { r.must(syscall.Mount("", r.path("ro"), "", syscall.MS_REMOUNT, "")) }
		}, "read-only file system"},
		{"a file on a read-only file system", func(r *rig, target *Target) func() {
			r.must(os.Mkdir(r.path("ro"), 0o755))
			mount(r.t, "tmpfs", r.path("ro"), "tmpfs", 0, "size=64k")
			r.write("ro/out", "old")
			r.must(syscall.Mount("", r.path("ro"), "", syscall.MS_REMOUNT|syscall.MS_RDONLY, ""))
			target.Destination = r.path("ro/out")
			return func() { r.must(syscall.Mount("", r.path("ro"), "", syscall.MS_REMOUNT, "")) }
		}, "read-only file system"},
		{"a missing folder", func(r *rig, target *Target) func() {
			target.Destination = r.path("folder/out")
			target.File.NoFolders = true
			return func() { r.must(os.Mkdir(r.path("folder"), 0o755)) }
		}, "the folder is missing, and create_dest_dirs is off"},
		{"a folder", func(r *rig, target *Target) func() {
			r.must(os.Mkdir(target.Destination, 0o755))
			return func() { r.must(os.Remove(target.Destination)) }
		}, "is a directory"},
		{"a link where they are refused", func(r *rig, target *Target) func() {
			r.must(os.Symlink("elsewhere", target.Destination))
			target.File.RefuseLinks = true
			return func() { r.must(os.Remove(target.Destination)) }
		}, "is a link, and links are refused"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			bubble(t, func(t *testing.T, r *rig) {
				bad := r.target("bad", `{{key "k"}}`)
				fix := test.setUp(r, &bad)
				r.start(of(Action{Command: r.appends("runs")}, bad, r.target("good", `{{key "k"}}`)))
				r.set(kv("k"), "v")
				elapse(10 * time.Second)
				r.wantFile("good", "v")
				r.wantLog(test.want)
				r.wantLog(bad.Destination)
				if s := r.status().Targets; s[0].Err == nil || !strings.Contains(s[0].Err.Error(), test.want) || s[1].State != status.Applied {
					t.Errorf("got %+v", s)
				}
				if n := r.lines("runs"); n != 1 {
					t.Errorf("%d runs", n)
				}
				fix()
				elapse(70 * time.Second)
				name, err := filepath.Rel(r.dir, bad.Destination)
				r.must(err)
				r.wantFile(name, "v")
				r.wantFile("elsewhere", "no file")
				r.wantClean()
			})
		})
	}
}

func TestUnknownOwner(t *testing.T) {
	for want, file := range map[string]disk.Options{
		"unknown user nobody-of-this-name":  {User: "nobody-of-this-name"},
		"unknown group nobody-of-this-name": {Group: "nobody-of-this-name"},
		"unknown user -1":                   {User: "-1"},         // to the system it is nobody at all
		"unknown user 4294967295":           {User: "4294967295"}, // the same
		"unknown group 4294967296":          {Group: "4294967296"},
	} {
		bubble(t, func(t *testing.T, r *rig) {
			bad := r.target("bad", "x")
			bad.File = file
			r.start(of(Action{}, bad, r.target("good", "x")))
			elapse(time.Second)
			r.wantFile("good", "x")
			r.wantFile("bad", "no file")
			r.wantLog(want)
		})
	}
}
