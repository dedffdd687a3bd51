package vault

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"render/watch"
	"render/watch/hint"
	"render/watch/vault/api"
)

// An answered is what a request about a query has brought.
type answered struct {
	value      any // nil where there is none
	lease      lease
	clock      clock
	comparison *comparison       // nil where it is not of a KV
	filed      *x509.Certificate // that a file had; nil where Vault has answered
}

// answer makes the requests about a query, with a token.
func (s *Source) answer(ctx context.Context, q watch.Query, t usedToken) (answered, error) {
	switch q.Kind {
	case watch.KindSecret:
		return s.read(ctx, q, t)
	case watch.KindSecrets:
		return s.list(ctx, q, t)
	case watch.KindSecretWrite:
		return s.write(ctx, q, t)
	case watch.KindPKICert:
		return s.certificate(ctx, q, t)
	}
	return answered{}, watch.UnknownKind(q)
}

// errReadOnly is the error of a query that would write. It is a refusal: asking again does not help.
var errReadOnly = hint.With(readOnlyError{}, "use --fixture to try the template without Vault")

type readOnlyError struct{}

func (readOnlyError) Error() string        { return "not asked: a dry run writes nothing to vault" }
func (readOnlyError) Is(target error) bool { return target == watch.ErrDenied }

// A uselessError is the error of an answer that cannot be used to a request that may have created something. The request is repeated
// when the answer would be replaced, and not sooner: each repetition can create more. It ends a run with once, as a refusal does.
type uselessError struct{ error }

func (e uselessError) Unwrap() error      { return e.error }
func (uselessError) Is(target error) bool { return target == watch.ErrDenied }

// useless returns the error of an answer to a request that may have created something; nil for none.
func useless(err error) error {
	if err == nil {
		return nil
	}
	return uselessError{err}
}

// isDenied reports whether Vault has denied a request.
func isDenied(err error) bool {
	status, ok := errors.AsType[*api.StatusError](err)
	return ok && status.Status == http.StatusForbidden
}

// below makes the request of a query about a path, as it fits what is mounted there. Where Vault has nothing there, what is mounted is
// found out about again, once: it may have been replaced.
func (s *Source) below(ctx context.Context, q watch.Query, at string, t usedToken, fit func(mount) api.Request) (got api.Reply, err error) {
	var in mount
	var r api.Request
	for tries := 1; ; tries++ {
		if in, err = s.mounts.of(ctx, at, t.token); err != nil {
			return api.Reply{}, err
		}
		r = fit(in)
		r.Token, r.Wrapped = t.token, true
		got, err = s.client.Do(ctx, r)
		if tries == 2 || !refused(got, err) || !s.mounts.doubt(in, isUnmounted(err), s.answeredAt(q)) {
			break
		}
	}
	switch {
	case api.IsUnknown(err), r.Token == "" && errors.Is(err, watch.ErrDenied): // the path does not matter, and the error has a hint
		return got, err
	case in.reason == nil && errors.Is(err, watch.ErrDenied):
		return got, hint.With(err, "allow the path that stands before the 403 in a policy of the token")
	case in.reason == nil:
		return got, err
	}

	// Vault does not say whether this is KV v2, so that the path may be the wrong one.
	unknown := fmt.Sprintf("vault does not say what is mounted there (%s)", reason(in.reason))
	switch {
	case err != nil && refused(got, err):
		return api.Reply{}, hint.With(fmt.Errorf("%w; %s", err, unknown), hintUnknown)
	case err == nil && got.IsMissing():
		return api.Reply{}, hint.With(fmt.Errorf("vault has nothing at %s; %s", r.Path, unknown), hintUnknown)
	}
	return got, err
}

const hintUnknown = "check the path; of a KV v2 write MOUNT/data/PATH, or allow the token to read the path"

// reason returns why Vault does not tell a mount.
func reason(err error) string {
	if status, ok := errors.AsType[*api.StatusError](err); ok {
		return fmt.Sprint(status.Status)
	}
	return err.Error()
}

// refused reports whether Vault answers that there is no such path, or that the token may not.
func refused(got api.Reply, err error) bool {
	if status, ok := errors.AsType[*api.StatusError](err); ok {
		return slices.Contains([]int{http.StatusForbidden, http.StatusBadRequest, http.StatusNotFound, http.StatusMethodNotAllowed}, status.Status)
	}
	return err == nil && got.Status == http.StatusNotFound
}

// isUnmounted reports whether Vault says that nothing is mounted where a path is.
func isUnmounted(err error) bool {
	status, ok := errors.AsType[*api.StatusError](err)
	return ok && status.IsUnmounted()
}

// answeredAt returns when Vault last had something for a query; zero for never.
func (s *Source) answeredAt(q watch.Query) time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	if e := s.entries[q]; e != nil {
		return e.answered
	}
	return time.Time{}
}

// isGone reports whether data are those of a version of a KV v2 secret that was deleted or destroyed.
func isGone(data map[string]any) bool {
	metadata, ok := data["metadata"].(map[string]any)
	if !ok || metadata["version"] == nil {
		return false
	}
	for _, name := range []string{"data", "subkeys"} {
		if value, has := data[name]; has && value == nil {
			return true
		}
	}
	return false
}

