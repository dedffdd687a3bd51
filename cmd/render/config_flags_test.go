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
	"syscall"
	"testing"
)

// oldProgramFlags are the flags of consul-template 0.42.1, each with a value that is not its default.
var oldProgramFlags = []string{
	"consul-addr=a:1", "consul-auth=u:p", "consul-retry=false", "consul-retry-attempts=3", "consul-retry-backoff=1s", "consul-retry-max-backoff=2s",
	"consul-ssl", "consul-ssl=true", "consul-ssl-ca-cert=f", "consul-ssl-ca-path=f", "consul-ssl-cert=f", "consul-ssl-key=f", "consul-ssl-server-name=n",
	"consul-ssl-verify=false", "consul-token=t", "consul-token-file=f", "consul-transport-dial-keep-alive=1s", "consul-transport-dial-timeout=1s",
	"consul-transport-disable-keep-alives", "consul-transport-max-idle-conns-per-host=5", "consul-transport-tls-handshake-timeout=1s", "dedup",
	"default-left-delimiter=<<", "default-right-delimiter=>>", "dry", "exec=app", "exec-kill-signal=SIGTERM", "exec-kill-timeout=1s", "exec-reload-signal=SIGHUP",
	"exec-splay=1s", "exec-env-pristine", "exec-env-custom=A=1", "exec-env-allowlist=A*", "exec-env-denylist=A*", "kill-signal=SIGTERM",
	"reload-signal=SIGUSR1", "log-level=debug", "log-level=ERR", "log-level=Trace", "log-level=warn", "log-file=f", "log-rotate-bytes=5",
	"log-rotate-duration=1h", "log-rotate-max-files=-1", "max-stale=1s", "max-stale=0", "once", "once=1", "once=t", "once=TRUE", "parse-only", "pid-file=f", "retry=1s", "syslog",
	"syslog-facility=LOCAL5", "syslog-name=n", "template=a:b", "template=a:b:c d", "template-error-fatal=false", "vault-addr=a", "vault-token=t",
	"vault-agent-token-file=f", "vault-renew-token=false", "vault-unwrap-token", "vault-default-lease-duration=1m", "vault-client-user-agent=x", "vault-retry=false",
	"vault-retry-attempts=3", "vault-retry-backoff=1s", "vault-retry-max-backoff=1s", "vault-ssl=false", "vault-ssl-ca-cert=f", "vault-ssl-ca-path=f",
	"vault-ssl-cert=f", "vault-ssl-key=f", "vault-ssl-server-name=n", "vault-ssl-verify=false", "vault-transport-dial-keep-alive=1s", "vault-transport-dial-timeout=1s",
	"vault-transport-disable-keep-alives", "vault-transport-max-idle-conns-per-host=5", "vault-transport-max-conns-per-host=5",
	"vault-transport-tls-handshake-timeout=1s", "wait=1s", "wait=1s:2s",
	// what older versions had
	"consul=a:1", "token=t", "auth=u:p", "ssl", "ssl-verify=false", "ssl-cert=f", "ssl-key=f", "ssl-ca-cert=f", "ssl-ca-path=f", "ssl-server-name=n",
	"batch=5", "reap", "dump-signal=SIGQUIT", "vault=a", "vault-grace=1s",
	"exec-env-whitelist=A*", "exec-env-blacklist=A*",
}

// TestOldProgramFlags gives each flag of consul-template, with one dash and with two, as one word and as two: it has an effect, or users
// are told that it has none.
func TestOldProgramFlags(t *testing.T) {
	clearVariables(t)
	t.Chdir(t.TempDir())
	base := []string{"-template", "in:out"}
	usual, _, err := outcomeOf(base...)
	check(t, err)
	for _, text := range oldProgramFlags {
		name, value, valued := strings.Cut(text, "=")
		ways := [][]string{{"-" + text}, {"--" + text}}
		if valued && !slices.ContainsFunc(flagSettings(), func(s *setting) bool { return s.flag == name && s.kind.truth }) && oldFlags[name] != "consul-ssl-verify" {
			ways = append(ways, []string{"-" + name, value})
		}
		for _, way := range ways {
			p, l, err := outcomeOf(slices.Concat(base, way)...)
			switch {
			case err != nil:
				t.Errorf("%q: %v", way, err)
			case difference(p, usual) == "" && len(l.notices) == 0:
				t.Errorf("%q does nothing, and says nothing of it", way)
			}
		}
	}
}

// TestFlagsThatPrint tries what prints and ends.
func TestFlagsThatPrint(t *testing.T) {
	for _, tt := range []struct {
		args string
		code int
		has  string
	}{
		{"-v", 0, "render v"}, {"-version", 0, "render v"}, {"--version", 0, "render v"}, {"-h", 0, "-template"}, {"-help", 0, "-template"}, {"--help", 0, "-template"},
		{"-once true", exitUsage, `extra args: ["true"]`}, {"-dry=maybe -once", exitUsage, "dry"}, {"-template :x:y", exitUsage, "has no source"}, {"-template=", exitUsage, "cannot be empty"},
	} {
		cmd := exec.Command("render", strings.Fields(tt.args)...)
		cmd.Dir = t.TempDir()
		out, _ := cmd.CombinedOutput()
		if cmd.ProcessState.ExitCode() != tt.code || !strings.Contains(string(out), tt.has) {
			t.Errorf("%s: exited with %d and said\n%s", tt.args, cmd.ProcessState.ExitCode(), out)
		}
	}
}

// TestSignalNames gives each signal that consul-template knows on Unix.
func TestSignalNames(t *testing.T) {
	names := "SIGABRT SIGALRM SIGBUS SIGCONT SIGFPE SIGHUP SIGILL SIGINT SIGIO SIGIOT SIGKILL SIGPIPE SIGPROF SIGQUIT SIGSEGV SIGSTOP SIGSYS SIGTERM SIGTRAP " +
		"SIGTSTP SIGTTIN SIGTTOU SIGUSR1 SIGUSR2 SIGWINCH SIGXCPU SIGXFSZ"
	for name := range strings.FieldsSeq(names) {
		for _, written := range []string{name, strings.ToLower(name), name[:3] + strings.ToLower(name[3:]), name[3:]} {
			if s, err := signalOf(written); err != nil || s == 0 {
				t.Errorf("%s: got %v, %v", written, s, err)
			}
		}
	}
	for _, none := range []string{"", "SIGNULL", "signull"} {
		if s, err := signalOf(none); err != nil || s != 0 {
			t.Errorf("%q: got %v, %v", none, s, err)
		}
	}
	if s, err := signalOf("SIGIOT"); s != syscall.SIGABRT {
		t.Errorf("SIGIOT is %v, %v", s, err)
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
				t.Errorf("asked for %s with %v", r.URL, r.Header)
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
