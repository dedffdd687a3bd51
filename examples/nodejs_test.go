package examples

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// Whatever is registered, the file is a list of places.
func TestNodeHostile(t *testing.T) {
	for name, catalog := range catalogs(t, "nodejs") {
		text, err := renderExample(t, "nodejs/peers.json.ctmpl", catalog)
		if err != nil {
			t.Fatal(err)
		}
		var peers []struct {
			ID, Address  string
			Port, Weight int
		}
		if err := json.Unmarshal(text, &peers); err != nil || len(peers) == 0 {
			t.Errorf("%s: %v", name, err)
		}
		for _, p := range peers {
			if regexp.MustCompile(`[^\w.:-]`).MatchString(p.Address) || p.Port < 1 {
				t.Errorf("%s: %+v", name, p)
			}
		}
	}
}

// The parts of the example, with servers that fail in all ways.
func TestNodeParts(t *testing.T) {
	t.Parallel()
	cmd := exec.CommandContext(t.Context(), find(t, "node", "nodejs"), "--test")
	cmd.Dir = "nodejs"
	if said, err := cmd.CombinedOutput(); err != nil || !bytes.Contains(said, []byte("pass 5")) {
		t.Errorf("%v\n%s", err, said)
	}
}

// A front that reads the file of render, and one that asks Consul itself, follow instances that come and go. No request fails.
func TestNodeFollows(t *testing.T) {
	t.Parallel()
	node, binary := find(t, "node", "nodejs"), build(t)
	consul := startConsul(t)
	addresses := freeAddresses(t, 6)
	file := filepath.Join(t.TempDir(), "peers.json")

	// Instances, each with a name, which are registered with a check.
	instance := func(i int) *program {
		p := startProgram(t, []string{"NAME=" + fmt.Sprint(i), "PORT=" + portOf(t, addresses[i])}, node, "nodejs/service.js")
		awaitAnswer(t, "http://"+addresses[i])
		return p
	}
	register := func(i int, status string) {
		t.Helper()
		var port int
		fmt.Sscan(portOf(t, addresses[i]), &port)
		if err := consul.Register("web", fmt.Sprint("web-", i), "127.0.0.1", port, status); err != nil {
			t.Fatal(err)
		}
	}
	var instances [4]*program
	for i := range 3 {
		instances[i] = instance(i)
		register(i, "passing")
	}

	fileFront, consulFront := addresses[4], addresses[5]
	startProgram(t, []string{"PORT=" + portOf(t, fileFront), "PEERS=" + file}, binary, "--consul-addr", consul.Addr,
		"--template", "nodejs/peers.json.ctmpl:"+file, "--exec", node+" nodejs/service.js", "--exec-reload-signal", "HUP", "--spacing", "100ms")
	startProgram(t, []string{"PORT=" + portOf(t, consulFront), "PEERS=http://" + consul.Addr}, node, "nodejs/service.js")
	fronts := map[string]*front{"render": askFront(t, fileFront), "consul": askFront(t, consulFront)}

	step := func(what string, want string) {
		t.Helper()
		for name, f := range fronts {
			if got := f.await(want); got != want {
				t.Fatalf("%s: after %s, %s answer and not %s", name, what, got, want)
			}
		}
	}
	step("the start", "0 1 2")
	instances[3] = instance(3)
	register(3, "passing")
	step("a registration", "0 1 2 3")
	register(0, "critical")
	step("a failed check", "1 2 3")
	instances[1].end(syscall.SIGKILL)
	if err := consul.Deregister("web-1"); err != nil {
		t.Fatal(err)
	}
	step("a kill", "2 3")
	instances[2].end(syscall.SIGTERM)
	step("a stop", "3")
	instances[2] = instance(2)
	register(0, "passing")
	step("a return", "0 2 3")
	consul.Stop()
	instances[3].end(syscall.SIGTERM)
	step("a stop while Consul is away", "0 2")

	// The file is there, so a front can start while Consul is away.
	late := freeAddresses(t, 1)[0]
	startProgram(t, []string{"PORT=" + portOf(t, late), "PEERS=" + file}, node, "nodejs/service.js")
	fronts["late"] = askFront(t, late)
	step("a start while Consul is away", "0 2")
	for name, f := range fronts {
		if n, err := f.stop(); err != nil || n == 0 {
			t.Errorf("%s: one of %d requests failed: %v", name, n, err)
		}
	}
}

// A front is a server whose answers are noted all the time.
type front struct {
	cancel context.CancelFunc
	ended  chan struct{}

	mu      sync.Mutex
	answers []string // the last ones
	n       int
	err     error // the first
}

// askFront sends a hundred requests a second, until stop.
func askFront(t *testing.T, address string) *front {
	t.Helper()
	awaitAnswer(t, "http://"+address+"/ask")
	ctx, cancel := context.WithCancel(t.Context())
	f := &front{cancel: cancel, ended: make(chan struct{})}
	go func() {
		defer close(f.ended)
		for tick := time.NewTicker(10 * time.Millisecond); ctx.Err() == nil; <-tick.C {
			answer, err := get("http://" + address + "/ask")
			f.mu.Lock()
			f.n++
			if err != nil && f.err == nil {
				f.err = err
			}
			f.answers = append(f.answers, answer)
			f.answers = f.answers[max(0, len(f.answers)-24):]
			f.mu.Unlock()
		}
	}()
	t.Cleanup(func() { _, _ = f.stop() })
	return f
}

// await waits until the last answers come from the wanted instances, all of them, and returns from which they come.
func (f *front) await(want string) (got string) {
	for end := time.Now().Add(20 * time.Second); got != want && time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		f.mu.Lock()
		var names []string
		for _, name := range []string{"0", "1", "2", "3"} {
			for _, answer := range f.answers {
				if answer == name+"\n" {
					names = append(names, name)
					break
				}
			}
		}
		got = strings.Join(names, " ")
		f.mu.Unlock()
	}
	return got
}

// stop returns the number of requests, and the error of the first that failed.
func (f *front) stop() (int, error) {
	f.cancel()
	<-f.ended
	return f.n, f.err
}

func get(url string) (string, error) {
	response, err := http.Get(url)
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err == nil && response.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s", response.Status, body)
	}
	return string(body), err
}

// awaitAnswer waits until a URL answers with status 200.
func awaitAnswer(t *testing.T, url string) {
	t.Helper()
	var err error
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if _, err = get(url); err == nil {
			return
		}
	}
	t.Fatal(err)
}

// A program runs until the test ends. What it prints is logged where the test fails.
type program struct {
	cmd   *exec.Cmd
	ended chan struct{}
}

func startProgram(t *testing.T, env []string, name string, args ...string) *program {
	t.Helper()
	cmd := exec.Command(name, args...)
	cmd.Env = append(os.Environ(), env...)
	said := new(bytes.Buffer)
	cmd.Stdout, cmd.Stderr = said, said
	cmd.WaitDelay = time.Second
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	p := &program{cmd, make(chan struct{})}
	go func() {
		_ = cmd.Wait()
		close(p.ended)
	}()
	t.Cleanup(func() {
		p.end(syscall.SIGTERM)
		if t.Failed() {
			t.Logf("%s %v %v:\n%s", name, args, env, said)
		}
	})
	return p
}

// end sends a signal, and waits for the end of the program.
func (p *program) end(signal syscall.Signal) {
	_ = p.cmd.Process.Signal(signal)
	select {
	case <-p.ended:
	case <-time.After(20 * time.Second):
		_ = p.cmd.Process.Kill()
		<-p.ended
	}
}
