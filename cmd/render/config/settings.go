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
	TopicLog       = "Logging"
	TopicCompat    = "Accepted for consul-template's sake, without effect"
)

// Topics are the topics, in the order of the help. What has no effect comes last.
var Topics = []string{
	TopicTemplates, TopicRun, TopicPace, TopicActions, TopicFiles, TopicExec, TopicConsul, TopicTLS, TopicTransport, TopicLog,
	TopicCompat,
}

// Why settings of consul-template have no effect.
const (
	idleVault = "render does not read from Vault yet, so templates that use secret and its kin fail"
	idleNomad = "render does not read from Nomad yet, so templates that use nomadService and its kin fail"
	idleDedup = "not needed: stale reads, shared watchers and pacing keep the load on Consul small"
)

// globalSettings stand at the top of files.
var globalSettings = slices.Concat([]*Setting{
	{Flag: "config", kind: listKind, Operand: "PATH", Topic: TopicRun, Meaning: "a configuration file, or a folder of them, in HCL or JSON; repeatable, later ones win"},
	{Key: "fixture", Flag: "fixture", Env: []string{"RENDER_FIXTURE"}, kind: textKind, Operand: "FILE", Topic: TopicRun, Meaning: "a YAML file that answers in place of Consul; its changes are taken"},
	{Key: "once", Flag: "once", Env: []string{"RENDER_ONCE"}, kind: boolKind, Default: "false", Topic: TopicRun, Meaning: "render everything once, all files or none, run the commands, and end"},
	{Key: "timeout", Flag: "timeout", Env: []string{"RENDER_TIMEOUT"}, kind: durationKind, DefaultText: "none", Topic: TopicRun, Meaning: "with once: give up after this; 0: never"},
	{Key: "err_on_failed_lookup", Flag: "err-on-failed-lookup", kind: boolKind, Default: "false", Topic: TopicRun, Meaning: "with once: fail at once where something that is needed does not exist, instead of waiting for it"},
	{Key: "dry", Flag: "dry", Env: []string{"RENDER_DRY"}, kind: boolKind, Default: "false", Topic: TopicRun, Meaning: "print `> DESTINATION` and the contents, without once at each change; write and run nothing"},
	{Key: "parse_only", Flag: "parse-only", kind: boolKind, Default: "false", Topic: TopicRun, Meaning: "read the configuration and parse all templates, and end; ask, write and run nothing"},
	{Key: "watch_templates", Flag: "watch-templates", kind: boolKind, Default: "true", Topic: TopicRun, Meaning: "take templates and partials that change on disk"},
	{Key: "watch_config", Flag: "watch-config", Env: []string{"RENDER_WATCH_CONFIG"}, kind: boolKind, Default: "false", Topic: TopicRun, Meaning: "reload when configuration files change, as by the reload signal"},
	{Key: "reload_signal", Flag: "reload-signal", kind: signalKind, Default: "SIGHUP", Topic: TopicRun, Meaning: "reloads configuration and templates; `\"\"`: none does"},
	{Key: "kill_signal", Flag: "kill-signal", kind: signalKind, Default: "SIGINT", Topic: TopicRun, Meaning: "ends render, beside SIGINT and SIGTERM, which always do unless they reload"},
	{Key: "pid_file", Flag: "pid-file", kind: textKind, Operand: "FILE", Topic: TopicRun, Meaning: "a file for the process number, removed at the end"},

	{Key: "log_level", Flag: "log-level", Env: []string{"CT_LOG", "CONSUL_TEMPLATE_LOG", "CONSUL_TEMPLATE_LOG_LEVEL"}, kind: levelKind, Default: "info", Operand: "LEVEL", Topic: TopicLog, Meaning: "the least level to log: trace, debug, info, warn or err"},
	{Key: "log_format", Flag: "log-format", Env: []string{"RENDER_LOG_FORMAT"}, kind: choice("text", "json"), Default: "text", Operand: "FORMAT", Topic: TopicLog, Meaning: "text or json"},
	{Key: "log_file.path", Flag: "log-file", kind: textKind, Operand: "FILE", Topic: TopicLog, Meaning: "a file that gets the log, too; one without an extension gets `.log`, and a path that ends in a slash is the folder of `render.log`"},
	{Key: "log_file.log_rotate_bytes", Flag: "log-rotate-bytes", kind: countKind, Default: "0", Operand: "BYTES", Topic: TopicLog, Meaning: "begin a new log file before one gets larger; 0: at no size"},
	{Key: "log_file.log_rotate_duration", Flag: "log-rotate-duration", kind: durationKind, Default: "24h", Topic: TopicLog, Meaning: "begin a new log file after this time; 0: at no age"},
	{Key: "log_file.log_rotate_max_files", Flag: "log-rotate-max-files", kind: atLeast(-1), Default: "0", Operand: "NUMBER", Topic: TopicLog, Meaning: "how many old log files to keep; 0: all, -1: none"},
	{Key: "syslog.enabled", Flag: "syslog", kind: boolKind, Default: "false", Topic: TopicLog, Meaning: "log to syslog, too; the next two turn it on as well"},
	{Key: "syslog.facility", Flag: "syslog-facility", kind: choice(logs.FacilityNames...), Default: "LOCAL0", Operand: "FACILITY", Topic: TopicLog, Meaning: "the facility of syslog"},
	{Key: "syslog.name", Flag: "syslog-name", kind: textKind, DefaultText: "the program's name", Operand: "NAME", Topic: TopicLog, Meaning: "the name in syslog"},

	{Key: "exec.command", Flag: "exec", kind: programKind, Operand: "COMMAND", Topic: TopicExec, Meaning: "a program to supervise: started when all is rendered, told of changes; when it ends, so does render"},
	{Key: "exec.enabled", kind: boolKind, Default: "true", Topic: TopicExec, Meaning: "false: do not start it"},
	{Key: "exec.reload_signal", Flag: "exec-reload-signal", kind: signalKind, DefaultText: "restart it", Topic: TopicExec, Meaning: "tells it of changes; `\"\"`: it is told nothing"},
	{Key: "exec.kill_signal", Flag: "exec-kill-signal", kind: signalKind, Default: "SIGINT", Topic: TopicExec, Meaning: "asks it to end; `\"\"`: it is not asked"},
	{Key: "exec.kill_timeout", Flag: "exec-kill-timeout", kind: durationKind, Default: "30s", Topic: TopicExec, Meaning: "from that to SIGKILL"},
	{Key: "exec.splay", Flag: "exec-splay", kind: durationKind, DefaultText: "none", Topic: TopicExec, Meaning: "a pause of random length, up to this, before it is told of changes"},
	{Key: "exec.timeout", kind: durationKind, Topic: TopicExec, Meaning: "", Idle: "a supervised program runs without a time limit"},
	{Key: "exec.env.pristine", Flag: "exec-env-pristine", kind: boolKind, Default: "false", Topic: TopicExec, Meaning: "give it nothing of render's environment"},
	{Key: "exec.env.custom", Flag: "exec-env-custom", kind: pairsKind, Operand: "NAME=VALUE", Topic: TopicExec, Meaning: "add to its environment; wins over all else; repeatable"},
	{Key: "exec.env.allowlist", Flag: "exec-env-allowlist", kind: patternsKind, Operand: "PATTERN", DefaultText: "all", Topic: TopicExec, Meaning: "what of render's environment it gets, as in `CONSUL_*`; repeatable"},
	{Key: "exec.env.denylist", Flag: "exec-env-denylist", kind: patternsKind, Operand: "PATTERN", Topic: TopicExec, Meaning: "what of render's environment it does not get, whatever the allowlist says; repeatable"},
}, consulSettings, compatSettings, defaultSettings)

