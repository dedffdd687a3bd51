package config

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"render/cmd/render/logs"
	"render/render"
	"render/render/disk"
	"render/render/run"
	"render/render/web"
	"render/watch/consul"
	"render/watch/hint"
	"render/watch/nomad"
	"render/watch/vault"
)

// A Plan is what a configuration comes to.
type Plan struct {
	Engine  render.Config // without Log, Dry and the keeper of Exec
	Consul  consul.Config // without Log and UserAgent
	Vault   vault.Config  // without Log and Unwrapped
	Nomad   nomad.Config  // without Log, UserAgent, Wait and MaxStale, which are as for Consul
	Fixture string        // "" for Consul
	Log     logs.Settings
	PIDFile string
	Listen  web.Settings // no address with Once, Dry and ParseOnly

	ReloadSignal syscall.Signal // 0 for none
	KillSignal   syscall.Signal
	Dry          bool
	ParseOnly    bool
	WatchConfig  bool

	loader *loader // what it was made from
}

// build turns a document into a plan. What is wrong is a *Error with all of it.
func (l *loader) build() (*Plan, error) {
	l.fill()
	g := l.global
	p := &Plan{
		loader:       l,
		Fixture:      g.Fixture,
		PIDFile:      g.PIDFile,
		ReloadSignal: g.ReloadSignal,
		KillSignal:   g.KillSignal,
		Dry:          g.Dry,
		ParseOnly:    g.ParseOnly,
		WatchConfig:  g.WatchConfig,
		Log:          logOf(g),
	}
	if p.Dry || p.ParseOnly { // which write nothing, and may run beside one that has these
		p.PIDFile, p.Log.File.Path, p.Log.Syslog.Enabled = "", "", false
	}
	p.Consul = l.consul()
	p.Vault = l.vault()
	p.Nomad = l.nomad()
	p.Listen = l.listen(p.Dry || p.ParseOnly || g.Once)
	p.Engine = render.Config{
		Once:           g.Once,
		FailAbsent:     g.FailAbsent,
		Timeout:        g.Timeout,
		WatchTemplates: g.WatchTemplates,
		Asking:         l.asking(),
		Env:            slices.Concat(injected(g), g.Vault.Environment(g.isSet)),
		Exec:           l.exec(),
	}
	l.makeActions(&p.Engine)
	l.targets(&p.Engine, p.Dry, p.ParseOnly)
	l.checkWhole(p)
	l.warnOfIdle(p)
	if p.ParseOnly {
		l.warnOfMissing(p.Engine.Exec)
	}
	return p, l.err()
}

// checkWhole finds what is wrong with settings together.
func (l *loader) checkWhole(p *Plan) {
	g := l.global
	if p.Engine.Timeout > 0 && !p.Engine.Once {
		l.wrong(g.values, &g.Timeout, "%w", hint.With(errors.New("a timeout has an effect only with once"), "set once, or remove timeout"))
	}
	for _, field := range []*syscall.Signal{&g.ReloadSignal, &g.KillSignal} {
		if *field == syscall.SIGKILL || *field == syscall.SIGSTOP {
			l.wrong(g.values, field, "%w", hint.With(fmt.Errorf("no program can handle %s", unix.SignalName(*field)), "use another signal"))
		}
	}
	if g.ReloadSignal != 0 && g.ReloadSignal == g.KillSignal {
		field, other := &g.KillSignal, &g.ReloadSignal
		if !g.isSet(field) {
			field, other = other, field
		}
		l.wrong(g.values, field, "%w", hint.With(fmt.Errorf("the signal is also the %s", g.key(other)), "use two different signals"))
	}
	idle := len(p.Engine.Targets) == 0 && !p.Engine.Once && !p.ParseOnly && p.Engine.Exec.Command.IsZero() && len(l.faults) == 0
	switch {
	case idle && len(l.configs) == 0:
		l.fault(origin{name: "configuration"}, "%w", hint.With(errors.New("there is nothing to render"), "use --template SOURCE:DESTINATION[:COMMAND] or --config PATH"))
	case idle:
		l.notice(origin{name: "--config"}, "there is nothing to render yet: no template block in %s", strings.Join(l.configs, ", "))
	}
	if p.check(p.Engine) != nil {
		l.locate(p)
	}
}

// warnOfIdle reports settings that have no effect because of others.
func (l *loader) warnOfIdle(p *Plan) {
	given := l.global.given
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
	g := l.global
	switch {
	case strings.HasPrefix(key, "log_file.") && !g.isSet(&g.LogFile.Path):
		return "log_file.path"
	case strings.HasPrefix(key, "listen.") && len(g.Listen.Addresses) == 0 && !g.isSet(&g.Listen.Addresses):
		return "listen.address"
	case strings.HasPrefix(key, "exec.") && !g.isSet(&g.Exec.Command) && topSchema.settings[key].Idle == "":
		return "exec.command"
	case key == g.key(&g.Vault.SSL.Enabled) && !g.Vault.SSL.Enabled && !g.setsMore(key),
		key == g.key(&g.Nomad.SSL.Enabled) && !g.Nomad.SSL.Enabled && !g.setsMore(key):
		return "another TLS setting"
	case p.Engine.Once:
		return ""
	case key == g.key(&g.FailAbsent) && p.Engine.FailAbsent:
		return "once, as nothing that is missing ends the daemon"
	case key == g.key(&g.Consul.Retry.Attempts), key == g.key(&g.Consul.Retry.Enabled) && !g.Consul.Retry.Enabled,
		key == g.key(&g.Vault.Retry.Attempts), key == g.key(&g.Vault.Retry.Enabled) && !g.Vault.Retry.Enabled,
		key == g.key(&g.Nomad.Retry.Attempts), key == g.key(&g.Nomad.Retry.Enabled) && !g.Nomad.Retry.Enabled:
		return "once, as no failure of a query ends the daemon"
	}
	return ""
}

