package render

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/fsnotify/fsnotify"

	"render/render/commit"
	"render/render/disk"
	"render/render/notice"
	"render/template"
)

const (
	editQuiet     = 500 * time.Millisecond // quiet that ends a row of changes of templates
	editQuietMost = 5 * time.Second        // but not longer than this
)

// templateWatch notices changes of the files that templates are made of, reads and parses them, and proposes them.
type templateWatch struct {
	*notice.Watch
	parse   func(Target, texts) (*template.Template, error)
	propose func(context.Context, *proposal) error

	mu     sync.Mutex      // guards what follows
	next   *watched        // what to watch from now on; nil where that is what is watched
	names  map[string]bool // files whose changes matter, from the root
	inside map[string]bool // folders in which all do

	now watched // owned by the goroutine that looks
}

// watched is what the targets of a configuration are made of. Others than the one who looks do not touch it any more.
type watched struct {
	version int // of the configuration
	sources sources
	users   []templateUser
}

// templateUser is a target, of which only the loop may know more.
type templateUser struct {
	target *target
	cfg    Target
}

// edits are templates that were read again because their files have changed.
type edits struct {
	version int // of the configuration
	all     []edited
}

type edited struct {
	target   *target
	texts    texts
	template *template.Template
	err      error // in place of these
}

func newTemplateWatch(ctx context.Context, notifier *fsnotify.Watcher, e *Engine) *templateWatch {
	w := &templateWatch{parse: e.parse, propose: e.offer}
	w.Watch = notice.New(notifier, editQuiet, editQuietMost, w.concerns)
	w.Start(ctx, func(map[string]bool) { w.look(ctx) })
	return w
}

// watchTemplates watches what the templates are made of, if that is wanted.
func (e *Engine) watchTemplates(ctx context.Context) {
	wanted := e.cfg.WatchTemplates && !e.cfg.Once && e.cfg.Dry == nil
	if e.templates == nil && !wanted {
		return
	}
	if e.templates == nil {
		e.templates = newTemplateWatch(ctx, e.notifier("changes of templates will be noticed late"), e)
	}
	e.version++
	next := watched{version: e.version}
	if wanted {
		next.sources = e.sources
		for _, t := range e.targets {
			next.users = append(next.users, templateUser{t, t.cfg})
		}
	}
	e.templates.watchNext(next)
}

// watchNext watches something else from now on. Its sources are as they were read a while ago: what has changed since is
// found.
func (w *templateWatch) watchNext(next watched) {
	w.mu.Lock()
	w.next = &next
	w.mu.Unlock()
	w.Touch("")
}

// look reads again what has changed, and parses the templates that are made of it.
func (w *templateWatch) look(ctx context.Context) {
	w.mu.Lock()
	if w.next != nil {
		w.now, w.next = *w.next, nil
	}
	w.mu.Unlock()
	w.watchFolders() // first: what changes from here on is told of
	changed := make(map[sourceKey]bool)
	for key, old := range w.now.sources {
		if key.signature() == old.signature {
			continue
		}
		read := key.read()
		w.now.sources[key] = read
		changed[key] = !read.equal(old)
	}
	found := edits{version: w.now.version}
	for _, u := range w.now.users {
		if slices.ContainsFunc(keysOf(u.cfg), func(key sourceKey) bool { return changed[key] }) {
			found.all = append(found.all, w.read(u))
		}
	}
	if len(found.all) > 0 {
		_ = w.propose(ctx, &proposal{edits: &found, answer: make(chan error, 1)})
	}
}

func (w *templateWatch) read(u templateUser) edited {
	r := edited{target: u.target}
	if r.texts, r.err = w.now.sources.textsOf(u.cfg); r.err == nil {
		r.template, r.err = w.parse(u.cfg, r.texts)
	}
	return r
}

func (s *source) equal(t *source) bool {
	if s.err != nil || t.err != nil {
		return s.err != nil && t.err != nil && s.err.Error() == t.err.Error()
	}
	return slices.Equal(s.texts, t.texts)
}

// concerns reports whether a change of a path may be one of a template. A name that begins with two dots is one that
// Kubernetes switches the contents of a whole folder by.
func (w *templateWatch) concerns(path string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.names[path] || w.inside[filepath.Dir(path)] || strings.HasPrefix(filepath.Base(path), "..")
}

