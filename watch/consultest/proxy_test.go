package consultest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// fakeAgent answers as an agent with one service and one key does, at index 7, which never changes.
func fakeAgent(t *testing.T) string {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Query().Get("index") == "7" {
			<-r.Context().Done()
			return
		}
		w.Header().Set("X-Consul-Index", "7")
		if r.URL.Path == "/v1/catalog/services" {
			fmt.Fprint(w, `{"web":[]}`)
		} else {
			fmt.Fprint(w, `[{"Some":"thing"}]`)
		}
	}))
	t.Cleanup(server.Close)
	return strings.TrimPrefix(server.URL, "http://")
}

func testProxy(t *testing.T) *Proxy {
	t.Helper()
	p := NewProxy(fakeAgent(t))
	t.Cleanup(p.Close)
	return p
}

// get returns what there is to tell of an answer: status, body and headers that matter.
func get(p *Proxy, path string) string {
	resp, err := http.Get("http://" + p.Addr + path)
	if err != nil {
		return complaint(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return fmt.Sprintf("%d %s, then %s", resp.StatusCode, body, complaint(err))
	}
	var headers strings.Builder
	for _, name := range []string{"X-Consul-Index", "X-Consul-KnownLeader", "X-Consul-Results-Filtered-By-ACLs", "Retry-After"} {
		if value := resp.Header.Get(name); value != "" {
			fmt.Fprintf(&headers, " %s=%s", strings.TrimPrefix(name, "X-Consul-"), value)
		}
	}
	return fmt.Sprintf("%d %.30s%s", resp.StatusCode, strings.TrimSpace(string(body)), &headers)
}

func complaint(err error) string {
	switch {
	case errors.Is(err, syscall.ECONNRESET):
		return "reset"
	case errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF):
		return "cut"
	}
	return err.Error()
}

func TestFaults(t *testing.T) {
	const list, key, services = "/v1/health/service/web?stale", "/v1/kv/a?stale", "/v1/catalog/services"
	const whole = `200 [{"Some":"thing"}]`
	dc2 := func(r *http.Request) bool { return r.URL.Query().Get("dc") == "dc2" }
	for _, tt := range []struct {
		name  string
		fault Fault
		path  string
		want  string
	}{
		{"pass", Pass, list, whole + " Index=7"},
		{"status", Status(500, 0), list, "500 Internal Server Error"},
		{"retry after", Status(429, 2*time.Second), list, "429 Too Many Requests Retry-After=2"},
		{"reset", Reset, list, "reset"},
		{"half", Half, list, `200 [{"Some":, then cut`},
		{"html", HTML, list, "200 <!DOCTYPE html><html><body>Wel"},
		{"not found", NotFound, list, "404 404 page not found"},
		{"empty list", Empty, list, "200 [] Index=8"},
		{"empty list, again", Empty, list + "&index=8", "200 [] Index=9"},
		{"empty services", Empty, services, "200 {} Index=8"},
		{"empty key", Empty, key, "404  Index=8"},
		{"empty tree", Empty, key + "&recurse", "404  Index=8"},
		{"empty, consistent", Empty, list + "&consistent", whole + " Index=7"},
		{"empty, neither list nor key", Empty, "/v1/agent/self", whole + " Index=7"},
		{"leaderless", Leaderless(false), list, whole + " Index=7 KnownLeader=false"},
		{"leaderless, consistent", Leaderless(false), list + "&consistent", "500 No cluster leader"},
		{"leaderless and empty", Leaderless(true), list, "200 [] Index=8 KnownLeader=false"},
		{"behind", Behind(), list, whole + " Index=7"},
		{"filtered", Filtered, list, "200 [] Index=8 Results-Filtered-By-ACLs=true"},
		{"filtered, consistent", Filtered, list + "&consistent", "200 [] Index=8 Results-Filtered-By-ACLs=true"},
		{"filtered, key", Filtered, key, whole + " Index=7"},
		{"late", Late(time.Millisecond), list, whole + " Index=7"},
		{"mix", Mix(rand.New(rand.NewPCG(1, 0)), Reset, Reset), list, "reset"},
		{"dribble", Dribble(time.Millisecond), list, whole + " Index=7"},
		{"idle", Idle(time.Millisecond, 504), list + "&index=7", "504 Gateway Timeout"},
		{"idle, cut", Idle(time.Millisecond, 0), list + "&index=7", "cut"},
		{"where", Fault(Reset).Where(dc2), list + "&dc=dc2", "reset"},
		{"where not", Fault(Reset).Where(dc2), list, whole + " Index=7"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := testProxy(t)
			p.Set(tt.fault)
			if got := get(p, tt.path); got != tt.want {
				t.Errorf("got  %s\nwant %s", got, tt.want)
			}
		})
	}
}

