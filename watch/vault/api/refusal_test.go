package api

import (
	"net/http"
	"strings"
	"testing"

	"render/watch/hint"
)

// The hint of a refusal names its reason: there is no token, Vault does not know the token, or Vault has no login at the path.
func TestRefusalHints(t *testing.T) {
	for _, test := range []struct{ path, token, text, want string }{
		{"secret/app", "", "permission denied", "no token is known"},
		{"auth/approle/login", "", "permission denied", "check that Vault has a login"},
		{"secret/app", "old", "invalid token", "the token is wrong, revoked or expired"},
		{"secret/app", "good", "permission denied", ""},
	} {
		_, err := Request{Path: test.path, Token: test.token}.judge(&http.Response{StatusCode: http.StatusForbidden}, []byte(`{"errors": ["`+test.text+`"]}`))
		if got := strings.Join(hint.Of(err), "\n"); err == nil || !strings.HasPrefix(got, test.want) || (got == "") != (test.want == "") {
			t.Errorf("%+v: %v, hint %q", test, err, got)
		}
	}
}
