package disk

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"slices"

	"render/render/disk/folder"

	"render/watch/hint"
)

// A mark is read up to this size.
const maxMark = 64 << 20

// markText is the first line of a mark. After it comes an entry a line, as JSON.
const markText = "An action has yet to succeed since the files below were changed. render repeats it and then removes this file.\n"

// An entry is what a mark says about one destination: that an action has not succeeded yet for it, or, with Completed, that it has.
type entry struct {
	Name      fileName `json:"name"`
	Old       bool     `json:"old"`               // there was a file before
	Saved     savedID  `json:"saved,omitzero"`    // the file before, under its second name
	New       content  `json:"new,omitzero"`      // what is in place instead
	Earlier   content  `json:"earlier,omitzero"`  // what may still be in place: contents of an earlier commit, also for this action
	After     fileName `json:"after,omitempty"`   // path of the mark that decides whether the action has succeeded; "" means that this one does
	Completed fileName `json:"settled,omitempty"` // path of a mark for whose destinations the action has succeeded, too
}

func (e entry) isNew(c content) bool { return c == e.New || c == e.Earlier }

// A savedID is how a saved file is recognized. The number of the device is no part of it: it may change with a restart of
// the machine. The time is: later contents are not those of the old file.
type savedID struct {
	Inode uint64 `json:"inode"`
	Size  int64  `json:"size"`
	Time  int64  `json:"mtime"`
}

func savedIDOf(i folder.Info) savedID { return savedID{i.Ino, i.Size, i.Mtime} }

// A content is what a file holds.
type content struct {
	Size int64 `json:"size"`
	Sum  sum   `json:"sha256"`
}

type sum [sha256.Size]byte

// MarshalText returns the sum in hexadecimal.
func (s sum) MarshalText() ([]byte, error) { return hex.AppendEncode(nil, s[:]), nil }

// UnmarshalText reads what MarshalText returns.
func (s *sum) UnmarshalText(text []byte) error {
	if len(text) != hex.EncodedLen(len(s)) {
		return errors.New("not a SHA-256 sum")
	}
	_, err := hex.Decode(s[:], text)
	return err
}

// A fileName is a name or a path of a file, which may hold any bytes; as text it is escaped as in a URL.
type fileName string

// MarshalText returns the escaped name.
func (n fileName) MarshalText() ([]byte, error) { return []byte(url.PathEscape(string(n))), nil }

// UnmarshalText reads what MarshalText returns.
func (n *fileName) UnmarshalText(text []byte) error {
	name, err := url.PathUnescape(string(text))
	*n = fileName(name)
	return err
}

// formatMark returns the text of a mark.
func formatMark(entries []entry) ([]byte, error) {
	var b bytes.Buffer
	b.WriteString(markText)
	encoder := json.NewEncoder(&b)
	for _, e := range entries {
		if err := encoder.Encode(e); err != nil {
			return nil, err
		}
	}
	return b.Bytes(), nil
}

// parseMark returns the entries of a mark. An entry whose name is not the name of a file is left out.
func parseMark(text []byte) ([]entry, error) {
	lines, ok := bytes.CutPrefix(text, []byte(markText))
	if !ok || len(lines) == 0 {
		return nil, errors.New("not an intent mark")
	}
	var entries []entry
	decoder := json.NewDecoder(bytes.NewReader(lines))
	for {
		var e entry
		err := decoder.Decode(&e)
		if errors.Is(err, io.EOF) {
			return entries, nil
		}
		if err != nil {
			return nil, err
		}
		if isFileName(string(e.Name)) {
			entries = append(entries, e)
		}
	}
}

var (
	// errNotOurs is the error of a mark that somebody else may have written.
	errNotOurs = errors.New("not an intent mark of render")
	// errOldFormat is the error of a mark that is ours and has another format, such as that of an earlier version. It says
	// that the action has not succeeded yet for the destination that it is named after, and nothing else.
	errOldFormat = errors.New("an intent mark of another version of render")
)

// readMark returns the entries of a mark in a folder. It believes only a regular file of ours that nobody else can write to.
func readMark(d folder.Dir, name string) ([]entry, error) {
	is, err := d.StatAt(name)
	if err != nil {
		return nil, err
	}
	if !isOurMark(is) {
		return nil, errNotOurs
	}
	h, is, err := folder.OpenRegular(d, name)
	if err != nil {
		return nil, err
	}
	defer h.Close()
	if !isOurMark(is) {
		return nil, errNotOurs
	}
	text, err := io.ReadAll(io.LimitReader(h, maxMark))
	if err != nil {
		return nil, err
	}
	entries, err := parseMark(text)
	if err != nil || len(entries) == 0 {
		return nil, errOldFormat
	}
	return entries, nil
}

