package main

import (
	"slices"
	"strings"
)

// compatSettings are of consul-template and have no effect.
var compatSettings = slices.Concat(
	clientSettings("vault", idleVault, []*setting{
		{key: "vault.enabled", kind: boolKind},
		{key: "vault.namespace", kind: textKind},
		{key: "vault.token", flag: "vault-token", kind: secretKind},
		{key: "vault.vault_agent_token_file", flag: "vault-agent-token-file", kind: textKind},
		{key: "vault.unwrap_token", flag: "vault-unwrap-token", kind: boolKind},
		{key: "vault.renew_token", flag: "vault-renew-token", kind: boolKind},
		{key: "vault.client_user_agent", flag: "vault-client-user-agent", kind: textKind},
		{key: "vault.default_lease_duration", flag: "vault-default-lease-duration", kind: durationKind},
		{key: "vault.lease_renewal_threshold", kind: portionKind},
		{key: "vault.k8s_auth_role_name", kind: textKind},
		{key: "vault.k8s_service_account_token", kind: secretKind},
		{key: "vault.k8s_service_account_token_path", kind: textKind},
		{key: "vault.k8s_service_mount_path", kind: textKind},
		{key: "vault.grace", flag: "vault-grace", kind: durationKind},
	}),
	clientSettings("nomad", idleNomad, []*setting{
		{key: "nomad.enabled", kind: boolKind},
		{key: "nomad.namespace", kind: textKind},
		{key: "nomad.token", kind: secretKind},
		{key: "nomad.auth_username", kind: textKind},
		{key: "nomad.auth_password", kind: secretKind},
	}),
	idle(idleDedup, []*setting{
		{key: "deduplicate.enabled", flag: "dedup", kind: boolKind},
		{key: "deduplicate.prefix", kind: textKind},
		{key: "deduplicate.ttl", kind: durationKind},
		{key: "deduplicate.max_stale", kind: durationKind},
		{key: "deduplicate.block_query_wait", kind: durationKind},
	}),
	idle("render takes care of processes without parents wherever it is process 1", []*setting{
		{key: "reap", flag: "reap", kind: boolKind},
	}),
	idle("SIGQUIT is the supervised program's; nothing of render is dumped", []*setting{
		{key: "dump_signal", flag: "dump-signal", kind: signalKind},
	}),
	idle("all answers that have arrived are taken together", []*setting{
		{key: "batch_size", flag: "batch", kind: numberKind},
	}),
)

// clientSettings are those that vault and nomad have in common, and some of their own.
func clientSettings(block, why string, own []*setting) []*setting {
	common := []*setting{
		{key: "address", kind: textKind, flag: "addr"},
		{key: "retry.enabled", kind: boolKind, flag: "retry"},
		{key: "retry.attempts", kind: numberKind, flag: "retry-attempts"},
		{key: "retry.backoff", kind: durationKind, flag: "retry-backoff"},
		{key: "retry.max_backoff", kind: durationKind, flag: "retry-max-backoff"},
		{key: "ssl.enabled", kind: boolKind, flag: "ssl"},
		{key: "ssl.verify", kind: boolKind, flag: "ssl-verify"},
		{key: "ssl.ca_cert", kind: textKind, flag: "ssl-ca-cert"},
		{key: "ssl.ca_cert_bytes", kind: textKind},
		{key: "ssl.ca_path", kind: textKind, flag: "ssl-ca-path"},
		{key: "ssl.cert", kind: textKind, flag: "ssl-cert"},
		{key: "ssl.key", kind: textKind, flag: "ssl-key"},
		{key: "ssl.server_name", kind: textKind, flag: "ssl-server-name"},
		{key: "transport.dial_keep_alive", kind: durationKind, flag: "transport-dial-keep-alive"},
		{key: "transport.dial_timeout", kind: durationKind, flag: "transport-dial-timeout"},
		{key: "transport.disable_keep_alives", kind: boolKind, flag: "transport-disable-keep-alives"},
		{key: "transport.idle_conn_timeout", kind: durationKind},
		{key: "transport.max_idle_conns", kind: numberKind},
		{key: "transport.max_idle_conns_per_host", kind: numberKind, flag: "transport-max-idle-conns-per-host"},
		{key: "transport.max_conns_per_host", kind: numberKind, flag: "transport-max-conns-per-host"},
		{key: "transport.tls_handshake_timeout", kind: durationKind, flag: "transport-tls-handshake-timeout"},
	}
	for _, s := range common {
		s.key = block + "." + s.key
		if s.flag != "" && block == "vault" {
			s.flag = block + "-" + s.flag
		} else {
			s.flag = ""
		}
	}
	return idle(why, slices.Concat(common, own))
}

func idle(why string, settings []*setting) []*setting {
	for _, s := range settings {
		s.idle, s.topic = why, topicCompat
	}
	return settings
}

// oldKeys are keys that are called otherwise now. Those of a block are without its name; a block stands for all in it.
var oldKeys = map[string]map[string]string{
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

// spellings are old keys that are as good as the new: there is nothing to say about them.
var spellings = []string{"command_timeout", "wait.bool", "env", "timeout", "splay", "parseonly"}

// oldFlags are flags that are called otherwise now.
var oldFlags = map[string]string{
	"consul": "consul-addr", "token": "consul-token", "auth": "consul-auth", "retry": "consul-retry-backoff",
	"ssl": "consul-ssl", "ssl-verify": "consul-ssl-verify", "ssl-cert": "consul-ssl-cert", "ssl-key": "consul-ssl-key",
	"ssl-ca-cert": "consul-ssl-ca-cert", "ssl-ca-path": "consul-ssl-ca-path", "ssl-server-name": "consul-ssl-server-name",
	"vault": "vault-addr", "exec-env-whitelist": "exec-env-allowlist", "exec-env-blacklist": "exec-env-denylist",
}

// newKey returns what a key is called now, and whether something is to be said about the old name.
func newKey(block, key string) (now string, old bool) {
	names := oldKeys[block]
	if now, ok := names[key]; ok {
		return now, !slices.Contains(spellings, key)
	}
	if outer, inner, nested := strings.Cut(key, "."); nested {
		if now, ok := names[outer]; ok { // the block was told of
			return now + "." + inner, false
		}
	}
	return key, false
}
