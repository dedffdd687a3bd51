package render

import (
	"context"
	"slices"
	"time"

	"render/render/graph"
	"render/render/leases"
	"render/render/output"
	"render/render/pace"
	"render/render/pass"
	"render/render/run"
	"render/template"
	"render/watch"
)

// passGrace is for passes at the end of the engine. What takes longer is left behind.
const passGrace = 100 * time.Millisecond

// A texts waits for the first pass of templates with another text: a pin keeps the queries until then that they and others have
// asked so far.
type texts struct {
	fresh map[*target]bool
	pins  []*graph.User[*target]
}

// execute runs a target's template once (R5 says when), unless a pass of it is under way, or it rests: it returns until when,
// and zero else. A pass that takes long is under way when execute returns, or waits for room.
func (e *Engine) execute(t *target) (rests time.Time) {
	if t.pass != nil {
		return time.Time{}
	}
	defer e.moved(t)
	t.Wants, t.skipped = true, false
	now := time.Now()
	if now.Before(t.rest) {
		return t.rest
	}
	if t.slow && e.passes.Room(now) <= 0 {
		e.crowded.Add(t.action)
		return time.Time{}
	}

	e.rerunPlugins(e.graph.Outdated(&t.User)) // what programs print is as new as the other data
	t.answers = e.graph.Begin(&t.User, now)
	parsed, lookup := t.template, t.answers.Lookup // the target may have others by the end of the pass
	p := e.passes.Begin(t, now, func(ctx context.Context) template.Result { return e.executes(parsed, ctx, lookup) })
	delete(e.texts.fresh, t)
	if !t.slow && e.passes.Await(p) {
		e.finish(p)
		return time.Time{}
	}
	room := e.passes.Room(now) > 0
	t.pass, t.slow = p, true
	e.passes.Detach(p)
	if !room {
		e.drop(t) // it begins anew when there is
	}
	return time.Time{}
}

// drop drops the pass of a target that is under way, if there is one. The target wants another one. That begins when this one
// has ended: it uses the template.
func (e *Engine) drop(t *target) {
	if t.pass == nil || t.pass.Dropped() {
		return
	}
	t.pass.Drop()
	e.forgetQueries(e.graph.Abandon(t.answers, time.Now()))
}

// leave drops the pass of a target that is under way, and does not wait for it: the target has gone, or has another template.
func (e *Engine) leave(t *target) {
	e.drop(t)
	t.pass, t.slow, t.rest, t.overruns = nil, false, time.Time{}, 0
}

// landPass takes the end of a detached pass.
func (e *Engine) landPass(p *pass.Pass[*target]) {
	e.passes.Land(p)
	defer e.leases.PassEnded()
	t := p.Owner
	if t.pass != p {
		return
	}
	t.pass = nil
	if !p.Dropped() {
		t.slow = p.Took > pass.Patience
		e.finish(p)
		if e.cfg.Once && t.finished() {
			t.Wants = false // what has been answered counts, even if it has changed
		}
	}
	e.moved(t)
	e.schedule.Now(t.action)
	if t.Wants {
		e.wakeActions([]*target{t}, time.Now())
	}
}

// finish takes the result of a pass.
func (e *Engine) finish(p *pass.Pass[*target]) {
	t, a := p.Owner, p.Owner.action
	defer e.moved(t)
	wasFinished := t.finished()
	t.result = p.Result
	t.passes++
	t.track.Passed(time.Now(), p.Took)
	t.urgent = false
	refused := e.refuse(t)
	now := time.Now()
	watched, forgotten := e.graph.Finish(t.answers, t.result, now)
	e.markHidden(t, t.result.Used)
	t.result.Used = nil // the graph has it
	for _, q := range watched {
		e.set.Watch(q)
		e.board.Query(q)
	}
	e.forgetQueries(forgotten)
	e.rerunPlugins(e.graph.Late(&t.User))
	e.logJudgements(now)
	if p.Detached() || !a.gathering.IsZero() {
		a.took += p.Took
		t.round = a.round
	}
	if t.finished() {
		t.result.Err = e.claim(t)
	}
	e.history.Passed(p.Took, t.result.Err != nil)
	if !t.finished() {
		t.Unwant()
		e.block(t, now)
		t.restAfter(p, now)
		if t.result.Err != nil && !refused && !e.cfg.Once {
			e.logFault(t)
		}
		return
	}

	t.blocked, t.report, t.passed, t.overruns = time.Time{}, time.Time{}, false, 0
	e.noteWarnings(t)
	o := output.New(&t.result)
	if o.Secret = t.UsesSecret(); o.Secret {
		o.Leases, o.Answers = leases.Of(t.answers), t.answers.Secrets()
		o.SecretAnswer = len(o.Answers) > 0
	}
	if !t.Want(o) {
		t.Causes = nil
		return
	}
	if !wasFinished || a.pace.First().IsZero() {
		a.pace.Changed(now)
	}
	e.schedule.Now(a)
}

