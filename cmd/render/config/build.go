package config

import (
	"cmp"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"render/cmd/render/logs"
	"render/render"
	"render/render/disk"
	"render/render/run"
	"render/watch/consul"
)

// A Plan is what a configuration comes to.
type Plan struct {
	Engine  render.Config // without Log, Dry and the keeper of Exec
	Consul  consul.Config // without Log and UserAgent
	Fixture string        // "" for Consul
	Log     logs.Settings
	PIDFile string

	ReloadSignal syscall.Signal // 0 for none
	KillSignal   syscall.Signal
	Dry          bool
	ParseOnly    bool
	WatchConfig  bool

	loader *loader // what it was made from
}

// build turns a document into a plan. What is wrong is a *Error with all of it.
func (l *loader) build() (*Plan, error) {
	top := l.doc.top
	p := &Plan{
		loader:       l,
		Fixture:      get[string](top, "fixture"),
		PIDFile:      get[string](top, "pid_file"),
		ReloadSignal: get[syscall.Signal](top, "reload_signal"),
		KillSignal:   get[syscall.Signal](top, "kill_signal"),
		Dry:          get[bool](top, "dry"),
		ParseOnly:    get[bool](top, "parse_only"),
		WatchConfig:  get[bool](top, "watch_config"),
		Log:          logOf(top),
	}
	if p.Dry || p.ParseOnly { // which write nothing, and may run beside one that has these
		p.PIDFile, p.Log.File.Path, p.Log.Syslog.Enabled = "", "", false
	}
	p.Consul = l.consul()
	p.Engine = render.Config{
		Once:           get[bool](top, "once"),
		FailAbsent:     get[bool](top, "err_on_failed_lookup"),
		Timeout:        get[time.Duration](top, "timeout"),
		WatchTemplates: get[bool](top, "watch_templates"),
		Asking:         l.asking(),
		Env:            injected(top),
		Exec:           l.exec(),
	}
	l.actions(&p.Engine)
	l.targets(&p.Engine, p.Dry, p.ParseOnly)
	l.checkWhole(p)
	l.tellIdle(p)
	if p.ParseOnly {
		l.lookAround(p.Engine.Exec)
	}
	return p, l.err()
}

// checkWhole finds what is wrong with settings together.
func (l *loader) checkWhole(p *Plan) {
	top := l.doc.top
	if p.Engine.Timeout > 0 && !p.Engine.Once {
		l.wrong(top, "timeout", "bounds a run with once; give that, too")
	}
	for _, key := range []string{"reload_signal", "kill_signal"} {
		if s := get[syscall.Signal](top, key); s == syscall.SIGKILL || s == syscall.SIGSTOP {
			l.wrong(top, key, "%s cannot be caught by any program; give another", unix.SignalName(s))
		}
	}
	if p.ReloadSignal != 0 && p.ReloadSignal == p.KillSignal {
		key, other := "kill_signal", "reload_signal"
		if !top.isSet(key) {
			key, other = other, key
		}
		l.wrong(top, key, "it is the %s, too; set one of them to another", other)
	}
	idle := len(p.Engine.Targets) == 0 && !p.Engine.Once && !p.ParseOnly && p.Engine.Exec.Command.IsZero() && len(l.faults) == 0
	switch {
	case idle && len(l.configs) == 0:
		l.fault(origin{name: "configuration"}, "there is nothing to render: give --template SOURCE:DESTINATION[:COMMAND], or --config PATH")
	case idle:
		l.notice(origin{name: "--config"}, "there is nothing to render yet: no template block in %s", strings.Join(l.configs, ", "))
	}
	if p.check(p.Engine) != nil {
		l.locate(p)
	}
}

// tellIdle tells of settings that have no effect because of others.
func (l *loader) tellIdle(p *Plan) {
	given := l.doc.top.given
	for _, key := range slices.Sorted(maps.Keys(given)) {
		if what := l.neededFor(key, p); what != "" {
			from := given[key].from
			l.notice(from, "%s has no effect without %s", from.nameOf(key), what)
		}
	}
	for _, a := range l.doc.actions {
		if len(a.given) > 0 && !slices.ContainsFunc(p.Engine.Targets, func(t render.Target) bool { return t.Action == a.label }) {
			l.notice(a.from, "action %q never runs: no template names it", a.label)
		}
	}
}

// neededFor returns what a setting at the top of files needs to have an effect, and does not have.
func (l *loader) neededFor(key string, p *Plan) string {
	top := l.doc.top
	switch {
	case strings.HasPrefix(key, "log_file.") && !top.isSet("log_file.path"):
		return "log_file.path"
	case strings.HasPrefix(key, "exec.") && !top.isSet("exec.command") && topSchema.settings[key].Idle == "":
		return "exec.command"
	case p.Engine.Once:
		return ""
	case key == "err_on_failed_lookup" && p.Engine.FailAbsent:
		return "once, as nothing that is missing ends the daemon"
	case key == "consul.retry.attempts", key == "consul.retry.enabled" && !get[bool](top, key):
		return "once, as no failure of a query ends the daemon"
	}
	return ""
}

