package main

import (
	"strings"
	"testing"
	"time"
)

// A daemon that takes nothing keeps nobody waiting, neither a line nor the end.
func TestSyslogHangs(t *testing.T) {
	d := newSyslogd(t)
	l, stderr := newTestLogs(t, d.settings("USER"))
	const n = 3 * syslogQueue // more than the queue and the socket's hold
	for range n {
		l.logger().Info("m")
	}
	check(t, stderr.says(n, "level=INFO msg=m")())
	check(t, stderr.says(1, `msg="syslog does not get the log" err="the daemon does not keep up"`)())
	err := l.Close()
	if err == nil || !strings.Contains(err.Error(), "syslog: the daemon has not taken the last ") {
		t.Errorf("got %v", err)
	}
}

func TestSyslogIsBusy(t *testing.T) {
	d := newSyslogd(t)
	l, stderr := newTestLogs(t, d.settings("USER"))
	for range 3 * syslogQueue {
		l.logger().Info("m")
	}
	check(t, stderr.says(1, `msg="syslog does not get the log" err="the daemon does not keep up"`)())
	for range syslogQueue { // those that waited
		if _, text := d.hear(); text != "m" {
			t.Errorf("got %q", text)
		}
	}
	awaits(t, func() error {
		check(t, d.conn.SetReadDeadline(time.Now().Add(time.Millisecond)))
		_, _ = d.conn.Read(make([]byte, 100))
		return stderr.says(1, `msg="syslog gets the log again"`)()
	})
	check(t, l.Close())
}
