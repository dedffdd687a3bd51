package consul

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"strconv"
	"strings"
	"time"

	"render/watch"

	"github.com/segmentio/encoding/json"
)

const (
	plainDeadline = 30 * time.Second // for an answer that was not asked to wait
	waitGrace     = 5 * time.Second  // beyond the wait, and the sixteenth of it that Consul may add
)

var (
	errNoIndex  = errors.New("answered 404 without Consul's index header; is this the address of Consul, and its path prefix right?")
	errNotJSON  = errors.New("answered what is not the JSON that Consul gives; is this the address of Consul?")
	errNoLeader = errors.New("has no leader: its answer may be out of date")
	errTooStale = errors.New("the answer is older than the stale reads that are allowed")
	errFiltered = errors.New("left out of its answer what the token may not read")
	errSilent   = errors.New("no answer")
	errTaken    = errors.New("the connection was closed for another request") // by net/http, where that is given up as its answer comes
	errCut      = errors.New("a waiting request was cut off")
)

// A deniedError is a refusal because of missing rights.
type deniedError struct{ error }

func (e deniedError) Unwrap() []error { return []error{e.error, watch.ErrDenied} }

// get asks an endpoint of Consul's HTTP API and decodes the JSON of its answer. It is here, and not consul/api's own
// functions, because those decode with a json.Decoder, which reads everything twice: a tree of 10,000 keys took five
// times as long. What says where Consul is and how to talk to it (address, TLS, proxy) stays with consul/api.
//
// An answer "404 with an index" means that there is none: then found is false. The index comes with errFiltered, too.
func (c *Source) get(ctx context.Context, path string, params url.Values, into any) (index uint64, found bool, err error) {
	token := c.token()
	index, found, err = c.request(ctx, path, params, into)
	switch {
	case errors.Is(err, watch.ErrDenied) && c.renewToken(token):
		return c.request(ctx, path, params, into)
	case errors.Is(err, errTooStale):
		params = maps.Clone(params)
		params.Del("stale")
		params.Del("index")
		return c.request(ctx, path, params, into)
	}
	return index, found, err
}

// request makes one request, when there may be one.
func (c *Source) request(ctx context.Context, path string, params url.Values, into any) (index uint64, found bool, err error) {
	out := c.outageOf(params.Get(watch.OptDatacenter))
	var e *endpoint
	var within context.Context
	var release func()
	for {
		var probe bool
		if probe, err = out.pass(ctx); err != nil {
			return 0, false, err
		}
		if e, within, release, err = c.admit(ctx, params.Has("index")); err != nil {
			return 0, false, err
		}
		if probe || !out.lasts() { // it may have begun while we waited for our turn
			break
		}
		release()
	}
	defer c.afterWait(ctx, e, params.Has("index"), time.Now(), release)
	index, found, err = c.do(within, e, path, params, into)
	if errors.Is(err, errTaken) {
		index, found, err = c.do(within, e, path, params, into)
	}
	if ctx.Err() != nil {
		return 0, false, ctx.Err()
	}
	if err != nil {
		err = fmt.Errorf("consul at %s: %w", e.address, err)
	}
	if _, bad := errors.AsType[watch.OutageError](err); bad {
		out.failed(err)
	} else if !errors.Is(err, errCut) {
		out.succeeded()
	}
	return index, found, err
}

