package render

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"render/render/pace"
	"render/render/run"
	"render/render/status"
	"render/watch"
)

var errGone = errors.New("gone")

func TestR1OneWatcherAQuery(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.start(Config{Targets: []Target{
			r.target("a", `{{key "k"}}{{key "k"}}{{keyOrDefault "k" "x"}}`),
			r.target("b", `{{if keyExists "k"}}{{key "k"}}{{end}}`),
		}})
		r.set(kv("k"), "v")
		r.wantFile("a", "vvv")
		r.wantFile("b", "v")
		if n := r.world.first[kv("k")]; n != 1 {
			t.Errorf("asked %d times from the beginning, want once", n)
		}
		if n := r.world.watchers(kv("k")); n != 1 {
			t.Errorf("%d watchers, want one", n)
		}
	})
}

func TestR2PendingGoesOn(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.start(Config{Targets: []Target{
			r.target("a", `{{key "k"}} {{keyOrDefault "o" "d"}} {{keyExists "e"}}{{range service "web"}}{{.Address}}{{end}}`),
		}})
		r.wantPasses(1)
		if n := len(r.status().Queries); n != 4 {
			t.Errorf("the first pass found %d queries, want all 4", n)
		}
		r.set(kv("o"), nil)
		r.set(kv("e"), nil)
		r.set(service("web"), instances("web"))
		r.set(kv("k"), nil) // absent: key cannot do without
		if s := r.status().Targets[0]; s.State != status.Absent || len(s.Missing) != 1 || !s.Missing[0].None {
			t.Errorf("got %+v", s)
		}
		r.wantFile("a", "no file")
		r.set(kv("k"), "v")
		r.wantFile("a", "v d false")
	})
}

func TestR3ErrorKeepsData(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.start(Config{Targets: []Target{r.target("a", `{{key "k"}}{{range service "web"}} {{.Address}}{{end}}`)}})
		r.set(kv("k"), "v")
		r.set(service("web"), instances("web", "10.0.0.1"))
		r.wantFile("a", "v 10.0.0.1")
		r.fail(service("web"), errGone)
		elapse(time.Hour)
		r.set(kv("k"), "w")
		r.wantFile("a", "w 10.0.0.1")
		for _, q := range r.status().Queries {
			if failed := q.Err != nil; failed != (q.Query == "service web") {
				t.Errorf("status of %s: %v", q.Query, q.Err)
			}
		}
		before := r.status().Targets[0].Passes
		r.set(service("web"), instances("web", "10.0.0.1")) // the same answer as before the failure
		elapse(time.Minute)
		r.wantPasses(before)
	})
}

func TestR4OnlyFinishedPassesCount(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.start(Config{Targets: []Target{r.target("a", `{{(index (service "web") 0).Address}} {{key "k"}}`)}})
		if s := r.status().Targets[0]; s.State != status.Pending || s.Err != nil {
			t.Errorf("an error while something is pending counts: %+v", s)
		}
		r.set(service("web"), instances("web"))
		r.set(kv("k"), "v")
		if s := r.status().Targets[0]; s.State != status.Failed || s.Err == nil {
			t.Errorf("got %+v", s)
		}
		r.wantFile("a", "no file")
		r.wantLog("a.ctmpl:1:4")
		r.wantLog(`"line":"{{(index (service`)
		r.set(service("web"), instances("web", "10.0.0.1"))
		r.wantFile("a", "10.0.0.1 v")
		r.set(service("web"), instances("web")) // fails again: the file stays
		r.wantFile("a", "10.0.0.1 v")
	})
}

// R5 (a): a cold start costs the nesting depth + 1 passes, however many queries a level has and however they arrive.
func TestR5PassesAtColdStart(t *testing.T) {
	for _, n := range []int{1, 10, 200} {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			bubble(t, func(t *testing.T, r *rig) {
				r.start(Config{Targets: []Target{
					r.target("flat", `{{range $i, $x := ls "n/"}}{{end}}{{key "k"}}`),
					r.target("deep", `{{range services}}{{range service .Name}}{{key (printf "port/%s" .Address)}} {{end}}{{end}}`),
				}})
				r.set(prefix("n/"), []*watch.KeyPair{})
				r.set(kv("k"), "v")
				var all []string
				for i := range n {
					all = append(all, fmt.Sprintf("s%d", i))
				}
				r.set(services, names(all...))
				for _, name := range all { // each in a burst of its own
					r.set(service(name), instances(name, name+"-1", name+"-2"))
				}
				for _, name := range all {
					r.set(kv("port/"+name+"-1"), "1")
					r.set(kv("port/"+name+"-2"), "2")
				}
				r.wantFile("deep", strings.Repeat("1 2 ", n))
				r.wantPasses(2, 4)
			})
		})
	}
}

