package consul

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/segmentio/encoding/json"

	"render/watch"
)

const (
	plainDeadline = 30 * time.Second // for an answer that was not asked to wait
	maxAnswer     = 1 << 30          // bytes
	waitGrace     = 5 * time.Second  // beyond the wait, and the sixteenth of it that Consul may add
)

var (
	errNoIndex  = errors.New("answered 404 without Consul's index header; is this the address of Consul, and its path prefix right?")
	errNotJSON  = errors.New("answered what is not the JSON that Consul gives; is this the address of Consul?")
	errNoLeader = errors.New("has no leader: its answer may be out of date")
	errTooStale = errors.New("the answer is older than the stale reads that are allowed")
	errSilent   = errors.New("no answer")
	errTaken    = errors.New("the connection was closed for another request") // by net/http, where that is given up as its answer comes
	errCut      = errors.New("a waiting request was cut off")
	errTooLarge = errors.New("the answer is too large")
)

// A deniedError is a refusal because of missing rights.
type deniedError struct{ error }

func (e deniedError) Unwrap() []error { return []error{e.error, watch.ErrDenied} }

// An agent is the HTTP API of Consul at one of several addresses. It keeps what all requests share: credentials, connections,
// the rate of requests, outages.
type agent struct {
	cfg       Config
	addresses []string
	log       *slog.Logger

	conns   *connections
	pace    *pace
	cuts    cuts
	buffers chan *bytes.Buffer
	moved   func() // called after another address has taken the place of the one so far

	mu      sync.Mutex // guards what follows
	current *endpoint
	at      int // index of the current one's address
	since   *epoch
	creds   *credentials
	fault   string             // what is wrong with the credentials' files, as last logged
	outages map[string]*outage // by datacenter
}

// An epoch is a time in which one address is asked. Indexes of another are void.
type epoch struct {
	context.Context
	end  context.CancelCauseFunc
	used bool // has answered a query
}

func newEpoch() *epoch {
	ctx, end := context.WithCancelCause(context.Background())
	return &epoch{Context: ctx, end: end}
}

// newAgent returns an agent that has not connected yet. An error means that an address, a token file, a TLS setting or a number
// cannot be used.
func newAgent(cfg Config, moved func()) (*agent, error) {
	if err := cfg.validate(); err != nil {
		return nil, fmt.Errorf("consul: %w", err)
	}
	a := &agent{
		cfg:     cfg,
		log:     cfg.Log,
		conns:   newConnections(cmp.Or(cfg.MaxConnections, DefaultMaxConnections)),
		pace:    newPace(cfg.MaxRequests),
		cuts:    cuts{log: cfg.Log},
		buffers: make(chan *bytes.Buffer, buffersKept),
		moved:   moved,
		since:   newEpoch(),
		outages: make(map[string]*outage),
	}
	for address := range strings.SplitSeq(cfg.Address, ",") {
		a.addresses = append(a.addresses, strings.TrimSpace(address))
	}

	for _, address := range a.addresses[1:] {
		if _, err := cfg.connect(address, a.conns.most()); err != nil {
			return nil, err
		}
	}
	var err error
	if a.current, err = cfg.connect(a.addresses[0], a.conns.most()); err != nil {
		return nil, err
	}
	if a.creds, err = newCredentials(cfg, a.current); err != nil {
		return nil, err
	}
	return a, nil
}

// close closes the connections that no request uses.
func (a *agent) close() { a.endpoint().config.HttpClient.CloseIdleConnections() }

// A consistency says which servers may answer.
type consistency int

const (
	stale      consistency = iota // any, up to Config.MaxStale behind the leader; the leader where that is negative
	cached                        // the same, or the agent from its cache, which a stream of changes keeps fresh
	consistent                    // the leader, after it has made sure that it still leads
)

// A request is one request of Consul's HTTP API.
type request struct {
	path   string
	params url.Values // without those that follow from the other fields
	read   consistency
	after  uint64        // where not 0: wait until the index differs
	wait   time.Duration // the longest such wait; 0 means Config.Wait. Up to a quarter less is asked for
	named  bool          // it waits for a change that has been reported: it goes ahead of other requests that wait
	limit  int           // bytes of an answer; 0 means maxAnswer

	withoutIndex bool // the endpoint gives no index
}

