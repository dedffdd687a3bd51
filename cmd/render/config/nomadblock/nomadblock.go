// Package nomadblock has the values of the settings of Nomad, and makes the configuration of Nomad's source from them.
package nomadblock

import (
	"errors"
	"fmt"
	"math"
	"strings"

	"render/cmd/render/config/server"
	"render/watch"
	"render/watch/agent"
	"render/watch/hint"
	"render/watch/nomad"
)

// Kinds are the kinds of queries that Nomad answers.
var Kinds = []string{watch.KindNomadServices, watch.KindNomadService, watch.KindNomadVar, watch.KindNomadVars}

// Fields are the values of the settings. A tag is the key in the block.
type Fields struct {
	Address   string           `key:"address"`
	Namespace string           `key:"namespace"`
	Region    string           `key:"region"`
	Token     string           `key:"token"`
	TokenFile string           `key:"token_file"`
	Username  string           `key:"auth_username"`
	Password  string           `key:"auth_password"`
	Retry     server.Retry     `key:"retry"`
	SSL       server.SSL       `key:"ssl"`
	Transport server.Transport `key:"transport"`
}

// Config returns the configuration of the source. The caller says which settings are made, by pointers to their fields. The remarks say
// what is wrong.
func (f *Fields) Config(isSet func(field any) bool) (nomad.Config, server.Remarks) {
	var remarks server.Remarks
	cfg := nomad.Config{
		Address:   f.Address,
		Namespace: f.Namespace,
		Region:    f.Region,
		Token:     f.Token,
		TokenFile: f.TokenFile,
		Username:  f.Username,
		Password:  f.Password,
		TLS:       f.SSL.OfAgent(isSet),
		Transport: f.Transport.OfAgent(),
	}
	if most := &cfg.Transport.MaxConnsPerHost; *most > 0 && *most < agent.LeastConnections {
		*most = agent.LeastConnections
		remarks.Idle(&f.Transport.MaxConnsPerHost, fmt.Sprintf("render needs at least %d connections, and uses %[1]d", agent.LeastConnections))
	}
	f.check(&remarks)
	return cfg, remarks
}

// check finds values that are out of range.
func (f *Fields) check(remarks *server.Remarks) {
	for address := range strings.SplitSeq(f.Address, ",") {
		switch scheme, _, found := strings.Cut(strings.TrimSpace(address), "://"); {
		case found && scheme != "http" && scheme != "https" && scheme != "unix":
			remarks.Wrong(&f.Address, hint.With(fmt.Errorf("the scheme of %q is not http, https or unix", scheme), "use http://…, https://… or unix:///path"))
		}
	}
	if f.Retry.Backoff <= 0 {
		remarks.Wrong(&f.Retry.Backoff, errors.New("must be more than 0"))
	}
	f.Transport.Check(remarks)
}

// Backoff returns the pauses after failures.
func (f *Fields) Backoff() watch.Backoff {
	pauses := watch.Backoff{Base: f.Retry.Backoff, Most: f.Retry.MaxBackoff}
	if pauses.Most == 0 {
		pauses.Most = math.MaxInt64 // no limit
	}
	return pauses
}
