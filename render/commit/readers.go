package commit

import (
	"bytes"
	"encoding/pem"
	"fmt"
	"strings"
	"sync"
)

// Given remembers the warnings that are given once in the life of a program. The zero value is ready; nil forgets each at once.
type Given struct {
	mu    sync.Mutex // guards what follows
	texts map[string]bool
}

// first reports whether a warning is given for the first time.
func (g *Given) first(text string) bool {
	if g == nil {
		return true
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.texts == nil {
		g.texts = make(map[string]bool)
	}
	is := !g.texts[text]
	g.texts[text] = true
	return is
}

// warnOfReaders warns of a file with a secret that every user of the machine can read. A group that can read it is the usual way to give it
// to a service.
func (c *commit) warnOfReaders(f *file) {
	mode, known := f.Mode()
	if !f.want.Secret || !known || mode&0o004 == 0 || !c.Folders.ArePublic(f.Real()) || isCertificates(f.want.Contents) {
		return
	}
	text := fmt.Sprintf("%s is made of a secret, and all users can read it: its mode is %04o; set perms to %04o", f.want.Destination, mode, mode&^0o007)
	if c.Given.first(text) {
		c.warn([]string{text})
	}
}

// isCertificates reports whether a text consists of certificates, which are no secret, although they came with their key.
func isCertificates(text []byte) bool {
	found := false
	for {
		block, rest := pem.Decode(text)
		if block == nil {
			return found && len(bytes.TrimSpace(text)) == 0
		}
		before, _, _ := bytes.Cut(text, []byte("-----BEGIN"))
		if !strings.HasSuffix(block.Type, "CERTIFICATE") || len(bytes.TrimSpace(before)) > 0 {
			return false
		}
		found, text = true, rest
	}
}
