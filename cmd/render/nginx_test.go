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
)

// nginxConf makes each worker name itself, so that a test can tell when nginx has changed to another.
const nginxConf = `
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
	include %[1]s/upstream.conf;
	server {
		listen %[2]s;
		location / {
			proxy_pass http://http_backend;
			add_header Worker $pid;
		}
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
	binary := findNginx(t)
	agent, dir := testConsul(t), t.TempDir()
	addr := freeAddr(t)
	conf := filepath.Join(dir, "nginx.conf")
	write(t, conf, fmt.Sprintf(nginxConf, dir, addr))
	write(t, filepath.Join(dir, "upstream.ctmpl"), upstream)

	backends := make(map[string]*backend)
	add := func(name string) {
		b := startBackend(t, name)
		backends[name] = b
		check(t, agent.Register("nginx", "nginx-"+name, b.host, b.port, "passing"))
		t.Cleanup(func() { check(t, agent.Deregister("nginx-"+name)) })
	}
	add("a")
	add("b")
	args := []string{"--consul-addr", agent.Addr, "--template", "upstream.ctmpl:upstream.conf"}
	renderOnce(t, dir, args...)
	startNginx(t, binary, dir, conf)
	args[len(args)-1] += ":" + binary + " -p " + dir + " -c " + conf + " -s reload"
	d := startRender(t, dir, args...)

	web := newClient("http://" + addr)
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

// findNginx returns the path of nginx. Debian keeps it out of users' PATH.
func findNginx(t *testing.T) string {
	t.Helper()
	for _, name := range []string{"nginx", "/usr/sbin/nginx"} {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	if os.Getenv("CI") == "true" {
		t.Fatal("there is no nginx: run `make nginx`")
	}
	t.Skip("there is no nginx: run `make nginx`")
	return ""
}

func startNginx(t *testing.T, binary, dir, conf string) {
	t.Helper()
	cmd := exec.Command(binary, "-p", dir, "-c", conf)
	check(t, cmd.Start())
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM) // it ends its workers
		_ = cmd.Wait()
		if b, err := os.ReadFile(filepath.Join(dir, "error.log")); err == nil && t.Failed() {
			t.Logf("nginx said:\n%s", b)
		}
	})
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

// A client asks nginx, with a new connection for each request.
type client struct {
	http http.Client
	url  string
}

func newClient(url string) *client {
	return &client{http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: patience}, url}
}

// get returns which backend has answered, and through which worker.
func (c *client) get() (name string, worker int, err error) {
	answer, err := c.http.Get(c.url)
	if err != nil {
		return "", 0, err
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		return "", 0, err
	}
	if answer.StatusCode != http.StatusOK {
		return "", 0, fmt.Errorf("%s: %s", answer.Status, text)
	}
	worker, err = strconv.Atoi(answer.Header.Get("Worker"))
	return string(text), worker, err
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
func (c *client) load(t *testing.T) (stop func() int) {
	var wg sync.WaitGroup
	made := 0
	end := make(chan struct{})
	wg.Go(func() {
		for {
			select {
			case <-end:
				return
			default:
			}
			made++
			if _, _, err := c.get(); err != nil {
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
