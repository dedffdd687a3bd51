package examples

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// The steps of the workflow, as CI runs them, accept what is good, and reject and show what is not. Steps that install are left out.
func TestWorkflow(t *testing.T) {
	find(t, "nginx", "nginx")
	find(t, "git", "git")
	text, err := os.ReadFile("ci/workflow.yml")
	if err != nil {
		t.Fatal(err)
	}
	var workflow struct {
		Jobs map[string]struct {
			Steps []struct{ Name, Run string }
		}
	}
	if err := yaml.Unmarshal(text, &workflow); err != nil {
		t.Fatal(err)
	}
	dir, summary := t.TempDir(), filepath.Join(t.TempDir(), "summary")
	env := append(os.Environ(), "PATH="+filepath.Dir(build(t))+":"+os.Getenv("PATH"), "BASE=main", "GITHUB_STEP_SUMMARY="+summary,
		"GIT_CONFIG_GLOBAL=/dev/null", "GIT_AUTHOR_NAME=a", "GIT_AUTHOR_EMAIL=a@b", "GIT_COMMITTER_NAME=a", "GIT_COMMITTER_EMAIL=a@b")
	shell := func(commands string) (string, error) {
		cmd := exec.CommandContext(t.Context(), "sh", "-ec", commands)
		cmd.Dir, cmd.Env = dir, env
		said, err := cmd.CombinedOutput()
		return string(said), err
	}
	// steps runs the steps up to the first that fails, and returns its name.
	steps := func() (said, failed string) {
		n := 0
		for _, step := range workflow.Jobs["templates"].Steps {
			if step.Run == "" || strings.HasPrefix(step.Name, "Install ") {
				continue
			}
			n++
			s, err := shell(step.Run)
			if said += s; err != nil {
				return said, step.Name
			}
		}
		if n != 2 {
			t.Fatalf("the workflow has %d steps to test", n)
		}
		return said, ""
	}
	if err := os.CopyFS(dir, os.DirFS("ci")); err != nil {
		t.Fatal(err)
	}
	if said, err := shell("git init -q && git add . && git commit -qm a && git update-ref refs/remotes/origin/main HEAD"); err != nil {
		t.Fatalf("%v: %s", err, said)
	}

	for _, tt := range []struct{ name, edit, failed, said string }{
		{"no change", "true", "", ""},
		{"file not updated", "sed -i 's/ weight=/ max_fails=3 weight=/' upstreams.ctmpl", "Render, test and compare", "+    server 10.0.0.1:8080 max_fails=3 weight=1;"},
		{"file updated", "sed -i 's/ weight=/ max_fails=3 weight=/' upstreams.ctmpl && ./check.sh update", "", ""},
		{"file edited", "sed -i 's/weight=3/weight=4/' upstreams.conf", "Render, test and compare", "-    server [2001:db8::2]:9000 weight=4;"},
		{"no template", "echo '{{rang}}' >upstreams.ctmpl", "Render, test and compare", "there is no function rang"},
		{"missing key", `echo '{{key "nope"}}' >>upstreams.ctmpl`, "Render, test and compare", "nope"},
		{"missing field", `echo '{{(index (service "api") 0).ServiceMeta.nope}}{{(parseJSON "{}").nope}}' >>upstreams.ctmpl`, "Render, test and compare", "nope"},
		{"nginx refuses", "sed -i 's/down;/down/' upstreams.ctmpl; ./check.sh update || true", "Render, test and compare", "[emerg]"},
		{"loss of a case", "sed -i '/web-2, port: 9000/d' catalog.yaml", "Render, test and compare", "-    server [2001:db8::2]:9000 weight=3;"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_ = os.Remove(summary)
			if said, err := shell("git checkout -q . && " + tt.edit); err != nil {
				t.Fatalf("%v: %s", err, said)
			}
			if said, failed := steps(); failed != tt.failed || !strings.Contains(said, tt.said) {
				t.Errorf("%q fails, and not %q: %s", failed, tt.failed, said)
			}
			text, _ := os.ReadFile(summary)
			if shown := strings.Contains(string(text), "+    server 10.0.0.1:8080 max_fails=3 weight=1;"); shown != (tt.name == "file updated") {
				t.Errorf("the summary is %q", text)
			}
		})
	}
}
