package vault

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

// A request is one for Vault's HTTP API.
type request struct {
	method  string
	path    string // without /v1/ and not escaped
	params  url.Values
	body    any // JSON, or nil
	token   string
	wrapped bool     // Vault may wrap the answer, where the configuration says so
	hidden  []string // texts that an error must not repeat, beside the token
}

// A reply is what Vault has answered with a status of success, or with 404.
type reply struct {
	status int
	body   *body // nil where it is empty
	sent   time.Time
}

// A client makes requests of Vault at one of several addresses. Its methods may be called at the same time.
type client struct {
	cfg       *atomic.Pointer[Config] // the source's
	log       *slog.Logger
	endpoints []*endpoint
	queries   func() int // that somebody asks
	limiter   *rate.Limiter
	outage    outage.Outage
	figures   figures

	mu      sync.Mutex    // guards what follows
	current int           // index of the endpoint that is asked
	slots   chan struct{} // one for each request under way; replaced with the limit
}

func newClient(cfg *atomic.Pointer[Config], queries func() int, through http.RoundTripper) (*client, error) {
	all, err := cfg.Load().endpoints(through)
	if err != nil {
		return nil, err
	}
	c := &client{cfg: cfg, log: cfg.Load().Log, endpoints: all, queries: queries, limiter: rate.NewLimiter(rate.Inf, 0)}
	c.limit()
	return c, nil
}