func (s *Source) read(ctx context.Context, q watch.Query, t usedToken) (answered, error) {
	at, values := q.SecretPath()
	var compare *comparison
	got, err := s.below(ctx, q, at, t, func(in mount) api.Request {
		path := in.dataPath(at)
		if len(values) == 0 {
			compare = in.comparison(path)
		}
		return api.Request{Method: http.MethodGet, Path: path, Params: values}
	})
	if err != nil {
		return answered{}, err
	}
	if got.IsMissing() || isGone(got.Body.Data) {
		return answered{clock: s.idle()}, nil
	}
	a, err := s.leased(q, got, t)
	a.comparison = compare
	return a, err
}

func (s *Source) write(ctx context.Context, q watch.Query, t usedToken) (answered, error) {
	if s.cfg.Load().ReadOnly {
		return answered{}, errReadOnly
	}
	pairs := q.Pairs()
	got, err := s.below(ctx, q, q.Name, t, func(in mount) api.Request {
		r := api.Request{Method: http.MethodPut, Path: in.dataPath(q.Name), Body: pairs, Hidden: slices.Collect(maps.Values(pairs))}
		if in.v2 {
			r.Body = map[string]any{"data": pairs}
		}
		return r
	})
	switch {
	case err != nil:
		return answered{}, err
	case got.Status == http.StatusNotFound:
		return answered{}, fmt.Errorf("vault has nothing at %s to write to", q.Name)
	case got.IsMissing():
		return answered{value: (*watch.Secret)(nil), clock: s.idle()}, nil
	}
	if got.Body.Data["certificate"] != nil && issuingMount(q.Name) != "" {
		s.logIssued(q)
	}
	a, err := s.leased(q, got, t)
	return a, useless(err)
}

// logIssued logs, once for each mount, that a certificate was issued which the next start does not know.
func (s *Source) logIssued(q watch.Query) {
	mount, _ := mountName(q)
	s.mu.Lock()
	logged := s.issued[mount]
	s.issued[mount] = true
	s.mu.Unlock()
	if !logged {
		s.log.Info("vault issued a certificate; each start requests another, use pkiCert to keep the one of the file", "mount", mount)
	}
}

// leased returns the answer that a reply holds, with its lease.
func (s *Source) leased(q watch.Query, got api.Reply, t usedToken) (answered, error) {
	secret := got.Body.Secret()
	c, err := s.clockOf(secret, got.Sent)
	if err != nil {
		return answered{}, err
	}
	if len(secret.Warnings) > 0 {
		s.warn(q, secret.Warnings)
	}
	if !c.expires.IsZero() {
		secret = secret.Until(c.expires, c.seconds)
	}
	l := s.leaseOf(q, secret, t)
	c.renews = c.renews && !l.isNone()
	return answered{value: secret, clock: c, lease: l}, nil
}

func (s *Source) list(ctx context.Context, q watch.Query, t usedToken) (answered, error) {
	var compare *comparison
	got, err := s.below(ctx, q, q.Name, t, func(in mount) api.Request {
		path := in.listPath(q.Name)
		compare = in.comparison(path)
		return api.Request{Method: http.MethodGet, Path: path, Params: url.Values{"list": {"true"}}}
	})
	if err != nil {
		return answered{}, err
	}
	names := []string{}
	if !got.IsMissing() {
		all, ok := got.Body.Data["keys"].([]any)
		if !ok && got.Body.Data["keys"] != nil {
			return answered{}, errors.New("the answer has keys that are no list")
		}
		for _, name := range all {
			text, ok := name.(string)
			if !ok {
				return answered{}, errors.New("the answer has a key that is no text")
			}
			names = append(names, text)
		}
	}
	slices.Sort(names)
	return answered{value: names, clock: s.idle(), comparison: compare}, nil
}

// warn logs what Vault warns of, unless it has just done so. The path of a query may have a part of a secret: only its beginning is named,
// below which something is mounted.
func (s *Source) warn(q watch.Query, warnings []string) {
	mount, path := mountName(q)
	text := api.Request{Hidden: append(slices.Collect(maps.Values(q.Pairs())), path)}.Redact(strings.Join(warnings, "; "))
	s.mu.Lock()
	logged := s.warned[q] == text
	s.warned[q] = text
	s.mu.Unlock()
	if !logged {
		s.log.Warn("vault sent a warning", "kind", q.Kind, "mount", mount, "warning", text)
	}
}

// mountName returns the first part of a query's path, which is the name of a mount or its beginning, and what is after it.
func mountName(q watch.Query) (name, path string) {
	at := q.Name
	if q.Kind == watch.KindSecret {
		at, _ = q.SecretPath()
	}
	name, path, _ = strings.Cut(at, "/")
	return name + "/", path
}

// idle returns the clock of what does not change by itself.
func (s *Source) idle() clock {
	return clock{next: time.Now().Add(s.around(s.cfg.Load().LeaseDuration))}
}
