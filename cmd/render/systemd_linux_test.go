package main

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// systemd is what listens to a render in its place.
type systemd struct {
	mu  sync.Mutex
	got []string
}

// startSystemd has all renders that the test starts from now on notify it.
func startSystemd(t *testing.T) *systemd {
	t.Helper()
	folder, err := os.MkdirTemp("", "") // paths of sockets must be short
	check(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(folder) })
	socket := filepath.Join(folder, "notify")
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: socket, Net: "unixgram"})
	check(t, err)
	t.Setenv("NOTIFY_SOCKET", socket)
	s := new(systemd)
	var wg sync.WaitGroup
	t.Cleanup(wg.Wait)
	t.Cleanup(func() { _ = conn.Close() })
	wg.Go(func() {
		for b := make([]byte, 4096); ; {
			n, err := conn.Read(b)
			if err != nil {
				return
			}
			s.mu.Lock()
			s.got = append(s.got, string(b[:n]))
			s.mu.Unlock()
		}
	})
	return s
}

func (s *systemd) messages() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.got)
}

// hears returns the condition that it has got a message.
func (s *systemd) hears(want string) func() error {
	return func() error {
		if got := s.messages(); !slices.Contains(got, want) {
			return fmt.Errorf("systemd has got %q, and no %s", got, want)
		}
		return nil
	}
}

func TestReady(t *testing.T) {
	s := startSystemd(t)
	dir := t.TempDir()
	data := filepath.Join(dir, "data.yaml")
	write(t, data, "keys: {a: 1, b: text}")
	write(t, filepath.Join(dir, "in"), `{{key "a"}}`)
	write(t, filepath.Join(dir, "waits"), `{{key "missing"}}`)
	write(t, filepath.Join(dir, "fails"), `{{key "b" | parseInt}}`)
	d := startRender(t, dir, "--fixture", data, "--template", "waits:waiting", "--template", "fails:failed",
		"--template", "in:out:touch began; until test -e go; do sleep 0.01; done")
	awaits(t, func() error { _, err := os.Stat(filepath.Join(dir, "began")); return err })
	awaits(t, s.hears("STATUS=1 of 3 files failed, 1 needs data that does not exist, 1 not applied yet"))
	if s.hears("READY=1")() == nil {
		t.Fatal("it is ready while a command runs")
	}
	write(t, filepath.Join(dir, "go"), "")
	awaits(t, s.hears("READY=1"))
	awaits(t, s.hears("STATUS=1 of 3 files failed, 1 needs data that does not exist"))
	d.stop()
	awaits(t, s.hears("STOPPING=1"))
	got := s.messages()
	slices.Sort(got)
	for _, message := range []string{"READY=1", "STOPPING=1"} {
		first, last := slices.Index(got, message), len(got)-1
		for ; got[last] != message; last-- {
		}
		if first != last {
			t.Errorf("it has said %s twice: %q", message, got)
		}
	}
	for _, message := range got {
		if strings.HasPrefix(message, "WATCHDOG") {
			t.Error("it has spoken to a watchdog that there is not")
		}
	}
}

func TestWatchdog(t *testing.T) {
	s := startSystemd(t)
	t.Setenv("WATCHDOG_USEC", "100000")
	p := newSupervised(t, "trap 'echo TERM >>events; until test -e go; do sleep 0.01; done; exit 7' TERM")
	d := p.start("--exec", "sh program", "--exec-reload-signal", "")
	awaits(t, s.hears("READY=1"))
	beats := func(n int) func() error {
		before := s.count("WATCHDOG=1")
		return func() error {
			if s.count("WATCHDOG=1") < before+n {
				return errors.New("the watchdog hears nothing")
			}
			return nil
		}
	}
	began := time.Now()
	awaits(t, beats(5))
	if took := time.Since(began); took < 4*50*time.Millisecond {
		t.Errorf("five beats within %s", took)
	}
	write(t, p.path("data.yaml"), "keys: {}") // the text follows
	awaits(t, s.hears("STATUS=1 of 1 files need data that does not exist"))
	d.signal(syscall.SIGTERM)
	awaits(t, s.hears("STOPPING=1"))
	awaits(t, beats(2)) // while the program ends
	write(t, p.path("go"), "")
	d.endsWith(7)
}

