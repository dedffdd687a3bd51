package render

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestEnv(t *testing.T) {
	ours := []string{"HOME=/root", "CONSUL_TOKEN=t", "CONSUL_HTTP_ADDR=a", "VAULT_TOKEN=v", "EMPTY=", "ODD=a=b"}
	added := []string{"CONSUL_HTTP_ADDR=added", "RENDER_ACTION=x"}
	all := append(slices.Clone(ours), added...)
	tests := []struct {
		name string
		env  Env
		want []string
	}{
		{"all", Env{}, all},
		{"allowed", Env{Allow: []string{"CONSUL_*", "HOME"}}, append([]string{"HOME=/root", "CONSUL_TOKEN=t", "CONSUL_HTTP_ADDR=a"}, added...)},
		{"denied", Env{Deny: []string{"*_TOKEN"}}, append([]string{"HOME=/root", "CONSUL_HTTP_ADDR=a", "EMPTY=", "ODD=a=b"}, added...)},
		{"deny wins", Env{Allow: []string{"CONSUL_*"}, Deny: []string{"CONSUL_TOKEN"}}, append([]string{"CONSUL_HTTP_ADDR=a"}, added...)},
		{"what is added is not filtered", Env{Deny: []string{"*"}}, added},
		{"pristine", Env{Pristine: true, Allow: []string{"HOME"}}, added},
		{"custom comes last", Env{Pristine: true, Custom: []string{"RENDER_ACTION=mine", "A=$HOME"}}, append(slices.Clone(added), "RENDER_ACTION=mine", "A=$HOME")},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if got := test.env.environ(ours, added); !slices.Equal(got, test.want) {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
	for want, env := range map[string]Env{
		`pattern "[": syntax error`:  {Allow: []string{"["}},
		`pattern "x[": syntax error`: {Deny: []string{"x["}},
		`entry 1 is not NAME=value`:  {Custom: []string{"A"}},
		`entry 2 is not NAME=value`:  {Custom: []string{"A=b", "=a"}},
	} {
		err := Config{Actions: []Action{{Name: "a", Env: env}}}.Validate()
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
}

// Check, command and verification are told what is going on.
func TestEnvOfActions(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		tell := func(who string) Command {
			return r.sh(`echo "` + who + ` $RENDER_ACTION: $RENDER_CAUSE: $(echo $RENDER_CHANGED): $CUSTOM $EXTRA" >> told`)
		}
		a, b := r.target("a", `{{key "a"}}`), r.target("b", `{{key "b"}}`)
		cfg := of(Action{Check: tell("check"), Command: tell("command"), Verify: Verify{Command: tell("verify")}, Env: Env{Custom: []string{"CUSTOM=c"}}}, a, b)
		cfg.Env = []string{"EXTRA=e"}
		r.start(cfg)
		r.world.set(kv("a"), "1")
		r.set(kv("b"), "1")
		want := func(cause, changed string) {
			t.Helper()
			line := fmt.Sprintf(" action: %s: %s: c e\n", cause, changed)
			r.wantFile("told", "check"+line+"command"+line+"verify"+line)
			r.write("told", "")
		}
		want("first render", a.Destination+" "+b.Destination)
		elapse(5 * time.Second)
		r.set(kv("b"), "2")
		want("kv b: changed", b.Destination)
	})
}

// However many files there are, and whatever keys are called, the command can be run.
func TestEnvIsBounded(t *testing.T) {
	p := newPlace(t)
	c := p.newCommit(p.sh(`echo "$RENDER_CHANGED" > changed`), nil)
	name := p.path(strings.Repeat("x", 100))
	for range 3000 {
		c.files = append(c.files, &stagedFile{destination: name, owed: true})
	}
	if _, err := c.runner(c.cfg.Command).run(); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(p.files()["changed"]), "\n")
	if len(lines) < 100 || lines[len(lines)-1] != name {
		t.Errorf("%d lines, the last is %q", len(lines), lines[len(lines)-1])
	}
	bubble(t, func(t *testing.T, r *rig) {
		r.start(of(Action{Command: r.appends("runs")}, r.target("a", `{{keyOrDefault (printf "nul%c" 0) "none"}}`)))
		r.set(kv("nul\x00"), nil)
		elapse(5 * time.Second)
		r.set(kv("nul\x00"), "1")
		elapse(5 * time.Second)
		r.wantFile("a", "1")
		if n := r.lines("runs"); n != 2 {
			t.Errorf("%d runs\n%s", n, r.log)
		}
	})
}

