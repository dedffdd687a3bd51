package disk

import (
	"io/fs"
	"path/filepath"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"render/render/disk/folder"
)

const forOthers fs.FileMode = 0o004 // the bit of a mode that lets everybody read a file

// Before returns the size of what was in place before the swap, -1 where nothing was, and its contents if those are known: see Want.Recall.
func (f *File) Before() (size int64, contents []byte, read bool) {
	if f.disk == nil {
		return -1, nil, true
	}
	return f.disk.Size, f.replaced, f.replaced != nil || f.disk.Size == 0
}

// readOld reads what is about to be replaced, if that is wanted and everybody may read the old file and the new one. Where it cannot be
// read it is not known: nothing depends on it.
func (f *File) readOld(h folder.Handle) {
	if f.disk == nil || f.want.Recall == nil || !f.IsPublic() || !f.want.Recall(f.disk.Size+int64(len(f.want.Contents))) {
		return
	}
	text := make([]byte, f.disk.Size)
	for at := 0; at < len(text); {
		n, err := unix.Pread(int(h), text[at:], int64(at))
		if err != nil || n <= 0 {
			return
		}
		at += n
	}
	f.replaced = text
}

// IsPublic reports whether the modes of the old file and the new one let everybody read them. The folders may not: see [Folders].
func (f *File) IsPublic() bool {
	return f.attrs.mode&forOthers != 0 && (f.disk == nil || f.disk.Mode&forOthers != 0)
}

// Mode returns the mode that the new file has or gets, once it is staged.
func (f *File) Mode() (mode fs.FileMode, known bool) { return f.attrs.mode, f.folder != nil }

// foldersKnown is how long an answer is used that everybody may pass a folder: many commits at one time ask once.
const foldersKnown = time.Second

// Folders knows which folders everybody may pass. The zero value is ready, and nil asks the system each time.
type Folders struct {
	mu    sync.Mutex // guards what follows
	known map[string]bool
	since time.Time
}

// ArePublic reports whether everybody may pass all the folders above a path from the root that has no links, or might a second ago.
func (f *Folders) ArePublic(path string) bool {
	dir := filepath.Dir(path)
	if f == nil {
		return passable(dir)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if now := time.Now(); f.known == nil || now.Sub(f.since) > foldersKnown {
		f.known, f.since = make(map[string]bool), now
	}
	public, known := f.known[dir]
	if !known {
		public = passable(dir)
		f.known[dir] = public
	}
	return public
}

func passable(dir string) bool {
	for ; ; dir = filepath.Dir(dir) {
		var st unix.Stat_t
		if unix.Stat(dir, &st) != nil || st.Mode&unix.S_IXOTH == 0 {
			return false
		}
		if dir == filepath.Dir(dir) {
			return true
		}
	}
}
