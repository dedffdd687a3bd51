package consultest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// A Proxy is an HTTP proxy on loopback, before the HTTP API of an agent. It makes the faults that networks, other proxies
// and clusters make, each for as long as the test wants.
type Proxy struct {
	Addr string // host:port

	agent    http.Handler
	server   *httptest.Server
	listener net.Listener
	served   sync.WaitGroup // listeners after the first

	mu         sync.Mutex // guards what follows
	fault      Fault
	flying     map[context.Context]context.CancelCauseFunc // the requests that have no answer yet
	requests   []Request
	open, most int // connections
}

// A Request is one that the proxy has received.
type Request struct {
	At  time.Time
	URL *url.URL // path and query
}

// NewProxy starts a proxy before the agent at host:port. It has no fault yet. The caller closes it.
//
// Its connections to the agent come from the given addresses in turn. An agent counts the connections of each client address, also that
// of a waiting request that was cut off, until its wait ends: a proxy that cuts off many needs several addresses.
func NewProxy(agent string, from ...net.IP) *Proxy {
	p := &Proxy{
		fault:  Pass,
		flying: make(map[context.Context]context.CancelCauseFunc),
		agent: &httputil.ReverseProxy{
			Rewrite:       func(r *httputil.ProxyRequest) { r.SetURL(&url.URL{Scheme: "http", Host: agent}) },
			Transport:     &http.Transport{MaxIdleConnsPerHost: 1000, DisableCompression: true, DialContext: inTurn(from)},
			FlushInterval: -1,
			ErrorLog:      log.New(io.Discard, "", 0),
			ErrorHandler: func(w http.ResponseWriter, r *http.Request, err error) {
				if r.Context().Err() == nil {
					http.Error(w, err.Error(), http.StatusBadGateway)
				}
			},
		},
	}
	p.server = httptest.NewUnstartedServer(http.HandlerFunc(p.serve))
	p.server.Config.ConnState = p.count
	p.server.Start()
	p.listener = p.server.Listener
	p.Addr = p.listener.Addr().String()
	return p
}

// Close closes all connections and returns when no request is served any more.
func (p *Proxy) Close() {
	_ = p.listener.Close()
	p.server.CloseClientConnections()
	p.server.Close()
	p.served.Wait()
}

// inTurn returns a function that dials from addresses in turn, or nil for none.
func inTurn(from []net.IP) func(ctx context.Context, network, address string) (net.Conn, error) {
	if len(from) == 0 {
		return nil
	}
	var n atomic.Uint64
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		d := net.Dialer{LocalAddr: &net.TCPAddr{IP: from[n.Add(1)%uint64(len(from))]}}
		return d.DialContext(ctx, network, address)
	}
}

// Refuse has the system refuse new connections. Those that are open stay.
func (p *Proxy) Refuse() { _ = p.listener.Close() }

// Accept ends Refuse.
func (p *Proxy) Accept() error {
	l, err := net.Listen("tcp", p.Addr)
	if err != nil {
		return err
	}
	p.listener = l
	p.served.Go(func() { _ = p.server.Config.Serve(l) })
	return nil
}

// Set makes a fault the answer to all further requests. Those in flight stay with what they have met.
func (p *Proxy) Set(f Fault) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.fault = f
}

// Hit is Set for the requests in flight, too: those without an answer meet the fault at once, as if they came now.
func (p *Proxy) Hit(f Fault) {
	p.Set(f)
	p.interrupt(errHit)
}

// Cut closes the connections of all requests in flight.
func (p *Proxy) Cut() { p.interrupt(errCut) }

// Requests returns the requests so far.
func (p *Proxy) Requests() []Request {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.requests)
}

// MostOpen returns how many connections were open at one time, at most.
func (p *Proxy) MostOpen() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.most
}

func (p *Proxy) count(_ net.Conn, state http.ConnState) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch state {
	case http.StateNew:
		p.open++
		p.most = max(p.most, p.open)
	case http.StateClosed, http.StateHijacked: // Reset closes what it has hijacked
		p.open--
	}
}

// Why a request in flight is interrupted.
var (
	errHit = errors.New("another fault")
	errCut = errors.New("the connection is cut")
)

func (p *Proxy) interrupt(cause error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, cancel := range p.flying {
		cancel(cause)
	}
}

func (p *Proxy) serve(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	p.requests = append(p.requests, Request{time.Now(), r.URL})
	p.mu.Unlock()
	a := &answer{ResponseWriter: w}
	for {
		cause := p.answer(a, r)
		if errors.Is(cause, errCut) || a.begun && errors.Is(cause, errHit) {
			panic(http.ErrAbortHandler) // closes the connection
		}
		if !errors.Is(cause, errHit) {
			return
		}
	}
}

// answer lets the present fault answer a request, and returns why it was interrupted, if it was.
func (p *Proxy) answer(w http.ResponseWriter, r *http.Request) error {
	ctx, cancel := context.WithCancelCause(r.Context())
	defer cancel(nil)
	p.mu.Lock()
	fault := p.fault
	p.flying[ctx] = cancel
	p.mu.Unlock()
	defer func() {
		p.mu.Lock()
		delete(p.flying, ctx)
		p.mu.Unlock()
	}()
	fault(w, r.WithContext(ctx), p.agent)
	return context.Cause(ctx)
}

