package main

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// nginxMain is an nginx.conf that includes the files in conf.d.
const nginxMain = `
daemon off;
user root;
worker_processes 1;
pid %[1]s/nginx.pid;
error_log %[1]s/error.log;
events { worker_connections 256; }
http {
	access_log off;
	client_body_temp_path %[1]s/body;
	proxy_temp_path %[1]s/proxy;
	fastcgi_temp_path %[1]s/fastcgi;
	uwsgi_temp_path %[1]s/uwsgi;
	scgi_temp_path %[1]s/scgi;
	include %[1]s/conf.d/*.conf;
}
`

// nginxServer makes each worker name itself, so that a test can tell when nginx has changed to another.
const nginxServer = `
server {
	listen %s;
	location / {
		proxy_pass http://http_backend;
		add_header Worker $pid;
	}
}
`

const upstream = `upstream http_backend {
{{- range service "nginx" }}
	server {{.Address}}:{{.Port}};
{{- end}}
}
`

// TestNginx puts a real nginx behind a real Consul: backends come and go, and no request fails.
func TestNginx(t *testing.T) {
	t.Parallel()
	agent, n, addr := testConsul(t), newNginx(t), freeAddr(t)
	n.write("conf.d/server.conf", fmt.Sprintf(nginxServer, addr))
	n.write("upstream.ctmpl", upstream)

	backends := make(map[string]*backend)
	add := func(name string) {
		b := startBackend(t, name)
		backends[name] = b
		check(t, agent.Register("nginx", "nginx-"+name, b.host, b.port, "passing"))
		t.Cleanup(func() { check(t, agent.Deregister("nginx-"+name)) })
	}
	add("a")
	add("b")
	args := []string{"--consul-addr", agent.Addr, "--template", "upstream.ctmpl:conf.d/upstream.conf"}
	renderOnce(t, n.dir, args...)
	n.start()
	args[len(args)-1] += ":" + n.command("-s reload")
	d := startRender(t, n.dir, args...)

	web := newClient("http://"+addr, false)
	awaits(t, func() error { _, _, err := web.get(); return err })
	check(t, web.asks(t, "a", "b"))

	stop := web.load(t) // from here on no request may fail

	add("c")
	var worker int // not one from before c was there
	awaits(t, func() error {
		workers := web.spread(t)
		worker = workers["c"]
		if len(workers) != 3 || worker == 0 {
			return fmt.Errorf("nginx asks %v, not a, b and c", workers)
		}
		return nil
	})
	check(t, agent.Deregister("nginx-b"))
	awaits(t, func() error {
		if err := syscall.Kill(worker, 0); !errors.Is(err, syscall.ESRCH) {
			return fmt.Errorf("worker %d, from before the change, is still there", worker)
		}
		return nil
	})
	asked := backends["b"].asked.Load()
	check(t, web.asks(t, "a", "c"))
	if now := backends["b"].asked.Load(); now != asked {
		t.Fatalf("b got %d requests after it was gone", now-asked)
	}

	if made := stop(); made < 100 {
		t.Errorf("only %d requests were made meanwhile", made)
	}
	d.stop()
}

