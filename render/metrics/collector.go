package metrics

import (
	"context"
	"maps"
	"math"
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"render/render/history"
	"render/render/status"
)

// A collector collects what a snapshot of the engine has.
type collector struct{ *Metrics }

// What a snapshot shows.
var (
	loopResponding = desc("loop_responding", "1 while the engine answers within 5 s, else 0; what is known of targets, actions and queries is missing then.")
	appliedOnce    = desc("targets_applied_once", "Targets whose files were applied at least once since the start, or since they were configured.")

	targets        = desc("targets", "Targets by state.", "state")
	failedTemplate = desc("targets_failed_template", "Targets whose template fails: they have failed, and their action has not.")
	stale          = desc("targets_stale_template", "Targets whose newest template text cannot be used; the previous one stays in use.")
	drifted        = desc("targets_drifted", "Targets whose file another program has changed.")
	outputBytes    = desc("output_bytes", "Size of the files of all targets.")

	actionStates = desc("actions", "Actions by state.", "state")
	commits      = desc("commits_total", "Commits that ended, by action and result.", "action", "result")
	outOfSync    = desc("action_out_of_sync_seconds", "Age of the oldest change that the action has not applied; 0 while it is in sync.", "action")
	failures     = desc("action_failures", "Commits of the action that failed since the last one that succeeded.", "action")
	succeeded    = desc("action_last_success_timestamp_seconds", "When a commit of the action last succeeded; 0 for not yet.", "action")
	lastRun      = desc("action_last_commit_duration_seconds", "Time of the action's last commit that ran something.", "action")
	committing   = desc("commit_in_flight_seconds", "Age of the oldest commit in flight; 0 without one.")
	unapplied    = desc("unapplied_change_age_seconds", "Age of the oldest change that is not applied; 0 while everything is.")

	queries = desc("queries", "Queries by state.", "state")
	failing = desc("queries_failing", "Queries whose last attempt failed, also those whose last good answer is in use.")
	missed  = desc("missed_changes_total", "Changes that no waiting request of Consul reported and that a plain read found; should stay 0.")

	held    = desc("guard_held_answers", "Answers that guards hold back, for each target.")
	heldAge = desc("guard_hold_age_seconds", "Age of the oldest answer that a guard holds back; 0 without one.")

	requests    = desc("consul_requests_total", "Requests to Consul that ended, by outcome: ok, denied, refused (too many), failed.", "address", "outcome")
	inFlight    = desc("consul_requests_in_flight", "Requests to Consul at this moment, with those that wait for a change.", "address")
	waiting     = desc("consul_requests_waiting", "Requests to Consul that wait for a change.", "address")
	limit       = desc("consul_connections_limit", "Connections to Consul that render opens at most at a time.", "address")
	reachable   = desc("consul_reachable", "1 while Consul answers, else 0.", "address")
	knownLeader = desc("consul_known_leader", "1 where the server of the last answer knew the leader of the cluster, else 0.", "address")
	staleness   = desc("consul_staleness_seconds", "How far the server of the last answer was behind the leader.", "address")
	lastAnswer  = desc("consul_last_answer_timestamp_seconds", "When Consul answered last; 0 for not yet.", "address")
	received    = desc("consul_received_bytes_total", "Bytes of Consul's answers.", "address")

	vaultConnection = describeServer("vault", "Vault")
	nomadConnection = describeServer("nomad", "Nomad")

	configVersion = desc("configuration_version", "Number of configurations that were in effect since the start.")
	configLoaded  = desc("configuration_loaded_timestamp_seconds", "When the configuration that is in effect was loaded.")
	reloads       = desc("configuration_reloads_total", "Reloads by result: accepted or rejected.", "result")
	reloadGood    = desc("configuration_last_reload_successful", "1 where the newest configuration is in effect, 0 where it was rejected.")
	programWaits  = desc("program_waiting", "1 while the supervised program is not started because files are missing; only with such a program.")
)

// all are the descriptions of a collector.
var all = slices.Concat([]*prometheus.Desc{
	loopResponding, targets, appliedOnce, failedTemplate, stale, drifted, outputBytes, actionStates, commits, outOfSync, failures, succeeded, lastRun, committing, unapplied, queries,
	failing, missed, held, heldAge, requests, inFlight, waiting, limit, reachable, knownLeader, staleness, lastAnswer, received, configVersion,
	configLoaded, reloads, reloadGood, programWaits,
}, vaultConnection.all(), nomadConnection.all())