// limit has the limits of the configuration apply from now on.
func (c *client) limit() {
	cfg := c.cfg.Load()
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

func (c *client) close() {
	for _, e := range c.endpoints {
		e.client.CloseIdleConnections()
	}
}

// do makes a request when it may be made. Where an address cannot be reached, is sealed or is a standby that does not forward, the next
// is asked: such a request has done nothing. The error is an OutageError where others fail, too; it wraps watch.ErrDenied where the token
// may not.
func (c *client) do(ctx context.Context, r request) (reply, error) {
	done, err := c.admit(ctx)
	if err != nil {
		return reply{}, err
	}
	defer done()

	limited, cancel := context.WithTimeout(ctx, c.cfg.Load().Timeout)
	defer cancel()
	ended := c.figures.begin()
	got, err := c.attempts(limited, r)
	ended(err, ctx.Err() != nil && err != nil)
	switch _, away := errors.AsType[watch.OutageError](err); {
	case ctx.Err() != nil && err != nil:
		return reply{}, ctx.Err()
	case away:
		c.outage.Failed(err)
	default:
		c.outage.Succeeded(c.queries())
	}
	return got, err
}

// admit returns when a request may be made. Its caller calls done when the request has ended.
func (c *client) admit(ctx context.Context) (done func(), err error) {
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
func (c *client) attempts(ctx context.Context, r request) (got reply, err error) {
	for range c.endpoints {
		if err := c.limiter.Wait(ctx); err != nil {
			return reply{}, watch.OutageError{Err: fmt.Errorf("vault: the limit of requests a second left no room within %s", c.cfg.Load().Timeout)}
		}
		c.mu.Lock()
		at := c.current
		c.mu.Unlock()
		var untouched bool
		if got, untouched, err = c.once(ctx, c.endpoints[at], r); !untouched {
			return got, err
		}
		c.moveOn(at, err)
	}
	return got, err
}

// moveOn has the next address asked from now on, unless somebody has done that already.
func (c *client) moveOn(from int, why error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.endpoints) == 1 || c.current != from {
		return
	}
	c.current = (from + 1) % len(c.endpoints)
	c.log.Warn("vault unavailable, trying the next address", "from", c.endpoints[from].name, "err", why, "to", c.endpoints[c.current].name)
}

// once makes a request of one address. With untouched another address can be asked: nothing was done.
func (c *client) once(ctx context.Context, e *endpoint, r request) (got reply, untouched bool, err error) {
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
		return reply{}, false, err
	}

	began := time.Now()
	resp, err := e.client.Do(req)
	if err != nil {
		err = hint.OfRequest(err)
		if errors.Is(err, context.DeadlineExceeded) {
			err = fmt.Errorf("no answer within %s", c.cfg.Load().Timeout)
		}
		return reply{}, r.method == http.MethodGet || isDialing(err), watch.OutageError{Err: err}
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	if err != nil {
		return reply{}, r.method == http.MethodGet, watch.OutageError{Err: fmt.Errorf("read the answer: %w", err)}
	}
	c.figures.received(len(text))
	if len(text) > maxAnswer {
		return reply{}, false, fmt.Errorf("the answer has more than %d MiB", maxAnswer>>20)
	}
	b, err := r.judge(resp, text)
	if err != nil {
		status, ok := errors.AsType[*statusError](err)
		return reply{}, ok && (status.status == http.StatusServiceUnavailable || status.isStandby()), err
	}
	return reply{status: resp.StatusCode, body: b, sent: began}, false, nil
}

func (c *client) newRequest(ctx context.Context, e *endpoint, r request) (*http.Request, error) {
	var content io.Reader
	if r.body != nil {
		text, err := json.Marshal(r.body)
		if err != nil {
			return nil, errors.New("the values to write are not UTF-8")
		}
		content = bytes.NewReader(text)
	}
	u := e.base
	u.Path = path.Join("/", u.Path, "v1", r.path)
	u.RawQuery = r.params.Encode()
	req, err := http.NewRequestWithContext(ctx, r.method, u.String(), content)
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
	if r.wrapped && c.cfg.Load().WrapTTL != "" {
		req.Header.Set("X-Vault-Wrap-TTL", c.cfg.Load().WrapTTL)
	}
	if r.token != "" {
		if strings.ContainsFunc(r.token, func(c rune) bool { return c < ' ' || c > '~' }) {
			return nil, errors.New("the token has characters that cannot be printed")
		}
		req.Header.Set("X-Vault-Token", r.token)
	}
	return req, nil
}

// A statusError is an answer with a status of failure.
type statusError struct {
	status int
	path   string   // "" where others fail, too: their errors must not have it
	texts  []string // what Vault says, without what is secret
	after  time.Duration
}

func (e *statusError) Error() string {
	text := strconv.Itoa(e.status)
	if e.path != "" {
		text = e.path + ": " + text
	}
	switch {
	case len(e.texts) > 0:
		text += " " + strings.Join(e.texts, "; ")
	case http.StatusText(e.status) != "":
		text += " " + strings.ToLower(http.StatusText(e.status))
	}
	return text
}

// Unwrap makes a denial known.
func (e *statusError) Unwrap() error {
	if e.status == http.StatusForbidden {
		return watch.ErrDenied
	}
	return nil
}

// says reports whether one of the texts has some words.
func (e *statusError) says(words string) bool {
	return strings.Contains(strings.Join(e.texts, "\n"), words)
}

// isStandby reports whether a standby answers that there is no active Vault that it could hand the request on to.
func (e *statusError) isStandby() bool {
	switch e.status {
	case 472, 473: // standbys of Vault Enterprise, as load balancers tell them
		return true
	case http.StatusBadRequest, http.StatusInternalServerError:
		return e.says("node not active") || e.says("Vault is in standby mode")
	}
	return false
}

// judge returns the answer, or the error that it stands for.
func (r request) judge(resp *http.Response, text []byte) (*body, error) {
	b, err := parse(text)
	switch status := resp.StatusCode; {
	case err != nil && (status < 300 || status == http.StatusNotFound):
		return nil, watch.OutageError{Err: errors.New("the answer is not JSON; is this Vault?")}
	case status < 300, status == http.StatusNotFound, r.isHealth() && b != nil && b.Errors == nil:
		return b, nil
	}

	e := &statusError{status: resp.StatusCode, path: r.path}
	if b != nil {
		for _, line := range b.Errors {
			e.texts = append(e.texts, r.redact(line))
		}
	}
	if wait, err := strconv.Atoi(resp.Header.Get("Retry-After")); err == nil {
		e.after = time.Duration(wait) * time.Second
	}
	switch status := e.status; {
	case status == http.StatusForbidden && r.token == "" && strings.HasPrefix(r.path, "auth/"):
		return nil, hint.With(e, "check that Vault has a login at this path")
	case status == http.StatusForbidden && r.token == "":
		return nil, hint.With(e, "no token is known: set vault.token, VAULT_TOKEN, a token file or a login")
	case isUnknown(e):
		return nil, hint.With(e, "the token is wrong, revoked or expired: give render another token")
	case status != http.StatusBadGateway && status != http.StatusServiceUnavailable && status != http.StatusGatewayTimeout && !e.isStandby():
		return nil, e
	}
	e.path = ""
	if e.status == http.StatusServiceUnavailable && e.says("sealed") {
		return nil, watch.OutageError{Err: hint.With(e, "unseal Vault")}
	}
	return nil, watch.OutageError{Err: e}
}

// isHealth reports whether Vault answers with data to what it is asked, whatever the status is.
func (r request) isHealth() bool { return r.path == "sys/health" }

// redact takes out of a text what is secret, and makes it one line.
func (r request) redact(text string) string {
	var all []string
	for _, hidden := range append([]string{r.token}, r.hidden...) {
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
