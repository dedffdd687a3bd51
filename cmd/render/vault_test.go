package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"render/watch/vaulttest"
)

// startVault starts a real Vault with a database, of which db/creds/app brings users.
func startVault(t *testing.T) (*vaulttest.Server, *vaulttest.Database) {
	t.Helper()
	server := vaulttest.Start(t)
	db := server.NewDatabase(t, "db")
	db.NewRole(t, "app", time.Hour, 2*time.Hour)
	return server, db
}

// reload has a daemon read its configuration again, and waits for that.
func (d *daemon) reload() {
	d.t.Helper()
	n := strings.Count(d.said(), `"configuration reloaded"`)
	check(d.t, d.cmd.Process.Signal(syscall.SIGHUP))
	awaits(d.t, func() error {
		if now := strings.Count(d.said(), `"configuration reloaded"`); now <= n {
			return fmt.Errorf("%d reloads", now)
		}
		return nil
	})
}

// Nobody gets a second lease for a reload, for other settings of Consul, for a template that is edited, or for a second template that
// uses the same secret. When no template uses it any more the lease ends. Consul is not there, and not needed.
func TestVaultLeasesAreKept(t *testing.T) {
	t.Parallel()
	server, db := startVault(t)
	dir := t.TempDir()
	in := func(name string) string { return filepath.Join(dir, name) }
	token, more := server.Token, ""
	config := func(consul, templates string) {
		write(t, in("render.hcl"), fmt.Sprintf("perms = 0600\nspacing = \"0s\"\nconsul { address = %q }\nvault {\n  address = %q\n  token = %q\n%s}\n%s", consul, server.Addr, token, more, templates))
	}
	const first = "template {\n  source = \"in.ctmpl\"\n  destination = \"out\"\n  command = \"cat out >>journal\"\n}\n"
	const second = "template {\n  contents = \"{{with secret `db/creds/app`}}{{.Data.password}}{{end}}\"\n  destination = \"second\"\n}\n"
	write(t, in("in.ctmpl"), "{{with secret `db/creds/app`}}{{.Data.username}} {{.Data.password}}\n{{end}}")
	config("127.0.0.1:1", first)
	d := startRender(t, dir, "--config", "render.hcl")
	var credentials string
	awaits(t, func() error {
		text, err := os.ReadFile(in("journal"))
		if credentials = strings.TrimSpace(string(text)); err == nil && credentials == "" {
			err = fmt.Errorf("no credentials yet")
		}
		return err
	})
	one := func(after string) {
		t.Helper()
		if users := db.Users(t); len(users) != 1 {
			t.Fatalf("%d users %s", len(users), after)
		}
	}
	one("at first")
	if user, password, _ := strings.Cut(credentials, " "); !db.Accepts(user, password) {
		t.Fatal("Vault does not know the credentials")
	}

	d.reload()
	one("after a reload")
	config("127.0.0.1:2", first)
	d.reload()
	awaits(t, d.saying("consul.address"))
	one("after a reload with other settings of Consul")
	more = "  revoke_on_stop = true\n  timeout = \"20s\"\n  poll { \"secret/\" = \"10s\" }\n"
	config("127.0.0.1:2", first)
	d.reload()
	one("after a reload with other settings of Vault")
	write(t, in("in.ctmpl"), "edited {{with secret `db/creds/app`}}{{.Data.username}} {{.Data.password}}{{end}}")
	awaits(t, contains(in("out"), "edited "+credentials))
	one("after an edit")
	config("127.0.0.1:2", first+second)
	d.reload()
	user, password, _ := strings.Cut(credentials, " ")
	awaits(t, contains(in("second"), password))
	one("after another template has come")

	// With another token there are other credentials. The previous ones work until then, whatever happens when render stops.
	token = server.NewToken(t, map[string]any{"policies": []string{"root"}})
	config("127.0.0.1:2", first)
	d.reload()
	if !db.Accepts(user, password) {
		t.Error("a reload with another token has ended the credentials at once")
	}
	awaits(t, func() error {
		if text, _ := os.ReadFile(in("out")); strings.Contains(string(text), credentials) {
			return fmt.Errorf("the file has the credentials of the previous token")
		}
		return nil
	})
	if users := db.Users(t); len(users) != 2 {
		t.Errorf("%d users after a reload with another token", len(users))
	}
	server.Put(t, "sys/leases/revoke-prefix/db", nil)

	write(t, in("in.ctmpl"), "nothing")
	config("127.0.0.1:2", first)
	d.reload()
	awaits(t, contains(in("out"), "nothing"))
	awaits(t, func() error {
		if users := db.Users(t); len(users) > 0 {
			return fmt.Errorf("%d users that nobody uses", len(users))
		}
		return nil
	})
	d.stop()
}

