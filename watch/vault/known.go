package vault

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"render/watch"
	"render/watch/pause"
	"render/watch/vault/api"
)

// keepFiled returns when there is to be another answer than the certificate of files.
func (e *entry) keepFiled(ctx context.Context, a answered) {
	if !e.source.cfg.Load().ReadOnly && !e.isKnown(ctx, a) {
		return
	}
	next := time.Now().Add(max(leastPause, time.Until(a.clock.next)))
	for !e.isPartial() && ctx.Err() == nil && time.Now().Before(next) {
		e.wait(ctx, time.Until(next), nil, nil)
	}
}

// isKnown reports whether Vault has issued the certificate of a file and has not revoked it, as far as Vault says so before the next
// certificate is due. Meanwhile the certificate is in use.
func (e *entry) isKnown(ctx context.Context, a answered) bool {
	s := e.source
	mount := issuingMount(e.query.Name)
	for failures := 0; mount != "" && time.Now().Before(a.clock.next) && !e.isPartial(); failures++ {
		why, err := s.unknown(ctx, mount, a.filed)
		if why != "" {
			s.log.Warn("vault does not know the certificate of a file, requesting another", "mount", mount+"/", "reason", why)
			return false
		}
		if _, away := errors.AsType[watch.OutageError](err); !away || ctx.Err() != nil {
			return true // or it cannot be found out
		}
		delay := pause.Backoff(failures, s.cfg.Load().Backoff, s.cfg.Load().MaxBackoff)
		e.wait(ctx, min(delay, time.Until(a.clock.next)), s.client.OutageEnds(), nil)
	}
	return true
}

// issuingMount returns the mount of a path that issues certificates, or "".
func issuingMount(path string) string {
	for _, part := range []string{"/issue/", "/sign/", "/sign-verbatim"} {
		if at := strings.LastIndex(path, part); at > 0 {
			return path[:at]
		}
	}
	return ""
}

// unknown returns why a certificate is not one of a mount, or "" where it is or nobody can tell. Anybody may ask that: no token is needed.
func (s *Source) unknown(ctx context.Context, mount string, cert *x509.Certificate) (why string, err error) {
	serial := strings.ReplaceAll(fmt.Sprintf("% x", cert.SerialNumber.Bytes()), " ", "-")
	got, err := s.client.Do(ctx, api.Request{Method: http.MethodGet, Path: mount + "/cert/" + serial})
	switch {
	case err != nil:
		return "", err
	case !got.IsMissing() && api.Number(got.Body.Data["revocation_time"]) > 0:
		return "it is revoked", nil
	case !got.IsMissing():
		return "", nil
	}

	// Certificates of some roles are not stored.
	got, err = s.client.Do(ctx, api.Request{Method: http.MethodGet, Path: mount + "/cert/ca"})
	if err != nil || got.IsMissing() {
		return "", err
	}
	text, _ := got.Body.Data["certificate"].(string)
	block, _ := pem.Decode([]byte(text))
	if block == nil {
		return "", nil
	}
	ca, err := x509.ParseCertificate(block.Bytes)
	if err != nil || cert.CheckSignatureFrom(ca) == nil {
		return "", nil
	}
	return "another CA has signed it", nil
}
