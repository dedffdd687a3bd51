package main

import (
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"
)

// testRPM looks into the package for rpm, and installs, upgrades and removes it as testDeb does.
func testRPM(t *testing.T, out string) {
	rpm, path := find(t, "rpm"), only(t, out, "*.rpm")
	if got := run(t, rpm, "-qp", "--queryformat", "%{NAME} %{VERSION} %{LICENSE} %{BUILDHOST}", path); got != "render 9.8.7~rc.1+3.gabcdef0 MIT localhost" {
		t.Errorf("got %s", got)
	}
	files := strings.Fields(run(t, rpm, "-qpl", path))
	for _, want := range []string{"/usr/bin/render", "/usr/lib/systemd/system/render.service", "/usr/share/man/man1/render.1.gz", "/usr/share/zsh/site-functions/_render", "/usr/share/bash-completion/completions/render"} {
		if !slices.Contains(files, want) {
			t.Errorf("%s is missing among %q", want, files)
		}
	}
	// An upgrade keeps a configuration that was changed, and its rights.
	if got := run(t, rpm, "-qp", "--queryformat", "[%{FILENAMES} %{FILEFLAGS:fflags} %{FILEMODES:perms}\n]", path); !strings.Contains(got, "/etc/render/render.hcl cn -rw-r-----\n") {
		t.Errorf("got %s", got)
	}
	if os.Geteuid() != 0 {
		t.Skip("only root can install a package in a root of its own")
	}

	r := newRoot(t, rpm)
	r.rpm("--install", path)
	r.called("daemon-reload\n")
	config := filepath.Join(r.dir, "etc/render/render.hcl")
	write(t, config, []byte("# mine\n"))
	r.rpm("--upgrade", newerRPM(t, out))
	r.called("daemon-reload\n--no-block try-restart render.service\n")
	if got := string(read(t, config)); got != "# mine\n" {
		t.Errorf("the configuration is %q", got)
	}
	r.rpm("--erase", "render")
	r.called("stop render.service\ndisable render.service\ndaemon-reload\n")
	if left := glob(t, r.dir, "etc/render/*"); !slices.Equal(left, []string{config + ".rpmsave"}) {
		t.Errorf("a removal leaves %q", left)
	}
	if left := glob(t, r.dir, "usr/*/render*"); len(left) > 0 {
		t.Errorf("a removal leaves %q", left)
	}
}

// rpm runs rpm. The root has no shell from a package, which rpm would ask for.
func (r *root) rpm(args ...string) {
	r.t.Helper()
	if args[0] != "--erase" {
		args = append([]string{"--nodeps"}, args...)
	}
	run(r.t, r.program, append([]string{"--root", r.dir}, args...)...)
}

// newerRPM returns the package of a later version with the same files: the archive has what the package is made of.
func newerRPM(t *testing.T, out string) string {
	t.Helper()
	dir, archive := t.TempDir(), only(t, out, "*.tar.gz")
	run(t, "tar", "-xzf", archive, "-C", dir)
	t.Chdir("../..")
	nfpm := regexp.MustCompile(`(?m)^NFPM *:= (\S+)$`).FindSubmatch(read(t, "Makefile"))
	if nfpm == nil {
		t.Fatal("Makefile does not name nfpm")
	}
	r := release{version: "9.8.7", epoch: time.Unix(0, 0), nfpm: string(nfpm[1]), out: dir}
	if err := r.packages(runtime.GOARCH, only(t, dir, "render_*")); err != nil {
		t.Fatal(err)
	}
	return only(t, dir, "*.rpm")
}
