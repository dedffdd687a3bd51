package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"time"

	systemd "github.com/coreos/go-systemd/v22/daemon"

	"render/render"
)

const (
	readyEvery  = 100 * time.Millisecond // between looks at the engine until it is ready
	statusEvery = 5 * time.Second        // and afterwards
)

// tellSystemd tells systemd, where it has started us, how far the engine is, until ctx is done.
func tellSystemd(ctx context.Context, engine *render.Engine, log *slog.Logger) {
	if os.Getenv("NOTIFY_SOCKET") == "" {
		return
	}
	tell := func(state string) {
		if _, err := systemd.SdNotify(false, state); err != nil {
			log.Debug("cannot tell systemd", "err", err)
		}
	}
	every := statusEvery
	if watchdog, err := systemd.SdWatchdogEnabled(false); err == nil && watchdog > 0 {
		every = min(every, watchdog/2)
	}
	defer tell(systemd.SdNotifyStopping)
	ready, last := false, ""
	tick := time.NewTicker(readyEvery)
	defer tick.Stop()
	for {
		status, err := engine.Status(ctx) // it comes from the engine's loop: while that is stuck, the watchdog gets nothing
		if err != nil {
			return
		}
		if text := summary(status); text != last {
			last = text
			tell("STATUS=" + text)
		}
		if !ready && isReady(status) {
			ready = true
			tell(systemd.SdNotifyReady)
			tick.Reset(every)
		}
		tell(systemd.SdNotifyWatchdog)
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// isReady reports whether all that can be applied is.
func isReady(s render.Status) bool {
	for _, t := range s.Targets {
		if t.State == render.Pending || t.State == render.Rendered {
			return false
		}
	}
	return true
}

func summary(s render.Status) string {
	count := make(map[render.State]int)
	for _, t := range s.Targets {
		count[t.State]++
	}
	text := fmt.Sprintf("%d of %d templates applied", count[render.Applied], len(s.Targets))
	if n := count[render.Pending] + count[render.Absent]; n > 0 {
		text += fmt.Sprintf(", %d wait", n)
	}
	if n := count[render.Failed]; n > 0 {
		text += fmt.Sprintf(", %d failed", n)
	}
	return text
}
