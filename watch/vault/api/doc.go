// Package api makes requests of Vault's HTTP API: at one of several addresses, with few while all of them fail, and no more at a time and
// in a second than configured. It knows what a response means for any request, and nothing of queries, leases and the tokens that requests
// carry: those are package vault's.
//
// The files, in the order to read them:
//
//	config.go     Config
//	client.go     Client: a request, and what its error says; package outage has few made while all fail
//	answer.go     Body: what Vault answers
//	transport.go  addresses, connections and TLS
//	figures.go    what the status page shows of requests
package api
