package consul

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"render/watch"
	"render/watch/sourcetest"
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
	})
}

// What comes without an index has one that only grows, also beyond that of an earlier source.
func TestNumbers(t *testing.T) {
	sourcetest.Bubble(t, func(t *testing.T) {
		var n, later numbers
		q, other := watch.NewQuery(watch.KindDatacenters, "", nil), watch.NewQuery(watch.KindPartitions, "", nil)
		last := uint64(0)
		for _, names := range [][]string{{"a"}, {"a"}, {"b"}, {"a"}, {}, {"b", "c"}} {
			_, got, err := n.number(q, names)
			if err != nil || !got.Found {
				t.Fatalf("%v: %v", got, err)
			}
			_, again, _ := n.number(q, names)
			if got.Index < last || again.Index != got.Index {
				t.Errorf("%v: the index is %d, then %d, after %d", names, got.Index, again.Index, last)
			}
			last = got.Index
		}
		if _, got, _ := n.number(other, []string{"z"}); got.Index >= last {
			t.Errorf("another query has the index %d", got.Index)
		}
		time.Sleep(time.Minute)
		if _, got, _ := later.number(q, []string{"a"}); got.Index <= last {
			t.Errorf("a later source has the index %d, an earlier one had %d", got.Index, last)
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
