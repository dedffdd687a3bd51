package consul

import (
	"context"
	"errors"
	"maps"
	"math"
	"net/url"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/semaphore"

	"render/watch"
	"render/watch/agent"
	"render/watch/pause"
)

// The lists whose changes tell of services, checks and nodes.
const (
	servicesPath = "/v1/catalog/services"
	nodesPath    = "/v1/catalog/nodes"
	checksPath   = "/v1/health/state/"
)

// catalogSignals are the requests of a cover of the catalog. The list of services wakes at registrations, and at changes of
// instances. The lists of failing checks wake when a check fails or recovers, and not at the output of checks that pass; only
// where such a list is empty, any change of a check wakes it. The list of nodes wakes at changes of nodes.
var catalogSignals = []string{servicesPath, checksPath + "critical", checksPath + "warning", nodesPath}

// listenToCatalog asks the signals of a catalog until ctx is done. It must be called with the mutex held.
func (s *Source) listenToCatalog(ctx context.Context, c *cover) {
	params := c.scope.params()
	c.nodes = &nodeLists{source: s, cover: c, params: params, lists: make(map[string]*nodeList), news: make(chan struct{})}
	c.nodes.follow = func(sig signal) context.CancelFunc {
		ctx, stop := context.WithCancel(ctx)
		s.nodeSignals++
		s.start(ctx, sig, func() { s.locked(func() { s.nodeSignals-- }) })
		return stop
	}
	k := &catalog{source: s, cover: c, params: params, checks: &checkList{turn: semaphore.NewWeighted(1)}, lists: c.nodes}
	answered := func() { s.heard(c) }
	failed := func(err error, report bool) {
		s.locked(func() {
			if errors.Is(err, watch.ErrDenied) {
				c.refused = time.Now()
			}
			if report {
				c.reportAll(time.Time{})
			}
		})
	}
	recovered := func(sent time.Time) { s.locked(func() { c.reportAll(sent) }) } // what came and went meanwhile is in no list
	for _, path := range catalogSignals {
		sig := signal{cover: c, answered: answered, failed: failed, recovered: recovered}
		switch path {
		case servicesPath:
			sig.request, sig.moved = k.requestServices, k.servicesMoved
		case nodesPath:
			sig.request, sig.moved, sig.state = k.requestNodes, k.nodesMoved, true
		default:
			f := &failing{catalog: k, path: path}
			sig.request, sig.moved, sig.state = f.requestChecks, f.moved, true
		}
		s.start(ctx, sig, func() {})
	}
}

// locked calls do with the mutex held.
func (s *Source) locked(do func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	do()
}

// A catalog compares the lists of one scope with those before. The goroutine of the list of services owns services, tags and
// checks, that of the nodes owns nodes.
type catalog struct {
	source *Source
	cover  *cover
	params url.Values

	services map[string][]string // the last answer; nil where tags have it
	digest   agent.Digest        // of it
	tags     map[string][]string // as of the last change
	checks   *checkList
	lists    *nodeLists

	checksRead time.Time // when the list of all checks was last read because of a change that nodes have named; the mutex guards it
	checksDue  bool      // it is read soon; the mutex guards it

	nodes, nodesBefore map[string]uint64 // when each has last changed
	nodesPartial       bool              // the token may not see all
}

func (k *catalog) request(r agent.Request, path string) agent.Request {
	r.Path, r.Params = path, maps.Clone(k.params)
	return r
}

func (k *catalog) requestServices(ctx context.Context, r agent.Request) (agent.Reply, error) {
	services := make(map[string][]string) // not nil for none: nil is before the first answer
	r = k.request(r, servicesPath)
	r.Digest = &k.digest
	got, err := k.source.agent.Get(ctx, r, &services)
	if err == nil && !got.Same {
		for _, tags := range services {
			slices.Sort(tags)
		}
		k.services, k.digest = services, got.Digest
	}
	return got, err
}

