package logs

import (
	"strings"
	"testing"
	"time"

	"render/cmd/render/filetest"
)

// A daemon that takes nothing keeps nobody waiting, neither a line nor the end.
func TestSyslogHangs(t *testing.T) {
	d := newSyslogd(t)
	l, stderr := newTestLogs(t, d.settings("USER"))
	const n = 3 * syslogQueue // more than the queue and the socket's hold
	for range n {
		l.Logger().Info("m")
	}
	filetest.Check(t, stderr.Says(n, "level=INFO msg=m")())
	filetest.Check(t, stderr.Says(1, `msg="syslog write failed" err="the syslog daemon is too slow"`)())
	err := l.Close()
	if err == nil || !strings.Contains(err.Error(), "syslog: the daemon has not received the last ") {
		t.Errorf("got %v", err)
	}
}

func TestSyslogIsBusy(t *testing.T) {
	d := newSyslogd(t)
	l, stderr := newTestLogs(t, d.settings("USER"))
	for range 3 * syslogQueue {
		l.Logger().Info("m")
	}
	filetest.Check(t, stderr.Says(1, `msg="syslog write failed" err="the syslog daemon is too slow"`)())
	for range syslogQueue { // those that waited
		if _, text := d.hear(); text != "m" {
			t.Errorf("got %q", text)
		}
	}
	filetest.Awaits(t, func() error {
		filetest.Check(t, d.conn.SetReadDeadline(time.Now().Add(time.Millisecond)))
		_, _ = d.conn.Read(make([]byte, 100))
		return stderr.Says(1, `msg="syslog writes recovered"`)()
	})
	filetest.Check(t, l.Close())
}