var consulSettings = []*Setting{
	{Key: "consul", kind: textKind, spread: spreadTo("consul.address"), Now: "consul.address", Topic: TopicConsul, Meaning: "an old form of `consul.address`"},
	{Key: "consul.address", Flag: "consul-addr", Env: []string{"CONSUL_HTTP_ADDR"}, kind: textKind, DefaultText: "localhost:8500", Operand: "ADDRESS", Topic: TopicConsul, Meaning: "`host:port`, `http://…`, `https://…` or `unix:///path`; with commas between, several, of which one is asked, and the next when it cannot be reached"},
	{Key: "consul.token", Flag: "consul-token", Env: []string{"CONSUL_TOKEN", "CONSUL_HTTP_TOKEN"}, kind: secretKind, Operand: "TOKEN", Topic: TopicConsul, Meaning: "on the command line, others on the machine can see it"},
	{Key: "consul.token_file", Flag: "consul-token-file", Env: []string{"CONSUL_TOKEN_FILE", "CONSUL_HTTP_TOKEN_FILE"}, kind: textKind, Operand: "FILE", Topic: TopicConsul, Meaning: "wins over the token unless it is empty; read again when it changes, and when Consul refuses the token"},
	{Key: "consul.auth", Flag: "consul-auth", Library: "CONSUL_HTTP_AUTH", kind: secretKind, spread: spreadAuth, Operand: "USER[:PASSWORD]", Topic: TopicConsul, Meaning: "basic authentication"},
	{Key: "consul.auth.enabled", kind: boolKind, DefaultText: "true where there is a user or a password", Topic: TopicConsul, Meaning: "false: no basic authentication"},
	{Key: "consul.auth.username", kind: textKind, Topic: TopicConsul, Meaning: "the user"},
	{Key: "consul.auth.password", kind: secretKind, Topic: TopicConsul, Meaning: "the password"},
	{Key: "consul.namespace", Flag: "consul-namespace", Env: []string{"CONSUL_NAMESPACE"}, kind: textKind, Operand: "NAME", Topic: TopicConsul, Meaning: "the namespace of queries that name none"},
	{Key: "consul.partition", Flag: "consul-partition", Env: []string{"CONSUL_PARTITION"}, kind: textKind, Operand: "NAME", Topic: TopicConsul, Meaning: "the partition of queries that name none"},
	{Key: "max_stale", Flag: "max-stale", kind: durationKind, Default: "2s", Topic: TopicConsul, Meaning: "how far behind its leader a server may be to answer; 0: only the leader answers"},
	{Key: "block_query_wait", Flag: "block-query-wait", kind: durationKind, DefaultText: "60s; longer where many queries wait, each with a request of its own", Topic: TopicConsul, Meaning: "how long a request waits for a change, from 1s to 10m; up to a quarter is taken off at random"},
	{Key: "consul.max_connections", Flag: "consul-max-connections", Env: []string{"RENDER_CONSUL_MAX_CONNECTIONS"}, kind: numberKind, DefaultText: "128; two thirds of what the agent allows a client, where that is more than 256", Operand: "NUMBER", Topic: TopicConsul, Meaning: "connections over plain HTTP, at least 16; more queries than three quarters of them share requests"},
	{Key: "consul.max_requests", Flag: "consul-max-requests", Env: []string{"RENDER_CONSUL_MAX_REQUESTS"}, kind: numberKind, Default: "2000", Operand: "NUMBER", Topic: TopicConsul, Meaning: "requests a second of all queries together"},
	{Key: "consul.acl_filtered", Flag: "consul-acl-filtered", kind: choice("error", "accept"), Default: "error", Operand: "WHAT", Topic: TopicConsul, Meaning: "an answer that lacks what the token may not read: error, or accept the part that the token may read; an answer that becomes smaller because the token lost rights is always an error"},
	{Key: "consul.retry", kind: durationKind, spread: spreadTo("consul.retry.backoff"), Topic: TopicConsul, Meaning: "an old form of `consul.retry.backoff`"},
	{Key: "consul.retry.enabled", Flag: "consul-retry", kind: boolKind, Default: "true", Topic: TopicConsul, Meaning: "false, with once: fail at the first failure of a query"},
	{Key: "consul.retry.attempts", Flag: "consul-retry-attempts", kind: countKind, Default: "12", Operand: "NUMBER", Topic: TopicConsul, Meaning: "with once: fail when a query has failed so often in a row; 0: never. Without once render never gives up"},
	{Key: "consul.retry.backoff", Flag: "consul-retry-backoff", kind: durationKind, Default: "250ms", Topic: TopicConsul, Meaning: "the pause after a query's first failure; doubled by each further one"},
	{Key: "consul.retry.max_backoff", Flag: "consul-retry-max-backoff", kind: durationKind, Default: "4s", Topic: TopicConsul, Meaning: "the longest such pause; 0: no limit"},

	{Key: "consul.ssl.enabled", Flag: "consul-ssl", Library: "CONSUL_HTTP_SSL", kind: boolKind, DefaultText: "true where another setting of TLS is made", Topic: TopicTLS, Meaning: "HTTPS, whatever the address says; false: not because of the other settings"},
	{Key: "consul.ssl.verify", Flag: "consul-ssl-verify", Library: "CONSUL_HTTP_SSL_VERIFY", kind: boolKind, Default: "true", Topic: TopicTLS, Meaning: "false: accept any certificate"},
	{Key: "consul.ssl.ca_cert", Flag: "consul-ssl-ca-cert", Library: "CONSUL_CACERT", kind: textKind, Operand: "FILE", DefaultText: "the system's", Topic: TopicTLS, Meaning: "certificates of authorities"},
	{Key: "consul.ssl.ca_cert_bytes", Flag: "consul-ssl-ca-cert-bytes", kind: textKind, Operand: "PEM", Topic: TopicTLS, Meaning: "the same as text, in place of files"},
	{Key: "consul.ssl.ca_path", Flag: "consul-ssl-ca-path", Library: "CONSUL_CAPATH", kind: textKind, Operand: "FOLDER", Topic: TopicTLS, Meaning: "the same, in files of a folder; used where there is no `ca_cert`"},
	{Key: "consul.ssl.cert", Flag: "consul-ssl-cert", Library: "CONSUL_CLIENT_CERT", kind: textKind, Operand: "FILE", Topic: TopicTLS, Meaning: "our certificate, and our key where `key` is not given"},
	{Key: "consul.ssl.key", Flag: "consul-ssl-key", Library: "CONSUL_CLIENT_KEY", kind: textKind, Operand: "FILE", Topic: TopicTLS, Meaning: "our key"},
	{Key: "consul.ssl.server_name", Flag: "consul-ssl-server-name", Library: "CONSUL_TLS_SERVER_NAME", kind: textKind, Operand: "NAME", DefaultText: "the host", Topic: TopicTLS, Meaning: "whom Consul's certificate must be for"},

	{Key: "consul.transport.dial_timeout", Flag: "consul-transport-dial-timeout", kind: durationKind, Default: "30s", Topic: TopicTransport, Meaning: "to open a connection"},
	{Key: "consul.transport.dial_keep_alive", Flag: "consul-transport-dial-keep-alive", kind: durationKind, Default: "15s", Topic: TopicTransport, Meaning: "between probes of a quiet connection, which is closed after three without an answer"},
	{Key: "consul.transport.tls_handshake_timeout", Flag: "consul-transport-tls-handshake-timeout", kind: durationKind, Default: "10s", Topic: TopicTransport, Meaning: "for a handshake"},
	{Key: "consul.transport.idle_conn_timeout", Flag: "consul-transport-idle-conn-timeout", kind: durationKind, Default: "5s", Topic: TopicTransport, Meaning: "how long a connection is kept for the next request"},
	{Key: "consul.transport.max_idle_conns", Flag: "consul-transport-max-idle-conns", kind: countKind, Default: "0", Operand: "NUMBER", Topic: TopicTransport, Meaning: "connections that are kept for the next request; 0: no bound"},
	{Key: "consul.transport.max_idle_conns_per_host", Flag: "consul-transport-max-idle-conns-per-host", kind: countKind, DefaultText: "as max_connections", Operand: "NUMBER", Topic: TopicTransport, Meaning: "the same for each host"},
	{Key: "consul.transport.max_conns_per_host", Flag: "consul-transport-max-conns-per-host", kind: countKind, Default: "0", Operand: "NUMBER", Topic: TopicTransport, Meaning: "connections to each host, 16 at least; 0: no bound but `max_connections`"},
	{Key: "consul.transport.disable_keep_alives", Flag: "consul-transport-disable-keep-alives", kind: boolKind, Default: "false", Topic: TopicTransport, Meaning: "open a connection for each request"},
}

