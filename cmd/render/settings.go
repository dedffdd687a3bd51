package main

import (
	"slices"
	"strings"

	"render/cmd/render/logs"
)

// A setting is one thing that users can set: by a key of a configuration file, by a flag, by environment variables. The
// tables of settings are what files, the command line, the help, the completion, the manual page and the reference are
// made from.
type setting struct {
	key     string   // with dots for the blocks that it is in; "" where only the command line has it
	flag    string   // "" where only files have it
	env     []string // the first that is not empty counts
	library string   // a variable that Consul's own library reads where the setting is not made
	kind    *kind
	def     string // the default, as the command line would have it
	other   string // the default, for people, where it is not a value
	operand string // what the flag's value is called
	meaning string
	topic   string
	base    string                         // of a template or an action: the key at the top of files that has its default
	spread  func(value any) map[string]any // what the value comes to, by the keys that it sets
	idle    string                         // why it has no effect; "" where it has
	now     string                         // the setting that has taken its place, if one has
}

// The topics, in the order of the help.
const (
	topicTemplates = "Templates"
	topicRun       = "Running"
	topicPace      = "When to apply changes"
	topicActions   = "Checks, commands and verification"
	topicFiles     = "Files"
	topicExec      = "A supervised program"
	topicConsul    = "Consul"
	topicTLS       = "TLS to Consul"
	topicTransport = "Connections to Consul"
	topicLog       = "Logging"
	topicCompat    = "Accepted for consul-template's sake, without effect"
)

var topics = []string{
	topicTemplates, topicRun, topicPace, topicActions, topicFiles, topicExec, topicConsul, topicTLS, topicTransport, topicLog,
	topicCompat,
}

// Why settings of consul-template have no effect.
const (
	idleVault = "render does not read from Vault yet, so templates that use secret and its kin fail"
	idleNomad = "render does not read from Nomad yet, so templates that use nomadService and its kin fail"
	idleDedup = "not needed: stale reads, shared watchers and pacing keep the load on Consul small"
)

