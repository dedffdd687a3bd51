# Every setting of render, with its type and its default. Copy what you need to /etc/render/render.hcl.
#
# A line that begins with "#" and a space is an explanation. A line that begins with "#" and a name is a setting: remove the "#"
# to use it. The value after "=" is the default, or an example where the explanation says so. README.md beside this file describes
# each setting in full.
#
# A duration is text with a unit: "250ms", "5s", "1m30s". A mode is octal: 0640 or "0640". Test the file with
# "render --config render.hcl --parse-only".

# ---------------------------------------------------------------- Running

# Render everything once, run the commands, and exit. With `timeout`, give up after that time; 0 waits without end.
#once    = false
#timeout = "0s"

# With `once`: fail at once when something that a template needs does not exist, instead of waiting for it.
#err_on_failed_lookup = false

# Print the files instead of writing them. Run nothing.
#dry = false

# Read the configuration, parse all templates, and exit.
#parse_only = false

# A YAML file that answers in place of Consul (example). Do not set it in production.
#fixture = "/etc/render/catalog.yaml"

# Use templates and partials that change on disk. Reload when configuration files change.
#watch_templates = true
#watch_config    = false

# The signal that reloads configuration and templates, and a signal that stops render beside SIGINT and SIGTERM.
#reload_signal = "SIGHUP"
#kill_signal   = "SIGINT"

# A file with the process number (example). render removes it at the end.
#pid_file = "/run/render.pid"

# The status page, the API and the metrics (examples). Default: render does not listen.
#listen {
#address    = "127.0.0.1:9820"
# The mode of unix sockets.
#mode       = "0600"
# TLS and a token: an address that other machines can connect to needs both.
#cert       = "/etc/render/cert.pem"
#key        = "/etc/render/key.pem"
#token_file = "/etc/render/token"
# Host names by which requests may address render, besides localhost and IP addresses.
#hosts      = ["render.example.com"]
# Accept an address that other machines can connect to, without TLS or without a token.
#insecure   = false
#}

# ---------------------------------------------------------------- Defaults of all templates and actions

# A template or an action can set each of these for itself.

# Collect changes until nothing has changed for `min`, at most for `max` (examples). Default: off.
#wait {
#min     = "2s"
#max     = "8s"
#enabled = true
#}

# The shortest time between two commits of an action. Default: 1s where there is a check or a command, otherwise 0.
#spacing = "1s"

# Hold back an answer that lost too many instances (examples). Default: off.
#guard {
# Hold back an answer with fewer instances than this.
#min      = 2
# Hold back an answer that lost more than this share of its instances.
#max_drop = "50%"
# How long to hold it back, and what to do then: "keep" the previous answer, "accept" the new one, or "fail" the template.
#hold     = "5m"
#then     = "keep"
#}

# Keep an instance that is gone for this long, because it may come back (example). Default: none.
#remove_delay = "5s"

# A command that must accept the files (example). With {} it runs before the swap, once for each file; otherwise after the swap.
#check = "nginx -t"

# A signal to send after the command (example): to the process of a pid file, or to the processes of a program ("HUP:nginx").
#signal = "HUP:/run/nginx.pid"

# A command that must exit with 0, or a URL that must answer with `status`, within this time after the command (examples).
#verify {
#url    = "http://127.0.0.1/healthz"
#status = 200
#within = "10s"
#}

# The time limit of a command or a check, and a random pause before a command.
#command_timeout = "30s"
#splay           = "0s"

# The environment of commands: variables to add (example), and which of render's own variables they get.
#command_env {
#pristine  = false
#custom    = ["LANG=C"]
#allowlist = ["*"]
#denylist  = ["SECRET_*"]
#}

# Apply all files of an action, or none.
#atomic = false

# Mode, owner and group of files (examples). Default: those of the previous file; 0644 for a new file.
#perms = 0644
#user  = "root"
#group = "root"

# Keep the previous file as DESTINATION.bak.
#backup = false

# Make missing folders of a destination.
#create_dest_dirs = true

# A destination that is a link: "follow" trusted links, or "refuse" links.
#links = "follow"

# A file that somebody else changed or removed: "warn", "repair" or "ignore".
#drift = "warn"

# What begins and ends an action in a template.
#default_delimiters {
#left  = "{{"
#right = "}}"
#}

# Files, or folders of files, with templates that other templates can use by name (example).
#partials = ["/etc/render/partials"]

# Remove the line of an action without output, such as `if`, `range` and `end`.
#trim_blocks = false

# Treat a key that a map does not have as an error, instead of printing "<no value>".
#error_on_missing_key = false

# Functions that templates must not use (example), and the only folder that the function `file` may read (example).
#function_denylist = ["plugin", "writeToFile", "env", "envOrDefault", "mustEnv"]
#sandbox_path      = "/etc/render/files"