// R5 (b): an answer that changes is seen although another never comes.
func TestR5ChangeWhilePending(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.start(Config{Targets: []Target{r.target("a", `{{if keyExists "switch"}}{{key "never"}}{{end}}{{key "k"}}`)}})
		r.set(kv("switch"), "on")
		r.set(kv("k"), "v")
		r.wantFile("a", "no file") // waits for never
		r.set(kv("switch"), nil)
		r.wantFile("a", "v")
	})
}

// R5 (c): a query that is asked only because another had no answer yet does not block for ever, though it never answers.
func TestR5AskedInVain(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.start(Config{Targets: []Target{r.target("a", `{{if keyExists "local"}}fine{{else}}{{key "dead"}}{{end}}`)}})
		r.set(kv("local"), "x")
		elapse(reportAfter)
		r.wantFile("a", "fine")
		if n := r.log.count("waiting"); n != 0 {
			t.Errorf("reported as waiting: %s", r.log)
		}
		if n := r.world.watchers(kv("dead")); n != 0 {
			t.Error("still watched")
		}
	})
}

// Changes of a query that is still pending to the target's last pass are no reason for a pass of their own.
func TestR5NoPassBetween(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.start(Config{Targets: []Target{r.target("a", `{{key "a"}}{{key "b"}}`)}})
		for i := range 50 {
			r.set(kv("a"), fmt.Sprint(i))
		}
		r.wantPasses(1)
		r.set(kv("b"), "!")
		r.wantPasses(2)
		r.wantFile("a", "49!")
	})
}

func TestR5OnlyDependantsRun(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		var cfg Config
		var want []int
		for i := range 500 {
			cfg.Targets = append(cfg.Targets, r.target(fmt.Sprint(i), fmt.Sprintf(`{{key "all"}} {{key "k/%d"}}`, i)))
			r.world.set(kv(fmt.Sprintf("k/%d", i)), "v")
			want = append(want, 2)
		}
		r.world.set(kv("all"), "x")
		r.start(cfg)
		r.wantPasses(want...)
		r.set(kv("k/250"), "w")
		want[250]++
		r.wantPasses(want...)
		r.wantFile("250", "x w")
	})
}

func TestR6ForgetLate(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.start(Config{Targets: []Target{r.target("a", `{{key (key "which")}}`)}})
		r.set(kv("one"), "1")
		r.set(kv("which"), "one")
		r.wantFile("a", "1")
		r.set(kv("which"), "two") // its pass is unfinished: one is kept
		if r.world.watchers(kv("one")) != 1 || r.world.watchers(kv("two")) != 1 {
			t.Error("an unfinished pass took a query away, or did not add one")
		}
		r.wantFile("a", "1")
		r.set(kv("two"), "2")
		r.wantFile("a", "2")
		if n := r.world.watchers(kv("one")); n != 0 {
			t.Errorf("%d watchers of a query that nobody uses", n)
		}
		if n := len(r.status().Queries); n != 2 {
			t.Errorf("%d queries, want 2", n)
		}
	})
}

func TestR6SharedQueryStays(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.start(Config{Targets: []Target{
			r.target("a", `{{if keyExists "on"}}{{key "k"}}{{end}}`),
			r.target("b", `{{key "k"}}`),
		}})
		r.set(kv("on"), "x")
		r.set(kv("k"), "1")
		r.set(kv("on"), nil)
		r.wantFile("a", "")
		r.set(kv("k"), "2")
		r.wantFile("b", "2")
	})
}