func desc(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("render_"+name, help, labels, nil)
}

// Describe implements prometheus.Collector.
func (collector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range all {
		ch <- d
	}
}

// A sink takes metrics.
type sink chan<- prometheus.Metric

func (ch sink) gauge(d *prometheus.Desc, value float64, labels ...string) {
	ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, value, labels...)
}

func (ch sink) counter(d *prometheus.Desc, value float64, labels ...string) {
	ch <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, value, labels...)
}

// Collect implements prometheus.Collector.
func (c collector) Collect(out chan<- prometheus.Metric) {
	ch := sink(out)
	ctx, cancel := context.WithTimeout(context.Background(), c.wait)
	defer cancel()
	s, err := c.engine.Snapshot(ctx)
	ch.gauge(loopResponding, number(err == nil))
	if err != nil {
		return
	}
	now := time.Now()
	ch.targets(s, now)
	c.collectActions(ch, s, now)
	ch.connections(s.Connections)
	ch.configuration(s)
}

// targets sends what there is about targets, queries and guards.
func (ch sink) targets(s *status.Snapshot, now time.Time) {
	for state, n := range s.Counts.Targets {
		ch.gauge(targets, float64(n), string(state))
	}
	for state, n := range s.Counts.Queries {
		ch.gauge(queries, float64(n), string(state))
	}
	var since time.Time // of the oldest hold
	var failedTargets, staleTargets, driftedTargets, onceTargets, size int64
	fails := make(map[string]bool)
	for _, a := range s.Actions {
		fails[a.ID] = a.Error != ""
	}
	for _, t := range s.Targets {
		if t.State == status.Failed && !fails[t.Action] {
			failedTargets++
		}
		if t.Stale != "" {
			staleTargets++
		}
		if t.Drifted {
			driftedTargets++
		}
		if t.AppliedOnce {
			onceTargets++
		}
		size += t.Bytes
		for _, h := range t.Held {
			if since.IsZero() || h.Since.Before(since) {
				since = h.Since
			}
		}
	}
	ch.gauge(failedTemplate, float64(failedTargets))
	ch.gauge(stale, float64(staleTargets))
	ch.gauge(drifted, float64(driftedTargets))
	ch.gauge(appliedOnce, float64(onceTargets))
	ch.gauge(outputBytes, float64(size))
	ch.gauge(held, float64(s.Counts.Held))
	ch.gauge(heldAge, age(now, since))
	ch.gauge(failing, float64(s.Counts.Failing))
	ch.counter(missed, float64(s.Missed))
}

// collectActions sends what there is about actions.
func (c collector) collectActions(ch sink, s *status.Snapshot, now time.Time) {
	for state, n := range s.Counts.Actions {
		ch.gauge(actionStates, float64(n), string(state))
	}
	ch.gauge(unapplied, age(now, s.Counts.Unapplied))
	longest := 0.0
	for _, a := range s.Actions {
		if a.State == status.Committing {
			longest = math.Max(longest, age(now, a.Since))
		}
	}
	ch.gauge(committing, longest)

	shared, late, failed := false, 0.0, 0
	for i, n := range c.countsOf(s) {
		a := s.Actions[i]
		if n.label == Others {
			shared, late, failed = true, math.Max(late, age(now, a.Unapplied)), max(failed, a.Failures)
			continue
		}
		ch.gauge(outOfSync, age(now, a.Unapplied), n.label)
		ch.gauge(failures, float64(a.Failures), n.label)
		ch.gauge(succeeded, timestamp(a.Succeeded), n.label)
		if a.LastRun != nil {
			ch.gauge(lastRun, a.LastRun.Seconds, n.label)
		}
		ch.results(n)
	}
	others := c.countsOfOthers()
	if shared {
		ch.gauge(outOfSync, late, Others)
		ch.gauge(failures, float64(failed), Others)
	}
	if shared || len(others.results) > 0 {
		ch.results(others)
	}
}

