package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestListen has a render listen at a socket and a port. A taken port ends the start with its place, and is a warning at a reload; a
// dry run beside it with the same configuration leaves the socket alone.
func TestListen(t *testing.T) {
	t.Parallel()
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	check(t, err)
	defer taken.Close()
	dir, free := t.TempDir(), freeAddr(t)
	config, socket := filepath.Join(dir, "render.hcl"), filepath.Join(dir, "s")
	settings := func(addr string) string {
		return "fixture = \"data.yaml\"\nlisten {\n  address = \"unix://" + socket + ", " + addr + "\"\n  mode = \"0660\"\n}\ntemplate {\n  contents = \"x\"\n  destination = \"out\"\n}\n"
	}
	write(t, filepath.Join(dir, "data.yaml"), "keys: {a: 1}")

	write(t, config, settings(taken.Addr().String()))
	cmd := exec.Command("render", "--config", "render.hcl")
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	if err == nil || !strings.Contains(string(out), "render.hcl:3:3: "+taken.Addr().String()+": another program listens at this address") {
		t.Errorf("%v: %s", err, out)
	}

	write(t, config, strings.Replace(settings(free), "  mode", "  hosts = [\"render.example:9820\"]\n  mode", 1))
	cmd = exec.Command("render", "--config", "render.hcl")
	cmd.Dir = dir
	out, err = cmd.CombinedOutput()
	if err == nil || !strings.Contains(string(out), `render.hcl:4:3: listen.hosts: "render.example:9820" is not a host name`) {
		t.Errorf("%v: %s", err, out)
	}

	write(t, config, settings(free))
	d := startRender(t, dir, "--config", "render.hcl")
	bySocket := &http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", socket)
	}}}
	isServed := func() error {
		for _, ask := range []func() (*http.Response, error){
			func() (*http.Response, error) { return http.Get("http://" + free + "/api/v1/status") },
			func() (*http.Response, error) { return bySocket.Get("http://render/api/v1/status") },
		} {
			answer, err := ask()
			if err != nil {
				return err
			}
			body, err := io.ReadAll(answer.Body)
			_ = answer.Body.Close()
			if err != nil || answer.StatusCode != http.StatusOK || !strings.Contains(string(body), `"line":"the file is applied"`) {
				return fmt.Errorf("%v: %s %s", err, answer.Status, body)
			}
		}
		return nil
	}
	awaits(t, isServed)
	if info, err := os.Stat(socket); err != nil || info.Mode().Perm() != 0o660 {
		t.Errorf("the socket: %v, %v", info, err)
	}

	dry := exec.Command("render", "--config", "render.hcl", "--dry", "--once")
	dry.Dir = dir
	if out, err := dry.CombinedOutput(); err != nil {
		t.Errorf("a dry run: %v: %s", err, out)
	}
	second := exec.Command("render", "--config", "render.hcl")
	second.Dir = dir
	if out, err := second.CombinedOutput(); err == nil || !strings.Contains(string(out), "in use by another process") {
		t.Errorf("a second render: %v: %s", err, out)
	}

	write(t, config, strings.Replace(settings(taken.Addr().String()), `"x"`, `"y"`, 1))
	d.signal(syscall.SIGHUP)
	awaits(t, d.saying("status page not moved; it stays where it was"))
	awaits(t, contains(filepath.Join(dir, "out"), "y"))
	awaits(t, isServed)
	d.stop()
	if _, err := os.Lstat(socket); !os.IsNotExist(err) {
		t.Errorf("the socket stays behind: %v", err)
	}
}

// A reload of listen while a command runs moves the status page at once, with its token, from and to forms of the same port. The command and
// its commit do not notice.
func TestListenDuringCommit(t *testing.T) {
	t.Parallel()
	dir, addr := t.TempDir(), freeAddr(t)
	_, port, err := net.SplitHostPort(addr)
	check(t, err)
	write(t, filepath.Join(dir, "data.yaml"), "keys: {a: 1}")
	write(t, filepath.Join(dir, "token"), "a token of some length")
	listens := func(settings string) {
		write(t, filepath.Join(dir, "render.hcl"), "fixture = \"data.yaml\"\nlisten {\n"+settings+"\n}\ntemplate {\n  contents = \"x\"\n  destination = \"out\"\n"+
			"  command = \"until [ -e go ]; do sleep 0.02; done; echo ran >>runs\"\n  command_timeout = \"5m\"\n}\n")
	}
	states := func(address, token, want string) func() error {
		return func() error {
			r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+address+"/api/v1/actions", nil)
			check(t, err)
			if token != "" {
				r.Header.Set("Authorization", "Bearer "+token)
			}
			answer, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Do(r)
			if err != nil {
				return err
			}
			defer answer.Body.Close()
			body, err := io.ReadAll(answer.Body)
			if err != nil || !strings.Contains(answer.Status+string(body), want) {
				return fmt.Errorf("%s: %v: %s %s", address, err, answer.Status, body)
			}
			return nil
		}
	}

	listens(`address = "` + addr + `"`)
	d := startRender(t, dir, "--config", "render.hcl")
	const committing = `"state":"committing"`
	awaits(t, states(addr, "", committing))
	events, err := http.Get("http://" + addr + "/api/v1/events")
	check(t, err)
	defer events.Body.Close()
	for i, reload := range []struct{ settings, token string }{
		{`address = "localhost:` + port + `"` + "\n  token_file = \"token\"", "a token of some length"},
		{`address = "0.0.0.0:` + port + `"` + "\n  token_file = \"token\"\n  insecure = true", "a token of some length"},
		{`address = "127.0.0.1:` + port + `"`, ""},
	} {
		listens(reload.settings)
		d.signal(syscall.SIGHUP)
		awaits(t, func() error { // or it may read a file that the next turn writes
			if n := strings.Count(d.said(), "settings changed"); n != i+1 {
				return fmt.Errorf("%d reloads", n)
			}
			return nil
		})
		awaits(t, states(addr, reload.token, committing))
		if reload.token != "" {
			awaits(t, states(addr, "", "401"))
		}
	}
	ended := make(chan error, 1)
	go func() {
		_, err := io.Copy(io.Discard, events.Body)
		ended <- err
	}()
	select {
	case <-ended: // it had no right any longer, or its address has gone
	case <-time.After(30 * time.Second):
		t.Error("a stream of events of the first settings goes on")
	}

	write(t, filepath.Join(dir, "go"), "")
	awaits(t, states(addr, "", `"state":"in_sync"`))
	if err := contains(filepath.Join(dir, "runs"), "ran\n")(); err != nil {
		t.Error(err)
	}
	d.stop()
	if said := d.said(); strings.Contains(said, "not moved") || strings.Contains(said, "lost") {
		t.Errorf("it said %s", said)
	}
}
