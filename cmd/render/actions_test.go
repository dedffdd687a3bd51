package main

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// The templates of TestNginxBadChanges trust Consul, as careless ones do: what gets them wrong is in the data.
var careless = map[string]string{
	"upstream": `upstream http_backend {
{{- range service "careless"}}
	server {{.Address}}:{{.Port}};
{{- end}}
}
`,
	"other": `# {{key "careless/generation"}}
upstream other {
{{- range service "careless-other"}}
	server {{.Address}}:{{.Port}};
{{- end}}
}
`,
	"server": `# {{key "careless/generation"}}
server {
{{- range key "careless/listen" | split " "}}
	listen {{.}};
{{- end}}
	location / {
		proxy_pass http://http_backend;
		add_header Generation $generation;
		add_header Worker $pid;
	}
}
`,
	"extra": `map $uri $generation { default "{{key "careless/generation"}}"; }
{{key "careless/extra"}}
`,
}

// TestNginxBadChanges makes 200 changes behind an nginx that is asked all the time, over connections that are kept and
// over new ones. 20 of the changes are bad, in three ways. Each of these is tried, and reported with what nginx says of it;
// the good ones that come with it go live all the same. No request fails.
//
// Commits of an action are a second apart. So each second's changes are a bad one and nine good ones, and the next ones
// are made when the log has told of the bad one.
func TestNginxBadChanges(t *testing.T) {
	t.Parallel()
	const bad, together = 20, 10
	agent, n, addr := testConsul(t), newNginx(t), freeAddr(t)

	toggle := make(map[string]func())
	var present []string
	for _, name := range []string{"a", "b", "c"} {
		b := startBackend(t, name)
		id := "careless-" + name
		toggle[name] = func() {
			t.Helper()
			if i := slices.Index(present, name); i >= 0 {
				present = slices.Delete(present, i, i+1)
				check(t, agent.Deregister(id))
				return
			}
			present = append(present, name)
			check(t, agent.Register("careless", id, b.host, b.port, "passing"))
		}
		t.Cleanup(func() { _ = agent.Deregister(id) }) // it need not be there
	}
	toggle["a"]() // it stays
	put := func(key, value string) { t.Helper(); check(t, agent.Put("careless/"+key, value)) }
	other := func(up bool) {
		t.Helper()
		if up {
			check(t, agent.Register("careless-other", "careless-other", "127.0.0.1", 9, "passing"))
		} else {
			check(t, agent.Deregister("careless-other"))
		}
	}
	put("generation", "start")
	put("listen", addr)
	put("extra", "# nothing")
	other(true)
	t.Cleanup(func() { check(t, agent.Deregister("careless-other")) })

	kinds := []struct {
		make, heal func(i int)
		says       string // by nginx
		file       string // that is bad
	}{
		{
			func(i int) { put("extra", fmt.Sprintf("no_such_directive_%d on;", i)) },
			func(i int) { put("extra", fmt.Sprint("# good again after ", i)) },
			`unknown directive \"no_such_directive_%d\"`, "extra",
		},
		{
			func(int) { put("listen", addr+" "+addr) },
			func(int) { put("listen", addr) },
			"a duplicate listen " + addr, "server",
		},
		{
			func(int) { other(false) },
			func(int) { other(true) },
			"no servers are inside upstream", "other",
		},
	}

	live, want := []string{"--consul-addr", agent.Addr}, []string{"--consul-addr", agent.Addr}
	for name, text := range careless {
		n.write(name+".ctmpl", text)
		live = append(live, "--template", name+".ctmpl:conf.d/"+name+".conf")
		want = append(want, "--template", name+".ctmpl:want/"+name+".conf")
	}
	renderOnce(t, n.dir, live...)
	n.start()
	for i, arg := range live {
		if strings.HasSuffix(arg, ".conf") {
			live[i] += ":" + n.reload()
		}
	}
	d := startRender(t, n.dir, append(live, "--check", n.command("-t"))...)

	web := newClient("http://"+addr, false)
	awaits(t, func() error { _, _, err := web.ask(); return err })
	var stops []func() int
	for _, keepAlive := range []bool{true, true, false, false} {
		stops = append(stops, newClient("http://"+addr, keepAlive).loadEvery(t, 5*time.Millisecond))
	}

	// applied awaits files of a generation, and upstreams as they should be.
	applied := func(generation string, files ...string) {
		t.Helper()
		for _, name := range files {
			awaits(t, fileHas(filepath.Join(n.dir, "conf.d", name+".conf"), generation))
		}
		awaits(t, func() error { return web.asks(t, slices.Sorted(slices.Values(present))...) })
	}
	for i := range bad {
		kind, before := kinds[i%len(kinds)], kinds[(i+len(kinds)-1)%len(kinds)]
		generation, log := fmt.Sprintf("generation %d;", i), len(d.said())
		put("generation", generation)
		kind.make(i)
		if i > 0 {
			before.heal(i)
		} else {
			toggle["b"]()
		}
		for range together - 3 {
			toggle[[]string{"b", "c"}[rand.IntN(2)]]()
		}
		says := strings.ReplaceAll(kind.says, "%d", fmt.Sprint(i))
		awaits(t, func() error { return reported(d.said()[log:], "check failed", kind.file+".conf", says) })
		applied(generation, slices.DeleteFunc([]string{"extra", "server", "other"}, func(f string) bool { return f == kind.file })...)
	}
	kinds[(bad-1)%len(kinds)].heal(bad)
	put("generation", "the last")
	applied("the last", "extra", "server", "other")
	renderOnce(t, n.dir, want...)
	for name := range careless {
		b, err := os.ReadFile(filepath.Join(n.dir, "want", name+".conf"))
		check(t, err)
		check(t, contains(filepath.Join(n.dir, "conf.d", name+".conf"), string(b))())
	}
	awaits(t, func() error {
		_, header, err := web.ask()
		if got := header.Get("Generation"); err == nil && got != "the last" {
			err = fmt.Errorf("nginx is at %q", got)
		}
		return err
	})
	for _, stop := range stops {
		if made := stop(); made < 100 {
			t.Errorf("only %d requests were made meanwhile", made)
		}
	}
	if said := n.said(); strings.Contains(said, "[emerg]") {
		t.Error("nginx itself got to see what is bad")
	}
	d.stop()
}

