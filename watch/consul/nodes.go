package consul

import (
	"cmp"
	"context"
	"errors"
	"net/url"
	"slices"
	"time"

	"render/watch/agent"
)

// Where there are few nodes, each has a signal of its own: the list of the instances on the node. It wakes at each change of one of
// these, and at no other change; its answer says which instances have changed. A change that the list of services does not name, such as
// another port, then needs neither the list of all checks nor a round.

const (
	nodeBytes    = 1 << 20         // of the list of a node's instances: where one is larger, no node has a signal
	nodeWait     = 3 * time.Minute // so that about 20 of these requests end in a minute
	nodeEvidence = 2 * time.Second // from the answer of the list of services to that of the list of a node, at most
)

// nodeLists are the signals of the nodes of a catalog.
type nodeLists struct {
	source *Source
	cover  *cover
	params url.Values
	follow func(signal) (stop context.CancelFunc)

	// The Source's mutex guards what follows.
	begun    bool // the first answers to queries have had their time
	ended    bool
	later    *time.Timer // adjusts them again; nil where that is not due
	partial  bool        // the token may not see all nodes
	tooLarge time.Time
	names    map[string]uint64 // of all nodes
	lists    map[string]*nodeList
	seen     [64]span      // of the last answers
	at       int           // where the next goes
	news     chan struct{} // closed at the next answer
}

// A span is what an answer brings: the changes after an index, up to another.
type span struct{ after, upTo uint64 }

// A nodeList is the list of the instances on a node.
type nodeList struct {
	stop      context.CancelFunc
	first     uint64 // the index from which on answers show each change: that of the first, or one at which there was no such node
	index     uint64 // of the last answer; 0 for none, or where the last request has failed
	failing   bool   // the last request has failed
	gone      bool   // the node is gone: the request that waits returns by itself, and is the last
	instances map[string]listedInstance
}

// A listedInstance is one instance of a list.
type listedInstance struct {
	ID, Service string
	ModifyIndex uint64
}

// begin has the signals begin, once the first answers have had their time.
func (l *nodeLists) begin() {
	l.source.mu.Lock()
	defer l.source.mu.Unlock()
	l.begun = true
	l.adjust(l.names, 0)
}

// update notes which nodes there are at an index of their list, which had another index before.
func (l *nodeLists) update(names map[string]uint64, before, index uint64, partial bool) {
	l.source.mu.Lock()
	defer l.source.mu.Unlock()
	gone, went, came := make(changes), false, false
	for name, list := range l.lists {
		if _, still := names[name]; !still {
			went = true
			for _, in := range list.instances {
				gone.add(in.Service, index)
			}
		}
	}
	known := l.names
	for name := range names {
		if known[name] != names[name] {
			came = true
		}
	}
	if went {
		l.reportGone(gone)
		at := span{before, index}
		if came {
			at.upTo-- // the last change may be of a node that has no list
		}
		l.note(at)
	}
	l.names, l.partial = names, partial
	l.adjust(known, before)
}

// adjust begins the signals of nodes that have none, and ends those of nodes that are gone; all where it is not worth it to have them. At an
// index there were the known nodes. It must be called with the mutex held, as must all that follow but ask.
func (l *nodeLists) adjust(known map[string]uint64, before uint64) {
	wanted := l.wanted()
	for name, list := range l.lists {
		_, still := l.names[name]
		switch {
		case !wanted:
			list.stop()
		case !still:
			list.gone = true
		default:
			continue
		}
		delete(l.lists, name)
	}
	if !wanted {
		return
	}
	if !l.fit() {
		l.adjustLater()
		return
	}
	for name := range l.names {
		if l.lists[name] != nil {
			continue
		}
		since := before
		if _, was := known[name]; was {
			since = 0
		}
		l.start(name, since)
	}
}

// nodesGiveWay ends the signals of nodes where queries that no signal speaks for have become so many that they need the connections. It
// must be called with the mutex held.
func (s *Source) nodesGiveWay() {
	if s.nodeSignals == 0 {
		return
	}
	for _, c := range s.scopes {
		if c.nodes != nil {
			c.nodes.adjust(c.nodes.names, 0)
		}
	}
}

// wanted reports whether nodes are to have signals. There must be few nodes: what is left is for queries that no signal speaks for,
// and for those that change often.
func (l *nodeLists) wanted() bool {
	s := l.source
	if !l.begun || l.partial || l.ended || l.cover.scope.dc != "" || time.Since(l.tooLarge) < tooLargeHold {
		return false
	}
	others := s.signals + s.nodeSignals - len(l.lists) + s.uncovered
	return len(l.names)+others <= s.agent.Slots()*2/3
}

// fit reports whether there are connections for the signals of all nodes beside the requests that wait now: many queries may have begun to
// wait, each for itself, while they were fewer.
func (l *nodeLists) fit() bool {
	s := l.source
	return s.polling+s.signals+s.nodeSignals+len(l.names)-len(l.lists)+s.agent.Abandoned() <= s.agent.Slots()
}

const adjustEvery = 5 * time.Second // while there are too few connections

// adjustLater has the signals adjusted when connections may have become free.
func (l *nodeLists) adjustLater() {
	if l.later == nil {
		l.later = time.AfterFunc(adjustEvery, func() {
			l.source.mu.Lock()
			defer l.source.mu.Unlock()
			l.later = nil
			if l.source.life.Err() == nil {
				l.adjust(l.names, 0)
			}
		})
	}
}

