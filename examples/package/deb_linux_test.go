package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// testDeb installs, upgrades and removes the package in a root that has nothing but a shell, and a systemctl that notes its calls.
func testDeb(t *testing.T, deb string) {
	dpkg := find(t, "dpkg")
	if got := run(t, dpkg, "--field", deb, "Version"); got != "9.8.7~rc.1+3.gabcdef0-1\n" {
		t.Errorf("the version is %s", got)
	}
	if os.Geteuid() != 0 {
		t.Skip("only root can install a package in a root of its own")
	}
	r := newRoot(t, dpkg)

	// A new package starts nothing.
	r.dpkg("--install", deb)
	r.called("daemon-reload\n")
	if got := run(t, "chroot", r.dir, "/usr/bin/render", "--version"); !strings.HasPrefix(got, "render v"+testVersion) {
		t.Errorf("got %q", got)
	}
	run(t, "chroot", r.dir, "/usr/bin/render", "--config", "/etc/render/render.hcl", "--parse-only")
	config := filepath.Join(r.dir, "etc/render/render.hcl")
	if info, err := os.Stat(config); err != nil || info.Mode().Perm() != 0o640 {
		t.Errorf("the configuration: %v, %v", info, err)
	}

	// An upgrade restarts what runs, and does not stop it before. The configuration stays, also where the new package has another one.
	const restarts = "daemon-reload\n--no-block try-restart render.service\n"
	write(t, config, []byte("# mine\n"))
	r.dpkg("--install", newer(t, deb, "9.8.7-1", ""))
	r.called(restarts)
	r.dpkg("--force-confold", "--install", newer(t, deb, "9.9.0-1", "# theirs\n"))
	r.called(restarts)
	if got := string(read(t, config)); got != "# mine\n" {
		t.Errorf("the configuration is %q", got)
	}
	if got := string(read(t, config+".dpkg-dist")); got != "# theirs\n" {
		t.Errorf("the new configuration is %q", got)
	}

	// A removal stops render and keeps the configuration. A purge keeps nothing.
	r.dpkg("--remove", "render")
	r.called("stop render.service\ndisable render.service\ndaemon-reload\n")
	if left := r.files(); len(left) != 2 || left[0] != "/etc/render/render.hcl" {
		t.Errorf("a removal leaves %q", left)
	}
	r.dpkg("--purge", "render")
	if left := r.files(); len(left) != 0 {
		t.Errorf("a purge leaves %q", left)
	}

	// Where systemd does not run, as in a container, nothing asks it.
	r.called("daemon-reload\n")
	if err := os.Remove(filepath.Join(r.dir, "run/systemd/system")); err != nil {
		t.Fatal(err)
	}
	r.dpkg("--install", deb)
	r.dpkg("--install", newer(t, deb, "9.8.7-1", ""))
	r.called("")
	r.dpkg("--purge", "render")
	r.called("disable render.service\n")
}

// A root is a system with packages of its own.
type root struct {
	t            *testing.T
	dir, program string // the folder, and dpkg or rpm
}

func newRoot(t *testing.T, program string) *root {
	t.Helper()
	r := &root{t, t.TempDir(), program}
	for _, folder := range []string{"bin", "dev", "usr/bin", "run/systemd/system", "var/lib/dpkg/info", "var/lib/dpkg/updates"} {
		if err := os.MkdirAll(filepath.Join(r.dir, folder), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"dev/null", "var/lib/dpkg/status"} {
		write(t, filepath.Join(r.dir, name), nil)
	}
	programs := map[string]string{
		"bin/sh":            string(read(t, "../../.cache/busybox")),
		"usr/bin/systemctl": "#!/bin/sh\necho \"$*\" >>/calls\n",
	}
	for name, text := range programs {
		path := filepath.Join(r.dir, name)
		write(t, path, []byte(text))
		if err := os.Chmod(path, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return r
}

// dpkg runs dpkg without anybody to answer questions.
func (r *root) dpkg(args ...string) {
	r.t.Helper()
	cmd := exec.CommandContext(r.t.Context(), r.program, append([]string{"--root=" + r.dir, "--force-bad-path", "--force-unsafe-io"}, args...)...)
	if said, err := cmd.CombinedOutput(); err != nil {
		r.t.Fatalf("dpkg %q: %v: %s", args, err, said)
	}
}

// called compares the calls of systemctl since the last time.
func (r *root) called(want string) {
	r.t.Helper()
	calls := filepath.Join(r.dir, "calls")
	got, _ := os.ReadFile(calls)
	if string(got) != want {
		r.t.Errorf("systemctl was called with\n%swant\n%s", got, want)
	}
	_ = os.Remove(calls)
}

// files returns the files of the package that the root has.
func (r *root) files() (all []string) {
	r.t.Helper()
	for _, path := range strings.Fields(run(r.t, "find", r.dir, "-path", "*render*", "-not", "-path", "*/var/lib/dpkg/*", "-not", "-type", "d")) {
		all = append(all, strings.TrimPrefix(path, r.dir))
	}
	return all
}

// newer returns the package as another version and, unless config is empty, with another configuration.
func newer(t *testing.T, deb, version, config string) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "render")
	run(t, "dpkg-deb", "--raw-extract", deb, dir)
	control := filepath.Join(dir, "DEBIAN/control")
	text := strings.Split(string(read(t, control)), "\n")
	for i, line := range text {
		if strings.HasPrefix(line, "Version: ") {
			text[i] = "Version: " + version
		}
	}
	write(t, control, []byte(strings.Join(text, "\n")))
	if config != "" {
		write(t, filepath.Join(dir, "etc/render/render.hcl"), []byte(config))
	}
	run(t, "dpkg-deb", "-Znone", "--root-owner-group", "--build", dir)
	return dir + ".deb"
}