func isOurMark(i folder.Info) bool {
	return i.IsRegular() && i.UID == os.Geteuid() && i.Links == 1 && i.Mode&0o022 == 0 && i.Size <= maxMark
}

// writeMark writes a mark with some entries. The mark is on disk under its name, whole and synced, or not at all.
func writeMark(d folder.Dir, name string, entries []entry) error {
	slices.SortFunc(entries, func(a, b entry) int { return cmp.Compare(a.Name, b.Name) })
	text, err := formatMark(entries)
	if err != nil {
		return err
	}
	if is, err := d.StatAt(name); err == nil && !is.IsRegular() {
		return inTheWay(d.Path(name))
	}
	temporary, _, _, err := writeTemporary(d, string(entries[0].Name), source{
		contents: bytes.NewReader(text), old: folder.NoHandle, want: attributes{0o600, owner{-1, -1}},
	})
	if err != nil {
		return err
	}
	if err = d.Rename(temporary, name); err != nil {
		_ = d.Remove(temporary)
	}
	return d.PathError("rename to", name, err)
}

// isCompleted reports whether an action has succeeded for an entry, although the mark that names it, by its path, is there: the
// deciding mark says so. Where nobody can know, it has not.
func (e entry) isCompleted(mark string) bool {
	if e.After == "" {
		return false
	}
	d, err := folder.Open(filepath.Dir(string(e.After)))
	if err != nil {
		return false
	}
	defer d.Close()
	entries, err := readMark(d, filepath.Base(string(e.After)))
	return err == nil && slices.ContainsFunc(entries, func(e entry) bool { return string(e.Completed) == mark })
}

// dropEntries removes entries from a mark, and the mark where no other entries remain. A mark that is missing, or not one of
// ours in this format, is left alone. The marks of the folder are locked.
func dropEntries(d folder.Dir, mark string, drop func(entry) bool) error {
	entries, err := readMark(d, mark)
	if errors.Is(err, fs.ErrNotExist) || err == errNotOurs || err == errOldFormat {
		return nil
	}
	n := len(entries)
	entries = slices.DeleteFunc(entries, drop)
	switch {
	case err != nil:
		return d.PathError("read", mark, err)
	case len(entries) == 0:
		return d.PathError("remove", mark, d.Remove(mark))
	case len(entries) == n:
		return nil
	}
	return writeMark(d, mark, entries)
}

// inTheWay returns the error of something other than a file under a name that render needs.
func inTheWay(path string) error {
	return hint.Withf(fmt.Errorf("render needs the name %s, and something that is not a file of render has it", path), "remove %s", path)
}

// An assessment is the state of a destination for which an action has not succeeded yet.
type assessment struct {
	live  bool // new contents are in place; otherwise the old ones, or those of somebody else
	now   content
	saved *folder.Info // where live: the file before, under its second name; nil for none
}

// assess finds out what is in place of what a mark says. Nothing that cannot be verified is believed.
func (e entry) assess(d folder.Dir, place *folder.Info) assessment {
	name := string(e.Name)
	if place == nil || !place.IsRegular() || place.Size != e.New.Size && place.Size != e.Earlier.Size {
		return assessment{}
	}
	h, is, err := folder.OpenRegular(d, name)
	if err != nil || is.Identity != place.Identity {
		h.Close()
		return assessment{}
	}
	defer h.Close()
	now, err := contentOf(h, is.Size)
	if err != nil || !e.isNew(now) {
		return assessment{}
	}
	if !e.Old {
		return assessment{live: true, now: now}
	}
	saved, err := d.StatAt(savedName(name))
	if err != nil || !saved.IsRegular() || savedIDOf(saved) != e.Saved || saved.Identity == is.Identity {
		return assessment{}
	}
	return assessment{live: true, now: now, saved: &saved}
}

// contentOf reads an open file of a known size.
func contentOf(h folder.Handle, size int64) (content, error) {
	sum, err := h.Sum(size)
	return content{size, sum}, err
}
