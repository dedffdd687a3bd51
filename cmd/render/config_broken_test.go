package main

import (
	"bytes"
	"context"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"render/cmd/render/config/configtest"
)

// goodConfig is a configuration that would leave traces.
const goodConfig = `
fixture = "fixture.yaml"
pid_file = "made.pid"
log_file { path = "made.log" }
exec { command = "touch made-by-exec" }
template {
  contents = "x"
  destination = "made"
  command = "touch made-by-command"
}
`

// TestBroken runs the program on configurations that are wrong. To write anew what it says: go test ./cmd/render -run TestBroken -update.
func TestBroken(t *testing.T) {
	const path = "testdata/config/broken.txt"
	intro, cases := configtest.Read(t, path)
	for _, c := range cases {
		t.Run(c.Name, func(t *testing.T) {
			dir := t.TempDir()
			write(t, filepath.Join(dir, "good.hcl"), goodConfig)
			write(t, filepath.Join(dir, "fixture.yaml"), "keys: {}")
			code := exitConfig
			c.Lines = slices.DeleteFunc(c.Lines, func(line string) bool {
				text, ok := strings.CutPrefix(line, "exits ")
				if ok {
					n, err := strconv.Atoi(text)
					check(t, err)
					code = n
				}
				return ok
			})
			args, env := c.Prepare(t, dir)
			args = slices.Concat([]string{"--config", "good.hcl"}, args)
			before := paths(t, dir)
			said, exited := runBriefly(t, dir, env, args...)
			if exited != code {
				t.Errorf("exited with %d, want %d:\n%s", exited, code, said)
			}
			if now := paths(t, dir); !slices.Equal(now, before) {
				t.Errorf("there are files %q, before there were %q", now, before)
			}
			if *update {
				c.SetWant(said)
			} else if said != c.Want() {
				t.Errorf("%q: got\n%s\nwant\n%s", args, said, c.Want())
			}
		})
	}
	if *update {
		configtest.Write(t, path, intro, cases)
	}
	t.Logf("%d cases", len(cases))
}

// runBriefly runs the program, which has to end by itself, and returns what it says and its exit code.
func runBriefly(t *testing.T, dir string, env []string, args ...string) (said string, code int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, "render", args...)
	cmd.Dir, cmd.Env = dir, slices.Concat(os.Environ(), env)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	_ = cmd.Run() // the exit code says it
	if ctx.Err() != nil {
		t.Errorf("it runs on, and has said\n%s", &stderr)
	}
	if stdout.Len() > 0 {
		t.Errorf("it has printed %q", &stdout)
	}
	return strings.TrimRight(stderr.String(), "\n"), cmd.ProcessState.ExitCode()
}

// paths are all files of a folder.
func paths(t *testing.T, dir string) (all []string) {
	t.Helper()
	check(t, filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
		all = append(all, path)
		return err
	}))
	return all
}
