package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"render/watch/nomadtest"
)

// A template waits for a variable that does not exist and says so, follows variables and services, and keeps its file while Nomad is
// away. Consul is not there, and not needed.
func TestNomad(t *testing.T) {
	a := nomadtest.Start(t)
	dir := t.TempDir()
	in := func(name string) string { return filepath.Join(dir, name) }
	write(t, in("token"), a.NewToken(t, "render", `namespace "default" {
		capabilities = ["read-job"]
		variables {
			path "app/*" { capabilities = ["read", "list"] }
			path "exists" { capabilities = ["read"] }
		}
	}`))
	write(t, in("render.hcl"), fmt.Sprintf(`
consul { address = "127.0.0.1:1" }
nomad {
  address    = %q
  token_file = %q
}
spacing = "0s"
perms   = 0600
template {
  contents    = "{{with nomadVar `+"`app/config`"+`}}{{.user}}:{{.password}}{{end}}"
  destination = "out"
}
template {
  contents    = "{{range nomadService `+"`web`"+`}}{{hostport .}} {{else}}none{{end}}|{{range nomadServices}}{{.Name}} {{end}}|{{range nomadVarList `+"`app/`"+`}}{{.}} {{end}}|{{nomadVarExists `+"`exists`"+`}}"
  destination = "services"
}
template {
  contents    = "{{with nomadVar `+"`denied`"+`}}{{.x}}{{end}}"
  destination = "denied"
}
`, a.Addr, in("token")))
	began := time.Now()
	d := startRender(t, dir, "--config", "render.hcl")
	awaits(t, contains(in("services"), "none|||false"))
	awaits(t, d.saying("nomad-var app/config"))
	if took := time.Since(began); took > 15*time.Second {
		t.Errorf("what the template waits for was said after %s", took)
	}
	awaits(t, d.saying(`give the token \"read\" for the path in its variables`))

	a.Put(t, "app/config", map[string]string{"user": "web", "password": "c4nary-1"})
	awaits(t, contains(in("out"), "web:c4nary-1"))
	a.Put(t, "exists", map[string]string{"x": "y"})
	a.Run(t, "web", 2, nomadtest.Service{Name: "web", Port: 8080})
	awaits(t, contains(in("services"), "10.9.8.7:8080 10.9.8.7:8080 |web |app/config |true"))

	check(t, d.cmd.Process.Signal(syscall.SIGHUP))
	awaits(t, d.saying("configuration reloaded"))
	a.StopJob(t, "web")
	awaits(t, contains(in("services"), "none||app/config |true"))
	a.Kill()
	check(t, a.Restart())
	if text := readAll(t, in("out")); text != "web:c4nary-1" {
		t.Errorf("while Nomad was away the file became %q", text)
	}
	a.Put(t, "app/config", map[string]string{"user": "web", "password": "c4nary-2"})
	awaits(t, contains(in("out"), "web:c4nary-2"))
	d.stop()
	if said := d.said(); strings.Contains(said, "c4nary") {
		t.Errorf("the log has a value: %s", said)
	}
}

// Without a template that needs Nomad nothing is asked of it, and no file of its settings has to be there. With one the query fails, not
// the program.
func TestNomadIsNotNeeded(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "fixture.yaml"), "nomad: {variables: {a: {b: c}}}\n")
	run := func(code int, want string, args ...string) {
		t.Helper()
		c := exec.Command("render", append([]string{"--once", "--destination", "out"}, args...)...)
		c.Dir, c.Env = dir, append(os.Environ(), "NOMAD_ADDR=https://127.0.0.1:1", "NOMAD_CACERT=/nonexistent")
		out, err := c.CombinedOutput()
		if c.ProcessState.ExitCode() != code || !bytes.Contains(out, []byte(want)) {
			t.Errorf("%q: %v: %s", args, err, out)
		}
	}
	run(0, "", "--contents", "text")
	run(exitFailed, "/nonexistent", "--timeout", "2s", "--contents", "{{nomadVar `a`}}")
	run(0, "", "--fixture", "fixture.yaml", "--contents", "{{with nomadVar `a`}}{{.b}}{{end}}")
	if text := readAll(t, filepath.Join(dir, "out")); text != "c" {
		t.Errorf("the file has %q", text)
	}
}