// R7: the first commit is at once, the next ones are spaced, and the last change is always committed.
func TestR7Spacing(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		target := r.target("a", `{{key "k"}}`)
		target.Command = r.appends("runs")
		r.start(Config{Targets: []Target{target}})
		for i := range 400 { // in 8 s
			r.set(kv("k"), fmt.Sprint(i))
			if i == 0 {
				r.wantFile("a", "0")
			}
			elapse(20 * time.Millisecond)
		}
		elapse(DefaultSpacing)
		r.wantFile("a", "399")
		if n := r.lines("runs"); n < 8 || n > 10 {
			t.Errorf("the command ran %d times for 400 changes in 8 s, want about one a second", n)
		}
		if n := r.status().Targets[0].Passes; n > 12 {
			t.Errorf("%d passes", n)
		}
		elapse(time.Minute)
		r.set(kv("k"), "quiet")
		r.wantFile("a", "quiet") // at once after a quiet time
	})
}

func TestR7Wait(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.start(Config{
			Targets: []Target{r.target("a", `{{key "k"}}`)},
			Implied: Action{Wait: pace.Wait{Min: 2 * time.Second, Max: 10 * time.Second}},
		})
		r.set(kv("k"), "first")
		r.wantFile("a", "first") // the first complete render does not wait
		r.set(kv("k"), "second")
		elapse(1900 * time.Millisecond)
		r.wantFile("a", "first")
		elapse(200 * time.Millisecond)
		r.wantFile("a", "second")
		for i := range 20 { // a change a second: never quiet for min
			r.set(kv("k"), fmt.Sprint(i))
			elapse(time.Second)
			switch {
			case i < 9:
				r.wantFile("a", "second")
			case i == 9:
				r.wantFile("a", "9") // after max
			}
		}
		elapse(2 * time.Second)
		r.wantFile("a", "19")
	})
}

// R9, in real time: a bubble does not come to rest while a command runs.
func TestR9OneCommitAtATime(t *testing.T) {
	r := newRig(t)
	slow := r.target("slow", `{{key "k"}}`)
	slow.Command = run.Command{Shell: fmt.Sprintf("echo begin >> '%[1]s'; while [ ! -e '%[2]s' ]; do sleep 0.01; done; echo end >> '%[1]s'",
		r.path("journal"), r.path("go"))}
	quick := r.target("quick", `{{key "k"}}`)
	quick.Command = r.appends("runs")
	r.world.set(kv("k"), "1")
	r.start(Config{Targets: []Target{slow, quick}})
	r.await("the slow command", func() bool { return r.read("journal") == "begin\n" })
	r.await("the quick command", func() bool { return r.lines("runs") == 1 })
	r.world.set(kv("k"), "2")
	r.await("the quick command again", func() bool { return r.lines("runs") == 2 && r.read("quick") == "2" })
	if got := r.read("journal"); got != "begin\n" {
		t.Errorf("a second commit began before the first had ended: %q", got)
	}
	r.write("go", "")
	r.await("the slow command again", func() bool { return r.read("journal") == "begin\nend\nbegin\nend\n" })
	r.wantFile("slow", "2")
}

func TestR12ItDoesNotDie(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		good := r.target("good", `{{key "k"}}`)
		failing := r.target("failing", `{{key "k"}}`)
		failing.Command = run.Command{Shell: "exit 3"}
		missing := r.target("missing", `{{key "k"}}`)
		missing.Command = run.Command{Args: []string{r.path("no such program")}}
		unwritable := r.target("unwritable", `{{key "k"}}`)
		if err := os.Mkdir(unwritable.Destination, 0o755); err != nil {
			t.Fatal(err)
		}
		broken := r.target("broken", `{{parseInt (key "k")}}`)
		r.start(Config{Targets: []Target{good, failing, missing, unwritable, broken}})
		r.fail(kv("k"), errGone)
		elapse(time.Hour)
		r.wantFile("good", "no file")
		r.set(kv("k"), "v")
		elapse(10 * time.Second)
		r.wantFile("good", "v")
		r.wantFile("failing", "v")
		r.fail(kv("k"), errGone)
		elapse(time.Hour)
		r.set(kv("k"), "12")
		elapse(10 * time.Second)
		r.wantFile("good", "12")
		r.wantFile("broken", "12")
		for i, want := range []status.State{status.Applied, status.Failed, status.Failed, status.Failed, status.Applied} {
			if s := r.status().Targets[i]; s.State != want {
				t.Errorf("%s is %s, want %s: %v", s.Source, s.State, want, s.Err)
			}
		}
		if err := os.Remove(unwritable.Destination); err != nil {
			t.Fatal(err)
		}
		elapse(2 * time.Minute)
		r.wantFile("unwritable", "12")
	})
}

