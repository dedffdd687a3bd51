package render

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"render/render/disk"
	"render/render/history"
	"render/render/run"
	"render/render/setting"
	"render/watch"
)

// A commit is in the history with its causes, files, steps and result; so is one that fails, and the one that repeats it.
func TestHistory(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.passable()
		target := r.target("a", "{{range service \"web\"}}{{.Address}}\n{{end}}")
		target.Command = r.appends("runs")
		r.start(Config{Targets: []Target{target}})
		web := watch.NewQuery(watch.KindService, "web", nil)
		r.set(web, instances("web", "1", "2"))
		r.wantFile("a", "1\n2\n")
		r.set(web, instances("web", "1", "2", "3"))
		elapse(time.Minute)
		all := r.engine.History().Commits()
		if len(all) != 2 {
			t.Fatalf("%d commits", len(all))
		}
		first, second := all[1], all[0]
		if c := first.Because; len(c) != 1 || c[0].Kind != history.OfFirst || first.Result != history.Applied || first.Files[0].OldSize != -1 {
			t.Errorf("the first: %+v", first)
		}
		f := second.Files
		if len(f) != 1 || f[0].Diff != "@@ -1,2 +1,3 @@\n 1\n 2\n+3\n" || f[0].Result != history.Written || f[0].OldSize != 4 || f[0].Size != 6 {
			t.Errorf("files of the second: %+v", f)
		}
		if c := second.Because; len(c) != 1 || c[0].Text != "service web: 2 → 3 instances" || c[0].Kind != history.OfQuery || c[0].Query == "" {
			t.Errorf("causes of the second: %+v", c)
		}
		if s := second.Steps; len(s) != 1 || s[0].Kind != "command" || s[0].Runs != 1 || second.Attempt != 1 {
			t.Errorf("steps of the second: %+v", s)
		}
		s := r.snapshot()
		if run := s.Actions[0].LastRun; run == nil || run.Commit != second.Number || run.Result != "applied" || s.Actions[0].ID != second.Action || s.Targets[0].ID != f[0].Target {
			t.Errorf("the last run of %+v: %+v", s.Actions[0], run)
		}
	})
}

// passable lets everybody pass the folder of a rig: that of a test is private.
func (r *rig) passable() {
	r.t.Helper()
	for _, dir := range []string{r.dir, filepath.Dir(r.dir)} {
		if err := os.Chmod(dir, 0o755); err != nil {
			r.t.Fatal(err)
		}
	}
	if folders := (*disk.Folders)(nil); !folders.ArePublic(r.path("a")) {
		r.t.Skipf("not everybody may pass the folder %s", r.dir)
	}
}

// What fails is rejected or undone, and the commit that repeats it is another attempt.
func TestHistoryFailures(t *testing.T) {
	for _, test := range []struct {
		name   string
		change func(*Action)
		result history.Result
		file   history.FileResult
		kind   string
	}{
		{"check", func(a *Action) { a.Check = run.Command{Shell: "echo no; false"} }, history.Rejected, history.Kept, "check"},
		{"command", func(a *Action) { a.Command = run.Command{Shell: "! grep -q 2 a"} }, history.Undone, history.Kept, "command"},
	} {
		t.Run(test.name, func(t *testing.T) {
			bubble(t, func(t *testing.T, r *rig) {
				r.passable()
				target := r.target("a", `{{key "k"}}`)
				target.Action = "act"
				action := Action{Name: "act"}
				if test.change(&action); action.Command.Shell != "" {
					action.Command.Shell = strings.ReplaceAll(action.Command.Shell, " a", " "+target.Destination)
				}
				if err := os.WriteFile(target.Destination, []byte("0\n"), 0o644); err != nil {
					t.Fatal(err)
				}
				r.start(Config{Targets: []Target{target}, Actions: []setting.Action{action}})
				r.set(kv("k"), "2\n")
				elapse(5 * time.Minute)
				all := r.engine.History().Commits()
				if len(all) < 2 {
					t.Fatalf("%d commits", len(all))
				}
				for i, c := range all[len(all)-2:] {
					attempt := 2 - i
					if c.Result != test.result || c.Attempt != attempt || c.Error == "" || c.Retry.IsZero() || len(c.Steps) == 0 || c.Steps[0].Kind != test.kind || c.Steps[0].Error == "" {
						t.Errorf("attempt %d: %+v", attempt, c)
					}
					if f := c.Files; len(f) != 1 || f[0].Result != test.file || f[0].Diff != "@@ -1 +1 @@\n-0\n+2\n" {
						t.Errorf("files of attempt %d: %+v", attempt, f)
					}
					if want := map[int]history.CauseKind{1: history.OfFirst, 2: history.OfRetry}[attempt]; c.Because[0].Kind != want {
						t.Errorf("causes of attempt %d: %+v", attempt, c.Because)
					}
				}
			})
		})
	}
}