// warnOfMissing reports what the configuration names and this machine does not have. That is no fault: where a configuration is only
// parsed, it may be another machine's.
func (l *loader) warnOfMissing(program run.Program) {
	g := l.global
	miss := func(v *values, field any, err error) {
		if err != nil {
			l.notice(v.origin(field), "%v; render needs this where it runs", err)
		}
	}
	servers := slices.Concat(g.Vault.SSL.Files(), []*string{&g.Nomad.TokenFile})
	if g.Nomad.SSL.Used(g.isSet) {
		servers = append(servers, &g.Nomad.SSL.CACert, &g.Nomad.SSL.CAPath, &g.Nomad.SSL.Cert, &g.Nomad.SSL.Key)
	}
	for _, f := range slices.Concat(l.unreadableFiles(), unreadableOf(servers)) {
		miss(g.values, f.path, fmt.Errorf("%s %s: %w", g.origin(f.path).nameOf(g.key(f.path)), *f.path, f.err))
	}
	miss(g.values, &g.Exec.Command, program.Find())
	for _, b := range l.templates {
		file := fileOf(b)
		miss(b.values, &b.User, disk.Options{User: file.User}.Find())
		miss(b.values, &b.Group, disk.Options{Group: file.Group}.Find())
	}
}

// An unreadableFile is a setting that names a file which cannot be read.
type unreadableFile struct {
	path *string // the field
	err  error
}

// unreadableFiles returns those that the connection to Consul, or what takes its place, needs.
func (l *loader) unreadableFiles() []unreadableFile {
	g := l.global
	paths := []*string{&g.Fixture, &g.Consul.TokenFile}
	if g.Consul.SSL.Used(g.isSet) {
		paths = append(paths, &g.Consul.SSL.CACert, &g.Consul.SSL.CAPath, &g.Consul.SSL.Cert, &g.Consul.SSL.Key)
	}
	return unreadableOf(paths)
}

// unreadableOf returns the paths that cannot be read.
func unreadableOf(paths []*string) (all []unreadableFile) {
	for _, path := range paths {
		if *path == "" {
			continue
		}
		if err := readable(*path); err != nil {
			all = append(all, unreadableFile{path, err})
		}
	}
	return all
}

// readable returns why a file cannot be opened by this process. A pipe that nobody writes to is readable.
func readable(path string) error {
	file, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if failed, ok := errors.AsType[*fs.PathError](err); ok {
		return failed.Err
	}
	return errors.Join(err, file.Close())
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
			l.fault(l.made[i].from, "%w", err)
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
		at = l.made[i-1].origin(&l.made[i-1].Destination)
	}
	l.fault(at, "%w", with(i))
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
	g := l.global
	if !g.Exec.Enabled {
		return run.Program{}
	}
	x := run.Program{
		Command:     g.Exec.Command,
		Env:         g.Exec.Env.env(),
		KillSignal:  g.Exec.KillSignal,
		KillTimeout: g.Exec.KillTimeout,
		Splay:       g.Exec.Splay,
	}
	if g.isSet(&g.Exec.ReloadSignal) {
		x.Reload, x.OnChange = g.Exec.ReloadSignal, run.SendSignal
		if x.Reload == 0 {
			x.OnChange = run.DoNothing
		}
	}
	l.checkPositive(g.values, &g.Exec.KillTimeout)
	if err := (render.Config{Exec: x}).Validate(); err != nil {
		l.fault(g.origin(&g.Exec.Env.Custom), "%w", err)
	}
	return x
}

func logOf(g *globalBlock) logs.Settings {
	return logs.Settings{
		Level:  g.LogLevel,
		Format: g.LogFormat,
		Syslog: logs.SyslogSettings{
			Enabled:  syslogEnabled(g),
			Facility: g.Syslog.Facility,
			Name:     cmp.Or(g.Syslog.Name, filepath.Base(os.Args[0])),
		},
		File: logs.FileSettings{
			Path:           g.LogFile.Path,
			RotateBytes:    g.LogFile.RotateBytes,
			RotateDuration: g.LogFile.RotateDuration,
			MaxFiles:       g.LogFile.MaxFiles,
		},
	}
}

func syslogEnabled(g *globalBlock) bool {
	if g.isSet(&g.Syslog.Enabled) {
		return g.Syslog.Enabled
	}
	return g.setsAny(&g.Syslog)
}
