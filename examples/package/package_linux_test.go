package main

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// testVersion is what tests build. Packages order it before 9.8.7.
const testVersion = "9.8.7-rc.1+3.gabcdef0"

// The version comes from the tag, and is newer with each commit.
func TestVersion(t *testing.T) {
	git, dpkg := find(t, "git"), find(t, "dpkg")
	script, err := filepath.Abs("version.sh")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	t.Setenv("GIT_CEILING_DIRECTORIES", dir)
	commits := 0
	in := func(program string, args ...string) string {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), program, args...)
		cmd.Dir = dir
		said, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%s %q: %v: %s", program, args, err, said)
		}
		return strings.TrimSpace(string(said))
	}
	commit := func() {
		commits++
		write(t, filepath.Join(dir, "file"), fmt.Append(nil, commits))
		in(git, "add", "file")
		in(git, "-c", "user.name=n", "-c", "user.email=n@example.org", "-c", "commit.gpgsign=false", "commit", "-m", "text")
	}
	previous := "0"
	expect := func(want string) {
		t.Helper()
		got := in(script)
		if !regexp.MustCompile("^" + want + "$").MatchString(got) {
			t.Errorf("the version is %q, want %s", got, want)
		}
		// Packages have a tilde before what comes before a version.
		version := strings.Replace(got, "-", "~", 1)
		run(t, dpkg, "--compare-versions", previous, "lt", version)
		previous = version
	}

	if got := in(script); got != "0.0.0" {
		t.Errorf("without git the version is %q", got)
	}
	in(git, "init", "-q")
	commit()
	commit()
	expect(`0\.0\.0\+2\.g[0-9a-f]{7}`)
	in(git, "tag", "v0.1.0")
	expect(`0\.1\.0`)
	write(t, filepath.Join(dir, "file"), []byte("change"))
	expect(`0\.1\.0\+dirty`)
	commit()
	in(git, "tag", "other")
	previous = "0.1.0"
	expect(`0\.1\.0\+1\.g[0-9a-f]{7}`)
	write(t, filepath.Join(dir, "file"), []byte("change"))
	expect(`0\.1\.0\+1\.g[0-9a-f]{7}\.dirty`)
	commit()
	in(git, "tag", "v0.2.0-rc.1")
	expect(`0\.2\.0-rc\.1`)
	commit()
	expect(`0\.2\.0-rc\.1\+1\.g[0-9a-f]{7}`)
	in(git, "tag", "v0.2.0")
	expect(`0\.2\.0`)
}

// TestPackages builds everything for this machine's architecture and looks at what came out.
func TestPackages(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("packages are for Linux")
	}
	find(t, "make")
	if said, err := exec.CommandContext(t.Context(), "make", "-s", "-C", "../..", ".cache/busybox").CombinedOutput(); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatalf("%v: %s", err, said)
		}
		t.Skipf("no busybox: run `make test`: %v: %s", err, said)
	}
	out := t.TempDir()
	makePackages(t, out)
	t.Run("reproducible", func(t *testing.T) { testReproducible(t, out) })
	t.Run("checksums", func(t *testing.T) { testChecksums(t, out) })
	t.Run("archive", func(t *testing.T) { testArchive(t, out) })
	t.Run("deb", func(t *testing.T) { testDeb(t, only(t, out, "*.deb")) })
	t.Run("systemd", func(t *testing.T) { testSystemd(t, only(t, out, "*.deb")) })
	t.Run("rpm", func(t *testing.T) { testRPM(t, out) })
	t.Run("image", func(t *testing.T) { testImage(t, only(t, out, "*"+runtime.GOARCH+".image.tar"), false) })
	t.Run("image with a shell", func(t *testing.T) { testImage(t, only(t, out, "*_shell.image.tar"), true) })
	t.Run("SBOM", func(t *testing.T) { testSBOM(t, only(t, out, "*.cdx.json")) })
}

