package config

import (
	"slices"
	"strings"
)

// compatSettings are of consul-template and have no effect.
var compatSettings = slices.Concat(
	idle("render asks Vault if a template needs it, and not otherwise", []*Setting{{Key: "vault.enabled", kind: boolKind}}),
	idle("requests for Vault do not have it, as with consul-template", []*Setting{{Key: "vault.client_user_agent", Flag: "vault-client-user-agent", kind: textKind}}),
	idle("render gets new credentials before the previous ones end", []*Setting{{Key: "vault.grace", Flag: "vault-grace", kind: durationKind}}),
	idle("render asks Nomad if a template needs it, and not otherwise", []*Setting{{Key: "nomad.enabled", kind: boolKind}}),
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
