package config

import (
	"slices"
	"strings"

	"render/cmd/render/logs"
)

// A Setting is one thing that users can set: by a key of a configuration file, by a flag, by environment variables. The
// tables of settings are what files, the command line, the help, the completion, the manual page and the reference are
// made from.
type Setting struct {
	Key         string   // with dots for the blocks that it is in; "" where only the command line has it
	Flag        string   // "" where only files have it
	Env         []string // variables, of which the first that is not empty is used
	Library     string   // a variable that Consul's own library reads where the setting is not made
	Default     string   // as the command line would have it; "" for none
	DefaultText string   // the default, for people, where it is not a value
	Operand     string   // what the flag's value is called; "" for a name made of its kind
	Meaning     string
	Topic       string // one of Topics
	Base        string // of a template or an action: the key at the top of files that has its default
	Idle        string // why it has no effect; "" where it has
	Now         string // the setting that has taken its place, if one has

	kind   *kind
	spread func(value any) map[string]any // what the value comes to, by the keys that it sets
}

// IsSwitch reports whether the flag needs no value.
func (s *Setting) IsSwitch() bool { return s.kind.truth }

// IsSignal reports whether the value is the name of a signal.
func (s *Setting) IsSignal() bool { return s.kind == signalKind }

// Words returns what the value can be, where that is one of some words.
func (s *Setting) Words() []string { return s.kind.words }

// Brief returns the first sentence of the meaning.
func (s *Setting) Brief() string {
	first, _, _ := strings.Cut(s.Meaning, ". ")
	return first
}

// Type returns what the value is, in a word or two.
func (s *Setting) Type() string {
	switch name, ok := typeNames[s.kind]; {
	case ok:
		return name
	case len(s.kind.words) > 6:
		return "one word"
	case len(s.kind.words) > 0:
		last := len(s.kind.words) - 1
		return "`" + strings.Join(s.kind.words[:last], "`, `") + "` or `" + s.kind.words[last] + "`"
	case s.kind.name == numberKind.name:
		return "number"
	}
	return "text"
}

// typeNames are the types of kinds that are neither text, numbers nor one of some words.
var typeNames = map[*kind]string{
	boolKind: "on or off", durationKind: "duration", portionKind: "number", dropKind: "share", permsKind: "octal mode", idKind: "name or number",
	mapKind: "block of text", secretMapKind: "block of text", intervalsKind: "block of durations", signalKind: "signal", notifyKind: "signal and process", listKind: "list of text", patternsKind: "list of patterns", functionsKind: "list of functions", addressesKind: "list of addresses", serverKind: "text, or a list of text",
	pairsKind: "list of NAME=value", commandKind: "command", programKind: "command", waitKind: "block, or MIN:MAX", guardKind: "block, or text",
}

// TakesPath reports whether the value is the path of a file or a folder.
func (s *Setting) TakesPath() bool {
	return slices.Contains([]string{"FILE", "FOLDER", "PATH", "SPEC"}, s.Operand)
}

// OperandName returns what the flag's value is called; "" where it needs none.
func (s *Setting) OperandName() string {
	switch {
	case s.kind.truth:
		return ""
	case s.Operand != "":
		return s.Operand
	case s.kind == durationKind:
		return "DURATION"
	case s.kind == signalKind:
		return "SIGNAL"
	}
	return strings.ToUpper(s.Flag[strings.LastIndexByte(s.Flag, '-')+1:])
}

// Variables returns the names of the variables that set it.
func (s *Setting) Variables() []string {
	if s.Library != "" {
		return []string{s.Library}
	}
	return s.Env
}

// Global, Template and Action return the settings at the top of files, in template blocks and in action blocks.
func Global() []*Setting   { return globalSettings }
func Template() []*Setting { return templateSettings }
func Action() []*Setting   { return actionSettings }

// Compat returns the settings of consul-template that have no effect.
func Compat() []*Setting { return compatSettings }

// The topics.
const (
	TopicTemplates = "Templates"
	TopicRun       = "Running"
	TopicPace      = "When to apply changes"
	TopicActions   = "Checks, commands and verification"
	TopicFiles     = "Files"
	TopicExec      = "A supervised program"
	TopicConsul    = "Consul"
	TopicTLS       = "TLS to Consul"
	TopicTransport = "Connections to Consul"
	TopicVault     = "Vault"
	TopicVaultTLS  = "TLS and connections to Vault"
	TopicNomad     = "Nomad"
	TopicNomadTLS  = "TLS and connections to Nomad"
	TopicLog       = "Logging"
	TopicListen    = "Status page, API and metrics"
	TopicCompat    = "Accepted for consul-template's sake, without effect"
)