// globalSettings stand at the top of files.
var globalSettings = slices.Concat([]*setting{
	{flag: "config", kind: listKind, operand: "PATH", topic: topicRun, meaning: "a configuration file, or a folder of them, in HCL or JSON; repeatable, later ones win"},
	{key: "fixture", flag: "fixture", env: []string{"RENDER_FIXTURE"}, kind: textKind, operand: "FILE", topic: topicRun, meaning: "a YAML file that answers in place of Consul; its changes are taken"},
	{key: "once", flag: "once", env: []string{"RENDER_ONCE"}, kind: boolKind, def: "false", topic: topicRun, meaning: "render everything once, all files or none, run the commands, and end"},
	{key: "timeout", flag: "timeout", env: []string{"RENDER_TIMEOUT"}, kind: durationKind, other: "none", topic: topicRun, meaning: "with once: give up after this; 0: never"},
	{key: "err_on_failed_lookup", flag: "err-on-failed-lookup", kind: boolKind, def: "false", topic: topicRun, meaning: "with once: fail at once where something that is needed does not exist, instead of waiting for it"},
	{key: "dry", flag: "dry", env: []string{"RENDER_DRY"}, kind: boolKind, def: "false", topic: topicRun, meaning: "print `> DESTINATION` and the contents, without once at each change; write and run nothing"},
	{key: "parse_only", flag: "parse-only", kind: boolKind, def: "false", topic: topicRun, meaning: "read the configuration and parse all templates, and end; ask, write and run nothing"},
	{key: "watch_templates", flag: "watch-templates", kind: boolKind, def: "true", topic: topicRun, meaning: "take templates and partials that change on disk"},
	{key: "watch_config", flag: "watch-config", env: []string{"RENDER_WATCH_CONFIG"}, kind: boolKind, def: "false", topic: topicRun, meaning: "reload when configuration files change, as by the reload signal"},
	{key: "reload_signal", flag: "reload-signal", kind: signalKind, def: "SIGHUP", topic: topicRun, meaning: "reloads configuration and templates; `\"\"`: none does"},
	{key: "kill_signal", flag: "kill-signal", kind: signalKind, def: "SIGINT", topic: topicRun, meaning: "ends render, beside SIGINT and SIGTERM, which always do unless they reload"},
	{key: "pid_file", flag: "pid-file", kind: textKind, operand: "FILE", topic: topicRun, meaning: "a file for the process number, removed at the end"},

	{key: "log_level", flag: "log-level", env: []string{"CT_LOG", "CONSUL_TEMPLATE_LOG", "CONSUL_TEMPLATE_LOG_LEVEL"}, kind: levelKind, def: "info", operand: "LEVEL", topic: topicLog, meaning: "the least level to log: trace, debug, info, warn or err"},
	{key: "log_format", flag: "log-format", env: []string{"RENDER_LOG_FORMAT"}, kind: choice("text", "json"), def: "text", operand: "FORMAT", topic: topicLog, meaning: "text or json"},
	{key: "log_file.path", flag: "log-file", kind: textKind, operand: "FILE", topic: topicLog, meaning: "a file that gets the log, too; one without an extension gets `.log`, and a path that ends in a slash is the folder of `render.log`"},
	{key: "log_file.log_rotate_bytes", flag: "log-rotate-bytes", kind: countKind, def: "0", operand: "BYTES", topic: topicLog, meaning: "begin a new log file before one gets larger; 0: at no size"},
	{key: "log_file.log_rotate_duration", flag: "log-rotate-duration", kind: durationKind, def: "24h", topic: topicLog, meaning: "begin a new log file after this time; 0: at no age"},
	{key: "log_file.log_rotate_max_files", flag: "log-rotate-max-files", kind: atLeast(-1), def: "0", operand: "NUMBER", topic: topicLog, meaning: "how many old log files to keep; 0: all, -1: none"},
	{key: "syslog.enabled", flag: "syslog", kind: boolKind, def: "false", topic: topicLog, meaning: "log to syslog, too; the next two turn it on as well"},
	{key: "syslog.facility", flag: "syslog-facility", kind: choice(logs.FacilityNames...), def: "LOCAL0", operand: "FACILITY", topic: topicLog, meaning: "the facility of syslog"},
	{key: "syslog.name", flag: "syslog-name", kind: textKind, other: "the program's name", operand: "NAME", topic: topicLog, meaning: "the name in syslog"},

	{key: "exec.command", flag: "exec", kind: programKind, operand: "COMMAND", topic: topicExec, meaning: "a program to supervise: started when all is rendered, told of changes; when it ends, so does render"},
	{key: "exec.enabled", kind: boolKind, def: "true", topic: topicExec, meaning: "false: do not start it"},
	{key: "exec.reload_signal", flag: "exec-reload-signal", kind: signalKind, other: "restart it", topic: topicExec, meaning: "tells it of changes; `\"\"`: it is told nothing"},
	{key: "exec.kill_signal", flag: "exec-kill-signal", kind: signalKind, def: "SIGINT", topic: topicExec, meaning: "asks it to end; `\"\"`: it is not asked"},
	{key: "exec.kill_timeout", flag: "exec-kill-timeout", kind: durationKind, def: "30s", topic: topicExec, meaning: "from that to SIGKILL"},
	{key: "exec.splay", flag: "exec-splay", kind: durationKind, other: "none", topic: topicExec, meaning: "a pause of random length, up to this, before it is told of changes"},
	{key: "exec.timeout", kind: durationKind, topic: topicExec, meaning: "", idle: "a supervised program runs without a time limit"},
	{key: "exec.env.pristine", flag: "exec-env-pristine", kind: boolKind, def: "false", topic: topicExec, meaning: "give it nothing of render's environment"},
	{key: "exec.env.custom", flag: "exec-env-custom", kind: pairsKind, operand: "NAME=VALUE", topic: topicExec, meaning: "add to its environment; wins over all else; repeatable"},
	{key: "exec.env.allowlist", flag: "exec-env-allowlist", kind: patternsKind, operand: "PATTERN", other: "all", topic: topicExec, meaning: "what of render's environment it gets, as in `CONSUL_*`; repeatable"},
	{key: "exec.env.denylist", flag: "exec-env-denylist", kind: patternsKind, operand: "PATTERN", topic: topicExec, meaning: "what of render's environment it does not get, whatever the allowlist says; repeatable"},
}, consulSettings, compatSettings, defaultSettings)

