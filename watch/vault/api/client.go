package api

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"path"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"

	"render/watch"
	"render/watch/hint"
	"render/watch/vault/outage"
)

const maxAnswer = 32 << 20 // bytes; Vault itself accepts no larger request

// A Request is one for Vault's HTTP API.
type Request struct {
	Method  string
	Path    string // without /v1/ and not escaped
	Params  url.Values
	Body    any // JSON, or nil
	Token   string
	Wrapped bool     // Vault may wrap the answer, where the configuration says so
	Hidden  []string // texts that an error must not repeat, beside the token
}

// A Reply is what Vault has answered with a status of success, or with 404 where it says no more than that there is nothing.
type Reply struct {
	Status int
	Body   *Body     // nil where it is empty, as to a write
	Sent   time.Time // the request
}

// IsMissing reports whether there is nothing.
func (r Reply) IsMissing() bool {
	return r.Body == nil || r.Status == http.StatusNotFound && r.Body.Data == nil && r.Body.Auth == nil && r.Body.WrapInfo == nil
}

// A Client makes requests of Vault at one of several addresses. Its methods may be called at the same time.
type Client struct {
	cfg       atomic.Pointer[Config]
	log       *slog.Logger
	endpoints []*endpoint
	queries   func() int // that somebody asks
	limiter   *rate.Limiter
	outage    outage.Outage
	figures   figures

	mu      sync.Mutex    // guards what follows
	current int           // index of the endpoint that is asked
	moves   int           // since one has answered
	slots   chan struct{} // one for each request under way; replaced with the limit
}

// New returns a client, which does not connect yet. Queries returns how many queries depend on it: after an outage their requests are
// spread. Requests go through what through makes of the connections, where that is not nil. The error is that of Config.Check.
func New(cfg Config, queries func() int, through func(connections http.RoundTripper) http.RoundTripper) (*Client, error) {
	all, err := cfg.endpoints(through)
	if err != nil {
		return nil, err
	}
	c := &Client{log: cfg.Log, endpoints: all, queries: queries, limiter: rate.NewLimiter(rate.Inf, 0)}
	c.Change(cfg)
	return c, nil
}

// Change has another configuration apply from now on. It differs in nothing but Timeout, MaxConnections, RateLimit and RateBurst.
func (c *Client) Change(cfg Config) {
	c.cfg.Store(&cfg)
	limit := rate.Inf
	if cfg.RateLimit > 0 {
		limit = rate.Limit(cfg.RateLimit)
	}
	c.limiter.SetBurst(cfg.RateBurst)
	c.limiter.SetLimit(limit)
	c.mu.Lock()
	defer c.mu.Unlock()
	if cap(c.slots) != cfg.MaxConnections {
		c.slots = make(chan struct{}, cfg.MaxConnections)
	}
}

// Close closes connections that are idle. Requests under way end as they do.
func (c *Client) Close() {
	for _, e := range c.endpoints {
		e.client.CloseIdleConnections()
	}
}

// OutageEnds returns a channel that is closed when the outage ends, in which all requests fail; nil without an outage.
func (c *Client) OutageEnds() <-chan struct{} { return c.outage.Ends() }

// Do makes a request when it may be made. Where an address cannot be reached, is sealed or is a standby that does not forward, the next
// is asked: such a request has done nothing. The error is an OutageError where others fail, too; it wraps watch.ErrDenied where the token
// may not.
func (c *Client) Do(ctx context.Context, r Request) (Reply, error) {
	done, err := c.admit(ctx)
	if err != nil {
		return Reply{}, err
	}
	defer done()

	limited, cancel := context.WithTimeout(ctx, c.cfg.Load().Timeout)
	defer cancel()
	ended := c.figures.begin()
	got, err := c.attempts(limited, r)
	ended(err, ctx.Err() != nil && err != nil)
	switch _, away := errors.AsType[watch.OutageError](err); {
	case ctx.Err() != nil && err != nil:
		return Reply{}, ctx.Err()
	case away:
		c.outage.Failed(err)
	default:
		c.outage.Succeeded(c.queries())
	}
	return got, err
}

// admit returns when a request may be made. Its caller calls done when the request has ended.
func (c *Client) admit(ctx context.Context) (done func(), err error) {
	for {
		probe, err := c.outage.Pass(ctx)
		if err != nil {
			return nil, err
		}
		c.mu.Lock()
		slots := c.slots
		c.mu.Unlock()
		select {
		case slots <- struct{}{}:
		case <-ctx.Done():
			probe.End()
			return nil, ctx.Err()
		}
		if probe != nil || !c.outage.Lasts() { // it may have begun while we waited for our turn
			return func() { <-slots; probe.End() }, nil
		}
		<-slots
	}
}

