package consul

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"strconv"
	"time"
	"unicode"

	"render/watch"
)

// A consistency says which servers may answer.
type consistency int

const (
	stale      consistency = iota // any, up to Config.MaxStale behind the leader; the leader where that is negative
	cached                        // the same, or the agent from its cache, which a stream of changes keeps fresh
	consistent                    // the leader, after it has made sure that it still leads
	leader                        // the leader, without making sure
)

// A request is one request of Consul's HTTP API.
type request struct {
	path   string
	params url.Values // without those that follow from the other fields
	read   consistency
	after  uint64        // where not 0: wait until the index differs
	wait   time.Duration // the longest such wait; 0 means Config.Wait. Up to a quarter less is asked for
	named  bool          // it waits for a change that has been reported: it goes ahead of other requests that wait
	unless uint64        // where not 0: an answer with this index is not decoded
	limit  int           // bytes of an answer; 0 means maxAnswer
	turns  chan struct{} // where not nil: at most as many requests at a time as the channel has room for

	withoutIndex bool // the endpoint has no index
	first        bool // the query has no answer yet: an answer without a known leader is better than none
}

// datacenter returns the datacenter that answers; "" means the agent's own.
func (r request) datacenter() string { return r.params.Get(watch.OptDatacenter) }

// params returns the parameters of a request, and how long it waits.
func (a *agent) params(r request) (params url.Values, wait time.Duration) {
	params = maps.Clone(r.params)
	if params == nil {
		params = url.Values{}
	}
	switch {
	case r.withoutIndex, r.read == leader:
	case r.read == consistent:
		params.Set("consistent", "")
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

// newRequest returns the HTTP request for a path and parameters, with the credentials.
func (a *agent) newRequest(ctx context.Context, e *endpoint, path string, params url.Values) (*http.Request, error) {
	url := e.config.Scheme + "://" + e.config.Address + e.config.PathPrefix + path
	if len(params) > 0 {
		url += "?" + params.Encode()
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, withoutURL(err)
	}
	req.Header.Set("User-Agent", a.cfg.UserAgent)
	if token := a.token(); token != "" {
		req.Header.Set("X-Consul-Token", token)
	}
	if auth := e.config.HttpAuth; auth != nil {
		req.SetBasicAuth(auth.Username, auth.Password)
	}
	return req, nil
}

// withoutURL returns the error of a failed request without the request's URL. The caller names the query and the address.
func withoutURL(err error) error {
	if failed, ok := errors.AsType[*url.Error](err); ok {
		return failed.Err
	}
	return err
}

// checkPrintable returns an error where Consul answers no request for a name: it has a character that is not printable.
func checkPrintable(name string) error {
	for at, c := range name {
		if !unicode.IsPrint(c) {
			return fmt.Errorf("consul answers no request for a name that is not printable: byte %d of the name is %q", at, c)
		}
	}
	return nil
}