// Topics are the topics, in the order of the help. What has no effect comes last.
var Topics = []string{
	TopicTemplates, TopicRun, TopicPace, TopicActions, TopicFiles, TopicExec, TopicConsul, TopicTLS, TopicTransport, TopicVault, TopicVaultTLS, TopicNomad, TopicNomadTLS, TopicLog, TopicListen,
	TopicCompat,
}

// Why settings of consul-template have no effect.
const (
	idleDedup = "render does not need it: stale reads and shared requests keep the load on Consul small"
)

// globalSettings stand at the top of files.
var globalSettings = slices.Concat([]*Setting{
	{Flag: "config", kind: listKind, Operand: "PATH", Topic: TopicRun, Meaning: "Read configuration from a file, or from all files of a folder, in HCL or JSON. Repeat the flag for more; later files win"},
	{Key: "fixture", Flag: "fixture", Env: []string{"RENDER_FIXTURE"}, kind: textKind, Operand: "FILE", Topic: TopicRun, Meaning: "Use a YAML file in place of Consul. render notices changes of the file"},
	{Key: "once", Flag: "once", Env: []string{"RENDER_ONCE"}, kind: boolKind, Default: "false", Topic: TopicRun, Meaning: "Render everything once, write all files or none, run the commands, and exit"},
	{Key: "timeout", Flag: "timeout", Env: []string{"RENDER_TIMEOUT"}, kind: durationKind, DefaultText: "none", Topic: TopicRun, Meaning: "With `once`: exit with an error if the run takes longer than this. 0: no limit"},
	{Key: "err_on_failed_lookup", Flag: "err-on-failed-lookup", kind: boolKind, Default: "false", Topic: TopicRun, Meaning: "With `once`: exit with an error at once if a key, file or program output that a template needs does not exist, instead of waiting for it"},
	{Key: "dry", Flag: "dry", Env: []string{"RENDER_DRY"}, kind: boolKind, Default: "false", Topic: TopicRun, Meaning: "Print each destination as `> DESTINATION`, with its contents. Write and run nothing. Without `once`, print again at each change"},
	{Key: "parse_only", Flag: "parse-only", kind: boolKind, Default: "false", Topic: TopicRun, Meaning: "Read the configuration, parse all templates, report all mistakes, and exit. Query, write and run nothing"},
	{Key: "watch_templates", Flag: "watch-templates", kind: boolKind, Default: "true", Topic: TopicRun, Meaning: "Use templates and partials that change on disk, without a signal"},
	{Key: "watch_config", Flag: "watch-config", Env: []string{"RENDER_WATCH_CONFIG"}, kind: boolKind, Default: "false", Topic: TopicRun, Meaning: "Reload when configuration files change, without a signal"},
	{Key: "reload_signal", Flag: "reload-signal", kind: signalKind, Default: "SIGHUP", Topic: TopicRun, Meaning: "Signal that reloads configuration and templates. `\"\"`: no signal reloads"},
	{Key: "kill_signal", Flag: "kill-signal", kind: signalKind, Default: "SIGINT", Topic: TopicRun, Meaning: "Signal that stops render, in addition to SIGINT and SIGTERM"},
	{Key: "pid_file", Flag: "pid-file", kind: textKind, Operand: "FILE", Topic: TopicRun, Meaning: "File for the process number of render. render removes the file at the end"},

	{Key: "log_level", Flag: "log-level", Env: []string{"CT_LOG", "CONSUL_TEMPLATE_LOG", "CONSUL_TEMPLATE_LOG_LEVEL"}, kind: levelKind, Default: "info", Operand: "LEVEL", Topic: TopicLog, Meaning: "Lowest level that is logged: trace, debug, info, warn or err"},
	{Key: "log_format", Flag: "log-format", Env: []string{"RENDER_LOG_FORMAT"}, kind: choice("auto", "text", "json"), Default: "auto", Operand: "FORMAT", Topic: TopicLog, Meaning: "Format of the log. `auto`: short lines for people on a terminal, otherwise `text`"},
	{Key: "log_file.path", Flag: "log-file", kind: textKind, Operand: "FILE", Topic: TopicLog, Meaning: "File for the log, in addition to standard error. `.log` is added to a name without an extension. A path that ends with a slash is a folder for `render.log`"},
	{Key: "log_file.log_rotate_bytes", Flag: "log-rotate-bytes", kind: countKind, Default: "0", Operand: "BYTES", Topic: TopicLog, Meaning: "Size in bytes at which render begins a new log file. 0: no limit"},
	{Key: "log_file.log_rotate_duration", Flag: "log-rotate-duration", kind: durationKind, Default: "24h", Topic: TopicLog, Meaning: "Age at which render begins a new log file. 0: no limit"},
	{Key: "log_file.log_rotate_max_files", Flag: "log-rotate-max-files", kind: atLeast(-1), Default: "0", Operand: "NUMBER", Topic: TopicLog, Meaning: "Number of old log files that render keeps. 0: all; -1: none"},
	{Key: "syslog.enabled", Flag: "syslog", kind: boolKind, Default: "false", Topic: TopicLog, Meaning: "Log to syslog, in addition to standard error. The next two settings also turn this on"},
	{Key: "syslog.facility", Flag: "syslog-facility", kind: choice(logs.FacilityNames...), Default: "LOCAL0", Operand: "FACILITY", Topic: TopicLog, Meaning: "Facility of the log in syslog"},
	{Key: "syslog.name", Flag: "syslog-name", kind: textKind, DefaultText: "the program's name", Operand: "NAME", Topic: TopicLog, Meaning: "Name of render in syslog"},

	{Key: "exec.command", Flag: "exec", kind: programKind, Operand: "COMMAND", Topic: TopicExec, Meaning: "Start and supervise a program when all files exist. render reloads or restarts the program after changes, and exits when the program exits"},
	{Key: "exec.enabled", kind: boolKind, Default: "true", Topic: TopicExec, Meaning: "Start the program. false: ignore the `exec` block"},
	{Key: "exec.reload_signal", Flag: "exec-reload-signal", kind: signalKind, DefaultText: "restart the program", Topic: TopicExec, Meaning: "Signal that reloads the program after changes. `\"\"`: do not signal the program"},
	{Key: "exec.kill_signal", Flag: "exec-kill-signal", kind: signalKind, Default: "SIGINT", Topic: TopicExec, Meaning: "Signal that stops the program. `\"\"`: send no signal, and wait for `kill_timeout`"},
	{Key: "exec.kill_timeout", Flag: "exec-kill-timeout", kind: durationKind, Default: "30s", Topic: TopicExec, Meaning: "Time between the kill signal and SIGKILL"},
	{Key: "exec.splay", Flag: "exec-splay", kind: durationKind, DefaultText: "none", Topic: TopicExec, Meaning: "Random pause of at most this duration before the program is reloaded or restarted"},
	{Key: "exec.timeout", kind: durationKind, Topic: TopicExec, Meaning: "", Idle: "a supervised program runs without a time limit"},
	{Key: "exec.env.pristine", Flag: "exec-env-pristine", kind: boolKind, Default: "false", Topic: TopicExec, Meaning: "Start the program without the environment of render"},
	{Key: "exec.env.custom", Flag: "exec-env-custom", kind: pairsKind, Operand: "NAME=VALUE", Topic: TopicExec, Meaning: "Add a variable to the environment of the program. Wins over all other variables. Repeat the flag for more"},
	{Key: "exec.env.allowlist", Flag: "exec-env-allowlist", kind: patternsKind, Operand: "PATTERN", DefaultText: "all", Topic: TopicExec, Meaning: "Names of environment variables of render that the program gets, such as `CONSUL_*`. Repeat the flag for more"},
	{Key: "exec.env.denylist", Flag: "exec-env-denylist", kind: patternsKind, Operand: "PATTERN", Topic: TopicExec, Meaning: "Names of environment variables of render that the program does not get. Wins over the allowlist. Repeat the flag for more"},
}, listenSettings, consulSettings, vaultSettings, nomadSettings, compatSettings, defaultSettings)

