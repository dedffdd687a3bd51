package vault

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"testing"
	"time"

	"render/watch"
	"render/watch/vaulttest"
)

// A standby hands requests on, redirects them, or has nobody to hand them on to, which is an outage. That is so through a proxy, too.
func TestStandby(t *testing.T) {
	if testing.Short() {
		t.Skip("needs a Vault")
	}
	t.Parallel()
	active := vaulttest.Start(t)
	standby := vaulttest.StartStandby(t, active)
	active.Put(t, "kv1/app", map[string]any{"value": "one"})
	to, err := url.Parse(standby.Addr)
	if err != nil {
		t.Fatal(err)
	}
	proxy := httptest.NewServer(httputil.NewSingleHostReverseProxy(to))
	defer proxy.Close()

	forwarded := of(t, active, Config{Address: proxy.URL})
	redirected := of(t, active, Config{Address: proxy.URL, Headers: http.Header{"X-Vault-No-Request-Forwarding": {"true"}}})
	other := of(t, active, Config{Address: proxy.URL, Headers: http.Header{"X-Vault-No-Request-Forwarding": {"true"}}, DisableRedirects: true})
	q := query(t, "kv1/app")
	for name, src := range map[string]*Source{"forwarded": forwarded, "redirected": redirected} {
		value, _, err := src.Fetch(t.Context(), q, 0)
		if secret, ok := value.(*watch.Secret); err != nil || !ok || secret.Data["value"] != "one" {
			t.Errorf("%s: got %v, %v", name, value, err)
		}
	}
	if _, _, err := other.Fetch(t.Context(), q, 0); err == nil {
		t.Error("a redirect is followed although that is disabled")
	}

	// Without the active Vault nobody is active: two need each other.
	active.Stop()
	for late := time.Now().Add(20 * time.Second); ; time.Sleep(100 * time.Millisecond) {
		_, _, err := forwarded.Fetch(t.Context(), q, 0)
		if _, away := errors.AsType[watch.OutageError](err); away { // by a redirect to the active, or because the standby knows none
			break
		}
		if time.Now().After(late) {
			t.Fatalf("got %v", err)
		}
	}
	if err := errors.Join(active.Restart(), active.Unseal()); err != nil {
		t.Fatal(err)
	}
	for late := time.Now().Add(20 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		if _, _, err := forwarded.Fetch(t.Context(), q, 0); err == nil {
			break
		}
		if time.Now().After(late) {
			t.Fatalf("after the active is back: %v", err)
		}
	}
}
