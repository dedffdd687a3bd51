package render

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"render/render/pace"
	"render/render/proposal"
	"render/render/run"
)

// Who commits with whom: an action's members go together, and only they.
func TestActionsOfTargets(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		var cfg Config
		cfg.Actions = []Action{{Name: "named", Command: r.appends("named runs")}}
		add := func(n int, change func(*Target)) {
			for range n {
				target := r.target(fmt.Sprint(len(cfg.Targets)), `{{key "k"}}`)
				change(&target)
				cfg.Targets = append(cfg.Targets, target)
			}
		}
		add(3, func(t *Target) { t.Action = "named" })
		add(20, func(t *Target) { t.Command = r.appends("shared runs") })
		add(1, func(t *Target) { t.Command = run.Command{Args: []string{"true"}} })
		add(2, func(*Target) {})
		r.world.set(kv("k"), "v")
		r.start(cfg)
		var actions []string
		for _, a := range r.status().Actions {
			actions = append(actions, a.Name)
		}
		want := []string{"named", r.appends("shared runs").Shell, "true", r.path("24"), r.path("25")}
		if fmt.Sprint(actions) != fmt.Sprint(want) {
			t.Errorf("got the actions %q, want %q", actions, want)
		}
		for _, file := range []string{"named runs", "shared runs"} {
			if n := r.lines(file); n != 1 {
				t.Errorf("%s: %d, want one for all members", file, n)
			}
		}
		elapse(time.Minute)
		r.set(kv("k"), "w")
		for _, file := range []string{"named runs", "shared runs"} {
			if n := r.lines(file); n != 2 {
				t.Errorf("%s: %d after a change of all, want 2", file, n)
			}
		}
	})
}

// A target may have an implied action that is unlike the others'. Targets share one where command and all else are equal.
func TestImpliedActionOfTarget(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		slow := &Action{Wait: pace.Wait{Min: 5 * time.Second, Max: time.Minute}, Spacing: -1}
		var targets []Target
		for i, implied := range []*Action{nil, slow, slow, nil} {
			target := r.target(fmt.Sprint(i), `{{key "k"}}`)
			target.Command, target.Implied = r.appends(fmt.Sprintf("runs %t", implied == slow)), implied
			targets = append(targets, target)
		}
		r.world.set(kv("k"), "v")
		r.start(Config{Targets: targets})
		if n := len(r.status().Actions); n != 2 {
			t.Errorf("%d actions, want 2", n)
		}
		elapse(time.Minute)
		for i, want := range []struct{ usual, slow int }{{2, 1}, {3, 1}} { // a second apart, and quiet for 5 s never
			r.set(kv("k"), fmt.Sprint(i))
			elapse(DefaultSpacing)
			if usual, slow := r.lines("runs false"), r.lines("runs true"); usual != want.usual || slow != want.slow {
				t.Errorf("after change %d: %d and %d runs, want %d and %d", i, usual, slow, want.usual, want.slow)
			}
		}
		elapse(5 * time.Second)
		if n := r.lines("runs true"); n != 2 {
			t.Errorf("%d slow runs, want 2", n)
		}
	})
}

// The text of a template may be in its configuration.
func TestContents(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.world.set(kv("k"), "v")
		r.start(Config{Targets: []Target{{Source: "inline", Contents: `{{key "k"}}!`, Destination: r.path("out")}}})
		r.wantFile("out", "v!")
	})
	_, err := New(newWorld(), Config{Targets: []Target{{Source: "inline", Contents: "{{nope}}", Destination: "out"}}})
	if err == nil || !strings.Contains(err.Error(), "inline:1:3") {
		t.Errorf("got %v", err)
	}
}

