package consul

import (
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"render/watch"
)

// every has a query of each kind that Consul answers.
func every() []watch.Query {
	var all []watch.Query
	for kind := range kinds {
		all = append(all, watch.NewQuery(kind, "x", nil))
	}
	return append(all, watch.NewQuery(watch.KindNode, "", nil), watch.NewQuery(watch.KindDatacenters, "", map[string][]string{watch.OptReachable: {"true"}}))
}

// answering returns a source that asks a server of HTTP.
func answering(t testing.TB, answer http.HandlerFunc) *Source {
	server := httptest.NewServer(answer)
	t.Cleanup(server.Close)
	c, err := New(Config{Address: server.URL, MaxRequests: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// No answer ends the process, whatever is missing in it.
func TestNulls(t *testing.T) {
	var body string
	c := answering(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("X-Consul-Index", "7")
		fmt.Fprint(w, body)
	})
	for _, body = range []string{
		`null`, `[null]`, `[null,null]`, `{"x":null}`, `{"x":[null]}`, `[{"Node":null,"Service":null,"Checks":null}]`, `[{"Node":{},"Service":{},"Checks":[null]}]`,
		`[{"Service":{"Tags":[null],"TaggedAddresses":{"a":null}}}]`, `{"Node":{"Node":"n"},"Services":{"a":null}}`, `{"Node":null,"Services":{"a":{}}}`,
		`{"Roots":[null]}`, `{"Roots":null}`, `{"ImportedServices":[null]}`, `[{"Key":null,"Value":null}]`, `[{"StreamStatus":null,"Remote":null}]`, `[{"Consumers":null}]`,
		`{"Config":null}`, `[{"Value":1}]`, `[{"Value":"%"}]`, `[{"Value":"\u0059Q=="}]`, `{"Config":{"NodeName":"n"}}`,
	} {
		for _, q := range every() {
			value, _, err := c.Fetch(t.Context(), q, 0)
			if err == nil && !watch.Equal(value, value) {
				t.Errorf("%s: %s: the value is not equal to itself", q, body)
			}
		}
	}
}

// FuzzAnswer makes sure that no answer ends the process.
func FuzzAnswer(f *testing.F) {
	for _, text := range []string{`null`, `[null]`, `{"Services":{"a":null}}`, `[{"Checks":[null]}]`, `{"Roots":[null]}`, `[{"Key":"x","Value":"YQ=="}]`, `[[[[`, `{"a":"\"`} {
		f.Add([]byte(text))
	}
	var body []byte
	c := answering(f, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("X-Consul-Index", "7")
		_, _ = w.Write(body)
	})
	queries := every()
	f.Fuzz(func(t *testing.T, text []byte) {
		body = text
		for _, q := range queries {
			value, _, err := c.Fetch(t.Context(), q, 0)
			if err == nil && !watch.Equal(value, value) {
				t.Errorf("%s: the value is not equal to itself", q)
			}
		}
		if err := json.Unmarshal(text, new(any)); err == nil && isDeep(text) != (depth(text) > maxDepth) {
			t.Errorf("isDeep(%q) is %v", text, isDeep(text))
		}
	})
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
		c := answering(t, func(w http.ResponseWriter, r *http.Request) {
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
		c.agent.current.config.Transport.DisableCompression = !compressed // as for an agent on another machine
		_, err := c.agent.get(t.Context(), request{path: "/v1/kv/x", limit: 8 << 20}, new([]pair))
		if !errors.Is(err, errTooLarge) || !strings.Contains(err.Error(), "8388608 bytes") {
			t.Errorf("compressed %v: got %v", compressed, err)
		}
		if len(c.agent.buffers) != 0 && (<-c.agent.buffers).Cap() > bufferKept {
			t.Error("a large buffer is kept")
		}
	}
	if testing.Short() {
		return
	}
	c := answering(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Consul-Index", "7")
		for r.Context().Err() == nil {
			_, _ = w.Write(part)
		}
	})
	if _, _, err := c.Fetch(t.Context(), watch.NewQuery(watch.KindKV, "x", nil), 0); !errors.Is(err, errTooLarge) {
		t.Errorf("got %v", err)
	}
}

// What comes without an index has one that only grows, also beyond that of an earlier source.
func TestNumbers(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		var n, later numbers
		q, other := watch.NewQuery(watch.KindDatacenters, "", nil), watch.NewQuery(watch.KindPartitions, "", nil)
		last := uint64(0)
		for _, names := range [][]string{{"a"}, {"a"}, {"b"}, {"a"}, {}, {"b", "c"}} {
			_, got, err := n.number(q, names)
			if err != nil || !got.found {
				t.Fatalf("%v: %v", got, err)
			}
			_, again, _ := n.number(q, names)
			if got.index < last || again.index != got.index {
				t.Errorf("%v: the index is %d, then %d, after %d", names, got.index, again.index, last)
			}
			last = got.index
		}
		if _, got, _ := n.number(other, []string{"z"}); got.index >= last {
			t.Errorf("another query has the index %d", got.index)
		}
		time.Sleep(time.Minute)
		if _, got, _ := later.number(q, []string{"a"}); got.index <= last {
			t.Errorf("a later source has the index %d, an earlier one had %d", got.index, last)
		}
	})
}

// Keys are asked for under paths that nothing on the way cleans.
func TestKeyPath(t *testing.T) {
	for key, want := range map[string]string{
		"":               "",
		"a":              "a",
		"a/b":            "a/b",
		"a/":             "a/",
		"/a":             "%2Fa",
		"a//b":           "a%2F%2Fb",
		"a//":            "a%2F%2F",
		"//":             "%2F%2F",
		"a/./b":          "a/%2E/b",
		"a/../b":         "a/%2E%2E/b",
		"../agent/self":  "%2E%2E/agent/self",
		"a/..":           "a/%2E%2E",
		"a b/ä?x=y#z%2F": "a%20b/%C3%A4%3Fx=y%23z%252F",
		"a/.../b":        "a/%2E%2E%2E/b",
	} {
		if got := keyPath(key); got != "/v1/kv/"+want {
			t.Errorf("%q: got %s, want %s", key, got, want)
		}
	}
}
