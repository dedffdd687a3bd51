package disk

import (
	"sync"
	"sync/atomic"
	"time"

	"render/render/disk/folder"
)

const (
	syncsAtOnce = 8               // files of one file system that are synced at one time
	roundTime   = 5 * time.Second // how long files wait for those that are synced before them: one may hang
)

// Syncs have the files of all batches of a process share the journal of their file system, because a sync is mostly a write of
// the journal. The files that come while others are synced make up the next round: the contents of all of them are on their way
// to the disk before the first of the round is synced, and one write of the journal is for all. File systems do not wait for
// each other. The zero value is ready; with a nil *Syncs each file is synced by itself. All methods may be called by several
// goroutines at once.
type Syncs struct {
	mu     sync.Mutex
	queues map[uint64]*syncQueue // by device
}

// A syncQueue holds the files of one file system; guarded by Syncs.mu.
type syncQueue struct {
	busy    bool // a round is under way
	waiting []syncing
}

// A syncing is a file that waits to be synced.
type syncing struct {
	sync func() error
	done chan error // holds one
}

// sync syncs an open file of a device.
func (s *Syncs) sync(h folder.Handle, device uint64) error {
	if s == nil {
		return h.Sync()
	}
	h.BeginSync()
	return s.join(device, h.Sync)
}

// join has a file synced in the next round of its device, by a function.
func (s *Syncs) join(device uint64, sync func() error) error {
	x := syncing{sync, make(chan error, 1)}
	s.mu.Lock()
	if s.queues == nil {
		s.queues = make(map[uint64]*syncQueue)
	}
	q := s.queues[device]
	if q == nil {
		q = new(syncQueue)
		s.queues[device] = q
	}
	q.waiting = append(q.waiting, x)
	if !q.busy {
		q.busy = true
		go s.rounds(q)
	}
	s.mu.Unlock()
	return <-x.done
}

// rounds syncs files until none waits.
func (s *Syncs) rounds(q *syncQueue) {
	for {
		s.mu.Lock()
		all := q.waiting
		q.waiting = nil
		q.busy = len(all) > 0
		s.mu.Unlock()
		if len(all) == 0 {
			return
		}
		syncRound(all)
	}
}

// syncRound syncs files, and returns when all are synced or roundTime is up.
func syncRound(all []syncing) {
	var next, left atomic.Int64
	left.Store(int64(len(all)))
	ended := make(chan struct{})
	for range min(syncsAtOnce, len(all)) {
		go func() {
			for {
				i := int(next.Add(1)) - 1
				if i >= len(all) {
					return
				}
				all[i].done <- all[i].sync()
				if left.Add(-1) == 0 {
					close(ended)
				}
			}
		}()
	}
	late := time.NewTimer(roundTime)
	defer late.Stop()
	select {
	case <-ended:
	case <-late.C:
	}
}