var listenSettings = []*Setting{
	{Key: "listen", kind: addressesKind, spread: spreadTo("listen.address"), Topic: TopicListen, Meaning: "Short form of `listen.address`"},
	{Key: "listen.address", Flag: "listen", Env: []string{"RENDER_LISTEN"}, kind: addressesKind, DefaultText: "none", Operand: "ADDRESS", Topic: TopicListen, Meaning: "Address of the status page, the API and the metrics: `127.0.0.1:9820`, `[::1]:9820` or `unix:///run/render/render.sock`. Separate several with commas, or repeat the flag. render does not listen with `once`, `dry` or `parse_only`"},
	{Key: "listen.mode", Flag: "listen-mode", kind: permsKind, Default: "0600", Operand: "MODE", Topic: TopicListen, Meaning: "Mode of unix sockets. Who can write to a socket can use it without a token"},
	{Key: "listen.cert", Flag: "listen-cert", kind: textKind, Operand: "FILE", Topic: TopicListen, Meaning: "PEM file with a certificate, for TLS at addresses with a port. render reads the file again when it changes"},
	{Key: "listen.key", Flag: "listen-key", kind: textKind, Operand: "FILE", Topic: TopicListen, Meaning: "PEM file with the key of the certificate"},
	{Key: "listen.token_file", Flag: "listen-token-file", kind: textKind, Operand: "FILE", Topic: TopicListen, Meaning: "File with a token that requests need at addresses with a port: as `Authorization: Bearer TOKEN`, or as the password of any user, as browsers send it. render reads the file again when it changes"},
	{Key: "listen.hosts", Flag: "listen-host", kind: listKind, Operand: "NAME", Topic: TopicListen, Meaning: "Host name by which requests may address render, besides `localhost` and IP addresses. Repeat the flag for more"},
	{Key: "listen.insecure", Flag: "listen-insecure", kind: boolKind, Default: "false", Topic: TopicListen, Meaning: "Accept an address that other machines can connect to, without TLS or without a token"},
}

