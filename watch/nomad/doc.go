// Package nomad is the [render/watch.Source] of what Nomad knows: variables, and services that jobs have registered with Nomad itself. Its
// README.md says what operators can rely on.
//
// All requests pass package agent, as those to Consul do: addresses, credentials, connections, rate of requests, outages. A query waits for
// a change with a request of its own where there are connections enough. Where there are more queries than connections, one request for
// each namespace waits for changes of all its variables, and one for changes of all its services: a signal. Queries that may have changed are
// read then.
//
// nomad/api is not used: it repeats nothing, has no time limits, hides how many connections there are, and brings two libraries for sockets
// and cron for five requests of plain JSON.
//
// The files, in the order to read them:
//
//	source.go  Source: Fetch, Confirm, Forget
//	config.go  Config and the environment
//	kinds.go   how queries of each kind are answered
//	signal.go  signals
//	figures.go figures
package nomad
