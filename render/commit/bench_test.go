package commit

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"

	"golang.org/x/sys/unix"

	"render/render/disk"
)

// BenchmarkManyFiles puts 500 files in place, each in a commit of its own without an action, as 500 templates on one key do.
// Compare it with BenchmarkManyFilesFloor on the same file system: TMPDIR says on which.
func BenchmarkManyFiles(b *testing.B) {
	for _, slots := range []int{8, 16, 32, 64} {
		b.Run(fmt.Sprintf("slots=%d", slots), func(b *testing.B) {
			tools := Tools{Slots: make(Slots, slots), Left: new(disk.Leftovers), Syncs: new(disk.Syncs)}
			manyFiles(b, 500, func(path string, contents []byte) error {
				r := Do(Plan{Files: []File{{Destination: path, Contents: contents}}}, tools)
				return errors.Join(r.Err, r.Failed[path])
			})
		})
	}
}

// BenchmarkManyFilesFloor is the least that leaves each of 500 files old or new, whole, after a crash: a new file is written,
// synced and renamed over the old one. With held the old file is open meanwhile, so that it is removed after the rename.
func BenchmarkManyFilesFloor(b *testing.B) {
	for _, held := range []bool{false, true} {
		for _, writers := range []int{1, 8, 64} {
			b.Run(fmt.Sprintf("held=%v/writers=%d", held, writers), func(b *testing.B) {
				manyFiles(b, writers, func(path string, contents []byte) error { return replaceFile(path, contents, held) })
			})
		}
	}
}

// replaceFile replaces a file so that a crash leaves it old or new.
func replaceFile(path string, contents []byte, held bool) error {
	if held {
		if old, err := os.Open(path); err == nil {
			defer func() { _ = old.Close() }()
		}
	}
	f, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+"-*")
	if err != nil {
		return err
	}
	_, err = f.Write(contents)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}

// manyFiles has so many goroutines replace 500 files. It reports the time of the processor, too.
func manyFiles(b *testing.B, workers int, replace func(path string, contents []byte) error) {
	const files = 500
	dir, err := filepath.EvalSymlinks(b.TempDir())
	if err != nil {
		b.Fatal(err)
	}
	round := func(n int) {
		var next atomic.Int64
		var wg sync.WaitGroup
		for range workers {
			wg.Go(func() {
				for i := next.Add(1); i <= files; i = next.Add(1) {
					if err := replace(filepath.Join(dir, fmt.Sprint(i)), fmt.Appendf(nil, "value %d of %d\n", n, i)); err != nil {
						b.Error(err)
					}
				}
			})
		}
		wg.Wait()
	}
	round(-1)
	before := processorTime(b)
	n := 0
	for b.Loop() {
		round(n)
		n++
	}
	b.ReportMetric((processorTime(b)-before)/float64(n)*1e3, "cpu-ms/op")
}

func processorTime(b *testing.B) (seconds float64) {
	b.Helper()
	var used unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &used); err != nil {
		b.Fatal(err)
	}
	return float64(used.Utime.Nano()+used.Stime.Nano()) / 1e9
}
