package run

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

func TestRun(t *testing.T) {
	tests := []struct {
		name    string
		command Command
		output  string
		err     string // part of it; empty for success
	}{
		{"nothing", Command{}, "", ""},
		{"a line for sh", Command{Shell: "echo a | tr a b; echo c >&2"}, "b\nc\n", ""},
		{"a program and arguments", Command{Args: []string{"echo", "a b", "$HOME"}}, "a b $HOME\n", ""},
		{"environment", Command{Shell: "echo $GREETING"}, "hello\n", ""},
		{"no input", Command{Args: []string{"cat"}}, "", ""},
		{"a failure", Command{Shell: "echo why; exit 7"}, "why\n", "exit status 7"},
		{"no such program", Command{Args: []string{"/no/such/program"}}, "", "no such file"},
		{"killed", Command{Shell: "kill -9 $$"}, "", "signal: killed"},
	}
	var g Group
	defer g.Close()
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			output, err := g.Run(test.command, Limits{Env: []string{"GREETING=hello", "PATH=" + os.Getenv("PATH")}})
			if output != test.output {
				t.Errorf("output %q, want %q", output, test.output)
			}
			if (err == nil) != (test.err == "") || err != nil && !strings.Contains(err.Error(), test.err) {
				t.Errorf("got %v, want %q", err, test.err)
			}
		})
	}
}

// A command that does not end gets SIGTERM together with all that it has started.
func TestTimeout(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	var g Group
	output, err := g.Run(p.sh("sleep 1000 & echo $! > pid; echo started; wait"), Limits{Timeout: 2 * time.Second})
	if errorText(err) != "did not end within 2s" || output != "started\n" {
		t.Errorf("got %q, %v", output, err)
	}
	p.awaitEnd(p.number("pid"))
	g.Close()
}

// What ignores SIGTERM is killed: the command after the grace, what it has started as soon as the command has ended.
func TestTimeoutIgnored(t *testing.T) {
	for name, line := range map[string]string{
		"by all":           "trap '' TERM; sleep 1000 & echo $! > pid; wait; wait",
		"not by the shell": "(trap '' TERM; echo > ready; exec sleep 1000) & echo $! > pid; while [ ! -e ready ]; do sleep 0.01; done; wait",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if testing.Short() {
				t.Skip("takes as long as the grace")
			}
			p := newPlace(t)
			var g Group
			began := time.Now()
			if _, err := g.Run(p.sh(line), Limits{Timeout: time.Second}); errorText(err) != "did not end within 1s" {
				t.Errorf("got %v", err)
			}
			if took := time.Since(began); took > patience {
				t.Errorf("took %s", took)
			}
			p.awaitEnd(p.number("pid"))
			g.Close()
		})
	}
}

// A command may leave something running that holds its output open; that is a success.
func TestRunLeavesSomethingRunning(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	var g Group
	output, err := g.Run(p.sh("sleep 1000 & echo $! > pid; echo done"), Limits{})
	if err != nil || output != "done\n" {
		t.Errorf("got %q, %v", output, err)
	}
	pid := p.number("pid")
	if !Alive(pid) {
		t.Error("it was killed")
	}
	g.Kill() // only what render waits for
	g.Close()
	if !Alive(pid) {
		t.Error("it was killed")
	}
	p.must(syscall.Kill(pid, syscall.SIGKILL))
}

// What a command leaves running may go on to write, until Close.
func TestRunLeavesSomethingThatWrites(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	var g Group
	output, err := g.Run(p.sh("(while [ ! -e stop ]; do sleep 0.01; done; seq 100000 && echo >> ended) & echo done"), Limits{})
	if err != nil || output != "done\n" {
		t.Errorf("got %q, %v", output, err)
	}
	p.write("stop", "")
	p.await("the end of what it has left", func() bool { return p.read("ended") == "\n" })
	g.Close()
}

func TestOutputIsBounded(t *testing.T) {
	t.Parallel()
	var g Group
	defer g.Close()
	output, err := g.Run(Command{Shell: "seq 1000000; echo end"}, Limits{})
	if err != nil || len(output) > maxTail+10 || !strings.HasSuffix(output, "\n1000000\nend\n") || !strings.HasPrefix(output, "[…]") {
		t.Errorf("%d bytes, err %v, begins %.20q", len(output), err, output)
	}
}

