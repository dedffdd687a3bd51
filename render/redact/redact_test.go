package redact

import (
	"encoding/base64"
	"encoding/hex"
	"strings"
	"testing"

	"render/watch"
)

const key = "-----BEGIN PRIVATE KEY-----\nMIGHAgEAMBMGByqGSM49\nzj0CAQYIKoZIzj0DAQcE\n-----END PRIVATE KEY-----\n"

// A line with a secret, in any form that a file may have it in, is replaced; the other lines stay as they are.
func TestLines(t *testing.T) {
	answers := []any{
		&watch.Secret{Data: map[string]any{"data": map[string]any{
			"password": `hunter"2<&'é`, "list": []any{"in a list"}, "pin": "123", "json": `{"inner": ["deep secret"]}`,
			"encoded": base64.StdEncoding.EncodeToString([]byte("decoded secret")),
		}}, Auth: &watch.SecretAuth{ClientToken: "hvs.token"}},
		&watch.PKICert{Key: key}, watch.NewNomadVar(watch.NomadVarMeta{}, map[string]string{"token": "of nomad"}), "written", nil, (*watch.Secret)(nil),
	}
	for _, line := range []string{
		`password = hunter"2<&'é;`, `{"password": "hunter\"2<&'é"}`, `{"password": "hunter\"2\u003c\u0026'é"}`, `p='hunter"2<&'\''é'`, `p='hunter"2<&''é'`,
		"?p=hunter%222%3C%26%27%C3%A9", "/hunter%222%3C&%27%C3%A9/", "hunter&#34;2&lt;&amp;&#39;é", `HUNTER"2<&'É`, "68756e746572223" + "23c2627c3a9",
		"in a list", "deep secret", "decoded secret", "hvs.token", "Of Nomad", "was written", "near MIGHAgEAMBMGByqGSM49", `"MIGHAgEAMBMGByqGSM49\nzj0CAQYIKoZIzj0DAQcE"`,
		"Basic " + base64.StdEncoding.EncodeToString([]byte(`u:hunter"2<&'é`)), base64.URLEncoding.EncodeToString([]byte(`us:hunter"2<&'é`)),
		base64.StdEncoding.EncodeToString([]byte(`usr:hunter"2<&'é:x`)), base64.StdEncoding.EncodeToString([]byte(key)),
	} {
		const before, after = "nginx: file:12: unexpected end\n", "\nhunter 123 -----BEGIN PRIVATE KEY-----"
		if got := New(answers).Lines(before + line + after); got != before+Line+after {
			t.Errorf("%s: got %s", line, got)
		}
	}
	if got := New(answers).Lines("a\r\nhvs.token\r\n\nb"); got != "a\r\n"+Line+"\r\n\nb" {
		t.Errorf("got %q", got)
	}
	if got := New(answers).Lines("[…]oken\nb\n"); got != Line+"\nb\n" {
		t.Errorf("a beginning that is cut: got %q", got)
	}
	if got := New(nil).Lines("[…]oken\nb\n"); got != "[…]oken\nb\n" {
		t.Errorf("without secrets: got %q", got)
	}
}

// Instead of what may have unknown secrets its size is told.
func TestSize(t *testing.T) {
	if got := Size("secret"); got != "[6 bytes that may have secrets]" || Size("") != "" {
		t.Errorf("got %q", got)
	}
}

// A Finder makes the forms of a secret once, however many answers have it, and not before something is printed that is long enough.
func TestFinder(t *testing.T) {
	long := strings.Repeat("long secret ", 100) + "\n\"quoted\""
	var answers []any
	for range 1000 {
		answers = append(answers, &watch.Secret{Data: map[string]any{"short": "hunter2", "long": long}})
	}
	f := New(answers)
	if len(f.waiting) != 4 { // the short one, the long one and its two lines
		t.Errorf("secrets: %q", f.waiting)
	}
	if got := f.Lines("ok\n"); got != "ok\n" || len(f.waiting) != 2 {
		t.Errorf("a short text: got %q, and %d secrets wait", got, len(f.waiting))
	}
	for _, line := range []string{"is hunter2", "quoted", strings.Repeat("LONG secret ", 100), "a" + hex.EncodeToString([]byte("hunter2")), "hunter2"} {
		if got := f.Lines("ok\n" + line + "\n"); got != "ok\n"+Line+"\n" {
			t.Errorf("%s: got %q", line, got)
		}
	}
	if kelvin := "\u212a\u212a\u212a\u212a"; New([]any{kelvin}).Lines("kkkk") != Line {
		t.Error("letters that are shorter when they are small: not found")
	}
}
