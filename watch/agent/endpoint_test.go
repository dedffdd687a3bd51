package agent

import (
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/consul/api"

	"render/watch/hint"
)

// Connections are opened as the settings of the transport say.
func TestDialer(t *testing.T) {
	transport := Config{Transport: Transport{TLSHandshakeTimeout: 3 * time.Second}}.withDefaults(api.DefaultConfig()).Transport.httpTransport(nil)
	if transport.TLSHandshakeTimeout != 3*time.Second {
		t.Errorf("handshake within %s", transport.TLSHandshakeTimeout)
	}
	for alive, want := range map[time.Duration]net.KeepAliveConfig{
		0:               {Enable: true, Idle: 15 * time.Second, Interval: 15 * time.Second, Count: 3},
		7 * time.Second: {Enable: true, Idle: 7 * time.Second, Interval: 7 * time.Second, Count: 3},
		-1:              {},
	} {
		d := Config{Transport: Transport{DialKeepAlive: alive}}.withDefaults(api.DefaultConfig()).Transport.dialer()
		if d.KeepAliveConfig != want || (d.KeepAlive < 0) != (alive < 0) {
			t.Errorf("%s: probes are %+v, %s", alive, d.KeepAliveConfig, d.KeepAlive)
		}
	}
	_, err := Transport{DialTimeout: 1}.Dial(t.Context(), "tcp", "127.0.0.1:1")
	if timeout, ok := errors.AsType[net.Error](err); !ok || !timeout.Timeout() {
		t.Errorf("dialing within 1ns: %v", err)
	}
}

// The error of a server without TLS has a hint.
func TestNoTLS(t *testing.T) {
	server := httptest.NewServer(http.NotFoundHandler())
	defer server.Close()
	a, err := New(consulAPI, Config{Address: strings.Replace(server.URL, "http:", "https:", 1)}, Transport{}.Dial, func() {})
	check(t, err)
	defer a.Close()
	_, err = a.Get(t.Context(), Request{Path: "/v1/kv/x"}, new([]any))
	if hints := hint.Of(err); len(hints) != 1 || !strings.HasPrefix(hints[0], "write http:// in the address") {
		t.Errorf("%v: the hints are %q", err, hints)
	}
}

func TestWithoutPassword(t *testing.T) {
	for _, c := range []struct{ address, want string }{
		{"consul:8500", "consul:8500"},
		{"http://consul:8500/prefix", "http://consul:8500/prefix"},
		{"unix:///run/a@b", "unix:///run/a@b"},
		{"https://user@consul", "https://user@consul"},
		{"https://user:secret@consul/prefix", "https://user:xxxxx@consul/prefix"},
		{"user:secret@consul:8500", "user:xxxxx@consul:8500"},
		{"http://user:sec%ret@consul:8500", "http://user:xxxxx@consul:8500"},
		{"http://user:sec/r@et@consul:8500", "http://user:xxxxx@consul:8500"},
		{"http://consul:8500/?token=secret", "http://consul:8500/?xxxxx"},
		{"http://user:sec?ret@consul:8500/?token=secret", "http://user:xxxxx@consul:8500/?xxxxx"},
	} {
		if got := withoutPassword(c.address); got != c.want {
			t.Errorf("%s: got %s, want %s", c.address, got, c.want)
		}
	}
}