// R13: a failed command is repeated until it succeeds, without a change of data.
func TestR13CommandIsRetried(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		target := r.target("a", `{{key "k"}}`)
		target.Command = run.Command{Shell: fmt.Sprintf("echo ran >> '%s'; [ -e '%s' ]", r.path("runs"), r.path("ok"))}
		r.start(Config{Targets: []Target{target}})
		r.set(kv("k"), "v")
		r.wantFile("a", "v")
		if s := r.status(); s.Targets[0].State != status.Failed || s.Actions[0].Failures != 1 {
			t.Errorf("after a failure: %+v", s)
		}
		elapse(30 * time.Second)
		if n := r.lines("runs"); n < 4 || n > 9 {
			t.Errorf("%d runs in 30 s", n)
		}
		elapse(time.Hour)
		if n := r.lines("runs"); n < 60 || n > 140 { // at most a minute apart, jittered
			t.Errorf("%d runs in an hour", n)
		}
		r.write("ok", "")
		elapse(time.Minute)
		n := r.lines("runs")
		elapse(time.Hour)
		if r.lines("runs") != n || r.status().Targets[0].State != status.Applied {
			t.Errorf("%d runs after the command had succeeded; %+v", r.lines("runs")-n, r.status().Targets[0])
		}
		if left, _ := os.ReadDir(r.dir); len(left) != 4 { // template, file, runs, ok
			t.Errorf("something was left behind: %v", left)
		}
	})
}

// A command that is repeated is told of with its files and the reason, also to itself: where the new file has stayed, and where the
// old one is back.
func TestR13RetrySaysWhy(t *testing.T) {
	for _, old := range []string{"", "old"} {
		bubble(t, func(t *testing.T, r *rig) {
			target := r.target("a", "new")
			if old != "" {
				r.write("a", old)
			}
			target.Command = r.sh(`echo "$RENDER_CAUSE" >>causes; [ -e ok ]`)
			r.start(Config{Targets: []Target{target}})
			r.write("ok", "")
			elapse(2 * time.Minute)
			r.wantFile("a", "new")
			why := "an earlier attempt failed"
			if causes := strings.Split(r.read("causes"), "\n"); causes[0] != "first render" || !slices.Contains(causes, why) {
				t.Errorf("the causes are %q", causes)
			}
			if log := r.log.String(); !strings.Contains(log, `"files":"`+target.Destination+`","because":"`+why+`"`) {
				t.Errorf("the log is\n%s", log)
			}
		})
	}
}

// R8: what the command does not like goes back, and the command runs again. The outputs go back to that, too: nothing is
// left to do.
func TestR8BackToTheAppliedOutput(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		target := r.target("a", `{{key "k"}}`)
		target.Command = run.Command{Shell: fmt.Sprintf("grep -q good '%s'", target.Destination)}
		r.start(Config{Targets: []Target{target}})
		r.set(kv("k"), "good")
		elapse(time.Minute)
		r.set(kv("k"), "bad")
		r.wantFile("a", "good")
		r.set(kv("k"), "good")
		elapse(time.Minute)
		r.wantFile("a", "good")
		if s := r.status().Targets[0]; s.State != status.Applied {
			t.Errorf("got %+v", s)
		}
	})
}

// R13: what had not succeeded is done by the next start, although the file is as it should be.
func TestR13NextStart(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		target := r.target("a", `{{key "k"}}`)
		target.Command = run.Command{Shell: "exit 1"}
		r.world.set(kv("k"), "v")
		r.start(Config{Targets: []Target{target}})
		r.wantFile("a", "v")
		if err := r.stop(); err != nil {
			t.Fatal(err)
		}
		target.Command = r.appends("runs")
		for range 2 { // the second start has nothing to do
			r.start(Config{Targets: []Target{target}})
			if n := r.lines("runs"); n != 1 {
				t.Fatalf("%d runs, want 1", n)
			}
			if err := r.stop(); err != nil {
				t.Fatal(err)
			}
		}
	})
}

