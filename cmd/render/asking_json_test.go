package main

import (
	"encoding/json"
	"testing"
)

// JSON on a terminal has no character that the terminal obeys, and is the same JSON.
func TestEscapedJSON(t *testing.T) {
	for _, text := range []string{"plain ÄÖ", "\u009b31m", "\u202egnp.exe", "\x7f", "tab\tand\nline", "\U000e0001", "🙂"} {
		plain, err := json.Marshal(text)
		check(t, err)
		escaped := escapedJSON(string(plain))
		for _, r := range escaped {
			if r < ' ' || 0x7f <= r && r < 0xa0 || r == 0x202e || r == 0xe0001 {
				t.Errorf("%q: %q", text, escaped)
			}
		}
		var got string
		if err := json.Unmarshal([]byte(escaped), &got); err != nil || got != text {
			t.Errorf("%q became %q, %v", text, got, err)
		}
	}
}
