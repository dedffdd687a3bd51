package main

import (
	"errors"
	"flag"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"render/watch/consultest"
)

var faultLasts = flag.Duration("fault", 3*time.Second, "how long each fault of TestFaults lasts")

// recovers is how soon after the end of a fault the file has what changed meanwhile.
const recovers = 5 * time.Second

// TestFaults puts each fault of the proxy between render and Consul for a while. The file is right all the time: as it
// was, or as it should be. What changes meanwhile is in it soon after.
//
// All faults are at the same time, each with a render of its own; as parallel subtests they would wait for each other.
func TestFaults(t *testing.T) {
	t.Parallel()
	agent := testConsul(t)
	type test struct {
		name    string
		fault   consultest.Fault
		block   bool          // nothing gets through while the fault lasts
		through bool          // all gets through, and soon
		cut     bool          // the end of the fault cuts the requests in flight
		refuses bool          // because there are too many requests: render is careful for a while
		soon    time.Duration // recovers, where that is not 0
		args    []string
	}
	const (
		wait = 5 * time.Second // of the polls that a silent Consul gets; their deadline is a little later
		idle = 1200 * time.Millisecond
	)
	var wg sync.WaitGroup
	for _, tt := range []test{
		{name: "500", fault: consultest.Status(500, 0), block: true},
		{name: "503", fault: consultest.Status(503, 0), block: true, refuses: true},
		{name: "429", fault: consultest.Status(429, 0), block: true, refuses: true},
		{name: "429-retry-after", fault: consultest.Status(429, time.Second), block: true, refuses: true},
		{name: "reset", fault: consultest.Reset, block: true},
		{name: "half", fault: consultest.Half, block: true},
		{name: "html", fault: consultest.HTML, block: true},
		{name: "404", fault: consultest.NotFound, block: true},
		{name: "empty", fault: consultest.Empty},
		{name: "leaderless", fault: consultest.Leaderless(false), block: true},
		{name: "leaderless-empty", fault: consultest.Leaderless(true), block: true},
		{name: "filtered", fault: consultest.Filtered, block: true},
		{name: "dribble", fault: consultest.Dribble(5 * time.Millisecond), cut: true},
		{name: "idle-cut", fault: consultest.Idle(idle, 0), through: true},
		{name: "idle-504", fault: consultest.Idle(idle, 504), through: true},
		{name: "silent", fault: consultest.Silent, block: true, soon: wait + wait/16 + 2*recovers, args: []string{"--block-query-wait", wait.String()}},
	} {
		wg.Go(func() {
			t.Run(tt.name, func(t *testing.T) {
				r := newFaultRig(t, agent, "fault-"+tt.name)
				d := startRender(t, r.dir, append(tt.args, "--consul-addr", r.proxy.Addr, "--template", "in:out")...)
				awaits(t, hasEntry(r.out, "version", 1))
				stop := neverLoses(t, r.out)

				quiet := len(r.proxy.Requests())
				r.proxy.Hit(tt.fault)
				over := time.After(*faultLasts)
				r.change(t, 2)
				if tt.through {
					check(t, within(recovers, r.has(2)))
				}
				<-over
				if tt.block && r.has(2)() == nil {
					t.Error("the change is in the file while the fault lasts: it was none")
				}
				asked := len(r.proxy.Requests()) - quiet
				r.proxy.Set(consultest.Pass)
				if tt.cut {
					r.proxy.Cut()
				}
				ended := time.Now()
				soon := recovers
				if tt.soon > 0 {
					soon = tt.soon
				}
				if err := within(soon, r.has(2)); err != nil {
					t.Fatal(err)
				}
				t.Logf("%d requests in %s; right %s after the end", asked, *faultLasts, time.Since(ended).Round(10*time.Millisecond))
				if most := 40 * faultLasts.Seconds(); asked == 0 && tt.name != "silent" || float64(asked) > most {
					t.Errorf("%d requests while the fault lasted, want some, and %.0f at most", asked, most)
				}

				r.change(t, 3)
				check(t, within(recovers, r.has(3)))
				if !tt.refuses { // then all is as before
					r.change(t, 4)
					check(t, within(recovers, r.has(4)))
				}
				stop()
				d.stop()
			})
		})
	}
	wg.Wait()
}

