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
	"render/watch"
	"render/watch/consul"
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

	plan   *config.Plan // the one in force; owned by run, then by reloads
	seen   string       // what the configuration files were when they were read last
	retry  time.Time    // when to try again to read it; zero where it could be read
	warned []string     // what was said of the plan in force
	files  *watch.Files
	source *watch.Switch
	asked  asked // by source
	engine *render.Engine
}

// asked is who answers queries.
type asked struct {
	source watch.Source
	end    func()
}

func newProgram(flags *config.Flags, signals *signalRouter, stdout io.Writer, stderr logs.Writer) *program {
	l := logs.New(stderr)
	return &program{flags: flags, signals: signals, stdout: stdout, logs: l, log: l.Logger()}
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
	if !plan.Engine.Once && !plan.ParseOnly { // what a run prints that ends by itself is complete, however slow its reader is
		p.logs.StartQueues()
	}
	if err := p.logs.Apply(plan.Log); err != nil {
		return settingError{err}
	}
	// What libraries print, as net/http does of connections that end oddly, is of use to developers only.
	stdlog.SetFlags(0)
	stdlog.SetOutput(slog.NewLogLogger(p.log.Handler(), slog.LevelDebug).Writer())
	p.say(notices)
	if plan.ParseOnly { // it has written nothing but to standard error
		if _, err := render.New(nil, plan.Engine); err != nil {
			return plan.PlaceTemplates(err)
		}
		p.log.Info("configuration and templates are valid", "templates", len(plan.Engine.Targets))
		return nil
	}
	if err := p.pid.Move(plan.PIDFile); err != nil {
		return plan.Place("pid_file", err)
	}
	limitMemory(p.log)
	p.notify = host.NewNotifier(p.log)
	if p.files, err = watch.NewFiles(); err != nil {
		p.log.Warn("file notifications unavailable; render checks files regularly", "err", err)
	}
	defer p.files.Close()
	if p.asked, err = p.ask(plan); err != nil {
		return plan.PlaceSource(err)
	}
	defer func() { p.asked.end() }()
	p.source = watch.NewSwitch(p.asked.source)
	if p.engine, err = render.New(p.source, plan.Engine); err != nil {
		return plan.PlaceTemplates(err)
	}
	return p.runEngine(ctx)
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

// assign says what signals mean under the plan in force. A run with once takes no other configuration.
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
	p.seen = p.flags.Signature()
	plan, notices, err := config.Load(p.flags, os.Environ())
	if err != nil {
		return nil, notices, err
	}
	plan.Engine.Log = p.log
	plan.Engine.Exec.Keeper = keeper
	plan.Consul.Log = p.log
	plan.Consul.UserAgent = "render/" + version
	if plan.Dry {
		plan.Engine.Dry = logs.Printable(p.stdout)
	}
	if plan.ParseOnly {
		plan.Engine.Dry = io.Discard
	}
	return plan, notices, nil
}

// say logs what users should know of a configuration, but for what was said of the one before.
func (p *program) say(notices config.Notices) {
	for _, text := range notices.Warn {
		if !slices.Contains(p.warned, text) {
			p.log.Warn(text)
		}
	}
	for _, text := range notices.Debug {
		p.log.Debug("not read as configuration", "what", text)
	}
	p.warned = notices.Warn
}

// ask returns who answers queries under a plan.
func (p *program) ask(plan *config.Plan) (asked, error) {
	src := watch.ByKind{watch.KindFile: p.files}
	if plan.Fixture != "" {
		fixture, err := watch.NewFixture(p.files, plan.Fixture)
		src[""] = fixture
		return asked{src, func() {}}, err
	}
	consul, err := consul.New(plan.Consul)
	if err != nil {
		return asked{}, err
	}
	src[""] = consul
	return asked{src, consul.Close}, nil
}

// reloads reloads the configuration whenever that is asked for, until the engine has ended.
func (p *program) reloads(ctx context.Context, ended <-chan struct{}) {
	watched := config.Watch{Flags: p.flags}
	look := time.NewTicker(config.WatchEvery)
	defer look.Stop()
	for {
		select {
		case <-p.signals.reloads:
			p.log.Info("reload started", "because", "signal")
		case now := <-look.C:
			switch {
			case p.plan.WatchConfig && watched.Settled(p.seen):
				p.log.Info("reload started", "because", "configuration files changed")
			case p.isMended(now):
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

// isMended reports whether a configuration that could not be read can be now, without a change of its own files: it was
// asked for. Most time goes into other things than to find out.
func (p *program) isMended(now time.Time) bool {
	if p.retry.IsZero() || now.Before(p.retry) || p.flags.Signature() != p.seen {
		return false
	}
	_, _, err := p.readNext()
	return err == nil
}

// reload takes a new configuration (R10). On an error the one before stays in force, and the engine says so.
func (p *program) reload(ctx context.Context) {
	plan, notices, err := p.readNext()
	if err != nil {
		p.engine.Reject(ctx, err)
		return
	}
	settle, err := p.prepare(plan)
	if err != nil {
		p.engine.Reject(ctx, err)
		return
	}
	err = p.engine.Apply(ctx, plan.Engine) // it says itself what is wrong
	settle(err == nil)
	if err != nil {
		return
	}
	before := p.plan
	p.plan = plan
	p.assign()
	if keys := plan.Differences(before); len(keys) > 0 {
		p.log.Info("settings changed", "settings", strings.Join(keys, ", "))
	}
	p.say(notices)
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

// prepare does all of a plan but what is the engine's. What it returns is to be told whether the engine has taken the plan.
func (p *program) prepare(plan *config.Plan) (settle func(taken bool), err error) {
	before, next := p.asked, p.asked
	other := plan.Fixture != p.plan.Fixture || !reflect.DeepEqual(plan.Consul, p.plan.Consul)
	if other {
		if next, err = p.ask(plan); err != nil {
			return nil, plan.PlaceSource(err)
		}
	}
	if err := p.moveOutputs(plan); err != nil {
		if other {
			next.end()
		}
		return nil, err
	}
	if other {
		p.use(next)
	}
	return func(taken bool) {
		if !taken {
			if err := p.moveOutputs(p.plan); err != nil {
				p.log.Warn("previous log and pid file not restored", "err", err)
			}
		}
		switch {
		case other && taken:
			before.end()
		case other:
			p.use(before)
			next.end()
		}
	}, nil
}

// use has somebody else answer queries.
func (p *program) use(next asked) {
	p.source.Use(next.source)
	p.asked = next
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
