//go:build linux

package main

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"render/watch/consultest"
)

// TestReloadUnderRequests has nginx serve while all that render is told by changes in random order: data, configuration,
// templates, partials, good ones and broken ones. No request fails, and in the end everything is as if render had been
// started with what is there then.
func TestReloadUnderRequests(t *testing.T) {
	t.Parallel()
	const steps = 80
	r := newReloadRig(t)
	r.nginx.start()
	d := startRender(t, r.nginx.dir, "--config", "render.hcl", "--consul-addr", r.proxy.Addr)
	r.daemon = d
	awaits(t, r.asDryRun)
	web := newClient("http://"+r.listen, false)
	awaits(t, func() error { _, _, err := web.get(); return err })
	check(t, web.asks(t, r.passing()...))
	stop := web.loadEvery(t, 2*time.Millisecond)
	r.eachOnce()
	files := openFiles(t, d)

	changes := []func(){
		r.changeKey, r.changeService, r.changeService, r.changeConfig, r.changeConfig, r.breakConfig,
		r.changeTemplate, r.changeTemplate, r.breakTemplate, r.fix, r.fix, r.rest,
	}
	for range steps {
		changes[r.random.IntN(len(changes))]()
		<-time.After(time.Duration(r.random.Int64N(int64(150 * time.Millisecond))))
	}

	r.fix()
	r.changeConfig()
	awaits(t, r.asDryRun)
	awaits(t, func() error { return web.asks(t, r.passing()...) })
	<-time.After(1500 * time.Millisecond) // whatever is late
	check(t, r.asDryRun())
	check(t, web.asks(t, r.passing()...))
	if made := stop(); made < 1000 {
		t.Errorf("only %d requests were made meanwhile", made)
	}
	r.leftNothing()
	r.askedOnce()
	awaits(t, func() error {
		if now := openFiles(t, d); now > files {
			return fmt.Errorf("%d files are open, at first it were %d", now, files)
		}
		return nil
	})
	d.stop()
}

// A reloadRig is an nginx whose upstream render keeps, with all that render is told by.
type reloadRig struct {
	t        *testing.T
	random   *rand.Rand
	agent    *consultest.Agent
	proxy    *consultest.Proxy
	nginx    *nginx
	listen   string
	daemon   *daemon
	backends []*backend
	in       []bool          // which of them pass
	removals int             // how often one of them ceased to pass
	version  int             // of what is written
	broken   map[string]bool // templates
	settings reloadSettings
}

// reloadSettings is what changes in the configuration.
type reloadSettings struct {
	extra   bool // there is one template more
	perms   string
	spacing string
}

const reloadBackends = "abcd"

func newReloadRig(t *testing.T) *reloadRig {
	t.Helper()
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	r := &reloadRig{
		t: t, random: rand.New(rand.NewPCG(seed, 0)), agent: testConsul(t), nginx: newNginx(t), listen: freeAddr(t),
		broken: make(map[string]bool), settings: reloadSettings{perms: "0644", spacing: "100ms"},
	}
	r.proxy = consultest.NewProxy(r.agent.Addr)
	t.Cleanup(func() {
		r.proxy.Close()
		for i := range r.backends {
			check(t, r.agent.Deregister(r.instance(i)))
		}
		_, err := r.agent.Client.KV().DeleteTree("reload/", nil)
		check(t, err)
	})
	for i, name := range reloadBackends {
		r.backends, r.in = append(r.backends, startBackend(t, string(name))), append(r.in, i < 2)
		r.register(i)
	}
	for i := range 2 {
		check(t, r.agent.Put(fmt.Sprint("reload/", i), "0"))
	}
	for _, dir := range []string{"in", "parts", "out"} {
		check(t, os.Mkdir(filepath.Join(r.nginx.dir, dir), 0o755))
	}
	for _, name := range r.templates() {
		r.nginx.write(name, r.textOf(name))
	}
	r.nginx.write("conf.d/server.conf", fmt.Sprintf(nginxServer, r.listen))
	r.nginx.write("render.hcl", r.config())
	renderOnce(t, r.nginx.dir, "--config", "render.hcl", "--consul-addr", r.agent.Addr, "--command-env-custom", "FIRST=1")
	return r
}

func (r *reloadRig) instance(i int) string { return fmt.Sprint("reload-", reloadBackends[i:i+1]) }

