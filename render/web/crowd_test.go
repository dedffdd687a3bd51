package web

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"render/render"
	"render/watch"
)

// A counter is a source in which the key "n" changes when somebody adds to it, and no other.
type counter struct {
	mu      sync.Mutex // guards what follows
	n       uint64
	changed chan struct{}
}

func (c *counter) add() uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.n++
	close(c.changed)
	c.changed = make(chan struct{})
	return c.n
}

// Fetch implements watch.Source.
func (c *counter) Fetch(ctx context.Context, q watch.Query, after uint64) (any, uint64, error) {
	if q.Name != "n" {
		if after != 0 {
			<-ctx.Done()
			return nil, 0, ctx.Err()
		}
		return "constant", 1, nil
	}
	for {
		c.mu.Lock()
		n, changed := c.n, c.changed
		c.mu.Unlock()
		if n != after {
			return strconv.FormatUint(n, 10), n, nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, 0, ctx.Err()
		}
	}
}

// People who open the page at the same time all see it, however many, and render goes on committing changes in time. 10,000 with RENDER_SOAK.
func TestCrowd(t *testing.T) {
	clients, batch := 1000, 250
	if os.Getenv("RENDER_SOAK") != "" {
		clients, batch = 10_000, 2000 // more than there are connections
	}
	source := &counter{n: 1, changed: make(chan struct{})}
	path := filepath.Join(t.TempDir(), "out")
	cfg := render.Config{Targets: []render.Target{{Source: "out.ctmpl", Contents: `{{key "n"}}`, Destination: path}}}
	for i := range 200 {
		cfg.Targets = append(cfg.Targets, render.Target{Source: fmt.Sprint(i, ".ctmpl"), Contents: fmt.Sprintf(`{{keyOrDefault "other/%d" ""}}`, i), Destination: fmt.Sprint(path, i)})
	}
	engine, err := render.New(source, cfg)
	check(t, err)
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- engine.Run(ctx) }()
	t.Cleanup(func() { stop(); check(t, <-ended) })
	holds := func(n uint64) func() error {
		return func() error {
			if text, err := os.ReadFile(path); err != nil || string(text) != strconv.FormatUint(n, 10) {
				return fmt.Errorf("the file has %s, %v, want %d", text, err, n)
			}
			return nil
		}
	}
	await(t, func() error {
		s, err := engine.Snapshot(t.Context())
		if err != nil || !s.Counts.Applied {
			return fmt.Errorf("%v: %s", err, s.Line)
		}
		return nil
	})
	s := newServer(t, engine)
	serve(t, s, Settings{})
	before := runtime.NumGoroutine()

	// Changes come all the time, and each is applied soon.
	churning, churned := make(chan struct{}), make(chan struct{})
	var changes int
	var slowest time.Duration
	go func() {
		defer close(churned)
		for {
			select {
			case <-churning:
				return
			case <-time.After(20 * time.Millisecond):
			}
			began, n := time.Now(), source.add()
			for holds(n)() != nil && time.Since(began) < time.Minute {
				time.Sleep(time.Millisecond)
			}
			changes, slowest = changes+1, max(slowest, time.Since(began))
		}
	}()

	var failed atomic.Int64
	began := time.Now()
	for done := 0; done < clients; done += batch {
		var wg sync.WaitGroup
		for range batch {
			wg.Go(func() {
				if err := visit(s.Addresses()[0]); err != nil && failed.Add(1) < 10 {
					t.Error(err)
				}
			})
		}
		wg.Wait()
	}
	took := time.Since(began)
	close(churning)
	<-churned
	if failed.Load() > 0 {
		t.Errorf("%d of %d clients have no page", failed.Load(), clients)
	}
	t.Logf("%d clients in %s; %d changes, the slowest took %s to its file", clients, took.Round(time.Millisecond), changes, slowest.Round(time.Millisecond))
	if slowest > 10*time.Second || changes == 0 {
		t.Errorf("of %d changes the slowest took %s to its file", changes, slowest)
	}
	await(t, func() error {
		if n := runtime.NumGoroutine(); n > before+20 {
			return fmt.Errorf("%d goroutines are left of %d", n, before)
		}
		return nil
	})
}

// visit opens the page as a browser does that nobody has used before.
func visit(address string) error {
	conn, err := net.DialTimeout("tcp", address, time.Minute)
	if err != nil {
		return err
	}
	defer conn.Close()
	client := &http.Client{Timeout: time.Minute, Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext:       func(context.Context, string, string) (net.Conn, error) { return conn, nil },
	}}
	answer, err := client.Get("http://" + address + "/")
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil || answer.StatusCode != http.StatusOK || !strings.Contains(string(text), "201 files") || !strings.Contains(string(text), "</html>") {
		return fmt.Errorf("%s, %d bytes: %v", answer.Status, len(text), err)
	}
	return nil
}