var consulSettings = []*Setting{
	{Key: "consul", kind: textKind, spread: spreadTo("consul.address"), Now: "consul.address", Topic: TopicConsul, Meaning: "Old form of `consul.address`"},
	{Key: "consul.address", Flag: "consul-addr", Env: []string{"CONSUL_HTTP_ADDR"}, kind: serverKind, DefaultText: "localhost:8500", Operand: "ADDRESS", Topic: TopicConsul, Meaning: "Address of the Consul agent: `host:port`, `http://…`, `https://…` or `unix:///path`. With several addresses and commas between them, render uses the next one when one fails"},
	{Key: "consul.token", Flag: "consul-token", Env: []string{"CONSUL_TOKEN", "CONSUL_HTTP_TOKEN"}, kind: secretKind, Operand: "TOKEN", Topic: TopicConsul, Meaning: "ACL token for Consul. Other users of the machine can read a token on the command line; prefer `token_file`"},
	{Key: "consul.token_file", Flag: "consul-token-file", Env: []string{"CONSUL_TOKEN_FILE", "CONSUL_HTTP_TOKEN_FILE"}, kind: textKind, Operand: "FILE", Topic: TopicConsul, Meaning: "File with the ACL token. Wins over `token`, unless the file name is empty. render reads the file again when it changes, and when Consul rejects the token"},
	{Key: "consul.auth", Flag: "consul-auth", Library: "CONSUL_HTTP_AUTH", kind: secretKind, spread: spreadAuth, Operand: "USER[:PASSWORD]", Topic: TopicConsul, Meaning: "User and password for basic authentication"},
	{Key: "consul.auth.enabled", kind: boolKind, DefaultText: "true, if a user or a password is set", Topic: TopicConsul, Meaning: "Use basic authentication. false: ignore user and password"},
	{Key: "consul.auth.username", kind: textKind, Topic: TopicConsul, Meaning: "User for basic authentication"},
	{Key: "consul.auth.password", kind: secretKind, Topic: TopicConsul, Meaning: "Password for basic authentication"},
	{Key: "consul.namespace", Flag: "consul-namespace", Env: []string{"CONSUL_NAMESPACE"}, kind: textKind, Operand: "NAME", Topic: TopicConsul, Meaning: "Namespace of queries that do not name one. Consul Enterprise only"},
	{Key: "consul.partition", Flag: "consul-partition", Env: []string{"CONSUL_PARTITION"}, kind: textKind, Operand: "NAME", Topic: TopicConsul, Meaning: "Admin partition of queries that do not name one. Consul Enterprise only"},
	{Key: "max_stale", Flag: "max-stale", kind: durationKind, Default: "2s", Topic: TopicConsul, Meaning: "Time that a server may be behind its leader and still answer. 0: only the leader answers"},
	{Key: "block_query_wait", Flag: "block-query-wait", kind: durationKind, DefaultText: "60s, and longer if many queries each have a request of their own", Topic: TopicConsul, Meaning: "Time that a request waits for a change, from 1s to 10m. render subtracts up to a quarter at random"},
	{Key: "consul.max_connections", Flag: "consul-max-connections", Env: []string{"RENDER_CONSUL_MAX_CONNECTIONS"}, kind: numberKind, DefaultText: "128, or two thirds of what the agent allows a client if that is more than 256", Operand: "NUMBER", Topic: TopicConsul, Meaning: "Number of connections over plain HTTP, at least 16. If three quarters of them are fewer than the queries, queries share requests"},
	{Key: "consul.max_requests", Flag: "consul-max-requests", Env: []string{"RENDER_CONSUL_MAX_REQUESTS"}, kind: numberKind, Default: "2000", Operand: "NUMBER", Topic: TopicConsul, Meaning: "Number of requests a second, for all queries together"},
	{Key: "consul.acl_filtered", Flag: "consul-acl-filtered", kind: choice("error", "accept"), Default: "error", Operand: "WHAT", Topic: TopicConsul, Meaning: "Answers without the data that the token may not read: `error`, or `accept` the part that the token may read. A smaller answer because the token lost rights is always an error"},
	{Key: "consul.retry", kind: durationKind, spread: spreadTo("consul.retry.backoff"), Topic: TopicConsul, Meaning: "Old form of `consul.retry.backoff`"},
	{Key: "consul.retry.enabled", Flag: "consul-retry", kind: boolKind, Default: "true", Topic: TopicConsul, Meaning: "Retry a failed query. false, with `once`: exit at the first failure"},
	{Key: "consul.retry.attempts", Flag: "consul-retry-attempts", kind: countKind, Default: "12", Operand: "NUMBER", Topic: TopicConsul, Meaning: "With `once`: number of failures in a row of a query, after which render exits. 0: no limit. Without `once`, render retries without end"},
	{Key: "consul.retry.backoff", Flag: "consul-retry-backoff", kind: durationKind, Default: "250ms", Topic: TopicConsul, Meaning: "Pause after the first failure of a query. Each further failure doubles the pause"},
	{Key: "consul.retry.max_backoff", Flag: "consul-retry-max-backoff", kind: durationKind, Default: "4s", Topic: TopicConsul, Meaning: "Limit of the pause after a failure. 0: no limit"},

	{Key: "consul.ssl.enabled", Flag: "consul-ssl", Library: "CONSUL_HTTP_SSL", kind: boolKind, DefaultText: "true, if another TLS setting is set", Topic: TopicTLS, Meaning: "Use HTTPS, also if the address does not say so. false: ignore the other TLS settings"},
	{Key: "consul.ssl.verify", Flag: "consul-ssl-verify", Library: "CONSUL_HTTP_SSL_VERIFY", kind: boolKind, Default: "true", Topic: TopicTLS, Meaning: "Verify the certificate of Consul. false: accept any certificate"},
	{Key: "consul.ssl.ca_cert", Flag: "consul-ssl-ca-cert", Library: "CONSUL_CACERT", kind: textKind, Operand: "FILE", DefaultText: "the authorities of the system", Topic: TopicTLS, Meaning: "File with certificates of the authorities that render trusts"},
	{Key: "consul.ssl.ca_cert_bytes", Flag: "consul-ssl-ca-cert-bytes", kind: textKind, Operand: "PEM", Topic: TopicTLS, Meaning: "Certificates of the authorities that render trusts, as PEM text in place of a file"},
	{Key: "consul.ssl.ca_path", Flag: "consul-ssl-ca-path", Library: "CONSUL_CAPATH", kind: textKind, Operand: "FOLDER", Topic: TopicTLS, Meaning: "Folder with certificates of the authorities that render trusts. Used if `ca_cert` is not set"},
	{Key: "consul.ssl.cert", Flag: "consul-ssl-cert", Library: "CONSUL_CLIENT_CERT", kind: textKind, Operand: "FILE", Topic: TopicTLS, Meaning: "File with the client certificate of render, and with its key if `key` is not set"},
	{Key: "consul.ssl.key", Flag: "consul-ssl-key", Library: "CONSUL_CLIENT_KEY", kind: textKind, Operand: "FILE", Topic: TopicTLS, Meaning: "File with the key of the client certificate"},
	{Key: "consul.ssl.server_name", Flag: "consul-ssl-server-name", Library: "CONSUL_TLS_SERVER_NAME", kind: textKind, Operand: "NAME", DefaultText: "the host of the address", Topic: TopicTLS, Meaning: "Name that the certificate of Consul must have"},

	{Key: "consul.transport.dial_timeout", Flag: "consul-transport-dial-timeout", kind: durationKind, Default: "30s", Topic: TopicTransport, Meaning: "Time limit for opening a connection"},
	{Key: "consul.transport.dial_keep_alive", Flag: "consul-transport-dial-keep-alive", kind: durationKind, Default: "15s", Topic: TopicTransport, Meaning: "Interval between probes of an idle connection. render closes a connection after three probes without an answer"},
	{Key: "consul.transport.tls_handshake_timeout", Flag: "consul-transport-tls-handshake-timeout", kind: durationKind, Default: "10s", Topic: TopicTransport, Meaning: "Time limit of a TLS handshake"},
	{Key: "consul.transport.idle_conn_timeout", Flag: "consul-transport-idle-conn-timeout", kind: durationKind, Default: "5s", Topic: TopicTransport, Meaning: "Time that an idle connection stays open for the next request"},
	{Key: "consul.transport.max_idle_conns", Flag: "consul-transport-max-idle-conns", kind: countKind, Default: "0", Operand: "NUMBER", Topic: TopicTransport, Meaning: "Number of idle connections that stay open. 0: no limit"},
	{Key: "consul.transport.max_idle_conns_per_host", Flag: "consul-transport-max-idle-conns-per-host", kind: countKind, DefaultText: "the value of `max_connections`", Operand: "NUMBER", Topic: TopicTransport, Meaning: "Number of idle connections to one host that stay open"},
	{Key: "consul.transport.max_conns_per_host", Flag: "consul-transport-max-conns-per-host", kind: countKind, Default: "0", Operand: "NUMBER", Topic: TopicTransport, Meaning: "Number of connections to one host, at least 16. 0: no limit except `max_connections`"},
	{Key: "consul.transport.disable_keep_alives", Flag: "consul-transport-disable-keep-alives", kind: boolKind, Default: "false", Topic: TopicTransport, Meaning: "Open a new connection for each request"},
}

