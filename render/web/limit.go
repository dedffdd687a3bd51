package web

import (
	"net"
	"net/http"
	"net/netip"
	"sync"
)

// A limiter is a listener with limits of connections that are open at a time: of all, and of those from one IP address other than
// loopback. At a limit it closes the connection that has been idle longest. Without an idle one, a further connection waits until another
// one closes, and one beyond the limit of its IP address is closed.
type limiter struct {
	net.Listener
	most, mostOf int
	closed       chan struct{}
	once         sync.Once
	room         chan struct{} // gets a token when a connection closes or becomes idle

	mu     sync.Mutex // guards what follows
	open   int
	byHost map[string]int      // open connections, by IP address
	idle   map[*limited]uint64 // connections without a request, by when they became idle
	clock  uint64              // of idle
}

func limit(l net.Listener, most, mostOf int) *limiter {
	return &limiter{
		Listener: l, most: most, mostOf: mostOf, closed: make(chan struct{}), room: make(chan struct{}, 1),
		byHost: make(map[string]int), idle: make(map[*limited]uint64),
	}
}

// Accept waits for a connection, and for room for it.
func (l *limiter) Accept() (net.Conn, error) {
	for {
		conn, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		c := &limited{Conn: conn, limiter: l, host: remoteHost(conn.RemoteAddr().String())}
		for {
			admitted, waits, old := l.admit(c)
			if old != nil {
				_ = old.Conn.Close() // it is not counted any more; who serves it closes it, too
			}
			if admitted {
				return c, nil
			}
			if !waits {
				_ = conn.Close()
				break
			}
			select {
			case <-l.room:
			case <-l.closed:
				_ = conn.Close()
				return nil, net.ErrClosed
			}
		}
	}
}

// admit counts a connection if there is room for it, or if there is after an idle one is closed, which it returns. Else it reports whether
// the connection may wait.
func (l *limiter) admit(c *limited) (admitted, waits bool, old *limited) {
	l.mu.Lock()
	defer l.mu.Unlock()
	full := c.host != "" && l.byHost[c.host] >= l.mostOf
	if full || l.open >= l.most {
		for o, since := range l.idle {
			if (!full || o.host == c.host) && (old == nil || since < l.idle[old]) {
				old = o
			}
		}
		if old == nil {
			return false, !full, nil
		}
		l.remove(old)
	}
	l.open++
	if c.counted = true; c.host != "" {
		l.byHost[c.host]++
	}
	return true, false, old
}

// remove counts a connection no longer.
func (l *limiter) remove(c *limited) {
	if !c.counted {
		return
	}
	c.counted = false
	delete(l.idle, c)
	l.open--
	if c.host != "" {
		if l.byHost[c.host]--; l.byHost[c.host] == 0 {
			delete(l.byHost, c.host)
		}
	}
}

// notify wakes Accept, which may have room now.
func (l *limiter) notify() {
	select {
	case l.room <- struct{}{}:
	default:
	}
}

// Close closes the listener. Connections stay open.
func (l *limiter) Close() error {
	l.once.Do(func() { close(l.closed) })
	return l.Listener.Close()
}

// A limited is a connection of a limiter.
type limited struct {
	net.Conn
	limiter *limiter
	host    string // its IP address; empty for loopback and unix sockets

	counted bool // guarded by limiter.mu
}

func (c *limited) Close() error {
	c.limiter.mu.Lock()
	c.limiter.remove(c)
	c.limiter.mu.Unlock()
	c.limiter.notify()
	return c.Conn.Close()
}

// noteState notes whether a connection is idle. It is for http.Server.ConnState.
func noteState(conn net.Conn, state http.ConnState) {
	if secure, ok := conn.(interface{ NetConn() net.Conn }); ok {
		conn = secure.NetConn()
	}
	c, ok := conn.(*limited)
	if !ok {
		return
	}
	l := c.limiter
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.idle, c)
	if state == http.StateIdle && c.counted {
		l.clock++
		l.idle[c] = l.clock
		l.notify()
	}
}

// remoteHost returns the IP address of the other end of a connection; empty for loopback and unix sockets.
func remoteHost(address string) string {
	remote, err := netip.ParseAddrPort(address)
	if ip := remote.Addr().Unmap(); err == nil && !ip.IsLoopback() {
		return ip.WithZone("").String()
	}
	return ""
}
