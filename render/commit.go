package render

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"render/template"
)

// A commit brings the outputs of some targets to disk and runs the command of their action: stage, swap, run (R8). It
// knows files and processes, and nothing of the engine.
//
// A crash may come at any point. Each destination then has its old or its new contents, whole. That the command has yet
// to succeed is known from a mark beside each swapped file, which is on disk before the swap and goes only when the
// command has succeeded (R13). sweep takes away what else was left.
type commit struct {
	files   []*stagedFile
	command runner // its Command may be zero
	owed    bool   // the command has to run although no file changes
	atomic  bool   // one file that cannot be staged stops all

	failed   map[string]error // what could not be staged, by destination
	warnings []string
	marks    []string
	ran      bool
	output   string // of the command
	err      error  // of the swap or the command
}

// A stagedFile is one destination, from the comparison with the disk to the swap.
type stagedFile struct {
	destination string // as configured
	path        string // where links lead
	contents    []byte
	write       *template.Write // where writeToFile asks for the file; it says more than contents
	temporary   string          // beside path, with contents; empty where the disk has them already
	swapped     bool
	old         oldFile
}

// oldFile is what a destination was before the swap.
type oldFile struct {
	exists   bool
	contents []byte
	attributes
}

// attributes are what a file has beside its contents. An ID of -1 stands for our own.
type attributes struct {
	mode     fs.FileMode
	uid, gid int
}

// errLeftOut is the error of an atomic commit of which a file could not be staged; failed has the reason.
var errLeftOut = errors.New("nothing was written because not everything could be")

const (
	newFileMode = 0o644
	newDirMode  = 0o755

	maxLinks = 40
)

// stage compares each file with the disk and writes what differs to a temporary file beside its destination. What cannot
// be staged is noted in failed and left out.
func (c *commit) stage() {
	staged := c.files[:0:0]
	for _, f := range c.files {
		warning, err := f.stage()
		if err != nil {
			if c.failed == nil {
				c.failed = make(map[string]error)
			}
			c.failed[f.destination] = fmt.Errorf("write %s: %w", f.destination, err)
			continue
		}
		if warning != "" {
			c.warnings = append(c.warnings, warning)
		}
		staged = append(staged, f)
	}
	c.files = staged
	if c.command.IsZero() {
		return
	}
	for _, f := range c.files {
		mark := markOf(f.path)
		if _, err := os.Lstat(mark); err == nil {
			c.owed = true
			c.marks = append(c.marks, mark)
		}
	}
}

// swap puts all staged files in their places, or, where one of them fails, none.
func (c *commit) swap() error {
	if c.atomic && len(c.failed) > 0 {
		return c.abandon(errLeftOut)
	}
	dirs := make(map[string]bool)
	for _, f := range c.files {
		if f.temporary == "" {
			continue
		}
		dirs[filepath.Dir(f.path)] = true
		if c.command.IsZero() {
			continue
		}
		if err := c.mark(f.path); err != nil {
			return c.abandon(err)
		}
	}
	if len(c.marks) > 0 {
		if err := syncDirs(dirs); err != nil {
			return c.abandon(err)
		}
	}
	for _, f := range c.files {
		if f.temporary == "" {
			continue
		}
		if err := os.Rename(f.temporary, f.path); err != nil {
			return c.abandon(fmt.Errorf("put %s in place: %w", f.destination, err))
		}
		f.swapped = true
	}
	if err := syncDirs(dirs); err != nil {
		return c.abandon(err)
	}
	return nil
}

// abandon undoes the swap, takes the staged files away and notes err. Marks stay: the worst that they can do is to have
// the command run once more than needed.
func (c *commit) abandon(err error) error {
	for _, f := range c.files {
		if f.swapped {
			err = errors.Join(err, f.undo())
		}
	}
	c.discard()
	c.err = err
	return err
}

// discard takes away what was staged and not swapped.
func (c *commit) discard() {
	for _, f := range c.files {
		if f.temporary != "" && !f.swapped {
			_ = os.Remove(f.temporary)
		}
	}
}

