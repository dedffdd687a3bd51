package vault

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"render/watch"
	"render/watch/sourcetest"
	"render/watch/vault/api"
	"render/watch/vault/pemfile"
)

// A behind makes of a Vault one whose clock is behind: what it issues ends earlier, and so do the times in its answers. Durations are as
// they were. A certificate begins earlier, too, if its role says so.
type behind struct {
	by          time.Duration
	connections http.RoundTripper
}

func clockBehind(by time.Duration) func(http.RoundTripper) http.RoundTripper {
	return func(connections http.RoundTripper) http.RoundTripper { return behind{by, connections} }
}

// RoundTrip implements http.RoundTripper.
func (b behind) RoundTrip(req *http.Request) (*http.Response, error) {
	if req.Method == http.MethodPut && strings.Contains(req.URL.Path, "/issue/") {
		var err error
		if req, err = b.ending(req); err != nil {
			return nil, err
		}
	}
	resp, err := b.connections.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, err
	}
	var answer any
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.UseNumber()
	if decoder.Decode(&answer) == nil {
		if text, err = json.Marshal(b.shift(answer)); err != nil {
			return nil, err
		}
	}
	resp.Body, resp.ContentLength = io.NopCloser(bytes.NewReader(text)), int64(len(text))
	if at, err := http.ParseTime(resp.Header.Get("Date")); err == nil {
		resp.Header.Set("Date", at.Add(-b.by).Format(http.TimeFormat))
	}
	return resp, nil
}

// ending returns a request for a certificate that ends when a Vault with that clock would have it end.
func (b behind) ending(req *http.Request) (*http.Request, error) {
	var content map[string]any
	err := json.NewDecoder(req.Body).Decode(&content)
	if err != nil {
		return nil, err
	}
	ttl, ok := api.Seconds(fmt.Sprint(content["ttl"]))
	if !ok {
		return nil, fmt.Errorf("the request for a certificate has the ttl %v", content["ttl"])
	}
	delete(content, "ttl")
	content["not_after"] = time.Now().Add(ttl - b.by).UTC().Format(time.RFC3339)
	text, err := json.Marshal(content)
	if err != nil {
		return nil, err
	}
	other := req.Clone(req.Context())
	other.Body, other.ContentLength = io.NopCloser(bytes.NewReader(text)), int64(len(text))
	return other, nil
}

// shift returns an answer with the times of that clock.
func (b behind) shift(v any) any {
	switch v := v.(type) {
	case map[string]any:
		for name, value := range v {
			if seconds, ok := value.(json.Number); ok && name == "creation_time" {
				v[name] = api.Number(seconds) - int64(b.by/time.Second)
			} else {
				v[name] = b.shift(value)
			}
		}
	case []any:
		for i, value := range v {
			v[i] = b.shift(value)
		}
	case string:
		if at, err := time.Parse(time.RFC3339Nano, v); err == nil && at.Year() > 1 {
			return at.Add(-b.by).Format(time.RFC3339Nano)
		}
	}
	return v
}

// A Vault whose clock is behind issues what ends earlier by our clock. The times of tokens are earlier, too, and the tokens last as long.
func TestBehind(t *testing.T) {
	server := real(t)
	const by, lives = 3 * time.Second, time.Minute
	mount := fmt.Sprint("behind-", time.Now().UnixNano())
	server.Put(t, "sys/mounts/"+mount, map[string]any{"type": "pki"})
	server.Put(t, mount+"/root/generate/internal", map[string]any{"common_name": "CA", "ttl": "24h", "key_type": "ec"})
	server.Put(t, mount+"/roles/web", map[string]any{"allow_any_name": true, "key_type": "ec", "key_bits": 256, "not_before_duration": "4s"})
	token := server.NewToken(t, map[string]any{"ttl": "1h", "policies": []string{"root"}})
	src := ofThrough(t, server, Config{Token: token}, clockBehind(by))

	began := time.Now()
	cert := sourcetest.Fetch(t, src, pkiCert(t, mount+"/issue/web", filepath.Join(t.TempDir(), "cert.pem"), "common_name=a.test", "ttl=1m")).(*watch.PKICert)
	leaf := pemfile.Scan([]byte(cert.Cert)).Leaf
	if ends := leaf.NotAfter.Sub(began); ends < lives-by-time.Second || ends > lives-by+time.Since(began) {
		t.Errorf("the certificate ends after %s", ends)
	}
	if begins := began.Sub(leaf.NotBefore); begins < by+time.Second-time.Since(began) || begins > by+2*time.Second {
		t.Errorf("the certificate began %s ago", begins)
	}
	state := sourcetest.Fetch(t, src, query(t, "auth/token/lookup-self")).(*watch.Secret).Data
	expires, err := time.Parse(time.RFC3339Nano, fmt.Sprint(state["expire_time"]))
	if left := time.Until(expires); err != nil || left > time.Hour-by || left < time.Hour-time.Minute || api.Number(state["ttl"]) < 3500 {
		t.Errorf("got %v, %v", state, err)
	}
	if made := time.Since(time.Unix(api.Number(state["creation_time"]), 0)); made < by {
		t.Errorf("the token was created %s ago", made)
	}
}