// servicesMoved reports the queries for the services that have changed. A service whose name or tags differ names itself; the others are
// named by the signals of their nodes. Where nodes have none, a service that has more or fewer checks is found in the list of all checks;
// what this does not explain, such as another port, needs a round.
func (k *catalog) servicesMoved(ctx context.Context, before, index uint64, parked bool) (useful bool) {
	s := k.source
	first := k.tags == nil
	changed := make(changes)
	if k.services != nil { // else thousands of names are compared at each change of a port
		changed = changedServices(k.tags, k.services, index)
		k.tags, k.services = k.services, nil
	}
	if first {
		s.tasks.Go(func() { s.guarded(func() { k.learn(ctx) }) })
		return true
	}
	listed := len(changed) > 0
	s.locked(func() {
		useful = k.cover.reportNames(changed)
		useful = k.cover.reportList(listed, index) || useful
	})
	brought, all := k.lists.explain(ctx, before, index)
	explained, answered, unknown := listed || brought, false, false
	if !explained {
		found := k.checks.compare(ctx, k, before, index)
		maps.Copy(changed, found.services)
		unknown = !k.servicesOfNodes(ctx, found.nodes, changed)
		explained = found.came || k.movedAt(ctx, found.gone, index)
		answered = !explained && k.explainedByAnswer(ctx, index)
	}

	s.mu.Lock()
	defer s.mu.Unlock()
	useful = k.cover.reportNames(changed) || useful
	if !brought || !all { // else a signal has named the node
		useful = k.cover.reportKind(watch.KindNode, index) || useful
	}
	switch {
	case brought && all && k.readChecksLater(ctx): // each change of an instance, and each check, is in one of these lists
	case (explained || answered) && !unknown:
		s.makeSure(k.cover, !parked || answered)
	default:
		s.startRound(k.cover)
	}
	return useful
}

// changedServices returns the services that are in only one of two lists, or have other tags.
func changedServices(before, now map[string][]string, index uint64) changes {
	changed := make(changes)
	for name, tags := range now {
		if was, ok := before[name]; !ok || !slices.Equal(was, tags) {
			changed.add(name, index)
		}
	}
	for name := range before {
		if _, ok := now[name]; !ok {
			changed.add(name, index)
		}
	}
	return changed
}

const evidence = 10 * time.Millisecond // for the answer to a query that waits for itself

// explainedByAnswer reports whether a query for instances that waits for itself has got an answer with an index.
func (k *catalog) explainedByAnswer(ctx context.Context, index uint64) bool {
	for end := time.Now().Add(evidence); ; {
		var saw, polled bool
		k.source.locked(func() {
			saw = k.source.saw(index)
			polled = k.cover.polling > 0 || time.Since(k.cover.changed) < evidence
		})
		if saw || !polled || time.Now().After(end) {
			return saw
		}
		select {
		case <-time.After(time.Millisecond):
		case <-ctx.Done():
			return false
		}
	}
}

// A checkList is the list of all checks, as far as it shows which services have changed.
type checkList struct {
	turn     *semaphore.Weighted      // of one who gets the list
	known    map[checkName]checkState // nil where it is not known; guarded by turn
	tooLarge time.Time                // when it was; guarded by the Source's mutex
}

// isTooLarge must be called with the mutex held.
func (l *checkList) isTooLarge() bool { return time.Since(l.tooLarge) < tooLargeHold }

type checkName struct{ node, id string }

type checkState struct{ service, serviceID, status string }

// A listedCheck is one check of a list.
type listedCheck struct {
	Node, CheckID, ServiceID, ServiceName, Status string
	CreateIndex, ModifyIndex                      uint64
}

// entry returns what names a check, and what of it is compared.
func (c listedCheck) entry() (checkName, checkState) {
	return checkName{c.Node, c.CheckID}, checkState{c.ServiceName, c.ServiceID, c.Status}
}

const (
	checkBytes   = 8 << 10 // of the list of all checks, for each query that it saves: beyond, it is cheaper to read the queries
	leastBytes   = 256 << 10
	mostBytes    = 16 << 20
	tooLargeHold = time.Hour
)

const learnAfter = time.Second // the first answers come before

// learn has the signals of nodes begin, and gets the list of all checks a first time.
func (k *catalog) learn(ctx context.Context) {
	if pause.For(ctx, learnAfter) {
		k.lists.begin()
		k.readChecks(ctx)
	}
}

// readChecks has the queries read for the services whose checks have come, gone or changed since the list of all checks was last read.
// Services have the checks of their nodes, too. It reports whether both lists are known.
func (k *catalog) readChecks(ctx context.Context) (complete bool) {
	found := k.checks.compare(ctx, k, math.MaxUint64, math.MaxUint64)
	k.source.locked(func() {
		for name, was := range found.gone {
			delete(found.services, strings.ToLower(was.service))
			if k.lists.has(name.node, was.serviceID) { // else the signal of the node has reported it
				k.cover.reportService(was.service)
			}
		}
		k.cover.reportNames(found.services)
		for node := range found.nodes {
			k.lists.reportServices(node)
		}
	})
	return found.complete
}

