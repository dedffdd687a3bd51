package main

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
)

// TestFlagsThatPrint tries what prints and ends.
func TestFlagsThatPrint(t *testing.T) {
	for _, tt := range []struct {
		args string
		code int
		has  string
	}{
		{"-v", 0, "render v"}, {"-version", 0, "render v"}, {"--version", 0, "render v"}, {"-h", 0, "-template"}, {"-help", 0, "-template"}, {"--help", 0, "-template"},
		{"-once true", exitUsage, `extra args: ["true"]`}, {"-dry=maybe -once", exitUsage, "dry"}, {"-template :x:y", exitUsage, "has no source"}, {"-template=", exitUsage, "the value is empty"},
	} {
		cmd := exec.Command("render", strings.Fields(tt.args)...)
		cmd.Dir = t.TempDir()
		out, _ := cmd.CombinedOutput()
		if cmd.ProcessState.ExitCode() != tt.code || !strings.Contains(string(out), tt.has) {
			t.Errorf("%s: exited with %d and said\n%s", tt.args, cmd.ProcessState.ExitCode(), out)
		}
	}
}

// TestLibraryVariables tries the variables that Consul's own library reads, on a server that speaks TLS.
func TestLibraryVariables(t *testing.T) {
	var asked atomic.Pointer[http.Request]
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked.Store(r)
		w.Header().Set("X-Consul-Index", "1")
		http.NotFound(w, r)
	})
	server := httptest.NewUnstartedServer(handler)
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.StartTLS()
	t.Cleanup(server.Close)
	strict := httptest.NewUnstartedServer(handler)
	strict.TLS = &tls.Config{ClientAuth: tls.RequireAnyClientCert}
	strict.Config.ErrorLog = server.Config.ErrorLog
	strict.StartTLS()
	t.Cleanup(strict.Close)
	plain := httptest.NewServer(handler)
	t.Cleanup(plain.Close)

	dir := t.TempDir()
	write(t, filepath.Join(dir, "in"), `{{keyExists "a"}}`)
	key, err := x509.MarshalPKCS8PrivateKey(server.TLS.Certificates[0].PrivateKey)
	check(t, err)
	certificate := string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}))
	write(t, filepath.Join(dir, "cert"), certificate)
	write(t, filepath.Join(dir, "key"), string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key})))
	check(t, os.Mkdir(filepath.Join(dir, "certs"), 0o755))
	write(t, filepath.Join(dir, "certs", "cert.pem"), certificate)

	host, strictHost := server.Listener.Addr().String(), strict.Listener.Addr().String()
	for _, tt := range []struct {
		name, env string
		args      string
		query     string // part of what is asked
	}{
		{name: "CONSUL_HTTP_SSL", env: "CONSUL_HTTP_SSL=true CONSUL_CACERT=cert"},
		{name: "no authority", env: "CONSUL_HTTP_SSL=true"},
		{name: "https", env: "CONSUL_HTTP_ADDR=https://" + host + " CONSUL_CACERT=cert"},
		{name: "CONSUL_CAPATH", env: "CONSUL_HTTP_SSL=true CONSUL_CAPATH=certs"},
		{name: "CONSUL_HTTP_SSL_VERIFY", env: "CONSUL_HTTP_SSL=true CONSUL_HTTP_SSL_VERIFY=false"},
		{name: "CONSUL_TLS_SERVER_NAME", env: "CONSUL_HTTP_SSL=true CONSUL_CACERT=cert CONSUL_TLS_SERVER_NAME=example.com"},
		{name: "wrong CONSUL_TLS_SERVER_NAME", env: "CONSUL_HTTP_SSL=true CONSUL_CACERT=cert CONSUL_TLS_SERVER_NAME=wrong.test"},
		{name: "no client certificate", env: "CONSUL_HTTP_ADDR=https://" + strictHost + " CONSUL_CACERT=cert"},
		{name: "CONSUL_CLIENT_CERT", env: "CONSUL_HTTP_ADDR=https://" + strictHost + " CONSUL_CACERT=cert CONSUL_CLIENT_CERT=cert CONSUL_CLIENT_KEY=key"},
		{name: "settings win", env: "CONSUL_HTTP_SSL=true CONSUL_CACERT=missing", args: "--consul-ssl-ca-cert cert"},
		{name: "a setting turns TLS on", env: "", args: "--consul-ssl-ca-cert cert"},
		{name: "a setting turns verification off", env: "", args: "--consul-ssl-verify=false"},
		{name: "CONSUL_HTTP_AUTH", env: "CONSUL_HTTP_AUTH=u:p CONSUL_HTTP_ADDR=" + plain.URL, query: "Basic dTpw"},
		{name: "CONSUL_NAMESPACE", env: "CONSUL_NAMESPACE=n CONSUL_HTTP_ADDR=" + plain.URL, query: "ns=n"},
		{name: "CONSUL_PARTITION", env: "CONSUL_PARTITION=p CONSUL_HTTP_ADDR=" + plain.URL, query: "partition=p"},
	} {
		fails := slices.Contains([]string{"no authority", "wrong CONSUL_TLS_SERVER_NAME", "no client certificate"}, tt.name)
		t.Run(tt.name, func(t *testing.T) {
			cmd := exec.Command("render", slices.Concat([]string{"--once", "--consul-retry=false", "--template", "in:out"}, strings.Fields(tt.args))...)
			cmd.Dir, cmd.Env = dir, slices.Concat(os.Environ(), []string{"CONSUL_HTTP_ADDR=" + host}, strings.Fields(tt.env))
			out, err := cmd.CombinedOutput()
			if (err != nil) != fails {
				t.Fatalf("%v\n%s", err, out)
			}
			if r := asked.Load(); tt.query != "" && !strings.Contains(r.URL.RawQuery+r.Header.Get("Authorization"), tt.query) {
				t.Errorf("requested %s with %v", r.URL, r.Header)
			}
		})
	}
}

// TestParseOnlyTells gives what users should know of their configuration where nothing else is done.
func TestParseOnlyTells(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "in"), "x")
	out, code := runBriefly(t, dir, nil, "--parse-only", "--template", "in:out", "--ssl", "--dedup")
	if code != 0 || !strings.Contains(out, "--ssl is an old name of --consul-ssl") || !strings.Contains(out, "--dedup has no effect") {
		t.Errorf("exited with %d and said\n%s", code, out)
	}
}
