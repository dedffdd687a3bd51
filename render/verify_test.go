package render

import (
	"strings"
	"testing"
	"time"
)

// What logs show of a URL has no secret in it.
func TestVerifyHasNoSecrets(t *testing.T) {
	for url, want := range map[string]string{
		"http://127.0.0.1:1/health":                 "http://127.0.0.1:1/health",
		"http://user:hunter2@127.0.0.1:1/health":    "http://user:xxxxx@127.0.0.1:1/health",
		"http://127.0.0.1:1/health?token=hunter2&a": "http://127.0.0.1:1/health?xxxxx",
	} {
		v := Verify{URL: url, Within: time.Millisecond}
		if got := v.String(); got != want {
			t.Errorf("%s: got %s, want %s", url, got, want)
		}
		if err := (&commit{cfg: Action{Verify: v}}).verify(); err == nil || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: %v", url, err)
		}
	}
	for _, url := range []string{"http://user:hunter2@host:port/", "http://user:hunter2/2@host/", "http://[hunter2"} {
		if err := (Verify{URL: url}).validate(); err == nil || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: %v", url, err)
		}
	}
}
