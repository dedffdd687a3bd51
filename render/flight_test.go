package render

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"render/render/commit"
	"render/render/graph"
	"render/render/run"
	"render/render/status"
)

// hold is the beginning of a command that, where the file "hold" is there, says so by "begun" and waits for "go".
const hold = "if [ -e hold ]; then rm hold; touch begun; while [ ! -e go ]; do sleep 0.01; done; fi; "

// A template is edited while an action is quiet, and edited back while the command of the commit in between runs. Whatever
// becomes of that commit, the file ends as its template says, and never empty.
func TestEditedBackInFlight(t *testing.T) {
	for name, command := range map[string]string{
		"the command succeeds": "true",
		"the command fails":    "! grep -q edited a",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			a, other := r.target("a", `good {{key "k"}}`), r.target("other", `{{key "o"}}`)
			r.world.set(kv("k"), "1")
			r.world.set(kv("o"), "1")
			cfg := of(Action{Command: r.sh(hold + "cat a >> seen; echo >> seen; " + command), Spacing: time.Millisecond}, a, other)
			cfg.WatchTemplates = true
			r.start(cfg)
			applied := func() bool {
				s := r.status().Targets
				return s[0].State == status.Applied && s[1].State == status.Applied
			}
			r.await("the first render", applied)
			r.write("hold", "")
			r.write("a.ctmpl", `edited {{key "k"}}`)
			r.await("the command", func() bool { return r.read("begun") != "no file" })
			r.wantFile("a", "edited 1")
			r.write("a.ctmpl", `good {{key "k"}}`)
			r.await("the previous text", func() bool { return r.log.count("templates changed") == 2 })
			r.write("go", "")
			r.await("the end", func() bool { return applied() && r.read("a") == "good 1" })
			r.world.set(kv("o"), "2") // something else of the same action changes
			r.await("the other", func() bool { return applied() && r.read("other") == "2" })
			r.wantFile("a", "good 1")
			if seen := r.read("seen"); strings.Contains(seen, "\n\n") || strings.HasPrefix(seen, "\n") {
				t.Errorf("the command saw an empty file: %q", seen)
			}
		})
	}
}

// An edit does not wait for a command that runs, and an answer that comes meanwhile is not lost.
func TestEditDoesNotWait(t *testing.T) {
	r := newRig(t)
	a, b := r.target("a", `{{key "k"}}`), r.target("b", `{{key "k"}}`)
	r.world.set(kv("k"), "1")
	b.Command = r.sh(hold + "true")
	r.start(Config{Targets: []Target{a, b}, WatchTemplates: true})
	r.await("the first render", func() bool { return r.read("a") == "1" && r.status().Targets[1].State == status.Applied })
	r.write("hold", "")
	r.world.set(kv("k"), "2")
	r.await("the command", func() bool { return r.read("begun") != "no file" })
	r.write("a.ctmpl", `new {{key "k"}}`)
	r.write("b.ctmpl", `new {{key "k"}}`)
	r.await("the edit", func() bool { return r.read("a") == "new 2" })
	r.world.set(kv("k"), "3")
	r.await("the answer", func() bool { return r.read("a") == "new 3" })
	r.wantFile("b", "2")
	r.write("go", "")
	r.await("the end", func() bool { return r.read("b") == "new 3" && r.status().Targets[1].State == status.Applied })
}

// A debt that moves to an action whose commit is in flight is not forgotten when that ends.
func TestDebtMovesInFlight(t *testing.T) {
	for _, busy := range []bool{false, true} {
		t.Run(fmt.Sprint("busy ", busy), func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			a, other := r.target("a", "x"), r.target("other", `{{key "o"}}`)
			a.Action, other.Action = "first", "next"
			first := Action{Name: "first", Command: run.Command{Shell: "exit 1"}}
			next := Action{Name: "next", Spacing: time.Millisecond, Command: r.sh("echo ran >> runs; " + hold)}
			r.world.set(kv("o"), "1")
			r.world.set(kv("none"), nil)
			r.start(Config{Targets: []Target{a, other}, Actions: []Action{first, next}})
			r.await("the debt", func() bool {
				s := r.status().Targets
				return r.read(".render-a.owed") != "no file" && r.lines("runs") == 1 && s[1].State == status.Applied && s[0].State == status.Failed
			})
			if busy {
				r.write("hold", "")
				r.world.set(kv("o"), "2")
				r.await("the command", func() bool { return r.read("begun") != "no file" })
			}
			before := r.lines("runs")
			r.write("a.ctmpl", `{{key "none"}}`) // blocked: what is owed is owed all the same
			a.Action = "next"
			applied := make(chan error, 1)
			go func() {
				applied <- r.engine.Apply(t.Context(), Config{Targets: []Target{a, other}, Actions: []Action{first, next}})
			}()
			if busy {
				r.await("the proposal", func() bool { return r.isComing() })
			}
			r.write("go", "")
			r.must(<-applied)
			r.await("the pending run", func() bool { return r.lines("runs") > before && r.read(".render-a.owed") == "no file" })
		})
	}
}

