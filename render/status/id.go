package status

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"strconv"
	"strings"

	"render/watch"
)

const (
	idSum  = 6  // bytes of the checksum in an ID
	idName = 40 // bytes of the name in an ID
)

// IDs makes IDs: of lower-case letters, digits, dots and dashes, so that they are safe in URLs and file names. The same name has the
// same ID in each run.
type IDs struct{ key []byte }

// NewIDs returns a maker of IDs.
func NewIDs() IDs {
	key := make([]byte, sha256.Size)
	_, _ = rand.Read(key) // it never fails
	return IDs{key}
}

// Of returns the ID of something with a name and a number among those of that name, from 0.
func (IDs) Of(kind, name string, number int) string {
	sum := sha256.Sum256([]byte(kind + "\x00" + name + "\x00" + strconv.Itoa(number)))
	return join(slug(name), sum[:])
}

// Query returns the ID of a query. A query with secrets in its options, as the arguments of a program, has another ID in each run:
// nobody can guess secrets and compare IDs.
func (ids IDs) Query(q watch.Query) string {
	text := []byte(q.Kind + "\x00" + q.Name + "\x00" + q.Opts)
	if !q.Secret() {
		sum := sha256.Sum256(text)
		return join(q.Kind, sum[:])
	}
	mac := hmac.New(sha256.New, ids.key)
	mac.Write(text)
	return join(q.Kind, mac.Sum(nil))
}

func join(name string, sum []byte) string {
	if name != "" {
		name += "-"
	}
	return name + hex.EncodeToString(sum[:idSum])
}

// slug returns the end of a name in the letters of IDs.
func slug(name string) string {
	if i := strings.LastIndexByte(name, '/'); i >= 0 && !strings.ContainsRune(name, ' ') {
		name = name[i+1:]
	}
	var b strings.Builder
	for _, r := range strings.ToLower(name) {
		switch {
		case b.Len() == idName:
		case r >= 'a' && r <= 'z', r >= '0' && r <= '9':
			b.WriteRune(r)
		case b.Len() > 0 && !strings.HasSuffix(b.String(), "-"):
			if r == '.' {
				b.WriteByte('.')
			} else {
				b.WriteByte('-')
			}
		}
	}
	return strings.Trim(b.String(), "-.")
}