func TestR14BlockedIsLoud(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		r.start(Config{Targets: []Target{r.target("a", "first line\n  {{key \"app/port\"}} {{key \"b\"}}"), r.target("fine", "x")}})
		r.set(kv("app/port"), nil)
		elapse(4900 * time.Millisecond)
		if n := r.log.count("waiting"); n != 0 {
			t.Errorf("%d reports before 5 s", n)
		}
		elapse(200 * time.Millisecond)
		if n := r.log.count("waiting"); n != 1 {
			t.Errorf("%d reports after 5 s:\n%s", n, r.log)
		}
		r.wantLog("kv app/port (" + r.path("a.ctmpl") + ":2:5) does not exist; kv b (" + r.path("a.ctmpl") + ":2:24) has not answered yet")
		r.set(kv("b"), "v")
		elapse(time.Minute)
		if n := r.log.count("waiting"); n != 2 {
			t.Errorf("%d reports after a minute more", n)
		}
		elapse(10 * time.Minute)
		if n := r.log.count("waiting"); n != 12 {
			t.Errorf("%d reports after ten minutes more", n)
		}
		r.set(kv("app/port"), "80")
		elapse(10 * time.Minute)
		if n := r.log.count("waiting"); n != 12 {
			t.Errorf("%d reports, some after all was rendered", n)
		}
	})
}

// Many that wait are told of in few lines.
func TestR14ManyAreBlocked(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		var cfg Config
		for i := range 100 {
			cfg.Targets = append(cfg.Targets, r.target(fmt.Sprint(i), `{{key "k"}}`))
		}
		r.start(cfg)
		elapse(6 * time.Second)
		if n := r.log.count("waiting"); n != mostReported {
			t.Errorf("%d lines", n)
		}
		r.wantLog(`"templates":90`)
	})
}

// Consul that is away is told of at once, then every minute, and when it is back: not once a query.
func TestR12OutageIsReported(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		var text strings.Builder
		for i := range 50 {
			fmt.Fprintf(&text, `{{key "k/%d"}}`, i)
			r.world.set(kv(fmt.Sprintf("k/%d", i)), "v")
		}
		r.start(Config{Targets: []Target{r.target("a", text.String())}})
		r.wantFile("a", strings.Repeat("v", 50))
		for i := range 50 {
			r.world.fail(kv(fmt.Sprintf("k/%d", i)), errGone)
		}
		elapse(10*time.Minute + time.Second)
		first, again := r.log.count("query failed, retrying; files stay as they are"),
			r.log.count("queries still fail; their last good answers stay in use")
		if first != 1 || again != 10 {
			t.Errorf("%d first reports and %d others in ten minutes, want 1 and 10", first, again)
		}
		for i := range 50 {
			r.world.set(kv(fmt.Sprintf("k/%d", i)), "w")
		}
		elapse(10 * time.Second)
		r.wantFile("a", strings.Repeat("w", 50))
		if n := r.log.count("queries recovered"); n != 1 {
			t.Errorf("%d reports of the end", n)
		}
	})
}

// R12: a panic in a pass fails its template only. The log has the stack once, and not what the pass worked on.
func TestPanicOfPass(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		faulty := r.target("faulty", `{{key "k"}}{{range service "web"}}{{hostport .}}{{end}}`)
		r.start(Config{Targets: []Target{faulty, r.target("good", `{{key "k"}}`)}})
		r.set(kv("k"), "c4nary 1")
		r.set(watch.NewQuery(watch.KindService, "web", nil), []*watch.HealthService{nil})
		for i := range 3 {
			value := fmt.Sprint("c4nary ", i)
			r.set(kv("k"), value)
			elapse(time.Minute)
			r.wantState(0, status.Failed)
			r.wantFile("good", value)
		}
		if log := r.log.String(); strings.Count(log, `"stack":`) != 1 || !strings.Contains(log, "hostport.go") || strings.Contains(log, "c4nary") {
			t.Errorf("the log does not have the stack once, or has what nobody may see:\n%s", log)
		}
		r.set(watch.NewQuery(watch.KindService, "web", nil), []*watch.HealthService{})
		elapse(time.Minute)
		r.wantFile("faulty", "c4nary 2")
	})
}
