package vault

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strings"
	"time"

	"render/watch"
	"render/watch/vault/api"
)

// A comparison finds out whether what a KV has at a path has changed.
type comparison struct {
	metadata string // the path of the metadata of a secret; "" where a read of the path itself is as cheap
}

// comparison returns how to find out whether what is at a path of the mount has changed; nil where it is no KV.
func (in mount) comparison(path string) *comparison {
	if !in.kv {
		return nil
	}
	if below, ok := strings.CutPrefix(path, in.path+"data/"); ok && in.v2 {
		return &comparison{metadata: in.path + "metadata/" + below}
	}
	return new(comparison)
}

// pollEvery returns how often a query's secret or list is looked at; 0 means not at all. A prefix is that of the path as it is written, as
// it is requested, or without data/.
func (s *Source) pollEvery(q watch.Query) time.Duration {
	at, in := s.mountOf(q)
	var forms []string
	switch q.Kind {
	case watch.KindSecret:
		forms = []string{at, in.dataPath(at)}
		if below, ok := strings.CutPrefix(at, in.path+"data/"); ok && in.v2 {
			forms = append(forms, in.path+below)
		}
	case watch.KindSecrets:
		for _, form := range []string{at, in.listPath(at)} {
			forms = append(forms, strings.TrimSuffix(form, "/")+"/")
		}
	}
	for _, p := range s.cfg.Load().Polls {
		prefix := strings.TrimLeft(p.Prefix, "/ ")
		if slices.ContainsFunc(forms, func(form string) bool { return strings.HasPrefix(form, prefix) }) {
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

// A version is the state of a version of a KV v2 secret, and what its owner noted about the secret, as JSON.
type version struct{ number, deletion, custom string }

func versionOf(data map[string]any) version {
	metadata, _ := data["metadata"].(map[string]any)
	return version{text(metadata["version"]), text(metadata["deletion_time"]), customOf(metadata)}
}

func customOf(metadata map[string]any) string {
	custom, _ := json.Marshal(metadata["custom_metadata"])
	return string(custom)
}

// currentOf returns the state of the current version, as metadata tell it.
func currentOf(data map[string]any) version {
	v := version{number: text(data["current_version"]), custom: customOf(data)}
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
