package vault

import (
	"context"
	"log/slog"
	"maps"
	"net/http"
	"os"
	"reflect"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"render/watch"
	"render/watch/vault/api"
)

const (
	failureHold    = 2 * time.Second  // how long a plain read waits for the end of a failure
	linger         = 15 * time.Second // how long a query is kept that nobody uses any more: a template that is edited uses it again
	answeredLately = time.Second      // in which the end of a failure is noticed

	releaseAfter  = time.Minute      // after another answer is in use: connections that were opened with the old one may go on for a while
	releaseSpread = 10 * time.Second // random, and added to it: what is replaced together is not revoked at once
)

// Source is a watch.Source that asks Vault. It connects with the first query.
type Source struct {
	cfg    atomic.Pointer[Config]
	log    *slog.Logger
	client *api.Client
	mounts *mounts
	tokens *tokens

	life    context.Context // of entries
	end     context.CancelFunc
	net     context.Context // of requests that create something: these are not given up as long as they can be answered
	endNet  context.CancelFunc
	tasks   sync.WaitGroup
	started sync.Once // the tokens
	blind   sync.Once // a warning that metadata cannot be read

	hasLeased atomic.Bool // Vault has leased something that ends with a token
	keeps     atomic.Bool // that is something that the source does not revoke, as a certificate in a file

	unrevoked sync.Once // a warning that a lease is not revoked

	mu      sync.Mutex // guards what follows
	closed  bool
	next    *Source // that releases leases once this one is closed; nil for none
	entries map[watch.Query]*entry
	waiting map[watch.Query][]lease // of a source before, whose queries nobody has asked this one about yet
	index   uint64                  // of the last answer that differs
	warned  map[watch.Query]string
	left    []leftLease     // that were not revoked since the source was closed
	issued  map[string]bool // mounts whose certificates each start requests, as logged
}

// New returns a source that asks Vault's HTTP API. It does not connect yet; an error means that an address, a variable of the
// environment or a number cannot be used, or that nothing says where Vault is.
func New(cfg Config) (*Source, error) {
	home, _ := os.UserHomeDir()
	cfg, err := cfg.fill(os.Getenv, home)
	if err != nil {
		return nil, err
	}
	return newSource(cfg, nil)
}

// newSource returns a source with a configuration that is filled. Its requests go through what through makes of its connections, where
// that is not nil.
func newSource(cfg Config, through func(http.RoundTripper) http.RoundTripper) (*Source, error) {
	s := &Source{
		log:     cfg.Log,
		entries: make(map[watch.Query]*entry), waiting: make(map[watch.Query][]lease), warned: make(map[watch.Query]string), issued: make(map[string]bool),
		index: uint64(time.Now().UnixMicro()), // above those of a source before, whatever of these somebody still has
	}
	s.cfg.Store(&cfg)
	var err error
	if s.client, err = api.New(cfg.api(), s.queries, through); err != nil {
		return nil, err
	}
	s.mounts = newMounts(s.client, cfg.Namespace)
	s.tokens = newTokens(&s.cfg, s.client, s.queries, s.depends, s.rejected)
	s.life, s.end = context.WithCancel(context.Background())
	s.net, s.endNet = context.WithCancel(context.Background())
	return s, nil
}

// queries returns how many queries there are.
func (s *Source) queries() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.entries)
}

// depends reports whether a lease ends with the token.
func (s *Source) depends() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, e := range s.entries {
		if e.lease.generation != 0 {
			return true
		}
	}
	return false
}

// rejected reports whether a query fails because Vault does not know the token.
func (s *Source) rejected() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, e := range s.entries {
		if api.IsUnknown(e.state.err) {
			return true
		}
	}
	return false
}

