package vault

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"sync"
	"time"

	"render/watch"
	"render/watch/vault/api"
)

const mountStale = time.Minute // after that a refusal leads to another request for the mount: it may have been replaced, or become a KV v2

// A mount is where a secrets engine is mounted.
type mount struct {
	path   string // with a slash at its end; "" where it is not known
	kv     bool
	v2     bool // a KV of the second version
	asked  time.Time
	reason error // why nothing is known; nil where something is
}

// mounts know the mounts that paths are below. The next query requests again what could not be found out.
type mounts struct {
	client    *api.Client
	namespace string // whose name the paths of mounts may begin with

	mu     sync.Mutex // guards what follows
	known  map[string]mount
	asking map[string]*question // by the first segment of the path
}

// A question about a mount is under way. Its outcome is set before done is closed.
type question struct {
	done  chan struct{}
	found mount
	err   error
}

func newMounts(c *api.Client, namespace string) *mounts {
	return &mounts{client: c, namespace: trim(namespace), known: make(map[string]mount), asking: make(map[string]*question)}
}

// of returns the mount that a path is below. An error means that Vault is away: what else hinders is the mount's reason. One question at a
// time serves all paths that have their first segment in common, as long as its answer says something of them.
func (m *mounts) of(ctx context.Context, path, token string) (mount, error) {
	first, _, _ := strings.Cut(path, "/")
	switch first {
	case "sys", "auth", "identity", "cubbyhole":
		return mount{path: first + "/"}, nil
	}
	for {
		m.mu.Lock()
		if found, ok := m.lookup(path); ok {
			m.mu.Unlock()
			return found, nil
		}
		under := m.asking[first]
		if under == nil {
			under = &question{done: make(chan struct{})}
			m.asking[first] = under
			m.mu.Unlock()
			return m.askForAll(ctx, under, first, path, token)
		}
		m.mu.Unlock()

		select {
		case <-under.done:
		case <-ctx.Done():
			return mount{}, ctx.Err()
		}
		switch _, away := errors.AsType[watch.OutageError](under.err); {
		case away:
			return mount{}, under.err
		case under.err == nil && under.found.path == "":
			return m.ask(ctx, path, token)
		}
	}
}

// lookup returns a mount that is known. No mount is below another.
func (m *mounts) lookup(path string) (mount, bool) {
	for at, found := range m.known {
		if strings.HasPrefix(path+"/", at) {
			return found, true
		}
	}
	return mount{}, false
}

// mountOf returns the path of a query, and what is known of the mount that it is below; the zero value for nothing.
func (s *Source) mountOf(q watch.Query) (at string, in mount) {
	at = q.Name
	if q.Kind == watch.KindSecret {
		at, _ = q.SecretPath()
	}
	s.mounts.mu.Lock()
	defer s.mounts.mu.Unlock()
	in, _ = s.mounts.lookup(at)
	return at, in
}

// askForAll requests a mount while other queries wait for the outcome.
func (m *mounts) askForAll(ctx context.Context, q *question, first, path, token string) (mount, error) {
	q.found, q.err = m.ask(ctx, path, token)
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.asking, first)
	close(q.done)
	return q.found, q.err
}

func (m *mounts) ask(ctx context.Context, path, token string) (found mount, err error) {
	defer func() {
		m.mu.Lock()
		defer m.mu.Unlock()
		if err == nil && found.path != "" {
			m.known[found.path] = found
		}
	}()
	got, err := m.client.Do(ctx, api.Request{Method: http.MethodGet, Path: "sys/internal/ui/mounts/" + path, Token: token})
	if _, away := errors.AsType[watch.OutageError](err); away || ctx.Err() != nil {
		return mount{}, err
	}
	if status, ok := errors.AsType[*api.StatusError](err); got.Status == http.StatusNotFound || ok && status.Status == http.StatusNotFound {
		return mount{}, nil // a Vault that knows no KV v2
	}
	if err != nil {
		return mount{reason: err}, nil
	}

	at, _ := got.Body.Data["path"].(string)
	at = strings.TrimPrefix(at, m.namespace+"/")
	kind, _ := got.Body.Data["type"].(string)
	options, _ := got.Body.Data["options"].(map[string]any)
	if at == "" || !strings.HasPrefix(path+"/", at) {
		return mount{reason: errors.New("the answer names another mount, or none")}, nil
	}
	isKV := kind == "kv" || kind == "generic"
	return mount{path: at, kv: isKV, v2: isKV && kind == "kv" && options["version"] == "2", asked: time.Now()}, nil
}

// doubt forgets a mount because Vault has refused a request below it, and reports whether the mount is to be found out about: that is so
// where it was last before the query had its answer, or long ago, or where Vault says that nothing is mounted any more.
func (m *mounts) doubt(in mount, unmounted bool, answered time.Time) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	switch known, ok := m.known[in.path]; {
	case in.asked.IsZero():
		return false
	case !ok || !known.asked.Equal(in.asked): // others have doubted it
		return true
	case !unmounted && !in.asked.Before(answered) && time.Since(in.asked) < mountStale:
		return false
	}
	delete(m.known, in.path)
	return true
}

// dataPath returns where the data of a path are, for reads and writes.
func (in mount) dataPath(path string) string {
	if !in.v2 {
		return path
	}
	if path+"/" == in.path {
		return in.path + "data"
	}
	below := strings.TrimPrefix(path, in.path)
	for _, part := range []string{"data/", "metadata/", "subkeys/"} {
		if strings.HasPrefix(below, part) {
			return path
		}
	}
	return in.path + "data/" + below
}

// listPath returns where the names below a path are.
func (in mount) listPath(path string) string {
	if !in.v2 || strings.HasPrefix(path, in.path+"metadata") {
		return path
	}
	if path+"/" == in.path {
		return in.path + "metadata"
	}
	return in.path + "metadata/" + strings.TrimPrefix(path, in.path)
}