// watchFolders watches the folders of all sources, those that they are named by and those where links lead; and the folders
// that these are in, up to the root: a deployment may put another folder or link in the place of any of them.
func (w *templateWatch) watchFolders() {
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
	for key := range w.now.sources {
		path, err := filepath.Abs(key.path)
		if err != nil {
			continue
		}
		add(path)
		if end, err := disk.RealPath(path); err == nil && end != path {
			add(end)
		}
		if key.partials && isFolder(path) {
			dir := realFolder(path)
			inside[dir], folders[dir] = true, true
		}
	}
	for folder := range folders {
		w.Add(folder)
	}
	w.Keep(folders)
	w.mu.Lock()
	w.names, w.inside = names, inside
	w.mu.Unlock()
}

// edit takes templates that have changed on disk. Where one cannot be used the previous text stays in use.
func (e *Engine) edit(found *edits, now time.Time) {
	if found.version != e.version {
		return // of a configuration that is not in force any more; the watch has what it needs to find it again
	}
	before := e.faults()
	fresh := make(map[*target]bool)
	var names []string
	for _, r := range found.all {
		t := r.target
		if t.stale = r.err; r.err != nil {
			e.stale.targets[t] = true
			continue
		}
		delete(e.stale.targets, t)
		if t.texts.equal(r.texts) {
			continue
		}
		t.renew(r.template, r.texts)
		fresh[t] = true
		names = append(names, t.cfg.Source)
	}
	e.tellFaults(before, now)
	if len(fresh) > 0 {
		e.log.Info("templates have changed", "template", commit.Summary(names, mostNamed, ", "), "templates", len(names))
	}
	e.runNow(fresh, now)
}

// staleTexts are the targets whose newest text is not in use.
type staleTexts struct {
	targets map[*target]bool
	report  time.Time // when to tell of them again; zero if there are none
}

// fault is what keeps the newest text of some templates from being in use.
type fault struct {
	err     error
	targets []*target
}

// faults returns all, by their text: a partial with a fault is that of many templates.
func (e *Engine) faults() map[string]*fault {
	all := make(map[string]*fault)
	for _, t := range inOrder(e.stale.targets) {
		text := t.stale.Error()
		if all[text] == nil {
			all[text] = &fault{err: t.stale}
		}
		all[text].targets = append(all[text].targets, t)
	}
	return all
}

// tellFaults tells of the faults that are new, and of those that are gone.
func (e *Engine) tellFaults(before map[string]*fault, now time.Time) {
	stale := e.faults()
	e.logFaults(slog.LevelError, "a template has changed and cannot be used; its text before stays in force", stale, before)
	for _, text := range slices.Sorted(maps.Keys(before)) {
		f := before[text]
		if !slices.ContainsFunc(f.targets, func(t *target) bool { return t.stale != nil }) {
			e.log.Info("a template can be used again", "template", f.names(), "before", f.err)
		}
	}
	e.stale.report = reportNext(now, len(stale) > 0)
}

// reportFaults tells of all faults, when it is time to, and returns when to do so again (R14).
func (e *Engine) reportFaults(now time.Time) (next time.Time) {
	if !e.stale.report.IsZero() && !now.Before(e.stale.report) {
		stale := e.faults()
		e.logFaults(slog.LevelWarn, "a template still cannot be used; its text before stays in force", stale, nil)
		e.stale.report = reportNext(now, len(stale) > 0)
	}
	return e.stale.report
}

// reportNext returns when to report again; zero where there is nothing to report.
func reportNext(now time.Time, is bool) time.Time {
	if !is {
		return time.Time{}
	}
	return now.Add(reportEvery)
}

// logFaults logs a line for each fault that was not told of.
func (e *Engine) logFaults(level slog.Level, msg string, faults, told map[string]*fault) {
	n := 0
	for _, text := range slices.Sorted(maps.Keys(faults)) {
		if told[text] != nil {
			continue
		}
		if n++; n > mostReported {
			continue
		}
		f := faults[text]
		attrs := []slog.Attr{slog.Any("err", f.err), slog.String("template", f.names())}
		if at, ok := errors.AsType[*template.Error](f.err); ok {
			attrs = append(attrs, slog.String("line", strings.TrimSpace(at.Source)))
		}
		e.log.LogAttrs(context.Background(), level, msg, attrs...)
	}
	if n > mostReported {
		e.log.Log(context.Background(), level, msg, "more", n-mostReported)
	}
}

func (f *fault) names() string {
	var names []string
	for _, t := range f.targets {
		names = append(names, t.cfg.Source)
	}
	return commit.Summary(names, mostNamed, ", ")
}

// realFolder returns where the links of a folder's path lead. The folder need not exist.
func realFolder(path string) string {
	if real, err := filepath.EvalSymlinks(path); err == nil || filepath.Dir(path) == path {
		return real
	}
	return filepath.Join(realFolder(filepath.Dir(path)), filepath.Base(path))
}
