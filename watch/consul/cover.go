package consul

import (
	"cmp"
	"context"
	"errors"
	"iter"
	"math/rand/v2"
	"net/url"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"render/watch"
	"render/watch/agent"
	"render/watch/pause"
)

// Over plain HTTP each request that waits holds a connection, of which an agent allows 200 for each client address. Where there
// are more queries than connections, most of them do not wait each for itself. A few requests, the signals, wait for changes of
// what many queries ask. When one of them returns, it says which queries have changed; only these are read.
//
// A cover is what the signals of a scope know, and which queries they speak for. Two kinds exist: catalog.go for services, checks
// and nodes, keys.go for keys.
//
// What no signal can name, such as a changed port of an instance, leads to a round: all queries of the cover are read, the most
// recently changed first.

// A scope is what the signals of one cover can tell about.
type scope struct {
	dc, namespace, partition string
	keys                     bool
}

// A cover reports changes to the queries of a scope. The Source's mutex guards its fields.
type cover struct {
	scope   scope
	members map[*member]bool
	kinds   map[string]namedMembers // the same by kind
	waiting int                     // members that somebody waits on
	polling int                     // members for instances that a request waits for
	stop    context.CancelFunc      // nil where no signal is asked
	signals int                     // of a catalog, that are asked
	unheard int                     // of them, that have had no answer yet
	nodes   *nodeLists              // of a catalog whose signals have been asked
	groups  []*group                // of keys
	refused time.Time               // when the token was refused a signal
	changed time.Time               // when another answer to a member came

	roundBegan   time.Time // the last round
	spacing      time.Duration
	round        *time.Timer // the next; nil where none is due
	roundAt      time.Time
	roundAgain   []time.Duration // between it and further ones
	roundIsAgain bool            // the next is such a further one
	quiet        *time.Timer     // brings the next round forward; nil where none is to be

	slow     time.Duration // what plain reads of members take; at once more, and slowly less
	parked   time.Duration // the least time of the answers that were lately taken for those of parked requests
	parkedAt time.Time     // of the last of them
	gaps     []gap         // lately
}

const (
	coverLinger = 5 * time.Second        // signals are requested for this long after the last query that waits
	roundCost   = 300 * time.Microsecond // least time between two rounds, for each query that is read
	roundLeast  = time.Second            // at most
	roundMost   = 4 * time.Second        // it is doubled up to this while rounds follow each other
	remoteCost  = 200 * time.Millisecond // in place of these three, where the agent is a client
	remoteLeast = 5 * time.Second
	remoteMost  = 10 * time.Second
	checkCost   = 10 * time.Millisecond // least time between two rounds that only make sure, for each query
	checkLeast  = 4 * time.Second       // at least
	checkRemote = 10 * time.Second      // at most, where the agent is a client
	checkRare   = 10 * time.Minute      // where it is not likely that there is more than was named
	quietFor    = time.Second           // without a change, until the last round need not wait for its turn
	quietLeast  = 3 * time.Second       // between such a round and the last; more where there are many queries
	retryMost   = 2 * time.Second       // the longest pause between attempts of a signal that fails
	rereadEvery = 10 * time.Second      // between reads of its queries meanwhile

	refusedRetry = time.Minute // between attempts of a signal that the token may not request; its queries are read in turns
)

// coverOf returns the cover of a query, and nil where no signal reports its changes. It must be called with the mutex held.
func (s *Source) coverOf(q watch.Query) *cover {
	opts := q.Options()
	if opts.Has(watch.OptPeer) || opts.Has(watch.OptSamenessGroup) {
		return nil
	}
	params := s.params(opts)
	at := scope{dc: params.Get(watch.OptDatacenter), namespace: params.Get(watch.OptNamespace), partition: params.Get(watch.OptPartition)}
	switch q.Kind {
	case watch.KindService, watch.KindServices, watch.KindNode, watch.KindNodes:
	case watch.KindKV, watch.KindPrefix:
		at.keys = true
	default:
		return nil
	}

	c := s.scopes[at]
	if c == nil {
		c = &cover{scope: at, members: make(map[*member]bool), kinds: make(map[string]namedMembers)}
		s.scopes[at] = c
	}
	return c
}

