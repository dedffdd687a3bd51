package config

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"render/render"
	"render/render/commit"
	"render/render/disk"
	"render/render/graph"
	"render/render/pace"
	"render/render/run"
	"render/template"

	"render/watch/hint"
)

// A globalBlock is the top of all files.
type globalBlock struct {
	*values
	globals
}

// A templateBlock is one template.
type templateBlock struct {
	*values
	templateFields
}

// An actionBlock is one action that has a name.
type actionBlock struct {
	*values
	actionFields
}

// fill makes blocks of the document.
func (l *loader) fill() {
	l.global = &globalBlock{values: l.doc.top}
	l.global.fill(globalLayout(), &l.global.globals)
	for _, v := range l.doc.templates {
		b := &templateBlock{values: v}
		b.fill(templateLayout(), &b.templateFields)
		l.templates = append(l.templates, b)
	}
	for _, v := range l.doc.actions {
		b := &actionBlock{values: v}
		b.fill(actionLayout(), &b.actionFields)
		l.actions = append(l.actions, b)
	}
}

// makeActions makes the actions that have names.
func (l *loader) makeActions(cfg *render.Config) {
	for _, b := range l.actions {
		before := len(l.faults)
		a := l.action(b.values, &b.Shared, &b.Timeout)
		a.Name, a.Command, a.Splay, a.Env = b.label, b.Command, b.Splay, b.Env.env()
		a = a.Spaced()
		if err := (render.Config{Actions: []render.Action{a}}).Validate(); err != nil && len(l.faults) == before {
			l.fault(b.from, "%w", err)
		}
		cfg.Actions = append(cfg.Actions, a)
	}
}

// action returns what templates and actions have in common.
func (l *loader) action(v *values, s *shared, timeout *time.Duration) render.Action {
	a := render.Action{
		Check:   s.Check,
		Signal:  s.Signal,
		Verify:  verifyOf(s),
		Timeout: l.timeLimit(v, timeout),
		Spacing: s.Spacing,
		Wait:    l.wait(v, s),
		Atomic:  s.Atomic,
		Guard:   guardOf(v, s),
	}
	if a.Spacing == 0 && v.isSet(&s.Spacing) {
		a.Spacing = -1 // none, and not the default
	}
	l.checkGuard(v, s, a.Guard)
	l.checkVerify(v, s, a.Verify)
	return a
}

func (l *loader) checkGuard(v *values, s *shared, guard graph.Guard) {
	l.checkPositive(v, &s.Guard.Hold)
	switch {
	case guard.MaxDrop < 0 || guard.MaxDrop > 1:
		l.fault(v.origin(&s.Guard.MaxDrop), "guard: the maximum drop %g is not between 0 and 1 (100%%)", guard.MaxDrop)
	case guard != graph.Guard{} && guard.Min == 0 && guard.MaxDrop == 0:
		var field any = &s.Guard.Hold
		if !v.isSet(field) {
			field = &s.Guard.Then
		}
		l.wrong(v, field, "%w", hint.With(errors.New("a guard without min and max_drop accepts every change"), "set min or max_drop"))
	}
}

func (l *loader) checkVerify(v *values, s *shared, verify commit.Verify) {
	l.checkPositive(v, &s.Verify.Within)
	url := &s.Verify.URL
	switch {
	case verify.URL != "" && !verify.Command.IsZero():
		l.wrong(v, url, "%w", hint.With(errors.New("a verification has either a URL or a command, not both"), "remove one of the two"))
	case verify.Status != 0 && (verify.Status < 100 || verify.Status > 599):
		l.fault(v.origin(&s.Verify.Status), "verify: %d is not an HTTP status", verify.Status)
	case verify.URL != "" && !isURL(verify.URL):
		l.wrong(v, url, "%q does not begin with http:// or https://", verify.URL)
	case verify.URL != "" && !isParsable(verify.URL):
		l.wrong(v, url, "%w", hint.With(errors.New("the value is not a URL"), "write a URL such as http://127.0.0.1:80/health"))
	}
}

// checkPositive notes a fault where a duration is set to 0.
func (l *loader) checkPositive(v *values, field *time.Duration) {
	if v.isSet(field) && *field == 0 {
		l.wrong(v, field, "must be more than 0")
	}
}

