// Package examples tests that each example gives what it shows: every folder has a fixture catalog.yaml, and templates
// X.ctmpl whose output is in X.conf.
package examples

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"render/render"
	"render/watch"
)

func TestExamples(t *testing.T) {
	templates, err := filepath.Glob("*/*.ctmpl")
	if err != nil || len(templates) == 0 {
		t.Fatalf("no examples: %v", err)
	}
	for _, source := range templates {
		t.Run(source, func(t *testing.T) {
			want, err := os.ReadFile(strings.TrimSuffix(source, ".ctmpl") + ".conf")
			if err != nil {
				t.Fatal(err)
			}
			got, err := renderExample(t, source, filepath.Join(filepath.Dir(source), "catalog.yaml"))
			if err != nil || !bytes.Equal(got, want) {
				t.Errorf("got %q, %v; want %q", got, err, want)
			}
		})
	}
}

// renderExample returns what a template gives with a fixture.
func renderExample(t *testing.T, source, catalog string) ([]byte, error) {
	t.Helper()
	files, err := watch.NewFiles()
	if err != nil {
		t.Fatal(err)
	}
	defer files.Close()
	fixture, err := watch.NewFixture(files, catalog)
	if err != nil {
		t.Fatal(err)
	}
	out := filepath.Join(t.TempDir(), "out")
	engine, err := render.New(fixture, render.Config{
		Once:    true,
		Targets: []render.Target{{Source: source, Destination: out}},
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := engine.Run(t.Context()); err != nil {
		return nil, err
	}
	return os.ReadFile(out)
}

// The configuration files of examples are good, and give what the templates beside them give. Their templates are
// meant to be in /etc/render.
func TestConfigurationFiles(t *testing.T) {
	files, err := filepath.Glob("*/*.hcl")
	if err != nil || len(files) == 0 {
		t.Fatalf("no configuration files: %v", err)
	}
	binary := build(t)
	for _, file := range files {
		t.Run(file, func(t *testing.T) {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			folder, err := filepath.Abs(filepath.Dir(file))
			if err != nil {
				t.Fatal(err)
			}
			here := filepath.Join(t.TempDir(), "render.hcl")
			write(t, here, bytes.ReplaceAll(text, []byte("/etc/render/"), []byte(folder+"/")))
			said, err := exec.CommandContext(t.Context(), binary, "--config", here, "--once", "--dry", "--fixture", filepath.Join(folder, "catalog.yaml")).CombinedOutput()
			want, _ := os.ReadFile(filepath.Join(folder, "upstreams.conf"))
			if err != nil || !bytes.HasSuffix(said, want) {
				t.Errorf("%v: got %s", err, said)
			}
		})
	}
}