func makePackages(t *testing.T, out string, env ...string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "make", "-s", "-C", "../..", "package", "VERSION="+testVersion, "COMMIT=abcdef012345", "SOURCE_DATE_EPOCH=1700000000",
		"PLATFORMS=linux/"+runtime.GOARCH, "PACKAGES="+out)
	cmd.Env = append(os.Environ(), env...)
	if said, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, said)
	}
}

// A second build, elsewhere and by somebody with other rights for new files, has the same bytes.
func testReproducible(t *testing.T, out string) {
	again, elsewhere := t.TempDir(), t.TempDir()
	before := syscall.Umask(0o077)
	defer syscall.Umask(before)
	makePackages(t, again, "TMPDIR="+elsewhere, "TZ=Pacific/Auckland", "LC_ALL=C")
	names := glob(t, out, "*")
	if len(names) != 7 {
		t.Errorf("built %q", names)
	}
	for _, path := range names {
		if !bytes.Equal(read(t, path), read(t, filepath.Join(again, filepath.Base(path)))) {
			t.Errorf("%s differs between two builds", filepath.Base(path))
		}
	}
	if left := glob(t, elsewhere, "render*"); len(left) > 0 {
		t.Errorf("left %q", left)
	}
}

func testChecksums(t *testing.T, out string) {
	var want strings.Builder
	for _, path := range glob(t, out, "*") {
		if name := filepath.Base(path); name != "SHA256SUMS" {
			fmt.Fprintf(&want, "%x  %s\n", sha256.Sum256(read(t, path)), name)
		}
	}
	if got := string(read(t, filepath.Join(out, "SHA256SUMS"))); got != want.String() {
		t.Errorf("got\n%swant\n%s", got, want.String())
	}
}

// The archive has a program of the right version, a manual that man accepts, and a configuration that render accepts as it is and with
// its example.
func testArchive(t *testing.T, out string) {
	dir := t.TempDir()
	run(t, "tar", "-xzf", only(t, out, "*.tar.gz"), "-C", dir)
	dir = only(t, dir, "render_"+testVersion+"_linux_"+runtime.GOARCH)
	render := filepath.Join(dir, "render")
	if got := run(t, render, "--version"); got != "render v"+testVersion+" (abcdef012345)\n" {
		t.Errorf("got %q", got)
	}
	if got := string(read(t, filepath.Join(dir, "render.1"))); !strings.Contains(got, "render "+testVersion) {
		t.Errorf("the manual begins with %.80q", got)
	}
	for name, shell := range map[string]string{"render.bash": "bash", "_render": "zsh", "render.fish": "fish"} {
		if got := string(read(t, filepath.Join(dir, "completion", name))); got != run(t, render, "completion", shell) {
			t.Errorf("%s is not what render prints", name)
		}
	}

	config := filepath.Join(dir, "render.hcl")
	testConfig := func(want string) {
		t.Helper()
		if said := run(t, render, "--config", config, "--parse-only"); !strings.Contains(said, want) {
			t.Errorf("got %q, want %q", said, want)
		}
	}
	testConfig("templates=0")
	example := regexp.MustCompile(`(?m)^( *)# ((?:[a-z ]+[={}].*|  .*|\})\n)`)
	text := example.ReplaceAll(read(t, config), []byte("$1$2"))
	for old, now := range map[string]string{"/etc/render/upstreams.ctmpl": "doc/examples/nginx.ctmpl", "/etc/render/consul.token": "LICENSE"} {
		if !bytes.Contains(text, []byte(old)) {
			t.Errorf("the configuration does not have %s", old)
		}
		text = bytes.ReplaceAll(text, []byte(old), []byte(filepath.Join(dir, now)))
	}
	write(t, config, text)
	testConfig("templates=1")
}

