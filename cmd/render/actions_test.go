package main

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
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
