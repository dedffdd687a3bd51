package main

import (
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// TestMonitoring has a render answer probes and scrapes: it is ready when everything is applied, and stays so when a change fails. What it
// answers has no value of a key, no name of a query and nothing that would end a line.
func TestMonitoring(t *testing.T) {
	t.Parallel()
	dir, addr := t.TempDir(), freeAddr(t)
	data := filepath.Join(dir, "data.yaml")
	ask := func(path string) (int, string) {
		answer, err := http.Get("http://" + addr + path)
		if err != nil {
			return 0, err.Error()
		}
		defer answer.Body.Close()
		body, err := io.ReadAll(answer.Body)
		check(t, err)
		return answer.StatusCode, string(body)
	}
	answers := func(path string, code int, want string) func() error {
		return func() error {
			if got, body := ask(path); got != code || !strings.Contains(body, want) {
				return fmt.Errorf("%s: %d %s, want %d %s", path, got, body, code, want)
			}
			return nil
		}
	}
	shows := func(lines ...string) func() error {
		return func() error {
			_, body := ask("/metrics")
			all := strings.Split(body, "\n")
			for _, line := range lines {
				if !slices.Contains(all, line) {
					return fmt.Errorf("no %s in %s", line, body)
				}
			}
			return nil
		}
	}

	write(t, data, `keys: {a: hunter2, "name\u202e\n": x}`)
	write(t, filepath.Join(dir, "render.hcl"), `
fixture = "data.yaml"
listen {
  address = "`+addr+`"
}
action "web" {
  check = "! grep bad {}"
  command = "true"
  spacing = "10ms"
}
template {
  contents = "{{key \"a\"}} {{key \"b\"}}"
  destination = "out"
  action = "web"
}
template {
  contents = "{{key \"name\\u202e\\n\"}}"
  destination = "out2"
  command = "true \u202e; true"
}
`)
	d := startRender(t, dir, "--config", "render.hcl")
	awaits(t, answers("/healthz", 200, "ok"))
	awaits(t, answers("/readyz", 503, "1 of 2 files not applied yet: 1 absent\n"))
	awaits(t, answers("/readyz?verbose", 503, `does not exist`))
	awaits(t, shows(`render_targets{state="absent"} 1`, `render_targets{state="applied"} 1`, `render_loop_responding 1`, `render_queries{state="absent"} 1`))

	write(t, data, `keys: {a: hunter2, b: x, "name\u202e\n": x}`)
	awaits(t, answers("/readyz", 200, "ok"))
	awaits(t, shows(
		`render_commits_total{action="web",result="applied"} 1`, `render_action_out_of_sync_seconds{action="web"} 0`,
		`render_step_duration_seconds_count{step="check"} 1`, `render_targets_applied_once 2`, `render_configuration_version 1`,
	))
	write(t, data, `keys: {a: hunter2, b: bad, "name\u202e\n": x}`)
	awaits(t, shows(`render_commits_total{action="web",result="rejected"} 1`, `render_action_failures{action="web"} 1`, `render_targets{state="failed"} 1`))
	check(t, answers("/readyz", 200, "ok")())
	check(t, answers("/healthz?verbose", 200, `"healthy":true`)())
	_, all := ask("/metrics")
	if strings.Contains(all, "hunter2") || strings.Contains(all, "\u202e") || strings.Contains(all, "out2\"}") {
		t.Errorf("the metrics have too much: %s", all)
	}
	d.stop()
}

// TestPrometheus has a real Prometheus, with the configuration and the rules of the example, scrape a render that wants a token.
func TestPrometheus(t *testing.T) {
	t.Parallel()
	prometheus, err := exec.LookPath("prometheus")
	if err != nil {
		t.Fatal("prometheus is missing: run make prometheus")
	}
	dir, addr, api := t.TempDir(), freeAddr(t), freeAddr(t)
	path := func(name string) string { return filepath.Join(dir, name) }
	example := func(name string) string { return readAll(t, filepath.Join("..", "..", "examples", "monitoring", name)) }
	write(t, path("data.yaml"), "keys: {a: 1}")
	write(t, path("in"), `{{key "a"}}`)
	write(t, path("token"), "secret\n")
	startRender(t, dir, "--fixture", "data.yaml", "--template", "in:out", "--listen", addr, "--listen-token-file", "token")

	config := strings.NewReplacer(
		"127.0.0.1:9820", addr, "15s", "200ms\n    scrape_timeout: 200ms", "# authorization:", "authorization:", "/etc/prometheus/render.token", path("token"),
	).Replace(example("prometheus.yml"))
	write(t, path("prometheus.yml"), config)
	write(t, path("alerts.yml"), example("alerts.yml"))
	log, err := os.Create(path("prometheus.log"))
	check(t, err)
	defer log.Close()
	cmd := exec.Command(prometheus, "--config.file=prometheus.yml", "--storage.tsdb.path=metrics", "--web.listen-address="+api, "--log.level=warn")
	cmd.Dir, cmd.Stdout, cmd.Stderr = dir, log, log
	check(t, cmd.Start())
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if t.Failed() {
			t.Logf("Prometheus said: %s", readAll(t, log.Name()))
		}
	})
	awaits(t, func() error {
		answer, err := http.Get("http://" + api + "/api/v1/query?query=" + url.QueryEscape(`render_targets{state="applied"} == 1 and on (job, instance) up{job="render"} == 1`))
		if err != nil {
			return err
		}
		defer answer.Body.Close()
		body, err := io.ReadAll(answer.Body)
		if err != nil || !strings.Contains(string(body), `"instance":"`+addr+`"`) {
			return fmt.Errorf("%v: %s", err, body)
		}
		return nil
	})
}