// templateSettings stand in template blocks. Those with a base have their default at the top of files, and a flag.
var templateSettings = slices.Concat([]*Setting{
	{Key: "source", Flag: "source", kind: textKind, Operand: "FILE", Topic: TopicTemplates, Meaning: "File with the template"},
	{Key: "contents", Flag: "contents", kind: textKind, Operand: "TEXT", Topic: TopicTemplates, Meaning: "Text of the template, in place of a file"},
	{Key: "destination", Flag: "destination", kind: textKind, Operand: "FILE", Topic: TopicTemplates, Meaning: "File that render writes"},
	{Key: "command", Flag: "command", kind: commandKind, Operand: "COMMAND", Topic: TopicTemplates, Meaning: "Run a command after the file has changed"},
	{Key: "action", Flag: "action", kind: textKind, Operand: "NAME", Topic: TopicTemplates, Meaning: "Name of the `action` block that applies to this template, in place of a command"},

	{Key: "left_delimiter", Base: "default_delimiters.left", kind: delimiterKind, Default: "{{", Operand: "TEXT", Topic: TopicTemplates, Meaning: "Text that begins an action in a template"},
	{Key: "right_delimiter", Base: "default_delimiters.right", kind: delimiterKind, Default: "}}", Operand: "TEXT", Topic: TopicTemplates, Meaning: "Text that ends an action in a template"},
	{Key: "partials", Base: "partials", kind: listKind, Operand: "PATH", Topic: TopicTemplates, Meaning: "File, or folder of files, with templates that other templates can use by name. Repeat the flag for more"},
	{Key: "trim_blocks", Base: "trim_blocks", kind: boolKind, Default: "false", Topic: TopicTemplates, Meaning: "Remove lines that have only actions without output, such as `if`, `range` and `end`"},
	{Key: "error_on_missing_key", Base: "error_on_missing_key", kind: boolKind, Default: "false", Topic: TopicTemplates, Meaning: "Treat a key that a map does not have as an error, instead of printing `<no value>`"},
	{Key: "error_fatal", Base: "template_error_fatal", kind: boolKind, Default: "true", Topic: TopicTemplates, Meaning: "", Idle: "a template that fails does not end the daemon, and always ends a run with once"},
	{Key: "function_denylist", Base: "function_denylist", kind: functionsKind, Operand: "FUNCTION", Topic: TopicTemplates, Meaning: "Name or pattern of functions that templates must not use. Repeat the flag for more"},
	{Key: "sandbox_path", Base: "sandbox_path", kind: textKind, Operand: "FOLDER", Topic: TopicTemplates, Meaning: "Folder that the function `file` may read. Paths outside of it are errors"},
	{Key: "untrusted", Base: "untrusted", kind: boolKind, Default: "false", Topic: TopicTemplates, Meaning: "Deny the functions that reach outside of the template's data: environment (and so the token), programs, more files, the machine, and `file` without `sandbox_path`"},
	{Key: "max_output", Base: "max_output", kind: countKind, Default: "67108864", Operand: "BYTES", Topic: TopicTemplates, Meaning: "Limit of the output of one template, in bytes. A larger output is an error of that template only"},

	{Key: "perms", Base: "perms", kind: permsKind, DefaultText: "unchanged; 0644 for a new file", Operand: "MODE", Topic: TopicFiles, Meaning: "Octal mode of the file, such as 0640. In JSON, in quotes: `\"0640\"`"},
	{Key: "user", Base: "user", kind: idKind, DefaultText: "unchanged", Operand: "USER", Topic: TopicFiles, Meaning: "Owner of the file, by name or number. Needs root, unless it is render's own user"},
	{Key: "group", Base: "group", kind: idKind, DefaultText: "unchanged", Operand: "GROUP", Topic: TopicFiles, Meaning: "Group of the file, by name or number"},
	{Key: "uid", kind: countKind, Now: "user", DefaultText: "unchanged", Topic: TopicFiles, Meaning: "Old form of `user`. `user` wins"},
	{Key: "gid", kind: countKind, Now: "group", DefaultText: "unchanged", Topic: TopicFiles, Meaning: "Old form of `group`. `group` wins"},
	{Key: "backup", Base: "backup", kind: boolKind, Default: "false", Topic: TopicFiles, Meaning: "Keep the previous file as `DESTINATION.bak` after each successful change"},
	{Key: "create_dest_dirs", Base: "create_dest_dirs", kind: boolKind, Default: "true", Topic: TopicFiles, Meaning: "Create missing folders of a destination. false: a missing folder is an error"},
	{Key: "links", Base: "links", kind: choice("follow", "refuse"), Default: "follow", Operand: "WHAT", Topic: TopicFiles, Meaning: "Destinations that are links, or in folders that are links: `follow` trusted links, or `refuse` them"},
	{Key: "drift", Base: "drift", Env: []string{"RENDER_DRIFT"}, kind: choice("warn", "repair", "ignore"), Default: "warn", Operand: "WHAT", Topic: TopicFiles, Meaning: "Files that somebody else changed or removed: `warn` in the log, `repair` the file and run the action, or `ignore` them"},

	{Key: "exec.command", kind: commandKind, Topic: TopicActions, Meaning: "Run a command after the file has changed. The same as `command`, and wins over it"},
	{Key: "exec.enabled", kind: boolKind, Default: "true", Topic: TopicActions, Meaning: "Run the command. false: run no command"},
	{Key: "exec.timeout", Base: "command_timeout", kind: durationKind, Default: "30s", Topic: TopicActions, Meaning: "Time limit of each run of a command or a check. Beyond it, render sends SIGTERM to the command and everything that it started, and SIGKILL five seconds later. 0: the default"},
	{Key: "exec.splay", Base: "splay", kind: durationKind, DefaultText: "none", Topic: TopicActions, Meaning: "Random pause of at most this duration before a command"},
	{Key: "exec.reload_signal", kind: signalKind, Topic: TopicActions, Idle: "render runs the command again for each change"},
	{Key: "exec.kill_signal", kind: signalKind, Topic: TopicActions, Idle: "render ends a command that takes too long with SIGTERM, then SIGKILL"},
	{Key: "exec.kill_timeout", kind: durationKind, Topic: TopicActions, Idle: "render ends a command that takes too long with SIGTERM, and with SIGKILL five seconds later"},
}, envSettings("exec.env"), paceSettings, []*Setting{
	{Key: "remove_delay", Base: "remove_delay", Env: []string{"RENDER_REMOVE_DELAY"}, kind: durationKind, DefaultText: "none", Topic: TopicPace, Meaning: "Keep an instance for this long after it is gone, because it may be registered again"},
}, checkSettings)

