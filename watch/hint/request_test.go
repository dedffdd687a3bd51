package hint_test

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"render/watch/hint"
)

// The error of a request has no URL, and a hint where the server does not use TLS.
func TestOfRequest(t *testing.T) {
	server := httptest.NewServer(http.NotFoundHandler())
	defer server.Close()
	for _, test := range []struct{ url, text, hint string }{
		{strings.Replace(server.URL, "http:", "https:", 1) + "/path", "server gave HTTP response to HTTPS client", "write http:// in the address and disable ssl, or have the server use TLS"},
		{"http://127.0.0.1:1/path", "connection refused", ""},
	} {
		_, err := http.Get(test.url)
		got := hint.OfRequest(err)
		if got == nil || !strings.Contains(got.Error(), test.text) || strings.Contains(got.Error(), "/path") {
			t.Errorf("%s: %v", test.url, got)
		}
		if hints := strings.Join(hint.Of(got), "\n"); hints != test.hint {
			t.Errorf("%s: the hint is %q, not %q", test.url, hints, test.hint)
		}
	}
	other := errors.New("other")
	if got := hint.OfRequest(other); got != other {
		t.Errorf("another error becomes %v", got)
	}
}
