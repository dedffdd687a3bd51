package metrics

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"render/render/status"
)

// monitoring is the folder with rules and dashboard.
const monitoring = "../../examples/monitoring"

// program returns the path of a program of Prometheus.
func program(t *testing.T, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		t.Fatalf("%s is missing: run make prometheus", name)
	}
	return path
}

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// The rules do what their tests say, in Prometheus's own opinion.
func TestRules(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{{"check", "rules", "alerts.yml"}, {"check", "config", "prometheus.yml"}, {"test", "rules", "alerts.test.yml"}} {
		cmd := exec.Command(program(t, "promtool"), args...)
		cmd.Dir = monitoring
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("promtool %s: %v: %s", strings.Join(args, " "), err, out)
		}
	}
}

// namesOfAlerts returns the alerts of the rules.
func namesOfAlerts(t *testing.T) []string {
	t.Helper()
	var names []string
	for _, g := range regexp.MustCompile(`alert: (\w+)`).FindAllStringSubmatch(read(t, monitoring+"/alerts.yml"), -1) {
		names = append(names, g[1])
	}
	if len(names) == 0 {
		t.Fatal("no alerts")
	}
	return names
}

// Each alert has a test and its part of the page, to which it leads; rules and dashboard use metrics that there are.
func TestMonitoringPages(t *testing.T) {
	t.Parallel()
	page, rules, tests := read(t, monitoring+"/README.md"), read(t, monitoring+"/alerts.yml"), read(t, monitoring+"/alerts.test.yml")
	for _, name := range namesOfAlerts(t) {
		if !strings.Contains(page, "\n### "+name+"\n") || !strings.Contains(rules, "runbook: README.md#"+strings.ToLower(name)+"\n") {
			t.Errorf("%s has no part of the page, or does not lead to it", name)
		}
		if !strings.Contains(tests, `name: "`+name) {
			t.Errorf("%s has no test", name)
		}
	}
	for _, g := range regexp.MustCompile(`(?m)^### (\w+)$`).FindAllStringSubmatch(page, -1) {
		if !strings.Contains(rules, "alert: "+g[1]+"\n") {
			t.Errorf("the page has %s, which is no alert", g[1])
		}
	}

	f := new(fake)
	m := newMetrics(f)
	f.set(makeFaults)
	_, text := get(m.Handler(), "/metrics")
	for _, name := range regexp.MustCompile(`\b(render|process)_\w+`).FindAllString(rules+read(t, monitoring+"/dashboard.json"), -1) {
		if family := strings.TrimSuffix(name, "_bucket"); !strings.Contains(text, "# TYPE "+family+" ") {
			t.Errorf("there is no metric %s", name)
		}
	}
}

// makeHealthy makes a state of an engine that nobody has to look at.
func makeHealthy(s *status.Snapshot) {
	*s = status.Snapshot{
		Targets: []*status.Target{{ID: "t", State: status.Applied, AppliedOnce: true}},
		Actions: []*status.Action{{ID: "a", Name: "nginx", State: status.InSync}, {ID: "b", Name: "haproxy", State: status.InSync}},
		Queries: []*status.Query{{State: status.QueryAnswered}},
		Overview: status.Overview{
			Program: new(status.Program), Missed: s.Missed,
			Connections: []status.Connection{
				{Address: "http://consul:8500", Reachable: true, KnownLeader: true, Requests: map[string]uint64{"ok": 1, "denied": 0, "refused": 0}},
				{Server: "vault", Address: "http://vault:8200", Reachable: true}, {Server: "nomad", Address: "http://nomad:4646", Reachable: true},
			},
		},
	}
	if old := s.Connections; len(old) > 0 {
		s.Connections[0].Requests = old[0].Requests // counters do not fall
	}
}

// makeFaults makes a state with all faults that an engine can have at one time.
func makeFaults(s *status.Snapshot) {
	long := time.Now().Add(-time.Hour)
	makeHealthy(s)
	s.Targets = []*status.Target{
		{State: status.Failed, Stale: "no"}, {State: status.Absent, Drifted: true}, {State: status.Pending, Held: []status.Hold{{Since: long}}},
	}
	s.Actions = []*status.Action{
		{ID: "a", Name: "nginx", State: status.Retrying, Failures: 3, Unapplied: long, Error: "no", LastRun: &status.Run{Seconds: 1}},
		{ID: "b", Name: "haproxy", State: status.Committing, Since: long, Unapplied: long},
	}
	s.Queries = []*status.Query{{State: status.QueryFailed, Error: "no"}}
	s.Connections[0].Behind = 100
	s.Configuration.Error, s.Program = "no", &status.Program{Waits: true}
}

// A scraper is a Prometheus of a test.
type scraper struct {
	t   *testing.T
	url string
}

// startPrometheus starts a Prometheus that scrapes targets and evaluates rules very often.
func startPrometheus(t *testing.T, rules string, targets []string) *scraper {
	t.Helper()
	dir := t.TempDir()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	_ = l.Close()
	config := fmt.Sprintf("global: {scrape_interval: 200ms, scrape_timeout: 200ms, evaluation_interval: 200ms}\nrule_files: [rules.yml]\n"+
		"scrape_configs:\n  - job_name: render\n    static_configs: [{targets: [%s]}]\n", strings.Join(targets, ", "))
	for name, text := range map[string]string{"prometheus.yml": config, "rules.yml": rules} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.Command(program(t, "prometheus"), "--config.file=prometheus.yml", "--storage.tsdb.path=data", "--web.listen-address="+address, "--log.level=warn")
	cmd.Dir = dir
	var log strings.Builder
	cmd.Stdout, cmd.Stderr = &log, &log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if t.Failed() {
			t.Logf("Prometheus said: %s", &log)
		}
	})
	return &scraper{t, "http://" + address}
}

