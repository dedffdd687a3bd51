package consultest

import (
	"context"
	"fmt"
)

// StartClient starts an agent that is no server and asks the server a, as it runs on each machine of a real cluster, and returns
// when the server knows it. It has the server's token where the server has ACLs. Node is its name, dataDir an empty folder, config
// more of its configuration, as HCL, or empty. The caller stops the agent.
//
// What its Register and Put write is kept by the server.
func (a *Agent) StartClient(ctx context.Context, node, dataDir, config string) (*Agent, error) {
	mode := []string{"-data-dir=" + dataDir, "-retry-join=" + loopback(a.serf), "-retry-interval=200ms"}
	if a.token != "" {
		mode = append(mode, fmt.Sprintf("-hcl=acl { enabled = true, default_policy = \"deny\", tokens { agent = %q } }", a.token))
	}
	return start(ctx, settings{node: node, mode: mode, hcl: config, token: a.token})
}
