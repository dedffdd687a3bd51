package render

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"

	"render/render/graph"
	"render/render/status"
	"render/template"
	"render/watch"
)

// What guards log.
const (
	logHolds     = "answer held back by a guard"
	logStill     = "answer still held back by a guard"
	logRecovered = "answer recovered, no longer held back by a guard"
	logAccepted  = "held answer accepted, the hold of the guard is over"
	logFailed    = "held answer fails its template, the hold of the guard is over; the file stays as it is"
	logForgotten = "held answer dropped, the template no longer uses the query"
)

const addresses = `{{range service "web"}}{{.Address}} {{end}}`

// guarded returns a target for the addresses of web.
func (r *rig) guarded(name string, g graph.Guard) Target {
	r.t.Helper()
	t := r.target(name, addresses)
	t.Guard = g
	return t
}

// web sets the instances of web.
func (r *rig) web(addresses ...string) {
	r.set(service("web"), instances("web", addresses...))
}

func (r *rig) wantState(i int, want status.State) status.TargetStatus {
	r.t.Helper()
	s := r.status().Targets[i]
	if s.State != want {
		r.t.Fatalf("target %d is %s, want %s: %v\nlog:\n%s", i, s.State, want, s.Err, r.log)
	}
	return s
}

// wantLogged compares how often each of guards' messages was logged.
func (r *rig) wantLogged(want map[string]int) {
	r.t.Helper()
	for _, msg := range []string{logHolds, logStill, logRecovered, logAccepted, logFailed, logForgotten} {
		if n := r.log.count(msg); n != want[msg] {
			r.t.Errorf("%d times %q, want %d:\n%s", n, msg, want[msg], r.log)
		}
	}
}

// A service that vanishes for a while is no change: nothing is executed, written or run. It is told when it begins, every
// minute, and when it ends.
func TestGuard(t *testing.T) {
	for _, kind := range []string{watch.KindService, watch.KindConnect} {
		t.Run(kind, func(t *testing.T) {
			bubble(t, func(t *testing.T, r *rig) {
				q := watch.NewQuery(kind, "web", nil)
				target := r.target("a", fmt.Sprintf(`{{range %s "web"}}{{.Address}} {{end}}`, kind))
				target.Guard = graph.Guard{Min: 1, MaxDrop: 0.5}
				target.Command = r.appends("runs")
				r.start(Config{Targets: []Target{target}})
				r.set(q, instances("web", "1", "2", "3"))
				r.wantFile("a", "1 2 3 ")
				began := time.Now()
				r.set(q, instances("web"))
				r.wantLog(fmt.Sprintf(`"msg":%q,"query":"%s web","template":%q,"instances":"3 → 0","guard":"min=1,max_drop=50%%,hold=5m0s,then=keep"}`,
					logHolds, kind, target.Source))
				elapse(150 * time.Second)
				want := status.Held{
					Asked: q, Query: kind + " web", Where: target.Source + ":1:9", Before: 3, Guard: graph.Guard{Min: 1, MaxDrop: 0.5, Hold: graph.DefaultHold, Then: graph.Keep}.String(),
					Since: began, Until: began.Add(graph.DefaultHold),
				}
				if s := r.wantState(0, status.Applied); len(s.Held) != 1 || s.Held[0] != want {
					t.Errorf("got %+v, want %+v", s.Held, want)
				}
				r.wantPasses(2)
				r.wantLogged(map[string]int{logHolds: 1, logStill: 2})
				r.wantLog(`"for":120000000000}`)
				r.set(q, instances("web", "1", "2", "3"))
				r.wantLogged(map[string]int{logHolds: 1, logStill: 2, logRecovered: 1})
				r.wantPasses(2)
				elapse(time.Hour)
				r.wantFile("a", "1 2 3 ")
				r.wantLogged(map[string]int{logHolds: 1, logStill: 2, logRecovered: 1})
				if n := r.lines("runs"); n != 1 {
					t.Errorf("%d runs", n)
				}
				if s := r.wantState(0, status.Applied); s.Held != nil {
					t.Errorf("still held: %+v", s.Held)
				}
				if err := r.stop(); err != nil || r.engine.graph.Holds() {
					t.Errorf("a guard holds: %v; %v", r.engine.graph.Holds(), err)
				}
			})
		})
	}
}

