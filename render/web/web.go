// Package web serves what an engine reports about itself by HTTP: a page for people, and JSON for programs.
//
// It only reads. A request is answered from the snapshot that all readers share, so that slow, many or hostile clients cost the engine's
// loop nothing. Each connection, request and stream of events has limits; nothing but loopback and unix sockets is served without TLS and
// a token, unless the settings say so.
package web

import (
	"context"
	"log/slog"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"render/render/history"
	"render/render/status"
)

// The limits of a server.
const (
	mostConnections   = 1024             // at an address
	mostConnectionsOf = 256              // of them, from one IP address other than loopback
	mostStreams       = 512              // of events, at all ports, and at all unix sockets
	mostStreamsOf     = 128              // of them, from one IP address other than loopback
	mostHeader        = 16 << 10         // bytes of the header of a request
	headerTimeout     = 5 * time.Second  // for the header of a request
	answerTimeout     = 30 * time.Second // for an answer, without streams
	idleTimeout       = time.Minute      // between requests of a connection
	forkTime          = time.Second      // for a child process to begin its program
	closeTimeout      = time.Second      // for answers that are under way when a server closes
)

// An Engine is what a server shows.
type Engine interface {
	Snapshot(ctx context.Context) (*status.Snapshot, error)
	History() *history.Log
	Feed() *history.Feed
}

// A Route is a path that a server serves beside its own.
type Route struct {
	Path    string // such as /metrics
	Handler http.Handler
	Open    bool // it needs no token where the URL has no query, which asks for details
	Shared  bool // its answer is made once for all clients that ask within a second; it depends on the path and the header Accept only
}

// Config is what a server serves.
type Config struct {
	Engine  Engine
	Version string // of render
	Routes  []Route
	Log     *slog.Logger
}

// A Server listens at addresses that settings name, and can change them while it runs. Its methods are for one goroutine.
type Server struct {
	cfg     Config
	handler http.Handler
	ended   context.Context // ends streams of events
	end     context.CancelFunc
	rules   atomic.Pointer[rules]

	most     int // connections at an address
	settings Settings
	partly   bool                 // newer settings than these failed, and the stricter rules of both are in effect
	serving  map[string]*listener // by the key of the address
	wg       sync.WaitGroup
}

// New returns a server that does not listen yet.
func New(cfg Config) *Server {
	s := &Server{cfg: cfg, most: mostConnections, serving: make(map[string]*listener)}
	s.ended, s.end = context.WithCancel(context.Background())
	open := make(map[string]bool)
	mux := http.NewServeMux()
	made := newAnswers()
	door := &access{rules: &s.rules, open: open, next: mux}
	(&api{engine: cfg.Engine, answers: made, streams: new(streams), allows: door.allows, ended: s.ended}).register(mux)
	newSite(cfg.Engine, made, cfg.Version).register(mux)
	for _, r := range cfg.Routes {
		if r.Shared {
			r.Handler = made.share(r.Handler)
		}
		mux.Handle(r.Path, r.Handler)
		open[r.Path] = r.Open
	}
	s.handler = door
	return s
}

// Close ends all that the server does.
func (s *Server) Close() {
	s.end()
	for key, l := range s.serving {
		delete(s.serving, key)
		s.wg.Go(l.shutDown)
	}
	s.settings = Settings{}
	s.wg.Wait()
}
