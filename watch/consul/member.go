package consul

import (
	"context"
	"errors"
	"slices"
	"time"

	"render/watch"
	"render/watch/agent"
	"render/watch/pause"
)

const (
	announceAfter = 2 * time.Second  // from the first request that waits, so that the queries can be counted
	turnEvery     = 10 * time.Second // between reads of a query that has no connection to wait on, and that nothing covers
	mostTurns     = 300              // such reads a minute, of all queries together; fewer where there are few queries
	namedWait     = 2 * time.Second  // for an answer that has been reported to have changed
	hotFor        = 2 * time.Minute  // after its last change a query that has changed twice waits for itself
	hotWait       = 30 * time.Second
)

// A member is a query that somebody asks, or has asked lately. The Source's mutex guards its fields.
type member struct {
	query watch.Query
	cover *cover // what reports its changes; nil where nothing can
	calls map[*call]bool

	index    uint64    // of the last answer; 0 means none
	began    time.Time // when the request for it was made
	size     int       // elements of its value
	filtered bool      // it lacked what the token may not read
	answered bool      // it has had an answer, of whatever address
	changed  [2]time.Time
	since    *agent.Epoch            // in which it was answered
	polls    bool                    // a request waits for it
	giveUp   context.CancelCauseFunc // ends that request
	covered  time.Time               // when its cover got to know it

	doubt    time.Time // when it may have changed: an answer to an older request does not count
	expected uint64    // it has changed at this index: an answer with a lower one does not count; 0 means that it has not
	missed   time.Time // when an answer first lacked the expected change
}

// A call is a Fetch that waits.
type call struct {
	wake   chan struct{} // of size 1
	result *result       // what has come for it; the Source's mutex guards it
	turn   time.Time     // when a query that nothing covers is read; zero where that is not said yet
}

type result struct {
	value any
	index uint64
}

// member returns what is known of a query.
func (s *Source) member(q watch.Query) *member {
	e := s.agent.Endpoint()
	s.mu.Lock()
	defer s.mu.Unlock()
	m := s.members[q]
	crowded := e.ProtocolKnown() && s.crowded(e, len(s.members))
	if m == nil {
		m = &member{query: q, cover: s.coverOf(q), calls: make(map[*call]bool)}
		s.insert(m)
		if m.cover != nil {
			m.cover.add(m)
			if crowded { // so that what is read from now on need not be read again
				s.listen(m.cover, m)
			}
		}
	}
	return m
}

// Forget implements watch.Forgetter.
func (s *Source) Forget(q watch.Query) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if m := s.members[q]; m != nil && len(m.calls) == 0 {
		s.remove(m)
	}
}

// insert makes a member the one of its query, in place of any other. It must be called with the mutex held, as must remove.
func (s *Source) insert(m *member) {
	if other := s.members[m.query]; other != nil {
		s.count(other, -1)
	}
	s.members[m.query] = m
	s.count(m, 1)
}

func (s *Source) remove(m *member) {
	if s.members[m.query] == m {
		s.count(m, -1)
		delete(s.members, m.query)
	}
	if m.cover != nil {
		m.cover.remove(m)
		s.endUnused(m.cover)
	}
}

// count adds a member to the numbers of members, or takes it from them with -1.
func (s *Source) count(m *member, n int) {
	if !m.answered {
		s.unanswered += n
	}
	if m.cover == nil {
		s.uncovered += n
	}
}

// knows reports whether a query was answered in an epoch.
func (s *Source) knows(m *member, since *agent.Epoch) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return m.since == since
}

// hasAnswer reports whether a query has had an answer.
func (s *Source) hasAnswer(m *member) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return m.answered
}

// answered notes that a query was answered in an epoch.
func (s *Source) answered(m *member, since *agent.Epoch) {
	s.mu.Lock()
	m.since = since
	s.mu.Unlock()
	since.Use()
}

// note notes an answer.
func (s *Source) note(m *member, value any, got agent.Reply) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if m.query.Kind == watch.KindService && size(value) > 0 { // the indexes of others move with the whole list of services
		s.recent[s.at%len(s.recent)] = got.Index
		s.at++
	}
	if got.Sent.Before(m.began) && got.Index <= m.index {
		return // a newer request was faster
	}
	if got.Index < m.expected && m.expected <= m.index && got.Sent.Sub(m.began) > s.cfg.MaxStale && !got.Streamed {
		m.expected = 0 // every server has had that change: indexes have gone back
	}
	if m.index != 0 && m.index != got.Index {
		m.noteChange()
	}
	if !m.answered && s.members[m.query] == m {
		s.unanswered--
	}
	m.index, m.began, m.size, m.filtered, m.answered = got.Index, got.Sent, size(value), got.Filtered, true
	if m.cover != nil && m.query.Kind == watch.KindService && m.cover.isInGap(got.Index, got.Sent) {
		m.doubt = time.Now()
	}
	m.wake() // others may have an older answer
}