// ask asks the API and decodes the data of its answer.
func (p *scraper) ask(path string, data any) error {
	client := http.Client{Timeout: 10 * time.Second}
	answer, err := client.Get(p.url + path)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	a := struct {
		Status, Error string
		Data          any
	}{Data: data}
	if err := json.NewDecoder(answer.Body).Decode(&a); err != nil {
		return err
	}
	if a.Status != "success" {
		return fmt.Errorf("%s: %s", path, a.Error)
	}
	return nil
}

// awaits waits until these alerts fire, and no others.
func (p *scraper) awaits(want []string) {
	p.t.Helper()
	slices.Sort(want)
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(50 * time.Millisecond) {
		var data struct {
			Alerts []struct {
				Labels map[string]string
				State  string
			}
		}
		err := p.ask("/api/v1/alerts", &data)
		var firing []string
		for _, a := range data.Alerts {
			if a.State == "firing" && !slices.Contains(firing, a.Labels["alertname"]) {
				firing = append(firing, a.Labels["alertname"])
			}
		}
		slices.Sort(firing)
		if err == nil && slices.Equal(firing, want) {
			return
		}
		if time.Now().After(deadline) {
			p.t.Fatalf("%q fire, want %q: %v", firing, want, err)
		}
	}
}

// value returns how many series an expression has.
func (p *scraper) count(expr string) (int, error) {
	var data struct{ Result []any }
	err := p.ask("/api/v1/query?query="+url.QueryEscape(expr), &data)
	return len(data.Result), err
}

// A real Prometheus understands what it scrapes; each alert fires on its fault and clears when the fault is gone; each query of the dashboard
// finds something.
func TestAlerts(t *testing.T) {
	t.Parallel()
	fast := regexp.MustCompile(`for: \w+`).ReplaceAllString(read(t, monitoring+"/alerts.yml"), "for: 1s")
	fast = regexp.MustCompile(`\[\w+\]`).ReplaceAllString(fast, "[3s]")

	// Faults that hide each other are of different instances.
	var down atomic.Bool
	var targets []string
	engines := make(map[string]*fake)
	for _, name := range []string{"many", "unreachable", "stuck", "down"} {
		f := new(fake)
		f.set(makeHealthy)
		m := newMetrics(f)
		m.wait = 50 * time.Millisecond
		scrapes := m.Handler()
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if name == "down" && down.Load() {
				http.Error(w, "down", http.StatusBadGateway)
				return
			}
			if name == "many" {
				f.set(func(s *status.Snapshot) {
					if s.Configuration.Error != "" { // while it has its faults
						s.Missed++
						s.Connections[0].Requests = map[string]uint64{"ok": s.Missed, "denied": s.Missed, "refused": s.Missed}
					}
				})
			}
			scrapes.ServeHTTP(w, r)
		}))
		t.Cleanup(server.Close)
		engines[name], targets = f, append(targets, fmt.Sprintf("%q", server.Listener.Addr()))
	}
	p := startPrometheus(t, fast, targets)
	p.awaits(nil)
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(50 * time.Millisecond) {
		n, err := p.count(`render_loop_responding == 1 and on (instance) up == 1`)
		if n == len(targets) && err == nil {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d instances are scraped: %v", n, err)
		}
	}

	engines["many"].set(makeFaults)
	engines["unreachable"].set(func(s *status.Snapshot) {
		for i := range s.Connections {
			s.Connections[i].Reachable = false
		}
	})
	engines["stuck"].do(func() { engines["stuck"].stuck = true })
	down.Store(true)
	p.awaits(namesOfAlerts(t))
	checkDashboard(t, p)

	engines["stuck"].do(func() { engines["stuck"].stuck = false })
	down.Store(false)
	for _, f := range engines {
		f.set(makeHealthy)
	}
	p.awaits(nil)
}

// checkDashboard has Prometheus answer each query of the dashboard. Only those of what did not happen find nothing.
func checkDashboard(t *testing.T, p *scraper) {
	t.Helper()
	var board struct {
		Panels []struct {
			Title   string
			Targets []struct{ Expr string }
		}
		Annotations struct{ List []struct{ Expr string } }
	}
	if err := json.Unmarshal([]byte(read(t, monitoring+"/dashboard.json")), &board); err != nil {
		t.Fatal(err)
	}
	variables := strings.NewReplacer("$__rate_interval", "5s", "$instance", ".*")
	queries := 0
	for _, panel := range board.Panels {
		for _, target := range panel.Targets {
			queries++
			for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(50 * time.Millisecond) { // a scrape may be late on a busy machine
				n, err := p.count(variables.Replace(target.Expr))
				if err == nil && n > 0 {
					break
				}
				if time.Now().After(deadline) {
					t.Errorf("the panel %s finds nothing with %s: %v", panel.Title, target.Expr, err)
					break
				}
			}
		}
	}
	if _, err := p.count(variables.Replace(board.Annotations.List[0].Expr)); err != nil {
		t.Error(err)
	}
	if queries < 20 {
		t.Errorf("the dashboard has %d queries", queries)
	}
}
