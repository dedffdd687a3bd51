// Package builds what people install: packages of Debian and of rpm, archives, and images of containers, with an SBOM of each program
// and checksums of all. Two builds of the same commit have the same bytes. "make package" runs it.
package main

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// A release is what one run builds.
type release struct {
	version, commit string
	epoch           time.Time // of all files
	busybox         string    // the program that the image with a shell has; "" builds none
	nfpm            string    // the module with its version
	out             string
}

func main() {
	var r release
	flag.StringVar(&r.version, "version", "", "`VERSION` of all files")
	flag.StringVar(&r.commit, "commit", "", "`COMMIT` that the version is built from")
	flag.StringVar(&r.busybox, "busybox", "", "static busybox for the machine's own platform; empty builds no image with a shell")
	flag.StringVar(&r.nfpm, "nfpm", "", "`MODULE@VERSION` of nfpm")
	flag.StringVar(&r.out, "out", "", "`FOLDER` for the results; what it has is removed")
	epoch := flag.String("epoch", "", "`SECONDS` since 1970 that all files are of")
	platforms := flag.String("platforms", "", "`GOOS/GOARCH` of each platform, with blanks between them")
	flag.Parse()

	syscall.Umask(0o022) // folders have the same mode, whoever builds
	err := r.setEpoch(*epoch)
	if err == nil {
		err = r.build(strings.Fields(*platforms))
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "package: %v\n", err)
		os.Exit(1)
	}
}

func (r *release) setEpoch(seconds string) error {
	n, err := strconv.ParseInt(seconds, 10, 64)
	if err != nil || r.version == "" || r.commit == "" {
		return fmt.Errorf("time %q, version %q or commit %q unknown\nhint: without git, set SOURCE_DATE_EPOCH, VERSION and COMMIT", seconds, r.version, r.commit)
	}
	r.epoch = time.Unix(n, 0).UTC()
	return nil
}