// actionSettings stand in action blocks.
var actionSettings = slices.Concat([]*Setting{
	{Key: "command", kind: commandKind, Topic: TopicActions, Meaning: "Run a command after files have changed"},
	{Key: "timeout", Base: "command_timeout", kind: durationKind, Default: "30s", Topic: TopicActions, Meaning: "Time limit of each run of a command or a check"},
	{Key: "splay", Base: "splay", kind: durationKind, DefaultText: "none", Topic: TopicActions, Meaning: "Random pause of at most this duration before a command"},
}, envSettings("env"), paceSettings, checkSettings)

// envSettings are the environment of commands in a block.
func envSettings(block string) []*Setting {
	return []*Setting{
		{Key: block + ".pristine", Base: "command_env.pristine", kind: boolKind, Default: "false", Topic: TopicActions, Meaning: "Run commands without the environment of render"},
		{Key: block + ".custom", Base: "command_env.custom", kind: pairsKind, Operand: "NAME=VALUE", Topic: TopicActions, Meaning: "Add a variable to the environment of commands. Wins over all other variables. Repeat the flag for more"},
		{Key: block + ".allowlist", Base: "command_env.allowlist", kind: patternsKind, Operand: "PATTERN", DefaultText: "all", Topic: TopicActions, Meaning: "Names of environment variables of render that commands get, such as `CONSUL_*`. Repeat the flag for more"},
		{Key: block + ".denylist", Base: "command_env.denylist", kind: patternsKind, Operand: "PATTERN", Topic: TopicActions, Meaning: "Names of environment variables of render that commands do not get. Wins over the allowlist. Repeat the flag for more"},
	}
}

