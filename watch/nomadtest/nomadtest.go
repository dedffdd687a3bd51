// Package nomadtest starts real Nomad agents for tests.
package nomadtest

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"render/watch/servertest"
)

// Binary returns the nomad program, which $NOMAD names. Without it the test is skipped: the program takes minutes to build.
func Binary(t testing.TB) string {
	t.Helper()
	path := os.Getenv("NOMAD")
	if path == "" {
		t.Skip("there is no Nomad to test with: make test-nomad builds one and runs these tests, $NOMAD names one")
	}
	return path
}

// An Agent is a running Nomad on loopback, a server and a client in one, that keeps its data in files: they survive a restart. It has
// ACLs.
type Agent struct {
	Addr  string // http://host:port, or https
	Token string // that may do everything
	Files Files  // of an agent with TLS

	client  *http.Client
	data    string // folder
	process servertest.Process
}

// Start starts an agent that ends with the test. Where $NOMAD is not set the test is skipped.
func Start(t testing.TB) *Agent {
	t.Helper()
	return start(t, "")
}

// StartTLS is Start for an agent of a region that speaks TLS, and accepts clients with a certificate of its authority only.
func StartTLS(t testing.TB, region string) *Agent {
	t.Helper()
	return start(t, region)
}

// start starts an agent: of a region and with TLS unless region is empty.
func start(t testing.TB, region string) *Agent {
	t.Helper()
	binary := Binary(t)
	var a *Agent
	var err error
	err = servertest.Retry(func(int) error {
		if a, err = newAgent(binary, t.TempDir(), region); err != nil {
			return err
		}
		return a.run()
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(a.stop)
	var boot struct{ SecretID string }
	if err := a.do(http.MethodPut, "acl/bootstrap", "", nil, &boot); err != nil {
		t.Fatal(err)
	}
	a.Token = boot.SecretID
	for range 1500 { // until it can encrypt
		if err = a.Do(http.MethodPut, "var/ready", map[string]any{"Items": map[string]string{"x": ""}}, nil); err == nil {
			a.Delete(t, "ready")
			return a
		}
		time.Sleep(20 * time.Millisecond)
	}
	t.Fatal(err)
	return nil
}

func newAgent(binary, dir, region string) (*Agent, error) {
	data := filepath.Join(dir, "data")
	ports, err := servertest.FreePorts(3)
	if err != nil {
		return nil, err
	}
	config := fmt.Sprintf(`
		name                 = "test"
		data_dir             = %q
		bind_addr            = "127.0.0.1"
		disable_update_check = true
		log_level            = "error"
		leave_on_terminate   = false
		advertise {
			http = "127.0.0.1"
			rpc  = "127.0.0.1"
			serf = "127.0.0.1"
		}
		ports {
			http = %d
			rpc  = %d
			serf = %d
		}
		server {
			enabled          = true
			bootstrap_expect = 1
			raft_multiplier  = 1
		}
		client {
			enabled = true
			options {
				"driver.allowlist"     = "raw_exec"
				"fingerprint.denylist" = "env_aws,env_gce,env_azure,env_digitalocean"
			}
		}
		plugin "raw_exec" {
			config {
				enabled = true
			}
		}
		acl {
			enabled = true
			token_ttl  = "1s"
			policy_ttl = "1s"
		}
		limits {
			http_max_conns_per_client = 1000
		}
		consul {
			auto_advertise   = false
			server_auto_join = false
			client_auto_join = false
		}
	`, data, ports[0], ports[1], ports[2])
	a := &Agent{data: data, Addr: fmt.Sprintf("http://127.0.0.1:%d", ports[0]), client: &http.Client{Timeout: timeout}}
	if region != "" {
		setting, files, client, err := secure(dir, region)
		if err != nil {
			return nil, err
		}
		config += setting
		a.Addr, a.Files, a.client = fmt.Sprintf("https://127.0.0.1:%d", ports[0]), files, client
	}
	path := filepath.Join(dir, "nomad.hcl")
	if err := os.WriteFile(path, []byte(config), 0o600); err != nil {
		return nil, err
	}
	environ := slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, "NOMAD_") || strings.HasPrefix(v, "AWS_") })
	a.process = servertest.Process{Name: "nomad", Args: []string{binary, "agent", "-config=" + path}, Env: environ}
	return a, nil
}

// run starts the process and returns when it has a leader.
func (a *Agent) run() error {
	return a.process.Run(context.Background(), 60*time.Second, func(context.Context) bool {
		var leader string
		err := a.do(http.MethodGet, "status/leader", "", nil, &leader)
		return err == nil && leader != ""
	})
}

// Kill kills the process and waits for its end. The tasks of jobs go on.
func (a *Agent) Kill() { a.process.Kill() }

// Restart starts a killed agent again, on the same address and with the same data.
func (a *Agent) Restart() error { return a.run() }

