package disk

import (
	"errors"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"render/render/disk/folder"

	"golang.org/x/sys/unix"
)

// Each file that is synced with others has the error of its own sync.
func TestSyncsOfMany(t *testing.T) {
	p := newPlace(t)
	s := new(Syncs)
	var wg sync.WaitGroup
	for i := range 200 {
		wg.Go(func() {
			h := folder.Handle(1 << 20) // nothing is open there
			if i%10 != 0 {
				f, err := os.Create(p.path(fmt.Sprint(i)))
				if err != nil {
					t.Error(err)
					return
				}
				defer func() { _ = f.Close() }()
				h = folder.Handle(f.Fd())
			}
			if err := s.sync(h, 1); errors.Is(err, unix.EBADF) != (i%10 == 0) || err != nil && i%10 != 0 {
				t.Errorf("file %d: %v", i, err)
			}
		})
	}
	wg.Wait()
}

// Files that come while others are synced go together, a few at one time.
func TestSyncsTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := new(Syncs)
		began := time.Now()
		var now, most, all atomic.Int64
		one := func() error {
			if n := now.Add(1); n > most.Load() {
				most.Store(n)
			}
			time.Sleep(10 * time.Millisecond)
			now.Add(-1)
			all.Add(1)
			return nil
		}
		var wg sync.WaitGroup
		wg.Go(func() { _ = s.join(1, one) })
		synctest.Wait()
		for range 2 * syncsAtOnce {
			wg.Go(func() { _ = s.join(1, one) })
		}
		wg.Wait()
		if took := time.Since(began); took != 30*time.Millisecond || most.Load() != syncsAtOnce || all.Load() != 2*syncsAtOnce+1 {
			t.Errorf("%d syncs, at most %d at one time, took %s", all.Load(), most.Load(), took)
		}
	})
}

// A file system that hangs keeps no other one waiting, and a file that hangs keeps others of its file system waiting for a while
// only.
func TestSyncsThatHang(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := new(Syncs)
		hang := make(chan struct{})
		var wg sync.WaitGroup
		wg.Go(func() { _ = s.join(1, func() error { <-hang; return nil }) })
		synctest.Wait()
		for device, want := range map[uint64]time.Duration{1: roundTime, 2: 0} {
			began := time.Now()
			if err := s.join(device, func() error { return errAction }); err != errAction || time.Since(began) != want {
				t.Errorf("device %d: %v after %s", device, err, time.Since(began))
			}
		}
		close(hang)
		wg.Wait()
	})
}