// build builds everything for some platforms.
func (r *release) build(platforms []string) error {
	if err := os.RemoveAll(r.out); err != nil {
		return err
	}
	if err := os.MkdirAll(r.out, 0o755); err != nil {
		return err
	}
	work, err := os.MkdirTemp("", "render-package-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(work)

	// The manual and the completion are what the program itself prints.
	native := filepath.Join(work, "native")
	if err := r.compile(runtime.GOOS, runtime.GOARCH, native); err != nil {
		return err
	}
	for _, platform := range platforms {
		goos, arch, _ := strings.Cut(platform, "/")
		folder := filepath.Join(work, goos+"_"+arch, fmt.Sprintf("render_%s_%s_%s", r.version, goos, arch))
		if err := r.compile(goos, arch, filepath.Join(folder, "render")); err != nil {
			return err
		}
		if err := r.platform(goos, arch, native, folder); err != nil {
			return fmt.Errorf("%s: %w", platform, err)
		}
	}
	return r.checksums()
}

// compile builds the program as "make build" does.
func (r *release) compile(goos, arch, path string) error {
	return r.run(".", []string{"GOOS=" + goos, "GOARCH=" + arch}, "make", "-s", "build", "VERSION="+r.version, "COMMIT="+r.commit, "BINARY="+path)
}

// platform makes all files of a platform. The program is in the folder already; the folder's name is that of the archive.
func (r *release) platform(goos, arch, native, folder string) error {
	name := filepath.Join(r.out, filepath.Base(folder))
	if err := r.sbom(filepath.Join(folder, "render"), name+".cdx.json"); err != nil {
		return err
	}
	if err := r.stage(native, folder); err != nil {
		return err
	}
	if err := r.writeArchive(name+".tar.gz", folder); err != nil {
		return err
	}
	if goos != "linux" {
		return nil
	}
	if err := r.images(arch, filepath.Join(folder, "render"), name); err != nil {
		return err
	}
	return r.packages(arch, folder)
}

// documents are the files of the source that every archive and package has, by their names there.
var documents = map[string]string{
	"LICENSE":                       "LICENSE",
	"render.hcl":                    "examples/package/etc/render.hcl",
	"render.service":                "examples/package/render.service",
	"doc/CHANGELOG.md":              "CHANGELOG.md",
	"doc/README.md":                 "cmd/render/README.md",
	"doc/LOG.md":                    "cmd/render/LOG.md",
	"doc/MOVING.md":                 "cmd/render/MOVING.md",
	"doc/TEMPLATES.md":              "template/README.md",
	"doc/render.hcl":                "cmd/render/render.hcl",
	"doc/examples/nginx.ctmpl":      "examples/nginx/upstreams.ctmpl",
	"doc/examples/nginx.hcl":        "examples/nginx/render.hcl",
	"doc/examples/haproxy.ctmpl":    "examples/haproxy/haproxy.ctmpl",
	"doc/examples/catalog.yaml":     "examples/nginx/catalog.yaml",
	"doc/examples/hardened.service": "examples/systemd/render.service",
}

// stage adds to the folder of a program what archives and packages have beside it.
func (r *release) stage(native, folder string) error {
	for name, source := range documents {
		text, err := os.ReadFile(source)
		if err != nil {
			return err
		}
		text = bytes.ReplaceAll(text, []byte("/usr/local/bin/render "), []byte("/usr/bin/render ")) // in the unit
		if err := r.write(filepath.Join(folder, name), text); err != nil {
			return err
		}
	}
	for name, args := range map[string][]string{
		"render.1":               {"man"},
		"completion/render.bash": {"completion", "bash"},
		"completion/render.fish": {"completion", "fish"},
		"completion/_render":     {"completion", "zsh"},
	} {
		text, err := exec.Command(native, args...).Output()
		if err != nil {
			return fmt.Errorf("render %s: %w", strings.Join(args, " "), err)
		}
		if err := r.write(filepath.Join(folder, name), text); err != nil {
			return err
		}
	}
	return nil
}

// packages makes the packages of an architecture of Linux with nfpm, from a folder that has been staged.
func (r *release) packages(arch, folder string) error {
	manual, err := os.ReadFile(filepath.Join(folder, "render.1"))
	if err != nil {
		return err
	}
	var zipped bytes.Buffer
	z, err := gzip.NewWriterLevel(&zipped, gzip.BestCompression) // Debian wants that of manuals
	if err != nil {
		return err
	}
	if _, err := z.Write(manual); err != nil {
		return err
	}
	if err := z.Close(); err != nil {
		return err
	}
	if err := r.write(filepath.Join(folder, "render.1.gz"), zipped.Bytes()); err != nil {
		return err
	}
	scripts, err := filepath.Glob("examples/package/scripts/*.sh")
	if err != nil {
		return err
	}
	for _, path := range append(scripts, "examples/package/nfpm.yaml") {
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		if err := r.write(filepath.Join(folder, filepath.Base(path)), text); err != nil {
			return err
		}
	}
	out, err := filepath.Abs(r.out)
	if err != nil {
		return err
	}
	env := []string{"VERSION=" + r.version, "ARCH=" + arch, fmt.Sprint("SOURCE_DATE_EPOCH=", r.epoch.Unix())}
	for _, format := range []string{"deb", "rpm"} {
		if err := r.run(folder, env, "go", "run", r.nfpm, "package", "--config", "nfpm.yaml", "--packager", format, "--target", out); err != nil {
			return err
		}
	}
	return nil
}

// checksums writes SHA256SUMS, which "sha256sum -c" reads.
func (r *release) checksums() error {
	files, err := filepath.Glob(filepath.Join(r.out, "*"))
	if err != nil {
		return err
	}
	var sums strings.Builder
	for _, path := range files {
		sum, err := digest(path)
		if err != nil {
			return err
		}
		fmt.Fprintf(&sums, "%s  %s\n", sum, filepath.Base(path))
	}
	return r.write(filepath.Join(r.out, "SHA256SUMS"), []byte(sums.String()))
}

// digest returns the SHA-256 of a file in hexadecimal digits.
func digest(path string) (string, error) {
	file, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer file.Close()
	sum := sha256.New()
	if _, err := io.Copy(sum, file); err != nil {
		return "", err
	}
	return fmt.Sprintf("%x", sum.Sum(nil)), nil
}

// write writes a file of the release's time, and its folders.
func (r *release) write(path string, text []byte) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	if err := os.WriteFile(path, text, 0o644); err != nil {
		return err
	}
	return os.Chtimes(path, r.epoch, r.epoch)
}

// run runs a program in a folder, with variables beside ours. What it prints on standard output is shown only where it fails.
func (r *release) run(folder string, env []string, program string, args ...string) error {
	cmd := exec.Command(program, args...)
	cmd.Dir, cmd.Env = folder, append(os.Environ(), env...)
	if said, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w\n%s", program, err, said)
	}
	return nil
}