// A reply is what comes with an answer.
type reply struct {
	index    uint64 // 0 where the endpoint has none
	found    bool   // false: "404 with an index", which means that there is none
	filtered bool   // the answer lacks what the token may not read
	streamed bool   // the agent has answered from its stream of changes
	bytes    int
	sent     time.Time // when the request was made
}

// get makes a request and decodes the JSON of its answer. It is here, and not consul/api's own functions, because those decode
// with a json.Decoder, which reads everything twice: a tree of 10,000 keys took five times as long. They also hide what
// connections, refusals and "404 with an index" need. What says where Consul is and how to talk to it (address, TLS, proxy)
// stays with consul/api.
func (a *agent) get(ctx context.Context, r request, into any) (reply, error) {
	token := a.token()
	got, err := a.admitted(ctx, r, into)
	switch {
	case errors.Is(err, watch.ErrDenied) && a.renewToken(token):
		return a.admitted(ctx, r, into)
	case errors.Is(err, errTooStale):
		return a.fromLeader(ctx, r, into)
	}
	return got, err
}

// fromLeader makes a request of the leader, without waiting.
func (a *agent) fromLeader(ctx context.Context, r request, into any) (reply, error) {
	r.after = 0
	r.read = leader
	return a.admitted(ctx, r, into)
}

// leader is the consistency of a read that the leader answers, without making sure that it still leads.
const leader consistency = -1

// admitted makes one request, when there may be one.
func (a *agent) admitted(ctx context.Context, r request, into any) (got reply, err error) {
	out := a.outageOf(r.params.Get(watch.OptDatacenter))
	e, within, release, err := a.admit(ctx, out, r.after != 0, r.named)
	if err != nil {
		return reply{}, err
	}
	began := time.Now()
	defer func() {
		got.sent = began
		a.conns.releaseAfter(ctx, e, r.after != 0, began.Add(cmp.Or(r.wait, a.cfg.Wait)*17/16), release)
	}()

	got, err = a.do(within, e, r, into)
	if errors.Is(err, errTaken) {
		got, err = a.do(within, e, r, into)
	}
	if ctx.Err() != nil {
		return reply{}, ctx.Err()
	}
	if err != nil {
		err = fmt.Errorf("consul at %s: %w", e.address, err)
	}
	if _, bad := errors.AsType[watch.OutageError](err); bad {
		out.failed(err)
	} else if !errors.Is(err, errCut) {
		out.succeeded()
	}
	return got, err
}

// admit returns the endpoint to ask when there may be a request, the context to make it with, and a function that ends it.
func (a *agent) admit(ctx context.Context, out *outage, waits, named bool) (e *endpoint, within context.Context, release func(), err error) {
	for {
		probe, err := out.pass(ctx)
		if err != nil {
			return nil, nil, nil, err
		}
		if err := a.pace.wait(ctx, waits && !named); err != nil {
			return nil, nil, nil, err
		}
		e = a.endpoint()
		if within, release, err = a.conns.admit(ctx, e, waits); err != nil {
			return nil, nil, nil, err
		}
		if probe || !out.lasts() { // it may have begun while we waited for our turn
			return e, within, release, nil
		}
		release()
	}
}

