package main

import (
	"os/exec"
	"path/filepath"
	"regexp"
	"testing"

	"render/watch/consultest"
)

// The policy that the documents recommend is enough for templates that read services, nodes and keys, and lets render see the agent's limit.
func TestDocumentedPolicy(t *testing.T) {
	agent, err := consultest.StartACL(t.Context(), "")
	check(t, err)
	t.Cleanup(agent.Stop)
	block := regexp.MustCompile("(?s)```hcl\n(key_prefix.*?)```").FindStringSubmatch(readAll(t, "../../watch/consul/README.md"))
	if block == nil {
		t.Fatal("the README.md of Consul shows no policy")
	}
	policy, err := agent.NewPolicy("render", block[1])
	check(t, err)
	token, err := policy.NewToken()
	check(t, err)
	check(t, agent.Put("nginx/motd", "hello"))
	check(t, agent.Register("web", "web-1", "10.0.0.1", 80, "passing"))

	dir := t.TempDir()
	write(t, filepath.Join(dir, "token"), token)
	write(t, filepath.Join(dir, "in.ctmpl"), `{{key "nginx/motd"}} {{range ls "nginx"}}{{.Key}}{{end}} {{range tree "nginx/"}}{{.Key}}{{end}}`+
		` {{range services}}{{range service .Name}}{{.Name}} {{end}}{{end}}{{len nodes | lt 0}}{{with node}} {{.Node.Node | len | lt 0}}{{end}}`)
	cmd := exec.Command("render", "--once", "--dry", "--timeout", "20s", "--consul-addr", agent.Addr, "--consul-token-file", "token", "--template", "in.ctmpl")
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	if want := "> \nhello motd motd consul web true true"; err != nil || string(out) != want {
		t.Errorf("%v: %q, not %q", err, out, want)
	}
}
