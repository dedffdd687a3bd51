package vault

import (
	"fmt"
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

// One question about a mount serves all queries below it.
func TestMountsAreShared(t *testing.T) {
	simulate(t, Config{}, func(f *fake, s *Source, fl *follower) {
		for i := range 500 {
			f.values[fmt.Sprint("secret/data/", i)] = "v"
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