// params returns the parameters of a scope's signals.
func (at scope) params() url.Values {
	params := url.Values{}
	for name, value := range map[string]string{watch.OptDatacenter: at.dc, watch.OptNamespace: at.namespace, watch.OptPartition: at.partition} {
		if value != "" {
			params.Set(name, value)
		}
	}
	return params
}

// catalog reports whether a cover is of services, checks and nodes.
func (c *cover) catalog() bool { return !c.scope.keys }

// namedMembers are the members of a kind by name, in lower case: Consul takes no notice of case.
type namedMembers map[string]map[*member]bool

// add and remove must be called with the mutex held, as must all methods of a cover.
func (c *cover) add(m *member) {
	c.members[m], m.covered = true, time.Now()
	kind, name := m.query.Kind, strings.ToLower(m.query.Name)
	if c.kinds[kind] == nil {
		c.kinds[kind] = make(namedMembers)
	}
	if c.kinds[kind][name] == nil {
		c.kinds[kind][name] = make(map[*member]bool)
	}
	c.kinds[kind][name][m] = true
}

func (c *cover) remove(m *member) {
	delete(c.members, m)
	names, name := c.kinds[m.query.Kind], strings.ToLower(m.query.Name)
	delete(names[name], m)
	if len(names[name]) == 0 {
		delete(names, name)
	}
}

// of returns the members of a kind.
func (c *cover) of(kind string) iter.Seq[*member] {
	return func(yield func(*member) bool) {
		for _, members := range c.kinds[kind] {
			for m := range members {
				if !yield(m) {
					return
				}
			}
		}
	}
}

// reportAll has all members read, the most recently changed first. Where before is given, those are left out whose last answer is
// to a request that began later.
func (c *cover) reportAll(before time.Time) {
	all := make([]*member, 0, len(c.members))
	for m := range c.members {
		if before.IsZero() || m.began.Before(before) {
			all = append(all, m)
		}
	}
	slices.SortFunc(all, func(a, b *member) int { return b.changed[0].Compare(a.changed[0]) })
	for _, m := range all {
		m.report()
	}
}

// reportBetween has the members for instances read that have changed between two indexes, at both of which a list was read. A check that
// fails and recovers between the two, or an instance that comes and goes, is in neither list, but its service may have been read meanwhile,
// also by a request that is under way.
func (c *cover) reportBetween(before, index uint64) {
	for m := range c.of(watch.KindService) {
		if before < m.index && m.index < index {
			m.report()
		}
	}

	now := time.Now()
	c.gaps = slices.DeleteFunc(c.gaps, func(g gap) bool { return now.Sub(g.at) > gapFor })
	if last := len(c.gaps) - 1; last >= mostGaps {
		c.gaps[last].index, c.gaps[last].at = max(c.gaps[last].index, index), now
		return
	}
	c.gaps = append(c.gaps, gap{before, index, now})
}

// A gap is between two indexes at which a list was read, the second of them at a time.
type gap struct {
	before, index uint64
	at            time.Time
}

const (
	gapFor   = 2 * time.Minute // longer than a plain read takes
	mostGaps = 100             // one more makes the last of them larger
)

// isInGap reports whether what a request has read, which was sent at a time, may have been different again when a list was read.
func (c *cover) isInGap(index uint64, sent time.Time) bool {
	return slices.ContainsFunc(c.gaps, func(g gap) bool { return g.before < index && index < g.index && !sent.After(g.at) })
}

// changes are names in lower case, as Consul takes no notice of case, with the indexes at which what they name has changed.
type changes map[string]uint64

func (c changes) add(name string, index uint64) {
	name = strings.ToLower(name)
	c[name] = max(c[name], index)
}