// readChecksLater has the list of all checks read after a while: a passing check that comes or goes alone is in no other list. It reports
// whether that is done; it is not where the list is too large. It must be called with the mutex held.
func (k *catalog) readChecksLater(ctx context.Context) bool {
	if k.checks.isTooLarge() {
		return false
	}
	if k.checksDue {
		return true
	}
	k.checksDue = true
	in := max(time.Second, time.Until(k.checksRead.Add(max(checkLeast, min(time.Duration(len(k.cover.members))*checkCost, checkRemote)))))
	k.source.tasks.Go(func() {
		if !pause.For(ctx, in) {
			return
		}
		k.source.locked(func() { k.checksDue, k.checksRead = false, time.Now() })
		complete := false
		k.source.guarded(func() { complete = k.readChecks(ctx) })
		if !complete {
			k.source.locked(func() { k.source.makeSure(k.cover, true) })
		}
	})
	return true
}

// A difference is what differs between the list of all checks and the one before.
type difference struct {
	services changes                  // whose checks came, went or changed their status
	nodes    map[string]uint64        // the same for nodes: when each has last changed
	gone     map[checkName]checkState // of services and nodes
	came     bool                     // a service's check came with a change of the list of services
	complete bool                     // both lists are known
}

// compare gets the list of all checks and returns how it differs. The list of services has changed between two indexes. There is no
// difference where the list cannot be had.
func (l *checkList) compare(ctx context.Context, k *catalog, before, index uint64) (found difference) {
	found = difference{services: make(changes), nodes: make(map[string]uint64), gone: make(map[checkName]checkState)}
	if err := l.turn.Acquire(ctx, 1); err != nil {
		return found
	}
	defer l.turn.Release(1)
	var members int
	var tooLarge bool
	k.source.locked(func() { members, tooLarge = len(k.cover.members), l.isTooLarge() })
	if tooLarge {
		return found
	}
	r := k.request(agent.Request{Limit: min(max(leastBytes, members*checkBytes), mostBytes)}, checksPath+"any")
	var list []listedCheck
	if _, err := k.source.agent.Get(ctx, r, &list); err != nil {
		l.known = nil
		if errors.Is(err, agent.ErrTooLarge) {
			k.source.locked(func() { l.tooLarge = time.Now() })
		}
		return found
	}

	found.complete = l.known != nil
	now := make(map[checkName]checkState, len(list))
	for _, c := range list {
		name, state := c.entry()
		now[name] = state
		was, known := l.known[name]
		differs := found.complete && !(known && was == state)
		switch {
		case state.service == "" && differs:
			found.nodes[name.node] = max(found.nodes[name.node], c.ModifyIndex)
		case state.service != "" && (differs || c.ModifyIndex > before):
			found.services.add(state.service, c.ModifyIndex)
		}
		found.came = found.came || c.CreateIndex == index && state.service != ""
	}
	for name, was := range l.known {
		if _, still := now[name]; still {
			continue
		}
		found.gone[name] = was
		if was.service == "" {
			found.nodes[name.node] = index
		} else {
			found.services.add(was.service, index)
		}
	}
	l.known = now
	return found
}

const mostGone = 4 // services that are requested because they have lost checks; for more a round is cheaper

// movedAt reports whether one of the services of some checks has changed at an index.
func (k *catalog) movedAt(ctx context.Context, checks map[checkName]checkState, index uint64) bool {
	names := make(changes)
	for _, c := range checks {
		if c.service != "" {
			names.add(c.service, index)
		}
	}
	if len(names) > mostGone {
		return false
	}
	for name := range names {
		got, err := k.source.agent.Get(ctx, k.request(agent.Request{}, "/v1/health/service/"+agent.Segment(name)), new([]struct{}))
		if err == nil && got.Index == index {
			return true
		}
	}
	return false
}

// failing is the list of the checks of one failing status.
type failing struct {
	catalog *catalog
	path    string
	list    []listedCheck
	known   map[checkName]checkState
}

func (f *failing) requestChecks(ctx context.Context, r agent.Request) (agent.Reply, error) {
	var list []listedCheck
	got, err := f.catalog.source.agent.Get(ctx, f.catalog.request(r, f.path), &list)
	if err == nil {
		f.list = list
	}
	return got, err
}