// restAfter has a target rest whose pass took long and did not finish (R7). One that the limit has ended runs again after a
// back-off. One that waits for answers does not rest: they lead to the next level of queries.
func (t *target) restAfter(p *pass.Pass[*target], now time.Time) {
	if !p.Detached() || len(t.result.Pending) > 0 {
		return
	}
	t.rest = now.Add(pace.Rest(p.Took))
	if p.Late && t.result.Err != nil {
		t.rest = now.Add(backoff(t.overruns))
		t.overruns++
		t.Wants = true
	}
}

// admit gives actions their turn for whose passes there is room now, and returns when there is room for the next.
func (e *Engine) admit(now time.Time) (next time.Time) {
	for _, a := range e.crowded.Take(e.passes.Room(now)) {
		e.wakeActions(inOrder(a.wanting), now)
	}
	if e.crowded.Len() > 0 {
		next = e.passes.RoomAt(now)
	}
	return next
}

// runNow has targets run whose template is new. What one of them does not ask any more, or one that has gone, another may ask
// now: its watcher stays.
func (e *Engine) runNow(fresh map[*target]bool, gone []*target) {
	if len(fresh) == 0 {
		return
	}
	targets := inOrder(fresh)
	e.texts.pins = append(e.texts.pins, e.graph.Pin(usersOf(slices.Concat(targets, gone))))
	e.graph.Renew(usersOf(targets))
	for _, t := range targets {
		queries, _ := t.Uses()
		e.markHidden(t, queries)
		e.texts.fresh[t] = true
		t.urgent, t.Wants = true, true
		e.moved(t)
		e.schedule.Now(t.action)
	}
}

// markHidden notes that a target does not show the names of queries, which others may have shown.
func (e *Engine) markHidden(t *target, queries []watch.Query) {
	for _, q := range queries {
		if t.template.Hides(q) {
			e.markQuery(q)
		}
	}
}

// unpin forgets what new templates do not ask, when the pass of each has begun.
func (e *Engine) unpin() {
	if len(e.texts.fresh) > 0 {
		return
	}
	for _, pin := range e.texts.pins {
		e.forgetQueries(e.graph.Remove(pin))
	}
	e.texts.pins = nil
}

// reportPasses reports the passes that take long, when it is time to (R14).
func (e *Engine) reportPasses(now time.Time) {
	long := e.passes.Report(now, reportEvery)
	for _, p := range long[:min(len(long), mostReported)] {
		e.log.Warn("template is still executing; its file stays as it is", "template", p.Owner.cfg.Source, "for", now.Sub(p.Began).Round(time.Second))
	}
	if len(long) > mostReported {
		e.log.Warn("more templates are still executing", "templates", len(long)-mostReported)
	}
}

// endPasses ends the passes under way. One that does not end is left behind.
func (e *Engine) endPasses() {
	if p := e.passes.End(passGrace); p != nil {
		e.log.Warn("stopping while a template is executing", "template", p.Owner.cfg.Source)
	}
}

// where returns the place where a template asks a query: without line and column while a pass is under way, which has the
// template for itself.
func (t *target) where(q watch.Query) string {
	if t.pass != nil {
		return t.cfg.Source
	}
	return t.template.Where(q)
}

// lookupEnv returns a variable of the environment of templates. Passes call it beside the loop.
func (e *Engine) lookupEnv(name string) (string, bool) {
	return run.Lookup(*e.env.Load(), name)
}
