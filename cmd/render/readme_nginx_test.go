package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"render/watch/consultest"
)

// unitWord is a word of a command in a unit of systemd.
var unitWord = regexp.MustCompile(`"([^"]*)"|[^\s"]+`)

// The command and the unit that README.md shows lead nginx to the instances of Consul. Programs of the machine are replaced by ones that
// have a folder to themselves: nginx gets its configuration there, and systemctl knows nginx alone.
func TestReadmeNginx(t *testing.T) {
	agent, err := consultest.Start(t.Context(), "")
	check(t, err)
	t.Cleanup(agent.Stop)
	text := readAll(t, "../../README.md")
	template := regexp.MustCompile(`(?m)(?:^    .*\n)+`).FindString(text[strings.Index(text, "Save this text as `upstreams.ctmpl`"):])
	command := regexp.MustCompile(`(?m)^    sudo (render --template .*)$`).FindStringSubmatch(text)
	unit := regexp.MustCompile(`(?m)^    ExecStart=/usr/local/bin/(render .*)$`).FindStringSubmatch(text)
	if command == nil || unit == nil {
		t.Fatal("README.md has no command or no unit")
	}

	backends := make(map[string]*backend)
	for _, name := range []string{"web-1", "web-2", "web-3"} {
		backends[name] = startBackend(t, name)
	}
	register := func(name string) {
		check(t, agent.Register("web", name, backends[name].host, backends[name].port, "passing"))
	}

	for _, test := range []struct {
		name    string
		running bool // nginx runs before render, without a server that uses the upstream
		start   func(inFolder *strings.Replacer) *exec.Cmd
	}{
		{"the command", true, func(inFolder *strings.Replacer) *exec.Cmd {
			return exec.Command("sh", "-c", "exec "+inFolder.Replace(command[1]))
		}},
		{"the unit, with nginx down", false, func(inFolder *strings.Replacer) *exec.Cmd {
			var words []string
			for _, m := range unitWord.FindAllStringSubmatch(inFolder.Replace(unit[1]), -1) {
				if m[1] == "" {
					m[1] = m[0]
				}
				words = append(words, m[1])
			}
			return exec.Command(words[0], words[1:]...)
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			n, addr, systemd := newNginx(t), freeAddr(t), startSystemd(t)
			n.write("upstreams.ctmpl", regexp.MustCompile(`(?m)^    `).ReplaceAllString(template, ""))
			n.installPrograms()
			useUpstream := func() {
				n.write("conf.d/server.conf", strings.Replace(fmt.Sprintf(nginxServer, addr), "http_backend", "web", 1))
			}
			if test.running {
				n.start()
			} else {
				useUpstream()
			}
			register("web-1")
			register("web-2")
			t.Cleanup(func() { check(t, agent.Deregister("web-3")) })

			cmd := test.start(strings.NewReplacer("/etc/nginx/", n.dir+"/", "/etc/render/", n.dir+"/"))
			cmd.Dir, cmd.Env = n.dir, append(os.Environ(), "PATH="+filepath.Join(n.dir, "bin")+":"+os.Getenv("PATH"), "CONSUL_HTTP_ADDR="+agent.Addr)
			var said strings.Builder
			cmd.Stderr = &said
			check(t, cmd.Start())
			end := func() {
				_ = cmd.Process.Signal(syscall.SIGTERM)
				_ = cmd.Wait()
				if t.Failed() {
					t.Logf("render said:\n%s", &said)
				}
			}
			defer end()

			awaits(t, systemd.hears("READY=1"))
			if test.running {
				useUpstream()
				check(t, exec.Command("sh", "-c", n.command("-s reload")).Run())
			}
			web := newClient("http://"+addr, false)
			awaits(t, func() error { return web.answers("web-1", "web-2") })
			register("web-3")
			awaits(t, func() error { return web.answers("web-1", "web-2", "web-3") })
		})
	}
}

// installPrograms puts the programs that README.md uses into the folder bin.
func (n *nginx) installPrograms() {
	n.t.Helper()
	bin := filepath.Join(n.dir, "bin")
	check(n.t, os.Mkdir(bin, 0o755))
	for name, script := range map[string]string{
		"nginx": fmt.Sprintf("#!/bin/sh\nexec %s \"$@\"\n", n.command("")),
		"systemctl": fmt.Sprintf(`#!/bin/sh
[ "$*" = "reload-or-restart nginx" ] || exit 64
if kill -0 "$(cat %[1]s/nginx.pid 2>/dev/null)" 2>/dev/null; then exec nginx -s reload; fi
setsid nginx >/dev/null 2>&1 &
until [ -s %[1]s/nginx.pid ]; do sleep 0.05; done
`, n.dir),
	} {
		check(n.t, os.WriteFile(filepath.Join(bin, name), []byte(script), 0o755))
	}
	n.t.Cleanup(func() { // where systemctl has started it
		text, _ := os.ReadFile(filepath.Join(n.dir, "nginx.pid"))
		pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
		if err != nil || pid < 2 {
			return
		}
		_ = syscall.Kill(pid, syscall.SIGTERM)
		awaits(n.t, func() error {
			if err := syscall.Kill(pid, 0); err == nil {
				return errors.New("nginx runs on")
			}
			return nil
		})
	})
}

// answers returns an error where nginx does not spread requests over just these backends, or a request fails.
func (c *client) answers(names ...string) error {
	got := make(map[string]bool)
	for range 10 * len(names) {
		name, _, err := c.get()
		if err != nil {
			return err
		}
		got[name] = true
	}
	for _, name := range names {
		if !got[name] {
			return fmt.Errorf("nginx never asks %s: %v", name, got)
		}
	}
	if len(got) != len(names) {
		return fmt.Errorf("nginx asks %v, not %q", got, names)
	}
	return nil
}