func verifyOf(s *shared) commit.Verify {
	verify := commit.Verify{Command: s.Verify.Command, URL: s.Verify.URL, Within: s.Verify.Within}
	if verify.URL != "" {
		verify.Status = s.Verify.Status
	}
	return verify
}

// timeLimit returns a time limit of commands. Consul-template does not wait for a command with a limit of 0; render does.
func (l *loader) timeLimit(v *values, limit *time.Duration) time.Duration {
	if at := v.origin(limit); *limit == 0 && !at.inFile() {
		l.wrong(v, limit, "must be more than 0")
	} else if *limit == 0 {
		l.notice(at, "render always waits for the command, and does not accept a time limit of 0; the limit is %s", render.DefaultTimeout)
		return render.DefaultTimeout
	}
	return *limit
}

// wait returns the wait of a template or an action.
func (l *loader) wait(v *values, s *shared) pace.Wait {
	w := pace.Wait{Min: s.Wait.Min}
	switch isSwitched := v.isSet(&s.Wait.Enabled); {
	case isSwitched && !s.Wait.Enabled:
		return pace.Wait{}
	case w.Min == 0 && isSwitched:
		l.notice(v.origin(&s.Wait.Enabled), "wait.enabled has no effect without wait.min")
		return pace.Wait{}
	case w.Min == 0:
		if s.Wait.Max > 0 {
			l.notice(v.origin(&s.Wait.Max), "wait.max has no effect without wait.min")
		}
		return pace.Wait{}
	}
	if w.Max = 4 * w.Min; v.isSet(&s.Wait.Max) {
		w.Max = s.Wait.Max
	}
	if w.Max < w.Min {
		l.notice(v.origin(&s.Wait.Max), "wait.max %s is less than wait.min %s; render uses %s for both", w.Max, w.Min, w.Max)
		w.Min = w.Max
	}
	return w
}

// guardOf returns a guard; none where no part of it is set.
func guardOf(v *values, s *shared) graph.Guard {
	guard := graph.Guard{Min: s.Guard.Min, MaxDrop: s.Guard.MaxDrop}
	hold, then := v.isSet(&s.Guard.Hold), v.isSet(&s.Guard.Then)
	if !v.isSet(&s.Guard.Min) && !v.isSet(&s.Guard.MaxDrop) && !hold && !then {
		return graph.Guard{}
	}
	if hold {
		guard.Hold = s.Guard.Hold
	}
	if then {
		guard.Then = graph.GuardThen(s.Guard.Then)
	}
	return guard
}

// targets makes the targets. Where dry is set they need no destination, nor those of the command line where parseOnly is.
func (l *loader) targets(cfg *render.Config, dry, parseOnly bool) {
	makers := make(map[string]*templateBlock)
	for _, b := range l.templates {
		t, ok := l.target(b, cfg.Actions)
		if !ok {
			continue
		}
		if t.Destination == "" && !dry && !(parseOnly && !b.from.inFile()) {
			advice := "write SOURCE:DESTINATION, or use --destination FILE"
			if b.from.inFile() {
				advice = `set destination = "FILE"`
			}
			l.fault(b.from, "%w", hint.With(fmt.Errorf("template %s: missing destination", t.Source), advice))
			continue
		}
		if path, err := filepath.Abs(t.Destination); err == nil && t.Destination != "" {
			if other := makers[path]; other != nil && other.from == b.from && b.from.inFile() {
				continue // the same block: its file was read twice
			} else if other != nil {
				l.fault(b.origin(&b.Destination), "templates %s and %s have the same destination %s, the first one at %s", nameOf(other), t.Source, t.Destination, other.origin(&other.Destination))
				continue
			}
			makers[path] = b
		}
		cfg.Targets, l.made = append(cfg.Targets, t), append(l.made, b)
	}
}

// nameOf returns what a template is called.
func nameOf(b *templateBlock) string {
	switch {
	case b.Source != "":
		return b.Source
	case b.Destination != "":
		return "contents of " + b.Destination
	}
	return "contents"
}