// TestServerIsBehind has render's reads answered by a server that does not keep up, after it knew better: what it knows
// does not become older.
func TestServerIsBehind(t *testing.T) {
	t.Parallel()
	r := newFaultRig(t, testConsul(t), "behind")
	behind := consultest.Behind()
	r.proxy.Set(behind)
	d := startRender(t, r.dir, "--consul-addr", r.proxy.Addr, "--template", "in:out")
	awaits(t, r.has(1))
	r.proxy.Set(consultest.Pass)
	r.proxy.Cut()
	r.change(t, 2)
	awaits(t, r.has(2))
	stop := neverLoses(t, r.out)

	quiet := len(r.proxy.Requests())
	r.proxy.Hit(consultest.Status(500, 0)) // after it, all is asked anew
	awaits(t, d.saying("answered 500"))
	r.proxy.Set(behind)
	r.change(t, 3)
	<-time.After(*faultLasts)
	asked := len(r.proxy.Requests()) - quiet
	r.proxy.Set(consultest.Pass)
	r.proxy.Cut() // a server that is cut off from the others may hold its polls for as long as they wait
	check(t, within(recovers, r.has(3)))
	if most := 40 * faultLasts.Seconds(); asked == 0 || float64(asked) > most {
		t.Errorf("%d requests, want some, and %.0f at most", asked, most)
	}
	stop()
	d.stop()
}

// A faultRig is a folder with a template over a service and keys, which are in Consul, and a proxy before that.
type faultRig struct {
	agent *consultest.Agent
	proxy *consultest.Proxy
	name  string // of the service, and before those of the keys
	dir   string
	out   string // what the template is rendered to: a ledger
	last  int    // version
}

func newFaultRig(t *testing.T, agent *consultest.Agent, name string) *faultRig {
	t.Helper()
	dir := t.TempDir()
	r := &faultRig{agent: agent, proxy: consultest.NewProxy(agent.Addr), name: name, dir: dir, out: filepath.Join(dir, "out")}
	t.Cleanup(func() { // the Consul may be shared
		r.proxy.Close()
		for version := range r.last + 1 {
			check(t, agent.Deregister(r.instance(version)))
		}
		_, err := agent.Client.KV().DeleteTree(name+"/", nil)
		check(t, err)
	})
	write(t, filepath.Join(dir, "in"), strings.ReplaceAll(`{{range service "NAME"}}{{.ID}} {{.Port}}
{{end}}{{range ls "NAME"}}{{.Key}} {{.Value}}
{{end}}version {{key "NAME/version"}}
end
`, "NAME", name))
	r.change(t, 0)
	r.change(t, 1)
	return r
}

// change writes a version: its number, and one more key and instance.
func (r *faultRig) change(t *testing.T, version int) {
	t.Helper()
	r.last = version
	check(t, r.agent.Register(r.name, r.instance(version), fmt.Sprint("10.0.0.", version), 80, "passing"))
	check(t, r.agent.Put(fmt.Sprint(r.name, "/key-", version), fmt.Sprint(version)))
	check(t, r.agent.Put(r.name+"/version", fmt.Sprint(version)))
}

func (r *faultRig) instance(version int) string { return fmt.Sprint(r.name, "-", version) }

// has returns the condition that a version is in the file as a whole.
func (r *faultRig) has(version int) func() error {
	return func() error {
		return errors.Join(
			hasEntry(r.out, "version", version)(),
			hasEntry(r.out, fmt.Sprint("key-", version), version)(),
			hasEntry(r.out, r.instance(version), 80)(),
		)
	}
}

// TestConsulIsWiped restarts a Consul that keeps no data: its indexes begin anew, below those that render knows.
func TestConsulIsWiped(t *testing.T) {
	t.Parallel()
	agent, dir := ownConsul(t), t.TempDir()
	out := filepath.Join(dir, "out")
	for i := range 200 {
		check(t, agent.Put("wiped", fmt.Sprint("old ", i)))
	}
	check(t, agent.Register("wiped", "wiped-1", "10.0.0.1", 80, "passing"))
	write(t, filepath.Join(dir, "in"), `{{range service "wiped"}}{{.Address}} {{end}}{{key "wiped"}}`)
	d := startRender(t, dir, "--consul-addr", agent.Addr, "--template", "in:out")
	awaits(t, contains(out, "10.0.0.1 old 199"))

	for life := 2; life <= 3; life++ {
		agent.Stop()
		check(t, agent.Restart(t.Context()))
		check(t, agent.Register("wiped", "wiped", fmt.Sprint("10.0.0.", life), 80, "passing"))
		check(t, agent.Put("wiped", fmt.Sprint("life ", life)))
		if err := within(recovers, contains(out, fmt.Sprintf("10.0.0.%d life %d", life, life))); err != nil {
			t.Fatal(err)
		}
	}
	d.stop()
}