// A diff is there only for text that everybody may read and that has nothing secret in it, nor had.
func TestHistoryDiffs(t *testing.T) {
	for _, test := range []struct {
		name   string
		old    string
		text   string
		change func(t *testing.T, r *rig, target *Target)
		noDiff string
	}{
		{"public", "old\n", `{{key "k"}}`, nil, ""},
		{"a mode", "old\n", `{{key "k"}}`, func(_ *testing.T, _ *rig, target *Target) { target.File.Perms = 0o640 }, "private"},
		{"an old file with a mode", "old\n", `{{key "k"}}`, func(t *testing.T, _ *rig, target *Target) {
			target.File.Perms = 0o644
			if err := os.Chmod(target.Destination, 0o600); err != nil {
				t.Fatal(err)
			}
		}, "private"},
		{"a folder", "old\n", `{{key "k"}}`, func(t *testing.T, r *rig, _ *Target) {
			if err := os.Chmod(r.dir, 0o700); err != nil {
				t.Fatal(err)
			}
		}, "private"},
		{"binary", "\x00", `{{key "k"}}`, nil, "binary"},
		{"large", strings.Repeat("x", 200<<10), `{{key "k"}}`, nil, "large"},
		{"secret", "old\n", `{{with caLeaf "web"}}{{.CertPEM}}{{end}}{{key "k"}}`, nil, "secret"},
	} {
		t.Run(test.name, func(t *testing.T) {
			bubble(t, func(t *testing.T, r *rig) {
				target := r.target("a", test.text)
				if err := os.WriteFile(target.Destination, []byte(test.old), 0o644); err != nil {
					t.Fatal(err)
				}
				r.passable()
				if test.change != nil {
					test.change(t, r, &target)
				}
				r.set(watch.NewQuery(watch.KindCALeaf, "web", nil), &watch.LeafCert{CertPEM: "secret\n"})
				r.start(Config{Targets: []Target{target}})
				r.set(kv("k"), "new\n")
				elapse(time.Minute)
				all := r.engine.History().Commits()
				if len(all) != 1 || len(all[0].Files) != 1 {
					t.Fatalf("%d commits", len(all))
				}
				f := all[0].Files[0]
				if f.NoDiff != test.noDiff || (f.Diff == "") != (test.noDiff != "") || f.OldSize != int64(len(test.old)) || f.Size == 0 {
					t.Errorf("got %+v", f)
				}
			})
		})
	}
}

// What is secret stays hidden when the next template has nothing secret: the lines that go away have it.
func TestHistorySecretGoes(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		target := r.target("a", `{{with caLeaf "web"}}{{.CertPEM}}{{end}}{{key "k"}}`)
		r.passable()
		r.set(watch.NewQuery(watch.KindCALeaf, "web", nil), &watch.LeafCert{CertPEM: "secret\n"})
		r.set(kv("k"), "1\n")
		r.start(Config{Targets: []Target{target}})
		r.wantFile("a", "secret\n1\n")
		next := target
		next.Contents = `{{key "k"}}`
		if err := r.engine.Apply(t.Context(), Config{Targets: []Target{next}}); err != nil {
			t.Fatal(err)
		}
		elapse(time.Second)
		r.wantFile("a", "1\n")
		r.set(kv("k"), "2\n")
		elapse(time.Second)
		r.wantFile("a", "2\n")
		var noDiffs []string
		for _, c := range r.engine.History().Commits() {
			noDiffs = append(noDiffs, c.Files[0].NoDiff)
			if strings.Contains(c.Files[0].Diff, "secret") {
				t.Errorf("a diff has the secret: %q", c.Files[0].Diff)
			}
		}
		if strings.Join(noDiffs, " ") != " secret secret" {
			t.Errorf("diffs: %q", noDiffs)
		}
	})
}

// A file that cannot be written leaves the others applied.
func TestHistoryPartial(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		a, b := r.target("a", `{{key "k"}}`), r.target("b", `{{key "k"}}`)
		a.Command, b.Command = r.appends("runs"), r.appends("runs")
		if err := os.Mkdir(b.Destination, 0o755); err != nil {
			t.Fatal(err)
		}
		r.start(Config{Targets: []Target{a, b}})
		r.set(kv("k"), "1")
		elapse(time.Second)
		all := r.engine.History().Commits()
		c := all[len(all)-1]
		if c.Result != history.Partial || len(c.Files) != 2 || c.Files[0].Result != history.Written || c.Files[1].Result != history.Kept || c.Files[1].Error == "" {
			t.Errorf("got %+v", c)
		}
	})
}

// counter counts what an engine does.
type counter struct {
	passes, failed int
	commits        []history.Result
}

func (c *counter) Committed(commit *history.Commit) { c.commits = append(c.commits, commit.Result) }

func (c *counter) Passed(_ time.Duration, failed bool) {
	if c.passes++; failed {
		c.failed++
	}
}

// An observer sees each pass and each commit, with the number that the commit has in the history.
func TestObserver(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		c := new(counter)
		r.start(Config{Targets: []Target{r.target("a", `{{key "k"}}`), r.target("b", `{{key "k" | parseInt}}`)}})
		r.engine.History().Observe(c)
		r.set(kv("k"), "text")
		elapse(time.Minute)
		if number := r.engine.History().Number(); c.failed == 0 || c.failed >= c.passes || number != 1 || len(c.commits) != 1 || c.commits[0] != history.Applied {
			t.Errorf("%+v, the history has %d", c, number)
		}
	})
}