// TestNginxDoesNotTake gives nginx a port to listen on that is another program's. "nginx -t" likes that, and "nginx -s reload"
// ends well, but nginx goes on as before. Both the example's reload.sh and a verification notice, and the old file comes back.
func TestNginxDoesNotTake(t *testing.T) {
	t.Parallel()
	taken, port := serve(t, http.StatusTeapot)
	for _, tt := range []struct {
		name    string
		command func(*nginx) string
		args    []string
		says    []string
	}{
		{"reload.sh", func(n *nginx) string { return n.reload() + " 4" }, nil, []string{"command failed, retrying; the previous files stay", "nginx keeps its previous configuration"}},
		{
			"verify", func(n *nginx) string { return n.command("-s reload") },
			[]string{"--verify", "http://" + port + "/", "--verify-status", "204", "--verify-within", "4s"},
			[]string{"verification failed, retrying; the previous files stay", "the HTTP status is 418, not 204"},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			n, addr := newNginx(t), freeAddr(t)
			n.write("in", `server { listen {{key "listen"}}; return 204; }`)
			data, out := filepath.Join(n.dir, "data.yaml"), filepath.Join(n.dir, "conf.d", "out.conf")
			n.write("data.yaml", "keys: {listen: "+addr+"}")
			args := []string{"--fixture", "data.yaml", "--template", "in:conf.d/out.conf"}
			renderOnce(t, n.dir, args...)
			old, err := os.ReadFile(out)
			check(t, err)
			n.start()
			answers := func() error { return httpStatus("http://"+addr, http.StatusNoContent) }
			awaits(t, answers)

			args[len(args)-1] += ":" + tt.command(n)
			d := startRender(t, n.dir, append(append(args, "--check", n.command("-t")), tt.args...)...)
			write(t, data, "keys: {listen: "+port+"}")
			awaits(t, func() error { return reported(d.said(), tt.says...) })
			check(t, contains(out, string(old))())
			check(t, answers())
			if said := n.said(); !strings.Contains(said, "Address already in use") {
				t.Errorf("nginx was not asked to listen there; it said:\n%s", said)
			}
			if tt.name != "verify" {
				d.stop()
				return
			}
			// The port gets free: the next change is taken.
			taken()
			write(t, data, "keys: {listen: '"+port+" reuseport'}")
			awaits(t, func() error { return httpStatus("http://"+port, http.StatusNoContent) })
			awaits(t, func() error { return reported(d.said(), "msg=rendered", "out.conf") })
			d.stop()
		})
	}
}

