package vault

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"render/watch"
)

// A change of a KV v2 secret is noticed by its metadata; one that does not change is not read.
func TestPoll(t *testing.T) {
	server := real(t)
	server.Put(t, "sys/policies/acl/data", map[string]any{"policy": `path "secret/data/poll" { capabilities = ["read"] }`})
	dataOnly := server.NewToken(t, map[string]any{"policies": []string{"data"}})
	server.Put(t, "secret/data/poll", map[string]any{"data": map[string]any{"a": "one"}})
	t.Parallel()

	src := of(t, server, Config{Polls: []Poll{{Prefix: "kv1"}, {Prefix: "/secret/po", Every: time.Second}}})
	var lines record
	blind := of(t, server, Config{Token: dataOnly, Log: lines.log(), Polls: []Poll{{Every: time.Second}}})
	q := query(t, "secret/poll")
	if s := src.pollEvery(query(t, "kv1/poll")); s != 0 {
		t.Errorf("the first prefix does not apply: %s", s)
	}
	value, index := fetch(t, src, q, 0)
	_, blindIndex := fetch(t, blind, q, 0)
	id := value.(*watch.Secret).RequestID
	steps := []struct {
		name string
		do   func()
		want any
	}{
		{"changes", func() { server.Put(t, "secret/data/poll", map[string]any{"data": map[string]any{"a": "two"}}) }, "two"},
		{"is deleted", func() { server.Must(t, http.MethodDelete, "secret/data/poll", nil) }, nil},
		{"returns", func() { server.Put(t, "secret/undelete/poll", map[string]any{"versions": []int{2}}) }, "two"},
		{"is destroyed", func() { server.Put(t, "secret/destroy/poll", map[string]any{"versions": []int{2}}) }, nil},
	}
	time.Sleep(2500 * time.Millisecond) // for two looks at least
	src.mu.Lock()
	e := src.entries[q]
	attempts := e.state.attempts
	same := e.state.value.(*watch.Secret).RequestID
	src.mu.Unlock()
	if attempts != 1 || same != id {
		t.Errorf("read %d times although nothing has changed", attempts)
	}
	for _, step := range steps {
		step.do()
		value, index = fetch(t, src, q, index)
		var got any
		if secret, ok := value.(*watch.Secret); ok {
			got = secret.Data["data"].(map[string]any)["a"]
		}
		if got != step.want {
			t.Errorf("when it %s: got %v", step.name, got)
		}
	}

	if st := blind.stateOf(blind.entries[q]); st.index != blindIndex || st.err != nil {
		t.Errorf("without the right to read metadata: %+v", st)
	}
	if n := strings.Count(lines.String(), "vault metadata not readable"); n != 1 {
		t.Errorf("warned %d times", n)
	}
}

// A token that Vault no longer knows is no reason to look for changes less often: there is another soon.
func TestPollAfterRevocation(t *testing.T) {
	var lines record
	simulate(t, Config{Login: approle(t), Log: lines.log(), Polls: []Poll{{Every: 10 * time.Second}}, LeaseDuration: time.Hour}, func(f *fake, s *Source, fl *follower) {
		f.values["secret/data/app"], f.values["secret/metadata/app"] = "one", "-" // which is never the version of the secret
		q := query(t, "secret/app")
		fl.watch(q)
		fl.pass(25 * time.Second)
		f.do(func() {
			clear(f.tokens)
			f.values["secret/data/app"] = "two"
		})
		fl.pass(10*time.Second + wellAfter)
		secret, _ := fl.states[q].Value.(*watch.Secret)
		if secret == nil || fmt.Sprint(secret.Data["data"]) != "map[value:two]" || fl.states[q].Err != nil {
			t.Errorf("got %+v; %s", fl.states[q], f.requests())
		}
		if strings.Contains(lines.String(), "metadata") {
			t.Errorf("the log has %s", lines.String())
		}
	})
}

// fetch returns the next answer that is no error.
func fetch(t *testing.T, s *Source, q watch.Query, after uint64) (any, uint64) {
	t.Helper()
	value, index, err := s.Fetch(t.Context(), q, after)
	if err != nil {
		t.Fatal(err)
	}
	return value, index
}

// The first prefix of a path applies. One that ends with a slash is that of what is below it.
func TestPollEvery(t *testing.T) {
	s := newFake(t).source(Config{Polls: []Poll{{"/secret/app/", 3 * time.Second}, {" secret/", 2 * time.Second}, {"kv", time.Second}}})
	defer s.Close()
	for path, want := range map[string]time.Duration{
		"secret/x": 2 * time.Second, "/secret/app/x": 3 * time.Second, "secret/app": 2 * time.Second, "secret/app2": 2 * time.Second,
		"secret2/x": 0, "kv/x": time.Second, "kv2/x": time.Second, "other/x": 0,
	} {
		if got := s.pollEvery(query(t, path)); got != want {
			t.Errorf("%s: got %s, want %s", path, got, want)
		}
	}
}

// A prefix is that of a path in any of its forms. What is below it is looked at: secrets, metadata with what their owner notes, and lists.
func TestPollForms(t *testing.T) {
	server := real(t)
	mount := fmt.Sprint("forms-", time.Now().UnixNano())
	server.Put(t, "sys/mounts/"+mount, map[string]any{"type": "kv", "options": map[string]any{"version": "2"}})
	server.Put(t, mount+"/data/app", map[string]any{"data": map[string]any{"a": "one"}})
	server.Put(t, mount+"/metadata/app", map[string]any{"custom_metadata": map[string]any{"owner": "one", "team": "web"}})
	t.Parallel()
	list := watch.NewQuery(watch.KindSecrets, mount, nil)
	queries := []watch.Query{query(t, mount+"/app"), query(t, mount+"/data/app"), query(t, mount+"/metadata/app"), list}
	tests := []struct {
		prefix string
		polls  []bool // of the queries
	}{
		{mount + "/", []bool{true, true, true, true}},
		{mount + "/app", []bool{true, true, false, false}},
		{mount + "/data/", []bool{true, true, false, false}},
		{"/" + mount + "/data/app", []bool{true, true, false, false}},
		{mount + "/metadata/", []bool{false, false, true, true}},
		{mount + "/other", []bool{false, false, false, false}},
	}
	var first *Source
	var values []any
	var indexes []uint64
	for _, test := range tests {
		s := of(t, server, Config{Polls: []Poll{{Prefix: test.prefix, Every: time.Second}}})
		for i, q := range queries {
			value, index := fetch(t, s, q, 0)
			if polls := s.pollEvery(q) == time.Second; polls != test.polls[i] {
				t.Errorf("%s: %s is looked at %t", test.prefix, q, polls)
			}
			if first == nil || first == s {
				first, values, indexes = s, append(values, value), append(indexes, index)
			}
		}
	}

	time.Sleep(2500 * time.Millisecond) // for two looks at least
	for i, q := range queries[:2] {
		if st := first.stateOf(first.entries[q]); st.attempts != 1 || st.index != indexes[i] {
			t.Errorf("%s was read %d times although nothing has changed", q, st.attempts)
		}
	}
	server.Put(t, mount+"/metadata/app", map[string]any{"custom_metadata": map[string]any{"owner": "two", "team": "web"}})
	server.Put(t, mount+"/data/new", map[string]any{"data": map[string]any{"a": "one"}})
	for i, q := range queries {
		if value, _ := fetch(t, first, q, indexes[i]); watch.Equal(value, values[i]) {
			t.Errorf("%s has not changed: %+v", q, value)
		}
	}
}