// findProgram returns the path of a program that a target of the Makefile installs. Debian keeps some out of users' PATH.
func findProgram(t *testing.T, program string) string {
	t.Helper()
	for _, name := range []string{program, "/usr/sbin/" + program} {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	if os.Getenv("CI") == "true" {
		t.Fatalf("there is no %[1]s: run `make %[1]s`", program)
	}
	t.Skipf("there is no %[1]s: run `make %[1]s`", program)
	return ""
}

// An nginx has a folder to itself, with nginx.conf and conf.d in it.
type nginx struct {
	t                 *testing.T
	binary, dir, conf string
}

func newNginx(t *testing.T) *nginx {
	t.Helper()
	dir := t.TempDir()
	n := &nginx{t, findProgram(t, "nginx"), dir, filepath.Join(dir, "nginx.conf")}
	check(t, os.Mkdir(filepath.Join(dir, "conf.d"), 0o755))
	n.write("nginx.conf", fmt.Sprintf(nginxMain, dir))
	return n
}

func (n *nginx) write(name, contents string) {
	n.t.Helper()
	write(n.t, filepath.Join(n.dir, name), contents)
}

// command returns a line for sh that calls nginx with flags.
func (n *nginx) command(flags string) string {
	return fmt.Sprintf("%s -q -p %s -c %s %s", n.binary, n.dir, n.conf, flags)
}

// reload returns the command of the example, which knows whether nginx has taken its configuration.
func (n *nginx) reload() string {
	n.t.Helper()
	script, err := filepath.Abs("../../examples/nginx/reload.sh")
	check(n.t, err)
	return script + " " + filepath.Join(n.dir, "nginx.pid")
}

// start starts nginx, which ends with the test, and returns when it can be told to reload.
func (n *nginx) start() {
	t := n.t
	t.Helper()
	cmd := exec.Command(n.binary, "-p", n.dir, "-c", n.conf)
	check(t, cmd.Start())
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM) // it ends its workers
		_ = cmd.Wait()
		if t.Failed() {
			t.Logf("nginx said:\n%s", n.said())
		}
	})
	awaits(t, func() error {
		pid, err := os.ReadFile(filepath.Join(n.dir, "nginx.pid"))
		if err == nil && len(pid) == 0 {
			err = errors.New("nginx.pid is empty")
		}
		return err
	})
}

func (n *nginx) said() string {
	b, err := os.ReadFile(filepath.Join(n.dir, "error.log"))
	check(n.t, err)
	return string(b)
}

// A backend is a web server that answers its name.
type backend struct {
	host  string
	port  int
	asked atomic.Int64
}

func startBackend(t *testing.T, name string) *backend {
	t.Helper()
	b := new(backend)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		b.asked.Add(1)
		fmt.Fprint(w, name)
	}))
	t.Cleanup(server.Close)
	at, err := url.Parse(server.URL)
	check(t, err)
	b.host = at.Hostname()
	b.port, err = strconv.Atoi(at.Port())
	check(t, err)
	return b
}

// A client asks nginx, over a new connection for each request or over one that it keeps.
type client struct {
	http http.Client
	url  string
}

func newClient(url string, keepAlive bool) *client {
	return &client{http.Client{Transport: &http.Transport{DisableKeepAlives: !keepAlive}, Timeout: patience}, url}
}

// get returns which backend has answered, and through which worker.
func (c *client) get() (name string, worker int, err error) {
	name, header, err := c.ask()
	if err != nil {
		return "", 0, err
	}
	worker, err = strconv.Atoi(header.Get("Worker"))
	return name, worker, err
}

// ask returns an answer whose status is 200.
func (c *client) ask() (body string, header http.Header, err error) {
	answer, err := c.http.Get(c.url)
	if err != nil {
		return "", nil, err
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err == nil && answer.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s", answer.Status, text)
	}
	return string(text), answer.Header, err
}

// spread makes some requests, of which none may fail, and returns the backends that have answered, with the last worker
// that asked each.
func (c *client) spread(t *testing.T) map[string]int {
	t.Helper()
	workers := make(map[string]int)
	for range 30 {
		name, worker, err := c.get()
		check(t, err)
		workers[name] = worker
	}
	return workers
}

// asks returns an error where nginx does not spread requests over just these backends.
func (c *client) asks(t *testing.T, names ...string) error {
	t.Helper()
	if got := slices.Sorted(maps.Keys(c.spread(t))); !slices.Equal(got, names) {
		return fmt.Errorf("nginx asks %q, not %q", got, names)
	}
	return nil
}

// load makes requests until it is stopped, and fails the test for each one that fails. Stop returns their number.
func (c *client) load(t *testing.T) (stop func() int) { return c.loadEvery(t, time.Microsecond) }

// loadEvery is load at a steady pace, which leaves some of the machine to others.
func (c *client) loadEvery(t *testing.T, every time.Duration) (stop func() int) {
	var wg sync.WaitGroup
	made := 0
	end := make(chan struct{})
	wg.Go(func() {
		tick := time.NewTicker(every)
		defer tick.Stop()
		for {
			select {
			case <-end:
				return
			case <-tick.C:
			}
			made++
			if _, _, err := c.ask(); err != nil {
				t.Errorf("request %d: %v", made, err)
			}
		}
	})
	stop = sync.OnceValue(func() int {
		close(end)
		wg.Wait()
		return made
	})
	t.Cleanup(func() { stop() })
	return stop
}
