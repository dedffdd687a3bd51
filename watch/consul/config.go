package consul

import (
	"github.com/hashicorp/consul/api"

	"render/watch"
	"render/watch/agent"
)

// consulAPI is what package agent has to know of Consul.
var consulAPI = agent.API{
	Name: "consul", Title: "Consul", Header: "X-Consul-", Elsewhere: watch.OptDatacenter,
	Connections: agent.DefaultMaxConnections, Environment: api.DefaultConfig,
}

// Config says where Consul is and how to ask it.
type Config = agent.Config

// TLS is the part of Config that says how to speak TLS.
type TLS = agent.TLS

// Transport is the part of Config that has the settings of connections.
type Transport = agent.Transport

// What a Config can say.
const (
	LeastConnections = agent.LeastConnections
	LeastWait        = agent.LeastWait
	MostWait         = agent.MostWait
)
