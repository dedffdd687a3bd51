package main

import (
	"context"
	"errors"
	"io"
	stdlog "log"
	"log/slog"
	"os"
	"reflect"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"render/cmd/render/config"
	"render/cmd/render/host"
	"render/cmd/render/logs"
	"render/render"
	"render/render/metrics"
	"render/render/web"
	"render/watch"
	"render/watch/vault/unwrap"
)

// A program is one run of render.
type program struct {
	flags   *config.Flags
	signals *signalRouter
	stdout  io.Writer
	logs    *logs.Log
	log     *slog.Logger
	pid     host.PIDFile
	notify  *host.Notifier // nil without systemd

	plan      *config.Plan // in effect; owned by run, then by reloads
	signature string       // what the configuration files were when they were read last
	retry     time.Time    // when to try again to read it; zero where it could be read
	noticed   []string     // warnings about the plan that is in effect, which were logged
	files     *watch.Files
	source    watch.ByKind // of the files and the providers
	providers []*provider
	unwrapped *unwrap.Memory // tokens that this process has unwrapped
	engine    *render.Engine
	server    *web.Server // of the status page
}

func newProgram(flags *config.Flags, signals *signalRouter, stdout io.Writer, stderr logs.Writer) *program {
	l := logs.New(stderr)
	return &program{flags: flags, signals: signals, stdout: stdout, logs: l, log: l.Logger(), unwrapped: new(unwrap.Memory)}
}

// close ends what is left of a run, which has ended with err.
func (p *program) close(err error) {
	if err != nil {
		p.logs.ErrorElsewhere("render failed", "err", err)
	}
	if err := p.pid.Remove(); err != nil {
		p.log.Warn("pid file not removed", "err", err)
	}
	_ = p.logs.Close() // there is nowhere left to tell
}

// run reads the configuration and does what it says.
func (p *program) run(ctx context.Context) error {
	plan, notices, err := p.read()
	if err != nil {
		return err
	}
	p.plan = plan

	// The log.
	if !plan.Engine.Once && !plan.ParseOnly { // what a run prints that ends by itself is complete, however slow its reader is
		p.logs.StartQueues()
	}
	if err := p.logs.Apply(plan.Log); err != nil {
		return settingError{err}
	}
	// What libraries print, as net/http does of connections that end oddly, is of use to developers only.
	stdlog.SetFlags(0)
	stdlog.SetOutput(slog.NewLogLogger(p.log.Handler(), slog.LevelDebug).Writer())
	p.logNotices(notices)

	if plan.ParseOnly { // it has written nothing but to standard error
		if _, err := render.New(nil, plan.Engine); err != nil {
			return plan.PlaceTemplates(err)
		}
		p.log.Info("configuration and templates are valid", "templates", len(plan.Engine.Targets))
		return nil
	}

	// What the engine needs.
	if err := p.pid.Move(plan.PIDFile); err != nil {
		return plan.Place("pid_file", err)
	}
	limitMemory(p.log)
	p.notify = host.NewNotifier(p.log)
	if p.files, err = watch.NewFiles(); err != nil {
		p.log.Warn("file notifications unavailable; render checks files regularly", "err", err)
	}
	defer p.files.Close()
	defer p.endSources()
	if err := p.openSources(plan); err != nil {
		return err
	}
	if p.engine, err = render.New(p.source, plan.Engine); err != nil {
		return plan.PlaceTemplates(err)
	}
	health := metrics.NewHealth(p.engine)
	p.server = web.New(web.Config{Engine: p.engine, Version: version, Log: p.log, Routes: []web.Route{
		{Path: "/metrics", Handler: metrics.New(p.engine, version, p.log).Handler(), Shared: true},
		{Path: "/healthz", Handler: health.Healthz(), Open: true},
		{Path: "/readyz", Handler: health.Readyz(), Open: true},
	}})
	defer p.server.Close()
	if err := p.listen(plan); err != nil {
		return plan.PlaceListen(err)
	}
	return p.runEngine(ctx)
}