// reportNodes has the members for nodes read that have changed: those with some names, and those that name no node. It reports whether
// there are any.
func (c *cover) reportNodes(names changes, index uint64) (reported bool) {
	for m := range c.of(watch.KindNode) {
		at, named := names[strings.ToLower(m.query.Name)]
		if m.query.Name == "" || named {
			m.reportChange(cmp.Or(at, index))
			reported = true
		}
	}
	return reported
}

// reportKind has all members of a kind read, which may have changed at an index. It reports whether there are any.
func (c *cover) reportKind(kind string, index uint64) (reported bool) {
	for m := range c.of(kind) {
		m.reportChange(index)
		reported = true
	}
	return reported
}

// reportList has the members for the list of services read, which has moved to an index: all where the list differs, else those that have
// a part of it by a filter. It reports whether there are any.
func (c *cover) reportList(differs bool, index uint64) (reported bool) {
	for m := range c.of(watch.KindServices) {
		if differs || m.query.Options().Has(watch.OptFilter) {
			m.reportChange(index)
			reported = true
		}
	}
	return reported
}

// reportNode has the members for a node read, which has changed at an index. One that does not name its node as Consul lists it, but by an
// identifier, may be for this one.
func (c *cover) reportNode(name string, index uint64) {
	for m := range c.of(watch.KindNode) {
		if _, listed := c.nodes.names[m.query.Name]; !listed {
			m.report()
		} else if m.query.Name == name {
			m.reportChange(index)
		}
	}
}

// reportUnlisted has the members read for nodes that are not among those that there are: a request that waits for one does not return
// when the node goes, and a node may have come and gone since the last list.
func (c *cover) reportUnlisted(nodes map[string]uint64) {
	for m := range c.of(watch.KindNode) {
		if _, listed := nodes[m.query.Name]; listed || m.query.Name == "" {
			continue
		}
		m.report()
		if m.giveUp != nil {
			m.giveUp(errUnseen)
		}
	}
}

// reportNames has the members for the instances of some services read. It reports whether there are any.
func (c *cover) reportNames(names changes) (reported bool) {
	for name, index := range names {
		for m := range c.kinds[watch.KindService][name] {
			m.reportChange(index)
			reported = true
		}
	}
	return reported
}

// reportService has the members for the instances of a service read: it has changed, at an index that is not known.
func (c *cover) reportService(name string) {
	for m := range c.kinds[watch.KindService][strings.ToLower(name)] {
		m.report()
	}
}

// listen makes sure that signals tell of changes of a member. It reports whether they do. It must be called with the mutex held.
func (s *Source) listen(c *cover, m *member) bool {
	if !c.catalog() {
		return s.group(c, m)
	}
	if c.stop != nil {
		return time.Since(c.refused) > refusedRetry
	}
	if s.signals+len(catalogSignals) > s.mostSignals() && s.listensToCatalog() {
		return false
	}

	ctx, stop := context.WithCancel(s.life)
	c.stop, c.signals, c.unheard = stop, len(catalogSignals), len(catalogSignals)
	s.signals += c.signals
	s.listenToCatalog(ctx, c)
	return true
}

// listensToCatalog reports whether there are signals of a catalog. The first catalog gets them in any case: groups of keys may have taken all
// that there may be, before refusals made these few. The mutex must be held.
func (s *Source) listensToCatalog() bool {
	for _, c := range s.scopes {
		if c.catalog() && c.stop != nil {
			return true
		}
	}
	return false
}

// mostSignals leaves connections for other requests.
func (s *Source) mostSignals() int { return max(leastSignals, s.agent.Slots()/3) }

const leastSignals = 6 // of a catalog and of two groups of keys

// endUnused ends the signals of covers a little later, where nobody waits on a member then, or each query waits with a request of its own.
// It must be called with the mutex held, when this may have become true of a cover.
func (s *Source) endUnused(c *cover) {
	unused := func(c *cover) bool {
		listens := c.stop != nil || len(c.groups) > 0
		return (listens || len(c.members) == 0) && (c.waiting == 0 || !s.crowded(s.agent.Endpoint(), s.waiting+s.signals))
	}
	if !unused(c) {
		return
	}
	time.AfterFunc(coverLinger, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		for _, c := range s.scopes { // the signals of any take the connections of all
			if unused(c) {
				s.endCover(c)
			}
		}
	})
}

