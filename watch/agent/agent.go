package agent

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http/httptrace"
	"net/url"
	"strings"
	"sync"
	"time"

	"render/watch"
	"render/watch/hint"
)

var (
	errTaken = errors.New("the connection was closed for another request") // by net/http, where that is given up as its answer comes
	errCut   = errors.New("a waiting request was cut off")
)

// An Agent is the HTTP API of Consul or Nomad at one of several addresses. It keeps what all requests share: credentials, connections,
// the rate of requests, outages. Its methods may be called at the same time.
type Agent struct {
	api       API
	cfg       Config
	dial      Dial
	addresses []string
	log       *slog.Logger

	conns   *connections
	pace    *pace
	cuts    cuts
	buffers chan *bytes.Buffer
	figures figures
	moved   func() // as New takes it

	mu        sync.Mutex  // guards what follows
	endpoints []*Endpoint // of the addresses
	at        int         // index of the current one
	current   *Endpoint
	movedAt   time.Time // zero: never
	moves     int       // since an address has answered
	since     *Epoch
	creds     credentials
	outages   map[string]*outage // by place
	noLeader  time.Time          // of the last warning that there is no leader
}

// New returns an agent that has not connected yet. Dial opens its connections, and Config.Transport.Dial is the usual one. The agent calls
// moved when it goes on to another address after one that has answered: the indexes of all answers are void then. An error means that an
// address, a token file, a TLS setting or a number cannot be used.
func New(of API, cfg Config, dial Dial, moved func()) (*Agent, error) {
	cfg = cfg.withDefaults(of.Environment())
	if err := cfg.validate(of); err != nil {
		return nil, fmt.Errorf("%s: %w", of.Name, err)
	}
	a := &Agent{
		api:     of,
		cfg:     cfg,
		dial:    dial,
		log:     cfg.Log,
		conns:   newConnections(cmp.Or(cfg.MaxConnections, of.Connections)),
		pace:    newPace(cfg.MaxRequests),
		cuts:    cuts{name: of.Name, log: cfg.Log},
		buffers: make(chan *bytes.Buffer, buffersKept),
		moved:   moved,
		since:   newEpoch(),
		outages: make(map[string]*outage),
	}
	for address := range strings.SplitSeq(cfg.Address, ",") {
		a.addresses = append(a.addresses, strings.TrimSpace(address))
	}

	var err error
	if a.endpoints, err = a.connect(); err != nil {
		return nil, err
	}
	a.current = a.endpoints[0]
	a.creds = newCredentials(cfg, a.current)
	return a, a.creds.readToken()
}

// Config returns the configuration, with nothing left empty that has a default.
func (a *Agent) Config() Config { return a.cfg }

// connect returns an endpoint for each address.
func (a *Agent) connect() ([]*Endpoint, error) {
	var all []*Endpoint
	for _, address := range a.addresses {
		e, err := a.cfg.connect(a.api, address, a.dial, a.conns.most())
		if err != nil {
			return nil, err
		}
		all = append(all, e)
	}
	return all, nil
}

// Close closes the connections that no request uses.
func (a *Agent) Close() { a.Endpoint().config.HttpClient.CloseIdleConnections() }

// HasToken reports whether requests carry a token.
func (a *Agent) HasToken() bool { return a.token() != "" }

// Get makes a request when it may be made, and decodes the JSON of its answer. The package's documentation lists the kinds of errors.
//
// It is here, and not the own functions of consul/api or nomad/api, because those decode
// with a json.Decoder, which reads everything twice: a tree of 10,000 keys took five times as long. They also hide what
// connections, refusals and "404 with an index" need. What says how to talk to a server (TLS, proxy) stays with consul/api.
func (a *Agent) Get(ctx context.Context, r Request, into any) (Reply, error) {
	a.refreshCredentials(ctx, time.Now().Add(-credentialsEvery))
	token := a.token()
	got, err := a.admitted(ctx, r, into)
	if errors.Is(err, errCut) { // whatever has cut it off may have no server behind it: only a plain read shows that
		r.After = 0
		got, err = a.admitted(ctx, r, into)
	}
	switch {
	case errors.Is(err, watch.ErrDenied) && a.renewToken(ctx, token):
		return a.admitted(ctx, r, into)
	case errors.Is(err, errTooStale):
		a.Endpoint().preferLeader()
		r.After = 0
		return a.admitted(ctx, r, into)
	}
	return got, err
}

// admitted makes one request, when there may be one.
func (a *Agent) admitted(ctx context.Context, r Request, into any) (got Reply, err error) {
	out := a.outageOf(a.elsewhere(r))
	admission, err := a.admit(ctx, out, r)
	if err != nil {
		return Reply{}, err
	}
	e, began := admission.endpoint, time.Now()
	defer func() {
		got.Sent = began
		a.conns.releaseAfter(ctx, e, r.After != 0, began.Add(cmp.Or(r.Wait, a.cfg.Wait)*17/16), admission.release)
	}()

	end := a.figures.begin(r.After != 0)
	got, err = a.attempts(admission, r, into)
	end(err, ctx.Err() != nil)
	if ctx.Err() != nil {
		return Reply{}, ctx.Err()
	}
	if err != nil {
		err = fmt.Errorf("%s at %s: %w", a.api.Name, e.address, err)
	}
	if _, bad := errors.AsType[watch.OutageError](err); bad {
		out.failed(err)
	} else if !errors.Is(err, errCut) {
		out.succeeded(!isLocal(e.config.Address))
	}
	return got, err
}

