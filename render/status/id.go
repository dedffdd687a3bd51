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

// IDs makes IDs: of lower-case letters, digits, dots and dashes, so that they are safe in URLs and file names. The same target and the
// same action have the same ID in each run, the same query in one run.
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

// Action returns the ID of an action of a kind with a name and a number among those. Where the name is a command, the ID has the name
// of the program and none of its arguments: IDs are in URLs and metrics.
func (ids IDs) Action(kind, name string, number int) string {
	id := ids.Of(kind, name, number)
	if kind != "command" {
		return id
	}
	if program := slug(programOf(name)); program != "" {
		return program + "-" + id[len(id)-2*idSum:]
	}
	return id[len(id)-2*idSum:]
}

// programOf returns the program that a command runs; empty where only a shell can tell.
func programOf(command string) string {
	for word := range strings.FieldsSeq(command) {
		switch {
		case strings.Trim(word, plain) != "":
			return ""
		case !strings.Contains(word, "="): // else it is a variable of its environment
			return word
		}
	}
	return ""
}

// plain are the characters without a meaning to a shell.
const plain = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789/._+-=:,@"

// Query returns the ID of a query. The name of a query may be the value of a key, or a secret, and its options may have secrets, as the
// arguments of a program. Nobody can guess them and compare IDs: a query has another ID in each run.
func (ids IDs) Query(q watch.Query) string {
	mac := hmac.New(sha256.New, ids.key)
	mac.Write([]byte(q.Kind + "\x00" + q.Name + "\x00" + q.Opts))
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
