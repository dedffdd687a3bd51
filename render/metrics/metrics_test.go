package metrics

import (
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
	"unicode/utf8"

	"github.com/prometheus/client_golang/prometheus"

	"render/render/history"
	"render/render/status"
)

// A scrape has what a snapshot has and what was counted.
func TestMetrics(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := new(fake)
		m := newMetrics(f)
		now := time.Now()
		before := func(d time.Duration) time.Time { return now.Add(-d) }
		f.set(func(s *status.Snapshot) {
			s.Targets = []*status.Target{
				{ID: "a", State: status.Applied, Bytes: 100, AppliedOnce: true, Drifted: true},
				{ID: "b", Action: "1", State: status.Failed, Bytes: 11, Error: "no", Stale: "no"},
				{ID: "d", Action: "2", State: status.Failed, Error: "no"},
				{ID: "c", State: status.Applied, AppliedOnce: true, Held: []status.Hold{{Since: before(7 * time.Second)}, {Since: before(9 * time.Second)}}},
			}
			s.Actions = []*status.Action{
				{ID: "1", Name: "nginx", State: status.InSync, Succeeded: time.Unix(1000, 5e8), LastRun: &status.Run{Seconds: 1.5}},
				{ID: "3", Name: "slow", State: status.Committing, Since: before(3 * time.Second)},
				{ID: "2", Name: "haproxy", State: status.Retrying, Failures: 3, Error: "no", Unapplied: before(time.Minute)},
			}
			s.Queries = []*status.Query{{State: status.QueryAnswered}, {State: status.QueryFailed, Error: "no"}}
			s.Connections = []status.Connection{{
				Address: "http://127.0.0.1:8500", Reachable: true, Requests: map[string]uint64{"ok": 5, "denied": 1, "refused": 2, "failed": 3},
				InFlight: 4, Waiting: 2, Limit: 128, LastAnswer: time.Unix(2000, 0), Behind: 0.25, KnownLeader: true, Bytes: 1e6,
			}}
			s.Configuration = status.Configuration{Version: 2, Loaded: time.Unix(3000, 0), Accepted: 1, Rejected: 4, Error: "no"}
			s.Program = &status.Program{Waits: true}
			s.Missed = 1
		})
		f.Passed(2*time.Millisecond, false)
		f.Passed(30*time.Second, true)
		f.Add(&history.Commit{
			Action: "1", ActionName: "nginx", Result: history.Applied, Seconds: 1.5,
			Steps: []history.Step{{Kind: "check", Seconds: 0.2}, {Kind: "command", Seconds: 1}},
			Files: []history.File{{Result: history.Written, Size: 40}, {Result: history.Appended, Size: 2}, {Result: history.Unchanged, Size: 7}},
		})
		f.Add(&history.Commit{
			Action: "2", ActionName: "haproxy", Result: history.Rejected, Seconds: 0.5,
			Steps: []history.Step{{Kind: "check", Seconds: 0.1, Error: "no"}}, Files: []history.File{{Result: history.Kept, Size: 9}},
		})

		got := slices.DeleteFunc(ours(t, m), func(line string) bool {
			return strings.Contains(line, "_bucket{") || strings.HasPrefix(line, "render_build_info")
		})
		want, err := os.ReadFile("testdata/metrics.txt")
		if err != nil {
			t.Fatal(err)
		}
		if text := strings.Join(got, "\n") + "\n"; text != string(want) {
			t.Errorf("got\n%s\nwant\n%s", text, want)
		}
		if _, all := get(m.Handler(), "/metrics"); !strings.Contains(all, "\ngo_goroutines ") || !strings.Contains(all, "\nprocess_cpu_seconds_total ") ||
			!strings.Contains(all, `render_build_info{goversion="go1.`) || !strings.Contains(all, `version="1.2.3"} 1`) {
			t.Error("no metrics of Go, of the process or of the build")
		}
	})
}

// While the loop does not answer, a scrape ends, says so, and has what is known without the loop.
func TestMetricsWithoutLoop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fake{stuck: true}
		m := newMetrics(f)
		began := time.Now()
		got := ours(t, m)
		if took := time.Since(began); took != loopWait {
			t.Errorf("it took %s", took)
		}
		if !slices.Contains(got, "render_loop_responding 0") || !slices.Contains(got, "render_pass_duration_seconds_count 0") {
			t.Errorf("got %q", got)
		}
		if slices.ContainsFunc(got, func(line string) bool { return strings.HasPrefix(line, "render_targets") }) {
			t.Error("it shows targets that it does not know")
		}
	})
}

// The end of a commit does not wait for a scrape: the engine's loop reports it.
func TestCommitDuringScrape(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := new(fake)
		m := newMetrics(f)
		f.set(func(s *status.Snapshot) { s.Actions = []*status.Action{{ID: "1", Name: "a"}, {ID: "2", Name: "b"}} })
		out := make(chan prometheus.Metric)
		go func() {
			collector{m}.Collect(out)
			close(out)
		}()
		for {
			synctest.Wait() // the scrape waits for its reader
			m.Committed(&history.Commit{Action: "1", ActionName: "a", Result: history.Applied})
			if _, more := <-out; !more {
				break
			}
		}
	})
}

// Prometheus's own check finds nothing wrong with names, units, helps and types.
func TestPromtoolMetrics(t *testing.T) {
	promtool, err := exec.LookPath("promtool")
	if err != nil {
		t.Fatal("promtool is missing: run make prometheus")
	}
	f := new(fake)
	m := newMetrics(f)
	f.set(func(s *status.Snapshot) {
		s.Actions = []*status.Action{{ID: "1", Name: hostile, LastRun: &status.Run{}}}
		s.Connections = []status.Connection{{Address: hostile, Requests: map[string]uint64{"ok": 1}}}
		s.Program = new(status.Program)
	})
	_, text := get(m.Handler(), "/metrics")
	cmd := exec.Command(promtool, "check", "metrics")
	cmd.Stdin = strings.NewReader(text)
	if out, err := cmd.CombinedOutput(); err != nil || len(out) > 0 {
		t.Errorf("%v: %s", err, out)
	}
}

