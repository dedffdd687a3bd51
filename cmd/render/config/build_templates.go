package config

import (
	"io/fs"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"render/render"
	"render/render/commit"
	"render/render/disk"
	"render/render/graph"
	"render/render/pace"
	"render/render/run"
	"render/template"
)

// actions makes the actions that have names.
func (l *loader) actions(cfg *render.Config) {
	for _, v := range l.doc.actions {
		before := len(l.faults)
		a := l.action(v, "timeout", "splay", "env")
		a.Name, a.Command = v.label, get[run.Command](v, "command")
		a = a.Spaced()
		if err := (render.Config{Actions: []render.Action{a}}).Validate(); err != nil && len(l.faults) == before {
			l.fault(v.from, "%v", err)
		}
		cfg.Actions = append(cfg.Actions, a)
	}
}

// action returns what templates and actions have in common.
func (l *loader) action(v *values, timeout, splay, env string) render.Action {
	a := render.Action{
		Check:   get[run.Command](v, "check"),
		Signal:  get[run.Signal](v, "signal"),
		Verify:  verifyOf(v),
		Timeout: l.timeLimit(v, timeout),
		Splay:   get[time.Duration](v, splay),
		Spacing: get[time.Duration](v, "spacing"),
		Wait:    l.wait(v),
		Atomic:  get[bool](v, "atomic"),
		Guard:   guardOf(v),
		Env:     envOf(v, env),
	}
	if a.Spacing == 0 && v.isSet("spacing") {
		a.Spacing = -1 // none, and not the default
	}
	l.checkGuard(v, a.Guard)
	l.checkVerify(v, a.Verify)
	return a
}

func (l *loader) checkGuard(v *values, g graph.Guard) {
	l.checkPositive(v, "guard.hold")
	switch {
	case g.MaxDrop < 0 || g.MaxDrop > 1:
		l.fault(v.origin("guard.max_drop"), "guard: the maximum drop %g is not between 0 and 1, which is 100%%", g.MaxDrop)
	case g != graph.Guard{} && g.Min == 0 && g.MaxDrop == 0:
		key := "guard.hold"
		if !v.isSet(key) {
			key = "guard.then"
		}
		l.wrong(v, key, "a guard without min and max_drop lets everything through; give one of them")
	}
}

func (l *loader) checkVerify(v *values, verify commit.Verify) {
	l.checkPositive(v, "verify.within")
	switch {
	case verify.URL != "" && !verify.Command.IsZero():
		l.wrong(v, "verify.url", "has a command beside it; give one of them")
	case verify.Status != 0 && (verify.Status < 100 || verify.Status > 599):
		l.fault(v.origin("verify.status"), "verify: %d is not a status of HTTP", verify.Status)
	case verify.URL != "" && !isURL(verify.URL):
		l.wrong(v, "verify.url", "%q does not begin with http:// or https://", verify.URL)
	case verify.URL != "" && !isParsable(verify.URL):
		l.wrong(v, "verify.url", "is no URL, as http://127.0.0.1:80/health is")
	}
}

// checkPositive notes a fault where a duration is set to 0.
func (l *loader) checkPositive(v *values, key string) {
	if v.isSet(key) && get[time.Duration](v, key) == 0 {
		l.wrong(v, key, "must be more than 0")
	}
}

func verifyOf(v *values) commit.Verify {
	verify := commit.Verify{
		Command: get[run.Command](v, "verify.command"),
		URL:     get[string](v, "verify.url"),
		Within:  get[time.Duration](v, "verify.within"),
	}
	if verify.URL != "" {
		verify.Status = get[int](v, "verify.status")
	}
	return verify
}

// timeLimit returns a time limit of commands. Consul-template does not wait for a command with a limit of 0; we do.
func (l *loader) timeLimit(v *values, key string) time.Duration {
	limit := get[time.Duration](v, key)
	if limit == 0 && !v.origin(key).inFile() {
		l.wrong(v, key, "must be more than 0")
	} else if limit == 0 {
		l.notice(v.origin(key), "a time limit of 0 would mean not to wait for the command, whose success is then not known; the limit is %s", render.DefaultTimeout)
		return render.DefaultTimeout
	}
	return limit
}

// wait returns the wait of a template or an action.
func (l *loader) wait(v *values) pace.Wait {
	w := pace.Wait{Min: get[time.Duration](v, "wait.min")}
	on, ok := v.find("wait.enabled")
	switch {
	case ok && !on.value.(bool):
		return pace.Wait{}
	case w.Min == 0 && ok:
		l.notice(on.from, "wait.enabled has no effect without wait.min")
		return pace.Wait{}
	case w.Min == 0:
		if get[time.Duration](v, "wait.max") > 0 {
			l.notice(v.origin("wait.max"), "wait.max has no effect without wait.min")
		}
		return pace.Wait{}
	}
	if w.Max = 4 * w.Min; v.isSet("wait.max") {
		w.Max = get[time.Duration](v, "wait.max")
	}
	if w.Max < w.Min {
		l.notice(v.origin("wait.max"), "wait.max %s is less than wait.min %s; both are taken as %s", w.Max, w.Min, w.Max)
		w.Min = w.Max
	}
	return w
}

func guardOf(v *values) graph.Guard {
	if !v.isSet("guard.min") && !v.isSet("guard.max_drop") && !v.isSet("guard.hold") && !v.isSet("guard.then") {
		return graph.Guard{}
	}
	g := graph.Guard{Min: get[int](v, "guard.min"), MaxDrop: get[float64](v, "guard.max_drop")}
	if v.isSet("guard.hold") {
		g.Hold = get[time.Duration](v, "guard.hold")
	}
	if v.isSet("guard.then") {
		g.Then = graph.GuardThen(get[string](v, "guard.then"))
	}
	return g
}

