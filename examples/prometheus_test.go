package examples

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"testing"
)

func TestPrometheusAccepts(t *testing.T) {
	promtool := find(t, "promtool", "prometheus")
	conf, err := os.ReadFile("prometheus/prometheus.yml")
	if err != nil {
		t.Fatal(err)
	}
	for name, catalog := range metricsCatalogs(t) {
		t.Run(name, func(t *testing.T) {
			targets, err := renderExample(t, "prometheus/targets.json.ctmpl", catalog)
			if err != nil {
				t.Fatal(err)
			}
			dir := t.TempDir()
			write(t, filepath.Join(dir, "targets.json"), targets)
			write(t, filepath.Join(dir, "prometheus.yml"), conf)
			run(t, promtool, "check", "config", filepath.Join(dir, "prometheus.yml"))

			var groups []struct {
				Targets []string
				Labels  map[string]string
			}
			if err := json.Unmarshal(targets, &groups); err != nil || len(groups) < 3 {
				t.Fatalf("%v: %s", err, targets)
			}
			for _, g := range groups {
				if len(g.Targets) != 1 || !regexp.MustCompile(`^`+place+`$`).MatchString(g.Targets[0]) || len(g.Labels) != 6 {
					t.Errorf("%+v", g)
				}
			}
		})
	}
}

// metricsCatalogs returns the fixture of the example, and one whose hostile instances say that they have metrics.
func metricsCatalogs(t *testing.T) map[string]string {
	t.Helper()
	all := catalogs(t, "prometheus")
	text, err := os.ReadFile(all["hostile"])
	if err != nil {
		t.Fatal(err)
	}
	var data struct {
		Services map[string][]map[string]any `json:"services"`
	}
	if err := json.Unmarshal(text, &data); err != nil {
		t.Fatal(err)
	}
	for _, instances := range data.Services {
		for i, instance := range instances {
			id := instance["id"].(string)
			instance["tags"] = []string{"metrics", id}
			if i%2 == 0 {
				instance["meta"] = map[string]string{"metrics_path": id, "env": id}
			} else {
				instance["meta"] = map[string]string{"metrics_port": id}
			}
		}
	}
	if text, err = json.Marshal(data); err != nil {
		t.Fatal(err)
	}
	write(t, all["hostile"], text)
	return all
}