// The answer that ends a hold is seen at once; what was held back is never seen.
func TestGuardRecovery(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.start(Config{Targets: []Target{r.guarded("a", graph.Guard{MaxDrop: 0.5})}})
		r.web("1", "2", "3", "4")
		r.web("4", "5") // half of them may go
		r.wantFile("a", "4 5 ")
		r.web("1", "2", "3", "4", "5")
		r.web("4", "5")
		r.wantFile("a", "1 2 3 4 5 ")
		r.web("5")
		r.wantFile("a", "1 2 3 4 5 ")
		r.web("5", "6", "7")
		r.wantFile("a", "5 6 7 ")
		r.web("8", "9", "10") // all of them are replaced
		r.wantFile("a", "8 9 10 ")
		r.wantLogged(map[string]int{logHolds: 1, logRecovered: 1})
	})
}

func TestGuardThen(t *testing.T) {
	const hold = 10 * time.Minute
	for _, then := range []graph.GuardThen{"", graph.Keep, graph.Accept, graph.Fail} {
		t.Run(fmt.Sprintf("%q", then), func(t *testing.T) {
			bubble(t, func(t *testing.T, r *rig) {
				target := r.target("a", addresses+`{{key "k"}}`)
				target.Guard = graph.Guard{Min: 2, Hold: hold, Then: then}
				r.world.set(kv("k"), "v")
				r.start(Config{Targets: []Target{target}})
				r.web("1", "2", "3")
				r.web("1")
				elapse(hold / 2)
				r.web() // worse, and no reason to begin anew
				elapse(hold/2 - time.Second)
				r.set(kv("k"), "w")
				r.wantFile("a", "1 2 3 w") // with what it has it goes on
				r.wantState(0, status.Applied)
				elapse(2 * time.Second)
				switch then {
				case graph.Accept:
					r.wantFile("a", "w")
					r.wantLogged(map[string]int{logHolds: 1, logStill: 9, logAccepted: 1})
					r.wantLog(`"instances":"3 → 0","guard":"min=2,hold=10m0s,then=accept","for":600000000000}`)
					if s := r.wantState(0, status.Applied); s.Held != nil {
						t.Errorf("still held: %+v", s.Held)
					}
					r.web("1") // below the minimum, and a gain
					r.wantFile("a", "1 w")
				case graph.Fail:
					s := r.wantState(0, status.Failed)
					want := "service web (" + target.Source + ":1:9): 3 → 0 instances, held back by the guard min=2,hold=10m0s,then=fail"
					if s.Err == nil || s.Err.Error() != want {
						t.Errorf("got the error %v, want %s", s.Err, want)
					}
					r.wantLogged(map[string]int{logHolds: 1, logStill: 9, logFailed: 1})
					r.set(kv("k"), "x")
					elapse(time.Minute)
					r.wantFile("a", "1 2 3 w") // its file stays as it is
					r.wantState(0, status.Failed)
					if n := r.log.count("template failed; its file stays as it is"); n != 0 {
						t.Errorf("the template is blamed for it:\n%s", r.log)
					}
					if n := r.log.count("template still fails; its file stays as it is"); n != 1 {
						t.Errorf("%d reports:\n%s", n, r.log)
					}
					r.web("1", "2", "3") // as if nothing had been
					r.wantFile("a", "1 2 3 x")
					r.wantState(0, status.Applied)
					r.wantLogged(map[string]int{logHolds: 1, logStill: 9, logFailed: 1, logRecovered: 1})
				default:
					elapse(hold)
					r.wantFile("a", "1 2 3 w")
					r.wantState(0, status.Applied)
					r.wantLogged(map[string]int{logHolds: 1, logStill: 20})
					r.web("4", "5")
					r.wantFile("a", "4 5 w")
				}
			})
		})
	}
}

