package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
	"golang.org/x/sys/unix"

	"render/watch/consultest"
)

// suite is all tests, and the end of the Consul that they share.
type suite struct{ *testing.M }

var shared *consultest.Agent // set by sharedConsul

// sharedConsul starts the Consul that all tests share when the first of them needs it. Each render that a test kills
// leaves connections behind, and a stock agent allows 200 of them.
var sharedConsul = sync.OnceValues(func() (agent *consultest.Agent, err error) {
	shared, err = consultest.Start(context.Background(), "limits { http_max_conns_per_client = 2000 }")
	return shared, err
})

func (s suite) Run() int {
	for _, ignored := range []os.Signal{syscall.SIGHUP, syscall.SIGINT} { // by nohup, or in the background of a shell
		if signal.Ignored(ignored) {
			signal.Notify(make(chan os.Signal, 1), ignored) // what tests start has the default again: a shell cannot trap otherwise
		}
	}
	if os.Getenv("GORACE") == "" { // the race detector would keep each render for a second at its end
		os.Setenv("GORACE", "atexit_sleep_ms=10")
	}
	defer func() {
		if shared != nil {
			shared.Stop()
		}
	}()
	return s.M.Run()
}

// TestMain makes the test binary serve as the program too. It is in the PATH under several names: render, consul-template,
// whose place it takes, and daemon, which is render with its output in the file log, where a script can read it while it
// runs, and its exit code in the file code.
func TestMain(m *testing.M) {
	testscript.Main(suite{m}, map[string]func(){
		"render":          main,
		"consul-template": main,
		"daemon": func() {
			if isKeeper() {
				main()
			}
			log, err := os.Create("log")
			if err != nil {
				panic(err)
			}
			os.Stdout, os.Stderr = log, log
			_ = os.Remove("code")
			code := start()
			if err := os.WriteFile("code", []byte(strconv.Itoa(code)), 0o666); err != nil {
				panic(err)
			}
			os.Exit(code)
		},
	})
}

// scripts runs several scripts at once, more than there are processors, because they wait most of the time. No other tests run
// beside them, some of which are about time.
type scripts struct {
	*testing.T
	all  *sync.WaitGroup
	room chan struct{}
}

func (scripts) Parallel() {}

func (scripts) Verbose() bool { return testing.Verbose() }

func (s scripts) Run(name string, script func(testscript.T)) {
	s.all.Go(func() {
		s.room <- struct{}{}
		defer func() { <-s.room }()
		s.T.Run(name, func(t *testing.T) { script(scripts{T: t}) })
	})
}

func TestScript(t *testing.T) {
	s := scripts{t, new(sync.WaitGroup), make(chan struct{}, 3*runtime.GOMAXPROCS(0))}
	defer s.all.Wait()
	testscript.RunT(s, testscript.Params{
		Dir:                "testdata/script",
		RequireUniqueNames: true,
		Setup: func(env *testscript.Env) error {
			agent, err := sharedConsul()
			if err != nil {
				return err
			}
			env.Setenv("CONSUL_HTTP_ADDR", agent.Addr)
			return nil
		},
		Condition: func(name string) (bool, error) {
			if name != "root" {
				return false, fmt.Errorf("unknown condition %q", name)
			}
			return os.Geteuid() == 0, nil
		},
		Cmds: map[string]func(ts *testscript.TestScript, neg bool, args []string){
			"await":             await,
			"consul-del":        consulDel,
			"consul-deregister": consulDeregister,
			"consul-put":        consulPut,
			"consul-register":   consulRegister,
			"exits":             exits,
			"signal":            sendSignal,
		},
	})
}

// await FILE REGEXP waits until the file matches, or with a ! before it until it does not.
func await(ts *testscript.TestScript, neg bool, args []string) {
	want(ts, len(args) == 2, "await FILE REGEXP")
	re, err := regexp.Compile("(?m)" + args[1])
	ts.Check(err)
	file := ts.MkAbs(args[0])
	ts.Check(within(patience, func() error {
		b, err := os.ReadFile(file)
		if err == nil && re.Match(b) == neg {
			err = fmt.Errorf("%s is not as awaited:\n%s", args[0], b)
		}
		return err
	}))
}

// exits CODE PROGRAM [ARG...] runs a program, which has to end with an exit code.
func exits(ts *testscript.TestScript, neg bool, args []string) {
	want(ts, !neg && len(args) >= 2, "exits CODE PROGRAM [ARG...]")
	code := "0"
	if err := ts.Exec(args[1], args[2:]...); err != nil {
		failed, ok := errors.AsType[*exec.ExitError](err)
		if !ok {
			ts.Fatalf("%v", err)
		}
		code = strconv.Itoa(failed.ExitCode())
	}
	if code != args[0] {
		ts.Fatalf("exited %s, not %s", code, args[0])
	}
}

// sendSignal is the verb signal NAME...: it sends signals to the programs in the background.
func sendSignal(ts *testscript.TestScript, neg bool, args []string) {
	want(ts, !neg && len(args) > 0, "signal NAME...")
	for _, name := range args {
		s := unix.SignalNum("SIG" + name)
		want(ts, s != 0, "signal NAME..., as HUP")
		for _, cmd := range ts.BackgroundCmds() {
			ts.Check(cmd.Process.Signal(s))
		}
	}
}

func consulPut(ts *testscript.TestScript, neg bool, args []string) {
	want(ts, !neg && len(args) == 2, "consul-put KEY VALUE")
	own(ts, args[0])
	ts.Check(shared.Put(args[0], args[1]))
	ts.Defer(func() { ts.Check(shared.Delete(args[0])) })
}

func consulDel(ts *testscript.TestScript, neg bool, args []string) {
	want(ts, !neg && len(args) == 1, "consul-del KEY")
	own(ts, args[0])
	ts.Check(shared.Delete(args[0]))
}

func consulRegister(ts *testscript.TestScript, neg bool, args []string) {
	want(ts, !neg && len(args) >= 5, "consul-register SERVICE ID ADDRESS PORT STATUS [TAG...]")
	own(ts, args[0])
	own(ts, args[1])
	port, err := strconv.Atoi(args[3])
	ts.Check(err)
	ts.Check(shared.Register(args[0], args[1], args[2], port, args[4], args[5:]...))
	ts.Defer(func() { ts.Check(shared.Deregister(args[1])) })
}

func consulDeregister(ts *testscript.TestScript, neg bool, args []string) {
	want(ts, !neg && len(args) == 1, "consul-deregister ID")
	own(ts, args[0])
	ts.Check(shared.Deregister(args[0]))
}

func want(ts *testscript.TestScript, ok bool, usage string) {
	if !ok {
		ts.Fatalf("usage: %s", usage)
	}
}

// own keeps scripts apart: what one puts into the shared Consul begins with its name.
func own(ts *testscript.TestScript, name string) {
	if !strings.HasPrefix(name, ts.Name()) {
		ts.Fatalf("%s does not begin with %s, the name of this script", name, ts.Name())
	}
}
