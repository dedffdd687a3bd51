// Package examples tests that each example renders what it shows. A folder with templates has a fixture, catalog.yaml. The
// output of X.ctmpl is in X.conf, and the output of X.json.ctmpl in X.json.
package examples

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"render/render"
	"render/watch"
	"render/watch/fixture"
)

func TestExamples(t *testing.T) {
	templates, err := filepath.Glob("*/*.ctmpl")
	if err != nil || len(templates) == 0 {
		t.Fatalf("no examples: %v", err)
	}
	for _, source := range templates {
		t.Run(source, func(t *testing.T) {
			want, err := os.ReadFile(expected(source))
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

// expected returns the path of the file that an example shows as the output of a template.
func expected(source string) string {
	path := strings.TrimSuffix(source, ".ctmpl")
	if filepath.Ext(path) == "" {
		path += ".conf"
	}
	return path
}

// renderExample returns what a template outputs with a fixture.
func renderExample(t *testing.T, source, catalog string) ([]byte, error) {
	t.Helper()
	files, err := watch.NewFiles()
	if err != nil {
		t.Fatal(err)
	}
	defer files.Close()
	fixture, err := fixture.New(files, catalog)
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

// The configuration files of examples are good, and render the same as the templates beside them. Their templates are
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
			quick := regexp.MustCompile(`(hold\s*=\s*)"[^"]*"`).ReplaceAll(text, []byte(`$1"1ms"`)) // a fixture has services without instances
			write(t, here, bytes.ReplaceAll(quick, []byte("/etc/render/"), []byte(folder+"/")))
			said, err := exec.CommandContext(t.Context(), binary, "--config", here, "--once", "--dry", "--fixture", filepath.Join(folder, "catalog.yaml")).CombinedOutput()
			if err != nil {
				t.Fatalf("%v: %s", err, said)
			}
			templates := regexp.MustCompile(`"/etc/render/(.*\.ctmpl)"`).FindAllSubmatch(text, -1)
			if len(templates) == 0 {
				t.Error("there is no template")
			}
			for _, m := range templates {
				want, err := os.ReadFile(filepath.Join(folder, expected(string(m[1]))))
				if err != nil || !bytes.Contains(said, append([]byte("\n"), want...)) {
					t.Errorf("%s, %v: got %s", m[1], err, said)
				}
			}
		})
	}
}