// An action waits for members that are pending, and goes on without those that are blocked, unless it is atomic.
func TestBlockedMembers(t *testing.T) {
	for _, atomic := range []bool{false, true} {
		t.Run(fmt.Sprintf("atomic %v", atomic), func(t *testing.T) {
			bubble(t, func(t *testing.T, r *rig) {
				cfg := Config{Actions: []Action{{Name: "web", Command: r.appends("runs"), Atomic: atomic}}}
				for name, text := range map[string]string{"a": `{{key "a"}}`, "b": `{{key "b"}}`, "c": `{{parseInt (key "c")}}`} {
					target := r.target(name, text)
					target.Action = "web"
					cfg.Targets = append(cfg.Targets, target)
				}
				r.start(cfg)
				r.set(kv("a"), "1")
				r.set(kv("c"), "not a number")
				r.wantFile("a", "no file") // b is pending
				r.set(kv("b"), nil)
				if atomic {
					r.wantFile("a", "no file")
				} else {
					r.wantFile("a", "1")
				}
				r.set(kv("b"), "2")
				r.set(kv("c"), "3")
				elapse(time.Second)
				r.wantFile("a", "1")
				r.wantFile("b", "2")
				r.wantFile("c", "3")
				if atomic && r.lines("runs") != 1 {
					t.Errorf("%d runs", r.lines("runs"))
				}
			})
		})
	}
}

// A datacenter that is gone does not hold the others of an action: for a while at first, as Consul may be coming back.
func TestFailingMember(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		a, b := r.target("a", `{{key "k"}}`), r.target("b", `{{key "k"}}{{key "dead"}}`)
		a.Command, b.Command = r.appends("runs"), r.appends("runs")
		r.start(Config{Targets: []Target{a, b}})
		r.set(kv("k"), "1")
		elapse(time.Second)
		r.wantFile("a", "no file") // b has no error yet
		r.fail(kv("dead"), errGone)
		r.wantFile("a", "no file")
		elapse(holdMost)
		r.wantFile("a", "1")
		elapse(time.Minute)
		r.set(kv("k"), "2")
		r.wantFile("a", "2") // at once from now on
		r.wantFile("b", "no file")
		elapse(time.Minute)
		r.set(kv("dead"), "x")
		elapse(10 * time.Second)
		r.wantFile("b", "2x")
		elapse(time.Minute)
		r.set(kv("k"), "3")
		r.wantFile("a", "3")
		r.wantFile("b", "3x")
		if n := r.lines("runs"); n != 4 {
			t.Errorf("%d runs, want 4", n)
		}
	})
}

// When Consul comes back, an action's members go together, although their queries are answered one after the other.
func TestMembersGoTogetherAfterAnOutage(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		var cfg Config
		for i := range 20 {
			target := r.target(fmt.Sprint(i), fmt.Sprintf(`{{key "%d"}}`, i))
			target.Command = r.appends("runs")
			cfg.Targets = append(cfg.Targets, target)
			r.world.fail(kv(fmt.Sprint(i)), errGone)
		}
		r.start(cfg)
		elapse(time.Hour)
		for i := range 20 {
			r.world.set(kv(fmt.Sprint(i)), "v") // each watcher sees it when its back-off ends
		}
		elapse(time.Minute)
		r.wantFile("19", "v")
		if n := r.lines("runs"); n != 1 {
			t.Errorf("%d runs, want 1", n)
		}
	})
}

// A file that cannot be written does not hold the others of its action; when it can be, it is, without a change of data.
func TestUnwritableMember(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		a, b := r.target("a", `{{key "k"}}`), r.target("b", `{{key "k"}}`)
		a.Command, b.Command = r.appends("runs"), r.appends("runs")
		if err := os.Mkdir(b.Destination, 0o755); err != nil {
			t.Fatal(err)
		}
		r.start(Config{Targets: []Target{a, b}})
		r.set(kv("k"), "1")
		r.wantFile("a", "1")
		if n := r.lines("runs"); n != 1 {
			t.Errorf("%d runs", n)
		}
		r.wantLog("b: is a directory")
		if err := os.Remove(b.Destination); err != nil {
			t.Fatal(err)
		}
		elapse(10 * time.Second)
		r.wantFile("b", "1")
		elapse(time.Hour)
		if n := r.lines("runs"); n != 2 {
			t.Errorf("%d runs", n)
		}
	})
}