// noteChange notes that another answer has come. The mutex must be held.
func (m *member) noteChange() {
	m.changed = [2]time.Time{time.Now(), m.changed[0]}
	if m.cover != nil {
		m.cover.changed = m.changed[0]
	}
}

// saw reports whether an answer had an index, a short time ago. It must be called with the mutex held.
func (s *Source) saw(index uint64) bool { return slices.Contains(s.recent[:], index) }

// wake has all calls of a member look what is to be done. It must be called with the mutex held.
func (m *member) wake() {
	for c := range m.calls {
		select {
		case c.wake <- struct{}{}:
		default:
		}
	}
}

// report notes that a member may have changed. It must be called with the mutex held. One that a request waits for is read when that
// has ended: it may have been answered before the change.
func (m *member) report() {
	m.doubt = time.Now()
	if !m.polls {
		m.wake()
	}
}

// reportChange notes that a member has changed, at an index. It must be called with the mutex held. A request that waits brings the
// change by itself.
func (m *member) reportChange(index uint64) {
	m.expected = max(m.expected, index)
	if m.index < m.expected && !m.polls {
		m.wake()
	}
}

// isHot reports whether a member deserves a request of its own: what has changed twice lately will change again. The mutex must be
// held.
func (m *member) isHot() bool {
	return time.Since(m.changed[0]) < hotFor && time.Since(m.changed[1]) < 2*hotFor
}

// An action is what a call does next.
type action int

const (
	sleeps  action = iota // until it is woken
	returns               // what has come for it
	reads                 // plainly, as something may have changed
	expects               // a change that was reported by name
	waits                 // with a request of its own
	turns                 // sleeps, and then reads
)

// wait waits for another index than after: with a request of its own where there are connections enough, else until a cover
// reports that the query has, or may have, changed.
func (s *Source) wait(ctx context.Context, m *member, after uint64) (value any, index uint64, err error) {
	c := &call{wake: make(chan struct{}, 1)}
	s.enter(m, c)
	defer s.leave(ctx, m, c)
	for ctx.Err() == nil {
		todo, came := s.next(m, c, after)
		switch todo {
		case returns:
			return came.value, came.index, nil
		case sleeps:
			select {
			case <-c.wake:
			case <-ctx.Done():
			}
			continue
		case turns:
			if !s.turn(ctx, c) {
				continue
			}
			value, index, err = s.read(ctx, m, agent.Request{})
		case reads:
			value, index, err = s.reread(ctx, m, after)
		case expects:
			value, index, err = s.expect(ctx, m, after)
		case waits:
			value, index, err = s.poll(ctx, m, after)
		}
		if _, refused := errors.AsType[agent.RefusedError](err); refused && todo == waits {
			pause.For(ctx, pause.Jittered(refusedPause)) // the query has its answer; it is only not waited for
			continue
		}
		if err != nil || index != after {
			return value, index, err
		}
	}
	return nil, 0, ctx.Err()
}

// next decides what a call does. For waits it has taken a slot, for returns it says what.
func (s *Source) next(m *member, c *call, after uint64) (todo action, came *result) {
	e := s.agent.Endpoint()
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case c.result != nil && c.result.index != after:
		return returns, c.result
	case m.index != 0 && m.index != after:
		return reads, nil // somebody else has got a newer answer
	case m.expected > m.index && !m.polls:
		return expects, nil
	case m.doubt.After(m.began) && !m.polls:
		return reads, nil
	case m.cover != nil && m.began.Before(m.covered) && !m.polls:
		return reads, nil // the cover did not know it when it was read
	}
	c.result = nil

	slots := s.agent.Slots()
	covered := m.cover != nil && s.crowded(e, s.waiting+s.unanswered) // what has no answer yet will wait soon
	hot := covered && m.isHot() && m.cover.catalog() && !m.polls && s.polling < slots/2
	if m.cover == nil {
		s.nodesGiveWay()
	}
	if (!covered || hot) && s.agent.BeginWait(s.signals+s.nodeSignals) {
		s.countPoll(m, 1)
		return waits, nil
	}
	if covered && s.listen(m.cover, m) {
		return sleeps, nil
	}
	return turns, nil
}

