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
	all := catalogs(t, "prometheus")
	editCatalog(t, all["hostile"], func(data *catalogData) {
		for _, instances := range data.Services {
			for i, instance := range instances {
				id := instance["id"].(string)
				instance["tags"] = []string{"metrics", id}
				instance["meta"] = map[string]string{"metrics_path": id, "env": id}
				if i%2 == 0 {
					instance["meta"] = map[string]string{"metrics_port": id}
				}
			}
		}
	})
	for name, catalog := range all {
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