// A target whose first answer has too few instances waits, as if there were none, and says so.
func TestGuardFirstAnswer(t *testing.T) {
	for _, then := range []graph.GuardThen{graph.Keep, graph.Accept, graph.Fail} {
		t.Run(string(then), func(t *testing.T) {
			bubble(t, func(t *testing.T, r *rig) {
				other := r.target("other", addresses)
				r.world.set(service("web"), instances("web", "1"))
				r.start(Config{Targets: []Target{r.guarded("a", graph.Guard{Min: 2, Then: then}), other}})
				r.wantFile("other", "1 ")
				s := r.wantState(0, status.Pending)
				if len(s.Held) != 1 || !s.Held[0].First || s.Held[0].After != 1 || len(s.Missing) != 0 {
					t.Errorf("got %+v", s)
				}
				elapse(reportAfter)
				text := fmt.Sprintf("service web (%s:1:9): 1 instances, held back by the guard min=2,hold=5m0s,then=%s", r.path("a.ctmpl"), then)
				r.wantLog(`"msg":"waiting","template":"` + r.path("a.ctmpl") + `","for":"` + text + `"`)
				elapse(graph.DefaultHold)
				switch then {
				case graph.Accept:
					r.wantFile("a", "1 ")
					r.wantLogged(map[string]int{logHolds: 1, logAccepted: 1})
					return
				case graph.Fail:
					if s := r.wantState(0, status.Failed); s.Err == nil || s.Err.Error() != text {
						t.Errorf("got the error %v, want %s", s.Err, text)
					}
				case graph.Keep:
					r.wantState(0, status.Pending)
				}
				r.wantFile("a", "no file")
				r.web("1", "2")
				r.wantFile("a", "1 2 ")
				r.wantState(0, status.Applied)
			})
		})
	}
}

// A target that finds a query answered already, because another uses it, judges the answer as well.
func TestGuardOfAnOldAnswer(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		target := r.target("a", `{{if keyExists "on"}}`+addresses+`{{end}}`)
		target.Guard = graph.Guard{Min: 2, Hold: time.Minute, Then: graph.Accept}
		r.world.set(kv("on"), nil)
		r.start(Config{Targets: []Target{target, r.target("other", addresses)}})
		r.web("1")
		r.set(kv("on"), "x")
		r.wantFile("a", "")
		r.wantState(0, status.Pending)
		r.wantLogged(map[string]int{logHolds: 1})
		elapse(time.Minute)
		r.wantFile("a", "1 ")
	})
}

// The guard of an action holds for its members, but for those that have their own. A member that has failed holds the
// others where the action is atomic.
func TestGuardOfAnAction(t *testing.T) {
	for _, atomic := range []bool{false, true} {
		t.Run(fmt.Sprintf("atomic %v", atomic), func(t *testing.T) {
			bubble(t, func(t *testing.T, r *rig) {
				cfg := Config{Actions: []Action{{Name: "lb", Atomic: atomic, Guard: graph.Guard{Min: 2, Hold: time.Minute, Then: graph.Fail}}}}
				own := r.guarded("own", graph.Guard{Min: 1, Hold: 2 * time.Minute})
				plain := r.guarded("plain", graph.Guard{})
				key := r.target("key", `{{key "k"}}`)
				own.Action, plain.Action, key.Action = "lb", "lb", "lb"
				cfg.Targets = []Target{own, plain, key, r.guarded("outside", graph.Guard{})}
				r.world.set(kv("k"), "v")
				r.start(cfg)
				r.web("1", "2", "3")
				r.wantFile("plain", "1 2 3 ")
				r.web("1")
				r.wantFile("own", "1 ")
				r.wantFile("plain", "1 2 3 ")
				r.wantFile("outside", "1 ")
				r.set(kv("k"), "w")
				r.wantFile("key", "w") // the guard holds; nobody has failed
				elapse(time.Minute)
				r.wantState(1, status.Failed)
				r.set(kv("k"), "x")
				if atomic {
					r.wantFile("key", "w")
				} else {
					r.wantFile("key", "x")
				}
				r.web("3", "4")
				r.wantFile("key", "x")
				r.wantFile("plain", "3 4 ")
			})
		})
	}
}

// Targets that use the same query see it each by its own guard.
func TestGuardsOfOneQuery(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.start(Config{Targets: []Target{
			r.guarded("none", graph.Guard{}),
			r.guarded("strict", graph.Guard{Min: 3}),
			r.guarded("lax", graph.Guard{Min: 1, Hold: time.Minute, Then: graph.Accept}),
		}})
		r.web("1", "2", "3")
		r.web("1", "2")
		r.wantFile("none", "1 2 ")
		r.wantFile("strict", "1 2 3 ")
		r.wantFile("lax", "1 2 ")
		r.web()
		elapse(time.Minute)
		r.wantFile("none", "")
		r.wantFile("strict", "1 2 3 ")
		r.wantFile("lax", "")
		r.wantPasses(4, 2, 4)
		if n := r.world.watchers(service("web")); n != 1 {
			t.Errorf("%d watchers", n)
		}
	})
}

