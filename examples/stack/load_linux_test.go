package stack

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// A load is 100 requests a second to one address, half of them over connections of their own, until it is stopped.
type load struct {
	url, host string

	mu       sync.Mutex
	answers  []answer
	failures []string
}

// An answer is one request's: which instance answered, and when.
type answer struct {
	at       time.Time
	instance string
}

// startLoad starts a load of an address, with the name of a host. When the test ends, the load ends, and not one request may have failed.
func startLoad(t *testing.T, url, host string) *load {
	t.Helper()
	l := &load{url: url, host: host}
	// Requests begin on time, also when previous ones take long; after a delay there are more at once.
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	kept := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 100}, Timeout: 10 * time.Second}
	fresh := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 10 * time.Second}
	wg.Go(func() {
		start := time.Now()
		for i := 0; ; i++ {
			select {
			case <-ctx.Done():
				return
			case <-time.After(time.Until(start.Add(time.Duration(i) * 10 * time.Millisecond))):
			}
			client := kept
			if i%2 == 0 {
				client = fresh
			}
			wg.Go(func() { l.request(client) })
		}
	})
	t.Cleanup(func() {
		cancel()
		wg.Wait()
		kept.CloseIdleConnections()
		if len(l.failures) > 0 {
			t.Errorf("%d of %d requests failed, the first ones: %q", len(l.failures), len(l.answers)+len(l.failures), l.failures[:min(5, len(l.failures))])
		}
		if len(l.answers) < 500 {
			t.Errorf("there were %d requests only", len(l.answers))
		}
		t.Logf("%d requests, %d failed", len(l.answers)+len(l.failures), len(l.failures))
	})
	return l
}

func (l *load) request(client *http.Client) {
	began := time.Now()
	text, err := l.get(client)
	l.mu.Lock()
	defer l.mu.Unlock()
	instance, ok := strings.CutPrefix(text, "hello from ")
	if err != nil || !ok {
		l.failures = append(l.failures, fmt.Sprintf("%s, %s after its begin: %v, %q", began.Format("15:04:05.000"), time.Since(began), err, text))
		return
	}
	instance, _, _ = strings.Cut(instance, "\n")
	l.answers = append(l.answers, answer{time.Now(), instance})
}

func (l *load) get(client *http.Client) (string, error) {
	request, err := http.NewRequest(http.MethodGet, l.url, nil)
	if err != nil {
		return "", err
	}
	request.Host = l.host
	response, err := client.Do(request)
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err == nil && response.StatusCode != http.StatusOK {
		err = fmt.Errorf("status %d", response.StatusCode)
	}
	return string(text), err
}

// last returns the instances of the last n answers since a time, sorted, or nothing if there are fewer answers.
func (l *load) last(n int, since time.Time) (instances []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.answers) < n || l.answers[len(l.answers)-n].at.Before(since) {
		return nil
	}
	for _, a := range l.answers[len(l.answers)-n:] {
		instances = append(instances, a.instance)
	}
	slices.Sort(instances)
	return slices.Compact(instances)
}

// failed reports whether a request has failed so far.
func (l *load) failed() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.failures) > 0
}

// awaitTurns waits until just these instances take turns: they have answered the last 15 requests, and each of them at least one.
func (l *load) awaitTurns(t *testing.T, want []string) {
	t.Helper()
	began := time.Now()
	for {
		got := l.last(15, began)
		if slices.Equal(got, want) {
			return
		}
		if time.Since(began) > 20*time.Second {
			t.Fatalf("%v answer, not %v", got, want)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// A yardstick measures how slow the machine is: it starts a program again and again.
type yardstick struct {
	mu      sync.Mutex
	slowest time.Duration
}

func startYardstick(t *testing.T) *yardstick {
	y := new(yardstick)
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() {
		for ctx.Err() == nil {
			began := time.Now()
			_ = exec.CommandContext(ctx, "true").Run()
			y.mu.Lock()
			y.slowest = max(y.slowest, time.Since(began))
			y.mu.Unlock()
			select {
			case <-ctx.Done():
			case <-time.After(100 * time.Millisecond):
			}
		}
	})
	t.Cleanup(func() { cancel(); wg.Wait() })
	return y
}

// take returns the longest time that the program took since the last call.
func (y *yardstick) take() time.Duration {
	y.mu.Lock()
	defer y.mu.Unlock()
	slowest := y.slowest
	y.slowest = 0
	return slowest
}