// attempts makes a request of one address after the other.
func (c *Client) attempts(ctx context.Context, r Request) (got Reply, err error) {
	for range c.endpoints {
		if err := c.limiter.Wait(ctx); err != nil {
			return Reply{}, watch.OutageError{Err: fmt.Errorf("vault: the limit of requests a second left no room within %s", c.cfg.Load().Timeout)}
		}
		c.mu.Lock()
		at := c.current
		c.mu.Unlock()
		var untouched bool
		if got, untouched, err = c.once(ctx, c.endpoints[at], r); !untouched {
			c.answered(err)
			return got, err
		}
		c.moveOn(at, err)
	}
	return got, err
}

// answered notes that an address has answered, unless err is that there was no answer.
func (c *Client) answered(err error) {
	if _, away := errors.AsType[watch.OutageError](err); !away {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.moves = 0
	}
}

// moveOn has the next address asked from now on, unless somebody has done that already. While none answers, one round is logged.
func (c *Client) moveOn(from int, why error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.endpoints) == 1 || c.current != from {
		return
	}
	c.current = (from + 1) % len(c.endpoints)
	if c.moves++; c.moves < len(c.endpoints) {
		c.log.Warn("vault unavailable, trying the next address", "from", c.endpoints[from].name, "err", why, "to", c.endpoints[c.current].name)
	}
}

// once makes a request of one address. With untouched another address can be asked: nothing was done.
func (c *Client) once(ctx context.Context, e *endpoint, r Request) (got Reply, untouched bool, err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("vault at %s: %w", e.name, err)
			if _, away := errors.AsType[watch.OutageError](err); away {
				err = watch.OutageError{Err: err}
			}
		}
	}()
	req, err := c.newRequest(ctx, e, r)
	if err != nil {
		return Reply{}, false, err
	}

	began := time.Now()
	resp, err := e.client.Do(req)
	if err != nil {
		err = hint.OfRequest(err)
		if errors.Is(err, context.DeadlineExceeded) {
			err = fmt.Errorf("no answer within %s", c.cfg.Load().Timeout)
		}
		return Reply{}, r.Method == http.MethodGet || isDialing(err), watch.OutageError{Err: err}
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	if err != nil {
		return Reply{}, r.Method == http.MethodGet, watch.OutageError{Err: fmt.Errorf("read the answer: %w", err)}
	}
	c.figures.received(len(text))
	if len(text) > maxAnswer {
		return Reply{}, false, fmt.Errorf("the answer has more than %d MiB", maxAnswer>>20)
	}
	b, err := r.judge(resp, text)
	if err != nil {
		status, ok := errors.AsType[*StatusError](err)
		return Reply{}, ok && (status.Status == http.StatusServiceUnavailable || status.IsStandby()), err
	}
	return Reply{Status: resp.StatusCode, Body: b, Sent: began}, false, nil
}

func (c *Client) newRequest(ctx context.Context, e *endpoint, r Request) (*http.Request, error) {
	var content io.Reader
	if r.Body != nil {
		text, err := json.Marshal(r.Body)
		if err != nil {
			return nil, errors.New("the values to write are not UTF-8")
		}
		content = bytes.NewReader(text)
	}
	u := e.base
	u.Path = path.Join("/", u.Path, "v1", r.Path)
	u.RawQuery = r.Params.Encode()
	req, err := http.NewRequestWithContext(ctx, r.Method, u.String(), content)
	if err != nil {
		return nil, errors.New("the path cannot be part of a URL")
	}
	for name, values := range c.cfg.Load().Headers {
		req.Header[name] = values
	}
	req.Header.Set("X-Vault-Request", "true")
	if c.cfg.Load().Namespace != "" {
		req.Header.Set("X-Vault-Namespace", c.cfg.Load().Namespace)
	}
	if r.Wrapped && c.cfg.Load().WrapTTL != "" {
		req.Header.Set("X-Vault-Wrap-TTL", c.cfg.Load().WrapTTL)
	}
	if r.Token != "" {
		if strings.ContainsFunc(r.Token, func(c rune) bool { return c < ' ' || c > '~' }) {
			return nil, errors.New("the token has characters that cannot be printed")
		}
		req.Header.Set("X-Vault-Token", r.Token)
	}
	return req, nil
}

// A StatusError is an answer with a status of failure.
type StatusError struct {
	Status int
	Path   string        // "" where others fail, too: their errors must not have it
	Texts  []string      // what Vault says, without what is secret
	After  time.Duration // that Vault wants no request for; 0 where it does not say that
}