// Tail: what was cut, and where.
func TestTail(t *testing.T) {
	for _, size := range []int{0, 1, maxTail - 1, maxTail, maxTail + 1, 2 * maxTail, 2*maxTail + 1, 10 * maxTail} {
		for _, piece := range []int{1 << 10, 32 << 10, 20 * maxTail} {
			text := strings.Repeat("0123456789abcdef", size/16+1)[:size]
			var out tail
			for rest := text; rest != ""; {
				n := min(piece, len(rest))
				if got, err := out.Write([]byte(rest[:n])); got != n || err != nil {
					t.Fatalf("got %d, %v", got, err)
				}
				rest = rest[n:]
			}
			want := text
			if size > maxTail {
				want = "[…]" + text[size-maxTail:]
			}
			if got := out.finish(); got != want {
				t.Errorf("%d bytes in pieces of %d: got %d bytes, want %d", size, piece, len(got), len(want))
			}
			_, _ = out.Write([]byte("late"))
			if strings.Contains(out.finish(), "late") {
				t.Error("something was kept after the end")
			}
		}
	}
}

// Too long arguments and environments are named in the error, without their values.
func TestArgumentsAreBounded(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("the limit is Linux's")
	}
	secret := strings.Repeat("secret", 30000)
	longest := 32*os.Getpagesize() - 1 - len("A=")
	many := []string{}
	for i := range 100 {
		many = append(many, fmt.Sprintf("A%d=%s", i, strings.Repeat("x", 100_000)))
	}
	var g Group
	defer g.Close()
	for _, test := range []struct {
		name    string
		command Command
		env     []string
		want    []string // parts of the error
	}{
		{"the longest", Command{Args: []string{"/bin/true"}}, []string{"A=" + strings.Repeat("x", longest)}, nil},
		{"one more", Command{Args: []string{"/bin/true"}}, []string{"B=", "A=" + strings.Repeat("x", longest+1)}, []string{"argument list too long: the variable A has 131072 bytes, and the kernel accepts at most 131071"}},
		{"an entry", Command{Args: []string{"/bin/true"}}, []string{"RENDER_CAUSE=" + secret}, []string{"the variable RENDER_CAUSE has 180013 bytes"}},
		{"an argument", Command{Args: []string{"/bin/true", "a", secret}}, nil, []string{"argument 2 has 180000 bytes"}},
		{"a line", Command{Shell: "true " + secret}, nil, []string{"argument 2 has 180005 bytes"}},
		{"all in all", Command{Args: []string{"/bin/true"}}, many, []string{"arguments and environment together have 10000"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := g.Run(test.command, Limits{Env: test.env})
			if (err != nil) != (test.want != nil) || err != nil && !errors.Is(err, syscall.E2BIG) {
				t.Fatalf("got %v", err)
			}
			for _, part := range test.want {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("got %v, want %q", err, part)
				}
			}
			if strings.Contains(errorText(err), "secret") {
				t.Error("the error has a value in it")
			}
		})
	}
}

// Kill ends all that run, with what they have started, and nothing starts any more.
func TestKill(t *testing.T) {
	const many = 50
	p := newPlace(t)
	var g Group
	errs := make(chan error, 2*many)
	for i := range many {
		line := fmt.Sprintf("trap '' TERM; sleep 1000 & echo $! > child%d; echo $$ > pid%d; wait", i, i)
		go func() {
			_, err := g.Run(p.sh(line), Limits{Timeout: time.Hour})
			errs <- err
		}()
	}
	pids := []int{}
	for i := range many {
		pids = append(pids, p.number(fmt.Sprint("child", i)), p.number(fmt.Sprint("pid", i)))
	}

	// Others are about to start, before and after it.
	var start sync.WaitGroup
	for range many {
		start.Go(func() {
			_, _, err := g.Output(t.Context(), p.sh("sleep 1000"), Limits{Timeout: time.Hour}, 10)
			errs <- err
		})
	}
	g.Kill()
	for range 2 * many {
		if err := wantClosed(t, "the end of a command", errs); !errors.Is(err, ErrKilled) {
			t.Errorf("got %v", err)
		}
	}
	start.Wait()
	for _, pid := range pids {
		p.awaitEnd(pid)
	}
	g.Kill() // again
	if output, err := g.Run(p.sh("touch ran; echo ran"), Limits{}); !errors.Is(err, ErrKilled) || output != "" {
		t.Errorf("got %q, %v", output, err)
	}
	if _, err := os.Stat(p.path("ran")); err == nil {
		t.Error("it was started after Kill")
	}
	g.Close()
}