// listen has the status page where a plan wants it.
func (p *program) listen(plan *config.Plan) error {
	before := p.server.Addresses()
	err := p.server.Apply(plan.Listen)
	now := p.server.Addresses()
	p.engine.History().SetBrief(len(now) == 0) // nobody can read its details
	if err != nil {
		return err
	}
	if !slices.Equal(now, before) {
		p.log.Info("status page listens", "addresses", strings.Join(now, ", "))
	}
	return nil
}

// runEngine runs the engine, and beside it what looks after it.
func (p *program) runEngine(ctx context.Context) error {
	p.assign()
	ended := make(chan struct{})
	var wg sync.WaitGroup
	defer wg.Wait()
	defer close(ended)
	if p.notify != nil {
		wg.Go(func() { p.notify.Follow(ctx, p.engine, ended) })
	}
	dry := p.plan.Dry // what it prints may go to the same terminal
	wg.Go(func() { p.showProgress(ctx, !dry, ended) })
	if !p.plan.Engine.Once {
		p.log.Info("render started", "version", version, "templates", len(p.plan.Engine.Targets))
		defer context.AfterFunc(ctx, func() {
			p.log.Info("render stopping", "signal", unix.SignalName(syscall.Signal(p.signals.stopped.Load())))
		})()
		wg.Go(func() { p.reloads(ctx, ended) })
	}
	return p.engine.Run(ctx)
}

// assign says what signals mean under the plan that is in effect. A run with once takes no other configuration.
func (p *program) assign() {
	to := roles{
		reload: p.plan.ReloadSignal, kill: p.plan.KillSignal,
		engine: p.engine, supervises: !p.plan.Engine.Exec.Command.IsZero() && !p.plan.Dry,
	}
	if p.plan.Engine.Once {
		to.reload = 0
	}
	p.signals.assign(to)
}

// read reads the configuration and makes a plan of it.
func (p *program) read() (*config.Plan, config.Notices, error) {
	p.signature = p.flags.Signature()
	plan, notices, err := config.Load(p.flags, os.Environ())
	if err != nil {
		return nil, notices, err
	}
	plan.Engine.Log = p.log
	plan.Engine.Exec.Keeper = keeper
	plan.Consul.Log = p.log
	plan.Consul.UserAgent = "render/" + version
	plan.Nomad.Log, plan.Nomad.UserAgent = p.log, plan.Consul.UserAgent
	plan.Nomad.Wait, plan.Nomad.MaxStale = plan.Consul.Wait, plan.Consul.MaxStale
	plan.Vault.Log = p.log
	plan.Vault.Unwrapped, plan.Vault.Once = p.unwrapped, plan.Engine.Once
	if plan.Dry {
		plan.Engine.Dry = logs.Printable(p.stdout)
		plan.Vault.ReadOnly, plan.Vault.RevokeOnStop = true, true // nothing is left of a dry run
	}
	if plan.ParseOnly {
		plan.Engine.Dry = io.Discard
	}
	return plan, notices, nil
}

// logNotices logs what users should know of a configuration, without what it logged for the previous configuration.
func (p *program) logNotices(notices config.Notices) {
	for _, text := range notices.Warn {
		if !slices.Contains(p.noticed, text) {
			p.log.Warn(text)
		}
	}
	for _, text := range notices.Debug {
		p.log.Debug("not read as configuration", "what", text)
	}
	p.noticed = notices.Warn
}

// reloads reloads the configuration whenever that is requested, until the engine has ended.
func (p *program) reloads(ctx context.Context, ended <-chan struct{}) {
	watched := config.Watch{Flags: p.flags}
	check := time.NewTicker(config.WatchEvery)
	defer check.Stop()
	for {
		select {
		case <-p.signals.reloads:
			p.log.Info("reload started", "because", "signal")
		case now := <-check.C:
			switch {
			case p.plan.WatchConfig && watched.IsStable(p.signature):
				p.log.Info("reload started", "because", "configuration files changed")
			case p.isFixed(now):
				p.log.Info("reload started", "because", "error of the configuration fixed")
			default:
				continue
			}
		case <-ctx.Done(): // we end
			return
		case <-ended:
			return
		}
		p.notify.Reloading()
		p.reload(ctx)
		p.notify.Reloaded()
	}
}