// checkSettings are of templates and of actions.
var checkSettings = []*Setting{
	{Key: "check", Base: "check", Env: []string{"RENDER_CHECK"}, kind: commandKind, Operand: "COMMAND", Topic: TopicActions, Meaning: "Run a command that must accept the files; if it fails, render restores the previous files. With `{}`, the check runs before the swap, once for each new file. Without `{}`, it runs after the swap"},
	{Key: "signal", Base: "signal", kind: notifyKind, Operand: "NAME:PROCESS", Topic: TopicActions, Meaning: "Send a signal after the command: `HUP:/run/nginx.pid` to the process in a pid file, `HUP:nginx` to all processes of a program"},
	{Key: "verify", Base: "verify", Env: []string{"RENDER_VERIFY"}, kind: textKind, spread: spreadVerify, Operand: "COMMAND|URL", Topic: TopicActions, Meaning: "Test the result after the command, with a command or a URL. If the test does not succeed in time, render restores the previous files"},
	{Key: "verify.command", kind: commandKind, Topic: TopicActions, Meaning: "Command of the verification. It must exit with 0"},
	{Key: "verify.url", kind: textKind, Topic: TopicActions, Meaning: "URL of the verification. It must answer with `verify.status`"},
	{Key: "verify.status", Base: "verify.status", kind: numberKind, Default: "200", Operand: "STATUS", Topic: TopicActions, Meaning: "HTTP status that the URL of the verification must have"},
	{Key: "verify.within", Base: "verify.within", kind: durationKind, Default: "10s", Topic: TopicActions, Meaning: "Time limit of the verification. render repeats the test every 250 ms"},
	{Key: "atomic", Base: "atomic", kind: boolKind, Default: "false", Topic: TopicActions, Meaning: "Apply all files of an action, or none"},
}

