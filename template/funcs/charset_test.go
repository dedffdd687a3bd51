package funcs

import (
	"math/rand/v2"
	"regexp"
	"strings"
	"testing"
)

// A charset matches what package regexp matches.
func TestCharsets(t *testing.T) {
	classes := []string{`[a-z0-9_-]`, `[\w.-]`, `[^/]`, `[^\w]`, `\d`, `\W`, `[a-zé-ü]`, `(?i)[k]`, `[[:alpha:]]`, `\pL`, `[^\x00-\x{10FFFF}]`, `[\x{FFFD}a]`, `a`, `é`, `ab`, `/`, `\.`, `(?i)k`, `.`, `(?s).`, `(a)`, `^`, `$`, `\b`, `a|b`}
	repeats := []string{"", "", "", "*", "+", "?", "{0,3}", "{1,2}", "{2}", "{1,}", "{0}", "*?", "{0,3}?"}
	begins, ends := []string{"^", "^", "^", `\A`, "(?m)^", ""}, []string{"$", "$", "$", `\z`, "(?m)$", ""}
	letters := []string{"a", "b", "k", "K", "\u212a", "é", "_", "-", "/", ".", "9", "\n", " ", "\xff", "\ufffd", "世", "\x00"}

	r := rand.New(rand.NewPCG(1, 2))
	pick := func(from []string) string { return from[r.IntN(len(from))] }
	found, matched := 0, 0
	for range 20_000 {
		text := pick(begins)
		for range r.IntN(4) {
			text += pick(classes) + pick(repeats)
		}
		text += pick(ends)
		re, err := regexp.Compile(text)
		if err != nil {
			continue
		}
		c := newCharset(text)
		if c == nil {
			continue
		}
		found++
		for range 20 {
			var s strings.Builder
			for range r.IntN(6) {
				s.WriteString(pick(letters))
			}
			want := re.MatchString(s.String())
			if want {
				matched++
			}
			if got := c.match(s.String()); got != want {
				t.Fatalf("%s on %q: %v, not %v", text, s.String(), got, want)
			}
		}
	}
	if found < 1000 || matched < 1000 {
		t.Errorf("only %d charsets, %d matches", found, matched)
	}
}

// The regular expressions with which recipes check names are charsets.
func TestCharsetsOfRecipes(t *testing.T) {
	for _, text := range []string{`^[a-z0-9_-]{1,63}$`, `^[\w.-]{0,60}$`, `^[1-9][0-9]{0,5}$`, `^/[A-Za-z0-9/_.-]*$`, `^\d+$`} {
		if newCharset(text) == nil {
			t.Errorf("%s is not valid", text)
		}
	}
	for _, text := range []string{`[a-z]+`, `^[a-z]+`, `^a|b$`, `^(a)+$`, `^[a-z]*b$`, `^(?i)abc$`, `^$`, `(?m)^[a-z]+$`, `[`} {
		if newCharset(text) != nil {
			t.Errorf("%s is one", text)
		}
	}
}
