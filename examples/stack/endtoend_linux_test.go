package stack

import (
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"render/examples/stack/dockertest"

	"github.com/hashicorp/consul/api"
)

// The end-to-end test: with 100 requests a second through nginx, instances come, go and fail, and each part of the stack is restarted or
// killed. Not one request fails. Each change is in nginx within two seconds after Consul has it.
func TestEndToEnd(t *testing.T) {
	if why := dockertest.Missing(); why != "" {
		t.Logf("with processes in place of containers: %s", why)
		testEndToEnd(t, newProcesses)
		return
	}
	testEndToEnd(t, newContainers)
}

// instances are the instances of the web service, and what brings them into Consul.
type instances interface {
	start(number int)
	stop(number int) // in good order
	kill(number int)
	toggle(number int) // well or sick
	restartRegistrator()
}

// stack is the running stack.
type stack struct {
	t      *testing.T
	folder string
	web    instances
	consul *api.Client
	load   *load
	speed  *yardstick
	worst  time.Duration // from Consul to the proxy

	servers func() int // number of instances in the proxy's configuration
}

// newStack starts the stack without an instance of web.
func newStack(t *testing.T) *stack {
	t.Helper()
	consul, err := api.NewClient(&api.Config{Address: "127.0.0.1:8500"})
	if err != nil {
		t.Fatal(err)
	}
	return &stack{t: t, folder: startStack(t, "0"), consul: consul}
}

func testEndToEnd(t *testing.T, newInstances func(*stack) instances) {
	s := newStack(t)
	s.web = newInstances(s)
	s.servers = s.inNginx
	s.startLoad("http://127.0.0.1:8000/", "web")
	s.expect("the start", 1)

	for n := 2; n <= 3; n++ {
		s.web.start(n)
	}
	s.expect("scaling to 3", 1, 2, 3)
	s.web.start(4)
	s.web.start(5)
	s.expect("scaling to 5", 1, 2, 3, 4, 5)
	for n := 5; n > 2; n-- {
		s.web.stop(n)
	}
	s.expect("scaling to 2", 1, 2)
	s.web.start(3)
	s.expect("a new instance", 1, 2, 3)
	s.web.kill(2)
	s.expect("a killed instance", 1, 3)
	s.web.start(2)
	s.expect("its return", 1, 2, 3)
	s.web.toggle(3)
	s.expect("a sick instance", 1, 2)
	s.web.toggle(3)
	s.expect("its recovery", 1, 2, 3)

	leader := s.command("leader")
	s.command("kill", leader)
	s.awaitOtherLeader(leader)
	s.web.start(4)
	s.expect("a change after the death of Consul's leader", 1, 2, 3, 4)
	s.command("start", leader)

	s.command("stop", "agent")
	s.command("start", "agent")
	s.await("checks of the agent", s.checksPass)
	s.expect("a restart of the agent", 1, 2, 3, 4)

	s.command("stop", "render")
	s.command("start", "render")
	s.web.stop(4)
	s.expect("a change after a restart of render", 1, 2, 3)

	s.web.restartRegistrator()
	s.expect("a restart of the registrator", 1, 2, 3)

	s.breakTemplate()
	t.Logf("slowest change from Consul to the proxy: %s", s.worst.Round(time.Millisecond))
}

// command runs stack.sh.
func (s *stack) command(args ...string) string {
	s.t.Helper()
	cmd := exec.Command("examples/stack/stack.sh", args...)
	cmd.Dir = s.folder
	out, err := cmd.CombinedOutput()
	if err != nil {
		s.t.Fatalf("stack.sh %v: %v: %s", args, err, out)
	}
	return strings.TrimSpace(string(out))
}

// breakTemplate writes two kinds of broken templates. nginx keeps its upstreams, and follows again when the template is fixed.
func (s *stack) breakTemplate() {
	s.t.Helper()
	template := filepath.Join(s.folder, ".stack/render/upstreams.ctmpl")
	good, err := os.ReadFile(template)
	if err != nil {
		s.t.Fatal(err)
	}
	for _, broken := range []struct{ text, logged string }{
		{"{{", "changed template is unusable"},
		{"oops;", "check failed"},
	} {
		if err := os.WriteFile(template, append(slices.Clone(good), broken.text...), 0o644); err != nil {
			s.t.Fatal(err)
		}
		s.await("log of render: "+broken.logged, func() bool {
			log, _ := os.ReadFile(filepath.Join(s.folder, ".stack/log/render.log"))
			return strings.Contains(string(log), broken.logged)
		})
	}
	s.web.stop(3)
	s.await("2 instances in Consul", func() bool { return slices.Equal(s.passing(), []string{"web-1", "web-2"}) })
	if err := os.WriteFile(template, good, 0o644); err != nil {
		s.t.Fatal(err)
	}
	s.expect("the fix of the template", 1, 2)
}

// startLoad starts an instance and, when it answers, the load.
func (s *stack) startLoad(url, host string) {
	s.t.Helper()
	s.web.start(1)
	first := &load{url: url, host: host}
	s.await("first answer", func() bool {
		text, err := first.get(http.DefaultClient)
		return err == nil && strings.HasPrefix(text, "hello from web-1")
	})
	s.load = startLoad(s.t, url, host)
	s.speed = startYardstick(s.t)
}

func (s *stack) awaitOtherLeader(previous string) {
	s.t.Helper()
	s.await("new leader", func() bool {
		cmd := exec.Command("examples/stack/stack.sh", "leader")
		cmd.Dir = s.folder
		out, err := cmd.Output()
		return err == nil && strings.TrimSpace(string(out)) != previous
	})
}

