package agent

import (
	"context"
	"errors"
	"net"
	"testing"

	"github.com/hashicorp/consul/api"

	"render/watch"
)

// consulAPI is Consul's, as package consul has it.
var consulAPI = API{Name: "consul", Title: "Consul", Header: "X-Consul-", Elsewhere: watch.OptDatacenter, Connections: DefaultMaxConnections, Environment: api.DefaultConfig}

var errRefused = errors.New("connection refused")

func refuse(context.Context, string, string) (net.Conn, error) { return nil, errRefused }

// An epoch whose address has answered ends with a failure of the address; one that nobody has an index of lasts.
func TestEpoch(t *testing.T) {
	for _, used := range []bool{true, false} {
		moved := 0
		a, err := New(consulAPI, Config{Address: "a:8500,b:8500"}, refuse, func() { moved++ })
		check(t, err)
		t.Cleanup(a.Close)
		since := a.Epoch()
		within, stop := since.Within(t.Context())
		defer stop()
		if used {
			since.Use()
		}

		if _, err := a.Get(within, Request{Path: "/v1/kv/x"}, new([]any)); err == nil {
			t.Fatal("no error of a connection that is refused")
		}
		if got := a.Endpoint().Address(); got != "b:8500" {
			t.Errorf("used %v: asks %s next", used, got)
		}
		if used {
			<-within.Done()
		}
		if void := errors.Is(context.Cause(within), watch.ErrIndexVoid); void != used || (moved == 1) != used || (a.Epoch() != since) != used {
			t.Errorf("used %v: indexes are void: %v; moved %d times, another epoch: %v", used, void, moved, a.Epoch() != since)
		}
	}
	a, err := New(consulAPI, Config{Address: "a:8500"}, refuse, nil)
	check(t, err)
	t.Cleanup(a.Close)
	if a.Epoch() != nil {
		t.Error("one address has an epoch")
	}
}
