package disk

import (
	"crypto/sha256"
	"errors"
	"io/fs"
	"os"
	"time"

	"render/render/disk/folder"

	"golang.org/x/sys/unix"
)

// An Expected is what a destination should be. It is for one goroutine at a time.
type Expected struct {
	path  string
	rule  folder.LinkRule
	real  string // from the root, where links lead
	own   string // from the root, where the destination itself is: real, where it is no link
	o     Options
	ids   owner
	want  content
	known folder.Info // of the file when it last was as expected; zero where that is too recent to tell a later change
}

// Expect returns what a destination should be: contents of this sum and size, at the path where links lead now, with the
// attributes that options set. An error is that of an unknown user or group.
func Expect(path string, o Options, sum [sha256.Size]byte, size int64) (*Expected, error) {
	x := &Expected{rule: o.rule(false), o: o, want: content{size, sum}}
	var err error
	if x.ids, err = o.owner(); err != nil {
		return nil, err
	}
	if x.path, err = folder.Absolute(path); err != nil {
		return nil, err
	}
	if x.own, err = folder.RealName(path); err != nil {
		return nil, err
	}
	x.real = x.own
	if is, err := os.Lstat(x.own); err == nil && is.Mode()&fs.ModeSymlink != 0 {
		x.real, err = folder.RealPath(path)
		return x, err
	}
	return x, nil
}

// Names returns the paths, from the root, whose folders have to be watched to notice a change: that of the destination itself,
// and where its link leads.
func (x *Expected) Names() []string {
	if x.own == x.real {
		return []string{x.real}
	}
	return []string{x.own, x.real}
}

// settling is how old a change has to be for a later one to have another time.
const settling = 2 * time.Second

// Differs reports whether the destination is missing, leads elsewhere, is no regular file, or has other contents, or another
// mode or owner than options set. A file that has not changed since it was as expected is not read, nor is one of another
// size. The error is that of a file or folder that cannot be read.
func (x *Expected) Differs() (bool, error) {
	d, name, err := folder.Resolve(x.path, x.rule, false)
	if err != nil {
		_, noFolder := errors.AsType[folder.MissingError](err)
		_, unreadable := errors.AsType[*fs.PathError](err)
		if noFolder || !unreadable || errors.Is(err, unix.ENOTDIR) {
			return true, nil // a folder is missing, or there is a link now that is not followed
		}
		return false, err
	}
	defer d.Close()
	if d.Path(name) != x.real {
		return true, nil
	}
	is, err := d.StatAt(name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return true, nil
	case err != nil:
		return false, err
	case is == x.known:
		return false, nil
	case !is.IsRegular() || is.Size != x.want.Size || x.o.attributes(x.ids, &is) != attributesOf(is):
		return true, nil
	}
	return x.read(d, name)
}

func (x *Expected) read(d folder.Dir, name string) (bool, error) {
	now := time.Now()
	h, is, err := folder.OpenRegular(d, name)
	if errors.Is(err, fs.ErrNotExist) {
		return true, nil
	}
	if err != nil {
		return !is.IsRegular() && is != folder.Info{}, err
	}
	defer h.Close()
	got, err := contentOf(h, is.Size)
	if err != nil || got != x.want {
		return err == nil, err
	}
	if after, err := h.Stat(); err == nil && after == is && now.Sub(time.Unix(0, is.Ctime)) > settling {
		x.known = is
	}
	return false, nil
}
