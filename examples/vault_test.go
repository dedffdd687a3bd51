package examples

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"render/watch/vaulttest"
)

// vaultFolder returns a folder that has the vault of the tests.
func vaultFolder(t *testing.T) string {
	t.Helper()
	binary, err := vaulttest.Binary()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := os.Symlink(binary, filepath.Join(dir, "vault")); err != nil {
		t.Fatal(err)
	}
	return dir
}

// A shop is the example of Vault in a folder of its own: a real Vault with a database, a real nginx, and a render with the configuration of
// the example.
type shop struct {
	t       *testing.T
	dir     string
	server  *vaulttest.Server
	db      *vaulttest.Database
	address string // of nginx
	roots   *x509.CertPool
	log     bytes.Buffer
	render  *exec.Cmd
}

// The credentials in the file are always those that the database accepts, and nginx serves each new certificate without a request that fails:
// while they are renewed and replaced, while Vault is sealed, and over a restart of render.
func TestVault(t *testing.T) {
	t.Parallel()
	s := startShop(t)
	s.start()
	s.await("the files", func() error { return errors.Join(s.accepted(), s.served(nil)) })
	for _, name := range []string{"database.json", "shop.env", "shop.pem"} {
		if info, err := os.Stat(filepath.Join(s.dir, name)); err != nil || info.Mode().Perm() != 0o640 {
			t.Errorf("%s: %v, %v", name, info, err)
		}
	}
	if got := s.read("shop.env"); !strings.Contains(got, "SHOP_API_KEY='it'\\''s secret'\n") {
		t.Errorf("got %s", got)
	}

	// Users and certificates come and go.
	users, serials := make(map[string]bool), make(map[string]bool)
	s.follow(9*time.Second, users, serials)
	if len(users) < 2 || len(serials) < 2 {
		t.Errorf("%d users, %d certificates", len(users), len(serials))
	}

	// While Vault is sealed for a moment, files stay, and nothing is replaced before its time.
	if err := s.server.Seal(); err != nil {
		t.Fatal(err)
	}
	s.follow(time.Second, users, serials)
	if err := s.server.Unseal(); err != nil {
		t.Fatal(err)
	}
	s.await("after Vault was sealed", s.accepted)

	s.stop()
	s.start()
	s.await("after a restart", s.accepted)
	s.follow(2*time.Second, users, serials)
	s.stop()
	for _, secret := range []string{"it's secret", s.password()} {
		if strings.Contains(s.log.String(), secret) {
			t.Errorf("the log has a secret: %s", s.log.String())
		}
	}
}

func startShop(t *testing.T) *shop {
	t.Helper()
	nginx := find(t, "nginx", "nginx")
	s := &shop{t: t, dir: t.TempDir(), server: vaulttest.Start(t), address: freeAddresses(t, 1)[0]}
	s.db = s.server.NewDatabase(t, "database")
	s.db.NewRole(t, "shop", 3*time.Second, 8*time.Second)
	policy, err := os.ReadFile("vault/policy.txt")
	if err != nil {
		t.Fatal(err)
	}
	s.server.Put(t, "sys/policies/acl/render", map[string]any{"policy": string(policy)})
	s.server.Put(t, "sys/auth/approle", map[string]any{"type": "approle"})
	s.server.Put(t, "auth/approle/role/shop", map[string]any{"role_id": "shop", "token_policies": "render", "token_period": "1m"})
	id := s.server.Put(t, "auth/approle/role/shop/secret-id", nil)["secret_id"].(string)
	s.server.Put(t, "sys/mounts/pki", map[string]any{"type": "pki"})
	ca := s.server.Put(t, "pki/root/generate/internal", map[string]any{"common_name": "ca.test", "ttl": "24h"})["certificate"].(string)
	s.server.Put(t, "pki/roles/shop", map[string]any{"allowed_domains": "shop.test", "allow_bare_domains": true, "key_type": "ec", "key_bits": 256, "not_before_duration": "1s"})
	s.server.Put(t, "secret/data/shop", map[string]any{"data": map[string]any{"api_key": "it's secret"}})
	s.roots = x509.NewCertPool()
	s.roots.AppendCertsFromPEM([]byte(ca))

	if err := os.CopyFS(s.dir, os.DirFS("vault")); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"database.json", "shop.env", "shop.pem"} {
		_ = os.Remove(filepath.Join(s.dir, name))
	}
	run := fmt.Sprintf("%s -p %s -c nginx.conf", nginx, s.dir)
	reload := fmt.Sprintf(`if [ -s %[1]s/nginx.pid ]; then %[2]s -s reload; else %[2]s -g 'daemon on;'; fi`, s.dir, run)
	write(t, filepath.Join(s.dir, "reload.sh"), []byte("#!/bin/sh\n"+reload+"\n"))
	write(t, filepath.Join(s.dir, "secret-id"), []byte(id))
	edits := strings.NewReplacer(
		"https://vault-1.internal:8200,https://vault-2.internal:8200", s.server.Addr, "/run/render/", s.dir+"/", "/etc/render/", s.dir+"/",
		"/etc/shop/", s.dir+"/", "/etc/nginx/tls/", s.dir+"/", "/usr/local/bin/reload.sh", "sh "+s.dir+"/reload.sh", `"nginx -t"`, fmt.Sprintf("%q", run+" -t"),
		"systemctl restart shop", "cp "+s.dir+"/database.json "+s.dir+"/in-use.json", "verify ", "# verify ",
		"127.0.0.1:8443", s.address, "daemon off;\n", "", "ttl=24h", "ttl=12s", "  login {", "  lease_renewal_threshold = 0.4\n  login {", // time for nginx, also on a busy machine
	)
	replaceIn(t, s.dir, edits)
	if err := os.Chmod(filepath.Join(s.dir, "secret-id"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = exec.Command("sh", "-c", run+" -s stop").Run() })
	return s
}