// templateSettings stand in template blocks. Those with a base have their default at the top of files, and a flag.
var templateSettings = slices.Concat([]*Setting{
	{Key: "source", Flag: "source", kind: textKind, Operand: "FILE", Topic: TopicTemplates, Meaning: "the template"},
	{Key: "contents", Flag: "contents", kind: textKind, Operand: "TEXT", Topic: TopicTemplates, Meaning: "the template itself, in place of a file"},
	{Key: "destination", Flag: "destination", kind: textKind, Operand: "FILE", Topic: TopicTemplates, Meaning: "the file to make"},
	{Key: "command", Flag: "command", kind: commandKind, Operand: "COMMAND", Topic: TopicTemplates, Meaning: "is run when the file has changed"},
	{Key: "action", Flag: "action", kind: textKind, Operand: "NAME", Topic: TopicTemplates, Meaning: "the action of a configuration file that its changes lead to, in place of a command"},

	{Key: "left_delimiter", Base: "default_delimiters.left", kind: delimiterKind, Default: "{{", Operand: "TEXT", Topic: TopicTemplates, Meaning: "what begins an action of a template"},
	{Key: "right_delimiter", Base: "default_delimiters.right", kind: delimiterKind, Default: "}}", Operand: "TEXT", Topic: TopicTemplates, Meaning: "what ends one"},
	{Key: "partials", Base: "partials", kind: listKind, Operand: "PATH", Topic: TopicTemplates, Meaning: "a file, or a folder of files, whose templates others can use by name; repeatable"},
	{Key: "trim_blocks", Base: "trim_blocks", kind: boolKind, Default: "false", Topic: TopicTemplates, Meaning: "lines that hold only actions without output, as `if`, `range` and `end`, leave no empty line"},
	{Key: "error_on_missing_key", Base: "error_on_missing_key", kind: boolKind, Default: "false", Topic: TopicTemplates, Meaning: "a key that a map does not have is an error, in place of `<no value>`"},
	{Key: "error_fatal", Base: "template_error_fatal", kind: boolKind, Default: "true", Topic: TopicTemplates, Meaning: "", Idle: "a template that fails never ends the daemon, and always ends a run with once"},
	{Key: "function_denylist", Base: "function_denylist", kind: functionsKind, Operand: "FUNCTION", Topic: TopicTemplates, Meaning: "a function that templates must not use; repeatable"},
	{Key: "sandbox_path", Base: "sandbox_path", kind: textKind, Operand: "FOLDER", Topic: TopicTemplates, Meaning: "the function `file` reads below this folder only"},
	{Key: "untrusted", Base: "untrusted", kind: boolKind, Default: "false", Topic: TopicTemplates, Meaning: "deny the functions that reach outside of the template's data: the environment (and with it the token), programs, other files, the machine, and `file` without `sandbox_path`"},
	{Key: "max_output", Base: "max_output", kind: countKind, Default: "67108864", Operand: "BYTES", Topic: TopicTemplates, Meaning: "the most that a template may output; a larger output is an error of that template alone"},

	{Key: "perms", Base: "perms", kind: permsKind, DefaultText: "as it is; 0644 for a new file", Operand: "MODE", Topic: TopicFiles, Meaning: "octal, as 0640; JSON needs quotes: `\"0640\"`"},
	{Key: "user", Base: "user", kind: idKind, DefaultText: "as it is", Operand: "USER", Topic: TopicFiles, Meaning: "the owner, by name or number"},
	{Key: "group", Base: "group", kind: idKind, DefaultText: "as it is", Operand: "GROUP", Topic: TopicFiles, Meaning: "the group, by name or number"},
	{Key: "uid", kind: countKind, Now: "user", DefaultText: "as it is", Topic: TopicFiles, Meaning: "an old form of `user`, which wins"},
	{Key: "gid", kind: countKind, Now: "group", DefaultText: "as it is", Topic: TopicFiles, Meaning: "an old form of `group`, which wins"},
	{Key: "backup", Base: "backup", kind: boolKind, Default: "false", Topic: TopicFiles, Meaning: "keep the file before the last change that stayed as `DESTINATION.bak`"},
	{Key: "create_dest_dirs", Base: "create_dest_dirs", kind: boolKind, Default: "true", Topic: TopicFiles, Meaning: "make the folders of a destination; false: a missing one is an error"},
	{Key: "links", Base: "links", kind: choice("follow", "refuse"), Default: "follow", Operand: "WHAT", Topic: TopicFiles, Meaning: "a destination that is a link, or in a folder that is one: `follow` trusted links, or `refuse`"},
	{Key: "drift", Base: "drift", Env: []string{"RENDER_DRIFT"}, kind: choice("warn", "repair", "ignore"), Default: "warn", Operand: "WHAT", Topic: TopicFiles, Meaning: "a file that somebody else changes or removes: `warn`, `repair` (written again, and the action runs) or `ignore`"},

	{Key: "exec.command", kind: commandKind, Topic: TopicActions, Meaning: "the same as `command`, and wins over it"},
	{Key: "exec.enabled", kind: boolKind, Default: "true", Topic: TopicActions, Meaning: "false: run no command"},
	{Key: "exec.timeout", Base: "command_timeout", kind: durationKind, Default: "30s", Topic: TopicActions, Meaning: "for each run of a command or check; then all that it has started gets SIGTERM, and SIGKILL five seconds later"},
	{Key: "exec.splay", Base: "splay", kind: durationKind, DefaultText: "none", Topic: TopicActions, Meaning: "a pause of random length, up to this, before a command"},
	{Key: "exec.reload_signal", kind: signalKind, Topic: TopicActions, Idle: "a command is run anew for each change"},
	{Key: "exec.kill_signal", kind: signalKind, Topic: TopicActions, Idle: "a command that takes too long gets SIGTERM, then SIGKILL"},
	{Key: "exec.kill_timeout", kind: durationKind, Topic: TopicActions, Idle: "a command that takes too long gets SIGTERM, and SIGKILL five seconds later"},
}, envSettings("exec.env"), paceSettings, []*Setting{
	{Key: "remove_delay", Base: "remove_delay", Env: []string{"RENDER_REMOVE_DELAY"}, kind: durationKind, DefaultText: "none", Topic: TopicPace, Meaning: "go on with an instance that is gone for this long: it may come back"},
}, checkSettings)

