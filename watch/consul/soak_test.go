package consul_test

import (
	"fmt"
	"os"
	"runtime"
	"testing"
	"time"

	"render/watch"
	"render/watch/consul"
	"render/watch/consultest"
)

// Queries that come and go in waves leave nothing: no goroutine, no descriptor, no memory. 500 a wave, or with $RENDER_SOAK
// 10,000, and many waves.
func TestSoak(t *testing.T) {
	agent, err := consultest.Start(t.Context(), "")
	check(t, err)
	defer agent.Stop()
	queries, waves := 500, 3
	if os.Getenv("RENDER_SOAK") != "" {
		queries, waves = 10_000, 20
	}
	check(t, agent.Put("soak/0", "first"))
	goroutines, descriptors, memory := used(t)
	consul, err := consul.New(consul.Config{Address: agent.Addr})
	check(t, err)
	set := watch.NewSet(consul, watch.SetConfig{})
	wave := func(n int) {
		var all []watch.Query
		for i := range queries {
			q := watch.NewQuery(watch.KindService, fmt.Sprint("s", i), nil)
			switch i % 3 {
			case 0:
				q = watch.NewQuery(watch.KindKV, fmt.Sprint("soak/", i), nil)
			case 1:
				q = watch.NewQuery(watch.KindPrefix, fmt.Sprint("f", i%20, "/", i), nil)
			}
			all = append(all, q)
			set.Watch(q)
		}
		answered := make(map[watch.Query]watch.State)
		key, value := watch.NewQuery(watch.KindKV, "soak/0", nil), fmt.Sprint("value ", n)
		deadline := time.After(2 * time.Minute)
		for put := false; len(answered) < queries || answered[key].Value != value; {
			if !put && len(answered) == queries {
				check(t, agent.Put("soak/0", value))
				put = true
			}
			select {
			case <-set.Ready():
				for q, st := range set.Take() {
					if st.Err != nil {
						t.Fatalf("%s: %v", q, st.Err)
					}
					answered[q] = st
				}
			case <-deadline:
				t.Fatalf("wave %d: %d of %d answered; the key is %v, want %s", n, len(answered), queries, answered[key].Value, value)
			}
		}
		for _, q := range all {
			set.Forget(q)
		}
	}
	for n := range waves {
		wave(n)
	}
	set.Close()
	consul.Close()
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		g, d, m := used(t)
		if g <= goroutines && d <= descriptors && m <= memory+8<<20 {
			t.Logf("%d goroutines, %d descriptors, %d KB; before %d, %d, %d", g, d, m>>10, goroutines, descriptors, memory>>10)
			return
		}
		if time.Now().After(end) {
			t.Fatalf("%d goroutines, %d descriptors, %d KB; before %d, %d, %d", g, d, m>>10, goroutines, descriptors, memory>>10)
		}
	}
}

func used(t *testing.T) (goroutines, descriptors int, memory uint64) {
	runtime.GC()
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return runtime.NumGoroutine(), openDescriptors(t), stats.HeapAlloc
}
