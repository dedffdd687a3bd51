package render

import (
	"os"
	"strings"
	"testing"
	"time"

	"render/render/commit"
	"render/render/run"
	"render/watch"
)

// What checks, commands and verifications print is logged and in errors without the lines that have a secret of the files, be it the
// previous one. The other lines stay: the number of a line that is at fault, and the exit status.
func TestPrintedSecrets(t *testing.T) {
	const text = `{{with secret "db"}}password {{.Data.password}}{{end}} of {{key "name"}}`
	tests := []struct {
		name    string
		action  func(path string) Action
		command string
		old     string // in place at the start; "" for none
		want    string // in the log
	}{
		{"command", nil, `cat PATH; echo; echo "PATH:1: unused"`, "", `PATH:1: unused`},
		{"command fails", nil, `cat PATH; echo; echo "PATH:1: wrong"; exit 3`, "old", `exit status 3`},
		{"check of the new file", func(path string) Action {
			return Action{Check: run.Command{Shell: `cat {}; echo; echo "PATH:2: wrong"; exit 4`}}
		}, "", "", `PATH:2: wrong`},
		{"check of a later file", func(path string) Action {
			return Action{Check: run.Command{Shell: `grep -q '3t-1 ' {} && exit; cat PATH {}; echo; echo "PATH:2: wrong"; exit 4`}}
		}, "", "old", `PATH:2: wrong`},
		{"check in place", func(path string) Action {
			return Action{Check: run.Command{Shell: `cat PATH; echo; echo "PATH:3: wrong"; exit 5`}}
		}, "", "old", `PATH:3: wrong`},
		{"verification", func(path string) Action {
			return Action{Command: run.Command{Shell: "true"}, Verify: commit.Verify{Command: run.Command{Shell: `cat PATH; echo; echo "PATH:4: wrong"; exit 6`}, Within: time.Second}}
		}, "", "old", `PATH:4: wrong`},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			bubble(t, func(t *testing.T, r *rig) {
				r.passable()
				target := r.target("db", text)
				named := func(s string) string { return strings.ReplaceAll(s, "PATH", target.Destination) }
				if test.command != "" {
					target.Command = run.Command{Shell: named(test.command)}
				}
				if test.action != nil {
					a := test.action(target.Destination)
					a.Check.Shell, a.Command.Shell, a.Verify.Command.Shell = named(a.Check.Shell), named(a.Command.Shell), named(a.Verify.Command.Shell)
					target.Implied = &a
				}
				if test.old != "" {
					if err := os.WriteFile(target.Destination, []byte("password s3cr3t-0"), 0o600); err != nil {
						t.Fatal(err)
					}
				}
				r.start(Config{Targets: []Target{target}})
				r.set(kv("name"), "app")
				for _, password := range []string{"s3cr3t-1", "S3cr3t-2", "s3cr3t-3"} {
					r.set(r.queriesOf(watch.KindSecret)[0], &watch.Secret{Data: map[string]any{"password": password}})
					elapse(40 * time.Second)
				}
				log := strings.ToLower(r.log.String())
				if strings.Contains(log, "s3cr3t") {
					t.Errorf("the log has a secret:\n%s", r.log)
				}
				if want := strings.ToLower(named(test.want)); !strings.Contains(log, want) || !strings.Contains(log, "[a line with a secret]") {
					t.Errorf("the log has not %s:\n%s", want, r.log)
				}
			})
		})
	}
}

// Where old files are in place again, of which nobody knows what secrets are in them, only the size of what is printed is told.
func TestPrintedUnknownSecrets(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.passable()
		one, two := r.target("one", `{{with secret "db"}}{{.Data.password}}{{end}}`), r.target("two", `{{key "name"}}`)
		check := Action{Name: "both", Check: run.Command{Shell: "cat " + one.Destination + " " + two.Destination + "; grep -q good " + two.Destination}}
		one.Action, two.Action = "both", "both"
		for _, path := range []string{one.Destination, two.Destination} {
			if err := os.WriteFile(path, []byte("s3cr3t of an earlier run"), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		r.start(Config{Targets: []Target{one, two}, Actions: []Action{check}})
		r.set(kv("name"), "bad")
		r.set(r.queriesOf(watch.KindSecret)[0], &watch.Secret{Data: map[string]any{"password": "s3cr3t"}})
		elapse(2 * time.Minute)
		if log := r.log.String(); strings.Contains(log, "s3cr3t") || !strings.Contains(log, "bytes that may have secrets]") {
			t.Errorf("the log is\n%s", log)
		}
	})
}

// The same holds where a template of the action waits for an answer: the command reads its file of an earlier run.
func TestPrintedSecretsOfOthers(t *testing.T) {
	for _, status := range []string{"0", "1"} {
		bubble(t, func(t *testing.T, r *rig) {
			r.passable()
			one, two := r.target("one", `{{with secret "db"}}{{.Data.password}}{{end}}{{key "missing"}}`), r.target("two", `{{key "name"}}`)
			one.Action, two.Action = "both", "both"
			a := Action{Name: "both", Command: run.Command{Shell: "cat " + one.Destination + "; echo; echo line 7; exit " + status}}
			if err := os.WriteFile(one.Destination, []byte("s3cr3t of an earlier run"), 0o600); err != nil {
				t.Fatal(err)
			}
			r.start(Config{Targets: []Target{one, two}, Actions: []Action{a}})
			r.set(kv("name"), "app")
			r.set(kv("missing"), nil)
			r.set(r.queriesOf(watch.KindSecret)[0], &watch.Secret{Data: map[string]any{"password": "s3cr3t-1"}})
			elapse(10 * time.Second)
			if log := r.log.String(); strings.Contains(log, "s3cr3t") || !strings.Contains(log, "bytes that may have secrets]") {
				t.Errorf("status %s: the log is\n%s", status, log)
			}

			r.set(kv("missing"), "-here") // the file is replaced: all its secrets are known
			elapse(2 * time.Minute)
			if log := r.log.String(); strings.Contains(log, "s3cr3t") || !strings.Contains(log, "line 7") {
				t.Errorf("status %s: the log is then\n%s", status, log)
			}
		})
	}
}

// While a staged file is checked, all destinations have the files of an earlier run.
func TestPrintedSecretsBeforeSwap(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.passable()
		one := r.target("one", `password {{with secret "db"}}{{.Data.password}}{{end}}`)
		one.Implied = &Action{Check: run.Command{Shell: "diff " + one.Destination + " {}"}}
		if err := os.WriteFile(one.Destination, []byte("password s3cr3t of an earlier run"), 0o600); err != nil {
			t.Fatal(err)
		}
		r.start(Config{Targets: []Target{one}})
		r.set(r.queriesOf(watch.KindSecret)[0], &watch.Secret{Data: map[string]any{"password": "s3cr3t-1"}})
		elapse(2 * time.Minute)
		if log := r.log.String(); strings.Contains(log, "s3cr3t") || !strings.Contains(log, "bytes that may have secrets]") {
			t.Errorf("the log is\n%s", log)
		}
	})
}