// stop ends all jobs, has the agent remove what they leave, such as mounted folders, and ends the process.
func (a *Agent) stop() {
	defer a.Kill()
	if a.process.HasEnded() { // what jobs leave goes away only with a running agent
		_ = a.run()
	}
	var jobs []struct{ ID string }
	if a.Do(http.MethodGet, "jobs", nil, &jobs) != nil {
		return
	}
	for _, job := range jobs {
		_ = a.Do(http.MethodDelete, "job/"+job.ID+"?purge=true", nil, nil)
	}
	a.collect()
}

// collect has the agent remove what jobs leave that have ended: mounted folders, and processes that survive the agent.
func (a *Agent) collect() {
	for range 1500 {
		if left, _ := filepath.Glob(filepath.Join(a.data, "alloc", "*")); len(left) == 0 {
			return
		}
		_ = a.Do(http.MethodPut, "system/gc", nil, nil)
		time.Sleep(20 * time.Millisecond)
	}
}

// Do makes a request with a token that may do everything. It decodes the answer into a value that is not nil. A status of failure is an
// error.
func (a *Agent) Do(method, path string, content, into any) error {
	return a.do(method, path, a.Token, content, into)
}

func (a *Agent) do(method, path, token string, content, into any) error {
	var text io.Reader
	if content != nil {
		encoded, err := json.Marshal(content)
		if err != nil {
			return err
		}
		text = bytes.NewReader(encoded)
	}
	req, err := http.NewRequest(method, a.Addr+"/v1/"+path, text)
	if err != nil {
		return err
	}
	req.Header.Set("X-Nomad-Token", token)
	resp, err := a.client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	if resp.StatusCode >= 300 {
		return fmt.Errorf("%s %s: %d %s", method, path, resp.StatusCode, answer)
	}
	if into == nil {
		return nil
	}
	return json.Unmarshal(answer, into)
}

const timeout = 30 * time.Second // of a request

// Must is Do for what has to succeed.
func (a *Agent) Must(t testing.TB, method, path string, content, into any) {
	t.Helper()
	if err := a.Do(method, path, content, into); err != nil {
		t.Fatal(err)
	}
}

// Put writes a variable of the default namespace.
func (a *Agent) Put(t testing.TB, path string, items map[string]string) {
	t.Helper()
	a.Must(t, http.MethodPut, "var/"+path, map[string]any{"Items": items}, nil)
}

// Delete deletes a variable of the default namespace.
func (a *Agent) Delete(t testing.TB, path string) {
	t.Helper()
	a.Must(t, http.MethodDelete, "var/"+path, nil, nil)
}

// Namespace makes a namespace.
func (a *Agent) Namespace(t testing.TB, name string) {
	t.Helper()
	a.Must(t, http.MethodPut, "namespace/"+name, map[string]string{"Name": name}, nil)
}

// NewToken makes a token with a policy of the same name, in Nomad's language.
func (a *Agent) NewToken(t testing.TB, name, rules string) string {
	t.Helper()
	a.Must(t, http.MethodPut, "acl/policy/"+name, map[string]string{"Name": name, "Rules": rules}, nil)
	var made struct{ SecretID string }
	a.Must(t, http.MethodPut, "acl/token", map[string]any{"Name": name, "Type": "client", "Policies": []string{name}}, &made)
	return made.SecretID
}

// A Service is registered by a job that Run runs.
type Service struct {
	Name string
	Port int
	Tags []string
}

// Run runs a job with a task that sleeps, and with services of Nomad: count instances of each, with the same port. It returns when Nomad has
// them.
func (a *Agent) Run(t testing.TB, job string, count int, services ...Service) {
	t.Helper()
	type object = map[string]any
	var registered []object
	for _, s := range services {
		registered = append(registered, object{"Name": s.Name, "Provider": "nomad", "PortLabel": fmt.Sprint(s.Port), "Address": "10.9.8.7", "Tags": s.Tags})
	}
	a.Must(t, http.MethodPut, "jobs", object{"Job": object{
		"ID": job, "Datacenters": []string{"dc1"}, "Type": "service",
		"Update": object{"MinHealthyTime": 10_000_000, "HealthCheck": "task_states"},
		"TaskGroups": []object{{
			"Name": "group", "Count": count, "Services": registered,
			"Tasks": []object{{
				"Name": "sleep", "Driver": "raw_exec", "Config": object{"command": "/bin/sleep", "args": []string{"100000"}},
				"KillTimeout": 1_000_000, "Resources": object{"CPU": 1, "MemoryMB": 10},
			}},
		}},
	}}, nil)
	for range 1500 {
		complete := true
		for _, s := range services {
			var found []struct{ Port int }
			a.Must(t, http.MethodGet, "service/"+s.Name, nil, &found)
			n := 0
			for _, instance := range found {
				if instance.Port == s.Port {
					n++
				}
			}
			complete = complete && n == count
		}
		if complete {
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
	t.Fatalf("the services of the job %s are not registered; nomad said: %s", job, a.process.Output())
}

// StopJob ends a job, the only one, with all that is left of it. Its services go with it.
func (a *Agent) StopJob(t testing.TB, job string) {
	t.Helper()
	a.Must(t, http.MethodDelete, "job/"+job+"?purge=true", nil, nil)
	a.collect()
}