// TestVerifyStatus undoes a change that nginx takes, and that is bad all the same: the service says so itself.
func TestVerifyStatus(t *testing.T) {
	t.Parallel()
	n, addr := newNginx(t), freeAddr(t)
	n.write("in", "server { listen "+addr+`; location / { return {{key "status"}}; } }`)
	data, out := filepath.Join(n.dir, "data.yaml"), filepath.Join(n.dir, "conf.d", "out.conf")
	n.write("data.yaml", "keys: {status: 200}")
	args := []string{"--fixture", "data.yaml", "--template", "in:conf.d/out.conf"}
	renderOnce(t, n.dir, args...)
	n.start()
	args[len(args)-1] += ":" + n.reload()
	url := "http://" + addr + "/"
	d := startRender(t, n.dir, append(args, "--verify", url, "--verify-within", "1s")...)
	good, err := os.ReadFile(out)
	check(t, err)
	write(t, data, "keys: {status: 500}")
	awaits(t, func() error {
		return reported(d.said(), "verification failed, retrying; the previous files stay", "the HTTP status is 500, not 200")
	})
	check(t, contains(out, string(good))())
	awaits(t, func() error { return httpStatus(url, http.StatusOK) }) // the command has run again, for the old file
	write(t, data, "keys: {status: '200 fine'}")
	awaits(t, fileHas(out, "fine"))
	awaits(t, func() error { return reported(d.said(), "msg=rendered", "out.conf") })
	check(t, httpStatus(url, http.StatusOK))
	d.stop()
}

// TestHAProxy reloads a real HAProxy by a signal to its master. What the check does not like is never in the file.
func TestHAProxy(t *testing.T) {
	t.Parallel()
	binary := findProgram(t, "haproxy")
	dir, addr := t.TempDir(), freeAddr(t)
	cfg, data := filepath.Join(dir, "haproxy.cfg"), filepath.Join(dir, "data.yaml")
	write(t, filepath.Join(dir, "in"), `defaults
    mode http
    timeout connect 5s
    timeout client 30s
    timeout server 30s
frontend http
    bind `+addr+`
    http-request return status 200 content-type text/plain string "{{key "generation"}}"
{{key "line"}}
`)
	set := func(generation int, line string) {
		t.Helper()
		write(t, data, fmt.Sprintf("keys: {generation: %q, line: %q}", fmt.Sprint(generation), line))
	}
	set(0, "# good")
	args := []string{"--fixture", "data.yaml", "--template", "in:haproxy.cfg"}
	renderOnce(t, dir, args...)
	startHAProxy(t, binary, dir, cfg)
	web := newClient("http://"+addr, false)
	serves := func(generation int) func() error {
		return func() error {
			body, _, err := web.ask()
			if err == nil && body != fmt.Sprint(generation) {
				err = fmt.Errorf("haproxy serves %q, not %d", body, generation)
			}
			return err
		}
	}
	awaits(t, serves(0))
	d := startRender(t, dir, append(args, "--check", binary+" -c -f {}", "--signal", "USR2:"+filepath.Join(dir, "haproxy.pid"))...)

	var bad atomic.Bool
	var wg sync.WaitGroup
	end := make(chan struct{})
	wg.Go(func() {
		for {
			select {
			case <-end:
				return
			default:
			}
			if text, err := os.ReadFile(cfg); err != nil || !strings.Contains(string(text), "# good") {
				bad.Store(true)
			}
		}
	})
	defer wg.Wait()
	stop := sync.OnceFunc(func() { close(end) })
	defer stop()
	load := web.loadEvery(t, 5*time.Millisecond)
	for i := range 4 {
		set(2*i+1, fmt.Sprintf("    no-such-line-%d", i))
		awaits(t, func() error {
			return reported(d.said(), "check failed, retrying; the previous files stay", fmt.Sprintf("no-such-line-%d", i))
		})
		check(t, serves(2*i)())
		set(2*i+2, "# good")
		awaits(t, serves(2*i+2))
	}
	if load() < 100 {
		t.Error("only few requests were made meanwhile")
	}
	stop()
	wg.Wait()
	if bad.Load() {
		t.Error("the file was bad, or gone, for a while")
	}
	d.stop()
}