func (e *StatusError) Error() string {
	text := strconv.Itoa(e.Status)
	if e.Path != "" {
		text = e.Path + ": " + text
	}
	switch {
	case len(e.Texts) > 0:
		text += " " + strings.Join(e.Texts, "; ")
	case http.StatusText(e.Status) != "":
		text += " " + strings.ToLower(http.StatusText(e.Status))
	}
	return text
}

// Unwrap makes a denial known.
func (e *StatusError) Unwrap() error {
	if e.Status == http.StatusForbidden {
		return watch.ErrDenied
	}
	return nil
}

// IsUnmounted reports whether Vault says that nothing is mounted where a path is.
func (e *StatusError) IsUnmounted() bool {
	return e.Status == http.StatusNotFound && (e.Says("no handler for route") || e.Says("route entry not found"))
}

// Says reports whether one of the texts has some words.
func (e *StatusError) Says(words string) bool {
	return strings.Contains(strings.Join(e.Texts, "\n"), words)
}

// IsStandby reports whether a standby answers that there is no active Vault that it could hand the request on to.
func (e *StatusError) IsStandby() bool {
	switch e.Status {
	case 472, 473: // standbys of Vault Enterprise, as load balancers tell them
		return true
	case http.StatusBadRequest, http.StatusInternalServerError:
		return e.Says("node not active") || e.Says("Vault is in standby mode")
	}
	return false
}

// IsUnknown reports whether Vault says that it does not know a token. It also denies requests for want of rights: one of them may be
// that to ask about the token.
func IsUnknown(err error) bool {
	status, ok := errors.AsType[*StatusError](err)
	return ok && status.Status == http.StatusForbidden && (status.Says("invalid token") || status.Says("bad token"))
}

// judge returns the answer, or the error that it stands for.
func (r Request) judge(resp *http.Response, text []byte) (*Body, error) {
	b, err := Parse(text)
	switch status := resp.StatusCode; {
	case err != nil && (status < 300 || status == http.StatusNotFound):
		return nil, watch.OutageError{Err: hint.With(errors.New("the answer is not JSON"), hintOther)}
	case status == http.StatusNotFound && b != nil && len(b.Errors) > 0: // not that a secret is missing
	case status < 300, status == http.StatusNotFound, r.isHealth() && b != nil && b.Errors == nil:
		return b, b.check(r, status)
	}

	e := &StatusError{Status: resp.StatusCode, Path: r.Path}
	if b != nil {
		for _, line := range b.Errors {
			e.Texts = append(e.Texts, r.Redact(line))
		}
	}
	if wait, err := strconv.Atoi(resp.Header.Get("Retry-After")); err == nil {
		e.After = time.Duration(wait) * time.Second
	}
	switch status := e.Status; {
	case status == http.StatusForbidden && r.Token == "" && strings.HasPrefix(r.Path, "auth/"):
		return nil, hint.With(e, "check that Vault has a login at this path")
	case status == http.StatusForbidden && r.Token == "":
		return nil, hint.With(e, "no token is known: set vault.token, VAULT_TOKEN, a token file or a login")
	case IsUnknown(e):
		return nil, hint.With(e, "the token is wrong, revoked or expired: give render another token")
	case e.IsUnmounted():
		return nil, hint.With(e, "nothing is mounted at this path: check the path and the mounts")
	case status != http.StatusBadGateway && status != http.StatusServiceUnavailable && status != http.StatusGatewayTimeout && !e.IsStandby():
		return nil, e
	}
	e.Path = ""
	if e.Status == http.StatusServiceUnavailable && e.Says("sealed") {
		return nil, watch.OutageError{Err: hint.With(e, "unseal Vault")}
	}
	return nil, watch.OutageError{Err: e}
}

// isHealth reports whether Vault answers with data to what it is asked, whatever the status is.
func (r Request) isHealth() bool { return r.Path == "sys/health" }

// Redact takes out of a text what is secret, and makes it one line.
func (r Request) Redact(text string) string {
	var all []string
	for _, hidden := range append([]string{r.Token}, r.Hidden...) {
		if len(hidden) > 2 {
			quoted := strconv.Quote(hidden) // as Go's messages have it
			all = append(all, hidden, quoted[1:len(quoted)-1])
		}
	}
	slices.SortFunc(all, func(a, b string) int { return len(b) - len(a) }) // one may be a part of another
	for _, hidden := range all {
		text = strings.ReplaceAll(text, hidden, "[redacted]")
	}
	return watch.Shorten(strings.Join(strings.Fields(text), " "))
}

// isDialing reports whether there was no connection at all.
func isDialing(err error) bool {
	var op *net.OpError
	return errors.As(err, &op) && op.Op == "dial"
}
