// Package output holds what a target wants on disk, and how far each of its outputs is.
//
// An [Output] is what a finished pass wants on disk. It is wanted, then in flight while a commit works on it, then applied; or
// it is rejected, and wanted again later. [Stages] are the outputs of one target by their stage: an output moves from stage to
// stage by the methods of Stages, and nowhere else.
//
// Nothing here has a goroutine, a clock or I/O: the caller passes the time in. One goroutine at a time may use the outputs
// and the stages of a target.
package output

import (
	"crypto/sha256"
	"fmt"
	"io"

	"render/render/commit"
	"render/render/disk"
	"render/render/graph"
	"render/render/leases"
	"render/template"
)

// Sum is a checksum of contents.
type Sum = [sha256.Size]byte

// An Output is what a finished pass wants on disk. Its bytes, its sums and what it writes elsewhere travel together.
type Output struct {
	Bytes        []byte
	Writes       []template.Write
	Main         Sum           // of the bytes
	Size         int64         // of the bytes
	Secret       bool          // something secret is in it, or what it is made of has a secret option
	SecretAnswer bool          // an answer in it is secret: not everybody is to read its files
	Hidden       bool          // no diff may show it: it is secret, or what is in place may be
	Causes       []graph.Cause // why it is committed, for people
	Leases       *leases.Uses  // the answers in it that somebody may have leased; nil for none
	Answers      []any         // those in it that are secret: what programs print of them is in no log and no error

	sum      Sum          // of all of it
	text     int          // of which text of the template it is
	appended map[int]bool // which writes were appended already
}

// New takes the output out of a finished pass: the result has none afterwards.
func New(r *template.Result) *Output {
	o := &Output{Bytes: r.Output, Writes: r.Writes, Main: sha256.Sum256(r.Output), Size: int64(len(r.Output))}
	r.Output, r.Writes = nil, nil
	if o.sum = o.Main; len(o.Writes) == 0 {
		return o
	}
	h := sha256.New()
	fmt.Fprintf(h, "%d\n%s", len(o.Bytes), o.Bytes)
	for _, w := range o.Writes {
		fmt.Fprintf(h, "%q %v %q %q %o %d\n%s", w.Path, w.Append, w.User, w.Group, w.Perms, len(w.Contents), w.Contents)
	}
	o.sum = Sum(h.Sum(nil))
	return o
}

// Files returns what a commit brings to disk: the destination first, then what writeToFile writes, without what was appended
// already.
func (o *Output) Files(destination string, options disk.Options) []commit.File {
	all := []commit.File{{Destination: destination, Contents: o.Bytes, Options: options, Show: !o.Hidden, Secret: o.SecretAnswer}}
	for i, w := range o.Writes {
		if !w.Append || !o.appended[i] {
			all = append(all, commit.File{
				Destination: w.Path, Contents: w.Contents, Written: true, Append: w.Append, Show: !o.Hidden, Secret: o.SecretAnswer,
				Options: disk.Options{Perms: w.Perms, User: w.User, Group: w.Group},
			})
		}
	}
	return all
}

// Print writes what would be written to the destination and elsewhere, for people.
func (o *Output) Print(w io.Writer, destination string) error {
	_, err := fmt.Fprintf(w, "> %s\n%s", destination, o.Bytes)
	for _, written := range o.Writes {
		if err == nil {
			_, err = fmt.Fprintf(w, "> %s\n%s", written.Path, written.Contents)
		}
	}
	if err != nil {
		return fmt.Errorf("print %s: %w", destination, err)
	}
	return nil
}

// Appends returns how many bytes are to be appended, by path; nil for none.
func (o *Output) Appends() (all map[string]int64) {
	for _, w := range o.Writes {
		if !w.Append {
			continue
		}
		if all == nil {
			all = make(map[string]int64)
		}
		all[w.Path] += int64(len(w.Contents))
	}
	return all
}

// Paths returns the destination and the paths that writeToFile writes.
func (o *Output) Paths(destination string) []string {
	paths := []string{destination}
	for _, w := range o.Writes {
		paths = append(paths, w.Path)
	}
	return paths
}