// Other lists than those of instances may become as short as they like.
func TestGuardConcernsInstances(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		target := r.target("a", `{{len services}} {{len (safeLs "dir/")}} {{len nodes}}`)
		target.Guard, target.RemoveDelay = graph.Guard{Min: 5, MaxDrop: 0.1}, time.Hour
		r.set(prefix("dir/"), []*watch.KeyPair{{Key: "a"}})
		nodes := watch.NewQuery(watch.KindNodes, "", nil)
		r.set(nodes, []*watch.Node{{Node: "n"}})
		r.set(services, names("a", "b"))
		r.start(Config{Targets: []Target{target}})
		r.wantFile("a", "2 1 1")
		r.set(nodes, []*watch.Node{})
		r.set(services, names())
		r.wantFile("a", "0 1 0")
	})
}

// What nobody asks for any more is not held any longer, and a guard that is met again begins anew.
func TestGuardForgotten(t *testing.T) {
	for _, then := range []graph.GuardThen{graph.Keep, graph.Accept, graph.Fail} {
		t.Run(string(then), func(t *testing.T) {
			bubble(t, func(t *testing.T, r *rig) {
				target := r.target("a", `{{if keyExists "on"}}`+addresses+`{{end}}`)
				target.Guard, target.RemoveDelay = graph.Guard{Min: 1, Hold: time.Minute, Then: then}, time.Second
				r.world.set(kv("on"), "x")
				r.start(Config{Targets: []Target{target}})
				r.web("1", "2")
				r.web()
				elapse(2 * time.Second)
				r.set(kv("on"), nil)
				r.wantFile("a", "")
				r.wantLogged(map[string]int{logHolds: 1, logForgotten: 1})
				elapse(time.Hour)
				if s := r.wantState(0, status.Applied); s.Held != nil {
					t.Errorf("still held: %+v", s.Held)
				}
				r.wantPasses(4)
				r.web("3")
				r.set(kv("on"), "x")
				r.wantFile("a", "3 ")
				r.wantLogged(map[string]int{logHolds: 1, logForgotten: 1})
			})
		})
	}
}

// What an unfinished pass did not ask is kept (R6), and neither shows nor fails the target.
func TestGuardOfAKeptQuery(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		target := r.target("a", `{{if keyExists "on"}}`+addresses+`{{else if keyExists "off"}}{{key "none"}}{{end}}`)
		target.Guard = graph.Guard{Min: 1, Hold: time.Minute, Then: graph.Fail}
		r.world.set(kv("on"), "x")
		r.world.set(kv("off"), "x")
		r.start(Config{Targets: []Target{target}})
		r.web("1")
		r.web()
		r.set(kv("on"), nil)
		if s := r.wantState(0, status.Pending); s.Held != nil {
			t.Errorf("held: %+v", s.Held)
		}
		elapse(2 * time.Minute)
		r.wantState(0, status.Pending)
		r.set(kv("none"), "v")
		r.wantFile("a", "v")
		r.wantLogged(map[string]int{logHolds: 1, logFailed: 1, logForgotten: 1})
	})
}

// What a failed target does not ask any more cannot fail it.
func TestGuardFailedAndNotAsked(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		target := r.target("a", `{{if keyExists "on"}}`+addresses+`{{end}}{{key "k"}}`)
		target.Guard = graph.Guard{Min: 1, Hold: time.Minute, Then: graph.Fail}
		r.world.set(kv("on"), "x")
		r.world.set(kv("k"), "v")
		r.start(Config{Targets: []Target{target}})
		r.web("1")
		r.web()
		elapse(time.Minute)
		r.wantState(0, status.Failed)
		r.set(kv("on"), nil)
		r.wantFile("a", "v")
		r.wantState(0, status.Applied)
		r.wantLogged(map[string]int{logHolds: 1, logFailed: 1, logForgotten: 1})
	})
}