// paceSettings are of templates and of actions.
var paceSettings = slices.Concat([]*Setting{
	{Key: "wait", Base: "wait", Env: []string{"RENDER_WAIT"}, kind: waitKind, spread: spreadWait, DefaultText: "off", Operand: "MIN[:MAX]", Topic: TopicPace, Meaning: "Collect changes until nothing has changed for MIN, at most for MAX. The first render does not wait"},
	{Key: "wait.min", kind: durationKind, DefaultText: "off", Topic: TopicPace, Meaning: "Time without a change that ends the collecting"},
	{Key: "wait.max", kind: durationKind, DefaultText: "four times `min`", Topic: TopicPace, Meaning: "Time after which render applies collected changes in any case"},
	{Key: "wait.enabled", kind: boolKind, DefaultText: "true, if `min` is set", Topic: TopicPace, Meaning: "Use the `wait` block. false: do not wait. consul-template calls this key `bool`"},
	{Key: "spacing", Base: "spacing", kind: durationKind, DefaultText: "1s with a check or a command, otherwise 0", Topic: TopicPace, Meaning: "Time between the beginnings of two commits of an action, at least"},
	{Key: "guard", Base: "guard", Env: []string{"RENDER_GUARD"}, kind: guardKind, spread: spreadGuard, DefaultText: "off", Operand: "PARTS", Topic: TopicPace, Meaning: "Hold back answers that lost too many instances: `min=N,max_drop=N%,hold=DURATION,then=WHAT`"},
}, guardSettings)

// guardSettings are the parts of a guard.
var guardSettings = []*Setting{
	{Key: "guard.min", kind: countKind, Topic: TopicPace, Meaning: "Hold back an answer with fewer instances than this"},
	{Key: "guard.max_drop", kind: dropKind, Topic: TopicPace, Meaning: "Hold back an answer that lost more than this share of the instances in use, such as `\"50%\"` or 0.5"},
	{Key: "guard.hold", kind: durationKind, Default: "5m", Topic: TopicPace, Meaning: "Time that a guard holds an answer back, before `then` applies"},
	{Key: "guard.then", kind: choice("keep", "accept", "fail"), Default: "keep", Topic: TopicPace, Meaning: "What a guard does after `hold`: `keep` the previous answer without end, `accept` the new answer, or `fail` the template"},
}

// defaultSettings are the settings of templates and actions that can stand at the top of files, and have flags.
var defaultSettings = makeDefaults()

func makeDefaults() []*Setting {
	var all []*Setting
	seen := make(map[string]bool)
	for _, s := range slices.Concat(templateSettings, actionSettings) {
		top := *s
		switch {
		case s.Base != "":
			top.Key, top.Flag, top.Base = s.Base, flagOf(s.Base), ""
		case !IsPart(s.Key):
			continue
		}
		if !seen[top.Key] {
			seen[top.Key] = true
			all = append(all, &top)
		}
	}
	return all
}

// IsPart reports whether a key is part of a block that has its default at the top of files as a whole.
func IsPart(key string) bool {
	block, _, nested := strings.Cut(key, ".")
	return nested && slices.Contains([]string{"wait", "guard", "verify"}, block)
}

// flagOf returns the flag of a key.
func flagOf(key string) string {
	if side, ok := strings.CutPrefix(key, "default_delimiters."); ok {
		return "default-" + side + "-delimiter"
	}
	return strings.NewReplacer("_", "-", ".", "-").Replace(key)
}

// repeated are the blocks that stand for one thing each.
var repeated = map[string][]*Setting{"template": templateSettings, "action": actionSettings}