// lookAround tells of what the configuration names and this machine does not have. That is no fault: where a configuration is only
// parsed, it may be another machine's.
func (l *loader) lookAround(program run.Program) {
	top := l.doc.top
	miss := func(v *values, key string, err error) {
		if err != nil {
			l.notice(v.origin(key), "%v; render needs it, but this may not be the machine that it will run on", err)
		}
	}
	for _, f := range l.unreadableFiles() {
		miss(top, f.key, fmt.Errorf("%s %s: %w", top.origin(f.key).nameOf(f.key), get[string](top, f.key), f.err))
	}
	miss(top, "exec.command", program.Find())
	for _, v := range l.doc.templates {
		file := fileOf(v)
		miss(v, "user", disk.Options{User: file.User}.Find())
		miss(v, "group", disk.Options{Group: file.Group}.Find())
	}
}

// An unreadableFile is a setting that names a file which cannot be read.
type unreadableFile struct {
	key string
	err error
}

// unreadableFiles returns those that the connection to Consul, or what takes its place, needs.
func (l *loader) unreadableFiles() (all []unreadableFile) {
	top := l.doc.top
	keys := []string{"fixture", "consul.token_file"}
	if usesTLS(top) {
		keys = append(keys, "consul.ssl.ca_cert", "consul.ssl.ca_path", "consul.ssl.cert", "consul.ssl.key")
	}
	for _, key := range keys {
		path := get[string](top, key)
		if path == "" {
			continue
		}
		if err := unix.Access(path, unix.R_OK); err != nil { // to open a pipe could take for ever
			all = append(all, unreadableFile{key, err})
		}
	}
	return all
}

// locate finds which targets are at fault where the engine would not take them all: each by itself, or else the first that does
// not go with those before it, because where links lead two destinations are one file.
func (l *loader) locate(p *Plan) {
	for i, t := range p.Engine.Targets {
		one := render.Config{Targets: []render.Target{t}}
		if j := slices.IndexFunc(p.Engine.Actions, func(a render.Action) bool { return a.Name == t.Action }); t.Action != "" && j >= 0 {
			one.Actions = p.Engine.Actions[j : j+1]
		}
		if err := p.check(one); err != nil {
			l.fault(l.made[i].from, "%v", err)
		}
	}
	if len(l.faults) > 0 {
		return
	}
	upTo := p.Engine
	with := func(i int) error {
		upTo.Targets = p.Engine.Targets[:i]
		return p.check(upTo)
	}
	at := origin{name: "configuration"}
	i := sort.Search(len(p.Engine.Targets), func(i int) bool { return with(i) != nil })
	if i > 0 {
		at = l.made[i-1].origin("destination")
	}
	l.fault(at, "%v", with(i))
}

// check returns what is wrong with part of a configuration.
func (p *Plan) check(c render.Config) error {
	if p.Dry || p.ParseOnly {
		c.Dry = io.Discard
	}
	return c.Validate()
}

// exec returns the program to supervise.
func (l *loader) exec() run.Program {
	top := l.doc.top
	if !get[bool](top, "exec.enabled") {
		return run.Program{}
	}
	x := run.Program{
		Command:     get[run.Command](top, "exec.command"),
		Env:         envOf(top, "exec.env"),
		KillSignal:  get[syscall.Signal](top, "exec.kill_signal"),
		KillTimeout: get[time.Duration](top, "exec.kill_timeout"),
		Splay:       get[time.Duration](top, "exec.splay"),
	}
	if top.isSet("exec.reload_signal") {
		x.Reload, x.OnChange = get[syscall.Signal](top, "exec.reload_signal"), run.SendSignal
		if x.Reload == 0 {
			x.OnChange = run.DoNothing
		}
	}
	l.checkPositive(top, "exec.kill_timeout")
	if err := (render.Config{Exec: x}).Validate(); err != nil {
		l.fault(top.origin("exec.env.custom"), "%v", err)
	}
	return x
}

func logOf(top *values) logs.Settings {
	return logs.Settings{
		Level:  get[string](top, "log_level"),
		Format: get[string](top, "log_format"),
		Syslog: logs.SyslogSettings{
			Enabled:  syslogEnabled(top),
			Facility: get[string](top, "syslog.facility"),
			Name:     cmp.Or(get[string](top, "syslog.name"), filepath.Base(os.Args[0])),
		},
		File: logs.FileSettings{
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
