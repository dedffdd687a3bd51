package run

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// roleVariable in the environment makes the program of the tests something else.
const roleVariable = "RENDER_TEST_ROLE"

func TestMain(m *testing.M) {
	// sh cannot trap a signal that was ignored when it started, as by nohup. Who has a handler does not ignore it, nor do
	// those whom he starts.
	for _, s := range []os.Signal{syscall.SIGHUP, syscall.SIGINT, syscall.SIGQUIT, syscall.SIGTERM, syscall.SIGUSR1, syscall.SIGUSR2} {
		if signal.Ignored(s) {
			signal.Notify(make(chan os.Signal, 1), s)
		}
	}
	switch os.Getenv(roleVariable) {
	case "keeper":
		if err := KeepProgram(os.Stdin, os.Args[1:]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	case "supervisor":
		supervisor()
	case "root":
		sleepAsRoot()
	case "caller":
		callRoot()
	default:
		os.Exit(m.Run())
	}
}

// role returns the program of the tests in a role.
func role(name string, args ...string) *exec.Cmd {
	cmd := exec.Command(testProgram(), args...)
	cmd.Env = append(os.Environ(), roleVariable+"="+name)
	return cmd
}

func testProgram() string {
	path, err := os.Executable()
	if err != nil {
		panic(err)
	}
	return path
}

// A place is a folder of a test.
type place struct {
	t   *testing.T
	dir string
}

func newPlace(t *testing.T) place { return place{t, t.TempDir()} }

func (p place) path(name string) string { return filepath.Join(p.dir, name) }

func (p place) must(err error) {
	p.t.Helper()
	if err != nil {
		p.t.Fatal(err)
	}
}

func (p place) write(name, text string) string {
	p.t.Helper()
	p.must(os.WriteFile(p.path(name), []byte(text), 0o644))
	return p.path(name)
}

// copyProgram copies a program, by another process: one that is open for writing cannot be run, and whatever is started
// meanwhile by other tests would have it open, too.
func (p place) copyProgram(from, name string) {
	p.t.Helper()
	p.must(exec.Command("cp", "-L", "--", from, p.path(name)).Run())
}

// read returns the contents of a file, or nothing where it does not exist.
func (p place) read(name string) string {
	text, _ := os.ReadFile(p.path(name))
	return string(text)
}

// number waits until a file has a line, and returns the number in it.
func (p place) number(name string) int {
	p.t.Helper()
	p.await("a number in "+name, func() bool { return strings.HasSuffix(p.read(name), "\n") })
	n, err := strconv.Atoi(strings.TrimSpace(p.read(name)))
	p.must(err)
	return n
}

// sh returns a line for sh that runs in the folder.
func (p place) sh(line string) Command { return Command{Shell: "cd '" + p.dir + "'; " + line} }

// patience is how long a test waits for something that has to happen.
const patience = time.Minute

func (p place) await(what string, done func() bool) {
	p.t.Helper()
	for end := time.Now().Add(patience); !done(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			p.t.Fatalf("waited in vain for %s", what)
		}
	}
}

// awaitEnd waits for the end of a process, or with a negative number of a group.
func (p place) awaitEnd(pid int) {
	p.t.Helper()
	p.await(fmt.Sprintf("the end of process %d", pid), func() bool { return !Alive(pid) })
}

// wantClosed waits until a channel is closed or gets a value.
func wantClosed[T any](t *testing.T, what string, ch <-chan T) (value T) {
	t.Helper()
	select {
	case value = <-ch:
	case <-time.After(patience):
		t.Fatalf("waited in vain for %s", what)
	}
	return value
}

// openDescriptors returns how many files are open, or 0 where that is unknown.
func openDescriptors() int {
	open, _ := os.ReadDir("/proc/self/fd")
	return len(open)
}

// A logBuffer keeps what is logged.
type logBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *logBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *logBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

// count returns how many lines have this message.
func (b *logBuffer) count(msg string) int {
	n := 0
	for line := range strings.Lines(b.String()) {
		var entry struct{ Msg string }
		if json.Unmarshal([]byte(line), &entry) == nil && entry.Msg == msg {
			n++
		}
	}
	return n
}

func (b *logBuffer) logger() *slog.Logger { return slog.New(slog.NewJSONHandler(b, nil)) }

var silentLog = slog.New(slog.NewTextHandler(io.Discard, nil))
