package vault

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"time"

	"render/watch"
	"render/watch/vault/api"
)

// A comparison finds out whether a KV secret has changed.
type comparison struct {
	metadata string // the path of the metadata; "" where a read of the secret itself is as cheap
}

// comparison returns how to find out whether what is at a path of the mount has changed; nil where it is no KV secret.
func (in mount) comparison(path string) *comparison {
	if !in.kv {
		return nil
	}
	if !in.v2 {
		return new(comparison)
	}
	if below, ok := strings.CutPrefix(path, in.path+"data/"); ok {
		return &comparison{metadata: in.path + "metadata/" + below}
	}
	return nil
}

// pollEvery returns how often a query's secret is looked at; 0 means not at all.
func (s *Source) pollEvery(q watch.Query) time.Duration {
	if q.Kind != watch.KindSecret {
		return 0
	}
	at, _ := q.SecretPath()
	for _, p := range s.cfg.Load().Polls {
		if strings.HasPrefix(at, strings.TrimLeft(p.Prefix, "/ ")) {
			return p.Every
		}
	}
	return 0
}

// differs reports whether a secret is to be read again. Where the token may not read metadata, that is not known.
func (s *Source) differs(ctx context.Context, q watch.Query, a answered) (differs, known bool) {
	if a.comparison.metadata == "" {
		return true, true
	}
	secret, ok := a.value.(*watch.Secret)
	if !ok {
		return true, true
	}
	t, err := s.tokens.get(ctx)
	if err != nil {
		return true, true // the read fails as well, and says so
	}
	got, err := s.client.Do(ctx, api.Request{Method: http.MethodGet, Path: a.comparison.metadata, Token: t.token})
	switch {
	case api.IsUnknown(err):
		s.tokens.refuse(t)
		return true, true // so that this is the error of the query until there is another token
	case errors.Is(err, watch.ErrDenied):
		s.blind.Do(func() {
			mount, _ := mountName(q)
			s.log.Warn("vault metadata not readable, changes of KV secrets are noticed later", "mount", mount, "every", s.cfg.Load().LeaseDuration)
		})
		return false, false
	case err != nil, got.IsMissing():
		return true, true
	}
	return versionOf(secret.Data) != currentOf(got.Body.Data), true
}

// A version is the state of a version of a KV v2 secret.
type version struct{ number, deletion string }

func versionOf(data map[string]any) version {
	metadata, _ := data["metadata"].(map[string]any)
	return version{text(metadata["version"]), text(metadata["deletion_time"])}
}

// currentOf returns the state of the current version, as metadata tell it.
func currentOf(data map[string]any) version {
	v := version{number: text(data["current_version"])}
	versions, _ := data["versions"].(map[string]any)
	current, _ := versions[v.number].(map[string]any)
	v.deletion = text(current["deletion_time"])
	if current["destroyed"] == true {
		v.number = ""
	}
	return v
}

func text(v any) string {
	switch v := v.(type) {
	case string:
		return v
	case json.Number:
		return v.String()
	}
	return ""
}
