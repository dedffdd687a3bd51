package watch

import (
	"fmt"
	"net/url"
	"os"
	"syscall"
	"testing"
	"time"
)

// BenchmarkQuietFiles measures what 1,000 queries for files that do not change cost, as a part of one core.
func BenchmarkQuietFiles(b *testing.B) {
	for _, sandbox := range []bool{false, true} {
		b.Run(fmt.Sprint("sandbox ", sandbox), func(b *testing.B) {
			files, err := NewFiles()
			if err != nil {
				b.Fatal(err)
			}
			defer files.Close()
			set := NewSet(files, SetConfig{})
			defer set.Close()
			dir := b.TempDir()
			var queries []Query
			for i := range 1000 {
				path := fmt.Sprintf("%s/%d", dir, i)
				if err := os.WriteFile(path, []byte("text"), 0o644); err != nil {
					b.Fatal(err)
				}
				opts := url.Values{}
				if sandbox {
					opts.Set(OptSandbox, dir)
				}
				queries = append(queries, NewQuery(KindFile, path, opts))
			}
			for _, q := range queries {
				set.Watch(q)
			}
			for answered := 0; answered < len(queries); {
				<-set.Ready()
				answered += len(set.Take())
			}
			const quiet = 10 * time.Second
			for range b.N {
				began := cpuTime(b)
				time.Sleep(quiet)
				b.ReportMetric(float64(cpuTime(b)-began)/float64(quiet)*100, "%core")
			}
		})
	}
}

func cpuTime(b *testing.B) time.Duration {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		b.Fatal(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}
