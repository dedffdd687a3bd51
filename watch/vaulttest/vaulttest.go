// Package vaulttest starts real Vault servers for tests.
package vaulttest

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
	"path/filepath"
	"strings"
	"testing"
	"time"

	"render/watch/servertest"
)

// Version is the Vault that `make vault` builds.
const Version = "1.21.0"

// Binary returns the vault program: $VAULT, or what `make vault` has built.
func Binary() (string, error) {
	return servertest.Binary("VAULT", "vault-"+Version, "vault", "vault")
}

// A Server is a running Vault on loopback that keeps its data in files: they survive a restart. It is unsealed, and has a KV v2 at
// secret/ and a KV v1 at kv1/.
type Server struct {
	Addr  string // http://host:port
	Token string // the root token

	client *http.Client

	key     string // that unseals
	home    string
	folder  string // that Stop removes, or empty
	process servertest.Process
}

// Start starts a server that ends with the test.
func Start(t testing.TB) *Server {
	t.Helper()
	s, err := start(t.TempDir(), "", "")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Stop)
	return s
}

// StartTLS is Start of a server that speaks TLS, with files of a certificate for 127.0.0.1 that signs itself and its key.
func StartTLS(t testing.TB, cert, key string) *Server {
	t.Helper()
	s, err := start(t.TempDir(), cert, key)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Stop)
	return s
}

// StartStandby starts a standby of a server, which ends with the test.
func StartStandby(t testing.TB, active *Server) *Server {
	t.Helper()
	binary, err := Binary()
	if err != nil {
		t.Fatal(err)
	}
	s, err := newServer(binary, t.TempDir(), "", "")
	if err != nil {
		t.Fatal(err)
	}
	if err := s.run(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Stop)
	s.Token, s.key = active.Token, active.key
	s.Put(t, "sys/storage/raft/join", map[string]any{"leader_api_addr": active.Addr})
	if err := s.Unseal(); err != nil { // it answers then, because it hands requests on
		t.Fatal(err)
	}
	return s
}

func start(dir, cert, key string) (s *Server, err error) {
	binary, err := Binary()
	if err != nil {
		return nil, err
	}
	err = servertest.Retry(func(attempt int) error {
		if s, err = newServer(binary, filepath.Join(dir, fmt.Sprint(attempt)), cert, key); err != nil {
			return err
		}
		return s.run()
	})
	if err != nil {
		return nil, err
	}
	if err := s.prepare(); err != nil {
		s.Stop()
		return nil, err
	}
	return s, nil
}

func newServer(binary, dir, cert, key string) (*Server, error) {
	data := filepath.Join(dir, "data")
	for _, folder := range []string{data, filepath.Join(dir, "plugins")} {
		if err := os.MkdirAll(folder, 0o700); err != nil {
			return nil, err
		}
	}
	ports, err := servertest.FreePorts(2)
	if err != nil {
		return nil, err
	}
	s := &Server{Addr: fmt.Sprintf("http://127.0.0.1:%d", ports[0]), home: dir, client: http.DefaultClient}
	security := "tls_disable = true"
	if cert != "" {
		text, err := os.ReadFile(cert)
		if err != nil {
			return nil, err
		}
		roots := x509.NewCertPool()
		roots.AppendCertsFromPEM(text)
		s.Addr = fmt.Sprintf("https://127.0.0.1:%d", ports[0])
		s.client = &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}}}
		security = fmt.Sprintf("tls_cert_file = %q\ntls_key_file = %q", cert, key)
	}
	config := fmt.Sprintf(`
		storage "raft" {
			path                   = %q
			node_id                = "node-%d"
			performance_multiplier = 1
		}
		cluster_addr = "http://127.0.0.1:%d"
		listener "tcp" {
			address         = "127.0.0.1:%d"
			cluster_address = "127.0.0.1:%d"
			%s
		}
		api_addr         = %q
		plugin_directory = %q
		disable_mlock    = true
	`, data, ports[1], ports[1], ports[0], ports[1], security, s.Addr, s.plugins())
	path := filepath.Join(dir, "config.hcl")
	s.process = servertest.Process{
		Name: "vault", Args: []string{binary, "server", "-config=" + path, "-log-level=error"}, Env: append(os.Environ(), "HOME="+dir),
	}
	return s, os.WriteFile(path, []byte(config), 0o600)
}

// run starts the process and returns when it answers.
func (s *Server) run() error {
	return s.process.Run(context.Background(), 30*time.Second, func(context.Context) bool {
		_, err := s.Do(http.MethodGet, "sys/seal-status", nil)
		return err == nil
	})
}

