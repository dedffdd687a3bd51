package agent

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/segmentio/encoding/json"

	"render/watch"

	"render/watch/hint"
)

const (
	maxAnswer    = 256 << 20 // bytes of an answer, after decompression
	maxDepth     = 100       // of lists and objects in each other; answers have less than ten
	maxComplaint = 300       // bytes of a failed request's answer that an error repeats
)

// What an answer has too much of.
var (
	errTooStale = errors.New("the answer is older than max_stale allows")
	ErrTooLarge = errors.New("the answer is too large")
)

// A DeniedError is a refusal because of missing rights. It is a watch.ErrDenied.
type DeniedError struct{ Err error }

func (e DeniedError) Error() string { return e.Err.Error() }

func (e DeniedError) Unwrap() []error { return []error{e.Err, watch.ErrDenied} }

// A Reply is what comes with an answer, beside its JSON.
type Reply struct {
	Index    uint64 // 0 where the endpoint has none
	Found    bool   // false: "404 with an index", which means that the name does not exist
	Filtered bool   // the answer lacks what the token may not read
	Streamed bool   // the agent has answered from its stream of changes
	Bytes    int
	Sent     time.Time // when the request was made
	Same     bool      // it has the index of Request.Unless, or the digest of Request.Digest, and was not decoded
	Digest   Digest    // of its text; only where Request.Digest is not nil
}

// read decodes a response, whose body is given apart.
func (a *Agent) read(e *Endpoint, resp *http.Response, body io.Reader, r Request, into any) (Reply, error) {
	if status := resp.StatusCode; status != http.StatusOK && status != http.StatusNotFound {
		return Reply{}, a.failure(e, resp, body)
	}
	index, _ := strconv.ParseUint(resp.Header.Get(a.api.Header+"Index"), 10, 64)
	if index == 0 && (!r.WithoutIndex || resp.StatusCode == http.StatusNotFound) {
		return Reply{}, e.blame(fmt.Errorf("answered %s: %w", resp.Status, a.api.errNoIndex()))
	}
	a.figures.note(a.api, resp.Header)
	got, err := a.trust(resp.Header, r)
	if err != nil {
		return got, err
	}

	got.Index = index
	if r.Unless != 0 && index == r.Unless && resp.StatusCode == http.StatusOK {
		got.Found, got.Same = true, true
		_, err = io.Copy(io.Discard, io.LimitReader(body, maxAnswer))
	} else if resp.StatusCode == http.StatusNotFound {
		_, err = io.Copy(io.Discard, io.LimitReader(body, maxComplaint))
	} else {
		got.Found = true
		err = a.decode(e, resp, body, r, into, &got)
	}
	if err != nil {
		return Reply{}, err
	}
	e.known.Store(true)
	return got, nil
}

// decode decodes the JSON of an answer of at most Request.Limit bytes, unless it has Request.Digest. It notes bytes and digest.
func (a *Agent) decode(e *Endpoint, resp *http.Response, body io.Reader, r Request, into any, got *Reply) error {
	text, limit := a.buffer(), cmp.Or(r.Limit, maxAnswer)
	defer a.release(text)
	if n := resp.ContentLength; n > 0 && n <= int64(limit) {
		text.Grow(int(n) + bytes.MinRead) // doubling a buffer again and again takes three times as much
	}
	if _, err := text.ReadFrom(io.LimitReader(body, int64(limit)+1)); err != nil {
		return watch.OutageError{Err: fmt.Errorf("read the answer: %w", err)}
	}
	got.Bytes = text.Len()
	a.figures.bytes.Add(uint64(got.Bytes))
	if got.Bytes > limit {
		return fmt.Errorf("%w: more than %d bytes", ErrTooLarge, limit)
	}

	if r.Digest != nil {
		got.Digest = sha256.Sum256(text.Bytes())
		if got.Same = got.Digest == *r.Digest; got.Same {
			return nil
		}
	}
	if isDeep(text.Bytes()) || json.Unmarshal(text.Bytes(), into) != nil {
		return e.blame(a.api.errNotJSON())
	}
	return nil
}

// isDeep reports whether JSON has more than maxDepth lists and objects in each other. The decoder calls itself for each of them,
// and a stack that overflows ends the process.
func isDeep(text []byte) bool {
	if bytes.Count(text, []byte("["))+bytes.Count(text, []byte("{")) <= maxDepth {
		return false
	}
	depth := 0
	for i := 0; i < len(text); i++ {
		switch text[i] {
		case '[', '{':
			if depth++; depth > maxDepth {
				return true
			}
		case ']', '}':
			depth--
		case '"':
			i = endOfString(text, i)
		}
	}
	return false
}

// endOfString returns where the string that begins at a quote ends: the place of the other quote, or the end of the text.
func endOfString(text []byte, quote int) int {
	for from := quote + 1; ; {
		n := bytes.IndexByte(text[from:], '"')
		if n < 0 {
			return len(text)
		}
		end, escapes := from+n, 0
		for end-1-escapes > quote && text[end-1-escapes] == '\\' {
			escapes++
		}
		if escapes%2 == 0 {
			return end
		}
		from = end + 1
	}
}