var consulSettings = []*setting{
	{key: "consul", kind: textKind, spread: spreadTo("consul.address"), now: "consul.address", topic: topicConsul, meaning: "an old form of `consul.address`"},
	{key: "consul.address", flag: "consul-addr", env: []string{"CONSUL_HTTP_ADDR"}, kind: textKind, other: "localhost:8500", operand: "ADDRESS", topic: topicConsul, meaning: "`host:port`, `http://…`, `https://…` or `unix:///path`; with commas between, several, of which one is asked, and the next when it cannot be reached"},
	{key: "consul.token", flag: "consul-token", env: []string{"CONSUL_TOKEN", "CONSUL_HTTP_TOKEN"}, kind: secretKind, operand: "TOKEN", topic: topicConsul, meaning: "on the command line, others on the machine can see it"},
	{key: "consul.token_file", flag: "consul-token-file", env: []string{"CONSUL_TOKEN_FILE", "CONSUL_HTTP_TOKEN_FILE"}, kind: textKind, operand: "FILE", topic: topicConsul, meaning: "wins over the token unless it is empty; read again when it changes, and when Consul refuses the token"},
	{key: "consul.auth", flag: "consul-auth", library: "CONSUL_HTTP_AUTH", kind: secretKind, spread: spreadAuth, operand: "USER[:PASSWORD]", topic: topicConsul, meaning: "basic authentication"},
	{key: "consul.auth.enabled", kind: boolKind, other: "true where there is a user or a password", topic: topicConsul, meaning: "false: no basic authentication"},
	{key: "consul.auth.username", kind: textKind, topic: topicConsul, meaning: "the user"},
	{key: "consul.auth.password", kind: secretKind, topic: topicConsul, meaning: "the password"},
	{key: "consul.namespace", flag: "consul-namespace", env: []string{"CONSUL_NAMESPACE"}, kind: textKind, operand: "NAME", topic: topicConsul, meaning: "the namespace of queries that name none"},
	{key: "consul.partition", flag: "consul-partition", env: []string{"CONSUL_PARTITION"}, kind: textKind, operand: "NAME", topic: topicConsul, meaning: "the partition of queries that name none"},
	{key: "max_stale", flag: "max-stale", kind: durationKind, def: "2s", topic: topicConsul, meaning: "how far behind its leader a server may be to answer; 0: only the leader answers"},
	{key: "block_query_wait", flag: "block-query-wait", kind: durationKind, other: "60s; longer where many queries wait, each with a request of its own", topic: topicConsul, meaning: "how long a request waits for a change, from 1s to 10m; up to a quarter is taken off at random"},
	{key: "consul.max_connections", flag: "consul-max-connections", env: []string{"RENDER_CONSUL_MAX_CONNECTIONS"}, kind: numberKind, other: "128; two thirds of what the agent allows a client, where that is more than 256", operand: "NUMBER", topic: topicConsul, meaning: "connections over plain HTTP, at least 16; more queries than three quarters of them share requests"},
	{key: "consul.max_requests", flag: "consul-max-requests", env: []string{"RENDER_CONSUL_MAX_REQUESTS"}, kind: numberKind, def: "2000", operand: "NUMBER", topic: topicConsul, meaning: "requests a second of all queries together"},
	{key: "consul.acl_filtered", flag: "consul-acl-filtered", kind: choice("error", "accept"), def: "error", operand: "WHAT", topic: topicConsul, meaning: "an answer that lacks what the token may not read: error, or accept the part that the token may read; an answer that becomes smaller because the token lost rights is always an error"},
	{key: "consul.retry", kind: durationKind, spread: spreadTo("consul.retry.backoff"), topic: topicConsul, meaning: "an old form of `consul.retry.backoff`"},
	{key: "consul.retry.enabled", flag: "consul-retry", kind: boolKind, def: "true", topic: topicConsul, meaning: "false, with once: fail at the first failure of a query"},
	{key: "consul.retry.attempts", flag: "consul-retry-attempts", kind: countKind, def: "12", operand: "NUMBER", topic: topicConsul, meaning: "with once: fail when a query has failed so often in a row; 0: never. Without once render never gives up"},
	{key: "consul.retry.backoff", flag: "consul-retry-backoff", kind: durationKind, def: "250ms", topic: topicConsul, meaning: "the pause after a query's first failure; doubled by each further one"},
	{key: "consul.retry.max_backoff", flag: "consul-retry-max-backoff", kind: durationKind, def: "4s", topic: topicConsul, meaning: "the longest such pause; 0: no limit"},

	{key: "consul.ssl.enabled", flag: "consul-ssl", library: "CONSUL_HTTP_SSL", kind: boolKind, other: "true where another setting of TLS is made", topic: topicTLS, meaning: "HTTPS, whatever the address says; false: not because of the other settings"},
	{key: "consul.ssl.verify", flag: "consul-ssl-verify", library: "CONSUL_HTTP_SSL_VERIFY", kind: boolKind, def: "true", topic: topicTLS, meaning: "false: accept any certificate"},
	{key: "consul.ssl.ca_cert", flag: "consul-ssl-ca-cert", library: "CONSUL_CACERT", kind: textKind, operand: "FILE", other: "the system's", topic: topicTLS, meaning: "certificates of authorities"},
	{key: "consul.ssl.ca_cert_bytes", flag: "consul-ssl-ca-cert-bytes", kind: textKind, operand: "PEM", topic: topicTLS, meaning: "the same as text, in place of files"},
	{key: "consul.ssl.ca_path", flag: "consul-ssl-ca-path", library: "CONSUL_CAPATH", kind: textKind, operand: "FOLDER", topic: topicTLS, meaning: "the same, in files of a folder; used where there is no `ca_cert`"},
	{key: "consul.ssl.cert", flag: "consul-ssl-cert", library: "CONSUL_CLIENT_CERT", kind: textKind, operand: "FILE", topic: topicTLS, meaning: "our certificate, and our key where `key` is not given"},
	{key: "consul.ssl.key", flag: "consul-ssl-key", library: "CONSUL_CLIENT_KEY", kind: textKind, operand: "FILE", topic: topicTLS, meaning: "our key"},
	{key: "consul.ssl.server_name", flag: "consul-ssl-server-name", library: "CONSUL_TLS_SERVER_NAME", kind: textKind, operand: "NAME", other: "the host", topic: topicTLS, meaning: "whom Consul's certificate must be for"},

	{key: "consul.transport.dial_timeout", flag: "consul-transport-dial-timeout", kind: durationKind, def: "30s", topic: topicTransport, meaning: "to open a connection"},
	{key: "consul.transport.dial_keep_alive", flag: "consul-transport-dial-keep-alive", kind: durationKind, def: "15s", topic: topicTransport, meaning: "between probes of a quiet connection, which is closed after three without an answer"},
	{key: "consul.transport.tls_handshake_timeout", flag: "consul-transport-tls-handshake-timeout", kind: durationKind, def: "10s", topic: topicTransport, meaning: "for a handshake"},
	{key: "consul.transport.idle_conn_timeout", flag: "consul-transport-idle-conn-timeout", kind: durationKind, def: "5s", topic: topicTransport, meaning: "how long a connection is kept for the next request"},
	{key: "consul.transport.max_idle_conns", flag: "consul-transport-max-idle-conns", kind: countKind, def: "0", operand: "NUMBER", topic: topicTransport, meaning: "connections that are kept for the next request; 0: no bound"},
	{key: "consul.transport.max_idle_conns_per_host", flag: "consul-transport-max-idle-conns-per-host", kind: countKind, other: "as max_connections", operand: "NUMBER", topic: topicTransport, meaning: "the same for each host"},
	{key: "consul.transport.max_conns_per_host", flag: "consul-transport-max-conns-per-host", kind: countKind, def: "0", operand: "NUMBER", topic: topicTransport, meaning: "connections to each host, 16 at least; 0: no bound but `max_connections`"},
	{key: "consul.transport.disable_keep_alives", flag: "consul-transport-disable-keep-alives", kind: boolKind, def: "false", topic: topicTransport, meaning: "open a connection for each request"},
}

