package consul_test

import (
	"context"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"testing"

	"render/watch"
	"render/watch/consul"
	"render/watch/consultest"
	"render/watch/sourcetest"
)

// agent is the one Consul of this package's tests, started when the first test asks for it.
var agent struct {
	start sync.Once
	*consultest.Agent
	err error
}

func TestMain(m *testing.M) {
	code := m.Run()
	if agent.Agent != nil {
		agent.Stop()
	}
	os.Exit(code)
}

func consulAgent(t *testing.T) *consultest.Agent {
	t.Helper()
	agent.start.Do(func() { agent.Agent, agent.err = consultest.Start(context.Background(), "") })
	if agent.err != nil {
		t.Fatal(agent.err)
	}
	return agent.Agent
}

func newConsul(t *testing.T) *consul.Source {
	t.Helper()
	src, err := consul.New(consul.Config{Address: consulAgent(t).Addr})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(src.Close)
	return src
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

var subjects atomic.Int64

func TestContractConsul(t *testing.T) {
	src := newConsul(t)
	sourcetest.Run(t, func(t *testing.T) sourcetest.Subject {
		key := fmt.Sprintf("contract/%d", subjects.Add(1))
		return sourcetest.Subject{
			Source: src,
			Query:  watch.NewQuery(watch.KindKV, key, nil),
			Set:    func(value string) { check(t, agent.Put(key, value)) },
			Remove: func() { check(t, agent.Delete(key)) },
		}
	})
}