# Deny the functions that reach outside of the template's data: environment, programs, more files, the machine.
#untrusted = false

# Limit of the output of one template, in bytes. A larger output is an error of that template only.
#max_output = 67108864

# ---------------------------------------------------------------- Templates

# One block for each file.
#template {
# The template: a file, or the text itself in `contents`.
#source      = "/etc/render/upstreams.ctmpl"
#destination = "/etc/nginx/conf.d/upstreams.conf"
# The name of an action block. Instead of it, a template can have a command of its own.
#action      = "nginx"
# Delimiters of this template only.
#left_delimiter  = "{{"
#right_delimiter = "}}"
#}

#template {
#contents    = "{{ key \"nginx/motd\" }}"
#destination = "/var/www/motd.txt"
#command     = "logger motd changed"
# The same command in the form of consul-template, where it can have its own limit, pause and environment:
#exec {
#command = "logger motd changed"
#enabled = true
#timeout = "30s"
#splay   = "0s"
#env {
#pristine  = false
#custom    = ["LANG=C"]
#allowlist = ["*"]
#denylist  = ["SECRET_*"]
#}
#}
#}

# ---------------------------------------------------------------- Actions

# What happens when files of its templates change. Here you can also set wait, spacing, guard, signal, verify and atomic.
#action "nginx" {
#check   = "nginx -t"
# Text runs by a shell unless it is one word. A list is a program with its arguments and needs no shell.
#command = ["nginx", "-s", "reload"]
#timeout = "30s"
#splay   = "0s"
#env {
#pristine  = false
#custom    = ["LANG=C"]
#allowlist = ["*"]
#denylist  = ["SECRET_*"]
#}
#verify {
#command = "curl -fsS http://127.0.0.1/healthz"
#within  = "10s"
#}
#}

# ---------------------------------------------------------------- A supervised program

# render starts the program when all files are there, reloads or restarts it when they change, and exits when the program exits.
#exec {
#command = "nginx -g 'daemon off;'"
#enabled = true
# The signal that reloads the program. Default: render restarts it. "" never signals it.
#reload_signal = "SIGHUP"
# The signal that stops the program, and the time until SIGKILL.
#kill_signal   = "SIGINT"
#kill_timeout  = "30s"
# A random pause before a reload.
#splay = "0s"
#env {
#pristine  = false
#custom    = ["LANG=C"]
#allowlist = ["*"]
#denylist  = ["SECRET_*"]
#}
#}

# ---------------------------------------------------------------- Consul

#consul {
# "host:port", "http://…", "https://…" or "unix:///path". Several addresses have commas between them.
#address = "localhost:8500"

# The token, or better a file with the token (examples). render notices when the file changes.
#token      = "…"
#token_file = "/etc/render/consul.token"

# Namespace and partition of queries that name none (examples; Consul Enterprise).
#namespace = "team-a"
#partition = "default"

# Basic authentication (examples). Default: none.
#auth {
#enabled  = true
#username = "render"
#password = "…"
#}

# Most connections over plain HTTP. Default: 128, or two thirds of what the agent allows a client.
#max_connections = 128
# Most requests a second.
#max_requests = 2000
# An answer that lacks what the token may not read: "error", or "accept" the part that the token may read.
#acl_filtered = "error"

# Pauses after a query failed. `attempts` and `enabled = false` end a run with `once` only.
#retry {
#enabled     = true
#attempts    = 12
#backoff     = "250ms"
#max_backoff = "4s"
#}

# TLS (examples). Any of these turns TLS on, unless `enabled = false`.
#ssl {
#enabled       = true
#verify        = true
#ca_cert       = "/etc/render/ca.pem"
#ca_cert_bytes = "-----BEGIN CERTIFICATE-----…"
#ca_path       = "/etc/ssl/certs"
#cert          = "/etc/render/client.pem"
#key           = "/etc/render/client.key"
#server_name   = "server.dc1.consul"
#}

# Connections to Consul. Zero means no limit.
#transport {
#dial_timeout            = "30s"
#dial_keep_alive         = "15s"
#tls_handshake_timeout   = "10s"
#idle_conn_timeout       = "5s"
#max_idle_conns          = 0
#max_idle_conns_per_host = 128
#max_conns_per_host      = 0
#disable_keep_alives     = false
#}
#}

# How far behind the leader a server may be to answer. 0: only the leader answers.
#max_stale = "2s"

# How long a request waits for a change. Default: 60s, longer where many queries wait.
#block_query_wait = "60s"

# ---------------------------------------------------------------- Vault

# render asks Vault only if a template uses a secret.
#vault {
# "https://…", "http://…" or "unix:///path". Several addresses have commas between them. Default: https://127.0.0.1:8200.
#address = "https://vault.example.com:8200"
# Vault Enterprise (example).
#namespace = "team-a"