func (l *nodeLists) start(name string, since uint64) {
	list := &nodeList{first: since}
	var found []listedInstance
	list.stop = l.follow(signal{
		cover: l.cover,
		request: func(ctx context.Context, r agent.Request) (got agent.Reply, err error) {
			gone := false
			l.source.locked(func() { gone = list.gone })
			if gone {
				list.stop()
				return got, ctx.Err()
			}
			found, got, err = l.request(ctx, name, r)
			l.source.locked(func() {
				if err == nil && list.instances != nil { // else it is set by moved
					list.index, list.failing = got.Index, false
				}
			})
			return got, err
		},
		moved: func(_ context.Context, before, index uint64, parked bool) bool {
			l.source.locked(func() {
				if !list.gone { // else it has been reported
					l.moved(name, list, found, span{cmp.Or(before, index-1), index}, parked)
				}
			})
			return true
		},
		failed: func(err error, _ bool) {
			l.source.locked(func() { l.failed(list, err) })
		},
		recovered: func(time.Time) {}, // the answer is compared with that before the failure
		answered:  func() {},
	})
	l.lists[name] = list
}

// endAll ends all signals, when those of the catalog end.
func (l *nodeLists) endAll() {
	l.ended = true
	for name, list := range l.lists {
		list.stop()
		delete(l.lists, name)
	}
}

func (l *nodeLists) request(ctx context.Context, name string, r agent.Request) (found []listedInstance, got agent.Reply, err error) {
	s := l.source
	if s.longWaits {
		r.Wait = nodeWait
	}
	if r.After == 0 {
		r.Bound = s.reads
	}
	r.Path, r.Params, r.Limit, r.Unless = "/v1/catalog/node-services/"+agent.Segment(name), l.params, nodeBytes, r.After

	var answer struct{ Services []listedInstance }
	got, err = s.agent.Get(ctx, r, &answer)
	return answer.Services, got, err
}

// moved reports the queries for a node, and for the services whose instances differ from those of the last answer. An answer to a parked
// request brings one change; between those of others an instance may have come and gone.
func (l *nodeLists) moved(name string, list *nodeList, found []listedInstance, at span, parked bool) {
	changed, gone, now := make(changes), make(changes), make(map[string]listedInstance, len(found))
	for _, in := range found {
		now[in.ID] = in
		if was, known := list.instances[in.ID]; !known || was.ModifyIndex != in.ModifyIndex {
			changed.add(in.Service, in.ModifyIndex)
		}
	}
	for id, was := range list.instances {
		if _, still := now[id]; !still {
			gone.add(was.Service, at.upTo)
		}
	}

	if list.instances == nil { // what was on the node before is in no list
		list.first = cmp.Or(list.first, at.upTo)
		at.after = list.first
	}
	list.instances, list.index, list.failing = now, at.upTo, false
	l.reportGone(gone)
	l.cover.reportNames(changed)
	if !parked {
		l.cover.reportBetween(at.after, at.upTo)
	}
	l.cover.reportNode(name, at.upTo)
	if at.after == at.upTo { // it shows what there is, and not what has changed
		at = span{}
	}
	l.note(at)
}

// reportGone reports the queries for services that have lost instances, at an index or before: a list does not say when. What an agent that is
// a server answers now has the change.
func (l *nodeLists) reportGone(services changes) {
	if !l.source.isNear() {
		l.cover.reportNames(services)
		return
	}
	for name := range services {
		l.cover.reportService(name)
	}
}

// reportServices reports the queries for the services of a node.
func (l *nodeLists) reportServices(node string) {
	if list := l.lists[node]; list != nil {
		for _, in := range list.instances {
			l.cover.reportService(in.Service)
		}
	}
}

// has reports whether an instance is on a node.
func (l *nodeLists) has(node, id string) bool {
	list := l.lists[node]
	if list == nil {
		return false
	}
	_, is := list.instances[id]
	return is
}

func (l *nodeLists) failed(list *nodeList, err error) {
	list.index, list.failing = 0, true
	if errors.Is(err, agent.ErrTooLarge) {
		l.tooLarge = time.Now()
		l.adjust(l.names, 0)
	}
}

// note notes what an answer has brought.
func (l *nodeLists) note(at span) {
	l.seen[l.at%len(l.seen)] = at
	l.at++
	close(l.news)
	l.news = make(chan struct{})
}

// saw reports whether an answer has brought the change at an index. Where nodes have no list, only an answer whose last change is this one
// tells that.
func (l *nodeLists) saw(index uint64, complete bool) bool {
	return slices.ContainsFunc(l.seen[:], func(s span) bool {
		return s.upTo == index || complete && s.after < index && index < s.upTo
	})
}

// complete reports whether each node has a signal that works, and shows each change since an index.
func (l *nodeLists) complete(since uint64) bool {
	for _, list := range l.lists {
		if list.index == 0 || list.first > since {
			return false
		}
	}
	return len(l.names) > 0 && len(l.lists) == len(l.names)
}

// starting reports whether a node has a signal that has had no answer yet.
func (l *nodeLists) starting() bool {
	for _, list := range l.lists {
		if list.index == 0 && !list.failing {
			return true
		}
	}
	return false
}

// explain reports whether the signal of a node has brought the change at an index, and whether the signals bring all changes after another
// index. It must be called without the mutex. It waits a little for the signal.
func (l *nodeLists) explain(ctx context.Context, before, index uint64) (brought, all bool) {
	ctx, stop := context.WithTimeout(ctx, nodeEvidence)
	defer stop()
	for {
		var news chan struct{}
		var starting bool
		l.source.locked(func() {
			all, starting, news = l.complete(before), l.starting(), l.news
			brought = l.saw(index, all)
		})
		if !starting && (brought || !all) {
			return brought, all
		}
		select {
		case <-news:
		case <-ctx.Done():
			return false, false
		}
	}
}
