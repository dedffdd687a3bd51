package agent

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// What Consul says when it cannot answer anybody, and what it says of one query.
func TestIsOutage(t *testing.T) {
	for text, want := range map[string]bool{
		"No cluster leader":                                                    true,
		"No path to datacenter":                                                true,
		"Remote DC has no server currently reachable":                          true,
		"No known Consul servers":                                              true,
		"rpc error making call: No cluster leader":                             true,
		"rpc error making call: EOF":                                           true,
		"rpc error making call: i/o deadline reached":                          true,
		"rpc error getting client: failed to get conn: dial tcp 10.0.0.1:8300": true,
		"rpc error: shutdown":                                                  true,
		"rpc error: code = Unavailable desc = connection error":                true,
		"leadership lost while committing log":                                 true,
		"Raft leader not found in server lookup mapping":                       true,
		"Failed to create boolean expression evaluator":                        false,
		"rpc error making call: Failed to create boolean expression evaluator": false,
		"invalid key name, leading/trailing spaces are not allowed":            false,
		"Sameness groups are a Consul Enterprise feature":                      false,
		"Network segments are not supported in this version of Consul":         false,
		"": false,
	} {
		if got := isOutage(text); got != want {
			t.Errorf("%q: got %v", text, got)
		}
	}
}

// depth returns how many lists and objects of valid JSON are in each other.
func depth(text []byte) (most int) {
	d := json.NewDecoder(strings.NewReader(string(text)))
	for n := 0; ; {
		token, err := d.Token()
		if err != nil {
			return most
		}
		if delim, ok := token.(json.Delim); ok && strings.ContainsRune("[{", rune(delim)) {
			n++
			most = max(most, n)
		} else if ok {
			n--
		}
	}
}

func TestIsDeep(t *testing.T) {
	for _, test := range []struct {
		text string
		want bool
	}{
		{"", false},
		{strings.Repeat("[", maxDepth), false},
		{strings.Repeat("[", maxDepth+1), true},
		{strings.Repeat("{", maxDepth+1), true},
		{strings.Repeat(`{"a":`, maxDepth+1), true},
		{strings.Repeat("[]", 10*maxDepth), false},
		{`"` + strings.Repeat("[", 10*maxDepth) + `"`, false},
		{`"\"` + strings.Repeat("[", 10*maxDepth) + `"`, false},
		{`"\\"` + strings.Repeat("[", 10*maxDepth), true},
		{`"\\\"` + strings.Repeat("[", 10*maxDepth), false},
		{`"` + strings.Repeat("[", 10*maxDepth), false},
	} {
		if got := isDeep([]byte(test.text)); got != test.want {
			t.Errorf("%.40s…: got %v", test.text, got)
		}
	}
}

// An answer without end is given up, also one that is small while it is compressed. The memory of the next answers is not affected.
func TestAnswerWithoutEnd(t *testing.T) {
	part := []byte(strings.Repeat(" ", 1<<20))
	for _, compressed := range []bool{false, true} {
		c := serving(t, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("X-Consul-Index", "7")
			var err error
			if !compressed {
				for err == nil {
					_, err = w.Write(part)
				}
				return
			}
			w.Header().Set("Content-Encoding", "gzip")
			z := gzip.NewWriter(w)
			for err == nil {
				_, err = z.Write(part)
			}
		})
		c.current.config.Transport.DisableCompression = !compressed // as for an agent on another machine
		_, err := c.Get(t.Context(), Request{Path: "/v1/kv/x", Limit: 8 << 20}, new([]any))
		if !errors.Is(err, ErrTooLarge) || !strings.Contains(err.Error(), "8388608 bytes") {
			t.Errorf("compressed %v: got %v", compressed, err)
		}
		if len(c.buffers) != 0 && (<-c.buffers).Cap() > bufferKept {
			t.Error("a large buffer is kept")
		}
	}
	if testing.Short() {
		return
	}
	a := serving(t, http.NotFound)
	resp := &http.Response{StatusCode: http.StatusOK, Header: http.Header{"X-Consul-Index": {"7"}}, ContentLength: -1}
	if _, err := a.read(a.Endpoint(), resp, blanks{}, Request{Path: "/v1/kv/x"}, new([]any)); !errors.Is(err, ErrTooLarge) {
		t.Errorf("without a limit: got %v", err)
	}
}

// blanks have no end.
type blanks struct{}

func (blanks) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = ' '
	}
	return len(p), nil
}

// An answer with the digest of the one before is not decoded.
func TestDigest(t *testing.T) {
	text := `{"web":["a"]}`
	a := serving(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Consul-Index", "7")
		io.WriteString(w, text)
	})
	var digest Digest
	for i, test := range []struct {
		text string
		same bool
	}{{text, false}, {text, true}, {`{"web":["b"]}`, false}, {text, false}} {
		text = test.text
		var into map[string][]string
		got, err := a.Get(t.Context(), Request{Path: "/v1/catalog/services", Digest: &digest}, &into)
		check(t, err)
		if got.Same != test.same || (into == nil) != test.same || got.Bytes != len(text) || got.Index != 7 || !got.Found {
			t.Errorf("answer %d: got %+v and %v", i, got, into)
		}
		digest = got.Digest
	}
	if got, err := a.Get(t.Context(), Request{Path: "/v1/catalog/services"}, new(map[string][]string)); err != nil || got.Same || got.Digest != (Digest{}) {
		t.Errorf("without a digest: got %+v, %v", got, err)
	}
}

// FuzzIsDeep compares isDeep with the decoder of the standard library.
func FuzzIsDeep(f *testing.F) {
	for _, text := range []string{`null`, `[null]`, `{"a":"\""}`, `[[[[`, strings.Repeat("[", maxDepth+1) + strings.Repeat("]", maxDepth+1)} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		if err := json.Unmarshal(text, new(any)); err == nil && isDeep(text) != (depth(text) > maxDepth) {
			t.Errorf("isDeep(%q) is %v", text, isDeep(text))
		}
	})
}

// serving returns an agent that asks a server of HTTP.
func serving(t *testing.T, answer http.HandlerFunc) *Agent {
	server := httptest.NewServer(answer)
	t.Cleanup(server.Close)
	a, err := New(consulAPI, Config{Address: server.URL}, Transport{}.Dial, func() {})
	check(t, err)
	t.Cleanup(a.Close)
	return a
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// A buffer that is kept has nothing of an answer, which may be a secret, also where reading it has failed half-way.
func TestBufferIsCleared(t *testing.T) {
	a := &Agent{buffers: make(chan *bytes.Buffer, buffersKept)}
	for _, text := range []string{"secret", strings.Repeat("secret", 100_000)} {
		b := a.buffer()
		b.WriteString(text)
		a.release(b)
		kept := a.buffer()
		if kept != b || kept.Len() != 0 || bytes.Contains(kept.Bytes()[:kept.Cap()], []byte("secret")) {
			t.Errorf("a buffer of %d bytes is kept: %t, and has %d bytes of the answer", len(text), kept == b, bytes.Count(kept.Bytes()[:kept.Cap()], []byte("s")))
		}
		a.release(kept)
	}
}

// What it costs to clear a buffer.
func BenchmarkRelease(b *testing.B) {
	a := &Agent{buffers: make(chan *bytes.Buffer, buffersKept)}
	text := make([]byte, 4<<20)
	b.SetBytes(int64(len(text)))
	for b.Loop() {
		a.release(bytes.NewBuffer(text))
		<-a.buffers
	}
}
