package web

import (
	"fmt"
	"strings"
	"time"

	"render/render/history"
	"render/render/status"
)

// sampleTime is when the sample was taken.
func sampleTime() time.Time { return time.Now().Add(-3 * time.Second) }

// sample returns a snapshot of n targets, 5 in 12 of them in trouble of some kind, and its engine's history. Each name ends with suffix.
func sample(n int, suffix string) (*status.Snapshot, []*history.Commit) {
	now := sampleTime()
	ago := func(d time.Duration) time.Time { return now.Add(-d) }
	s := &status.Snapshot{Overview: status.Overview{
		Time: now, Started: ago(26 * time.Hour),
		Configuration: status.Configuration{Version: 3, Loaded: ago(2 * time.Hour), Accepted: 2, Reload: ago(2 * time.Hour)},
		Connections: []status.Connection{{
			Address: "10.0.0.5:8500" + suffix, Reachable: true, Requests: map[string]uint64{"ok": 40213, "failed": 12, "denied": 0, "refused": 0},
			InFlight: 41, Waiting: 40, Limit: 128, LastAnswer: ago(time.Second), Behind: 0.012, KnownLeader: true, Bytes: 93_000_000,
		}},
		Counts: status.Counts{Targets: map[status.State]int{}, Actions: map[status.ActionState]int{}, Queries: map[status.QueryState]int{}},
	}}
	query := func(id, text string, state status.QueryState, answer, change string) *status.Query {
		q := &status.Query{ID: id, Text: text + suffix, Kind: strings.Fields(text)[0], State: state, Since: ago(40 * time.Minute), Answer: answer + suffix, Changes: 7}
		if change != "" {
			q.LastChange, q.Change = ago(4*time.Minute), change+suffix
		}
		s.Queries = append(s.Queries, q)
		return q
	}
	shared := query("service-web", "service web", status.QueryAnswered, "4 instances", "3 → 4 instances")
	absent := query("key-motd", "key app/motd", status.QueryAbsent, "", "")
	pending := query("service-db", "service db@dc2", status.QueryPending, "", "")
	failing := query("tree", "tree app/flags", status.QueryAnswered, "12 keys", "changed")
	failing.Error, failing.Failures, failing.Since = "Unexpected response code: 403 (Permission denied)"+suffix, 14, ago(6*time.Minute)

	reload := &status.Action{ID: "nginx", Name: "nginx" + suffix, Kind: "named", Check: "nginx -t" + suffix, Command: "systemctl reload nginx" + suffix, Verify: "http://127.0.0.1/health" + suffix, State: status.Retrying, Since: ago(3 * time.Minute), Unapplied: ago(4 * time.Minute), Commits: 31, Runs: 29, Failures: 3, Retry: now.Add(17 * time.Second), Error: "check: nginx -t: exit status 1" + suffix,
		LastRun: &status.Run{Commit: 4, Began: ago(12 * time.Second), Seconds: 0.213, Files: []string{}, Result: "rejected", Output: "nginx: [emerg] host not found in upstream \"web-7\" in /etc/nginx/conf.d/web.conf:4\nnginx: configuration file /etc/nginx/nginx.conf test failed\n" + suffix}}
	haproxy := &status.Action{ID: "haproxy", Name: "systemctl reload haproxy" + suffix, Kind: "command", Command: "systemctl reload haproxy" + suffix, State: status.InSync, Since: ago(50 * time.Minute), Commits: 12, Runs: 12, Succeeded: ago(50 * time.Minute), LastRun: &status.Run{Commit: 3, Began: ago(50 * time.Minute), Seconds: 1.2, Files: []string{}, Result: "applied"}}
	s.Actions = []*status.Action{reload, haproxy}

	for i := range n {
		name := fmt.Sprintf("/etc/app/%04d.conf", i)
		own := query(fmt.Sprintf("service-%04d", i), fmt.Sprintf("service app-%04d", i), status.QueryAnswered, fmt.Sprintf("%d instances", i%7), "appeared")
		t := &status.Target{
			ID: fmt.Sprintf("t%04d", i), Source: fmt.Sprintf("/etc/render/%04d.ctmpl", i) + suffix, Destination: name + suffix, Path: name + suffix, Action: "haproxy",
			State: status.Applied, Since: ago(50 * time.Minute), Passes: 12, LastPass: ago(4 * time.Minute), PassSeconds: 0.0004, LastChange: ago(50 * time.Minute), Bytes: 2300, AppliedOnce: true, Total: 2, Waiting: []status.Wait{}, Held: []status.Hold{},
			Queries: []status.Use{{Query: shared.ID, Text: shared.Text, Where: fmt.Sprintf("%04d.ctmpl:1:9", i) + suffix}, {Query: own.ID, Text: own.Text, Where: fmt.Sprintf("%04d.ctmpl:3:9", i) + suffix}},
		}
		use := func(q *status.Query, why status.QueryState) {
			where := fmt.Sprintf("%04d.ctmpl:7:4", i) + suffix
			t.Queries = append(t.Queries, status.Use{Query: q.ID, Text: q.Text, Where: where})
			if why != "" {
				t.Waiting = append(t.Waiting, status.Wait{Query: q.ID, Text: q.Text, Kind: q.Kind, Where: where, Reason: why})
			}
		}
		switch {
		case i%12 == 1 && i < 240:
			t.State, t.Since, t.Action, t.Error = status.Failed, ago(3*time.Minute), "nginx", reload.Error
		case i%12 == 4 && i < 240:
			t.State, t.Since = status.Absent, ago(40*time.Minute)
			use(absent, status.QueryAbsent)
		case i%12 == 5 && i < 240:
			t.State, t.Since = status.Pending, ago(50*time.Second)
			use(pending, status.QueryPending)
		case i%12 == 7 && i < 240:
			t.Held = []status.Hold{{Query: own.ID, Text: own.Text, Where: fmt.Sprintf("%04d.ctmpl:3:9", i) + suffix, Before: 12, After: 3, Guard: "max_drop=50%,hold=5m,then=keep", Since: ago(2 * time.Minute), Until: now.Add(3 * time.Minute)}}
			s.Counts.Held++
		case i%12 == 8 && i < 240:
			use(failing, "")
			t.Drifted = true
		}
		s.Targets = append(s.Targets, t)
		s.Counts.Targets[t.State]++
		a := haproxy
		if t.Action == "nginx" {
			a = reload
		}
		a.Targets = append(a.Targets, t.ID)
		for _, u := range t.Queries {
			for _, q := range s.Queries {
				if q.ID == u.Query {
					q.Targets = append(q.Targets, t.ID)
					break
				}
			}
			if n > 300 { // the sum of all is slow
				break
			}
		}
	}
	for _, a := range s.Actions {
		s.Counts.Actions[a.State]++
	}
	for _, q := range s.Queries {
		s.Counts.Queries[q.State]++
	}
	s.Counts.Failing = 1
	s.Line = status.LineOf(s.Counts, s.Configuration, nil) + suffix

	because := []history.Cause{{Kind: history.OfQuery, Text: "service web: 3 → 4 instances" + suffix, Query: "service-web"}}
	commits := []*history.Commit{
		{Began: ago(26 * time.Hour), Ended: ago(26 * time.Hour), Action: "haproxy", ActionName: haproxy.Name, Result: history.Applied, Seconds: 1.1, Attempt: 1, Because: []history.Cause{{Kind: history.OfFirst, Text: "first render" + suffix}}, Files: []history.File{{Path: "/etc/app/0000.conf" + suffix, Target: "t0000", Result: history.Written, OldSize: -1, Size: 2200, NoDiff: "private"}}},
		{Began: ago(5 * time.Hour), Ended: ago(5 * time.Hour), Action: "nginx", ActionName: reload.Name, Result: history.Undone, Seconds: 10.3, Attempt: 1, Because: because, Error: "verification: http://127.0.0.1/health: 502 Bad Gateway" + suffix, Files: []history.File{{Path: "/etc/app/0001.conf" + suffix, Target: "t0001", Result: history.Kept, OldSize: 2200, Size: 2300, NoDiff: "secret"}}},
		{Began: ago(50 * time.Minute), Ended: ago(50 * time.Minute), Action: "haproxy", ActionName: haproxy.Name, Result: history.Applied, Seconds: 1.2, Attempt: 1, Because: because, Files: []history.File{
			{Path: "/etc/app/0000.conf" + suffix, Target: "t0000", Source: "/etc/render/0000.ctmpl" + suffix, Because: because, Result: history.Written, OldSize: 2200, Size: 2300, Diff: "--- before" + suffix + "\n+++ after\n@@ -1,3 +1,4 @@\n backend web\n-  server web-1 10.0.0.1:80\n+  server web-1 10.0.0.1:8080\n+  server web-4 10.0.0.4:80\n   balance leastconn\n"},
			{Path: "/etc/app/0002.conf", Target: "t0002", Result: history.Written, OldSize: 100, Size: 90, NoDiff: "binary"}, {Path: "/etc/app/0003.conf", Target: "t0003", Result: history.Unchanged}, {Path: "/etc/app/0006.conf", Target: "t0006", Result: history.Appended, Size: 17},
		}, Steps: []history.Step{{Kind: "command", Text: "systemctl reload haproxy" + suffix, Seconds: 1.1, Runs: 1}}},
		{Began: ago(12 * time.Second), Ended: ago(12 * time.Second), Action: "nginx", ActionName: reload.Name, Result: history.Rejected, Seconds: 0.213, Attempt: 3, Because: because, Error: reload.Error, Retry: reload.Retry, Output: reload.LastRun.Output, Warnings: []string{"something" + suffix},
			Files: []history.File{{Path: "/etc/app/0001.conf" + suffix, Target: "t0001", Result: history.Kept, OldSize: 2200, Size: 2300, Error: "check failed" + suffix, NoDiff: "large"}}, Steps: []history.Step{{Kind: "check", Text: "nginx -t" + suffix, Seconds: 0.2, Runs: 4, Error: "exit status 1" + suffix}}},
	}
	for _, c := range commits {
		if c.Steps == nil {
			c.Steps = []history.Step{}
		}
		for i := range c.Files {
			c.Files[i].Because = append([]history.Cause{}, c.Because...)
		}
	}
	return s, commits
}

// newSample returns an engine with a sample.
func newSample(n int, suffix string) *fakeEngine {
	e := newEngine()
	s, commits := sample(n, suffix)
	for _, c := range commits {
		e.log.Add(c)
	}
	e.set(s)
	return e
}