// The unit is good, and starts and stops render as the unit among the examples does, without that one's sandbox.
func TestUnit(t *testing.T) {
	text := string(read(t, "render.service"))
	service := func(unit string) string {
		_, service, _ := strings.Cut(unit, "[Service]\n")
		service, _, _ = strings.Cut(service, "\n\n")
		return regexp.MustCompile(`(?m)^ExecStart=\S+`).ReplaceAllString(service, "ExecStart=render")
	}
	if got, want := service(text), service(string(read(t, "../systemd/render.service"))); got != want || !strings.Contains(got, "ExecReload=/bin/kill -HUP") {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}

	analyze := find(t, "systemd-analyze")
	unit := filepath.Join(t.TempDir(), "render.service")
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	if strings.Count(text, "=/usr/bin/render ") != 1 {
		t.Error("the unit does not start /usr/bin/render")
	}
	text = strings.Replace(text, "=/usr/bin/render ", "="+program+" ", 1)
	text = regexp.MustCompile(`(?m)^Documentation=.*\n`).ReplaceAllString(text, "") // the pages are not installed here
	write(t, unit, []byte(text))
	if said := run(t, analyze, "verify", unit); said != "" {
		t.Errorf("systemd does not accept the unit: %s", said)
	}
}

// An image has all that its indexes name, by the right digests. render in it is not root. Where we are root, it runs there.
func testImage(t *testing.T, path string, shell bool) {
	parts := untar(t, read(t, path))
	blob := func(digest string) []byte {
		t.Helper()
		contents, ok := parts["blobs/"+strings.Replace(digest, ":", "/", 1)]
		if got := fmt.Sprintf("sha256:%x", sha256.Sum256(contents)); !ok || got != digest {
			t.Fatalf("the part %s has the digest %s", digest, got)
		}
		return contents
	}
	var index, manifest struct {
		Manifests, Layers []descriptor
		Config            descriptor
	}
	decode(t, parts["index.json"], &index)
	decode(t, blob(index.Manifests[0].Digest), &manifest)
	var config struct {
		Architecture string
		Config       runtimeConfig
		RootFS       struct {
			DiffIDs []string `json:"diff_ids"`
		}
	}
	decode(t, blob(manifest.Config.Digest), &config)
	if config.Config.User != "65532:65532" || config.Architecture != runtime.GOARCH {
		t.Errorf("the image runs as %q on %s", config.Config.User, config.Architecture)
	}
	layer := gunzip(t, blob(manifest.Layers[0].Digest))
	if got := fmt.Sprintf("sha256:%x", sha256.Sum256(layer)); !slices.Equal(config.RootFS.DiffIDs, []string{got}) {
		t.Errorf("the layer is %s, the image has %q", got, config.RootFS.DiffIDs)
	}
	var docker []struct {
		Config           string
		RepoTags, Layers []string
	}
	decode(t, parts["manifest.json"], &docker)
	tag := "render:9.8.7-rc.1-3.gabcdef0"
	if shell {
		tag += "-shell"
	}
	if d := docker[0]; d.RepoTags[0] != tag || parts[d.Config] == nil || parts[d.Layers[0]] == nil {
		t.Errorf("docker reads %+v", docker)
	}

	root := t.TempDir()
	write(t, root+".tar", layer)
	run(t, "tar", "-xf", root+".tar", "-C", root)
	if _, err := os.Stat(filepath.Join(root, "bin/sh")); (err == nil) != shell {
		t.Errorf("the shell: %v", err)
	}
	if os.Geteuid() != 0 {
		t.Skip("only root can run a program in the image's root")
	}
	if err := os.Chmod(root, 0o755); err != nil {
		t.Fatal(err)
	}
	inside := func(program string, args ...string) string {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), program, args...)
		cmd.Dir, cmd.Env = "/", config.Config.Env
		cmd.SysProcAttr = &syscall.SysProcAttr{Chroot: root, Credential: &syscall.Credential{Uid: imageUser, Gid: imageUser}}
		said, err := cmd.CombinedOutput()
		if err != nil {
			t.Errorf("%s %q: %v: %s", program, args, err, said)
		}
		return string(said)
	}
	if got := inside(config.Config.Entrypoint[0], "--version"); !strings.HasPrefix(got, "render v"+testVersion) {
		t.Errorf("got %q", got)
	}
	if shell {
		if got := inside("/bin/sh", "-c", "id -un && /usr/bin/env echo $((1 + 1)) && cp /etc/passwd /tmp/x && grep -c : /tmp/x"); got != "render\n2\n2\n" {
			t.Errorf("got %q", got)
		}
	}
}

