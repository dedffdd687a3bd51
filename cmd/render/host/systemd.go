package host

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"strconv"
	"sync/atomic"
	"time"

	"render/render"
	"render/render/status"
)

const (
	readyEvery  = 100 * time.Millisecond // between looks at the status until render is ready
	statusEvery = 5 * time.Second        // and afterwards
	sendTimeout = time.Second            // for a message, while systemd does not accept it
)

// A Notifier reports to systemd how far render is. A nil Notifier does nothing.
type Notifier struct {
	socket   string
	watchdog time.Duration // how often it wants to hear of us, at least; 0 for no matter
	log      *slog.Logger
	ready    atomic.Bool   // all that could be applied once was
	changed  chan struct{} // holds one at most: the status may be different
}

// NewNotifier returns what notifies systemd by the variables of the environment; nil without it. The variables are removed: what render
// starts must not speak for it.
func NewNotifier(log *slog.Logger) *Notifier {
	n := &Notifier{socket: os.Getenv("NOTIFY_SOCKET"), log: log, changed: make(chan struct{}, 1)}
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

// send sends systemd a message, and returns false where that should be tried again: systemd is too busy to accept it.
func (n *Notifier) send(state string) bool {
	conn, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: n.socket, Net: "unixgram"})
	if err == nil {
		_ = conn.SetWriteDeadline(time.Now().Add(sendTimeout))
		_, err = conn.Write([]byte(state))
		_ = conn.Close()
	}
	if err != nil {
		n.log.Debug("cannot tell systemd", "err", err)
	}
	return !errors.Is(err, os.ErrDeadlineExceeded)
}

// Reloading says that a reload begins, if render was ready.
func (n *Notifier) Reloading() {
	if n != nil && n.ready.Load() {
		n.send(fmt.Sprintf("RELOADING=1\nMONOTONIC_USEC=%d", monotonic().Microseconds()))
	}
}

// Reloaded says that a reload has ended, with a new configuration or the previous one.
func (n *Notifier) Reloaded() {
	if n == nil {
		return
	}
	if n.ready.Load() {
		n.ready.Store(n.send("READY=1")) // else follow does it
	}
	select {
	case n.changed <- struct{}{}:
	default:
	}
}

// Follow reports the status of an engine until it has ended. ctx stops the engine.
func (n *Notifier) Follow(ctx context.Context, engine *render.Engine, ended <-chan struct{}) {
	var beat <-chan time.Time
	if n.watchdog > 0 {
		ticker := time.NewTicker(n.watchdog / 2)
		defer ticker.Stop()
		beat = ticker.C
	}
	poll := time.NewTicker(readyEvery)
	defer poll.Stop()
	due, last := false, ""
	for {
		status, err := engine.Status(ctx) // it comes from the engine's loop: while that is stuck, the watchdog gets nothing
		if err != nil {
			break
		}
		if due {
			due = false
			n.send("WATCHDOG=1")
		}
		if text := status.Line(); text != last {
			last = text
			n.send("STATUS=" + text)
		}
		if !n.ready.Load() && isReady(status) && n.send("READY=1") {
			n.ready.Store(true)
			poll.Reset(statusEvery)
		}
		select {
		case <-poll.C:
		case <-n.changed:
		case <-beat:
			due = true
		case <-ctx.Done():
		case <-ended:
		}
	}
	n.send("STOPPING=1")
	for { // commands and a program that are let end have time limits of their own
		select {
		case <-beat:
			n.send("WATCHDOG=1")
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