// templateSettings stand in template blocks. Those with a base have their default at the top of files, and a flag.
var templateSettings = slices.Concat([]*setting{
	{key: "source", flag: "source", kind: textKind, operand: "FILE", topic: topicTemplates, meaning: "the template"},
	{key: "contents", flag: "contents", kind: textKind, operand: "TEXT", topic: topicTemplates, meaning: "the template itself, in place of a file"},
	{key: "destination", flag: "destination", kind: textKind, operand: "FILE", topic: topicTemplates, meaning: "the file to make"},
	{key: "command", flag: "command", kind: commandKind, operand: "COMMAND", topic: topicTemplates, meaning: "is run when the file has changed"},
	{key: "action", flag: "action", kind: textKind, operand: "NAME", topic: topicTemplates, meaning: "the action of a configuration file that its changes lead to, in place of a command"},

	{key: "left_delimiter", base: "default_delimiters.left", kind: delimiterKind, def: "{{", operand: "TEXT", topic: topicTemplates, meaning: "what begins an action of a template"},
	{key: "right_delimiter", base: "default_delimiters.right", kind: delimiterKind, def: "}}", operand: "TEXT", topic: topicTemplates, meaning: "what ends one"},
	{key: "partials", base: "partials", kind: listKind, operand: "PATH", topic: topicTemplates, meaning: "a file, or a folder of files, whose templates others can use by name; repeatable"},
	{key: "trim_blocks", base: "trim_blocks", kind: boolKind, def: "false", topic: topicTemplates, meaning: "lines that hold only actions without output, as `if`, `range` and `end`, leave no empty line"},
	{key: "error_on_missing_key", base: "error_on_missing_key", kind: boolKind, def: "false", topic: topicTemplates, meaning: "a key that a map does not have is an error, in place of `<no value>`"},
	{key: "error_fatal", base: "template_error_fatal", kind: boolKind, def: "true", topic: topicTemplates, meaning: "", idle: "a template that fails never ends the daemon, and always ends a run with once"},
	{key: "function_denylist", base: "function_denylist", kind: functionsKind, operand: "FUNCTION", topic: topicTemplates, meaning: "a function that templates must not use; repeatable"},
	{key: "sandbox_path", base: "sandbox_path", kind: textKind, operand: "FOLDER", topic: topicTemplates, meaning: "the function `file` reads below this folder only"},

	{key: "perms", base: "perms", kind: permsKind, other: "as it is; 0644 for a new file", operand: "MODE", topic: topicFiles, meaning: "octal, as 0640; JSON needs quotes: `\"0640\"`"},
	{key: "user", base: "user", kind: idKind, other: "as it is", operand: "USER", topic: topicFiles, meaning: "the owner, by name or number"},
	{key: "group", base: "group", kind: idKind, other: "as it is", operand: "GROUP", topic: topicFiles, meaning: "the group, by name or number"},
	{key: "uid", kind: countKind, now: "user", other: "as it is", topic: topicFiles, meaning: "an old form of `user`, which wins"},
	{key: "gid", kind: countKind, now: "group", other: "as it is", topic: topicFiles, meaning: "an old form of `group`, which wins"},
	{key: "backup", base: "backup", kind: boolKind, def: "false", topic: topicFiles, meaning: "keep the file before the last change that stayed as `DESTINATION.bak`"},
	{key: "create_dest_dirs", base: "create_dest_dirs", kind: boolKind, def: "true", topic: topicFiles, meaning: "make the folders of a destination; false: a missing one is an error"},
	{key: "links", base: "links", kind: choice("follow", "refuse"), def: "follow", operand: "WHAT", topic: topicFiles, meaning: "a destination that is a link, or in a folder that is one: `follow` trusted links, or `refuse`"},
	{key: "drift", base: "drift", env: []string{"RENDER_DRIFT"}, kind: choice("warn", "repair", "ignore"), def: "warn", operand: "WHAT", topic: topicFiles, meaning: "a file that somebody else changes or removes: `warn`, `repair` (written again, and the action runs) or `ignore`"},

	{key: "exec.command", kind: commandKind, topic: topicActions, meaning: "the same as `command`, and wins over it"},
	{key: "exec.enabled", kind: boolKind, def: "true", topic: topicActions, meaning: "false: run no command"},
	{key: "exec.timeout", base: "command_timeout", kind: durationKind, def: "30s", topic: topicActions, meaning: "for each run of a command or check; then all that it has started gets SIGTERM, and SIGKILL five seconds later"},
	{key: "exec.splay", base: "splay", kind: durationKind, other: "none", topic: topicActions, meaning: "a pause of random length, up to this, before a command"},
	{key: "exec.reload_signal", kind: signalKind, topic: topicActions, idle: "a command is run anew for each change"},
	{key: "exec.kill_signal", kind: signalKind, topic: topicActions, idle: "a command that takes too long gets SIGTERM, then SIGKILL"},
	{key: "exec.kill_timeout", kind: durationKind, topic: topicActions, idle: "a command that takes too long gets SIGTERM, and SIGKILL five seconds later"},
}, envSettings("exec.env"), paceSettings, []*setting{
	{key: "remove_delay", base: "remove_delay", env: []string{"RENDER_REMOVE_DELAY"}, kind: durationKind, other: "none", topic: topicPace, meaning: "go on with an instance that is gone for this long: it may come back"},
}, checkSettings)