func (l *loader) target(b *templateBlock, actions []render.Action) (render.Target, bool) {
	before := len(l.faults)
	implied := l.action(b.values, &b.Shared, &b.Exec.Timeout)
	implied.Splay, implied.Env = b.Exec.Splay, b.Exec.Env.env()
	t := render.Target{
		Source:            nameOf(b),
		Contents:          b.Contents,
		Destination:       b.Destination,
		Action:            b.Action,
		Command:           commandOf(b),
		Implied:           &implied,
		File:              fileOf(b),
		Drift:             render.Drift(b.Drift),
		Partials:          b.Partials,
		TrimBlocks:        b.TrimBlocks,
		LeftDelimiter:     b.LeftDelimiter,
		RightDelimiter:    b.RightDelimiter,
		ErrorOnMissingKey: b.ErrorOnMissingKey,
		Denied:            l.deniedTo(b),
		Sandbox:           b.SandboxPath,
		Untrusted:         b.Untrusted,
		MaxOutput:         b.MaxOutput,
		RemoveDelay:       b.RemoveDelay,
	}
	if t.Action == "" || b.setsAny(&b.Shared.Guard) {
		t.Guard = implied.Guard
	}
	switch {
	case b.Source == "" && b.Contents == "" && !b.from.inFile():
		l.fault(b.from, "%w", hint.With(errors.New("the template has no source and no contents"), "set --source or --contents; this flag does not apply to the templates of --template"))
		return t, false
	case b.Source == "" && b.Contents == "":
		l.fault(b.from, "%w", hint.With(errors.New("the template has no source and no contents"), "set source or contents"))
	case b.Source != "" && b.Contents != "":
		l.fault(b.origin(&b.Contents), "%w", hint.With(fmt.Errorf("template %s: a template has either a source or contents, not both", b.Source), "remove one of the two"))
	}
	if t.Action != "" {
		l.checkAction(b, t, actions)
	}
	return t, len(l.faults) == before
}

// checkAction finds what is wrong with a template that names its action.
func (l *loader) checkAction(b *templateBlock, t render.Target, actions []render.Action) {
	var names []string
	for _, a := range actions {
		names = append(names, a.Name)
	}
	if !slices.Contains(names, t.Action) {
		l.fault(b.origin(&b.Action), "%w", hint.With(fmt.Errorf("template %s: there is no action %q", t.Source, t.Action), template.Suggestion(t.Action, names)))
	}
	for _, s := range templateSettings {
		if g, ok := b.given[s.Key]; ok && isOfAction(s) {
			l.fault(g.from, "%w", hint.Withf(fmt.Errorf("template %s: %s belongs to the action %q", t.Source, s.Key, t.Action), "move %s to the block of the action", s.Key))
		}
	}
}

// isOfAction reports whether a setting of a template is one of an action, too, and not of the template's own data.
func isOfAction(s *Setting) bool {
	return !strings.HasPrefix(s.Key, "guard.") && slices.ContainsFunc(actionSettings, func(a *Setting) bool {
		return a.Key == s.Key || "exec."+a.Key == s.Key
	})
}

func commandOf(b *templateBlock) run.Command {
	switch {
	case !b.Exec.Enabled:
		return run.Command{}
	case !b.Exec.Command.IsZero():
		return b.Exec.Command
	}
	return b.Command
}

func fileOf(b *templateBlock) disk.Options {
	return disk.Options{
		Perms:       b.Perms,
		User:        b.ownerOf(b.User, &b.UID),
		Group:       b.ownerOf(b.Group, &b.GID),
		Backup:      b.Backup,
		NoFolders:   !b.CreateDestDirs,
		RefuseLinks: b.Links == "refuse",
	}
}

// deniedTo returns the functions that a template must not use: also those that no template must use.
func (l *loader) deniedTo(b *templateBlock) []string {
	denied := l.global.FunctionDenylist
	if own, ok := b.given[b.key(&b.FunctionDenylist)]; ok {
		denied = slices.Concat(denied, own.value.([]string))
	}
	return denied
}

// ownerOf returns the name or number of an owner, which an old setting has where the name is not set.
func (b *templateBlock) ownerOf(name string, number *int) string {
	if name != "" || !b.isSet(number) {
		return name
	}
	return strconv.Itoa(*number)
}