// countsOf returns what was counted of each action of a snapshot; of those beyond the first [MaxActions] the label only. The engine's loop waits for
// it where a commit ends at the same time.
func (c collector) countsOf(s *status.Snapshot) []counts {
	has := make(map[string]bool, len(s.Actions))
	for _, a := range s.Actions {
		has[a.ID] = true
	}
	list := make([]counts, 0, len(s.Actions))

	c.mu.Lock()
	defer c.mu.Unlock()
	c.actions.forget(has, s.Time)
	for _, a := range s.Actions {
		n := *c.actions.of(a.ID, a.Kind, a.Name)
		if n.label != Others {
			n.results = maps.Clone(n.results)
		}
		list = append(list, n)
	}
	return list
}

// countsOfOthers returns what was counted of the actions that share a label.
func (c collector) countsOfOthers() counts {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := c.actions.others
	n.results = maps.Clone(n.results)
	return n
}

// results sends the numbers of commits of one label.
func (ch sink) results(n counts) {
	if n.results[history.Applied] == 0 {
		ch.counter(commits, 0, n.label, string(history.Applied))
	}
	for result, count := range n.results {
		ch.counter(commits, float64(count), n.label, string(result))
	}
}

// connections sends what there is about Consul. Addresses that look alike are one: the first.
func (ch sink) connections(all []status.Connection) {
	sent := make(map[string]bool)
	for _, c := range all {
		address := clean(c.Address)
		if sent[c.Server+" "+address] {
			continue
		}
		sent[c.Server+" "+address] = true
		switch c.Server {
		case "vault":
			ch.server(vaultConnection, c, address)
			continue
		case "nomad":
			ch.server(nomadConnection, c, address)
			continue
		}
		for outcome, n := range c.Requests {
			ch.counter(requests, float64(n), address, outcome)
		}
		ch.gauge(inFlight, float64(c.InFlight), address)
		ch.gauge(waiting, float64(c.Waiting), address)
		ch.gauge(limit, float64(c.Limit), address)
		ch.gauge(reachable, number(c.Reachable), address)
		ch.gauge(knownLeader, number(c.KnownLeader), address)
		ch.gauge(staleness, c.Behind, address)
		ch.gauge(lastAnswer, timestamp(c.LastAnswer), address)
		ch.counter(received, float64(c.Bytes), address)
	}
}

// A server describes the connection to a server other than Consul.
type server struct{ requests, inFlight, reachable, lastAnswer *prometheus.Desc }

func describeServer(name, title string) server {
	return server{
		requests:   desc(name+"_requests_total", "Requests to "+title+" that ended, by outcome: ok, denied, refused (too many), failed.", "address", "outcome"),
		inFlight:   desc(name+"_requests_in_flight", "Requests to "+title+" at this moment.", "address"),
		reachable:  desc(name+"_reachable", "1 while "+title+" answers, else 0. Missing where no template uses it.", "address"),
		lastAnswer: desc(name+"_last_answer_timestamp_seconds", "When "+title+" answered last; 0 for not yet.", "address"),
	}
}

func (s server) all() []*prometheus.Desc {
	return []*prometheus.Desc{s.requests, s.inFlight, s.reachable, s.lastAnswer}
}

// server sends what there is about the connection to a server other than Consul.
func (ch sink) server(s server, c status.Connection, address string) {
	for outcome, n := range c.Requests {
		ch.counter(s.requests, float64(n), address, outcome)
	}
	ch.gauge(s.inFlight, float64(c.InFlight), address)
	ch.gauge(s.reachable, number(c.Reachable), address)
	ch.gauge(s.lastAnswer, timestamp(c.LastAnswer), address)
}

// configuration sends what there is about the configuration and the supervised program.
func (ch sink) configuration(s *status.Snapshot) {
	c := s.Configuration
	ch.gauge(configVersion, float64(c.Version))
	ch.gauge(configLoaded, timestamp(c.Loaded))
	ch.counter(reloads, float64(c.Accepted), "accepted")
	ch.counter(reloads, float64(c.Rejected), "rejected")
	ch.gauge(reloadGood, number(c.Error == ""))
	if s.Program != nil {
		ch.gauge(programWaits, number(s.Program.Waits))
	}
}

// age returns how many seconds ago something was; 0 for never.
func age(now, at time.Time) float64 {
	if at.IsZero() {
		return 0
	}
	return math.Max(0, now.Sub(at).Seconds())
}

// timestamp returns a time in seconds since 1970; 0 for never.
func timestamp(at time.Time) float64 {
	if at.IsZero() {
		return 0
	}
	return float64(at.UnixMilli()) / 1000
}

func number(yes bool) float64 {
	if yes {
		return 1
	}
	return 0
}
