package config

import (
	"slices"
	"strings"
	"testing"

	"render/cmd/render/filetest"
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
	"syslog-facility=LOCAL5", "syslog-name=n", "template=a:b", "template=a:b:c d", "template-error-fatal=false", "vault-addr=http://a:1", "vault-token=t",
	"vault-agent-token-file=f", "vault-renew-token=false", "vault-unwrap-token", "vault-default-lease-duration=1m", "vault-client-user-agent=x", "vault-retry=false",
	"vault-retry-attempts=3", "vault-retry-backoff=1s", "vault-retry-max-backoff=1s", "vault-ssl=false", "vault-ssl-ca-cert=f", "vault-ssl-ca-path=f",
	"vault-ssl-cert=f", "vault-ssl-key=f", "vault-ssl-server-name=n", "vault-ssl-verify=false", "vault-transport-dial-keep-alive=1s", "vault-transport-dial-timeout=1s",
	"vault-transport-disable-keep-alives", "vault-transport-max-idle-conns-per-host=5", "vault-transport-max-conns-per-host=5",
	"vault-transport-tls-handshake-timeout=1s", "wait=1s", "wait=1s:2s",
	// what older versions had
	"consul=a:1", "token=t", "auth=u:p", "ssl", "ssl-verify=false", "ssl-cert=f", "ssl-key=f", "ssl-ca-cert=f", "ssl-ca-path=f", "ssl-server-name=n",
	"batch=5", "reap", "dump-signal=SIGQUIT", "vault=http://a:1", "vault-grace=1s",
	"exec-env-whitelist=A*", "exec-env-blacklist=A*",
}

// TestOldProgramFlags gives each flag of consul-template, with one dash and with two, as one word and as two: it has an effect, or users
// are told that it has none.
func TestOldProgramFlags(t *testing.T) {
	clearVariables(t)
	t.Chdir(t.TempDir())
	base := []string{"-template", "in:out"}
	usual, _, err := outcomeOf(base...)
	filetest.Check(t, err)
	for _, text := range oldProgramFlags {
		name, value, valued := strings.Cut(text, "=")
		ways := [][]string{{"-" + text}, {"--" + text}}
		if valued && !slices.ContainsFunc(WithFlags(), func(s *Setting) bool { return s.Flag == name && s.kind.truth }) && OldFlags[name] != "consul-ssl-verify" {
			ways = append(ways, []string{"-" + name, value})
		}
		for _, way := range ways {
			p, l, err := outcomeOf(slices.Concat(base, way)...)
			switch {
			case err != nil:
				t.Errorf("%q: %v", way, err)
			case difference(p, usual) == "" && len(l.Warn) == 0:
				t.Errorf("%q does nothing, and says nothing of it", way)
			}
		}
	}
}