// do makes a request under a deadline: a connection that died in silence must not silence a query for ever.
func (a *agent) do(ctx context.Context, e *endpoint, r request, into any) (reply, error) {
	params, wait := a.params(r)
	limit := min(plainDeadline, a.cfg.Wait+a.cfg.Wait/16+waitGrace)
	if r.after != 0 {
		limit = wait + wait/16 + waitGrace
	}
	ctx, cancel := context.WithTimeoutCause(ctx, limit, errSilent)
	defer cancel()
	began := time.Now()
	if r.after != 0 {
		var cut context.CancelCauseFunc
		ctx, cut = context.WithCancelCause(ctx)
		defer cut(nil)
		ctx = httptrace.WithClientTrace(ctx, onceConnected(func() {
			if time.Since(began) >= leastCutAge {
				cut(errCut) // net/http would try again by itself, beyond our deadline
			}
		}))
	}

	req, err := a.newRequest(ctx, e, r.path, params)
	if err != nil {
		return reply{}, err
	}
	resp, err := e.config.HttpClient.Do(req)
	var got reply
	if err == nil {
		defer resp.Body.Close()
		e.meet(resp)
		got, err = a.read(e, resp, r, into)
	}

	switch {
	case err == nil:
	case errors.Is(context.Cause(ctx), errSilent):
		err = watch.OutageError{Err: fmt.Errorf("%w within %s", errSilent, limit)}
		a.move(e, err)
	case r.after != 0 && (isCut(resp, err) || errors.Is(context.Cause(ctx), errCut)) && a.cuts.note(time.Since(began)):
		return reply{}, errCut
	case resp == nil && errors.Is(err, context.Canceled) && ctx.Err() == nil:
		err = watch.OutageError{Err: errTaken}
	case resp == nil:
		err = watch.OutageError{Err: withoutURL(err)}
		a.move(e, err)
	}
	return got, err
}

// params returns the parameters of a request, and how long it waits.
func (a *agent) params(r request) (params url.Values, wait time.Duration) {
	params = maps.Clone(r.params)
	if params == nil {
		params = url.Values{}
	}
	switch {
	case r.read == consistent:
		params.Set("consistent", "")
	case r.read == leader:
	case a.cfg.MaxStale > 0:
		params.Set("stale", "")
	}
	if r.read == cached {
		params.Set("cached", "")
	}
	if r.after != 0 {
		wait = a.cuts.wait(cmp.Or(r.wait, a.cfg.Wait))
		params.Set("index", strconv.FormatUint(r.after, 10))
		params.Set("wait", strconv.FormatInt(wait.Milliseconds(), 10)+"ms")
	}
	return params, wait
}

// onceConnected has again called when a request that has had a connection gets another: the first was closed before there
// was an answer.
func onceConnected(again func()) *httptrace.ClientTrace {
	connected := false
	return &httptrace.ClientTrace{GotConn: func(httptrace.GotConnInfo) {
		if connected {
			again()
		}
		connected = true
	}}
}

// read decodes a response.
func (a *agent) read(e *endpoint, resp *http.Response, r request, into any) (reply, error) {
	index, _ := strconv.ParseUint(resp.Header.Get("X-Consul-Index"), 10, 64)
	switch status := resp.StatusCode; {
	case status == http.StatusTooManyRequests, status == http.StatusServiceUnavailable && resp.Header.Get("Retry-After") != "":
		a.refused(e, resp.Status, retryAfter(resp.Header))
		return reply{}, complaint(resp)
	case status == http.StatusServiceUnavailable: // from a busy server or, far more often, for one that has gone away
		err := complaint(resp)
		if strings.Contains(err.Error(), "rate limit") {
			a.refused(e, resp.Status, 0)
			return reply{}, err
		}
		return reply{}, watch.OutageError{Err: err}
	case status >= http.StatusInternalServerError:
		return reply{}, watch.OutageError{Err: complaint(resp)}
	case status == http.StatusForbidden:
		return reply{}, deniedError{complaint(resp)}
	case status == http.StatusNotFound && index == 0:
		return reply{}, watch.OutageError{Err: errNoIndex}
	case status != http.StatusOK && status != http.StatusNotFound:
		return reply{}, complaint(resp)
	}
	got, err := a.trust(resp.Header, r)
	if err != nil {
		return got, err
	}
	got.index = index
	if resp.StatusCode == http.StatusNotFound {
		_, err = io.Copy(io.Discard, resp.Body)
		return got, err
	}

	body := a.buffer()
	defer a.release(body)
	if _, err := body.ReadFrom(io.LimitReader(resp.Body, int64(cmp.Or(r.limit, maxAnswer))+1)); err != nil {
		return reply{}, watch.OutageError{Err: fmt.Errorf("read the answer: %w", err)}
	}
	if r.limit > 0 && body.Len() > r.limit {
		return reply{}, errTooLarge
	}
	if err := json.Unmarshal(body.Bytes(), into); err != nil {
		return reply{}, watch.OutageError{Err: errNotJSON}
	}
	got.found, got.bytes = true, body.Len()
	return got, nil
}

