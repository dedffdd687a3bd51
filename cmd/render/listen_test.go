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
