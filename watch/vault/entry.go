package vault

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"render/watch"
	"render/watch/pause"
	"render/watch/vault/api"
	"render/watch/vault/outage"
)

const (
	replacedWithin = 10 * time.Second // a token that Vault does not know, as a revocation waits for it
	maxReplaced    = 100              // leases of earlier answers that last and are kept, until another answer is in use
	afterToken     = time.Second      // within which queries ask again after the token has changed; sooner where they are few
)

// An entry is what is known of a query that somebody asks. A goroutine of its own asks Vault, renews and asks again.
type entry struct {
	source *Source
	query  watch.Query
	stop   context.CancelFunc
	ended  chan struct{}
	wake   chan struct{} // of size 1; full when Vault is to be asked at once
	began  time.Time
	unused string // why the certificate of a file is not used, as logged; only run uses it

	// The source's mutex guards what follows.
	asked    map[watch.Query][]string // queries that the entry answers and that were not forgotten, with what fieldsOf says of each
	state    state
	partial  bool      // the answer, which is from files, lacks a field for one of them
	waking   bool      // wakeSoon does so
	answered time.Time // when Vault last had something; zero for never
	lease    lease     // of the answer
	since    uint64    // the first index of the answer that has the lease
	given    uint64    // the last index that somebody was given
	applied  uint64    // the last index of Applied
	replaced []lease
	users    int         // calls of Fetch
	failed   uint64      // attempts when a reader got a failure; 0 where no reader has read again
	leaving  *time.Timer // drops the entry; nil where it stays
}

// A state is what readers see of an entry. It is replaced as a whole.
type state struct {
	value    any
	index    uint64 // 0: there was no answer yet
	filed    bool   // the value is from files
	err      error  // why the last attempt failed; nil where it did not
	attempts uint64
	at       time.Time     // of the last attempt
	changed  chan struct{} // closed when there is another
}

func newEntry(s *Source, q watch.Query) *entry {
	return &entry{
		source: s, query: q, began: time.Now(), ended: make(chan struct{}), wake: make(chan struct{}, 1),
		asked: make(map[watch.Query][]string), state: state{changed: make(chan struct{})},
	}
}

// rereads reports whether a plain read asks Vault: that creates nothing.
func (e *entry) rereads(st state) bool {
	if e.query.Kind != watch.KindSecret && e.query.Kind != watch.KindSecrets {
		return false
	}
	e.source.mu.Lock()
	defer e.source.mu.Unlock()
	if secret, ok := st.value.(*watch.Secret); ok && !secret.Expires().IsZero() {
		return false
	}
	return e.lease.isNone()
}

func (e *entry) wakeUp() {
	select {
	case e.wake <- struct{}{}:
	default:
	}
}

// wakeSoon wakes the entry once for all queries that come within a moment: each time, it reads the files of all. The source's mutex is held.
func (e *entry) wakeSoon() {
	if e.waking {
		return
	}
	e.waking = true
	time.AfterFunc(collectFor, func() {
		e.source.mu.Lock()
		defer e.source.mu.Unlock()
		e.waking = false
		e.wakeUp()
	})
}

// leases returns all that Vault has leased for the query: for answers that somebody was given, and for one that nobody was given.
func (e *entry) leases() (used, unused []lease) {
	e.source.mu.Lock()
	defer e.source.mu.Unlock()
	used = slices.Clone(e.replaced)
	switch {
	case e.lease.isNone():
	case e.given < e.since:
		unused = append(unused, e.lease)
	default:
		used = append(used, e.lease)
	}
	return used, unused
}

// run asks until ctx is done.
func (e *entry) run(ctx context.Context) {
	failures := 0
	for ctx.Err() == nil {
		a, t, err := e.ask(ctx)
		if ctx.Err() != nil {
			return
		}
		if err == nil && a.value != nil {
			failures = 0
			e.keep(ctx, a)
			continue
		}

		if _, useless := errors.AsType[uselessError](err); useless {
			failures = 0
			e.fail(err)
			e.until(ctx, e.source.idle().next, nil, nil)
			continue
		}

		// A secret that is missing is waited for as the end of a failure is.
		delay := pause.Backoff(failures, e.source.cfg.Load().Backoff, e.source.cfg.Load().MaxBackoff)
		if err != nil {
			e.fail(err)
			delay = e.delay(err, delay)
		}
		failures++
		e.wait(ctx, delay, e.source.client.OutageEnds(), t.changed)
	}
}

