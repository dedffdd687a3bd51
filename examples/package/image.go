package main

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"time"
)

// imageUser is who render is in an image, with the number that images without a system use for that.
const imageUser = 65532

// images writes the image of an architecture to name.image.tar and, with busybox and for this machine's architecture, one with a shell.
func (r *release) images(arch, program, name string) error {
	text, err := os.ReadFile(program)
	if err != nil {
		return err
	}
	files := []entry{
		{name: "usr/bin/render", mode: 0o755, contents: text},
		{name: "etc/passwd", mode: 0o644, contents: fmt.Appendf(nil, "root:x:0:0:root:/:/bin/sh\nrender:x:%d:%[1]d:render:/:/bin/sh\n", imageUser)},
		{name: "etc/group", mode: 0o644, contents: fmt.Appendf(nil, "root:x:0:\nrender:x:%d:\n", imageUser)},
		{name: "etc/render", mode: fs.ModeDir | 0o755},
		{name: "tmp", mode: fs.ModeDir | fs.ModeSticky | 0o777},
	}
	tag := "render:" + strings.ReplaceAll(r.version, "+", "-") // a tag has no plus
	if err := r.writeImage(arch, name+".image.tar", tag, files); err != nil {
		return err
	}
	if r.busybox == "" || arch != runtime.GOARCH || runtime.GOOS != "linux" {
		return nil
	}
	shell, err := shellFiles(r.busybox)
	if err != nil {
		return err
	}
	return r.writeImage(arch, name+"_shell.image.tar", tag+"-shell", append(files, shell...))
}

// shellFiles returns busybox, and a link to it for each command that it has.
func shellFiles(busybox string) ([]entry, error) {
	text, err := os.ReadFile(busybox)
	if err != nil {
		return nil, err
	}
	list, err := exec.Command(busybox, "--list").Output()
	if err != nil {
		return nil, fmt.Errorf("%s --list: %w", busybox, err)
	}
	files := []entry{
		{name: "bin/busybox", mode: 0o755, contents: text},
		{name: "usr/bin/env", mode: 0o777, link: "/bin/busybox"}, // scripts begin with this path
	}
	for command := range strings.FieldsSeq(string(list)) {
		if command != "busybox" {
			files = append(files, entry{name: "bin/" + command, mode: 0o777, link: "busybox"})
		}
	}
	return files, nil
}

// A descriptor names a part of an image.
type descriptor struct {
	MediaType   string            `json:"mediaType"`
	Digest      string            `json:"digest"`
	Size        int               `json:"size"`
	Platform    map[string]string `json:"platform,omitempty"`
	Annotations map[string]string `json:"annotations,omitempty"`
}

// A runtimeConfig is how a container of an image runs.
type runtimeConfig struct {
	User       string            `json:"User"`
	Env        []string          `json:"Env"`
	Entrypoint []string          `json:"Entrypoint"`
	Cmd        []string          `json:"Cmd"`
	WorkingDir string            `json:"WorkingDir"`
	Labels     map[string]string `json:"Labels"`
}

// writeImage writes an image with one layer: an archive in the layout of OCI, which has what "docker load" reads, too.
func (r *release) writeImage(arch, path, tag string, files []entry) error {
	var parts []entry
	add := func(mediaType string, contents []byte) descriptor {
		sum := fmt.Sprintf("%x", sha256.Sum256(contents))
		parts = append(parts, entry{name: "blobs/sha256/" + sum, mode: 0o644, contents: contents})
		return descriptor{MediaType: mediaType, Digest: "sha256:" + sum, Size: len(contents)}
	}
	addJSON := func(mediaType string, value any) (descriptor, error) {
		text, err := json.Marshal(value)
		return add(mediaType, text), err
	}

	// The layer.
	var layer, zipped bytes.Buffer
	if err := writeTar(&layer, r.epoch, files); err != nil {
		return err
	}
	diff := fmt.Sprintf("sha256:%x", sha256.Sum256(layer.Bytes()))
	z := gzip.NewWriter(&zipped)
	if _, err := z.Write(layer.Bytes()); err != nil {
		return err
	}
	if err := z.Close(); err != nil {
		return err
	}
	data := add("application/vnd.oci.image.layer.v1.tar+gzip", zipped.Bytes())

	// What runs, and how.
	config, err := addJSON("application/vnd.oci.image.config.v1+json", map[string]any{
		"created":      r.epoch.Format(time.RFC3339),
		"architecture": arch,
		"os":           "linux",
		"config": runtimeConfig{
			User:       fmt.Sprintf("%d:%[1]d", imageUser),
			Env:        []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"},
			Entrypoint: []string{"/usr/bin/render"},
			Cmd:        []string{"--config", "/etc/render/render.hcl"},
			WorkingDir: "/",
			Labels: map[string]string{
				"org.opencontainers.image.title":    "render",
				"org.opencontainers.image.version":  r.version,
				"org.opencontainers.image.revision": r.commit,
				"org.opencontainers.image.licenses": "MIT",
			},
		},
		"rootfs":  map[string]any{"type": "layers", "diff_ids": []string{diff}},
		"history": []any{map[string]any{"created": r.epoch.Format(time.RFC3339), "created_by": "make package"}},
	})
	if err != nil {
		return err
	}
	const manifestType = "application/vnd.oci.image.manifest.v1+json"
	manifest, err := addJSON(manifestType, map[string]any{"schemaVersion": 2, "mediaType": manifestType, "config": config, "layers": []descriptor{data}})
	if err != nil {
		return err
	}

	// The indexes of OCI and of docker.
	_, short, _ := strings.Cut(tag, ":")
	manifest.Platform = map[string]string{"architecture": arch, "os": "linux"}
	manifest.Annotations = map[string]string{"org.opencontainers.image.ref.name": short, "io.containerd.image.name": "docker.io/library/" + tag}
	blob := func(d descriptor) string { return "blobs/" + strings.Replace(d.Digest, ":", "/", 1) }
	for name, value := range map[string]any{
		"oci-layout":    map[string]string{"imageLayoutVersion": "1.0.0"},
		"index.json":    map[string]any{"schemaVersion": 2, "manifests": []descriptor{manifest}},
		"manifest.json": []any{map[string]any{"Config": blob(config), "RepoTags": []string{tag}, "Layers": []string{blob(data)}}},
	} {
		text, err := json.Marshal(value)
		if err != nil {
			return err
		}
		parts = append(parts, entry{name: name, mode: 0o644, contents: text})
	}
	file, err := os.Create(path)
	if err != nil {
		return err
	}
	defer file.Close()
	if err := writeTar(file, r.epoch, parts); err != nil {
		return err
	}
	return file.Close()
}
