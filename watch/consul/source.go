package consul

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"reflect"
	"sync"
	"time"

	"render/watch"
	"render/watch/pause"
)

const pollEvery = 15 * time.Second // between requests to endpoints that cannot wait for a change

// Source is a watch.Source and a watch.Confirmer of what Consul knows. Reads are stale: any server may answer, up to
// Config.MaxStale behind the leader.
type Source struct {
	agent     *agent
	cfg       Config
	log       *slog.Logger
	namespace string
	partition string

	learn sync.Once      // what the agent is
	tasks sync.WaitGroup // of the source itself
	life  life
	began time.Time

	mu         sync.Mutex // guards what follows
	members    map[watch.Query]*member
	unanswered int // members that have no answer yet
	waiting    int // members that somebody waits on
	polling    int // of them, those that a request waits for
	scopes     map[scope]*cover
	signals    int        // requests of covers
	remote     bool       // the agent is not known to be a server: servers answer what it passes on, for many hosts
	recent     [64]uint64 // indexes of answers, the last ones
	at         int        // where the next of recent goes
	reads      chan struct{}
	announce   *time.Timer
}

// A life ends what a Source does by itself.
type life struct {
	context.Context
	end context.CancelFunc
}

// New returns a source that asks Consul's HTTP API. It does not connect yet; an error means that an address, a token file, a TLS
// setting or a number cannot be used.
func New(cfg Config) (*Source, error) {
	cfg = cfg.withDefaults()
	s := &Source{
		cfg:     cfg,
		log:     cfg.Log,
		remote:  true,
		began:   time.Now(),
		members: make(map[watch.Query]*member),
		scopes:  make(map[scope]*cover),
		reads:   make(chan struct{}, cmp.Or(cfg.MaxConnections, DefaultMaxConnections)/4),
	}
	s.life.Context, s.life.end = context.WithCancel(context.Background())
	var err error
	if s.agent, err = newAgent(cfg, s.forgetIndexes); err != nil {
		return nil, err
	}
	s.namespace, s.partition = s.agent.current.config.Namespace, s.agent.current.config.Partition
	return s, nil
}

// Close ends what the source does by itself and closes the connections that no request uses. Fetch must not be called any
// more.
func (s *Source) Close() {
	s.life.end()
	s.mu.Lock()
	if s.announce != nil {
		s.announce.Stop()
	}
	s.mu.Unlock()
	s.tasks.Wait()
	s.agent.close()
}

// Fetch implements watch.Source.
func (s *Source) Fetch(ctx context.Context, q watch.Query, after uint64) (any, uint64, error) {
	m := s.member(q)
	if len(s.agent.addresses) == 1 {
		return s.fetch(ctx, m, after)
	}

	since := s.agent.epoch()
	within, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer context.AfterFunc(since, func() { cancel(watch.ErrIndexVoid) })()
	if !s.knows(m, since) {
		after = 0
	}
	value, index, err := s.fetch(within, m, after)
	if err != nil && ctx.Err() == nil && errors.Is(context.Cause(within), watch.ErrIndexVoid) {
		return nil, 0, watch.ErrIndexVoid
	}
	if err == nil {
		s.answered(m, since)
	}
	return value, index, err
}

func (s *Source) fetch(ctx context.Context, m *member, after uint64) (any, uint64, error) {
	if after == 0 {
		return s.ask(ctx, m, request{first: !s.hasAnswer(m)})
	}
	switch m.query.Kind {
	case watch.KindDatacenters, watch.KindPartitions: // cannot wait
		if !pause.For(ctx, pollEvery) {
			return nil, 0, ctx.Err()
		}
		return s.ask(ctx, m, request{})
	}
	return s.wait(ctx, m, after)
}

// Confirm implements watch.Confirmer: the leader answers, after it has made sure that it still leads.
func (s *Source) Confirm(ctx context.Context, q watch.Query) (any, uint64, error) {
	return s.ask(ctx, s.member(q), request{read: consistent})
}

// ask makes the request for a query. The caller says how, in all but path and parameters. An answer with the index request.unless has
// no value.
func (s *Source) ask(ctx context.Context, m *member, r request) (value any, index uint64, err error) {
	value, got, err := s.answer(ctx, m.query, r)
	if err == nil && got.same {
		s.locked(func() { m.began = got.sent })
		return nil, got.index, nil
	}
	if err == nil && got.streamed && s.isSmaller(m, value) { // a stream leaves out without a word what the token may not read
		r.after, r.read = 0, stale
		value, got, err = s.answer(ctx, m.query, r)
	}
	if err == nil && got.filtered && !s.accepts(m, value) {
		err = deniedError{fmt.Errorf("left out of its answer what the token may not read; it needs %s", kinds[m.query.Kind].permission)}
	}
	if err != nil {
		return nil, got.index, err
	}
	got.index = max(got.index, 1)
	s.note(m, value, got)
	return value, got.index, nil
}

func (s *Source) answer(ctx context.Context, q watch.Query, r request) (any, reply, error) {
	k, known := kinds[q.Kind]
	if !known {
		return nil, reply{}, watch.UnknownKind(q)
	}
	if err := checkPrintable(q.Name); err != nil {
		return nil, reply{}, err
	}
	r.params = s.params(q.Options())
	return k.answer(ctx, s, q, r)
}

// params returns the parameters of requests for a query with these options.
func (s *Source) params(opts url.Values) url.Values {
	params := url.Values{}
	set := func(name, value string) {
		if value != "" {
			params.Set(name, value)
		}
	}
	for _, name := range []string{watch.OptDatacenter, watch.OptNear, watch.OptPeer, watch.OptSamenessGroup, watch.OptFilter} {
		set(name, opts.Get(name))
	}
	set(watch.OptNamespace, cmp.Or(opts.Get(watch.OptNamespace), s.namespace))
	set(watch.OptPartition, cmp.Or(opts.Get(watch.OptPartition), s.partition))
	return params
}

// accepts reports whether an answer that lacks what the token may not read counts. One that was whole before, and is smaller now,
// never does: somebody has changed the token's rights.
func (s *Source) accepts(m *member, value any) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	accepts := s.cfg.AcceptFiltered || m.query.Options().Has(watch.OptAcceptFiltered)
	return accepts && (m.filtered || m.index == 0 || size(value) >= m.size)
}

// isSmaller reports whether an answer has fewer elements than the last.
func (s *Source) isSmaller(m *member, value any) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return size(value) < m.size
}

// size returns how many elements a value has.
func size(value any) int {
	if value == nil {
		return 0
	}
	if v := reflect.ValueOf(value); v.Kind() == reflect.Slice {
		return v.Len()
	}
	return 1
}

// learnAgent finds out whether the agent is a server, and has the number of connections follow what it allows, where it tells.
func (s *Source) learnAgent() {
	s.tasks.Go(func() {
		self, err := s.agent.self(s.life)
		if err != nil {
			return // a token that may not ask this is no fault
		}
		s.locked(func() { s.remote = !self.Config.Server })
		if s.cfg.MaxConnections != 0 || s.agent.endpoint().config.Scheme == "https" {
			return
		}

		allowed := self.DebugConfig.HTTPMaxConnsPerClient
		if allowed == nil {
			return
		}
		limit := *allowed
		if limit <= 0 { // there is none
			limit = mostConnections * 3 / 2
		}
		if limit = limit * 2 / 3; limit > 2*DefaultMaxConnections { // else it is not worth new connections beside those that there are
			s.agent.raise(limit)
			s.reconsider()
		}
	})
}
