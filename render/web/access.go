package web

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
)

// policy tells browsers to load nothing from other servers, to send nothing to them, and to show the page in no other page.
const policy = "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"

// rules say which requests the server accepts.
type rules struct {
	hosts []string
	token *cached[token] // nil for none
	tls   *tls.Config    // nil for none
}

// newRules reads the files that settings name.
func newRules(settings Settings) (*rules, error) {
	r := new(rules)
	for _, name := range settings.Hosts {
		r.hosts = append(r.hosts, strings.ToLower(strings.TrimSuffix(name, ".")))
	}
	if settings.TokenFile != "" {
		var err error
		if r.token, err = newToken(settings.TokenFile); err != nil {
			return nil, err
		}
	}
	if settings.Cert != "" {
		pair, err := newCertificate(settings.Cert, settings.Key)
		if err != nil {
			return nil, err
		}
		r.tls = &tls.Config{
			MinVersion: tls.VersionTLS12, NextProtos: []string{"http/1.1"},
			GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return pair.get(), nil },
		}
	}
	return r, nil
}

// access decides who may ask what.
type access struct {
	rules *atomic.Pointer[rules]
	open  map[string]bool // paths that need no token without a query, which asks for details
	next  http.Handler
}

// localKey is the key of a context of a request that came by a unix socket.
type localKey struct{}

func isSocket(ctx context.Context) bool { return ctx.Value(localKey{}) != nil }

func (a *access) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Content-Security-Policy", policy)
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("X-Frame-Options", "DENY")
	h.Set("Cache-Control", "no-store")

	x := a.rules.Load()
	switch {
	case r.Method != http.MethodGet && r.Method != http.MethodHead:
		h.Set("Allow", "GET, HEAD")
		http.Error(w, "render answers GET and HEAD only", http.StatusMethodNotAllowed)
	case r.ContentLength != 0:
		h.Set("Connection", "close")
		http.Error(w, "a request must have no body", http.StatusRequestEntityTooLarge)
	case !x.isKnown(r):
		http.Error(w, "this name is not one of this server: use its IP address or localhost, or add the name to listen.hosts", http.StatusMisdirectedRequest)
	case !(a.open[r.URL.Path] && r.URL.RawQuery == "") && !x.isAllowed(r):
		h.Set("WWW-Authenticate", `Basic realm="render: any user, the token as password", charset="UTF-8"`)
		http.Error(w, "the token of listen.token_file is needed: as Authorization: Bearer TOKEN, or as the password of any user", http.StatusUnauthorized)
	default:
		a.next.ServeHTTP(w, r)
	}
}

// isKnown reports whether a request names a host that is ours. A page of a stranger can make its own name lead to this machine, and
// have a browser ask us by it; it cannot do that with an IP address.
func (x *rules) isKnown(r *http.Request) bool {
	if isSocket(r.Context()) { // no browser connects to one
		return true
	}
	host := r.Host
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	host = strings.ToLower(strings.TrimSuffix(strings.Trim(host, "[]"), "."))
	return host == "localhost" || net.ParseIP(host) != nil || slices.Contains(x.hosts, host)
}

// isAllowed reports whether a request has the token, or needs none.
func (x *rules) isAllowed(r *http.Request) bool {
	if x.token == nil || isSocket(r.Context()) {
		return true
	}
	given, isBearer := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	if !isBearer {
		_, given, _ = r.BasicAuth()
	}
	return x.token.get().is(given)
}
