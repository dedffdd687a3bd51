package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"render/render"
	"render/render/status"
)

const (
	readyEvery  = 100 * time.Millisecond // between looks at the engine until it is ready
	statusEvery = 5 * time.Second        // and afterwards
	tellMost    = time.Second            // a message may take, while systemd does not listen
)

// notify tells systemd how far we are.
type notify struct {
	socket   string
	watchdog time.Duration // how often it wants to hear of us, at least; 0 for no matter
	log      *slog.Logger
	ready    atomic.Bool   // all that could be applied once was
	news     chan struct{} // holds one at most: there may be another status
}

// takeNotify returns what systemd wants to know, nil for nothing. It is ours alone: what we start shall not speak for us,
// so it is taken out of the environment.
func takeNotify(log *slog.Logger) *notify {
	n := &notify{socket: os.Getenv("NOTIFY_SOCKET"), log: log, news: make(chan struct{}, 1)}
	if pid := os.Getenv("WATCHDOG_PID"); pid == "" || pid == strconv.Itoa(os.Getpid()) {
		micros, _ := strconv.ParseInt(os.Getenv("WATCHDOG_USEC"), 10, 64) // 0 if it is no number
		n.watchdog = time.Duration(max(0, micros)) * time.Microsecond
	}
	for _, name := range []string{"NOTIFY_SOCKET", "WATCHDOG_PID", "WATCHDOG_USEC"} {
		_ = os.Unsetenv(name)
	}
	if n.socket == "" {
		return nil
	}
	return n
}

// tell tells systemd something, and returns false where that should be tried again: it has too much to do to listen.
func (n *notify) tell(state string) bool {
	conn, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: n.socket, Net: "unixgram"})
	if err == nil {
		_ = conn.SetWriteDeadline(time.Now().Add(tellMost))
		_, err = conn.Write([]byte(state))
		_ = conn.Close()
	}
	if err != nil {
		n.log.Debug("cannot tell systemd", "err", err)
	}
	return !errors.Is(err, os.ErrDeadlineExceeded)
}

// reloading tells that a reload begins, once we are ready; nil tells nobody.
func (n *notify) reloading() {
	if n != nil && n.ready.Load() {
		n.tell(fmt.Sprintf("RELOADING=1\nMONOTONIC_USEC=%d", monotonic().Microseconds()))
	}
}

// reloaded tells that a reload has ended, with a new configuration or the one before.
func (n *notify) reloaded() {
	if n == nil {
		return
	}
	if n.ready.Load() {
		n.ready.Store(n.tell("READY=1")) // else follow does it
	}
	select {
	case n.news <- struct{}{}:
	default:
	}
}

// follow tells of an engine until it has ended. ctx stops the engine.
func (n *notify) follow(ctx context.Context, engine *render.Engine, ended <-chan struct{}) {
	var beat <-chan time.Time
	if n.watchdog > 0 {
		ticker := time.NewTicker(n.watchdog / 2)
		defer ticker.Stop()
		beat = ticker.C
	}
	look := time.NewTicker(readyEvery)
	defer look.Stop()
	due, last := false, ""
	for {
		status, err := engine.Status(ctx) // it comes from the engine's loop: while that is stuck, the watchdog gets nothing
		if err != nil {
			break
		}
		if due {
			due = false
			n.tell("WATCHDOG=1")
		}
		if text := summary(status); text != last {
			last = text
			n.tell("STATUS=" + text)
		}
		if !n.ready.Load() && isReady(status) && n.tell("READY=1") {
			n.ready.Store(true)
			look.Reset(statusEvery)
		}
		select {
		case <-look.C:
		case <-n.news:
		case <-beat:
			due = true
		case <-ctx.Done():
		case <-ended:
		}
	}
	n.tell("STOPPING=1")
	for { // commands and a program that are let end have time limits of their own
		select {
		case <-beat:
			n.tell("WATCHDOG=1")
		case <-ended:
			return
		}
	}
}

// isReady reports whether all that can be applied is, and the program to supervise, if there is one, is started.
func isReady(s status.Status) bool {
	for _, t := range s.Targets {
		if t.State == status.Pending || t.State == status.Rendered {
			return false
		}
	}
	return !s.ProgramWaits
}

func summary(s status.Status) string {
	count := make(map[status.State]int)
	for _, t := range s.Targets {
		count[t.State]++
	}
	text := fmt.Sprintf("%d of %d templates applied", count[status.Applied], len(s.Targets))
	if n := count[status.Pending] + count[status.Absent]; n > 0 {
		text += fmt.Sprintf(", %d wait", n)
	}
	if n := count[status.Failed]; n > 0 {
		text += fmt.Sprintf(", %d failed", n)
	}
	if s.Rejected != nil {
		text += ", a new configuration is not used: " + firstLine(s.Rejected.Error())
	}
	if s.ProgramWaits {
		text += ", the program is not started yet"
	}
	return text
}

func firstLine(text string) string {
	line, _, _ := strings.Cut(text, "\n")
	return line
}