// wrappedToken makes a token, and returns another that unwraps to it, once.
func wrappedToken(t *testing.T, server *vaulttest.Server) string {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPut, server.Addr+"/v1/auth/token/create", strings.NewReader(`{"ttl": "1h"}`))
	check(t, err)
	req.Header.Set("X-Vault-Token", server.Token)
	req.Header.Set("X-Vault-Wrap-TTL", "1h")
	resp, err := http.DefaultClient.Do(req)
	check(t, err)
	defer resp.Body.Close()
	var answer struct {
		Info struct{ Token string } `json:"wrap_info"`
	}
	check(t, json.NewDecoder(resp.Body).Decode(&answer))
	return answer.Info.Token
}

// Other settings of Vault are in effect after a reload, with new leases. A wrapping token is unwrapped once. What cannot be used
// changes nothing.
func TestVaultSettingsReload(t *testing.T) {
	t.Parallel()
	server, db := startVault(t)
	dir := t.TempDir()
	in := func(name string) string { return filepath.Join(dir, name) }
	token := wrappedToken(t, server)
	config := func(vault string) {
		write(t, in("render.hcl"), fmt.Sprintf("vault {\n  token = %q\n  unwrap_token = true\n%s\n}\ntemplate {\n  contents = \"{{with secret `db/creds/app`}}{{.Data.username}} {{.Data.password}}{{end}}\"\n  destination = \"out\"\n  perms = 0600\n}\n", token, vault))
	}
	config(fmt.Sprintf("  address = %q", server.Addr))
	d := startRender(t, dir, "--config", "render.hcl")
	awaits(t, func() error { _, err := os.Stat(in("out")); return err })
	before := readAll(t, in("out"))

	for _, bad := range []string{"  address = \"ftp://x\"", "  address = \"" + server.Addr + "\"\n  lease_renewal_threshold = 2"} {
		config(bad)
		n := strings.Count(d.said(), "reload failed")
		check(t, d.cmd.Process.Signal(syscall.SIGHUP))
		awaits(t, func() error {
			if strings.Count(d.said(), "reload failed") <= n {
				return errors.New("the reload has not failed yet")
			}
			return nil
		})
	}
	if users := db.Users(t); len(users) != 1 || readAll(t, in("out")) != before {
		t.Errorf("after reloads that failed: %d users", len(users))
	}

	config(fmt.Sprintf("  address = \"http://127.0.0.1:1,%s\"\n  poll { \"\" = \"10s\" }", server.Addr))
	d.reload()
	awaits(t, func() error {
		text, err := os.ReadFile(in("out"))
		if user, password, _ := strings.Cut(string(text), " "); err == nil && (string(text) == before || !db.Accepts(user, password)) {
			err = fmt.Errorf("the file is as before, or wrong: %t", string(text) == before)
		}
		return err
	})
	awaits(t, d.saying("settings=\"vault.address, vault.poll\""))
	d.stop()
	if strings.Contains(d.said(), "not unwrapped") {
		t.Error("a token was unwrapped twice")
	}
}

// With revoke_on_stop no lease is left; without it the next start finds files that are valid.
func TestVaultStop(t *testing.T) {
	t.Parallel()
	server, db := startVault(t)
	for revokes, left := range map[bool]int{true: 0, false: 1} {
		dir := t.TempDir()
		d := startRender(t, dir, "--vault-addr", server.Addr, "--vault-token", server.Token, fmt.Sprintf("--vault-revoke-on-stop=%t", revokes),
			"--contents", "{{with secret `db/creds/app`}}{{.Data.password}}{{end}}", "--destination", "out")
		awaits(t, func() error { _, err := os.Stat(filepath.Join(dir, "out")); return err })
		if users := db.Users(t); len(users) != 1 {
			t.Fatalf("%d users", len(users))
		}
		d.stop()
		if users := db.Users(t); len(users) != left {
			t.Errorf("revoke_on_stop %t: %d users are left, want %d", revokes, len(users), left)
		}
		server.Put(t, "sys/leases/revoke-prefix/db", nil)
	}
}

// Without settings of Vault a template that needs it waits, and says why; others do not, and once ends at once.
func TestVaultUnconfigured(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "render.hcl"), "template {\n  contents = \"{{with secret `a`}}{{.Data.b}}{{end}}\"\n  destination = \"waits\"\n}\ntemplate {\n  contents = \"text\"\n  destination = \"out\"\n}\n")
	environ := append(os.Environ(), "HOME="+dir, "VAULT_ADDR=", "VAULT_TOKEN=")

	once := exec.Command("render", "--once", "--config", "render.hcl")
	once.Dir, once.Env = dir, environ
	began := time.Now()
	out, err := once.CombinedOutput()
	if once.ProcessState.ExitCode() != exitFailed || !bytes.Contains(out, []byte("vault is not configured")) || !bytes.Contains(out, []byte("set vault.address, or VAULT_ADDR")) {
		t.Errorf("once: %v: %s", err, out)
	}
	if took := time.Since(began); took > patience/3 {
		t.Errorf("once took %s", took)
	}

	t.Setenv("HOME", dir)
	d := startRender(t, dir, "--config", "render.hcl")
	awaits(t, contains(filepath.Join(dir, "out"), "text"))
	awaits(t, d.saying("vault is not configured"))
	d.stop()
}