// Templates that do not end leave the rest what it needs: the watchdog is fed, another template follows its data, and the end
// does not wait for them.
func TestEndlessTemplates(t *testing.T) {
	s := startSystemd(t)
	t.Setenv("WATCHDOG_USEC", "200000")
	dir := t.TempDir()
	data := filepath.Join(dir, "data.yaml")
	write(t, data, "keys: {a: 1}")
	write(t, filepath.Join(dir, "in"), `{{key "a"}}`)
	endless := `{{range 4000}}{{range 4000}}{{$x := sha256sum (repeat 1000 "x")}}{{end}}{{end}}`
	write(t, filepath.Join(dir, "endless1"), endless)
	write(t, filepath.Join(dir, "endless2"), endless)
	d := startRender(t, dir, "--fixture", data, "--template", "endless1:out1", "--template", "endless2:out2", "--template", "in:out")
	holds := func(want string) func() error {
		return func() error {
			if got, err := os.ReadFile(filepath.Join(dir, "out")); err != nil || string(got) != want {
				return fmt.Errorf("the file holds %q, %v", got, err)
			}
			return nil
		}
	}
	awaits(t, holds("1"))
	before := s.count("WATCHDOG=1")
	awaits(t, func() error {
		if s.count("WATCHDOG=1") < before+10 {
			return errors.New("the watchdog hears nothing")
		}
		return nil
	})
	write(t, data, "keys: {a: 2}")
	awaits(t, holds("2"))
	began := time.Now()
	d.signal(syscall.SIGTERM)
	<-d.ended
	if took := time.Since(began); took > 2*time.Second { // a loaded machine takes its time
		t.Errorf("the end took %s", took)
	}
}

// The end does not wait for regular expressions, which cannot be interrupted: for one match that takes half a minute, and for half a
// million of them.
func TestEndDuringRegularExpressions(t *testing.T) {
	fastest := time.Hour
	for tries := 0; tries < 3 && fastest >= time.Second; tries++ { // a loaded machine takes its time
		dir := t.TempDir()
		write(t, filepath.Join(dir, "data.yaml"), "keys: {x: "+strings.Repeat("x", 512<<10)+"}")
		write(t, filepath.Join(dir, "match"), `{{regexMatch "(x{0,30}){0,30}y" (key "x")}}`)
		write(t, filepath.Join(dir, "matches"), `{{regexReplaceAll "x*y|x" "" (key "x")}}`)
		write(t, filepath.Join(dir, "in"), "in")
		d := startRender(t, dir, "--fixture", "data.yaml", "--template", "match:out1", "--template", "matches:out2", "--template", "in:out")
		awaits(t, d.saying("files=out "))
		executes := processTicks(t, d.cmd.Process.Pid)
		awaits(t, func() error { // half a second of the processors
			if processTicks(t, d.cmd.Process.Pid) < executes+50 {
				return errors.New("nothing is executed")
			}
			return nil
		})

		began := time.Now()
		d.signal(syscall.SIGTERM)
		<-d.ended
		fastest = min(fastest, time.Since(began))
		if said := d.said(); strings.Contains(said, "files=out1") || strings.Contains(said, "files=out2") {
			t.Fatal("a match has ended before")
		}
	}
	if fastest >= time.Second {
		t.Errorf("the end took %s", fastest)
	}
}

// processTicks returns the time of the processors that a process has used, in hundredths of a second.
func processTicks(t *testing.T, pid int) int {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	check(t, err)
	fields := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))
	user, err := strconv.Atoi(fields[11])
	check(t, err)
	system, err := strconv.Atoi(fields[12])
	check(t, err)
	return user + system
}

func (s *systemd) count(message string) (n int) {
	for _, m := range s.messages() {
		if m == message {
			n++
		}
	}
	return n
}

// TestReadyWithProgram: what waits for us wants the program.
func TestReadyWithProgram(t *testing.T) {
	s := startSystemd(t)
	p := newSupervised(t, "")
	write(t, p.path("waits"), `{{key "missing"}}`)
	p.args = append(p.args, "--template", "waits:waiting")
	d := p.start("--exec", "sh program")
	awaits(t, s.hears("STATUS=1 of 2 files need data that does not exist, the program is not started"))
	if s.hears("READY=1")() == nil {
		t.Fatal("it is ready without its program")
	}
	write(t, p.path("data.yaml"), "keys: {a: 1, missing: 1}")
	awaits(t, s.hears("READY=1"))
	awaits(t, p.happens("start"))
	awaits(t, s.hears("STATUS=all 2 files are applied"))
	d.signal(syscall.SIGTERM)
	d.endsWith(7)
	awaits(t, s.hears("STOPPING=1"))
}

// TestNotifySocketIsMissing: that nobody listens is no trouble, and does not hold up the end.
func TestNotifySocketIsMissing(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "in"), "")
	t.Setenv("NOTIFY_SOCKET", filepath.Join(dir, "missing"))
	d := startRender(t, dir, "--template", "in:out")
	awaits(t, d.saying("rendered"))
	began := time.Now()
	d.stop()
	if took := time.Since(began); took > time.Second {
		t.Errorf("the end took %s", took)
	}
	if strings.Contains(d.said(), "systemd") {
		t.Error("the log tells of systemd")
	}
}

