package watch_test

import (
	"fmt"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"render/watch"
)

// What NewPlugin was given comes back, to the byte, and decides which queries are the same.
func TestPluginQuery(t *testing.T) {
	seen := make(map[watch.Query]string)
	for _, display := range []string{"sh", "other"} {
		for _, argv := range [][]string{
			{"sh"}, {"sh", "a"}, {"sh", "a", "b"}, {"sh", "b", "a"}, {"sh", "a b"}, {"sh", "a&argv=b"}, {"sh", "quiet=true"}, {"sh", "%20+;"},
			{"sh", "\x00\xff\n"}, {"sh", "…"}, {"sh", strings.Repeat("x", 1<<20)},
		} {
			for _, quiet := range []bool{false, true} {
				q := watch.NewPlugin(display, argv, quiet)
				if gotArgv, gotQuiet := q.Plugin(); !slices.Equal(gotArgv, argv) || gotQuiet != quiet {
					t.Errorf("%q, %v: got %q, %v", argv, quiet, gotArgv, gotQuiet)
				}
				if q.String() != "plugin "+display {
					t.Errorf("%q is shown as %q", argv, q)
				}
				if again := watch.NewPlugin(display, slices.Clone(argv), quiet); again != q {
					t.Errorf("%q: two queries for the same program", argv)
				}
				what := fmt.Sprintf("%q %q %v", display, argv, quiet)
				if other, ok := seen[q]; ok {
					t.Errorf("%.200s and %.200s are the same query", what, other)
				}
				seen[q] = what
			}
		}
	}
	for _, option := range []string{"argv", "secret.argv", "secret.argv.quiet"} {
		if argv, quiet := watch.NewQuery(watch.KindKV, "k", url.Values{option: {"x"}}).Plugin(); argv != nil || quiet {
			t.Errorf("a key is a program: %q, %v", argv, quiet)
		}
	}
}

// Options whose names say that they are secret are never shown, whatever their values are; all others are.
func TestSecretOptions(t *testing.T) {
	const secret = "c4nary"
	for _, c := range []struct {
		opts url.Values
		want string
	}{
		{url.Values{"secret.data": {secret}}, "vault p"},
		{url.Values{"secret.data": {secret, "&x=" + secret, "=" + secret}, "dc": {"a"}}, "vault p (dc=a)"},
		{url.Values{"secret." + secret: {"x"}, "a": {"1"}, "z": {"2"}}, "vault p (a=1&z=2)"},
		{url.Values{"secret.": {secret}}, "vault p"},
		{url.Values{"b": {"secret.x"}, "secret": {"1"}}, "vault p (b=secret.x&secret=1)"},
	} {
		q := watch.NewQuery("vault", "p", c.opts)
		for _, got := range []string{q.String(), fmt.Sprint(q), fmt.Sprintf("%s %+v", q, &q), fmt.Sprint(watch.UnknownKind(q)), watch.PanicError{Query: q}.Error()} {
			if strings.Contains(got, secret) {
				t.Errorf("%v is shown as %s", c.opts, got)
			}
		}
		if got := q.String(); got != c.want {
			t.Errorf("got %q, want %q", got, c.want)
		}
		if !reflect.DeepEqual(q.Options(), c.opts) {
			t.Errorf("got options %v, want %v", q.Options(), c.opts)
		}
	}

	defer func() {
		if p := fmt.Sprint(recover()); strings.Contains(p, secret) {
			t.Errorf("a panic shows options: %s", p)
		}
	}()
	watch.Query{Kind: "vault", Opts: "%zz" + secret}.Options()
}

// Whoever registers a service chooses its name. However long it is, a query has one line that people can read.
func TestQueryStringIsShort(t *testing.T) {
	const most = 200
	for _, c := range []struct{ name, one, other string }{
		{"ASCII", strings.Repeat("s", 140_000), strings.Repeat("s", 140_001)},
		{"the end differs", strings.Repeat("s", most) + "a", strings.Repeat("s", most) + "b"},
		{"two bytes", strings.Repeat("é", most), strings.Repeat("é", most) + "e"},
		{"four bytes", "a" + strings.Repeat("𝄞", most), "b" + strings.Repeat("𝄞", most)},
		{"no UTF-8", strings.Repeat("\x80", 2*most), strings.Repeat("\x80", 2*most+1)},
		{"one byte more", strings.Repeat("s", most+1), strings.Repeat("s", most)},
	} {
		one, other := watch.NewQuery(watch.KindService, c.one, nil), watch.NewQuery(watch.KindService, c.other, nil)
		if one.String() == other.String() {
			t.Errorf("%s: both are %s", c.name, one)
		}
		if got := len(one.String()) - len("service "); got > most {
			t.Errorf("%s: the name has %d bytes", c.name, got)
		}
		if utf8.ValidString(c.one) && !utf8.ValidString(one.String()) {
			t.Errorf("%s: %q is not UTF-8", c.name, one)
		}
	}

	short := strings.Repeat("é", most/2)
	if got := watch.NewQuery(watch.KindKV, short, nil).String(); got != "kv "+short {
		t.Errorf("a name of %d bytes is %s", most, got)
	}
	long := url.Values{watch.OptFilter: {strings.Repeat("f", 10_000)}}
	if got := watch.NewQuery(watch.KindService, strings.Repeat("s", 10_000), long).String(); len(got) > 2*most+len("service  ()") {
		t.Errorf("a name and options have %d bytes", len(got))
	}
	if got := watch.NewPlugin(strings.Repeat("p", 10_000), []string{"p"}, false).String(); len(got) > most+len("plugin ") {
		t.Errorf("a program has %d bytes", len(got))
	}
}
