package consul_test

import (
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"render/watch"
	"render/watch/consul"
	"render/watch/consultest"
)

// 1,000 times all there is, from opening to closing with polls under way: no goroutine and no descriptor stays.
func TestOpenCloseLeavesNothing(t *testing.T) {
	// An agent of its own: it counts the polls that were given up until they end, and would refuse the other tests.
	agent, err := consultest.Start(t.Context(), "limits { http_max_conns_per_client = 10000 }")
	check(t, err)
	t.Cleanup(agent.Stop)
	check(t, agent.Put("leak", "v"))
	path := filepath.Join(t.TempDir(), "file")
	check(t, os.WriteFile(path, []byte("v"), 0o644))
	queries := []watch.Query{
		watch.NewQuery(watch.KindKV, "leak", nil),
		watch.NewQuery(watch.KindService, "consul", nil),
		watch.NewQuery(watch.KindFile, path, nil),
	}
	cycle := func(answers int) {
		files, err := watch.NewFiles()
		check(t, err)
		consul, err := consul.New(consul.Config{Address: agent.Addr})
		check(t, err)
		set := watch.NewSet(watch.ByKind{watch.KindFile: files, "": consul}, watch.SetConfig{})
		for _, q := range queries {
			set.Watch(q)
		}
		for deadline := time.After(20 * time.Second); answers > 0; {
			select {
			case <-set.Ready():
				answers -= len(set.Take())
			case <-deadline:
				t.Fatal("no answers")
			}
		}
		set.Close()
		consul.Close()
		files.Close()
	}
	cycle(len(queries))
	goroutines, descriptors := runtime.NumGoroutine(), openDescriptors(t)
	for i := range 1000 {
		cycle(i % (len(queries) + 1))
	}
	for end := time.Now().Add(20 * time.Second); runtime.NumGoroutine() > goroutines || openDescriptors(t) > descriptors; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%d goroutines, %d before; %d descriptors, %d before", runtime.NumGoroutine(), goroutines, openDescriptors(t), descriptors)
		}
	}
}

func openDescriptors(t *testing.T) int {
	entries, err := os.ReadDir("/dev/fd")
	check(t, err)
	return len(entries)
}
