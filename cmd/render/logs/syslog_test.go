package logs

import (
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"render/cmd/render/filetest"
)

// A syslogd is a daemon that a test listens as.
type syslogd struct {
	t      *testing.T
	socket string
	conn   *net.UnixConn
}

func newSyslogd(t *testing.T) *syslogd {
	t.Helper()
	folder, err := os.MkdirTemp("", "") // paths of sockets must be short
	filetest.Check(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(folder) })
	d := &syslogd{t: t, socket: filepath.Join(folder, "log")}
	d.start()
	t.Cleanup(func() { _ = d.conn.Close() })
	return d
}

func (d *syslogd) start() {
	d.t.Helper()
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: d.socket, Net: "unixgram"})
	filetest.Check(d.t, err)
	d.conn = conn
}

func (d *syslogd) stop() {
	filetest.Check(d.t, d.conn.Close())
	filetest.Check(d.t, os.Remove(d.socket))
}

// settings are those of a log that goes to the daemon.
func (d *syslogd) settings(facility string) Settings {
	return Settings{Level: "trace", Format: "text", Syslog: SyslogSettings{
		Enabled: true, Facility: facility, Name: "web", network: "unixgram", address: d.socket,
	}}
}

// hear returns the next line: its priority and its text.
func (d *syslogd) hear() (priority int, text string) {
	d.t.Helper()
	filetest.Check(d.t, d.conn.SetReadDeadline(time.Now().Add(filetest.Patience)))
	b := make([]byte, 1<<16)
	n, err := d.conn.Read(b)
	filetest.Check(d.t, err)
	line := string(b[:n])
	head, text, ok := strings.Cut(line, fmt.Sprintf(" web[%d]: ", os.Getpid()))
	number, date, ok2 := strings.Cut(strings.TrimPrefix(head, "<"), ">")
	priority, err = strconv.Atoi(number)
	if _, dateErr := time.Parse(time.Stamp, date); !ok || !ok2 || err != nil || dateErr != nil {
		d.t.Fatalf("not a line: %q", line)
	}
	return priority, strings.TrimSuffix(text, "\n")
}

func TestSyslogPriority(t *testing.T) {
	severities := map[slog.Level]int{levelTrace: 7, slog.LevelDebug: 7, slog.LevelInfo: 5, slog.LevelWarn: 4, slog.LevelError: 3}
	numbers := map[string]int{
		"kern": 0, "user": 1, "mail": 2, "daemon": 3, "auth": 4, "syslog": 5, "lpr": 6, "news": 7, "uucp": 8, "cron": 9,
		"authpriv": 10, "ftp": 11, "local0": 16, "LOCAL1": 17, "Local2": 18, "LOCAL3": 19, "LOCAL4": 20, "LOCAL5": 21,
		"LOCAL6": 22, "LOCAL7": 23,
	}
	if len(numbers) != len(facilities) {
		t.Errorf("%d facilities", len(facilities))
	}
	d := newSyslogd(t)
	for name, number := range numbers {
		l, _ := newTestLogs(t, d.settings(name))
		for level, severity := range severities {
			l.Logger().Log(t.Context(), level, "m")
			if got, text := d.hear(); got != 8*number+severity || text != "m" {
				t.Errorf("%s, %s: got <%d> %q", name, level, got, text)
			}
		}
	}
}