// answer knows whether it has begun.
type answer struct {
	http.ResponseWriter
	begun bool
}

func (a *answer) WriteHeader(code int) {
	a.begun = true
	a.ResponseWriter.WriteHeader(code)
}

func (a *answer) Write(b []byte) (int, error) {
	a.begun = true
	return a.ResponseWriter.Write(b)
}

// Unwrap gives http.ResponseController what the server offers.
func (a *answer) Unwrap() http.ResponseWriter { return a.ResponseWriter }

// A Fault answers a request, or does not, in place of the agent, which it may ask. Once the request's context is done it
// returns, and answers no more.
type Fault func(w http.ResponseWriter, r *http.Request, agent http.Handler)

// Where returns the fault for the requests that match; all others pass.
func (f Fault) Where(match func(*http.Request) bool) Fault {
	return func(w http.ResponseWriter, r *http.Request, agent http.Handler) {
		if match(r) {
			f(w, r, agent)
		} else {
			Pass(w, r, agent)
		}
	}
}

// Mix returns a fault that meets each request as one of several faults, at random. Those that are given more than once are more
// likely.
func Mix(random *rand.Rand, faults ...Fault) Fault {
	var mu sync.Mutex
	return func(w http.ResponseWriter, r *http.Request, agent http.Handler) {
		mu.Lock()
		f := faults[random.IntN(len(faults))]
		mu.Unlock()
		f(w, r, agent)
	}
}

// Pass is no fault: the agent answers.
func Pass(w http.ResponseWriter, r *http.Request, agent http.Handler) { agent.ServeHTTP(w, r) }

// Late has the agent answer, after a pause.
func Late(pause time.Duration) Fault {
	return func(w http.ResponseWriter, r *http.Request, agent http.Handler) {
		select {
		case <-time.After(pause):
			agent.ServeHTTP(w, r)
		case <-r.Context().Done():
		}
	}
}

// Status answers with a status, and with Retry-After where that is not 0.
func Status(code int, retryAfter time.Duration) Fault {
	return func(w http.ResponseWriter, _ *http.Request, _ http.Handler) {
		if retryAfter > 0 {
			w.Header().Set("Retry-After", fmt.Sprintf("%.0f", retryAfter.Seconds()))
		}
		http.Error(w, http.StatusText(code), code)
	}
}

// Silent never answers.
func Silent(_ http.ResponseWriter, r *http.Request, _ http.Handler) { <-r.Context().Done() }

// Reset resets the connection.
func Reset(w http.ResponseWriter, _ *http.Request, _ http.Handler) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return
	}
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
	_ = conn.Close()
}

// Half cuts the agent's answer off in its middle.
func Half(w http.ResponseWriter, r *http.Request, agent http.Handler) {
	if whole := ask(agent, r); whole != nil {
		give(w, whole, whole.Body.Len()/2)
	}
}

// HTML answers 200 with a page, as the log-in page of a network does.
func HTML(w http.ResponseWriter, _ *http.Request, _ http.Handler) {
	w.Header().Set("Content-Type", "text/html")
	_, _ = io.WriteString(w, "<!DOCTYPE html><html><body>Welcome! Please log in.</body></html>\n")
}

// NotFound answers 404 without Consul's headers.
func NotFound(w http.ResponseWriter, r *http.Request, _ http.Handler) { http.NotFound(w, r) }

// Empty answers that there is nothing, no instances and no keys, with an index that is higher each time, as a server that
// has lost its data may. Consistent reads pass: they ask the leader.
func Empty(w http.ResponseWriter, r *http.Request, agent http.Handler) {
	if r.URL.Query().Has("consistent") || !(isList(r) || isKey(r)) {
		Pass(w, r, agent)
	} else if none := nothing(agent, r); none != nil {
		give(w, none, none.Body.Len())
	}
}

// Leaderless marks each answer, the agent's own or an empty one, as that of a server that knows no leader; consistent
// reads fail.
func Leaderless(empty bool) Fault {
	return func(w http.ResponseWriter, r *http.Request, agent http.Handler) {
		if r.URL.Query().Has("consistent") {
			http.Error(w, "No cluster leader", http.StatusInternalServerError)
			return
		}
		get := ask
		if empty && (isList(r) || isKey(r)) {
			get = nothing
		}
		if a := get(agent, r); a != nil {
			a.Header().Set("X-Consul-KnownLeader", "false")
			give(w, a, a.Body.Len())
		}
	}
}

