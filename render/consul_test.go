package render_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"render/render"
	"render/render/run"
	"render/render/status"
	"render/watch"
	"render/watch/consul"
	"render/watch/consultest"
)

// R10 against a real Consul: what is the same costs it no request, and a change of address takes what the other knows.
func TestR10RequestsOfAReload(t *testing.T) {
	if testing.Short() {
		t.Skip("starts two Consuls")
	}
	agents := [2]*consultest.Agent{}
	sources := [2]*consul.Source{}
	proxies := [2]*consultest.Proxy{}
	for i := range agents {
		agent, err := consultest.Start(t.Context(), "")
		must(t, err)
		t.Cleanup(agent.Stop)
		proxies[i] = consultest.NewProxy(agent.Addr)
		t.Cleanup(proxies[i].Close)
		agents[i] = agent
		sources[i], err = consul.New(consul.Config{Address: proxies[i].Addr})
		must(t, err)
		t.Cleanup(sources[i].Close)
	}
	dir := t.TempDir()
	cfg := render.Config{Actions: []render.Action{{Name: "a", Command: run.Command{Shell: "echo ran >> " + filepath.Join(dir, "runs")}}}}
	for i := range 100 {
		cfg.Targets = append(cfg.Targets, render.Target{
			Source: fmt.Sprint(i), Contents: fmt.Sprintf(`{{key "k/%d"}}{{keyOrDefault "shared" "!"}}`, i),
			Destination: filepath.Join(dir, fmt.Sprint(i)), Action: "a",
		})
		must(t, agents[0].Put(fmt.Sprintf("k/%d", i), "old"))
	}
	for i := range 100 { // the other Consul has begun later: its indexes are lower
		if i != 7 {
			must(t, agents[1].Put(fmt.Sprintf("k/%d", i), "old"))
		}
	}
	must(t, agents[1].Put("k/7", "new"))

	src := watch.NewSwitch(sources[0])
	engine, err := render.New(src, cfg)
	must(t, err)
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- engine.Run(ctx) }()
	defer func() {
		stop()
		must(t, <-ended)
	}()
	file := func(i int) string {
		text, _ := os.ReadFile(filepath.Join(dir, fmt.Sprint(i)))
		return string(text)
	}
	runs := func() int {
		s, err := engine.Status(ctx)
		must(t, err)
		return s.Actions[0].Runs
	}
	await(t, "the files", func() bool { return file(99) == "old!" && runs() == 1 })
	before := quiet(t, proxies[0])
	for range 3 {
		must(t, engine.Apply(ctx, cfg))
	}
	if now := quiet(t, proxies[0]); now != before {
		t.Errorf("%d requests because of three reloads", now-before)
	}
	if n := runs(); n != 1 {
		t.Errorf("%d runs", n)
	}
	must(t, agents[0].Put("k/7", "changed"))
	await(t, "the change", func() bool { return file(7) == "changed!" && runs() == 2 })

	src.Use(sources[1])
	sources[0].Close()
	await(t, "what the other Consul knows", func() bool { return file(7) == "new!" && runs() == 3 })
	quiet(t, proxies[1])
	s, err := engine.Status(ctx)
	must(t, err)
	for _, target := range s.Targets {
		if target.Destination != cfg.Targets[7].Destination && target.Passes > 2 {
			t.Errorf("%s: %d passes", target.Source, target.Passes)
		}
	}
	must(t, agents[1].Delete("k/8")) // confirmed by the new one alone
	await(t, "the absence", func() bool {
		s, err := engine.Status(ctx)
		must(t, err)
		return s.Targets[8].State == status.Absent
	})
}

// quiet returns how many requests there were when no more have come for a while.
func quiet(t *testing.T, p *consultest.Proxy) (n int) {
	t.Helper()
	since := time.Now()
	await(t, "quiet", func() bool {
		if now := len(p.Requests()); now != n {
			n, since = now, time.Now()
		}
		return time.Since(since) > 500*time.Millisecond
	})
	return n
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func await(t *testing.T, what string, done func() bool) {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); !done(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("waited in vain for %s", what)
		}
	}
}
