package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/consul/api"

	"render/watch/consultest"
)

// TestOutage kills the leader of a real cluster three times, and the agent that render asks three times. The file is
// whole all the time, and what changes after each recovery is in it within two seconds.
func TestOutage(t *testing.T) {
	const (
		services  = 5
		instances = 3
		changed   = 2 * time.Second // from a change to the file
	)
	cluster, err := consultest.StartCluster(t.Context(), t.TempDir(), "")
	check(t, err)
	t.Cleanup(cluster.Stop)
	local := cluster.Local

	text := new(strings.Builder)
	for s := range services {
		name := fmt.Sprint("outage-", s)
		fmt.Fprintf(text, "{{range service %q}}{{.ID}} {{.Port}}\n{{end}}", name)
		for i := range instances {
			check(t, local.Register(name, fmt.Sprint(name, "-", i), fmt.Sprintf("10.0.%d.%d", s, i), 80, "passing"))
		}
		check(t, local.Put(fmt.Sprint("outage/", s), "1"))
	}
	check(t, local.Put("version", "0"))
	text.WriteString("{{range ls \"outage\"}}{{.Key}} {{.Value}}\n{{end}}version {{key \"version\"}}\nend\n")

	dir := t.TempDir()
	out := filepath.Join(dir, "out")
	write(t, filepath.Join(dir, "in"), text.String())
	d := startRender(t, dir, "--consul-addr", local.Addr, "--template", "in:out")
	awaits(t, hasEntry(out, "version", 0))
	ledger, err := readLedger(out)
	check(t, err)
	if want := services*instances + services + 1; len(ledger) != want {
		t.Fatalf("%d entries, want %d: %v", len(ledger), want, ledger)
	}
	stop := neverLoses(t, out)

	leader := func() *consultest.Agent {
		a, err := cluster.Leader(t.Context())
		check(t, err)
		return a
	}
	restart := func(a *consultest.Agent) { t.Helper(); check(t, a.Restart(t.Context())) }
	for round, tt := range []struct {
		name string
		away time.Duration // how long the agent is
	}{
		{name: "leader"}, {name: "leader"}, {name: "leader"},
		{name: "agent"}, {name: "agent"}, {"agent", 4 * time.Second},
	} {
		began := time.Now()
		victim := local
		if tt.name == "leader" {
			victim = leader()
		}
		victim.Stop()
		if tt.name == "agent" {
			<-time.After(tt.away)
			restart(victim)
		}
		check(t, within(30*time.Second, func() error {
			_, _, err := local.Client.Catalog().Services(&api.QueryOptions{RequireConsistent: true})
			return err
		}))
		recovered := time.Now()
		check(t, local.Put("version", fmt.Sprint(round+1)))
		id := fmt.Sprint("outage-0-new-", round)
		check(t, local.Register("outage-0", id, fmt.Sprint("10.1.0.", round), 80, "passing"))
		written := time.Now()
		for _, c := range []func() error{hasEntry(out, "version", round+1), hasEntry(out, id, 80)} {
			if err := within(changed, c); err != nil {
				t.Fatalf("after the death of the %s, round %d: %v", tt.name, round, err)
			}
		}
		t.Logf("the %s died: Consul was away for %s, writing took %s, the file %s", tt.name,
			recovered.Sub(began).Round(time.Millisecond), written.Sub(recovered).Round(time.Millisecond), time.Since(written).Round(time.Millisecond))
		if tt.name == "leader" {
			restart(victim)
			awaits(t, func() error { // it learns what it has missed: else it would answer, and not know of the next change
				pair, _, err := victim.Client.KV().Get("version", &api.QueryOptions{AllowStale: true})
				if err == nil && (pair == nil || string(pair.Value) != fmt.Sprint(round+1)) {
					err = fmt.Errorf("the server is behind: %v", pair)
				}
				return err
			})
		}
	}
	stop()
	d.stop()
}

// A ledger is a file whose lines are entries, each a name and a number, before a last line "end". Entries only come, and
// numbers only grow, so that whoever reads it all the time sees when something is lost.

// readLedger returns the entries of a ledger that is whole.
func readLedger(path string) (map[string]int, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	text, whole := bytes.CutSuffix(b, []byte("\nend\n"))
	if !whole {
		return nil, fmt.Errorf("has no end: %q", b)
	}
	entries := make(map[string]int)
	for line := range strings.Lines(string(text)) {
		var name string
		var number int
		if _, err := fmt.Sscanf(line, "%s %d", &name, &number); err != nil {
			return nil, fmt.Errorf("has a line %q: %w: %q", line, err, b)
		}
		entries[name] = number
	}
	return entries, nil
}

// hasEntry returns the condition that a ledger has an entry.
func hasEntry(path, name string, number int) func() error {
	return func() error {
		entries, err := readLedger(path)
		if err != nil {
			return err
		}
		if got, ok := entries[name]; !ok || got != number {
			return fmt.Errorf("%s has not %s %d, but %v", path, name, number, entries)
		}
		return nil
	}
}

// neverLoses reads a ledger every two milliseconds until it is stopped, and fails the test when something was lost.
func neverLoses(t *testing.T, path string) (stop func()) {
	t.Helper()
	last, err := readLedger(path)
	check(t, err)
	follow := func() error {
		now, err := readLedger(path)
		if err != nil {
			return err
		}
		for name, number := range last {
			if got, ok := now[name]; !ok || got < number {
				return fmt.Errorf("%s %d is lost: %v", name, number, now)
			}
		}
		last = now
		return nil
	}
	end := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		tick := time.NewTicker(2 * time.Millisecond)
		defer tick.Stop()
		for {
			if err := follow(); err != nil {
				t.Errorf("%s: %s %v", time.Now().Format(time.TimeOnly), path, err)
				return
			}
			select {
			case <-tick.C:
			case <-end:
				return
			}
		}
	})
	stop = sync.OnceFunc(func() {
		close(end)
		wg.Wait()
	})
	t.Cleanup(stop)
	return stop
}
