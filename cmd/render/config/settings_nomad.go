package config

// nomadSettings are the settings of Nomad. nomadblock.Fields has their values.
var nomadSettings = []*Setting{
	{Key: "nomad.address", Flag: "nomad-addr", Env: []string{"NOMAD_ADDR"}, kind: serverKind, DefaultText: "http://127.0.0.1:4646", Operand: "ADDRESS", Topic: TopicNomad, Meaning: "Address of Nomad: `http://…`, `https://…`, `unix:///path` or `host:port`. With several addresses and commas between them, render uses the next one when one fails"},
	{Key: "nomad.namespace", Flag: "nomad-namespace", Env: []string{"NOMAD_NAMESPACE"}, kind: textKind, DefaultText: "the namespace `default`", Operand: "NAMESPACE", Topic: TopicNomad, Meaning: "Namespace of queries that do not name one"},
	{Key: "nomad.region", Flag: "nomad-region", Env: []string{"NOMAD_REGION"}, kind: textKind, DefaultText: "the region of the agent", Operand: "REGION", Topic: TopicNomad, Meaning: "Region of queries that do not name one"},
	{Key: "nomad.token", Flag: "nomad-token", Env: []string{"NOMAD_TOKEN"}, kind: secretKind, Operand: "TOKEN", Topic: TopicNomad, Meaning: "ACL token. Other users of the machine can read a token on the command line; prefer `token_file`"},
	{Key: "nomad.token_file", Flag: "nomad-token-file", kind: textKind, Operand: "FILE", Topic: TopicNomad, Meaning: "File with the ACL token. Wins over `token`, unless the file is empty. render reads the file again when it changes, and when Nomad rejects the token"},
	{Key: "nomad.auth_username", Library: "NOMAD_HTTP_AUTH", kind: textKind, Topic: TopicNomad, Meaning: "User for basic authentication. The variable is USER:PASSWORD"},
	{Key: "nomad.auth_password", kind: secretKind, Topic: TopicNomad, Meaning: "Password for basic authentication"},
	{Key: "nomad.retry.enabled", kind: boolKind, Default: "true", Topic: TopicNomad, Meaning: "Retry a failed query. false, with `once`: exit at the first failure"},
	{Key: "nomad.retry.attempts", kind: countKind, Default: "12", Topic: TopicNomad, Meaning: "With `once`: number of failures in a row of a query, after which render exits. 0: no limit. Without `once`, render retries without end"},
	{Key: "nomad.retry.backoff", kind: durationKind, Default: "250ms", Topic: TopicNomad, Meaning: "Pause after the first failure of a query. Each further failure doubles the pause"},
	{Key: "nomad.retry.max_backoff", kind: durationKind, Default: "4s", Topic: TopicNomad, Meaning: "Limit of the pause after a failure. 0: no limit"},

	{Key: "nomad.ssl.enabled", kind: boolKind, DefaultText: "true, if another TLS setting is set", Topic: TopicNomadTLS, Meaning: "Use HTTPS, also if the address does not say so. false: ignore the other TLS settings"},
	{Key: "nomad.ssl.verify", Library: "NOMAD_SKIP_VERIFY", kind: boolKind, Default: "true", Topic: TopicNomadTLS, Meaning: "Verify the certificate of Nomad. false: accept any certificate. The variable says the opposite: true accepts any certificate"},
	{Key: "nomad.ssl.ca_cert", Library: "NOMAD_CACERT", kind: textKind, DefaultText: "the authorities of the system", Topic: TopicNomadTLS, Meaning: "File with certificates of the authorities that render trusts. render reads all these files again when they change"},
	{Key: "nomad.ssl.ca_cert_bytes", kind: textKind, Topic: TopicNomadTLS, Meaning: "Certificates of the authorities that render trusts, as PEM text in place of a file"},
	{Key: "nomad.ssl.ca_path", Library: "NOMAD_CAPATH", kind: textKind, Topic: TopicNomadTLS, Meaning: "Folder with certificates of the authorities that render trusts. Used if `ca_cert` is not set"},
	{Key: "nomad.ssl.cert", Library: "NOMAD_CLIENT_CERT", kind: textKind, Topic: TopicNomadTLS, Meaning: "File with the client certificate of render, and with its key if `key` is not set"},
	{Key: "nomad.ssl.key", Library: "NOMAD_CLIENT_KEY", kind: textKind, Topic: TopicNomadTLS, Meaning: "File with the key of the client certificate"},
	{Key: "nomad.ssl.server_name", Library: "NOMAD_TLS_SERVER_NAME", kind: textKind, DefaultText: "the host of the address", Topic: TopicNomadTLS, Meaning: "Name that the certificate of Nomad must have, such as `server.global.nomad`"},

	{Key: "nomad.transport.dial_timeout", kind: durationKind, Default: "30s", Topic: TopicNomadTLS, Meaning: "Time limit for opening a connection"},
	{Key: "nomad.transport.dial_keep_alive", kind: durationKind, Default: "15s", Topic: TopicNomadTLS, Meaning: "Interval between probes of an idle connection. render closes a connection after three probes without an answer"},
	{Key: "nomad.transport.tls_handshake_timeout", kind: durationKind, Default: "10s", Topic: TopicNomadTLS, Meaning: "Time limit of a TLS handshake"},
	{Key: "nomad.transport.idle_conn_timeout", kind: durationKind, Default: "5s", Topic: TopicNomadTLS, Meaning: "Time that an idle connection stays open for the next request"},
	{Key: "nomad.transport.max_idle_conns", kind: countKind, Default: "0", Topic: TopicNomadTLS, Meaning: "Number of idle connections that stay open. 0: no limit"},
	{Key: "nomad.transport.max_idle_conns_per_host", kind: countKind, DefaultText: "no limit", Topic: TopicNomadTLS, Meaning: "Number of idle connections to one address that stay open"},
	{Key: "nomad.transport.max_conns_per_host", kind: countKind, Default: "0", Topic: TopicNomadTLS, Meaning: "Number of connections to one address, at least 16. 0: 64"},
	{Key: "nomad.transport.disable_keep_alives", kind: boolKind, Default: "false", Topic: TopicNomadTLS, Meaning: "Open a new connection for each request"},
}
