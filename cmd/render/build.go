package main

import (
	"cmp"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"render/render"
	"render/template"
	"render/watch"
)

// A plan is what a configuration comes to.
type plan struct {
	engine  render.Config
	fixture string
	consul  watch.ConsulConfig
	log     logSettings
	pidFile string

	reloadSignal syscall.Signal // 0 for none
	killSignal   syscall.Signal
	dry          bool
	parseOnly    bool
	watchConfig  bool
}

// build turns a document into a plan. What is wrong is a *configError with all of it.
func (l *loader) build() (*plan, error) {
	top := l.doc.top
	p := &plan{
		fixture:      get[string](top, "fixture"),
		pidFile:      get[string](top, "pid_file"),
		reloadSignal: get[syscall.Signal](top, "reload_signal"),
		killSignal:   get[syscall.Signal](top, "kill_signal"),
		dry:          get[bool](top, "dry"),
		parseOnly:    get[bool](top, "parse_only"),
		watchConfig:  get[bool](top, "watch_config"),
		log:          logOf(top),
	}
	p.consul = l.consul()
	p.engine = render.Config{
		Once:           get[bool](top, "once"),
		FailAbsent:     get[bool](top, "err_on_failed_lookup"),
		Timeout:        get[time.Duration](top, "timeout"),
		WatchTemplates: get[bool](top, "watch_templates"),
		Asking:         l.asking(),
		Env:            injected(top),
		Exec:           l.exec(),
	}
	l.actions(&p.engine)
	l.targets(&p.engine, p.dry || p.parseOnly)
	l.checkWhole(p)
	return p, l.err()
}

// checkWhole finds what is wrong with settings together.
func (l *loader) checkWhole(p *plan) {
	top := l.doc.top
	if p.engine.Timeout > 0 && !p.engine.Once {
		l.wrong(top, "timeout", "bounds a run with once; give that, too")
	}
	for _, key := range []string{"reload_signal", "kill_signal"} {
		if s := get[syscall.Signal](top, key); s == syscall.SIGKILL || s == syscall.SIGSTOP {
			l.wrong(top, key, "%s cannot be caught by any program; give another", unix.SignalName(s))
		}
	}
	if p.reloadSignal != 0 && p.reloadSignal == p.killSignal {
		key, other := "kill_signal", "reload_signal"
		if !top.isSet(key) {
			key, other = other, key
		}
		l.wrong(top, key, "it is the %s, too; set one of them to another", other)
	}
	idle := len(p.engine.Targets) == 0 && !p.engine.Once && !p.parseOnly && p.engine.Exec.Command.IsZero() && len(l.faults) == 0
	switch {
	case idle && len(l.configs) == 0:
		l.fault(origin{name: "configuration"}, "there is nothing to render: give --template SOURCE:DESTINATION[:COMMAND], or --config PATH")
	case idle:
		l.notice(origin{name: "--config"}, "there is nothing to render yet: no template block in %s", strings.Join(l.configs, ", "))
	}
	if p.check(p.engine) != nil {
		l.locate(p)
	}
}

// locate finds which targets are at fault where the engine would not take them all: each by itself, or else the first that does
// not go with those before it, because where links lead two destinations are one file.
func (l *loader) locate(p *plan) {
	for i, t := range p.engine.Targets {
		one := render.Config{Targets: []render.Target{t}}
		if j := slices.IndexFunc(p.engine.Actions, func(a render.Action) bool { return a.Name == t.Action }); t.Action != "" && j >= 0 {
			one.Actions = p.engine.Actions[j : j+1]
		}
		if err := p.check(one); err != nil {
			l.fault(l.made[i].from, "%v", err)
		}
	}
	if len(l.faults) > 0 {
		return
	}
	upTo := p.engine
	with := func(i int) error {
		upTo.Targets = p.engine.Targets[:i]
		return p.check(upTo)
	}
	at := origin{name: "configuration"}
	i := sort.Search(len(p.engine.Targets), func(i int) bool { return with(i) != nil })
	if i > 0 {
		at = l.made[i-1].origin("destination")
	}
	l.fault(at, "%v", with(i))
}

