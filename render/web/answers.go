package web

import (
	"bytes"
	"compress/gzip"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"
)

const (
	keptFor     = time.Second // an answer is given to all who ask for the same
	mostKept    = 32
	smallAnswer = 2000     // bytes that are sent as they are
	mostUnsent  = 64 << 20 // bytes of answers that clients are reading
	largeAnswer = 1 << 20  // bytes; larger answers leave a quarter of mostUnsent to the others
)

// answers makes answers that cost something: one at a time, so that clients, however many, use one processor at most, and each once for
// all who ask for it at the same time.
type answers struct {
	turn chan struct{} // holds a token while an answer is made

	mu   sync.Mutex // guards what follows
	kept map[string]*answer
	sent int         // bytes of the answers that clients are reading
	idle *time.Timer // forgets them
}

// An answer is one that was made. It is not changed.
type answer struct {
	sequence, commit uint64 // of the snapshot, and the number of the last commit
	made             time.Time
	code             int
	kind             string // its Content-Type
	body             []byte
	packed           bool // the body is compressed
	readers          int  // clients that are reading it; guarded by answers.mu
}

func newAnswers() *answers {
	return &answers{turn: make(chan struct{}, 1), kept: make(map[string]*answer)}
}

// parameters are those that change answers.
var parameters = []string{"action", "file", "limit", "page", "q", "state", "target"}

// keyOf returns the address of a request, with its parameters that change the answer: others do not make another answer.
func keyOf(r *http.Request) string {
	values, used := r.URL.Query(), make(url.Values)
	for _, name := range parameters {
		if value := values.Get(name); value != "" {
			used.Set(name, value)
		}
	}
	return r.URL.EscapedPath() + "?" + used.Encode()
}

// share returns a handler whose answers are made once for all who ask within a second.
func (a *answers) share(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		key := r.URL.EscapedPath() + " " + r.Header.Get("Accept")
		a.serve(w, r, key, 0, 0, func() (int, string, []byte) {
			x := &recorder{header: make(http.Header), code: http.StatusOK}
			h.ServeHTTP(x, r)
			return x.code, x.header.Get("Content-Type"), x.body.Bytes()
		})
	})
}

// A recorder keeps the answer of a handler.
type recorder struct {
	header http.Header
	code   int
	body   bytes.Buffer
}

func (x *recorder) Header() http.Header            { return x.header }
func (x *recorder) WriteHeader(code int)           { x.code = code }
func (x *recorder) Write(text []byte) (int, error) { return x.body.Write(text) }

// serve answers a request with what make returns, or has returned for the same key, snapshot and commit.
func (a *answers) serve(w http.ResponseWriter, r *http.Request, key string, sequence, commit uint64, make func() (code int, kind string, body []byte)) {
	pack := strings.Contains(r.Header.Get("Accept-Encoding"), "gzip") && !isSocket(r.Context())
	if pack {
		key = "gzip " + key
	}
	is := func(x *answer) bool {
		return x != nil && x.sequence == sequence && x.commit == commit && time.Since(x.made) < keptFor
	}
	x := a.find(key)
	if !is(x) {
		select {
		case a.turn <- struct{}{}:
		case <-r.Context().Done():
			return
		}
		func() {
			defer func() { <-a.turn }() // also where make panics, which net/http survives
			if x = a.find(key); is(x) {
				return // somebody has made it meanwhile
			}
			x = &answer{sequence: sequence, commit: commit}
			x.code, x.kind, x.body = make()
			if pack {
				x.pack()
			}
			x.made = time.Now() // those who have waited for it share it, however long it took
			a.keep(key, x)
		}()
	}

	if !a.begin(x) {
		w.Header().Set("Retry-After", "5")
		http.Error(w, "clients are reading too many answers slowly", http.StatusServiceUnavailable)
		return
	}
	defer a.end(x)
	h := w.Header()
	h.Set("Content-Type", x.kind)
	h.Set("Content-Length", strconv.Itoa(len(x.body)))
	h.Set("Vary", "Accept, Accept-Encoding")
	if x.packed {
		h.Set("Content-Encoding", "gzip")
	}
	w.WriteHeader(x.code)
	_, _ = w.Write(x.body) // a client that goes away is no error
}

// begin notes that a client reads an answer. It returns false where others read so many that there is no memory for it.
func (a *answers) begin(x *answer) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if x.readers == 0 {
		most := mostUnsent
		if len(x.body) > largeAnswer {
			most -= mostUnsent / 4
		}
		if a.sent > 0 && a.sent+len(x.body) > most {
			return false
		}
		a.sent += len(x.body)
	}
	x.readers++
	return true
}

// end notes that a client has read an answer, or has gone.
func (a *answers) end(x *answer) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if x.readers--; x.readers == 0 {
		a.sent -= len(x.body)
	}
}

// pack compresses the body, unless it is small.
func (x *answer) pack() {
	if len(x.body) < smallAnswer {
		return
	}
	var packed bytes.Buffer
	z, _ := gzip.NewWriterLevel(&packed, gzip.BestSpeed) // a known level
	_, _ = z.Write(x.body)                               // to memory
	_ = z.Close()
	x.body, x.packed = packed.Bytes(), true
}

func (a *answers) find(key string) *answer {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.kept[key]
}

// keep keeps an answer for a short time.
func (a *answers) keep(key string, x *answer) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.kept) >= mostKept {
		clear(a.kept)
	}
	a.kept[key] = x
	if a.idle == nil {
		a.idle = time.AfterFunc(2*keptFor, a.forget)
	} else {
		a.idle.Reset(2 * keptFor)
	}
}

func (a *answers) forget() {
	a.mu.Lock()
	defer a.mu.Unlock()
	clear(a.kept)
}
