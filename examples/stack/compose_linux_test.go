package stack

import (
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"render/examples/stack/dockertest"
	"render/watch/consultest"
)

// The section of the page about containers, with images made of this machine's programs: nothing is pulled.
func TestCompose(t *testing.T) {
	daemon := dockertest.Start(t)
	compose := "docker compose"
	if exec.Command("docker", "compose", "version").Run() != nil {
		if _, err := exec.LookPath("docker-compose"); err != nil {
			t.Skip("needs docker compose or docker-compose")
		}
		compose = "docker-compose"
	}
	t.Setenv("DOCKER_SOCKET", strings.TrimPrefix(daemon.Host, "unix://"))
	t.Setenv("COMPOSE_INTERACTIVE_NO_CLI", "1")
	folder, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	baseImages(t)
	t.Cleanup(func() {
		if t.Failed() {
			out, _ := exec.Command("sh", "-c", compose+" -f compose.yaml ps; "+compose+" -f compose.yaml logs --tail 10").CombinedOutput()
			t.Logf("%s", out)
		}
	})

	steps := stepsOf(t, "README.md", "The same with containers", "")
	if len(steps) < 8 {
		t.Fatalf("the page has %d steps", len(steps))
	}
	for i := range steps {
		steps[i].commands = strings.ReplaceAll(steps[i].commands, "docker compose", compose)
	}
	follow(t, folder, steps)
	if left := dockertest.Docker(t, "ps", "-aq"); left != "" {
		t.Errorf("these containers are left: %s", left)
	}
}

// The commands of the registrator's page, with an agent of Consul on the usual port.
func TestRegistratorPage(t *testing.T) {
	daemon := dockertest.Start(t)
	agent := startAgent(t)
	defer agent()
	folder, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	var steps []step
	for _, s := range stepsOf(t, "registrator/README.md", "Start it", "What a container says") {
		// The registrator runs in a container. The page's other way to start it does not end.
		s.commands = strings.ReplaceAll(s.commands, "examples/stack/bin/registrator -ip 10.0.0.5 consul://127.0.0.1:8500\n", "")
		s.commands = strings.ReplaceAll(s.commands, "-v /var/run/docker.sock", "-v "+strings.TrimPrefix(daemon.Host, "unix://"))
		steps = append(steps, s)
	}
	if len(steps) != 4 {
		t.Fatalf("the page has %d steps", len(steps))
	}
	follow(t, folder, steps)
}

// startAgent starts an agent of Consul on the usual ports, and returns what ends it.
func startAgent(t *testing.T) (stop func()) {
	t.Helper()
	binary, err := consultest.Binary()
	if err != nil {
		t.Fatal(err)
	}
	agent := exec.Command(binary, "agent", "-server", "-bootstrap-expect=1", "-bind=127.0.0.1", "-data-dir="+t.TempDir(),
		"-hcl=performance { raft_multiplier = 1 }", "-hcl=disable_update_check = true")
	if err := agent.Start(); err != nil {
		t.Fatal(err)
	}
	return func() {
		_ = agent.Process.Kill()
		_ = agent.Wait()
	}
}

// baseImages makes images with the names that compose.yaml and Dockerfile take from a registry.
func baseImages(t *testing.T) {
	t.Helper()
	consul, err := consultest.Binary()
	if err != nil {
		t.Fatal(err)
	}
	dockertest.Import(t, "hashicorp/consul:1.22", withLibraries(t, map[string]string{"/bin/consul": consul}))

	files := map[string]string{"/bin/sh": "/bin/sh"}
	for _, program := range []string{"nginx", "cat", "tr", "sleep", "grep"} {
		if files["/usr/bin/"+program], err = exec.LookPath(program); err != nil {
			t.Skipf("needs %s", program)
		}
	}
	files = withLibraries(t, files)
	for _, folder := range []string{"/var/log/nginx", "/var/lib/nginx"} {
		files[folder+"/.keep"] = os.DevNull
	}
	files["/etc/passwd"], files["/etc/group"] = "/etc/passwd", "/etc/group"
	dockertest.Import(t, "nginx:stable", files, "ENV PATH=/usr/local/bin:/usr/bin:/bin")
}

var absolutePath = regexp.MustCompile(`/\S+`)

// withLibraries adds the libraries of programs. A program without a library makes ldd fail.
func withLibraries(t *testing.T, programs map[string]string) map[string]string {
	t.Helper()
	all := maps.Clone(programs)
	for _, path := range programs {
		out, _ := exec.Command("ldd", path).Output()
		for _, library := range absolutePath.FindAllString(string(out), -1) {
			all[library] = library
		}
	}
	return all
}
