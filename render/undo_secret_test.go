package render

import (
	"os"
	"testing"
	"time"

	"render/render/commit"
	"render/watch"
)

// An undo does not restore credentials that have ended, or that end before it can be tried again; nor those of an earlier run, which
// nobody renews. What does not end is restored.
func TestUndoOfCredentials(t *testing.T) {
	query, err := watch.NewSecret("a")
	if err != nil {
		t.Fatal(err)
	}
	password := func(text string, lasts time.Duration) *watch.Secret {
		secret := &watch.Secret{Data: map[string]any{"password": text}}
		if lasts > 0 {
			secret = secret.Until(time.Now().Add(lasts), int(lasts.Seconds()))
		}
		return secret
	}
	command := func(r *rig) Action { return Action{Command: r.sh("[ ! -e broken ]")} }
	verification := func(r *rig) Action {
		return Action{Command: r.sh("true"), Verify: commit.Verify{Command: r.sh("[ ! -e broken ]"), Within: time.Millisecond}}
	}
	tests := []struct {
		name    string
		action  func(r *rig) Action
		lasts   time.Duration // the first answer
		used    time.Duration // until the second one
		restart bool
		undone  bool
	}{
		{"ends before the next attempt", func(r *rig) Action { return Action{Command: r.sh("[ ! -e broken ]"), Spacing: 30 * time.Minute} }, time.Hour, 40 * time.Minute, false, false},
		{"soon ended", command, time.Minute, 50 * time.Second, false, false},
		{"not accepted, soon ended", verification, time.Minute, 50 * time.Second, false, false},
		{"ends later", command, time.Hour, time.Minute, false, true},
		{"not accepted, ends later", verification, time.Hour, time.Minute, false, true},
		{"does not end", command, 0, time.Minute, false, true},
		{"of an earlier run", command, time.Hour, time.Minute, true, false},
		{"of an earlier run, does not end", command, 0, time.Minute, true, true},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			bubble(t, func(t *testing.T, r *rig) {
				cfg := of(test.action(r), r.target("a", `{{with secret "a"}}{{.Data.password}}{{end}}`))
				began := time.Now()
				r.world.set(query, password("1", test.lasts))
				r.start(cfg)
				elapse(5 * time.Second)
				r.wantFile("a", "1")
				elapse(test.used - 5*time.Second)
				r.write("broken", "")
				if test.restart {
					r.must(r.stop())
				}
				second := password("2", test.lasts)
				if test.lasts > 0 {
					second = password("2", 1000*time.Hour)
				}
				r.set(query, second)
				if test.restart {
					r.start(cfg)
				}
				elapse(5 * time.Second)
				r.wantFile("a", map[bool]string{true: "1", false: "2"}[test.undone])

				for range 80 { // as long as the action fails
					elapse(time.Minute)
					if test.lasts > 0 && time.Since(began) >= test.lasts {
						r.wantFile("a", "2")
					}
				}
				if test.lasts == 0 {
					r.wantFile("a", "1")
				}
				r.must(os.Remove(r.path("broken")))
				elapse(6*time.Minute + cfg.Actions[0].Spacing)
				r.wantFile("a", "2")
				r.wantClean()
			})
		})
	}
}

// After a start, an undo does not restore credentials of an earlier run either where the template waits for other answers.
func TestUndoOfCredentialsWhileBlocked(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		query, err := watch.NewSecret("a")
		r.must(err)
		lasting := func(password string, lasts time.Duration) *watch.Secret {
			secret := &watch.Secret{Data: map[string]any{"password": password}}
			return secret.Until(time.Now().Add(lasts), int(lasts.Seconds()))
		}
		cfg := of(Action{Command: r.sh("[ ! -e broken ]")}, r.target("a", `{{with secret "a"}}{{.Data.password}}{{end}}{{key "k"}}`))
		r.world.set(query, lasting("1", time.Minute))
		r.world.set(kv("k"), "k")
		r.start(cfg)
		elapse(50 * time.Second)
		r.wantFile("a", "1k")
		r.write("broken", "")
		r.set(query, lasting("2", 1000*time.Hour))
		elapse(20 * time.Second)
		r.wantFile("a", "2k")
		r.must(r.stop())

		r.set(kv("k"), nil)
		r.start(cfg)
		elapse(10 * time.Minute)
		r.wantFile("a", "2k")
		r.must(os.Remove(r.path("broken")))
		elapse(2 * time.Minute)
		r.wantFile("a", "2k")
	})
}