// TestDatacenterIsAway has a datacenter that does not answer, at the start and later: only files that ask it wait.
func TestDatacenterIsAway(t *testing.T) {
	t.Parallel()
	const prompt = 3 * time.Second
	agent := testConsul(t)
	inDC2 := func(r *http.Request) bool { return r.URL.Query().Get("dc") == "dc2" }
	// The other datacenter is this one under another name.
	here := consultest.Fault(func(w http.ResponseWriter, r *http.Request, agent http.Handler) {
		r = r.Clone(r.Context())
		r.URL.RawQuery = strings.Replace(r.URL.RawQuery, "dc=dc2", "dc=dc1", 1)
		agent.ServeHTTP(w, r)
	}).Where(inDC2)
	var wg sync.WaitGroup
	for _, tt := range []struct {
		name  string
		fault consultest.Fault
	}{
		{"500", consultest.Status(500, 0)},
		{"429", consultest.Status(429, 0)},
		{"reset", consultest.Reset},
		{"silent", consultest.Silent},
	} {
		wg.Go(func() {
			t.Run(tt.name, func(t *testing.T) {
				r := newFaultRig(t, agent, "datacenter-"+tt.name)
				away := filepath.Join(r.dir, "away")
				text := new(strings.Builder)
				for i := range 20 { // more than a few failing queries
					fmt.Fprintf(text, "{{range service \"%s-%d@dc2\"}}{{end}}", r.name, i)
				}
				fmt.Fprintf(text, "{{range service \"%s@dc2\"}}{{.ID}} {{.Port}}\n{{end}}version {{key \"%[1]s/version\"}}\nend\n", r.name)
				write(t, filepath.Join(r.dir, "away.in"), text.String())

				r.proxy.Set(tt.fault.Where(inDC2))
				d := startRender(t, r.dir, "--consul-addr", r.proxy.Addr, "--template", "in:out", "--template", "away.in:away")
				awaits(t, r.has(1))
				promptly := func(version int, path string) {
					t.Helper()
					r.change(t, version)
					if err := within(prompt, hasEntry(path, "version", version)); err != nil {
						t.Fatal(err)
					}
				}
				pace := time.Tick(500 * time.Millisecond)
				for version := 2; version <= 6; version++ {
					<-pace
					promptly(version, r.out)
				}
				if _, err := os.Stat(away); err == nil {
					t.Error("a file was rendered without its data")
				}

				r.proxy.Set(here)
				r.proxy.Cut()
				check(t, within(recovers, hasEntry(away, "version", 6)))
				check(t, hasEntry(away, r.instance(6), 80)())
				stop := neverLoses(t, away)
				r.proxy.Hit(tt.fault.Where(inDC2))
				for version := 7; version <= 11; version++ {
					<-pace
					promptly(version, r.out)
					promptly(version, away) // the key is of this datacenter; the instances are the last known
				}
				stop()
				d.stop()
			})
		})
	}
	wg.Wait()
}

// TestPermissionIsLost takes a token's right to read services away, and gives it back.
func TestPermissionIsLost(t *testing.T) {
	t.Parallel()
	const keys, all = `key_prefix "" { policy = "read" }`, `
		key_prefix "" { policy = "read" }
		node_prefix "" { policy = "read" }
		service_prefix "" { policy = "read" }`
	agent, err := consultest.StartACL(t.Context(), "")
	check(t, err)
	t.Cleanup(agent.Stop)
	policy, err := agent.NewPolicy("reader", all)
	check(t, err)
	token, err := policy.NewToken()
	check(t, err)
	r := newFaultRig(t, agent, "permission")
	// An agent that streams changes tells no more of what the token may not read, and not why, but with the end of the wait
	// that there is nothing.
	d := startRender(t, r.dir, "--consul-addr", agent.Addr, "--consul-token", token, "--block-query-wait", "2s", "--template", "in:out")
	awaits(t, r.has(1))
	stop := neverLoses(t, r.out)

	check(t, policy.Set(keys))
	r.change(t, 2)
	awaits(t, hasEntry(r.out, "version", 2)) // what it may read goes on
	r.change(t, 3)
	awaits(t, d.saying("service:read"))
	awaits(t, hasEntry(r.out, "version", 3))

	check(t, policy.Set(all))
	if err := within(recovers, r.has(3)); err != nil {
		t.Fatal(err)
	}
	r.change(t, 4)
	awaits(t, r.has(4))
	stop()
	d.stop()

	t.Run("once with an unknown token", func(t *testing.T) {
		cmd := exec.Command("render", "--once", "--timeout", patience.String(), "--consul-addr", agent.Addr,
			"--consul-token", "22222222-2222-2222-2222-222222222222", "--template", "in:once")
		cmd.Dir = r.dir
		began := time.Now()
		said, _ := cmd.CombinedOutput()
		if took := time.Since(began); took > 3*time.Second {
			t.Errorf("it took %s", took)
		}
		if code := cmd.ProcessState.ExitCode(); code != exitFailed || !strings.Contains(string(said), "ACL not found") {
			t.Errorf("exited %d, want %d and a hint:\n%s", code, exitFailed, said)
		}
	})
}