func (s *shop) start() {
	s.t.Helper()
	s.render = exec.Command(build(s.t), "--config", filepath.Join(s.dir, "render.hcl"))
	s.render.Env = append(os.Environ(), "HOME="+s.dir, "VAULT_TOKEN=", "VAULT_ADDR=")
	s.render.Stdout, s.render.Stderr = &s.log, &s.log
	if err := s.render.Start(); err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { _ = s.render.Process.Kill() })
}

func (s *shop) stop() {
	s.t.Helper()
	if err := errors.Join(s.render.Process.Signal(syscall.SIGTERM), s.render.Wait()); err != nil {
		s.t.Error(err)
	}
}

func (s *shop) read(name string) string {
	text, _ := os.ReadFile(filepath.Join(s.dir, name))
	return string(text)
}

func (s *shop) await(what string, well func() error) {
	s.t.Helper()
	for late := time.Now().Add(20 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		err := well()
		if err == nil {
			return
		}
		if time.Now().After(late) {
			s.stop()
			s.t.Fatalf("%s: %v\n%s", what, err, s.log.String())
		}
	}
}

// follow looks for a while at what is in use, and notes the users and the certificates.
func (s *shop) follow(lasts time.Duration, users, serials map[string]bool) {
	s.t.Helper()
	var bad time.Time
	for end := time.Now().Add(lasts); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		if err := s.served(serials); err != nil {
			s.t.Fatal(err)
		}
		err := s.accepted()
		switch {
		case err == nil:
			bad = time.Time{}
			users[s.user()] = true
		case bad.IsZero():
			bad = time.Now()
		case time.Since(bad) > 10*time.Second: // a busy machine
			s.t.Fatal(err)
		}
	}
}

// credentials returns what the application has loaded.
func (s *shop) credentials() (c struct{ Host, User, Password string }) {
	_ = json.Unmarshal([]byte(s.read("in-use.json")), &c)
	return c
}

func (s *shop) user() string     { return s.credentials().User }
func (s *shop) password() string { return s.credentials().Password }

// accepted returns an error unless the database accepts the credentials of the application.
func (s *shop) accepted() error {
	c := s.credentials()
	if !s.db.Accepts(c.User, c.Password) {
		return fmt.Errorf("the database does not accept %q", c.User)
	}
	return nil
}

// served returns an error unless nginx answers with a good certificate. It notes its serial number.
func (s *shop) served(serials map[string]bool) error {
	ctx, cancel := context.WithTimeout(s.t.Context(), 10*time.Second)
	defer cancel()
	client := &http.Client{Transport: &http.Transport{
		DisableKeepAlives: true, TLSClientConfig: &tls.Config{RootCAs: s.roots, ServerName: "shop.test"},
	}}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://"+s.address+"/", nil)
	if err != nil {
		return err
	}
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if text, err := io.ReadAll(resp.Body); err != nil || string(text) != "shop\n" {
		return fmt.Errorf("nginx answers %q, %v", text, err)
	}
	if serials != nil {
		serials[resp.TLS.PeerCertificates[0].SerialNumber.String()] = true
	}
	return nil
}
