package vault

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"render/watch"
)

// What is mounted is asked again after a failure, and where a mount has changed.
func TestMountsHeal(t *testing.T) {
	inner := func(st watch.State) string {
		secret, ok := st.Value.(*watch.Secret)
		if !ok || st.Err != nil {
			return fmt.Sprint(st.Err)
		}
		if v2, ok := secret.Data["data"].(map[string]any); ok {
			return "v2 " + fmt.Sprint(v2["value"])
		}
		return "v1 " + fmt.Sprint(secret.Data["value"])
	}
	simulate(t, Config{}, func(f *fake, s *Source, fl *follower) {
		f.values["secret/data/app"] = "one"
		f.refuses["sys/internal/ui/mounts/secret/app"] = 500
		q := query(t, "secret/app")
		fl.watch(q)
		fl.pass(20 * time.Second)
		if got := inner(fl.states[q]); !strings.Contains(got, "vault has nothing at secret/app; vault does not say what is mounted there (500)") {
			t.Errorf("got %s", got)
		}
		f.do(func() { clear(f.refuses) })
		fl.pass(time.Minute)
		if got := inner(fl.states[q]); got != "v2 one" {
			t.Errorf("got %s", got)
		}
	})
	simulate(t, Config{}, func(f *fake, s *Source, fl *follower) {
		f.old = true
		f.values["secret/app"], f.values["secret/other"] = "one", "other"
		q, other := query(t, "secret/app"), query(t, "secret/other")
		fl.watch(q, other)
		fl.pass(time.Second)
		if got := inner(fl.states[q]); got != "v1 one" {
			t.Errorf("got %s", got)
		}
		f.do(func() {
			f.old = false
			f.values = map[string]string{"secret/data/app": "two", "secret/data/other": "other"}
		})
		fl.pass(6 * time.Minute)
		if got := inner(fl.states[q]); got != "v2 two" {
			t.Errorf("after the mount has become a KV v2: got %s", got)
		}
		if got := inner(fl.states[other]); got != "v2 other" {
			t.Errorf("after the mount has become a KV v2: got %s", got)
		}
	})
}

// A mount that goes, or becomes another one, within the first minute: what it has is never absent for that, and no list is empty.
func TestMountsGo(t *testing.T) {
	soon := Config{LeaseDuration: 2 * time.Second, MaxBackoff: 2 * time.Second}
	for _, test := range []struct {
		name   string
		change func(f *fake)
		err    string // that the queries get; "" where they get what they had
	}{
		{"disabled", func(f *fake) {
			for _, path := range []string{"secret/data/app", "secret/metadata", "secret/app", "secret"} {
				f.refuses[path] = http.StatusNotFound
			}
			f.refuses["sys/internal/ui/mounts/secret/app"], f.refuses["sys/internal/ui/mounts/secret"] = http.StatusForbidden, http.StatusForbidden
			f.says = "no handler for route"
		}, "vault does not say what is mounted there (403)"},
		{"seems to be mounted", func(f *fake) {
			f.refuses["secret/data/app"], f.refuses["secret/metadata"] = http.StatusNotFound, http.StatusNotFound
			f.says = "no handler for route"
		}, "404 no handler for route"},
		{"a KV v1", func(f *fake) { f.old = true }, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			simulate(t, soon, func(f *fake, s *Source, fl *follower) {
				f.values["secret/data/app"], f.values["secret/app"] = "one", "one" // as version 2 and 1 have them
				q, _ := watch.NewSecrets("secret")
				queries := []watch.Query{query(t, "secret/app"), q}
				fl.watch(queries...)
				fl.pass(5 * time.Second)
				f.do(func() { test.change(f) })
				before := f.total()
				for range 200 {
					fl.pass(100 * time.Millisecond)
					for _, q := range queries {
						if st := fl.states[q]; st.Value == nil || fmt.Sprint(st.Value) == "[]" {
							t.Errorf("%s: got %v, %v", q, st.Value, st.Err)
							return
						}
					}
				}
				for _, q := range queries {
					if err := fl.states[q].Err; (err == nil) != (test.err == "") || err != nil && !strings.Contains(err.Error(), test.err) {
						t.Errorf("%s: got %v, want %q", q, err, test.err)
					}
				}
				if n := f.total() - before; n > 200 {
					t.Errorf("%d requests in 20 s", n)
				}
			})
		})
	}
}

// For a secret that is deleted the mount is requested once, and not again while the secret is missing.
func TestMountsOfDeleted(t *testing.T) {
	simulate(t, Config{LeaseDuration: time.Second}, func(f *fake, s *Source, fl *follower) {
		const n = 100
		for i := range n {
			f.values[fmt.Sprint("secret/data/", i)] = "v"
		}
		for i := range n {
			fl.watch(query(t, fmt.Sprint("secret/", i)))
		}
		fl.pass(5 * time.Second)
		f.do(func() { clear(f.values) })
		fl.pass(10 * time.Second)
		questions := 0
		f.do(func() {
			for name, times := range f.asked {
				if strings.Contains(name, "ui/mounts") {
					questions += times
				}
			}
		})
		absent := 0
		for _, st := range fl.states {
			if st.Value == nil && st.Err == nil {
				absent++
			}
		}
		if absent != n || questions > 20 {
			t.Errorf("%d secrets are absent after %d questions about the mount", absent, questions)
		}
	})
}

