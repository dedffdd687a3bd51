package main

import (
	"log/slog"
	"os"

	"github.com/KimMachineGun/automemlimit/memlimit"
)

// memoryRatio is the part of the memory of the cgroup, or else of the machine, that the heap may take.
const memoryRatio = 0.9

// limitMemory has the garbage collector work harder before the memory ends, unless $GOMEMLIMIT says when it does. It is no
// bound: what is in use stays.
func limitMemory(log *slog.Logger) {
	if os.Getenv("GOMEMLIMIT") != "" {
		return
	}
	limit, err := memlimit.Set(
		memlimit.WithRatio(memoryRatio),
		memlimit.WithProvider(memlimit.ApplyFallback(memlimit.FromCgroup, memlimit.FromSystem)),
		memlimit.WithLogger(slog.New(slog.DiscardHandler)),
	)
	if err != nil {
		log.Debug("the memory limit is not known", "err", err)
		return
	}
	log.Debug("the heap has a limit", "bytes", limit)
}