// TestInFlight has a poll in flight, which the agent would never answer, while the fault changes.
func TestInFlight(t *testing.T) {
	for _, tt := range []struct {
		name  string
		first Fault
		then  func(*Proxy)
		want  string
	}{
		{"hit", Pass, func(p *Proxy) { p.Hit(Status(503, 0)) }, "503 Service Unavailable"},
		{"hit twice", Silent, func(p *Proxy) { p.Hit(Silent); p.Hit(Empty) }, "200 [] Index=8"},
		{"hit by a reset", Pass, func(p *Proxy) { p.Hit(Reset) }, "reset"},
		{"set and cut", Pass, func(p *Proxy) { p.Set(Silent); p.Cut() }, "cut"},
		{"silent and cut", Silent, (*Proxy).Cut, "cut"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := testProxy(t)
			p.Set(tt.first)
			got := make(chan string)
			go func() { got <- get(p, "/v1/health/service/web?index=7") }()
			p.awaitFlying(t, 1)
			tt.then(p)
			if got := <-got; got != tt.want {
				t.Errorf("got  %s\nwant %s", got, tt.want)
			}
		})
	}
}

// TestInterruptedAnswer has an answer that has begun when the fault changes: it cannot begin again.
func TestInterruptedAnswer(t *testing.T) {
	p := testProxy(t)
	p.Set(Dribble(time.Hour))
	resp, err := http.Get("http://" + p.Addr + "/v1/health/service/web")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	p.Hit(Pass)
	if body, err := io.ReadAll(resp.Body); len(body) > 1 || !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("got %q, %v", body, err)
	}
}

// TestMix has each fault of a mix meet requests.
func TestMix(t *testing.T) {
	p := testProxy(t)
	p.Set(Mix(rand.New(rand.NewPCG(1, 0)), Reset, Half))
	met := make(map[string]bool)
	for range 30 {
		met[get(p, "/v1/health/service/web")] = true
	}
	if len(met) != 2 {
		t.Errorf("got %v", met)
	}
}

// TestRefuse has nobody listen for a while. Who is connected stays so.
func TestRefuse(t *testing.T) {
	p := testProxy(t)
	const path, whole = "/v1/health/service/web", `200 [{"Some":"thing"}] Index=7`
	for range 3 {
		p.Refuse()
		if _, err := net.Dial("tcp", p.Addr); !errors.Is(err, syscall.ECONNREFUSED) {
			t.Fatalf("a connection is not refused: %v", err)
		}
		if err := p.Accept(); err != nil {
			t.Fatal(err)
		}
		if got := get(p, path); got != whole {
			t.Fatalf("got %s", got)
		}
	}
}

// TestFrom has connections come from several addresses.
func TestFrom(t *testing.T) {
	var mu sync.Mutex
	hosts := make(map[string]bool)
	agent := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		host, _, _ := net.SplitHostPort(r.RemoteAddr)
		mu.Lock()
		hosts[host] = true
		mu.Unlock()
		w.Header().Set("Connection", "close")
	}))
	defer agent.Close()
	p := NewProxy(strings.TrimPrefix(agent.URL, "http://"), net.IPv4(127, 0, 0, 2), net.IPv4(127, 0, 0, 3))
	defer p.Close()
	for range 4 {
		get(p, "/v1/health/service/web")
	}
	if !hosts["127.0.0.2"] || !hosts["127.0.0.3"] || len(hosts) != 2 {
		t.Errorf("connections from %v", hosts)
	}
}

// TestClientGoes has the client of a poll leave: the agent is asked no more.
func TestClientGoes(t *testing.T) {
	p := testProxy(t)
	ctx, leave := context.WithCancel(t.Context())
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+p.Addr+"/v1/kv/a?index=7", nil)
	if err != nil {
		t.Fatal(err)
	}
	left := make(chan error)
	go func() {
		_, err := http.DefaultClient.Do(req)
		left <- err
	}()
	p.awaitFlying(t, 1)
	leave()
	if err := <-left; err == nil {
		t.Error("the poll was answered")
	}
	p.awaitFlying(t, 0)
	if got := p.Requests(); len(got) != 1 || got[0].URL.String() != "/v1/kv/a?index=7" {
		t.Errorf("received %v", got)
	}
	if got := p.MostOpen(); got != 1 {
		t.Errorf("%d connections", got)
	}
}

func (p *Proxy) awaitFlying(t *testing.T, n int) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(time.Millisecond) {
		p.mu.Lock()
		flying := len(p.flying)
		p.mu.Unlock()
		if flying == n {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d requests in flight, want %d", flying, n)
		}
	}
}
