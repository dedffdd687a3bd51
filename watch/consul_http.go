package watch

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/segmentio/encoding/json"
)

var errNoIndex = errors.New("answered 404 without Consul's index header; is this the address of Consul, and its path prefix right?")

// get asks an endpoint of Consul's HTTP API and decodes the JSON of its answer. It is here, and not consul/api's own
// functions, because those decode with a json.Decoder, which reads everything twice: a tree of 10,000 keys took five
// times as long. What says where Consul is and how to talk to it (address, token, TLS, proxy) stays with consul/api.
//
// An answer "404 with an index" means that there is none: then found is false.
func (c *Consul) get(ctx context.Context, path string, params url.Values, into any) (index uint64, found bool, err error) {
	req, err := c.newRequest(ctx, path, params)
	if err != nil {
		return 0, false, err
	}
	resp, err := c.config.HttpClient.Do(req)
	if err != nil {
		return 0, false, withoutURL(err)
	}
	defer resp.Body.Close()
	index, _ = strconv.ParseUint(resp.Header.Get("X-Consul-Index"), 10, 64)
	switch {
	case resp.StatusCode == http.StatusNotFound && index == 0:
		return 0, false, errNoIndex
	case resp.StatusCode == http.StatusNotFound:
		_, err = io.Copy(io.Discard, resp.Body)
		return index, false, err
	case resp.StatusCode != http.StatusOK:
		return 0, false, fmt.Errorf("answered %s: %s", resp.Status, beginning(resp.Body))
	}
	body := c.buffer()
	defer c.release(body)
	if _, err := body.ReadFrom(resp.Body); err != nil {
		return 0, false, fmt.Errorf("read the answer: %w", err)
	}
	if err := json.Unmarshal(body.Bytes(), into); err != nil {
		return 0, false, errors.New("answered what is not the JSON that Consul gives; is this the address of Consul?")
	}
	return index, true, nil
}

const (
	buffersKept = 4
	bufferKept  = 16 << 20 // bytes of the largest
)

// buffer returns an empty buffer: one that was used before, where there is one, so that a large answer does not make it
// grow from nothing each time.
func (c *Consul) buffer() *bytes.Buffer {
	select {
	case b := <-c.buffers:
		return b
	default:
		return new(bytes.Buffer)
	}
}

func (c *Consul) release(b *bytes.Buffer) {
	b.Reset()
	if b.Cap() > bufferKept {
		return
	}
	select {
	case c.buffers <- b:
	default:
	}
}

func (c *Consul) newRequest(ctx context.Context, path string, params url.Values) (*http.Request, error) {
	host := c.config.Address
	if strings.HasPrefix(host, "/") { // the path of a unix socket
		host = "localhost"
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, c.config.Scheme+"://"+host+c.config.PathPrefix+path+"?"+params.Encode(), nil)
	if err != nil {
		return nil, withoutURL(err)
	}
	if c.config.Token != "" {
		req.Header.Set("X-Consul-Token", c.config.Token)
	}
	if auth := c.config.HttpAuth; auth != nil {
		req.SetBasicAuth(auth.Username, auth.Password)
	}
	return req, nil
}

// params returns the parameters of a request for a query. Reads are stale: any server may answer.
func (c *Consul) params(opts url.Values, after uint64) url.Values {
	params := url.Values{"stale": {""}}
	set := func(name, value string) {
		if value != "" {
			params.Set(name, value)
		}
	}
	for _, name := range []string{OptDatacenter, OptNear, OptPeer, OptSamenessGroup, OptFilter} {
		set(name, opts.Get(name))
	}
	set(OptNamespace, cmp.Or(opts.Get(OptNamespace), c.config.Namespace))
	set(OptPartition, cmp.Or(opts.Get(OptPartition), c.config.Partition))
	if after != 0 {
		params.Set("index", strconv.FormatUint(after, 10))
		params.Set("wait", strconv.FormatInt(MaxWait.Milliseconds(), 10)+"ms")
	}
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

// withoutPassword returns an address as logs and errors may show it.
func withoutPassword(address string) string {
	if u, err := url.Parse(address); err == nil && u.User != nil {
		return u.Redacted()
	}
	return address
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