// What failed or succeeded by itself before Kill keeps its own result.
func TestKillAfterEnd(t *testing.T) {
	var g Group
	_, failed := g.Run(Command{Shell: "exit 3"}, Limits{})
	_, succeeded := g.Run(Command{Shell: "exit 0"}, Limits{})
	g.Kill()
	g.Close()
	if errors.Is(failed, ErrKilled) || failed == nil || succeeded != nil {
		t.Errorf("got %v, %v", failed, succeeded)
	}
}

func TestGroupLeavesNothing(t *testing.T) {
	p := newPlace(t)
	cycle := func() {
		var g Group
		var all sync.WaitGroup
		for i := range 10 {
			all.Go(func() {
				output, _ := g.Run(p.sh("sleep 1000 & echo $!"), Limits{})
				if pid, err := strconv.Atoi(strings.TrimSpace(output)); err == nil {
					defer syscall.Kill(pid, syscall.SIGKILL)
				}
				_, _ = g.Run(Command{Args: []string{"/no/such/program"}}, Limits{})
				if i == 0 {
					g.Kill()
				}
				_, _, _ = g.Output(t.Context(), p.sh("echo >&2; seq 1000"), Limits{}, 100)
			})
		}
		all.Wait()
		g.Close()
	}
	cycle()
	goroutines, descriptors := runtime.NumGoroutine(), openDescriptors()
	for range 3 {
		cycle()
	}
	p.await("the goroutines to end", func() bool { return runtime.NumGoroutine() <= goroutines })
	if n := openDescriptors(); n > descriptors {
		t.Errorf("%d descriptors, %d before", n, descriptors)
	}
}

func TestOutput(t *testing.T) {
	tests := []struct {
		name           string
		command        Command
		most           int64
		stdout, stderr string
		err            string // part of it; empty for success
	}{
		{"nothing", Command{}, 10, "", "", ""},
		{"both", Command{Shell: "echo out; echo err >&2"}, 10, "out\n", "err\n", ""},
		{"a program", Command{Args: []string{"echo", "a b"}}, 10, "a b\n", "", ""},
		{"as much as may be", Command{Shell: "printf 1234567890"}, 10, "1234567890", "", ""},
		{"one byte more", Command{Shell: "printf 12345678901"}, 10, "", "", "printed more than 10 bytes"},
		{"without end", Command{Args: []string{"yes"}}, 1 << 20, "", "", "printed more than 1048576 bytes"},
		{"complaints are no output", Command{Shell: "yes | head -c 100000 >&2; echo out"}, 10, "out\n", "[…]" + strings.Repeat("y\n", maxTail/2), ""},
		{"a failure", Command{Shell: "echo out; echo why >&2; exit 7"}, 10, "out\n", "why\n", "exit status 7"},
		{"no such program", Command{Args: []string{"/no/such/program"}}, 10, "", "", "no such file"},
	}
	var g Group
	defer g.Close()
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			stdout, stderr, err := g.Output(t.Context(), test.command, Limits{}, test.most)
			if string(stdout) != test.stdout || stderr != test.stderr {
				t.Errorf("got %.50q and %.50q", stdout, stderr)
			}
			if (err == nil) != (test.err == "") || err != nil && !strings.Contains(err.Error(), test.err) {
				t.Errorf("got %v, want %q", err, test.err)
			}
		})
	}
	big, _, err := g.Output(t.Context(), Command{Shell: "yes | head -c 16777216"}, Limits{}, 16<<20)
	if err != nil || len(big) != 16<<20 || strings.Trim(string(big), "y\n") != "" {
		t.Errorf("%d bytes, %v", len(big), err)
	}
}

// What prints too much is killed with all that it has started, also where the command itself has ended.
func TestOutputTooMuch(t *testing.T) {
	for name, line := range map[string]string{
		"the command":         "sleep 1000 & echo $! > pid; yes",
		"what it has started": "yes & echo $! > pid; wait",
		"what it has left":    "(while [ ! -e go ]; do sleep 0.01; done; exec yes) & echo $! > pid; touch go",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newPlace(t)
			var g Group
			stdout, _, err := g.Output(t.Context(), p.sh(line), Limits{Timeout: patience}, 1<<20)
			if errorText(err) != "printed more than 1048576 bytes" || len(stdout) > 0 {
				t.Errorf("got %d bytes, %v", len(stdout), err)
			}
			p.awaitEnd(p.number("pid"))
			g.Close()
		})
	}
}

