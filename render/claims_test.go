package render

import (
	"fmt"
	"log/slog"
	"os"
	"strings"
	"testing"
	"time"

	"render/render/run"
	"render/render/status"
	"render/render/supervise"
)

// A target that waits for a path and is removed does not run again when the path is free.
func TestClaimOfARemovedTarget(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		shared := r.path("shared")
		a := r.target("a", `{{key "a"}}{{if ne (key "a") "none"}}{{writeToFile "`+shared+`" "" "" "0644" "from a"}}{{end}}`)
		b := r.target("b", `{{key "b"}}{{writeToFile "`+shared+`" "" "" "0644" "from b"}}`)
		r.start(Config{Targets: []Target{a, b}})
		r.set(kv("a"), "1")
		r.set(kv("b"), "1")
		elapse(time.Second)
		if s := r.status().Targets[1].State; s != status.Failed {
			t.Fatal(s)
		}
		r.apply(Config{Targets: []Target{a}}) // the operator removes the second one
		elapse(time.Second)
		r.set(kv("a"), "2")
		elapse(2 * time.Minute)
		if r.engine.sums.failed != 0 || len(r.engine.blocked) != 0 {
			t.Errorf("a removed target counts: %+v", r.engine.sums)
		}
		r.set(kv("a"), "none")
		elapse(time.Minute)
		r.set(kv("b"), "2")
		elapse(time.Minute)
		if got := r.read("b"); got != "no file" {
			t.Errorf("the file of a removed target was written: %q", got)
		}
	})
}

// A target that waited for a path, and was removed, does not keep the supervised program from its start.
func TestClaimOfARemovedTargetAndProgram(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		shared := r.path("shared")
		a := r.target("a", `{{key "a"}}{{writeToFile "`+shared+`" "" "" "0644" "from a"}}`)
		b := r.target("b", `{{key "b"}}{{writeToFile "`+shared+`" "" "" "0644" "from b"}}`)
		c := r.target("c", `{{key "c"}}`)
		started := 0
		f := &flight{r: r, t: t, calm: true}
		outside := &programs{start: func(p run.Program, _ []string, _ *slog.Logger) supervise.Child {
			started++
			return instant{&fakeChild{f: f, program: p, ended: make(chan error, 1)}}
		}}
		cfg := Config{Targets: []Target{a, b, c}, Exec: run.Program{Command: run.Command{Args: []string{"p"}}}, outside: outside}
		r.start(cfg)
		r.set(kv("a"), "1")
		r.set(kv("b"), "1")
		elapse(time.Second)
		cfg.Targets = []Target{a, c}
		r.apply(cfg)
		r.set(kv("a"), "2")
		elapse(time.Minute)
		r.set(kv("c"), "1")
		elapse(time.Minute)
		s := r.status()
		if s.Targets[0].State != status.Applied || s.Targets[1].State != status.Applied {
			t.Fatal(s.Targets)
		}
		if s.ProgramWaits || started != 1 {
			t.Errorf("all targets are applied, and the program was started %d times: %+v", started, r.engine.sums)
		}
	})
}

// A target that wrote what was the destination of another one writes it when that is removed.
func TestClaimOfADestinationThatGoes(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		a := r.target("a", `main`)
		b := r.target("b", `x{{writeToFile "`+r.path("a")+`" "" "" "0644" "from b"}}`)
		r.start(Config{Targets: []Target{a, b}})
		elapse(time.Minute)
		if s := r.status().Targets[1].State; s != status.Failed {
			t.Fatal(s)
		}
		r.apply(Config{Targets: []Target{b}})
		elapse(24 * time.Hour)
		if s := r.status().Targets[0]; s.State != status.Applied {
			t.Errorf("a day later: %s: %v", s.State, s.Err)
		}
	})
}

// A target that does not want a path any more does not run when it is free.
func TestClaimGivenUp(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		shared := r.path("shared")
		a := r.target("a", `{{key "a"}}{{writeToFile "`+shared+`" "" "" "0644" "from a"}}`)
		b := r.target("b", `{{if eq (key "b") "w"}}{{writeToFile "`+shared+`" "" "" "0644" "from b"}}{{end}}`)
		r.start(Config{Targets: []Target{a, b}})
		r.set(kv("a"), "1")
		r.set(kv("b"), "w")
		elapse(time.Second)
		r.set(kv("b"), "no")
		elapse(time.Second)
		if s := r.status().Targets[1].State; s != status.Applied {
			t.Fatal(s)
		}
		r.set(kv("a"), "2")
		elapse(24 * time.Hour)
		if s := r.status().Targets[1].State; s != status.Applied {
			t.Errorf("a day later the other target is %s", s)
		}
	})
}