# The token, or better the file that Vault's agent writes (examples). render notices when the file changes.
#token                  = "…"
#vault_agent_token_file = "/run/vault/token"
# The token is a wrapping token. render unwraps it once.
#unwrap_token = false
# Renew the token. Default: on, unless an agent's file is set.
#renew_token = true

# Log in, if no token is set (examples): approle, jwt, userpass, cert. Values stand here, in files or in variables.
#login {
#path = "auth/approle/login"
#fields = { role_id = "web" }
#files = { secret_id = "/run/render/secret-id" }
#environment = { password = "APP_PASSWORD" }
#}
# Log in with a Kubernetes service account, if no token is set (examples).
#k8s_auth_role_name                = "web"
#k8s_service_account_token         = "…"
#k8s_service_account_token_path    = "/run/secrets/kubernetes.io/serviceaccount/token"
#k8s_service_mount_path            = "kubernetes"

# When to read again what has no lease, and when to replace what cannot be renewed.
#default_lease_duration  = "5m"
#lease_renewal_threshold = 0.9
# Check KV secrets for changes more often, by the prefix of their paths (example). Default: never.
#poll = { "secret/" = "30s" }
# Revoke all leases when render stops.
#revoke_on_stop = false

# Requests: time limit, number at a time, number a second (example; default: no limit).
#timeout         = "60s"
#max_connections = 64
#rate_limit      = "50:100"

# Pauses after a query failed. `attempts` and `enabled = false` end a run with `once` only.
#retry {
#enabled     = true
#attempts    = 12
#backoff     = "250ms"
#max_backoff = "1m"
#}

# TLS (examples). With `enabled = false` the settings are ignored.
#ssl {
#enabled       = true
#verify        = true
#ca_cert       = "/etc/render/vault-ca.pem"
#ca_cert_bytes = "-----BEGIN CERTIFICATE-----…"
#ca_path       = "/etc/ssl/certs"
#cert          = "/etc/render/client.pem"
#key           = "/etc/render/client.key"
#server_name   = "vault.example.com"
#}

# Connections to Vault.
#transport {
#dial_timeout            = "10s"
#dial_keep_alive         = "15s"
#tls_handshake_timeout   = "10s"
#idle_conn_timeout       = "90s"
#max_idle_conns          = 0
#max_idle_conns_per_host = 64
#max_conns_per_host      = 0
#disable_keep_alives     = false
#}
#}

# ---------------------------------------------------------------- Nomad

# render asks Nomad only if a template uses its services or variables.
#nomad {
# "http://…", "https://…", "unix:///path" or "host:port". Several addresses have commas between them. Default: http://127.0.0.1:4646.
#address   = "https://nomad.example.com:4646"
# Of queries that do not name one (examples). Default: "default", and the region of the agent.
#namespace = "team-a"
#region    = "eu"

# The token, or better a file that has it (examples). render notices when the file changes.
#token      = "…"
#token_file = "/run/render/nomad-token"
# Basic authentication (examples).
#auth_username = "render"
#auth_password = "…"

# Pauses after a query failed. `attempts` and `enabled = false` end a run with `once` only.
#retry {
#enabled     = true
#attempts    = 12
#backoff     = "250ms"
#max_backoff = "4s"
#}

# TLS (examples). Any of these settings turns TLS on, unless `enabled = false`.
#ssl {
#enabled       = true
#verify        = true
#ca_cert       = "/etc/render/nomad-ca.pem"
#ca_cert_bytes = "-----BEGIN CERTIFICATE-----…"
#ca_path       = "/etc/ssl/certs"
#cert          = "/etc/render/client.pem"
#key           = "/etc/render/client.key"
#server_name   = "server.global.nomad"
#}

# Connections to Nomad.
#transport {
#dial_timeout            = "30s"
#dial_keep_alive         = "15s"
#tls_handshake_timeout   = "10s"
#idle_conn_timeout       = "5s"
#max_idle_conns          = 0
#max_idle_conns_per_host = 64
#max_conns_per_host      = 0
#disable_keep_alives     = false
#}
#}

# ---------------------------------------------------------------- Logging

# "trace", "debug", "info", "warn" or "err".
#log_level = "info"

# "auto", "text" or "json". "auto": short lines for people on a terminal, otherwise "text".
#log_format = "auto"

# A log file beside standard error (example).
#log_file {
#path                 = "/var/log/render.log"
#log_rotate_bytes     = 0
#log_rotate_duration  = "24h"
#log_rotate_max_files = 0
#}

# The log to syslog. Default: off.
#syslog {
#enabled  = true
#facility = "LOCAL0"
#name     = "render"
#}