// delay returns the pause after a failure.
func (e *entry) delay(err error, delay time.Duration) time.Duration {
	if _, away := errors.AsType[watch.OutageError](err); away || errors.Is(err, errRotating) {
		delay = min(delay, time.Second) // the client keeps the requests few
	}
	if status, ok := errors.AsType[*api.StatusError](err); ok {
		delay = max(delay, min(status.After, time.Minute))
	}
	return delay
}

// stagger waits for a random part of the time in which all queries may ask again.
func (s *Source) stagger(ctx context.Context) {
	pause.For(ctx, rand.N(min(time.Duration(s.queries()+1)*outage.SpreadEach, afterToken)))
}

// wait returns true after a duration. It returns false sooner where somebody wants an answer, over is closed, the token changes or ctx is
// done.
func (e *entry) wait(ctx context.Context, d time.Duration, over, changed <-chan struct{}) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-e.wake:
	case <-over:
	case <-changed:
		e.source.stagger(ctx)
	case <-ctx.Done():
	}
	return false
}

// ask asks Vault, and makes the answer known. What Vault creates is never lost: such a request goes on although nobody waits any more.
func (e *entry) ask(ctx context.Context) (a answered, t usedToken, err error) {
	s := e.source
	if a, ok := e.filed(ctx); ok {
		e.deliver(a)
		return a, t, nil
	}
	if t, err = s.tokens.get(ctx); err != nil {
		return answered{}, t, err
	}
	asking := ctx
	if e.rereadable() {
		a, err = s.answer(asking, e.query, t)
	} else {
		a, err = s.answer(s.net, e.query, t)
	}
	switch {
	case err == nil:
		e.deliver(a)
	case isDenied(err):
		s.tokens.refuse(t)
	}
	return a, t, err
}

// rereadable reports whether asking again can create nothing, as far as is known.
func (e *entry) rereadable() bool {
	e.source.mu.Lock()
	defer e.source.mu.Unlock()
	return e.query.Kind == watch.KindSecrets || e.query.Kind == watch.KindSecret && e.state.index != 0 && e.lease.isNone()
}

// deliver makes an answer known. One that means the same leaves the value as it is.
func (e *entry) deliver(a answered) {
	s := e.source
	s.mu.Lock()
	defer s.mu.Unlock()
	st := e.state
	if st.index == 0 || !watch.Equal(st.value, a.value) || !expiry(st.value).Equal(expiry(a.value)) {
		s.index++
		st.value, st.index = a.value, s.index
	}
	if names, isList := a.value.([]string); a.value != nil && (!isList || len(names) > 0) {
		e.answered = time.Now()
	}
	if a.lease != e.lease || e.since == 0 {
		if !e.lease.isNone() {
			e.replace(e.lease)
		}
		e.lease, e.since = a.lease, st.index
	}
	st.filed, st.err = a.filed != nil, nil
	e.publish(st)
	e.noteLack()
}

// replace keeps leases of earlier answers until Applied. The source's mutex is held.
func (e *entry) replace(earlier ...lease) {
	e.replaced = slices.DeleteFunc(append(e.replaced, earlier...), lease.hasEnded)
	e.replaced = e.replaced[max(0, len(e.replaced)-maxReplaced):]
}

// release has the leases of earlier answers revoked a little later, once the answer that there is is in use. The source's mutex is held.
func (e *entry) release() {
	if e.since == 0 || e.applied < e.since {
		return
	}
	for _, l := range e.replaced {
		e.source.tasks.Go(func() { e.source.release(l) })
	}
	e.replaced = nil
}

func expiry(value any) time.Time {
	if v, ok := value.(interface{ Expires() time.Time }); ok {
		return v.Expires()
	}
	return time.Time{}
}

// fail makes a failure known. The answer that there is stays.
func (e *entry) fail(err error) {
	e.source.mu.Lock()
	defer e.source.mu.Unlock()
	st := e.state
	st.err = err
	e.publish(st)
}

