// Package consul is the [render/watch.Source] of what Consul knows: services, checks, nodes, keys and the service mesh. Its README.md
// says what operators can rely on, with delays and costs.
//
// What asks what, from the network to a query:
//
//	Consul's HTTP API
//	   ▲ one HTTP request each
//	package agent  addresses, credentials, connections, rate of requests, outages: all requests pass Agent.Get
//	   ▲ poll, read                 ▲ signals
//	members, one for each query ◄── covers, one for each scope: which members have changed
//	   ▲ Fetch, Confirm, Forget
//	watch.Set
//
// A member is a query that somebody asks. It waits for a change with a request of its own where there are connections enough. Where there
// are more queries than connections, the signals of a cover wait for changes of many queries; the cover reports to the members that
// changed, and these are read, once.
//
// The files, in the order to read them:
//
//	source.go       Source: Fetch, Confirm, what an answer of the agent means for a query
//	config.go       Config, which is the agent's
//	kinds.go        how queries of each kind are answered: services, nodes, keys
//	mesh.go         the same for peerings, certificates and exported services
//	member.go       what is known of a query, and how a call for it waits
//	cover.go        scopes, rounds, and how a signal is followed
//	catalog.go      signals of services, checks and nodes
//	nodes.go        signals of the instances of each node
//	keys.go         signals of keys: groups
//	reread.go       which queries a Set also reads now and then
//	../agent/       a package of its own: a request from its admission to its answer
//
// # To add a kind of query
//
// Name the kind in package watch, with its type of value. Write an entry in kinds: the permission that a token needs for all of the
// answer, and a function that adds the path to the request, calls Agent.Get and returns the value. Errors, deadlines, consistency, rights and
// connections are the same for all kinds. A kind whose changes a signal reports is named in Source.coverOf; any other kind waits with a
// request of its own.
//
// # To add a source
//
// Nomad answers HTTP requests with an index that can be waited on, as Consul does: package nomad uses package agent, too, and has kinds
// of its own. [render/watch.ByKind] hands queries to it, and sourcetest.Run tests the contract.
package consul