// A member that has too few instances to begin with does not hold the others of its action for ever.
func TestGuardedMemberIsLeftOut(t *testing.T) {
	for _, late := range []bool{false, true} { // whether the answer that is held back comes last
		t.Run(fmt.Sprintf("late %v", late), func(t *testing.T) {
			bubble(t, func(t *testing.T, r *rig) {
				guarded, key := r.guarded("guarded", graph.Guard{Min: 1}), r.target("key", `{{key "k"}}`)
				guarded.Command, key.Command = r.appends("runs"), r.appends("runs")
				r.start(Config{Targets: []Target{guarded, key}})
				if late {
					r.set(kv("k"), "v")
					elapse(holdMost - time.Second)
					r.wantFile("key", "no file") // waits for an answer
					r.web()
					elapse(time.Second)
				} else {
					r.web()
					elapse(20 * time.Second)
					r.set(kv("k"), "v")
					r.wantFile("key", "no file")
					elapse(holdMost)
				}
				r.wantFile("key", "v")
				r.wantFile("guarded", "no file")
				elapse(DefaultSpacing)
				r.web("1")
				r.wantFile("guarded", "1 ")
			})
		})
	}
}

// Many that are held back for one reason are told of in one line, and many reasons in few lines.
func TestGuardsAreToldInFewLines(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		var cfg Config
		for i := range 200 {
			cfg.Targets = append(cfg.Targets, r.guarded(fmt.Sprint(i), graph.Guard{Min: 1}))
		}
		for i := range 50 {
			target := r.target(fmt.Sprint("own ", i), fmt.Sprintf(`{{len (service "s%d")}}`, i))
			target.Guard = graph.Guard{Min: 1, Hold: 150 * time.Second, Then: graph.Accept}
			r.world.set(service(fmt.Sprint("s", i)), instances("s", "1"))
			cfg.Targets = append(cfg.Targets, target)
		}
		r.start(cfg)
		r.web("1")
		r.web()
		r.wantLogged(map[string]int{logHolds: 1})
		if text := r.log.String(); !strings.Contains(text, " and 197 more") {
			t.Errorf("the log does not say how many:\n%s", text)
		}
		for i := range 50 {
			r.world.set(service(fmt.Sprint("s", i)), instances("s"))
		}
		r.idle()
		elapse(time.Minute)
		if n := r.log.count(logStill); n != mostReported+1 { // in one look at all of them
			t.Errorf("%d lines:\n%s", n, r.log)
		}
		r.wantLog(`"more":41}`)
	})
}

// An instance that goes is seen for a while. One that comes back meanwhile was never gone, and nothing is executed,
// whatever its check has put out.
func TestRemoveDelay(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		target := r.guarded("a", graph.Guard{})
		target.RemoveDelay = 5 * time.Second
		target.Command = r.appends("runs")
		r.start(Config{Targets: []Target{target, r.guarded("plain", graph.Guard{})}})
		checked := func(output string, addresses ...string) {
			list := instances("web", addresses...)
			for i, s := range list {
				s.Checks = []*watch.HealthCheck{{CheckID: s.ID, Status: s.Status, Output: output, ModifyIndex: uint64(len(output) + i)}}
			}
			r.set(service("web"), list)
		}
		checked("fine", "1", "2", "3")
		r.wantFile("a", "1 2 3 ")
		elapse(time.Minute)
		checked("fine", "1", "3")
		r.wantFile("plain", "1 3 ")
		elapse(4 * time.Second)
		checked("fine again", "1", "2", "3")
		elapse(time.Minute)
		r.wantFile("a", "1 2 3 ")
		r.wantPasses(2, 4)
		if n := r.lines("runs"); n != 1 {
			t.Errorf("%d runs", n)
		}

		checked("fine", "1", "3")
		elapse(4900 * time.Millisecond)
		r.wantFile("a", "1 2 3 ")
		elapse(200 * time.Millisecond)
		r.wantFile("a", "1 3 ")
		r.wantLog(`"because":"service web: 3 → 2 instances"`)
		r.wantPasses(3, 5)
		elapse(time.Minute)
		r.wantPasses(3, 5)
	})
}

