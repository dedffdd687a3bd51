package sources

import (
	"context"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/fsnotify/fsnotify"

	"render/render/disk/folder"
	"render/render/notice"
	"render/template"
)

const (
	quiet     = 500 * time.Millisecond // that ends a row of changes
	quietMost = 5 * time.Second        // but not longer than this
)

// A Watch finds changes of the files that templates are made of, reads and parses the templates again, and proposes them. All
// its work on disk is in a goroutine of its own. Any goroutine may call its methods.
type Watch struct {
	notices *notice.Watch
	propose func(context.Context, *Changes)

	mu     sync.Mutex      // guards what follows
	next   *Set            // what to watch from now on; nil where that is what is watched
	names  map[string]bool // files whose changes matter, from the root
	inside map[string]bool // folders in which all do

	now Set // owned by the goroutine that checks
}

// A Set is what a Watch watches: the templates of one configuration.
type Set struct {
	Version int   // of the configuration
	Files   Files // as they were read; they belong to the watch from now on
	Users   []User
}

// A User is a template, and how it is parsed. Parse is called in the goroutine of the watch.
type User struct {
	Template Template
	Parse    func(Texts) (*template.Template, error)
}

// Changes are templates of a Set that were read again because their files have changed.
type Changes struct {
	Version int // of the configuration
	Edits   []Edit
}

// An Edit is a template that was read again.
type Edit struct {
	User     int // its index in Set.Users
	Texts    Texts
	Template *template.Template
	Err      error // why the new text cannot be used; in place of the others
}

// NewWatch starts a watch of nothing; Replace says what it watches. The watch ends with ctx; Wait waits for its end. It calls propose
// with each row of changes, and goes on when propose returns. The watch closes notifier. Where notifier is nil, or a folder
// cannot be watched, the watch finds changes within notice.Interval.
func NewWatch(ctx context.Context, notifier *fsnotify.Watcher, propose func(context.Context, *Changes)) *Watch {
	w := &Watch{propose: propose}
	w.notices = notice.New(notifier, quiet, quietMost, w.Concerns)
	w.notices.Start(ctx, func(map[string]bool) { w.check(ctx) })
	return w
}

// Wait returns when the watch has ended after its context. On a nil Watch it does nothing.
func (w *Watch) Wait() {
	if w != nil {
		w.notices.Wait()
	}
}

// Touch makes a check of all files come soon.
func (w *Watch) Touch() { w.notices.Touch("") }

// Replace watches another set from now on. Its files were read a while ago: the watch finds what has changed since.
func (w *Watch) Replace(next Set) {
	w.mu.Lock()
	w.next = &next
	w.mu.Unlock()
	w.Touch()
}

// check reads again what has changed, and parses the templates that are made of it.
func (w *Watch) check(ctx context.Context) {
	w.mu.Lock()
	if w.next != nil {
		w.now, w.next = *w.next, nil
	}
	w.mu.Unlock()
	w.watchFolders() // first: the system reports what changes from here on
	changed := make(map[key]bool)
	for k, old := range w.now.Files {
		if k.signature() == old.signature {
			continue
		}
		read := k.read()
		w.now.Files[k] = read
		changed[k] = !read.equal(old)
	}
	found := Changes{Version: w.now.Version}
	for i, u := range w.now.Users {
		if slices.ContainsFunc(u.Template.keys(), func(k key) bool { return changed[k] }) {
			found.Edits = append(found.Edits, w.read(i, u))
		}
	}
	if len(found.Edits) > 0 {
		w.propose(ctx, &found)
	}
}

func (w *Watch) read(i int, u User) Edit {
	r := Edit{User: i}
	if r.Texts, r.Err = w.now.Files.TextsOf(u.Template); r.Err == nil {
		r.Template, r.Err = u.Parse(r.Texts)
	}
	return r
}

// Concerns reports whether a change of a path may be one of a template. With a name that begins with two dots Kubernetes switches
// the contents of a whole folder.
func (w *Watch) Concerns(path string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.names[path] || w.inside[filepath.Dir(path)] || strings.HasPrefix(filepath.Base(path), "..")
}

// watchFolders watches the folders of all files, those that they are named by and those where links lead; and the folders
// that these are in, up to the root: a deployment may put another folder or link in the place of any of them.
func (w *Watch) watchFolders() {
	names, inside, folders := make(map[string]bool), make(map[string]bool), make(map[string]bool)
	reals := make(map[string]string)
	var add func(path string)
	add = func(path string) {
		dir := filepath.Dir(path)
		if _, known := reals[dir]; !known {
			reals[dir] = realFolder(dir)
			if filepath.Dir(dir) != dir {
				add(dir)
			}
		}
		folders[reals[dir]] = true
		names[filepath.Join(reals[dir], filepath.Base(path))] = true
	}
	for k := range w.now.Files {
		path, err := filepath.Abs(k.path)
		if err != nil {
			continue
		}
		add(path)
		if end, err := folder.RealPath(path); err == nil && end != path {
			add(end)
		}
		if k.partials && isFolder(path) {
			dir := realFolder(path)
			inside[dir], folders[dir] = true, true
		}
	}
	for folder := range folders {
		w.notices.Add(folder)
	}
	w.notices.Keep(folders)
	w.mu.Lock()
	w.names, w.inside = names, inside
	w.mu.Unlock()
}

// realFolder returns where the links of a folder's path lead. The folder need not exist.
func realFolder(path string) string {
	if real, err := filepath.EvalSymlinks(path); err == nil || filepath.Dir(path) == path {
		return real
	}
	return filepath.Join(realFolder(filepath.Dir(path)), filepath.Base(path))
}
