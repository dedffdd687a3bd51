// Package web serves what an engine reports about itself by HTTP: a page for people, and JSON for programs.
//
// It only reads. A request is answered from the snapshot that all readers share, so that slow, many or hostile clients cost the engine's
// loop nothing. Each connection, request and stream of events has limits; nothing but loopback and unix sockets is served without TLS and
// a token, unless the settings say so.
package web

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"render/render/history"
	"render/render/status"

	"render/watch/hint"
)

// The limits of a server.
const (
	mostConnections = 1024             // at an address
	mostStreams     = 512              // of events, at all addresses
	mostHeader      = 16 << 10         // bytes of the header of a request
	headerTimeout   = 5 * time.Second  // for the header of a request
	answerTimeout   = 30 * time.Second // for an answer, without streams
	idleTimeout     = time.Minute      // between requests of a connection
	closeTimeout    = time.Second      // for answers that are under way when a server closes
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

	settings Settings
	serving  map[string]*listener // by address
	wg       sync.WaitGroup
}

// A listener is a server at one address.
type listener struct {
	net.Listener
	http   *http.Server
	socket *socket // nil for TCP
}

// New returns a server that does not listen yet.
func New(cfg Config) *Server {
	s := &Server{cfg: cfg, serving: make(map[string]*listener)}
	s.ended, s.end = context.WithCancel(context.Background())
	open := make(map[string]bool)
	mux := http.NewServeMux()
	made := newAnswers()
	(&api{engine: cfg.Engine, answers: made, streams: make(chan struct{}, mostStreams), ended: s.ended}).register(mux)
	newSite(cfg.Engine, made, cfg.Version).register(mux)
	for _, r := range cfg.Routes {
		mux.Handle(r.Path, r.Handler)
		open[r.Path] = r.Open
	}
	s.handler = &access{rules: &s.rules, open: open, next: mux}
	return s
}

// Addresses returns where the server listens, with the ports that the system has chosen.
func (s *Server) Addresses() []string {
	var all []string
	for _, text := range s.settings.Addresses {
		if l := s.serving[text]; l.socket != nil {
			all = append(all, text)
		} else {
			all = append(all, l.Addr().String())
		}
	}
	return all
}

// Apply has the server listen as settings say. Addresses that stay keep their connections. On an error nothing changes.
func (s *Server) Apply(settings Settings) error {
	settings.Addresses = distinct(settings.Addresses)
	if settings.equal(s.settings) {
		return nil
	}
	if err := settings.Validate(); err != nil {
		return err
	}
	next, err := newRules(settings)
	if err != nil {
		return err
	}

	opened := make(map[string]*listener)
	for _, text := range settings.Addresses {
		if s.serving[text] != nil {
			continue
		}
		l, err := s.listen(text, settings)
		if err != nil {
			for _, l := range opened {
				_ = l.Close()
			}
			return err
		}
		opened[text] = l
	}

	s.rules.Store(next)
	for text, l := range s.serving {
		if !slices.Contains(settings.Addresses, text) {
			delete(s.serving, text)
			s.wg.Go(l.shutDown) // what is under way ends
		} else if l.socket != nil && settings.Mode != s.settings.Mode {
			if err := l.socket.chmod(settings.Mode); err != nil {
				s.cfg.Log.Warn("mode of the socket not changed", "err", err)
			}
		}
	}
	for text, l := range opened {
		s.serving[text] = l
		s.wg.Go(func() { _ = l.http.Serve(l.Listener) }) // it ends when it is closed
	}
	s.settings = settings
	return nil
}

// Close ends all that the server does.
func (s *Server) Close() {
	s.end()
	for text, l := range s.serving {
		delete(s.serving, text)
		s.wg.Go(l.shutDown)
	}
	s.settings = Settings{}
	s.wg.Wait()
}

// shutDown lets answers that are under way end, for a short time.
func (l *listener) shutDown() {
	ctx, stop := context.WithTimeout(context.Background(), closeTimeout)
	defer stop()
	if l.http.Shutdown(ctx) != nil {
		_ = l.http.Close()
	}
}

// listen opens an address.
func (s *Server) listen(text string, settings Settings) (*listener, error) {
	a, err := parseAddress(text)
	if err != nil {
		return nil, err
	}
	l := new(listener)
	if a.socket != "" {
		if l.socket, err = listenSocket(a.socket, settings.Mode); err != nil {
			return nil, err
		}
		l.Listener = limit(l.socket, mostConnections)
	} else {
		tcp, err := net.Listen("tcp", a.String())
		if errors.Is(err, syscall.EADDRINUSE) {
			return nil, hint.With(fmt.Errorf("%s: another program listens at this address", a), "stop the other program, or use another port")
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", a, err)
		}
		l.Listener = &secured{limit(tcp, mostConnections), &s.rules}
	}
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	l.http = &http.Server{
		Handler: s.handler, Protocols: protocols,
		ReadHeaderTimeout: headerTimeout, ReadTimeout: answerTimeout, WriteTimeout: answerTimeout, IdleTimeout: idleTimeout,
		MaxHeaderBytes: mostHeader, ErrorLog: slog.NewLogLogger(s.cfg.Log.Handler(), slog.LevelDebug),
		ConnContext: func(ctx context.Context, conn net.Conn) context.Context {
			if conn.LocalAddr().Network() == "unix" {
				ctx = context.WithValue(ctx, localKey{}, true)
			}
			return ctx
		},
	}
	return l, nil
}

// A secured is a listener whose new connections have TLS where the rules say so.
type secured struct {
	net.Listener
	rules *atomic.Pointer[rules]
}

// Accept waits for a connection. The server makes the handshake.
func (l *secured) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if secure := l.rules.Load().tls; err == nil && secure != nil {
		conn = tls.Server(conn, secure)
	}
	return conn, err
}

// distinct returns texts in their order, each once.
func distinct(texts []string) []string {
	var all []string
	for _, text := range texts {
		if !slices.Contains(all, text) {
			all = append(all, text)
		}
	}
	return all
}
