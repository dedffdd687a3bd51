package examples

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hashicorp/consul/api"
)

func TestHAProxyAccepts(t *testing.T) {
	binary := find(t, "haproxy", "haproxy")
	all := catalogs(t, "haproxy")
	editCatalog(t, all["hostile"], func(data *catalogData) {
		data.Keys = map[string]string{"haproxy/domain": "example.com", "haproxy/hosts/a b": "web", "haproxy/hosts/a": "web x", "haproxy/hosts/a\nb": "web"}
		for _, instances := range data.Services {
			for i, instance := range instances {
				id := instance["id"].(string)
				instance["tags"] = [][]string{{id}, {"sticky", id}, {"canary"}, {"sticky", "backup"}}[i%4]
				instance["status"] = []string{"passing", "warning", "passing", "maintenance"}[i%4]
				instance["meta"] = map[string]string{"maxconn": id, "health": id}
				if i%2 == 1 {
					instance["meta"] = map[string]string{"maxconn": "10", "health": "/x" + id}
				}
			}
		}
	})
	for name, catalog := range all {
		t.Run(name, func(t *testing.T) {
			conf, err := renderExample(t, "haproxy/haproxy.ctmpl", catalog)
			if err != nil {
				t.Fatal(err)
			}
			checkLines(t, conf, haproxyLine)
			if name == "hostile" && !bytes.Contains(conf, []byte(" 10.0.0.1:80 ")) {
				t.Error("the good instance of web is gone")
			}
			hosts, err := renderExample(t, "haproxy/hosts.map.ctmpl", catalog)
			if err != nil {
				t.Fatal(err)
			}
			checkLines(t, hosts, regexp.MustCompile(`^(?:[a-z0-9_.-]+ [a-z0-9_-]+(?:\.canary)?)?$`))
			path := filepath.Join(t.TempDir(), "haproxy.cfg")
			write(t, filepath.Join(filepath.Dir(path), "hosts.map"), hosts)
			write(t, path, bytes.ReplaceAll(conf, []byte("/etc/haproxy"), []byte(filepath.Dir(path))))
			run(t, binary, "-c", "-f", path)
		})
	}
}