// Two actions that write one file: the second one fails, and both are named. When the first one writes it no more, the second does.
func TestWriteBelongsToOneTarget(t *testing.T) {
	r := newRig(t)
	r.write("shared", "v0")
	write := func(k string) string {
		return `{{with key "` + k + `"}}{{.}}{{if ne . "none"}}{{writeToFile "` + r.path("shared") + `" "" "" "0644" .}}{{end}}{{end}}`
	}
	a, b := r.target("a", write("a")), r.target("b", write("b"))
	a.Command = r.sh("! grep -q bad a")
	r.world.set(kv("a"), "from a")
	r.start(Config{Targets: []Target{a, b}})
	r.await("a", func() bool { return r.status().Targets[0].State == status.Applied })
	r.world.set(kv("b"), "from b")
	r.await("the conflict", func() bool { return r.status().Targets[1].State == status.Failed })
	err := fmt.Sprint(r.status().Targets[1].Err)
	if !strings.Contains(err, a.Source) || !strings.Contains(err, b.Source) || !strings.Contains(err, r.path("shared")) {
		t.Errorf("the error does not name both and the file: %s", err)
	}
	r.wantFile("shared", "from a")
	r.world.set(kv("a"), "bad") // is undone
	r.await("the undo", func() bool { return r.status().Targets[0].State == status.Failed })
	r.wantFile("shared", "from a")
	r.world.set(kv("a"), "none")
	r.await("b", func() bool { return r.read("shared") == "from b" && r.status().Targets[1].State == status.Applied })
}

// Somebody else's destination is not for writeToFile.
func TestWriteToDestination(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		b := r.target("b", `{{writeToFile "`+r.path("a")+`" "" "" "0644" "evil"}}`)
		r.start(Config{Targets: []Target{r.target("a", "good"), b}})
		elapse(time.Minute)
		r.wantFile("a", "good")
		if s := r.status().Targets[1]; s.State != status.Failed || !strings.Contains(fmt.Sprint(s.Err), r.path("a.ctmpl")) {
			t.Errorf("%s: %v", s.State, s.Err)
		}
	})
}

// Several targets append to one file: no line is lost, and none comes twice.
func TestAppendsOfMany(t *testing.T) {
	r := newRig(t)
	var cfg Config
	const n = 40
	for i := range n {
		cfg.Targets = append(cfg.Targets, r.target(fmt.Sprint("t", i), fmt.Sprintf(`{{key "k"}}{{writeToFile %q "" "" "0644" "append,newline" "line %d"}}`, r.path("journal"), i)))
	}
	r.start(cfg)
	r.world.set(kv("k"), "1")
	r.await("all", func() bool { return r.applied() })
	journal := r.read("journal")
	for i := range n {
		if c := strings.Count(journal, fmt.Sprintf("line %d\n", i)); c != 1 {
			t.Errorf("line %d is there %d times", i, c)
		}
	}
}

// applied reports whether all targets are.
func (r *rig) applied() bool {
	for _, s := range r.status().Targets {
		if s.State != status.Applied {
			return false
		}
	}
	return true
}

