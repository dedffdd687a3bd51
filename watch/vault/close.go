package vault

import (
	"context"
	"slices"
	"strings"
	"sync"
	"time"

	"render/watch"
)

const closing = 3 * time.Second // that Close waits for requests under way, and as long again for revocations

// Close ends what the source does by itself. It revokes what it has leased for answers that nobody was given and, with
// Config.RevokeOnStop, all that it has leased. Then it revokes the token of its own login, unless something in use ends with that. It
// returns within a few seconds. Fetch must not be called any more.
func (s *Source) Close() {
	revokes := s.cfg.Load().RevokeOnStop
	s.close(s.revokeToken, func(_ watch.Query, used []lease) (unused []lease) {
		if revokes {
			return used
		}
		return nil
	})
}

// Follow has the answers of the source, from now on, have indexes above those of another. It is called before the source answers in the
// place of that: Applied with an index of before says nothing about answers that somebody is given from now on.
func (s *Source) Follow(other *Source) {
	other.mu.Lock()
	last := other.index
	other.mu.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	if last <= s.index {
		return
	}
	s.index = last
	for _, e := range s.entries {
		if st := e.state; st.index != 0 {
			s.index++
			if e.given >= e.since {
				e.given = s.index
			}
			st.index, e.since = s.index, s.index
			e.publish(st)
		}
	}
}

// CloseFor is Close for a source that another replaces, as settings have changed. What it has leased for answers that somebody was given
// is in use still: next revokes that, as leases of earlier answers of its own. Where next is nil, it ends by itself.
func (s *Source) CloseFor(next *Source) {
	s.mu.Lock()
	s.next = next
	s.mu.Unlock()
	s.close(func(context.Context) {}, func(q watch.Query, used []lease) (unused []lease) {
		if next != nil {
			next.inherit(q, used)
		}
		return nil
	})
}

// close closes the source. It revokes what left makes of the leases for answers that somebody was given, and then calls last.
func (s *Source) close(last func(context.Context), left func(q watch.Query, used []lease) (unused []lease)) {
	s.mu.Lock()
	s.closed = true
	for _, e := range s.entries {
		if e.leaving != nil {
			e.leaving.Stop()
		}
		e.stop()
	}
	s.mu.Unlock()
	s.end()

	// A request that hangs does not take the time of revocations.
	limit := time.AfterFunc(closing, s.endNet)
	defer limit.Stop()
	revoking, cancel := context.WithTimeout(context.Background(), 2*closing)
	defer cancel()
	var ending sync.WaitGroup
	end := func(q watch.Query, used, unused []lease) {
		for _, l := range append(unused, left(q, used)...) {
			ending.Go(func() { s.revoke(revoking, l) })
		}
	}
	for _, e := range s.entries { // there are no others any more
		ending.Go(func() {
			<-e.ended
			used, unused := e.leases()
			end(e.query, used, unused)
		})
	}
	for q, leases := range s.waiting {
		end(q, leases, nil)
	}
	ending.Wait()
	s.tasks.Wait()
	last(revoking)
	s.logLeft()
	s.endNet()
	s.tokens.close()
	s.client.Close()
}

// revokeToken revokes the token of the last login, unless something that is in use ends with it.
func (s *Source) revokeToken(ctx context.Context) {
	cfg := s.cfg.Load()
	revokes := cfg.ReadOnly || cfg.RevokeOnStop && !s.keeps.Load() || cfg.Once && !s.keeps.Load() && !s.hasLeased.Load()
	token, generation := s.tokens.ownToken()
	if token == "" || !revokes {
		return
	}
	if err := (lease{by: s, token: token}).revoke(ctx); err != nil {
		s.log.Warn("vault token not revoked", "err", err)
		return
	}

	// Vault has ended what it leased with the token.
	s.mu.Lock()
	defer s.mu.Unlock()
	s.left = slices.DeleteFunc(s.left, func(l leftLease) bool { return l.by == s && l.generation != 0 && l.generation == generation })
}

// A leftLease is a lease that was not revoked, although it was to be.
type leftLease struct {
	lease
	why error
}

// logLeft logs how many leases were not revoked before the end, and why.
func (s *Source) logLeft() {
	s.mu.Lock()
	left := slices.DeleteFunc(s.left, func(l leftLease) bool { return l.hasEnded() })
	s.mu.Unlock()
	if len(left) == 0 {
		return
	}

	var last time.Time
	var mounts []string
	for _, l := range left {
		if l.until.After(last) {
			last = l.until
		}
		mount := "auth/"
		if l.id != "" {
			mount, _, _ = strings.Cut(l.id, "/")
			mount += "/"
		}
		mounts = append(mounts, mount)
	}
	slices.Sort(mounts)
	args := []any{"count", len(left), "mounts", strings.Join(slices.Compact(mounts), ", "), "err", left[0].why}
	if !last.IsZero() {
		args = append(args, "until", last.UTC().Format(time.RFC3339))
	}
	s.log.Warn("vault leases not revoked", args...)
}

// inherit keeps leases that another source has made for a query.
func (s *Source) inherit(q watch.Query, leases []lease) {
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.entries[q]
	switch {
	case len(leases) == 0 || s.closed:
	case e != nil:
		e.replace(leases...)
		e.release()
	default:
		s.waiting[q] = slices.Concat(s.waiting[q], leases)
		time.AfterFunc(linger, func() { s.disown(q) })
	}
}

// disown revokes what another source has leased for a query that nobody asks this one about.
func (s *Source) disown(q watch.Query) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return
	}
	for _, l := range s.waiting[q] {
		s.tasks.Go(func() { s.revoke(s.net, l) })
	}
	delete(s.waiting, q)
}
