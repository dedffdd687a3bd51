package nomad

import (
	"cmp"
	"context"
	"errors"
	"os"
	"sync"

	"golang.org/x/sync/semaphore"

	"render/watch"
	"render/watch/agent"
	"render/watch/pause"
)

// Source is a watch.Source and a watch.Confirmer of what Nomad knows. Reads are stale: any server may answer, up to Config.MaxStale behind
// the leader. It reads its files and connects with the first query: what is wrong with it before is of no matter to others.
type Source struct {
	cfg    Config
	dial   agent.Dial // opens connections
	region string
	reads  *semaphore.Weighted // because of signals, at a time

	opening   sync.Mutex   // guards the setting of what follows, which is set before each use
	agent     *agent.Agent // nil before the first query
	namespace string

	life  context.Context // of signals
	end   context.CancelFunc
	tasks sync.WaitGroup

	mu      sync.Mutex // guards what follows
	known   map[watch.Query]*known
	signals map[scope]*signal
}

// known is what is known of the last answer to a query. The Source's mutex guards its fields.
type known struct {
	index   uint64
	summary summary
	checked uint64       // it is as new as a signal with this index
	since   *agent.Epoch // in which it was answered
}

// New returns a source that asks Nomad's HTTP API. An address, a token file, a TLS setting or a number that cannot be used is an error of
// each query, until it can be.
func New(cfg Config) *Source {
	s := &Source{
		cfg:     cfg,
		dial:    cfg.Transport.Dial,
		region:  cmp.Or(cfg.Region, os.Getenv("NOMAD_REGION")),
		reads:   semaphore.NewWeighted(DefaultMaxConnections / 4),
		known:   make(map[watch.Query]*known),
		signals: make(map[scope]*signal),
	}
	s.life, s.end = context.WithCancel(context.Background())
	return s
}

// open makes what requests pass, unless there is one.
func (s *Source) open() error {
	s.opening.Lock()
	defer s.opening.Unlock()
	if s.agent != nil {
		return nil
	}
	opened, err := agent.New(nomadAPI(s.region), s.cfg.agent(), s.dial, s.forgetIndexes)
	if err != nil {
		return err
	}
	s.agent, s.namespace = opened, opened.Config().Namespace
	return nil
}

// Close ends what the source does by itself and closes the connections that no request uses. Fetch must not be called any more.
func (s *Source) Close() {
	s.end()
	s.tasks.Wait()
	if s.agent != nil {
		s.agent.Close()
	}
}

// Fetch implements watch.Source.
func (s *Source) Fetch(ctx context.Context, q watch.Query, after uint64) (any, uint64, error) {
	if err := s.open(); err != nil {
		return nil, 0, err
	}
	since := s.agent.Epoch()
	if since == nil {
		return s.fetch(ctx, q, after, nil)
	}
	within, stop := since.Within(ctx)
	defer stop()
	if k := s.knownOf(q); k.since != since {
		after = 0
	}
	value, index, err := s.fetch(within, q, after, since)
	if err != nil && ctx.Err() == nil && errors.Is(context.Cause(within), watch.ErrIndexVoid) {
		return nil, 0, watch.ErrIndexVoid
	}
	if err == nil {
		since.Use()
	}
	return value, index, err
}

func (s *Source) fetch(ctx context.Context, q watch.Query, after uint64, since *agent.Epoch) (any, uint64, error) {
	if after == 0 {
		return s.request(ctx, q, agent.Request{First: s.knownOf(q).index == 0}, since)
	}
	return s.wait(ctx, q, after, since)
}

// Confirm implements watch.Confirmer: the leader answers.
func (s *Source) Confirm(ctx context.Context, q watch.Query) (any, uint64, error) {
	if err := s.open(); err != nil {
		return nil, 0, err
	}
	return s.request(ctx, q, agent.Request{Read: agent.Leader}, s.agent.Epoch())
}

// Reread implements watch.Rereader: a request that waits passes through agents and proxies, any of which can lose a change.
func (s *Source) Reread(watch.Query) bool { return true }

// Forget implements watch.Forgetter.
func (s *Source) Forget(q watch.Query) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.known, q)
}

// request makes the request for a query, and notes the answer. The caller says how, in all but path and parameters. An answer with the
// index Request.Unless has no value.
func (s *Source) request(ctx context.Context, q watch.Query, r agent.Request, since *agent.Epoch) (any, uint64, error) {
	k, found := kinds[q.Kind]
	if !found {
		return nil, 0, watch.UnknownKind(q)
	}
	r.Path, r.Params = k.path(q), s.params(q)
	value, got, err := k.answer(ctx, s.agent, q, r)
	if errors.Is(err, watch.ErrDenied) {
		err = k.denied(err, s.agent.HasToken())
	}
	if err != nil {
		return nil, 0, err
	}
	got.Index = max(got.Index, 1)

	s.mu.Lock()
	defer s.mu.Unlock()
	if last := s.known[q]; got.Same && last != nil {
		last.index = got.Index
	} else {
		s.known[q] = &known{index: got.Index, summary: summaryOf(value), since: since}
	}
	return value, got.Index, nil
}

// knownOf returns what is known of a query, or an empty value.
func (s *Source) knownOf(q watch.Query) known {
	s.mu.Lock()
	defer s.mu.Unlock()
	if k := s.known[q]; k != nil {
		return *k
	}
	return known{}
}

// wait waits for another index than after: with a request of its own where there is a connection for it, else until a signal says that the
// query may have changed.
func (s *Source) wait(ctx context.Context, q watch.Query, after uint64, since *agent.Epoch) (any, uint64, error) {
	for ctx.Err() == nil {
		if s.knownOf(q).index != after { // another answer has come, or indexes have gone back
			return s.request(ctx, q, agent.Request{Read: agent.Leader, Bound: s.reads}, since)
		}
		if s.agent.BeginWait(mostSignals) {
			value, index, err := s.request(ctx, q, agent.Request{After: after}, since)
			s.agent.EndWait()
			if _, refused := errors.AsType[agent.RefusedError](err); !refused {
				return value, index, err
			}
			pause.For(ctx, pause.Jittered(refusedPause)) // the query has its answer; it is only not waited for
			continue
		}
		again, least, err := s.heed(ctx, q, after)
		if err != nil {
			return nil, 0, err
		}
		if !again {
			continue
		}
		value, index, err := s.reread(ctx, q, after, least, since)
		if err != nil || index != after {
			return value, index, err
		}
	}
	return nil, 0, ctx.Err()
}

// forgetIndexes is called when another address is asked: all indexes are void.
func (s *Source) forgetIndexes() {
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.known)
	for _, sig := range s.signals {
		sig.stop()
	}
	clear(s.signals)
}