// What a command fails for is not appended; what it succeeds for is, once.
func TestAppendAfterSuccess(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		target := r.target("a", `{{key "k"}}{{writeToFile "`+r.path("journal")+`" "" "" "0644" "append,newline" (key "k")}}`)
		r.start(of(Action{Command: r.sh("[ ! -e broken ]")}, target))
		r.set(kv("k"), "1")
		elapse(10 * time.Second)
		r.wantFile("journal", "1\n")
		r.write("broken", "")
		r.set(kv("k"), "2")
		elapse(10 * time.Second)
		r.wantFile("journal", "1\n")
		r.must(os.Remove(r.path("broken")))
		elapse(5 * time.Minute)
		r.wantFile("a", "2")
		if s := r.status().Targets[0].State; s != status.Applied {
			t.Fatal(s)
		}
		r.wantFile("journal", "1\n2\n")
	})
}

// One change is one reload of the supervised program, however many files it has.
func TestProgramIsToldOnce(t *testing.T) {
	for _, on := range []run.OnChange{run.Restart, run.SendSignal} {
		t.Run(fmt.Sprint(on), func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			var targets []Target
			for i := range 30 {
				targets = append(targets, r.target(fmt.Sprint("t", i), `{{key "k"}}`))
			}
			r.world.set(kv("k"), "1")
			r.write("p", "trap 'echo HUP >> "+r.path("events")+"' HUP; trap 'exit 0' TERM; echo start >> "+r.path("events")+"; while :; do sleep 0.005; done")
			r.start(Config{Targets: targets, Exec: run.Program{
				Command: run.Command{Args: []string{"sh", r.path("p")}}, OnChange: on, Reload: syscall.SIGHUP, KillSignal: syscall.SIGTERM,
			}})
			r.await("the start", func() bool { return r.lines("events") == 1 })
			for i := 2; i < 5; i++ {
				r.world.set(kv("k"), fmt.Sprint(i))
				r.await("the files", func() bool { return r.read("t29") == fmt.Sprint(i) && r.applied() })
				r.await("the reload", func() bool { return r.lines("events") == i })
			}
			end := time.Now().Add(1500 * time.Millisecond) // longer than its spacing
			r.await("what should not come", func() bool { return time.Now().After(end) })
			if n := r.lines("events"); n != 4 {
				t.Errorf("%d starts and reloads, want 4: %s", n, r.read("events"))
			}
		})
	}
}

// A verification that asks the supervised program whether it has the new file comes after the program was told.
func TestVerifyAfterProgramIsTold(t *testing.T) {
	r := newRig(t)
	a := r.target("out", `{{key "k"}}`)
	r.world.set(kv("k"), "1")
	r.write("p", "trap 'cp out live' HUP; trap 'exit 0' TERM; cd '"+r.dir+"'; cp out live; while :; do sleep 0.01; done")
	cfg := of(Action{Verify: commit.Verify{Command: r.sh("cmp out live && ! grep -q bad live"), Within: 2 * time.Second, Every: 50 * time.Millisecond}, Spacing: time.Millisecond}, a)
	cfg.Exec = run.Program{Command: run.Command{Args: []string{"sh", r.path("p")}}, OnChange: run.SendSignal, Reload: syscall.SIGHUP, KillSignal: syscall.SIGTERM}
	r.start(cfg)
	r.await("the program", func() bool { return r.read("live") == "1" })
	r.world.set(kv("k"), "2")
	r.await("the new file", func() bool { return r.read("live") == "2" && r.applied() })
	r.world.set(kv("k"), "bad")
	r.await("the undo", func() bool {
		return r.log.count("verification failed, retrying; the previous files stay") > 0
	})
	r.await("the program to have the old file", func() bool { return r.read("live") == "2" && r.read("out") == "2" })
}

// A program of a template that hangs, or fails, holds nobody but its own target; it ends with the engine.
func TestPluginIsNotOnTheLoop(t *testing.T) {
	r := newRig(t)
	slow := r.target("slow", `{{key "slow"}}{{plugin "sh" "-c" "echo $$ >> `+r.path("pids")+`; sleep 1000"}}`)
	quick := r.target("quick", `{{key "quick"}}`)
	r.world.set(kv("quick"), "1")
	r.start(Config{Targets: []Target{slow, quick}})
	r.world.set(kv("slow"), "1")
	r.await("the program", func() bool { return r.lines("pids") == 1 })
	r.world.set(kv("quick"), "2")
	r.await("the other file", func() bool { return r.read("quick") == "2" })
	var pid int
	_, err := fmt.Sscan(r.read("pids"), &pid)
	r.must(err)
	began := time.Now()
	r.must(r.stop())
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("the end took %s", took)
	}
	r.await("the end of the program", func() bool { return !run.Alive(-pid) })
}

