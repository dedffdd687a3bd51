// Package unwrap remembers what wrapping tokens stand for: a token can be unwrapped once, and one process may have several sources with it.
package unwrap

import (
	"context"
	"crypto/sha256"
	"sync"
)

// A Memory has the tokens that were unwrapped, because that can be done once. The zero value has none yet. Several sources may use it at
// the same time.
type Memory struct {
	mu     sync.Mutex                   // guards what follows
	tokens map[[sha256.Size]byte]string // by the checksum of the wrapping token
	busy   chan struct{}                // closed when the attempts of a source have ended; nil where there are none
}

// Begin returns the token that a wrapping token stands for. Where that is "", the caller unwraps it and calls End; another source does not
// meanwhile. Not ok means that ctx is done.
func (m *Memory) Begin(ctx context.Context, wrapping string) (token string, ok bool) {
	for {
		m.mu.Lock()
		token, busy := m.tokens[sha256.Sum256([]byte(wrapping))], m.busy
		if token == "" && busy == nil {
			m.busy = make(chan struct{})
		}
		m.mu.Unlock()
		if token != "" || busy == nil {
			return token, true
		}
		select {
		case <-busy:
		case <-ctx.Done():
			return "", false
		}
	}
}

// End notes what a wrapping token stands for; "" where that is not known.
func (m *Memory) End(wrapping, token string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.tokens == nil {
		m.tokens = make(map[[sha256.Size]byte]string)
	}
	m.tokens[sha256.Sum256([]byte(wrapping))] = token
	close(m.busy)
	m.busy = nil
}