// countPoll notes that a request begins to wait for a member, or with -1 that one has ended. It must be called with the mutex held.
func (s *Source) countPoll(m *member, n int) {
	m.polls = n > 0
	s.polling += n
	if m.cover != nil && m.query.Kind == watch.KindService {
		m.cover.polling += n
	}
}

// crowded reports whether there are more queries than connections. It must be called with the mutex held.
func (s *Source) crowded(e *agent.Endpoint, queries int) bool {
	slots := s.agent.Slots() - s.signals
	if queries > slots/2 {
		s.learn.Do(s.learnAgent)
	}
	return queries > slots && !e.Multiplexed()
}

// expect makes a request for a change that was reported. Where the agent is a server it has the change. A client may learn of it a
// little later, and of several servers one may be behind, so that the next requests wait; until Config.MaxStale is over.
func (s *Source) expect(ctx context.Context, m *member, after uint64) (any, uint64, error) {
	s.mu.Lock()
	expected, missed := m.expected, time.Since(m.missed)
	most := max(s.cfg.MaxStale, namedWait)
	r := agent.Request{Named: true}
	switch {
	case m.missed.IsZero() && s.remote:
		r.After, r.Wait = after, namedWait
	case !m.missed.IsZero() && missed < most:
		r.After, r.Wait = after, max(namedWait, min(missed, most-missed))
	}
	s.mu.Unlock()

	r.Bound = s.reads
	if r.After != 0 {
		place, stop := context.WithTimeout(ctx, r.Wait)
		defer stop()
		if s.expects.Acquire(place, 1) == nil { // plain reads need not wait until a wrong report is given up
			defer s.expects.Release(1)
			r.Bound = nil
		} else {
			r.After = 0 // many others wait: a plain read shows at least what the server has
		}
	}
	value, index, err := s.request(ctx, m, r)
	s.locked(func() {
		switch {
		case err != nil:
		case m.expected != expected || m.index >= expected:
			m.missed = time.Time{}
		case m.missed.IsZero():
			m.missed = time.Now()
		case time.Since(m.missed) > s.cfg.MaxStale:
			m.expected, m.missed = 0, time.Time{} // several changes were reported as one, or the report was wrong
		}
	})
	return value, index, err
}

// errUnseen ends a request that waits for a node: it does not return when the node is deregistered.
var errUnseen = errors.New("the node is gone")

// poll makes a request that waits, with the slot that next has taken.
func (s *Source) poll(ctx context.Context, m *member, after uint64) (any, uint64, error) {
	s.letFirstsPass(ctx)
	wait := s.pollWait(m)
	ctx, giveUp := context.WithCancelCause(ctx)
	defer giveUp(nil)
	s.locked(func() { m.giveUp = giveUp })
	value, index, err := s.request(ctx, m, agent.Request{After: after, Wait: wait})

	s.locked(func() {
		m.giveUp = nil
		s.countPoll(m, -1)
	})
	if errors.Is(context.Cause(ctx), errUnseen) {
		value, index, err = nil, after, nil
	}
	s.agent.EndWait()
	return value, index, err
}

// letFirstsPass returns when all queries have an answer, or after a short while. Requests that wait would else take the connections
// of those that are answered at once: over HTTP/2 nobody knows how many there are.
func (s *Source) letFirstsPass(ctx context.Context) {
	pending := func() (pending bool) {
		s.locked(func() { pending = s.unanswered > 0 })
		return pending
	}
	for time.Since(s.began) < firstsPass && pending() {
		if !pause.For(ctx, firstsPass/100) {
			return
		}
	}
}

const (
	firstsPass   = 3 * time.Second
	refusedPause = 2 * time.Second // less a random part, after a request that waits was refused
)

// pollWait returns how long a request waits for one query. Where many do, they wait longer, so that a quiet Consul gets few. In the
// beginning they do not: one who starts again and again must not leave requests behind that Consul holds for long.
func (s *Source) pollWait(m *member) time.Duration {
	e := s.agent.Endpoint()
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case !s.longWaits:
		return s.cfg.Wait
	case m.cover != nil && s.crowded(e, s.waiting):
		if m.query.Kind == watch.KindNode {
			return min(s.cfg.Wait, turnEvery) // when the node is deregistered the request does not return
		}
		return hotWait
	case e.HTTP2() && time.Since(s.began) < trialTime && s.waiting > s.agent.Slots():
		return trialWait
	case time.Since(s.began) < startTime || e.Limited():
		return s.cfg.Wait
	}
	if m.query.Kind == watch.KindNode { // as above
		return s.cfg.Wait
	}
	return max(s.cfg.Wait, min(time.Duration(s.waiting)*waitPerQuery, longestWait))
}