func (r *reloadRig) register(i int) {
	r.t.Helper()
	b, status := r.backends[i], "critical"
	if r.in[i] {
		status = "passing"
	}
	check(r.t, r.agent.Register("reload", r.instance(i), b.host, b.port, status))
}

// passing returns the names of the backends that requests should go to.
func (r *reloadRig) passing() (names []string) {
	for i, in := range r.in {
		if in {
			names = append(names, reloadBackends[i:i+1])
		}
	}
	return names
}

func (r *reloadRig) templates() []string {
	return []string{"in/upstream", "in/map", "in/page", "in/extra", "parts/label"}
}

// textOf returns a new good text of a template or a partial.
func (r *reloadRig) textOf(name string) string {
	r.version++
	comment := fmt.Sprintf("# version %d\n", r.version)
	switch name {
	case "in/upstream":
		return comment + strings.ReplaceAll(upstream, `"nginx"`, `"reload"`)
	case "in/map":
		return comment + `map $host $reload { default "{{key "reload/0"}}"; }` + "\n"
	case "parts/label":
		return fmt.Sprintf(`{{define "label"}}label %d{{end}}`, r.version)
	}
	return comment + `{{template "label"}} {{key "reload/0"}} {{key "reload/1"}}` + "\n"
}

// config returns the configuration file.
func (r *reloadRig) config() string {
	r.version++
	perms := "perms = " + r.settings.perms
	b := new(strings.Builder)
	fmt.Fprintf(b, "# version %d\npartials = [\"parts\"]\n", r.version)
	template := func(source, destination, more string) {
		fmt.Fprintf(b, "template {\n\tsource = %q\n\tdestination = %q\n\t%s\n}\n", source, destination, more)
	}
	template("in/upstream", "conf.d/upstream.conf", `action = "nginx"`)
	template("in/map", "conf.d/map.conf", `action = "nginx"`+"\n\t"+perms)
	template("in/page", "out/page", perms)
	if r.settings.extra {
		template("in/extra", "out/extra", `command = "true"`)
	}
	// A run before nginx has nothing to reload.
	fmt.Fprintf(b, "action \"nginx\" {\n\tspacing = %q\n\tcheck = %q\n\tcommand = %q\n}\n",
		r.settings.spacing, r.nginx.command("-t"), `test -n "$FIRST" || `+r.nginx.command("-s reload"))
	return b.String()
}

func (r *reloadRig) changeKey() {
	r.version++
	check(r.t, r.agent.Put(fmt.Sprint("reload/", r.random.IntN(2)), fmt.Sprint(r.version)))
}

// changeService has a backend come or go, but not the last one.
func (r *reloadRig) changeService() {
	i := r.random.IntN(len(r.backends))
	if r.in[i] = !r.in[i]; len(r.passing()) == 0 {
		r.in[i] = true
	} else if !r.in[i] {
		r.removals++
	}
	r.register(i)
}

func (r *reloadRig) changeConfig() {
	s := &r.settings
	switch r.random.IntN(5) {
	case 0, 1:
		s.extra = !s.extra
	case 2:
		s.perms = map[string]string{"0644": "0600", "0600": "0644"}[s.perms]
	case 3:
		s.spacing = map[string]string{"100ms": "200ms", "200ms": "100ms"}[s.spacing]
	default: // the comment only
	}
	r.put("render.hcl", r.config())
	r.daemon.signal(syscall.SIGHUP)
}

func (r *reloadRig) breakConfig() {
	text := r.config()
	switch r.random.IntN(3) {
	case 0:
		text = strings.TrimSuffix(text, "}\n")
	case 1:
		text += "what = 1\n"
	default:
		text = strings.ReplaceAll(text, `action = "nginx"`, `action = "apache"`)
	}
	r.put("render.hcl", text)
	r.daemon.signal(syscall.SIGHUP)
}

// eachOnce does once, and waits for, what random steps may happen not to do.
func (r *reloadRig) eachOnce() {
	r.t.Helper()
	for _, once := range []struct {
		change func()
		text   string
	}{
		{r.breakConfig, "reload failed"},
		{r.changeConfig, "configuration reloaded"},
		{func() { r.change("in/page", false) }, "templates changed"},
		{r.changeService, "-s reload"},
	} {
		once.change()
		awaits(r.t, r.daemon.saying(once.text))
	}
	awaits(r.t, r.asDryRun)
}

func (r *reloadRig) anyTemplate() string {
	all := r.templates()
	return all[r.random.IntN(len(all))]
}