// run runs the command if a file was swapped or the command is owed, and takes the marks away when it succeeds.
func (c *commit) run() error {
	if c.command.IsZero() || !c.owed && len(c.changed()) == 0 {
		return nil
	}
	c.ran = true
	if c.output, c.err = c.command.run(); c.err != nil {
		return c.err
	}
	for _, mark := range c.marks {
		if err := os.Remove(mark); err != nil && !errors.Is(err, fs.ErrNotExist) {
			c.warnings = append(c.warnings, fmt.Sprintf("the command will run again at the next start: %v", err))
		}
	}
	return nil
}

// changed returns the destinations that were swapped.
func (c *commit) changed() []string {
	var paths []string
	for _, f := range c.files {
		if f.swapped {
			paths = append(paths, f.destination)
		}
	}
	return paths
}

func (f *stagedFile) stage() (warning string, err error) {
	if f.path, err = followLinks(f.destination); err != nil {
		return "", err
	}
	if err := f.readOld(); err != nil {
		return "", err
	}
	want := f.old.attributes
	if !f.old.exists {
		want = attributes{mode: newFileMode, uid: -1, gid: -1}
	}
	if f.write != nil {
		if want, err = f.prepareWrite(want); err != nil {
			return "", err
		}
	}
	if f.old.exists && bytes.Equal(f.old.contents, f.contents) && want == f.old.attributes {
		return "", nil
	}
	if !f.old.exists {
		if err := os.MkdirAll(filepath.Dir(f.path), newDirMode); err != nil {
			return "", err
		}
	}
	f.temporary, warning, err = writeTemporary(f.path, f.contents, want)
	return warning, err
}

// prepareWrite makes the file what writeToFile asks for, and returns its attributes.
func (f *stagedFile) prepareWrite(want attributes) (attributes, error) {
	parent := filepath.Dir(f.destination)
	if info, err := os.Lstat(parent); err == nil && info.Mode().Type() == fs.ModeSymlink || f.path != f.destination {
		return want, errors.New("writeToFile does not follow links")
	}
	want.mode = f.write.Perms
	var err error
	if f.write.User != "" {
		if want.uid, err = userID(f.write.User); err != nil {
			return want, err
		}
	}
	if f.write.Group != "" {
		if want.gid, err = groupID(f.write.Group); err != nil {
			return want, err
		}
	}
	if f.write.Append {
		f.contents = slices.Concat(f.old.contents, f.contents)
	}
	return want, nil
}

func userID(name string) (int, error) {
	if id, err := strconv.Atoi(name); err == nil {
		return id, nil
	}
	u, err := user.Lookup(name)
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(u.Uid)
}

func groupID(name string) (int, error) {
	if id, err := strconv.Atoi(name); err == nil {
		return id, nil
	}
	g, err := user.LookupGroup(name)
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(g.Gid)
}

func (f *stagedFile) readOld() error {
	info, err := os.Stat(f.path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case info.IsDir():
		return errors.New("is a directory")
	case !info.Mode().IsRegular():
		return errors.New("is not a regular file")
	}
	contents, err := os.ReadFile(f.path)
	if err != nil {
		return err
	}
	f.old = oldFile{exists: true, contents: contents, attributes: attributes{mode: info.Mode(), uid: -1, gid: -1}}
	if sys, ok := info.Sys().(*syscall.Stat_t); ok {
		f.old.uid, f.old.gid = int(sys.Uid), int(sys.Gid)
	}
	return nil
}

// undo puts the old file back, or takes the new one away where there was none.
func (f *stagedFile) undo() error {
	f.swapped = false
	if !f.old.exists {
		return os.Remove(f.path)
	}
	temporary, _, err := writeTemporary(f.path, f.old.contents, f.old.attributes)
	if err != nil {
		return fmt.Errorf("put the old %s back: %w", f.destination, err)
	}
	return os.Rename(temporary, f.path)
}