// actionSettings stand in action blocks.
var actionSettings = slices.Concat([]*Setting{
	{Key: "command", kind: commandKind, Topic: TopicActions, Meaning: "is run when files have changed"},
	{Key: "timeout", Base: "command_timeout", kind: durationKind, Default: "30s", Topic: TopicActions, Meaning: "for each run of a command or check"},
	{Key: "splay", Base: "splay", kind: durationKind, DefaultText: "none", Topic: TopicActions, Meaning: "a pause of random length, up to this, before a command"},
}, envSettings("env"), paceSettings, checkSettings)

// envSettings are the environment of commands in a block.
func envSettings(block string) []*Setting {
	return []*Setting{
		{Key: block + ".pristine", Base: "command_env.pristine", kind: boolKind, Default: "false", Topic: TopicActions, Meaning: "give commands nothing of render's environment"},
		{Key: block + ".custom", Base: "command_env.custom", kind: pairsKind, Operand: "NAME=VALUE", Topic: TopicActions, Meaning: "add to the environment of commands; wins over all else; repeatable"},
		{Key: block + ".allowlist", Base: "command_env.allowlist", kind: patternsKind, Operand: "PATTERN", DefaultText: "all", Topic: TopicActions, Meaning: "what of render's environment commands get, as in `CONSUL_*`; repeatable"},
		{Key: block + ".denylist", Base: "command_env.denylist", kind: patternsKind, Operand: "PATTERN", Topic: TopicActions, Meaning: "what of render's environment commands do not get, whatever the allowlist says; repeatable"},
	}
}