// Locate implements watch.Locator: a KV v2 has its secrets below data/, and a KV v1 does not.
func (s *Source) Locate(q watch.Query) string {
	at, in := s.mountOf(q)
	path := at
	switch {
	case in.kv && !in.v2 && strings.HasPrefix(at, in.path+"data/"):
		return in.path + ", which is KV version 1, where data/ is a part of the name"
	case q.Kind == watch.KindSecret, q.Kind == watch.KindSecretWrite:
		path = in.dataPath(at)
	case q.Kind == watch.KindSecrets:
		path = in.listPath(at)
	}
	if path == at {
		return ""
	}
	return path
}

// Figures implements watch.Counter. Before the first request there are none: Vault may not be needed.
func (s *Source) Figures() []watch.Figures { return s.client.Figures() }

// CanChange reports whether Change accepts a configuration: whether it differs only in how often and how much Vault is asked, and in
// RevokeOnStop. With any other a new source is needed, which leases anew.
func (s *Source) CanChange(cfg Config) bool {
	home, _ := os.UserHomeDir()
	_, ok := s.changed(cfg.fill(os.Getenv, home))
	return ok
}

// Change goes on with a configuration that CanChange accepts. What Vault has leased stays. Clocks of leases that run stay as they are; all
// else is read again.
func (s *Source) Change(cfg Config) {
	home, _ := os.UserHomeDir()
	if next, ok := s.changed(cfg.fill(os.Getenv, home)); ok {
		s.change(next)
	}
}

// changed returns a filled configuration with what does not change. Not ok means that another source is needed.
func (s *Source) changed(next Config, err error) (_ Config, ok bool) {
	now := s.cfg.Load()
	next.Log, next.Unwrapped = now.Log, now.Unwrapped
	return next, err == nil && reflect.DeepEqual(now.lasting(), next.lasting())
}

// lasting returns the configuration without what can change while a source is in use.
func (cfg Config) lasting() Config {
	cfg.LeaseDuration, cfg.Threshold, cfg.Polls, cfg.RevokeOnStop = 0, 0, nil, false
	cfg.Timeout, cfg.MaxConnections, cfg.RateLimit, cfg.RateBurst, cfg.Backoff, cfg.MaxBackoff = 0, 0, 0, 0, 0, 0
	return cfg
}

func (s *Source) change(next Config) {
	s.cfg.Store(&next)
	s.client.Change(next.api())
	s.mu.Lock()
	entries := slices.Collect(maps.Values(s.entries))
	s.mu.Unlock()
	for _, e := range entries {
		if st := s.stateOf(e); st.index != 0 && e.rereads(st) {
			e.wakeUp()
		}
	}
}

// Fetch implements watch.Source. A plain read of what has no lease asks Vault; of what has one it returns the answer that there is, until
// that is replaced.
func (s *Source) Fetch(ctx context.Context, q watch.Query, after uint64) (any, uint64, error) {
	switch q.Kind {
	case watch.KindSecret, watch.KindSecrets, watch.KindSecretWrite, watch.KindPKICert:
	default:
		return nil, 0, watch.UnknownKind(q)
	}
	e, err := s.use(q)
	if err != nil {
		return nil, 0, err
	}
	defer s.unuse(e)

	var hold <-chan time.Time
	began := s.begin(e)
	for {
		st := s.stateFor(e, q)
		fresh := st.attempts > began
		switch {
		case after != 0:
			if st.err != nil {
				return nil, 0, s.retried(e, st)
			}
			if st.index != 0 && st.index != after {
				return s.give(e, st)
			}
		case st.err != nil && fresh:
			return nil, 0, s.retried(e, st)
		case st.err != nil && hold == nil:
			timer := time.NewTimer(failureHold)
			defer timer.Stop()
			hold = timer.C
		case st.err == nil && st.index != 0:
			if fresh || !e.rereads(st) {
				return s.give(e, st)
			}
			e.wakeUp()
		}
		select {
		case <-st.changed:
		case <-hold:
			return nil, 0, s.retried(e, st)
		case <-ctx.Done():
			return nil, 0, ctx.Err()
		}
	}
}