// R12: a program of a template that fails is run again.
func TestPluginIsRetried(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.start(Config{Targets: []Target{r.target("a", `{{key "k"}} {{plugin "test" "-e" "`+r.path("ok")+`"}}`)}})
		r.set(kv("k"), "v")
		elapse(time.Second)
		r.wantFile("a", "no file")
		r.write("ok", "")
		elapse(10 * time.Second)
		r.wantFile("a", "v ")
	})
}

// What a program prints is as new as the data of its template, one run for all templates that share it; an output that is the
// same leads to nothing.
func TestPluginRunsOnceAChange(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		program := `{{plugin "sh" "-c" "echo ran >> ` + r.path("runs") + `; cat ` + r.path("data") + `"}}`
		r.write("data", "one")
		r.world.set(kv("k"), "1")
		a, b := r.target("a", `{{key "k"}} `+program), r.target("b", program+` {{key "k"}}`)
		alone := r.target("alone", program)
		r.start(Config{Targets: []Target{a, b, alone}})
		elapse(5 * time.Second)
		r.wantFile("a", "1 one")
		r.wantFile("alone", "one")
		if n := r.lines("runs"); n != 1 {
			t.Errorf("%d runs at the start", n)
		}
		r.write("data", "two")
		r.set(kv("k"), "2")
		elapse(5 * time.Second)
		r.wantFile("a", "2 two")
		r.wantFile("b", "two 2")
		r.wantFile("alone", "two")
		if n := r.lines("runs"); n != 2 {
			t.Errorf("%d runs after a change", n)
		}
		elapse(24 * time.Hour)
		if n := r.lines("runs"); n != 2 {
			t.Errorf("%d runs a day later", n)
		}
	})
}

// A failing command is repeated no sooner than the spacing allows.
func TestR7RetrySpacing(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.start(of(Action{Command: r.sh("echo >> runs; ! grep -q bad a"), Spacing: time.Minute}, r.target("a", `{{key "k"}}`)))
		r.set(kv("k"), "good")
		elapse(2 * time.Minute)
		r.write("runs", "")
		r.set(kv("k"), "bad")
		elapse(59 * time.Second)
		if n := r.lines("runs"); n != 2 { // for the new file, and for the old one
			t.Errorf("%d runs of the command within a spacing of one minute", n)
		}
	})
}

// R13: what an atomic action owes does not wait for a member that is blocked.
func TestAtomicDebtDoesNotWait(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.start(of(Action{Command: r.sh("[ ! -e broken ] && cat a > seen"), Atomic: true, Spacing: time.Second}, r.target("a", `{{key "a"}}`), r.target("b", `{{key "b"}}`)))
		r.world.set(kv("a"), "1")
		r.set(kv("b"), "1")
		elapse(10 * time.Second)
		r.wantFile("seen", "1")
		r.write("broken", "")
		r.write("seen", "reloaded with something else")
		r.set(kv("a"), "2")
		elapse(5 * time.Second)
		r.wantFile("a", "1") // back, and the command is owed for it
		r.set(kv("b"), nil)  // is deleted
		elapse(5 * time.Second)
		r.must(os.Remove(r.path("broken")))
		elapse(5 * time.Minute)
		r.wantFile("seen", "1")
	})
}

// A member whose query neither answers nor fails holds the others of its action for ten seconds.
func TestSilentQueryDoesNotHoldOthers(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		a, b := r.target("a", `{{key "a"}}`), r.target("b", `{{key "b"}}`)
		r.start(of(Action{Command: r.appends("runs")}, a, b))
		r.set(kv("a"), "1")
		r.set(kv("b"), "1")
		elapse(time.Minute)
		r.wantFile("a", "1")
		b = r.target("b", `{{key "b"}}{{file "/mnt/hung"}}`)
		r.apply(of(Action{Command: r.appends("runs")}, a, b))
		r.set(kv("a"), "2")
		elapse(holdMost - time.Second)
		r.wantFile("a", "1")
		elapse(2 * time.Second)
		r.wantFile("a", "2")
	})
}