// isFixed reports whether a configuration that could not be read is readable now, although its own files did not change. It reads
// the configuration again, but spends at most a twentieth of the time on that.
func (p *program) isFixed(now time.Time) bool {
	if p.retry.IsZero() || now.Before(p.retry) || p.flags.Signature() != p.signature {
		return false
	}
	_, _, err := p.readNext()
	return err == nil
}

// reload applies a new configuration (R10). On an error the previous configuration stays in effect, and the engine logs the error.
func (p *program) reload(ctx context.Context) {
	plan, notices, err := p.readNext()
	if err != nil {
		p.engine.Reject(ctx, err)
		return
	}
	finish, err := p.prepare(plan)
	if err != nil {
		p.engine.Reject(ctx, err)
		return
	}
	err = p.engine.Apply(ctx, plan.Engine) // it says itself what is wrong
	finish(err == nil)
	if err != nil {
		return
	}
	before := p.plan
	p.plan = plan
	p.assign()
	if keys := plan.Differences(before); len(keys) > 0 {
		p.log.Info("settings changed", "settings", strings.Join(keys, ", "))
	}
	p.logNotices(notices)
	if err := p.listen(plan); err != nil {
		p.log.Warn("status page not moved; it stays where it was", "err", plan.PlaceListen(err))
	}
}

// readNext is read for a reload. It finds all that is wrong with a configuration before anything is done for it.
func (p *program) readNext() (plan *config.Plan, notices config.Notices, err error) {
	began := time.Now()
	defer func() {
		if p.retry = (time.Time{}); err != nil {
			p.retry = time.Now().Add(20 * time.Since(began))
		}
	}()
	if plan, notices, err = p.read(); err != nil {
		return nil, notices, err
	}
	if err := p.unchangeable(plan); err != nil {
		return nil, notices, err
	}
	if _, err := render.New(nil, plan.Engine); err != nil {
		return nil, notices, plan.PlaceTemplates(err)
	}
	if program := plan.Engine.Exec; !reflect.DeepEqual(program.Command, p.plan.Engine.Exec.Command) {
		if err := program.Find(); err != nil {
			return nil, notices, err
		}
	}
	return plan, notices, nil
}

// prepare applies a plan, without the part of the engine. The caller calls finish with whether the engine accepted the plan.
func (p *program) prepare(plan *config.Plan) (finish func(accepted bool), err error) {
	replacements, err := p.openReplacements(plan)
	if err != nil {
		return nil, err
	}
	if err := p.moveOutputs(plan); err != nil {
		for _, r := range replacements {
			r.end()
		}
		return nil, err
	}
	for i := range replacements {
		replacements[i].use()
	}
	return func(accepted bool) {
		if !accepted {
			if err := p.moveOutputs(p.plan); err != nil {
				p.log.Warn("previous log and pid file not restored", "err", err)
			}
		}
		for i := range replacements {
			if !accepted {
				replacements[i].use() // the previous one again
			}
			replacements[i].close()
		}
	}, nil
}

// moveOutputs takes log and pid file to where a plan wants them, both or none.
func (p *program) moveOutputs(plan *config.Plan) error {
	if err := p.logs.Apply(plan.Log); err != nil {
		return err
	}
	err := p.pid.Move(plan.PIDFile)
	if err != nil {
		err = errors.Join(err, p.logs.Apply(p.plan.Log))
	}
	return err
}

// unchangeable returns an error where a reload changes what needs a new start.
func (p *program) unchangeable(plan *config.Plan) error {
	var changed []string
	for _, s := range []struct {
		key      string
		was, now bool
	}{
		{"once", p.plan.Engine.Once, plan.Engine.Once}, {"dry", p.plan.Dry, plan.Dry}, {"parse_only", false, plan.ParseOnly},
	} {
		if s.was != s.now {
			changed = append(changed, s.key)
		}
	}
	return plan.Wrong("cannot change while render runs; start it anew", changed...)
}