// An admission is what a request that may be made is made with.
type admission struct {
	endpoint *Endpoint
	ctx      context.Context
	release  func() // must be called when the request has ended
	probe    *probe // nil where the request is not a probe
}

// admit returns when a request may be made.
func (a *Agent) admit(ctx context.Context, out *outage, r Request) (admission, error) {
	for {
		probe, err := out.pass(ctx, r.After != 0)
		if err != nil {
			return admission{}, err
		}
		got, err := a.queue(ctx, r)
		if err != nil {
			probe.end()
			return admission{}, err
		}
		if probe != nil || !out.lasts() { // it may have begun while we waited for our turn
			return admission{got.endpoint, got.ctx, func() { got.release(); probe.end() }, probe}, nil
		}
		got.release()
	}
}

// queue is admit without regard to outages.
func (a *Agent) queue(ctx context.Context, r Request) (admission, error) {
	back := func() {}
	if r.Bound != nil {
		if err := r.Bound.Acquire(ctx, 1); err != nil {
			return admission{}, err
		}
		back = func() { r.Bound.Release(1) }
	}
	if err := a.pace.wait(ctx, r.After != 0 && !r.Named); err != nil {
		back()
		return admission{}, err
	}
	e := a.Endpoint()
	within, free, err := a.conns.admit(ctx, e, r.After != 0)
	if err != nil {
		back()
		return admission{}, err
	}
	return admission{endpoint: e, ctx: within, release: func() { free(); back() }}, nil
}

// attempts makes a request, and where it was lost on its way once more.
func (a *Agent) attempts(at admission, r Request, into any) (got Reply, err error) {
	ctx, e := at.ctx, at.endpoint
	if e.prefersLeader() && (r.Read == Stale || r.Read == Cached) {
		r.Read = Leader
	}
	params, wait := a.params(r)
	var limits []time.Duration
	switch {
	case r.After != 0:
		limits = []time.Duration{wait + wait/16 + waitGrace}
	case a.elsewhere(r) != "":
		limits = []time.Duration{plainDeadline} // servers there may take long to reach
	case at.probe != nil:
		limits = []time.Duration{at.probe.deadline()}
	default:
		limits = e.latency.deadlines()
	}

	taken := false
	for i := 0; i < len(limits); i++ {
		got, err = a.do(ctx, e, r, params, limits[i], i == len(limits)-1, into)
		switch {
		case errors.Is(err, errTaken) && !taken:
			taken = true
			i--
		case !errors.Is(err, errSilent) || ctx.Err() != nil || a.Endpoint() != e:
			return got, err
		}
	}
	return got, err
}

// do makes a request once. Its answer has to begin within a limit. Last says that there is no further attempt.
func (a *Agent) do(ctx context.Context, e *Endpoint, r Request, params url.Values, limit time.Duration, last bool, into any) (Reply, error) {
	ctx, deadline := withDeadline(ctx, limit)
	defer deadline.stop()
	began, connections := time.Now(), 0
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{GotConn: func(httptrace.GotConnInfo) {
		if connections++; connections > 1 && r.After != 0 && time.Since(began) >= leastCutAge {
			deadline.end(errCut) // net/http would try again by itself, beyond our deadline
		}
	}})

	req, err := a.newRequest(ctx, e, r.Path, params)
	if err != nil {
		return Reply{}, err
	}
	resp, err := e.config.HttpClient.Do(req)
	var got Reply
	if err == nil {
		defer resp.Body.Close()
		e.meet(resp)
		if r.After == 0 && a.elsewhere(r) == "" {
			e.latency.note(time.Since(began))
		}
		got, err = a.read(e, resp, deadline.watch(resp.Body), r, into)
	}

	switch cause := context.Cause(ctx); {
	case err == nil:
	case errors.Is(cause, errStalled):
		err = watch.OutageError{Err: errStalled}
	case errors.Is(cause, errSilent):
		err = watch.OutageError{Err: fmt.Errorf("%w within %s", errSilent, limit)}
		if last || connections == 0 {
			a.unanswered(e, r, began, connections > 0, err)
		}
	case r.After != 0 && (isCut(resp, err) || errors.Is(cause, errCut)) && a.cuts.note(time.Since(began)):
		return Reply{}, errCut
	case resp == nil && errors.Is(err, context.Canceled) && ctx.Err() == nil:
		err = watch.OutageError{Err: errTaken}
	case resp == nil && ctx.Err() == nil:
		err = watch.OutageError{Err: hint.OfRequest(err)}
		a.unanswered(e, r, began, connections > 0, err)
	}
	return got, err
}