// endCover ends the signals of a cover. It must be called with the mutex held.
func (s *Source) endCover(c *cover) {
	s.stopListening(c)
	for m := range c.members { // a call may have begun to wait for the signals meanwhile
		m.wake()
	}
	if len(c.members) == 0 {
		delete(s.scopes, c.scope)
	}
}

// stopListening ends a cover's signals. It must be called with the mutex held.
func (s *Source) stopListening(c *cover) {
	if c.stop != nil {
		c.stop()
		c.stop = nil
		s.signals -= c.signals
		c.nodes.endAll()
	}
	for len(c.groups) > 0 {
		s.endGroup(c, c.groups[0])
	}
	for _, timer := range []*time.Timer{c.round, c.quiet} {
		if timer != nil {
			timer.Stop()
		}
	}
	c.round, c.quiet = nil, nil
}

// heard notes the first answer of a signal. With the last of them every member is read that may have changed before.
func (s *Source) heard(c *cover) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if c.unheard--; c.unheard == 0 {
		c.reportAll(time.Now())
	}
}

// startRound has all members read soon, and again when every server should know what has changed. It must be called with the mutex
// held.
func (s *Source) startRound(c *cover) {
	n := time.Duration(len(c.members))
	spacing, most := min(n*roundCost, roundLeast), roundMost
	if s.remote {
		spacing, most = min(n*remoteCost, remoteLeast), remoteMost
	}
	if busy := time.Since(c.roundBegan) < 2*c.spacing; busy {
		spacing = max(spacing, min(2*c.spacing, most))
	}
	c.spacing = spacing
	s.hasten(c)
	s.scheduleRound(c, max(time.Until(c.roundBegan.Add(spacing)), s.spread(len(c.members))), s.lags())
}

// makeSure has all members read after a while, where a signal may stand for more changes than the ones that it names. That is likely
// where it has returned at once. It must be called with the mutex held.
func (s *Source) makeSure(c *cover, likely bool) {
	n := time.Duration(len(c.members))
	spacing := max(checkLeast, n*checkCost)
	if s.remote {
		spacing = max(checkLeast, min(4*n*remoteCost, checkRemote))
	}
	in := time.Second
	if likely {
		s.hasten(c)
	} else {
		spacing = checkRare
		in = spacing
	}
	s.scheduleRound(c, max(in, time.Until(c.roundBegan.Add(spacing))), nil)
}

// hasten has the next round begin sooner where no further change comes: rounds are rare while changes go on, and the last change need not
// wait for that. It must be called with the mutex held.
func (s *Source) hasten(c *cover) {
	in := quietFor + s.spread(len(c.members))
	least := max(quietLeast, time.Duration(len(c.members))*checkCost)
	in = max(in, time.Until(c.roundBegan.Add(least)))
	if c.quiet != nil {
		c.quiet.Stop()
	}
	var quiet *time.Timer
	quiet = time.AfterFunc(in, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if c.quiet != quiet {
			return
		}
		c.quiet = nil
		if c.round != nil && time.Now().Before(c.roundAt) {
			c.round.Stop()
			s.beginRound(c)
		}
	})
	c.quiet = quiet
}

// spread returns a random delay, longer for more queries, where Consul is another machine: many hosts learn of a change at one time.
func (s *Source) spread(queries int) time.Duration {
	if s.agent.Endpoint().Local() || queries == 0 {
		return 0
	}
	return rand.N(min(time.Duration(queries)*2*time.Millisecond, 2*time.Second))
}

// lags returns when a round is repeated. A client may learn of a change a little later than its servers, and of several servers one
// may be behind by Config.MaxStale; a server on this machine has what its signals tell.
func (s *Source) lags() []time.Duration {
	if s.isNear() {
		return []time.Duration{}
	}
	lags := []time.Duration{firstLag, 2 * time.Second}
	for lag := lags[1]; lag < s.cfg.MaxStale; {
		lag = min(lag*4, s.cfg.MaxStale)
		lags = append(lags, lag)
	}
	return lags
}