func (s *stack) await(what string, done func() bool) {
	s.t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !done(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			s.t.Fatalf("%s: not within 30 seconds", what)
		}
	}
}

// expect waits until Consul has just these passing instances, and then until they take turns in the proxy, which has no more of them. From one to the other are at most two
// seconds, on a machine that is not overloaded.
func (s *stack) expect(what string, numbers ...int) {
	s.t.Helper()
	var want []string
	for _, n := range numbers {
		want = append(want, fmt.Sprint("web-", n))
	}
	s.speed.take()
	s.await(what+" in Consul", func() bool { return slices.Equal(s.passing(), want) })
	known := time.Now()
	s.load.awaitTurns(s.t, want)
	s.await(what+" in the proxy's configuration", func() bool { return s.servers() == len(want) })
	took := time.Since(known)
	s.worst = max(s.worst, took)
	limit := 2*time.Second + 10*s.speed.take()
	s.t.Logf("%s: the proxy follows Consul within %s", what, took.Round(time.Millisecond))
	if took > limit {
		s.t.Errorf("%s: the proxy follows Consul after %s, the limit is %s", what, took, limit)
	}
	if s.load.failed() {
		s.t.Fatalf("%s: requests have failed", what)
	}
}

// inNginx returns the number of instances in nginx's configuration. One that has died does not answer, and may be there still.
func (s *stack) inNginx() int {
	conf, _ := os.ReadFile(filepath.Join(s.folder, ".stack/nginx/conf.d/upstreams.conf"))
	return strings.Count(string(conf), "    server 127.0.0.1:") - strings.Count(string(conf), "127.0.0.1:8001")
}

var instanceName = regexp.MustCompile(`web-[0-9]`)

// passing returns the names of the instances that pass, sorted.
func (s *stack) passing() (names []string) {
	entries, _, err := s.consul.Health().Service("web", "", true, nil)
	if err != nil {
		return nil
	}
	for _, e := range entries {
		names = append(names, instanceName.FindString(e.Service.ID))
	}
	slices.Sort(names)
	return names
}

// checksPass reports whether all checks of the agent have run since its start: each is critical until then.
func (s *stack) checksPass() bool {
	checks, err := s.consul.Agent().Checks()
	for _, c := range checks {
		if c.Status != api.HealthPassing {
			return false
		}
	}
	return err == nil
}

// asProcesses are instances that stack.sh starts and registers.
type asProcesses struct{ *stack }

func newProcesses(s *stack) instances { return asProcesses{s} }

func (p asProcesses) start(n int)         { p.t.Helper(); p.command("start", fmt.Sprint("web-", n)) }
func (p asProcesses) stop(n int)          { p.t.Helper(); p.command("stop", fmt.Sprint("web-", n)) }
func (p asProcesses) kill(n int)          { p.t.Helper(); p.command("kill", fmt.Sprint("web-", n)) }
func (p asProcesses) toggle(n int)        { p.t.Helper(); p.command("signal", "USR1", fmt.Sprint("web-", n)) }
func (p asProcesses) restartRegistrator() {}

// asContainers are instances in containers, which the registrator registers.
type asContainers struct {
	*stack
	registrator *exec.Cmd
}

func newContainers(s *stack) instances {
	dockertest.Start(s.t)
	dockertest.Import(s.t, "web", map[string]string{"web": filepath.Join(s.folder, "examples/stack/bin/web")}, `ENTRYPOINT ["/web"]`)
	c := &asContainers{stack: s}
	s.t.Cleanup(func() { c.endRegistrator(syscall.SIGTERM) })
	c.startRegistrator()
	return c
}

func (c *asContainers) startRegistrator() {
	c.t.Helper()
	c.registrator = exec.Command(filepath.Join(c.folder, "examples/stack/bin/registrator"), "-ip", "127.0.0.1")
	log, err := os.OpenFile(filepath.Join(c.folder, ".stack/log/registrator.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		c.t.Fatal(err)
	}
	defer log.Close()
	c.registrator.Stdout, c.registrator.Stderr = log, log
	if err := c.registrator.Start(); err != nil {
		c.t.Fatal(err)
	}
}

func (c *asContainers) endRegistrator(signal syscall.Signal) {
	_ = c.registrator.Process.Signal(signal)
	_ = c.registrator.Wait()
}

func (c *asContainers) start(n int) {
	c.t.Helper()
	name := fmt.Sprint("web-", n)
	dockertest.Docker(c.t, "run", "-d", "--rm", "--name", name, "-e", "NAME="+name, "-p", "80",
		"-e", "SERVICE_CHECK_HTTP=/healthz", "-e", "SERVICE_CHECK_INTERVAL=1s", "web")
}

func (c *asContainers) stop(n int) {
	c.t.Helper()
	dockertest.Docker(c.t, "stop", fmt.Sprint("web-", n))
}
func (c *asContainers) kill(n int) {
	c.t.Helper()
	dockertest.Docker(c.t, "kill", fmt.Sprint("web-", n))
}

func (c *asContainers) toggle(n int) {
	c.t.Helper()
	dockertest.Docker(c.t, "kill", "--signal", "USR1", fmt.Sprint("web-", n))
}

// restartRegistrator ends the registrator in good order, then kills it, and starts and stops containers while it is away.
func (c *asContainers) restartRegistrator() {
	c.t.Helper()
	for _, signal := range []syscall.Signal{syscall.SIGTERM, syscall.SIGKILL} {
		c.endRegistrator(signal)
		c.start(5)
		c.startRegistrator()
		c.expect("a container from before the registrator", 1, 2, 3, 5)
		c.endRegistrator(signal)
		c.stop(5)
		c.startRegistrator()
		c.expect("a container that went before the registrator came", 1, 2, 3)
	}
}
