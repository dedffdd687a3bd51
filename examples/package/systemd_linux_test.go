package main

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// testSystemd installs, starts, reloads, upgrades and removes the package under a real systemd, which is process 1 of namespaces with
// a copy of this machine's root.
func testSystemd(t *testing.T, deb string) {
	if os.Geteuid() != 0 {
		t.Skip("only root can run systemd in a root of its own")
	}
	if _, err := os.Stat("/lib/systemd/systemd"); err != nil {
		t.Skip("there is no systemd: run `make systemd`")
	}
	dir := t.TempDir()
	for name, path := range map[string]string{"steps": "testdata/steps", "old.deb": deb, "new.deb": newer(t, deb, "9.8.7-1", "")} {
		write(t, filepath.Join(dir, name), read(t, path))
	}

	ctx, cancel := context.WithTimeout(t.Context(), 90*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, "sh", "testdata/systemd.sh", dir)
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWNS | syscall.CLONE_NEWPID | syscall.CLONE_NEWNET | syscall.CLONE_NEWIPC | syscall.CLONE_NEWUTS,
		UseCgroupFD: true,
		CgroupFD:    newCgroup(t),
		Pdeathsig:   syscall.SIGKILL,
	}
	var console bytes.Buffer
	cmd.Stdout, cmd.Stderr = &console, &console
	err := cmd.Run()
	if failed, ok := errors.AsType[*exec.ExitError](err); ok && failed.ExitCode() == 77 {
		t.Skipf("this machine cannot run systemd in a root of its own: %s", &console)
	}
	const want = `installed: disabled inactive
started: enabled active, no templates
reloaded: text
upgraded: enabled active, text
removed: inactive disabled
`
	if got, _ := os.ReadFile(filepath.Join(dir, "said")); err != nil || string(got) != want {
		t.Errorf("%v: got\n%swant\n%s\nsystemd said %s", err, got, want, &console)
	}
}

// newCgroup returns a descriptor of a new cgroup, which is removed at the end of the test with all that were made in it.
func newCgroup(t *testing.T) int {
	t.Helper()
	for _, hierarchy := range []string{"/sys/fs/cgroup", "/sys/fs/cgroup/unified"} {
		if _, err := os.Stat(filepath.Join(hierarchy, "cgroup.controllers")); err != nil {
			continue
		}
		path, err := os.MkdirTemp(hierarchy, "render-test-")
		if err != nil {
			t.Skipf("this machine allows no cgroup: %v", err)
		}
		t.Cleanup(func() {
			if err := removeCgroups(path); err != nil {
				t.Error(err)
			}
		})
		folder, err := os.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = folder.Close() })
		return int(folder.Fd())
	}
	t.Skip("this machine has no cgroups of version 2")
	return 0
}

// removeCgroups removes a cgroup and those in it. Their files cannot be removed, and need not be.
func removeCgroups(path string) error {
	children, err := os.ReadDir(path)
	if err != nil {
		return err
	}
	for _, child := range children {
		if child.IsDir() {
			if err := removeCgroups(filepath.Join(path, child.Name())); err != nil {
				return err
			}
		}
	}
	if err := syscall.Rmdir(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return &fs.PathError{Op: "rmdir", Path: path, Err: err}
	}
	return nil
}