// A path belongs to a target as long as a commit that writes it is in flight: the undo of that commit takes nothing from
// another target.
func TestClaimInFlight(t *testing.T) {
	r := newRig(t)
	shared := r.path("shared")
	w := func(k, from string) string {
		return `{{with key "` + k + `"}}{{.}}{{if eq . "w"}}{{writeToFile "` + shared + `" "" "" "0644" "` + from + `"}}{{end}}{{end}}`
	}
	a, b := r.target("a", w("a", "from a")), r.target("b", w("b", "from b"))
	a.Command = r.sh(hold + "! grep -q w a")
	r.world.set(kv("a"), "0")
	r.world.set(kv("b"), "0")
	r.start(Config{Targets: []Target{a, b}, WatchTemplates: true})
	r.await("the first render", r.applied)
	r.write("hold", "")
	r.world.set(kv("a"), "w")
	r.await("the command", func() bool { return r.read("begun") != "no file" })
	r.wantFile("shared", "from a")
	r.write("a.ctmpl", `{{key "a"}} edited`) // it does not write the file any more
	r.await("the edit", func() bool { return r.log.count("templates changed") == 1 })
	r.world.set(kv("b"), "w")
	r.await("the conflict", func() bool { return r.status().Targets[1].State == status.Failed })
	r.write("go", "")
	r.await("b", func() bool { return r.status().Targets[1].State == status.Applied })
	r.await("the end of a's commit", func() bool {
		return !r.status().Actions[0].Busy && r.status().Actions[0].Failures > 0 || r.status().Targets[0].State == status.Applied
	})
	r.wantFile("shared", "from b")
}

// A target that waits for a path runs at once when a pass frees it, also where nothing else happens.
func TestClaimFreedByAHeldTarget(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		shared := r.path("shared")
		a := r.target("a", `{{with key "a"}}{{.}}{{if eq . "w"}}{{writeToFile "`+shared+`" "" "" "0644" "from a"}}{{end}}{{end}}`)
		m := r.target("m", `{{key "m"}}`)
		b := r.target("b", `{{key "b"}}{{writeToFile "`+shared+`" "" "" "0644" "from b"}}`)
		cfg := of(Action{Command: r.sh("true"), Atomic: true, Spacing: time.Millisecond}, a, m)
		cfg.Targets = append(cfg.Targets, b)
		r.start(cfg)
		r.world.set(kv("m"), "1")
		r.set(kv("a"), "w")
		r.set(kv("b"), "1")
		elapse(10 * time.Second)
		r.set(kv("m"), nil) // the atomic action waits
		elapse(2 * time.Minute)
		r.set(kv("a"), "none")
		elapse(5 * time.Second)
		if got := r.read("shared"); got != "from b" {
			t.Errorf("5 s after the path is free it holds %q", got)
		}
	})
}

// A path that becomes a destination does not belong any more to the target that has written it so far.
func TestClaimOfANewDestination(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		a := r.target("a", `x{{writeToFile "`+r.path("b")+`" "" "" "0644" "from a"}}`)
		r.start(Config{Targets: []Target{a}})
		elapse(time.Minute)
		r.wantFile("b", "from a")
		r.apply(Config{Targets: []Target{a, r.target("b", "from b")}})
		elapse(time.Hour)
		s := r.status().Targets
		if s[0].State == status.Applied && s[1].State == status.Applied {
			t.Errorf("both are applied, and the file holds %q", r.read("b"))
		}
	})
}

// A conflict is logged when it begins, and not with each pass of the other target.
func TestClaimLogsOnce(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		shared := r.path("shared")
		a := r.target("a", `{{key "a"}}{{writeToFile "`+shared+`" "" "" "0644" "from a"}}`)
		b := r.target("b", `{{key "b"}}{{writeToFile "`+shared+`" "" "" "0644" "from b"}}`)
		r.start(Config{Targets: []Target{a, b}})
		r.set(kv("a"), "1")
		r.set(kv("b"), "1")
		elapse(time.Second)
		for i := range 100 {
			r.set(kv("a"), time.Duration(i).String())
			elapse(2 * time.Second)
		}
		if n := r.log.count("template failed; its file stays as it is"); n > 5 {
			t.Errorf("%d errors in the log, %d passes of b", n, r.status().Targets[1].Passes)
		}
	})
}