// isNear reports whether the agent is a server on this machine. It must be called with the mutex held.
func (s *Source) isNear() bool { return !s.remote && s.agent.Endpoint().Local() }

const firstLag = 250 * time.Millisecond

// scheduleRound has a round begin after a while, or when one is due before, and again after the times between further ones. Where no
// further ones are given, those that are due stay; else they give way. It must be called with the mutex held.
func (s *Source) scheduleRound(c *cover, in time.Duration, again []time.Duration) {
	at := time.Now().Add(in)
	if c.round != nil {
		due := c.roundAt
		switch {
		case again != nil && c.roundIsAgain: // it comes too soon while changes go on, and reads nothing that this round does not
		case again != nil && due.Before(at):
			at = due
		case again == nil && due.Sub(at) < firstLag: // a round only a little sooner would be one more, and not another
			return
		case again == nil:
			again = append([]time.Duration{due.Sub(at)}, c.roundAgain...)
		}
		c.round.Stop()
	}
	c.roundAt, c.roundAgain, c.roundIsAgain = at, again, false
	var round *time.Timer
	round = time.AfterFunc(time.Until(at), func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if c.round == round {
			s.beginRound(c)
		}
	})
	c.round = round
}

// beginRound has all members read now. It must be called with the mutex held.
func (s *Source) beginRound(c *cover) {
	c.round, c.roundBegan = nil, time.Now()
	if c.quiet != nil {
		c.quiet.Stop()
		c.quiet = nil
	}
	c.reportAll(time.Time{})
	if len(c.roundAgain) > 0 {
		s.scheduleRound(c, c.roundAgain[0], c.roundAgain[1:])
		c.roundIsAgain = true
	}
}

// A signal is a request that waits for changes of what many queries ask.
type signal struct {
	request   func(ctx context.Context, r agent.Request) (agent.Reply, error)
	cover     *cover
	moved     func(ctx context.Context, before, index uint64, parked bool) (useful bool) // its index has changed
	failed    func(err error, report bool)                                               // report: its queries are to be read
	recovered func(sent time.Time)                                                       // its index has changed while it failed, until a request
	answered  func()                                                                     // for the first time
	state     bool                                                                       // the answer says all: nothing is lost where changes are not seen one by one
}

const (
	parkedFor = 5 * time.Millisecond // an answer after less time was there before

	parkedFactor = 3           // an answer after less than so many times what plain reads take was there before, too
	hindsight    = time.Second // how long after it is known what reads take

	localIdle  = time.Second      // the longest pause of a signal that brings nothing new, where the agent is a server
	remoteIdle = 20 * time.Second // where it is a client
)

// errFault is what the queries of a signal learn that has panicked.
var errFault = errors.New("a fault in render; please report it")

// start follows a signal until ctx is done, and then calls ended. Where a fault ends it before, its queries are read, and it begins anew.
func (s *Source) start(ctx context.Context, sig signal, ended func()) {
	s.tasks.Go(func() {
		defer ended()
		for !s.guarded(func() { s.follow(ctx, sig) }) {
			sig.failed(errFault, true)
			if !pause.For(ctx, rereadEvery) {
				return
			}
		}
	})
}

// guarded calls do, and reports whether it has returned. It logs a panic, whose stack has no text that do worked on.
func (s *Source) guarded(do func()) (returned bool) {
	defer func() {
		if p := recover(); p != nil {
			s.log.Error("fault in render, repeating a request to consul; please report the stack", "panic", watch.PanicText(p), "stack", string(debug.Stack()))
		}
	}()
	do()
	return true
}

