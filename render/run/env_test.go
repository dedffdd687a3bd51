package run

import (
	"slices"
	"strings"
	"testing"
)

func TestEnv(t *testing.T) {
	ours := []string{"HOME=/root", "CONSUL_TOKEN=t", "CONSUL_HTTP_ADDR=a", "VAULT_TOKEN=v", "EMPTY=", "ODD=a=b"}
	added := []string{"CONSUL_HTTP_ADDR=added", "RENDER_ACTION=x"}
	all := append(slices.Clone(ours), added...)
	tests := []struct {
		name string
		env  Env
		want []string
	}{
		{"all", Env{}, all},
		{"allowed", Env{Allow: []string{"CONSUL_*", "HOME"}}, append([]string{"HOME=/root", "CONSUL_TOKEN=t", "CONSUL_HTTP_ADDR=a"}, added...)},
		{"denied", Env{Deny: []string{"*_TOKEN"}}, append([]string{"HOME=/root", "CONSUL_HTTP_ADDR=a", "EMPTY=", "ODD=a=b"}, added...)},
		{"deny wins", Env{Allow: []string{"CONSUL_*"}, Deny: []string{"CONSUL_TOKEN"}}, append([]string{"CONSUL_HTTP_ADDR=a"}, added...)},
		{"what is added is not filtered", Env{Deny: []string{"*"}}, added},
		{"pristine", Env{Pristine: true, Allow: []string{"HOME"}}, added},
		{"custom comes last", Env{Pristine: true, Custom: []string{"RENDER_ACTION=mine", "A=$HOME"}}, append(slices.Clone(added), "RENDER_ACTION=mine", "A=$HOME")},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if got := test.env.Environ(ours, added); !slices.Equal(got, test.want) {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
	if env := (Env{Pristine: true}).Environ(ours, nil); env == nil {
		t.Error("an empty environment is nil, which stands for all of ours")
	}
}

func TestEnvValidate(t *testing.T) {
	for _, test := range []struct {
		env  Env
		want string
	}{
		{Env{}, ""},
		{Env{Allow: []string{"A_*", "[AB]"}, Deny: []string{"*"}, Custom: []string{"A=", "B=a=b"}}, ""},
		{Env{Allow: []string{"["}}, `environment: pattern "[": syntax error in pattern`},
		{Env{Deny: []string{"x["}}, `environment: pattern "x[": syntax error in pattern`},
		{Env{Custom: []string{"A"}}, `environment: entry 1 is not NAME=value`},
		{Env{Custom: []string{"A=b", "=a"}}, `environment: entry 2 is not NAME=value`},
	} {
		err := test.env.Validate()
		if got := errorText(err); got != test.want {
			t.Errorf("%+v: got %q, want %q", test.env, got, test.want)
		}
	}
}

func errorText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

// Of entries with the same name the last one is used; what is not added is that of the process.
func TestLookup(t *testing.T) {
	t.Setenv("RENDER_TEST_OURS", "ours")
	t.Setenv("RENDER_TEST_ADDED", "ours")
	added := []string{"RENDER_TEST_ADDED=first", "RENDER_TEST_ADDED=last", "RENDER_TEST_EMPTY="}
	for name, want := range map[string]string{"OURS": "ours", "ADDED": "last", "EMPTY": ""} {
		if got, ok := Lookup(added, "RENDER_TEST_"+name); got != want || !ok {
			t.Errorf("%s: got %q, %t, want %q", name, got, ok, want)
		}
	}
	if got, ok := Lookup(added, "RENDER_TEST_MISSING"); ok {
		t.Errorf("one that is missing: got %q", got)
	}
}

// A value has no zero byte, and a length that the kernel takes.
func TestVariable(t *testing.T) {
	for text, want := range map[string]int{"short": 5, "a\x00b": 2, strings.Repeat("x", mostVariable): mostVariable, strings.Repeat("ä", mostVariable): mostVariable + len("…")} {
		if got := Variable(text); len(got) != want || strings.Contains(got, "\x00") {
			t.Errorf("%.10q: %d bytes, want %d", text, len(got), want)
		}
	}
}