func envOf(v *values, block string) run.Env {
	return run.Env{
		Pristine: get[bool](v, block+".pristine"),
		Custom:   get[[]string](v, block+".custom"),
		Allow:    get[[]string](v, block+".allowlist"),
		Deny:     get[[]string](v, block+".denylist"),
	}
}

// targets makes the targets. Where dry is set they need no destination, nor those of the command line where parseOnly is.
func (l *loader) targets(cfg *render.Config, dry, parseOnly bool) {
	makers := make(map[string]*values)
	for _, v := range l.doc.templates {
		t, ok := l.target(v, cfg.Actions)
		if !ok {
			continue
		}
		if t.Destination == "" && !dry && !(parseOnly && !v.from.inFile()) {
			hint := "SOURCE:DESTINATION, or --destination FILE"
			if v.from.inFile() {
				hint = `destination = "FILE"`
			}
			l.fault(v.from, "template %s: missing destination; give %s", t.Source, hint)
			continue
		}
		if path, err := filepath.Abs(t.Destination); err == nil && t.Destination != "" {
			if other := makers[path]; other != nil && other.from == v.from && v.from.inFile() {
				continue // the same block: its file was read twice
			} else if other != nil {
				l.fault(v.origin("destination"), "templates %s and %s have the same destination %s; the other is at %s", nameOf(other), t.Source, t.Destination, other.origin("destination"))
				continue
			}
			makers[path] = v
		}
		cfg.Targets, l.made = append(cfg.Targets, t), append(l.made, v)
	}
}

// nameOf returns what a template is called.
func nameOf(v *values) string {
	if source := get[string](v, "source"); source != "" {
		return source
	}
	if destination := get[string](v, "destination"); destination != "" {
		return "contents of " + destination
	}
	return "contents"
}

func (l *loader) target(v *values, actions []render.Action) (render.Target, bool) {
	before := len(l.faults)
	implied := l.action(v, "exec.timeout", "exec.splay", "exec.env")
	t := render.Target{
		Source:            nameOf(v),
		Contents:          get[string](v, "contents"),
		Destination:       get[string](v, "destination"),
		Action:            get[string](v, "action"),
		Command:           commandOf(v),
		Implied:           &implied,
		File:              fileOf(v),
		Drift:             render.Drift(get[string](v, "drift")),
		Partials:          get[[]string](v, "partials"),
		TrimBlocks:        get[bool](v, "trim_blocks"),
		LeftDelimiter:     get[string](v, "left_delimiter"),
		RightDelimiter:    get[string](v, "right_delimiter"),
		ErrorOnMissingKey: get[bool](v, "error_on_missing_key"),
		Denied:            deniedTo(v),
		Sandbox:           get[string](v, "sandbox_path"),
		RemoveDelay:       get[time.Duration](v, "remove_delay"),
	}
	if t.Action == "" || v.hasAny("guard") {
		t.Guard = implied.Guard
	}
	switch source := get[string](v, "source"); {
	case source == "" && t.Contents == "" && !v.from.inFile():
		l.fault(v.from, "a template needs a source, or contents: say which with --source or --contents; those of --template do not get it")
		return t, false
	case source == "" && t.Contents == "":
		l.fault(v.from, "a template needs a source, or contents")
	case source != "" && t.Contents != "":
		l.fault(v.origin("contents"), "template %s: has both a source and contents; give one", source)
	}
	if t.Action != "" {
		l.checkAction(v, t, actions)
	}
	return t, len(l.faults) == before
}

// checkAction finds what is wrong with a template that names its action.
func (l *loader) checkAction(v *values, t render.Target, actions []render.Action) {
	var names []string
	for _, a := range actions {
		names = append(names, a.Name)
	}
	if !slices.Contains(names, t.Action) {
		l.fault(v.origin("action"), "template %s: there is no action %q%s", t.Source, t.Action, template.Suggestion(t.Action, names))
	}
	for _, key := range []string{
		"command", "exec.command", "exec.timeout", "exec.splay", "check", "signal", "atomic", "spacing", "wait.min", "wait.max", "wait.enabled",
		"verify.command", "verify.url", "verify.status", "verify.within",
		"exec.env.pristine", "exec.env.custom", "exec.env.allowlist", "exec.env.denylist",
	} {
		if g, ok := v.given[key]; ok {
			l.fault(g.from, "template %s: %s is the action's affair where there is one; set it in action %q", t.Source, key, t.Action)
		}
	}
}

func commandOf(v *values) run.Command {
	if !get[bool](v, "exec.enabled") {
		return run.Command{}
	}
	if c := get[run.Command](v, "exec.command"); !c.IsZero() {
		return c
	}
	return get[run.Command](v, "command")
}

func fileOf(v *values) disk.Options {
	return disk.Options{
		Perms:       get[fs.FileMode](v, "perms"),
		User:        ownerOf(v, "user", "uid"),
		Group:       ownerOf(v, "group", "gid"),
		Backup:      get[bool](v, "backup"),
		NoFolders:   !get[bool](v, "create_dest_dirs"),
		RefuseLinks: get[string](v, "links") == "refuse",
	}
}

// deniedTo returns the functions that a template must not use: also those that no template must use.
func deniedTo(v *values) []string {
	denied := get[[]string](v.base, "function_denylist")
	if own, ok := v.given["function_denylist"]; ok {
		denied = slices.Concat(denied, own.value.([]string))
	}
	return denied
}

// ownerOf returns the name or number of an owner.
func ownerOf(v *values, key, oldKey string) string {
	if name := get[string](v, key); name != "" || !v.isSet(oldKey) {
		return name
	}
	return strconv.Itoa(get[int](v, oldKey))
}
