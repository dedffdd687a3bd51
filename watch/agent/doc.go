// Package agent makes requests of the HTTP API of Consul or Nomad, so that an agent that is slow, full, far or away gets few requests and each
// caller learns what is wrong. It knows requests and answers, and no queries.
//
// [Agent.Get] is the one way to ask. It returns when the answer has arrived, or returns why it has not:
//
//	outage         while all requests fail, one at a time is made, the probe
//	pace           so many requests a second; fewer after a refusal
//	connections    so many requests at a time, with three quarters for those that wait for a change
//	   ▼
//	endpoint       one of several addresses, with its HTTP client, token and certificates
//	   ▼
//	deadline       an answer has to begin in time, and then to go on
//	answer         what of a response is an answer, and what kind of failure the others are
//
// The errors of Get are of these kinds:
//
//	watch.OutageError    others fail, too: no answer, no leader, a proxy without a server, or something else than the server
//	watch.ErrDenied      the token may not (DeniedError)
//	RefusedError         there are too many requests; all have slowed down by then
//	ErrTooLarge          the answer has more bytes than Request.Limit
//	ErrNoIndex           the answer is not from the server
//	the context's error  the request was given up
//
// Any other error is about the one request. Get tries again by itself what may be lost on its way.
//
// A caller that has many requests wait for a change takes a slot for each with [Agent.BeginWait]; [Agent.Endpoint] says whether slots
// are scarce at all. A caller that keeps indexes asks within [Agent.Epoch]: the indexes of another address are void.
//
// The files, in the order to read them:
//
//	agent.go        a request from its admission to its answer
//	api.go          what differs between Consul and Nomad
//	config.go       Config and its defaults
//	request.go      what a request asks, as a URL
//	answer.go       what of a response is an answer
//	connections.go  who may hold a connection
//	pace.go         requests a second
//	deadline.go     how long an answer may take
//	outage.go       few requests while all fail
//	cuts.go         proxies that cut off requests that wait
//	addresses.go    several addresses
//	endpoint.go     one address, with its HTTP client
//	credentials.go  token, certificates and keys that change
//
// The names of headers and parameters, and what the environment says, are in the [API] that New takes. consul/api lends its reading of
// certificates and its HTTP client to both.
package agent
