package vault

import (
	"context"
	"errors"
	"math/rand/v2"
	"net/http"
	"strings"
	"time"

	"render/watch"
	"render/watch/pause"
	"render/watch/vault/api"
)

// A lease is what Vault has created for an answer. The zero value is none.
type lease struct {
	by         *Source // that revokes it
	id         string
	token      string    // that the answer has created, in place of an id
	generation uint64    // of the token that the lease ends with; 0 where it ends with none
	until      time.Time // when it ends by itself, as far as known
}

// leaseOf returns the lease of an answer. The token of the request is none, also where the answer has it.
func (s *Source) leaseOf(q watch.Query, secret *watch.Secret, t usedToken) lease {
	if secret.WrapInfo != nil || hasToken(secret, t.token) { // what is wrapped may have a lease; a token may be in a file
		s.keeps.Store(true)
	}
	l := lease{by: s, id: secret.LeaseID, until: secret.Expires()}
	if secret.Auth != nil && secret.Auth.ClientToken != t.token {
		l.token = secret.Auth.ClientToken
	}
	if l.isNone() {
		return lease{}
	}
	if l.id != "" || l.token != "" && strings.Contains("/"+q.Name, "/auth/token/create") { // a namespace may stand before it
		l.generation = t.generation
		s.hasLeased.Store(true)
	}
	return l
}

// hasToken reports whether an answer has a token.
func hasToken(secret *watch.Secret, token string) bool {
	if secret.Auth != nil && secret.Auth.ClientToken == token {
		return true
	}
	for _, value := range secret.Data {
		if value == token {
			return true
		}
	}
	return false
}

// isNone reports whether nothing has to be renewed or revoked.
func (l lease) isNone() bool { return l.id == "" && l.token == "" }

// hasEnded reports whether a lease has ended by itself.
func (l lease) hasEnded() bool { return !l.until.IsZero() && !time.Now().Before(l.until) }

// A renewal is what Vault answers to one.
type renewal struct {
	lasts   time.Duration
	expires time.Time
	renews  bool
}

func (s *Source) renew(ctx context.Context, l lease) (renewal, error) {
	t, err := s.tokens.get(ctx)
	if err != nil {
		return renewal{}, err
	}
	r := api.Request{Method: http.MethodPut, Path: "sys/leases/renew", Token: t.token, Body: map[string]any{"increment": 0, "lease_id": l.id}, Hidden: []string{l.id}}
	if l.token != "" {
		r = renewSelf(l.token)
	}
	got, err := s.client.Do(ctx, r)
	if err != nil {
		if l.token == "" && errors.Is(err, watch.ErrDenied) {
			s.tokens.refuse(t)
		}
		return renewal{}, err
	}
	if got.IsMissing() {
		return renewal{}, &api.StatusError{Status: http.StatusNotFound, Path: r.Path}
	}
	lasts, renews := leaseTime(got.Body.Secret())
	return renewal{lasts: lasts, renews: renews, expires: got.Sent.Add(lasts)}, nil
}

func renewSelf(token string) api.Request {
	return api.Request{Method: http.MethodPut, Path: "auth/token/renew-self", Token: token, Body: map[string]any{"increment": 0}}
}

// isOver reports whether a renewal failed because there is no such lease any more. A standby cannot know that, and neither can a proxy,
// whose refusal has no text of Vault's.
func isOver(err error) bool {
	status, ok := errors.AsType[*api.StatusError](err)
	return ok && !status.IsStandby() && (status.Status == http.StatusBadRequest && len(status.Texts) > 0 || status.Status == http.StatusNotFound)
}

// isLongest reports whether a renewal failed because the lease lasts as long as it can. It goes on until its end.
func isLongest(err error) bool {
	status, ok := errors.AsType[*api.StatusError](err)
	return ok && status.Says("max TTL")
}

// release revokes a lease whose answer is no longer used.
func (s *Source) release(l lease) {
	if pause.For(s.life, releaseAfter+rand.N(releaseSpread)) {
		err := l.revoke(s.life)
		if err == nil || s.life.Err() == nil {
			s.noteLeft(l, err)
			return
		}
	}
	s.mu.Lock()
	next := s.next
	s.mu.Unlock()
	switch {
	case next != nil:
		next.startRelease(l)
	case s.cfg.Load().RevokeOnStop:
		s.revoke(s.net, l)
	}
}

// startRelease releases a lease of a source that this one replaces.
func (s *Source) startRelease(l lease) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.closed {
		s.tasks.Go(func() { s.release(l) })
	}
}

// revoke has Vault end a lease, and notes where that fails.
func (s *Source) revoke(ctx context.Context, l lease) { s.noteLeft(l, l.revoke(ctx)) }

// noteLeft notes why a lease was not revoked, for the end, or logs it once. The error is nil where the lease has ended.
func (s *Source) noteLeft(l lease, why error) {
	if why == nil {
		return
	}
	s.mu.Lock()
	closed := s.closed
	if closed {
		s.left = append(s.left, leftLease{l, why})
	}
	s.mu.Unlock()
	if !closed {
		s.unrevoked.Do(func() { s.log.Warn("vault lease not revoked", "err", why) })
	}
}

// revoke has Vault end a lease. It tries until the lease has ended in one way or another, or ctx is done. The error is why the lease may
// last.
func (l lease) revoke(ctx context.Context) error {
	s := l.by
	why := errLate
	for failures := 0; !l.isNone() && !l.hasEnded(); failures++ {
		r := api.Request{Method: http.MethodPut, Path: "sys/leases/revoke", Body: map[string]any{"lease_id": l.id}, Hidden: []string{l.id}}
		var t usedToken
		if l.token != "" {
			r = api.Request{Method: http.MethodPut, Path: "auth/token/revoke-self", Token: l.token}
		} else {
			var err error
			if t, err = s.tokens.get(ctx); err != nil {
				return err
			}
			r.Token = t.token
		}

		_, err := s.client.Do(ctx, r)
		_, away := errors.AsType[watch.OutageError](err)
		switch {
		case err == nil, isOver(err), l.token != "" && api.IsUnknown(err):
			return nil
		case ctx.Err() != nil:
			return why
		case api.IsUnknown(err):
			s.tokens.refuse(t)
			if !isReplaced(ctx, t) {
				return nil // the lease has ended with the token
			}
		case !away:
			return err
		}
		why = err
		if !pause.For(ctx, pause.Backoff(failures, s.cfg.Load().Backoff, s.cfg.Load().MaxBackoff)) {
			return why
		}
	}
	return nil
}

var errLate = errors.New("vault did not answer in time")

// isReplaced reports whether there is another token within a short time.
func isReplaced(ctx context.Context, t usedToken) bool {
	timer := time.NewTimer(replacedWithin)
	defer timer.Stop()
	select {
	case <-t.changed:
		return true
	case <-timer.C:
	case <-ctx.Done():
	}
	return false
}
