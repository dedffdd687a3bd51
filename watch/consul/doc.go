// Package consul is the [render/watch.Source] of what Consul knows: services, checks, nodes, keys and the service mesh. Its README.md
// says what operators can rely on, with delays and costs.
//
// What asks what, from the network to a query:
//
//	Consul's HTTP API
//	   ▲ one HTTP request each
//	agent          an address, credentials, rate of requests, outages: all requests pass agent.get
//	   ▲ may a request be made now?
//	connections    how many requests wait for a change at a time; plain HTTP has few connections
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
//	config.go       Config and its defaults
//	kinds.go        how queries of each kind are answered: services, nodes, keys
//	mesh.go         the same for peerings, certificates and exported services
//	member.go       what is known of a query, and how a call for it waits
//	cover.go        scopes, rounds, and how a signal is followed
//	catalog.go      signals of services, checks and nodes
//	keys.go         signals of keys: groups
//	reread.go       which queries a Set also reads now and then
//	agent.go        a request from its admission to its answer
//	request.go      what a request asks, as a URL
//	answer.go       what of a response is an answer, and what kind of failure the others are
//	connections.go  who may hold a connection
//	pace.go         requests a second
//	deadline.go     how long an answer may take
//	outage.go       few requests while all fail
//	cuts.go         proxies that cut off requests that wait
//	addresses.go    several addresses
//	endpoint.go     one address, with its HTTP client
//	credentials.go  token, certificates and keys that change
//
// # To add a kind of query
//
// Name the kind in package watch, with its type of value. Write an entry in kinds: the permission that a token needs for all of the
// answer, and a function that adds the path to the request, calls agent.get and returns the value. Errors, deadlines, consistency, rights and
// connections are the same for all kinds. A kind whose changes a signal tells is named in Source.coverOf; any other kind waits with a
// request of its own.
//
// # To add a source such as Nomad
//
// Nomad answers HTTP requests with an index that can be waited on, as Consul does, but its kinds, headers and permissions differ. It is a
// package of its own beside this one: a [render/watch.Source] with kinds of its own. [render/watch.ByKind] hands queries to it, and
// sourcetest.Run tests the contract. Move agent, connections, pace, outage, deadline and cuts into a package that both import when the
// second source needs them; none of them depends on members or covers. What differs is answer.go: which headers make a response an answer.
package consul