// begin returns the number of attempts beyond which an answer is one to a plain read that begins now. Whoever got a failure reads again as
// soon as there is an answer: that is the one.
func (s *Source) begin(e *entry) (attempts uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	attempts = e.state.attempts
	if e.failed != 0 && e.state.err == nil && time.Since(e.state.at) < answeredLately {
		attempts = e.failed
	}
	e.failed = 0
	return attempts
}

// retried returns the error of a state.
func (s *Source) retried(e *entry, st state) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	e.failed = st.attempts
	return watch.RetriedError{Err: st.err, Changed: st.changed}
}

// Forget implements watch.Forgetter. What Vault has leased for the query is revoked a little later, unless somebody asks about it again.
func (s *Source) Forget(q watch.Query) {
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.entries[entryQuery(q)]
	if e == nil || s.closed {
		return
	}
	lacked := e.lacks(e.asked[q])
	if delete(e.asked, q); lacked {
		e.noteLack()
	}
	if len(e.asked) == 0 {
		s.leaveLater(e)
	}
}

// leaveLater has an entry dropped after a while. The mutex is held.
func (s *Source) leaveLater(e *entry) {
	if e.leaving != nil {
		e.leaving.Stop()
	}
	e.leaving = time.AfterFunc(linger, func() { s.leave(e) })
}

// leave drops an entry that nobody uses.
func (s *Source) leave(e *entry) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed || e.leaving == nil || e.users > 0 || s.entries[e.query] != e {
		return
	}
	delete(s.entries, e.query)
	delete(s.warned, e.query)
	e.stop()
	s.tasks.Go(func() {
		<-e.ended
		used, unused := e.leases()
		for _, l := range append(used, unused...) {
			s.tasks.Go(func() { s.revoke(s.net, l) })
		}
	})
}

// Applied implements watch.Applier: leases of earlier answers are no longer used, and are revoked soon.
func (s *Source) Applied(q watch.Query, index uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if e := s.entries[entryQuery(q)]; e != nil && !s.closed {
		e.applied = max(e.applied, index)
		e.release()
	}
}

// use returns the entry of a query.
func (s *Source) use(q watch.Query) (*entry, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, context.Canceled
	}
	s.started.Do(func() { s.tasks.Go(func() { s.tokens.run(s.life, s.net) }) })
	own := entryQuery(q)
	e := s.entries[own]
	if e == nil {
		e = newEntry(s, own)
		e.replaced = s.waiting[own]
		delete(s.waiting, own)
		s.entries[own] = e
		ctx, stop := context.WithCancel(s.life)
		e.stop = stop
		s.tasks.Go(func() {
			defer close(e.ended)
			e.run(ctx)
		})
	}
	if e.asked[q] == nil {
		e.asked[q] = fieldsOf(q)
		e.partial = e.partial || e.lacks(e.asked[q])
		if e.state.index == 0 && len(e.asked) > 1 {
			e.wakeSoon() // its files may have what those of the others lack
		}
	}
	e.users++
	if e.leaving != nil {
		e.leaving.Stop()
		e.leaving = nil
	}
	return e, nil
}

func (s *Source) unuse(e *entry) {
	s.mu.Lock()
	defer s.mu.Unlock()
	e.users--
}

// give returns an answer, and notes that somebody has it. One that has expired is a failure, until there is another.
func (s *Source) give(e *entry, st state) (any, uint64, error) {
	if v, ok := st.value.(interface{ Expires() time.Time }); ok {
		if at := v.Expires(); !at.IsZero() && !time.Now().Before(at) {
			st.err = watch.ExpiredError{At: at}
			return nil, 0, s.retried(e, st)
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	e.given = max(e.given, st.index)
	return st.value, st.index, nil
}

func (s *Source) stateOf(e *entry) state {
	s.mu.Lock()
	defer s.mu.Unlock()
	return e.state
}