// moved reports the queries for the services whose checks are in only one of the list and the list before.
func (f *failing) moved(ctx context.Context, before, index uint64, parked bool) (useful bool) {
	now := make(map[checkName]checkState, len(f.list))
	changed, nodes := make(changes), make(map[string]uint64)
	note := func(name checkName, state checkState, index uint64) {
		if state.service == "" {
			nodes[name.node] = max(nodes[name.node], index)
		} else {
			changed.add(state.service, index)
		}
	}
	for _, c := range f.list {
		name, state := c.entry()
		now[name] = state
		if was, ok := f.known[name]; !ok || was != state {
			note(name, state, c.ModifyIndex)
		}
	}
	for name, was := range f.known {
		if _, still := now[name]; !still {
			note(name, was, index)
		}
	}
	first := f.known == nil
	f.known = now
	if first { // servers may be behind each other: a query may have an answer of before
		f.catalog.source.locked(func() { f.catalog.cover.reportNames(changed) })
		return true
	}
	if !parked || len(changed)+len(nodes) == 0 {
		f.catalog.source.locked(func() { f.catalog.cover.reportBetween(before, index) })
	}
	return f.catalog.report(ctx, changed, nodes)
}

const mostNodes = 16 // whose services are requested one by one; for more a round is cheaper

// report has the queries read for services, and for all services of nodes, by the names and indexes of these.
func (k *catalog) report(ctx context.Context, changed changes, nodes map[string]uint64) (useful bool) {
	unknown := !k.servicesOfNodes(ctx, nodes, changed)

	k.source.mu.Lock()
	defer k.source.mu.Unlock()
	useful = k.cover.reportNames(changed)
	if unknown {
		k.source.startRound(k.cover)
	}
	return useful || unknown
}

// servicesOfNodes adds the services of nodes, which have changed at some indexes. It reports whether they are known.
func (k *catalog) servicesOfNodes(ctx context.Context, nodes map[string]uint64, changed changes) bool {
	if len(nodes) > mostNodes {
		return false
	}
	for node, index := range nodes {
		if !k.servicesOf(ctx, node, index, changed) {
			return false
		}
	}
	return true
}

// servicesOf adds the services of a node, which has changed at an index. It reports whether they are known.
func (k *catalog) servicesOf(ctx context.Context, node string, index uint64, changed changes) bool {
	var answer struct{ Services []struct{ Service string } }
	if _, err := k.source.agent.Get(ctx, k.request(agent.Request{}, "/v1/catalog/node-services/"+agent.Segment(node)), &answer); err != nil {
		return false
	}
	for _, service := range answer.Services {
		changed.add(service.Service, index)
	}
	return true
}

func (k *catalog) requestNodes(ctx context.Context, r agent.Request) (agent.Reply, error) {
	var list []struct {
		Node        string
		ModifyIndex uint64
	}
	got, err := k.source.agent.Get(ctx, k.request(r, nodesPath), &list)
	if err == nil {
		k.nodes = make(map[string]uint64, len(list))
		for _, n := range list {
			k.nodes[n.Node] = n.ModifyIndex
		}
		k.nodesPartial = got.Filtered
	}
	return got, err
}

// nodesMoved reports the queries for nodes that came, went or changed, and for the services of those that have changed. The
// services of new nodes come by themselves; what was on a node that is gone its own signal names, or only a round finds.
func (k *catalog) nodesMoved(ctx context.Context, before, index uint64, _ bool) (useful bool) {
	changed, differ := make(map[string]uint64), make(changes)
	for name, now := range k.nodes {
		was, known := k.nodesBefore[name]
		if known && was != now {
			changed[name] = index
		}
		if !known || was != now {
			differ.add(name, index)
		}
	}
	gone := false
	for name := range k.nodesBefore {
		if _, still := k.nodes[name]; !still {
			differ.add(name, index)
			gone = true
		}
	}
	first := k.nodesBefore == nil
	k.nodesBefore = k.nodes
	k.lists.update(k.nodes, before, index, k.nodesPartial)
	if first {
		return true
	}

	k.source.locked(func() {
		useful = k.cover.reportKind(watch.KindNodes, index)
		useful = k.cover.reportNodes(differ, index) || useful
		k.cover.reportUnlisted(k.nodes)
		if gone && !k.lists.complete(before) { // with several instances in one change; those without checks are in no list
			k.source.makeSure(k.cover, true)
		}
	})
	return k.report(ctx, make(changes), changed) || useful
}