// trust returns what the headers of an answer say, or why the answer is no data (R11). A header that is not there says nothing;
// neither does what an agent says of the leader where its answer comes from a stream of changes: it is "false" there at any
// time.
func (a *agent) trust(h http.Header, r request) (reply, error) {
	got := reply{streamed: h.Get("X-Consul-Query-Backend") == "streaming", filtered: h.Get("X-Consul-Results-Filtered-By-ACLs") == "true"}
	if !got.streamed && h.Get("X-Consul-KnownLeader") == "false" {
		return got, watch.OutageError{Err: errNoLeader}
	}
	behind, err := strconv.ParseInt(h.Get("X-Consul-LastContact"), 10, 64)
	if err == nil && !got.streamed && (r.read == stale || r.read == cached) && a.cfg.MaxStale > 0 && time.Duration(behind)*time.Millisecond > a.cfg.MaxStale {
		return got, errTooStale
	}
	return got, nil
}

// A selfDescription is what render wants to know of what an agent says of itself.
type selfDescription struct {
	Config struct {
		NodeName string
		Server   bool
	}
	DebugConfig struct{ HTTPMaxConnsPerClient int }
}

// self returns what the agent says of itself.
func (a *agent) self(ctx context.Context) (selfDescription, error) {
	var answer selfDescription
	_, err := a.get(ctx, request{path: "/v1/agent/self", withoutIndex: true}, &answer)
	return answer, err
}

// complaint is the error of a request that was answered with a status of failure.
func complaint(resp *http.Response) error {
	text := beginning(resp.Body)
	if resp.StatusCode == http.StatusForbidden && strings.Contains(text, "ACL not found") {
		text += " (Consul does not know the token, or not yet; is it the right one?)"
	}
	return fmt.Errorf("answered %s: %s", resp.Status, text)
}

// refused slows all requests down, as Consul asks us to.
func (a *agent) refused(e *endpoint, status string, pause time.Duration) {
	e.limited.Store(true)
	if a.pace.refused(pause) {
		a.conns.fewerWaits()
		a.log.Warn("consul refuses requests: there are too many; render asks less often for a while", "answer", status)
	}
}

// retryAfter returns how long a server asks us to stay away.
func retryAfter(h http.Header) time.Duration {
	text := h.Get("Retry-After")
	if seconds, err := strconv.Atoi(text); err == nil {
		return time.Duration(seconds) * time.Second
	}
	if at, err := http.ParseTime(text); err == nil {
		return time.Until(at)
	}
	return 0
}

const (
	buffersKept = 4
	bufferKept  = 16 << 20 // bytes of the largest
)

// buffer returns an empty buffer: one that was used before, where there is one, so that a large answer does not make it
// grow from nothing each time.
func (a *agent) buffer() *bytes.Buffer {
	select {
	case b := <-a.buffers:
		return b
	default:
		return new(bytes.Buffer)
	}
}

func (a *agent) release(b *bytes.Buffer) {
	b.Reset()
	if b.Cap() > bufferKept {
		return
	}
	select {
	case a.buffers <- b:
	default:
	}
}

func (a *agent) newRequest(ctx context.Context, e *endpoint, path string, params url.Values) (*http.Request, error) {
	url := e.config.Scheme + "://" + e.config.Address + e.config.PathPrefix + path
	if len(params) > 0 {
		url += "?" + params.Encode()
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, withoutURL(err)
	}
	if token := a.token(); token != "" {
		req.Header.Set("X-Consul-Token", token)
	}
	if auth := e.config.HttpAuth; auth != nil {
		req.SetBasicAuth(auth.Username, auth.Password)
	}
	return req, nil
}

const maxComplaint = 300 // bytes of a failed request's answer that an error repeats

// beginning returns the first line or so of an answer, for an error.
func beginning(r io.Reader) string {
	b, _ := io.ReadAll(io.LimitReader(r, maxComplaint))
	return strings.ToValidUTF8(strings.Join(strings.Fields(string(b)), " "), "?")
}

// withoutURL takes the request's URL out of a failed request's error: it repeats what the query says already.
func withoutURL(err error) error {
	if failed, ok := errors.AsType[*url.Error](err); ok {
		return failed.Err
	}
	return err
}
