package web

import (
	"cmp"
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
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

// newRules reads the files that settings name, and logs what is unsafe about them.
func newRules(settings Settings, log *slog.Logger) (*rules, error) {
	r := new(rules)
	for _, name := range settings.Hosts {
		r.hosts = append(r.hosts, strings.ToLower(strings.TrimSuffix(name, ".")))
	}
	if settings.TokenFile != "" {
		var err error
		if r.token, err = newToken(settings.TokenFile); err != nil {
			return nil, err
		}
		for _, why := range weaknesses(settings.TokenFile) {
			log.Warn("token of the status page is not safe", "file", settings.TokenFile, "why", why)
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

// stricter returns rules that accept only what both accept, with the token and the certificate of the newer rules where these have them.
func (x *rules) stricter(newer *rules) *rules {
	if x == nil {
		return newer
	}
	both := &rules{token: cmp.Or(newer.token, x.token), tls: cmp.Or(newer.tls, x.tls)}
	for _, name := range newer.hosts {
		if slices.Contains(x.hosts, name) {
			both.hosts = append(both.hosts, name)
		}
	}
	return both
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
	refuse := func(code int, text string) {
		h.Set("Connection", "close") // whoever is refused holds no connection
		http.Error(w, text, code)
	}
	switch {
	case r.Method != http.MethodGet && r.Method != http.MethodHead:
		h.Set("Allow", "GET, HEAD")
		refuse(http.StatusMethodNotAllowed, "render answers GET and HEAD only")
	case r.ContentLength != 0:
		refuse(http.StatusRequestEntityTooLarge, "a request must have no body")
	case !x.isKnown(r, a.isOpen(r)):
		refuse(http.StatusMisdirectedRequest, fmt.Sprintf("render does not accept this host name: %.100q. Use localhost or an IP address, or add the name to listen.hosts", r.Host))
	case !a.isOpen(r) && !x.isAllowed(r):
		h.Set("WWW-Authenticate", `Basic realm="render: any user, the token as password", charset="UTF-8"`)
		refuse(http.StatusUnauthorized, "send the token of listen.token_file: as Authorization: Bearer TOKEN, or as the password of any user")
	default:
		if a.open[r.URL.Path] { // probes come seldom
			h.Set("Connection", "close")
		}
		a.next.ServeHTTP(w, r)
	}
}

// isOpen reports whether a request needs no token.
func (a *access) isOpen(r *http.Request) bool { return a.open[r.URL.Path] && r.URL.RawQuery == "" }

// allows reports whether a request that was accepted still is.
func (a *access) allows(r *http.Request) bool {
	x := a.rules.Load()
	return x.isKnown(r, a.isOpen(r)) && (a.isOpen(r) || x.isAllowed(r))
}

// isKnown reports whether a request names a host that is ours. A page of a stranger can make its own name lead to this machine, and
// have a browser ask us by it; it cannot do that with an IP address. Probes may name none, as load balancers do with HTTP/1.0: browsers
// always name one.
func (x *rules) isKnown(r *http.Request, open bool) bool {
	if isSocket(r.Context()) { // no browser connects to one
		return true
	}
	if r.Host == "" {
		return open
	}
	host := hostOf(r.Host)
	address, _, _ := strings.Cut(host, "%") // without its zone
	return host == "localhost" || net.ParseIP(address) != nil || slices.Contains(x.hosts, host)
}

// hostOf returns the host of a Host header in lower case, without port, brackets and the dot at its end.
func hostOf(text string) string {
	host := text
	if name, _, err := net.SplitHostPort(text); err == nil {
		host = name
	} else if strings.HasPrefix(text, "[") && strings.HasSuffix(text, "]") {
		host = text[1 : len(text)-1]
	}
	return strings.ToLower(strings.TrimSuffix(host, "."))
}

// isAllowed reports whether a request has the token, or needs none.
func (x *rules) isAllowed(r *http.Request) bool {
	if x.token == nil || isSocket(r.Context()) {
		return true
	}
	scheme, given, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if !strings.EqualFold(scheme, "Bearer") {
		_, given, _ = r.BasicAuth()
	}
	return x.token.get().is(given)
}
