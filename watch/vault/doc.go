// Package vault is the [render/watch.Source] of what Vault has and creates: secrets of any engine, lists, answers to writes, and
// certificates. Its README.md says what operators can rely on.
//
// Vault's requests do not wait for changes, so each query has a clock of its own:
//
//	Vault's HTTP API
//	   ▲ one HTTP request each
//	api       addresses, outages, limits: all requests pass api.Client.Do
//	tokens    the token that requests carry, from where it is, renewed and replaced
//	mounts    which paths are below a KV v2
//	   ▲ answer: read, list, write, certificate
//	entries   one goroutine for each query: asks, renews the lease, asks again when it is time
//	   ▲ Fetch, Forget, Applied
//	watch.Set
//
// Fetch only reads what the entry of a query has. So any number of plain reads create nothing: an entry that has a lease asks Vault again
// when the lease cannot be renewed any longer, when it hangs on a token that was replaced, or when Vault does not know it any more. What has
// no lease is read again for each plain read, too: reading creates nothing there.
//
// Once nobody has used a query for 15 seconds after Forget, its lease is revoked. The lease of an earlier answer lives on until it
// ends by itself, or until a minute after Applied: who has rendered files and reloaded a service with a later answer calls that.
//
// Requests do not go through Vault's own library: it carries one token to one address, repeats requests by itself, reads certificates once,
// and its module replaces the parser that configuration files are read with.
//
// Package api makes the requests. The files, in the order to read them:
//
//	source.go     Source: Fetch, Forget, Applied
//	close.go      Close, and leases of a source that is replaced
//	config.go     Config, its defaults and the environment
//	entry.go      what is known of a query, and its goroutine
//	clock.go      when there is to be another answer
//	lease.go      leases, their renewal and revocation
//	kinds.go      how queries of each kind are answered
//	pki.go        certificates; package pemfile finds them in files
//	known.go      whether Vault still knows the certificate of a file
//	mounts.go     KV v1 or v2
//	tokens.go     tokens; package unwrap remembers those that were unwrapped
//	poll.go       whether a KV secret has changed
package vault
