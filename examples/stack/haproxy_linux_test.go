package stack

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"github.com/hashicorp/consul/api"
)

// HAProxy in place of nginx, with the configuration of its own example, in short: instances come and go, one is killed, Consul loses its
// leader, and not one request fails.
func TestEndToEndHAProxy(t *testing.T) {
	if _, err := exec.LookPath("haproxy"); err != nil {
		t.Skip("needs haproxy")
	}
	s := newStack(t)
	s.web = newProcesses(s)
	if _, err := s.consul.KV().Put(&api.KVPair{Key: "haproxy/domain", Value: []byte("example.com")}, nil); err != nil {
		t.Fatal(err)
	}
	dir := startHAProxy(t, s.folder)
	s.servers = func() int {
		conf, _ := os.ReadFile(filepath.Join(dir, "haproxy.cfg"))
		return strings.Count(string(conf), ":web-")
	}
	s.startLoad("http://127.0.0.1:8080/", "web.example.com")
	s.expect("the start", 1)
	s.web.start(2)
	s.web.start(3)
	s.expect("scaling to 3", 1, 2, 3)
	s.web.stop(1)
	s.expect("an instance that stops", 2, 3)
	s.web.start(1)
	s.expect("its return", 1, 2, 3)
	s.web.kill(2)
	s.expect("a killed instance", 1, 3)
	leader := s.command("leader")
	s.command("kill", leader)
	s.awaitOtherLeader(leader)
	s.web.start(2)
	s.expect("a change after the death of Consul's leader", 1, 2, 3)
	t.Logf("slowest change from Consul to HAProxy: %s", s.worst)
}

var commandOfHAProxy = regexp.MustCompile(`(?m)^ *command .*\n`)

// startHAProxy starts render with the configuration of HAProxy's example, and HAProxy by it. It returns the folder of HAProxy's files.
func startHAProxy(t *testing.T, folder string) string {
	t.Helper()
	dir := t.TempDir()
	text, err := os.ReadFile(filepath.Join(folder, "examples/haproxy/render.hcl"))
	if err != nil {
		t.Fatal(err)
	}
	// HAProxy runs below render, which signals it.
	config := commandOfHAProxy.ReplaceAllString(string(text), "")
	config = strings.NewReplacer("/etc/render/", folder+"/examples/haproxy/", "/etc/haproxy/", dir+"/").Replace(config)
	if err := os.WriteFile(filepath.Join(dir, "render.hcl"), []byte(config), 0o644); err != nil {
		t.Fatal(err)
	}
	render := exec.Command(filepath.Join(folder, "examples/stack/bin/render"), "--config", filepath.Join(dir, "render.hcl"),
		"--exec", "haproxy -W -f "+filepath.Join(dir, "haproxy.cfg"), "--exec-reload-signal", "USR2")
	render.Env = append(os.Environ(), "HAPROXY="+dir)
	var output lockedBuffer
	render.Stdout, render.Stderr = &output, &output
	if err := render.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = render.Process.Signal(syscall.SIGTERM)
		_ = render.Wait()
		if t.Failed() {
			t.Logf("render and HAProxy logged: %s", output.String())
		}
	})
	return dir
}