// actionSettings stand in action blocks.
var actionSettings = slices.Concat([]*setting{
	{key: "command", kind: commandKind, topic: topicActions, meaning: "is run when files have changed"},
	{key: "timeout", base: "command_timeout", kind: durationKind, def: "30s", topic: topicActions, meaning: "for each run of a command or check"},
	{key: "splay", base: "splay", kind: durationKind, other: "none", topic: topicActions, meaning: "a pause of random length, up to this, before a command"},
}, envSettings("env"), paceSettings, checkSettings)

// envSettings are the environment of commands in a block.
func envSettings(block string) []*setting {
	return []*setting{
		{key: block + ".pristine", base: "command_env.pristine", kind: boolKind, def: "false", topic: topicActions, meaning: "give commands nothing of render's environment"},
		{key: block + ".custom", base: "command_env.custom", kind: pairsKind, operand: "NAME=VALUE", topic: topicActions, meaning: "add to the environment of commands; wins over all else; repeatable"},
		{key: block + ".allowlist", base: "command_env.allowlist", kind: patternsKind, operand: "PATTERN", other: "all", topic: topicActions, meaning: "what of render's environment commands get, as in `CONSUL_*`; repeatable"},
		{key: block + ".denylist", base: "command_env.denylist", kind: patternsKind, operand: "PATTERN", topic: topicActions, meaning: "what of render's environment commands do not get, whatever the allowlist says; repeatable"},
	}
}

