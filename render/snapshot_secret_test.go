package render

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
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
		vault := r.target("vault", `{{with secret "db"}}{{.Data.password}}{{.Auth.ClientToken}}{{end}} {{with pkiCert "pki/issue/web" "common_name=s3cr3t"}}{{.Key}}{{end}}`)
		vault.Command = run.Command{Shell: "echo failed; cat " + vault.Destination + "; false"}
		written := r.target("written", `{{with secret "app" "password=s3cr3t"}}{{index .Data.list 0}}{{end}}`)
		written.Implied = &Action{Check: run.Command{Shell: "cat {}; false"}}
		broken := r.target("broken", `{{with secret "db"}}{{parseInt .Data.password}}{{end}}`)
		for _, t := range []Target{failing, rejected, unverified, vault, written} {
			if err := os.WriteFile(t.Destination, []byte("old"), 0o600); err != nil {
				r.t.Fatal(err)
			}
		}
		r.start(Config{Targets: []Target{private, mesh, nested, failing, rejected, unverified, vault, written, broken}})
		long := strings.Repeat(secret, 20)
		web := instances("web", "10.0.0.1")
		web[0].Node = hostile
		r.set(service("web"), web)
		for i, value := range []string{long + "1", long + "2"} {
			r.set(kv("password"), value)
			r.set(watch.NewQuery(watch.KindCALeaf, "web", nil), &watch.LeafCert{CertPEM: fmt.Sprint(secret, i), PrivateKeyPEM: secret})
			for _, q := range r.queriesOf(watch.KindSecret, watch.KindSecretWrite) {
				r.set(q, &watch.Secret{
					Data: map[string]any{"password": value, "list": []any{value}}, Auth: &watch.SecretAuth{ClientToken: value},
				})
			}
			for _, q := range r.queriesOf(watch.KindPKICert) {
				r.set(q, &watch.PKICert{Cert: value, Key: value})
			}
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
		log := slices.DeleteFunc(slices.Collect(strings.Lines(r.log.String())), func(line string) bool {
			return strings.Contains(line, "failed; cat") || strings.Contains(line, `"output"`) || strings.Contains(line, "it said") // what commands print, which cat the files
		})
		if len(log) < 5 {
			t.Errorf("the log is %s", log)
		}
		for name, text := range map[string]string{"the snapshot": string(s), "the history": string(commits), "the log": strings.Join(log, "")} {
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

// queriesOf returns the queries of some kinds that the engine watches.
func (r *rig) queriesOf(kinds ...string) (all []watch.Query) {
	r.world.mu.Lock()
	defer r.world.mu.Unlock()
	for q, n := range r.world.open {
		if n > 0 && slices.Contains(kinds, q.Kind) {
			all = append(all, q)
		}
	}
	return all
}

// A file with a secret that everybody can read is warned of once, with the mode to set.
func TestReadersOfSecrets(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.passable()
		const of = `{{with secret "db"}}{{.Data.password}}{{end}}`
		open, shared, certificate := r.target("open", of), r.target("shared", of), r.target("certificate", `{{with secret "db"}}{{.Data.certificate}}{{end}}`)
		shared.File.Perms = 0o640
		hidden, plain := r.target("hidden", of), r.target("plain", `{{with secrets "db/"}}{{index . 0}}{{end}}`)
		hidden.Destination = r.path("private/hidden")
		if err := os.Mkdir(r.path("private"), 0o700); err != nil {
			t.Fatal(err)
		}
		written := r.target("written", `{{with secret "db"}}{{writeToFile "`+r.path("key")+`" "" "" "0644" .Data.password}}{{end}}`)
		written.File.Perms = 0o600
		variable, mesh := r.target("variable", `{{with nomadVar "app"}}{{.password}}{{end}}`), r.target("mesh", `{{with caLeaf "web"}}{{.PrivateKeyPEM}}{{end}}`)
		names := r.target("names", `{{len (nomadVarList "app")}}`)
		r.start(Config{Targets: []Target{open, shared, certificate, hidden, plain, written, variable, mesh, names}})
		list, err := watch.NewSecrets("db/")
		if err != nil {
			t.Fatal(err)
		}
		r.set(list, []string{"a"})
		for _, q := range r.queriesOf(watch.KindNomadVar, watch.KindCALeaf, watch.KindNomadVars) {
			r.set(q, map[string]any{
				watch.KindNomadVar: watch.NewNomadVar(watch.NomadVarMeta{Path: "app"}, map[string]string{"password": "x"}), watch.KindCALeaf: &watch.LeafCert{PrivateKeyPEM: "x"},
				watch.KindNomadVars: []*watch.NomadVarMeta{{Path: "app"}},
			}[q.Kind])
		}
		for i := range 3 {
			r.set(r.queriesOf(watch.KindSecret)[0], &watch.Secret{Data: map[string]any{
				"password": fmt.Sprint("password ", i), "certificate": "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
			}})
			elapse(time.Minute)
		}

		r.wantFile("open", "password 2")
		r.wantFile("names", "1")
		for _, path := range []string{open.Destination, r.path("key"), variable.Destination, mesh.Destination} {
			if n := strings.Count(r.log.String(), path+" is made of a secret, and all users can read it: its mode is 0644; set perms to 0640"); n != 1 {
				t.Errorf("%d warnings of %s:\n%s", n, path, r.log)
			}
		}
		if n := strings.Count(r.log.String(), "is made of a secret"); n != 4 {
			t.Errorf("%d warnings:\n%s", n, r.log)
		}
	})
}