// prepare makes a server usable that has just been made.
func (s *Server) prepare() error {
	made, err := s.Do(http.MethodPut, "sys/init", map[string]any{"secret_shares": 1, "secret_threshold": 1})
	if err != nil {
		return err
	}
	keys, _ := made["keys"].([]any)
	if len(keys) != 1 {
		return errors.New("vault gave no key")
	}
	s.key, _ = keys[0].(string)
	s.Token, _ = made["root_token"].(string)
	if err := s.Unseal(); err != nil {
		return err
	}
	for path, kind := range map[string]any{"secret": map[string]any{"type": "kv", "options": map[string]string{"version": "2"}}, "kv1": map[string]any{"type": "kv"}} {
		if _, err := s.Do(http.MethodPut, "sys/mounts/"+path, kind); err != nil {
			return err
		}
	}
	return s.await("secret/config") // a KV v2 is upgraded first
}

// await returns when a path can be read.
func (s *Server) await(path string) (err error) {
	for range 500 {
		if _, err = s.Do(http.MethodGet, path, nil); err == nil {
			return nil
		}
		time.Sleep(20 * time.Millisecond)
	}
	return err
}

// Seal seals the server.
func (s *Server) Seal() error {
	_, err := s.Do(http.MethodPut, "sys/seal", nil)
	return err
}

// Unseal unseals the server, and returns when it is active.
func (s *Server) Unseal() error {
	if _, err := s.Do(http.MethodPut, "sys/unseal", map[string]any{"key": s.key}); err != nil {
		return err
	}
	return s.await("sys/mounts")
}

// Stop kills the process and waits for its end.
func (s *Server) Stop() {
	s.process.Kill()
	if s.folder != "" {
		_ = os.RemoveAll(s.folder)
	}
}

// Restart starts a stopped server again, on the same address and with the same data. It is sealed.
func (s *Server) Restart() error { return s.run() }

// Do makes a request with the root token, and returns what Vault answers. A status of failure is an error.
func (s *Server) Do(method, path string, content any) (map[string]any, error) {
	return s.DoAs(s.Token, method, path, content)
}

// DoAs is Do with another token.
func (s *Server) DoAs(token, method, path string, content any) (map[string]any, error) {
	var text io.Reader
	if content != nil {
		encoded, err := json.Marshal(content)
		if err != nil {
			return nil, err
		}
		text = bytes.NewReader(encoded)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, s.Addr+"/v1/"+strings.TrimPrefix(path, "/"), text)
	if err != nil {
		return nil, err
	}
	if token != "" {
		req.Header.Set("X-Vault-Token", token)
	}
	resp, err := s.client.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode >= 300 {
		return nil, fmt.Errorf("%s %s: %d %s", method, path, resp.StatusCode, answer)
	}
	if len(bytes.TrimSpace(answer)) == 0 {
		return nil, nil
	}
	var decoded map[string]any
	return decoded, json.Unmarshal(answer, &decoded)
}

// Must is Do for what has to succeed. It returns the data of the answer.
func (s *Server) Must(t testing.TB, method, path string, content any) map[string]any {
	t.Helper()
	answer, err := s.Do(method, path, content)
	if err != nil {
		t.Fatal(err)
	}
	data, _ := answer["data"].(map[string]any)
	return data
}

// Put writes something.
func (s *Server) Put(t testing.TB, path string, content any) map[string]any {
	t.Helper()
	return s.Must(t, http.MethodPut, path, content)
}

// NewToken makes a token with fields as auth/token/create takes them.
func (s *Server) NewToken(t testing.TB, fields map[string]any) string {
	t.Helper()
	answer, err := s.Do(http.MethodPut, "auth/token/create", fields)
	if err != nil {
		t.Fatal(err)
	}
	auth, _ := answer["auth"].(map[string]any)
	token, _ := auth["client_token"].(string)
	if token == "" {
		t.Fatalf("vault gave no token: %v", answer)
	}
	return token
}

// Leases returns the ids of the leases below a prefix such as "auth/token/create/".
func (s *Server) Leases(t testing.TB, prefix string) (ids []string) {
	t.Helper()
	answer, err := s.Do("LIST", "sys/leases/lookup/"+prefix, nil)
	if err != nil {
		return nil // 404: there is none
	}
	data, _ := answer["data"].(map[string]any)
	keys, _ := data["keys"].([]any)
	for _, key := range keys {
		ids = append(ids, fmt.Sprint(key))
	}
	return ids
}

// StartShared starts a server that several tests use: it goes on after this one. The caller stops it.
func StartShared(t testing.TB) *Server {
	t.Helper()
	dir, err := os.MkdirTemp("", "vault")
	if err != nil {
		t.Fatal(err)
	}
	s, err := start(dir, "", "")
	if err != nil {
		_ = os.RemoveAll(dir)
		t.Fatal(err)
	}
	s.folder = dir
	return s
}