// checkSettings are of templates and of actions.
var checkSettings = []*Setting{
	{Key: "check", Base: "check", Env: []string{"RENDER_CHECK"}, kind: commandKind, Operand: "COMMAND", Topic: TopicActions, Meaning: "must like the files, or they do not stay; with `{}` in it, it gets the path of each file before the swap, else it runs after it"},
	{Key: "signal", Base: "signal", kind: notifyKind, Operand: "NAME:PROCESS", Topic: TopicActions, Meaning: "send a signal after the command, or without one: `HUP:/run/nginx.pid` to the process of a pid file, `HUP:nginx` to those of a program"},
	{Key: "verify", Base: "verify", Env: []string{"RENDER_VERIFY"}, kind: textKind, spread: spreadVerify, Operand: "COMMAND|URL", Topic: TopicActions, Meaning: "must succeed soon after the command, or the old files come back"},
	{Key: "verify.command", kind: commandKind, Topic: TopicActions, Meaning: "must exit with 0"},
	{Key: "verify.url", kind: textKind, Topic: TopicActions, Meaning: "must answer with the status"},
	{Key: "verify.status", Base: "verify.status", kind: numberKind, Default: "200", Operand: "STATUS", Topic: TopicActions, Meaning: "what the URL has to answer"},
	{Key: "verify.within", Base: "verify.within", kind: durationKind, Default: "10s", Topic: TopicActions, Meaning: "it is tried every 250 ms for this long"},
	{Key: "atomic", Base: "atomic", kind: boolKind, Default: "false", Topic: TopicActions, Meaning: "all files of an action, or none"},
}