func (r *reloadRig) changeTemplate() { r.change(r.anyTemplate(), false) }

func (r *reloadRig) breakTemplate() { r.change(r.anyTemplate(), true) }

// fix fixes all templates that are broken.
func (r *reloadRig) fix() {
	for _, name := range slices.Sorted(maps.Keys(r.broken)) {
		r.change(name, false)
	}
}

// rest waits for longer than it takes to notice that a template has changed.
func (r *reloadRig) rest() { <-time.After(700 * time.Millisecond) }

func (r *reloadRig) change(name string, broken bool) {
	text := r.textOf(name)
	if delete(r.broken, name); broken {
		r.broken[name] = true
		text += "{{ if"
	}
	r.put(name, text)
}

// put writes a file in place, or puts another in its place.
func (r *reloadRig) put(name, text string) {
	if r.random.IntN(2) == 0 {
		r.nginx.write(name, text)
		return
	}
	path := filepath.Join(r.nginx.dir, name)
	write(r.t, filepath.Join(r.nginx.dir, "new"), text)
	check(r.t, os.Rename(filepath.Join(r.nginx.dir, "new"), path))
}

// asDryRun returns an error where files are not what a dry run of the configuration gives.
func (r *reloadRig) asDryRun() error {
	cmd := exec.Command("render", "--once", "--dry", "--timeout", patience.String(), "--config", "render.hcl", "--consul-addr", r.agent.Addr)
	cmd.Dir = r.nginx.dir
	var said bytes.Buffer
	cmd.Stderr = &said
	want, err := cmd.Output()
	if err != nil {
		return fmt.Errorf("%w: %s", err, &said)
	}
	perms := map[string]string{"conf.d/upstream.conf": "0644", "conf.d/map.conf": r.settings.perms, "out/page": r.settings.perms}
	names := []string{"conf.d/upstream.conf", "conf.d/map.conf", "out/page"}
	if r.settings.extra {
		names, perms["out/extra"] = append(names, "out/extra"), "0644"
	}
	var got []byte
	var errs []error
	for _, name := range names {
		path := filepath.Join(r.nginx.dir, name)
		text, err := os.ReadFile(path)
		got = fmt.Appendf(got, "> %s\n%s", name, text)
		if err == nil {
			var info os.FileInfo
			if info, err = os.Stat(path); err == nil && fmt.Sprintf("%#o", info.Mode().Perm()) != perms[name] {
				err = fmt.Errorf("%s has %#o, not %s", name, info.Mode().Perm(), perms[name])
			}
		}
		errs = append(errs, err)
	}
	if !bytes.Equal(got, want) {
		errs = append(errs, fmt.Errorf("there is\n%s\nand not\n%s", got, want))
	}
	return errors.Join(errs...)
}

// leftNothing fails the test where a file or a process is left behind.
func (r *reloadRig) leftNothing() {
	check(r.t, filepath.WalkDir(r.nginx.dir, func(path string, _ fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) { // a file of nginx
			return nil
		}
		if err == nil && strings.HasPrefix(filepath.Base(path), ".render-") {
			err = fmt.Errorf("left behind: %s", path)
		}
		return err
	}))
	awaits(r.t, r.daemon.hasChildren(0))
}

// askedOnce fails the test where a query was read again because of a reload. The list of instances is also read when it has lost one:
// the agent answers from a stream of changes, which leaves out without a word what the token may not read.
func (r *reloadRig) askedOnce() {
	plain, waiting := make(map[string]int), 0
	for _, q := range r.proxy.Requests() {
		if q.URL.Query().Has("index") {
			waiting++
		} else {
			plain[q.URL.Path]++
		}
	}
	for path, removals := range map[string]int{"/v1/health/service/reload": r.removals, "/v1/kv/reload/0": 0, "/v1/kv/reload/1": 0} {
		if n := plain[path]; n < 1 || n > 1+removals {
			r.t.Errorf("%s was read %d times, not once at the start and at most once for each of %d removals", path, n, removals)
		}
		delete(plain, path)
	}
	if len(plain) > 0 {
		r.t.Errorf("other reads: %v", plain)
	}
	r.t.Logf("%d requests that wait for a change", waiting)
}

// openFiles returns how many files and connections a daemon has open.
func openFiles(t *testing.T, d *daemon) int {
	t.Helper()
	all, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", d.cmd.Process.Pid))
	check(t, err)
	return len(all)
}
