package config

import (
	"slices"
	"strings"
)

// compatSettings are of consul-template and have no effect.
var compatSettings = slices.Concat(
	clientSettings("vault", idleVault, []*Setting{
		{Key: "vault.enabled", kind: boolKind},
		{Key: "vault.namespace", kind: textKind},
		{Key: "vault.token", Flag: "vault-token", kind: secretKind},
		{Key: "vault.vault_agent_token_file", Flag: "vault-agent-token-file", kind: textKind},
		{Key: "vault.unwrap_token", Flag: "vault-unwrap-token", kind: boolKind},
		{Key: "vault.renew_token", Flag: "vault-renew-token", kind: boolKind},
		{Key: "vault.client_user_agent", Flag: "vault-client-user-agent", kind: textKind},
		{Key: "vault.default_lease_duration", Flag: "vault-default-lease-duration", kind: durationKind},
		{Key: "vault.lease_renewal_threshold", kind: portionKind},
		{Key: "vault.k8s_auth_role_name", kind: textKind},
		{Key: "vault.k8s_service_account_token", kind: secretKind},
		{Key: "vault.k8s_service_account_token_path", kind: textKind},
		{Key: "vault.k8s_service_mount_path", kind: textKind},
		{Key: "vault.grace", Flag: "vault-grace", kind: durationKind},
	}),
	clientSettings("nomad", idleNomad, []*Setting{
		{Key: "nomad.enabled", kind: boolKind},
		{Key: "nomad.namespace", kind: textKind},
		{Key: "nomad.token", kind: secretKind},
		{Key: "nomad.auth_username", kind: textKind},
		{Key: "nomad.auth_password", kind: secretKind},
	}),
	idle(idleDedup, []*Setting{
		{Key: "deduplicate.enabled", Flag: "dedup", kind: boolKind},
		{Key: "deduplicate.prefix", kind: textKind},
		{Key: "deduplicate.ttl", kind: durationKind},
		{Key: "deduplicate.max_stale", kind: durationKind},
		{Key: "deduplicate.block_query_wait", kind: durationKind},
	}),
	idle("render takes care of processes without parents whenever it is process 1", []*Setting{
		{Key: "reap", Flag: "reap", kind: boolKind},
	}),
	idle("SIGQUIT goes to the supervised program, and render dumps nothing", []*Setting{
		{Key: "dump_signal", Flag: "dump-signal", kind: signalKind},
	}),
	idle("render always uses all answers that have arrived", []*Setting{
		{Key: "batch_size", Flag: "batch", kind: numberKind},
	}),
)

// clientSettings are those that vault and nomad have in common, and some of their own.
func clientSettings(block, why string, own []*Setting) []*Setting {
	common := []*Setting{
		{Key: "address", kind: textKind, Flag: "addr"},
		{Key: "retry.enabled", kind: boolKind, Flag: "retry"},
		{Key: "retry.attempts", kind: numberKind, Flag: "retry-attempts"},
		{Key: "retry.backoff", kind: durationKind, Flag: "retry-backoff"},
		{Key: "retry.max_backoff", kind: durationKind, Flag: "retry-max-backoff"},
		{Key: "ssl.enabled", kind: boolKind, Flag: "ssl"},
		{Key: "ssl.verify", kind: boolKind, Flag: "ssl-verify"},
		{Key: "ssl.ca_cert", kind: textKind, Flag: "ssl-ca-cert"},
		{Key: "ssl.ca_cert_bytes", kind: textKind},
		{Key: "ssl.ca_path", kind: textKind, Flag: "ssl-ca-path"},
		{Key: "ssl.cert", kind: textKind, Flag: "ssl-cert"},
		{Key: "ssl.key", kind: textKind, Flag: "ssl-key"},
		{Key: "ssl.server_name", kind: textKind, Flag: "ssl-server-name"},
		{Key: "transport.dial_keep_alive", kind: durationKind, Flag: "transport-dial-keep-alive"},
		{Key: "transport.dial_timeout", kind: durationKind, Flag: "transport-dial-timeout"},
		{Key: "transport.disable_keep_alives", kind: boolKind, Flag: "transport-disable-keep-alives"},
		{Key: "transport.idle_conn_timeout", kind: durationKind},
		{Key: "transport.max_idle_conns", kind: numberKind},
		{Key: "transport.max_idle_conns_per_host", kind: numberKind, Flag: "transport-max-idle-conns-per-host"},
		{Key: "transport.max_conns_per_host", kind: numberKind, Flag: "transport-max-conns-per-host"},
		{Key: "transport.tls_handshake_timeout", kind: durationKind, Flag: "transport-tls-handshake-timeout"},
	}
	for _, s := range common {
		s.Key = block + "." + s.Key
		if s.Flag != "" && block == "vault" {
			s.Flag = block + "-" + s.Flag
		} else {
			s.Flag = ""
		}
	}
	return idle(why, slices.Concat(common, own))
}

func idle(why string, settings []*Setting) []*Setting {
	for _, s := range settings {
		s.Idle, s.Topic = why, TopicCompat
	}
	return settings
}

// OldKeys are keys that are called otherwise now. Those of a block are without its name; a block stands for all in it.
var OldKeys = map[string]map[string]string{
	"": {
		"token": "consul.token", "auth": "consul.auth", "ssl": "consul.ssl", "retry": "consul.retry",
		"parseonly": "parse_only", "wait.bool": "wait.enabled", "vault.renew": "vault.renew_token",
		"exec.env.whitelist": "exec.env.allowlist", "exec.env.blacklist": "exec.env.denylist",
	},
	"template": {
		"command_timeout": "exec.timeout", "function_blacklist": "function_denylist",
		"env": "exec.env", "timeout": "exec.timeout", "splay": "exec.splay", "wait.bool": "wait.enabled",
		"exec.env.whitelist": "exec.env.allowlist", "exec.env.blacklist": "exec.env.denylist",
	},
	"action": {"wait.bool": "wait.enabled"},
}

// spellings are old keys that are equal to the new ones: there is nothing to say about them.
var spellings = []string{"command_timeout", "wait.bool", "env", "timeout", "splay", "parseonly"}

// OldFlags are flags that are called otherwise now.
var OldFlags = map[string]string{
	"consul": "consul-addr", "token": "consul-token", "auth": "consul-auth", "retry": "consul-retry-backoff",
	"ssl": "consul-ssl", "ssl-verify": "consul-ssl-verify", "ssl-cert": "consul-ssl-cert", "ssl-key": "consul-ssl-key",
	"ssl-ca-cert": "consul-ssl-ca-cert", "ssl-ca-path": "consul-ssl-ca-path", "ssl-server-name": "consul-ssl-server-name",
	"vault": "vault-addr", "exec-env-whitelist": "exec-env-allowlist", "exec-env-blacklist": "exec-env-denylist",
}

// newKey returns what a key is called now, and whether something is to be said about the old name.
func newKey(block, key string) (now string, old bool) {
	names := OldKeys[block]
	if now, ok := names[key]; ok {
		return now, !slices.Contains(spellings, key)
	}
	if outer, inner, nested := strings.Cut(key, "."); nested {
		if now, ok := names[outer]; ok { // the block had its notice
			return now + "." + inner, false
		}
	}
	return key, false
}