// do makes a request under a deadline: a connection that died in silence must not silence a query for ever.
func (c *Source) do(ctx context.Context, e *endpoint, path string, params url.Values, into any) (index uint64, found bool, err error) {
	limit := min(plainDeadline, c.cfg.Wait+c.cfg.Wait/16+waitGrace)
	waits := params.Has("index")
	if waits {
		wait := c.nextWait()
		params = maps.Clone(params)
		params.Set("wait", strconv.FormatInt(wait.Milliseconds(), 10)+"ms")
		limit = wait + wait/16 + waitGrace
	}
	ctx, cancel := context.WithTimeoutCause(ctx, limit, errSilent)
	defer cancel()
	began := time.Now()
	if waits {
		var cut context.CancelCauseFunc
		ctx, cut = context.WithCancelCause(ctx)
		defer cut(nil)
		ctx = httptrace.WithClientTrace(ctx, onceConnected(func() {
			if time.Since(began) >= leastCutAge {
				cut(errCut) // net/http would try again by itself, beyond our deadline
			}
		}))
	}
	req, err := c.newRequest(ctx, e, path, params)
	if err != nil {
		return 0, false, err
	}
	resp, err := e.config.HttpClient.Do(req)
	if err == nil {
		defer resp.Body.Close()
		e.meet(resp)
		index, found, err = c.read(resp, params, into)
	}
	switch {
	case err == nil:
	case errors.Is(context.Cause(ctx), errSilent):
		err = watch.OutageError{Err: fmt.Errorf("%w within %s", errSilent, limit)}
		c.move(e, err)
	case waits && (isCut(resp, err) || errors.Is(context.Cause(ctx), errCut)) && c.cuts.note(time.Since(began)):
		return 0, false, errCut
	case resp == nil && errors.Is(err, context.Canceled) && ctx.Err() == nil:
		err = watch.OutageError{Err: errTaken}
	case resp == nil:
		c.cuts.forget() // Consul ends: that is why requests were cut off
		err = watch.OutageError{Err: withoutURL(err)}
		c.move(e, err)
	}
	return index, found, err
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
func (c *Source) read(resp *http.Response, params url.Values, into any) (index uint64, found bool, err error) {
	index, _ = strconv.ParseUint(resp.Header.Get("X-Consul-Index"), 10, 64)
	switch status := resp.StatusCode; {
	case status == http.StatusTooManyRequests, status == http.StatusServiceUnavailable && resp.Header.Get("Retry-After") != "":
		c.refused(resp.Status, retryAfter(resp.Header))
		return 0, false, complaint(resp)
	case status == http.StatusServiceUnavailable: // from a busy server or, far more often, for one that has gone away
		err := complaint(resp)
		if strings.Contains(err.Error(), "rate limit") {
			c.refused(resp.Status, 0)
			return 0, false, err
		}
		return 0, false, watch.OutageError{Err: err}
	case status >= http.StatusInternalServerError:
		return 0, false, watch.OutageError{Err: complaint(resp)}
	case status == http.StatusForbidden:
		return 0, false, deniedError{complaint(resp)}
	case status == http.StatusNotFound && index == 0:
		return 0, false, watch.OutageError{Err: errNoIndex}
	case status != http.StatusOK && status != http.StatusNotFound:
		return 0, false, complaint(resp)
	}
	if err := c.trust(resp.Header, params); err != nil {
		return index, false, err
	}
	if resp.StatusCode == http.StatusNotFound {
		_, err = io.Copy(io.Discard, resp.Body)
		return index, false, err
	}
	body := c.buffer()
	defer c.release(body)
	if _, err := body.ReadFrom(resp.Body); err != nil {
		return 0, false, watch.OutageError{Err: fmt.Errorf("read the answer: %w", err)}
	}
	if err := json.Unmarshal(body.Bytes(), into); err != nil {
		return 0, false, watch.OutageError{Err: errNotJSON}
	}
	return index, true, nil
}

// trust returns why an answer is no data (R11). A header that is not there says nothing; neither does what an agent says
// of the leader where its answer comes from a stream of changes: it is "false" there at any time.
func (c *Source) trust(h http.Header, params url.Values) error {
	streamed := h.Get("X-Consul-Query-Backend") == "streaming"
	if !streamed && h.Get("X-Consul-KnownLeader") == "false" {
		return watch.OutageError{Err: errNoLeader}
	}
	if behind, err := strconv.ParseInt(h.Get("X-Consul-LastContact"), 10, 64); err == nil && !streamed && params.Has("stale") &&
		time.Duration(behind)*time.Millisecond > c.cfg.MaxStale {
		return errTooStale
	}
	if h.Get("X-Consul-Results-Filtered-By-ACLs") == "true" {
		return errFiltered
	}
	return nil
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
func (c *Source) refused(status string, delay time.Duration) {
	if c.pace.refused(delay) {
		c.fewerPolls()
		c.log.Warn("consul refuses requests: there are too many; render asks less often for a while", "answer", status)
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
func (c *Source) buffer() *bytes.Buffer {
	select {
	case b := <-c.buffers:
		return b
	default:
		return new(bytes.Buffer)
	}
}

func (c *Source) release(b *bytes.Buffer) {
	b.Reset()
	if b.Cap() > bufferKept {
		return
	}
	select {
	case c.buffers <- b:
	default:
	}
}

func (c *Source) newRequest(ctx context.Context, e *endpoint, path string, params url.Values) (*http.Request, error) {
	url := e.config.Scheme + "://" + e.config.Address + e.config.PathPrefix + path
	if len(params) > 0 {
		url += "?" + params.Encode()
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, withoutURL(err)
	}
	if token := c.token(); token != "" {
		req.Header.Set("X-Consul-Token", token)
	}
	if auth := e.config.HttpAuth; auth != nil {
		req.SetBasicAuth(auth.Username, auth.Password)
	}
	return req, nil
}

// params returns the parameters of a request for a query.
func (c *Source) params(opts url.Values) url.Values {
	params := url.Values{}
	set := func(name, value string) {
		if value != "" {
			params.Set(name, value)
		}
	}
	for _, name := range []string{watch.OptDatacenter, watch.OptNear, watch.OptPeer, watch.OptSamenessGroup, watch.OptFilter} {
		set(name, opts.Get(name))
	}
	set(watch.OptNamespace, cmp.Or(opts.Get(watch.OptNamespace), c.namespace))
	set(watch.OptPartition, cmp.Or(opts.Get(watch.OptPartition), c.partition))
	return params
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

// withoutPassword returns an address as logs and errors may show it, also one that is no URL. What comes after a ? may be a token.
func withoutPassword(address string) string {
	scheme, rest, found := strings.Cut(address, "://")
	if !found {
		scheme, rest = "", address
	} else {
		scheme += "://"
	}
	at := strings.LastIndex(rest, "@") + 1
	login, host := rest[:at], rest[at:]
	if user, _, found := strings.Cut(login, ":"); found {
		login = user + ":xxxxx@"
	}
	if before, _, found := strings.Cut(host, "?"); found {
		host = before + "?xxxxx"
	}
	return scheme + login + host
}

// isLocal reports whether an address is on this machine, where compression costs more than it saves.
func isLocal(address string) bool {
	if strings.HasPrefix(address, "unix://") {
		return true
	}
	if _, rest, ok := strings.Cut(address, "://"); ok {
		address = rest
	}
	host, _, _ := strings.Cut(address, "/")
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	ip := net.ParseIP(strings.Trim(host, "[]"))
	return host == "localhost" || ip != nil && ip.IsLoopback()
}
