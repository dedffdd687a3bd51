//go:build linux

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"
	"time"

	"github.com/hashicorp/consul/api"
)

// spaced is longer than the least time from one commit of an action with a command to the next.
const spaced = 1200 * time.Millisecond

// nginxAnswers is a case of a backend that moves. Its times are those from just before the write to Consul until a new
// connection to nginx gets the answer of the new backend.
func nginxAnswers(reload func(binary, conf, pidFile string) (string, error)) func(context.Context, *bench) (measured, error) {
	return func(ctx context.Context, b *bench) (m measured, err error) {
		const n = 30
		binary, err := findNginx()
		if err != nil {
			return m, err
		}
		backends, err := startBackends(2)
		if err != nil {
			return m, err
		}
		defer backends.close()
		move := func(i int) error { return b.registerAt(backends[i%len(backends)].Addr().(*net.TCPAddr).Port) }
		if err := move(0); err != nil {
			return m, err
		}
		spec, err := b.template("upstream.conf", `upstream web {{"{"}}{{range service "web"}}
	server {{.Address}}:{{.Port}};{{end}}
}`)
		if err != nil {
			return m, err
		}
		conf, pidFile, addr, err := b.writeNginxConf()
		if err != nil {
			return m, err
		}
		if said, err := exec.CommandContext(ctx, b.binary, "--once", "--consul-addr", b.address, "--template", spec).CombinedOutput(); err != nil {
			return m, fmt.Errorf("render --once: %w: %s", err, said)
		}
		stop, err := startNginx(ctx, binary, conf, pidFile)
		if err != nil {
			return m, err
		}
		defer stop()
		command, err := reload(binary, conf, pidFile)
		if err != nil {
			return m, err
		}
		b.args = append(b.args, "--check", binary+" -t -q -c "+conf)
		p, err := b.start(ctx, []string{spec + ":" + command})
		if err != nil {
			return m, err
		}
		defer p.stop()
		if err := pause(ctx, spaced); err != nil {
			return m, err
		}
		if err := p.reset(); err != nil {
			return m, err
		}
		var times, files []time.Duration
		for i := range n {
			began := time.Now()
			if err := move(i + 1); err != nil {
				return m, err
			}
			at, err := b.out.await(ctx, fmt.Sprintf(":%d;", backends[(i+1)%len(backends)].Addr().(*net.TCPAddr).Port), "upstream.conf")
			if err != nil {
				return m, p.fault(err)
			}
			files = append(files, at.Sub(began))
			if err := answers(ctx, "http://"+addr, strconv.Itoa((i+1)%len(backends))); err != nil {
				return m, p.fault(err)
			}
			times = append(times, time.Since(began))
			if err := pause(ctx, spaced); err != nil {
				return m, err
			}
		}
		m, err = p.usage()
		m.times = times
		slices.Sort(files)
		m.note = fmt.Sprintf("until the file is there: %.2f ms", percentile(files, 50))
		return m, err
	}
}

// reloadBySignal is what most people have.
func reloadBySignal(binary, conf, _ string) (string, error) {
	return binary + " -q -c " + conf + " -s reload", nil
}

// reloadByScript is the example's, which waits until nginx has changed over.
func reloadByScript(_, _, pidFile string) (string, error) {
	script, err := filepath.Abs("examples/nginx/reload.sh")
	if err == nil {
		_, err = os.Stat(script)
	}
	return script + " " + pidFile, err
}

func (b *bench) registerAt(port int) error {
	_, err := b.Client.Catalog().Register(&api.CatalogRegistration{
		Node: "host", Address: "127.0.0.1",
		Service: &api.AgentService{ID: "web", Service: "web", Address: "127.0.0.1", Port: port},
	}, nil)
	return err
}

// backendsOf are web servers that answer their number.
type backendsOf []net.Listener

func startBackends(n int) (all backendsOf, err error) {
	for i := range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			all.close()
			return nil, err
		}
		all = append(all, l)
		server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, i) })}
		go func() { _ = server.Serve(l) }() // until l is closed
	}
	return all, nil
}

func (all backendsOf) close() {
	for _, l := range all {
		_ = l.Close()
	}
}