// No secret, no token and no key is in what render says: the log at its most talkative, all pages, the API, the metrics, and what
// commands find in their environment. Each secret of this Vault contains the canary.
func TestVaultSecretsAreNotShown(t *testing.T) {
	t.Parallel()
	const canary = "c4nary"
	server, _ := startVault(t)
	token := server.NewToken(t, map[string]any{"ttl": "1h"})
	server.Put(t, "secret/data/app", map[string]any{"data": map[string]any{"password": canary + "-1", "deep": map[string]any{"list": []string{canary + "-2"}}}})
	server.Put(t, "kv1/app", map[string]any{"password": canary + "-3"})

	dir := t.TempDir()
	in := func(name string) string { return filepath.Join(dir, name) }
	template := func(name, contents, more string) string {
		return fmt.Sprintf("template {\n  contents = %q\n  destination = %q\n  perms = 0600\n  %s\n}\n", contents, name, more)
	}
	write(t, in("secret-id"), canary+"-id")
	write(t, in("render.hcl"), strings.Join([]string{
		"log_level = \"trace\"\nlisten = \"unix://" + in("socket") + "\"\nvault {\n  address = \"" + server.Addr + "\"\n  token = \"" + token + "\"\n  poll { \"\" = \"1s\" }\n}\n",
		template("out", "{{with secret `secret/app`}}{{.Data.data.password}}{{index .Data.data.deep.list 0}}{{end}}{{with secret `kv1/app`}}{{.Data.password}}{{end}}", `command = "env >env; printenv RENDER_CAUSE >>causes; true"`),
		template("fails", "{{with secret `secret/app`}}{{parseInt .Data.data.password}}{{end}}", ""),
		template("deep", "{{with secret `secret/app`}}{{parseInt (index .Data.data.deep.list 0)}}{{end}}", ""),
		template("writes", "{{with secret `secret/written` `password="+canary+"-4`}}{{.Data.version}}{{end}}", ""),
		template("refused", "{{with secret `nosuch/path` `password="+canary+"-5`}}{{.Data.x}}{{end}}", ""),
		template("derived", "{{with secret `secret/app`}}{{keyExists .Data.data.password}}{{with secret (print `kv1/` .Data.data.password)}}{{end}}{{end}}", ""),
		template("wrong", "{{with secret `secret/app`}}{{.Data.data.password.deeper}}{{end}}", ""),
		template("checked", "{{with secret `secret/app`}}{{.Data.data.password}}{{end}}", `check = "grep -q nothing {}"`),
	}, ""))
	d := startRender(t, dir, "--config", "render.hcl")
	awaits(t, contains(in("out"), canary+"-1"+canary+"-2"+canary+"-3"))
	awaits(t, func() error { _, err := os.Stat(in("env")); return err })
	server.Put(t, "secret/data/app", map[string]any{"data": map[string]any{"password": canary + "-6", "deep": map[string]any{"list": []string{canary + "-7"}}}})
	awaits(t, contains(in("out"), canary+"-6"+canary+"-7"+canary+"-3"))
	awaits(t, func() error {
		text, err := os.ReadFile(in("causes"))
		if err == nil && !bytes.Contains(text, []byte("secret secret/app")) {
			err = fmt.Errorf("the causes are %q", text)
		}
		return err
	})
	for _, what := range []string{"check failed", "template failed", "query failed"} {
		awaits(t, d.saying(what))
	}

	said := map[string]string{"the environment of a command": readAll(t, in("env")), "the causes": readAll(t, in("causes"))}
	client := &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", in("socket"))
	}}}
	get := func(path string) string {
		resp, err := client.Get("http://localhost" + path)
		check(t, err)
		defer resp.Body.Close()
		text, err := io.ReadAll(resp.Body)
		check(t, err)
		said[path] = string(text)
		return string(text)
	}
	pages := []string{"/", "/targets", "/actions", "/queries", "/history", "/metrics", "/readyz", "/api/v1/status", "/api/v1/targets", "/api/v1/actions", "/api/v1/queries", "/api/v1/history"}
	for _, path := range pages {
		for _, link := range regexp.MustCompile(`href="(/(?:targets|actions|queries|history)/[^"#?]+)"`).FindAllStringSubmatch(get(path), -1) {
			if said[link[1]] == "" {
				get(link[1])
			}
		}
	}
	d.stop()
	said["the log"] = d.said()
	if len(said) < len(pages)+15 || !strings.Contains(said["/queries"], "secret/app") {
		t.Errorf("%d texts were found, of which some are not as expected: %s", len(said), said["/queries"])
	}
	for what, text := range said {
		if i := strings.Index(text, canary); i >= 0 {
			t.Errorf("%s has a secret: …%s…", what, text[max(0, i-200):min(len(text), i+50)])
		}
		if strings.Contains(text, token) {
			t.Errorf("%s has the token", what)
		}
	}
	if env := said["the environment of a command"]; !strings.Contains(env, "VAULT_ADDR="+server.Addr) {
		t.Errorf("the command has no VAULT_ADDR: %s", env)
	}
}