// What render writes, why, and how the command ended is one line.
func TestLogLine(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		target := r.target("a", `{{range service "web"}}{{.Address}} {{end}}{{key "secret"}}`)
		target.Command = run.Command{Shell: "echo reloaded"}
		r.world.set(kv("secret"), "canary")
		r.world.set(service("web"), instances("web", "a", "b", "c"))
		r.start(Config{Targets: []Target{target}})
		r.wantLog(`"msg":"rendered","files":"` + target.Destination + `","because":"first render","command":"echo reloaded"`)
		elapse(time.Minute)
		r.set(service("web"), instances("web", "a", "b", "c", "d"))
		r.wantLog(`"because":"service web: 3 → 4 instances"`)
		r.wantLog(`"output":"reloaded\n"`)
		elapse(time.Minute)
		r.set(service("web"), instances("web", "a", "b", "c", "e"))
		r.wantLog(`"because":"service web: changed, 4 instances"`)
		elapse(time.Minute)
		r.set(kv("secret"), "canary2")
		r.wantLog(`"because":"kv secret: changed"`)
		if strings.Contains(r.log.String(), "canary") {
			t.Errorf("a value is in the log:\n%s", r.log)
		}
	})
}

// An instance without a usable address is told of once, and takes nobody else down.
func TestDroppedInstances(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.start(Config{Targets: []Target{r.target("a", `{{range service "web"}}{{with hostport .}}{{.}};{{end}}{{end}}{{key "k"}}`)}})
		r.set(kv("k"), "1")
		r.set(service("web"), instances("web", "10.0.0.1", "evil;}"))
		r.wantFile("a", "10.0.0.1:80;1")
		r.set(kv("k"), "2")
		r.wantFile("a", "10.0.0.1:80;2")
		if n := r.log.count("instances are left out"); n != 1 {
			t.Errorf("%d reports:\n%s", n, r.log)
		}
		r.set(service("web"), instances("web", "10.0.0.1", "evil;}", "worse'"))
		if n := r.log.count("instances are left out"); n != 2 {
			t.Errorf("%d reports:\n%s", n, r.log)
		}
	})
}

// A place of a template that is probably a mistake is logged once, also where only a later answer leads to it, and again
// when the template is another. A pass that lacks an answer reports nothing.
func TestSuspectPlaces(t *testing.T) {
	const message = "template has a probable mistake"
	bubble(t, func(t *testing.T, r *rig) {
		target := r.target("a", `{{range service (key "name")}}{{end}}[{{(key "k" | parseJSON).x}}]`)
		r.start(Config{Targets: []Target{target}})
		if n := r.log.count(message); n != 0 {
			t.Errorf("before there are answers: %d reports:\n%s", n, r.log)
		}
		r.set(kv("name"), "")
		r.set(kv("k"), `{"x": 1}`)
		r.wantFile("a", "[1]")
		r.wantLog(`a.ctmpl:1:9","why":"the service has no name, so it has no instances"`)
		r.set(kv("k"), `{"y": "canary"}`)
		r.wantFile("a", "[<no value>]")
		r.wantLog(`a.ctmpl:1:41","why":"the field \"x\" does not exist, and <no value> is printed in its place; correct its name`)
		r.set(kv("k"), `{"z": "canary"}`)
		r.apply(Config{Targets: []Target{target}})
		if n := r.log.count(message); n != 2 || strings.Contains(r.log.String(), "canary") {
			t.Errorf("%d reports:\n%s", n, r.log)
		}

		target.Contents = "{{.}}"
		r.apply(Config{Targets: []Target{target}})
		r.wantFile("a", "<no value>")
		if n := r.log.count(message); n != 3 {
			t.Errorf("%d reports with another text:\n%s", n, r.log)
		}
	})
	bubble(t, func(t *testing.T, r *rig) {
		if err := r.run(t.Context(), Config{Once: true, Targets: []Target{r.target("a", "{{range service}}{{end}}{{.}}")}}); err != nil {
			t.Error(err)
		}
		if n := r.log.count(message); n != 2 {
			t.Errorf("%d reports of a run with Once:\n%s", n, r.log)
		}
	})
}