// Behind answers as a server that does not learn of changes any more: with the first answer that it got for a request,
// and its index. Who waits for a change waits for ever. Consistent reads pass: they ask the leader.
func Behind() Fault {
	var mu sync.Mutex
	first := make(map[string]*httptest.ResponseRecorder)
	return func(w http.ResponseWriter, r *http.Request, agent http.Handler) {
		if r.URL.Query().Has("consistent") || !(isList(r) || isKey(r)) {
			Pass(w, r, agent)
			return
		}
		plain, asked := withoutWait(r)
		mu.Lock()
		a := first[plain.URL.String()]
		mu.Unlock()
		if a == nil {
			if a = ask(agent, plain); a == nil {
				return
			}
			mu.Lock()
			first[plain.URL.String()] = a
			mu.Unlock()
		}
		if asked >= indexOf(a) {
			Silent(w, r, agent)
		} else {
			give(w, a, a.Body.Len())
		}
	}
}

// Filtered answers lists, also to consistent reads, as for a token that may read none of what is in them.
func Filtered(w http.ResponseWriter, r *http.Request, agent http.Handler) {
	if !isList(r) {
		Pass(w, r, agent)
	} else if none := nothing(agent, r); none != nil {
		none.Header().Set("X-Consul-Results-Filtered-By-ACLs", "true")
		give(w, none, none.Body.Len())
	}
}

// Dribble gives the agent's answer one byte at a time, with a pause after each.
func Dribble(pause time.Duration) Fault {
	return func(w http.ResponseWriter, r *http.Request, agent http.Handler) {
		whole := ask(agent, r)
		if whole == nil {
			return
		}
		rest := whole.Body.Bytes()
		give(w, whole, 0)
		for len(rest) > 0 {
			_, _ = w.Write(rest[:1])
			_ = http.NewResponseController(w).Flush()
			rest = rest[1:]
			select {
			case <-r.Context().Done():
				return
			case <-time.After(pause):
			}
		}
	}
}

// Idle ends requests that have no answer at an age, as other proxies do: with a status, as in 504, or, where that is 0, by
// closing the connection.
func Idle(age time.Duration, status int) Fault {
	return func(w http.ResponseWriter, r *http.Request, agent http.Handler) {
		ctx, cancel := context.WithTimeout(r.Context(), age)
		defer cancel()
		switch whole := ask(agent, r.WithContext(ctx)); {
		case whole != nil:
			give(w, whole, whole.Body.Len())
		case r.Context().Err() != nil:
		case status == 0:
			panic(http.ErrAbortHandler)
		default:
			http.Error(w, http.StatusText(status), status)
		}
	}
}

// isList reports whether Consul answers a request with a list of what may be none.
func isList(r *http.Request) bool {
	q := r.URL.Query()
	return strings.HasPrefix(r.URL.Path, "/v1/catalog/") || strings.HasPrefix(r.URL.Path, "/v1/health/") ||
		strings.HasPrefix(r.URL.Path, "/v1/kv/") && (q.Has("recurse") || q.Has("keys"))
}

// isKey reports whether a request is for one key.
func isKey(r *http.Request) bool { return strings.HasPrefix(r.URL.Path, "/v1/kv/") && !isList(r) }

// ask returns the agent's answer, or nil where the request has ended before there was one.
func ask(agent http.Handler, r *http.Request) *httptest.ResponseRecorder {
	r = r.Clone(r.Context())
	r.Header.Set("Accept-Encoding", "identity")
	a := httptest.NewRecorder()
	agent.ServeHTTP(a, r)
	if r.Context().Err() != nil {
		return nil
	}
	return a
}

// nothing returns at once what the agent would answer if there was nothing, with an index that is higher than those of
// its own answer and of the request.
func nothing(agent http.Handler, r *http.Request) *httptest.ResponseRecorder {
	r, asked := withoutWait(r)
	a := ask(agent, r)
	if a == nil || a.Code != http.StatusOK {
		return a
	}
	a.Header().Set("X-Consul-Index", strconv.Itoa(1+max(indexOf(a), asked)))
	a.Body.Reset()
	switch path := r.URL.Path; {
	case strings.HasPrefix(path, "/v1/kv/"):
		a.Code = http.StatusNotFound
	case strings.HasPrefix(path, "/v1/catalog/node/"):
		a.Body.WriteString("null")
	case path == "/v1/catalog/services":
		a.Body.WriteString("{}")
	default:
		a.Body.WriteString("[]")
	}
	return a
}

// withoutWait returns a request that does not wait for a change, and the index after which it would.
func withoutWait(r *http.Request) (plain *http.Request, asked int) {
	q := r.URL.Query()
	asked, _ = strconv.Atoi(q.Get("index"))
	q.Del("index")
	q.Del("wait")
	plain = r.Clone(r.Context())
	plain.URL.RawQuery = q.Encode()
	return plain, asked
}

func indexOf(a *httptest.ResponseRecorder) int {
	index, _ := strconv.Atoi(a.Header().Get("X-Consul-Index"))
	return index
}

// give answers with the first n bytes of an answer, and the length of the whole. The server closes the connection where
// not all follows.
func give(w http.ResponseWriter, a *httptest.ResponseRecorder, n int) {
	for name, values := range a.Header() {
		w.Header()[name] = values
	}
	w.Header().Set("Content-Length", strconv.Itoa(a.Body.Len()))
	w.WriteHeader(a.Code)
	_, _ = w.Write(a.Body.Bytes()[:n])
	_ = http.NewResponseController(w).Flush()
}
