package agent

import (
	"errors"
	"fmt"

	"github.com/hashicorp/consul/api"

	"render/watch/hint"
)

// An API is what differs between the HTTP API of Consul and that of Nomad.
type API struct {
	Name        string             // of the server in errors and logs, such as "consul"
	Title       string             // the same within sentences, such as "Consul"
	Header      string             // that the names of its headers begin with, such as "X-Consul-"
	Elsewhere   string             // the parameter that has servers of another place answer, such as "dc"
	Home        string             // the value of that parameter that names the agent's own place; "" where it is not known
	Connections int                // that there may be where Config.MaxConnections is 0
	Environment func() *api.Config // what the environment says, and what it leaves open has its default
}

// ErrNoIndex is an answer that has no index where the API has one.
var ErrNoIndex = errors.New("the answer has no index header")

func (a API) errNoIndex() error {
	return hint.Withf(fmt.Errorf("%w of %s", ErrNoIndex, a.Title), "check that the address and the path prefix are those of %s", a.Title)
}

func (a API) errNotJSON() error {
	return hint.Withf(fmt.Errorf("the answer is not the JSON of %s", a.Title), "check that the address is that of %s", a.Title)
}

func (a API) errNoLeader() error {
	return fmt.Errorf("%s has no leader, so the answer may be out of date", a.Name)
}