// One question about a mount serves all queries below it.
func TestMountsAreShared(t *testing.T) {
	simulate(t, Config{}, func(f *fake, s *Source, fl *follower) {
		for i := range 500 {
			f.values[fmt.Sprint("secret/data/", i)] = "v"
		}
		for i := range 500 {
			fl.watch(query(t, fmt.Sprint("secret/", i)))
		}
		fl.pass(time.Hour)
		questions := 0
		for name, n := range f.asked {
			if strings.Contains(name, "ui/mounts") {
				questions += n
			}
		}
		if questions != 1 || f.total() < 500*12 || f.total() > 500*16 {
			t.Errorf("%d questions about the mount, %d requests", questions, f.total())
		}
	})
}

// Where the question about a mount has no answer, no query waits for the questions of others: neither while Vault is away, nor where the
// token may not ask.
func TestMountsUntold(t *testing.T) {
	const n = 200
	tests := []struct {
		name    string
		prepare func(f *fake)
		within  time.Duration
		done    func(watch.State) bool
	}{
		{"away", func(f *fake) { f.down = true }, 5 * time.Second, func(st watch.State) bool { return st.Err != nil }},
		{"denied", func(f *fake) {
			f.slow, f.says = 50*time.Millisecond, "preflight capability check returned 403"
			for i := range n {
				path := fmt.Sprint("secret/data/", i)
				f.values[path], f.refuses["sys/internal/ui/mounts/"+path] = "v", http.StatusForbidden
			}
		}, time.Second, func(st watch.State) bool { return st.Value != nil }},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			simulate(t, Config{}, func(f *fake, s *Source, fl *follower) {
				f.do(func() { test.prepare(f) })
				for i := range n {
					fl.watch(query(t, fmt.Sprint("secret/data/", i)))
				}
				fl.pass(test.within)
				done := 0
				for _, st := range fl.states {
					if test.done(st) {
						done++
					}
				}
				if done != n {
					t.Errorf("after %s %d of %d queries have it", test.within, done, n)
				}
			})
		})
	}
}

// Several mounts may have a common beginning: there is one question about each, whoever waits for it.
func TestMountsBelowOne(t *testing.T) {
	simulate(t, Config{}, func(f *fake, s *Source, fl *follower) {
		f.slow, f.deep = 100*time.Millisecond, true
		for i := range 100 {
			for _, in := range []string{"a", "b", "c"} {
				f.do(func() { f.values[fmt.Sprintf("secret/%s/data/%d", in, i)] = "v" })
				fl.watch(query(t, fmt.Sprintf("secret/%s/%d", in, i)))
			}
		}
		fl.pass(5 * time.Second)
		questions := 0
		for name, n := range f.asked {
			if strings.Contains(name, "ui/mounts") {
				questions += n
			}
		}
		for q, st := range fl.states {
			if st.Err != nil || st.Value == nil {
				t.Errorf("%s: %+v", q, st)
			}
		}
		if questions != 3 {
			t.Errorf("%d questions: %s", questions, f.requests())
		}
	})
}

// Paths of a mount.
func TestMountPaths(t *testing.T) {
	v1, v2 := mount{path: "kv/"}, mount{path: "team/kv/", kv: true, v2: true}
	for _, test := range []struct {
		in               mount
		path, data, list string
	}{
		{v1, "kv/a", "kv/a", "kv/a"},
		{mount{}, "kv/a", "kv/a", "kv/a"},
		{v2, "team/kv", "team/kv/data", "team/kv/metadata"},
		{v2, "team/kv/a/b", "team/kv/data/a/b", "team/kv/metadata/a/b"},
		{v2, "team/kv/data/a", "team/kv/data/a", "team/kv/metadata/data/a"},
		{v2, "team/kv/metadata/a", "team/kv/metadata/a", "team/kv/metadata/a"},
		{v2, "team/kv/metadata", "team/kv/data/metadata", "team/kv/metadata"},
		{v2, "team/kv/subkeys/a", "team/kv/subkeys/a", "team/kv/metadata/subkeys/a"},
		{v2, "team/kv/delete/a", "team/kv/data/delete/a", "team/kv/metadata/delete/a"},
	} {
		if data, list := test.in.dataPath(test.path), test.in.listPath(test.path); data != test.data || list != test.list {
			t.Errorf("%s: got %s and %s, want %s and %s", test.path, data, list, test.data, test.list)
		}
	}
}