func (b *bench) writeNginxConf() (conf, pidFile, addr string, err error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", "", "", err
	}
	addr = l.Addr().String()
	if err := l.Close(); err != nil {
		return "", "", "", err
	}
	conf, pidFile = filepath.Join(b.dir, "nginx.conf"), filepath.Join(b.dir, "nginx.pid")
	text := fmt.Sprintf(`daemon off;
worker_processes 1;
pid %[2]s;
error_log %[1]s/error.log;
events {}
http {
	access_log off;
	client_body_temp_path %[1]s/body;
	proxy_temp_path %[1]s/proxy;
	fastcgi_temp_path %[1]s/fastcgi;
	uwsgi_temp_path %[1]s/uwsgi;
	scgi_temp_path %[1]s/scgi;
	include %[3]s;
	server { listen %[4]s; location / { proxy_pass http://web; } }
}
`, b.dir, pidFile, b.out.path("upstream.conf"), addr)
	return conf, pidFile, addr, os.WriteFile(conf, []byte(text), 0o644)
}

// findNginx returns the path of nginx. Debian keeps it out of users' PATH.
func findNginx() (string, error) {
	for _, name := range []string{"nginx", "/usr/sbin/nginx"} {
		if path, err := exec.LookPath(name); err == nil {
			return path, nil
		}
	}
	return "", errors.New("there is no nginx: run `make nginx`")
}

// startNginx starts nginx and returns when it can be told to reload.
func startNginx(ctx context.Context, binary, conf, pidFile string) (stop func(), err error) {
	cmd := exec.CommandContext(ctx, binary, "-c", conf)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM} // it ends its workers
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	stop = func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		_ = cmd.Wait()
	}
	ctx, cancel := context.WithTimeout(ctx, awaitTimeout)
	defer cancel()
	for {
		if pid, err := os.ReadFile(pidFile); err == nil && len(pid) > 0 {
			return stop, nil
		}
		if err := pause(ctx, interval); err != nil {
			stop()
			return nil, fmt.Errorf("nginx does not start: %w", err)
		}
	}
}

// answers waits until a new connection to a URL is answered with a text.
func answers(ctx context.Context, url, text string) error {
	ctx, cancel := context.WithTimeout(ctx, awaitTimeout)
	defer cancel()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	for {
		if body, err := get(ctx, client, url); err == nil && body == text {
			return nil
		}
		if err := pause(ctx, time.Millisecond); err != nil {
			return fmt.Errorf("nginx does not answer %q: %w", text, err)
		}
	}
}

func get(ctx context.Context, client *http.Client, url string) (string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return "", err
	}
	resp, err := client.Do(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return string(body), err
}

// ownCommands is a case of templates on one key that have a command each, so that each is an action by itself. Its times
// are those from the write to Consul until the last commit, command included, is in the log.
func ownCommands(ctx context.Context, b *bench) (m measured, err error) {
	const count, n = 500, 10
	var specs []string
	for i := range count {
		spec, err := b.template(fmt.Sprint(i), fmt.Sprintf(`{{key "shared"}} %d`, i))
		if err != nil {
			return m, err
		}
		specs = append(specs, fmt.Sprintf("%s:: %d", spec, i)) // the command ": 17"
	}
	if err := b.Put("shared", "first"); err != nil {
		return m, err
	}
	p, err := b.start(ctx, specs)
	if err != nil {
		return m, err
	}
	defer p.stop()
	if err := p.commits(ctx, count); err != nil {
		return m, err
	}
	if err := pause(ctx, spaced); err != nil {
		return m, err
	}
	if err := p.reset(); err != nil {
		return m, err
	}
	var times []time.Duration
	for i := range n {
		began := time.Now()
		if err := b.Put("shared", fmt.Sprint("value ", i)); err != nil {
			return m, err
		}
		if err := p.commits(ctx, (i+2)*count); err != nil {
			return m, err
		}
		times = append(times, time.Since(began))
		if err := pause(ctx, spaced); err != nil {
			return m, err
		}
	}
	m, err = p.usage()
	m.cpu /= n
	m.times = slices.Clone(times)
	slices.Sort(times)
	m.note = fmt.Sprintf("%.0f commits a second, each with a run of sh", count/(percentile(times, 50)/1000))
	return m, err
}

// commits waits until render has told of a number of commits.
func (p *process) commits(ctx context.Context, number int) error {
	ctx, cancel := context.WithTimeout(ctx, awaitTimeout)
	defer cancel()
	for {
		log, err := os.ReadFile(p.log)
		if err != nil {
			return err
		}
		if bytes.Count(log, []byte("msg=rendered")) >= number {
			return nil
		}
		if err := pause(ctx, 5*time.Millisecond); err != nil {
			return p.fault(fmt.Errorf("waiting for %d commits: %w", number, err))
		}
	}
}
