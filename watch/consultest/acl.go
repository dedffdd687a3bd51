package consultest

import (
	"context"
	"fmt"

	"github.com/hashicorp/consul/api"
)

// management is the token of an agent with ACLs that may do everything.
const management = "11111111-2222-3333-4444-555555555555"

// StartACL is Start for an agent that denies everything to those without a token. Its Client may do everything.
func StartACL(ctx context.Context, config string) (*Agent, error) {
	acl := fmt.Sprintf(`-hcl=acl {
		enabled = true
		default_policy = "deny"
		tokens { initial_management = %[1]q, agent = %[1]q }
	}`, management)
	return start(ctx, settings{mode: []string{"-dev", acl}, hcl: config, token: management})
}

// A Policy is a set of rules that tokens follow.
type Policy struct {
	agent *Agent
	id    string
	name  string
}

// NewPolicy makes a policy. Rules are in Consul's language for them, as in `service_prefix "" { policy = "read" }`.
func (a *Agent) NewPolicy(name, rules string) (*Policy, error) {
	made, _, err := a.Client.ACL().PolicyCreate(&api.ACLPolicy{Name: name, Rules: rules}, nil)
	if err != nil {
		return nil, err
	}
	return &Policy{a, made.ID, name}, nil
}

// Set gives the policy other rules.
func (p *Policy) Set(rules string) error {
	_, _, err := p.agent.Client.ACL().PolicyUpdate(&api.ACLPolicy{ID: p.id, Name: p.name, Rules: rules}, nil)
	return err
}

// NewToken makes a token that follows the policy, and returns its secret.
func (p *Policy) NewToken() (secret string, err error) {
	made, _, err := p.agent.Client.ACL().TokenCreate(&api.ACLToken{Policies: []*api.ACLLink{{ID: p.id}}}, nil)
	if err != nil {
		return "", err
	}
	return made.SecretID, nil
}