// recovered makes known that the last failure means nothing any more.
func (e *entry) recovered() {
	e.source.mu.Lock()
	defer e.source.mu.Unlock()
	if st := e.state; st.err != nil {
		st.err = nil
		e.publish(st)
	}
}

// publish replaces the state. The source's mutex is held.
func (e *entry) publish(st state) {
	close(e.state.changed)
	st.attempts++
	st.at = time.Now()
	st.changed = make(chan struct{})
	e.state = st
}

// keep returns when there is to be another answer.
func (e *entry) keep(ctx context.Context, a answered) {
	if a.clock.renews {
		e.renew(ctx, a)
		return
	}
	if a.filed != nil {
		e.keepFiled(ctx, a)
		return
	}
	var changed <-chan struct{}
	if a.lease.generation != 0 {
		changed = e.source.tokens.after(a.lease.generation)
	}
	next := time.Now().Add(max(leastPause, time.Until(a.clock.next)))
	if !e.rereadable() { // a reader that was not answered yet takes this answer
		e.until(ctx, next, nil, changed)
		return
	}
	every := e.source.pollEvery(e.query)
	for known := true; every > 0 && a.comparison != nil && known; {
		pause := min(pause.Jittered(every), time.Until(next))
		if !e.wait(ctx, pause, nil, changed) || !time.Now().Before(next) {
			return
		}
		var differs bool
		if differs, known = e.source.differs(ctx, e.query, a); differs {
			return
		}
	}
	e.wait(ctx, time.Until(next), nil, changed)
}

// renew renews a lease as long as that is of use. A failure is repeated while the lease has time.
func (e *entry) renew(ctx context.Context, a answered) {
	s, l, c := e.source, a.lease, a.clock
	spare := grace(c.lasts)
	last := c.expires.Add(-spare) // when there is to be another lease
	next := renewAt(c.expires, spare)
	var changed <-chan struct{}
	if l.generation != 0 {
		changed = s.tokens.after(l.generation)
	}
	for failures, renews := 0, true; ; {
		if !renews {
			next = last
		}
		var over <-chan struct{}
		if failures > 0 {
			over = s.client.OutageEnds()
		}
		if !e.until(ctx, next, over, changed) {
			return
		}
		if !renews || !time.Now().Before(last) {
			return
		}

		got, err := s.renew(ctx, l)
		switch {
		case ctx.Err() != nil, isOver(err) && !isLongest(err):
			return
		case isLongest(err), errors.Is(err, watch.ErrDenied):
			failures, renews = 0, false // the lease lasts, and a token that may renew it can come
			e.recovered()
		case err != nil:
			e.fail(fmt.Errorf("renew the lease: %w", err))
			last = c.expires.Add(-c.lasts / 10)
			most := max(time.Second, min(s.cfg.Load().MaxBackoff, time.Until(last)/4))
			next = time.Now().Add(e.delay(err, pause.Backoff(failures, s.cfg.Load().Backoff, most)))
			if next.After(last) {
				next = last
			}
			failures++
		default:
			failures = 0
			renews = got.renews && got.lasts > 4*spare // else its longest time is near
			c.expires = got.expires
			last = c.expires.Add(-spare)
			next = renewAt(c.expires, spare)
			e.renewed(a, got)
		}
	}
}

// renewAt returns when to renew a lease that ends at a time.
func renewAt(expires time.Time, spare time.Duration) time.Time {
	left := time.Until(expires)
	return time.Now().Add(max(leastPause, left*2/3+spare/3))
}

// until returns at a time, or when over is closed. It reports false where there is to be another answer before.
func (e *entry) until(ctx context.Context, at time.Time, over, changed <-chan struct{}) bool {
	timer := time.NewTimer(time.Until(at))
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-over:
		return true
	case <-changed:
		e.source.stagger(ctx)
	case <-ctx.Done():
	}
	return false
}

// renewed makes known that an answer lasts longer.
func (e *entry) renewed(a answered, got renewal) {
	secret, ok := a.value.(*watch.Secret)
	if !ok {
		return
	}
	s := e.source
	s.mu.Lock()
	defer s.mu.Unlock()
	st := e.state
	s.index++
	st.value, st.index, st.err = secret.Until(got.expires, int(got.lasts/time.Second)), s.index, nil
	e.lease.until = got.expires
	e.publish(st)
}