// checkSettings are of templates and of actions.
var checkSettings = []*setting{
	{key: "check", base: "check", env: []string{"RENDER_CHECK"}, kind: commandKind, operand: "COMMAND", topic: topicActions, meaning: "must like the files, or they do not stay; with `{}` in it, it gets the path of each file before the swap, else it runs after it"},
	{key: "signal", base: "signal", kind: notifyKind, operand: "NAME:PROCESS", topic: topicActions, meaning: "send a signal after the command, or without one: `HUP:/run/nginx.pid` to the process of a pid file, `HUP:nginx` to those of a program"},
	{key: "verify", base: "verify", env: []string{"RENDER_VERIFY"}, kind: textKind, spread: spreadVerify, operand: "COMMAND|URL", topic: topicActions, meaning: "must succeed soon after the command, or the old files come back"},
	{key: "verify.command", kind: commandKind, topic: topicActions, meaning: "must exit with 0"},
	{key: "verify.url", kind: textKind, topic: topicActions, meaning: "must answer with the status"},
	{key: "verify.status", base: "verify.status", kind: numberKind, def: "200", operand: "STATUS", topic: topicActions, meaning: "what the URL has to answer"},
	{key: "verify.within", base: "verify.within", kind: durationKind, def: "10s", topic: topicActions, meaning: "it is tried every 250 ms for this long"},
	{key: "atomic", base: "atomic", kind: boolKind, def: "false", topic: topicActions, meaning: "all files of an action, or none"},
}