func TestSyslogText(t *testing.T) {
	d := newSyslogd(t)
	l, stderr := newTestLogs(t, d.settings("USER"))
	log := l.Logger()
	long := strings.Repeat("x", syslogLongest-len("m k=")-1)
	for want, say := range map[string]func(){
		"the message":                     func() { log.Info("the message") },
		`m k=v n=1 e="a b"`:               func() { log.Info("m", "k", "v", "n", 1, "e", fmt.Errorf("a b")) },
		`two\nlines k="a\nb"`:             func() { log.Info("two\nlines", "k", "a\nb") },
		"m a=1 g.k=v":                     func() { log.With("a", 1).WithGroup("g").Info("m", "k", "v") },
		"m time=now msg=other level=high": func() { log.Info("m", "time", "now", "msg", "other", "level", "high") },
		"m g.level=INFO g.msg=\"\"": func() {
			log.WithGroup("g").Info("m", "level", slog.LevelInfo, "msg", "")
		},
		"":                     func() { log.Info("") },
		"m k=" + long + "...":  func() { log.Info("m", "k", long+"ü", "rest", "y") }, // in the midst of a letter
		"m k=" + long + "x":    func() { log.Info("m", "k", long+"x") },
		"m k=" + long + "y...": func() { log.Info("m", "k", long+"yz") },
	} {
		say()
		if _, got := d.hear(); got != want {
			t.Errorf("got %q, not %q", got, want)
		}
	}
	filetest.Check(t, stderr.Says(10, "level=INFO msg=")())
}

// Syslog and a file are logged to both, whatever changes with the others, and the daemon gets each line once.
func TestSyslogBesideFile(t *testing.T) {
	d := newSyslogd(t)
	path := filepath.Join(t.TempDir(), "a.log")
	l, stderr := newTestLogs(t, plainLog)
	var want []string
	for _, s := range []Settings{d.settings("USER"), d.settings("USER"), d.settings("CRON"), d.settings("CRON")} {
		want = append(want, fmt.Sprint(len(want)))
		s.File.Path = path
		filetest.Check(t, l.Apply(s))
		l.Logger().Info(want[len(want)-1], "k", "v")
	}
	filetest.Check(t, l.Apply(plainLog))
	l.Logger().Info("without")
	for i, text := range want {
		if priority, got := d.hear(); got != text+" k=v" || priority != []int{13, 13, 77, 77}[i] {
			t.Errorf("got <%d> %q", priority, got)
		}
	}
	if got := filetest.Messages(t, read(t, path)); !slices.Equal(got, want) {
		t.Errorf("the file has %q", got)
	}
	if got := filetest.Messages(t, stderr.String()); !slices.Equal(got, append(want, "without")) {
		t.Errorf("standard error has %q", got)
	}
}

// A daemon that is gone is said once, and the log goes on when it is back. It is no reason not to change other settings.
func TestSyslogIsAway(t *testing.T) {
	d := newSyslogd(t)
	l, stderr := newTestLogs(t, d.settings("USER"))
	d.stop()
	for range 5 {
		l.Logger().Info("away")
	}
	filetest.Awaits(t, stderr.Says(1, `level=ERROR msg="syslog write failed"`))
	s := d.settings("USER")
	s.Format = "json"
	filetest.Check(t, l.Apply(s))
	d.start()
	l.Logger().Info("back")
	for text := ""; text != "back"; {
		_, text = d.hear() // some of those before may have waited
	}
	filetest.Awaits(t, stderr.Says(1, `"msg":"syslog writes recovered"`))
	filetest.Check(t, stderr.Says(5, "msg=away")())
	filetest.Messages(t, stderr.String())
}

// Lines that wait at the end are sent.
func TestSyslogIsClosed(t *testing.T) {
	d := newSyslogd(t)
	l, _ := newTestLogs(t, d.settings("USER"))
	const n = 100
	for range n {
		l.Logger().Info("m")
	}
	closed := make(chan error, 1)
	go func() { closed <- l.Close() }()
	for range n {
		d.hear()
	}
	filetest.Check(t, <-closed)
}

func TestSyslogIsMissing(t *testing.T) {
	l := New(NewWriter(new(filetest.Log)))
	s := Settings{Level: "info", Format: "text", Syslog: SyslogSettings{
		Enabled: true, Facility: "USER", network: "unixgram", address: filepath.Join(t.TempDir(), "log"),
	}}
	want := "connect to the syslog daemon, at /dev/log or elsewhere: dial unixgram "
	if err := l.Apply(s); err == nil || !strings.HasPrefix(err.Error(), want) {
		t.Errorf("got %v", err)
	}
	s.Syslog.Enabled = false
	filetest.Check(t, l.Apply(s))
}