const hostile = "<script>\"\\\n\r\x00\x1b[31m\u202ereversed\u200b\xff {a=\"b\"} 1"

// What somebody else has named has a label that is short, printable and of its own, and no more than so many labels exist.
func TestLabelsOfActions(t *testing.T) {
	f := new(fake)
	m := newMetrics(f)
	long := strings.Repeat("x", 10<<10)
	names := []string{hostile, hostile + "!", long + "1", long + "2", "same", "same", Others, "ü日本", ""}
	for i := len(names); i < MaxActions+50; i++ {
		names = append(names, fmt.Sprint("action", i))
	}
	f.set(func(s *status.Snapshot) {
		for i, name := range names {
			s.Actions = append(s.Actions, &status.Action{ID: fmt.Sprint(i), Name: name, Failures: i})
		}
	})
	value := regexp.MustCompile(`^render_action_failures\{action="(.*)"\} (\d+)$`)
	labels := make(map[string]string)
	for _, line := range ours(t, m) {
		if g := value.FindStringSubmatch(line); g != nil {
			labels[g[1]] = g[2]
		}
	}
	if len(labels) != MaxActions+1 {
		t.Fatalf("%d labels", len(labels))
	}
	for label := range labels {
		if len(label) > mostLabel+20 || !utf8.ValidString(label) || strings.ContainsAny(label, "\n\r\x00\x1b\u202e\u200b") {
			t.Errorf("label %q", label)
		}
	}
	if labels["same"] != "4" || labels["same 5"] != "5" || labels["ü日本"] != "7" || labels[Others] != fmt.Sprint(MaxActions+49) {
		t.Errorf("labels: %v", labels)
	}

	// Actions that have gone make room.
	f.set(func(s *status.Snapshot) { s.Actions = s.Actions[:1]; s.Actions[0].Failures = 77 })
	got := slices.DeleteFunc(ours(t, m), func(line string) bool { return !value.MatchString(line) })
	if len(got) != 1 || !strings.HasSuffix(got[0], " 77") {
		t.Errorf("with one action: %q", got)
	}
	if len(m.actions.byID) != 1 || len(m.actions.labels) != 2 {
		t.Errorf("%d counts and %d labels are kept", len(m.actions.byID), len(m.actions.labels))
	}
}

// The label of an action without a name is its ID: the text of a command is in no metric.
func TestLabelOfCommand(t *testing.T) {
	f := new(fake)
	m := newMetrics(f)
	f.Add(&history.Commit{Action: "echo-f564", ActionName: "echo token=hunter2", ActionKind: "command", Result: history.Failed, Ended: time.Now()})
	f.set(func(s *status.Snapshot) {
		s.Actions = []*status.Action{{ID: "echo-f564", Name: "echo token=hunter2", Kind: "command"}, {ID: "curl-1234", Name: "curl hunter2", Kind: "command"}}
	})
	got := ours(t, m)
	for _, want := range []string{`render_commits_total{action="echo-f564",result="failed"} 1`, `render_action_failures{action="curl-1234"} 0`} {
		if !slices.Contains(got, want) {
			t.Errorf("no %s in %q", want, got)
		}
	}
	if strings.Contains(strings.Join(got, " "), "hunter2") {
		t.Errorf("the command is in %q", got)
	}
}

// A commit of an action that a snapshot does not have yet stays counted.
func TestCommitOfNewAction(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := new(fake)
		m := newMetrics(f)
		f.Add(&history.Commit{Action: "1", ActionName: "new", Result: history.Applied, Ended: time.Now().Add(time.Millisecond)})
		ours(t, m)
		f.set(func(s *status.Snapshot) { s.Actions = []*status.Action{{ID: "1", Name: "new"}} })
		if got := ours(t, m); !slices.Contains(got, `render_commits_total{action="new",result="applied"} 1`) {
			t.Errorf("got %q", got)
		}
	})
}

// The page of the package has each metric, with its help.
func TestReference(t *testing.T) {
	page, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	f := new(fake)
	m := newMetrics(f)
	f.set(func(s *status.Snapshot) {
		s.Actions = []*status.Action{{ID: "1", Name: "a", LastRun: &status.Run{}}}
		for _, server := range []string{"consul", "vault", "nomad"} {
			s.Connections = append(s.Connections, status.Connection{Server: server, Address: "a", Requests: map[string]uint64{"ok": 1}})
		}
		s.Program = new(status.Program)
	})
	_, text := get(m.Handler(), "/metrics")
	helps := regexp.MustCompile(`(?m)^# HELP (render_\w+) (.*)\n# TYPE \w+ (\w+)\n\w+(?:\{(.*)\})?`).FindAllStringSubmatch(text, -1)
	label := regexp.MustCompile(`(\w+)="`)
	var table strings.Builder
	table.WriteString("| metric | type | labels | meaning |\n|---|---|---|---|\n")
	for _, h := range helps {
		var labels []string
		for _, l := range label.FindAllStringSubmatch(h[4], -1) {
			if l[1] != "le" {
				labels = append(labels, "`"+l[1]+"`")
			}
		}
		fmt.Fprintf(&table, "| `%s` | %s | %s | %s |\n", h[1], h[3], strings.Join(labels, ", "), h[2])
	}
	if len(helps) < len(all) || !strings.Contains(string(page), table.String()) {
		t.Errorf("README.md needs this table:\n%s", table.String())
	}
}
