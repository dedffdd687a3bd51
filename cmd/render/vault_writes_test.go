package main

import (
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"render/watch/vaulttest"
)

// A write happens once, with what was read before it, whatever else changes; a certificate is issued once for its file. A dry run
// does neither, and leaves no lease.
func TestVaultWrites(t *testing.T) {
	t.Parallel()
	server, db := startVault(t)
	server.Put(t, "sys/mounts/pki", map[string]any{"type": "pki"})
	server.Put(t, "pki/root/generate/internal", map[string]any{"common_name": "root", "ttl": "24h", "key_type": "ec"})
	server.Put(t, "pki/roles/web", map[string]any{"allow_any_name": true, "key_type": "ec", "key_bits": 256, "max_ttl": "1h"})
	server.Put(t, "secret/data/app", map[string]any{"data": map[string]any{"user": "shop", "host": "web.test"}})
	const read = "{{with secret `secret/app`}}{{.Data.data.user}}{{end}}"
	files := map[string]string{
		"write.ctmpl": "{{with secret `secret/copy` (printf `user=%s` (secret `secret/app`).Data.data.user)}}{{.Data.version}}{{end}} {{if secretExists `secret/late`}}late{{end}}",
		"guard.ctmpl": "{{if not (secretExists `secret/app`)}}{{with secret `secret/never` `a=b`}}{{.Data.version}}{{end}}{{end}}" + read,
		"pem.ctmpl": "{{with secret `secret/app`}}{{with pkiCert `pki/issue/web` (printf `common_name=%s` .Data.data.host)}}{{.Cert}}{{.Key}}{{end}}{{end}}" +
			"{{define `lists`}}{{range ls `none`}}{{.Value}}{{end}}{{end}}",
		"dry.ctmpl": "{{with secret `db/creds/app`}}{{.Data.username}}{{end}}",
	}
	dir := t.TempDir()
	in := func(name string) string { return filepath.Join(dir, name) }
	for name, text := range files {
		write(t, in(name), text)
	}
	flags := []string{"--vault-addr", server.Addr, "--vault-token", server.Token, "--consul-addr", "127.0.0.1:1"}
	issued := func() int { return len(listed(t, server, "pki/certs")) }
	written := func(path string) int {
		answer, err := server.Do(http.MethodGet, "secret/metadata/"+path, nil)
		if err != nil {
			return 0
		}
		return len(answer["data"].(map[string]any)["versions"].(map[string]any))
	}
	before := issued()

	run := func(args ...string) string {
		t.Helper()
		cmd := exec.Command("render", append(flags, args...)...)
		cmd.Dir = dir
		out, _ := cmd.CombinedOutput()
		return string(out)
	}
	for _, name := range []string{"write.ctmpl", "pem.ctmpl"} {
		if said := run("--once", "--dry", "--template", name+":"+strings.Replace(name, "ctmpl", "out", 1)); !strings.Contains(said, "a dry run writes nothing to vault") || !strings.Contains(said, "use --fixture") {
			t.Errorf("%s: %s", name, said)
		}
	}
	if said := run("--once", "--dry", "--template", "dry.ctmpl:dry.out"); !strings.Contains(said, "app-") || len(db.Users(t)) > 0 {
		t.Errorf("a dry run leaves the users %v: %s", db.Users(t), said)
	}
	if written("copy") > 0 || issued() != before {
		t.Fatalf("dry runs have written %d secrets and issued %d certificates", written("copy"), issued()-before)
	}

	all := append([]string{"--template", "write.ctmpl:write.out", "--template", "guard.ctmpl:guard.out", "--template", "pem.ctmpl:pem.out"}, flags...)
	d := startRender(t, dir, all...)
	awaits(t, contains(in("write.out"), "1 "))
	awaits(t, contains(in("guard.out"), "shop"))
	awaits(t, holds(in("pem.out"), "PRIVATE KEY"))
	pem, err := os.ReadFile(in("pem.out"))
	check(t, err)
	server.Put(t, "secret/data/late", map[string]any{"data": map[string]any{"a": "b"}})
	awaits(t, contains(in("write.out"), "1 late"))
	write(t, in("write.ctmpl"), "edited "+files["write.ctmpl"])
	awaits(t, contains(in("write.out"), "edited 1 late"))
	d.reload()
	once := func(when string) {
		t.Helper()
		if n := issued() - before; written("copy") != 1 || written("never") != 0 || n != 1 {
			t.Errorf("%s: %d writes, %d writes behind a condition that is false, %d certificates", when, written("copy"), written("never"), n)
		}
	}
	once("after an edit, a reload and a change")
	d.kill()

	d = startRender(t, dir, append([]string{"--template", "pem.ctmpl:pem.out", "--template", "guard.ctmpl:again.out"}, flags...)...)
	awaits(t, contains(in("again.out"), "shop"))
	d.stop()
	once("after another start")
	if now, err := os.ReadFile(in("pem.out")); err != nil || string(now) != string(pem) {
		t.Errorf("the certificate is another one: %v", err)
	}
}

// holds returns a check that a file has a text in it.
func holds(path, part string) func() error {
	return func() error {
		text, err := os.ReadFile(path)
		if err == nil && !strings.Contains(string(text), part) {
			err = fmt.Errorf("%s has no %q", path, part)
		}
		return err
	}
}

// listed returns the names below a path.
func listed(t *testing.T, server *vaulttest.Server, path string) (names []string) {
	t.Helper()
	answer, err := server.Do("LIST", path, nil)
	check(t, err)
	for _, name := range answer["data"].(map[string]any)["keys"].([]any) {
		names = append(names, fmt.Sprint(name))
	}
	return names
}