// The SBOM names the modules that the program has.
func testSBOM(t *testing.T, path string) {
	var bom struct {
		BomFormat  string
		Metadata   struct{ Component component }
		Components []component
	}
	decode(t, read(t, path), &bom)
	if bom.BomFormat != "CycloneDX" || bom.Metadata.Component.Version != testVersion {
		t.Errorf("got %+v", bom)
	}
	want := []string{"pkg:golang/std@" + strings.TrimPrefix(runtime.Version(), "go")}
	list := run(t, "go", "list", "-f", "{{with .Module}}{{if .Version}}pkg:golang/{{.}}{{end}}{{end}}", "-deps", "-tags", "urfave_cli_no_docs", "../../cmd/render")
	for _, module := range strings.Split(strings.TrimSpace(list), "\n") {
		if module = strings.ReplaceAll(module, " ", "@"); module != "" && !slices.Contains(want, module) {
			want = append(want, module)
		}
	}
	var got []string
	for _, c := range bom.Components {
		got = append(got, c.Purl)
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func untar(t *testing.T, archive []byte) map[string][]byte {
	t.Helper()
	files, r := map[string][]byte{}, tar.NewReader(bytes.NewReader(archive))
	for {
		header, err := r.Next()
		if errors.Is(err, io.EOF) {
			return files
		}
		if err != nil {
			t.Fatal(err)
		}
		if files[header.Name], err = io.ReadAll(r); err != nil {
			t.Fatal(err)
		}
	}
}

// gunzip uses a program, because the race detector makes our own library slow.
func gunzip(t *testing.T, zipped []byte) []byte {
	t.Helper()
	path := filepath.Join(t.TempDir(), "x.gz")
	write(t, path, zipped)
	text, err := exec.CommandContext(t.Context(), "gzip", "-dc", path).Output()
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func decode(t *testing.T, text []byte, value any) {
	t.Helper()
	if err := json.Unmarshal(text, value); err != nil {
		t.Fatalf("%v: %.200s", err, text)
	}
}

// run returns what a program prints, and fails where the program does.
func run(t *testing.T, program string, args ...string) string {
	t.Helper()
	said, err := exec.CommandContext(t.Context(), program, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %q: %v: %s", program, args, err, said)
	}
	return string(said)
}

// find returns the path of a program that "make test" installs, and skips the test where it is missing.
func find(t *testing.T, program string) string {
	t.Helper()
	path, err := exec.LookPath(program)
	if err != nil && os.Getenv("CI") == "true" {
		t.Fatal(err)
	} else if err != nil {
		t.Skipf("%v: run `make test`", err)
	}
	return path
}

func glob(t *testing.T, folder, pattern string) []string {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(folder, pattern))
	if err != nil {
		t.Fatal(err)
	}
	return paths
}

func only(t *testing.T, folder, pattern string) string {
	t.Helper()
	paths := glob(t, folder, pattern)
	if len(paths) != 1 {
		t.Fatalf("%s has %q, want one %s", folder, glob(t, folder, "*"), pattern)
	}
	return paths[0]
}

func read(t *testing.T, path string) []byte {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func write(t *testing.T, path string, text []byte) {
	t.Helper()
	if err := os.WriteFile(path, text, 0o644); err != nil {
		t.Fatal(err)
	}
}