// A template that is blocked by one key does not gather queries without end, whether something is absent, pending or failed.
func TestR6BlockedTargetForgets(t *testing.T) {
	for name, blocker := range map[string]string{
		"absent": `{{key "absent"}}`, "pending": `{{key "silent"}}`, "failed": `{{parseInt (key "text")}}`, "failed before": `{{/**/}}`,
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, r *rig) {
				text := `{{range services}}{{range service .Name}}{{.Address}}{{end}}{{end}}` + blocker
				if name == "failed before" {
					text = `{{range services}}{{range service .Name}}{{.Address}}{{end}}{{index (service .Name) 7}}{{end}}`
				}
				r.start(Config{Targets: []Target{r.target("a", text)}})
				r.set(kv("absent"), nil)
				r.set(kv("text"), "x")
				for i := range 300 {
					name := fmt.Sprint("job-", i)
					r.world.set(service(name), instances(name, "10.0.0.1"))
					r.set(services, names(name))
					elapse(2 * time.Second)
				}
				if n := len(r.status().Queries); n > 4+graph.MaxKept {
					t.Errorf("%d queries are watched; the catalog has one service", n)
				}
			})
		})
	}
}

// The end does not take longer than the time limit of one command, whatever is being tried.
func TestStopWhileTryingAlone(t *testing.T) {
	r := newRig(t)
	var targets []Target
	for i := range 40 {
		targets = append(targets, r.target(fmt.Sprint("t", i), `{{key "k"}}`))
	}
	r.world.set(kv("k"), "1")
	r.start(of(Action{Check: r.sh("echo >> checks; sleep 0.2; false"), Timeout: time.Second}, targets...))
	r.await("a check", func() bool { return r.lines("checks") > 1 })
	began := time.Now()
	r.must(r.stop())
	if took := time.Since(began); took > 3*time.Second {
		t.Errorf("the end took %s, with %d checks", took, r.lines("checks"))
	}
}

// A second signal ends the supervised program at once, while a program of a template hangs.
func TestKillWhilePluginHangs(t *testing.T) {
	r := newRig(t)
	r.world.set(kv("k"), "1")
	r.start(Config{
		Targets: []Target{r.target("a", `x`), r.target("b", `{{if eq (key "k") "2"}}{{plugin "sh" "-c" "touch `+r.path("hangs")+`; sleep 1000"}}{{end}}`)},
		Exec:    run.Program{Command: run.Command{Shell: "echo $$ > '" + r.path("pid") + "'; exec sleep 1000"}},
	})
	r.await("the program", func() bool { return strings.HasSuffix(r.read("pid"), "\n") })
	var pid int
	_, err := fmt.Sscan(r.read("pid"), &pid)
	r.must(err)
	r.world.set(kv("k"), "2")
	r.await("the plugin", func() bool { return r.read("hangs") != "no file" })
	began := time.Now()
	r.engine.Kill()
	r.await("the end of the program", func() bool { return !run.Alive(pid) })
	if took := time.Since(began); took > 3*time.Second {
		t.Errorf("it lived for %s", took)
	}
	if err := r.stop(); err != nil { // the program has ended, and Run with it
		if _, ok := errors.AsType[*run.ExitError](err); !ok {
			t.Error(err)
		}
		r.stop = func() error { return nil }
	}
}

// A daemon has no time limit.
func TestTimeoutIsForOnce(t *testing.T) {
	r := newRig(t)
	if _, err := New(r.world, Config{Targets: []Target{r.target("a", "x")}, Timeout: time.Second}); err == nil {
		t.Error("a daemon with a time limit is accepted")
	}
}

// Names in Consul are as long as somebody likes; a command runs all the same.
func TestLongCause(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		long := strings.Repeat("s", 140_000)
		r.start(of(Action{Command: r.sh(`echo ${#RENDER_CAUSE} >> runs`)}, r.target("a", `{{range service "`+long+`"}}{{.Address}}{{end}}`)))
		r.set(service(long), instances("x", "10.0.0.1"))
		elapse(5 * time.Second)
		r.set(service(long), instances("x", "10.0.0.2"))
		elapse(5 * time.Second)
		r.wantFile("a", "10.0.0.2")
		if n := len(r.log.String()); n > 20_000 {
			t.Errorf("%d bytes of log", n)
		}
	})
}