// While removals are delayed, additions and changes of instances that stay are not, and those that come back have changed
// as they have.
func TestRemoveDelayOnlyOfRemovals(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		target := r.target("a", `{{range service "web"}}{{.Address}}:{{.Port}} {{end}}`)
		target.RemoveDelay = 5 * time.Second
		r.start(Config{Targets: []Target{target}})
		list := instances("web", "1", "3")
		r.set(service("web"), list)
		r.set(service("web"), list[1:]) // 1 goes
		elapse(time.Second)
		more := instances("web", "2", "3", "4") // 2 and 4 come, 3 changes
		more[1].Port = 81
		r.set(service("web"), more)
		r.wantFile("a", "1:80 2:80 3:81 4:80 ")
		elapse(time.Second)
		back := instances("web", "1", "4") // 1 is back, changed; 2 and 3 go
		back[0].Port = 82
		r.set(service("web"), back)
		r.wantFile("a", "1:82 2:80 3:81 4:80 ")
		elapse(4900 * time.Millisecond)
		r.wantFile("a", "1:82 2:80 3:81 4:80 ")
		elapse(200 * time.Millisecond)
		r.wantFile("a", "1:82 4:80 ")
	})
}

// Delays that end at the same time make one pass and one commit, whatever the number of instances and queries.
func TestRemoveDelaysTogether(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		target := r.target("a", addresses+`{{range service "db"}}{{.Address}} {{end}}`)
		target.RemoveDelay = 5 * time.Second
		target.Command = r.appends("runs")
		r.world.set(service("db"), instances("db", "7", "8"))
		r.start(Config{Targets: []Target{target}})
		r.web("1", "2", "3")
		elapse(time.Minute)
		r.web("1")
		r.set(service("db"), instances("db"))
		elapse(time.Minute)
		r.wantFile("a", "1 ")
		r.wantPasses(3)
		if n := r.lines("runs"); n != 2 {
			t.Errorf("%d runs", n)
		}
	})
}

// In an order by distance what has gone comes last, as it is not known where it belongs.
func TestRemoveDelayNear(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		target := r.target("a", `{{range service (name "web") (near "_agent")}}{{.Address}} {{end}}`)
		target.RemoveDelay = 5 * time.Second
		q := watch.NewQuery(watch.KindService, "web", url.Values{watch.OptNear: {"_agent"}})
		r.start(Config{Targets: []Target{target}})
		r.set(q, instances("web", "3", "1", "2"))
		r.wantFile("a", "3 1 2 ")
		r.set(q, instances("web", "2", "1"))
		r.wantFile("a", "2 1 3 ")
		elapse(5 * time.Second)
		r.wantFile("a", "2 1 ")
	})
}

// A query that is asked because of an instance is asked for as long as the instance is seen.
func TestRemoveDelayNested(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		target := r.target("a", `{{range service "web"}}{{.Address}}={{key .Address}} {{end}}`)
		target.RemoveDelay = 5 * time.Second
		r.start(Config{Targets: []Target{target}})
		r.web("1", "2")
		r.set(kv("1"), "a")
		r.set(kv("2"), "b")
		r.web("2")
		r.set(kv("1"), "c")
		r.wantFile("a", "1=c 2=b ")
		elapse(5 * time.Second)
		r.wantFile("a", "2=b ")
		if n := r.world.watchers(kv("1")); n != 0 {
			t.Errorf("%d watchers of what nobody asks", n)
		}
	})
}

// First the removal is delayed; what is then seen of it the guard judges.
func TestRemoveDelayAndGuard(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		target := r.guarded("a", graph.Guard{Min: 2, Hold: time.Minute, Then: graph.Accept})
		target.RemoveDelay = 5 * time.Second
		r.start(Config{Targets: []Target{target}})
		r.web("1", "2", "3")
		r.web("1")
		elapse(4 * time.Second)
		r.web("1", "2", "3") // a blip: the guard has not noticed
		elapse(time.Minute)
		r.wantLogged(nil)
		r.web("3")
		elapse(5 * time.Second)
		r.wantLogged(map[string]int{logHolds: 1})
		r.wantFile("a", "1 2 3 ")
		elapse(59 * time.Second)
		r.wantFile("a", "1 2 3 ")
		elapse(time.Second)
		r.wantFile("a", "3 ")
		r.wantPasses(3)
	})
}