// paceSettings are of templates and of actions.
var paceSettings = slices.Concat([]*setting{
	{key: "wait", base: "wait", env: []string{"RENDER_WAIT"}, kind: waitKind, spread: spreadWait, other: "off", operand: "MIN[:MAX]", topic: topicPace, meaning: "let changes collect until nothing has changed for MIN, at most for MAX (default: four times MIN); the first render does not wait"},
	{key: "wait.min", kind: durationKind, other: "off", topic: topicPace, meaning: "quiet that ends the collecting"},
	{key: "wait.max", kind: durationKind, other: "four times min", topic: topicPace, meaning: "the longest that a change is kept back"},
	{key: "wait.enabled", kind: boolKind, other: "true where there is a min", topic: topicPace, meaning: "false: do not wait; `bool` is its name in consul-template"},
	{key: "spacing", base: "spacing", kind: durationKind, other: "1s where there is a check or a command, else 0", topic: topicPace, meaning: "the least time from one commit of an action to the next"},
	{key: "guard", base: "guard", env: []string{"RENDER_GUARD"}, kind: guardKind, spread: spreadGuard, other: "off", operand: "PARTS", topic: topicPace, meaning: "hold back answers that have lost too many instances: `min=N,max_drop=N%,hold=DURATION,then=WHAT`"},
}, guardSettings)

// guardSettings are the parts of a guard.
var guardSettings = []*setting{
	{key: "guard.min", kind: countKind, topic: topicPace, meaning: "an answer with fewer instances is held back"},
	{key: "guard.max_drop", kind: dropKind, topic: topicPace, meaning: "so is one that has lost more than this share of those in use: `\"50%\"` or 0.5"},
	{key: "guard.hold", kind: durationKind, def: "5m", topic: topicPace, meaning: "how long, until it comes to `then`"},
	{key: "guard.then", kind: choice("keep", "accept", "fail"), def: "keep", topic: topicPace, meaning: "`keep` goes on for as long as it takes, `accept` takes the answer, `fail` makes the template count as failed"},
}

// defaultSettings are the settings of templates and actions that can stand at the top of files, and have flags.
var defaultSettings = makeDefaults()

func makeDefaults() []*setting {
	var all []*setting
	seen := make(map[string]bool)
	for _, s := range slices.Concat(templateSettings, actionSettings) {
		top := *s
		switch {
		case s.base != "":
			top.key, top.flag, top.base = s.base, flagOf(s.base), ""
		case !isPart(s.key):
			continue
		}
		if !seen[top.key] {
			seen[top.key] = true
			all = append(all, &top)
		}
	}
	return all
}

// isPart reports whether a key is part of a block that has its default at the top of files as a whole.
func isPart(key string) bool {
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
var repeated = map[string][]*setting{"template": templateSettings, "action": actionSettings}
