package render

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"render/render/commit"
	"render/render/run"
	"render/watch"
)

// No snapshot and no record of a commit has the value of a key, a certificate, an argument of a program or the contents of a file that not
// everybody may read. What names strangers choose is text in JSON, and short.
func TestNothingSecret(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		const secret = "s3cr3t"
		hostile := "<script>\x00\x1b[31m\u202e" + strings.Repeat("x", 10<<10)
		r.passable()
		private := r.target("private", `{{key "password"}}{{range service "web"}}{{.Address}}{{.Node}}{{end}}`)
		private.File.Perms = 0o600
		mesh := r.target("mesh", `{{with caLeaf "web"}}{{.CertPEM}}{{.PrivateKeyPEM}}{{end}}`)
		nested := r.target("nested", `{{key (print "users/" (key "password"))}}`)
		failing := r.target("failing", `{{key "password"}}{{range service "web"}}{{.Node}}{{end}}`)
		failing.File.Perms = 0o600
		failing.Command = run.Command{Shell: "echo failed; cat " + failing.Destination + "; false"}
		rejected := r.target("rejected", `{{key "password"}}`)
		rejected.File.Perms = 0o600
		rejected.Implied = &Action{Check: run.Command{Shell: "cat {}; false"}}
		unverified := r.target("unverified", `{{key "password"}} again`)
		unverified.File.Perms = 0o600
		unverified.Implied = &Action{
			Command: run.Command{Shell: "true"}, Verify: commit.Verify{Command: run.Command{Shell: "cat " + unverified.Destination + "; false"}},
		}
		for _, t := range []Target{failing, rejected, unverified} {
			if err := os.WriteFile(t.Destination, []byte("old"), 0o600); err != nil {
				r.t.Fatal(err)
			}
		}
		r.start(Config{Targets: []Target{private, mesh, nested, failing, rejected, unverified}})
		long := strings.Repeat(secret, 20)
		web := instances("web", "10.0.0.1")
		web[0].Node = hostile
		r.set(service("web"), web)
		for i, value := range []string{long + "1", long + "2"} {
			r.set(kv("password"), value)
			r.set(watch.NewQuery(watch.KindCALeaf, "web", nil), &watch.LeafCert{CertPEM: fmt.Sprint(secret, i), PrivateKeyPEM: secret})
			elapse(time.Minute)
		}
		r.fail(kv("password"), errors.New("away"))
		elapse(time.Minute)

		s, err := json.Marshal(r.snapshot())
		if err != nil {
			t.Fatal(err)
		}
		commits, err := json.Marshal(r.engine.History().Commits())
		if err != nil {
			t.Fatal(err)
		}
		for name, text := range map[string]string{"the snapshot": string(s), "the history": string(commits)} {
			// Of a name that comes from an answer 24 bytes are shown, as in the log.
			if i := strings.Index(strings.ReplaceAll(text, "users/"+long[:24], ""), secret); i >= 0 {
				t.Errorf("%s has the secret: …%s", name, text[max(0, i-100):min(len(text), i+100)])
			}
			if strings.Contains(text, hostile[9:12]) || strings.Contains(text, "<script>") || len(text) > 100<<10 {
				t.Errorf("%s has %d bytes, or text of strangers", name, len(text))
			}
		}
		if n := strings.Count(string(commits), `"path"`); n < 4 {
			t.Errorf("the history has %d files: %s", n, commits)
		}
	})
}