// A run with Once that meets a guard waits, and ends in an error where the guard still holds after its time.
func TestOnceWithGuard(t *testing.T) {
	const hold = 10 * time.Second
	tests := []struct {
		name  string
		then  graph.GuardThen
		plays [][]string // the instances of web, second by second; with the last of them comes the key
		took  time.Duration
		err   string // part of it; empty for success
		file  string
	}{
		{"nothing is held", graph.Keep, [][]string{{"1", "2"}}, 0, "", "1 2 v"},
		{
			"a first answer, keep", graph.Keep, [][]string{{"1"}}, hold,
			"a.ctmpl:1:9): 1 instances, held back by the guard min=2,hold=10s,then=keep", "no file",
		},
		{
			"a first answer, fail", graph.Fail, [][]string{{"1"}}, hold,
			"a.ctmpl:1:9): 1 instances, held back by the guard min=2,hold=10s,then=fail", "no file",
		},
		{"a first answer, accept", graph.Accept, [][]string{{"1"}}, hold, "", "1 v"},
		{"nobody at first, and then enough", graph.Keep, [][]string{{}, {"1", "2"}}, time.Second, "", "1 2 v"},
		{"too few at first, and then enough", graph.Keep, [][]string{{"1"}, {"1", "2"}}, time.Second, "", "1 2 v"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			bubble(t, func(t *testing.T, r *rig) {
				target := r.target("a", addresses+`{{key "k"}}`)
				target.Guard = graph.Guard{Min: 2, Hold: hold, Then: test.then}
				began := time.Now()
				go func() {
					for i, addresses := range test.plays {
						time.Sleep(min(time.Duration(i), 1) * time.Second)
						r.world.set(service("web"), instances("web", addresses...))
					}
					r.world.set(kv("k"), "v")
				}()
				err := r.run(t.Context(), Config{Targets: []Target{target, r.target("b", "b")}})
				if (err == nil) != (test.err == "") || err != nil && strings.Count(err.Error(), test.err) != 1 {
					t.Fatalf("got %v, want once %q", err, test.err)
				}
				if incomplete, ok := errors.AsType[*status.IncompleteError](err); err != nil && (!ok || len(incomplete.Targets) != 1) {
					t.Errorf("got %v", err)
				}
				if took := time.Since(began); took != test.took {
					t.Errorf("took %s, want %s", took, test.took)
				}
				r.wantFile("a", test.file)
			})
		})
	}
}

// A run with Once that is given up tells what guards hold back.
func TestOnceGivenUpWhileHeld(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		r.web()
		err := r.run(ctx, Config{Targets: []Target{r.guarded("a", graph.Guard{Min: 1}), r.target("b", "b")}})
		incomplete, ok := errors.AsType[*status.IncompleteError](err)
		if !ok || len(incomplete.Targets) != 1 {
			t.Fatalf("got %v", err)
		}
		if text := "a.ctmpl:1:9): 0 instances, held back by the guard min=1"; strings.Count(err.Error(), text) != 1 {
			t.Errorf("got %v, want once %q", err, text)
		}
		r.wantFile("b", "no file")
	})
}

// What a template writes besides its own file stays as it is, too.
func TestGuardFailsWrites(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		target := r.target("a", fmt.Sprintf(`{{service "web" | len | print | writeToFile %q "" "" "0644"}}{{key "k"}}`, r.path("extra")))
		target.Guard = graph.Guard{Min: 1, Hold: time.Minute, Then: graph.Fail}
		r.world.set(kv("k"), "1")
		r.start(Config{Targets: []Target{target}})
		r.web("1", "2")
		r.wantFile("extra", "2")
		r.web()
		elapse(time.Minute)
		r.wantState(0, status.Failed)
		r.write("extra", "by hand")
		r.set(kv("k"), "2")
		elapse(time.Minute)
		r.wantFile("a", "1")
		r.wantFile("extra", "by hand")
	})
}

// An error of the template itself is told as ever.
func TestGuardAndFaultyTemplate(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		target := r.target("a", `{{(index (service "web") 1).Address}}`)
		target.Guard = graph.Guard{Min: 1, Hold: time.Minute, Then: graph.Fail}
		r.start(Config{Targets: []Target{target}})
		r.web("1", "2")
		r.web("1")
		if _, ok := errors.AsType[*template.Error](r.wantState(0, status.Failed).Err); !ok {
			t.Errorf("got %v", r.status().Targets[0].Err)
		}
		if n := r.log.count("template failed; its file stays as it is"); n != 1 {
			t.Errorf("%d reports:\n%s", n, r.log)
		}
		r.wantFile("a", "2")
	})
}