// While HAProxy is reloaded again and again, an instance is drained and another one ends, no request fails, and sticky clients
// stay where they are.
func TestHAProxyReloads(t *testing.T) {
	t.Parallel()
	haproxy, binary := find(t, "haproxy", "haproxy"), build(t)
	consul := startConsul(t)
	if err := consul.Put("haproxy/domain", "example.com"); err != nil {
		t.Fatal(err)
	}
	agent := consul.Client.Agent()
	servers := make(map[string]*httptest.Server)
	for _, id := range []string{"a", "b", "c"} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, id) }))
		t.Cleanup(server.Close)
		servers[id] = server
		port, err := strconv.Atoi(portOf(t, server.Listener.Addr().String()))
		if err != nil {
			t.Fatal(err)
		}
		registration := &api.AgentServiceRegistration{Name: "shop", ID: id, Address: "127.0.0.1", Port: port, Tags: []string{"sticky"}}
		if err := agent.ServiceRegister(registration); err != nil {
			t.Fatal(err)
		}
	}

	dir, front := t.TempDir(), freeAddresses(t, 1)[0]
	text, err := os.ReadFile("haproxy/haproxy.ctmpl")
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "haproxy.ctmpl"), bytes.ReplaceAll(text, []byte("bind :8080"), []byte("bind "+front)))
	hosts, err := filepath.Abs("haproxy/hosts.map.ctmpl")
	if err != nil {
		t.Fatal(err)
	}
	cfg := filepath.Join(dir, "haproxy.cfg")
	write(t, filepath.Join(dir, "render.hcl"), fmt.Appendf(nil, `
template {
  source      = %q
  destination = %q
  action      = "haproxy"
}
template {
  source      = %q
  destination = %q
  action      = "haproxy"
}
action "haproxy" {
  check   = %q
  atomic  = true
  spacing = "200ms"
}
`, filepath.Join(dir, "haproxy.ctmpl"), cfg, hosts, filepath.Join(dir, "hosts.map"), haproxy+" -c -f "+cfg))
	startProgram(t, []string{"HAPROXY=" + dir}, binary, "--consul-addr", consul.Addr, "--config", filepath.Join(dir, "render.hcl"),
		"--exec", haproxy+" -W -f "+cfg, "--exec-reload-signal", "USR2")

	const shop = "shop.example.com"
	ask := func(client *http.Client, host string) string {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+front+"/", nil)
		if err != nil {
			t.Fatal(err)
		}
		request.Host = host
		response, err := client.Do(request)
		if err != nil {
			return err.Error()
		}
		defer response.Body.Close()
		body, err := io.ReadAll(response.Body)
		if err != nil || response.StatusCode != http.StatusOK {
			return fmt.Sprint(response.Status, err)
		}
		return string(body)
	}
	await := func(what string, ok func() bool) {
		t.Helper()
		for end := time.Now().Add(20 * time.Second); !ok(); time.Sleep(20 * time.Millisecond) {
			if time.Now().After(end) {
				t.Fatalf("%s does not happen", what)
			}
		}
	}
	fresh := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	// answering returns which servers answer new clients.
	answering := func() string {
		seen := make(map[string]bool)
		for range 12 {
			seen[ask(fresh, shop)] = true
		}
		var names []string
		for _, id := range []string{"a", "b", "c"} {
			if seen[id] {
				names = append(names, id)
				delete(seen, id)
			}
		}
		return strings.Join(names, " ") + strings.Repeat("?", len(seen))
	}
	await("the start", func() bool { return answering() == "a b c" })

	sticky := new(http.Client)
	await("a session with a", func() bool {
		if sticky.Jar, err = cookiejar.New(nil); err != nil {
			t.Fatal(err)
		}
		return ask(sticky, shop) == "a"
	})

	// Clients with a connection that stays open, with one for each request, and with the cookie of a server.
	var failed atomic.Value
	ctx, stop := context.WithCancel(t.Context())
	var clients sync.WaitGroup
	var requests atomic.Int64
	for _, client := range []*http.Client{fresh, {Transport: &http.Transport{}}, sticky} {
		clients.Go(func() {
			for ctx.Err() == nil {
				requests.Add(1)
				answer := ask(client, shop)
				if len(answer) != 1 || client == sticky && answer != "a" {
					failed.CompareAndSwap(nil, answer)
				}
				time.Sleep(3 * time.Millisecond)
			}
		})
	}
	// A client that does not repeat a request by itself, as Go's does when a connection that stayed open turns out to be closed.
	clients.Go(func() {
		for ctx.Err() == nil {
			if err := askUntilClosed(ctx, front, shop); err != nil {
				failed.CompareAndSwap(nil, err.Error())
			}
		}
	})
	if err := agent.EnableServiceMaintenance("a", "update"); err != nil {
		t.Fatal(err)
	}
	await("draining", func() bool { return answering() == "b c" })
	for _, backend := range []string{"shop", "nope", "shop"} {
		if err := consul.Put("haproxy/hosts/www.example.org", backend); err != nil {
			t.Fatal(err)
		}
		await("a reload", func() bool { return (len(ask(fresh, "www.example.org")) == 1) == (backend == "shop") })
	}
	servers["b"].Config.SetKeepAlivesEnabled(false)
	servers["b"].Close()
	await("the end of b", func() bool { return answering() == "c" })
	if err := agent.ServiceDeregister("b"); err != nil {
		t.Fatal(err)
	}
	if err := agent.DisableServiceMaintenance("a"); err != nil {
		t.Fatal(err)
	}
	await("the return of a", func() bool { return answering() == "a c" })
	stop()
	clients.Wait()
	if answer := failed.Load(); answer != nil || requests.Load() < 100 {
		t.Errorf("one of %d requests got %q", requests.Load(), answer)
	}
}

// askUntilClosed sends requests over one connection until an answer says that it is the last one. A connection that is closed before an
// answer is an error.
func askUntilClosed(ctx context.Context, address, host string) error {
	conn, err := net.Dial("tcp", address)
	if err != nil {
		return err
	}
	defer conn.Close()
	reader := bufio.NewReader(conn)
	for ctx.Err() == nil {
		if _, err := fmt.Fprintf(conn, "GET / HTTP/1.1\r\nHost: %s\r\n\r\n", host); err != nil {
			return err
		}
		response, err := http.ReadResponse(reader, nil)
		if err != nil {
			return err
		}
		_, err = io.Copy(io.Discard, response.Body)
		response.Body.Close()
		if err != nil || response.StatusCode != http.StatusOK {
			return fmt.Errorf("%s: %v", response.Status, err)
		}
		if response.Close {
			return nil
		}
		time.Sleep(20 * time.Millisecond)
	}
	return nil
}