// TestHTTPS renders more services than a stock agent allows connections.
func TestHTTPS(t *testing.T) {
	t.Parallel()
	const services, connections = 300, 20
	agent, tls, err := consultest.StartTLS(t.Context(), t.TempDir(), "limits { http_max_conns_per_client = 200 }")
	check(t, err)
	t.Cleanup(agent.Stop)
	dir := t.TempDir()
	out := filepath.Join(dir, "out")
	text := new(strings.Builder)
	for i := range services {
		name := fmt.Sprint("https-", i)
		check(t, agent.Register(name, name, "10.0.0.1", 80, "passing"))
		fmt.Fprintf(text, "{{range service %q}}{{.ID}} {{.Port}}\n{{end}}", name)
	}
	text.WriteString("end\n")
	write(t, filepath.Join(dir, "in"), text.String())
	d := startRender(t, dir, "--consul-addr", "https://"+tls.Addr, "--consul-ssl-ca-cert", tls.CA, "--template", "in:out")
	awaits(t, hasEntry(out, fmt.Sprint("https-", services-1), 80))
	entries, err := readLedger(out)
	check(t, err)
	if len(entries) != services {
		t.Errorf("%d services in the file, want %d", len(entries), services)
	}
	for i := range 5 {
		id := fmt.Sprint("https-new-", i)
		check(t, agent.Register(fmt.Sprint("https-", i*services/5), id, "10.0.0.2", 80, "passing"))
		if err := within(recovers, hasEntry(out, id, 80)); err != nil {
			t.Error(err)
		}
	}
	if n := connectionsTo(t, tls.Addr); n > connections {
		t.Errorf("%d connections for %d queries, want at most %d", n, services, connections)
	} else {
		t.Logf("%d connections", n)
	}
	d.stop()
}

// TestClientCertificate asks an agent that demands a certificate.
func TestClientCertificate(t *testing.T) {
	t.Parallel()
	agent, tls, err := consultest.StartTLS(t.Context(), t.TempDir(), consultest.DemandCertificate)
	check(t, err)
	t.Cleanup(agent.Stop)
	check(t, agent.Put("certificate", "value"))
	dir := t.TempDir()
	write(t, filepath.Join(dir, "in"), `{{key "certificate"}}`)
	once := []string{"--consul-addr", "https://" + tls.Addr, "--consul-ssl-ca-cert", tls.CA, "--template", "in:out"}

	without := exec.Command("render", append(once, "--once", "--timeout", "2s")...)
	without.Dir = dir
	if said, err := without.CombinedOutput(); err == nil {
		t.Fatalf("it was served without a certificate:\n%s", said)
	}
	renderOnce(t, dir, append(once, "--consul-ssl-cert", tls.Cert, "--consul-ssl-key", tls.Key)...)
	check(t, contains(filepath.Join(dir, "out"), "value")())
}

// connectionsTo returns how many connections to an address on loopback are open.
func connectionsTo(t *testing.T, addr string) int {
	t.Helper()
	if runtime.GOOS != "linux" {
		t.Log("only on linux connections are counted")
		return 0
	}
	b, err := os.ReadFile("/proc/net/tcp")
	check(t, err)
	var port int
	_, err = fmt.Sscanf(addr, "127.0.0.1:%d", &port)
	check(t, err)
	return strings.Count(string(b), fmt.Sprintf(" 0100007F:%04X 01 ", port))
}
