// Web is the web service of the example: it answers each request with its own name.
//
//	web [ADDRESS]
//
// ADDRESS is where it listens (default: :80). NAME is its name (default: the name of the machine or container). /healthz answers 200,
// or 503 after a SIGUSR1, until the next one. SIGTERM ends it when all accepted requests are answered.
package main

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"os"
	"os/signal"
	"sync/atomic"
	"syscall"
	"time"
)

func main() {
	address := ":80"
	if len(os.Args) > 1 {
		address = os.Args[1]
	}
	if err := serve(address); err != nil {
		fmt.Fprintln(os.Stderr, "web:", err)
		os.Exit(1)
	}
}

func serve(address string) error {
	host, err := os.Hostname()
	if err != nil {
		return err
	}
	name := cmp.Or(os.Getenv("NAME"), host)
	var sick atomic.Bool
	handler := http.NewServeMux()
	handler.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintf(w, "hello from %s\n", name)
		for _, header := range []string{"X-Real-IP", "Client-IP", "X-Forwarded-For"} {
			fmt.Fprintf(w, "  %s: %s\n", header, r.Header.Get(header))
		}
		fmt.Fprintf(w, "  Host: %s\n", r.Host)
	})
	handler.HandleFunc("/healthz", func(w http.ResponseWriter, _ *http.Request) {
		if sick.Load() {
			http.Error(w, "sick", http.StatusServiceUnavailable)
			return
		}
		fmt.Fprintln(w, "healthy")
	})

	toggle := make(chan os.Signal, 1)
	signal.Notify(toggle, syscall.SIGUSR1)
	go func() {
		for range toggle {
			sick.Store(!sick.Load())
		}
	}()
	server := &http.Server{Addr: address, Handler: handler, ReadHeaderTimeout: 10 * time.Second}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer stop()
	ended := make(chan error, 1)
	go func() { ended <- server.ListenAndServe() }()
	select {
	case err := <-ended:
		return err
	case <-ctx.Done():
		limit, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		return server.Shutdown(limit)
	}
}