// paceSettings are of templates and of actions.
var paceSettings = slices.Concat([]*Setting{
	{Key: "wait", Base: "wait", Env: []string{"RENDER_WAIT"}, kind: waitKind, spread: spreadWait, DefaultText: "off", Operand: "MIN[:MAX]", Topic: TopicPace, Meaning: "let changes collect until nothing has changed for MIN, at most for MAX (default: four times MIN); the first render does not wait"},
	{Key: "wait.min", kind: durationKind, DefaultText: "off", Topic: TopicPace, Meaning: "quiet that ends the collecting"},
	{Key: "wait.max", kind: durationKind, DefaultText: "four times min", Topic: TopicPace, Meaning: "the longest that a change is kept back"},
	{Key: "wait.enabled", kind: boolKind, DefaultText: "true where there is a min", Topic: TopicPace, Meaning: "false: do not wait; `bool` is its name in consul-template"},
	{Key: "spacing", Base: "spacing", kind: durationKind, DefaultText: "1s where there is a check or a command, else 0", Topic: TopicPace, Meaning: "the least time from one commit of an action to the next"},
	{Key: "guard", Base: "guard", Env: []string{"RENDER_GUARD"}, kind: guardKind, spread: spreadGuard, DefaultText: "off", Operand: "PARTS", Topic: TopicPace, Meaning: "hold back answers that have lost too many instances: `min=N,max_drop=N%,hold=DURATION,then=WHAT`"},
}, guardSettings)

// guardSettings are the parts of a guard.
var guardSettings = []*Setting{
	{Key: "guard.min", kind: countKind, Topic: TopicPace, Meaning: "an answer with fewer instances is held back"},
	{Key: "guard.max_drop", kind: dropKind, Topic: TopicPace, Meaning: "so is one that has lost more than this share of those in use: `\"50%\"` or 0.5"},
	{Key: "guard.hold", kind: durationKind, Default: "5m", Topic: TopicPace, Meaning: "how long, until it comes to `then`"},
	{Key: "guard.then", kind: choice("keep", "accept", "fail"), Default: "keep", Topic: TopicPace, Meaning: "`keep` goes on for as long as it takes, `accept` takes the answer, `fail` makes the template count as failed"},
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
