package agent

import (
	"cmp"
	"context"
	"crypto/sha256"
	"maps"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"golang.org/x/sync/semaphore"

	"render/watch/hint"
)

// A Consistency says which servers may answer.
type Consistency int

// Who may answer a request.
const (
	Stale      Consistency = iota // any, up to Config.MaxStale behind the leader; the leader where that is negative
	Cached                        // the same, or the agent from its cache, which a stream of changes keeps fresh
	Consistent                    // the leader, after it has made sure that it still leads
	Leader                        // the leader, without making sure
)

// A Request is one request of an HTTP API.
type Request struct {
	Path   string     // escaped
	Params url.Values // without those that follow from the other fields
	Read   Consistency
	After  uint64              // where not 0: wait until the index differs
	Wait   time.Duration       // at most so long; 0 means Config.Wait. Up to a quarter less is requested
	Named  bool                // it waits for a change that has been reported: it goes ahead of other requests that wait
	Unless uint64              // where not 0: an answer with this index is not decoded
	Digest *Digest             // where not nil: an answer with this digest is not decoded, and Reply.Digest is set
	Limit  int                 // bytes of an answer; 0 means 256 MiB
	Bound  *semaphore.Weighted // where not nil: at most so many requests with it are made at a time

	WithoutIndex bool // the endpoint has no index
	First        bool // the query has no answer yet: an answer without a known leader is better than none
}

// A Digest is a hash of the text of an answer. The zero value is that of no answer.
type Digest [sha256.Size]byte

// elsewhere returns the place whose servers answer a request; "" means the agent's own.
func (a *Agent) elsewhere(r Request) string {
	if place := r.Params.Get(a.api.Elsewhere); place != a.api.Home {
		return place
	}
	return ""
}

// params returns the parameters of a request, and how long it waits.
func (a *Agent) params(r Request) (params url.Values, wait time.Duration) {
	params = maps.Clone(r.Params)
	if params == nil {
		params = url.Values{}
	}
	switch {
	case r.WithoutIndex, r.Read == Leader:
	case r.Read == Consistent:
		params.Set("consistent", "")
	case a.cfg.MaxStale > 0:
		params.Set("stale", "")
	}
	if r.Read == Cached {
		params.Set("cached", "")
	}
	if r.After != 0 {
		wait = a.cuts.wait(cmp.Or(r.Wait, a.cfg.Wait))
		params.Set("index", strconv.FormatUint(r.After, 10))
		params.Set("wait", strconv.FormatInt(wait.Milliseconds(), 10)+"ms")
	}
	return params, wait
}

// newRequest returns the HTTP request for a path and parameters, with the credentials.
func (a *Agent) newRequest(ctx context.Context, e *Endpoint, path string, params url.Values) (*http.Request, error) {
	url := e.config.Scheme + "://" + e.config.Address + e.config.PathPrefix + path
	if len(params) > 0 {
		url += "?" + params.Encode()
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, hint.OfRequest(err)
	}
	req.Header.Set("User-Agent", a.cfg.UserAgent)
	if token := a.token(); token != "" {
		req.Header.Set(a.api.Header+"Token", token)
	}
	if auth := e.config.HttpAuth; auth != nil {
		req.SetBasicAuth(auth.Username, auth.Password)
	}
	return req, nil
}