const (
	waitPerQuery = 1500 * time.Millisecond // of requests that wait for one query each: at most about 50 a minute end
	longestWait  = MostWait
	startTime    = 2 * time.Minute
	trialTime    = 20 * time.Second // in which render finds out whether more can wait over HTTP/2 than over HTTP/1.1
	trialWait    = 8 * time.Second  // a proxy holds as long what it has given a connection of its own
)

// read makes a request because something may have changed. Few do so at a time.
func (s *Source) read(ctx context.Context, m *member, r agent.Request) (any, uint64, error) {
	r.Bound = s.reads
	if r.Read == agent.Cached && !s.isRemote() {
		r.Read = agent.Stale // the cache of a server is not kept fresh by a stream
	}
	return s.request(ctx, m, r)
}

// reread makes a request because something may have changed since an index.
func (s *Source) reread(ctx context.Context, m *member, after uint64) (any, uint64, error) {
	r := agent.Request{Read: agent.Cached}
	s.locked(func() {
		if m.index == after { // else the answer says more about the member than its index
			r.Unless = after
		}
	})
	return s.read(ctx, m, r)
}

func (s *Source) isRemote() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.remote
}

// turn pauses until it is the turn of a query that nothing covers. It reports whether that has come; it has not where the call is
// woken or ctx is done before. A call that is woken keeps its turn: calls are woken more often than turns come.
func (s *Source) turn(ctx context.Context, c *call) bool {
	if c.turn.IsZero() {
		s.mu.Lock()
		every := max(turnEvery, min(time.Duration(s.waiting)*time.Minute/mostTurns, time.Minute))
		s.mu.Unlock()
		c.turn = time.Now().Add(pause.Jittered(every))
	}
	t := time.NewTimer(time.Until(c.turn))
	defer t.Stop()
	select {
	case <-t.C:
		c.turn = time.Time{}
		return true
	case <-c.wake:
	case <-ctx.Done():
	}
	return false
}

// enter notes that a call waits on a member.
func (s *Source) enter(m *member, c *call) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.members[m.query] != m { // it was forgotten between two calls
		s.insert(m)
		if m.cover != nil {
			m.cover.add(m)
		}
	}
	m.calls[c] = true
	if len(m.calls) == 1 {
		s.waiting++
		if m.cover != nil {
			m.cover.waiting++
		}
	}
	if s.announce == nil {
		s.announce = time.AfterFunc(announceAfter, s.announceSharing)
	}
}

// leave is the end of a call. A query whose last call was given up is forgotten.
func (s *Source) leave(ctx context.Context, m *member, c *call) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(m.calls, c)
	if len(m.calls) > 0 {
		return
	}
	s.waiting--
	if m.cover != nil {
		m.cover.waiting--
		s.endUnused(m.cover)
	}
	if ctx.Err() != nil {
		s.remove(m)
	}
}

// forgetIndexes is called when another address is asked: the indexes of all members are void.
func (s *Source) forgetIndexes() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, m := range s.members {
		m.index, m.size, m.began, m.doubt, m.expected = 0, 0, time.Time{}, time.Time{}, 0
	}
	for _, c := range s.scopes {
		s.stopListening(c)
	}
}

// reconsider has all calls decide anew how they wait, because there are more connections.
func (s *Source) reconsider() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, m := range s.members {
		m.wake()
	}
	for _, c := range s.scopes {
		s.endUnused(c)
	}
}

// announceSharing logs how queries share connections.
func (s *Source) announceSharing() {
	e := s.agent.Endpoint()
	s.mu.Lock()
	defer s.mu.Unlock()
	attrs := []any{"address", e.Address(), "queries", s.waiting}
	slots := s.agent.Slots()
	switch {
	case e.Multiplexed():
		s.log.Info("watching consul: all queries share a few connections of HTTP/2", attrs...)
	case s.waiting <= slots:
		s.log.Info("watching consul: each query has a connection", append(attrs, "most", slots)...)
	default:
		s.log.Info("watching consul: there are more queries than connections, so a few requests tell which queries to read again; "+
			"to have each query wait for itself use https, or raise the agent's limits.http_max_conns_per_client",
			append(attrs, "connections", slots)...)
	}
}
