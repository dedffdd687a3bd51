package consul

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"net/url"
	"reflect"
	"sync"
	"time"

	"golang.org/x/sync/semaphore"

	"render/watch"
	"render/watch/agent"
	"render/watch/pause"

	"render/watch/hint"
)

const pollEvery = 15 * time.Second // between requests to endpoints that cannot wait for a change

// Source is a watch.Source and a watch.Confirmer of what Consul knows. Reads are stale: any server may answer, up to
// Config.MaxStale behind the leader.
type Source struct {
	agent     *agent.Agent
	cfg       Config
	log       *slog.Logger
	longWaits bool // nobody has set Config.Wait
	numbers   numbers

	learn sync.Once      // what the agent is
	tasks sync.WaitGroup // of the source itself
	life  life
	began time.Time

	mu          sync.Mutex // guards what follows
	members     map[watch.Query]*member
	unanswered  int // members that have no answer yet
	uncovered   int // members that no signal speaks for
	waiting     int // members that somebody waits on
	polling     int // of them, those that a request waits for
	scopes      map[scope]*cover
	signals     int                 // requests of covers
	nodeSignals int                 // of nodes
	remote      bool                // the agent is not known to be a server: servers answer what it passes on, for many hosts
	recent      [64]uint64          // indexes of answers, the last ones
	at          int                 // where the next of recent goes
	reads       *semaphore.Weighted // of reads of members, at a time
	expects     *semaphore.Weighted // of reads that wait for a change that was reported, beside these
	announce    *time.Timer
}

// A life ends what a Source does by itself.
type life struct {
	context.Context
	end context.CancelFunc
}

// New returns a source that asks Consul's HTTP API. It does not connect yet; an error means that an address, a token file, a TLS
// setting or a number cannot be used.
func New(cfg Config) (*Source, error) {
	return newSource(cfg, cfg.Transport.Dial)
}

// newSource is New with connections that dial opens.
func newSource(cfg Config, dial agent.Dial) (*Source, error) {
	s := &Source{
		longWaits: cfg.Wait == 0,
		remote:    true,
		began:     time.Now(),
		members:   make(map[watch.Query]*member),
		scopes:    make(map[scope]*cover),
	}
	s.life.Context, s.life.end = context.WithCancel(context.Background())
	var err error
	if s.agent, err = agent.New(consulAPI, cfg, dial, s.forgetIndexes); err != nil {
		return nil, err
	}
	s.cfg = s.agent.Config()
	s.log = s.cfg.Log
	forReads := int64(cmp.Or(s.cfg.MaxConnections, agent.DefaultMaxConnections) / 4)
	s.reads, s.expects = semaphore.NewWeighted(forReads), semaphore.NewWeighted(forReads/2)
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
	s.agent.Close()
}

// Fetch implements watch.Source.
func (s *Source) Fetch(ctx context.Context, q watch.Query, after uint64) (any, uint64, error) {
	m := s.member(q)
	since := s.agent.Epoch()
	if since == nil {
		return s.fetch(ctx, m, after)
	}

	within, stop := since.Within(ctx)
	defer stop()
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
		return s.request(ctx, m, agent.Request{First: !s.hasAnswer(m)})
	}
	switch m.query.Kind {
	case watch.KindDatacenters, watch.KindPartitions: // cannot wait
		if !pause.For(ctx, pollEvery) {
			return nil, 0, ctx.Err()
		}
		return s.request(ctx, m, agent.Request{})
	}
	return s.wait(ctx, m, after)
}

// Confirm implements watch.Confirmer: the leader answers, after it has made sure that it still leads.
func (s *Source) Confirm(ctx context.Context, q watch.Query) (any, uint64, error) {
	return s.request(ctx, s.member(q), agent.Request{Read: agent.Consistent})
}

// request makes the request for a query. The caller says how, in all but path and parameters. An answer with the index Request.Unless has
// no value.
func (s *Source) request(ctx context.Context, m *member, r agent.Request) (value any, index uint64, err error) {
	value, got, err := s.answer(ctx, m.query, r)
	if err == nil && r.After == 0 && r.Read != agent.Consistent && m.cover != nil {
		s.locked(func() { s.timed(m.cover, time.Since(got.Sent)) })
	}
	if err == nil && got.Same {
		s.locked(func() { m.began = got.Sent })
		return nil, got.Index, nil
	}
	if err == nil && got.Streamed && s.isSmaller(m, value) { // a stream leaves out without a word what the token may not read
		r.After, r.Read = 0, agent.Stale
		value, got, err = s.answer(ctx, m.query, r)
	}
	if err == nil && got.Filtered && !s.accepts(m, value) {
		err = agent.DeniedError{Err: hint.Withf(errors.New("the answer lacks what the token may not read"), "give the token %s", kinds[m.query.Kind].permission)}
	}
	if err != nil {
		return nil, got.Index, err
	}
	got.Index = max(got.Index, 1)
	s.note(m, value, got)
	return value, got.Index, nil
}

func (s *Source) answer(ctx context.Context, q watch.Query, r agent.Request) (any, agent.Reply, error) {
	k, known := kinds[q.Kind]
	if !known {
		return nil, agent.Reply{}, watch.UnknownKind(q)
	}
	if err := checkPrintable(q.Name); err != nil {
		return nil, agent.Reply{}, err
	}
	r.Params = s.params(q.Options())
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
	set(watch.OptNamespace, cmp.Or(opts.Get(watch.OptNamespace), s.cfg.Namespace))
	set(watch.OptPartition, cmp.Or(opts.Get(watch.OptPartition), s.cfg.Partition))
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

// learnAgent finds out whether the agent is a server, and has the number of connections follow what it allows, where the agent reports that.
func (s *Source) learnAgent() {
	s.tasks.Go(func() { s.guarded(s.learnLimits) })
}

func (s *Source) learnLimits() {
	self, err := s.self(s.life)
	if err != nil {
		return // a token that may not ask this is no fault
	}
	s.locked(func() { s.remote = !self.Config.Server })
	if allowed := self.DebugConfig.HTTPMaxConnsPerClient; allowed != nil && s.agent.NoteLimit(*allowed) {
		s.reconsider()
	}
}

// A selfDescription is what render wants to know of what an agent says of itself.
type selfDescription struct {
	Config struct {
		NodeName string
		Server   bool
	}
	DebugConfig struct{ HTTPMaxConnsPerClient *int }
}

// self returns what the agent says of itself.
func (s *Source) self(ctx context.Context) (selfDescription, error) {
	var answer selfDescription
	_, err := s.agent.Get(ctx, agent.Request{Path: "/v1/agent/self", WithoutIndex: true}, &answer)
	return answer, err
}
