package web

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"slices"
	"sync/atomic"
	"syscall"
	"time"

	"render/watch/hint"
)

// A listener is a server at one address.
type listener struct {
	net.Listener
	http   *http.Server
	socket *socket     // nil for TCP
	mode   fs.FileMode // of the socket
}

// Addresses returns where the server listens, with the ports that the system has chosen.
func (s *Server) Addresses() []string {
	var all []string
	for _, a := range s.settings.addresses() {
		switch l := s.serving[a.key()]; {
		case l == nil: // it was lost
		case l.socket != nil:
			all = append(all, a.String())
		default:
			all = append(all, l.Addr().String())
		}
	}
	return all
}

// Apply has the server listen as settings say. Addresses that stay keep their connections, and a unix socket that somebody has removed is
// made again. Where an address cannot be opened, the server listens where it did before; requests then have to fulfil the previous
// settings and the new ones, so that a new token protects at once.
func (s *Server) Apply(settings Settings) error {
	if err := settings.Validate(); err != nil {
		return err
	}
	next := s.rules.Load()
	if next == nil || s.partly || !settings.equal(s.settings) {
		var err error
		if next, err = newRules(settings, s.cfg.Log); err != nil {
			return err
		}
	}

	wanted := make(map[string]bool)
	var missing []address
	for _, a := range settings.addresses() {
		wanted[a.key()] = true
		if l := s.serving[a.key()]; l == nil || !l.exists() {
			missing = append(missing, a)
		}
	}
	opened, err := s.open(missing, wanted, settings)
	if err != nil {
		s.partly = true
		s.rules.Store(s.rules.Load().stricter(next))
		s.setMode(func(l *listener) fs.FileMode { return l.mode & settings.Mode })
		return err
	}

	s.rules.Store(next)
	for key, l := range s.serving {
		if !wanted[key] || opened[key] != nil {
			delete(s.serving, key)
			_ = l.Listener.Close() // at once: the next settings may want it again
			s.wg.Go(l.shutDown)    // what is under way ends
		}
	}
	s.setMode(func(*listener) fs.FileMode { return settings.Mode })
	for key, l := range opened {
		s.serving[key] = l
		s.serve(l)
	}
	s.settings, s.partly = settings, false
	return nil
}

// setMode changes the modes of unix sockets that have others.
func (s *Server) setMode(wanted func(*listener) fs.FileMode) {
	for _, l := range s.serving {
		mode := wanted(l)
		if l.socket == nil || l.mode == mode {
			continue
		}
		if err := l.socket.chmod(mode); err != nil {
			s.cfg.Log.Warn("mode of the socket not changed", "err", err)
			continue
		}
		l.mode = mode
	}
}

// serve has a listener answer.
func (s *Server) serve(l *listener) {
	open := l.Listener
	s.wg.Go(func() { _ = l.http.Serve(open) }) // it ends when it is closed
}

// open opens addresses, all or none. Where an own listener that is not wanted any longer has the port, it is closed first, and opened anew
// where that does not help.
func (s *Server) open(addresses []address, wanted map[string]bool, settings Settings) (opened map[string]*listener, err error) {
	opened = make(map[string]*listener)
	var paused []*listener
	for _, a := range addresses {
		l, err := s.listen(a, settings.Mode)
		if errors.Is(err, syscall.EADDRINUSE) {
			for key, own := range s.serving {
				if !wanted[key] && own.hasPort(a.port) && !slices.Contains(paused, own) {
					_ = own.Listener.Close() // its connections go on
					paused = append(paused, own)
				}
			}
			if len(paused) > 0 {
				err = retryInUse(func() (err error) { l, err = s.listen(a, settings.Mode); return err })
			}
		}
		if err == nil {
			opened[a.key()] = l
			continue
		}

		for _, l := range opened {
			_ = l.Close()
		}
		for _, own := range paused {
			s.resume(own)
		}
		if errors.Is(err, syscall.EADDRINUSE) {
			return nil, inUse(a, settings)
		}
		return nil, err
	}
	return opened, nil
}

// retryInUse calls listen until the port of a listener that was closed is free. A child process has a copy of the listener between its fork
// and its exec.
func retryInUse(listen func() error) error {
	for began := time.Now(); ; time.Sleep(5 * time.Millisecond) {
		if err := listen(); !errors.Is(err, syscall.EADDRINUSE) || time.Since(began) > forkTime {
			return err
		}
	}
}

// resume opens a listener anew that was closed.
func (s *Server) resume(l *listener) {
	var tcp net.Listener
	err := retryInUse(func() (err error) { tcp, err = net.Listen("tcp", l.Addr().String()); return err })
	if err != nil {
		maps.DeleteFunc(s.serving, func(_ string, other *listener) bool { return other == l })
		s.wg.Go(l.shutDown)
		s.cfg.Log.Warn("address of the status page lost", "err", err)
		return
	}
	l.Listener = s.secured(tcp)
	s.serve(l)
}

// inUse returns why a port cannot be opened.
func inUse(a address, settings Settings) error {
	for _, other := range settings.addresses() {
		if other.socket == "" && other.port == a.port && other.key() != a.key() {
			return hint.With(fmt.Errorf("%s and %s overlap", a, other), "remove one of the two addresses")
		}
	}
	return hint.With(fmt.Errorf("%s: another program listens at this address", a), "stop the other program, or use another port")
}

// hasPort reports whether a listener has a TCP port.
func (l *listener) hasPort(port string) bool {
	if l.socket != nil {
		return false
	}
	_, own, _ := net.SplitHostPort(l.Addr().String())
	return own == port
}

// exists reports whether clients can find the listener: whether the file of its socket is there.
func (l *listener) exists() bool { return l.socket == nil || l.socket.exists() }

// shutDown lets answers that are under way end, for a short time.
func (l *listener) shutDown() {
	ctx, stop := context.WithTimeout(context.Background(), closeTimeout)
	defer stop()
	if l.http.Shutdown(ctx) != nil {
		_ = l.http.Close()
	}
}

// listen opens an address.
func (s *Server) listen(a address, mode fs.FileMode) (*listener, error) {
	l := &listener{mode: mode}
	if a.socket != "" {
		var err error
		if l.socket, err = listenSocket(a.socket, mode); err != nil {
			return nil, err
		}
		l.Listener = limit(l.socket, s.most, s.most)
	} else {
		tcp, err := net.Listen("tcp", a.String())
		if err != nil {
			return nil, fmt.Errorf("%s: %w", a, err)
		}
		l.Listener = s.secured(tcp)
	}
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	l.http = &http.Server{
		Handler: s.handler, Protocols: protocols, ConnState: noteState,
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

// secured returns a listener with the limits of a port, and with TLS where the rules say so.
func (s *Server) secured(tcp net.Listener) net.Listener {
	return &secured{limit(tcp, s.most, mostConnectionsOf), &s.rules}
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

// addresses returns the addresses, each once. Settings are valid.
func (s Settings) addresses() (all []address) {
	for _, text := range s.Addresses {
		a, err := parseAddress(text)
		if err == nil && !slices.ContainsFunc(all, func(other address) bool { return other.key() == a.key() }) {
			all = append(all, a)
		}
	}
	return all
}
