package web

import (
	"net"
	"sync"
)

// A limiter is a listener with a limit of connections that are open at a time. Further ones wait until one is closed.
type limiter struct {
	net.Listener
	free   chan struct{} // holds a token for each connection
	closed chan struct{}
	once   sync.Once
}

func limit(l net.Listener, most int) *limiter {
	return &limiter{Listener: l, free: make(chan struct{}, most), closed: make(chan struct{})}
}

// Accept waits for a connection.
func (l *limiter) Accept() (net.Conn, error) {
	select {
	case l.free <- struct{}{}:
	case <-l.closed:
		return nil, net.ErrClosed
	}
	conn, err := l.Listener.Accept()
	if err != nil {
		<-l.free
		return nil, err
	}
	return &limited{Conn: conn, done: sync.OnceFunc(func() { <-l.free })}, nil
}

// Close closes the listener. Connections stay open.
func (l *limiter) Close() error {
	l.once.Do(func() { close(l.closed) })
	return l.Listener.Close()
}

// A limited is a connection of a limiter.
type limited struct {
	net.Conn
	done func()
}

func (c *limited) Close() error {
	defer c.done()
	return c.Conn.Close()
}