func TestEnvironment(t *testing.T) {
	t.Setenv("FROM_OUTSIDE", "outside")
	bubble(t, func(t *testing.T, r *rig) {
		target := r.target("a", `{{env "CONSUL_HTTP_ADDR"}} {{env "FROM_OUTSIDE"}}`)
		target.Command = run.Command{Shell: "echo $CONSUL_HTTP_ADDR $FROM_OUTSIDE > '" + r.path("seen") + "'"}
		r.start(Config{Targets: []Target{target}, Env: []string{"CONSUL_HTTP_ADDR=first", "CONSUL_HTTP_ADDR=consul:8500"}})
		r.wantFile("a", "consul:8500 outside")
		r.wantFile("seen", "consul:8500 outside\n")
	})
}

func TestStatusAfterTheEnd(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.start(Config{})
		if err := r.stop(); err != nil {
			t.Error(err)
		}
		if _, err := r.engine.Status(context.Background()); !errors.Is(err, proposal.ErrNotRunning) {
			t.Errorf("got %v", err)
		}
		engine, err := New(r.world, Config{})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		if _, err := engine.Status(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("before Run: got %v", err)
		}
	})
}

// A command that runs when the engine is stopped is let end.
func TestStopLetsCommandsEnd(t *testing.T) {
	r := newRig(t)
	target := r.target("a", "x")
	target.Command = run.Command{Shell: fmt.Sprintf("echo > '%s'; while [ ! -e '%s' ]; do sleep 0.01; done; echo > '%s'", r.path("begun"), r.path("go"), r.path("ended"))}
	r.start(Config{Targets: []Target{target}})
	r.await("the command", func() bool { return r.read("begun") != "no file" })
	time.AfterFunc(50*time.Millisecond, func() { r.write("go", "") })
	if err := r.stop(); err != nil {
		t.Error(err)
	}
	r.wantFile("ended", "\n")
	if left := r.read(".render-a.owed"); left != "no file" {
		t.Error("the mark is still there")
	}
}

// 1,000 starts and stops leave no goroutine and no file descriptor behind.
func TestStartStop(t *testing.T) {
	r := newRig(t)
	target := r.target("a", `{{key "k"}}{{range service "web"}}{{.Address}}{{end}}{{key "never"}}`)
	with := r.target("b", `{{key "k"}}`)
	with.Command = run.Command{Args: []string{"true"}}
	r.world.set(kv("k"), "v")
	cycle := func(i int) {
		r.world.set(kv("k"), fmt.Sprint(i))
		engine, err := New(r.world, Config{Targets: []Target{target, with}})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- engine.Run(ctx) }()
		if i%10 == 0 { // now and then with all that a commit does
			r.await("the file", func() bool { return r.read("b") == fmt.Sprint(i) })
		}
		cancel()
		if err := <-ended; err != nil {
			t.Fatal(err)
		}
	}
	cycle(0)
	goroutines, descriptors := runtime.NumGoroutine(), openDescriptors(t)
	for i := range 1000 {
		cycle(i)
	}
	r.await("the goroutines to end", func() bool { return runtime.NumGoroutine() <= goroutines })
	if n := openDescriptors(t); n > descriptors {
		t.Errorf("%d descriptors, %d before", n, descriptors)
	}
}

func openDescriptors(t *testing.T) int {
	entries, err := os.ReadDir("/dev/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(entries)
}