// The end of the context kills at once, whatever the program ignores.
func TestOutputContext(t *testing.T) {
	for name, line := range map[string]string{
		"a program":           "trap '' TERM; sleep 1000 & echo $! > pid; wait; wait",
		"what it has left":    "sleep 1000 & echo $! > pid; echo out",
		"a group in the back": "(sleep 1000 & echo $! > pid; wait) & wait",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newPlace(t)
			var g Group
			cause := errors.New("nobody wants to know any more")
			ctx, cancel := context.WithCancelCause(t.Context())
			go func() {
				for !strings.HasSuffix(p.read("pid"), "\n") && ctx.Err() == nil {
					time.Sleep(time.Millisecond)
				}
				cancel(cause)
			}()
			_, _, err := g.Output(ctx, p.sh(line), Limits{Timeout: time.Hour}, 100)
			cancel(nil)
			if name != "what it has left" && err != cause || err != nil && err != cause {
				t.Errorf("got %v", err)
			}
			pid := p.number("pid")
			if err == nil { // it was faster than the end of the context: a success, whose remainder stays
				_ = syscall.Kill(pid, syscall.SIGKILL)
			}
			p.awaitEnd(pid)
			g.Close()
		})
	}
	p := newPlace(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	var g Group
	if _, _, err := g.Output(ctx, p.sh("touch ran"), Limits{}, 100); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	if _, err := os.Stat(p.path("ran")); err == nil {
		t.Error("it was started")
	}
}

func TestOutputTimeout(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	var g Group
	stdout, stderr, err := g.Output(t.Context(), p.sh("sleep 1000 & echo $! > pid; echo out; echo err >&2; wait"), Limits{Timeout: 2 * time.Second}, 100)
	if errorText(err) != "did not end within 2s" || string(stdout) != "out\n" || stderr != "err\n" {
		t.Errorf("got %q, %q, %v", stdout, stderr, err)
	}
	p.awaitEnd(p.number("pid"))
	g.Close()
}

// A program that we may not kill, as one of sudo, does not hold up the action for ever.
func TestUnkillable(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("takes as long as both graces")
	}
	if os.Getuid() != 0 || runtime.GOOS != "linux" {
		t.Skip("needs root, to make a program that an ordinary user cannot kill")
	}
	dir, err := os.MkdirTemp("/tmp", "render-test-")
	p := place{t, dir}
	p.must(err)
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	p.must(os.Chmod(dir, 0o777))
	for name, mode := range map[string]os.FileMode{"caller": 0o755, "root": 0o755 | os.ModeSetuid} {
		p.copyProgram(testProgram(), name)
		p.must(os.Chmod(p.path(name), mode))
	}
	caller := exec.Command(p.path("caller"))
	caller.Dir = dir
	caller.Env = append(os.Environ(), roleVariable+"=caller")
	caller.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	said, err := caller.Output()
	if p.read("uid") != "0\n" {
		t.Skipf("programs cannot change the user here: %s", said)
	}
	p.must(syscall.Kill(p.number("pid"), syscall.SIGKILL))
	want := fmt.Sprintf("did not end within 1s; process %d does not end after SIGKILL", p.number("pid"))
	if err != nil || string(said) != want {
		t.Errorf("got %q, %v, want %q", said, err, want)
	}
}

// callRoot is the ordinary user of TestUnkillable.
func callRoot() {
	var g Group
	dir, _ := os.Getwd()
	_, err := g.Run(Command{Args: []string{filepath.Join(dir, "root")}}, Limits{Timeout: time.Second, Env: []string{roleVariable + "=root"}})
	fmt.Print(errorText(err))
	g.Kill()
}

// sleepAsRoot is the program of TestUnkillable.
func sleepAsRoot() {
	_ = syscall.Setuid(0)
	_ = os.WriteFile("uid", fmt.Appendln(nil, os.Getuid()), 0o644)
	_ = os.WriteFile("pid", fmt.Appendln(nil, os.Getpid()), 0o644)
	time.Sleep(time.Minute)
}