// startHAProxy starts an HAProxy in master-worker mode, which ends with the test.
func startHAProxy(t *testing.T, binary, dir, cfg string) {
	t.Helper()
	log, err := os.Create(filepath.Join(dir, "haproxy.log"))
	check(t, err)
	defer log.Close()
	cmd := exec.Command(binary, "-W", "-f", cfg, "-p", filepath.Join(dir, "haproxy.pid"))
	cmd.Stdout, cmd.Stderr = log, log
	check(t, cmd.Start())
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM) // it ends its workers
		_ = cmd.Wait()
		if said, err := os.ReadFile(log.Name()); err == nil && t.Failed() {
			t.Logf("haproxy said:\n%s", said)
		}
	})
}

// TestOwner gives a file to somebody else, by name and by number. It stays with them when it changes.
func TestOwner(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Skip("only root can give files away")
	}
	nobody, err := user.Lookup("nobody")
	check(t, err)
	dir := t.TempDir()
	write(t, filepath.Join(dir, "in"), "one")
	for _, args := range [][]string{{"--user", "nobody", "--group", "1"}, nil} {
		renderOnce(t, dir, append(args, "--template", "in:out")...)
		info, err := os.Stat(filepath.Join(dir, "out"))
		check(t, err)
		if sys := info.Sys().(*syscall.Stat_t); fmt.Sprint(sys.Uid) != nobody.Uid || sys.Gid != 1 {
			t.Errorf("with %q the file belongs to %d:%d", args, sys.Uid, sys.Gid)
		}
		write(t, filepath.Join(dir, "in"), "two")
	}
}

// serve answers all requests at an address with a status, until stop is called or the test ends.
func serve(t *testing.T, status int) (stop func(), addr string) {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status) }))
	t.Cleanup(server.Close)
	return server.Close, server.Listener.Addr().String()
}

// httpStatus returns an error unless a URL answers with a status.
func httpStatus(url string, want int) error {
	answer, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Get(url)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	if answer.StatusCode != want {
		return fmt.Errorf("%s answers %s, not %d", url, answer.Status, want)
	}
	return nil
}

// reported returns an error unless a line of a log has all of some texts in it.
func reported(log string, texts ...string) error {
	for line := range strings.Lines(log) {
		missing := func(text string) bool { return !strings.Contains(line, text) }
		if !slices.ContainsFunc(texts, missing) {
			return nil
		}
	}
	return fmt.Errorf("no line of the log has %q:\n%s", texts, log)
}

// fileHas returns the condition that a file has a text in it.
func fileHas(path, text string) func() error {
	return func() error {
		b, err := os.ReadFile(path)
		if err == nil && !strings.Contains(string(b), text) {
			err = fmt.Errorf("%s does not have %q:\n%s", path, text, b)
		}
		return err
	}
}