// A signal goes to the process of a pid file, or to the main processes of a name.
func TestSignal(t *testing.T) {
	p := newPlace(t)
	sh, err := os.ReadFile("/bin/sh")
	p.must(err)
	const name = "render-test-service" // longer than what the kernel keeps of it
	p.write(name, string(sh), 0o755)
	// A main process, and a worker with the same name. Each tells who it is when it gets the signal.
	cmd := exec.Command(p.path(name), "-c", `cd '`+p.dir+`'
		trap 'echo main >> got' HUP
		(trap 'echo worker >> got' HUP; echo >> ready; while [ ! -e stop ]; do sleep 0.02; done) &
		while [ ! -e ready ]; do sleep 0.02; done
		echo "$$" > pid
		while [ ! -e stop ]; do sleep 0.02; done
		wait`)
	p.must(cmd.Start())
	r := newRig(t)
	r.dir = p.dir
	defer func() {
		r.write("stop", "")
		_ = cmd.Wait()
	}()
	r.await("the service", func() bool { return r.lines("pid") == 1 })

	send := func(s Signal) error {
		s.Signal = syscall.SIGHUP
		_, err := (&commit{cfg: Action{Signal: s}}).apply()
		return err
	}
	p.must(send(Signal{PIDFile: p.path("pid")}))
	r.await("the signal", func() bool { return r.read("got") == "main\n" })
	p.must(send(Signal{Process: name}))
	r.await("the signal", func() bool { return r.lines("got") == 2 })
	r.wantFile("got", "main\nmain\n")

	p.write("nonsense", "x", 0o644)
	p.write("group", "-1\n", 0o644)
	p.write("all", "0\n", 0o644)
	p.write("init", "1\n", 0o644) // in a container that is often the service
	if pids, err := (Signal{PIDFile: p.path("init")}).processes(); err != nil || !slices.Equal(pids, []int{1}) {
		t.Errorf("got %v, %v", pids, err)
	}
	p.write("many", fmt.Sprintf(" %d \nsecond line\n", cmd.Process.Pid), 0o644)
	p.must(send(Signal{PIDFile: p.path("many")}))
	for want, s := range map[string]Signal{
		"no such file or directory":                       {PIDFile: p.path("none")},
		"does not begin with the number of a process":     {PIDFile: p.path("nonsense")},
		"/group: the file does not begin with the number": {PIDFile: p.path("group")},
		"/all: the file does not begin with the number":   {PIDFile: p.path("all")},
		"to no-such-program: there is no such process":    {Process: "no-such-program"},
		"signal SIGHUP to render-other: there is no such": {Process: "render-other"},
		// The kernel keeps the same part of both names.
		"signal SIGHUP to render-test-serviced: there is no such": {Process: "render-test-serviced"},
		"signal SIGHUP to render-test-servic: there is no such":   {Process: "render-test-servic"},
	} {
		if err := send(s); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: got %v, want %q", s, err, want)
		}
	}
	for _, s := range []Signal{{Signal: 1}, {Signal: 1, PIDFile: "a", Process: "b"}} {
		if err := (Config{Implied: Action{Signal: s}}).Validate(); err == nil {
			t.Errorf("%+v is not an error", s)
		}
	}
}

// A pause before a command ends when render does; the command is run.
func TestSplay(t *testing.T) {
	bubble(t, func(t *testing.T, r *rig) {
		began := time.Now()
		r.start(of(Action{Command: r.appends("runs"), Splay: 1000 * time.Hour}, r.target("a", "x")))
		r.wantFile("a", "x")
		r.wantFile("runs", "no file")
		r.must(r.stop())
		if n := r.lines("runs"); n != 1 {
			t.Errorf("%d runs", n)
		}
		if took := time.Since(began); took > time.Minute {
			t.Errorf("took %s", took)
		}
		r.wantClean()
	})
	bubble(t, func(t *testing.T, r *rig) { // once
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		began := time.Now()
		r.must(r.run(ctx, of(Action{Command: r.appends("runs"), Splay: 1000 * time.Hour}, r.target("a", "x"))))
		if n := r.lines("runs"); n != 1 {
			t.Errorf("%d runs", n)
		}
		if took := time.Since(began); took > time.Minute {
			t.Errorf("took %s", took)
		}
		r.wantClean()
	})
	bubble(t, func(t *testing.T, r *rig) {
		r.start(of(Action{Command: r.appends("runs"), Splay: time.Minute}, r.target("a", "x")))
		elapse(time.Minute)
		if n := r.lines("runs"); n != 1 {
			t.Errorf("%d runs after the splay", n)
		}
	})
}
