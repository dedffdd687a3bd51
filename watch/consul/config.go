package consul

import "render/watch/consul/agent"

// Config says where Consul is and how to ask it.
type Config = agent.Config

// TLS is the part of Config that says how to speak TLS.
type TLS = agent.TLS

// Transport is the part of Config that has the settings of connections.
type Transport = agent.Transport

// The defaults of Config that other programs show, and what it can say.
const (
	DefaultMaxStale       = agent.DefaultMaxStale
	DefaultWait           = agent.DefaultWait
	DefaultMaxConnections = agent.DefaultMaxConnections

	LeastConnections = agent.LeastConnections
	LeastWait        = agent.LeastWait
	MostWait         = agent.MostWait
)