// trust returns what the headers of an answer say, or why the answer is no data (R11). A header that is not there says nothing;
// neither does what an agent says of the leader where its answer comes from a stream of changes: it is "false" there at any
// time.
func (a *Agent) trust(h http.Header, r Request) (Reply, error) {
	got := Reply{Streamed: h.Get(a.api.Header+"Query-Backend") == "streaming", Filtered: h.Get(a.api.Header+"Results-Filtered-By-ACLs") == "true"}
	if !got.Streamed && h.Get(a.api.Header+"KnownLeader") == "false" {
		if r.First && r.Read == Stale {
			a.warnNoLeader(r.Path)
			return got, nil
		}
		return got, watch.OutageError{Err: a.api.errNoLeader()}
	}
	behind, err := strconv.ParseInt(h.Get(a.api.Header+"LastContact"), 10, 64)
	if err == nil && !got.Streamed && (r.Read == Stale || r.Read == Cached) && a.cfg.MaxStale > 0 && time.Duration(behind)*time.Millisecond > a.cfg.MaxStale {
		return got, errTooStale
	}
	return got, nil
}

const noLeaderEvery = time.Minute // between warnings; each of many queries has a first answer

// warnNoLeader warns that an answer may be out of date. The end of the path is the name of a query, which may be secret.
func (a *Agent) warnNoLeader(path string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if now := time.Now(); now.Sub(a.noLeader) >= noLeaderEvery {
		a.noLeader = now
		parts := strings.Split(path, "/") // such as /v1/kv/NAME
		path = strings.Join(parts[:min(3, len(parts))], "/")
		a.log.Warn(a.api.Name+" has no leader; render uses the first answer to a query, which may be out of date", "path", path)
	}
}

// A RefusedError is an answer that there are too many requests.
type RefusedError struct{ Err error }

func (e RefusedError) Error() string { return e.Err.Error() }

func (e RefusedError) Unwrap() error { return e.Err }

// failure returns the error of a response with a status of failure.
func (a *Agent) failure(e *Endpoint, resp *http.Response, body io.Reader) error {
	text := beginning(body)
	err := fmt.Errorf("answered %s: %s", resp.Status, text)
	switch status := resp.StatusCode; {
	case status == http.StatusTooManyRequests, status == http.StatusServiceUnavailable && resp.Header.Get("Retry-After") != "":
		a.refused(e, resp.Status, retryAfter(resp.Header))
		return RefusedError{err}
	case status == http.StatusServiceUnavailable && strings.Contains(text, "rate limit"):
		a.refused(e, resp.Status, 0)
		return RefusedError{err}
	case status == http.StatusBadGateway, status == http.StatusServiceUnavailable, status == http.StatusGatewayTimeout:
		return watch.OutageError{Err: err} // of a proxy whose server has gone away
	case status >= http.StatusInternalServerError && isOutage(text):
		return watch.OutageError{Err: err}
	case status == http.StatusForbidden:
		if strings.Contains(text, "ACL not found") || strings.Contains(text, "ACL token not found") {
			err = hint.Withf(err, "check the token: %s does not know it, or has not replicated it yet", a.api.Title)
		}
		return DeniedError{err}
	case status >= http.StatusMultipleChoices && status < http.StatusBadRequest:
		return e.blame(hint.With(fmt.Errorf("answered %d: redirected to %s", status, redirectHost(resp)), "check that the address is that of "+a.api.Title))
	}
	return err
}

// isOutage reports whether a server says in the text of an error that it cannot answer anybody. What else it says is about one query,
// such as a filter that it cannot parse. A client agent repeats what its server says of a query after "rpc error making call".
func isOutage(text string) bool {
	for _, part := range []string{
		"No cluster leader", "No path to datacenter", "No path to region", "Remote DC has no server", "No known Consul servers", "leadership lost",
		"Not ready to serve consistent reads", "Raft leader not found", "rpc error getting client", "rpc error setting", "rpc error: ",
		"connection refused", "connection reset", "broken pipe", "i/o timeout", "i/o deadline", "keepalive timeout", "EOF", "session shutdown", "stream closed",
	} {
		if strings.Contains(text, part) {
			return true
		}
	}
	return false
}

// redirectHost returns the host that a response redirects to. The path and the query stay out of errors: they may hold secrets.
func redirectHost(resp *http.Response) string {
	to, err := url.Parse(resp.Header.Get("Location"))
	if err != nil || to.Host == "" {
		return "another path"
	}
	return strconv.Quote(to.Host)
}

// beginning returns the first line or so of an answer, for an error.
func beginning(r io.Reader) string {
	b, _ := io.ReadAll(io.LimitReader(r, maxComplaint))
	return strings.ToValidUTF8(strings.Join(strings.Fields(string(b)), " "), "?")
}

// refused slows all requests down, as the server asks us to.
func (a *Agent) refused(e *Endpoint, status string, pause time.Duration) {
	e.limited.Store(true)
	if a.pace.refused(pause) {
		a.conns.fewerWaits()
		a.log.Warn(a.api.Name+" refuses requests, there are too many; render sends fewer requests for a minute", "status", status)
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

// buffer returns an empty buffer. It is a used one where there is one, so that a large answer does not make it grow from nothing
// each time.
func (a *Agent) buffer() *bytes.Buffer {
	select {
	case b := <-a.buffers:
		return b
	default:
		return new(bytes.Buffer)
	}
}

// release keeps a buffer for later, without what it holds: answers have secrets.
func (a *Agent) release(b *bytes.Buffer) {
	if b.Cap() > bufferKept {
		return
	}
	clear(b.Bytes())
	b.Reset()
	select {
	case a.buffers <- b:
	default:
	}
}