// check returns what is wrong with part of a configuration.
func (p *plan) check(c render.Config) error {
	if p.dry || p.parseOnly {
		c.Dry = discard{}
	}
	return c.Validate()
}

type discard struct{}

func (discard) Write(b []byte) (int, error) { return len(b), nil }

// actions makes the actions that have names.
func (l *loader) actions(cfg *render.Config) {
	for _, v := range l.doc.actions {
		before := len(l.faults)
		a := l.action(v, "timeout", "splay", "env")
		a.Name, a.Command = v.label, get[render.Command](v, "command")
		if a.Spacing == 0 && !v.isSet("spacing") && (!a.Check.IsZero() || !a.Command.IsZero() || !a.Signal.IsZero() || !a.Verify.IsZero()) {
			a.Spacing = render.DefaultSpacing
		}
		a.Spacing = max(0, a.Spacing)
		if err := (render.Config{Actions: []render.Action{a}}).Validate(); err != nil && len(l.faults) == before {
			l.fault(v.from, "%v", err)
		}
		cfg.Actions = append(cfg.Actions, a)
	}
}

// action returns what templates and actions have in common.
func (l *loader) action(v *values, timeout, splay, env string) render.Action {
	a := render.Action{
		Check:   get[render.Command](v, "check"),
		Signal:  get[render.Signal](v, "signal"),
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
	for _, key := range []string{"verify.within", "guard.hold"} {
		if v.isSet(key) && get[time.Duration](v, key) == 0 {
			l.wrong(v, key, "must be more than 0")
		}
	}
	switch g := a.Guard; {
	case g.MaxDrop < 0 || g.MaxDrop > 1:
		l.fault(v.origin("guard.max_drop"), "guard: the maximum drop %g is not between 0 and 1, which is 100%%", g.MaxDrop)
	case g != render.Guard{} && g.Min == 0 && g.MaxDrop == 0:
		key := "guard.hold"
		if !v.isSet(key) {
			key = "guard.then"
		}
		l.wrong(v, key, "a guard without min and max_drop lets everything through; give one of them")
	case a.Verify.URL != "" && !a.Verify.Command.IsZero():
		l.wrong(v, "verify.url", "has a command beside it; give one of them")
	case a.Verify.Status != 0 && (a.Verify.Status < 100 || a.Verify.Status > 599):
		l.fault(v.origin("verify.status"), "verify: %d is not a status of HTTP", a.Verify.Status)
	case a.Verify.URL != "" && !isURL(a.Verify.URL):
		l.wrong(v, "verify.url", "%q does not begin with http:// or https://", a.Verify.URL)
	}
	return a
}

func verifyOf(v *values) render.Verify {
	verify := render.Verify{
		Command: get[render.Command](v, "verify.command"),
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
func (l *loader) wait(v *values) render.Wait {
	w := render.Wait{Min: get[time.Duration](v, "wait.min")}
	on, ok := v.find("wait.enabled")
	switch {
	case ok && !on.value.(bool):
		return render.Wait{}
	case w.Min == 0 && ok:
		l.notice(on.from, "wait.enabled has no effect without wait.min")
		return render.Wait{}
	case w.Min == 0:
		if get[time.Duration](v, "wait.max") > 0 {
			l.notice(v.origin("wait.max"), "wait.max has no effect without wait.min")
		}
		return render.Wait{}
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

func guardOf(v *values) render.Guard {
	if !v.isSet("guard.min") && !v.isSet("guard.max_drop") && !v.isSet("guard.hold") && !v.isSet("guard.then") {
		return render.Guard{}
	}
	g := render.Guard{Min: get[int](v, "guard.min"), MaxDrop: get[float64](v, "guard.max_drop")}
	if v.isSet("guard.hold") {
		g.Hold = get[time.Duration](v, "guard.hold")
	}
	if v.isSet("guard.then") {
		g.Then = render.GuardThen(get[string](v, "guard.then"))
	}
	return g
}

func envOf(v *values, block string) render.Env {
	return render.Env{
		Pristine: get[bool](v, block+".pristine"),
		Custom:   get[[]string](v, block+".custom"),
		Allow:    get[[]string](v, block+".allowlist"),
		Deny:     get[[]string](v, block+".denylist"),
	}
}

// targets makes the targets.
func (l *loader) targets(cfg *render.Config, undestined bool) {
	makers := make(map[string]*values)
	for _, v := range l.doc.templates {
		t, ok := l.target(v, cfg.Actions)
		if !ok {
			continue
		}
		if t.Destination == "" && !undestined {
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
	return "contents of " + get[string](v, "destination")
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

func commandOf(v *values) render.Command {
	if !get[bool](v, "exec.enabled") {
		return render.Command{}
	}
	if c := get[render.Command](v, "exec.command"); !c.IsZero() {
		return c
	}
	return get[render.Command](v, "command")
}

func fileOf(v *values) render.File {
	return render.File{
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

// exec returns the program to supervise.
func (l *loader) exec() render.Exec {
	top := l.doc.top
	if !get[bool](top, "exec.enabled") {
		return render.Exec{}
	}
	x := render.Exec{
		Command:     get[render.Command](top, "exec.command"),
		Env:         envOf(top, "exec.env"),
		KillSignal:  get[syscall.Signal](top, "exec.kill_signal"),
		KillTimeout: get[time.Duration](top, "exec.kill_timeout"),
		Splay:       get[time.Duration](top, "exec.splay"),
		Keeper:      keeper,
	}
	if top.isSet("exec.reload_signal") {
		x.Reload, x.OnChange = get[syscall.Signal](top, "exec.reload_signal"), render.SendSignal
		if x.Reload == 0 {
			x.OnChange = render.DoNothing
		}
	}
	if x.KillTimeout == 0 {
		l.wrong(top, "exec.kill_timeout", "must be more than 0")
	}
	if err := (render.Config{Exec: x}).Validate(); err != nil {
		l.fault(top.origin("exec.env.custom"), "%v", err)
	}
	return x
}

// asking returns how often a query is tried again.
func (l *loader) asking() render.Asking {
	top := l.doc.top
	a := render.Asking{
		Backoff:    get[time.Duration](top, "consul.retry.backoff"),
		MaxBackoff: get[time.Duration](top, "consul.retry.max_backoff"),
		Attempts:   get[int](top, "consul.retry.attempts"),
	}
	if a.Backoff == 0 {
		l.wrong(top, "consul.retry.backoff", "must be more than 0")
	}
	if a.MaxBackoff == 0 {
		a.MaxBackoff = math.MaxInt64 // no limit
	}
	if !get[bool](top, "consul.retry.enabled") {
		a.Attempts = 1
	}
	return a
}

// consul returns the settings of the Consul source.
func (l *loader) consul() watch.ConsulConfig {
	top := l.doc.top
	cfg := watch.ConsulConfig{
		Address:   get[string](top, "consul.address"),
		Token:     get[string](top, "consul.token"),
		TokenFile: get[string](top, "consul.token_file"),
		Namespace: get[string](top, "consul.namespace"),
		Partition: get[string](top, "consul.partition"),
		TLS: watch.ConsulTLS{
			Enabled:    usesTLS(top),
			SkipVerify: !get[bool](top, "consul.ssl.verify"),
			CACert:     get[string](top, "consul.ssl.ca_cert"),
			CACertPEM:  get[string](top, "consul.ssl.ca_cert_bytes"),
			CAPath:     get[string](top, "consul.ssl.ca_path"),
			Cert:       get[string](top, "consul.ssl.cert"),
			Key:        get[string](top, "consul.ssl.key"),
			ServerName: get[string](top, "consul.ssl.server_name"),
		},
		Transport: watch.ConsulTransport{
			DialKeepAlive:       get[time.Duration](top, "consul.transport.dial_keep_alive"),
			DialTimeout:         get[time.Duration](top, "consul.transport.dial_timeout"),
			TLSHandshakeTimeout: get[time.Duration](top, "consul.transport.tls_handshake_timeout"),
			IdleConnTimeout:     get[time.Duration](top, "consul.transport.idle_conn_timeout"),
			MaxIdleConns:        get[int](top, "consul.transport.max_idle_conns"),
			MaxIdleConnsPerHost: get[int](top, "consul.transport.max_idle_conns_per_host"),
			MaxConnsPerHost:     get[int](top, "consul.transport.max_conns_per_host"),
			DisableKeepAlives:   get[bool](top, "consul.transport.disable_keep_alives"),
		},
		MaxStale:       get[time.Duration](top, "max_stale"),
		Wait:           get[time.Duration](top, "block_query_wait"),
		MaxConnections: get[int](top, "consul.max_connections"),
		MaxRequests:    get[int](top, "consul.max_requests"),
	}
	if cfg.MaxStale == 0 {
		cfg.MaxStale = -1
	}
	cfg.Username, cfg.Password = authOf(top)
	for _, key := range []string{"dial_keep_alive", "dial_timeout", "tls_handshake_timeout", "idle_conn_timeout"} {
		if key = "consul.transport." + key; get[time.Duration](top, key) == 0 {
			l.notice(top.origin(key), "%s has no effect: 0 stands for the default, which is %s", key, topSchema.settings[key].def)
		}
	}
	for _, key := range []string{"consul.max_connections", "consul.max_requests"} {
		if get[int](top, key) <= 0 {
			l.wrong(top, key, "must be more than 0")
		}
	}
	if cfg.Wait == 0 {
		l.wrong(top, "block_query_wait", "must be more than 0")
	}
	return cfg
}

// authOf returns the user and the password of basic authentication; none where it is off.
func authOf(top *values) (user, password string) {
	if g, ok := top.find("consul.auth.enabled"); ok && !g.value.(bool) {
		return "", ""
	}
	return get[string](top, "consul.auth.username"), get[string](top, "consul.auth.password")
}

// usesTLS reports whether Consul is asked over TLS whatever its address says: any setting of TLS has that effect.
func usesTLS(top *values) bool {
	if g, ok := top.find("consul.ssl.enabled"); ok {
		return g.value.(bool)
	}
	return top.hasAny("consul.ssl")
}

// injected returns the settings that commands and templates find in their environment.
func injected(top *values) []string {
	var env []string
	add := func(name, value string) {
		if value != "" {
			env = append(env, name+"="+value)
		}
	}
	add("CONSUL_HTTP_ADDR", get[string](top, "consul.address"))
	add("CONSUL_HTTP_TOKEN", get[string](top, "consul.token"))
	add("CONSUL_HTTP_TOKEN_FILE", get[string](top, "consul.token_file"))
	if user, password := authOf(top); user != "" || password != "" {
		add("CONSUL_HTTP_AUTH", user+":"+password)
	}
	if top.hasAny("consul.ssl") {
		add("CONSUL_HTTP_SSL", strconv.FormatBool(usesTLS(top)))
		add("CONSUL_HTTP_SSL_VERIFY", strconv.FormatBool(get[bool](top, "consul.ssl.verify")))
	}
	return env
}

func logOf(top *values) logSettings {
	return logSettings{
		Level:  get[string](top, "log_level"),
		Format: get[string](top, "log_format"),
		Syslog: syslogSettings{
			Enabled:  syslogEnabled(top),
			Facility: get[string](top, "syslog.facility"),
			Name:     cmp.Or(get[string](top, "syslog.name"), filepath.Base(os.Args[0])),
		},
		File: logFileSettings{
			Path:           get[string](top, "log_file.path"),
			RotateBytes:    get[int](top, "log_file.log_rotate_bytes"),
			RotateDuration: get[time.Duration](top, "log_file.log_rotate_duration"),
			MaxFiles:       get[int](top, "log_file.log_rotate_max_files"),
		},
	}
}

func syslogEnabled(top *values) bool {
	if g, ok := top.find("syslog.enabled"); ok {
		return g.value.(bool)
	}
	return top.hasAny("syslog")
}