// A path of writeToFile that leads to the file of another target, by a link further up, is an error as if the names were equal,
// and the other target's file is written again.
func TestClaimByAnotherName(t *testing.T) {
	for name, test := range map[string]struct{ a, b string }{
		"two files":                     {`{{key "a"}}{{writeToFile "DIR/real/sub/x" "" "" "0644" "from a"}}`, `{{key "b"}}{{writeToFile "DIR/link/sub/x" "" "" "0644" "from b"}}`},
		"two other names":               {`{{key "a"}}{{writeToFile "DIR/link/sub/x" "" "" "0644" "from a"}}`, `{{key "b"}}{{writeToFile "DIR/other/sub/x" "" "" "0644" "from b"}}`},
		"a file and one to append to":   {`{{key "a"}}{{writeToFile "DIR/real/sub/x" "" "" "0644" "from a"}}`, `{{key "b"}}{{writeToFile "DIR/link/sub/x" "" "" "0644" "append" "from b"}}`},
		"a link that leads to a target": {`{{if keyExists "a"}}from a{{end}}`, `{{key "b"}}{{writeToFile "DIR/link/sub/x" "" "" "0644" "from b"}}`},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, r *rig) {
				linked(r)
				text := func(s string) string { return strings.ReplaceAll(s, "DIR", r.dir) }
				a, b := r.target("a", text(test.a)), r.target("b", text(test.b))
				if !strings.Contains(test.a, "writeToFile") {
					a.Destination = r.path("real/sub/x")
				}
				r.start(Config{Targets: []Target{a, b}, WatchTemplates: true})
				r.set(kv("a"), "1")
				elapse(time.Minute)
				r.set(kv("b"), "1")
				elapse(time.Minute)
				r.wantFile("real/sub/x", "from a")
				s := r.status().Targets
				if s[0].State != status.Applied || s[1].State != status.Failed {
					t.Fatalf("the targets are %s and %s", s[0].State, s[1].State)
				}
				err := s[1].Err.Error()
				if !strings.Contains(err, b.Source) || !strings.Contains(err, a.Source) || !strings.Contains(err, "/sub/x") {
					t.Errorf("the error does not name both: %s", err)
				}
				passes := s[1].Passes
				elapse(24 * time.Hour)
				if more := r.status().Targets[1].Passes - passes; more > 0 {
					t.Errorf("%d passes without a change", more)
				}

				// The path is free again.
				if strings.Contains(test.a, "writeToFile") {
					r.write("a.ctmpl", `{{key "a"}} alone`)
					r.engine.templates.Touch()
				} else {
					r.apply(Config{Targets: []Target{b}, WatchTemplates: true})
				}
				elapse(time.Minute)
				if strings.Contains(test.b, "append") { // the same is not appended again
					r.set(kv("b"), "2")
					elapse(time.Minute)
				}
				if got := r.read("real/sub/x"); !strings.HasSuffix(got, "from b") {
					t.Errorf("the path is free, and it holds %q", got)
				}
			})
		})
	}
}

// linked makes a folder with two links to it.
func linked(r *rig) {
	for _, err := range []error{
		os.MkdirAll(r.path("real/sub"), 0o755), os.Symlink("real", r.path("link")), os.Symlink("real", r.path("other")),
	} {
		if err != nil {
			r.t.Fatal(err)
		}
	}
}

// Two targets of one action by two names: the one that has the path first keeps it.
func TestClaimByAnotherNameInOneCommit(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		linked(r)
		a := r.target("a", `{{key "k"}}{{writeToFile "`+r.path("real/sub/x")+`" "" "" "0644" "from a"}}`)
		b := r.target("b", `{{key "k"}}{{writeToFile "`+r.path("link/sub/x")+`" "" "" "0644" "from b"}}`)
		r.start(of(Action{Command: r.sh("cat real/sub/x > seen")}, a, b))
		r.set(kv("k"), "1")
		elapse(5 * time.Minute)
		s := r.status().Targets
		if s[0].State != status.Applied || s[1].State != status.Failed {
			t.Errorf("the targets are %s and %s: %v, %v", s[0].State, s[1].State, s[0].Err, s[1].Err)
		}
		r.wantFile("real/sub/x", "from a")
		r.wantFile("seen", "from a")
	})
}

// Another target's file that is overwritten by another name while a commit of it is in flight is written again.
func TestClaimByAnotherNameInFlight(t *testing.T) {
	r := newRig(t)
	linked(r)
	a := r.target("a", `{{key "a"}}{{writeToFile "`+r.path("real/sub/x")+`" "" "" "0644" "from a"}}`)
	b := r.target("b", `{{key "b"}}{{writeToFile "`+r.path("link/sub/x")+`" "" "" "0644" "from b"}}`)
	a.Command = r.sh(hold + "true")
	r.write("hold", "")
	r.world.set(kv("a"), "1")
	r.start(Config{Targets: []Target{a, b}})
	r.await("the command", func() bool { return r.read("begun") != "no file" })
	r.wantFile("real/sub/x", "from a")
	r.world.set(kv("b"), "1")
	r.await("the error", func() bool { return r.status().Targets[1].State == status.Failed })
	r.wantFile("real/sub/x", "from b")
	r.write("go", "")
	r.await("a", func() bool { return r.status().Targets[0].State == status.Applied })
	r.wantFile("real/sub/x", "from a")
}

// One target may write a file by two names of its folder; a path by a link belongs to it as long as it is written.
func TestClaimByALinkAlone(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		linked(r)
		a := r.target("a", `{{key "a"}}{{writeToFile "`+r.path("link/sub/x")+`" "" "" "0644" (key "a")}}`)
		r.start(Config{Targets: []Target{a}})
		for i := range 3 {
			r.set(kv("a"), fmt.Sprint(i))
			elapse(time.Minute)
			r.wantFile("real/sub/x", fmt.Sprint(i))
		}
		if s := r.status().Targets[0]; s.State != status.Applied || s.Passes > 6 {
			t.Errorf("%s after %d passes", s.State, s.Passes)
		}
		r.wantClean()
	})
}