// writeTemporary writes contents to a new file beside path and syncs it. It has its mode and owner before anyone can see
// the contents under the name path.
func writeTemporary(path string, contents []byte, want attributes) (temporary, warning string, err error) {
	file, err := os.CreateTemp(filepath.Dir(path), temporaryPrefix(path)+"*")
	if err != nil {
		return "", "", err
	}
	defer func() {
		err = errors.Join(err, file.Close())
		if err != nil {
			_ = os.Remove(file.Name())
		}
	}()
	if _, err := file.Write(contents); err != nil {
		return "", "", err
	}
	mode := want.mode
	if want.uid >= 0 && want.uid != os.Geteuid() || want.gid >= 0 && want.gid != os.Getegid() {
		if err := file.Chown(want.uid, want.gid); err != nil {
			warning = fmt.Sprintf("%s does not get its owner: %v", path, err)
			mode &= fs.ModePerm // a setuid bit must not move to another owner
		}
	}
	if err := file.Chmod(mode); err != nil {
		return "", "", err
	}
	return file.Name(), warning, file.Sync()
}

// followLinks returns where the links at path lead. The last one may lead to a file that does not exist yet.
func followLinks(path string) (string, error) {
	for range maxLinks {
		info, err := os.Lstat(path)
		if errors.Is(err, fs.ErrNotExist) || err == nil && info.Mode().Type() != fs.ModeSymlink {
			return path, nil
		}
		if err != nil {
			return "", err
		}
		link, err := os.Readlink(path)
		if err != nil {
			return "", err
		}
		if !filepath.IsAbs(link) {
			link = filepath.Join(filepath.Dir(path), link)
		}
		path = link
	}
	return "", errors.New("too many links")
}

func syncDirs(dirs map[string]bool) error {
	for dir := range dirs {
		d, err := os.Open(dir)
		if err != nil {
			return err
		}
		err = d.Sync()
		if err = errors.Join(err, d.Close()); err != nil {
			return fmt.Errorf("sync %s: %w", dir, err)
		}
	}
	return nil
}

// The names of our own files beside a destination begin with a dot, so that no "include conf.d/*" picks them up.

const maxBase = 200 // leaves room for what is added: a name has 255 bytes at most

func hidden(path string) string {
	base := filepath.Base(path)
	return ".render-" + base[:min(len(base), maxBase)]
}

func temporaryPrefix(path string) string { return hidden(path) + "-" }

func markOf(path string) string { return filepath.Join(filepath.Dir(path), hidden(path)+".owed") }

const markText = "A command has yet to succeed since the file beside this one was changed. render runs it again and then removes this.\n"

// mark notes on disk that the command is owed for a file.
func (c *commit) mark(path string) error {
	mark := markOf(path)
	file, err := os.OpenFile(mark, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = file.WriteString(markText)
	err = errors.Join(err, file.Sync(), file.Close())
	c.marks = append(c.marks, mark)
	return err
}

var temporaryEnd = regexp.MustCompile(`^\d+$`)

// sweep removes the temporary files that an earlier run left beside the destinations.
func sweep(destinations []string) error {
	prefixes := make(map[string][]string) // by folder
	for _, d := range destinations {
		if path, err := followLinks(d); err == nil {
			dir := filepath.Dir(path)
			prefixes[dir] = append(prefixes[dir], temporaryPrefix(path))
		}
	}
	var errs []error
	for dir, ours := range prefixes {
		errs = append(errs, sweepDir(dir, ours))
	}
	return errors.Join(errs...)
}

func sweepDir(dir string, prefixes []string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil // a folder that cannot be read has nothing that we could write; staging will say so
	}
	var errs []error
	for _, e := range entries {
		if !strings.HasPrefix(e.Name(), ".render-") {
			continue
		}
		for _, prefix := range prefixes {
			if end, ok := strings.CutPrefix(e.Name(), prefix); ok && temporaryEnd.MatchString(end) {
				errs = append(errs, os.Remove(filepath.Join(dir, e.Name())))
			}
		}
	}
	return errors.Join(errs...)
}