// TestSystemdDoesNotListen: while it takes no messages, render goes on, reloads and ends; and is not ready for good without
// having said so.
func TestSystemdDoesNotListen(t *testing.T) {
	folder, err := os.MkdirTemp("", "") // paths of sockets must be short
	check(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(folder) })
	socket := &net.UnixAddr{Name: filepath.Join(folder, "notify"), Net: "unixgram"}
	conn, err := net.ListenUnixgram("unixgram", socket)
	check(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	t.Setenv("NOTIFY_SOCKET", socket.Name)
	fill := func() {
		full, err := net.DialUnix("unixgram", nil, socket)
		check(t, err)
		defer full.Close()
		for err == nil {
			check(t, full.SetWriteDeadline(time.Now().Add(100*time.Millisecond)))
			_, err = full.Write([]byte("x"))
		}
	}
	hears := func(want string) {
		t.Helper()
		check(t, conn.SetReadDeadline(time.Now().Add(patience)))
		for b := make([]byte, 4096); ; {
			n, err := conn.Read(b)
			check(t, err)
			if string(b[:n]) == want {
				return
			}
		}
	}
	fill()
	dir := t.TempDir()
	write(t, filepath.Join(dir, "in"), "")
	d := startRender(t, dir, "--log-level", "debug", "--template", "in:out")
	awaits(t, d.saying("cannot tell systemd"))
	awaits(t, d.saying("rendered"))
	hears("READY=1")
	fill()
	d.signal(syscall.SIGHUP)
	awaits(t, d.saying("configuration reloaded"))
	hears("READY=1")
	fill()
	d.stop()
}

// TestReloading: systemd learns that a reload begins and ends, whether or not the new configuration is taken, and that it is
// not. Before we are ready there is nothing to tell.
func TestReloading(t *testing.T) {
	s := startSystemd(t)
	dir := t.TempDir()
	config, data := filepath.Join(dir, "render.hcl"), filepath.Join(dir, "data.yaml")
	good := "fixture = %q\ntemplate {\n  contents = %q\n  destination = %q\n  command = \"until test -e go; do sleep 0.01; done\"\n}\n"
	good = fmt.Sprintf(good, data, `{{key "a"}}`, filepath.Join(dir, "out"))
	write(t, config, good)
	write(t, data, "keys: {a: 1}")
	d := startRender(t, dir, "--config", config)
	awaits(t, s.hears("STATUS=1 of 1 files not applied yet"))
	d.signal(syscall.SIGHUP)
	awaits(t, d.saying("reload started"))
	write(t, filepath.Join(dir, "go"), "")
	awaits(t, s.hears("READY=1"))
	awaits(t, d.saying("configuration reloaded"))
	for _, message := range s.messages() {
		if strings.HasPrefix(message, "RELOADING=1") {
			t.Fatal("it has reported a reload before it was ready")
		}
	}

	reload := func(want ...string) {
		t.Helper()
		before, began := s.messages(), monotonic(t)
		d.signal(syscall.SIGHUP)
		awaits(t, func() error {
			got := s.messages()[len(before):]
			n := slices.IndexFunc(got, func(m string) bool { return strings.HasPrefix(m, "RELOADING=1\n") })
			if n < 0 || !slices.Contains(got[n:], "READY=1") {
				return fmt.Errorf("systemd has got %q", got)
			}
			var at int64
			if _, err := fmt.Sscanf(got[n], "RELOADING=1\nMONOTONIC_USEC=%d", &at); err != nil {
				return err
			}
			if now := monotonic(t); at < began.Microseconds() || at > now.Microseconds() {
				t.Fatalf("the reload began at %d µs, which is not between %s and %s", at, began, now)
			}
			for _, w := range want {
				if !slices.Contains(got, w) {
					return fmt.Errorf("systemd has got %q, and no %q", got, w)
				}
			}
			return nil
		})
	}
	reload()
	write(t, config, good+"pid_fiel = \"pid\"\n")
	reload("STATUS=the file is applied, the newest configuration is rejected")
	write(t, config, good)
	reload("STATUS=the file is applied")
	if n := s.count("STATUS=the file is applied"); n != 2 {
		t.Errorf("it has said %d times that all is well", n)
	}
	d.stop()
	awaits(t, s.hears("STOPPING=1"))
}

// monotonic returns the time of the clock that systemd compares.
func monotonic(t *testing.T) time.Duration {
	t.Helper()
	var now unix.Timespec
	check(t, unix.ClockGettime(unix.CLOCK_MONOTONIC, &now))
	return time.Duration(now.Nano())
}