// follow asks a signal again and again.
func (s *Source) follow(ctx context.Context, sig signal) {
	var after, last uint64 // what is waited on, 0 where the last request failed; what was answered last
	var idle pause.Idle
	var reported, woken time.Time // a failure; the last change
	var rest time.Duration
	failures, first, useless := 0, true, 0
	fastest := s.cfg.Wait // of all answers, from when the request was sent
	near := func() (near bool) {
		s.locked(func() { near = s.isNear() })
		return near
	}
	for ctx.Err() == nil {
		began := time.Now()
		got, err := sig.request(ctx, agent.Request{After: after, Wait: s.cfg.Wait})
		if ctx.Err() != nil {
			return
		}
		took := time.Since(got.Sent)
		if err == nil {
			fastest = min(fastest, took)
		}
		parked := after != 0 && rest == 0 && (near() || took >= 3*fastest) && s.wasParked(sig.cover, took)
		rest = 0
		got.Index = max(got.Index, 1)
		switch {
		case err != nil:
			after = 0
			rest = pause.Backoff(failures, watch.DefaultBackoff, retryMost)
			if _, bad := errors.AsType[watch.OutageError](err); bad {
				rest = pause.Backoff(failures, watch.DefaultBackoff, outageBackoff)
			}
			denied := errors.Is(err, watch.ErrDenied)
			if denied {
				rest = refusedRetry
			}
			report := failures == 0 || !denied && time.Since(reported) >= rereadEvery
			sig.failed(err, report)
			if report {
				reported = time.Now()
			}
			failures++
		case got.Index == last && after == 0:
			after, failures = last, 0
		case got.Index == last:
			failures = 0
			rest = max(0, min(idle.Pause(began), s.longestIdle()))
		case got.Index < last:
			after, last = 0, 0
			sig.failed(watch.ErrIndexVoid, true)
		default:
			useful := sig.moved(ctx, last, got.Index, parked)
			if failures > 0 {
				sig.recovered(got.Sent)
			}
			s.locked(func() { useful = useful || sig.cover.changed.After(woken) }) // by a round
			woken = time.Now()
			if useful {
				useless = 0
			} else {
				useless++
			}
			rest = s.restAfter(sig, got.Bytes, useless)
			after, last, failures, idle = got.Index, got.Index, 0, 0
		}
		if first && err == nil {
			first = false
			sig.answered()
		}
		if rest > 0 && !pause.For(ctx, rest) {
			return
		}
	}
}

const outageBackoff = time.Second // the longest pause between attempts during an outage

// wasParked reports whether a request had arrived before the change that has ended it, by the time that its answer took: such an answer
// brings one change. Any other may bring several.
func (s *Source) wasParked(c *cover, took time.Duration) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if took < max(parkedFor, parkedFactor*c.slow) {
		return false
	}
	if now := time.Now(); now.Sub(c.parkedAt) > hindsight || took < c.parked {
		c.parked, c.parkedAt = took, now
	}
	return true
}

// timed notes what a plain read of a member took. Where that is much more than before, requests have not been parked that seemed to be. It
// must be called with the mutex held.
func (s *Source) timed(c *cover, took time.Duration) {
	c.slow = max(took, c.slow*7/8)
	if took > parkedFor && c.parked < parkedFactor*took && time.Since(c.parkedAt) < took+hindsight {
		s.makeSure(c, true)
		c.parkedAt = time.Time{}
	}
}

// longestIdle returns the longest pause of a signal that brings nothing new.
func (s *Source) longestIdle() time.Duration {
	if s.isRemote() {
		return remoteIdle
	}
	return localIdle
}

// restAfter returns how long a signal pauses after it has returned: large answers are requested less often. So are those that name no
// query, one after the other, where that loses nothing, or where the agent is a client, for which its servers answer.
func (s *Source) restAfter(sig signal, bytes, useless int) time.Duration {
	rest := time.Duration(bytes) * time.Second / bytesPerSecond
	if rest < 20*time.Millisecond {
		rest = 0
	}
	if useless > 3 && (sig.state || s.isRemote()) {
		rest = max(rest, min(s.longestIdle(), time.Duration(1<<min(useless, 16))*10*time.Millisecond))
	}
	return rest
}

const bytesPerSecond = 16 << 20 // of a signal's answers
